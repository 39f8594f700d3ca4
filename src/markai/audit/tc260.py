"""China's implicit label (GB 45438-2025): the JSON of its Annex E, in each of the forms in which it is found."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

from markai.audit.fields import Field, Fields, clean

KEYS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
LABELS = {"1": "is", "2": "may be", "3": "is suspected to be"}
NAMES = {"aigc", "xmpkvbase64"}
# Besides fields of these names: free texts in which a label may stand with its wrapper.
FREE_TEXTS = {"usercomment", "comment", "imagedescription", "description"}
MAX_LABEL, MAX_VALUE = 65_536, 200
# 0x21, 0x23 to 0x5B, 0x5D to 0x7E: no space, quotation mark, backslash, nor Chinese. So implementers render Annex E j),
# which says "mainly"; the standard's own text was not read.
CHARACTERS = {chr(code) for code in range(0x21, 0x7F)} - {'"', "\\"}


@dataclass(frozen=True, slots=True)
class Label:
    """One label: its texts, where it stood, and in which ways it is not what the standard asks for.

    ``problems`` are codes: not-json, label-missing, label-unknown, producer-missing, id-missing, keys-missing,
    keys-unknown, keys-repeated, values-not-text, characters.
    """

    fields: dict[str, str]
    where: str
    wrapped: bool = False
    problems: tuple[str, ...] = field(default=())


def labels(found: Fields) -> list[Label]:
    """Return the labels among the fields of a file.

    >>> fields = Fields()
    >>> fields.add("PNG tEXt", "AIGC", '{"Label":"1","ContentProducer":"acme","ProduceID":"7"}')
    >>> [(each.where, each.fields["Label"], each.problems) for each in labels(fields)]
    [('PNG tEXt AIGC', '1', ('keys-missing',))]
    """
    return [label for each in found.items if (label := _label(each))]


def _label(given: Field) -> Label | None:
    name = given.name.lower().rpartition(":")[2]
    text = given.value.strip()
    if name not in NAMES and not (name in FREE_TEXTS and "AIGC" in text[:MAX_LABEL] and text[:1] in "{A"):
        return None
    repeated: list[str] = []
    value = _parsed(_decoded(text) if name == "xmpkvbase64" else text.removeprefix("AIGC").lstrip("=:"), repeated)
    inner = _inner(value, repeated)
    content = value if inner is None else inner
    if not isinstance(content, dict) or not (set(KEYS) & set(content)):
        return Label({}, given.where, problems=("not-json",)) if name in NAMES else None
    texts = {key: clean(str(content[key]), MAX_VALUE) for key in KEYS if isinstance(content.get(key), str | int)}
    return Label(texts, given.where, inner is not None, tuple(_problems(content, texts, repeated)))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text[: 2 * MAX_LABEL], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _parsed(text: str, repeated: list[str]) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend({name for name in names if names.count(name) > 1} if len(names) < 100 else names[:1])
        return dict(pairs)

    try:
        return json.loads(text[:MAX_LABEL], object_pairs_hook=members)
    except (ValueError, RecursionError):
        return None


def _inner(value: Any, repeated: list[str]) -> Any:
    """Return what stands under AIGC, which some write as text once more; None where there is no such wrapper."""
    if not isinstance(value, dict):
        return None
    inner = next((value[name] for name in value if name.lower() == "aigc"), None)
    return _parsed(inner, repeated) if isinstance(inner, str) else inner


def _problems(content: dict[str, Any], texts: dict[str, str], repeated: list[str]) -> list[str]:
    checks = {
        "label-missing": not texts.get("Label"),
        "label-unknown": bool(texts.get("Label")) and texts["Label"] not in LABELS,
        "producer-missing": not texts.get("ContentProducer"),
        "id-missing": not texts.get("ProduceID"),
        "keys-missing": bool(set(KEYS) - set(content)),
        "keys-unknown": bool(set(content) - set(KEYS)),
        "keys-repeated": bool(repeated),
        "values-not-text": any(not isinstance(content[key], str) for key in KEYS if key in content),
        "characters": any(set(value) - CHARACTERS for value in texts.values()),
    }
    return [code for code, is_so in checks.items() if is_so]


def summary(every: list[Label]) -> dict[str, Any] | None:
    """Return what a row says of the labels of a file: the texts of the first that could be read, and how they agree.

    >>> summary([Label({"Label": "1"}, "PNG tEXt AIGC")])
    {'Label': '1', 'where': ['PNG tEXt AIGC'], 'wrapped': False, 'agree': True, 'problems': []}
    """
    if not every:
        return None
    first = next((label for label in every if label.fields), every[0])
    readable = [label.fields for label in every if label.fields]
    return {
        **first.fields,
        "where": [label.where for label in every],
        "wrapped": first.wrapped,
        "agree": all(each == first.fields for each in readable) and len(readable) == len(every),
        "problems": sorted({code for label in every for code in label.problems}),
    }
