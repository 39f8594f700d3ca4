"""Finding 64-bit fingerprints within a Hamming distance, in a table of millions, with ordinary indexes.

Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): cut into four bands of 16 bits, two fingerprints that
differ in d bits agree in some band but for d // 4 of them. Each record holds its fingerprint turned by 0, 16, 32 and 48
bits, an indexed column each: the fingerprints that share a band's value are one range of such an index, and the index
alone tells all their bits.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BANDS = 4
BITS = 64
BAND_BITS = BITS // BANDS
MOST_DISTANCE = 15  # 2,788 ranges; the next step would take 10,068

Interval = tuple[int, int]  # signed, both ends included


def rotations(fingerprint: bytes) -> tuple[int, ...]:
    """Return the fingerprint with each of its bands in front, as signed integers of 64 bits.

    >>> [hex(value) for value in rotations(bytes.fromhex("0123456789abcdef"))]
    ['0x123456789abcdef', '0x456789abcdef0123', '-0x76543210fedcba99', '-0x3210fedcba987655']
    """
    value = int.from_bytes(fingerprint, "big")
    return tuple(_signed(_turn(value, band * BAND_BITS)) for band in range(BANDS))


def original(rotation: int) -> bytes:
    """Return the fingerprint whose first rotation this is."""
    return (rotation % (1 << BITS)).to_bytes(BITS // 8, "big")


def intervals(fingerprint: bytes, distance: int) -> list[list[Interval]]:
    """Return for each band the ranges of its column that hold every fingerprint within ``distance`` bits.

    Of the bands, ``distance % 4 + 1`` are searched with ``distance // 4`` bits changed and the others with one less:
    were all of them beyond that, more than ``distance`` bits would differ.

    >>> [len(band) for band in intervals(bytes(8), 3)], [len(band) for band in intervals(bytes(8), 10)]
    ([1, 1, 1, 1], [137, 137, 137, 17])

    Raises:
        ValueError: if the distance is not 0 to 15.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise ValueError(f"a distance is 0 to {MOST_DISTANCE} bits, not {distance}")
    value = int.from_bytes(fingerprint, "big")
    found = []
    for band in range(BANDS):
        turned = _turn(value, band * BAND_BITS) >> BITS - BAND_BITS
        changes = distance // BANDS - (band > distance % BANDS)
        found.append([_interval(turned ^ mask) for mask in _masks(changes)])
    return found


def distances(rotation: NDArray[np.int64], fingerprint: bytes, band: int) -> NDArray[np.uint8]:
    """Return in how many bits values of a band's column differ from a fingerprint.

    >>> distances(np.array([0, 5, -1]), bytes(8), 2).tolist()
    [0, 2, 64]
    """
    wanted = np.int64(rotations(fingerprint)[band])
    return np.asarray(np.bitwise_count((rotation ^ wanted).view(np.uint64)), np.uint8)


def _turn(value: int, by: int) -> int:
    return (value << by | value >> BITS - by) % (1 << BITS)


def _signed(value: int) -> int:
    return value - (1 << BITS) if value >> BITS - 1 else value


def _interval(prefix: int) -> Interval:
    low = _signed(prefix << BITS - BAND_BITS)
    return low, low + (1 << BITS - BAND_BITS) - 1


def _masks(changes: int) -> list[int]:
    """Return every value of a band with at most so many bits set; none where ``changes`` is negative."""
    places = range(BAND_BITS)
    return [sum(1 << bit for bit in bits) for count in range(changes + 1) for bits in combinations(places, count)]
