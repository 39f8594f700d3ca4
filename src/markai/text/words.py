"""Marks without logits: of several texts that any generator offers, keep the one that the key likes best.

The units are words rather than tokens, so that neither side needs a tokenizer: whoever can ask a model for k answers
can mark, and whoever has the text can read. The score of a word after the two before it is that of the Gumbel trick,
and so is its p-value. One choice among k moves the sum of a piece by 1.4 of its standard deviations for k = 8: pieces
of a sentence or less, and many of them (black-box best-of-k, Bahri et al., 2024).
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from markai.errors import MethodError
from markai.keys import Key
from markai.text.base import Ids, Scores
from markai.text.contexts import occurrences
from markai.text.detector import detect
from markai.text.prf import LANE_PRESENCE, Dealer
from markai.text.result import TextDetection
from markai.text.schemes import Gumbel

# Chinese, Japanese and Thai write no spaces: there each character is a word. Hangul is written with spaces.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
WORD = re.compile(f"[{UNSPACED}]|(?:(?![{UNSPACED}])\\w)+")
MOST_CHOICES = 1024


@dataclass(frozen=True)
class Words(Gumbel):
    """The Gumbel score on words."""

    name: ClassVar[str] = "words"

    width: int = 2


class WordMark:
    """A mark that needs no access to the model, and no tokenizer.

    >>> mark = WordMark(Key(bytes(32)))
    >>> mark.choose(["the cat sat", "a dog ran off", "one bird sang"], before="Once")
    0
    >>> vocabulary = "a bright cold day in April and the clocks were striking thirteen while winds blew dust".split()
    >>> rng = np.random.default_rng(5)
    >>> text = mark.write(lambda so_far: " " + " ".join(rng.choice(vocabulary, 4)), pieces=60, choices=16)
    >>> mark.detect(text).detected, WordMark(Key.generate()).detect(text).detected
    (True, False)
    """

    name = "words"
    once = Gumbel.once

    def __init__(self, key: Key) -> None:
        self.scheme = Words()
        self.width = self.scheme.width
        self.null = self.scheme.null
        self.key_id = key.id
        self._dealer = Dealer(key, self.scheme)

    def choose(self, candidates: Sequence[str], before: str = "") -> int:
        """Return which of several continuations of the text ``before`` to keep; the first of equal ones.

        Raises:
            MethodError: if there are none.
        """
        if not candidates:
            raise MethodError("there is nothing to choose from - give one candidate or more")
        return int(np.argmax([self._gain(before, each) for each in candidates]))

    def write(self, generate: Callable[[str], str], prompt: str = "", pieces: int = 20, choices: int = 8) -> str:
        """Return a text of so many pieces, each the best of ``choices`` that ``generate(prompt + text)`` returned.

        Raises:
            MethodError: if a number is out of range, or ``generate`` returned no str.
        """
        if pieces < 1 or not 2 <= choices <= MOST_CHOICES:
            raise MethodError(
                f"{pieces} pieces of {choices} choices are out of range - at least 1, of 2 to {MOST_CHOICES}"
            )
        text = ""
        for _ in range(pieces):
            offered = [generate(prompt + text) for _ in range(choices)]
            if not all(isinstance(each, str) for each in offered):
                raise MethodError("generate has to return the str that goes on - wrap the client's answer")
            text += offered[self.choose(offered, text)]
        return text

    def detect(self, text: str, *, fpr: float = 1e-6, scan: bool = True) -> TextDetection:
        """Return whether the mark is in a text."""
        return detect(word_ids(text), [self], fpr, scan=scan)

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the scores (n,) of words (n,) after windows (n, 2)."""
        lanes = np.full(len(tokens), LANE_PRESENCE, np.uint32)
        return self.scheme.scores(self._dealer.words(self._dealer.states(windows), tokens, lanes))

    def _gain(self, before: str, candidate: str) -> float:
        """Return by how much a continuation adds to the sum of scores beyond what is expected of so many words."""
        known = word_ids(before)
        # Words that were there already count once: those of the candidate that are new, in the text as a whole.
        ids = np.concatenate([known, word_ids(candidate)])
        seen = occurrences(ids, self.width, self.once)
        new = seen.positions >= len(known)
        scores = self.scores(seen.windows[new], seen.tokens[new])
        return float((scores - self.null @ np.arange(len(self.null))).sum())


def word_ids(text: str) -> Ids:
    """Return a number for each word, whatever its case or Unicode form: 32 bits of its BLAKE2 hash.

    >>> word_ids("Straße 北京") .tolist() == word_ids("STRASSE, 北 京!").tolist(), len(word_ids("it's 北京"))
    (True, 4)
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return np.array([_number(word) for word in WORD.findall(plain)], np.uint32)


def _number(word: str) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).digest()
    return min(int.from_bytes(digest, "little"), 2**32 - 2)
