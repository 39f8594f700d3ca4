"""The examples run, answer as they must, and write what they say."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def quickstart(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    yield load("quickstart")
    del sys.modules["quickstart"]


def test_quickstart(quickstart, tmp_path, capsys):
    assert quickstart.main(["--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    for title in [*quickstart.ATTACKS.values(), "Unmarked original", "Marked, another key"]:
        assert title in printed
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    assert [" yes " in line and " acme:42 " in line for line in lines] == [True] * 16 + [False] * 2
    assert "Every answer is as expected." in printed
    assert str(tmp_path / "demo" / "sheet.png") in printed.replace("\n", "")


def test_quickstart_writes_every_picture(tmp_path):
    script = [sys.executable, str(EXAMPLES / "quickstart.py")]
    environment = {**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"original.png", "marked.png", "difference_x20.png", "sheet.png", "attacked_jpeg_10.png"} <= names
    assert len(names) == 4 + 16
    sizes = {}
    for name in names:
        with Image.open(tmp_path / "demo" / name) as picture:
            picture.load()
            sizes[name] = picture.size
    assert sizes["sheet.png"][0] == 1600
    assert sizes["original.png"] == sizes["marked.png"] == sizes["difference_x20.png"] == (768, 512)
    assert sizes["attacked_crop_0.25.png"] == (384, 256)


@pytest.fixture
def llm(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    yield load("llm")
    del sys.modules["llm"]


def test_llm(llm, capsys):
    assert llm.main() == 0
    printed = capsys.readouterr().out
    assert "Every answer is as expected." in printed
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    assert [" present " in line for line in lines] == [True] * 3 + [False] * 3 + [True] * 7 + [False] * 2
    assert [" user " in line for line in lines] == [False, False, True] + [False] * 8 + [True] + [False] * 3
    for title in llm.EDITS.values():
        assert title in printed


def test_llm_fails_where_an_answer_is_wrong(llm, capsys, monkeypatch):
    monkeypatch.setattr(llm.TextMark, "processor", lambda _mark: lambda _ids, logits: logits)  # nothing is marked
    assert llm.main() == 1
    printed = capsys.readouterr().out
    assert "Not as expected: marked: bias, marked: gumbel, marked: gumbel, and says who, gumbel, every tenth" in printed
    assert "black box" not in printed.split("Not as expected")[1]


@pytest.mark.parametrize("p", [0.0, -40.0])
def test_quickstart_fails_where_an_answer_is_wrong(p, quickstart, tmp_path, capsys, monkeypatch):
    honest = quickstart.markai.detect
    monkeypatch.setattr(
        quickstart.markai, "detect", lambda *given: replace(honest(*given), log10_p_value=p, payload=None)
    )
    monkeypatch.setattr(quickstart, "save", lambda _picture, path: path.touch())
    assert quickstart.main(["--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "Not as expected: No attack, JPEG, quality 50" in printed
    assert ("Unmarked original" in printed.split("Not as expected")[1]) == (p < 0)
    assert (tmp_path / "sheet.png").exists()


@pytest.fixture
def sign_and_recover():
    pytest.importorskip("c2pa")
    yield load("sign_and_recover")
    del sys.modules["sign_and_recover"]


def test_sign_and_recover(sign_and_recover, tmp_path, capsys):
    assert sign_and_recover.main(["--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "Every answer is as expected." in printed
    for verdict in ("generated", "recovered", "edited after marking", "copied mark", "contradictory", "nothing found"):
        assert f"\n  {verdict}: " in printed
    assert "excerpt.txt: five sixths of it, quoted\n  recovered: " in printed
    for code in ("copied-mark", "edited-after-signing", "source-disagrees", "other-manifest"):
        assert f"({code})" in printed
    with Image.open(tmp_path / "out" / "cropped.jpg") as picture:
        assert picture.size == (543, 362)


def test_sign_and_recover_fails_where_an_answer_is_wrong(sign_and_recover, tmp_path, capsys, monkeypatch):
    told = sign_and_recover.stories
    monkeypatch.setattr(sign_and_recover, "stories", lambda data: [replace(told(data)[0], verdict="nothing found")])
    monkeypatch.setattr(sign_and_recover, "texts", lambda _: [])
    assert sign_and_recover.main(["--out", str(tmp_path)]) == 1
    assert "Not as expected: marked.png." in capsys.readouterr().out


def test_audit_dataset(tmp_path):
    """In a process of its own, as it starts others."""
    script = [sys.executable, str(EXAMPLES / "audit_dataset.py"), "--out", "demo"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Every verdict is as expected." in done.stdout
    assert "copied\tdemo/files/copied.png\tcopied-mark" in done.stdout
    page = (tmp_path / "demo" / "audit" / "audit.html").read_text()
    assert "tampered.png" in page
    assert "not proof of human origin" in page
