"""One to four bytes in a text: authenticated, in a Reed-Solomon code, a byte of the code word for each window.

Format 1, fixed forever by ``tests/vectors/text_message.json``: the payload and two bytes of MAC, k bytes together, are
the values of a polynomial of degree below k over GF(256) (x^8 + x^4 + x^3 + x^2 + 1) at the points 0 to k - 1; the code
word is its values at 0 to 11 (Reed and Solomon, 1960). The MAC is the beginning of HMAC-SHA256 under
``key.derive("text mac v1")`` of version (1), length and payload.

A window of tokens stands for one of the 12 bytes, whose value is the lane that is written in. A token that was one of
thousands tells 256 lanes apart nearly as well as two, so that bytes carry far more than bits: of 32 bits in 400 tokens
with 1.3 nats each, a tenth of the tokens changed, a polar code over bits brings back one in seven, half bytes three in
four, bytes 96 in 100.
"""

import hmac
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from markai.errors import PayloadError
from markai.keys import Key

FORMAT_VERSION = 1
MAX_PAYLOAD = 4
MAC_BYTES = 2
LENGTH = 12
VALUES = 256
POLYNOMIAL = 0x11D
# The decoder starts from k of the k + SPARE bytes that are known best, and follows up values whose ranks, counted from
# 1, have a product of at most RANKS: with a tenth of the tokens changed 96 of 100 are found in 7 ms; 3 and 24 find 99,
# in 250 ms.
SPARE, RANKS = 2, 8
CHECKED = 4  # words whose MAC is compared: the chance of a wrong payload is 2**-14 for each length

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Word:
    """A code word (12,), the payload in it, and whether the MAC is right."""

    values: Bytes
    payload: bytes
    authentic: bool

    @property
    def log2_rivals(self) -> int:
        """How many words there are that might as well have been found: with its length, and a right MAC if it has."""
        return 8 * (len(self.payload) + (0 if self.authentic else MAC_BYTES))


@lru_cache(maxsize=256)
def encode(payload: bytes, key: Key) -> Bytes:
    """Return the code word (12,) of a payload of 1 to 4 bytes; it begins with the payload.

    >>> encode(b"acme", Key(bytes(32)))[:4].tobytes()
    b'acme'

    Raises:
        PayloadError: if the payload is not bytes, empty or longer than 4.
    """
    if not isinstance(payload, bytes) or not 1 <= len(payload) <= MAX_PAYLOAD:
        raise PayloadError(f"a text carries 1 to {MAX_PAYLOAD} bytes, not {payload!r} - mark it with an id of the data")
    frame = np.frombuffer(payload + _mac(payload, key), np.uint8)
    word: Bytes = _completed(frame[None, None], _completion((tuple(range(len(frame))),)))[0, 0]
    word.flags.writeable = False
    return word


def decode(sums: NDArray[np.int64], key: Key) -> list[Word]:
    """Return the likeliest code word for each length of payload, 1 to 4; one with a right MAC before any other.

    ``sums`` (12, 256) is the evidence for each value of each byte. Ordered statistics (Fossorier and Lin, 1995): any k
    bytes give all of a word, so that the likeliest values of k among the k + 2 best known bytes are completed, for
    every such choice, and the words compete with their evidence on all bytes.

    >>> sums = 9 * (encode(b"acme", Key(bytes(32)))[:, None] == np.arange(256))
    >>> decode(sums, Key(bytes(32)))[3].payload
    b'acme'
    """
    return [_likeliest(sums, size, key) for size in range(1, MAX_PAYLOAD + 1)]


def _likeliest(sums: NDArray[np.int64], size: int, key: Key) -> Word:
    count = size + MAC_BYTES
    ranked = np.sort(sums, axis=1)
    surest = np.argsort(ranked[:, -2] - ranked[:, -1], kind="stable")[: count + SPARE]
    starts = tuple(tuple(sorted(surest[list(each)].tolist())) for each in combinations(range(count + SPARE), count))
    words = _completed(_likely(sums[np.array(starts)]), _completion(starts)).reshape(-1, LENGTH)
    totals = sums[np.arange(LENGTH), words].sum(1)
    best = _distinct(words[np.argsort(-totals, kind="stable")[: CHECKED * len(starts)]])[:CHECKED]
    for word in best:
        payload = word[:size].tobytes()
        if hmac.compare_digest(word[size:count].tobytes(), _mac(payload, key)):
            return Word(word, payload, True)
    return Word(best[0], best[0][:size].tobytes(), False)


def _distinct(words: Bytes) -> Bytes:
    return words[np.sort(np.unique(words, axis=0, return_index=True)[1])]


def _likely(sums: NDArray[np.int64]) -> Bytes:
    """Return (starts, n, k) values for which the sums (starts, k, 256) are large together."""
    values = np.argsort(-sums, axis=2, kind="stable")[:, :, :RANKS].astype(np.uint8)
    return values[:, np.arange(sums.shape[1]), _ranks(sums.shape[1])]


@cache
def _ranks(count: int) -> NDArray[np.intp]:
    """Return (n, count) all ranks, from 0, whose product, from 1, is at most RANKS."""
    rows = np.zeros((1, 0), np.intp)
    for _ in range(count):
        longer = [np.column_stack([rows, np.full(len(rows), rank)]) for rank in range(RANKS)]
        rows = np.concatenate([each[(each + 1).prod(1) <= RANKS] for each in longer])
    return rows


def _completed(known: Bytes, matrices: Bytes) -> Bytes:
    """Return the words (starts, n, 12) of k values each (starts, n, k), by matrices (starts, k, 12)."""
    table = _products()
    words = np.zeros((*known.shape[:2], LENGTH), np.uint8)
    for at in range(known.shape[2]):
        words ^= table[known[:, :, at, None], matrices[:, None, at]]
    return words


@lru_cache(maxsize=64)
def _completion(starts: tuple[tuple[int, ...], ...]) -> Bytes:
    return np.stack([_interpolation(points) for points in starts])


@lru_cache(maxsize=4096)
def _interpolation(points: tuple[int, ...]) -> Bytes:
    """Return (k, 12): what Lagrange's polynomial of each point is at 0 to 11."""
    table = _products()
    rows = np.ones((len(points), LENGTH), np.uint8)
    for row, here in zip(rows, points, strict=True):
        for other in points:
            if other != here:
                row[:] = table[row, table[np.arange(LENGTH) ^ other, _inverse(here ^ other)]]
    return rows


@cache
def _products() -> Bytes:
    """Return the table (256, 256) of products in GF(256)."""
    powers = [1]
    while len(powers) < VALUES - 1:
        doubled = powers[-1] << 1
        powers.append(doubled ^ POLYNOMIAL if doubled & VALUES else doubled)
    logs = np.zeros(VALUES, np.int64)
    logs[powers] = np.arange(VALUES - 1)
    table: Bytes = np.array(powers, np.uint8)[(logs[:, None] + logs) % (VALUES - 1)]
    table[0], table[:, 0] = 0, 0
    return table


def _inverse(value: int) -> int:
    return int(np.flatnonzero(_products()[value] == 1)[0])


def _mac(payload: bytes, key: Key) -> bytes:
    message = bytes([FORMAT_VERSION, len(payload)]) + payload
    return hmac.digest(key.derive("text mac v1"), message, "sha256")[:MAC_BYTES]
