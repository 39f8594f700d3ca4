"""The signed record of an audit: digests of its rows and its report, its settings and counts, for those who keep it.

Signed with an Ed25519 key, the signature stands in the record; with a C2PA signer, it stands beside the record and
beside the rows, as NAME.c2pa. Either shows that nothing was changed since; who signed is known to who knows the key.
"""

import base64
import binascii
import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from markai import __version__
from markai.audit.words import visible
from markai.errors import ImageError, SigningError
from markai.files import write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from markai.provenance import Signer, Trust, Verification

Json = dict[str, Any]
Source = str | os.PathLike[str]
Status = Literal["trusted", "valid", "invalid", "none"]
State = Literal["intact", "changed", "missing", "unreadable"]

TYPE, VERSION = "markai audit record", 1
PREFIX = b"markai audit record 1\n"  # so that what is signed is never taken for anything else
KEPT = ("markai", "started", "finished", "command", "settings", "totals")  # of an audit
MEDIA_TYPES = {".json": "application/json", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
MOST_BYTES = 16 << 20  # of a record: it grows with the number of settings and rules, not of files
LARGEST_INTEGER = 1 << 53


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """The answer of :func:`verify_record`; true where the record may be relied on as far as was asked.

    ``status`` is "trusted": signed by the key or by somebody on the list that was given; "valid": intact, signed by a
    key that nobody vouches for; "invalid": changed since, or signed by another; "none": not signed. ``files`` says of
    each file whether it is intact. True means that all are, and trusted where a key or a list was given, or valid
    where none was.
    """

    status: Status
    files: Mapping[str, State] = field(default_factory=dict)
    signed_by: str | None = None
    reasons: tuple[str, ...] = ()
    trust_given: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        signed = self.status == "trusted" or (self.status == "valid" and not self.trust_given)
        return signed and all(state == "intact" for state in self.files.values())

    def to_dict(self) -> Json:
        """Return plain values for JSON."""
        return {
            "ok": bool(self),
            "status": self.status,
            "signed_by": self.signed_by,
            "files": dict(self.files),
            "reasons": list(self.reasons),
        }


# Canonical bytes


def canonical(value: Any) -> bytes:
    """Return the bytes that are signed: JSON as RFC 8785 has it, of values without fractions.

    >>> canonical({"b": [1, True, None], "a": "가"})
    b'{"a":"\\xea\\xb0\\x80","b":[1,true,null]}'
    """
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda each: each.encode("utf-16-be"))}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _exact(value: Any) -> Any:
    """Return what JSON readers agree on: fractions and large numbers become text, odd letters are spelled out."""
    if isinstance(value, Mapping):
        return {visible(key): _exact(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_exact(each) for each in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < LARGEST_INTEGER):
        return value
    return visible(repr(value) if isinstance(value, float) else value)


# Writing


def write_record(
    path: Path,
    audit: Mapping[str, Any],
    files: Iterable[Path],
    *,
    key: "Ed25519PrivateKey | None" = None,
    signer: "Signer | None" = None,
) -> None:
    """Write the record of an audit beside its ``files``: the rows (NDJSON), the report, whatever else it wrote.

    ``key`` is from :func:`load_key`. With ``signer`` there are manifests as well, beside the record and beside each
    NDJSON file, which ``markai verify`` checks. With neither, the record holds digests that nobody vouches for.

    Raises:
        SigningError: if it cannot be signed, or a file lies elsewhere or cannot be read; nothing was written.
        TimestampError: if the signer requires a time stamp, and there is none.
        OutputError: if it cannot be written.
        MissingExtraError: with a signer, without c2pa-python.
    """
    listed = list(files)
    content = {"type": TYPE, "version": VERSION}
    content |= _exact({name: audit[name] for name in KEPT if name in audit})
    content["files"] = {file.name: _digest_for(file, path) for file in listed}
    document: Json = {"record": content, "signature": _signature(content, key) if key else None}
    data = json.dumps(_sorted(document), ensure_ascii=False, indent=1).encode() + b"\n"
    manifests: dict[Path, bytes] = {}
    if signer is not None:
        manifests[path] = _manifest(data, path, audit, signer)
        rows = [file for file in listed if MEDIA_TYPES.get(file.suffix) == "application/x-ndjson"]
        manifests |= {file: _manifest(file.read_bytes(), file, audit, signer) for file in rows}
    for signed, manifest in manifests.items():
        write_atomically(signed.with_name(f"{signed.name}.c2pa"), manifest)
    write_atomically(path, data)


def _digest_for(file: Path, record: Path) -> Json:
    if file.parent.resolve() != record.parent.resolve():
        raise SigningError(f"{file} lies elsewhere than the record {record} - write them into one directory")
    if not _is_plain(file.name):
        raise SigningError(f"a record cannot name {visible(file)} - rename it")
    try:
        return {"sha256": _digest(file), "bytes": file.stat().st_size}
    except OSError as error:
        raise SigningError(f"cannot read {file}: {error.strerror} - write it before its record") from error


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _signature(content: Json, key: "Ed25519PrivateKey") -> Json:
    public = key.public_key().public_bytes_raw()
    return {
        "algorithm": "Ed25519",
        "key_id": key_id(public),
        "public_key": base64.b64encode(public).decode(),
        "value": base64.b64encode(key.sign(PREFIX + canonical(content))).decode(),
    }


def key_id(public: bytes) -> str:
    """Return the name of a public key: the first 16 hex digits of its SHA-256.

    >>> key_id(bytes(32))
    '66687aadf862bd77'
    """
    return hashlib.sha256(public).hexdigest()[:16]


def _manifest(data: bytes, path: Path, audit: Mapping[str, Any], signer: "Signer") -> bytes:
    from markai.provenance import Claim, sign

    created = dt.datetime.now(dt.UTC).replace(microsecond=0)
    with suppress(ValueError, TypeError):
        finished = dt.datetime.fromisoformat(audit.get("finished"))  # type: ignore[arg-type]
        created = finished if finished.tzinfo else created
    provider = signer.organization or "markai"
    claim = Claim(
        provider, "markai audit", __version__, created=created, source_type="dataDrivenMedia", title=path.name
    )
    return sign(data, signer, claim, mime=_media_type(path), embed=False, metadata=False).manifest


def _media_type(path: Path) -> str:
    return MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")


# Keys


def load_key(path: Source, password: bytes | None = None) -> "Ed25519PrivateKey":
    """Return an Ed25519 private key from a PEM file (PKCS#8), such as ``openssl genpkey -algorithm ed25519`` makes.

    Raises:
        SigningError: if it cannot be read, is damaged, needs a password, or is a key of another kind.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        advice = "pass a PEM file of an Ed25519 key, and its password where it has one"
        raise SigningError(f"{os.fspath(path)} is no private key that can be used: {error} - {advice}") from None
    if not isinstance(key, Ed25519PrivateKey):
        advice = "make one with: openssl genpkey -algorithm ed25519 -out FILE"
        raise SigningError(f"{os.fspath(path)} is not an Ed25519 key - {advice}")
    return key


def load_public_key(path: Source) -> "Ed25519PublicKey":
    """Return an Ed25519 public key from a PEM file; that of a private key will do.

    Raises:
        SigningError: if it cannot be read, is damaged, or is a key of another kind.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(path)
    if b"PRIVATE KEY" in data:
        return load_key(path).public_key()
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{os.fspath(path)} is no public key: {error} - pass its PEM file") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"{os.fspath(path)} is not an Ed25519 key - pass the public half of the key that signed")
    return key


def _read(path: Source) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SigningError(f"cannot read {os.fspath(path)}: {error.strerror} - check the path") from None


# Checking


def verify_record(
    path: Path, *, public_key: "Ed25519PublicKey | None" = None, trust: "Trust | None" = None
) -> RecordCheck:
    """Check the record of an audit and the files beside it.

    With ``public_key`` the record must be signed with that key; with ``trust`` its manifest (NAME.c2pa beside it) must
    be by somebody on that list. Either will do where both are given.

    Raises:
        ImageError: if the record cannot be read, or is not one.
        MissingExtraError: if there is a manifest, without c2pa-python.
    """
    try:
        document = _document(_read(path), path)
    except SigningError as error:
        raise ImageError(str(error)) from None
    content, given = document["record"], public_key is not None or bool(trust)
    status, signed_by, reasons = _check_signature(content, document.get("signature"), public_key)
    beside = path.with_name(f"{path.name}.c2pa")
    if beside.is_file() and (status == "none" or (trust and status != "trusted")):
        status, signed_by, reasons = _check_manifest(path, beside, trust)
    files = {name: _state(path.with_name(name), entry) for name, entry in content["files"].items()}
    reasons += [f"{name} is {state}" for name, state in files.items() if state != "intact"]
    return RecordCheck(status, files, signed_by, tuple(reasons), given, content)


def _document(data: bytes, path: Path) -> Json:
    problem = f"{path} is not the record of an audit, or was cut - pass the file that the audit wrote"
    try:
        document = json.loads(data, object_pairs_hook=_unique)
        content = document["record"]
        names, kind = content["files"], (content["type"], content["version"])
        plain_names = all(_is_plain(name) and isinstance(each["sha256"], str) for name, each in names.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ImageError(problem) from None
    if kind != (TYPE, VERSION):
        raise ImageError(f"{path} is a record of another version - check it with the markai that wrote it")
    if not plain_names:
        raise ImageError(problem)
    return dict(document)


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file in the same directory, and can be written down as it is."""
    return name not in ("", ".", "..") and Path(name).name == name == visible(name)


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    """Return an object of JSON; two readers would not see the same in one that says something twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _check_signature(
    content: Json, signature: Any, wanted: "Ed25519PublicKey | None"
) -> tuple[Status, str | None, list[str]]:
    """Return what the Ed25519 signature in a record is worth."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if signature is None:
        return "none", None, ["the record is not signed"]
    try:
        raw = base64.b64decode(signature["public_key"], validate=True)
        value = base64.b64decode(signature["value"], validate=True)
        key = wanted or Ed25519PublicKey.from_public_bytes(raw)
        if signature["algorithm"] != "Ed25519":
            return "invalid", None, ["the signature is of an unknown kind"]
        if key.public_bytes_raw() != raw:
            return "invalid", key_id(raw), ["the record is signed with another key"]
        key.verify(value, PREFIX + canonical(content))
    except InvalidSignature:
        return "invalid", key_id(raw), ["the record was changed after it was signed"]
    except (KeyError, TypeError, ValueError, binascii.Error):
        return "invalid", None, ["the signature is damaged"]
    if wanted:
        return "trusted", key_id(raw), []
    return "valid", key_id(raw), ["it is signed with a key that nobody vouched for"]


def _check_manifest(path: Path, beside: Path, trust: "Trust | None") -> tuple[Status, str | None, list[str]]:
    """Return what the manifest beside a record is worth."""
    from markai.provenance import verify

    found: Verification = verify(path, trust, sidecar=beside, mime=_media_type(path))
    name = (found.signer.organization or found.signer.common_name) if found.signer else None
    status: Status = "trusted" if found.status == "trusted" else "valid" if found.status == "valid" else "invalid"
    reasons = [] if status == "trusted" else [str(reason) for reason in found.reasons]
    return status, name, reasons


def _state(file: Path, entry: Mapping[str, Any]) -> State:
    try:
        return "intact" if _digest(file) == entry["sha256"] else "changed"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
