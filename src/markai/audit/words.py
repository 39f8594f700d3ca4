"""Every sentence that an audit shows to people, in English and Korean, by its code. They stand in ``words.toml``.

Rows hold codes; whoever shows them asks here. What this version has no words for (a code of the operator's own
policy, a contradiction of a newer version) is shown in the words that the row brings along.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import markai.audit.disagreements as disagreements
import markai.inspection.contradictions as contradictions
import markai.provenance.codes as codes

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = ("en", "ko")
VERDICTS = ("generated", "recovered", "edited", "generated-claimed", "copied", "camera", "damaged", "unknown", "none")
FURTHER_VERDICTS = ("contradictory", "human", "signed", "resembles")  # listed where they occur
CLAIMED = ("generated-claimed", "camera", "human")  # verdicts that rest on what somebody says
LAYERS = ("watermark", "manifest", "metadata", "record")
RULE_STATUSES = ("pass", "fail", "not applicable")


class Said(NamedTuple):
    """A sentence by its code and what is filled into it."""

    code: str
    values: Mapping[str, str] = {}


Text = str | Said | Mapping[str, str]
"""What can be shown: a value as it is, a sentence by its code, or a sentence that a row brings in several languages."""


@cache
def sentences() -> dict[str, dict[Language, str]]:
    """Return all sentences, by code and language."""
    tables = tomllib.loads(files("markai.audit").joinpath("words.toml").read_text("utf-8"))
    reasons, disagreeing = tables.pop("reason"), tables.pop("contradiction-sentences")
    elsewhere = {f"reason.{code}": (said, reasons.get(code, said)) for code, said in codes.SENTENCES.items()}
    for code, said in (contradictions.SENTENCES | disagreements.SENTENCES).items():
        elsewhere[f"contradiction.{code}.sentence"] = said, disagreeing.get(code, said)
    return dict(_flat("", tables)) | {code: {"en": en, "ko": ko} for code, (en, ko) in elsewhere.items()}


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, dict[Language, str]]]:
    said = {language: table[language] for language in LANGUAGES if language in table}
    if said:
        yield prefix, said
    for name, each in table.items():
        if isinstance(each, dict):
            yield from _flat(f"{prefix}.{name}" if prefix else name, each)


def known(code: str) -> bool:
    """Say whether there are words for a code.

    >>> known("verdict.unknown"), known("contradiction.invented-later")
    (True, False)
    """
    return code in sentences()


def say(code: str, language: Language = "en", **values: object) -> str:
    """Return the sentence of a code.

    >>> say("report.headline.many", count="1,200"), say("verdict.unknown", "ko")
    ('1,200 files audited', '발견된 것 없음')

    Raises:
        KeyError: if there is no such code, or a value for it is missing.
    """
    return sentences()[code][language].format(**values)


def both(code: str, **values: object) -> dict[str, str]:
    """Return the sentence in every language, as rows and rules hold sentences.

    >>> both("layer.manifest")
    {'en': 'manifest', 'ko': '매니페스트'}

    Raises:
        KeyError: if there is no such code, or a value for it is missing.
    """
    return {language: say(code, language, **values) for language in LANGUAGES}


def show(text: Text | None, language: Language = "en") -> str:
    """Return a text in a language; one that has no other language as it is.

    >>> show(Said("tally.manifest-none"), "ko"), show("a.png", "ko"), show({"en": "stay"}, "ko"), show(None)
    ('없음', 'a.png', 'stay', '')
    """
    if isinstance(text, Said):
        return say(text.code, language, **text.values)
    if isinstance(text, Mapping):
        return str(text.get(language) or text.get("en") or next(iter(text.values()), ""))
    return "" if text is None else str(text)


def name_of(kind: str, code: str) -> Text:
    """Return how something is called, such as the verdict "copied"; the bare code where there are no words for it.

    >>> name_of("verdict", "copied"), name_of("layer", "smell")
    (Said(code='verdict.copied', values={}), 'smell')
    """
    return Said(f"{kind}.{code}") if known(f"{kind}.{code}") else code


def sentence_of(kind: str, item: Mapping[str, Any], key: str = "code") -> Text:
    """Return the sentence of a verdict, a contradiction or the like; its own where there are no words for its code.

    >>> sentence_of("contradiction", {"code": "copied-mark", "sentence": "It was copied."}).code
    'contradiction.copied-mark.sentence'
    >>> sentence_of("contradiction", {"code": "new", "sentence": "It is odd."})
    'It is odd.'
    """
    code = f"{kind}.{item.get(key)}.sentence"
    if known(code):
        return Said(code)
    own: Text | None = item.get("sentence")
    return own if own else str(item.get(key) or "")


def note_of(note: str) -> Text:
    """Return what an inspector notes as the sentence that it was made from, which other languages have too.

    >>> note_of("It looks like record 3f:61 (2 of 64 bits differ).").values
    {'record': '3f:61', 'distance': '2'}
    >>> note_of("Something that was never noted before.")
    'Something that was never noted before.'
    """
    for code, pattern in _notes():
        if found := pattern.fullmatch(note):
            return Said(code, {name: visible(value) for name, value in found.groupdict().items()})
    return visible(note)


@cache
def _notes() -> list[tuple[str, re.Pattern[str]]]:
    """Return the notes' codes, with patterns that find what was filled into their sentences."""
    found = []
    for code, said in sentences().items():
        if code.startswith("note."):
            pieces = re.split(r"\{(\w+)\}", said["en"])  # what is filled in stands at the odd places
            parts = (f"(?P<{piece}>.*?)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
            found.append((code, re.compile("".join(parts), re.DOTALL)))
    return found


def visible(value: object) -> str:
    r"""Return a text from a file so that it cannot fake anything: controls and marks of direction are spelled out.

    >>> visible("gpj.\u202eexe\n"), visible("사진 1.png")
    ('gpj.\\u202eexe\\n', '사진 1.png')
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
