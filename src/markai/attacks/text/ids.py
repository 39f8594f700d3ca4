"""Edits of token ids, for marks that are read from ids: no tokenizer stands between the edit and the mark.

Ids are integers in one dimension, from 0 below ``vocab_size``; every function returns new ones, int64. The share is
the chance of each id, as for words.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markai.attacks.text.excerpts import SNIPPETS, snippet_mask
from markai.errors import MethodError

Ids = NDArray[np.int64]


class Retokenized(NamedTuple):
    """The ids after decoding and encoding, and how many of the ids before are not among them, in order."""

    ids: Ids
    changed: int


def substitute_ids(ids: ArrayLike, share: float, vocab_size: int, rng: np.random.Generator) -> Ids:
    """Replace ids by others, all equally likely.

    >>> (substitute_ids([5, 6, 7], 1, 8, np.random.default_rng(0)) != [5, 6, 7]).all()
    np.True_

    Raises:
        MethodError: if these are no ids, the share is not in [0, 1], or the vocabulary has no other id.
    """
    before = _checked(ids, share, vocab_size)
    hit = rng.random(len(before)) < share
    step = rng.integers(1, vocab_size, len(before))
    return np.where(hit, (before + step) % vocab_size, before)


def delete_ids(ids: ArrayLike, share: float, rng: np.random.Generator) -> Ids:
    """Leave out ids.

    Raises:
        MethodError: if these are no ids, or the share is not in [0, 1].
    """
    before = _checked(ids, share)
    return before[rng.random(len(before)) >= share]


def insert_ids(ids: ArrayLike, share: float, vocab_size: int, rng: np.random.Generator) -> Ids:
    """Put ids before others, all equally likely.

    Raises:
        MethodError: if these are no ids, the share is not in [0, 1], or the vocabulary has no other id.
    """
    before = _checked(ids, share, vocab_size)
    hit = rng.random(len(before)) < share
    new = rng.integers(0, vocab_size, len(before))
    return np.insert(before, np.flatnonzero(hit), new[hit])


def truncate_ids(ids: ArrayLike, share: float) -> Ids:
    """Keep the beginning, this share of the ids.

    >>> truncate_ids([3, 1, 4, 1], 0.5)
    array([3, 1])

    Raises:
        MethodError: if these are no ids, or the share is not in [0, 1].
    """
    before = _checked(ids, share)
    return before[: round(share * len(before))]


def copy_paste_ids(
    ids: ArrayLike, share: float, host: ArrayLike, rng: np.random.Generator, snippets: int = SNIPPETS
) -> Ids:
    """Keep ids in snippets at random places; those of the host stand for all others, as in ``copy_paste``.

    >>> copy_paste_ids([1, 2, 3, 4, 5, 6], 0.5, [0], np.random.default_rng(1), snippets=1)
    array([0, 0, 0, 4, 5, 6])

    Raises:
        MethodError: if either are no ids, the host is empty, or the share is not in [0, 1].
    """
    before, others = _checked(ids, share), _checked(host, share)
    if not len(others):
        raise MethodError("the host has no ids - give some to paste into")
    start = int(rng.random() * len(others))
    around = np.take(others, np.arange(start, start + len(before)), mode="wrap")
    return np.where(snippet_mask(len(before), share, snippets, rng), before, around)


def retokenize(
    ids: ArrayLike, decode: Callable[[list[int]], str], encode: Callable[[str], Sequence[int]]
) -> Retokenized:
    """Decode and encode again: what a reader of the text gets, who never saw the ids.

    >>> retokenize([104, 105], lambda ids: bytes(ids).decode(), lambda text: list(text.encode()))
    Retokenized(ids=array([104, 105]), changed=0)

    Raises:
        MethodError: if these are no ids, ``decode`` gives no str or ``encode`` no ids.
    """
    before = _checked(ids)
    text = decode(before.tolist())
    if not isinstance(text, str):
        raise MethodError(f"decode returned {type(text).__name__} - let it return a str")
    after = _checked(encode(text))
    return Retokenized(after, len(before) - _in_common(before, after))


def _in_common(before: Ids, after: Ids) -> int:
    """Return the length of the longest common subsequence, row by row of its table."""
    longest = np.zeros(len(after) + 1, np.int64)
    for each in before:
        longest[1:] = np.maximum.accumulate(np.maximum(longest[1:], longest[:-1] + (after == each)))
    return int(longest[-1])


def _checked(ids: ArrayLike, share: float = 0, vocab_size: int | None = None) -> Ids:
    """Return the ids in memory of their own. An empty list is fine, which NumPy takes for one of floats."""
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu") or (array < 0).any():
        raise MethodError(f"ids are integers in one dimension, 0 or more, not {array.dtype} of shape {array.shape}")
    if not 0 <= share <= 1:
        raise MethodError(f"a share is from 0 to 1, not {share}")
    if vocab_size is not None and not max(1, array.max(initial=0)) < vocab_size:
        raise MethodError(f"a vocabulary of {vocab_size} does not hold these ids and another - give its full size")
    return array.astype(np.int64)
