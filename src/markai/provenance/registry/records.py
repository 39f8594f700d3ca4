"""What the registry keeps of one marked file, and the bytes that its log commits to."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from markai.errors import PayloadError
from markai.payload import MAX_PAYLOAD
from markai.provenance.registry.merkle import leaf_hash, verify_consistency, verify_inclusion

LEAF_VERSION = b"markai record v1"
HASH_BYTES = 32
FINGERPRINT_BYTES = 8
NAME = re.compile(r"[\x20-\x7e]{1,255}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One marked file: what it carries, what it looks like, what was claimed of it, and its signed manifest.

    ``payload`` (0 to 16 bytes) is unique per ``key_id``. ``method`` is the watermark's, ``media_type`` the file's,
    ``sha256`` the digest of the file as it was given out. ``manifest`` is the C2PA manifest store and ``manifest_id``
    the label of its active manifest, unique as well. ``fingerprint`` (8 bytes) finds the file by its looks, and
    ``sketch`` tells whether another picture shows the same (:mod:`.fingerprints`, :mod:`.likeness`). ``claim`` is any
    JSON object. ``created`` is UTC, to the microsecond. ``index`` is the number in the log, None until it is appended.

    >>> record = Record(payload=b"acme:42", key_id="aad476906739de25", method="dwt-dct", media_type="image/png",
    ...                 sha256=bytes(32), claim={"provider": "Acme"}, created=EPOCH)
    >>> record.id, record.leaf.hex()[:16]
    ('aad476906739de25:61636d653a3432', 'bc93e30b499bf7da')

    Raises:
        PayloadError: if the payload is not bytes, or longer than 16.
        ValueError: if another field is not what it must be.
    """

    payload: bytes
    key_id: str
    method: str
    media_type: str
    sha256: bytes
    manifest: bytes = b""
    manifest_id: str | None = None
    fingerprint: bytes | None = None
    sketch: bytes = b""
    claim: Mapping[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    index: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.payload, bytes) or len(self.payload) > MAX_PAYLOAD:
            raise PayloadError(f"a record's payload is 0 to {MAX_PAYLOAD} bytes - store what the mark carries")
        for name in ("key_id", "method", "media_type", "manifest_id"):
            value = getattr(self, name)
            if value is not None and not NAME.fullmatch(value):
                raise ValueError(f"{name} is 1 to 255 printable ASCII characters, not {value!r}")
        if len(self.sha256) != HASH_BYTES:
            raise ValueError(f"sha256 is a digest of {HASH_BYTES} bytes, not {len(self.sha256)} - hashlib...digest()")
        if self.fingerprint is not None and len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(f"a fingerprint has {FINGERPRINT_BYTES} bytes, not {len(self.fingerprint)}")
        if self.created.tzinfo is None:
            raise ValueError("the time has no time zone - use datetime.now(datetime.UTC)")
        object.__setattr__(self, "created", self.created.astimezone(UTC))
        object.__setattr__(self, "claim", json.loads(self.claim_json))

    @property
    def id(self) -> str:
        """Key id and payload in hex: names the record to others and does not tell how many there are."""
        return f"{self.key_id}:{self.payload.hex()}"

    @property
    def claim_json(self) -> str:
        """The claim as the one JSON text that the log commits to: sorted keys, no spaces, ASCII."""
        return json.dumps(dict(self.claim), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def microseconds(self) -> int:
        """``created`` as microseconds since 1970."""
        return (self.created - EPOCH) // MICROSECOND

    @property
    def leaf(self) -> bytes:
        """The record's leaf hash in the log: that of the fields in the order below, each after its length.

        Four bytes, big endian, hold the length plus one, or 0 where there is no value. Of the manifest store and of the
        sketch the log holds digests, so that a record can be proved without handing them out.
        """
        fields = (
            *(LEAF_VERSION, self.payload, self.key_id.encode(), self.method.encode(), self.media_type.encode()),
            self.sha256,
            hashlib.sha256(self.manifest).digest(),
            None if self.manifest_id is None else self.manifest_id.encode(),
            self.fingerprint,
            hashlib.sha256(self.sketch).digest(),
            self.claim_json.encode(),
            str(self.microseconds).encode(),
        )
        return leaf_hash(
            b"".join(bytes(4) if value is None else (len(value) + 1).to_bytes(4, "big") + value for value in fields)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, bytes as hex; :meth:`from_dict` is the way back."""
        return {
            "index": self.index,
            "payload": self.payload.hex(),
            "key_id": self.key_id,
            "method": self.method,
            "media_type": self.media_type,
            "sha256": self.sha256.hex(),
            "manifest": self.manifest.hex(),
            "manifest_id": self.manifest_id,
            "fingerprint": None if self.fingerprint is None else self.fingerprint.hex(),
            "sketch": self.sketch.hex(),
            "claim": dict(self.claim),
            "created": self.created.isoformat(),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """Return the record that :meth:`to_dict` wrote.

        Raises:
            ValueError: if a value is not what it must be.
            KeyError: if one is missing.
        """
        values: dict[str, Any] = {name: row[name] for name in cls.__dataclass_fields__}
        for name in ("payload", "sha256", "manifest", "sketch", "fingerprint"):
            if values[name] is not None:
                values[name] = bytes.fromhex(values[name])
        return cls(**{**values, "created": datetime.fromisoformat(row["created"])})


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What the log was at some moment: how many records, and the root over them.

    Kept where the registry's owner cannot rewrite it (published, time-stamped, sent to an auditor), it holds the
    registry to every record that it had then.
    """

    size: int
    root: bytes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the root as hex."""
        return {"size": self.size, "root": self.root.hex()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """Return the head that :meth:`to_dict` wrote."""
        return cls(int(row["size"]), bytes.fromhex(row["root"]))


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a record is number ``index`` of the log when it had ``size`` records (RFC 9162)."""

    index: int
    size: int
    path: Sequence[bytes]

    def verify(self, record: Record, head: TreeHead) -> bool:
        """Whether the log of that head holds this record; nothing but the three is needed to tell."""
        return head.size == self.size and verify_inclusion(record.leaf, self.index, self.size, self.path, head.root)


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the log of ``old`` records is the beginning of that of ``new`` (RFC 9162)."""

    old: int
    new: int
    path: Sequence[bytes]

    def verify(self, old: TreeHead, new: TreeHead) -> bool:
        """Whether nothing that the older head covers was changed, taken out or put in."""
        sizes = (old.size, new.size) == (self.old, self.new)
        return sizes and verify_consistency(self.old, self.new, old.root, new.root, self.path)


@dataclass(frozen=True, slots=True)
class Match:
    """A record found by its fingerprint, and in how many of the 64 bits it differs."""

    record: Record
    distance: int
