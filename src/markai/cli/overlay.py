"""The picture that ``markai detect --coverage`` draws: what is marked in colour and outlined, the rest gray and dim."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from markai.detection import Coverage

COLORS = ((0, 190, 165), (255, 140, 0), (150, 95, 255), (255, 70, 120), (60, 150, 255))  # of one mark after another
TINT, DIMMED = 0.08, 0.45  # shares of the colour where marked, and of the brightness elsewhere
LINE = 1 / 300  # width of an outline, as a share of the longer side
LARGEST = 2048  # pixels along the longer side of what is drawn: the map has 32 squares there


def overlay(data: bytes, coverages: "Sequence[Coverage]") -> bytes:
    """Return a PNG of a picture with the places of its marks, each in its own colour.

    Raises:
        ImageError: if the picture cannot be read.
    """
    import numpy as np
    from PIL import Image

    shown = _thumbnail(data)
    width, height = shown.size
    picture = np.asarray(shown, np.float32)
    gray = np.asarray(shown.convert("L"), np.float32)[..., None] * DIMMED
    maps = [_enlarged(coverage, height, width) for coverage in coverages]
    marked = np.max([_soft_step(values, 0.1) for values in maps], axis=0)[..., None]
    drawn = gray + (picture - gray) * marked
    for number, values in enumerate(maps):
        color = np.array(COLORS[number % len(COLORS)], np.float32)
        drawn += (color - drawn) * TINT * _soft_step(values, 0.1)[..., None]
        drawn += (color - drawn) * _outline(values, max(1.5, LINE * max(height, width)))[..., None]
    file = io.BytesIO()
    Image.fromarray(np.rint(drawn).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _thumbnail(data: bytes):  # type: ignore[no-untyped-def]  # PIL is not imported for the type
    import numpy as np
    from PIL import Image

    from markai.image import open_picture

    pixels = open_picture(data, read_only=True).pixels
    scale = {"uint8": 1.0, "uint16": 1 / 257, "float32": 255.0}[pixels.dtype.name]
    shown = Image.fromarray(np.rint(np.repeat(pixels, 3 // pixels.shape[2], axis=2) * scale).astype(np.uint8))
    shown.thumbnail((LARGEST, LARGEST))
    return shown


def _enlarged(coverage: "Coverage", height: int, width: int) -> "NDArray[np.float32]":
    """Return the presence at every pixel; cubic, which leaves no corners at the squares."""
    import numpy as np
    from PIL import Image

    # Padded by the edge, so that a mark that reaches the edge has no outline there.
    squares = Image.fromarray(np.pad(coverage.presence, 2, mode="edge"))
    rows, columns = coverage.presence.shape
    box = (2.0, 2.0, 2.0 + columns, 2.0 + rows)
    return np.asarray(squares.resize((width, height), Image.Resampling.BICUBIC, box), np.float32)


def _soft_step(values: "NDArray[np.float32]", softness: float) -> "NDArray[np.float32]":
    """Return 0 below and 1 above one half, with a ramp between."""
    import numpy as np

    return np.asarray(np.clip((values - 0.5) / softness + 0.5, 0, 1), np.float32)


def _outline(values: "NDArray[np.float32]", width: float) -> "NDArray[np.float32]":
    """Return 1 on the line where the values are one half and 0 off it: the distance is the value over its slope."""
    import numpy as np

    down, across = np.gradient(values)
    distance = np.abs(values - 0.5) / np.maximum(np.hypot(down, across), 1e-4)
    return np.asarray(np.clip(width / 2 + 0.5 - distance, 0, 1), np.float32)
