"""``markai train``: a toy run from the command line, resumed, refused, and without torch."""

import json
import os
import pty
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from markai.cli import cli

SETTINGS = """
size = "tiny"
steps = 4
keys = 1
per_key = 2
batch = 2
parts = 1
side = 64
log_every = 2
evaluate = 1
regenerate = false
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: "np.ndarray") -> Path:
    """A directory with a folder of three pictures and the settings of a toy run."""
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.fromarray(photo[40 * i : 40 * i + 128, :160]).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "toy.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["train", *arguments])


GIVEN = ("--config", "toy.toml", "--data", "pictures", "--out", "run")


def test_a_run_leaves_its_files_and_says_one_line(place: Path) -> None:
    result = train(*GIVEN)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("run: 4 steps in ")
    assert result.stdout.endswith(", the schedule is over\n")
    assert result.stderr == ""
    wanted = {"weights.safetensors", "state.json", "log.jsonl", "loss.svg", "evaluation.json"}
    assert wanted <= {path.name for path in (place / "run").iterdir()}


def test_a_stopped_run_is_resumed(place: Path) -> None:
    (place / "toy.toml").write_text(SETTINGS.replace("steps = 4", "steps = 2000"))
    stopped = json.loads(train(*GIVEN, "--minutes", "0.001", "--json").stdout)
    assert stopped["out"] == "run"
    assert 0 < stopped["step"] < 2000
    assert not stopped["finished"]
    assert stopped["evaluation"] is None
    (place / "toy.toml").write_text(SETTINGS.replace("steps = 4", f"steps = {stopped['step'] + 1}"))
    resumed = json.loads(train(*GIVEN, "--resume", "--json").stdout)
    assert resumed["step"] == stopped["step"] + 1
    assert resumed["finished"]
    assert resumed["progress"] == 1
    assert set(resumed["evaluation"]["2 pixels per cell"]) == {"trained", "dwt-dct"}


def test_a_run_is_not_written_over(place: Path) -> None:
    (place / "run").mkdir()
    (place / "run" / "state.json").write_text("{}")
    result = train(*GIVEN)
    assert result.exit_code == 2
    assert result.stderr == (
        "error: run holds a training run - pass --resume to go on with it, or name another folder\n"
    )


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume",), "error: there is no checkpoint in run to resume from - check the path\n"),
        (("--config", "huge"), "there is no training configuration 'huge' - name a TOML file or one of ci, cpu, h200"),
        (("--data", "none"), "Path 'none' does not exist"),
        (("--minutes", "0"), "0.0 is not in the range x>0"),
    ],
)
def test_what_cannot_be_is_one_error(arguments: tuple[str, ...], message: str) -> None:
    result = train(*GIVEN, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not Path("run").exists()


def test_a_folder_without_pictures_is_an_error(place: Path) -> None:
    (place / "empty").mkdir()
    result = train(*GIVEN, "--data", "empty")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no pictures in empty")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    module = sys.modules["markai.cli.train"]  # by that name the package has the command
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else find_spec(name))
    result = train(*GIVEN)
    assert result.exit_code == 2
    assert result.stderr == "error: training runs need torch and safetensors: pip install 'markai[torch]'\n"


def test_the_bar_is_on_a_terminal_only(place: Path) -> None:
    """stderr a terminal, stdout a pipe: the bar on the one, the line on the other."""
    control, terminal = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "markai.cli", "train", *GIVEN], stdout=subprocess.PIPE, stderr=terminal, cwd=place
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(control, 65536):
            shown += part
    except OSError:  # the terminal is closed
        pass
    out, _ = run.communicate(timeout=60)
    os.close(control)
    assert out.startswith(b"run: 4 steps")
    assert b"making the marks" in shown
    assert b"accuracy" in shown
