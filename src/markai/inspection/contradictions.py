"""Where the layers of a file say different things: each contradiction as data, with a code, a sentence and evidence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from markai.detection import Detection
from markai.inspection.evidence import (
    NOT_GENERATED,
    Evidence,
    Recovered,
    bindings_of,
    binds,
    ingredients,
    is_named,
    looked_for,
    reasons_in_words,
)
from markai.provenance import SoftBinding
from markai.provenance.claim import AI_SOURCE_TYPES

COPIED_MARK = "copied-mark"
SOURCE_DISAGREES = "source-disagrees"
BINDING_MISMATCH = "binding-mismatch"
FOREIGN_MANIFEST = "foreign-manifest"
EDITED_AFTER_SIGNING = "edited-after-signing"
SEVERAL_MARKS = "several-marks"
MARK_MISSING = "mark-missing"
OTHER_MANIFEST = "other-manifest"
RECORD_BROKEN = "record-broken"
METADATA_DISAGREES = "metadata-disagrees"
HISTORY_INVALID = "history-invalid"

SENTENCES = {
    COPIED_MARK: "The mark belongs to other content: the record that it leads to shows something else, so it was "
    "copied from there onto this.",
    SOURCE_DISAGREES: "The file says that no model made this, and its mark says that one did. (A camera may have "
    "photographed a generated picture.)",
    BINDING_MISMATCH: "The manifest names another mark than the one that is in the content.",
    FOREIGN_MANIFEST: "The manifest was made for other content, or this was changed beyond recognition: it does not "
    "look like what was recorded with that manifest.",
    EDITED_AFTER_SIGNING: "The manifest is as it was signed, but the content, or the metadata in the file, was changed "
    "after that.",
    SEVERAL_MARKS: "There are several marks: parts come from different content, or it was marked twice.",
    MARK_MISSING: "The manifest names a mark that is not in the content, though its key is at hand: it was removed, or "
    "the manifest comes from elsewhere.",
    OTHER_MANIFEST: "The mark was recorded with another manifest than the one in the file, which does not name that as "
    "where it comes from: somebody signed it again and left out its history.",
    RECORD_BROKEN: "The record that the mark leads to cannot be relied on: it was altered, or the manifest in it is "
    "not as it was signed or names another mark.",
    METADATA_DISAGREES: "The metadata of the file says something else about how it was made than its manifest.",
    HISTORY_INVALID: "Something that the content was made from was changed after it was signed itself.",
}


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two layers that cannot both be right: a stable ``code``, a sentence, and the ``evidence`` as plain values.

    >>> str(Contradiction("several-marks"))
    'There are several marks: parts come from different content, or it was marked twice. (several-marks)'
    """

    code: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What the code means."""
        return SENTENCES[self.code]

    def __str__(self) -> str:
        return f"{self.sentence} ({self.code})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"code": self.code, "sentence": self.sentence, "evidence": self.evidence}


def contradictions(evidence: Evidence) -> tuple[Contradiction, ...]:
    """Return every contradiction, the worst first, each code once."""
    found: dict[str, Contradiction] = {}
    for rule in RULES:
        for each in rule(evidence):
            found.setdefault(each.code, each)
    return tuple(found.values())


def _copied(evidence: Evidence) -> Iterator[Contradiction]:
    for each in evidence.records:
        if each.by == "watermark" and each.verdict == "different":
            yield Contradiction(COPIED_MARK, _compared(each))


def _source(evidence: Evidence) -> Iterator[Contradiction]:
    said, where = _denied(evidence)
    if not said or not evidence.watermark:
        return
    for each in evidence.records:
        if each.by == "watermark" and each.verdict != "different" and _is_ai(each):
            generated = {"record": each.record.id, "record_says": each.record.claim.get("sourceType")}
            yield Contradiction(SOURCE_DISAGREES, {"says": said, "where": where, **generated})
    if not any(each.by == "watermark" for each in evidence.records) and not _bound(evidence, evidence.watermark):
        mark = {"key_id": evidence.watermark.key_id, "p_value": evidence.watermark.p_value}
        yield Contradiction(SOURCE_DISAGREES, {"says": said, "where": where, **mark})


def _denied(evidence: Evidence) -> tuple[str | None, str]:
    """Return the source type with which the file denies that a model made it, and which layer does."""
    if evidence.manifest_holds and evidence.manifest.source_type in NOT_GENERATED:
        return evidence.manifest.source_type, "manifest"
    if evidence.says_not_generated:
        values = {value for each in evidence.metadata.values() for value in each}
        return min(NOT_GENERATED & values), "metadata"
    return None, ""


def _binding(evidence: Evidence) -> Iterator[Contradiction]:
    if not evidence.manifest_holds:
        return
    for mark in evidence.marks:
        stated = bindings_of(evidence.manifest, mark.method)
        if mark.payload and stated and not _bound(evidence, mark):
            found = {"payload": mark.payload.hex(), "key_id": mark.key_id}
            yield Contradiction(BINDING_MISMATCH, {"stated": [each.to_dict() for each in stated], "found": found})


def _foreign(evidence: Evidence) -> Iterator[Contradiction]:
    for each in evidence.records:
        if each.by == "manifest" and evidence.content_changed and each.verdict == "different":
            yield Contradiction(FOREIGN_MANIFEST, _compared(each))


def _edited(evidence: Evidence) -> Iterator[Contradiction]:
    if evidence.content_changed:
        yield Contradiction(EDITED_AFTER_SIGNING, {"reasons": [each.code for each in evidence.manifest.reasons]})


def _several(evidence: Evidence) -> Iterator[Contradiction]:
    distinct = {(mark.key_id, mark.payload): mark for mark in evidence.marks}
    if len(distinct) > 1 and not all(_bound(evidence, mark) for mark in distinct.values()):
        marks = [
            {
                "payload": None if mark.payload is None else mark.payload.hex(),
                "key_id": mark.key_id,
                "share": round(mark.coverage.share, 3) if mark.coverage else None,
            }
            for mark in distinct.values()
        ]
        yield Contradiction(SEVERAL_MARKS, {"marks": marks})


def _missing(evidence: Evidence) -> Iterator[Contradiction]:
    if evidence.watermark is None or evidence.watermark or not evidence.manifest_holds:
        return
    for binding in evidence.manifest.soft_bindings:
        key_id = key_of(evidence, binding)
        if looked_for(evidence, binding, key_id):
            yield Contradiction(MARK_MISSING, {"stated": binding.to_dict(), "key_id": key_id})


def key_of(evidence: Evidence, binding: SoftBinding) -> str | None:
    """Return the key under which a manifest's mark was made, if it says so or the registry knows."""
    records = [each.record for each in evidence.records if each.by == "manifest"]
    recorded = next((record.key_id for record in records if binding.matches(record.payload)), None)
    return binding.key_id or recorded


def _other(evidence: Evidence) -> Iterator[Contradiction]:
    if not evidence.manifest_holds:
        return
    for each in evidence.records:
        if each.intact and each.verdict != "different" and not is_named(evidence, each):
            found = evidence.manifest.manifest_id
            yield Contradiction(OTHER_MANIFEST, {"recorded": each.record.manifest_id, "found": found})


def _record(evidence: Evidence) -> Iterator[Contradiction]:
    for each in evidence.records:
        if not (each.intact or (each.logged and not each.record.manifest)):
            reasons = reasons_in_words(each.manifest.reasons)
            yield Contradiction(RECORD_BROKEN, {"record": each.record.id, "logged": each.logged, "reasons": reasons})


def _metadata(evidence: Evidence) -> Iterator[Contradiction]:
    if not evidence.manifest_holds:
        return
    said = evidence.manifest.source_type
    if (said in AI_SOURCE_TYPES and evidence.says_not_generated) or (said in NOT_GENERATED and evidence.says_generated):
        stated = {name: list(values) for name, values in evidence.metadata.items()}
        yield Contradiction(METADATA_DISAGREES, {"manifest": said, "metadata": stated})


def _history(evidence: Evidence) -> Iterator[Contradiction]:
    broken = [each for each in ingredients(evidence.manifest) if each.status in ("invalid", "damaged")]
    if broken:
        named = [{"manifest_id": each.manifest_id, "reasons": reasons_in_words(each.reasons)} for each in broken]
        yield Contradiction(HISTORY_INVALID, {"ingredients": named})


RULES: tuple[Callable[[Evidence], Iterator[Contradiction]], ...] = (
    *(_copied, _source, _binding, _foreign, _other, _record, _missing, _several, _edited, _metadata, _history),
)


def _bound(evidence: Evidence, mark: Detection) -> bool:
    """Whether the manifest, or one of those that it names as its history, names this mark."""
    if not evidence.manifest_holds:
        return False
    manifests = [evidence.manifest, *ingredients(evidence.manifest)]
    return any(binds(each, mark.method, mark.payload) for each in manifests)


def _is_ai(recovered: Recovered) -> bool:
    return recovered.record.claim.get("sourceType") in AI_SOURCE_TYPES


def _compared(recovered: Recovered) -> dict[str, Any]:
    agreement = recovered.agreement.to_dict() if recovered.agreement else None
    return {"record": recovered.record.id, "manifest_id": recovered.record.manifest_id, "agreement": agreement}
