"""The commands mark and inspect: what they print, how they exit, what they leave on the disk."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from markai import verify
from markai.attacks import apply
from markai.attacks.security import copy_mark
from markai.cli import cli
from markai.image import file_format
from markai.provenance.registry import Registry
from marking_samples import KEY, OTHER_KEY, Pixels, decoded, encoded
from transcripts import play

pytest.importorskip("c2pa")

MADE_BY = "--provider Acme --system AcmeGen --version 2.1"
TRANSCRIPTS = sorted((Path(__file__).parent / "cli" / "marking").glob("*.txt"))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: Pixels) -> Path:
    """The current directory, with pictures, keys and a chain in dev/ that the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("markai.cli.common.os.sched_getaffinity", lambda _: {0})
    for name, value in {"KEY_FILE": "my.key", "CHAIN_FILE": "dev/chain.pem", "PRIVATE_KEY_FILE": "dev/key.pem"}.items():
        monkeypatch.setenv(f"MARKAI_{name}", value)
    monkeypatch.delenv("MARKAI_REGISTRY", raising=False)
    KEY.save("my.key")
    OTHER_KEY.save("other.key")
    (tmp_path / "photo.png").write_bytes(encoded(crop))
    (tmp_path / "photo.jpg").write_bytes(encoded(crop, "JPEG", quality=95))
    (tmp_path / "small.png").write_bytes(encoded(crop[:200]))
    (tmp_path / "url.txt").write_text("sqlite:///markai.db\n")
    (tmp_path / "photo.bmp").write_bytes(encoded(crop, "BMP"))
    (tmp_path / "note.txt").write_text("Written by a model, and not marked.\n")
    (tmp_path / "album" / "sub").mkdir(parents=True)
    for name, source in {"a.png": "photo.png", "small.png": "small.png", "sub/b.jpg": "photo.jpg"}.items():
        (tmp_path / "album" / name).write_bytes((tmp_path / source).read_bytes())
    assert run("certs dev --org Acme --days 30").exit_code == 0
    return tmp_path


def run(line: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, shlex.split(line), input=data, prog_name="markai")


def rows(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    assert play(path.read_text()) == path.read_text()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_from_marking_to_tracing(
    place: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, photo: Pixels
) -> None:
    """Re-encoded, cropped, stripped: traced to its manifest; its mark on another picture: a contradiction."""
    url = "sqlite:///markai.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    monkeypatch.setenv("MARKAI_REGISTRY", url)  # which may hold a password
    (place / "photo.png").write_bytes(encoded(photo))
    (made,) = rows(run(f"mark photo.png -o marked.png --payload acme:42! --json {MADE_BY}"))
    assert (made["status"], made["payload"], made["sidecar"]) == ("marked", b"acme:42!".hex(), None)
    cut = Image.fromarray(apply("crop:0.5", decoded((place / "marked.png").read_bytes()), 1))
    cut.save("suspect.jpg", quality=60)
    result = run("inspect suspect.jpg --trust dev/root.pem --json --quick --manifest found.c2pa")
    (row,) = rows(result)
    assert (result.exit_code, row["status"], row["contradictions"]) == (0, "recovered", [])
    assert row["recovered"]["record"]["id"] == made["record_id"]
    assert row["recovered"]["manifest"]["manifest_id"] == made["manifest_id"]
    assert (row["recovered"]["trusted"], row["recovered"]["agreement"]["verdict"]) == (True, "same")
    assert verify(place / "found.c2pa", mime="application/c2pa").manifest_id == made["manifest_id"]
    rows_of, columns = np.mgrid[: photo.shape[0], : photo.shape[1]] / 50
    other = np.clip(128 + 60 * np.sin(rows_of + 2 * np.cos(columns))[..., None] + np.zeros(3), 0, 255).astype(np.uint8)
    forged = copy_mark(decoded((place / "marked.png").read_bytes()), other, 36.0)
    (place / "forged.png").write_bytes(encoded(forged))
    result = run("inspect forged.png --trust dev/root.pem --quick")
    assert result.exit_code == 1
    assert result.stdout.startswith("copied mark  forged.png\n")
    assert "  ! The mark belongs to other content" in result.stdout
    assert "secret" not in result.output
    assert "se@cret" not in result.output


def test_an_interrupted_batch_is_taken_up(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "a.png").write_bytes(b"done before")
    (place / "out" / ".markai-0.tmp").write_bytes(b"half")
    command = f"mark album -o out -r --registry-file url.txt --json {MADE_BY}"
    result = run(command)
    assert result.exit_code == 2
    assert [row["status"] for row in rows(result)] == ["exists", "error", "marked"]
    assert (place / "out" / "a.png").read_bytes() == b"done before"
    assert [row["status"] for row in rows(run(command))] == ["exists", "error", "exists"]
    with Registry.open("sqlite:///markai.db") as registry:
        assert len(registry) == 1


@pytest.mark.parametrize(("method", "seen"), [("learned", "learned"), ("both", "dwt-dct"), ("auto", "learned")])
def test_methods_from_marking_to_tracing(place: Path, method: str, seen: str, photo: Pixels) -> None:
    pytest.importorskip("onnxruntime")
    (place / "photo.png").write_bytes(encoded(photo))
    registry = "--registry sqlite:///markai.db"
    (made,) = rows(
        run(f"mark photo.png -o marked.png --payload acme:42! --method {method} {registry} --json {MADE_BY}")
    )
    named = "both" if method == "both" else seen
    assert (made["status"], made["method"]) == ("marked", named)
    Image.fromarray(decoded((place / "marked.png").read_bytes())).save("suspect.png")
    (row,) = rows(run(f"inspect suspect.png {registry} --trust dev/root.pem --quick --json"))
    assert (row["status"], row["ok"], row["watermark"]["method"]) == ("recovered", True, seen)
    assert (row["recovered"]["record"]["method"], row["recovered"]["record"]["id"]) == (named, made["record_id"])
    assert f"({seen}, p = " in row["layers"]["watermark"]


def test_in_place_nothing_is_marked_twice() -> None:
    command = f"mark photo.png -o photo.png --overwrite --registry sqlite:///markai.db --json {MADE_BY}"
    assert [rows(run(command))[0]["status"] for _ in range(2)] == ["marked", "exists"]
    with Registry.open("sqlite:///markai.db") as registry:
        assert len(registry) == 1
    again = run(f"mark photo.png -o new.png --registry sqlite:///markai.db {MADE_BY}")
    assert "(it had a mark already)" in again.stdout
    assert "has a mark of this key already" in again.stderr


def test_formats_and_sidecars(place: Path) -> None:
    (row,) = rows(run(f"mark photo.bmp -o marked.bmp --json {MADE_BY}"))
    assert (row["sidecar"], row["record_id"], (place / "marked.bmp.c2pa").exists()) == ("marked.bmp.c2pa", None, True)
    assert (
        "marked.bmp and marked.bmp.c2pa  payload" in run(f"mark photo.bmp -o marked.bmp --overwrite {MADE_BY}").stdout
    )
    (row,) = rows(run(f"mark photo.png -o out/ --format webp --json {MADE_BY}"))
    assert row["output"] == "out/photo.webp"
    assert file_format((place / "out" / "photo.webp").read_bytes()) == "WEBP"
    (row,) = rows(run(f"mark photo.jpg -o out --format jpeg --payload-hex 0102 --json {MADE_BY}"))
    assert (row["output"], row["payload"]) == ("out/photo.jpg", "0102")


def test_inspecting_many_and_the_standard_input(place: Path) -> None:
    run(f"mark photo.png -o marked.png {MADE_BY}")
    result = run("inspect marked.png photo.png --trust dev/root.pem --quick --json")
    assert [row["verdict"] for row in rows(result)] == ["generated", "nothing found"]
    assert result.exit_code == 1
    result = run("inspect - --trust dev/root.pem --quick", (place / "marked.png").read_bytes())
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "generated  -")
    (place / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run("inspect marked.png none.png --quick").exit_code == 2


def test_a_registry_in_a_file_or_the_environment_is_never_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me:hush@127.0.0.1:1/db"
    (place / "secret.txt").write_text(url)
    monkeypatch.setenv("MARKAI_REGISTRY", url)
    for option in ("", "--registry-file secret.txt"):
        result = run(f"--debug inspect photo.png {option}")
        assert "hush" not in result.output
        assert "hush" not in str(result.exception)
    for text in ("", "one\ntwo", "\xff"):
        (place / "secret.txt").write_bytes(text.encode("latin-1"))
        assert run("inspect photo.png --registry-file secret.txt").exit_code == 2
