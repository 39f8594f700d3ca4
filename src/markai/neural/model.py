"""The two networks: one writes a tile into a plane of cells, the other tells the mark in a plane from its host.

Both are fully convolutional over planes of mean luma (B, 1, H, W) in grey levels, H and W multiples of 16, and both
start from the hand-made mark: :class:`Embedder` from one step of informed embedding (``_kernels.pull``) where the
picture hides it, :class:`Extractor` from the levelled plane (``_kernels.whiten``). Their last layers start at zero,
so that an untrained pair marks and reads; training can only move away from there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from markai.neural.blocks import Blocks
from markai.neural.lattice import RING_RADIUS

GAIN = 4.0  # brings a levelled plane, whose rms is about 0.3, near one
PEAK = 1.6  # the largest change of a cell, in units of what the eye allows there
# Loudness before training falls with exp(-(radius / 12)^2), cycles per tile. Of the reaches tried, 12 holds JPEG 30
# best (D^2 of 444 with two pixels per cell, against 288 with a reach of 9).
REACH = 12.0


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


def just_noticeable(plane: Tensor) -> Tensor:
    """Return how many grey levels (B, 1, H, W) a change of a cell may have before the eye sees it.

    Luminance adaptation by the local mean L (Chou and Li 1995): 17 (1 - sqrt(L / 127)) + 3 up to 127, 3 / 128 (L - 127)
    + 3 above. Contrast masking by the gradient g (Wu et al. 2017): 0.117 * 16 g^2.4 / (g^2 + 26^2). The two overlap:
    the smaller counts 0.7 times.

    >>> [round(float(just_noticeable(torch.full((1, 1, 16, 16), level)).mean()), 1) for level in (0.0, 127.0, 255.0)]
    [20.0, 3.0, 6.0]
    """
    padded = F.pad(plane, (2, 2, 2, 2), mode="replicate")
    mean = F.avg_pool2d(padded, 5, 1)
    dark = 17 * (1 - (mean.clamp(1e-3, 127) / 127).sqrt()) + 3
    light = dark + 3 / 128 * (mean - 127).clamp_min(0)
    sobel = plane.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    slope = F.conv2d(padded[..., 1:-1, 1:-1], torch.stack([sobel, sobel.T])[:, None]).square().sum(1, keepdim=True)
    masking = 0.117 * 16 * (slope + 1e-6) ** 1.2 / (slope + 26**2)
    return light + masking - 0.3 * torch.minimum(light, masking)


def hiding(plane: Tensor) -> Tensor:
    """Return (B, 1, H, W) how loud the mark is where the picture is busy, against 1 where it is flat.

    With the local standard deviation to the power 1.5, as in ``watermarks.informed``: at 42 dB it keeps SSIM at 0.985,
    where the just noticeable difference alone gives 0.971.
    """
    contrast = plane - _mean(plane)
    activity = _mean(contrast * contrast).add(1e-6).sqrt()
    return torch.pow(1 + 0.24 * activity.clamp_max(25), 1.5)


def _mean(plane: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(plane, (3, 3, 3, 3), mode="replicate"), 7, 1)


def fitted(change: Tensor, allowed: Tensor, rms: Tensor | float) -> Tensor:
    """Scale a change to an rms in grey levels per picture, no cell above PEAK times what is ``allowed``.

    What the limit takes from some cells the others make up for, twice; a picture where little is allowed gets less.
    """
    limit = PEAK * allowed
    for _ in range(3):
        change = change * (rms * change.square().mean((1, 2, 3), keepdim=True).add(1e-8).rsqrt())
        change = limit * torch.tanh(change / limit)
    return change


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
    """What to add to a plane so that it carries a pattern.

    ``loudness`` (RINGS,) is how loud the pattern's rings are meant to be; it belongs to the weights because the
    pattern is drawn with it (:meth:`Lattice.plane`).
    """

    def __init__(self, size: str = "small") -> None:
        super().__init__()
        channels = SIZES[size].writer
        self.blocks = Blocks()
        self.tilt = nn.Parameter(-((torch.from_numpy(RING_RADIUS) / REACH) ** 2))
        self.network = _UNet(4, 2, channels, [_Residual(each) for each in channels])

    @property
    def loudness(self) -> Tensor:
        return self.tilt.exp()

    def forward(self, plane: Tensor, pattern: Tensor, rms: Tensor | float) -> Tensor:
        """Return the change (B, 1, H, W) in grey levels, of the given rms, that hides ``pattern`` (rms 1) in ``plane``.

        ``rms`` is 2.03 for 42 dB PSNR.
        """
        with torch.autocast(plane.device.type, enabled=False):
            start = self.blocks.pull(plane, pattern)
            start = start * start.square().mean((1, 2, 3), keepdim=True).add(1e-12).rsqrt()
            hides, allowed = hiding(plane), just_noticeable(plane)
        inputs = torch.cat([plane / 64 - 2, hides / 8, pattern, start], 1)
        gain, more = self.network(inputs).float().chunk(2, 1)
        return fitted(hides * (start * gain.clamp(-4, 4).exp() + more), allowed, rms)


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
            level = self.blocks.level(plane) * GAIN
        gain, more = self.network(torch.cat([plane / 64 - 2, level], 1)).float().chunk(2, 1)
        return torch.add(level * gain.clamp(-4, 4).exp(), more)


class Pair(nn.Module):
    """Both networks of one size, as they are trained, saved and used together.

    >>> pair = Pair("tiny")
    >>> plane, pattern = torch.rand(2, 1, 1, 64, 64)
    >>> pair.extractor(plane * 255 + pair.embedder(plane * 255, pattern, 2.0)).shape
    torch.Size([1, 1, 64, 64])
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        self.embedder = Embedder(size)
        self.extractor = Extractor(size)
