"""The three ways to write: a bias towards green tokens, the Gumbel trick, and tournaments.

A scheme turns keyed words into another choice of tokens, and the word of the token that was chosen into a score. Which
words is not its affair: ``prf.py`` deals them by key, window and lane.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from markai._kernels import add_bias, add_bias_self, gumbel_choice, token_words
from markai.errors import MethodError
from markai.text.base import Ids, Scores
from markai.text.levels import WORDS, Levels, green_levels, gumbel_levels, sum_of_bits

Logits = NDArray[np.float32]
Places = NDArray[np.int64]

MOST_SURVIVORS = 1024  # of a tournament: what sampling keeps after top-k and top-p is far less
BLOCK = 64  # numbers, more than are summed up side by side on any machine
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
        """Return the score of each word, whatever the shape."""

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> Logits:
        """Return new logits (b, v), changed in those ``rows`` (b,); ``states`` and ``lanes`` are of all rows."""


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

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> Logits:
        delta = np.where(rows, np.float32(self.delta), np.float32(0))
        changed = logits.copy()
        (add_bias if self.hashing == "left" else add_bias_self)(changed, states, lanes, self.below, delta)
        return changed


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

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> Logits:
        chosen = gumbel_choice(logits, states, lanes)
        rows = rows & (chosen >= 0)  # -1, nothing to choose from: the sampler's affair
        changed = _nothing_in(rows, logits)
        at = np.flatnonzero(rows)
        changed[at, chosen[at]] = logits[at, chosen[at]]
        return changed


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
        upper, lower = _half_scores(tuple(self.weights.tolist()))
        total: Scores = upper[words >> np.uint32(16)] + lower[words & np.uint32(0xFFFF)]
        return total

    def write(self, logits: Logits, states: Ids, lanes: Ids, rows: NDArray[np.bool_]) -> Logits:
        changed = _nothing_in(rows, logits)
        row, tokens, places = survivors(logits, rows)
        if not len(tokens):
            return changed
        won = _tournament(self.bits(token_words(states[row], tokens, lanes[row])), logits[row, tokens], row, places)
        changed[row, tokens] = np.log(won, out=np.full_like(won, -np.inf), where=won > 0)
        return changed


def _tournament(bits: NDArray[np.uint8], logits: Logits, row: Places, places: Places) -> NDArray[np.float64]:
    """Return the chances (n,) after all matches, of tokens with bits (n, layers) and logits (n,).

    They stand in row (n,) at places (n,): rows of several lengths go through the matches at once. Each is filled up to
    a whole number of blocks, for the sums of a row to be the same to the last bit, whatever the other rows.
    """
    shape = int(row.max()) + 1, (int(places.max()) // BLOCK + 1) * BLOCK
    kept = np.full(shape, -np.inf)
    kept[row, places] = logits
    best = kept.max(1, keepdims=True)
    chances = np.exp(kept - np.where(best > -np.inf, best, 0))
    chances /= np.maximum(np.einsum("bk->b", chances), 1)[:, None]  # 0 in rows that are not written
    losing = np.zeros((bits.shape[1], *shape), np.uint8)
    losing[:, row, places] = 1 - bits.T
    for each in losing:
        lost = each.astype(np.float64)
        share = np.einsum("bk,bk->b", chances, lost)[:, None]
        # Who loses is left the share of those that lose, who wins gains it.
        chances *= np.subtract(1 + share, lost, out=lost)
    won: NDArray[np.float64] = chances[row, places]
    return won


def survivors(logits: Logits, rows: NDArray[np.bool_]) -> tuple[Places, Ids, Places]:
    """Return what sampling can still draw in those rows (b,) of logits (b, v): row, token, and which of its row, (n,).

    >>> row, tokens, places = survivors(np.array([[0, -np.inf, -1], [-30, 0, 0]], np.float32), np.ones(2, np.bool_))
    >>> row, tokens, places
    (array([0, 0, 1, 1]), array([0, 2, 1, 2], dtype=uint32), array([0, 1, 0, 1]))
    """
    alive = (
        logits > np.where(rows, logits.max(1, initial=-np.inf) - np.float32(LEAST_LOGIT), np.float32(np.inf))[:, None]
    )
    for row in np.flatnonzero(rows):
        if np.count_nonzero(alive[row]) > MOST_SURVIVORS:
            _leave_most(alive[row], logits[row])
    of, tokens = np.divmod(np.flatnonzero(alive), logits.shape[1])
    return of, tokens.astype(np.uint32), np.arange(len(of)) - np.searchsorted(of, of)


def _leave_most(alive: NDArray[np.bool_], logits: Logits) -> None:
    least = np.partition(logits, -MOST_SURVIVORS)[-MOST_SURVIVORS]
    np.greater(logits, least, out=alive)
    # Of equal logits those with the least ids, or it would depend on the order of a sort who survives.
    alive[np.flatnonzero(logits == least)[: MOST_SURVIVORS - np.count_nonzero(alive)]] = True


@cache
def _half_scores(weights: tuple[int, ...]) -> tuple[Scores, Scores]:
    """Return the scores (65536,) of the upper and of the lower half of a word; they take longer to make than to use."""
    halves = np.pad(np.array(weights, np.int64), (0, 32 - len(weights))).reshape(2, 16)
    bits = np.unpackbits(np.arange(1 << 16, dtype=">u2")[:, None].view(np.uint8), axis=1)
    return bits @ halves[0], bits @ halves[1]


def _nothing_in(rows: NDArray[np.bool_], logits: Logits) -> Logits:
    """Return logits (b, v) with -inf in those rows (b,), which nearly always are all."""
    changed = np.full_like(logits, -np.inf)
    changed[~rows] = logits[~rows]
    return changed


SCHEMES: dict[str, type[Bias | Gumbel | Tournament]] = {each.name: each for each in (Bias, Gumbel, Tournament)}
