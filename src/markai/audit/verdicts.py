"""The verdict of a row: one table from what the inspector concludes and what unsigned metadata claims."""

from collections.abc import Iterator, Mapping
from typing import Any

from markai.audit.disagreements import SENTENCES
from markai.audit.traces import Metadata
from markai.audit.words import say
from markai.inspection.verdicts import Verdict
from markai.inspector import Finding
from markai.provenance import Claim

Said = dict[str, Any]

CODES = {
    Verdict.GENERATED: "generated",
    Verdict.EDITED: "edited",
    Verdict.RECOVERED: "recovered",
    Verdict.COPIED: "copied",
    Verdict.CONTRADICTORY: "contradictory",
    Verdict.CAMERA: "camera",
    Verdict.HUMAN: "human",
    Verdict.SIGNED: "signed",
    Verdict.CLAIMED: "generated-claimed",
    Verdict.RESEMBLES: "resembles",
    Verdict.INVALID: "damaged",
    Verdict.NOTHING: "unknown",
}
# Verdicts that rest on no proof, so that what EXIF, PNG texts and the like claim may say more than they do. That a
# model was used goes before everything that denies it: few write so who did not use one.
OPEN = {Verdict.CAMERA, Verdict.HUMAN, Verdict.RESEMBLES, Verdict.NOTHING}
PROVEN = {"generated", "recovered", "edited", "signed"}  # where a layer that proves something holds
CAMERA_AND_MARK = "metadata.camera-and-mark"
STATED = {"generated-claimed", "camera", "human"}
NOT_EXAMINED: Said = {
    "code": "none",
    "sentence": say("verdict.none.sentence"),
    "by": None,
    "layers": [],
    "sure": "none",
}


def verdict(finding: Finding, metadata: Metadata, *, damaged: bool = False) -> Said:
    """Return the verdict of a row; ``damaged`` says that the content itself cannot be read.

    | inspector                      | metadata (EXIF, PNG, XMP...)    | verdict           | sure                     |
    |--------------------------------|---------------------------------|-------------------|--------------------------|
    | generated, recovered, edited   | anything                        | the same          | proven; claimed where    |
    |                                |                                 |                   | only somebody untrusted  |
    |                                |                                 |                   | signed                   |
    | copied mark, contradictory     | anything                        | the same          | none                     |
    | signed                         | anything                        | the same          | proven; else claimed     |
    | claimed generated              | anything                        | generated-claimed | claimed                  |
    | invalid manifest               | anything                        | damaged           | none                     |
    | camera, human (by a signature) | anything                        | the same          | claimed                  |
    | camera, human (unsigned),      | says that a model made or       | generated-claimed | claimed                  |
    | resembles, nothing             | edited it                       |                   |                          |
    | camera, human (unsigned)       | says nothing of a model         | the same          | claimed                  |
    | resembles                      | says nothing of a model         | resembles         | none                     |
    | nothing                        | names a camera, content damaged | camera, damaged   | claimed, none            |
    | nothing                        | nothing                         | unknown           | none                     |
    """
    code = _code(finding, metadata, damaged)
    return {
        "code": code,
        "sentence": say(f"verdict.{code}.sentence"),
        "by": _by(finding, metadata, code),
        "layers": list(_layers(finding, metadata, code)),
        "sure": _sure(finding, code),
    }


def _code(finding: Finding, metadata: Metadata, damaged: bool) -> str:
    signed = finding.manifest.status in ("trusted", "valid")
    if finding.verdict not in OPEN or signed:
        return CODES[finding.verdict]
    if metadata.claims("generated") or metadata.claims("edited with AI"):
        return CODES[Verdict.CLAIMED]
    if finding.verdict is Verdict.NOTHING:
        return "damaged" if damaged else "camera" if metadata.claims("camera") else "unknown"
    return CODES[finding.verdict]


def _sure(finding: Finding, code: str) -> str:
    if code in STATED:
        return "claimed"
    if code not in PROVEN:
        return "none"
    recovered = finding.recovered
    if code == "recovered" and recovered is not None and recovered.verdict == "unclear":
        return "claimed"
    return "proven" if finding.watermark or _signer_counts(finding) else "claimed"


def _signer_counts(finding: Finding) -> bool:
    """Say whether the signature is by somebody trusted, or nobody was asked to be.

    Where the content was changed the status is "invalid", whoever signed.
    """
    found = finding.manifest
    if found:
        return True
    untrusted = any(reason.code == "signingCredential.untrusted" for reason in found.reasons)
    return finding.content_changed and not (found.trust_given and untrusted)


def _layers(finding: Finding, metadata: Metadata, code: str) -> Iterator[str]:
    """Yield the layers that a verdict rests on."""
    if finding.watermark:
        yield "watermark"
    if finding.manifest.status not in ("none", "unsupported"):
        yield "manifest"
    claimed = code in STATED and (metadata.traces or finding.says_generated or finding.says_not_generated)
    if claimed or (code == "contradictory" and (metadata.traces or finding.metadata)):
        yield "metadata"
    if finding.records or (code == "resembles" and finding.lookalikes):
        yield "record"


def _by(finding: Finding, metadata: Metadata, code: str) -> dict[str, str | None] | None:
    """Return who and what made it, by the surest layer that says so."""
    if code in ("copied", "contradictory", "unknown", "damaged", "camera", "human"):
        return None
    recovered = finding.recovered
    if recovered is not None and recovered.intact and (claim := Claim.from_dict(dict(recovered.record.claim))):
        return _named(claim.provider, claim.system, claim.version)
    if finding.manifest_holds:
        if finding.manifest.claim:
            claim = finding.manifest.claim
            return _named(claim.provider, claim.system, claim.version)
        if finding.manifest.generator:
            return _named(None, finding.manifest.generator, None)
    return _claimed_by(metadata)


def _claimed_by(metadata: Metadata) -> dict[str, str | None] | None:
    if metadata.iptc.get("system"):
        return _named(metadata.disclosure.get("provider"), metadata.iptc["system"], metadata.iptc.get("version"))
    named = (each.generator for each in metadata.traces if each.claims in ("generated", "edited with AI"))
    generator = next((each for each in named if each), None)
    return _named(None, generator, None) if generator else None


def _named(provider: str | None, system: str | None, version: str | None) -> dict[str, str | None]:
    return {"provider": provider, "system": system, "version": version}


def against_a_camera(finding: Finding, metadata: Metadata) -> Iterator[Said]:
    """Yield the contradiction where a file has a mark, and settings of an exposure by a camera."""
    if finding.watermark and metadata.camera and metadata.camera["exposure"]:
        camera = f"{metadata.camera['make']} {metadata.camera['model']}".strip()
        evidence = {"camera": camera, "key_id": finding.watermark.key_id, "p_value": finding.watermark.p_value}
        yield {"code": CAMERA_AND_MARK, "sentence": SENTENCES[CAMERA_AND_MARK], "evidence": evidence}


def record_of(finding: Finding) -> Said | None:
    """Return in short what the registry has on a file."""
    recovered = finding.recovered
    if recovered is None:
        return None
    record = recovered.record
    claim: Mapping[str, Any] = record.claim
    return {
        "id": record.id,
        "created": record.created.isoformat(),
        **{name: claim.get(name) for name in ("provider", "system", "version")},
        "manifest_id": record.manifest_id,
        "by": recovered.by,
        "intact": recovered.intact,
        "shows": recovered.verdict,
    }


def recovered_manifest(finding: Finding) -> Said | None:
    """Return the stored manifest that the watermark leads to, where the file holds none that stands."""
    found = next((each for each in finding.records if each.by == "watermark" and each.intact), None)
    if found is None or finding.manifest_holds or found.verdict == "different":
        return None
    return found.manifest.to_dict()
