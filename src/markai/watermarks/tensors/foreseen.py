"""What small pictures will meet, for a batch of planes: ``watermarks.foreseen`` in tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from markai.watermarks.foreseen import (
    BLOCK,
    BRIGHTER,
    ENOUGH,
    GREY,
    LARGE_CELLS,
    PREVIEW_QUALITY,
    SMALL_QUALITY,
    cosines,
    jpeg_in_cells,
    preview_side,
    resampling,
    step_table,
)
from markai.watermarks.foreseen import Plane as Array

Back = Callable[[Tensor], Tensor]
Gathers = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class View:
    """``seen`` returns planes after the attack and the way back; ``enough`` is the detection energy wanted there."""

    seen: Callable[[Tensor], tuple[Tensor, Back]]
    enough: float


def as_it_is(plane: Tensor) -> tuple[Tensor, Back]:
    """Nothing happens."""
    return plane, lambda gradient: gradient


def foreseen(shape: tuple[int, int], step: int, *, white: bool, device: torch.device) -> list[View]:
    """Return what planes of that (h, w) should survive; ``white`` says that they are mostly white.

    >>> len(foreseen((200, 300), 2, white=True, device=torch.device("cpu")))
    3
    """
    views = [View(_brightened, ENOUGH)] if white else []
    if step > LARGE_CELLS:
        return views
    jpeg, preview = Jpeg.of(step, SMALL_QUALITY, device), Preview.of(shape, step, device)
    return [*views, View(jpeg.seen, ENOUGH), View(preview.seen, ENOUGH)]


def after_jpeg(cells: Tensor, step: int, quality: int) -> Tensor:
    """Return what JPEG of a quality will leave of cells of ``step`` pixels."""
    return Jpeg.of(step, quality, cells.device).seen(cells)[0]


def _brightened(plane: Tensor) -> tuple[Tensor, Back]:
    received = (plane * BRIGHTER).clamp_max(255)
    return received, lambda gradient: torch.where(received < 255, gradient, 0)


class Jpeg:
    """Quantises planes in blocks of ``block`` cells by a (block, block) table of steps."""

    def __init__(self, block: int, table: Array, device: torch.device) -> None:
        self._block = block
        self._cosines, self._steps, self._kept = (
            torch.from_numpy(each).to(device) for each in (cosines(block), table, np.where(np.isinf(table), 0, table))
        )

    @staticmethod
    @lru_cache(maxsize=16)
    def of(step: int, quality: int, device: torch.device) -> "Jpeg":
        """Return what JPEG of a quality does to cells of ``step`` pixels, its tables on a device."""
        return Jpeg(*jpeg_in_cells(step, quality), device)

    def seen(self, plane: Tensor) -> tuple[Tensor, Back]:
        """Return planes (B, 1, h, w) as they will be received, and the way back."""
        ratio = self._apart(plane - float(GREY)) / self._steps
        passes = (2 * ratio).square().clamp_max(1)
        received = self._together(ratio.round() * self._kept, plane.shape).add(float(GREY)).clamp(0, 255)
        return received, lambda gradient: self._together(self._apart(gradient) * passes, plane.shape)

    def _apart(self, plane: Tensor) -> Tensor:
        # (B, 1, rows, columns, block, block); the border is repeated to whole blocks.
        height, width = plane.shape[2:]
        padded = F.pad(plane, (0, -width % self._block, 0, -height % self._block), mode="replicate")
        rows, columns = (side // self._block for side in padded.shape[2:])
        blocks = padded.reshape(len(plane), 1, rows, self._block, columns, self._block).transpose(3, 4)
        return torch.matmul(self._cosines @ blocks, self._cosines.T)

    def _together(self, coefficients: Tensor, shape: torch.Size) -> Tensor:
        blocks = self._cosines.T @ coefficients @ self._cosines
        return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., : shape[2], : shape[3]]


class Preview:
    """Shrinks planes to what a preview is, compresses that, and brings it back to the cells."""

    def __init__(self, shape: tuple[int, int], step: int, device: torch.device) -> None:
        sides = [(side, preview_side(side, step)) for side in shape]
        self._down, self._across = (_scaling(before, after, device) for before, after in sides)
        self._up, self._wide = (_scaling(after, before, device) for before, after in sides)
        self._jpeg = Jpeg(BLOCK, step_table(PREVIEW_QUALITY, BLOCK, 1.0), device)

    @staticmethod
    @lru_cache(maxsize=8)
    def of(shape: tuple[int, int], step: int, device: torch.device) -> "Preview":
        """Return what previews do to planes of that (h, w), with its tables on a device."""
        return Preview(shape, step, device)

    def seen(self, plane: Tensor) -> tuple[Tensor, Back]:
        """Return planes (B, 1, h, w) as they will be received, and the way back."""
        small, back = self._jpeg.seen(_scaled(plane, self._down[0], self._across[0]))

        def all_the_way(gradient: Tensor) -> Tensor:
            return _scaled(back(_scaled(gradient, self._up[1], self._wide[1])), self._down[1], self._across[1])

        return _scaled(small, self._up[0], self._wide[0]), all_the_way


def _scaling(before: int, after: int, device: torch.device) -> tuple[Gathers, Gathers]:
    """Return the resampling from one length to another and its transpose."""
    matrix = resampling(before, after)
    return _gathers(matrix, device), _gathers(matrix.T.tocsr(), device)


def _gathers(matrix: Any, device: torch.device) -> Gathers:
    """Return a sparse (n, m) matrix as (places (n,), weights (n,)) to be gathered one after another and summed.

    Devices differ in what they know of sparse products, and this has one order everywhere.
    """
    counts = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    turn = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], counts)
    places, weights = np.zeros((counts.max(), len(counts)), np.int64), np.zeros((counts.max(), len(counts)), np.float32)
    places[turn, rows], weights[turn, rows] = matrix.indices, matrix.data
    return [
        (torch.from_numpy(p).to(device), torch.from_numpy(w).to(device)) for p, w in zip(places, weights, strict=True)
    ]


def _scaled(plane: Tensor, down: Gathers, across: Gathers) -> Tensor:
    """Apply one matrix to the columns of planes and another to their rows."""
    tall = torch.stack([plane.index_select(2, place) * weight[:, None] for place, weight in down]).sum(0)
    return torch.stack([tall.index_select(3, place) * weight for place, weight in across]).sum(0)
