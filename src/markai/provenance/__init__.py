"""C2PA manifests bound to watermarks: signing, verification, certificates, trust.

``markai.sign``, ``markai.verify``, ``markai.Signer`` and ``markai.Trust`` are the everyday names; here are those that
go with them. Each is loaded when it is first used: signing needs arrays, verification does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markai.provenance.certs import Chain, Finding, lint, make_chain
    from markai.provenance.claim import Claim, Tc260
    from markai.provenance.codes import Reason
    from markai.provenance.signer import Signer
    from markai.provenance.signing import Signed, sign
    from markai.provenance.softbinding import SoftBinding
    from markai.provenance.trust import Trust
    from markai.provenance.verification import Ingredient, Manifest, SignedBy, Verification
    from markai.provenance.verifying import verify

__all__ = [
    "Chain",
    "Claim",
    "Finding",
    "Ingredient",
    "Manifest",
    "Reason",
    "Signed",
    "SignedBy",
    "Signer",
    "SoftBinding",
    "Tc260",
    "Trust",
    "Verification",
    "lint",
    "make_chain",
    "sign",
    "verify",
]

_HOME = {
    **dict.fromkeys(("Chain", "Finding", "lint", "make_chain"), "certs"),
    **dict.fromkeys(("Claim", "Tc260"), "claim"),
    "Reason": "codes",
    "Signer": "signer",
    **dict.fromkeys(("Signed", "sign"), "signing"),
    "SoftBinding": "softbinding",
    "Trust": "trust",
    **dict.fromkeys(("Ingredient", "Manifest", "SignedBy", "Verification"), "verification"),
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'markai.provenance' has no attribute {name!r}")
    value = getattr(import_module(f"markai.provenance.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
