"""What every mark in text has in common, markai's own and others': keyed scores of tokens with a known null."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint32]
Scores = NDArray[np.int64]


@runtime_checkable
class Scorer(Protocol):
    """A mark under a key, as its detector needs it: a whole number for every token and the tokens before it.

    Over the key, the scores of different (window, token) pairs are independent, and each is k with the chance
    ``null[k]``. All that the detector does rests on that: exact tails, weights, the search for marked passages.
    ``once`` says what counts once: a "pair" of window and token, or each "context", for marks that are only written
    where a context is met for the first time. Plain attributes do for the properties.
    """

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def key_id(self) -> str | None:
        """Which key it is, without revealing it."""

    @property
    def width(self) -> int:
        """How many tokens before the scored one decide its score."""

    @property
    def once(self) -> Literal["pair", "context"]:
        """What counts once."""

    @property
    def null(self) -> NDArray[np.float64]:
        """(K,) chances of the scores 0 to K - 1, adding up to 1."""

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the (n,) scores of tokens (n,) after windows (n, width), oldest token first.

        -1 says that a pair brings no randomness of its own, because another one before it decided the same way.
        """


@dataclass(frozen=True)
class Reading:
    """What the text would be if a certain payload were in it: scores (n,), and how many payloads there might be.

    ``payload`` is only set where it is authenticated.
    """

    scores: Scores
    log2_rivals: int
    payload: bytes | None


# A mark that may carry a payload has a method ``read`` beside those of a Scorer: windows (n, width), tokens (n,) and
# weights (n,) to the likeliest reading for each length of payload, or to None where the mark has none.
Read = Callable[[Ids, Ids, NDArray[np.int64]], list[Reading] | None]


def as_ids(values: Any) -> Ids:
    """Return token ids (n,) as uint32, from a list, an array, or a tensor with one row.

    >>> as_ids([[5, 6, 7]])
    array([5, 6, 7], dtype=uint32)

    Raises:
        TypeError: if they are no integers.
        ValueError: if they are not one sequence, or one is negative or 2**32 - 1 or more.
    """
    array = np.asarray(values.tolist() if hasattr(values, "detach") else values)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1:
        raise ValueError(f"token ids are one sequence, not an array of shape {array.shape} - pass one text at a time")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"token ids are integers, not {array.dtype} - encode text with the model's tokenizer first")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= 2**32 - 1):
        raise ValueError("token ids are from 0 to 2**32 - 2 - leave out padding of other values")
    return array.astype(np.uint32)
