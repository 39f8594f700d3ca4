"""Torch tensors: which are pictures, which stay on their device, and their way to channels and alpha there.

Reached only through ``markai.image``. Whoever holds a tensor has imported torch; markai does not.
"""

import sys
from collections.abc import Callable
from typing import Any

from markai.errors import ImageError
from markai.image_arrays import NOT_ACCEPTED, check_unit_range

ON_HOST = {"cpu", "meta"}  # the types of devices whose tensors go the way of arrays; "meta" has no values to read


def is_tensor(image: Any) -> bool:
    """Whether this is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def stays_on_device(image: Any) -> bool:
    """Whether this is a tensor that a method should mark where it lies: a dense one, on a GPU or the like.

    On the CPU the compiled kernels are faster than torch.
    """
    return is_tensor(image) and image.device.type not in ON_HOST and image.layout == sys.modules["torch"].strided


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise ImageError where (H, W) or (C, H, W) is no shape of a picture."""
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3, 4)):
        raise ImageError(f"a tensor of shape {shape} is not a picture - pass HxW, or CHW, C = 1, 3 or 4")


def open_tensor(tensor: Any) -> tuple[Any, Any]:
    """Return the pixels (N, 1 or 3, H, W) and the alpha (N, 1, H, W), or None, of a tensor HxW, CHW or NCHW.

    Both are uint8, uint16 or floats in [0, 1], on the same device, detached, and may be the memory of ``tensor``. Of
    the values nothing but the least and the greatest is read by the host.

    Raises:
        ImageError: if it is not a picture, or its floats lie elsewhere.
    """
    shape = tuple(tensor.shape)
    check_shape(shape[1:] if len(shape) == 4 else shape)
    if tensor.numel() == 0:
        raise ImageError(f"a tensor of shape {shape} holds no pixels - pass at least one")
    planes = _canonical(tensor.detach()).reshape(-1, shape[-3] if len(shape) > 2 else 1, *shape[-2:])
    return (planes, None) if planes.shape[1] < 4 else (planes[:, :3], planes[:, 3:])


def edit_tensor(tensor: Any, change: Callable[[Any, Any], Any]) -> Any:
    """Return what ``change(pixels, alpha)`` makes of those of :func:`open_tensor`, with the shape and dtype of before.

    >>> import torch
    >>> edit_tensor(torch.zeros(4, 1, 2, dtype=torch.uint8), lambda pixels, alpha: pixels + 7).tolist()
    [[[7, 7]], [[7, 7]], [[7, 7]], [[0, 0]]]

    Raises:
        ImageError: as :func:`open_tensor`.
    """
    pixels, alpha = open_tensor(tensor)
    marked = change(pixels, alpha).to(tensor.dtype)
    if alpha is None:
        return marked.reshape(tensor.shape)
    whole = marked.new_empty(len(marked), 4, *marked.shape[2:])
    whole[:, :3], whole[:, 3:] = marked, alpha
    return whole.reshape(tensor.shape)


def _canonical(values: Any) -> Any:
    """Return uint8, uint16, or floats of 16 bits and more in [0, 1]."""
    torch: Any = sys.modules["torch"]
    if values.dtype in (torch.uint8, torch.uint16):
        return values
    if not values.is_floating_point():
        raise ImageError(NOT_ACCEPTED.format(values.dtype))
    values = values if values.dtype.itemsize > 1 else values.float()
    check_unit_range(*torch.stack(values.aminmax()).tolist())
    return values.clamp(0, 1)
