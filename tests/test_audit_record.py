"""The record of an audit: signed with a key or a C2PA signer, and every change of it or of its files is seen."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import markai
from audit_sample import sample
from markai.audit.lines import write_rows
from markai.audit.record import (
    PREFIX,
    canonical,
    key_id,
    load_key,
    load_public_key,
    verify_record,
    write_record,
)
from markai.errors import ImageError, OutputError, SigningError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="module")
def audit():
    return sample(30)


@pytest.fixture
def written(audit, tmp_path):
    """A folder with rows, a report, and a record of both that is signed with KEY."""
    write_rows(tmp_path / "rows.ndjson", audit["rows"])
    (tmp_path / "audit.html").write_text("<!doctype html>")
    record = tmp_path / "audit.record.json"
    write_record(record, audit, [tmp_path / "rows.ndjson", tmp_path / "audit.html"], key=KEY)
    return record


def pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


# Ed25519


def test_a_record_is_trusted_by_who_knows_the_key(written):
    check = verify_record(written, public_key=KEY.public_key())
    assert check
    assert check.status == "trusted"
    assert check.files == {"rows.ndjson": "intact", "audit.html": "intact"}
    assert check.signed_by == key_id(KEY.public_key().public_bytes_raw())
    assert check.to_dict()["ok"] is True
    assert check.record["totals"]["files"] == 30


def test_without_a_key_it_is_valid_and_says_so(written):
    check = verify_record(written)
    assert check
    assert check.status == "valid"
    assert "nobody vouched for" in check.reasons[0]


def test_another_key_does_not_do(written):
    check = verify_record(written, public_key=Ed25519PrivateKey.generate().public_key())
    assert not check
    assert check.status == "invalid"


@pytest.mark.parametrize("name", ["rows.ndjson", "audit.html"])
def test_changed_and_missing_files_are_seen(written, name):
    file = written.with_name(name)
    file.write_bytes(file.read_bytes() + b" ")
    check = verify_record(written, public_key=KEY.public_key())
    assert not check
    assert check.files[name] == "changed"
    file.unlink()
    check = verify_record(written, public_key=KEY.public_key())
    assert check.files[name] == "missing"
    assert f"{name} is missing" in check.reasons


CHANGES = [
    lambda content: content["totals"].update(with_failures=0),
    lambda content: content["settings"].update(fpr="0.01"),
    lambda content: content.update(finished="2027-01-01T00:00:00+00:00"),
    lambda content: content["files"].pop("audit.html"),
    lambda content: content.update(note="added"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_record_is_seen(written, change):
    document = json.loads(written.read_bytes())
    change(document["record"])
    written.write_text(json.dumps(document))
    assert verify_record(written).status == "invalid"
    assert not verify_record(written, public_key=KEY.public_key())


def test_the_layout_of_the_file_does_not_matter(written):
    written.write_text(json.dumps(json.loads(written.read_bytes()), indent=7))
    assert verify_record(written, public_key=KEY.public_key())


@pytest.mark.parametrize("part", ["value", "public_key", "algorithm", "all", "none"])
def test_a_damaged_signature_is_seen(written, part):
    document = json.loads(written.read_bytes())
    if part in ("all", "none"):
        document["signature"] = {"all": "x", "none": None}[part]
    else:
        document["signature"][part] = "!"
    written.write_text(json.dumps(document))
    check = verify_record(written)
    assert not check
    assert check.status == ("none" if part == "none" else "invalid")


def test_anybody_can_check_the_signature_with_the_documented_bytes(written):
    """As docs/audit.md says: the prefix, and the record as RFC 8785 has it."""
    document = json.loads(written.read_bytes())
    signed = json.dumps(document["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert signed == canonical(document["record"])
    assert b"." not in json.dumps(list(numbers(document["record"]))).encode()  # no fractions to disagree on
    KEY.public_key().verify(base64.b64decode(document["signature"]["value"]), PREFIX + signed)


def numbers(value):
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


def test_keys_are_sorted_as_rfc_8785_has_it():
    assert canonical({"\U0001f600": 1, "\ufb33": 2}).decode() == '{"\U0001f600":1,"\ufb33":2}'


# C2PA


def test_a_signer_signs_the_record_and_the_rows(audit, tmp_path):
    signer = markai.Signer.development("Acme")
    write_rows(tmp_path / "rows.ndjson", audit["rows"])
    record = tmp_path / "audit.record.json"
    write_record(record, audit, [tmp_path / "rows.ndjson"], signer=signer)
    check = verify_record(record, trust=signer.trust())
    assert check
    assert (check.status, check.signed_by) == ("trusted", "Acme")
    assert verify_record(record).status == "valid"
    assert not verify_record(record, trust=markai.Signer.development("Other").trust())
    rows = markai.verify(tmp_path / "rows.ndjson", signer.trust())
    assert rows.status == "trusted"
    assert rows.claim.system == "markai audit"
    record.write_bytes(record.read_bytes().replace(b'"files": 30', b'"files": 31'))
    assert verify_record(record, trust=signer.trust()).status == "invalid"


def test_both_signatures_stand_beside_each_other(audit, tmp_path):
    signer = markai.Signer.development("Acme")
    write_rows(tmp_path / "rows.ndjson", audit["rows"])
    record = tmp_path / "audit.record.json"
    write_record(record, audit, [tmp_path / "rows.ndjson"], key=KEY, signer=signer)
    assert verify_record(record, public_key=KEY.public_key())
    assert verify_record(record, trust=signer.trust()).signed_by == "Acme"
    assert verify_record(record, public_key=KEY.public_key(), trust=markai.Signer.development("Other").trust())


def test_a_record_that_nobody_signed_proves_nothing(audit, tmp_path):
    write_record(tmp_path / "a.json", audit, [])
    check = verify_record(tmp_path / "a.json")
    assert not check
    assert check.status == "none"


# Errors


def test_odd_names_and_settings_can_be_signed(tmp_path):
    odd = {"markai": "1", "settings": {"inputs": ["a\udcff", "\u202e"], "n": 1 << 70, "p": 1e-300, "s": {"b", "a"}}}
    write_record(tmp_path / "r.json", odd, [], key=KEY)
    assert verify_record(tmp_path / "r.json", public_key=KEY.public_key())


def test_nothing_is_written_where_it_cannot_be_signed(audit, tmp_path):
    with pytest.raises(SigningError, match="write it before its record"):
        write_record(tmp_path / "r.json", audit, [tmp_path / "rows.ndjson"], key=KEY)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "rows.ndjson").touch()
    with pytest.raises(SigningError, match="into one directory"):
        write_record(tmp_path / "r.json", audit, [tmp_path / "below" / "rows.ndjson"], key=KEY)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["below"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_record(tmp_path / "file" / "r.json", audit, [], key=KEY)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"record": {}}', '{"record": {"type": "x", "version": 1, "files": []}}', "[" * 100_000],
)
def test_what_is_no_record_is_an_error(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ImageError):
        verify_record(tmp_path / "r.json")


@pytest.mark.parametrize("name", ["../rows.ndjson", "/etc/passwd", "a/b", "", ".", "..", "a\0b"])
def test_a_record_names_only_files_beside_it(written, name):
    document = json.loads(written.read_bytes())
    document["record"]["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    written.write_text(json.dumps(document))
    with pytest.raises(ImageError, match="not the record of an audit"):
        verify_record(written)


def test_a_record_says_nothing_twice(written):
    text = written.read_text().replace('"record": {', '"record": {"markai": "9",', 1)
    written.write_text(text)
    with pytest.raises(ImageError):
        verify_record(written)


def test_a_record_that_is_not_there(tmp_path):
    with pytest.raises(ImageError, match="check the path"):
        verify_record(tmp_path / "none.json")


# Keys


def test_keys_come_from_pem_files(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(pem(KEY))
    assert load_key(path).private_bytes_raw() == KEY.private_bytes_raw()
    assert load_public_key(path) == KEY.public_key()
    path.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert load_public_key(path) == KEY.public_key()
    path.write_bytes(pem(KEY, BestAvailableEncryption(b"secret")))
    assert load_key(path, b"secret").private_bytes_raw() == KEY.private_bytes_raw()
    for password in (None, b"wrong"):
        with pytest.raises(SigningError, match="password"):
            load_key(path, password)


def test_other_keys_and_no_keys_are_refused(tmp_path):
    path = tmp_path / "key.pem"
    with pytest.raises(SigningError, match="check the path"):
        load_key(path)
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(pem(other))
    with pytest.raises(SigningError, match="not an Ed25519 key"):
        load_key(path)
    path.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SigningError, match="not an Ed25519 key"):
        load_public_key(path)
    for data in (b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        path.write_bytes(data)
        with pytest.raises(SigningError):
            load_key(path)
        with pytest.raises(SigningError):
            load_public_key(path)
