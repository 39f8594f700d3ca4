"""What verification answers: a Verification, with the signer, the claim and the chain of ingredients."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any, Literal

from markai.provenance.claim import AI_SOURCE_TYPES, Claim
from markai.provenance.codes import Reason
from markai.provenance.softbinding import SoftBinding

Status = Literal["trusted", "valid", "invalid", "damaged", "none", "unsupported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """Whose certificate signed a manifest. Only in a trusted one are the names more than what somebody says."""

    organization: str | None = None
    common_name: str | None = None
    issuer: str | None = None
    alg: str | None = None
    serial: str | None = None
    not_before: dt.datetime | None = None
    not_after: dt.datetime | None = None
    development: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one manifest says.

    ``time`` is when an authority (RFC 3161) saw the signature, ``time_trusted`` whether that authority is on the list
    for time stamps; when content was made is in ``claim``. ``claim`` is there where markai signed; ``generator`` and
    ``source_type`` (IPTC's name, such as trainedAlgorithmicMedia) for the files of others as well.
    """

    manifest_id: str | None = None
    signer: SignedBy | None = None
    time: dt.datetime | None = None
    time_trusted: bool = False
    generator: str | None = None
    claim: Claim | None = None
    source_type: str | None = None
    actions: tuple[str, ...] = ()
    soft_bindings: tuple[SoftBinding, ...] = ()
    ingredients: "tuple[Ingredient, ...]" = ()

    @property
    def is_ai(self) -> bool:
        """Whether the manifest says that a trained model made at least a part."""
        return self.source_type in AI_SOURCE_TYPES

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)} | {"is_ai": self.is_ai}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient(Manifest):
    """What content was made from: its ``relationship`` is parentOf, componentOf or inputTo.

    The ``status`` "none" says that it had no manifest. Whether its content was still what its own manifest says
    ("invalid" otherwise) is what the signer of the outer manifest recorded, who alone had the file; its signature and
    its signer are checked now.
    """

    status: Status
    reasons: tuple[Reason, ...] = ()
    title: str | None = None
    relationship: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Manifest):
    """The answer of ``markai.verify``; true where the manifest may be relied on as far as was asked.

    ``status`` is "trusted": intact, and the signer is on the trust list; "valid": intact, by somebody unknown;
    "invalid": content or manifest were changed, or the certificate does not hold; "damaged": it cannot be read; "none":
    no manifest; "unsupported": a kind of file without one. ``reasons`` say why, with standard codes. An ingredient
    that is invalid does not change the status, but it is in ``reasons`` and in ``ingredients``.

    True means trusted where a trust list was given (``trust_given``), valid where none was.
    """

    status: Status
    reasons: tuple[Reason, ...] = ()
    mime: str
    embedded: bool = False
    remote_url: str | None = None
    trust_given: bool = False

    def __bool__(self) -> bool:
        return self.status == "trusted" or (self.status == "valid" and not self.trust_given)

    @property
    def chain_intact(self) -> bool:
        """Whether no ingredient, however deep, is invalid or damaged."""
        pending = list(self.ingredients)
        while pending:
            each = pending.pop()
            if each.status in ("invalid", "damaged"):
                return False
            pending += each.ingredients
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        first = {"status": self.status, "ok": bool(self), "chain_intact": self.chain_intact}
        return {**first, **Manifest.to_dict(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return value.to_dict() if hasattr(value, "to_dict") else value
