"""Arrays as canonical pixels, and to PIL images and back without holding them twice.

Reached only through ``markai.image``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from markai.errors import ImageError

FLOAT_TOLERANCE = 1e-3  # resampling overshoots by about this much; such values are clipped to [0, 1]
STRIP_BYTES = 1 << 22  # what is converted at a time
NOT_ACCEPTED = "{} pixels are not accepted - convert to uint8, uint16, or float in [0, 1]"

Array = NDArray[Any]


def canonical(source: Array) -> Array:
    """Return uint8, native uint16, or float32 in [0, 1]; the array itself where it is that.

    Raises:
        ImageError: if it is of another dtype, or floats lie elsewhere.
    """
    dtype = source.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return source.astype(dtype.newbyteorder("="), copy=False)
    if dtype.kind != "f":
        raise ImageError(NOT_ACCEPTED.format(dtype))
    check_unit_range(float(source.min()), float(source.max()))
    return in_unit_range(source.astype(np.float32, copy=False))


def check_unit_range(low: float, high: float) -> None:
    """Raise ImageError where floats that run from ``low`` to ``high`` do not lie in [0, 1], give or take a little."""
    if not np.isfinite([low, high]).all():
        raise ImageError("the float pixels hold NaN or infinity - clean them first, see np.nan_to_num")
    if low < -FLOAT_TOLERANCE or high > 1 + FLOAT_TOLERANCE:
        raise ImageError(
            f"float pixels must lie in [0, 1], these run from {low:g} to {high:g} - scale them first, "
            "for example by x / 255 or (x + 1) / 2"
        )


def in_unit_range(values: Array) -> Array:
    """Return the values clipped to [0, 1]; themselves where they lie there."""
    return values if values.min() >= 0 and values.max() <= 1 else np.clip(values, 0, 1)


def to_pil(array: Array, mode: str) -> Image.Image:
    """Return the picture as a PIL image of a mode that has the array's channels and dtype."""
    height, width = array.shape[:2]
    image: Image.Image = Image.frombytes(mode, (width, height), np.ascontiguousarray(array).data)
    return image


def to_array(image: Image.Image) -> Array:
    """Return a copy of the pixels, converted in strips: Pillow would hold all of them two times more."""
    width, height = image.size
    corner = np.asarray(image.crop((0, 0, 1, 1)))
    array = np.empty((height, width, *corner.shape[2:]), corner.dtype)
    for rows in strips(array):
        array[rows] = np.asarray(image.crop((0, rows.start, width, rows.stop)))
    return array


def strips(array: Array) -> Iterator[slice]:
    """Yield the rows of an array, as many at a time as have about STRIP_BYTES."""
    count = max(1, STRIP_BYTES * len(array) // array.nbytes)
    return (slice(top, min(top + count, len(array))) for top in range(0, len(array), count))
