"""Watermark methods for pictures, found by name: ``markai.watermarks.load("dwt-dct")``."""

from markai.watermarks.base import Watermark, load, names

__all__ = ["Watermark", "load", "names"]
