"""Where the ``dwt-dct`` mark lives: the tile, its frequencies, and what the key makes of each.

Format 1, fixed by ``tests/vectors/dwt_dct.json``. The picture is read in square cells of ``step`` pixels (the Haar LL
band for steps that are powers of two); the mark is a tile of TILE x TILE cells that repeats over the plane of cell
means. The tile's energy lies at the frequencies between RADII cycles per tile, each a complex number (a wave's cosine
and sine). The key deals them out:

- PILOTS of them carry a fixed keyed phase, (+-1 +-i) / sqrt 2. They are dealt to GROUPS groups whose common sign is one
  bit each of the picture's nonce: the pilots find the tile's position and tell the nonce.
- The rest carry the CODE_BITS coded payload bits as signs, about 3.4 real parts per bit, spread over all radii.

The nonce (0..255) comes from what the picture looks like. It sets the groups' signs, the tile's shift, and the
whitening of the payload: the mean over many marked pictures tends to nothing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from markai.keys import Key
from markai.payload import CODE_BITS
from markai.watermarks.form import DWT_DCT

TILE = 64
RADII = (2.5, 28.0)  # cycles per tile: periods of 2.3 to 26 cells
PILOT_RADIUS = 22.0  # pilots stay where JPEG and resizing leave most
PILOTS = 256
GROUPS = 8
NONCES = 1 << GROUPS
SYMBOLS = CODE_BITS + GROUPS

# Pixels per cell. The finest that leaves fewer than CELLS_ACROSS cells across the short side: periods grow with the
# picture, because large pictures are the ones that get shrunk.
STEPS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
CELLS_ACROSS = 320

Complex = NDArray[np.complex64]


def step_for(height: int, width: int) -> int:
    """Return the cell size, in pixels, with which a picture of this size is marked.

    >>> step_for(1024, 1024), step_for(512, 768), step_for(3000, 4000)
    (4, 2, 12)
    """
    short = min(height, width)
    return next((step for step in STEPS if short < CELLS_ACROSS * step), STEPS[-1])


def _lattice() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frequencies (fy, fx) of the half plane between RADII, by rising radius."""
    fy, fx = (a.ravel() for a in np.meshgrid(np.arange(-TILE // 2, TILE // 2), np.arange(TILE // 2), indexing="ij"))
    square = fy * fy + fx * fx
    inside = (square >= RADII[0] ** 2) & (square <= RADII[1] ** 2) & ((fx > 0) | (fy > 0))
    order = np.lexsort((fx[inside], fy[inside], square[inside]))
    return fy[inside][order], fx[inside][order]


FY, FX = _lattice()
RADIUS = np.hypot(FY, FX)
POINTS = len(FY)
RINGS = 12
RING = np.minimum((RADIUS - RADII[0]) / (RADII[1] - RADII[0]) * RINGS, RINGS - 1).astype(int)
RING_STARTS = np.searchsorted(RING, np.arange(RINGS))
RING_RADIUS = np.array([RADIUS[ring == RING].mean() for ring in range(RINGS)], np.float32)  # mean, cycles per tile


@dataclass(frozen=True, slots=True)
class Carriers:
    """What one key makes of the lattice.

    ``direction`` (POINTS, 2) float32 and ``symbol`` (POINTS, 2) int: the real and imaginary part of point k carry
    ``direction[k] * value[symbol[k]]``, each point with unit energy. Symbols below CODE_BITS are coded bits (+1 for 0,
    -1 for 1), the others the groups' signs. ``pilots`` (PILOTS,) are points, ``groups`` (PILOTS,) their groups.
    """

    direction: NDArray[np.float32]
    symbol: NDArray[np.int64]
    pilots: NDArray[np.int64]
    groups: NDArray[np.int64]
    shifts: NDArray[np.int64]  # (NONCES, 2): the tile's shift (y, x) in cells for each nonce

    @property
    def pilot_phase(self) -> Complex:
        """(PILOTS,) complex64 of unit size."""
        pair = self.direction[self.pilots]
        return (pair[:, 0] + 1j * pair[:, 1]).astype(np.complex64)

    def values(self, coded: NDArray[np.uint8], nonce: int) -> NDArray[np.float32]:
        """Return the (SYMBOLS,) signs for coded bits (CODE_BITS,) and a nonce."""
        return as_signs(np.concatenate([coded, nonce_bits(nonce)]))


def as_signs(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return +1 for 0 and -1 for 1."""
    return np.asarray(1 - 2 * bits.astype(np.float32), np.float32)


def nonce_bits(nonce: int) -> NDArray[np.uint8]:
    """Return the (GROUPS,) bits of a nonce, most significant first."""
    return np.unpackbits(np.array([nonce], np.uint8))


def nonce_of(signs: NDArray[np.float32]) -> int:
    """Return the nonce that the (GROUPS,) signs stand for."""
    return int(np.packbits(signs < 0)[0])


class _Dealer:
    """Draws from a keyed stream, in one fixed order."""

    def __init__(self, stream: bytes) -> None:
        self._words = np.frombuffer(stream, "<u8")
        self._at = 0

    def words(self, n: int) -> NDArray[np.uint64]:
        self._at += n
        return self._words[self._at - n : self._at]

    def signs(self, *shape: int) -> NDArray[np.float32]:
        return as_signs((self.words(int(np.prod(shape))).reshape(shape) >> np.uint64(63)).astype(np.uint8))

    def permutation(self, n: int) -> NDArray[np.int64]:
        return np.argsort(self.words(n), kind="stable")


@lru_cache(maxsize=64)
def carriers_for(key: Key, method: str = DWT_DCT.name) -> Carriers:
    """Deal the lattice under a key for a method: those of two methods are independent of each other."""
    deal = _Dealer(key.stream(f"{method} v1 carriers", 8 * 32768))
    near = np.flatnonzero(RADIUS <= PILOT_RADIUS)
    pilots = np.array([stratum[deal.permutation(len(stratum))[0]] for stratum in np.array_split(near, PILOTS)])
    groups = np.concatenate([deal.permutation(GROUPS) for _ in range(PILOTS // GROUPS)])
    data = np.setdiff1d(np.arange(POINTS), pilots)
    parts = 2 * len(data)
    # One permutation of all bits after another, outwards: every bit gets its parts at all radii.
    bits = np.concatenate([deal.permutation(CODE_BITS) for _ in range(-(-parts // CODE_BITS))])[:parts]
    symbol = np.empty((POINTS, 2), np.int64)
    symbol[data] = bits.reshape(-1, 2)
    symbol[pilots] = CODE_BITS + groups[:, None]
    direction = deal.signs(POINTS, 2) * np.float32(np.sqrt(0.5))
    shifts = (deal.words(2 * NONCES).reshape(NONCES, 2) >> np.uint64(58)).astype(np.int64)
    return Carriers(direction, symbol, pilots, groups, shifts)


@lru_cache(maxsize=64)
def payload_key(key: Key, method: str) -> Key:
    """Return the key that codes a method's payloads: what one method reads says nothing of what another does."""
    return key if method == DWT_DCT.name else Key(key.derive(f"{method} v1 payload"))


def phase(points: NDArray[np.int64] | slice, shift: tuple[float, float]) -> Complex:
    """Return exp(2 pi i (fy y + fx x) / TILE): what undoes a shift of the tile by (y, x) cells."""
    y, x = shift
    return np.exp(2j * np.pi / TILE * (FY[points] * y + FX[points] * x)).astype(np.complex64)
