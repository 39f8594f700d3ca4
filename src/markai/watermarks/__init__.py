"""Watermark methods for pictures, found by name: ``markai.watermarks.load("dwt-dct")``."""

from markai.watermarks.base import (
    AUTO,
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
    "AUTO",
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
