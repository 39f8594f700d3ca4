"""Reading the tile: from a plane of cell means to where the mark is, its p-value and its soft bits.

The statistic is bench theory's T = sum x_i / sqrt(sum x_i^2) with keyed signs: whatever the picture, over the key,
P(T >= t) is bounded by :func:`markai.stats.log10_rademacher_tail`. Everything done to the picture before the signs
enter (whitening, folding, levelling, clipping) depends on the picture only, so the bound holds for any of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import strongest_shifts
from markai.payload import CODE_BITS
from markai.watermarks.carriers import (
    FX,
    FY,
    GROUPS,
    NONCES,
    RING,
    RING_STARTS,
    RINGS,
    TILE,
    Carriers,
    Complex,
    as_signs,
    nonce_bits,
    phase,
)

FINE = 2  # positions per cell along each axis: half a cell off costs at most 7 % of the pilots
GRID = TILE * FINE
POSITIONS = GRID * GRID * NONCES  # hypotheses that one search over the tile tries
MAGNITUDE_LIMIT = 2.5  # of its ring's median scale: one loud line of the host must not outvote the rest
FREQUENCIES = np.stack([FY, FX], axis=1).astype(np.int32)
LEAST_EFFECTIVE = 100.0  # effective pilots below which there is too little signal to speak


@dataclass(frozen=True, slots=True)
class Peak:
    """One place where the pilots agree: the statistic T, the tile's shift (y, x) in cells, the groups' signs."""

    score: float
    shift: tuple[float, float]
    signs: NDArray[np.float32]
    agreement: NDArray[np.float32]  # (GROUPS,) each group's own sum, in the units of ``score``


def fold(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum a plane over its repetitions of the tile: (h, w) to (TILE, TILE)."""
    h, w = plane.shape
    padded = np.zeros((-(-h // TILE) * TILE, -(-w // TILE) * TILE), np.float32)
    padded[:h, :w] = plane
    tiles = padded.reshape(-1, TILE, padded.shape[1] // TILE, TILE)
    return np.asarray(tiles.sum((0, 2)), np.float32)


def spectrum(plane: NDArray[np.float32]) -> Complex:
    """Return the (POINTS,) lattice coefficients of a whitened plane."""
    from scipy.fft import rfft2

    return np.asarray(rfft2(fold(plane))[FY, FX], np.complex64)


def ring_scale(coefficients: Complex) -> NDArray[np.float32]:
    """Return the (RINGS,) rms of the coefficients by ring, from medians so that a few loud lines do not count."""
    rings = np.split(np.abs(coefficients) ** 2, RING_STARTS[1:])
    medians = [(ring[(len(ring) - 1) // 2] + ring[len(ring) // 2]) / 2 for ring in map(np.sort, rings)]
    return np.asarray(np.sqrt(np.maximum(medians, 1e-20) / np.log(2)), np.float32)


def seen_in(plane: NDArray[np.float32]) -> Complex | None:
    """Return the levelled (POINTS,) coefficients of a whitened plane; None where there is next to no signal."""
    return levelled(spectrum(plane))


def levelled(raw: Complex) -> Complex | None:
    """Return the (POINTS,) coefficients of a whitened plane with every ring alike and single lines limited."""
    level = raw / ring_scale(raw)[RING]
    size = np.abs(level)
    power = np.minimum(size, MAGNITUDE_LIMIT) ** 2
    if float(np.abs(raw).max()) < 1e-3 or float(power.sum() ** 2) < LEAST_EFFECTIVE * float((power**2).sum()):
        return None
    return np.asarray(level * np.minimum(1, MAGNITUDE_LIMIT / np.maximum(size, 1e-9)), np.complex64)


def search(tiles: Complex, carriers: Carriers, count: int) -> list[list[Peak]]:
    """Search all POSITIONS of each of (n, POINTS) tiles; return for each the ``count`` best peaks, best first.

    At each shift the size of a group's correlation is the better of its two signs, so all 2^GROUPS nonces are searched
    at the cost of GROUPS transforms.
    """
    aligned = np.ascontiguousarray(tiles[:, carriers.pilots] * carriers.pilot_phase.conj())
    frequencies, groups = FREQUENCIES[carriers.pilots], carriers.groups.astype(np.int32)
    amplitudes = aligned.view(np.float32).reshape(*aligned.shape, 2)
    shifts, sums = strongest_shifts(amplitudes, frequencies, groups, GROUPS, count)
    sums *= np.sqrt(2 / (amplitudes**2).sum((1, 2)))[:, None, None]
    scores, signs, places = np.abs(sums).sum(axis=2).tolist(), np.sign(sums), (shifts / FINE % TILE).tolist()
    return [
        [Peak(scores[n][k], (places[n][k][0], places[n][k][1]), signs[n, k], sums[n, k]) for k in range(count)]
        for n in range(len(tiles))
    ]


def find_peaks(seen: Complex, carriers: Carriers, count: int) -> list[Peak]:
    """Return what :func:`search` does, of one tile."""
    return search(seen[None], carriers, count)[0]


def peak_at(seen: Complex, carriers: Carriers, shift: tuple[float, float], nonce: int) -> Peak:
    """Return what :func:`find_peaks` would say of one known place."""
    signs = as_signs(nonce_bits(nonce))
    aligned = seen[carriers.pilots] * carriers.pilot_phase.conj() * phase(carriers.pilots, shift)
    unit = np.sqrt(2 / float((np.abs(aligned) ** 2).sum()))
    each = np.bincount(carriers.groups, aligned.real, GROUPS) * signs * unit
    return Peak(float(each.sum()), shift, signs, (each * signs).astype(np.float32))


def soft_bits(seen: Complex, carriers: Carriers, peak: Peak) -> NDArray[np.float32]:
    """Return the (CODE_BITS,) log-likelihood ratios at a peak, positive for bit 0.

    The pilots measure how much of the mark is left in each ring (a channel estimate); a data coefficient counts by that
    gain over the noise of its ring.
    """
    upright = seen * phase(slice(None), peak.shift)
    pilots = carriers.pilots
    agreement = (upright[pilots] * carriers.pilot_phase.conj()).real * peak.signs[carriers.groups]
    total = np.bincount(RING[pilots], agreement, RINGS)
    number = np.bincount(RING[pilots], minlength=RINGS)
    gain = _smoothed(total) / np.maximum(_smoothed(number), 1)
    known = int(RING[pilots].max()) + 1
    gain[known:] = gain[known - 1] * 0.9 ** np.arange(1, RINGS - known + 1)
    gain = np.maximum(gain, 0.02)
    power = np.bincount(RING, np.abs(seen) ** 2, RINGS) / np.bincount(RING, minlength=RINGS)
    weight = 2 * gain / np.maximum(power - gain**2, 0.05 * power)
    parts = np.stack([upright.real, upright.imag], axis=1) * carriers.direction * (2 * weight[RING])[:, None]
    return np.bincount(carriers.symbol.ravel(), parts.ravel(), CODE_BITS + GROUPS)[:CODE_BITS].astype(np.float32)


def _smoothed(values: NDArray[Any]) -> NDArray[np.float64]:
    padded = np.pad(np.asarray(values, np.float64), 1, mode="edge")
    return padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
