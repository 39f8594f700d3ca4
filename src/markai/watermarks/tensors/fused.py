"""Adds a change of cells to the pixels of a batch in one pass over memory: the last step of marking on a GPU.

What it computes is ``markai._kernels.add_cells``: cells lie ``step`` pixels apart, are interpolated bilinearly between
their centres and held beyond the outermost ones, added to every channel, rounded and clipped. In Triton, where there is
a GPU for it; in torch elsewhere. Places are counted in integers, 2 ``step`` to a cell, so that none is rounded.
"""

import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from markai.errors import ImageError

if TYPE_CHECKING:
    import triton
    import triton.language as tl
else:
    try:
        import triton
        import triton.language as tl
    except ImportError:  # torch for a CPU comes without it
        triton = None

BLOCK = 1024  # samples that one program takes: 8 bytes a thread


def blend(pixels: Tensor, cells: Tensor, step: int) -> Tensor:
    """Return the pixels (B, H, W, C) uint8 with the cells (B, h, w) float32 added, in grey levels; on one device.

    h x w are the whole cells of ``step`` x ``step`` pixels; a rest of pixels at two borders gets what its neighbours
    get. A sum within about 1e-5 of a half may be rounded otherwise than on a CPU.

    >>> marked = blend(torch.full((1, 4, 4, 3), 250, dtype=torch.uint8), torch.full((1, 2, 2), 2.5), 2)
    >>> marked.shape, marked.unique().tolist()
    (torch.Size([1, 4, 4, 3]), [253])

    Raises:
        ImageError: if shapes, kinds or devices do not fit.
    """
    _check(pixels, cells, step)
    fused = applies(pixels)
    return _by_triton(pixels.contiguous(), cells.contiguous(), step) if fused else by_torch(pixels, cells, step)


def applies(pixels: Tensor) -> bool:
    """Whether there is a kernel for where these pixels are."""
    return triton is not None and (pixels.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")


def by_torch(pixels: Tensor, cells: Tensor, step: int) -> Tensor:
    """Compute :func:`blend` in torch, on any device, with planes of floats in between."""
    rows = _between(cells, pixels.shape[1], step)
    wide = _between(rows.transpose(1, 2), pixels.shape[2], step).transpose(1, 2)
    return (pixels + wide[..., None]).clamp(0, 255).add(0.5).floor().to(torch.uint8)


def _between(cells: Tensor, length: int, step: int) -> Tensor:
    """Interpolate along the rows (B, h, w) -> (B, length, w)."""
    at = (2 * torch.arange(length, device=cells.device) + 1 - step).clamp_min(0)
    low = (at // (2 * step)).clamp_max(cells.shape[1] - 1)
    high = (low + 1).clamp_max(cells.shape[1] - 1)
    share = (at - 2 * step * low) / (2 * step)
    return torch.lerp(cells[:, low], cells[:, high], share[:, None])


def _check(pixels: Tensor, cells: Tensor, step: int) -> None:
    if pixels.dtype != torch.uint8 or cells.dtype != torch.float32 or pixels.device != cells.device:
        kinds = f"{pixels.dtype} on {pixels.device} and {cells.dtype} on {cells.device}"
        raise ImageError(f"pixels are uint8 and cells float32, on one device, not {kinds}")
    batch, height, width, _ = pixels.shape
    if step < 1 or cells.shape != (batch, height // step, width // step) or 0 in cells.shape:
        raise ImageError(f"{[*cells.shape]} cells of {step} pixels do not belong to {[*pixels.shape]} pixels")


def _by_triton(pixels: Tensor, cells: Tensor, step: int) -> Tensor:
    batch, height, width, channels = pixels.shape
    result = torch.empty_like(pixels)
    grid = batch * height, triton.cdiv(width * channels, BLOCK)
    sizes = height, width * channels, *cells.shape[1:], step, channels, BLOCK
    _blend[grid](pixels, cells, result, *sizes, enable_fp_fusion=False)  # rounds as a CPU does
    return result


if triton is not None:

    @triton.jit  # type: ignore[untyped-decorator]
    def _blend(  # type: ignore[no-untyped-def]
        pixels,
        cells,
        result,
        height,
        samples,
        down,
        across,
        STEP: tl.constexpr,
        CHANNELS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        """One program takes up to BLOCK samples of one row of pixels; the cells that it reads stay in the cache."""
        row = tl.program_id(0)
        y = tl.maximum(2 * (row % height) + 1 - STEP, 0)
        top = tl.minimum(y // (2 * STEP), down - 1)
        above = cells + (row // height * down + top) * across
        below = above + tl.minimum(down - 1 - top, 1) * across
        sample = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        here = sample < samples
        x = tl.maximum(2 * (sample // CHANNELS) + 1 - STEP, 0)
        left = tl.minimum(x // (2 * STEP), across - 1)
        right = tl.minimum(left + 1, across - 1)
        t, u = (y - 2 * STEP * top) / (2 * STEP), (x - 2 * STEP * left) / (2 * STEP)
        first, second = tl.load(above + left, here), tl.load(above + right, here)
        upper = first + (second - first) * u
        first, second = tl.load(below + left, here), tl.load(below + right, here)
        lower = first + (second - first) * u
        place = row.to(tl.int64) * samples + sample
        total = tl.load(pixels + place, here).to(tl.float32) + upper + (lower - upper) * t
        rounded = tl.floor(tl.minimum(tl.maximum(total, 0.0), 255.0) + 0.5)
        tl.store(result + place, rounded.to(tl.uint8), here)
