"""The registry of what was marked: from the payload in a picture back to its manifest, its claim and its looks.

    registry = Registry.open("sqlite:///markai.db")
    payload = registry.reserve()                       # into the mark
    record = registry.append(Record(payload=payload, fingerprint=fingerprint(pixels), sketch=sketch(pixels), ...))
    registry.find(payload, key_id)                     # [record]
    agreement(record.sketch, suspect, found.geometry, found.coverage).verdict       # "same", "different", "unclear"

Needs the extra ``registry``; PostgreSQL the extra ``postgres`` as well. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from markai.errors import MissingExtraError

if TYPE_CHECKING:
    from markai.provenance.registry.checking import Check
    from markai.provenance.registry.fingerprints import fingerprint, hamming, text_fingerprint
    from markai.provenance.registry.likeness import Agreement, agreement, sketch
    from markai.provenance.registry.records import ConsistencyProof, InclusionProof, Match, Record, TreeHead
    from markai.provenance.registry.store import Registry
    from markai.provenance.registry.text_likeness import TextAgreement, text_agreement, text_sketch

__all__ = [
    "Agreement",
    "Check",
    "ConsistencyProof",
    "InclusionProof",
    "Match",
    "Record",
    "Registry",
    "TextAgreement",
    "TreeHead",
    "agreement",
    "fingerprint",
    "hamming",
    "sketch",
    "text_agreement",
    "text_fingerprint",
    "text_sketch",
]

_HOME = {
    "Agreement": "likeness",
    "Check": "checking",
    "ConsistencyProof": "records",
    "InclusionProof": "records",
    "Match": "records",
    "Record": "records",
    "Registry": "store",
    "TextAgreement": "text_likeness",
    "TreeHead": "records",
    "agreement": "likeness",
    "fingerprint": "fingerprints",
    "hamming": "fingerprints",
    "sketch": "likeness",
    "text_agreement": "text_likeness",
    "text_fingerprint": "fingerprints",
    "text_sketch": "text_likeness",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("sqlalchemy", "alembic"):
            raise
        raise MissingExtraError.naming(error.name, "registry", "registries") from None
    globals()[name] = value
    return value
