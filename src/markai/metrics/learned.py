"""Metrics fitted to the judgement of people, by packages of others: SSIMULACRA 2 and LPIPS."""

import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import ImageError, MethodError, MissingExtraError
from markai.metrics.pixels import as_channels, common_peak, require_side

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SSIMULACRA2_SIDE = 225  # its weights belong to six scales, the coarsest of at least 8 pixels after five halvings
LPIPS_SIDE = 64  # what the three poolings of its networks leave something of
LPIPS_MODEL = "MARKAI_LPIPS_MODEL"


def ssimulacra2(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return SSIMULACRA 2 of a picture ``second`` made from ``first``: 100 for equal pictures, 90 hardly visible.

    Its authors call 70 high, 50 medium and 30 low quality; below 0 the pictures have little in common. It is not
    symmetric. Pictures are HxW, HxWx1 or HxWx3 uint8 sRGB, at least 225 pixels high and wide. Version 2.1 of the
    metric of Sneyers (Cloudinary, 2022 and 2023), as libjxl has it.

    Raises:
        ImageError: if the pictures differ in shape or dtype, are too small, or are not uint8 pictures.
        MissingExtraError: if the package ssimulacra2 is not installed.
    """
    common_peak(first, second)
    reference, distorted = as_channels(first, "SSIMULACRA 2"), as_channels(second, "SSIMULACRA 2")
    require_side(first, SSIMULACRA2_SIDE, "SSIMULACRA 2")
    if first.dtype != np.uint8:
        raise ImageError(f"SSIMULACRA 2 takes uint8 pixels, not {first.dtype} - convert to uint8")
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError:
        raise MissingExtraError.naming("ssimulacra2", "bench", "values of SSIMULACRA 2") from None
    return float(compute_ssimulacra2(_netpbm(reference), _netpbm(distorted)))


def lpips(first: NDArray[Any], second: NDArray[Any], model: str | Path | None = None) -> float:
    """Return the learned perceptual distance (LPIPS): 0 for equal pictures, more for less alike.

    Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as a perceptual
    metric", CVPR 2018. The network is an ONNX file, ``model`` or the one that the environment variable
    MARKAI_LPIPS_MODEL names; nothing is ever downloaded. The file takes two float32 tensors (1, 3, H, W) in [-1, 1]
    of any H and W and returns one number. The authors' package writes it, where torchvision and its weights are::

        import lpips, torch
        first, second = torch.rand(2, 1, 3, 256, 256)
        sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
        torch.onnx.export(lpips.LPIPS(net="alex").eval(), (first, second), "lpips.onnx",
                          dynamic_shapes={"in0": sides, "in1": sides}, external_data=False)

    Pictures are HxW, HxWx1 or HxWx3 (sRGB) and at least 64 pixels high and wide.

    Raises:
        ImageError: if the pictures differ in shape or dtype, are too small, or are not pictures.
        MethodError: if no model is named, or it is not such a file.
        MissingExtraError: if the package onnxruntime is not installed.
    """
    peak = common_peak(first, second)
    tensors = [_tensor(as_channels(picture, "LPIPS"), peak) for picture in (first, second)]
    require_side(first, LPIPS_SIDE, "LPIPS")
    path = model or os.environ.get(LPIPS_MODEL)
    if not path:
        raise MethodError(f"LPIPS needs its network - set {LPIPS_MODEL} to an ONNX file; help(markai.metrics.lpips)")
    session = _session(os.fspath(path))
    names = [each.name for each in session.get_inputs()]
    if len(names) != 2:
        raise MethodError(f"{path} takes {len(names)} tensors - LPIPS compares two; help(markai.metrics.lpips)")
    distance = session.run(None, dict(zip(names, tensors, strict=True)))[0]
    return float(np.asarray(distance).item())


@functools.lru_cache(maxsize=1)
def _session(path: str) -> "InferenceSession":
    """Return the network, read once; it runs on one thread, since a benchmark runs one process per core."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError.naming("onnxruntime", "bench", "values of LPIPS") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no other base
        raise MethodError(f"{path} cannot be read as an ONNX file - {error}") from None


def _tensor(picture: NDArray[Any], peak: float) -> NDArray[np.float32]:
    """Return (1, 3, H, W) in [-1, 1] of (H, W, 1) or (H, W, 3)."""
    scaled = picture.astype(np.float32) * np.float32(2 / peak) - np.float32(1)
    return np.ascontiguousarray(np.broadcast_to(scaled, (*picture.shape[:2], 3)).transpose(2, 0, 1)[None])


def _netpbm(picture: NDArray[np.uint8]) -> io.BytesIO:
    """Return the picture as an open file, which is what the package reads: PGM or PPM, a header before the pixels."""
    height, width, channels = picture.shape
    return io.BytesIO(b"P%d %d %d 255\n" % (5 if channels == 1 else 6, width, height) + picture.tobytes())
