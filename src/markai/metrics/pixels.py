"""What every metric asks of its two pictures, and PSNR."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import ImageError


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio over all channels, in dB; infinite for equal pictures.

    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> round(psnr(black, black + np.uint8(1)), 2), psnr(black, black)
    (48.13, inf)

    Raises:
        ImageError: if the pictures differ in shape or dtype, or are not pictures.
    """
    peak = common_peak(first, second)
    difference = np.subtract(first, second, dtype=np.float64)
    error = float(np.mean(np.square(difference, out=difference)))
    return 10 * math.log10(peak**2 / error) if error else math.inf


def common_peak(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the greatest value that a pixel of both pictures can have: 255, 65535 or 1.

    Raises:
        ImageError: if the pictures differ in shape or dtype, or are not uint8, uint16 or float.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ImageError(
            f"cannot compare {first.shape} {first.dtype} with {second.shape} {second.dtype} - "
            "bring both to one shape and dtype first"
        )
    if not first.size:
        raise ImageError(f"an array of shape {first.shape} holds no pixels - pass at least one")
    if first.dtype.kind == "f":
        return 1.0
    if first.dtype.kind == "u" and first.dtype.itemsize <= 2:
        return float(np.iinfo(first.dtype).max)
    raise ImageError(f"{first.dtype} pixels are not accepted - convert to uint8, uint16, or float in [0, 1]")


def as_channels(picture: NDArray[Any], metric: str) -> NDArray[Any]:
    """Return a view (H, W, 1) or (H, W, 3) of a gray or RGB picture.

    Raises:
        ImageError: if the picture has other axes or channels.
    """
    if picture.ndim == 2:
        return picture[..., None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ImageError(f"{metric} takes HxW, HxWx1 or HxWx3, not {picture.shape} - drop alpha and batch axes")
    return picture


def require_side(picture: NDArray[Any], least: int, metric: str) -> None:
    """Refuse pictures (H, W, ...) with a side of fewer than ``least`` pixels.

    Raises:
        ImageError: naming the metric and what it needs.
    """
    if min(picture.shape[:2]) < least:
        raise ImageError(
            f"{metric} needs {least} pixels on each side, not {picture.shape[:2]} - compare larger pictures"
        )
