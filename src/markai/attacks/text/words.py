"""Edits of words: replaced by others, left out, put in, exchanged.

Every word is hit with a chance of its own, the share; words hit at a small share are hit at every larger one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np

from markai.attacks.text.register import TEXTS, WORDS_HIT
from markai.attacks.text.rewriting import rewrite
from markai.attacks.text.units import joined, kinds, unspaced, words

attack = partial(TEXTS.attack, family="words")
NEAR = 8  # ranks of frequency among which another word is drawn, on either side
SPACES = " \t\u00a0\u3000"


def substitute(text: str, share: float, rng: np.random.Generator, synonym: Callable[[str], str] | None = None) -> str:
    """Replace words: by what ``synonym`` gives for each, or else by words of the text that are as frequent and long.

    A synonym that is the word itself leaves it as it is. Registered with a dictionary of synonyms it is an attack
    in its own right; without, it stands in for one.

    >>> thesaurus = {"quick": "fast", "dog": "hound"}
    >>> substitute("The quick dog", 1, np.random.default_rng(0), lambda word: thesaurus.get(word, word))
    'The fast hound'

    Raises:
        MethodError: if ``synonym`` fails or returns no str.
    """
    found, gaps = words(text)
    hit = rng.random(len(found)) < share
    other = _alike(found, rng) if synonym is None else (lambda place: rewrite(found[place], synonym))
    return joined([other(place) if now else found[place] for place, now in enumerate(hit)], gaps)


attack("substitute", WORDS_HIT, proxy=True)(substitute)


@attack("delete", WORDS_HIT)
def delete(text: str, share: float, rng: np.random.Generator) -> str:
    """Leave out words, each with the spaces on one side; punctuation stays."""
    found, gaps = words(text)
    hit = rng.random(len(found)) < share
    kept = [gaps[0]]
    for word, gap, now in zip(found, gaps[1:], hit, strict=True):
        if now:
            kept[-1] = kept[-1] + gap if unspaced(word) else _closed(kept[-1], gap)
        else:
            kept += [word, gap]
    return "".join(kept)


@attack("insert", WORDS_HIT)
def insert(text: str, share: float, rng: np.random.Generator) -> str:
    """Put words of the same text before words, this share of how many there are."""
    found, gaps = words(text)
    hit = rng.random(len(found)) < share
    drawn = (rng.random(len(found)) * len(found)).astype(int)
    longer = [_put_before(word, found[new]) if now else word for word, new, now in zip(found, drawn, hit, strict=True)]
    return joined(longer, gaps)


@attack("swap", WORDS_HIT)
def swap(text: str, share: float, rng: np.random.Generator) -> str:
    """Let neighbouring words change places, this share of the words."""
    found, gaps = words(text)
    first = np.arange(int(rng.integers(2)), len(found) - 1, 2)
    for place in first[rng.random(len(first)) < share]:
        found[place], found[place + 1] = found[place + 1], found[place]
    return joined(found, gaps)


def _alike(found: list[str], rng: np.random.Generator) -> Callable[[int], str]:
    """Return what gives, for the word at a place, one of the same kind that is near it in frequency, then length."""
    counts = Counter(map(str.lower, found))
    ranked: dict[str, list[str]] = defaultdict(list)
    rank = {}
    for word in sorted(counts, key=lambda word: (-counts[word], len(word), word)):
        of_kind = ranked[kinds(word[0])]
        rank[word] = len(of_kind)
        of_kind.append(word)
    drawn = rng.random(len(found))

    def other(place: int) -> str:
        word = found[place].lower()
        of_kind, middle = ranked[kinds(word[0])], rank[word]
        near = of_kind[max(0, middle - NEAR) : middle] + of_kind[middle + 1 : middle + 1 + NEAR]
        return _cased(near[int(drawn[place] * len(near))], found[place]) if near else found[place]

    return other


def _cased(word: str, model: str) -> str:
    """Return the word in capitals where the model is, and with one capital where the model has one."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if model[0].isupper() else word


def _closed(before: str, after: str) -> str:
    """Join the gaps around a word left out: of spaces on both sides only those on one stay."""
    stripped = before.rstrip(SPACES)
    return stripped + after if stripped != before else before + after.lstrip(SPACES)


def _put_before(word: str, new: str) -> str:
    return new + word if unspaced(new) and unspaced(word) else f"{new} {word}"
