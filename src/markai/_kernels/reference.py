"""The kernels in NumPy: what they compute, written to be read. The tests hold the compiled ones against these."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32])

BLOCK, HOP = 8, 4
GRID = 128
FLOOR = 1.2**2
LUMA = np.array([77, 150, 29]) / 256  # BT.601
WINDOW = np.sin(np.pi * (np.arange(BLOCK) + 0.5) / BLOCK)


def _scale(dtype: np.dtype[np.generic]) -> float:
    return {"uint8": 1.0, "uint16": 1 / 257, "float32": 255.0}[dtype.name]


def _cells(luma: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    h, w = luma.shape[0] // step, luma.shape[1] // step
    return luma[: h * step, : w * step].reshape(h, step, w, step)


def cell_means_and_spread(
    pixels: NDArray[np.generic],
    step: int,
    threads: int = 1,  # noqa: ARG001
) -> tuple[Plane, Plane]:
    """Mean and variance of the luma, in grey levels, in every ``step`` x ``step`` cell of (H, W, 1 or 3) pixels.

    ``threads`` share the rows of cells here and in the other two functions over pixels; the answer is the same.
    """
    samples = np.asarray(pixels, np.float64)
    luma = samples[..., 0] if samples.shape[2] == 1 else samples @ LUMA
    cells = _cells(luma * _scale(pixels.dtype), step)
    return cells.mean((1, 3)).astype(np.float32), cells.var((1, 3)).astype(np.float32)


def cell_means(pixels: NDArray[np.generic], step: int, threads: int = 1) -> Plane:  # noqa: ARG001
    """Mean luma, in grey levels 0..255, of every whole ``step`` x ``step`` cell."""
    return cell_means_and_spread(pixels, step)[0]


def _interpolated(cells: NDArray[np.float64], length: int, step: int) -> NDArray[np.float64]:
    at = np.clip((np.arange(length) + 0.5) / step - 0.5, 0, len(cells) - 1)
    left = at.astype(int)
    right = np.minimum(left + 1, len(cells) - 1)
    t = (at - left)[:, None]
    between: NDArray[np.float64] = cells[left] * (1 - t) + cells[right] * t
    return between


def add_cells(
    pixels: Pixels,
    cells: Plane,
    step: int,
    threads: int = 1,  # noqa: ARG001
) -> tuple[Pixels, Plane]:
    """Add cell values (grey levels), interpolated bilinearly between cell centres, to every channel; round and clip.

    With the result come its own cell means, as :func:`cell_means` gives them: what was written, not what was wished.
    """
    h, w, _ = pixels.shape
    wide = _interpolated(_interpolated(cells.astype(np.float64), h, step).T, w, step).T
    total = pixels.astype(np.float64) + wide[..., None] / _scale(pixels.dtype)
    white = round(255 / _scale(pixels.dtype))
    inside = np.clip(total, 0, white)
    result: Pixels = (inside if white == 1 else np.floor(inside + 0.5)).astype(pixels.dtype)
    return result, cell_means(result, step)


def _high_pass(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.pad(plane, 1, mode="reflect")
    rows = p[:-2] + p[1:-1] + p[2:]
    return plane - (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9


def _blocks(plane: NDArray[np.float64]) -> NDArray[np.complex128]:
    h, w = plane.shape
    padded = np.pad(plane, ((BLOCK, BLOCK + -h % HOP), (BLOCK, BLOCK + -w % HOP)), mode="reflect")
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (BLOCK, BLOCK))[::HOP, ::HOP]
    return np.fft.rfft2(blocks * np.outer(WINDOW, WINDOW))


def _overlap_add(spectra: NDArray[np.complex128], h: int, w: int) -> NDArray[np.float64]:
    blocks = np.fft.irfft2(spectra, s=(BLOCK, BLOCK)) * np.outer(WINDOW, WINDOW)
    rows, columns = blocks.shape[:2]
    out = np.zeros((rows * HOP + BLOCK, columns * HOP + BLOCK))
    for i in range(0, BLOCK, HOP):
        for j in range(0, BLOCK, HOP):
            part = blocks[:, :, i : i + HOP, j : j + HOP].transpose(0, 2, 1, 3).reshape(rows * HOP, columns * HOP)
            out[i : i + rows * HOP, j : j + columns * HOP] += part
    return out[BLOCK : BLOCK + h, BLOCK : BLOCK + w]


def whiten(plane: Plane) -> Plane:
    """Level the host: high-pass, then overlapping 8x8 blocks with each DFT coefficient F times (|F|^2 + e)^(-5/8).

    An exponent of -1/2 would keep only the sign (phase) of a coefficient, the classic limiter against the heavy tails
    of pictures; a little more also favours blocks where the host is quiet (+15 % detection energy when tuned).
    """
    f = _blocks(_high_pass(plane.astype(np.float64)))
    levelled = f * (np.abs(f) ** 2 + FLOOR) ** -0.625
    return _overlap_add(levelled, *plane.shape).astype(np.float32)


def pull(plane: Plane, target: Plane, stiffness: float) -> Plane:
    """Gradient over the plane of <limited(plane), target>; limited() is whiten() with F / sqrt(|F|^2 + stiffness^2)."""
    f, t = _blocks(_high_pass(plane.astype(np.float64))), _blocks(target.astype(np.float64))
    weight = (np.abs(f) ** 2 + stiffness**2) ** -0.5
    across = t - f * (t * f.conj()).real * weight**2
    return _high_pass(_overlap_add(across * weight, *plane.shape)).astype(np.float32)


def smooth(plane: Plane, passes: int) -> Plane:
    """Binomial smoothing [1 2 1]/4 along both axes, ``passes`` times: close to a Gaussian of variance passes / 2."""
    out = plane.astype(np.float64)
    for _ in range(passes):
        for _axis in range(2):
            p = np.pad(out, ((1, 1), (0, 0)), mode="reflect")
            out = ((p[:-2] + p[2:]) * 0.25 + p[1:-1] * 0.5).T
    return out.astype(np.float32)


def least_neighbour(plane: Plane) -> Plane:
    """Return the least of each cell and its eight neighbours."""
    p = np.pad(plane, 1, mode="edge")
    rows = np.minimum(np.minimum(p[:-2], p[1:-1]), p[2:])
    return np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def neighbour_products(plane: Plane) -> tuple[float, float, float]:
    """Sum products of cells: with themselves, with their neighbours along both axes, and with those at the corners."""
    p = plane.astype(np.float64)
    beside = (p[:, 1:] * p[:, :-1]).sum() + (p[1:] * p[:-1]).sum()
    corner = (p[1:, 1:] * p[:-1, :-1]).sum() + (p[1:, :-1] * p[:-1, 1:]).sum()
    return float((p * p).sum()), float(beside), float(corner)


def fit_change(change: Plane, scale: float, cells: Plane, limit: Plane) -> Plane:
    """Scale a change of cells, keep it within +-``limit``, and the changed cells within 0..255."""
    low, high = np.maximum(-cells, -limit), np.minimum(np.float32(255) - cells, limit)
    return np.asarray(np.clip(change * np.float32(scale), low, high), np.float32)


def gather_symbols(
    coefficients: NDArray[np.complex64],
    turn: NDArray[np.complex64],
    symbol: NDArray[np.int64],
    direction: NDArray[np.float32],
    symbols: int,
) -> NDArray[np.float32]:
    """Return (tiles, symbols): the sums over points of what the parts of (tiles, points) ``coefficients`` say.

    Once turned, the real and imaginary part of point k speak for the symbols ``symbol[k]``, times ``direction[k]``;
    ``symbol`` and ``direction`` are (points, 2), ``turn`` (points,).
    """
    turned = coefficients * turn
    parts = np.stack([turned.real, turned.imag], axis=2) * direction
    sums = [np.bincount(symbol.ravel(), tile.ravel(), symbols) for tile in parts]
    return np.array(sums, np.float32).reshape(len(coefficients), symbols)


def scatter_symbols(
    amplitudes: NDArray[np.float32],
    turn: NDArray[np.complex64],
    symbol: NDArray[np.int64],
    direction: NDArray[np.float32],
) -> NDArray[np.complex64]:
    """Return (tiles, points) coefficients whose parts say what the (tiles, symbols) ``amplitudes`` are, then turned."""
    parts = amplitudes[:, symbol] * direction
    return np.asarray((parts[..., 0] + 1j * parts[..., 1]) * turn, np.complex64)


def _bilinear(plane: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    top, left = np.minimum(y.astype(int), plane.shape[0] - 2), np.minimum(x.astype(int), plane.shape[1] - 2)
    down, right = y - top, x - left
    above = plane[top, left] * (1 - right) + plane[top, left + 1] * right
    below = plane[top + 1, left] * (1 - right) + plane[top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down)


def _between(nodes: NDArray[np.float64], spacing: int, part: float) -> NDArray[np.float64]:
    """Interpolate along the first axis, ``part`` of a cell into each."""
    at = (np.arange((len(nodes) - 1) * spacing) + part) / spacing
    left = at.astype(int)
    t = (at - left)[:, None, None]
    between: NDArray[np.float64] = nodes[left] * (1 - t) + nodes[left + 1] * t
    return between


def warp(plane: Plane, nodes: Plane, spacing: int, fill: float) -> tuple[Plane, NDArray[np.uint8]]:
    """Read a plane on a bent grid of cells: ((n - 1) * spacing, (m - 1) * spacing) means, and 1 where inside.

    ``nodes`` (n, m, 2) are positions (y, x) in the plane, pixel (i, j) covering [i, i + 1) x [j, j + 1), ``spacing``
    cells apart and interpolated bilinearly. A cell is the mean of 2 x 2 bilinear samples, or ``fill`` where its centre
    lies outside of the plane.
    """
    size = np.array(plane.shape)

    def positions(down: float, right: float) -> NDArray[np.float64]:
        rows = _between(nodes.astype(np.float64), spacing, down)
        return _between(rows.swapaxes(0, 1), spacing, right).swapaxes(0, 1)

    total = np.zeros((np.array(nodes.shape[:2]) - 1) * spacing)
    for down in (0.25, 0.75):
        for right in (0.25, 0.75):
            at = np.clip(positions(down, right) - 0.5, 0, size - 1)
            total += _bilinear(plane.astype(np.float64), at[..., 0], at[..., 1]) / 4
    centres = positions(0.5, 0.5)
    inside = np.asarray(((centres >= 0) & (centres <= size)).all(axis=2), np.uint8)
    return np.where(inside, total, fill).astype(np.float32), inside


def lattice_scores(maps: Plane, sides: Plane, multiples: Plane, height: float, width: float) -> Plane:
    """How much autocorrelations show at lattices, in the noise's deviations.

    ``maps`` (n, H, W) have lag 0 in the middle; ``sides`` (trials, n, 2, 2) are a lattice's sides in each, as columns
    (y, x); ``multiples`` (2, m) say which of its vectors count. The sum is over the root of the summed shares by which
    windows of that height and width overlap; lags outside of the maps count for nothing.
    """
    lags = np.einsum("tnab,bm->ntma", sides.astype(np.float64), multiples)
    reach = (np.array(maps.shape[1:]) - 1) / 2
    inside = (np.abs(lags) < reach).all(axis=3)
    overlap = np.where(inside, (1 - np.abs(lags) / [height, width]).prod(axis=3), 0).sum(axis=(0, 2))
    sums = np.zeros(len(sides))
    for plane, at, counts in zip(maps.astype(np.float64), lags + reach, inside, strict=True):
        y, x = np.where(counts[..., None], at, 0).transpose(2, 0, 1)
        sums += np.where(counts, _bilinear(plane, y, x), 0).sum(axis=1)
    return np.asarray(sums / np.sqrt(np.maximum(overlap, 1e-3)), np.float32)


def strongest_shifts(
    amplitudes: Plane, frequencies: NDArray[np.int32], group: NDArray[np.int32], groups: int, count: int
) -> tuple[Plane, Plane]:
    """Search every tile for the shifts (y, x) at which groups of waves sum to the most, whatever their signs.

    Tile t has the complex amplitude ``amplitudes[t, p]`` = (re, im) at (fy, fx) = ``frequencies[p]``, with |fy| < 64
    and 0 <= fx < 64. Over 128 x 128 shifts, the sum over ``groups`` of |Re sum of amplitude exp(2 pi i (fy y + fx x) /
    128)| is largest at the ``count`` places returned, largest first; the 5 x 5 shifts around one are left out for the
    next. Returns the shifts (tiles, count, 2), refined to a quarter within one shift where the sum with the groups'
    signs is largest, and the groups' sums at the whole shifts (tiles, count, groups).
    """
    shifts, sums = np.zeros((len(amplitudes), count, 2)), np.zeros((len(amplitudes), count, groups))
    near, fine = np.arange(-2, 3), np.arange(-4, 5) / 4

    def waves(y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.complex128]:
        turns = frequencies[:, 0] * y[..., None, None] + frequencies[:, 1] * x[..., None]
        return np.asarray(np.exp(2j * np.pi / GRID * turns))

    for t, (re, im) in enumerate(np.moveaxis(amplitudes.astype(np.float64), 2, 1)):
        spectra = np.zeros((groups, GRID, GRID), np.complex128)
        np.add.at(spectra, (group, frequencies[:, 0] % GRID, frequencies[:, 1]), re + 1j * im)
        each = (np.fft.ifft2(spectra) * GRID**2).real
        score = np.abs(each).sum(axis=0)
        for k in range(count):
            y, x = np.unravel_index(int(score.argmax()), score.shape)
            sums[t, k] = each[:, y, x]
            signed = (re + 1j * im) * np.where(sums[t, k] < 0, -1, 1)[group]
            around = (waves(y + fine, x + fine) @ signed).real
            i, j = np.unravel_index(int(around.argmax()), around.shape)
            shifts[t, k] = y + fine[i], x + fine[j]
            score[np.ix_((y + near) % GRID, (x + near) % GRID)] = 0
    return shifts.astype(np.float32), sums.astype(np.float32)
