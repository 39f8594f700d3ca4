"""The commands certs, sign and verify: what they print, how they exit, what they leave on the disk."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from markai import sign as sign_data
from markai import verify as verify_data
from markai.cli import cli
from markai.provenance import xmp_files
from provenance_samples import CLAIM, Authority, encoded, sample, signer, time_stamping

MADE_BY = "--provider Acme --system AcmeGen --system-version 2.1"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a chain in dev/ that the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("markai.cli.common.os.sched_getaffinity", lambda _: {0})
    monkeypatch.setenv("MARKAI_CHAIN_FILE", "dev/chain.pem")
    monkeypatch.setenv("MARKAI_PRIVATE_KEY_FILE", "dev/key.pem")
    assert run("certs dev --org Acme --days 30").exit_code == 0
    return tmp_path


def run(line: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, shlex.split(line), input=data, prog_name="markai")


def rows(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# certs


def test_certs_writes_a_chain_and_says_what_it_is_not(place):
    result = run("certs new --org 'Acme GmbH' --days 3 --alg ed25519")
    assert result.stdout.split() == ["new/chain.pem", "new/key.pem", "new/root.pem"]
    assert "only who is given root.pem trusts them" in result.stderr
    for words in ("C2PA trust list", "conformance programme", "claim signing", "HSM or a KMS", "time stamp"):
        assert words in result.stderr
    assert (place / "new" / "key.pem").stat().st_mode & 0o777 == 0o600
    again = run("certs new")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "never overwritten" in again.stderr
    made = rows(run("certs other --json"))
    assert made[0] | {"days": 365} == made[0]
    assert made[0]["chain"] == "other/chain.pem"


def test_certs_checks_a_chain_rule_by_rule(place):
    assert run("certs --check dev/chain.pem --private-key dev/key.pem").stdout == "ok  dev/chain.pem\n"
    chain, _ = Authority().issue(purposes=("1.3.6.1.5.5.7.3.1",), with_issuer_key=False)
    (place / "bad.pem").write_bytes(chain)
    result = run("certs --check bad.pem --private-key dev/key.pem")
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "authority key identifier",
        "extended key usage",
        "key pair",
    ]
    (row,) = rows(run("certs --check bad.pem --json"))
    assert (row["ok"], row["findings"][1]["rule"]) == (False, "extended key usage")
    (place / "junk.pem").write_text("junk")
    for line, words in (
        ("--check junk.pem", "no certificates"),
        ("--check absent.pem", "cannot read"),
        ("", "DIRECTORY"),
    ):
        result = run(f"certs {line}")
        assert result.exit_code == 2
        assert words in result.stderr


# sign and verify


def test_a_picture_and_a_text_are_signed_and_verified(place):
    (place / "a.png").write_bytes(sample("png"))
    (place / "a.txt").write_bytes(sample("text"))
    result = run(f"sign a.png -o b.png {MADE_BY} --tc260-producer Acme")
    assert (result.exit_code, result.stdout) == (0, "signed  a.png -> b.png\n")
    assert "for development" in result.stderr
    assert "TC260:AIGC" in xmp_files.read((place / "b.png").read_bytes(), "image/png")
    result = run(f"sign a.txt -o b.txt {MADE_BY}")
    assert result.stdout == "signed  a.txt -> b.txt and b.txt.c2pa\n"
    assert (place / "b.txt").read_bytes() == sample("text")
    result = run("verify b.png b.txt --trust dev/root.pem")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    said = "signed by Acme for development  made with AcmeGen 2.1 of Acme  AI (trainedAlgorithmicMedia)"
    assert [line for line in lines if not line.startswith(" ")] == [
        f"trusted  b.png  {said}",
        f"trusted  b.txt  {said}",
    ]
    assert "  The signer is on the trust list. (signingCredential.trusted)" in lines


def test_verify_says_what_is_wrong_and_exits_with_1(place):
    (place / "a.txt").write_bytes(sample("text"))
    run(f"sign a.txt -o b.txt {MADE_BY}")
    (place / "b.txt").write_bytes(sample("text").replace(b"kurzer", b"langer"))
    (place / "none.png").write_bytes(sample("png"))
    (place / "cut.png").write_bytes(sign_data(sample("png"), signer(), CLAIM)[:-90])
    result = run("verify b.txt none.png cut.png a.txt")
    assert (result.exit_code, result.stderr) == (1, "")
    assert [line.split()[0] for line in result.stdout.splitlines() if not line.startswith(" ")] == [
        *("invalid", "none", "damaged", "unsupported"),
    ]
    assert "  The content was changed after it was signed. (assertion.dataHash.mismatch)" in result.stdout
    assert "signed by Acme (so it says)" in result.stdout


def test_exit_codes(place):
    (place / "other.pem").write_bytes(signer("Other").trust().manifest)
    (place / "a.png").write_bytes(sign_data(sample("png"), signer(), CLAIM))
    (place / "root.pem").write_bytes(signer().trust().manifest)
    for line, code in (
        ("verify a.png", 0),
        ("verify a.png --trust root.pem", 0),
        ("verify a.png --trust other.pem --trust root.pem", 0),
        ("verify a.png --trust other.pem", 1),
        ("verify a.png --tsa-trust root.pem --trust other.pem", 1),
        ("verify a.png --allowed dev/chain.pem", 1),
        ("verify a.png absent.png", 2),
        ("verify absent.png", 2),
        ("verify a.png --trust absent.pem", 2),
        ("verify a.png --trust a.png", 2),
        ("verify a.png --mime nonsense", 2),
        ("verify", 2),
    ):
        assert run(line).exit_code == code, line


def test_json_is_one_object_a_line(place):
    (place / "a.png").write_bytes(sign_data(sign_data(sample("png"), signer(), CLAIM), signer("Other"), CLAIM))
    (place / "b.png").write_bytes(sample("png"))
    first, second, third = rows(run("verify a.png b.png absent.png --json"))
    assert (first["file"], first["status"], first["ok"], first["ingredients"][0]["status"]) == (
        "a.png",
        "valid",
        True,
        "valid",
    )
    assert (second["status"], second["ok"]) == ("none", False)
    assert (third["status"], "cannot be read" in third["error"]) == ("error", True)


def test_the_history_is_shown(place):
    first = bytearray(sign_data(sample("jpeg"), signer("First\nOrg"), CLAIM))
    first[-20] ^= 1
    (place / "a.jpg").write_bytes(sign_data(bytes(first), signer("Second"), CLAIM))
    (place / "root.pem").write_bytes(signer("Second").trust().manifest)
    result = run("verify a.jpg --trust root.pem")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("trusted  a.jpg  signed by Second")
    assert lines[-1].startswith("  <- invalid  parentOf  urn:c2pa:")
    assert r"signed by 'First\nOrg' (so it says)" in lines[-1]
    assert any("changed after it was signed" in line for line in lines)


def test_directories_mirror_and_are_taken_up(place):
    (place / "in" / "sub").mkdir(parents=True)
    (place / "in" / "a.png").write_bytes(sample("png"))
    (place / "in" / "sub" / "b.jpg").write_bytes(sample("jpeg"))
    (place / "in" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run(f"sign in -r -o out {MADE_BY} --json")
    assert result.exit_code == 2
    assert [row["status"] for row in rows(result)] == ["signed", "error", "signed"]
    assert sorted(path.name for path in (place / "out").rglob("*.*")) == ["a.png", "b.jpg"]
    assert [row["status"] for row in rows(run(f"sign in -r -o out {MADE_BY} --json"))] == ["exists", "error", "exists"]
    result = run("verify out -r --trust dev/root.pem --json")
    assert [(row["status"], row["claim"]["id"][:9]) for row in rows(result)] == [("trusted", "urn:uuid:")] * 2
    assert len({row["claim"]["id"] for row in rows(result)}) == 2


def test_in_place_needs_a_word_and_keeps_the_history(place):
    (place / "a.png").write_bytes(sign_data(sample("png"), signer(), CLAIM))
    assert run(f"sign a.png -o a.png {MADE_BY}").exit_code == 2
    assert run(f"sign a.png -o a.png {MADE_BY} --overwrite").exit_code == 0
    assert len(verify_data(place / "a.png").ingredients) == 1


def test_sidecars_of_pictures_and_the_standard_input(place):
    (place / "a.png").write_bytes(sample("png"))
    assert run(f"sign a.png -o b.png {MADE_BY} --sidecar").exit_code == 0
    assert (place / "b.png").read_bytes() == sample("png")
    assert run("verify b.png --trust dev/root.pem").exit_code == 0
    (place / "b.png.c2pa").rename(place / "store")
    assert run("verify b.png").exit_code == 1
    assert run("verify b.png --sidecar store --trust dev/root.pem").exit_code == 0
    assert run("verify - --sidecar store --trust dev/root.pem", sample("png")).exit_code == 0
    assert "check them one by one" in run("verify b.png a.png --sidecar store").stderr


def test_options_are_checked_before_anything_is_signed(place, monkeypatch):
    (place / "a.png").write_bytes(sample("png"))
    for line, words in (
        ("--source-type photo", "no digital source type"),
        ("--timestamp require", "needs an authority"),
        ("--chain absent.pem", "cannot read absent.pem"),
        ("--system ''", "the system is text"),
    ):
        result = run(f"sign a.png -o b.png {MADE_BY} {line}")
        assert (result.exit_code, words in result.stderr, (place / "b.png").exists()) == (2, True, False), line
    monkeypatch.delenv("MARKAI_CHAIN_FILE")
    assert "make them for trials with: markai certs DIR" in run(f"sign a.png -o b.png {MADE_BY}").stderr


def test_the_password_of_a_key_comes_from_the_environment(place, monkeypatch):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from provenance_samples import key_pem

    key = load_pem_private_key((place / "dev" / "key.pem").read_bytes(), None)
    (place / "locked.pem").write_bytes(key_pem(key, password=b"secret"))
    (place / "a.png").write_bytes(sample("png"))
    line = f"sign a.png -o b.png {MADE_BY} --private-key locked.pem"
    assert "is encrypted" in run(line).stderr
    monkeypatch.setenv("MARKAI_PRIVATE_KEY_PASSWORD", "secret")
    assert run(line).exit_code == 0


def test_time_stamps(place):
    (place / "a.jpg").write_bytes(encoded("jpeg"))
    with time_stamping() as tsa:
        (place / "tsa.pem").write_bytes(tsa.root)
        assert rows(run(f"sign a.jpg -o b.jpg {MADE_BY} --tsa {tsa.url} --json"))[0]["time_stamped"]
    shown = run("verify b.jpg --trust dev/root.pem --tsa-trust tsa.pem").stdout
    assert "  at 20" in shown
    assert "supposedly at 20" in run("verify b.jpg --trust dev/root.pem").stdout
    assert run(f"sign a.jpg -o c.jpg {MADE_BY} --tsa http://127.0.0.1:9").exit_code == 2
    result = run(f"sign a.jpg -o c.jpg {MADE_BY} --tsa http://127.0.0.1:9 --timestamp best-effort --json")
    assert not rows(result)[0]["time_stamped"]
    assert "signed without a time stamp" in result.stderr


def test_a_mime_type_of_ones_own(place):
    (place / "model.bin").write_bytes(b"weights")
    assert rows(run(f"sign model.bin -o m.bin {MADE_BY} --mime x-own/weights --json"))[0]["mime"] == "x-own/weights"
    assert run("verify m.bin --mime x-own/weights --trust dev/root.pem").exit_code == 0
