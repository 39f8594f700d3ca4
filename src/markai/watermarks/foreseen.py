"""What small pictures will meet, modelled on their cells so that the embedder can ask for what would be missing then.

A view turns a plane of cells into the plane that detection would read after an attack, and gives the way back: the
gradient over the one from the gradient over the other. Rounding has none; a coefficient that JPEG keeps is taken to
pass, one that it drops counts by how near it came (a straight-through estimate). At cells of four pixels and more,
JPEG leaves enough without this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Back = Callable[[Plane], Plane]

ENOUGH = 300.0  # detection energy: what the code needs (229 for 8 bytes), and a little for what is not modelled
BRIGHTER = 1.5
MOSTLY_WHITE = 0.4  # share of cells that brightening would saturate
LARGE_CELLS = 3  # pixels: larger ones keep enough under JPEG without this
PREVIEW_SCALE, PREVIEW_QUALITY, SMALL_QUALITY = 0.35, 60, 10
BLOCK = 8  # of JPEG, in pixels
GREY = np.float32(128)  # where JPEG counts from
# Quantisation of luma at quality 50, ITU-T T.81 table K.1; coefficient (down, across).
LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class View:
    """``seen`` returns the plane after the attack and the way back; ``enough`` is the detection energy wanted there."""

    seen: Callable[[Plane], tuple[Plane, Back]]
    enough: float


def as_it_is(plane: Plane) -> tuple[Plane, Back]:
    """Nothing happens."""
    return plane, lambda gradient: gradient


def foreseen(cells: Plane, step: int) -> list[View]:
    """Return what a picture of cells of ``step`` pixels should survive beside what every mark survives.

    On white pages, being brightened by half, which leaves only what is darker than 170; in small cells, JPEG 10 as it
    is, and JPEG 60 after shrinking to 0.35 as previews are.
    """
    views = [View(_brightened, ENOUGH)] if float((cells > 255 / BRIGHTER).mean()) > MOSTLY_WHITE else []
    if step > LARGE_CELLS:
        return views
    block, steps = jpeg_in_cells(step, SMALL_QUALITY)
    return [*views, View(lambda plane: _jpeg(plane, block, steps), ENOUGH), _preview(cells, step)]


def jpeg_in_cells(step: int, quality: int) -> tuple[int, Plane]:
    """Return how many cells of ``step`` pixels a block of JPEG has along each side, and the steps at a quality."""
    block = max(2, round(BLOCK / step))
    return block, step_table(quality, block, step)


def after_jpeg(cells: Plane, step: int, quality: int) -> Plane:
    """Return what JPEG of a quality will leave of cells of ``step`` pixels."""
    return _jpeg(cells, *jpeg_in_cells(step, quality))[0]


def _brightened(plane: Plane) -> tuple[Plane, Back]:
    received = np.minimum(plane * np.float32(BRIGHTER), 255)
    return received, lambda gradient: np.where(received < 255, gradient, 0)


def preview_side(cells: int, step: int) -> int:
    """Return how many pixels of a preview stand for that many cells of ``step`` pixels."""
    return round(cells * step * PREVIEW_SCALE)


def _preview(cells: Plane, step: int) -> View:
    down, across = (resampling(side, preview_side(side, step)) for side in cells.shape)
    up, wide = (resampling(*matrix.shape) for matrix in (down, across))

    def shrunk(plane: Plane) -> tuple[Plane, Back]:
        small, back = _jpeg(_both(down, across, plane), BLOCK, step_table(PREVIEW_QUALITY, BLOCK, 1.0))
        return _both(up, wide, small), lambda g: _both(down.T, across.T, back(_both(up.T, wide.T, g)))

    return View(shrunk, ENOUGH)


@lru_cache(maxsize=16)
def step_table(quality: int, block: int, pixels: float) -> Plane:
    """Return JPEG's steps for blocks of ``block`` cells of ``pixels`` pixels; infinite for frequencies beyond pixels.

    A cell is the mean of its pixels, which lessens what is fast in it, and a step with it.
    """
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = np.clip(np.floor((LUMA * scale + 50) / 100), 1, 255)
    half_turns = np.arange(block) / (2 * block)  # per cell
    at = np.round(2 * BLOCK * half_turns / pixels).astype(int)
    kept = np.sinc(half_turns) / np.sinc(half_turns / pixels)
    inside = at < BLOCK
    table = np.full((block, block), np.inf, np.float32)
    table[np.ix_(inside, inside)] = steps[np.ix_(at[inside], at[inside])] * block / BLOCK
    return np.asarray(table * np.outer(kept, kept), np.float32)


@lru_cache(maxsize=16)
def cosines(n: int) -> Plane:
    """Return the orthonormal (n, n) matrix of the discrete cosine transform."""
    k, i = np.mgrid[:n, :n]
    matrix = np.cos(np.pi * (2 * i + 1) * k / (2 * n)) * np.sqrt(2 / n)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)


def _jpeg(plane: Plane, block: int, table: Plane) -> tuple[Plane, Back]:
    """Quantise (h, w) grey levels in blocks by a (block, block) table."""
    ratio = _to_blocks(plane - GREY, block) / table[:, None]
    passes = np.minimum(1, (2 * ratio) ** 2)
    kept = np.round(ratio) * np.where(np.isinf(table), 0, table)[:, None]
    received = np.clip(_from_blocks(kept, plane.shape) + GREY, 0, 255)
    return received, lambda gradient: _from_blocks(_to_blocks(gradient, block) * passes, plane.shape)


def _to_blocks(plane: Plane, block: int) -> Plane:
    """Return the (rows, block, columns, block) cosine coefficients; the border is repeated to whole blocks."""
    padded = np.pad(plane, [(0, -side % block) for side in plane.shape], mode="edge")
    height, width = padded.shape
    down = cosines(block) @ padded.reshape(-1, block, width)
    return np.asarray((down.reshape(-1, block) @ cosines(block).T).reshape(height // block, block, -1, block))


def _from_blocks(coefficients: Plane, shape: tuple[int, ...]) -> Plane:
    rows, block, columns, _ = coefficients.shape
    across = (coefficients.reshape(-1, block) @ cosines(block)).reshape(rows, block, columns * block)
    plane = (cosines(block).T @ across).reshape(rows * block, -1)
    return np.ascontiguousarray(plane[: shape[0], : shape[1]])


def resampling(before: int, after: int) -> Any:
    """Return the sparse (after, before) matrix of linear interpolation, widened to an average where it shrinks."""
    from scipy.sparse import csr_array

    ratio = before / after
    centres = (np.arange(after) + 0.5) * ratio - 0.5
    reach = max(1.0, ratio)
    taps = np.floor(centres - reach)[:, None] + np.arange(int(2 * reach) + 2)
    weights = np.maximum(0, 1 - np.abs(taps - centres[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(after)[:, None], taps.shape)
    columns = np.clip(taps, 0, before - 1).astype(int)
    return csr_array((weights.astype(np.float32).ravel(), (rows.ravel(), columns.ravel())), (after, before))


def _both(down: Any, across: Any, plane: Plane) -> Plane:
    """Apply one matrix to the columns of a plane and another to its rows."""
    return np.ascontiguousarray((across @ (down @ plane).T).T, np.float32)
