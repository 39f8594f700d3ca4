"""Records as rows of the tables, and rows as records."""

import json
import zlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from markai.errors import RegistryError
from markai.provenance.registry.bands import BANDS, original, rotations
from markai.provenance.registry.records import EPOCH, Record
from markai.provenance.registry.schema import contents, records

MOST_MANIFEST = 1 << 28  # bytes that a stored manifest may inflate to
BAND_NAMES = tuple(f"band{band}" for band in range(BANDS))

# An outer join: a record whose contents are gone must be noticed, not passed over.
everything = select(records, contents.c.manifest, contents.c.sketch).join_from(records, contents, isouter=True)


def record_row(number: int, record: Record) -> dict[str, Any]:
    """Return the row of a record in the table of records."""
    turned = (None,) * BANDS if record.fingerprint is None else rotations(record.fingerprint)
    return {
        "number": number,
        **{name: getattr(record, name) for name in ("payload", "key_id", "method", "media_type", "sha256")},
        "manifest_id": record.manifest_id,
        "claim": record.claim_json,
        "created": record.microseconds,
        **dict(zip(BAND_NAMES, turned, strict=True)),
    }


def contents_row(number: int, record: Record) -> dict[str, Any]:
    """Return the row of a record in the table of contents."""
    return {"number": number, "manifest": zlib.compress(record.manifest), "sketch": record.sketch}


def record_of(row: "Row[Any]") -> Record:
    """Return the record that a row of ``everything`` holds.

    Raises:
        RegistryError: if the row cannot be a record's.
    """
    try:
        turned = tuple(getattr(row, name) for name in BAND_NAMES)
        fingerprint = None if row.band0 is None else original(row.band0)
        if fingerprint is not None and turned != rotations(fingerprint):
            raise ValueError("the bands of the fingerprint differ")
        return Record(
            payload=bytes(row.payload),
            key_id=row.key_id,
            method=row.method,
            media_type=row.media_type,
            sha256=bytes(row.sha256),
            manifest=_inflated(row.manifest),
            manifest_id=row.manifest_id,
            fingerprint=fingerprint,
            sketch=bytes(row.sketch),
            claim=json.loads(row.claim),
            created=EPOCH + timedelta(microseconds=row.created),
            index=row.number,
        )
    except (ValueError, TypeError, ArithmeticError, zlib.error) as error:
        reason = f"record {row.number} of the registry is damaged ({error})"
        raise RegistryError(f"{reason} - run Registry.check() and restore a backup") from error


def numbered(record: Record, number: int) -> Record:
    """Return a record as the log has it."""
    return replace(record, index=number)


def _inflated(data: bytes) -> bytes:
    machine = zlib.decompressobj()
    whole = machine.decompress(data, MOST_MANIFEST)
    if not machine.eof or machine.unused_data:
        raise ValueError("its manifest is not whole")
    return whole
