"""The three ways to write: a bias towards green tokens, the Gumbel trick, and tournaments.

A scheme turns keyed words into another choice of tokens, and the word of the token that was chosen into a score. Which
words is not its affair: ``prf.py`` deals them by key, window and lane.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from markai._kernels import add_bias, add_bias_self, gumbel_choice, token_words
from markai.errors import MethodError
from markai.text.base import Ids, Scores
from markai.text.levels import WORDS, Levels, green_levels, gumbel_levels, sum_of_bits

Logits = NDArray[np.float32]

MOST_SURVIVORS = 1024  # of a tournament: what sampling keeps after top-k and top-p is far less
LEAST_LOGIT = 17.0  # nats below the likeliest token, e**-17 = 4e-8 of it: what cannot be drawn in a lifetime


class Scheme(Protocol):
    """What a way of writing needs to be."""

    name: ClassVar[str]
    samples: ClassVar[bool]  # whether the scheme draws the token itself: greedy decoding and beams cannot use it
    once: ClassVar[Literal["pair", "context"]]

    @property
    def width(self) -> int:
        """How many tokens make a window."""

    @property
    def null(self) -> NDArray[np.float64]:
        """(K,) chances of the scores of an unmarked token."""

    def scores(self, words: NDArray[np.uint32]) -> Scores:
        """Return the scores of words (n,)."""

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> None:
        """Change logits (b, v) in place, in those ``rows`` (b,); ``states`` and ``lanes`` are of all rows."""


@dataclass(frozen=True)
class Bias:
    """Green lists (Kirchenbauer et al., ICML 2023): ``delta`` is added to the logits of a share ``gamma`` of tokens.

    With ``hashing="self"`` the token to come takes part: of the tokens in the window, the one that gives it the least
    word decides whether it is green, so that an edit elsewhere in the window seldom does harm (their algorithm 3).

    Raises:
        MethodError: if a parameter is out of range.
    """

    name: ClassVar[str] = "bias"
    samples: ClassVar[bool] = False
    once: ClassVar[Literal["pair", "context"]] = "pair"

    width: int = 2
    gamma: float = 0.25
    delta: float = 2.0
    hashing: Literal["left", "self"] = "left"

    def __post_init__(self) -> None:
        if not 0.01 <= self.gamma <= 0.99:
            raise MethodError(f"gamma {self.gamma} is out of range - a share of green tokens is 0.01 to 0.99")
        if not 0 < self.delta <= 20:
            raise MethodError(f"delta {self.delta} is out of range - choose up to 20 nats, 2 is usual")
        if self.hashing not in ("left", "self"):
            raise MethodError(f"hashing {self.hashing!r} is unknown - choose left or self")

    @property
    def words(self) -> int:
        """How many words there are: with self hashing half of each picks the neighbour, the other half the colour."""
        return WORDS if self.hashing == "left" else 1 << 16

    @property
    def below(self) -> int:
        """Words below this are green."""
        return round(self.gamma * self.words)

    @cached_property
    def levels(self) -> Levels:
        return green_levels(self.below * (WORDS // self.words))

    @property
    def null(self) -> NDArray[np.float64]:
        return self.levels.null

    def scores(self, words: NDArray[np.uint32]) -> Scores:
        return (words % np.uint64(self.words) < self.below).astype(np.int64)

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> None:
        delta = np.where(rows, np.float32(self.delta), np.float32(0))
        (add_bias if self.hashing == "left" else add_bias_self)(logits, states, lanes, self.below, delta)


@dataclass(frozen=True)
class Gumbel:
    """The Gumbel trick (Aaronson, 2022): the key draws the token; over the key, as often as the model would.

    Where a window is met again in a text, the model's own sampling goes on, or it would say the same thing again.
    """

    name: ClassVar[str] = "gumbel"
    samples: ClassVar[bool] = True
    once: ClassVar[Literal["pair", "context"]] = "context"

    width: int = 4

    @property
    def null(self) -> NDArray[np.float64]:
        return gumbel_levels().null

    def scores(self, words: NDArray[np.uint32]) -> Scores:
        return gumbel_levels().scores(words)

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> None:
        at = np.flatnonzero(rows)
        if len(at) == len(logits):
            chosen = gumbel_choice(logits, states, lanes)
        else:
            chosen = gumbel_choice(logits[at], states[at], lanes[at])
        at, chosen = at[chosen >= 0], chosen[chosen >= 0]  # nothing to choose from: the sampler's affair
        kept = logits[at, chosen]
        logits[at] = -np.inf
        logits[at, chosen] = kept


@dataclass(frozen=True)
class Tournament:
    """Tournament sampling (Dathathri et al., Nature 2024), two candidates a match, in its exact limit.

    Each of ``layers`` bits of a token's word is one match: those that win gain what those that lose give. Tokens
    that sampling has left over take part, the likeliest 1,024 at most. Early layers decide most, so that their bits
    count up to ten times as much.

    Raises:
        MethodError: if the number of layers is not 1 to 32.
    """

    name: ClassVar[str] = "tournament"
    samples: ClassVar[bool] = True
    once: ClassVar[Literal["pair", "context"]] = "context"

    width: int = 4
    layers: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= 32:
            raise MethodError(f"{self.layers} layers are out of range - a word has 1 to 32 bits")

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """(layers,) how much each bit counts, 4 down to 1; 10 down to 1, as in the paper, finds no more."""
        return np.rint(np.linspace(4, 1, self.layers)).astype(np.int64)

    @cached_property
    def null(self) -> NDArray[np.float64]:
        return sum_of_bits(self.weights)

    def bits(self, words: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Return (n, layers) bits, the most significant first."""
        octets = words.astype(">u4")[:, None].view(np.uint8)
        return np.unpackbits(octets, axis=1)[:, : self.layers]

    def scores(self, words: NDArray[np.uint32]) -> Scores:
        return self.bits(words) @ self.weights

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> None:
        for row in np.flatnonzero(rows):
            tokens = survivors(logits[row])
            words = token_words(
                np.repeat(states[row, None], len(tokens), 0), tokens, np.full(len(tokens), lanes[row], np.uint32)
            )
            kept = logits[row, tokens].astype(np.float64)
            chances = np.exp(kept - kept.max(initial=-np.inf))
            chances /= chances.sum()
            for bits in np.ascontiguousarray(self.bits(words).T, np.float64):
                chances *= 1 + bits - chances @ bits
            left = chances > 0  # rounding can leave a little less than nothing
            logits[row] = -np.inf
            logits[row, tokens[left]] = np.log(chances[left])


def survivors(logits: Logits) -> Ids:
    """Return the tokens (k,) of one row that sampling can still draw.

    >>> survivors(np.array([0, -np.inf, -1, -30], np.float32))
    array([0, 2], dtype=uint32)
    """
    tokens = np.flatnonzero(logits > logits.max(initial=-np.inf) - LEAST_LOGIT)
    if len(tokens) > MOST_SURVIVORS:
        tokens = np.sort(tokens[np.argpartition(logits[tokens], -MOST_SURVIVORS)[-MOST_SURVIVORS:]])
    return tokens.astype(np.uint32)


SCHEMES: dict[str, type[Bias | Gumbel | Tournament]] = {each.name: each for each in (Bias, Gumbel, Tournament)}
