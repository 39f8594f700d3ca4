"""Where the cells of the mark lie in a received picture that may be turned, scaled, seen at an angle or bent.

A warp is a net: the positions of every 32nd cell, with the cells between two nodes evenly spaced. One form serves all:
four nodes far apart are an affine map, and moving single nodes bends it.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import cell_means, warp
from markai.detection import Geometry
from markai.watermarks.carriers import STEPS, TILE

SPACING = 32  # cells between nodes: half a tile
MOST_NODES = 64  # along each side: 2,000 cells, six times what an upright picture has across
MIDDLE = 0.3  # of the sides: how far from the centre nodes tell what it is like there
LEAST_NODES = 9  # in the picture, to tell from them what it is like at its centre
SAMPLED = 1.5  # pixels per cell that are left when a picture is read; the kernel averages up to 3 well

Plane = NDArray[np.float32]
Floats = NDArray[np.float64]


class Pyramid:
    """The luma of a picture at any whole reduction, each made when it is first asked for."""

    def __init__(self, pixels: NDArray[Any], threads: int = 1) -> None:
        self.shape = (pixels.shape[0], pixels.shape[1])
        self._pixels, self._threads = pixels, threads
        self._planes: dict[int, Plane] = {}

    def at(self, reduction: int) -> Plane:
        """Return the means of cells of ``reduction`` x ``reduction`` pixels, (H // reduction, W // reduction)."""
        if reduction not in self._planes:
            self._planes[reduction] = self._means(reduction)
        return self._planes[reduction]

    def window(self, rows: slice, columns: slice) -> "Pyramid":
        """Return a part of the picture by itself."""
        return Pyramid(np.ascontiguousarray(self._pixels[rows, columns]), self._threads)

    def _means(self, reduction: int) -> Plane:
        return cell_means(self._pixels, reduction, self._threads)

    def read(self, nodes: Floats, cell: float, keep: float = SAMPLED) -> tuple[Plane, NDArray[np.uint8]]:
        """Return the cells of a net in pixels, with cells of that size, and which of them lie in the picture."""
        reduction = max(1, min(int(cell / keep), min(self.shape) // 2, STEPS[-1]))
        plane = self.at(reduction)
        return warp(plane, (nodes / reduction).astype(np.float32), SPACING, float(plane.mean()))


@dataclass(frozen=True)
class Warp:
    """``nodes`` (n, m, 2): positions (y, x) in pixels of the received picture, SPACING cells apart."""

    nodes: Floats

    @classmethod
    def of(cls, shape: tuple[int, int], cell: Floats, bend: Floats, centre: Floats) -> "Warp":
        """Return the net of a homography over a picture of that shape.

        ``cell`` (2, 2) holds the steps from cell to cell, down and across, as columns (y, x) in pixels, as they are at
        ``centre``; at z pixels from there the cell is number inv(cell) z / (1 + bend z).
        """
        height, width = shape
        inverse = np.linalg.inv(cell)
        y, x = np.meshgrid(np.linspace(0, height, 9), np.linspace(0, width, 9), indexing="ij")
        z = np.stack([y.ravel(), x.ravel()], axis=1) - centre
        number = z @ inverse.T / (1 + z @ bend)[:, None]
        low = np.floor(np.maximum(number.min(0) / SPACING, -MOST_NODES / 2))
        count = np.ceil(np.minimum(number.max(0) / SPACING, MOST_NODES / 2) - low).astype(int) + 1
        i, j = (SPACING * (low[axis] + np.arange(max(2, count[axis]))) for axis in (0, 1))
        number = np.stack(np.meshgrid(i, j, indexing="ij"), axis=2)
        # number (1 + bend z) = inverse z, solved for z.
        matrix = inverse - number[..., :, None] * bend
        return cls(np.linalg.solve(matrix, number[..., None])[..., 0] + centre)

    @cached_property
    def _slopes(self) -> tuple[Floats, Floats]:
        down, across = (np.gradient(self.nodes, axis=axis) / SPACING for axis in (0, 1))
        return down, across

    def moved(self, by: Floats) -> "Warp":
        """Return the net with each node moved by (n, m, 2) cells."""
        down, across = self._slopes
        return Warp(self.nodes + down * by[..., :1] + across * by[..., 1:])

    def at(self, point: Floats) -> tuple[Floats, Floats]:
        """Return the number (2,) of the cell at a point of the picture, and the (2, 2) steps between cells there."""
        flat = int(((self.nodes - point) ** 2).sum(axis=2).argmin())
        i, j = divmod(flat, self.nodes.shape[1])
        cell = np.stack([slope[i, j] for slope in self._slopes], axis=1)
        number = SPACING * np.array([i, j]) + np.linalg.solve(cell, point - self.nodes[i, j])
        return number, cell

    def linear(self, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return what :meth:`at` does at the centre of a picture, by a quadratic through the nodes of its middle.

        A single node is off by the noise that bent it, 0.1 cells or a third of a percent of the distance to its
        neighbours; those near the border by more, where it is partly black.
        """
        centre = np.array(shape) / 2
        i, j = np.nonzero((np.abs(self.nodes - centre) <= MIDDLE * np.array(shape)).all(axis=2))
        if len(i) < LEAST_NODES:
            return self.at(centre)
        index = np.stack([i, j], axis=1) * float(SPACING)
        number, _ = self.at(centre)
        y, x = (index - number).T
        terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=1)
        fitted = np.linalg.lstsq(terms, self.nodes[i, j], rcond=None)[0]
        return number + np.linalg.solve(fitted[1:3].T, centre - fitted[0]), fitted[1:3].T

    def read(self, picture: Pyramid) -> tuple[Plane, NDArray[np.uint8]]:
        """Return the plane of cells, and which of them lie in the picture."""
        _, cell = self.at(np.array(picture.shape) / 2)
        return picture.read(self.nodes, math.sqrt(abs(np.linalg.det(cell))))

    def geometry(self, shape: tuple[int, int], turn: Floats, shift: Floats) -> Geometry:
        """Return what happened to the picture, as it is at its centre.

        ``turn`` (2, 2) takes a cell of the mark to a cell of the net and ``shift`` (2,), in cells, is where the tile
        that the picture was marked with begins.
        """
        centre = np.array(shape) / 2
        number, cell = self.linear(shape)
        linear = cell @ turn
        step = min(STEPS, key=lambda step: abs(math.log(abs(np.linalg.det(linear)) / step**2)))
        linear = linear / step
        # Centres of cells are at whole numbers and a half: those keep their numbers under a turn.
        begins = 0.5 + turn.T @ (number - 0.5) - np.linalg.solve(linear, centre) / step - shift
        period = float(TILE * step)
        down, right = np.round(begins * step, 6) % period  # what is 0 but for rounding must not be told as a period
        flipped = bool(np.linalg.det(linear) < 0)
        upright = linear * ([1, -1] if flipped else [1, 1])
        # The rotation nearest to a matrix (its polar factor), in axes (y, x) with y downwards.
        rotation = math.degrees(math.atan2(upright[0, 1] - upright[1, 0], upright[0, 0] + upright[1, 1]))
        scale_y, scale_x = (round(float(size), 9) for size in np.hypot(*linear))
        return Geometry(scale_x, scale_y, -rotation, flipped, (float(right), float(down)), period)
