"""``_kernels.whiten`` and ``_kernels.pull`` as convolutions: on any device, differentiable, and they export to ONNX."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from markai._kernels.reference import BLOCK, FLOOR, HOP, WINDOW
from markai.watermarks.informed import STIFFNESS

BINS = BLOCK // 2 + 1


class Blocks(nn.Module):
    """Overlapping windowed 8x8 DFTs of planes (B, 1, H, W) in grey levels, of any size from 12 x 12 up.

    >>> plane = torch.rand(1, 1, 32, 47) * 255
    >>> Blocks().level(plane).shape
    torch.Size([1, 1, 32, 47])
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self) -> None:
        super().__init__()
        analysis, synthesis = _bases()
        self.register_buffer("analysis", analysis, persistent=False)
        self.register_buffer("synthesis", synthesis, persistent=False)

    def level(self, plane: Tensor) -> Tensor:
        """Return the plane with its host levelled: each coefficient F times (|F|^2 + e)^(-5/8)."""
        f = self._apart(high_pass(plane))
        return self._together(f * (_power(f) + FLOOR) ** -0.625, plane.shape)

    def pull(self, plane: Tensor, target: Tensor) -> Tensor:
        """Return the gradient over ``plane`` of <limited(plane), target>, where limited() is F / sqrt(|F|^2 + s^2)."""
        f, t = self._apart(high_pass(plane)), self._apart(target)
        square = (_power(f) + STIFFNESS**2).reciprocal()
        along = (f * t).sum(1, keepdim=True)
        return high_pass(self._together((t - f * along * square) * square.sqrt(), plane.shape))

    def _apart(self, plane: Tensor) -> Tensor:
        height, width = plane.shape[-2:]
        padded = F.pad(plane, (BLOCK, BLOCK + -width % HOP, BLOCK, BLOCK + -height % HOP), mode="reflect")
        f = F.conv2d(F.pixel_unshuffle(padded, HOP), self.analysis)
        return torch.stack(f.chunk(2, 1), 1)

    def _together(self, f: Tensor, shape: torch.Size) -> Tensor:
        plane = F.pixel_shuffle(F.conv2d(f.flatten(1, 2), self.synthesis), HOP)
        return plane[..., HOP : HOP + shape[-2], HOP : HOP + shape[-1]]


def _power(f: Tensor) -> Tensor:
    return f.square().sum(1, keepdim=True)


def high_pass(plane: Tensor) -> Tensor:
    """Return the plane (B, 1, H, W) less the mean of its 3x3 neighbourhood."""
    return plane - F.avg_pool2d(F.pad(plane, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _bases() -> tuple[Tensor, Tensor]:
    """Return the kernels of both directions, (80, 16, 2, 2) and (16, 80, 2, 2): real parts first, then imaginary ones.

    A block is 2x2 squares of HOP x HOP cells, and each square lies in 2x2 blocks, so both are small convolutions over
    squares. ``synthesis`` counts twice the bins whose conjugates rfft2 omits.
    """
    n = np.arange(BLOCK)
    turns = np.outer(n, n)[:, None, :, None] + np.outer(n[:BINS], n)[None, :, None, :]
    waves = np.exp(-2j * np.pi / BLOCK * turns) * np.outer(WINDOW, WINDOW)
    both = np.stack([waves.real, waves.imag]).reshape(2, BLOCK, BINS, BLOCK, BLOCK)
    twice = np.where((n[:BINS] == 0) | (n[:BINS] == BLOCK // 2), 1, 2)[None, None, :, None, None]
    # Axes: part and bin, row of squares, row in the square, column of squares, column in the square.
    squares = both.reshape(-1, 2, HOP, 2, HOP)
    analysis = squares.transpose(0, 2, 4, 1, 3).reshape(-1, HOP**2, 2, 2)
    doubled = (both * twice).reshape(squares.shape)[:, ::-1, :, ::-1] / BLOCK**2
    synthesis = doubled.transpose(2, 4, 0, 1, 3).reshape(HOP**2, -1, 2, 2)
    return torch.from_numpy(analysis).float(), torch.from_numpy(synthesis.copy()).float()
