"""What a signer says about content: who made it with which system, when, under which id, and how."""

import datetime as dt
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

from markai.errors import SigningError

DISCLOSURE = "com.markai.disclosure"  # the assertion that carries a Claim
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
C2PA_SOURCE_TYPES = "http://c2pa.org/digitalsourcetype/"
# https://cv.iptc.org/newscodes/digitalsourcetype/ and, the last two, C2PA's own.
KNOWN_SOURCE_TYPES = {
    **dict.fromkeys(
        (
            "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia",
            "algorithmicallyEnhanced", "digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm",
            "print", "humanEdits", "digitalCreation", "dataDrivenMedia", "virtualRecording", "compositeCapture",
            "compositeSynthetic", "composite", "screenCapture",
        ),
        SOURCE_TYPES,
    ),
    **dict.fromkeys(("empty", "trainedAlgorithmicData"), C2PA_SOURCE_TYPES),
}  # fmt: skip
# Media of which at least a part came out of a trained model.
AI_SOURCE_TYPES = {
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
    "trainedAlgorithmicData",
}
TC260_LABELS = ("1", "2", "3")  # is, may be, is suspected to be generated (GB 45438-2025, Annex E)
MAX_FIELD, MAX_PROMPT = 500, 10_000


@dataclass(frozen=True, slots=True)
class Tc260:
    """China's implicit label for generated content (GB 45438-2025): the property ``AIGC`` of a file's metadata.

    ``label`` is "1" (is generated), "2" (may be) or "3" (is suspected to be); ``producer`` a name or a code.

    >>> Tc260("Acme", "42").to_json()
    '{"Label":"1","ContentProducer":"Acme","ProduceID":"42","ReservedCode1":"","ContentPropagator":"","PropagateID":"","ReservedCode2":""}'

    Raises:
        SigningError: if the label is another one, or producer or id are empty or too long.
    """

    producer: str
    produce_id: str
    label: str = "1"
    propagator: str = ""
    propagate_id: str = ""

    def __post_init__(self) -> None:
        if self.label not in TC260_LABELS:
            raise SigningError(f"there is no TC260 label {self.label!r} - use 1 (is), 2 (may be) or 3 (is suspected)")
        _check("TC260 producer", self.producer)
        _check("TC260 id", self.produce_id)
        _check("TC260 propagator", self.propagator, empty=True)
        _check("TC260 propagation id", self.propagate_id, empty=True)

    def to_json(self) -> str:
        """Return the seven keys of the standard's Annex E, as JSON."""
        fields = {
            "Label": self.label,
            "ContentProducer": self.producer,
            "ProduceID": self.produce_id,
            "ReservedCode1": "",
            "ContentPropagator": self.propagator,
            "PropagateID": self.propagate_id,
            "ReservedCode2": "",
        }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said about one piece of content; signed with it, and written as IPTC and TC260 metadata.

    The five fields of California's latent disclosure (B&P 22757.3): ``provider``, ``system``, ``version``,
    ``created`` and ``id``. ``source_type`` is a name from IPTC's list of digital source types. ``prompt`` may
    be personal data and is left out unless it is given; it goes to the metadata (IPTC), not to the manifest.

    >>> claim = Claim("Acme", "AcmeGen", "2.1")
    >>> claim.is_ai, claim.id.startswith("urn:uuid:")
    (True, True)

    Raises:
        SigningError: if a field is empty, too long or of an unknown kind.
    """

    provider: str
    system: str
    version: str
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(microsecond=0))
    id: str = field(default_factory=lambda: f"urn:uuid:{uuid.uuid4()}")
    source_type: str = "trainedAlgorithmicMedia"
    title: str | None = None
    prompt: str | None = None
    tc260: Tc260 | None = None

    def __post_init__(self) -> None:
        for name in ("provider", "system", "version", "id"):
            _check(name, getattr(self, name))
        _check("title", self.title or "", empty=True)
        _check("prompt", self.prompt or "", empty=True, limit=MAX_PROMPT)
        if self.source_type not in KNOWN_SOURCE_TYPES:
            known = ", ".join(KNOWN_SOURCE_TYPES)
            raise SigningError(f"there is no digital source type {self.source_type!r} - use one of {known}")
        if self.created.tzinfo is None:
            raise SigningError("the time of creation has no time zone - pass an aware datetime, such as now(UTC)")

    @property
    def is_ai(self) -> bool:
        """Whether the source type says that a trained model made at least a part."""
        return self.source_type in AI_SOURCE_TYPES

    @property
    def source_type_uri(self) -> str:
        """The source type as the URI that C2PA and IPTC write."""
        return KNOWN_SOURCE_TYPES[self.source_type] + self.source_type

    @property
    def when(self) -> str:
        """The time of creation as RFC 3339 in UTC."""
        return self.created.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")

    def to_dict(self) -> dict[str, str]:
        """Return what the manifest says: the five fields and the source type."""
        return {
            "provider": self.provider,
            "system": self.system,
            "version": self.version,
            "created": self.when,
            "id": self.id,
            "sourceType": self.source_type,
        }

    @classmethod
    def from_dict(cls, fields: Any) -> Self | None:
        """Return the claim that a manifest's assertion holds; None where it is damaged or not one.

        >>> claim = Claim("Acme", "AcmeGen", "2.1")
        >>> Claim.from_dict(claim.to_dict()) == claim
        True
        """
        try:
            return cls(
                provider=fields["provider"],
                system=fields["system"],
                version=fields["version"],
                created=dt.datetime.fromisoformat(fields["created"]),
                id=fields["id"],
                source_type=fields["sourceType"],
            )
        except (SigningError, KeyError, TypeError, ValueError, AttributeError):
            return None


def source_type_name(uri: str) -> str:
    """Return the short name of a digital source type.

    >>> source_type_name("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture")
    'digitalCapture'
    """
    return uri.removeprefix(SOURCE_TYPES).removeprefix(C2PA_SOURCE_TYPES)


def _check(name: str, value: str, *, empty: bool = False, limit: int = MAX_FIELD) -> None:
    if not isinstance(value, str) or len(value) > limit or not (empty or value.strip()):
        raise SigningError(f"the {name} is text of {'0' if empty else '1'} to {limit} characters - pass such a text")
    if any((ord(letter) < 32 and letter not in "\t\n\r") or 0xD800 <= ord(letter) < 0xE000 for letter in value):
        raise SigningError(f"the {name} holds characters that no metadata can hold - leave out control characters")
