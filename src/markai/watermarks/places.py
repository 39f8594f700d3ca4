"""The places that a mark may lie in: cells of one size or on one net, of the whole picture or of a window of it.

Everything here depends on the picture only, never on the key. So the places of a picture are a fixed list, and the
p-value of the best of them is corrected by their number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from markai.watermarks.carriers import FX, FY, POINTS, STEPS, TILE, Complex, step_for
from markai.watermarks.geometry import CLEAR, LEAST_SIDE, TURNS, Turn
from markai.watermarks.lattice import of_the_whole, working_plane
from markai.watermarks.sync import levelled, seen_in
from markai.watermarks.warps import SPACING, Floats, Plane, Pyramid, Warp

CROP_STEPS = 5  # cell sizes tried: that of the picture as it is, and of what it may be a tenth of (3.2 x 3.2)
MOST_TILES = 1024  # of the finest cells that are searched for pictures pasted in: 12 megapixels in cells of 2 pixels
SIDES = (2, 3, 4, 6, 8, 12, 16, 24)  # of windows, in tiles: a mark is found in a window that it fills more or less
BEGINS = (0.0, 0.25, 0.5)  # of windows with half the sides of the picture, in which lattices are looked for


@dataclass(frozen=True, slots=True)
class Place:
    """Cells that a mark may lie in, and what is seen there; ``warp`` is None for upright cells of ``step`` pixels."""

    seen: Complex | None
    step: int = 0
    warp: Warp | None = None


def steps_to_try(height: int, width: int) -> tuple[int, ...]:
    """Return the cell sizes of a picture of this size, and of larger ones that it may be a crop of."""
    first = STEPS.index(step_for(height, width))
    smallest = min(height, width)
    return tuple(step for step in STEPS[first : first + CROP_STEPS] if smallest // step > 8)


def windows(
    picture: Pyramid, plane: Callable[[int], Plane], level: Callable[[Plane], Plane]
) -> Iterator[tuple[Place, list[Turn]]]:
    """Yield every window of a picture that is searched by itself, and the turns that are tried there.

    Upright at every cell size from the finest that leaves MOST_TILES tiles to the coarsest of :func:`steps_to_try`,
    then at the lattices that stand out in a part of the picture. ``plane`` gives the levelled plane at a cell size,
    ``level`` levels cells.
    """
    height, width = picture.shape
    coarsest = max(steps_to_try(height, width), default=0)
    for step in (step for step in STEPS if step <= coarsest):
        if -(-height // (step * TILE)) * -(-width // (step * TILE)) <= MOST_TILES:
            yield from ((Place(seen, step), TURNS[:1]) for seen in _windows_of(plane(step)))
    for warp, corner, size in _lattices(picture):
        cells, inside = warp.read(picture)
        yield Place(seen_in(level(cells) * inside * _within(warp, corner, size)), warp=warp), TURNS


def _windows_of(plane: Plane) -> Iterator[Complex]:
    """Yield what is seen in every window of SIDES tiles that is not next to empty, and in the whole."""
    tiles = _tiles(plane)
    sides = tiles.shape[:2]
    boxes: set[tuple[int, ...]] = set()
    for side in (*SIDES, max(sides)):
        size = [min(side, n) for n in sides]
        begins = [sorted({*range(0, n - k + 1, max(1, side // 2)), n - k}) for n, k in zip(sides, size, strict=True)]
        boxes.update((top, left, *size) for top in begins[0] for left in begins[1])
    for top, left, high, wide in sorted(boxes):
        seen = levelled(tiles[top : top + high, left : left + wide].sum((0, 1)))
        if seen is not None:
            yield seen


def _tiles(plane: Plane) -> Complex:
    """Return the (n, m, POINTS) coefficients of a levelled plane's tiles."""
    from scipy.fft import rfft2

    n, m = (-(-side // TILE) for side in plane.shape)
    padded = np.zeros((n * TILE, m * TILE), np.float32)
    padded[: plane.shape[0], : plane.shape[1]] = plane
    tiles = np.empty((n, m, POINTS), np.complex64)
    for row, strip in zip(tiles, padded.reshape(n, TILE, m, TILE), strict=True):
        row[:] = rfft2(strip.swapaxes(0, 1))[:, FY, FX]
    return tiles


def _lattices(picture: Pyramid) -> Iterator[tuple[Warp, Floats, Floats]]:
    """Yield the lattices that stand out in windows of half the sides: nets over the whole, corners and sizes."""
    shape = picture.shape
    high, wide = (side // 2 for side in shape)
    if min(high, wide) < LEAST_SIDE:
        return
    for top, left in ((int(y * shape[0]), int(x * shape[1])) for y in BEGINS for x in BEGINS):
        plane, pixel = working_plane(picture.window(slice(top, top + high), slice(left, left + wide)))
        corner = np.array([top, left], np.float64)
        for candidate in of_the_whole(plane):
            if candidate.score >= CLEAR:
                moved = replace(candidate, centre=candidate.centre + corner / pixel)
                yield moved.warp(shape, pixel), corner, np.array([high, wide], np.float64)


def _within(warp: Warp, corner: Floats, size: Floats) -> Plane:
    """Return 1 for the cells of a net that lie in a window, by squares of SPACING cells, and 0 for the others."""
    nodes = warp.nodes
    middle = (nodes[:-1, :-1] + nodes[1:, 1:]) / 2 - corner
    inside = ((middle >= 0) & (middle < size)).all(axis=2)
    return inside.astype(np.float32).repeat(SPACING, axis=0).repeat(SPACING, axis=1)
