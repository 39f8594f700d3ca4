"""What all layers together come to: one verdict, and why in plain words."""

from enum import StrEnum

from markai.inspection.contradictions import (
    BINDING_MISMATCH,
    COPIED_MARK,
    FOREIGN_MANIFEST,
    SOURCE_DISAGREES,
    Contradiction,
)
from markai.inspection.evidence import CAPTURED, NOT_GENERATED, Evidence, Recovered, binds, own_codes, reasons_in_words
from markai.provenance import Claim, Manifest, SignedBy, codes
from markai.provenance.claim import AI_SOURCE_TYPES
from markai.provenance.xmp import AIGC, SOURCE_TYPE, SYSTEM


class Verdict(StrEnum):
    """What the inspector concludes; ``sentence`` says what that means and what not.

    >>> Verdict.NOTHING.value, Verdict("recovered").sentence
    ('nothing found', 'The provenance was lost from the file and found again through its mark.')
    """

    GENERATED = "generated"
    EDITED = "edited after marking"
    RECOVERED = "recovered"
    COPIED = "copied mark"
    CONTRADICTORY = "contradictory"
    CAMERA = "claimed camera"
    HUMAN = "claimed human"
    SIGNED = "signed"
    CLAIMED = "claimed generated"
    RESEMBLES = "resembles a record"
    INVALID = "invalid manifest"
    NOTHING = "nothing found"

    @property
    def sentence(self) -> str:
        """What the verdict means."""
        return SENTENCES[self]


SENTENCES = {
    Verdict.GENERATED: "A model made this, or a part of it.",
    Verdict.EDITED: "This was signed, and changed after that.",
    Verdict.RECOVERED: "The provenance was lost from the file and found again through its mark.",
    Verdict.COPIED: "The mark was copied onto this from other content: it proves nothing about this.",
    Verdict.CONTRADICTORY: "What the layers say cannot all be true: believe none of them alone.",
    Verdict.CAMERA: "Somebody says that a camera took this.",
    Verdict.HUMAN: "Somebody says that this was made or edited without a generative model.",
    Verdict.SIGNED: "Somebody signed this without saying that a model or a camera made it.",
    Verdict.CLAIMED: "The file says that a model made this, and nobody who is trusted vouches for that.",
    Verdict.RESEMBLES: "This looks like something that was recorded, but nothing in it proves that it is that.",
    Verdict.INVALID: "There is a manifest, and it is not as it was signed: believe nothing that it says.",
    Verdict.NOTHING: "Nothing was found, which is not proof of human origin.",
}
ESTABLISHED = {Verdict.GENERATED, Verdict.RECOVERED}
VOUCHED = {Verdict.CAMERA, Verdict.HUMAN, Verdict.SIGNED}  # as good as who signed it
ALIKE = {"same": "shows the same", "different": "shows something else", "unclear": "cannot be compared surely"}


def decide(evidence: Evidence, found: tuple[Contradiction, ...]) -> Verdict:
    """Return the verdict."""
    named = {each.code for each in found}
    if COPIED_MARK in named:
        return Verdict.COPIED
    if named & {SOURCE_DISAGREES, BINDING_MISMATCH, FOREIGN_MANIFEST}:
        return Verdict.CONTRADICTORY
    if evidence.manifest.status in ("trusted", "valid"):
        return _by_manifest(evidence)
    if evidence.content_changed:
        return Verdict.EDITED
    if evidence.watermark:
        recovered = evidence.recovered
        return Verdict.RECOVERED if recovered and recovered.intact else Verdict.GENERATED
    return _without_proof(evidence)


def _by_manifest(evidence: Evidence) -> Verdict:
    said = _by_source(evidence.manifest.source_type)
    if said is Verdict.GENERATED and not (evidence.manifest or confirmed(evidence)):
        return Verdict.CLAIMED
    return said


def _by_source(source_type: str | None) -> Verdict:
    if source_type in AI_SOURCE_TYPES:
        return Verdict.GENERATED
    if source_type in NOT_GENERATED:
        return Verdict.CAMERA if source_type in CAPTURED else Verdict.HUMAN
    return Verdict.SIGNED


def confirmed(evidence: Evidence) -> bool:
    """Say whether the mark, which needs the key, is the one that the manifest names, or that of a record of this."""
    mark, recovered = evidence.watermark, evidence.recovered
    if mark is None or not mark:
        return False
    led = recovered is not None and recovered.by == "watermark" and recovered.intact and recovered.verdict == "same"
    return led or binds(evidence.manifest, mark.method, mark.payload)


def _without_proof(evidence: Evidence) -> Verdict:
    if evidence.manifest.status in ("invalid", "damaged"):
        return Verdict.INVALID
    if evidence.says_generated:
        return Verdict.CLAIMED
    if evidence.says_not_generated:
        return Verdict.CAMERA if CAPTURED & set(evidence.metadata[SOURCE_TYPE]) else Verdict.HUMAN
    return Verdict.RESEMBLES if evidence.lookalikes else Verdict.NOTHING


def established(evidence: Evidence, verdict: Verdict, found: tuple[Contradiction, ...]) -> bool:
    """Say whether the verdict rests on something that was proved and that nothing contradicts."""
    recovered = evidence.recovered
    if verdict is Verdict.RECOVERED and recovered and recovered.verdict == "unclear":
        return False
    return not found and (verdict in ESTABLISHED or (verdict in VOUCHED and bool(evidence.manifest)))


# In words


def layers(evidence: Evidence) -> dict[str, str]:
    """Return what each layer says, a sentence for each."""
    said = {
        "manifest": _manifest_in_words(evidence),
        "watermark": _watermark_in_words(evidence),
        "registry": _registry_in_words(evidence),
        "metadata": _metadata_in_words(evidence),
    }
    return {name: sentence for name, sentence in said.items() if sentence}


def _manifest_in_words(evidence: Evidence) -> str:
    manifest = evidence.manifest
    if manifest.status in ("none", "unsupported"):
        return " ".join(reasons_in_words(manifest.reasons))
    if not evidence.manifest_holds:
        return "Not valid: " + " ".join(reasons_in_words(manifest.reasons))
    trusted = manifest.trust_given and codes.UNTRUSTED not in own_codes(manifest)
    state = "the content was changed after it was signed" if evidence.content_changed else "intact"
    return f"{_made(manifest)}; {state}; signed by {_signer(manifest.signer, trusted, manifest.trust_given)}."


def _made(manifest: Manifest) -> str:
    claim = f"{system_of(manifest.claim)}, {manifest.claim.when}" if manifest.claim else manifest.generator or "nothing"
    kind = f" ({manifest.source_type})" if manifest.source_type else ""
    return f"Says {claim}{kind}"


def system_of(claim: Claim) -> str:
    """Return what made something, as one phrase."""
    return f"{claim.system} {claim.version} of {claim.provider}"


def _signer(signer: SignedBy | None, trusted: bool, trust_given: bool) -> str:
    name = (signer and (signer.organization or signer.common_name)) or "somebody without a name"
    if trusted:
        return f"{name}, who is on the trust list"
    return f"{name}, as it says, who is not on the trust list" if trust_given else f"{name}, as it says"


def _watermark_in_words(evidence: Evidence) -> str:
    mark = evidence.watermark
    if mark is None:
        return ""
    if not mark:
        return "No mark of these keys" + (
            f" ({'; '.join(mark.reasons)})." if mark.reasons else f" (p = {mark.p_value:.2g})."
        )
    carried = f"payload {mark.payload.hex()}" if mark.payload else "no payload that can be read"
    share = mark.coverage.share if mark.coverage else 1.0
    part = f", on {share:.0%} of the picture" if share < 0.9 else ""
    led = any(each.by == "watermark" for each in evidence.records)
    sure = "" if led else " Whether it was copied from elsewhere only the record of it could tell."
    alike = [each.method for each in evidence.marks if (each.key_id, each.payload) == (mark.key_id, mark.payload)]
    methods = " and ".join(dict.fromkeys(map(str, [mark.method, *alike])))
    return f"A mark of key {mark.key_id} ({methods}, p = {mark.p_value:.2g}{part}), {carried}.{sure}"


def _registry_in_words(evidence: Evidence) -> str:
    if not evidence.registry:
        return ""
    if evidence.records:
        return " ".join(_record_in_words(each) for each in evidence.records)
    if evidence.lookalikes:
        first = evidence.lookalikes[0]
        return f"Nothing leads to a record, but {first.record.id} looks like this ({first.distance} of 64 bits differ)."
    return "No record." if evidence.watermark or evidence.manifest.manifest_id else ""


def _record_in_words(recovered: Recovered) -> str:
    record = recovered.record
    claim = Claim.from_dict(dict(record.claim))
    made = f" by {system_of(claim)}" if claim else ""
    exact = ", byte for byte" if recovered.exact else ""
    score = f" (agreement {recovered.agreement.score:.2f})" if recovered.agreement else ""
    state = "intact" + (", signer trusted" if recovered.trusted else "") if recovered.intact else "not to be relied on"
    return (
        f"The {recovered.by} leads to record {record.id} of {record.created:%Y-%m-%d %H:%M} UTC{made}, which "
        f"{ALIKE[recovered.verdict]}{exact or score}; its manifest {record.manifest_id or 'is missing'}: {state}."
    )


def _metadata_in_words(evidence: Evidence) -> str:
    said = {name: values for name, values in evidence.metadata.items() if name in (SOURCE_TYPE, SYSTEM, AIGC)}
    parts = [f"{name.partition(':')[2]} {' and '.join(values)}" for name, values in said.items()]
    return f"Says {', '.join(parts)}." if parts else ""
