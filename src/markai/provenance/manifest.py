"""The definition of a manifest: actions, soft bindings, AI disclosure, the claim."""

from collections.abc import Sequence
from typing import Any

from markai import __version__
from markai.provenance.claim import DISCLOSURE, Claim
from markai.provenance.softbinding import ASSERTION, SoftBinding

GENERATOR = {"name": "markai", "version": __version__}


def definition(
    claim: Claim, bindings: Sequence[SoftBinding] = (), *, edits: bool = False, watermarked: bool = False
) -> dict[str, Any]:
    """Return a manifest definition for c2pa, every assertion made by the signer ("created", not "gathered").

    With ``edits`` the content has a parent: c2pa puts the action "opened" first, and the first here is "edited".
    A watermark that leads to this manifest is ``c2pa.watermarked.bound``, and its soft binding must be there;
    without a payload (``watermarked`` and no bindings) it is ``c2pa.watermarked.unbound``.
    """
    assertions = [
        ("c2pa.actions.v2", {"actions": _actions(claim, bindings, edits, watermarked)}),
        *((ASSERTION, binding.to_assertion()) for binding in bindings),
        *([("c2pa.ai-disclosure", _disclosure(claim))] if claim.is_ai else []),
        (DISCLOSURE, claim.to_dict()),
    ]
    made = [{"label": label, "data": data, "created": True} for label, data in assertions]
    title = {"title": claim.title} if claim.title else {}
    return {"claim_generator_info": [GENERATOR], **title, "assertions": made}


def _actions(claim: Claim, bindings: Sequence[SoftBinding], edits: bool, watermarked: bool) -> list[dict[str, Any]]:
    first = {
        "action": "c2pa.edited" if edits else "c2pa.created",
        "when": claim.when,
        "digitalSourceType": claim.source_type_uri,
        "softwareAgent": {"name": claim.system, "version": claim.version},
    }
    marks = ["c2pa.watermarked.bound"] if bindings else ["c2pa.watermarked.unbound"] if watermarked else []
    return [first, *({"action": mark, "when": claim.when, "softwareAgent": GENERATOR} for mark in marks)]


def _disclosure(claim: Claim) -> dict[str, str]:
    """Return the AI disclosure of C2PA 2.4."""
    return {
        "modelType": "c2pa.types.model",
        "modelName": claim.system,
        "modelIdentifier": f"{claim.system}:{claim.version}",
    }
