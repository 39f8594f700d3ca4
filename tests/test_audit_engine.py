"""The engine: the same rows whatever happens to the processes, nothing twice, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from markai.audit.archives import Limits
from markai.audit.engine import audit
from markai.audit.examine import Settings
from markai.audit.inputs import Selection
from markai.audit.journal import Journal
from markai.audit.since import Earlier
from markai.audit.workers import Bounds
from markai.errors import KeyFileError, MarkaiError, OutputError, PolicyError, RegistryError
from marking_samples import KEY, PICTURE

pytest.importorskip("c2pa")

MIX = "texts"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a few small files."""
    monkeypatch.chdir(tmp_path)
    Path(MIX).mkdir()
    for number in range(12):
        Path(MIX, f"{number:02}.txt").write_text(f"text {number}")
    with Image.open(PICTURE) as picture:
        picture.crop((0, 0, 300, 300)).save(Path(MIX, "picture.png"))
    KEY.save("my.key")
    return tmp_path


def lines(folder: str) -> bytes:
    return Path(folder, "rows.ndjson").read_bytes()


def names(found: dict[str, Any]) -> list[str]:
    return [Path(row["path"]).name for row in found["rows"]]


def test_rows_do_not_depend_on_the_number_of_processes() -> None:
    settings = Settings(keys=(Path("my.key"),), thorough=False)
    told: list[int] = []
    one = audit([MIX], "one", settings, jobs=1, progress=told.append)
    audit([MIX], "three", settings, jobs=3)
    assert lines("one") == lines("three")
    assert names(one) == [f"{number:02}.txt" for number in range(12)] + ["picture.png"]
    assert told == list(range(1, 14))
    assert one["totals"]["files"] == 13
    assert one["settings"]["keys"] == [KEY.id]
    assert sorted(os.listdir("one")) == ["audit.json", "rows.ndjson"]  # noqa: PTH208
    summary = json.loads(Path("one/audit.json").read_bytes())
    assert summary["totals"] == one["totals"]
    assert "rows" not in summary


def test_the_same_audit_again_examines_what_changed() -> None:
    first = audit([MIX], "out", jobs=1)
    before = lines("out")
    again = audit([MIX], "out", jobs=1)
    assert (first["reused"], again["reused"], lines("out")) == (0, 13, before)
    Path(MIX, "03.txt").write_text("something else")
    Path(MIX, "04.txt").rename(Path(MIX, "zz.txt"))
    third = audit([MIX], "out", jobs=1)
    assert third["reused"] == 12
    assert names(third)[-1] == "zz.txt"
    with pytest.raises(OutputError, match=r"other settings \(fpr, inputs\)"):
        audit([f"{MIX}/picture.png"], "out", Settings(fpr=1e-3))


def test_an_earlier_audit_in_another_folder() -> None:
    audit([MIX], "old", jobs=1)
    same = audit([f"{MIX}/01.txt", f"{MIX}/picture.png"], "new", jobs=1, since="old")
    assert same["reused"] == 2
    assert lines("new").splitlines() == [lines("old").splitlines()[at] for at in (1, 12)]
    other = audit([MIX], "other", Settings(keys=(Path("my.key"),), thorough=False), jobs=1, since="old")
    assert other["reused"] == 0, "with other keys other marks may be found"
    judged = audit([MIX], "judged", Settings(regimes=("eu",)), jobs=1, since="old")
    assert judged["reused"] == 13, "what rules say of a row is found anew"
    assert all(row["rules"] for row in judged["rows"])
    with pytest.raises(OutputError, match="holds no finished audit"):
        audit([MIX], "again", since=MIX)


def test_an_earlier_row_is_not_taken_where_something_else_may_be_found(tmp_path: Path) -> None:
    digest = "0123456789abcdef" * 4
    row = {"path": "a.jpg", "status": "ok", "sha256": digest, "type": "image/jpeg", "manifest": {"status": "none"}}
    signed = {"status": "valid", "embedded": True, "signer": {"not_after": "2020-01-01T00:00:00+00:00"}}
    for changed, taken in (
        ({}, True),
        ({"status": "changed"}, False),
        ({"manifest": signed}, False),
        ({"manifest": {"status": "valid", "embedded": False}}, False),
        ({"manifest": signed | {"signer": {"not_after": "2999-01-01T00:00:00+00:00"}}}, True),
    ):
        Path("rows.ndjson").write_text(json.dumps(row | changed, separators=(",", ":")) + "\n")
        earlier = Earlier.build(Path("rows.ndjson"), Path("index.npy"))
        assert (earlier.row(digest, "image/jpeg", None) is not None) == taken
        assert earlier.row(digest[::-1], "image/jpeg", None) is None
        (tmp_path / "b.jpg.c2pa").write_bytes(b"")
        assert earlier.row(digest, "image/jpeg", tmp_path / "b.jpg") is None
        earlier.close()


# What goes wrong

HOOK = """
import os, signal, time
from markai.audit.reading import Reader
honest = Reader.read
def read(self, item, **options):
    if item.path.endswith("/{name}"):
        {what}
    return honest(self, item, **options)
Reader.read = read
"""


@pytest.fixture
def in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that has every process that is started do something when it reads 05.txt, or another file."""

    def hook(what: str, name: str = "05.txt") -> None:
        (tmp_path / "hook").mkdir()
        (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK.format(what=what, name=name))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))

    return hook


@pytest.mark.parametrize(
    ("what", "status", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "unreadable", "the process died"),
        ("time.sleep(1000)", "unreadable", "it took more than 1 seconds"),
        ("bytearray(3 << 30)", "too large", "more memory than one file may take"),
        ("raise KeyError('oops')", "unreadable", "unexpected KeyError: 'oops'"),
    ],
)
def test_a_file_that_breaks_what_reads_it_costs_itself(in_processes: Any, what: str, status: str, why: str) -> None:
    in_processes(what)
    bounds = Bounds(memory=2 << 30, seconds=1.0 if "sleep" in what else 600.0)
    found = audit([MIX], "out", jobs=2, bounds=bounds)
    rows = list(found["rows"])
    assert [row["status"] for row in rows] == ["ok"] * 5 + [status] + ["ok"] * 7
    assert why in rows[5]["error"]
    assert rows[5]["verdict"]["code"] == "none"
    assert found["totals"]["by_status"] == {"ok": 12, status: 1}


def test_a_process_that_is_killed_by_somebody_else_costs_nothing(in_processes: Any) -> None:
    in_processes("os.path.exists('once') or (open('once', 'w').close(), os.kill(os.getpid(), signal.SIGKILL))")
    found = audit([MIX], "out", jobs=2)
    assert found["totals"]["by_status"] == {"ok": 13}


def test_processes_that_never_begin_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, os\nif 'spawn_main' in ' '.join(sys.orig_argv): os._exit(1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MarkaiError, match="do not start"):
        audit([MIX], "out", jobs=2)


def test_processes_that_have_grown_are_replaced() -> None:
    given = [f"{MIX}/{number:02}.txt" for number in range(3)]
    found = audit(given, "out", jobs=1, bounds=Bounds(replaced_at=1))  # after every file
    assert found["totals"]["by_status"] == {"ok": 3}
    assert names(found) == ["00.txt", "01.txt", "02.txt"]


def killed(folder: str, after: int) -> int:
    """Start an audit in a process of its own, kill it once so many rows are written, and return how many there are."""
    code = f"from markai.audit.engine import audit; audit([{MIX!r}], {folder!r}, jobs=2)"
    process = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__':\n {code}"], start_new_session=True)
    journal = Path(folder, "journal.ndjson")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > after:
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else -1


def test_a_killed_audit_goes_on_and_audits_nothing_twice(in_processes: Any) -> None:
    for number in range(200):
        Path(MIX, f"more {number:03}.txt").write_text(str(number))
    done = killed("out", 20)
    assert 20 <= done < 213
    with Path("out/journal.ndjson").open("ab") as file:
        file.write(b'{"path":"torn')
    first = json.loads(Path("out/journal.ndjson").read_bytes().splitlines()[1])["path"]
    in_processes("raise AssertionError('examined twice')", Path(first).name)
    found = audit([MIX], "out", jobs=1)
    assert found["totals"]["by_status"] == {"ok": 213}
    assert audit([MIX], "whole", jobs=2)["totals"]["by_status"] == {"ok": 212, "unreadable": 1}
    rows = [[row for row in lines(folder).splitlines() if first.encode() not in row] for folder in ("out", "whole")]
    assert len(rows[0]) == 212
    assert rows[0] == rows[1]


def test_what_changed_since_a_kill_is_examined_again() -> None:
    with Journal.open(Path("j"), {"settings": {}}) as journal:
        journal.add(0, "a", "old", b'{"path":"a","n":1}')
        journal.add(1, "a", "new", b'{"path":"a","n":2}')
        journal.add(2, "b", "1", None)
    with Journal.open(Path("j"), {"settings": {}}) as journal:
        assert journal.reuse(0, "b", "1")
        assert not journal.reuse(1, "a", "newer")
        assert journal.reuse(1, "a", "new")
        assert journal.reuse(5, "a", "old")
        assert [json.loads(row)["n"] for row in journal.rows()] == [2, 1]


@pytest.mark.parametrize("size", [10, 1000, 5000, 100_000])  # about the sizes of a buffer
def test_rows_written_between_rows_that_are_read_cut_none(size: int) -> None:
    def row(number: int) -> bytes:
        return json.dumps({"path": str(number), "filling": "x" * size}).encode()

    with Journal.open(Path("j"), {}) as journal:
        for number in range(60):
            journal.add(number, str(number), "0", row(number))
    for number in range(1, 60):
        with Journal.open(Path("j"), {}) as journal:
            for each in (number, 0, *range(1, number)):  # what comes first in the audit was read long before
                assert journal.reuse(each, str(number - each), "0")
            journal.add(number + 1, "another", "0", row(-1))
            assert list(journal.rows()) == [*map(row, range(number, -1, -1)), row(-1)]


def test_the_journal_refuses_what_is_not_its_own() -> None:
    with Journal.open(Path("j"), {"settings": {"fpr": 1, "keys": []}, "started": 1}, ("started",)) as journal:
        with pytest.raises(OutputError, match="another audit writes"):
            Journal.open(Path("j"), {})
        journal.add(0, "a", "1", b"{}")
    with pytest.raises(OutputError, match=r"begun otherwise \(fpr\)"):
        Journal.open(Path("j"), {"settings": {"fpr": 2, "keys": []}, "started": 2}, ("started",))
    with Journal.open(Path("j"), {"settings": {"fpr": 1, "keys": []}, "started": 2}, ("started",)) as journal:
        assert journal.header["started"] == 1
    Path("k").mkdir()
    Path("k/journal.ndjson").write_text("not JSON\n")
    with pytest.raises(OutputError, match="is no journal"):
        Journal.open(Path("k"), {})
    Path("f").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Journal.open(Path("f"), {})


def test_a_full_disk_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal.open(Path("j"), {}) as journal, Path("/dev/full").open("wb", buffering=0) as full:
        honest = os.write
        monkeypatch.setattr("markai.audit.journal.os.write", lambda _, line: honest(full.fileno(), line))
        with pytest.raises(OutputError, match="No space left on device - make room, and run it again"):
            journal.add(0, "a", "1", b"{}")


# Settings


def test_settings_that_cannot_be_used_are_errors_and_nothing_is_audited() -> None:
    for settings, error in (
        (Settings(keys=(Path("none.key"),)), KeyFileError),
        (Settings(regimes=("mars",)), PolicyError),
        (Settings(policy=b"version: 9"), PolicyError),
        (Settings(registry="sqlite:///none.db"), RegistryError),
    ):
        with pytest.raises(error):
            audit([MIX], "out", settings, jobs=1)
    with pytest.raises(KeyFileError, match="a self-test needs a key"):
        audit([MIX], "tested", jobs=1, test=True)


def test_a_self_test_is_part_of_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("markai.audit.engine.self_test", lambda *each: given.append(each) or {"fpr": 1e-6})
    found = audit([f"{MIX}/00.txt"], "out", Settings(keys=(Path("my.key"),), regimes=("eu",)), jobs=1, test=[Path("p")])
    assert found["selftest"] == {"fpr": 1e-6}
    assert [each["id"] for each in found["audit_rules"]] == ["EU-5", "EU-7"]
    assert [key.id for key in given[0][0]] == [KEY.id]
    assert given[0][1:2] == ([Path("p")],)


def test_no_secret_is_written_down() -> None:
    audit([MIX], "out", Settings(keys=(Path("my.key"),), thorough=False), jobs=1, selection=Selection(limits=Limits()))
    said = Path("out/audit.json").read_text() + lines("out").decode()
    secret = Path("my.key").read_text().split()[1]
    assert secret not in said
    assert "s3cret" not in repr(Settings(registry="postgresql://me:s3cret@host/db"))


def test_lists_of_any_length_are_audited_as_they_come() -> None:
    found = audit((f"{MIX}/{number:02}.txt" for number in range(3)), "out", jobs=1)
    assert names(found) == ["00.txt", "01.txt", "02.txt"]
    assert found["settings"]["inputs"] == "a list of files"


def test_an_audit_of_nothing() -> None:
    Path("empty").mkdir()
    found = audit(["empty"], "out", jobs=1)
    assert list(found["rows"]) == []
    assert found["totals"]["files"] == 0


def test_the_rows_are_stable() -> None:
    """Other files of rows are compared with this: the order of its members is part of it."""
    audit([f"{MIX}/00.txt"], "out", jobs=1)
    (row,) = map(json.loads, lines("out").splitlines())
    assert list(row) == [
        *("path", "status", "sha256", "bytes", "type", "watermark", "manifest", "metadata", "record", "recovered"),
        *("contradictions", "verdict", "notes", "rules", "policy"),
    ]
