"""Structural similarity of the luma, at one scale (SSIM) and at five (MS-SSIM), in NumPy alone.

Both work on the sum s and the difference d of the two pictures. With V for a variance in the window,

    2 cov(x, y) = (V(s) - V(d)) / 2    and    V(x) + V(y) = (V(s) + V(d)) / 2,

and the same holds for products of means. That takes four filtered planes in place of five. Double precision
it has to be: single is wrong by 1e-5 where large differences lie on flat ground.
"""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.metrics.pixels import as_channels, common_peak, require_side

Plane = NDArray[np.float64]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SIGMA, RADIUS = 1.5, 5  # the 11 x 11 Gaussian window of Wang et al. 2004
WINDOW = 2 * RADIUS + 1
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli and Bovik 2003, finest scale first

STRIP = 64  # windows, down and across, that one product filters; 32 to 96 are as fast


def ssim(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the mean structural similarity of the luma, at most 1, which equal luma reaches.

    Pictures are HxW, HxWx1 or HxWx3 (RGB) and at least 11 pixels high and wide. Equation 13 of Wang, Bovik,
    Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13 (2004), averaged over the windows that lie inside the picture.

    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> ssim(ramp, ramp), round(ssim(ramp, ramp[:, ::-1]), 3)
    (1.0, 0.561)

    Raises:
        ImageError: if the pictures differ in shape or dtype, are too small, or are not pictures.
    """
    similarity, _ = _similarity(*_sum_and_difference(first, second, "SSIM"))
    return similarity


def ms_ssim(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the multi-scale structural similarity of the luma, from 0 to 1, which equal luma reaches.

    Equation 7 of Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar 2003, with its five weights: contrast and structure at every scale, each half as fine as the one
    before, luminance at the coarsest. A scale at which contrast and structure are on average opposed counts as 0.

    Pictures are as for :func:`ssim`. Five scales need 161 pixels on each side. A smaller picture has the scales
    that it has room for, with their weights scaled to sum 1; with one scale, below 21 pixels, it is SSIM.

    >>> ramp = np.tile(np.arange(192, dtype=np.uint8), (192, 1))
    >>> ms_ssim(ramp, ramp), ms_ssim(ramp, ramp // 2) < ms_ssim(ramp, ramp // 2 * 2) < 1
    (1.0, True)

    Raises:
        ImageError: if the pictures differ in shape or dtype, are too small, or are not pictures.
    """
    total, difference = _sum_and_difference(first, second, "MS-SSIM")
    scales = [_similarity(total, difference)]
    while len(scales) < len(SCALE_WEIGHTS) and min(total.shape) > 2 * (WINDOW - 1):
        total, difference = _halved(total), _halved(difference)
        scales.append(_similarity(total, difference))
    weights = SCALE_WEIGHTS[: len(scales)]
    whole = 1.0 if weights == SCALE_WEIGHTS else sum(weights)  # all five are taken as published: they sum to 1.0001
    parts = [max(contrast, 0.0) for _, contrast in scales[:-1]] + [max(scales[-1][0], 0.0)]
    return math.prod(math.pow(part, weight / whole) for part, weight in zip(parts, weights, strict=True))


def _sum_and_difference(first: NDArray[Any], second: NDArray[Any], metric: str) -> tuple[Plane, Plane]:
    """Return the sum and the difference of the lumas (H, W)."""
    peak = common_peak(first, second)
    x, y = (_luma(as_channels(picture, metric), peak) for picture in (first, second))
    require_side(x, WINDOW, metric)
    return x + y, x - y


def _luma(picture: NDArray[Any], peak: float) -> Plane:
    """Return the luma (H, W) in [0, 1], not rounded to steps: variances are small differences of larger numbers."""
    weights = LUMA if picture.shape[2] == 3 else (1.0,)
    luma = np.zeros(picture.shape[:2])
    for channel, weight in enumerate(weights):
        luma += picture[..., channel] * (weight / peak)
    return luma


def _similarity(total: Plane, difference: Plane) -> tuple[float, float]:
    """Return the mean of luminance * contrast * structure over all windows, and that of contrast * structure."""
    c1, c2 = 2 * K1**2, 2 * K2**2
    height, width = (side - WINDOW + 1 for side in total.shape)
    similarities = contrasts = 0.0
    for top in range(0, height, STRIP):  # by strips of rows, which a cache holds
        rows = slice(top, top + STRIP + WINDOW - 1)
        square_s, variance_s = _moments(total[rows])
        square_d, variance_d = _moments(difference[rows])
        contrast = (variance_s - variance_d + c2) / (variance_s + variance_d + c2)
        luminance = (square_s - square_d + c1) / (square_s + square_d + c1)
        similarities += float(np.vdot(luminance, contrast))
        contrasts += float(np.sum(contrast))
    return similarities / (height * width), contrasts / (height * width)


def _moments(plane: Plane) -> tuple[Plane, Plane]:
    """Return the squared mean and the variance of each window."""
    means = _windowed(plane)
    means *= means
    variances = _windowed(plane * plane)
    variances -= means
    return means, variances


def _windowed(plane: Plane) -> Plane:
    """Return the Gaussian mean of each window that lies inside the plane: (H, W) becomes (H - 10, W - 10).

    The rows, then each strip of columns, are one product with a banded matrix, which is faster than a convolution.
    """
    rows = _band(len(plane)) @ plane
    means = np.empty((len(rows), rows.shape[1] - WINDOW + 1))
    for left in range(0, means.shape[1], STRIP):
        inside = rows[:, left : left + STRIP + WINDOW - 1]
        np.matmul(inside, _band(inside.shape[1]).T, out=means[:, left : left + STRIP])
    return means


@functools.lru_cache(maxsize=4)
def _band(length: int) -> Plane:
    """Return the matrix (length - 10, length) which takes a strip to the Gaussian means of its windows."""
    offsets = np.arange(length) - np.arange(length - WINDOW + 1)[:, None] - RADIUS
    weights = np.where(abs(offsets) <= RADIUS, np.exp(-(offsets**2) / (2 * SIGMA**2)), 0.0)
    band: Plane = weights / weights[0].sum()
    return band


def _halved(plane: Plane) -> Plane:
    """Return the means of 2 x 2 pixels; an odd last row or column is taken twice."""
    even = np.pad(plane, [(0, side % 2) for side in plane.shape], mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
