"""Edits of characters: what keyboards, word processors, web forms, sanitisers and evaders do to them."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from textwrap import wrap as lines

import numpy as np

from markai.attacks.registry import Strength
from markai.attacks.text.register import TEXTS
from markai.attacks.text.units import clusters, joined, words

attack = partial(TEXTS.attack, family="characters")

# Cyrillic, and Greek where that has no letter as close, that look like the Latin ones; after the confusables of
# Unicode's UTS 39. None decomposes, so that no normalisation brings the Latin letter back.
LOOK_ALIKES = dict(
    zip(
        "ABCEHIJKMNOPQSTVWXYZacdehijklopqsvwxy",
        "АВСЕНІЈКМΝОРԚЅТѴԜХΥΖасԁеһіјκӏорԛѕѵԝху",
        strict=True,
    )
)
SPACES = ("  ", "\u00a0", "\t", "\n")
ZERO_WIDTH = "\u200b\u200c\u2060\ufeff"
KEYBOARD = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))  # rows, and how far right they begin
STRAIGHTENED = str.maketrans("‘’‚‛“”„‟", "''''\"\"\"\"")
CURLED = {"'": "‘’", '"': "“”"}
# After these, and at the very start, a quotation mark opens.
OPENING = re.compile(r"[\s(\[{<\-–—/‘“]?\Z")

# What Markdown adds to the words, and what stays of it. No pattern tries a place twice over an unbounded length.
MARKDOWN = [
    (re.compile(pattern, re.MULTILINE), kept)
    for pattern, kept in (
        (r"^ {0,3}(?:```|~~~).*\n?", ""),
        (r"^ {0,3}(?:[-*_] *){3,}$\n?", ""),
        (r"^ *(?:#{1,6} +|(?:> ?)+|[-*+] +)", ""),
        (r"!?\[([^\[\]\n]*)\]\([^()\s]*\)", r"\1"),
        (r"(\*{1,3})(?![\s*])([^*\n]+)(?<!\s)\1", r"\2"),
        (r"(?<!\w)(_{1,3})(?![\s_])([^_\n]+)(?<!\s)\1(?!\w)", r"\2"),
        (r"`([^`\n]+)`", r"\1"),
    )
]


@attack("none")
def none(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Change nothing."""
    return text


@attack("normalize")
def normalize(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Normalise as search engines and tokenizers do: compatibility forms, composed (NFKC)."""
    return unicodedata.normalize("NFKC", text)


@attack("lower")
def lower(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Write all letters small."""
    return text.lower()


@attack("upper")
def upper(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Write all letters large."""
    return text.upper()


@attack("title")
def title(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Begin every word with a capital, the only one in it."""
    found, gaps = words(text)
    return joined([word.capitalize() for word in found], gaps)


@attack("case", Strength("share of the letters that have two cases", 0, 1, default=0.05))
def case(text: str, share: float, rng: np.random.Generator) -> str:
    """Write small letters large and large ones small."""
    return _replaced(text, lambda letter: [letter.swapcase()] if letter.swapcase() != letter else [], share, rng)


@attack("typos", Strength("share of the Latin letters", 0, 1, default=0.05))
def typos(text: str, share: float, rng: np.random.Generator) -> str:
    """Hit a key beside the one that was meant, on an English keyboard."""
    return _replaced(text, lambda letter: NEIGHBOURS.get(letter, ""), share, rng)


@attack("homoglyphs", Strength("share of the Latin letters that have one", 0, 1, default=0.1))
def homoglyphs(text: str, share: float, rng: np.random.Generator) -> str:
    """Write Cyrillic or Greek letters that look like the Latin ones."""
    return _replaced(text, lambda letter: LOOK_ALIKES.get(letter, ""), share, rng)


@attack("zero-width", Strength("share of the characters that one follows", 0, 1, default=0.1))
def zero_width(text: str, share: float, rng: np.random.Generator) -> str:
    """Put characters that nobody sees behind others, never between one and what combines with it."""
    found = clusters(text)
    hit = rng.random(len(found)) < share
    drawn = (rng.random(len(found)) * len(ZERO_WIDTH)).astype(int)
    unseen = [ZERO_WIDTH[new] if now else "" for new, now in zip(drawn, hit, strict=True)]
    return joined(found, unseen)


@attack("visible")
def visible(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Leave out format characters, which nobody sees, as sanitisers do (category Cf, and variation selectors)."""
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cf" and not _selects(letter))


@attack("whitespace", Strength("share of the spaces", 0, 1, default=0.1))
def whitespace(text: str, share: float, rng: np.random.Generator) -> str:
    """Write two spaces, a no-break space, a tab or a line end for a space."""
    return _replaced(text, lambda letter: SPACES if letter == " " else (), share, rng)


@attack("collapse")
def collapse(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Write one space for any spaces, tabs and line ends, and none at either end, as HTML does."""
    return " ".join(text.split())


@attack("wrap", Strength("characters in a line, at most", 20, 200, default=72, step=1))
def wrap(text: str, width: float, _rng: np.random.Generator) -> str:
    """Break lines at spaces, as mail does; longer words stand alone."""
    broken = partial(lines, width=int(width), break_long_words=False, break_on_hyphens=False, expand_tabs=False)
    return "\n".join("\n".join(broken(line)) for line in text.split("\n"))


@attack("punctuation")
def punctuation(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Leave out all punctuation, in any script (categories P)."""
    return "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))


@attack("quotes")
def quotes(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Exchange straight and typographic quotation marks and apostrophes, English ones."""
    straightened = text.translate(STRAIGHTENED)
    return "".join(_curled(text, place) if text[place] in CURLED else new for place, new in enumerate(straightened))


@attack("markdown")
def markdown(text: str, _strength: float, _rng: np.random.Generator) -> str:
    """Leave out the signs of Markdown: headings, lists, quotations, fences, emphasis, code, addresses of links."""
    for pattern, kept in MARKDOWN:
        text = pattern.sub(kept, text)
    return text


def _replaced(text: str, choices: Callable[[str], Sequence[str]], share: float, rng: np.random.Generator) -> str:
    """Replace characters by one of their choices; ``share`` is of those that have any."""
    written = list(text)
    open_to = [(place, new) for place, letter in enumerate(text) if (new := choices(letter))]
    hit, drawn = rng.random((2, len(open_to)))
    for (place, new), chance, draw in zip(open_to, hit, drawn, strict=True):
        if chance < share:
            written[place] = new[int(draw * len(new))]
    return "".join(written)


def _curled(text: str, place: int) -> str:
    """Return the typographic mark for a straight one: opening at the start of a word, closing elsewhere."""
    return CURLED[text[place]][0 if OPENING.match(text[max(0, place - 1) : place]) else 1]


def _selects(letter: str) -> bool:
    return "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"


def _neighbours() -> dict[str, str]:
    """Return, for every letter, those whose keys touch its own."""
    keys = {letter: (row, left + x) for row, (letters, left) in enumerate(KEYBOARD) for x, letter in enumerate(letters)}
    touching = {
        letter: "".join(
            other
            for other, (row, x) in keys.items()
            if other != letter and abs(row - keys[letter][0]) <= 1 and abs(x - keys[letter][1]) <= 1
        )
        for letter in keys
    }
    return touching | {letter.upper(): others.upper() for letter, others in touching.items()}


NEIGHBOURS = _neighbours()
