"""Pictures and planes of cells as tensors: what ``_kernels`` does to both, for a batch.

Pictures are (B, 1 or 3, H, W), uint8, uint16 or floats in [0, 1]; planes (B, 1, h, w) float32 in grey levels 0..255.
Sums are float32. Of 8-bit pictures in cells of up to 16 pixels the means are those of the kernels bit for bit.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from markai.watermarks.informed import widened
from markai.watermarks.tensors import fused

LUMA = 77, 150, 29  # BT.601 in 1/256: of whole samples, whole numbers that float32 adds up exactly
WHITE = {torch.uint8: 255, torch.uint16: 65535}  # and 1 of floats


def cell_means(pixels: Tensor, step: int) -> Tensor:
    """Return the (B, 1, H // step, W // step) mean luma of every whole cell of ``step`` x ``step`` pixels."""
    return _means(_cells(pixels, step), pixels)


def cell_means_and_spread(pixels: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return the means and the variances of the luma in every cell.

    >>> means, spread = cell_means_and_spread(torch.tensor([[[[0, 2], [4, 6]]]], dtype=torch.uint8), 2)
    >>> means.item(), spread.item()
    (3.0, 5.0)
    """
    cells = _cells(pixels, step)
    return _means(cells, pixels), cells.var((3, 5), correction=0) * _unit(pixels) ** 2


def _cells(pixels: Tensor, step: int) -> Tensor:
    # (B, 1, h, step, w, step) of luma in 1/256 of what a sample counts.
    batch, channels, height, width = pixels.shape
    rows, columns = height // step, width // step
    inside = pixels[:, :, : rows * step, : columns * step]
    if channels == 1:
        luma = inside.float() * sum(LUMA)
    else:
        red, green, blue = (inside[:, i : i + 1].float() * weight for i, weight in enumerate(LUMA))
        luma = red.add_(green).add_(blue)
    return luma.reshape(batch, 1, rows, step, columns, step)


def _means(cells: Tensor, pixels: Tensor) -> Tensor:
    return cells.sum((3, 5)) / (cells.shape[3] * cells.shape[5]) * _unit(pixels)


def _unit(pixels: Tensor) -> float:
    return 255 / WHITE.get(pixels.dtype, 1) / sum(LUMA)


def add_cells(pixels: Tensor, cells: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Add (B, 1, h, w) grey levels, interpolated bilinearly between the cells' centres, to every channel; round, clip.

    With the (B, C, H, W) result, of the dtype of ``pixels``, come its own cell means: what was written, with all that
    the dtype rounded away, not what was wished.

    >>> marked, means = add_cells(torch.full((1, 1, 4, 5), 100, dtype=torch.uint8), torch.full((1, 1, 2, 2), 2.4), 2)
    >>> marked.unique().tolist(), means.unique().tolist()
    ([102], [102.0])
    """
    if pixels.dtype == torch.uint8 and fused.applies(pixels):
        marked = fused.blend(pixels.permute(0, 2, 3, 1), cells[:, 0], step).permute(0, 3, 1, 2)
        return marked, cell_means(marked, step)
    height, width = pixels.shape[2:]
    beyond = F.pad(cells, (0, 1, 0, 1), mode="replicate")  # what is left of a cell at the right and the bottom
    whole = [side * step for side in beyond.shape[2:]]
    wide = F.interpolate(beyond, whole, mode="bilinear", align_corners=False)[..., :height, :width]
    white = WHITE.get(pixels.dtype, 1)
    if white == 1:
        total = pixels.to(torch.promote_types(pixels.dtype, torch.float32)) + wide / 255
    else:
        total = pixels.int() + (wide * (white / 255)).add_(0.5).floor_().int()
    marked = total.clamp_(0, white).to(pixels.dtype)
    return marked, cell_means(marked, step)


def smooth(plane: Tensor, passes: int) -> Tensor:
    """Return the plane after [1 2 1]/4 along both axes, ``passes`` times."""
    out = F.pad(plane, (passes,) * 4, mode="reflect")
    for _ in range(2 * passes):  # [1 1]/2 twice, and of any precision that the device gives to pooling: all of float32
        out = F.avg_pool2d(out, 2, 1)
    return out


def least_neighbour(plane: Tensor) -> Tensor:
    """Return the least of each cell and its eight neighbours."""
    return -F.max_pool2d(-plane, 3, 1, 1)


def rms_when_widened(plane: Tensor) -> Tensor:
    """Return the (B, 1, 1, 1) root mean square after bilinear interpolation to many pixels per cell.

    >>> round(rms_when_widened(torch.ones(1, 1, 300, 300)).item(), 2)
    1.0
    """
    return torch.sqrt(energy_when_widened(plane).clamp_min(0) / plane[0].numel())


def energy_when_widened(plane: Tensor) -> Tensor:
    """Return the (B, 1, 1, 1) sums of squares after that interpolation: ``informed.widened``."""
    beside = _sum(plane[..., 1:] * plane[..., :-1]) + _sum(plane[..., 1:, :] * plane[..., :-1, :])
    corner = plane[..., 1:, 1:] * plane[..., :-1, :-1] + plane[..., 1:, :-1] * plane[..., :-1, 1:]
    energy: Tensor = widened(_sum(plane * plane), beside, _sum(corner))
    return energy


def _sum(plane: Tensor) -> Tensor:
    return plane.sum((1, 2, 3), keepdim=True)


def fit_change(change: Tensor, scale: Tensor, cells: Tensor, limit: Tensor) -> Tensor:
    """Scale a change of cells, keep it within +-``limit``, and the changed cells within 0..255."""
    return (change * scale).maximum(torch.maximum(-cells, -limit)).minimum(torch.minimum(255 - cells, limit))
