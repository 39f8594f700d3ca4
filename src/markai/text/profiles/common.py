"""What the marks of others have in common: scores that count once, and keys that are plain numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import MethodError
from markai.text.base import Scores

NO_SCORE = -1  # brings no randomness of its own (``Scorer.scores``)
LOW = 0xFFFFFFFF
MOST_WIDTH = 64


def once_each(scores: Scores, sources: NDArray[np.uint64]) -> Scores:
    """Return scores (n,), without those whose source (n,) came before: all that a score depends on, with the key.

    >>> once_each(np.array([1, 1, 0]), np.array([7, 7, 8], np.uint64))
    array([ 1, -1,  0])
    """
    kept = np.full(len(scores), NO_SCORE, np.int64)
    first = np.unique(sources, return_index=True)[1]
    kept[first] = scores[first]
    return kept


def checked_key(key: Any) -> int:
    """Return a key of 64 bits as an int.

    Raises:
        MethodError: if it is no whole number from 0 to 2**64 - 1.
    """
    if isinstance(key, bool) or not isinstance(key, int | np.integer) or not 0 <= key < 1 << 64:
        raise MethodError("the key is a whole number from 0 to 2**64 - 1, as the engine was given it")
    return int(key)


def checked_width(width: int) -> int:
    """Return a number of context tokens as it is.

    Raises:
        MethodError: if it is not 1 to 64.
    """
    if not 1 <= width <= MOST_WIDTH:
        raise MethodError(f"a context of {width} tokens is out of range - 1 to {MOST_WIDTH}, as in the generation")
    return width
