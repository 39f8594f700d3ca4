"""What the layers say of a file, and the few questions about it that contradictions and verdicts both ask."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from markai.detection import Detection
from markai.errors import SigningError
from markai.provenance import Ingredient, Manifest, Reason, SoftBinding, Verification, codes
from markai.provenance.claim import AI_SOURCE_TYPES
from markai.provenance.softbinding import algorithms_among, algorithms_of
from markai.provenance.xmp import AIGC, SOURCE_TYPE

if TYPE_CHECKING:
    import datetime as dt

    from markai.provenance.registry import Record

# What says that the content is not what was signed, and nothing about the manifest itself.
CONTENT_CHANGED = {f"assertion.{kind}.mismatch" for kind in ("dataHash", "bmffHash", "boxesHash", "collectionHash")}
REMARKS = {
    *(codes.TRUSTED, codes.TIME_TRUSTED, codes.UNKNOWN_PROVENANCE, codes.UNTRUSTED),
    *("algorithm.deprecated", "timeStamp.untrusted"),
}
# Source types with which a mark that a generator writes does not go together. (A screen may show what was generated.)
NOT_GENERATED = {
    *("digitalCapture", "computationalCapture", "compositeCapture", "negativeFilm", "positiveFilm"),
    *("digitalCreation", "humanEdits"),
}
CAPTURED = NOT_GENERATED - {"digitalCreation", "humanEdits"}

Way = Literal["watermark", "manifest"]
Alike = Literal["same", "different", "unclear"]


class Likeness(Protocol):
    """How content agrees with a record's: of pictures the registry's Agreement, of texts ``texts.Likeness``."""

    @property
    def score(self) -> float:
        """1 for the same, about 0 for what is unrelated."""

    @property
    def verdict(self) -> Alike:
        """What that means."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the registry has on a file, found ``by`` its watermark or by the manifest in it.

    ``manifest`` is what the stored manifest says, checked without the file that it was signed with: ``intact`` says
    whether its signature holds and it names this watermark, ``trusted`` whether its signer is on the trust list too.
    ``agreement`` says whether the record is of this content, or the mark was copied; None where that cannot be
    compared. ``exact`` says that the file is the recorded one, byte for byte, ``logged`` that the registry's log holds
    the record as it is.
    """

    record: "Record"
    by: Way
    manifest: Verification
    agreement: Likeness | None
    exact: bool
    logged: bool

    @property
    def intact(self) -> bool:
        """Whether the stored manifest is as it was signed and belongs to the record, which is as it was logged."""
        record, found = self.record, self.manifest
        named = found.manifest_id == record.manifest_id
        bound = self.by == "manifest" or binds(found, record.method, record.payload)
        return self.logged and named and bound and holds(found, record.created)

    @property
    def trusted(self) -> bool:
        """Whether it is intact, and its signer is on the trust list."""
        untrusted = codes.UNTRUSTED in own_codes(self.manifest)
        return self.intact and self.manifest.trust_given and not untrusted

    @property
    def verdict(self) -> Alike:
        """Whether the content is the record's."""
        if self.exact:
            return "same"
        return self.agreement.verdict if self.agreement else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the manifest store (``record.manifest``) and the sketch."""
        row = {key: value for key, value in self.record.to_dict().items() if key not in ("manifest", "sketch")}
        return {
            "by": self.by,
            "record": {"id": self.record.id, **row},
            "intact": self.intact,
            "trusted": self.trusted,
            "logged": self.logged,
            "exact": self.exact,
            "agreement": self.agreement and self.agreement.to_dict(),
            "manifest": self.manifest.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Lookalike:
    """A record whose content looks the same, though nothing in the file leads to it; ``distance`` in bits of 64."""

    record: "Record"
    distance: int
    agreement: Likeness | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "record": self.record.id,
            "created": self.record.created.isoformat(),
            "claim": dict(self.record.claim),
            "distance": self.distance,
            "agreement": self.agreement and self.agreement.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the layers say, before anything is concluded.

    ``key_ids`` are those of the keys that were tried, ``methods`` the marks that were looked for, ``registry`` says
    whether one was asked.
    """

    mime: str
    sha256: str
    manifest: Verification
    key_ids: tuple[str, ...]
    registry: bool
    methods: tuple[str, ...] = ()
    watermark: Detection | None = None
    marks: tuple[Detection, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    records: tuple[Recovered, ...] = ()
    lookalikes: tuple[Lookalike, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def recovered(self) -> Recovered | None:
        """The record that the watermark leads to; else the one of the manifest."""
        return next(iter(self.records), None)

    @property
    def manifest_holds(self) -> bool:
        """Whether there is a manifest as it was signed, whatever became of the content."""
        return holds(self.manifest)

    @property
    def content_changed(self) -> bool:
        """Whether the manifest holds and the content is not what was signed."""
        return self.manifest_holds and bool(own_codes(self.manifest) & CONTENT_CHANGED)

    @property
    def says_generated(self) -> bool:
        """Whether unsigned metadata says that a model made this."""
        return AIGC in self.metadata or bool(AI_SOURCE_TYPES & set(self.metadata.get(SOURCE_TYPE, ())))

    @property
    def says_not_generated(self) -> bool:
        """Whether unsigned metadata says that none did."""
        return bool(NOT_GENERATED & set(self.metadata.get(SOURCE_TYPE, ())))


def holds(found: Verification, recorded: "dt.datetime | None" = None) -> bool:
    """Say whether a manifest is as it was signed, whatever became of the content.

    A certificate that has expired since does no harm where the manifest was recorded before.
    """
    if found.status not in ("trusted", "valid", "invalid"):
        return False
    harmless = CONTENT_CHANGED | REMARKS
    if recorded and found.signer and found.signer.not_after and recorded <= found.signer.not_after:
        harmless = harmless | {codes.EXPIRED}
    return own_codes(found) <= harmless


def own_codes(found: Verification) -> set[str]:
    """Return why a manifest's status is what it is, leaving out what is wrong with its ingredients."""
    others = {reason for each in ingredients(found) for reason in each.reasons}
    return {reason.code for reason in found.reasons if reason not in others}


def ingredients(manifest: Manifest) -> Iterator[Ingredient]:
    """Yield every ingredient, however deep."""
    for each in manifest.ingredients:
        yield each
        yield from ingredients(each)


def binds(manifest: Manifest, method: str | None, payload: bytes | None) -> bool:
    """Say whether a manifest names a watermark."""
    return any(binding.matches(payload or b"") for binding in bindings_of(manifest, method))


def bindings_of(manifest: Manifest, method: str | None) -> list[SoftBinding]:
    """Return what a manifest says of watermarks of a method."""
    try:
        wanted = algorithms_of(method or "")
    except SigningError:
        return []
    return [binding for binding in manifest.soft_bindings if binding.alg in wanted]


def looked_for(evidence: Evidence, binding: SoftBinding, key_id: str | None) -> bool:
    """Say whether the mark that a binding names would have been found, were it there."""
    return key_id in evidence.key_ids and binding.alg in algorithms_among(evidence.methods)


def is_named(evidence: Evidence, recovered: Recovered) -> bool:
    """Say whether the file's manifest is the recorded one, or names it as its history.

    The id alone is no proof of that: whoever signs chooses it.
    """
    known = [evidence.manifest, *ingredients(evidence.manifest)]
    kept = recovered.manifest
    return any(
        (each.manifest_id, each.signer, each.claim) == (kept.manifest_id, kept.signer, kept.claim) for each in known
    )


def reasons_in_words(reasons: tuple[Reason, ...]) -> list[str]:
    """Return the sentences of reasons, each once."""
    return list(dict.fromkeys(reason.sentence for reason in reasons))
