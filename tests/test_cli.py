"""The command line: what it prints, how it exits, and what it leaves on the disk."""

import contextlib
import errno
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, features

from markai import Key, __version__, api, payload
from markai.cli import cli
from markai.cli.detect import changes
from markai.cli.doctor import kernel_samples
from markai.cli.embed import MAX_PAYLOAD, METHOD, STRENGTHS

MARKAI = [sys.executable, "-m", "markai.cli"]
COMMANDS = sorted(cli.commands.values(), key=lambda command: str(command.name))


def encoded(height: int = 256, width: int = 288, name: str = "PNG") -> bytes:
    rows, columns = np.mgrid[:height, :width] / 64
    waves = 60 * np.sin(rows + 2 * np.cos(columns)) + np.random.default_rng(1).normal(0, 6, rows.shape)
    file = io.BytesIO()
    pixels = np.clip(waves[..., None] + [130, 120, 110], 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, name, quality=92)
    return file.getvalue()


KEY = Key(bytes(range(32)))
PHOTO = encoded()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty but for the file of the key that the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARKAI_KEY_FILE", str(tmp_path / "k"))
    monkeypatch.setattr("markai.cli.common.os.sched_getaffinity", lambda _: {0})
    KEY.save("k")
    return tmp_path


@pytest.fixture
def album(place: Path) -> Path:
    """Two pictures in a tree, one of them a JPEG, and a text beside them."""
    folder = place / "album"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(PHOTO)
    (folder / "sub" / "b.jpg").write_bytes(encoded(name="JPEG"))
    (folder / "notes.txt").write_text("no picture")
    return folder


def markai(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Transcripts


def play(script: str) -> str:
    """Run the commands of a transcript and return it as it turned out, ids and p-values without their digits."""
    lines = []
    for command in re.findall(r"^\$ markai (.*)$", script, re.MULTILINE):
        result = markai(*shlex.split(command))
        code = f"[exit {result.exit_code}]\n" if result.exit_code else ""
        output = re.sub(r"p=\S+", "p=<p>", re.sub(r"\b[0-9a-f]{16}\b", "<id>", result.output))
        lines.append(f"$ markai {command}\n{output}{code}")
    return "".join(lines)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "cli").glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(place: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARKAI_KEY_FILE")
    for name, data in {"photo.png": PHOTO, "cut.png": PHOTO[:5000], "small.png": encoded(255, 256)}.items():
        (place / name).write_bytes(data)
    (place / "album").mkdir()
    assert play(path.read_text()) == path.read_text()


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_tells_about_the_command_and_every_option(command: click.Command) -> None:
    text = markai(command.name, "--help").output
    assert command.help
    assert len(command.get_short_help_str()) < 60
    for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
        assert option.help, option.name
        assert all(name in text for name in option.opts)


def test_help_loads_neither_numpy_nor_pillow() -> None:
    code = (
        "import sys; from markai.cli import cli; cli([*sys.argv[1:], '--help'], standalone_mode=False);"
        "sys.exit(bool({'numpy', 'PIL', 'scipy', 'torch', 'rich', 'cryptography'} & set(sys.modules)))"
    )
    for words in ([], ["embed"], ["doctor"]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


def test_version() -> None:
    assert subprocess.check_output([*MARKAI, "--version"], text=True) == f"markai {__version__}\n"


def test_the_options_repeat_what_the_library_says() -> None:
    assert (METHOD, STRENGTHS, MAX_PAYLOAD) == (api.DEFAULT_METHOD, api.STRENGTHS, payload.MAX_PAYLOAD)


# Keys


def test_keygen_writes_a_private_file_and_tells_its_id(place: Path) -> None:
    row = json.loads(markai("keygen", "my.key", "--json").stdout)
    assert row == {"path": "my.key", "key_id": Key.load("my.key").id}
    assert (place / "my.key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_is_an_error(place: Path) -> None:
    (place / "a.png").write_bytes(PHOTO)
    secret = bytearray((place / "k").read_bytes())
    secret[25] ^= 1
    (place / "k").write_bytes(secret)
    for command in (["detect", "a.png"], ["embed", "a.png", "-o", "b.png"]):
        result = markai(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "not a whole markai key file" in result.stderr
    assert not (place / "b.png").exists()


def test_a_key_that_others_can_read_is_a_warning(place: Path) -> None:
    (place / "a.png").write_bytes(PHOTO)
    (place / "k").chmod(0o644)
    result = markai("detect", "a.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("warning: ")
    assert "chmod 600" in result.stderr


def test_the_environment_names_a_ring(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "a.png").write_bytes(PHOTO)
    assert markai("embed", "a.png", "-o", "b.png").exit_code == 0
    Key.generate().save(place / "other")
    monkeypatch.setenv("MARKAI_KEY_FILE", f"{place / 'other'}:{place / 'k'}")
    assert rows(markai("detect", "b.png", "--json"))[0]["key_id"] == KEY.id


# Embed


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.usefixtures("album")
def test_a_tree_is_mirrored_and_detected(place: Path, jobs: int) -> None:
    result = markai("embed", "album", "-o", "out", "-r", "--payload", "é", "--jobs", jobs, "--json")
    assert result.exit_code == 0
    first, second = rows(result)
    assert first == {
        "file": "album/a.png",
        "output": "out/a.png",
        "status": "marked",
        "payload": "c3a9",
        "method": "dwt-dct",
        "strength": 1.0,
        "key_id": KEY.id,
    }
    assert second["output"] == "out/sub/b.jpg"
    assert files(place / "out") == ["a.png", "sub/b.jpg"]
    found = rows(markai("detect", "out", "-r", "--jobs", jobs, "--json"))
    assert [(row["file"], row["status"], row["payload_text"]) for row in found] == [
        ("out/a.png", "found", "é"),
        ("out/sub/b.jpg", "found", "é"),
    ]


def test_without_r_directories_below_are_left_out(album: Path, place: Path) -> None:
    assert markai("embed", album, "-o", "out").exit_code == 0
    assert files(place / "out") == ["a.png"]


def test_one_file_goes_into_an_existing_directory(album: Path, place: Path) -> None:
    (place / "out").mkdir()
    assert markai("embed", album / "a.png", "-o", "out").exit_code == 0
    assert markai("embed", album / "a.png", "-o", "new/").exit_code == 0
    assert files(place / "out") == files(place / "new") == ["a.png"]


def test_outputs_within_the_input_are_not_marked_again(album: Path) -> None:
    for _ in range(2):
        assert markai("embed", "album", "-r", "-o", "album/out").exit_code == 0
    assert files(album / "out") == ["a.png", "sub/b.jpg"]


@pytest.mark.usefixtures("album")
def test_collisions_are_refused_before_anything_is_written(place: Path) -> None:
    (place / "other").mkdir()
    (place / "other" / "a.png").write_bytes(PHOTO)
    result = markai("embed", "album", "other", "-o", "out")
    assert result.exit_code == 2
    assert "album/a.png and other/a.png would both become out/a.png" in result.stderr
    assert not (place / "out").exists()


def test_in_place_only_with_overwrite(album: Path) -> None:
    before = (album / "a.png").read_bytes()
    result = markai("embed", "album", "-o", "./album/../album")
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert (album / "a.png").read_bytes() == before
    assert markai("embed", "album", "-o", "album", "--overwrite").exit_code == 0
    assert markai("detect", "album").exit_code == 0


def test_bad_files_are_rows_and_the_others_go_on(place: Path) -> None:
    bad = {
        "cut.png": PHOTO[: len(PHOTO) // 2],
        "empty.png": b"",
        "narrow.png": encoded(256, 255),
        "phone.heic": b"\0\0\0\x18ftypheic",
        "text.png": b"no picture at all",
    }
    for name, data in {**bad, "good.png": PHOTO, "a.png": PHOTO}.items():
        (place / name).write_bytes(data)
    (place / "loop.png").symlink_to("loop.png")
    result = markai("embed", ".", "-o", "out", "--json")
    assert result.exit_code == 2
    wrong = {row["file"]: row["error"] for row in rows(result) if row["status"] == "error"}
    assert set(wrong) == {*bad, "loop.png"}
    assert "damaged" in wrong["cut.png"]
    assert "empty" in wrong["empty.png"]
    assert "255" in wrong["narrow.png"]
    assert files(place / "out") == ["a.png", "good.png"]
    assert "error: cut.png: " in markai("embed", "cut.png", "-o", "x.png").stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--payload", "x" * 17],
        ["--payload", "é" * 9],
        ["--payload-hex", "00" * 17],
        ["--payload-hex", "0g"],
        ["--payload", "x", "--payload-hex", "00"],
        ["--strength", "nan"],
        ["--strength", "9"],
        ["--method", "magic"],
        ["--jobs", "0"],
    ],
)
def test_wrong_options_are_one_error_and_write_nothing(place: Path, options: list[str]) -> None:
    (place / "a.png").write_bytes(PHOTO)
    result = markai("embed", "a.png", "-o", "b.png", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not (place / "b.png").exists()


@pytest.mark.usefixtures("album")
def test_a_bug_with_one_file_does_not_stop_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markai.embed", lambda *_, **__: 1 / 0)
    result = markai("--debug", "embed", "album", "-r", "-o", "out")
    assert result.exit_code == 2
    assert result.stderr.count("unexpected ZeroDivisionError") == 2
    assert "Traceback" in result.stderr


def test_debug_raises_what_else_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARKAI_KEY_FILE")
    with pytest.raises(ValueError, match="no key"):
        markai("--debug", "detect", "a.png")


def test_names_cannot_fake_lines(place: Path) -> None:
    name = os.fsdecode(b"a\nfound  b\xff.png")
    (place / name).write_bytes(PHOTO)
    result = markai("detect", name)
    assert result.stdout.startswith(r"not found  'a\nfound  b\udcff.png'")
    assert rows(markai("detect", name, "--json"))[0]["file"] == name


# Interruptions and full disks


def test_a_batch_that_was_interrupted_is_resumed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        (place / f"{name}.png").write_bytes(PHOTO)
    calls = iter(range(9))
    with monkeypatch.context() as patch:

        def fsync(_: int) -> None:
            if next(calls) == 2:
                raise KeyboardInterrupt

        patch.setattr(os, "fsync", fsync)
        result = markai("embed", ".", "-o", "out")
    assert result.exit_code == 130
    assert result.stderr.strip() == ""
    assert files(place / "out") == ["a.png", "b.png"]
    statuses = [row["status"] for row in rows(markai("embed", ".", "-o", "out", "--json"))]
    assert statuses == ["exists", "exists", "marked", "marked"]


@pytest.fixture
def many(place: Path) -> int:
    """A directory ``many`` with so many pictures that a batch can be stopped in the middle."""
    (place / "many").mkdir()
    (place / "many" / "100.png").write_bytes(PHOTO)
    for number in range(101, 200):
        (place / "many" / f"{number}.png").hardlink_to(place / "many" / "100.png")
    return 100


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_leaves_whole_files_only(many: int, place: Path, number: int, code: int, jobs: str) -> None:
    command = [*MARKAI, "embed", "many", "-o", "out", "--jobs", jobs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"marked  many/100.png -> out/100.png\n"
        process.send_signal(number)
        process.stdout.read()
        assert process.stderr.read().strip() == b""
    assert process.returncode == code
    done = [name for name in files(place / "out") if not name.startswith(".markai-")]
    assert 1 <= len(done) < many
    assert number == signal.SIGKILL or done == files(place / "out")
    expected = (place / "out" / done[0]).read_bytes()
    assert all((place / "out" / name).read_bytes() == expected for name in done)


@pytest.mark.usefixtures("many")
def test_a_closed_pipe_ends_it_quietly() -> None:
    command = [*MARKAI, "detect", "many", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_full_disk_behind_stdout_is_an_error(place: Path) -> None:
    (place / "a.png").write_bytes(PHOTO)
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run([*MARKAI, "detect", "a.png"], stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 2
    assert result.stderr == b"error: [Errno 28] No space left on device\n"


def test_a_full_disk_leaves_the_original(place: Path) -> None:
    (place / "a.png").write_bytes(PHOTO)
    limited = f"ulimit -f 8; exec {shlex.join(MARKAI)} embed a.png -o a.png --overwrite"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert result.returncode == 2
    assert "error: a.png: cannot write a.png: File too large" in result.stderr
    assert files(place) == ["a.png", "k"]
    assert (place / "a.png").read_bytes() == PHOTO


@pytest.mark.usefixtures("album")
def test_a_disk_that_fills_up_is_a_row_for_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    result = markai("embed", "album", "-r", "-o", "out", "--json")
    assert result.exit_code == 2
    assert ["No space left on device" in row["error"] for row in rows(result)] == [True, True]
    assert files(Path("out")) == []


# Detect


def test_detect_reads_the_standard_input() -> None:
    marked = api.embed(PHOTO, KEY, b"acme:42")
    result = CliRunner().invoke(cli, ["detect", "-", "--json"], input=marked)
    (row,) = rows(result)
    assert result.exit_code == 0
    assert (row["file"], row["detected"], row["payload"]) == ("-", True, b"acme:42".hex())
    assert (row["geometry"]["offset"], row["fpr"], row["method"]) == ([0, 0], 1e-6, "dwt-dct")
    assert markai("detect", "-").exit_code == 2


def test_the_worst_status_is_the_exit_code(place: Path) -> None:
    (place / "a.png").write_bytes(PHOTO)
    (place / "b.png").write_bytes(api.embed(PHOTO, KEY))
    codes = [markai("detect", *names).exit_code for names in (["b.png"], ["a.png", "b.png"], ["none", "a.png"])]
    assert codes == [0, 1, 2]
    ordered = rows(markai("detect", "none", "b.png", "a.png", "--json"))
    assert [row["status"] for row in ordered] == ["error", "found", "not found"]


def test_detect_says_what_was_cut_off() -> None:
    with Image.open(io.BytesIO(api.embed(encoded(400, 400), KEY, b"x"))) as marked:
        marked.crop((30, 20, 400, 400)).save("cut.png")
    assert "offset 30,20" in markai("detect", "cut.png").stdout


def test_the_rate_is_kept_in_range() -> None:
    assert [markai("detect", "a.png", "--fpr", rate).exit_code for rate in ("0", "1", "x")] == [2, 2, 2]


@pytest.mark.usefixtures("album")
def test_the_bar_is_on_stderr_and_only_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    command = [*MARKAI, "detect", "album", "-r"]
    bar = b""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(ours, 4096):
                bar += part
        os.close(ours)
        lines = process.communicate()[0].splitlines()
    assert b"/2" in bar
    assert [line.split()[2] for line in lines] == [b"album/a.png", b"album/sub/b.jpg"]
    assert subprocess.run(command, capture_output=True).stderr == b""


# Where the mark is


def collage() -> bytes:
    """A page of 600 x 300 pixels with a marked picture at the right and nothing marked at the left."""
    with Image.open(io.BytesIO(PHOTO)) as photo, Image.open(io.BytesIO(api.embed(PHOTO, KEY, b"acme:42"))) as marked:
        page = Image.new("RGB", (600, 256), "white")
        page.paste(photo.transpose(Image.Transpose.ROTATE_180), (0, 0))
        page.paste(marked, (312, 0))
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def test_coverage_is_drawn_and_told(place: Path) -> None:
    (place / "page.png").write_bytes(collage())
    result = markai("detect", "page.png", "--coverage", "sub/out.png", "--json")
    (row,) = rows(result)
    assert row["coverage"]["share"] == pytest.approx(288 / 600, abs=0.08)
    assert len(row["coverage"]["presence"][0]) == 32
    with Image.open("sub/out.png") as drawn:
        pixels = np.asarray(drawn).astype(int)
    assert pixels.shape == (256, 600, 3)
    colored = np.ptp(pixels, axis=2)
    assert colored[:, :250].max() == 0  # gray where there is no mark
    assert colored[:, 360:].mean() > 5
    assert "of the picture" in markai("detect", "page.png").stdout


def test_coverage_goes_to_one_png_beside_the_picture(place: Path, album: Path) -> None:
    (place / "page.png").write_bytes(PHOTO)
    assert "no" in markai("detect", "page.png", "--coverage", "out.png").stdout
    assert not (place / "out.png").exists()
    for arguments, said in {
        ("page.png", "--coverage", "out.jpg"): ".png",
        ("album", "-r", "--coverage", "out.png"): "one by one",
        ("page.png", "--coverage", "page.png"): "itself",
    }.items():
        result = markai("detect", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr
    assert (place / "page.png").read_bytes() == PHOTO
    assert files(album) == ["a.png", "notes.txt", "sub/b.jpg"]


def test_all_marks_of_a_file_are_one_row_and_a_line_each(place: Path) -> None:
    (place / "page.png").write_bytes(collage())
    (row,) = rows(markai("detect", "page.png", "--all", "--json"))
    assert (row["status"], row["detected"], row["fpr"]) == ("found", True, 1e-6)
    assert [mark["payload_text"] for mark in row["marks"]] == ["acme:42"]
    result = markai("detect", "page.png", "--all")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "found  page.png  1 mark"
    assert result.stdout.splitlines()[1].startswith("  payload acme:42  p=")
    (place / "bare.png").write_bytes(PHOTO)
    result = markai("detect", "bare.png", "--all")
    assert (result.exit_code, result.stdout) == (1, "not found  bare.png  no marks\n")


# Doctor


def test_doctor_finds_this_installation_well() -> None:
    result = markai("doctor", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"]) == (0, True)
    assert {check["status"] for check in report["checks"]} <= {"ok", "note"}
    assert all(set(check) == {"name", "status", "value", "advice"} for check in report["checks"])
    by_name = {check["name"]: check["value"] for check in report["checks"]}
    assert by_name["markai"] == __version__
    assert KEY.id in by_name["key file"]
    assert {"kernels", "formats", "cv2", "torch", "self-test", "1024x1024"} <= set(by_name)


def test_doctor_names_problems_and_remedies(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from markai._kernels import _native

    (place / "k").chmod(0o644)
    monkeypatch.setattr(_native, "smooth", lambda plane, _: plane + 1)
    monkeypatch.setattr(features, "check", lambda codec: codec != "avif")
    monkeypatch.setattr(api, "detect", lambda *_: 1 / 0)
    monkeypatch.setattr("markai.detect", lambda *_: 1 / 0)
    result = markai("doctor")
    assert result.exit_code == 2
    for words in ("not as the reference: smooth", "lacks AVIF", "chmod 600", "ZeroDivisionError", "pip install"):
        assert words in result.stdout


def test_doctor_reports_a_key_file_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKAI_KEY_FILE", "none.key")
    checks = json.loads(markai("doctor", "--json").stdout)["checks"]
    assert [check["status"] for check in checks if check["name"] == "key file"] == ["problem"]


def test_doctor_samples_every_kernel() -> None:
    from markai import _kernels

    assert set(kernel_samples()) == set(_kernels.__all__)


@pytest.mark.parametrize(("offset", "said"), [((127.8, 0.2), "0,0"), ((127.4, 64.6), "127,65"), ((0.0, 127.6), "0,0")])
def test_an_offset_of_nearly_one_period_is_none(offset: tuple[float, float], said: str) -> None:
    geometry = {"offset": offset, "period": 128.0, "scale_x": 1.0, "scale_y": 1.0, "rotation": 0.0, "flipped": False}
    assert changes(geometry) == [f"offset {said}"]
