"""Watermark methods for pictures, found by name: ``markai.watermarks.load("dwt-dct")``."""

from markai.watermarks.base import (
    BitMark,
    CollageMark,
    GlancingMark,
    TensorMark,
    Watermark,
    keyed_names,
    load,
    load_any,
    names,
)

__all__ = [
    "BitMark",
    "CollageMark",
    "GlancingMark",
    "TensorMark",
    "Watermark",
    "keyed_names",
    "load",
    "load_any",
    "names",
]
