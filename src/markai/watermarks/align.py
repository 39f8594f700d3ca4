"""Making the repetitions of the tile agree with each other: how far each part of a plane is off, without the key.

Every window of one tile's size is correlated with the mean of all windows that share no cell with it. Where a mark is
present that finds the bending that a homography leaves; where none is, it moves noise, which the p-value allows for
because nothing here depends on the key.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.watermarks.carriers import FX, FY, RING, RINGS, TILE, Complex
from markai.watermarks.sync import spectrum
from markai.watermarks.warps import SPACING, Floats, Plane

REACH = 4.0  # cells that a window may be off
FINE = 2  # shifts tried per cell
LEAST_INSIDE = 0.25  # share of a window that must lie in the picture
NOISE = 0.2  # cells: where no rectangle is farther off, the geometry is as it was found
CHANCE = 10.0  # squared standard deviations: what the highest of the shifts has without a mark
PASSES = 2  # the mean of all windows is taken anew with what the first pass found

_SHIFTS = np.arange(-REACH, REACH + 0.5 / FINE, 1 / FINE)
_HIGH, _WIDE = int(FY.max()), int(FX.max())
_DOWN = np.exp(2j * np.pi / TILE * np.outer(_SHIFTS, np.arange(-_HIGH, _HIGH + 1))).astype(np.complex64)
_ACROSS = np.exp(2j * np.pi / TILE * np.outer(np.arange(_WIDE + 1), _SHIFTS)).astype(np.complex64)


def disagreement(plane: Plane, inside: NDArray[np.uint8]) -> Floats:
    """Return (n, m, 2): how many cells (y, x) the tile is off around each node of a levelled plane of cells."""
    rows, columns, spectra = _windows(plane, inside)
    n, m = plane.shape[0] // SPACING + 1, plane.shape[1] // SPACING + 1
    off = np.zeros((n, m, 2))
    if len(rows) < 2:
        return off
    near = (np.abs(rows[:, None] - rows) <= 1) & (np.abs(columns[:, None] - columns) <= 1)
    for _ in range(PASSES):
        by = off[rows, columns].astype(np.float32)
        moved = spectra * np.exp(np.complex64(2j * np.pi / TILE) * (by[:, :1] * FY + by[:, 1:] * FX).astype(np.float32))
        others = moved.sum(axis=0) - near.astype(np.float32) @ moved
        maps = np.zeros((n, m, len(_SHIFTS), len(_SHIFTS)), np.float32)
        maps[rows, columns] = _correlations(spectra, others)
        off = _smooth_peaks(_blurred(maps))
    return off


def bending(plane: Plane, inside: NDArray[np.uint8], tile: Plane) -> Floats:
    """Return (n, m, 2): how many cells (y, x) a levelled plane is off from a known (TILE, TILE) tile at each node."""
    from scipy.fft import rfft2

    rows, columns, spectra = _windows(plane, inside)
    n, m = plane.shape[0] // SPACING + 1, plane.shape[1] // SPACING + 1
    maps = np.zeros((n, m, len(_SHIFTS), len(_SHIFTS)), np.float32)
    maps[rows, columns] = _correlations(spectra, np.asarray(rfft2(tile)[None, FY, FX], np.complex64))
    return _smooth_peaks(_blurred(maps))


def _windows(plane: Plane, inside: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp], Complex]:
    """Return the nodes whose window of a tile's size lies in the picture, and its coefficients there.

    The phases are those of the tile's own frame, so that windows which agree have equal coefficients.
    """
    from numpy.lib.stride_tricks import sliding_window_view
    from scipy.fft import rfft2

    def cut(values: Plane) -> Plane:
        windows = sliding_window_view(np.pad(values, SPACING), (TILE, TILE))
        return np.asarray(windows[::SPACING, ::SPACING])

    halves = inside.reshape(inside.shape[0] // SPACING, SPACING, -1, SPACING).mean((1, 3))
    padded = np.pad(halves, 1)
    share = (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4
    rows, columns = np.nonzero(share >= LEAST_INSIDE)
    spectra = rfft2(cut(plane)[rows, columns])[:, FY, FX]
    # A window that begins half a tile later: every odd frequency turns its sign.
    odd = (rows[:, None] + 1) * FY + (columns[:, None] + 1) * FX
    return rows, columns, np.asarray(spectra * (1 - 2 * (odd % 2)), np.complex64)


def _correlations(spectra: Complex, others: Complex) -> Plane:
    """Return the (windows, shifts, shifts) correlations, every ring of the others counted alike."""
    power = np.bincount(RING, (np.abs(others) ** 2).sum(0), RINGS) / np.bincount(RING, minlength=RINGS)
    level = (1 / np.sqrt(np.maximum(power, 1e-20))).astype(np.float32)
    grid = np.zeros((len(spectra), 2 * _HIGH + 1, _WIDE + 1), np.complex64)
    grid[:, FY + _HIGH, FX] = spectra * others.conj() * level[RING]
    return np.asarray((_DOWN @ grid @ _ACROSS).real, np.float32)


def misfit(plane: Plane, tile: Complex) -> tuple[Floats, Floats]:
    """Return (2,) and (2, 2): cell q of the plane is off by ``offset + q @ slope``, where the (POINTS,) tile is known.

    Rectangles of whole tiles are folded and correlated with it. For the geometry that is told, after the decision.
    """
    cuts = [_thirds((plane * plane).sum(axis=1 - axis)) for axis in (0, 1)]
    places: list[list[float]] = []
    parts: list[Complex] = []
    for top, bottom in itertools.pairwise(cuts[0]):
        for left, right in itertools.pairwise(cuts[1]):
            part = plane[top:bottom, left:right]
            energy = part * part  # none where a turned picture is black
            total = float(energy.sum())
            if total > 0:
                y, x = (float(energy.sum(axis=1 - axis) @ np.arange(part.shape[axis])) / total for axis in (0, 1))
                places.append([top + y, left + x])
                parts.append(spectrum(part))
    if len(parts) < 3:
        return np.zeros(2), np.zeros((2, 2))
    peak, sure = _peaks(_correlations(np.stack(parts), tile[None]))
    centre = np.mean(places, axis=0)
    terms = np.column_stack([np.ones(len(places)), np.array(places) - centre])
    weighted = terms.T * sure
    # What nothing speaks for is 0: each number has the weight of one deviation at a tile's distance.
    fitted = np.linalg.solve(weighted @ terms + np.diag([1.0, TILE**2, TILE**2]), weighted @ peak)
    if np.abs(terms @ fitted).max() <= NOISE:
        fitted = np.zeros_like(fitted)
    return fitted[0] - centre @ fitted[1:], fitted[1:]


def _thirds(energy: Plane) -> NDArray[np.int64]:
    """Return where to cut a line into three pieces of about the same energy: whole tiles from its begin."""
    held = np.searchsorted(np.cumsum(energy), np.array([1, 2]) / 3 * energy.sum()) / TILE
    return np.unique([0, *held.round().astype(int), -(-len(energy) // TILE)]) * TILE


def _blurred(values: NDArray[Any]) -> NDArray[Any]:
    """Return values smoothed by [1 2 1] / 4 along the first two axes, with nothing beyond the ends."""
    for axis in (0, 1):
        padded = np.moveaxis(np.pad(values, [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]), axis, 0)
        values = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return values


def _smooth_peaks(maps: NDArray[np.float32]) -> Floats:
    """Return the (n, m, 2) shifts of the highest correlations, smoothed so that the surest count most."""
    peak, sure = _peaks(maps.reshape(-1, *maps.shape[2:]))
    peak, sure = peak.reshape(*maps.shape[:2], 2), sure.reshape(*maps.shape[:2], 1)
    return np.asarray(_blurred(peak * sure) / (_blurred(sure) + 1), np.float64)


def _peaks(maps: NDArray[np.float32]) -> tuple[Floats, Plane]:
    """Return the (n, 2) shifts of the highest of (n, shifts, shifts) correlations, and (n,) how sure they are.

    Shifts are told between samples. Sure is by how much the square of the height, in standard deviations of the noise,
    is above CHANCE: the border of a turned picture has peaks too, and must not be moved by them.
    """
    size = len(_SHIFTS)
    flat = maps.reshape(len(maps), -1)
    y, x = (np.clip(k, 1, size - 2) for k in divmod(flat.argmax(axis=1), size))
    i = np.arange(len(maps))
    at = maps[i, y, x]

    def vertex(before: Plane, after: Plane) -> Plane:
        curve = np.minimum(before - 2 * at + after, -1e-9)
        return np.asarray(np.clip((before - after) / (2 * curve), -0.5, 0.5))

    down = y + vertex(maps[i, y - 1, x], maps[i, y + 1, x])
    across = x + vertex(maps[i, y, x - 1], maps[i, y, x + 1])
    noise = max(float(np.median(np.abs(flat[flat.any(axis=1)]))) / 0.6745, 1e-9) if flat.any() else 1.0
    sure = np.maximum((flat.max(axis=1) / noise) ** 2 - CHANCE, 0)
    return np.stack([down, across], axis=1) / FINE - REACH, sure
