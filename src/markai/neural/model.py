"""The two networks: one writes a tile into a plane of cells, the other tells the mark in a plane from its host.

Both are fully convolutional over planes of mean luma (B, 1, H, W) in grey levels, H and W multiples of 16, and both
start from the hand-made mark: :class:`Embedder` from what ``dwt-dct`` would add, :class:`Extractor` from the levelled
plane (``_kernels.whiten``). Their last layers start at zero, so that an untrained pair is ``dwt-dct``; training can
only move away from there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from markai.neural import scales
from markai.watermarks.tensors.blocks import Blocks
from markai.watermarks.tensors.planes import energy_when_widened


@dataclass(frozen=True, slots=True)
class Size:
    """Channels at half, quarter and eighth resolution, and how many blocks the reader has there."""

    writer: tuple[int, int, int]
    reader: tuple[int, int, int]
    depths: tuple[int, int, int]


SIZES = {
    "tiny": Size((8, 16, 32), (16, 24, 32), (1, 1, 1)),
    "small": Size((16, 32, 64), (24, 48, 96), (1, 2, 2)),
    "base": Size((24, 48, 96), (32, 64, 128), (2, 3, 4)),
}


def widened_energy(change: Tensor) -> Tensor:
    """Return the (B, 1, 1, 1) energy of planes as they will be in pixels; never 0."""
    return energy_when_widened(change).clamp_min(scales.LEAST_ENERGY)


def fitted(change: Tensor, start: Tensor, limit: Tensor) -> Tensor:
    """Scale changes (B, 1, H, W) as :func:`markai.neural.scales.fitted` does."""
    scaled: Tensor = scales.fitted(torch, change, start, limit, widened_energy)
    return scaled


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.second(F.gelu(self.first(x))))


class _ConvNeXt(nn.Module):
    """A block of Liu et al., "A ConvNet for the 2020s" (2022), without the layer scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.wide = nn.Conv2d(channels, 4 * channels, 1)
        self.narrow = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.narrow(F.gelu(self.wide(self.norm(self.spatial(x))))))


class _UNet(nn.Module):
    """Three resolutions from half downwards; (B, inputs, H, W) to (B, outputs, H, W), zero before training."""

    def __init__(self, inputs: int, outputs: int, channels: tuple[int, int, int], levels: list[nn.Module]) -> None:
        super().__init__()
        one, two, three = channels
        self.stem = nn.Conv2d(4 * inputs, one, 3, padding=1)
        self.fine, self.middle, self.coarse = levels
        self.down1, self.down2 = nn.Conv2d(one, two, 2, 2), nn.Conv2d(two, three, 2, 2)
        self.up2, self.up1 = nn.Conv2d(three, 4 * two, 1), nn.Conv2d(two, 4 * one, 1)
        self.join2, self.join1 = _Residual(two), _Residual(one)
        self.head = nn.Conv2d(one, 4 * outputs, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        one = self.fine(self.stem(F.pixel_unshuffle(x, 2)))
        two = self.middle(self.down1(one))
        three = self.coarse(self.down2(two))
        two = self.join2(two + F.pixel_shuffle(self.up2(three), 2))
        one = self.join1(one + F.pixel_shuffle(self.up1(two), 2))
        return F.pixel_shuffle(self.head(one), 2)


class Embedder(nn.Module):
    """What to add to a plane instead of what the hand-made writer would, at the same energy."""

    def __init__(self, size: str = "small") -> None:
        super().__init__()
        channels = SIZES[size].writer
        self.network = _UNet(4, 2, channels, [_Residual(each) for each in channels])

    def forward(self, plane: Tensor, start: Tensor, pattern: Tensor, allowed: Tensor, limit: Tensor) -> Tensor:
        """Return the change (B, 1, H, W) in grey levels.

        ``start`` is what ``dwt-dct`` adds, ``pattern`` (rms 1) the tile that all of it stands for, ``allowed`` how
        much hides in each cell (relative) and ``limit`` the most that each may change, in grey levels.
        """
        inputs = torch.cat(scales.writer_inputs(plane, start, pattern, allowed), 1)
        gain, more = self.network(inputs).float().chunk(2, 1)
        return fitted(scales.written(torch, start, allowed, gain, more), start, limit)


class Extractor(nn.Module):
    """The pattern that a plane seems to carry (B, 1, H, W), large where that is sure."""

    def __init__(self, size: str = "small") -> None:
        super().__init__()
        channels = SIZES[size].reader
        self.blocks = Blocks()
        # At half resolution two 3x3 convolutions cost a tenth of a ConvNeXt block's time on a CPU.
        kinds: list[type[nn.Module]] = [_Residual, _ConvNeXt, _ConvNeXt]
        levels: list[nn.Module] = [
            nn.Sequential(*(kind(width) for _ in range(depth)))
            for kind, width, depth in zip(kinds, channels, SIZES[size].depths, strict=True)
        ]
        self.network = _UNet(2, 2, channels, levels)

    def forward(self, plane: Tensor) -> Tensor:
        with torch.autocast(plane.device.type, enabled=False):
            level = self.blocks.level(plane)
        gain, more = self.network(torch.cat(scales.reader_inputs(plane, level), 1)).float().chunk(2, 1)
        seen: Tensor = scales.levelled(torch, level, gain, more)
        return seen


class Pair(nn.Module):
    """Both networks of one size, as they are trained, saved and used together.

    >>> pair = Pair("tiny")
    >>> plane, start, ones = torch.rand(1, 1, 64, 64) * 255, torch.randn(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    >>> change = pair.embedder(plane, start, start, ones, 9 * ones)
    >>> bool((change == start).all()), pair.extractor(plane + change).shape
    (True, torch.Size([1, 1, 64, 64]))
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        self.embedder = Embedder(size)
        self.extractor = Extractor(size)
