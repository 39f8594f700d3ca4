"""From rows to tables: every figure of a summary from rows that are small enough to check by hand."""

import base64
import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from markai.bench import methods, pictures, report, runner, showcase, summary
from markai.bench.methods import Entry
from markai.bench.plan import Plan, Settings
from markai.cli import cli

CORNER = "bench_methods:Corner"
LOST = "regen-lowpass:16"  # nothing of a mark is left
HEADER = {"settings": Settings().to_dict(), "versions": {"markai": "0"}, "machine": {"processor": "abacus"}}


@pytest.fixture(autouse=True)
def own_methods(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    methods.load.cache_clear()


def planned(*attacks, names=("dwt-dct", CORNER), sources=None, **changes):
    named = tuple(pictures.Source(name, "letters") for name in "abcd")
    return replace(Plan(tuple(map(Entry.parse, names)), attacks, sources or named), **changes)


def attacked(picture, attack, log10_p, *, exact=False, method="dwt-dct", **more):
    row = {"kind": "attack", "method": method, "picture": picture, "attack": attack, "seed": 0}
    return row | {"log10_p": log10_p, "exact": exact, "wrong": False} | more


def failed(picture, attack, method="dwt-dct"):
    row = {"kind": "attack", "method": method, "picture": picture, "attack": attack, "seed": 0}
    return row | {"error": "ValueError: no"}


def only(table, **wanted):
    (found,) = [row for row in table if all(row[name] == value for name, value in wanted.items())]
    return found


def test_cells_count_what_happened_and_failures_as_losses():
    rows = [
        attacked("a", "jpeg:50", -9.0, exact=True),
        attacked("b", "jpeg:50", -4.0),
        attacked("c", "jpeg:50", -0.5, exact=False, wrong=True),
        failed("d", "jpeg:50"),
    ]
    result = summary.of(HEADER, rows, planned("jpeg:50"))
    cell = only(result["cells"], method="dwt-dct", attack="jpeg:50")
    assert (cell["n"], cell["errors"], cell["wrong"]) == (4, 1, 1)
    assert cell["exact"]["value"] == 0.25
    assert {rate: share["value"] for rate, share in cell["detected"].items()} == {
        "1e-2": 0.5,
        "1e-3": 0.5,
        "1e-6": 0.25,
    }
    assert cell["exact"]["low"] < 0.25 < cell["exact"]["high"]
    assert cell["median_log10_p"] == -2.25
    assert cell["bit_accuracy"] is None
    assert cell["auroc"] is None
    empty = only(result["cells"], method=CORNER)
    assert empty["exact"] == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


def test_rows_of_pictures_that_are_not_in_the_plan_do_not_count():
    rows = [attacked("a", "none", -9.0, exact=True), attacked("z", "none", 0.0)]
    result = summary.of(HEADER, rows, planned("none"))
    assert only(result["cells"], method="dwt-dct")["n"] == 1


def test_auroc_uses_nulls_of_the_same_attack_where_there_are_some():
    marked = [attacked("a", "blur:2", -3.0), attacked("b", "blur:2", -1.0)]
    null = {"kind": "null", "method": "dwt-dct", "accepted": 0, "fixed_log10_p": -0.1}
    plain = {**null, "picture": "a", "attack": "none", "log10_p": [-2.0, -0.5]}
    blurred = {**null, "picture": "b", "attack": "blur:2", "log10_p": [-0.1, -0.2]}
    plan = planned("blur:2", "none")
    both = summary.of(HEADER, [*marked, plain, blurred], plan)
    assert only(both["cells"], method="dwt-dct", attack="blur:2")["auroc"]["value"] == 1.0
    without = summary.of(HEADER, [*marked, plain], plan)
    assert only(without["cells"], method="dwt-dct", attack="blur:2")["auroc"]["value"] == 0.75


def test_methods_tell_quality_strength_speed_and_refusals():
    marks = [
        {"kind": "mark", "method": "dwt-dct@40dB", "picture": "a", "psnr": 40.0, "ssim": 0.98},
        {"kind": "mark", "method": "dwt-dct@40dB", "picture": "b", "psnr": 42.0, "ssim": 0.99, "ciede2000": 0.7},
        {"kind": "mark", "method": "dwt-dct@40dB", "picture": "c", "error": "CapacityError: too flat"},
        {"kind": "strength", "method": "dwt-dct@40dB", "strength": 1.25},
        {"kind": "time", "method": "dwt-dct@40dB", "embed_mb": 5.0, "detect_mb": 6.0}
        | dict.fromkeys(summary.TIMES, 7.0),
    ]
    (method,) = summary.of(HEADER, marks, planned("none", names=["dwt-dct@40dB"]))["methods"]
    assert (method["bits"], method["keyed"], method["strength"]) == (64, True, 1.25)
    assert (method["errors"], method["refused"]) == (1, 1)
    assert method["quality"]["psnr"]["mean"] == 41.0
    assert method["quality"]["psnr"]["least"] == 40.0
    assert method["quality"]["ciede2000"]["n"] == 1
    assert method["time"]["embed_ms"] == 7.0
    assert method["memory_mb"] == {"embed": 5.0, "detect": 6.0}


def test_curves_degradation_and_quality_at_performance():
    """TPR falls from 1 to 0 while SSIM falls from 0.9 to 0.5: 0.95 is reached 5 % of the way from the second step."""
    strengths, rows = (90, 50, 10), []
    for strength, ssim, tpr in zip(strengths, (0.9, 0.7, 0.5), (1.0, 1.0, 0.0), strict=True):
        for picture in "ab":
            rows.append(attacked(picture, f"jpeg:{strength}", -9.0 if tpr else 0.0))
            rows.append(
                {"kind": "damage", "picture": picture, "attack": f"jpeg:{strength}", "psnr": None, "ssim": ssim}
            )
    result = summary.of(HEADER, rows, planned(*(f"jpeg:{strength}" for strength in strengths), names=["dwt-dct"]))
    (curve,) = result["curves"]
    assert [point["strength"] for point in curve["points"]] == [10, 50, 90]
    quality = {point["strength"]: point["quality"] for point in curve["points"]}
    assert quality[90] < quality[50] < quality[10]
    at = only(result["quality_at_performance"], method="dwt-dct", attack="jpeg")
    step = quality[10] - quality[50]
    assert at["q95"] == pytest.approx(quality[50] + 0.05 * step)
    assert at["q70"] == pytest.approx(quality[50] + 0.3 * step)


def test_quality_at_performance_of_marks_that_stay_or_never_were():
    rows = [
        {
            "kind": "damage",
            "picture": "a",
            "attack": f"blur:{strength}",
            "psnr": 50.0 - strength,
            "ssim": 1 - strength / 9,
        }
        for strength in (1, 2, 4)
    ]
    rows += [attacked("a", f"blur:{strength}", -9.0) for strength in (1, 2, 4)]
    rows += [attacked("a", f"blur:{strength}", 0.0, method=CORNER) for strength in (1, 2, 4)]
    result = summary.of(HEADER, rows, planned("blur:1", "blur:2", "blur:4"))
    stays, never = (only(result["quality_at_performance"], method=method) for method in ("dwt-dct", CORNER))
    assert stays["q95"] is stays["q70"] is None
    assert never["q95"] == never["q70"] == 0.0


def test_nulls_and_security():
    rows = [
        {"kind": "null", "method": "dwt-dct", "picture": "a", "attack": "none"}
        | {"log10_p": [-2.5, -0.2, 0.0, -0.4], "accepted": 1, "fixed_log10_p": -7.0},
        {"kind": "null", "method": "dwt-dct", "picture": "b", "attack": "none", "error": "ImageError: no"},
        {"kind": "security", "method": "dwt-dct", "attack": "average-forge:10", "happened": 3, "n": 12},
        {"kind": "security", "method": CORNER, "attack": "copy", "error": "ValueError: no"},
    ]
    result = summary.of(HEADER, rows, planned("none"))
    (null,) = result["null"]
    assert (null["trials"], null["pictures"], null["accepted"], null["smallest_log10_p"]) == (4, 1, 1, -2.5)
    assert null["rates"]["1e-2"]["value"] == 0.25
    assert null["fixed_key"]["value"] == 1.0
    forged, copied = result["security"]
    assert (forged["bad"]["value"], forged["want"]) == (0.25, "low")
    assert copied["bad"]["value"] is None
    assert copied["error"]


def test_a_whole_run_becomes_a_report(tmp_path):
    """End to end: real rows, the summary survives JSON, the page and the table hold its figures."""
    plan = planned("none", "jpeg:90", "jpeg:50", "jpeg:10", LOST, sources=tuple(pictures.generated(2)))
    plan = replace(plan, settings=Settings(short_side=256, null_keys=3), times=False, security=("wrong-key",))
    header, rows = runner.run(plan, tmp_path / "rows.jsonl", 2)
    result = summary.of(header, rows, plan, "markai bench") | {"worst": showcase.worst(plan, rows)}
    report.write(result, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["schema"] == 1
    page = (tmp_path / "report.html").read_text()
    assert "jpeg" in page
    assert "| jpeg:50 |" in (tmp_path / "report.md").read_text()
    assert {curve["attack"] for curve in result["curves"]} == {"jpeg"}
    assert result["run"]["picture_source"] == "drawn"
    assert "drawn, not photographed" in page
    for worst in result["worst"]:
        for image in worst["images"]:
            data = base64.b64decode(image["src"].removeprefix("data:image/webp;base64,"))
            assert Image.open(io.BytesIO(data)).size == (image["width"], image["height"])
    lost = [worst for worst in result["worst"] if worst["method"] == "dwt-dct" and worst["attack"]]
    assert lost
    assert all(worst["images"][-1]["label"] == worst["attack"] for worst in lost)
    assert LOST in {worst["attack"] for worst in lost}


def test_the_window_that_is_shown_is_where_the_mark_is():
    change = np.zeros((400, 500, 3), np.int16)
    change[300:310, 20:30] = 9
    rows, columns = showcase._loudest(change)
    assert rows.start <= 300 < 310 <= rows.stop
    assert columns.start <= 20 < 30 <= columns.stop
    assert (rows.stop - rows.start, columns.stop - columns.start) == (showcase.DETAIL, showcase.DETAIL)


# The command line


def markai(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_the_command_runs_writes_and_takes_up(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["markai", "bench", "--seed", "3"])
    out = tmp_path / "out"
    options = ["--quick", "--count", 1, "--method", CORNER, "--attack", "none", "--attack", "mirror", "--no-times"]
    options += ["--security", "none", "--null-keys", 2, "--short-side", 256, "--out", out, "--seed", 3, "--jobs", 1]
    first = markai("bench", *options)
    assert first.exit_code == 0, first.output
    assert "mirror" in first.stdout
    assert {path.name for path in out.iterdir()} == {"rows.jsonl", "summary.json", "report.html", "report.md"}
    rows = (out / "rows.jsonl").read_bytes()
    again = markai("bench", *options, "--json")
    assert (out / "rows.jsonl").read_bytes() == rows
    result = json.loads(again.stdout)
    assert [cell["exact"]["value"] for cell in result["cells"]] == [1.0, 0.0]
    assert result["run"]["command"] == "markai bench --seed 3"
    other = markai("bench", *options[:-4], "--seed", 4, "--jobs", 1)
    assert other.exit_code == 2
    assert "other settings (seed)" in other.stderr


def test_the_command_takes_folders_suites_and_strengths(tmp_path):
    for name in ("x_1", "x_2", "y_1"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (300, 300, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    from markai.cli.bench import _plan

    options = {"quick": True, "paths": (tmp_path,), "count": 2, "short_side": 280, "least_side": 1, "seed": 5}
    options |= {
        "methods": ("dwt-dct@0.5",),
        "match": 42.0,
        "attacks": ("mirror",),
        "suites": ("quick",),
        "security": (),
    }
    plan = _plan(**options, metrics=("ssimulacra2",), null_keys=7, no_times=True)
    assert [source.name for source in plan.sources] == ["x_1.png", "y_1.png"]
    assert plan.attacks[:2] == ("mirror", "none")
    assert [entry.label for entry in plan.entries] == ["dwt-dct@0.5"]
    assert plan.settings.metrics[-1] == "ssimulacra2"
    assert (plan.settings.null_keys, plan.settings.short_side, plan.settings.seed) == (7, 280, 5)
    assert plan.security
    assert not plan.times


def test_the_command_lists_what_there_is():
    words, values = markai("bench", "--list"), json.loads(markai("bench", "--list", "--json").stdout)
    assert "dwt-dct" in values["methods"]
    assert values["methods"]["control/random-bits"] is None
    assert "jpeg" in values["attacks"]
    for name in ("trustmark/Q", "regen-lowpass:8  factor, 2 to 16  (a proxy)", "average-forge"):
        assert name in words.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--attack", "melt"], "no attack 'melt'"),
        (["--method", "nothing"], "no method 'nothing'"),
        (["--method", "dwt-dct@loud"], "neither name@strength"),
    ],
)
def test_wrong_names_are_errors_before_anything_runs(tmp_path, options, said):
    done = markai("bench", "--quick", "--out", tmp_path / "out", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_degradation_where_nothing_was_measured():
    result = summary.of(HEADER, [], planned("jpeg:10", "jpeg:50", "jpeg:90"))
    assert all(point["quality"] is None for point in result["curves"][0]["points"])
    assert not result["quality_at_performance"]
    assert math.isfinite(len(json.dumps(result)))
