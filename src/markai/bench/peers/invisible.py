"""The three methods of invisible-watermark 0.2.0: dwtDct, dwtDctSvd and rivaGan.

MIT; by ShieldMnt; the marks that Stable Diffusion pipelines used to set. It is installed without its dependencies,
which are opencv-python and torch with CUDA. Its faults are left as they are, since they are what its users get: H and V
bands swapped, values that wrap around instead of being clipped, V never used, in dwtDct no DCT.
"""

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from markai.bench.peers.common import BENCH, Bits, Pixels, checked, require, too_small

INSTALL = "--no-deps invisible-watermark==0.2.0"
BITS = 32  # what rivaGan is trained for; the other two take any number
LEAST_AREA = 256 * 256  # the package refuses less, in embedding and in reading
STEP = 36.0  # the quantiser's step at its default


class QuantisedChroma:
    """``dwtDct`` or ``dwtDctSvd``: 32 bits, over and over, in 4x4 blocks of the Haar approximation of the U plane.

    ``strength`` scales the step of the quantiser (``scales``, 36 at 1), so reading needs it too. No weights.
    """

    bits = BITS
    adjustable = True

    def __init__(self, algorithm: str) -> None:
        """
        Raises:
            MissingExtraError: if the package, OpenCV or PyWavelets is not installed.
        """
        self.algorithm = algorithm
        self.name = f"invisible-watermark/{algorithm}"
        require(self.name, imwatermark=INSTALL, cv2=BENCH, pywt=BENCH)

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:
        """Return the marked pixels, as the package makes them.

        Raises:
            CapacityError: if the picture has fewer than 65,536 pixels.
            PayloadError: if the message is not 32 zeros and ones.
        """
        encoder = package().WatermarkEncoder()
        encoder.set_watermark("bits", checked(message, self.bits, self.name))
        marked = encoder.encode(_bgr(self.name, pixels, marked=False), self.algorithm, scales=_scales(strength))
        return np.ascontiguousarray(marked[..., ::-1])

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:
        """Return the 32 bits read.

        Raises:
            ImageError: if the picture has fewer than 65,536 pixels.
        """
        decoder = package().WatermarkDecoder("bits", self.bits)
        found = decoder.decode(_bgr(self.name, pixels, marked=True), self.algorithm, scales=_scales(strength))
        return np.asarray(found, np.uint8)


class RivaGan:
    """``rivaGan``: 32 bits by a small learned encoder and decoder, whose weights (1.7 MB) are inside the wheel.

    The two ONNX files are run as the package runs them, without its torch glue, on as many threads as the process is to
    use. ``strength`` scales the residual of their result, which is 3 levels at most: a fixed dither keeps what is finer
    than a level. (Theirs is cut to whole levels: +-2.04 becomes +2 and -3, and 42.3 dB 40.6 on one photograph.)
    """

    name = "invisible-watermark/rivaGan"
    bits = BITS
    adjustable = True
    threshold = 0.52  # theirs

    def __init__(self) -> None:
        """
        Raises:
            MissingExtraError: if the package or ONNX Runtime is not installed.
        """
        require(self.name, imwatermark=INSTALL, onnxruntime=BENCH)

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:
        """Return the marked pixels; at strength 1 those that the package makes.

        Raises:
            CapacityError: if the picture has fewer than 65,536 pixels.
            PayloadError: if the message is not 32 zeros and ones.
        """
        data = checked(message, self.bits, self.name)[None].astype(np.float32)
        bgr = _bgr(self.name, pixels, marked=False).astype(np.float32)
        output = session("encoder").run(None, {"frame": _frame(bgr), "data": data})[0]
        theirs = ((output[0, :, 0].transpose(1, 2, 0).clip(-1, 1) + 1) * np.float32(127.5)).astype(np.uint8)
        dither = np.random.default_rng(0).random(bgr.shape)  # in [0, 1): whole levels, as at strength 1, stay
        marked = np.floor(bgr + strength * (theirs - bgr) + dither).clip(0, 255)
        return np.ascontiguousarray(marked[..., ::-1].astype(np.uint8))

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:  # noqa: ARG002
        """Return the 32 bits read.

        Raises:
            ImageError: if the picture has fewer than 65,536 pixels.
        """
        bgr = _bgr(self.name, pixels, marked=True).astype(np.float32)
        output = session("decoder").run(None, {"frame": _frame(bgr)})[0]
        return np.asarray(output[0] > self.threshold, np.uint8)


def _scales(strength: float) -> list[float]:
    return [0, STEP * strength, 0]


def _bgr(name: str, pixels: Pixels, *, marked: bool) -> Pixels:
    if pixels.shape[0] * pixels.shape[1] < LEAST_AREA:
        raise too_small(name, pixels, "65,536 pixels (256x256) and more", marked=marked)
    return np.ascontiguousarray(pixels[..., ::-1])


def _frame(bgr: Any) -> Any:
    """Return (1, 3, 1, H, W) in [-1, 1]: a film of one picture."""
    return (bgr / np.float32(127.5) - np.float32(1)).transpose(2, 0, 1)[None, :, None]


@cache
def package() -> Any:
    """Return the package. It imports torch for its RivaGAN; where there is none, an empty module stands in for that."""
    absent = importlib.util.find_spec("torch") is None
    if absent:
        sys.modules["torch"] = ModuleType("torch")
    try:
        import imwatermark
    finally:
        if absent:  # or everybody would find the empty one
            del sys.modules["torch"]
    return imwatermark


@cache
def session(part: str) -> Any:
    """Return the ONNX session of the ``encoder`` or the ``decoder``; one of each in a process.

    It gets OMP_NUM_THREADS threads, or one per core that the process may use: left alone it takes every core.
    """
    import onnxruntime

    found = importlib.util.find_spec("imwatermark")
    assert found
    assert found.origin
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        Path(found.origin).parent / f"rivagan_{part}.onnx", options, providers=["CPUExecutionProvider"]
    )
