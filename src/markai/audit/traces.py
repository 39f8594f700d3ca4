"""What the unsigned metadata of a file says of its origin: claims, which anybody could have written, and no proof."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import markai.audit.containers as containers
import markai.audit.generators as generators
import markai.audit.personal as personal
import markai.audit.tc260 as tc260
from markai.audit.disagreements import disagreements
from markai.audit.fields import Field, Fields, clean
from markai.audit.generators import Hit, Kind
from markai.provenance.claim import source_type_name

Claims = Literal["generated", "edited with AI", "camera", "software"]

MAX_SHOWN = 200
WITHHELD = "(withheld: it repeats personal data)"
GENERATED = {"trainedAlgorithmicMedia", "compositeSynthetic", "trainedAlgorithmicData"}
EDITED = {"compositeWithTrainedAlgorithmicMedia"}
CAPTURED = {"digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print", "compositeCapture"}
SOFTWARE = {
    *("software", "creatortool", "softwareagent", "imageeditingsoftware", "rawdevelopingsoftware", "producer", "isft"),
    *("metadataeditingsoftware", "originatingprogram", "generator", "tsse", "tenc"),
}
EXPOSURE = {"exposuretime", "fnumber", "photographicsensitivity", "focallength", "isospeedratings"}
DISCLOSURE = {name: name.lower() for name in ("Provider", "Created", "Identifier")}


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that unsigned metadata says: its ``kind``, the ``generator``, in which ``field``, what it ``claims``.

    ``value`` is what may be shown of the field, at most 200 characters; never a prompt, a name of a person or a place.
    """

    kind: Kind
    generator: str | None
    field: str
    value: str
    claims: Claims

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Metadata:
    """All that a file's unsigned metadata says.

    ``iptc`` has ``source_type``, ``system`` and ``version`` (IPTC Photo Metadata 2025.1) where they are; ``disclosure``
    the further fields that markai writes; ``tc260`` China's label; ``camera`` make, model, and whether there are
    settings of an exposure; ``personal`` the names of the fields with personal data; ``contradictions`` where carriers
    disagree; ``problems`` what could not be read.
    """

    traces: tuple[Trace, ...] = ()
    iptc: dict[str, str] = field(default_factory=dict)
    disclosure: dict[str, str] = field(default_factory=dict)
    tc260: dict[str, Any] | None = None
    camera: dict[str, Any] | None = None
    personal: tuple[str, ...] = ()
    contradictions: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()

    def claims(self, claim: Claims) -> bool:
        """Whether any trace claims this."""
        return any(trace.claims == claim for trace in self.traces)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as the "metadata" of a row."""
        given = {name: getattr(self, name) for name in ("iptc", "disclosure", "tc260", "camera")}
        lists = {name: list(getattr(self, name)) for name in ("personal", "contradictions", "problems")}
        return {"traces": [trace.to_dict() for trace in self.traces], **given, **lists, "redacted": True}


def read_metadata(data: bytes, mime: str) -> Metadata:
    """Return what the metadata of a file says; nothing, with the reasons in ``problems``, where it cannot be read.

    ``mime`` is the media type of the content, as ``markai.verify`` reports it. Sizes, depths and numbers are bounded,
    and no file makes this raise.

    >>> metadata = read_metadata(b"GIF89a" + bytes(7) + b"!\\xfe\\x0fMade by ComfyUI\\0;", "image/gif")
    >>> metadata.traces[0].generator, metadata.traces[0].field, metadata.claims("generated")
    ('ComfyUI', 'GIF comment', True)
    """
    found = containers.collect(data, mime)
    labels = tc260.labels(found)
    signs = list(generators.hits(found))
    iptc, camera = _iptc(found), _camera(found, signs)
    traces = [*_generated(signs), *_iptc_traces(found, iptc), *map(_label_trace, labels), *_software(found, signs)]
    if camera:
        traces.append(
            Trace("exif", None, _where_camera(found), f"{camera['make']} {camera['model']}".strip(), "camera")
        )
    return Metadata(
        traces=_shown(traces, found),
        iptc=iptc,
        disclosure=_disclosure(found),
        tc260=tc260.summary(labels),
        camera=camera,
        personal=_personal(found, signs),
        contradictions=tuple(disagreements(found, labels, signs, camera)),
        problems=tuple(clean(each, MAX_SHOWN) for each in found.problems),
    )


def _generated(signs: list[Hit]) -> Iterator[Trace]:
    for sign in signs:
        claims: Claims = "edited with AI" if generators.edits(sign) else "generated"
        yield Trace(sign.kind, sign.generator, sign.field.where, clean(sign.settings, MAX_SHOWN), claims)


def _first(found: Fields, name: str) -> str:
    return next((clean(each.value, MAX_SHOWN) for each in found.of("XMP") if each.name == name), "")


def _iptc(found: Fields) -> dict[str, str]:
    names = {"source_type": "DigitalSourceType", "system": "AISystemUsed", "version": "AISystemVersionUsed"}
    texts = {key: _first(found, f"Iptc4xmpExt:{name}") for key, name in names.items()}
    texts["source_type"] = source_type_name(texts["source_type"])
    return {key: text for key, text in texts.items() if text}


def _disclosure(found: Fields) -> dict[str, str]:
    """Return the fields of California's latent disclosure that IPTC has no name for, as markai writes them."""
    names = {"provider": "Provider", "created": "Created", "id": "Identifier"}
    return {key: text for key, name in names.items() if (text := _first(found, f"markai:{name}"))}


def _iptc_traces(found: Fields, iptc: dict[str, str]) -> Iterator[Trace]:
    system = " ".join(iptc[key] for key in ("system", "version") if key in iptc) or None
    for each in found.named("DigitalSourceType"):
        name = clean(source_type_name(each.value.strip()), MAX_SHOWN)
        yield Trace("iptc", system, each.where, name, _claim_of(name))
    for each in found.named("AISystemUsed"):
        yield Trace("iptc", system, each.where, clean(each.value, MAX_SHOWN), "generated")
    for each in found.named("provenance"):  # of Dublin Core: where the manifest is kept that this file does not hold
        yield Trace("xmp", None, each.where, clean(each.value, MAX_SHOWN), "software")


def _claim_of(source_type: str) -> Claims:
    if source_type in GENERATED:
        return "generated"
    if source_type in EDITED:
        return "edited with AI"
    return "camera" if source_type in CAPTURED else "software"


def _label_trace(label: tc260.Label) -> Trace:
    shown = ", ".join(f"{key} {label.fields[key]}" for key in tc260.KEYS[:3] if label.fields.get(key))
    return Trace(
        "tc260", label.fields.get("ContentProducer") or None, label.where, clean(shown, MAX_SHOWN), "generated"
    )


def _software(found: Fields, signs: list[Hit]) -> Iterator[Trace]:
    """Yield other software that is named, such as an editor."""
    taken = {sign.field for sign in signs}
    for each in found.items:
        if each not in taken and each.name.lower().rpartition(":")[2] in SOFTWARE:
            kind: Kind = "xmp" if each.carrier.startswith("XMP") else "exif" if each.carrier == "EXIF" else "other"
            yield Trace(kind, clean(each.value, 60), each.where, clean(each.value, MAX_SHOWN), "software")


def _cameras(found: Fields, name: str, signs: list[Hit]) -> list[Field]:
    taken = {sign.field for sign in signs}  # generators write into these fields as well
    return [each for each in found.named(name) if each not in taken and each.carrier in ("EXIF", "TIFF", "XMP")]


def _camera(found: Fields, signs: list[Hit]) -> dict[str, Any] | None:
    """Return the camera that the metadata names; None where it names none."""
    make, model = (_cameras(found, name, signs) for name in ("make", "model"))
    if not make and not model:
        return None
    exposed = any(each.name.lower().rpartition(":")[2] in EXPOSURE for each in found.items)
    shown = {name: clean(each[0].value, 60) if each else "" for name, each in (("make", make), ("model", model))}
    return {**shown, "exposure": exposed}


def _where_camera(found: Fields) -> str:
    return next(each.where for each in found.named("make", "model") if each.carrier in ("EXIF", "TIFF", "XMP"))


def _personal(found: Fields, signs: list[Hit]) -> tuple[str, ...]:
    prompts = [sign.field.where for sign in signs if sign.kind in personal.PROMPTED and len(sign.field.value) > 60]
    names = [each.where for each in found.items if personal.is_personal(each)]
    return tuple(dict.fromkeys([*names, *prompts]))


def _shown(traces: list[Trace], found: Fields) -> tuple[Trace, ...]:
    """Return each trace once, without what repeats personal data.

    Not so where a field states it as something else: a label's producer, IPTC's system, the model of a camera.
    """
    forbidden = list(personal.values(found))
    kept: dict[Trace, None] = {}
    for trace in traces:
        stated = trace.kind in ("tc260", "iptc") or trace.claims == "camera"
        if not stated and personal.repeats(trace.value, forbidden):
            kept[Trace(trace.kind, None, trace.field, WITHHELD, trace.claims)] = None
        else:
            kept[trace] = None
    return tuple(kept)
