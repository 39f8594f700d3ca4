"""What several families of attacks need: rounding, resizing, drawing a rectangle, another picture."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

LANCZOS = Image.Resampling.LANCZOS
CONTRAST, COLOR = 1.2, 0.25  # give its luma and its colour about the deviation that photographs have
FINEST_CELLS = 128  # of another picture: detail of some 8 pixels in a picture of 1024


def rounded(values: NDArray[Any]) -> Pixels:
    """Return the nearest values that a picture can have."""
    nearest: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return nearest


def resized(pixels: Pixels, height: float, width: float, resampling: Image.Resampling = LANCZOS) -> Pixels:
    """Return the pixels at another size, at least one by one, smoothed against aliasing."""
    size = max(1, round(width)), max(1, round(height))
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def rectangle(pixels: Pixels, area: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw where a rectangle with this share of the area, and the same aspect, lies; (rows, columns)."""
    height, width = (max(1, round(math.sqrt(area) * side)) for side in pixels.shape[:2])
    top = int(rng.random() * (pixels.shape[0] - height + 1))
    left = int(rng.random() * (pixels.shape[1] - width + 1))
    return slice(top, top + height), slice(left, left + width)


def another_picture(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Draw clouds, coloured a little: like in photographs, the coarser the detail, the stronger."""
    height, width = shape[:2]
    total, cells = np.zeros((height, width, 3), np.float32), 2
    while cells <= FINEST_CELLS:
        grid = rng.integers(0, 256, (cells, cells, 3), np.uint8)
        total += (resized(grid, height, width, Image.Resampling.BICUBIC) - np.float32(127.5)) / math.sqrt(cells)
        cells *= 2
    gray = total.mean(axis=2, keepdims=True)
    return rounded(127.5 + CONTRAST * (gray + COLOR * (total - gray)))
