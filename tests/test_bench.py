"""The benchmark's machinery: plans, rows on disk, processes that die, runs that are taken up."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from markai import attacks
from markai.bench import calibration, methods, pictures, plan, presets, rows, runner, security, work
from markai.bench.methods import Entry, Trial
from markai.bench.plan import Plan, Settings
from markai.errors import ImageError, MethodError, OutputError

HERE = Path(__file__).parent
CORNER, RANDOM = "bench_methods:Corner", "control/random-bits"
SMALL = Settings(short_side=256, null_keys=3, security_side=256, time_side=256, metrics=("psnr", "ssim"))
SEVERAL = ("none", "jpeg:50", "blur:2", "crop:0.5", "noise:0.05")
TIMES = ("embed_s", "detect_s")


@pytest.fixture(autouse=True)
def own_methods(monkeypatch):
    """Our processes find the methods of the tests as well: they start with this sys.path."""
    monkeypatch.syspath_prepend(str(HERE))
    methods.load.cache_clear()


def planned(*names, attack=("none", "jpeg:50", "crop:0.5"), count=2, **changes):
    entries = tuple(Entry.parse(name) for name in names)
    first = Plan(entries, tuple(attack), tuple(pictures.generated(count)), SMALL, times=False)
    return replace(first, **changes)


def content(found):
    """Rows without what differs from run to run, in an order of their own."""
    kept = [{name: value for name, value in row.items() if name not in TIMES} for row in found]
    return sorted(kept, key=json.dumps)


# Pictures


def test_pictures_of_folders_are_named_grouped_and_large_enough(tmp_path):
    for name, side in (("kodak_01.png", 300), ("sub/ai-art_2.png", 256), ("tiny.png", 200), ("12.png", 300)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (side, side + 9)).save(path)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = {source.name: source.group for source in pictures.from_files([tmp_path])}
    assert found == {
        "kodak_01.png": "kodak",
        "sub/ai-art_2.png": "ai-art",
        "12.png": "pictures",
        "broken.png": "broken",
    }
    with pytest.raises(ImageError, match="smaller than 999"):
        pictures.from_files([tmp_path / "12.png"], least_side=999)
    with pytest.raises(ImageError, match="two pictures are called"):
        pictures.from_files([tmp_path, tmp_path / "sub" / ".." / "12.png"])


def test_pictures_are_8_bit_rgb_on_white_and_shrunk(tmp_path):
    transparent = np.zeros((300, 400, 4), np.uint8)
    transparent[:, 200:, 3] = 255
    deep = np.full((300, 400), 257 * 100, np.uint16)
    for name, array in (("transparent.png", transparent), ("deep.png", deep)):
        Image.fromarray(array).save(tmp_path / name)
    deep_source, source = pictures.from_files([tmp_path])
    pixels = source.load()
    assert (pixels[:, :200] == 255).all()
    assert not pixels[:, 200:].any()
    assert (deep_source.load() == 100).all()
    assert source.load(short_side=150).shape == (150, 200, 3)


@pytest.mark.parametrize("source", [*pictures.generated(3), *pictures.structured()], ids=lambda source: source.name)
def test_drawn_pictures_are_the_same_every_time(source):
    pixels = source.load()
    assert pixels.shape == (512, 512, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, source.load())


def test_drawn_leaves_are_as_rough_as_photographs():
    """Power over frequency falls about as 1/f^2 in natural scenes."""
    luma = pictures.drawn("leaves-01").mean(axis=2)
    power = np.abs(np.fft.fft2(luma - luma.mean())) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    bands = [power[(radius > low) & (radius <= 2 * low)].mean() for low in (0.01, 0.02, 0.04, 0.08, 0.16)]
    slope = np.polyfit(np.arange(5), np.log2(bands), 1)[0]
    assert -3.2 < slope < -1.4


def test_unknown_drawings_are_refused():
    with pytest.raises(ImageError, match="no drawing 'pattern:tartan'"):
        pictures.drawn("pattern:tartan")


# Methods


def test_trials_depend_on_seed_and_purpose_and_nothing_else():
    first = Trial.draw(1, "dwt-dct", "a.png")
    assert first.message == Trial.draw(1, "dwt-dct", "a.png").message
    others = [
        Trial.draw(2, "dwt-dct", "a.png"),
        Trial.draw(1, "dwt-dct", "b.png"),
        Trial.draw(1, "dwt-dct", "a.png", 0),
    ]
    assert len({each.message for each in (first, *others)}) == 4
    assert len({each.key.id for each in (first, *others)}) == 4
    assert np.array_equal(first.bits(32), first.bits(64)[:32])


def test_matching_bits_become_the_binomial_tail():
    method, trial = methods.load(CORNER), Trial.draw(0, "any")
    looked = trial.bits(32)
    looked[:3] ^= 1
    reading = method.read(looked, trial)
    assert reading.bit_accuracy == 29 / 32
    assert 10**reading.log10_p == pytest.approx(sum([1, 32, 496, 4960]) / 2**32)
    assert reading.wrong
    assert not reading.exact


@pytest.mark.parametrize("text", ["dwt-dct@", "dwt-dct@loud", "dwt-dct@-1", "dwt-dct@0dB", "dwt-dct@1e9"])
def test_strengths_that_mean_nothing_are_refused(text):
    with pytest.raises(MethodError, match="neither"):
        Entry.parse(text)


# Plans


def test_units_cover_every_row_once():
    whole = planned(
        "dwt-dct", CORNER, positions=3, security=security.QUICK, times=True, nulls=(pictures.structured()[0],)
    )
    ids = [row for unit in whole.units() for row in unit.ids()]
    assert len(ids) == len(set(ids))
    kinds = [kind for kind, *_ in ids]
    expected = {
        "mark": 4,
        "attack": 4 * (2 + 3),
        "damage": 6,
        "null": 6,
        "security": 2 * len(security.QUICK),
        "time": 2,
    }
    assert {kind: kinds.count(kind) for kind in expected} == expected


def test_a_wrong_attack_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(MethodError, match="no attack 'melt'"):
        runner.run(planned(CORNER, attack=["melt"]), tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


def test_all_methods_are_hit_in_the_same_place():
    seeds = {plan.attack_seed(SMALL, name, turn) for name in ("a", "b") for turn in range(3)}
    assert len(seeds) == 6


def test_presets_hold_together():
    quick, full = presets.quick(["dwt-dct"]), presets.full(["dwt-dct"])
    assert set(attacks.SUITE) < set(full.attacks)
    assert len(quick.sources) == 10
    for each in (quick, full):
        assert each.units()


# Rows


HEADER = {"kind": "run", "settings": {"seed": 1}, "versions": {"numpy": "2"}, "machine": {}}


def test_rows_survive_a_torn_last_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    with rows.opened(path, HEADER) as there:
        assert there == {}
        rows.append(path, {"kind": "mark", "method": "m"})
    with path.open("a") as file:
        file.write('{"kind":"mark","method":"tor')
    assert len(rows.read(path)[1]) == 1
    with rows.opened(path, HEADER) as there:
        assert list(there) == [("mark", "m", "", "", 0)]
        rows.append(path, {"kind": "mark", "method": "n"})
    assert [row["method"] for row in rows.read(path)[1]] == ["m", "n"]


def test_another_run_is_not_mixed_in(tmp_path):
    path = tmp_path / "rows.jsonl"
    with rows.opened(path, HEADER), pytest.raises(OutputError, match="another run writes"), rows.opened(path, HEADER):
        pass
    for name, changed in (("settings", {"seed": 2}), ("versions", {"numpy": "3"})):
        with pytest.raises(OutputError, match=f"other {name}"), rows.opened(path, HEADER | {name: changed}):
            pass
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    with pytest.raises(OutputError, match="is not a file of benchmark rows"), rows.opened(other, HEADER):
        pass
    with pytest.raises(OutputError, match="run the benchmark first"):
        rows.read(tmp_path / "missing.jsonl")


def test_errors_are_kept_unless_they_are_to_be_retried(tmp_path):
    path = tmp_path / "rows.jsonl"
    with rows.opened(path, HEADER):
        rows.append(path, {"kind": "mark", "method": "m", "error": "no"})
        rows.append(path, {"kind": "mark", "method": "n"})
    with rows.opened(path, HEADER) as there:
        assert len(there) == 2
    with rows.opened(path, HEADER, retry_errors=True) as there:
        assert [row["method"] for row in there.values()] == ["n"]
    assert len(rows.read(path)[1]) == 1
    assert list(tmp_path.iterdir()) == [path]


# Runs


def test_a_run_gives_every_row_once_whatever_the_number_of_processes(tmp_path):
    whole = planned("dwt-dct", CORNER, security=("wrong-key", "copy"))
    told = []
    header, one = runner.run(whole, tmp_path / "one.jsonl", 1, lambda *state: told.append(state))
    _, two = runner.run(whole, tmp_path / "two.jsonl", 2)
    assert content(one) == content(two)
    expected = {row for unit in whole.units() for row in unit.ids()}
    assert {rows.id_of(row) for row in one} == expected
    assert len(one) == len(expected)
    assert told[-1] == (len(expected), len(expected))
    assert header["settings"]["seed"] == 0
    assert header["versions"]["markai"]
    assert not [row for row in one if "error" in row]
    exact = {(row["method"], row["attack"]): row["exact"] for row in one if row["kind"] == "attack"}
    assert exact["dwt-dct", "none"]
    assert exact[CORNER, "none"]
    assert not exact[CORNER, "crop:0.5"]


def test_a_finished_run_is_not_run_again_and_a_larger_one_only_adds(tmp_path):
    path = tmp_path / "rows.jsonl"
    first = planned(CORNER, RANDOM)
    _, before = runner.run(first, path)
    written = path.read_bytes()
    runner.run(first, path)
    assert path.read_bytes() == written
    _, after = runner.run(replace(first, attacks=(*first.attacks, "mirror")), path)
    assert path.read_bytes().startswith(written)
    assert {row["attack"] for row in after[len(before) :]} == {"mirror"}


@pytest.mark.parametrize("kill", [os.killpg, os.kill], ids=["all its processes", "the first of them"])
def test_a_killed_run_is_taken_up(tmp_path, kill):
    """Killed in the middle of writing: nothing is lost, and nothing comes twice, from orphans neither."""
    whole = planned("dwt-dct", RANDOM, count=4, attack=SEVERAL)
    path = tmp_path / "rows.jsonl"
    code = (
        "import test_bench as t; from markai.bench import runner; from pathlib import Path; import sys;"
        "runner.run(t.planned('dwt-dct', t.RANDOM, count=4, attack=t.SEVERAL), Path(sys.argv[1]), 2)"
    )
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, start_new_session=True) as process:
        give_up = time.monotonic() + 200
        while time.monotonic() < give_up and (not path.exists() or path.read_bytes().count(b"\n") < 12):
            time.sleep(0.01)
        assert process.poll() is None, "the run was over before it could be killed"
        kill(process.pid, signal.SIGKILL)
    _, before = rows.read(path)
    total = sum(len(unit.wanted) for unit in whole.units())
    assert 0 < len(before) < total
    _, after = runner.run(whole, path, 2)
    assert after[: len(before)] == before
    assert len({rows.id_of(row) for row in after}) == len(after) == total
    assert content(after) == content(runner.run(whole, tmp_path / "whole.jsonl", 2)[1])


@pytest.mark.parametrize(
    ("name", "mark_error", "attack_error"),
    [
        ("bench_methods:Refuses", "ValueError: no room for a mark", "the picture was not marked"),
        ("bench_methods:Stumbles", None, "RuntimeError: lost the thread"),
    ],
)
def test_a_method_that_raises_becomes_rows(tmp_path, name, mark_error, attack_error):
    _, found = runner.run(planned(name, CORNER), tmp_path / "rows.jsonl", 2)
    mine = [row for row in found if row.get("method") == name]
    for row in mine:
        expected = mark_error if row["kind"] == "mark" else attack_error
        assert (expected is None) == ("error" not in row) or row["kind"] == "null"
        if expected and row["kind"] != "null":
            assert row["error"].startswith(expected)
    assert {row["kind"] for row in mine} == {"mark", "attack", "null"}
    assert not [row for row in found if row.get("method") == CORNER and "error" in row]


def test_an_unknown_method_is_one_error(tmp_path):
    with pytest.raises(MethodError, match="cannot be loaded"):
        runner.run(planned("bench_methods:Nowhere"), tmp_path / "rows.jsonl")
    assert not list(tmp_path.iterdir())


def test_an_attack_or_a_picture_that_fails_becomes_rows(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    source = pictures.Source("broken.png", "broken", tmp_path / "broken.png")
    whole = planned(CORNER, attack=["none", "denoise-nlm:10"])
    seen = []
    for unit in replace(whole, sources=(source, *whole.sources)).units():
        work.run(unit, work.Job(whole.settings, {}, whole.sources), seen.append)
    assert len(seen) == sum(len(unit.wanted) for unit in replace(whole, sources=(source, *whole.sources)).units())
    broken = [row for row in seen if row["picture"] == "broken.png"]
    assert all(row["error"].startswith("ImageError") for row in broken)
    nlm = [row for row in seen if row.get("attack") == "denoise-nlm:10" and row not in broken]
    assert all(row["error"].startswith("MissingExtraError") for row in nlm)
    assert not [row for row in seen if "error" in row and row not in broken and row not in nlm]


def test_a_process_that_dies_costs_its_own_rows_only(tmp_path):
    deadly = planned("bench_methods:Dies", CORNER, attack=["none", "aspect:0.8", "mirror"], count=3)
    _, found = runner.run(deadly, tmp_path / "rows.jsonl", 2)
    assert len(found) == sum(len(unit.wanted) for unit in deadly.units())
    died = [
        (row["method"], row["attack"]) for row in found if "error" in row and row["error"].startswith("the process")
    ]
    # The rows after the deadly one were never reached, and are not tried again.
    assert set(died) == {("bench_methods:Dies", "aspect:0.8"), ("bench_methods:Dies", "mirror")}
    assert len(died) == 6


def test_random_bits_come_out_at_their_nominal_rate(tmp_path):
    """A method that cannot work: found as often as the false-positive rate says, marked or not."""
    many = planned(RANDOM, count=12, attack=["none", "mirror", "gamma:0.7"], settings=replace(SMALL, null_keys=400))
    _, found = runner.run(many, tmp_path / "rows.jsonl", 2)
    null = np.array([p for row in found if row["kind"] == "null" for p in row["log10_p"]])
    assert len(null) == 12 * 400
    for rate in (0.1, 0.01):
        exact = max(tail for tail in _binomial_tails(64) if tail <= rate)
        expected, share = exact * len(null), (null <= np.log10(rate)).sum()
        assert abs(share - expected) < 4 * np.sqrt(expected)
    attacked = [row for row in found if row["kind"] == "attack"]
    assert not any(row["exact"] for row in attacked)
    assert 0.4 < np.mean([row["bit_accuracy"] for row in attacked]) < 0.6


def _binomial_tails(bits):
    from math import comb

    return [sum(comb(bits, k) for k in range(at, bits + 1)) / 2**bits for at in range(bits + 1)]


def test_strength_for_a_wanted_psnr():
    found = calibration.strength_for(Entry.parse("dwt-dct@42dB"), pictures.generated(3), SMALL)
    assert found["psnr"] == pytest.approx(42, abs=0.5)
    assert found["strength"] < 1
    with pytest.raises(MethodError, match="no strength of"):
        calibration.strength_for(Entry.parse(f"{CORNER}@90dB"), pictures.generated(2), SMALL)


def test_calibrated_strengths_are_kept_in_the_file(tmp_path):
    matched = planned("dwt-dct@42dB", attack=["none"])
    path = tmp_path / "rows.jsonl"
    runner.run(matched, path)
    written = path.read_bytes()
    _, found = runner.run(matched, path)
    assert path.read_bytes() == written
    (strength,) = [row["strength"] for row in found if row["kind"] == "strength"]
    assert strength < 1
    assert all(row["psnr"] > 41 for row in found if row["kind"] == "mark")


def test_times_and_memory_are_measured_in_a_process_of_their_own(tmp_path):
    _, found = runner.run(planned("dwt-dct", attack=["none"], times=True), tmp_path / "rows.jsonl")
    (row,) = [row for row in found if row["kind"] == "time"]
    assert 0 < row["detect_ms"] < 60_000
    assert 0 < row["embed_ms_default"] < 60_000
    assert row["embed_mb"] >= 0


def test_security_attacks_count_what_happens():
    method, draw = methods.load(CORNER), lambda *purpose: Trial.draw(0, *purpose)
    bench = security.Bench(method, 1.0, draw, 256)
    sources = pictures.generated(3)
    happened = {name: bench.run(name, sources) for name in ("wrong-key", "double-first", "double-second")}
    assert {name: row["happened"] for name, row in happened.items()} == {
        "wrong-key": 0,
        "double-first": 0,
        "double-second": security.JUDGED,
    }
    # A mark that is the same in every picture is what averaging is made for.
    assert bench.run("average-forge:10", sources)["happened"] > 8
    with pytest.raises(MethodError, match="no security attack 'average-remove'"):
        bench.run("average-remove", sources)


def test_squares_go_on_after_the_last_picture():
    sources = pictures.generated(2)
    from itertools import islice

    found = list(islice(security.squares(sources, 256), 5))
    assert all(square.shape == (256, 256, 3) for square in found)
    assert len({square.tobytes() for square in found}) == 5
    assert np.array_equal(next(security.squares(sources, 256, 3)), found[3])
