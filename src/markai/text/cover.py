"""Marked passages in longer texts: a cover of windows that doubles in length, corrected for their number.

Any passage of n scored tokens, n >= 24, holds a window that is a third of it at least (geometric cover; Zhao et al.,
"Efficiently identifying watermarked segments in mixed-source texts", 2024, search alike).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markai.stats import LN10, corrected, log10_score_tail
from markai.text.base import Scores

SHORTEST = 16  # scored tokens; fewer cannot reach 1e-6 after correction in text with 4 nats a token
TILTS = np.geomspace(0.02, 4, 32)  # in deviations of a score: where the evidence of all windows is computed at once
EXACT = 2  # windows whose tail is computed, of those whose bound is best
DULL = -1.0  # log10 p after correction; above it nobody needs to know how far, and Chernoff's bound will do
MOST_PASSAGES = 32
AT_ONCE = 1 << 22  # numbers in memory: a book has a million tokens


@dataclass(frozen=True)
class Passage:
    """A run of scored tokens, ``first`` to ``last``, that end excluded, and its p-value corrected for the search."""

    first: int
    last: int
    log10_p: float


class Cover:
    """All windows over scored tokens with scores (n,) and whole weights (n,), their evidence bounded in one pass."""

    def __init__(self, scores: Scores, weights: NDArray[np.int64], null: NDArray[np.float64]) -> None:
        self.scores, self.weights, self.null = scores, weights, null
        self.first, self.last = windows(len(scores))

    def __len__(self) -> int:
        return len(self.first)

    def evidence(self) -> NDArray[np.float64]:
        """Return a number for each window that grows with -ln p: Chernoff's exponent, on a grid of tilts."""
        at_once = max(1, AT_ONCE // len(self.scores))
        parts = [TILTS[start : start + at_once] for start in range(0, len(TILTS), at_once)]
        return np.asarray(np.max([self._exponents(part) for part in parts], axis=0))

    def _exponents(self, tilts: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.concatenate([np.zeros((len(tilts), 1)), self.gains(tilts).cumsum(1)], axis=1)
        return np.asarray((sums[:, self.last] - sums[:, self.first]).max(0))

    def gains(self, tilts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (tilts, n) what each token adds to the exponent: tilt * score - ln E exp(tilt * score)."""
        values = np.arange(len(self.null))
        deviation = np.sqrt(self.null @ values**2 - (self.null @ values) ** 2)
        levels, inverse = np.unique(self.weights, return_inverse=True)
        scaled = tilts / (deviation * levels.max())
        steps = np.multiply.outer(np.multiply.outer(scaled, levels), values)
        logs = np.log((np.exp(steps) * self.null).sum(-1))  # (tilts, levels)
        return np.asarray(scaled[:, None] * (self.scores * self.weights) - logs[:, inverse])

    def log10_tail(self, first: int, last: int) -> float:
        """Return the exact log10 p of the tokens from first to last, for a window chosen in advance."""
        scores, weights = self.scores[first:last], self.weights[first:last]
        return log10_score_tail(int(scores @ weights), self.null, np.bincount(weights).tolist())

    def best(self) -> float:
        """Return log10 p of the best window, corrected for all of them."""
        if not len(self):
            return 0.0
        evidence = self.evidence()
        bound = corrected(-float(evidence.max()) / LN10, len(self))
        if bound > DULL:
            return bound
        top = np.argpartition(evidence, -min(EXACT, len(self)))[-EXACT:]
        return corrected(min(self.log10_tail(self.first[at], self.last[at]) for at in top), len(self))

    def passages(self, log10_level: float) -> list[Passage]:
        """Return passages that do not overlap, each at most ``log10_level`` after correction, in order.

        The p-value is that of a window; where the passage begins and ends within and around it is the likeliest guess.
        """
        found: list[Passage] = []
        evidence = self.evidence() if len(self) else np.empty(0)
        for at in np.argsort(-evidence):
            first, last = int(self.first[at]), int(self.last[at])
            if len(found) == MOST_PASSAGES or evidence[at] < -log10_level:  # nats are fewer than decades
                break
            if all(last <= each.first or each.last <= first for each in found):
                log10_p = corrected(self.log10_tail(first, last), len(self))
                if log10_p <= log10_level:
                    low = max([0, *(each.last for each in found if each.last <= first)])
                    high = min([len(self.scores), *(each.first for each in found if each.first >= last)])
                    found.append(Passage(*self._ends(first, last, low, high), log10_p))
        return sorted(found, key=lambda each: each.first)

    def _ends(self, first: int, last: int, low: int, high: int) -> tuple[int, int]:
        """Return where the passage in a window begins and ends: the run of gains with the largest sum that holds the
        middle of the window and reaches no further than half of its length beyond either end, low and high."""
        middle, half = (first + last) // 2, (last - first) // 2
        low, high = max(low, first - half), min(high, last + half)
        around = Cover(self.scores[low:high], self.weights[low:high], self.null)
        gains = around.gains(TILTS)
        best = gains[np.argmax(gains[:, first - low : last - low].sum(1))]
        before, after = np.cumsum(best[: middle - low][::-1]), np.cumsum(best[middle - low :])
        return middle - 1 - int(np.argmax(before)), middle + 1 + int(np.argmax(after))


def windows(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last (excluded) of every window: lengths 16, 32, ... below ``count``, by half of each.

    >>> first, last = windows(42)
    >>> list(zip(first.tolist(), last.tolist()))
    [(0, 16), (8, 24), (16, 32), (24, 40), (26, 42), (0, 32), (10, 42)]
    """
    first, last = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    length = SHORTEST
    while length < count:
        starts = np.union1d(np.arange(0, count - length + 1, length // 2), count - length)
        first.append(starts)
        last.append(starts + length)
        length *= 2
    return np.concatenate(first), np.concatenate(last)
