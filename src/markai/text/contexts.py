"""Windows of tokens: what a mark is keyed by, while writing and while reading.

The window of a token is the ``width`` tokens before it. A window, or a pair of window and token, that comes again
brings no new randomness of the key: it counts once, the first time. Whoever counts repetitions finds marks in every
chorus (15 to 44 % of repetitive texts at a nominal 1 %).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from markai.text.base import Ids

NOTHING = np.uint32(0xFFFFFFFF)  # stands before the first token


@dataclass(frozen=True)
class Occurrences:
    """Tokens that may be scored: their windows (n, width), themselves (n,), and where they stand in the text (n,)."""

    windows: Ids
    tokens: Ids
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tokens)


def windows_of(ids: Ids, width: int) -> Ids:
    """Return the windows (n - width, width) of ids (n,) from the first that has one, oldest token first."""
    if len(ids) <= width:
        return np.empty((0, width), np.uint32)
    return np.lib.stride_tricks.sliding_window_view(ids, width)[: len(ids) - width]


def last_windows(ids: NDArray[np.integer], width: int) -> Ids:
    """Return the windows (b, width) of the tokens that come next after ids (b, t).

    >>> last_windows(np.array([[7, 8, 9]]), 2), last_windows(np.array([[7]]), 2)
    (array([[8, 9]], dtype=uint32), array([[4294967295,          7]], dtype=uint32))
    """
    rows = (ids[:, -width:] if width else ids[:, :0]).astype(np.uint32)
    missing = width - rows.shape[1]
    return np.pad(rows, ((0, 0), (missing, 0)), constant_values=NOTHING) if missing else rows


def met_before(ids: NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """Return (b,) whether the window of the next token came before in the same row of ids (b, t).

    >>> met_before(np.array([[1, 2, 3, 1, 2], [1, 2, 3, 2, 1]]), 2)
    array([ True, False])
    """
    length = ids.shape[1]
    if length <= width:
        return np.zeros(len(ids), np.bool_)
    same = ids[:, width - 1 : length - 1] == ids[:, length - 1, None]
    if not same.any():  # nor does the last token come before
        return np.zeros(len(ids), np.bool_)
    for back in range(2, width + 1):
        same &= ids[:, width - back : length - back] == ids[:, length - back, None]
    return np.asarray(same.any(1))


def occurrences(
    ids: Ids, width: int, once: Literal["pair", "context"], start: int = 0, excluded: Collection[int] = ()
) -> Occurrences:
    """Return what is to be scored of ids (n,): the first of its kind from ``start`` on, nothing ``excluded`` in it.

    >>> found = occurrences(np.array([1, 2, 3, 1, 2, 3, 1, 9], np.uint32), 2, "pair")
    >>> found.positions, occurrences(np.array([1, 2, 3, 1, 2, 9], np.uint32), 2, "context").positions
    (array([2, 3, 4, 7]), array([2, 3, 4]))
    """
    windows, tokens = windows_of(ids, width), ids[width:]
    usable = np.arange(width, width + len(tokens)) >= start
    if excluded:
        outside = np.isin(ids, np.fromiter(excluded, np.uint32))
        usable &= ~outside[width:]
        for back in range(width):
            usable &= ~outside[back : back + len(tokens)]
    at = np.flatnonzero(usable)
    names = _names(windows[at] if once == "context" else np.column_stack([windows[at], tokens[at]]))
    at = at[np.sort(np.unique(names, return_index=True)[1])]
    return Occurrences(np.ascontiguousarray(windows[at]), tokens[at], at + width)


def _names(rows: Ids) -> NDArray[np.uint64]:
    """Return (n,) a number for each row (n, w); two different rows share one by chance in 2**64."""
    names = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for column in rows.T:  # the finalizer of MurmurHash3 after each
        names ^= column
        names *= np.uint64(0xFF51AFD7ED558CCD)
        names ^= names >> np.uint64(33)
        names *= np.uint64(0xC4CEB9FE1A85EC53)
        names ^= names >> np.uint64(29)
    return names
