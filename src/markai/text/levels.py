"""Keyed words of 32 bits into whole scores whose distribution without a mark is known exactly."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.text.base import Scores

WORDS = 1 << 32
MANY = 1 << 14  # words from which on the table pays
PER_NAT = 4  # levels of a Gumbel score; finer ones find no more: rounding adds 0.5 % to its variance


@dataclass(frozen=True)
class Levels:
    """A score of k where the word is at least ``starts[k - 1]``: a rising function of the word.

    >>> levels = Levels(np.array([1 << 31, 3 << 30], np.uint64))
    >>> levels.scores(np.array([5, 1 << 31, 0xFFFFFFFF], np.uint32)), levels.null
    (array([0, 1, 2]), array([0.5 , 0.25, 0.25]))
    """

    starts: NDArray[np.uint64]  # rising, none above 2**32

    @property
    def null(self) -> NDArray[np.float64]:
        """(K,) chance of each score when all words are equally likely; exact, as 2**32 is below 2**53."""
        edges = np.concatenate([[0.0], self.starts.astype(np.float64), [float(WORDS)]])
        return np.diff(edges) / WORDS

    @cached_property
    def _table(self) -> tuple[Scores, NDArray[np.bool_]]:
        """Return the score of the first word with each upper half, and whether those after it may have another."""
        first = np.arange(1 << 16, dtype=np.uint64) << np.uint64(16)
        scores, last = self._found(first), self._found(first + np.uint64(0xFFFF))
        return scores, scores != last

    def _found(self, words: NDArray[np.unsignedinteger[Any]]) -> Scores:
        return np.searchsorted(self.starts, words, side="right").astype(np.int64)

    def scores(self, words: NDArray[np.uint32]) -> Scores:
        """Return the score of each word: from a table by its upper half, or by search where that does not decide."""
        if words.size < MANY:
            return self._found(words)
        table, undecided = self._table
        upper = words >> np.uint32(16)
        scores: Scores = table[upper]
        at = np.flatnonzero(undecided[upper])
        scores.flat[at] = self._found(words.flat[at])
        return scores


@cache
def gumbel_levels() -> Levels:
    """Return the scores of the Gumbel trick: -ln(1 - u), in quarters, rounded down (Aaronson, 2022).

    1 - u is (2**32 - word) / 2**32, so that the chance of a score is never understated; 22 nats is the most.

    >>> gumbel_levels().scores(np.array([0, 1 << 31, 0xFFFFFFFF], np.uint32))
    array([ 0,  2, 88])
    """
    most = int(PER_NAT * np.log(WORDS))
    least = np.floor(WORDS * np.exp(-np.arange(1, most + 1) / PER_NAT)).astype(np.uint64)
    return Levels(WORDS - least)


def green_levels(below: int) -> Levels:
    """Return the scores of a green list: 1 where the word is ``below`` a threshold, here as its complement.

    >>> green_levels(1 << 30).null
    array([0.75, 0.25])
    """
    return Levels(np.array([WORDS - below], np.uint64))


def larger_of_two(null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distribution of the larger of two independent scores.

    >>> larger_of_two(np.array([0.75, 0.25]))
    array([0.5625, 0.4375])
    """
    at_most = np.cumsum(null)
    return np.diff(np.concatenate([[0.0], at_most / at_most[-1]]) ** 2)


def sum_of_bits(weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the distribution of the sum of these weights, each taken with chance 1/2.

    >>> sum_of_bits(np.array([1, 2]))
    array([0.25, 0.25, 0.25, 0.25])
    """
    chances = np.ones(1)
    for weight in weights:
        taken = np.concatenate([np.zeros(weight), chances])
        chances = (np.concatenate([chances, np.zeros(weight)]) + taken) / 2
    return chances
