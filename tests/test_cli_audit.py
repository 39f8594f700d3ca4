"""The command audit: what it prints, how it exits, what it leaves on the disk."""

import io
import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from markai.audit.record import load_public_key, verify_record
from markai.cli import cli
from marking_samples import KEY, PICTURE
from transcripts import play

pytest.importorskip("c2pa")

TRANSCRIPTS = sorted((Path(__file__).parent / "cli" / "audit").glob("*.txt"))
POLICY = """\
version: 1
fail_on: warning
rules:
  - id: signed
    files: "*.png"
    require: {path: manifest.status, equals: trusted}
    message: Every picture that we publish is signed by us.
    todo: Sign it with markai mark.
  - id: no-notes
    files: "*.txt"
    severity: warning
    forbid: {path: status, equals: ok}
    message: Texts are published elsewhere.
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with two small files in in/ and a key."""
    monkeypatch.chdir(tmp_path)
    for name in ("KEY_FILE", "CHAIN_FILE", "PRIVATE_KEY_FILE", "REGISTRY", "TRUST_FILE"):
        monkeypatch.delenv(f"MARKAI_{name}", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    info = PngInfo()
    info.add_text("parameters", "a\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1")
    Path("in").mkdir()
    with Image.open(PICTURE) as picture:
        picture.crop((0, 0, 300, 300)).save("in/made.png", pnginfo=info)
    Path("in/note.txt").write_text("Nothing to see.")
    KEY.save("my.key")
    return tmp_path


def run(line: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["audit", *shlex.split(line)], input=data, prog_name="markai")


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(place: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with files of others and a picture to mark; on a terminal of 80 columns where the name says so."""
    (place / "in").rename("export")
    (place / "export" / "broken.png").write_bytes((place / "export" / "made.png").read_bytes()[:9000])
    with Image.open(PICTURE) as picture:
        picture.crop((100, 100, 500, 400)).save("photo.png")
    (place / "policy.yaml").write_text(POLICY)
    (place / "wrong.yaml").write_text(POLICY.replace("require", "requires"))
    assert CliRunner().invoke(cli, ["certs", "dev", "--org", "Acme", "--days", "30"]).exit_code == 0
    if path.stem == "on_a_terminal":
        named = {"KEY_FILE": "my.key", "CHAIN_FILE": "dev/chain.pem", "PRIVATE_KEY_FILE": "dev/key.pem"}
        for name, value in named.items():
            monkeypatch.setenv(f"MARKAI_{name}", value)
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.delenv("COLUMNS", raising=False)
    assert play(path.read_text()) == path.read_text()


def test_a_line_a_file(place: Path) -> None:
    result = run("in --key my.key")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "generated-claimed\tin/made.png\nunknown\tin/note.txt\n"
    assert sorted(path.name for path in place.iterdir()) == ["in", "my.key"], "nothing is left behind"


def test_json_is_a_row_a_line() -> None:
    rows = [json.loads(line) for line in run("in --json").stdout.splitlines()]
    assert [row["path"] for row in rows] == ["in/made.png", "in/note.txt"]
    assert rows[0]["watermark"] is None


def test_lists() -> None:
    assert run("-", b"in/note.txt\n").stdout == "unknown\tin/note.txt\n"
    assert run("--files-from -", b"in/note.txt\0gone.png\0").stdout.splitlines() == [
        "unknown\tin/note.txt",
        "none\tgone.png\tunreadable",
    ]
    Path("list").write_text("in\n")
    assert run("--files-from list --exclude *.png").stdout == "unknown\tin/note.txt\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("in/note.txt", 0),
        ("gone.png", 1),
        ("gone.png --fail-on never", 0),
        ("in --rules iptc", 0),
        ("in --rules iptc --fail-on warning", 1),
        ("in/made.png --policy strict.yaml", 1),
        ("in/note.txt --policy lenient.yaml", 0),
    ],
)
def test_exit_codes(line: str, code: int) -> None:
    rule = "version: 1\n{}rules: [{{id: a, require: {{path: manifest.status, equals: trusted}}, message: Not ours.}}]\n"
    Path("strict.yaml").write_text(rule.format(""))
    Path("lenient.yaml").write_text(rule.format("fail_on: never\n"))
    result = run(line)
    assert result.exit_code == code, result.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "nothing to audit"),
        ("in --files-from list", "a list of paths stands alone"),
        ("- in", "a list of paths stands alone"),
        ("in --format csv --format html", "csv and html cannot all go to stdout"),
        ("in --sign key.pem", "add -o DIR"),
        ("in --manifest", "add -o DIR"),
        ("in --tsa http://localhost", "add --manifest"),
        ("in --key none.key", "cannot read the key file none.key"),
        ("in --rules mars", "there is no regime 'mars'"),
        ("in --policy none.yaml", "cannot read none.yaml: No such file or directory"),
        ("--files-from none", "cannot read none: No such file or directory"),
        ("in --registry sqlite:///none.db", "none.db"),
        ("in --registry postgresql://me:s3cret@host/db", "others can see a password"),
        ("in --self-test", "a self-test needs a key"),
        ("in --since in", "holds no finished audit"),
    ],
)
def test_errors(line: str, said: str) -> None:
    result = run(line)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "s3cret" not in result.output
    assert result.stdout == ""
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)


def test_a_folder_with_everything() -> None:
    formats = " ".join(f"--format {name}" for name in ("html", "csv", "sarif", "json"))
    result = run(f"in -o out --rules eu {formats}")
    assert (result.exit_code, result.stdout) == (1, ""), "EU-8 is a law"
    names = {"audit.json", "audit.full.json", "audit.csv", "audit.sarif", "audit.html", "rows.ndjson"}
    assert set(os.listdir("out")) == names  # noqa: PTH208
    whole = json.loads(Path("out/audit.full.json").read_bytes())
    assert [row["path"] for row in whole["rows"]] == ["in/made.png", "in/note.txt"]
    assert whole["totals"] == json.loads(Path("out/audit.json").read_bytes())["totals"]
    assert whole["command"].startswith("markai")
    assert Path("out/audit.csv").read_text("utf-8-sig").count("\n") == 3
    assert json.loads(Path("out/audit.sarif").read_bytes())["version"] == "2.1.0"
    assert "made.png" in Path("out/audit.html").read_text()
    again = run("in -o out --rules eu")
    assert again.stdout.splitlines()[0].startswith("generated-claimed\tin/made.png\t")
    assert again.stderr == "2 files were examined by an earlier audit, and not changed since\n"
    other = run("in -o out")
    assert other.exit_code == 2
    assert "holds an audit with other settings (regimes)" in other.stderr


def test_what_an_earlier_audit_found() -> None:
    assert run("in -o old").exit_code == 0
    Path("in/more.txt").write_text("more")
    result = run("in --since old --json")
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr.startswith("2 files were examined by an earlier audit")


def test_a_signed_record(place: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    Path("record.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    result = run("in -o out --sign record.pem --format html")
    assert result.exit_code == 0, result.output
    check = verify_record(place / "out" / "audit.record.json", public_key=load_public_key(Path("record.pem")))
    assert check.status == "trusted"
    assert dict(check.files) == dict.fromkeys(("rows.ndjson", "audit.json", "audit.html"), "intact")


def test_members_of_archives() -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("in/made.png", "deep/made.png")
    assert run("a.zip").stdout == "generated-claimed\ta.zip!/deep/made.png\n"


def test_other_kinds_and_hidden_names() -> None:
    Path("in/.hidden.png").write_bytes(Path("in/made.png").read_bytes())
    Path("in/data.bin").write_bytes(bytes(10))
    Path("in/.markaiignore").write_text("note.txt\n")
    assert run("in").stdout == "generated-claimed\tin/made.png\n"
    result = run("in --hidden --all-files --no-ignore")
    assert result.exit_code == 0, "what is left out is no finding"
    paths = [line.split("\t")[1] for line in result.stdout.splitlines()]
    assert paths == ["in/.hidden.png", "in/.markaiignore", "in/data.bin", "in/made.png", "in/note.txt"]


def test_marks_and_the_policys_regimes() -> None:
    from markai.cli import cli as markai

    with Image.open(PICTURE) as picture:
        picture.crop((0, 0, 300, 300)).save("photo.png")
    CliRunner().invoke(markai, shlex.split("embed photo.png -o in/marked.png --key my.key --payload acme:42"))
    Path("policy.yaml").write_text("version: 1\nregimes: [iptc]\n")
    result = run("in/marked.png --key my.key --policy policy.yaml --quick")
    assert result.stdout == "generated\tin/marked.png\tIPTC-1\n"


def test_the_report_on_stdout() -> None:
    page = run("in/note.txt --format html --language ko").stdout
    assert page.startswith("<!doctype html>")


def test_help_is_quick_to_import() -> None:
    code = "import sys; import markai.cli; print(*{'numpy', 'PIL', 'rich', 'cryptography', 'c2pa'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_progress_goes_to_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from markai.audit.inputs import Selection

    module = sys.modules["markai.cli.audit"]  # the package's name for it is the command's

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with module._progress(["in"], Selection()) as tell:
        assert tell is not None
        tell(1)
    assert "1/" in shown.getvalue()
