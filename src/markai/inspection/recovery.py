"""From a mark, a manifest or the looks of a file to what the registry has on it, each step checked."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from markai.detection import Detection
from markai.inspection.evidence import Likeness, Lookalike, Recovered, Way
from markai.provenance import Trust, Verification, verify

if TYPE_CHECKING:
    from markai.provenance.registry import Record, Registry

    Compare = Callable[[Record, Detection | None], Likeness | None]

STORE = "application/c2pa"
LOOKS_LIKE = 8  # bits of 64 within which records are compared more closely
MOST_ALIKE = 3


class Recovery:
    """Asks one registry, and believes of what it says only what it can check.

    ``digest`` is the SHA-256 of the file; ``compare`` says how its content agrees with a record, given the mark that
    led there.
    """

    def __init__(self, registry: "Registry", trust: Trust, digest: bytes, compare: "Compare") -> None:
        self._registry, self._trust, self._digest, self._compare = registry, trust, digest, compare

    def by_marks(self, marks: tuple[Detection, ...]) -> list[Recovered]:
        """Return the record of each mark with a payload."""
        found: dict[str, Recovered] = {}
        for mark in marks:
            for record in self._registry.find(mark.payload, mark.key_id) if mark.payload else []:
                if record.id not in found:
                    found[record.id] = self._recovered(record, "watermark", mark)
        return list(found.values())

    def by_manifest(self, found: Verification) -> list[Recovered]:
        """Return the record of the manifest in a file."""
        record = self._registry.find_manifest(found.manifest_id) if found.manifest_id else None
        return [self._recovered(record, "manifest", None)] if record else []

    def by_looks(self, fingerprint: bytes, media: str) -> list[Lookalike]:
        """Return records that show the same as far as can be seen, though nothing leads to them."""
        matches = self._registry.nearest(fingerprint, LOOKS_LIKE, media=media, limit=MOST_ALIKE)
        alike = [Lookalike(each.record, each.distance, self._compare(each.record, None)) for each in matches]
        return [each for each in alike if each.agreement is None or each.agreement.verdict == "same"]

    def _recovered(self, record: "Record", by: Way, mark: Detection | None) -> Recovered:
        head = self._registry.head()
        return Recovered(
            record=record,
            by=by,
            manifest=verify(record.manifest, self._trust, mime=STORE),
            agreement=self._compare(record, mark),
            exact=record.sha256 == self._digest,
            logged=self._registry.inclusion(record, head.size).verify(record, head),
        )
