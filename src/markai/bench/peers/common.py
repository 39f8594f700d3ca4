"""What the adapters share: looking for packages and weights, checking input, pixels as tensors."""

import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import CapacityError, ImageError, MethodError, MissingExtraError, PayloadError

Pixels = NDArray[np.uint8]
Bits = NDArray[np.uint8]

BENCH = "'markai[bench]'"  # what pip is told for packages of the extra


def require(name: str, **packages: str) -> None:
    """Raise where a package that ``name`` needs is not installed: import names with what pip is to be told.

    >>> require("this", numpy="numpy")

    Raises:
        MissingExtraError: naming the pip line.
    """
    for package, argument in packages.items():
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"{name} needs {package}: pip install {argument}")


def weights_at(name: str, variable: str, what: str) -> Path:
    """Return the path that an environment variable gives.

    Raises:
        MethodError: if it is not set, or nothing is there. Weights are never downloaded.
    """
    value = os.environ.get(variable)
    if not value:
        raise MethodError(f"{name} needs weights that markai never downloads - set {variable} to {what}")
    path = Path(value).resolve()
    if not path.exists():
        raise MethodError(f"{variable} is {value!r}, where nothing is - set it to {what}")
    return path


def checked(message: NDArray[Any], bits: int, name: str) -> Bits:
    """Return a message of exactly ``bits`` zeros and ones.

    >>> checked(np.array([1, 0]), 2, "this")
    array([1, 0], dtype=uint8)

    Raises:
        PayloadError: if it is anything else.
    """
    given = np.asarray(message)
    if given.shape != (bits,) or not np.isin(given, (0, 1)).all():
        raise PayloadError(f"{name} hides {bits} bits, not {given.shape} of {given.dtype} - pass {bits} zeros and ones")
    return given.astype(np.uint8)


def too_small(name: str, pixels: Pixels, least: str, *, marked: bool) -> ImageError:
    """Return the error for a picture that is smaller than the method takes."""
    height, width = pixels.shape[:2]
    if marked:
        return ImageError(f"{name} reads nothing from {width}x{height} pixels - it takes {least}")
    return CapacityError(f"{name} cannot mark {width}x{height} pixels - it takes {least}")


def to_tensor(pixels: Pixels) -> Any:
    """Return pixels as a torch tensor, (1, 3, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def to_pixels(tensor: Any) -> Pixels:
    """Return what :func:`to_tensor` took, rounded to nearest."""
    scaled = tensor[0].detach().clamp(0, 1).mul(255).round().permute(1, 2, 0)
    return np.ascontiguousarray(scaled.cpu().numpy().astype(np.uint8))


@contextmanager
def quietly(*categories: type[Warning]) -> Iterator[None]:
    """Ignore warnings that the code of others gives about itself."""
    with warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield
