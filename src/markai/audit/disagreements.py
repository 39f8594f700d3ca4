"""Where the carriers of a file's unsigned metadata contradict each other, or say the same thing twice."""

from collections.abc import Iterator
from typing import Any

from markai.audit.fields import Fields, clean
from markai.audit.generators import Hit
from markai.audit.tc260 import Label
from markai.provenance.claim import AI_SOURCE_TYPES, source_type_name

# Programs that run models of others: files are passed from one to another, and several signs are no contradiction.
FRONT_ENDS = {"comfyui", "stable-diffusion", "fooocus", "invokeai"}
CAMERA_TYPES = {"digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print", "compositeCapture"}
MAX_EVIDENCE = 10

SENTENCES = {
    "metadata.source-types-differ": "The metadata states more than one digital source type.",
    "metadata.labels-differ": "The file has several TC260 labels, and they do not say the same.",
    "metadata.label-repeated": "The file has the same TC260 label more than once; the standard asks for one.",
    "metadata.label-and-source-type": "A TC260 label says that it is generated, the source type that it is not.",
    "metadata.generators-differ": "The metadata names generators of different makers.",
    "metadata.camera-and-generator": "The metadata names a camera with settings of an exposure, and a generator.",
    "metadata.camera-and-source-type": "The metadata names a generator, and a digital source type of a camera.",
    "metadata.camera-and-mark": "The metadata names a camera with settings of an exposure, and the content carries a "
    "mark that a generator writes. (A camera may have photographed a generated picture.)",
    "metadata.cameras-differ": "EXIF and XMP name different cameras.",
}


def disagreements(
    found: Fields, labels: list[Label], signs: list[Hit], camera: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Yield each contradiction as a row lists them: a code, a sentence, and the evidence by field."""
    types = _source_types(found)
    if len(set(types.values())) > 1:
        yield _said("metadata.source-types-differ", types)
    readable = {label.where: label.fields for label in labels if label.fields}
    if len(labels) > 1:
        same = all(label.fields == labels[0].fields for label in labels)
        shown = {f"{label.where} #{number}": _short(label.fields) for number, label in enumerate(labels, 1)}
        yield _said("metadata.label-repeated" if same else "metadata.labels-differ", shown)
    labelled = {place: "Label 1" for place, fields in readable.items() if fields.get("Label") == "1"}
    if labelled and types and not AI_SOURCE_TYPES & set(types.values()):
        yield _said("metadata.label-and-source-type", types | labelled)
    makers = {sign.field.where: sign.generator for sign in signs if sign.kind not in FRONT_ENDS}
    if len({name.split()[0] for name in makers.values()}) > 1:
        yield _said("metadata.generators-differ", makers)
    named = {sign.field.where: sign.generator for sign in signs}
    if named and camera and camera["exposure"]:
        yield _said("metadata.camera-and-generator", named | {"camera": f"{camera['make']} {camera['model']}".strip()})
    if named and CAMERA_TYPES & set(types.values()):
        yield _said("metadata.camera-and-source-type", named | types)
    yield from _cameras(found)


def _source_types(found: Fields) -> dict[str, str]:
    every = [each for each in found.named("DigitalSourceType") if each.carrier.startswith("XMP")]
    return {f"{each.where} #{number}": clean(source_type_name(each.value), 60) for number, each in enumerate(every, 1)}


def _cameras(found: Fields) -> Iterator[dict[str, Any]]:
    """Yield where EXIF and the copy of it in XMP name different models."""
    models = {each.carrier: clean(each.value, 60) for each in found.named("model") if each.carrier in ("EXIF", "XMP")}
    if len({model.lower() for model in models.values()}) > 1:
        yield _said("metadata.cameras-differ", {f"{carrier} Model": model for carrier, model in models.items()})


def _short(fields: dict[str, str]) -> str:
    return clean(", ".join(f"{key} {value}" for key, value in fields.items() if value), 200)


def _said(code: str, evidence: dict[str, str]) -> dict[str, Any]:
    return {"code": code, "sentence": SENTENCES[code], "evidence": dict(list(evidence.items())[:MAX_EVIDENCE])}
