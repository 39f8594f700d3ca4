"""Methods for the tests of the benchmark, named as ``bench_methods:Name`` in its processes too."""

import os

import numpy as np


class Corner:
    """Writes its bits into the first pixels: read exactly unless something happens to them."""

    name = "corner"
    bits = 32
    adjustable = True

    def embed(self, pixels, message, strength=1.0):
        marked = pixels.copy()
        marked[0, :32] = np.where(message, 128 + 100 * min(strength, 1), 128 - 100 * min(strength, 1))[:, None]
        return marked

    def extract(self, pixels, strength=1.0):  # noqa: ARG002
        return (pixels[0, :32, 0] > 127).astype(np.uint8)


class Refuses(Corner):
    """Cannot mark anything."""

    name = "refuses"

    def embed(self, pixels, message, strength=1.0):  # noqa: ARG002
        raise ValueError("no room\nfor a mark")


class Stumbles(Corner):
    """Marks, and fails to read."""

    name = "stumbles"

    def extract(self, pixels, strength=1.0):  # noqa: ARG002
        raise RuntimeError("lost the thread")


class Dies(Corner):
    """Takes its process with it when it reads a picture that was attacked in one way."""

    name = "dies"

    def extract(self, pixels, strength=1.0):
        if pixels.shape[0] != pixels.shape[1]:  # what "aspect" does to a square
            os._exit(9)
        return super().extract(pixels, strength)
