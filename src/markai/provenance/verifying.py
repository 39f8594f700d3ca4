"""Verification: what c2pa reports, judged.

c2pa-rs takes any list for any purpose, calls a child of a tampered parent trusted, and raises six kinds of errors for
damage. Here the two trust lists are kept apart, ingredients have a status of their own, and damage is a status.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import markai.provenance.c2pa_adapter as c2pa_adapter
import markai.provenance.codes as codes
import markai.provenance.media as media
from markai.errors import ImageError
from markai.provenance.c2pa_adapter import BOTH_LISTS, MANIFEST_LIST, TSA_LIST, Failure, Json, Report
from markai.provenance.certs import DEVELOPMENT
from markai.provenance.claim import AI_SOURCE_TYPES, DISCLOSURE, Claim, source_type_name
from markai.provenance.codes import Reason
from markai.provenance.softbinding import ASSERTION, from_assertion
from markai.provenance.trust import Trust
from markai.provenance.verification import Ingredient, Manifest, SignedBy, Status, Verification

# Who is found in the list of allowed signers is found "in []"; there is one only among the manifest lists.
TRUSTED_BY = re.compile(r"signing certificate trusted, found in \[(.*)\] trust anchors")
TRUSTED_CLOCKS = (f", trust list: {TSA_LIST}", f", trust list: {BOTH_LISTS}")
FAILURE_STATUS: dict[str, tuple[Status, str]] = {
    "none": ("none", codes.NO_MANIFEST),
    "remote": ("none", codes.INACCESSIBLE),
    "unsupported": ("unsupported", codes.UNSUPPORTED),
    "damaged": ("damaged", codes.DAMAGED),
}
WORTH_SAYING = {codes.TRUSTED, codes.TIME_TRUSTED, codes.UNKNOWN_PROVENANCE, "algorithm.deprecated"}
MAX_DEPTH, MAX_TEXT = 50, 1000


def verify(
    data: bytes | str | os.PathLike[str],
    trust: Trust | None = None,
    *,
    sidecar: bytes | str | os.PathLike[str] | None = None,
    mime: str | None = None,
) -> Verification:
    """Check the C2PA manifest of a file: whether it is intact, and whether its signer is trusted.

    ``data`` is the bytes of a file or a path. ``sidecar`` is the manifest store that belongs to it, or the path of
    one; without it, one that lies beside the path (photo.jpg.c2pa, photo.c2pa) is taken where the file holds none.
    ``mime`` is the media type of what has no signature of its own. Nothing is fetched from the network. A damaged
    file is a status, not an error.

    >>> import markai
    >>> from markai.provenance import Claim
    >>> signer = markai.Signer.development("Acme")
    >>> signed = markai.sign(b"a short text", signer, Claim("Acme", "AcmeLM", "1"), mime="text/plain")
    >>> markai.verify(signed, signer.trust()).status, markai.verify(signed).status
    ('trusted', 'valid')
    >>> markai.verify(b"a short test", signer.trust(), sidecar=signed.sidecar, mime="text/plain").reasons[0].code
    'assertion.dataHash.mismatch'

    Raises:
        ImageError: if a path cannot be read, or is too large.
        MissingExtraError: without c2pa-python.
    """
    trusted = trust if trust is not None else Trust.none()
    beside = getattr(data, "sidecar", None) if sidecar is None else sidecar
    source = media.load(data, mime or getattr(data, "mime", None))
    store = beside if isinstance(beside, bytes | None) else media.read_sidecar(beside)
    found = c2pa_adapter.read(source.data, source.mime, trusted, store)
    if store is None and source.path and isinstance(found, Failure) and found.kind in ("none", "unsupported"):
        store = _beside(source.path)
        if store is not None:
            found = c2pa_adapter.read(source.data, source.mime, trusted, store)
    if isinstance(found, Failure):
        status, code = FAILURE_STATUS[found.kind]
        reason = Reason(code, detail=found.problem)
        return Verification(status=status, reasons=(reason,), mime=source.mime, trust_given=bool(trusted))
    return _judge(found, trusted, source.data, source.mime, store)


def _beside(path: Path) -> bytes | None:
    for candidate in media.sidecar_paths(path):
        if candidate != path and candidate.is_file():
            with suppress(ImageError):
                return media.read_sidecar(candidate)
    return None


def _judge(report: Report, trust: Trust, data: bytes, mime: str, sidecar: bytes | None) -> Verification:
    reader = _Reader(report, trust)
    if trust.tsa and reader.rests_on_others():
        # Who signed an ingredient may be on either list: ask once more with the list for manifests alone.
        again = c2pa_adapter.read(data, mime, Trust(manifest=trust.manifest, allowed=trust.allowed), sidecar)
        reader.signers_alone = again if isinstance(again, Report) else None
    label = _text(report.store.get("active_manifest")) or ""
    manifest = reader.manifest(label, {label})
    results = _results(_at(report.store, "validation_results", "activeManifest"))
    time_trusted = any(_is_tsa(each) for each in results["success"])
    failures = results["failure"] + [each for each in reader.delta_failures() if each.code != codes.UNTRUSTED]
    if _has_expired(manifest.signer) and not time_trusted and codes.EXPIRED not in _codes(failures):
        failures.append(Reason(codes.EXPIRED))
    signer_trusted = any(_is_signer(each, trust) for each in results["success"])
    if not signer_trusted and codes.UNTRUSTED not in _codes(failures):
        failures.append(Reason(codes.UNTRUSTED))
    status: Status = "trusted" if signer_trusted else "valid"
    if report.store.get("validation_state") not in ("Valid", "Trusted") or _codes(failures) - {codes.UNTRUSTED}:
        status = "invalid"
    notes = [each for each in results["success"] + results["informational"] if each.code in WORTH_SAYING]
    notes = [each for each in notes if each.code != codes.TRUSTED or status == "trusted"]
    said = [*failures, *_untrusted_time(results, time_trusted), *notes, *_ingredient_reasons(manifest.ingredients)]
    return Verification(
        **{name: getattr(manifest, name) for name in Manifest.__dataclass_fields__} | {"time_trusted": time_trusted},
        status=status,
        reasons=tuple(dict.fromkeys(said)),
        mime=mime,
        embedded=report.embedded,
        remote_url=report.remote_url,
        trust_given=bool(trust),
    )


def _untrusted_time(results: dict[str, list[Reason]], time_trusted: bool) -> list[Reason]:
    stamped = codes.TIME_VALIDATED in _codes(results["success"])
    return [Reason("timeStamp.untrusted")] if stamped and not time_trusted else []


def _ingredient_reasons(ingredients: tuple[Ingredient, ...]) -> Iterator[Reason]:
    """Yield what is wrong with ingredients, however deep: c2pa itself calls their child trusted."""
    for each in ingredients:
        if each.status == "invalid":
            yield from each.reasons
        yield from _ingredient_reasons(each.ingredients)


class _Reader:
    """Reads manifests out of c2pa's report, of which any part may be missing or of another kind than it should be."""

    def __init__(self, report: Report, trust: Trust) -> None:
        self.trust, self.store = trust, report.store
        self.manifests = _dict(report.store.get("manifests"))
        self.details = {_text(each.get("label")): each for each in _dicts(report.details.get("manifests"))}
        self.deltas = {label: _results(changes) for label, changes in _deltas(report)}
        self.signers_alone: Report | None = report

    def delta_failures(self) -> list[Reason]:
        """Return what was found now of ingredients and is not what their outer manifest recorded."""
        return [failure for changes in self.deltas.values() for failure in changes["failure"]]

    def rests_on_others(self) -> bool:
        """Say whether the trust in an ingredient was recorded by the signer of the outer manifest."""
        return any(
            codes.TRUSTED in _codes(_results(_at(each, "validation_results", "activeManifest"))["success"])
            for manifest in self.manifests.values()
            for each in _dicts(_dict(manifest).get("ingredients"))
        )

    def manifest(self, label: str, above: set[str]) -> Manifest:
        """Return what the manifest of a label says; ``above`` are those that it is an ingredient of."""
        given, details = _dict(self.manifests.get(label)), _dict(self.details.get(label))
        assertions = [(_text(each.get("label")) or "", each.get("data")) for each in _dicts(given.get("assertions"))]
        actions = [
            action
            for name, data in assertions
            if name.startswith("c2pa.actions")
            for action in _dicts(_dict(data).get("actions"))
        ]
        claims = [Claim.from_dict(data) for name, data in assertions if name == DISCLOSURE]
        bindings = [
            each for name, data in assertions if name.split("__")[0] == ASSERTION for each in from_assertion(data)
        ]
        return Manifest(
            manifest_id=label or None,
            signer=_signed_by(_dict(given.get("signature_info")), _dict(details.get("signature"))),
            time=_time(_at(details, "signature", "timeStampInfo").get("timestamp")),
            generator=_generator(given),
            claim=next(filter(None, claims), None),
            source_type=_source_type(actions),
            actions=tuple(name for action in actions if (name := _text(action.get("action")))),
            soft_bindings=tuple(bindings),
            ingredients=self._ingredients(given, label, above) if len(above) < MAX_DEPTH else (),
        )

    def _ingredients(self, given: Json, outer: str, above: set[str]) -> tuple[Ingredient, ...]:
        return tuple(self._ingredient(each, outer, above) for each in _dicts(given.get("ingredients")))

    def _ingredient(self, given: Json, outer: str, above: set[str]) -> Ingredient:
        label = _text(given.get("active_manifest"))
        named: dict[str, Any] = {"title": _text(given.get("title")), "relationship": _text(given.get("relationship"))}
        if not label:
            return Ingredient(status="none", reasons=(Reason(codes.UNKNOWN_PROVENANCE),), **named)
        recorded = _results(_at(given, "validation_results", "activeManifest"))
        recorded["failure"] += _reasons(given.get("validation_status"))  # of ingredients before version 3
        where = f"self#jumbf=/c2pa/{outer}/c2pa.assertions/{_text(given.get('label'))}"
        changes = self.deltas.get(where, _results(None))
        manifest = self.manifest(label, above | {label}) if label not in above else Manifest(manifest_id=label)
        trusted = self._trusts(recorded, changes, where)
        failures = [
            each for each in recorded["failure"] + changes["failure"] if not (trusted and each.code == codes.UNTRUSTED)
        ]
        status: Status = "trusted" if trusted else "valid"
        if _codes(failures) - {codes.UNTRUSTED}:
            status = "invalid"
        time_trusted = bool(self.trust.tsa) and any(map(_is_tsa, changes["success"]))
        said = {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__} | {
            "time_trusted": time_trusted
        }
        return Ingredient(**said, status=status, reasons=tuple(dict.fromkeys(failures)), **named)

    def _trusts(self, recorded: dict[str, list[Reason]], changes: dict[str, list[Reason]], where: str) -> bool:
        """Say whether the signer of an ingredient is on our list for manifests.

        What was recorded is not found again among the changes, so "trusted" then and no change means trusted now, by
        one list or the other; unless "untrusted" was recorded beside it, to hide that.
        """
        if any(_is_signer(each, self.trust) for each in changes["success"]):
            return True
        hidden = _codes([*chain.from_iterable(recorded.values()), *changes["failure"]])
        if codes.TRUSTED not in _codes(recorded["success"]) or codes.UNTRUSTED in hidden or self.signers_alone is None:
            return False
        alone = dict(_deltas(self.signers_alone))
        return bool(self.trust) and codes.UNTRUSTED not in _codes(_results(alone.get(where))["failure"])


def _deltas(report: Report) -> Iterator[tuple[str, Json]]:
    """Yield (assertion, changes): what was found now of each ingredient and was not recorded when it was added."""
    for each in _dicts(_dict(report.store.get("validation_results")).get("ingredientDeltas")):
        yield _text(each.get("ingredientAssertionURI")) or "", _dict(each.get("validationDeltas"))


def _is_signer(reason: Reason, trust: Trust) -> bool:
    found = TRUSTED_BY.fullmatch(reason.detail) if reason.code == codes.TRUSTED else None
    return found is not None and (found[1] in (MANIFEST_LIST, BOTH_LISTS) or (found[1] == "" and bool(trust.allowed)))


def _is_tsa(reason: Reason) -> bool:
    return reason.code == codes.TIME_TRUSTED and reason.detail.endswith(TRUSTED_CLOCKS)


def _has_expired(signer: SignedBy | None) -> bool:
    return signer is None or signer.not_after is None or signer.not_after < dt.datetime.now(dt.UTC)


def _signed_by(info: Json, signature: Json) -> SignedBy:
    certificate = _dict(signature.get("certificateInfo"))
    subject, issuer = _dict(certificate.get("subject")), _dict(certificate.get("issuer"))
    validity = _dict(certificate.get("validity"))
    return SignedBy(
        organization=_text(subject.get("O")) or _text(info.get("issuer")),
        common_name=_text(subject.get("CN")) or _text(info.get("common_name")),
        issuer=_text(issuer.get("O")) or _text(issuer.get("CN")),
        alg=(_text(info.get("alg")) or "").lower() or None,
        serial=_text(certificate.get("serialNumber")),
        not_before=_time(validity.get("notBefore")),
        not_after=_time(validity.get("notAfter")),
        development=DEVELOPMENT in (subject.get("OU"), issuer.get("OU")),
    )


def _generator(given: Json) -> str | None:
    named = _dicts(given.get("claim_generator_info"))
    if not named:
        return _text(given.get("claim_generator"))
    return " ".join(filter(None, (_text(named[0].get("name")), _text(named[0].get("version"))))) or None


def _source_type(actions: list[Json]) -> str | None:
    """Return the digital source type; where actions have several, one that speaks of a trained model."""
    given = [source_type_name(uri) for action in actions if (uri := _text(action.get("digitalSourceType")))]
    return next((name for name in given if name in AI_SOURCE_TYPES), given[0] if given else None)


def _results(given: Any) -> dict[str, list[Reason]]:
    return {kind: _reasons(_dict(given).get(kind)) for kind in ("success", "informational", "failure")}


def _reasons(given: Any) -> list[Reason]:
    return [
        Reason(
            _text(each.get("code")) or "general.error",
            _text(each.get("url")) or "",
            _text(each.get("explanation")) or "",
        )
        for each in _dicts(given)
    ]


def _codes(reasons: list[Reason]) -> set[str]:
    return {reason.code for reason in reasons}


def _time(value: Any) -> dt.datetime | None:
    try:
        time = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _at(value: Any, *keys: str) -> Json:
    for key in keys:
        value = _dict(value).get(key)
    return _dict(value)


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) else None
