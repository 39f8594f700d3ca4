"""Detection of what lies on a device: its planes of cell means go to the host, and from there on all is as ever."""

import torch
from torch import Tensor

from markai.watermarks.tensors.planes import cell_means
from markai.watermarks.warps import Plane, Pyramid


class TensorPyramid(Pyramid):
    """The luma of a tensor (1 or 3, H, W), uint8, uint16 or floats in [0, 1], at any whole reduction.

    A reduction of 1, which only geometries of small pictures need, takes the luma of every pixel to the host; the usual
    ones are a sixteenth of that and less.

    >>> TensorPyramid(torch.full((3, 8, 12), 0.5)).at(4).tolist()
    [[127.5, 127.5, 127.5], [127.5, 127.5, 127.5]]
    """

    def __init__(self, tensor: Tensor) -> None:
        self.shape = (tensor.shape[1], tensor.shape[2])
        self._tensor = tensor.detach()
        self._planes: dict[int, Plane] = {}

    def window(self, rows: slice, columns: slice) -> "TensorPyramid":
        """Return a part of the picture by itself; no copy is made."""
        return TensorPyramid(self._tensor[:, rows, columns])

    def _means(self, reduction: int) -> Plane:
        with torch.no_grad():
            plane: Plane = cell_means(self._tensor[None], reduction)[0, 0].cpu().numpy()
        return plane
