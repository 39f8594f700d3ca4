"""C2PA manifests bound to watermarks: signing, verification, certificates, trust.

``markai.sign``, ``markai.verify``, ``markai.Signer`` and ``markai.Trust`` are the everyday names; here are those that
go with them.
"""

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
