"""Colour difference: CIEDE2000, from sRGB through CIELAB with the D65 white."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.metrics.pixels import as_channels, common_peak

Floats = NDArray[np.floating[Any]]

# IEC 61966-2-1: linear sRGB to XYZ. Divided by its row sums, so that white is (1, 1, 1) and gray has a = b = 0.
XYZ_FROM_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
XYZ_OVER_WHITE = XYZ_FROM_RGB / XYZ_FROM_RGB.sum(axis=1, keepdims=True)

BLOCK = 1 << 15  # pixels at a time: some thirty temporaries of 128 KiB, which a cache holds


def ciede2000(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the mean colour difference of the pixels, Delta E 2000: 0 for equal pictures, about 1 just visible.

    Pictures are HxW, HxWx1 or HxWx3 and sRGB. k_L = k_C = k_H = 1.

    >>> gray = np.full((8, 8, 3), 128, np.uint8)
    >>> ciede2000(gray, gray), round(ciede2000(gray, gray + np.uint8(10)), 2)
    (0.0, 3.66)

    Raises:
        ImageError: if the pictures differ in shape or dtype, or are not pictures.
    """
    common_peak(first, second)
    channels = [as_channels(picture, "CIEDE2000") for picture in (first, second)]
    x, y = (picture.reshape(-1, picture.shape[2]) for picture in channels)
    total = 0.0
    for start in range(0, len(x), BLOCK):
        lab_x, lab_y = (lab_from_srgb(pixels[start : start + BLOCK]) for pixels in (x, y))
        total += float(np.sum(delta_e_2000(lab_x, lab_y), dtype=np.float64))
    return total / len(x)


def lab_from_srgb(pixels: NDArray[Any]) -> Floats:
    """Return CIELAB (3, N), float32, of sRGB pixels (N, 3) or gray ones (N, 1): uint8, uint16, or float in [0, 1].

    >>> lab_from_srgb(np.array([[255, 255, 255], [255, 0, 0]], np.uint8)).round().tolist()
    [[100.0, 53.0], [0.0, 80.0], [0.0, 67.0]]
    """
    if pixels.dtype.kind == "u":
        steps = np.iinfo(pixels.dtype).max
        linear = _linear(np.arange(steps + 1) / steps).astype(np.float32)[pixels]
    else:
        linear = _linear(pixels).astype(np.float32)
    relative = XYZ_OVER_WHITE.astype(np.float32) @ np.broadcast_to(linear, (len(linear), 3)).T
    # CIE 15: the cube root, and below (6/29)^3 its tangent.
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * np.float32(841 / 108) + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def delta_e_2000(first: Floats, second: Floats) -> Floats:
    """Return Delta E 2000 (N,) between CIELAB colours (3, N), in their precision.

    Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data,
    and mathematical observations", Color Research and Application 30 (2005), equations 2 to 22.

    >>> round(float(delta_e_2000(np.array([50, 2.6772, -79.7751]), np.array([50, 0, -82.7485]))), 4)
    2.0425
    """
    (l1, a1, b1), (l2, a2, b2) = first, second
    stretch = 1.5 - _vividness((_chroma(a1, b1) + _chroma(a2, b2)) / 2) / 2
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = _chroma(a1, b1), _chroma(a2, b2)
    chroma, lightness = (c1 + c2) / 2, ((l1 + l2) / 2 - 50) ** 2
    turn, hue = _hues(np.arctan2(b1, a1), np.arctan2(b2, a2), gray=c1 * c2 == 0)
    weight = (
        1
        - 0.17 * np.cos(hue - math.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + math.radians(6))
        - 0.20 * np.cos(4 * hue - math.radians(63))
    )
    d_l = (l2 - l1) / (1 + 0.015 * lightness / np.sqrt(20 + lightness))
    d_c = (c2 - c1) / (1 + 0.045 * chroma)
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * weight)
    # The blues, where the ellipses of equal difference are tilted.
    tilt = math.radians(60) * np.exp(-(((hue - math.radians(275)) / math.radians(25)) ** 2))
    rotation = -2 * np.sin(tilt) * _vividness(chroma)
    distance: Floats = np.sqrt(np.maximum(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h, 0))
    return distance


def _linear(value: Floats) -> Floats:
    """Return linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(value > 0.04045, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4, value / 12.92)


def _chroma(a: Floats, b: Floats) -> Floats:
    """Return the distance from gray; hypot, which guards against overflow, takes twenty times as long."""
    distance: Floats = np.sqrt(a * a + b * b)
    return distance


def _vividness(chroma: Floats) -> Floats:
    """Return sqrt(C^7 / (C^7 + 25^7)): 0 near gray, 1 for vivid colours."""
    seventh = (chroma / 25) ** 7
    share: Floats = np.sqrt(seventh / (seventh + 1))
    return share


def _hues(h1: Floats, h2: Floats, gray: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the turn from one hue to the other, in [-pi, pi], and the hue half-way; a gray has the other's hue."""
    h1, h2 = _one_turn(h1), _one_turn(h2)
    turn = h2 - h1
    turn = np.where(gray, 0, turn - 2 * np.pi * np.round(turn / (2 * np.pi)))
    return turn, np.where(gray, h1 + h2, _one_turn(h1 + turn / 2))


def _one_turn(angle: Floats) -> Floats:
    """Return the angle in [0, 2 pi); the remainder operator takes thirty times as long."""
    rest: Floats = angle - 2 * np.pi * np.floor(angle / (2 * np.pi))
    return rest
