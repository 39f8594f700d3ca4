"""The benchmark of marks in text: methods, edits, rows that are taken up, tables, pages, the committed figures."""

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
from click.testing import CliRunner

from markai.bench import report, rows
from markai.bench.methods import Trial
from markai.bench.report.model import View
from markai.bench.text import edits, methods, presets, sources, summary, work
from markai.bench.text.author import Author
from markai.bench.text.edits import Written
from markai.bench.text.marks import Own
from markai.bench.text.plan import Plan, Settings, entry
from markai.bench.text.work import Job
from markai.cli import cli
from markai.errors import MethodError
from markai.text.ngram import TEMPERATURE

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent / "benchmarks"
TINY = Settings(tokens=60, null_keys=3)
TIMES = ("write_s", "read_s")
ATTACKS = ("ids", "none", "delete:0.1", "delete:0.3", "delete:0.5", "substitute-ids:0.3")
NAMES = ("text-gumbel", "text-bias@payload=4")


@pytest.fixture(autouse=True)
def own_methods(monkeypatch):
    """Our processes find the methods of the tests as well: they start with this sys.path."""
    monkeypatch.syspath_prepend(str(HERE))
    methods.load.cache_clear()


@pytest.fixture(scope="module")
def author():
    return Author.of(TEMPERATURE)


@pytest.fixture(scope="module")
def prompt(author):
    return author.encode("The module defines the following functions and")


def planned(*names, attacks=ATTACKS, count=2, settings=TINY):
    texts = sources.shipped(count, settings.reach)
    return Plan(tuple(map(entry, names)), tuple(attacks), tuple(texts), settings)


def rows_of(plan):
    """All rows of a plan, made here."""
    found = []
    for unit in plan.units():
        Job(plan.settings).run(unit, found.append)
    return found


def content(found):
    """Rows without what differs from run to run, in an order of their own."""
    kept = [{name: value for name, value in row.items() if name not in TIMES} for row in found]
    return sorted(kept, key=json.dumps)


@pytest.fixture(scope="module")
def made():
    """A plan and its rows."""
    plan = planned(*NAMES)
    return plan, rows_of(plan)


# Methods


def test_names_and_parameters():
    assert methods.load("text-gumbel@payload=4,width=3") == Own("gumbel", {"width": 3}, 4)
    assert methods.load("transformers/selfhash@context_width=4").context_width == 4
    assert set(presets.default_methods()) >= {"text-words", "text-tournament@payload=4", "control/unmarked"}
    for name, words in (
        ("text-none", "choose from text-bias"),
        ("text-gumbel@width=99", "1 to 16"),
        ("text-gumbel@colour=1", "does not take"),
        ("text-words@width=2", "does not take"),
        ("text-bias@payload", "no parameter"),
        ("text-bias@payload=9", "1 to 4 bytes"),
        ("bench_text_methods:Nothing", "is no method"),
        ("bench_text_methods:Nowhere", "cannot be loaded"),
    ):
        with pytest.raises(ValueError, match=words):
            methods.load(name)


@pytest.mark.parametrize("name", ["text-bias", "text-gumbel@payload=2", "text-tournament", "text-words"])
def test_what_a_method_writes_it_reads(name, author, prompt):
    method = methods.load(name)
    trial, other = (Trial.draw(seed, name, message_bytes=method.payload_bytes) for seed in (0, 1))
    ids = method.write(author, prompt, 300, trial, np.random.default_rng(0))
    assert len(ids) == 300
    found, wrong = method.read(author, ids, trial), method.read(author, ids, other)
    assert found.log10_p < -6 < wrong.log10_p
    assert found.exact is (True if method.payload_bytes else None)
    assert not found.wrong
    assert not wrong.exact
    assert (found.weighted is None) == (name == "text-words")
    assert method.read(author, ids, trial, weigh=False).weighted is None


def test_an_unmarked_text_is_not_found(author, prompt):
    method, trial = methods.load("control/unmarked"), Trial.draw(0)
    ids = method.write(author, prompt, 200, trial, np.random.default_rng(0))
    assert np.array_equal(ids, author.write(prompt, 200, np.random.default_rng(0)))
    assert method.read(author, ids, trial).log10_p > -3


@pytest.mark.parametrize("name", ["transformers/lefthash", "transformers/synthid"])
def test_the_marks_of_transformers_are_found(name, author, prompt):
    pytest.importorskip("transformers")
    method, trial = methods.load(name), Trial.draw(0, name, message_bytes=0)
    ids = method.write(author, prompt, 120, trial, np.random.default_rng(0))
    found = method.read(author, ids, trial, weigh=False)
    assert found.log10_p < -4
    assert (found.own is not None) == (name == "transformers/lefthash")
    if found.own:
        assert abs(found.own - found.log10_p) < 4


# Edits


def test_edits_do_what_they_say(author, prompt):
    ids = author.write(prompt, 200, np.random.default_rng(3))
    written = Written(ids, author, prompt)
    assert np.array_equal(edits.apply("ids", written, 0), ids)
    assert author.decode(edits.apply("none", written, 0)) == author.decode(ids)
    assert author.decode(edits.apply("upper", written, 0)) == author.decode(ids).upper()
    changed = edits.apply("substitute-ids:0.3", written, 0)
    assert 0.2 < (changed != ids).mean() < 0.4
    assert np.array_equal(changed, edits.apply("substitute-ids:0.3", written, 0))
    for spec, length in (("truncate-ids:0.5", 100), ("among-people-ids:0.1", 2000), ("among-unmarked-ids:0.5", 400)):
        assert len(edits.apply(spec, written, 1)) == length
    passage = edits.apply("among-unmarked-ids:0.5", written, 1)
    assert any(np.array_equal(passage[at : at + 200], ids) for at in range(201))
    assert len(edits.apply("insert-ids:0.2", written, 0)) > 200 > len(edits.apply("delete-ids:0.2", written, 0))
    assert 30 < (edits.apply("copy-paste-ids:0.25", written, 0) == ids).sum() < 80


@pytest.mark.parametrize("spec", ["melt", "ids:2", "delete-ids:two", "delete-ids:1.5", "delete:2", "lower+melt"])
def test_edits_that_are_none_are_refused_before_anything_runs(spec):
    with pytest.raises(MethodError):
        planned("text-gumbel", attacks=[spec]).units()


# Sources


def test_passages_are_of_all_files_in_turn_and_long_enough(tmp_path, author):
    for name in ("alpha_1", "beta"):
        (tmp_path / f"{name}.txt").write_text(f"{name} says so.\n" * 400)
    found = sources.from_files([tmp_path], 4, 100)
    assert [source.name for source in found] == ["alpha_1-000", "beta-001", "alpha_1-002", "beta-003"]
    assert [source.group for source in found] == ["alpha", "beta"] * 2
    prompt, people = found[0].parts(author, 10, 90)
    assert (len(prompt), len(people)) == (10, 90)
    assert sources.from_files([tmp_path], 2, 100) == found[:2]
    for content, words in (("short", "give longer"), (b"\xff\xfe\x00", "not UTF-8")):
        path = tmp_path / "odd.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(MethodError, match=words):
            sources.from_files([path], 1, 100)
    with pytest.raises(MethodError, match=r"no \.txt file"):
        sources.from_files([tmp_path / "nothing"], 1, 100) if (tmp_path / "nothing").mkdir() is None else None


# Rows


def test_every_row_is_there_once(made):
    plan, found = made
    ids = [rows.id_of(row) for row in found]
    assert len(set(ids)) == len(ids) == sum(len(unit.wanted) for unit in plan.units())
    assert not [row for row in found if "error" in row]
    mark = next(row for row in found if row["kind"] == "mark")
    assert mark["tokens"] == 60
    assert 0 < mark["entropy"] < 3
    assert 0 <= mark["retokenized"] < 0.2
    null = next(row for row in found if row["kind"] == "null")
    assert len(null["log10_p"]) == 3
    assert null["attack"] == "people"


def test_rows_depend_on_the_seed_and_not_on_what_else_is_in_the_plan(made):
    plan, found = made
    alone = rows_of(replace(plan, entries=plan.entries[:1], attacks=plan.attacks[-1:]))
    assert len(alone) == 8
    everything = content(found)
    assert all(row in everything for row in content(alone))
    other = rows_of(replace(plan, entries=plan.entries[:1], settings=replace(TINY, seed=1)))
    assert not [row for row in content(other) if row in everything]


def test_a_method_that_raises_becomes_rows():
    mark, attack = "ValueError: nothing to say", "the text was not marked"
    for name, expected in (
        ("Refuses", {"mark": mark, "attack": attack}),
        ("Stumbles", {"attack": "RuntimeError: lost"}),
    ):
        plan = planned(f"bench_text_methods:{name}", attacks=["ids", "lower"], count=1)
        found = rows_of(plan)
        assert len(found) == 5
        for row in found:
            if row["kind"] in expected:
                assert row["error"].startswith(expected[row["kind"]])
        result = summary.of(HEADER, found, plan)
        assert [cell["errors"] for cell in result["cells"]] == [1, 1]
        assert [cell["detected"]["1e-6"]["value"] for cell in result["cells"]] == [0, 0]


def test_a_killed_run_is_taken_up(tmp_path, made):
    """Killed in the middle: what is in the file stays, the rest comes, and all is as if made in one go."""
    plan, whole = made
    path = tmp_path / "rows.jsonl"
    code = (
        "import test_bench_text as t, sys; from markai.bench.text import work; from pathlib import Path;"
        "work.run(t.planned(*t.NAMES), Path(sys.argv[1]), 1)"
    )
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, start_new_session=True) as process:
        give_up = time.monotonic() + 100
        while time.monotonic() < give_up and (not path.exists() or path.read_bytes().count(b"\n") < 4):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    _, before = rows.read(path)
    assert 0 < len(before) < len(whole)
    _, after = work.run(plan, path, 1)
    assert after[: len(before)] == before
    assert content(after) == content(whole)
    written = path.read_bytes()
    work.run(plan, path, 1)
    assert path.read_bytes() == written


# Tables and pages

HEADER = {"machine": {"processor": "none"}, "versions": {"markai": "0"}, "settings": {}}


def test_a_summary_has_every_figure(made):
    plan, found = made
    result = summary.of(HEADER, found, plan)
    cells = {(cell["method"], cell["attack"]): cell for cell in result["cells"]}
    for (method, spec), cell in cells.items():
        of = [row for row in found if (row["kind"], row["method"], row.get("attack")) == ("attack", method, spec)]
        assert cell["n"] == len(of) == 2
        assert cell["detected"]["1e-6"]["value"] == np.mean([row["log10_p"] <= -6 for row in of])
        assert cell["weighted"]["value"] == np.mean([row["weighted"] <= -6 for row in of])
        assert (cell["exact"] is None) == (method == "text-gumbel")
        assert cell["own"] is None
    assert [method["bits"] for method in result["methods"]] == [0, 32]
    assert result["methods"][0]["quality"]["entropy"]["n"] == 2
    assert [curve["attack"] for curve in result["curves"]] == ["delete"]
    assert [null["trials"] for null in result["null"]] == [12, 12]
    assert {null["texts"] for null in result["null"]} == {2}


def test_a_detector_of_its_own_is_counted_beside():
    plan = planned("transformers/lefthash", attacks=["ids"], count=1)
    name = plan.sources[0].name
    here = {"method": "transformers/lefthash", "text": name, "group": "python"}
    found = [
        here | {"kind": "attack", "attack": "ids", "seed": 0, "log10_p": -7.0, "weighted": -5.0, "own": -9.0},
        here
        | {"kind": "null", "attack": "people", "seed": 0, "log10_p": [-0.1], "accepted": 0, "own": [-8.0]}
        | {"fixed_log10_p": 0.0},
    ]
    result = summary.of(HEADER, found, plan)
    (cell,), (markai, own) = result["cells"], result["null"]
    assert (cell["detected"]["1e-6"]["value"], cell["weighted"]["value"], cell["own"]["value"]) == (1, 0, 1)
    assert (markai["accepted"], own["accepted"]) == (0, 1)
    assert own["method"] == "transformers/lefthash, its own detector"


def test_a_page_speaks_of_texts(made, tmp_path):
    plan, found = made
    result = summary.of(HEADER, found, plan, "markai bench --modality text")
    report.write(result, tmp_path)
    page, table = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert json.loads((tmp_path / "summary.json").read_text())["run"]["subject"] == "text"
    for words in ("Edits of token ids", "Detected at 1e-6, weighted", "Surprise", "2 of 60 tokens", "unmarked texts"):
        assert words.lower() in page.lower(), words
    assert "picture" not in page.replace("pictures-", "").split("</style>")[1]
    view = View(result)
    assert view.headline.label == "Detected at 1e-6"
    assert "| delete:0.3 | " in table
    assert "Share detected at 1e-6 of 2 texts of 60 tokens" in table


def test_the_command_line(tmp_path):
    shown = CliRunner().invoke(cli, ["bench", "--modality", "text", "--list"])
    assert shown.exit_code == 0
    assert "text-tournament" in shown.output
    assert "among-people-ids:0.1" in shown.output
    listed = CliRunner().invoke(cli, ["bench", "--modality", "text", "--list", "--json"])
    assert "homoglyphs" in json.loads(listed.output)["attacks"]
    for options, words in (
        (["--modality", "text", "--short-side", "512"], "--short-side says nothing about a text"),
        (["--tokens", "50"], "--tokens says nothing about a picture"),
        (["--modality", "text", "--suite", "published"], "texts have no suite published"),
    ):
        refused = CliRunner().invoke(cli, ["bench", *options, "--out", str(tmp_path)])
        assert refused.exit_code == 2
        assert words in refused.output


# The committed figures


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.usefixtures("benchmarks")
def test_null_trials_are_what_the_detector_says(author):
    import text_null

    case = text_null.Case("prose", "prose 0", author.encode("It says what it says. " * 9 + "It may say more, or not."))
    for name in ("text-gumbel", "text-bias@payload=4", "text-words"):
        found = text_null.trials(case, name, 4)
        assert found["log10"].shape == (4, len(text_null.LEVELS))
        assert found["payloads"] == 0
    counted = text_null.against_nominal(np.array([-1.0, -2.5, -3.5, np.nan]), (2, 3))
    assert counted["trials"] == 3
    assert [level["count"] for level in counted["levels"].values()] == [2, 1]


@pytest.mark.usefixtures("benchmarks")
def test_the_table_of_texts_holds_the_figures_of_the_results():
    import text_tables

    result = json.loads((BENCHMARKS / "results" / "text.json").read_text())
    assert (BENCHMARKS / "results" / "text.md").read_text() == text_tables.document(result)
