"""Excerpts: part of the text is lost, or stands in another text."""

from functools import cache, lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from markai.attacks.text.register import TEXTS, WORDS_KEPT
from markai.attacks.text.units import joined, words
from markai.errors import MethodError

attack = partial(TEXTS.attack, family="excerpt")
SNIPPETS = 3  # in which the text stands in another; Kirchenbauer et al. take 1 and 3


@attack("truncate", WORDS_KEPT)
def truncate(text: str, share: float, _rng: np.random.Generator) -> str:
    """Keep the beginning, up to the end of a word; at least one."""
    return _run(text, share, 0)


@attack("excerpt", WORDS_KEPT, geometric=True)
def excerpt(text: str, share: float, rng: np.random.Generator) -> str:
    """Keep words that follow each other, from a random place on; at least one."""
    return _run(text, share, float(rng.random()))


def copy_paste(
    text: str, share: float, rng: np.random.Generator, snippets: int = SNIPPETS, host: str | None = None
) -> str:
    """Keep words in snippets at random places; words of the host, a text by people, stand for all others.

    There are as many words as before. The snippets are equally long and stay where they were; the host begins at
    a random word, and again where it ends. By default it is the reference of Python, in English, which differs
    between versions of Python. This is the attack CP-``snippets``-``share`` of Kirchenbauer et al., "On the
    reliability of watermarks for large language models", ICLR 2024.

    >>> copy_paste("One two three four five six.", 0.5, np.random.default_rng(1), snippets=1, host="a b")
    'b a b four five six.'

    Raises:
        MethodError: if the host has no words.
    """
    own, others = pieces(text), _host(reference() if host is None else host)
    if not own:
        return text
    start = int(rng.random() * len(others))
    kept = snippet_mask(len(own), share, snippets, rng)
    return "".join(own[i] if kept[i] else others[(start + i) % len(others)] for i in range(len(own)))


attack("copy-paste", WORDS_KEPT, geometric=True)(copy_paste)


@attack("copy-paste-1", WORDS_KEPT, geometric=True)
def copy_paste_1(text: str, share: float, rng: np.random.Generator) -> str:
    """Keep words in one snippet at a random place; words of a text by people stand for all others."""
    return copy_paste(text, share, rng, snippets=1)


def snippet_mask(length: int, share: float, snippets: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which of ``length`` units are kept: this share of them, in equal runs at random places.

    >>> snippet_mask(10, 0.4, 2, np.random.default_rng(0)).astype(int)
    array([0, 1, 1, 0, 0, 0, 1, 1, 0, 0])
    """
    kept = round(share * length)
    ends = np.linspace(0, kept, snippets + 1).astype(int)
    before = (np.sort(rng.random(snippets)) * (length - kept + 1)).astype(int)
    mask = np.zeros(length, np.bool_)
    for lost, first, last in zip(before, ends, ends[1:], strict=False):
        mask[lost + first : lost + last] = True
    return mask


@cache
def reference() -> str:
    """Return the reference of the Python language: 460 000 characters by people, on every machine with Python."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics.values())


@lru_cache(maxsize=2)
def _host(host: str) -> list[str]:
    """Return the words of the host with what follows each; a space keeps the last from the first."""
    others = pieces(host + " ")
    if not others:
        raise MethodError("the host has no words - give a text to paste into")
    return others


def pieces(text: str) -> list[str]:
    """Return the words, each with the gap after it, the first with the one before it too.

    >>> pieces("(One, two)")
    ['(One, ', 'two)']
    """
    found, gaps = words(text)
    after = [word + gap for word, gap in zip(found, gaps[1:], strict=True)]
    return [gaps[0] + after[0], *after[1:]] if after else []


def _run(text: str, share: float, place: float) -> str:
    """Return this share of the words, from ``place`` among all runs of that length; all is all, gaps included."""
    found, gaps = words(text)
    count = max(1, round(share * len(found)))
    if count >= len(found):
        return text
    start = int(place * (len(found) - count + 1))
    return (gaps[0] if start == 0 else "") + joined(found[start : start + count], gaps[start + 1 : start + count])
