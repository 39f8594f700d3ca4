"""What a picture looks like at each geometry that it may have been brought into: found without the key.

Everything here depends on the picture only. So over the key, the bound on the pilots' statistic holds at each geometry
that is tried, however it was found, and the p-value counts the most that there can be: VIEWS times the eight TURNS.
One search serves all keys.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from markai._kernels import whiten
from markai.watermarks.align import disagreement, misfit
from markai.watermarks.carriers import FX, FY, POINTS, STEPS, TILE, Complex, step_for
from markai.watermarks.lattice import KEPT_PARTS, KEPT_UPRIGHT, KEPT_WHOLE, of_the_parts, of_the_whole, working_plane
from markai.watermarks.sync import seen_in
from markai.watermarks.warps import SPACING, Floats, Plane, Pyramid, Warp

CLEAR = 7.0  # score of a candidate above what unmarked pictures give; such a one is refined
LEAST_SIDE = 96  # pixels: two tiles whose cells have three quarters of one
LIKELY_STEPS = 2  # cell sizes about which a picture seen at an angle is looked for
VIEWS = KEPT_UPRIGHT + KEPT_WHOLE + KEPT_PARTS  # most that there are


@dataclass(frozen=True, slots=True)
class View:
    """A geometry, and what is seen there: levelled coefficients (POINTS,), or None where there is next to no signal."""

    warp: Warp
    seen: Complex | None


class Views:
    """The views of one picture, likeliest first, each made when it is first asked for."""

    def __init__(self, picture: Pyramid, level: Callable[[Plane], Plane] = whiten) -> None:
        self._picture, self._level = picture, level
        self._made: list[View] = []
        self._more = self._search()

    def __iter__(self) -> Iterator[View]:
        yield from self._made
        at = len(self._made)
        while True:
            if at == len(self._made):
                view = next(self._more, None)
                if view is None:
                    return
                self._made.append(view)
            yield self._made[at]
            at += 1

    def _search(self) -> Iterator[View]:
        if min(self._picture.shape) < LEAST_SIDE:
            return
        plane, pixel = working_plane(self._picture)
        first = STEPS.index(step_for(*self._picture.shape))
        sides = [TILE * step / pixel for step in STEPS[first : first + LIKELY_STEPS]]
        for search in (of_the_whole, partial(of_the_parts, sides=sides)):
            for candidate in search(plane):
                yield self._view(candidate.warp(self._picture.shape, pixel), candidate.score >= CLEAR)

    def _view(self, warp: Warp, clear: bool) -> View:
        """Return what is seen at a geometry, after its tiles were made to agree where it is clear that there are any.

        That never cost more than 0.2 of T where the geometry was right already, and saves testing both.
        """
        cells, inside = warp.read(self._picture)
        if clear:
            warp = warp.moved(disagreement(whiten(cells) * inside, inside))
            cells, inside = warp.read(self._picture)
        return View(warp, seen_in(self._level(cells) * inside))


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight symmetries of the square; ``matrix`` (2, 2) takes a cell of the mark to a cell of the tile."""

    matrix: Floats
    _order: NDArray[np.int64]
    _conjugate: NDArray[np.bool_]

    @classmethod
    def of(cls, matrix: Floats) -> "Turn":
        # t(R q) has the spectrum T(R f) where R is orthogonal; of each pair f, -f one is kept.
        number = np.full((TILE, TILE), -1)
        number[FY, FX] = np.arange(POINTS)
        fy, fx = matrix.astype(int) @ np.stack([FY, FX])
        direct = number[fy, fx]
        return cls(matrix, np.where(direct < 0, number[-fy, -fx], direct), direct < 0)

    def __call__(self, seen: Complex) -> Complex:
        """Return the coefficients of the tile turned back."""
        values = seen[self._order]
        return np.where(self._conjugate, values.conj(), values)


def settled(warp: Warp, plane: Plane, turn: Turn, tile: Complex) -> Warp:
    """Return the net moved to where the (POINTS,) tile, known once a mark was found, lies best under an affine map.

    A mark is read where it is half a degree or a percent off; the geometry that is told should not be. ``plane`` is the
    levelled plane of the net's cells, 0 where the mark is not.
    """
    offset, slope = misfit(plane, Turn.of(turn.matrix.T)(tile))
    high, wide = warp.nodes.shape[:2]
    return warp.moved(offset + SPACING * np.moveaxis(np.mgrid[:high, :wide], 0, 2) @ slope)


_QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])
TURNS = [
    Turn.of(np.linalg.matrix_power(_QUARTER, quarters) @ mirror)
    for mirror in (np.eye(2), np.diag([1.0, -1.0]))
    for quarters in range(4)
]
