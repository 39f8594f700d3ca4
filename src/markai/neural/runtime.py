"""Runs the two networks on single planes, without torch where ONNX Runtime is installed.

The graphs are the bare networks; scaling, gains and the fit to the hand-made mark's energy are in NumPy here, from
:mod:`markai.neural.scales`. Every backend has the same weights and answers within 1e-2. Neither ONNX Runtime nor torch
is imported before the first plane.
"""

import os
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import neighbour_products
from markai.errors import ImageError, MethodError, MissingExtraError
from markai.neural import scales, shipped
from markai.watermarks.informed import widened

Plane = NDArray[np.float32]
ONNX, TORCH, CUDA = "onnxruntime", "torch", "torch-cuda"


def available() -> bool:
    """Say whether anything that runs the networks is installed; imports nothing."""
    return bool(_installed())


def backend() -> str:
    """Return what runs the networks here: ``"onnxruntime"``, ``"torch"`` or ``"torch-cuda"``.

    A GPU that torch, already imported, can use in this process; otherwise ONNX Runtime; otherwise torch on the CPU.

    Raises:
        MissingExtraError: if none of them is installed.
    """
    installed = _installed()
    if not installed:
        raise MissingExtraError.naming("onnxruntime (or torch)", "onnx", "learned marks")
    return CUDA if TORCH in installed and _gpu_in_use() else installed[0]


def write(
    plane: Plane, start: Plane, pattern: Plane, allowed: Plane, limit: Plane, *, threads: int = 1, on: str | None = None
) -> Plane:
    """Return what to add to a plane of cells instead of the hand-made ``start``, at the same energy.

    All are float32 (H, W), both sides at least 16. ``plane`` holds mean luma, 0..255; ``start`` what ``dwt-dct`` adds,
    in grey levels; ``pattern`` the tile that it stands for, rms 1; ``allowed`` how much hides in each cell, relative
    (about 1 to 16); ``limit`` the most that each cell may change, in grey levels. The result is in grey levels, within
    +-``limit``; black and white are the caller's to keep. ``on`` names a backend rather than :func:`backend`'s.

    Raises:
        ImageError: if shapes differ or are too small.
        MissingExtraError: if no backend is installed.
        WeightsError: if the weights are not those that ship.
    """
    plane, start, pattern, allowed, limit = _checked(plane, start, pattern, allowed, limit)
    gain, more = _run(shipped.WRITER, scales.writer_inputs(plane, start, pattern, allowed), threads, on)
    change = scales.written(np, start, allowed, gain, more)
    return np.asarray(scales.fitted(np, change, start, limit, _energy), np.float32)


def read(plane: Plane, level: Plane, *, threads: int = 1, on: str | None = None) -> Plane:
    """Return the pattern that a plane of cells seems to carry, large where that is sure, on no fixed scale.

    Both are float32 (H, W), both sides at least 16: ``plane`` mean luma, 0..255, and ``level`` what
    ``markai._kernels.whiten`` makes of it. ``on`` names a backend rather than :func:`backend`'s.

    Raises:
        ImageError: if shapes differ or are too small.
        MissingExtraError: if no backend is installed.
        WeightsError: if the weights are not those that ship.
    """
    plane, level = _checked(plane, level)
    gain, more = _run(shipped.READER, scales.reader_inputs(plane, level), threads, on)
    return np.asarray(scales.levelled(np, level, gain, more), np.float32)


def _checked(*planes: Plane) -> list[Plane]:
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1 or any(len(shape) != 2 or min(shape) < scales.MULTIPLE for shape in shapes):
        found = ", ".join(map(str, sorted(shapes)))
        raise ImageError(f"the networks want planes of one shape, at least 16x16 cells, not {found} - enlarge first")
    return [np.ascontiguousarray(plane, np.float32) for plane in planes]


def _energy(plane: Plane) -> Any:
    return np.float32(max(widened(*neighbour_products(plane)), scales.LEAST_ENERGY))


def _run(graph: str, inputs: list[Plane], threads: int, on: str | None) -> Plane:
    """Run a network on planes (H, W) of any size: reflected at two borders to multiples of 16, then cut back."""
    height, width = inputs[0].shape
    room = [(0, 0), (0, -height % scales.MULTIPLE), (0, -width % scales.MULTIPLE)]
    batch = np.pad(np.stack(inputs), room, mode="reflect")[None]
    chosen = on or backend()
    if chosen == ONNX:
        (output,) = _session(graph, threads, os.getpid()).run(None, {"planes": batch})
    elif chosen in (TORCH, CUDA):
        output = _by_torch(graph, batch, "cuda" if chosen == CUDA else "cpu", threads)
    else:
        raise MethodError(f"no backend is called {chosen!r} - choose from {ONNX}, {TORCH}, {CUDA}")
    return np.asarray(output[0, :, :height, :width])


def _installed() -> list[str]:
    found = [ONNX] if find_spec("onnxruntime") else []
    return [*found, TORCH] if find_spec("torch") and find_spec("safetensors") else found


def _gpu_in_use() -> bool:
    torch = sys.modules.get("torch")  # looking for a GPU is not worth the seconds that its import takes
    return torch is not None and torch.cuda.is_available() and not torch.cuda._is_in_bad_fork()


@cache
def _session(graph: str, threads: int, _process: int) -> Any:
    """Return a session of ONNX Runtime, which many threads may use at once.

    One for each process: after a fork the parent's has lost its threads. It is kept nevertheless, since ending it
    would wait for them.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError.naming("onnxruntime", "onnx", "learned marks on it") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(shipped.read(graph), options, providers=["CPUExecutionProvider"])


def _by_torch(graph: str, batch: NDArray[np.float32], device: str, threads: int) -> NDArray[np.float32]:
    try:
        from markai.neural import pairs
    except ImportError as error:
        raise MissingExtraError.naming("torch", "torch", "learned marks on it") from error
    return pairs.run("embedder" if graph == shipped.WRITER else "extractor", batch, device, threads)
