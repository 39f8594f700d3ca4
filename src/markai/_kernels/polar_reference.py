"""NumPy oracle of polar.cpp: the same signatures and the same bits, written plainly (paths are copied)."""

import numpy as np
from numpy.typing import NDArray

MAX_LENGTH = 16384
MAX_LIST = 64
LARGEST_LLR = np.float32(1e30)

Bits = NDArray[np.uint8]
Floats = NDArray[np.float32]
Paths = tuple[Bits, Floats, NDArray[np.intp]]  # code words, metrics, and which path each came from


def polar_encode(bits: Bits) -> Bits:
    """Return the polar transform of n bits, uint8 0 or 1 (Arikan 2009), in natural order.

    That is u F over GF(2) for F the Kronecker power log2(n) of [[1, 0], [1, 1]]. It is its own inverse, and
    works on rows (m, n) too.

    >>> polar_encode(np.array([0, 1, 0, 1], np.uint8)).tolist()
    [0, 0, 1, 1]

    Raises:
        ValueError: if the length is not a power of two up to 16384.
    """
    n = _checked_length(bits.shape[-1])
    out = bits.copy()
    half = 1
    while half < n:
        pairs = out.reshape(-1, 2, half)
        pairs[:, 0] ^= pairs[:, 1]
        half *= 2
    return out


def polar_list_decode(llr: Floats, frozen: Bits, list_size: int) -> tuple[Bits, Floats]:
    """Return the ``list_size`` best words u and their path metrics, best first (Tal and Vardy 2015, min-sum).

    ``llr`` (n,) is positive for bit 0; ``frozen`` (n,) is not 0 where u is known to be 0. Words are uint8
    (list_size, n), metrics float32, smaller is better. Rows that the code has too few words for are 0, their
    metric is infinite. LLRs beyond +-1e30 count as +-1e30 and NaN as 0.

    >>> words, metrics = polar_list_decode(np.array([1, -3], np.float32), np.array([1, 0], np.uint8), 2)
    >>> words.tolist(), metrics.tolist()
    ([[0, 1], [0, 0]], [1.0, 3.0])

    Raises:
        ValueError: if n is not a power of two up to 16384, or ``list_size`` not 1..64.
    """
    n = _checked_length(len(llr))
    if len(frozen) != n or not 1 <= list_size <= MAX_LIST:
        raise ValueError(f"llr and frozen have one length and the list size is 1 to {MAX_LIST}")
    usable = np.clip(np.where(np.isnan(llr), np.float32(0), llr), -LARGEST_LLR, LARGEST_LLR)
    codewords, metric, _ = _visit(usable[None], np.zeros(1, np.float32), frozen != 0, list_size)
    order = np.argsort(metric, kind="stable")
    words = np.zeros((list_size, n), np.uint8)
    metrics = np.full(list_size, np.inf, np.float32)
    words[: len(order)] = polar_encode(codewords[order])
    metrics[: len(order)] = metric[order]
    return words, metrics


def _visit(llr: Floats, metric: Floats, frozen: NDArray[np.bool_], list_size: int) -> Paths:
    # One row of LLRs and one metric per path.
    if frozen[:-1].all():
        return _decide(llr, metric, not frozen[-1], list_size)
    half = len(frozen) // 2
    a, b = llr[:, :half], llr[:, half:]
    left, metric, parent = _visit(_check(a, b), metric, frozen[:half], list_size)
    a, b = a[parent], b[parent]
    right, metric, survivor = _visit(np.where(left, b - a, b + a), metric, frozen[half:], list_size)
    return np.hstack([left[survivor] ^ right, right]), metric, parent[survivor]


def _check(a: Floats, b: Floats) -> Floats:
    least = np.minimum(np.abs(a), np.abs(b))
    return np.where((a < 0) != (b < 0), -least, least)


def _decide(llr: Floats, metric: Floats, forks: bool, list_size: int) -> Paths:
    paths, size = llr.shape
    zero = metric + _penalty(llr)
    if not forks:
        return np.zeros((paths, size), np.uint8), zero, np.arange(paths)
    cost = np.column_stack([zero, metric + _penalty(-llr)]).ravel()  # at 2 path + bit, which also breaks ties
    kept = np.sort(np.argsort(cost, kind="stable")[:list_size])
    bit = (kept % 2).astype(np.uint8)
    return np.repeat(bit[:, None], size, axis=1), cost[kept], kept // 2


def _penalty(llr: Floats) -> Floats:
    # Summed by halves, the order of polar.cpp.
    cost = np.maximum(-llr, np.float32(0))
    while cost.shape[1] > 1:
        half = cost.shape[1] // 2
        cost = cost[:, :half] + cost[:, half:]
    return cost[:, 0]


def _checked_length(n: int) -> int:
    if not 1 <= n <= MAX_LENGTH or n & (n - 1):
        raise ValueError(f"a polar code has a power of two up to {MAX_LENGTH} bits, not {n}")
    return n
