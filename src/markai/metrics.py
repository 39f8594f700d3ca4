"""How much two pictures differ: PSNR and SSIM, in plain NumPy and SciPy.

Pictures are arrays of the same shape and dtype: uint8, uint16, or float in [0, 1].
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import ImageError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SIGMA, RADIUS = 1.5, 5  # the 11 x 11 Gaussian window of Wang et al. 2004
K1, K2 = 0.01, 0.03


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio over all channels, in dB; infinite for equal pictures.

    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> round(psnr(black, black + np.uint8(1)), 2), psnr(black, black)
    (48.13, inf)

    Raises:
        ImageError: if the pictures differ in shape or dtype, or are not pictures.
    """
    peak = _common_peak(first, second)
    difference = np.subtract(first, second, dtype=np.float64)
    error = float(np.mean(np.square(difference, out=difference)))
    return 10 * math.log10(peak**2 / error) if error else math.inf


def ssim(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the mean structural similarity of the luma, at most 1, which only equal luma reaches.

    Pictures are HxW, HxWx1 or HxWx3 (RGB) and at least 11 pixels high and wide. Equation 13 of Wang, Bovik,
    Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13 (2004), averaged over the windows that lie inside the picture.

    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> ssim(ramp, ramp), round(ssim(ramp, ramp[:, ::-1]), 3)
    (1.0, 0.561)

    Raises:
        ImageError: if the pictures differ in shape or dtype, are too small, or are not pictures.
    """
    peak = _common_peak(first, second)
    x, y = _luma(first), _luma(second)
    if min(x.shape) <= 2 * RADIUS:
        raise ImageError(f"SSIM needs 11 pixels on each side, not {x.shape} - compare larger pictures")
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(np.mean(alike / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))))


def _common_peak(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the greatest value that a pixel of both pictures can have."""
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


def _luma(picture: NDArray[Any]) -> NDArray[np.float64]:
    """Return the luma (H, W), unrounded: the window's variances are small differences of large numbers."""
    if picture.ndim == 2:
        return picture.astype(np.float64)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ImageError(f"SSIM takes HxW, HxWx1 or HxWx3, not {picture.shape} - drop alpha and batch axes")
    weights = LUMA if picture.shape[2] == 3 else (1.0,)
    luma: NDArray[np.float64] = picture @ np.array(weights)
    return luma


def _windowed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gaussian mean around each pixel whose window lies inside the picture."""
    from scipy.ndimage import gaussian_filter

    means = gaussian_filter(plane, SIGMA, radius=RADIUS)
    return means[RADIUS:-RADIUS, RADIUS:-RADIUS]
