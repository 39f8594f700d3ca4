"""Watermark methods for pictures, found by name: ``markai.watermarks.load("dwt-dct")``."""

from markai.watermarks.base import (
    AUTO,
    BitMark,
    CollageMark,
    GlancingMark,
    TensorMark,
    Watermark,
    glance,
    keyed_names,
    load,
    load_any,
    names,
    reads_back,
)

__all__ = [
    "AUTO",
    "BitMark",
    "CollageMark",
    "GlancingMark",
    "TensorMark",
    "Watermark",
    "glance",
    "keyed_names",
    "load",
    "load_any",
    "names",
    "reads_back",
]
