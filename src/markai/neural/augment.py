"""What happens to marked planes in training: random attacks on a batch, on its device, differentiable.

Pictures are luma (B, 1, H, W) in grey levels. Every attack takes (luma, strength, draw) with a strength of 0 to 1 that
the training paces, draws one value per picture from the device's generator and never looks at the host, so that the
GPU never waits. Which attacks a part of the batch gets is decided on the host by a seeded generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from markai.neural import warp
from markai.neural.jpeg import jpeg, rounded
from markai.neural.regenerate import Autoencoder
from markai.neural.warp import Warp


@dataclass(frozen=True, slots=True)
class Draw:
    """The random choices of one training step, on the device and on the host, and what attacks need besides.

    ``unmarked`` (B, 1, H, W) is what marked pictures are pasted into.
    """

    device: torch.Generator
    host: np.random.Generator
    unmarked: Tensor
    autoencoder: Autoencoder | None = None

    def uniform(self, luma: Tensor, low: float, high: float) -> Tensor:
        """Return (B,) values between two bounds."""
        return low + (high - low) * torch.rand(len(luma), generator=self.device, device=luma.device)

    def noise(self, luma: Tensor) -> Tensor:
        """Return standard normal noise of the shape of ``luma``."""
        return torch.randn(luma.shape, generator=self.device, device=luma.device)


Attack = Callable[[Tensor, float, Draw], Tensor]


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


HARD_JPEG = 0.4  # share of pictures whose quality is below 30: there the mark is lost first


def compress(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """JPEG, quality 95 down to 8; the blocks start anywhere."""
    down, right = (int(offset) for offset in draw.host.integers(0, 8, 2))
    moved = torch.roll(luma, (down, right), (2, 3))
    low, any_of_them = draw.uniform(luma, 30 - 22 * strength, 30), draw.uniform(luma, 95 - 85 * strength, 95)
    quality = torch.where(draw.uniform(luma, 0, 1) < HARD_JPEG, low, any_of_them)
    return torch.roll(jpeg(moved, quality), (-down, -right), (2, 3))


def blurred(luma: Tensor, sigma: Tensor) -> Tensor:
    """Return luma under Gaussians of the given standard deviations (B,), in cells, up to 4."""
    reach = 12
    at = torch.arange(-reach, reach + 1, device=luma.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma[:, None].clamp_min(0.05)) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    padded = F.pad(luma.transpose(0, 1), (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, kernel[:, None, :, None], groups=len(luma))
    return F.conv2d(rows, kernel[:, None, None, :], groups=len(luma)).transpose(0, 1)


def blur(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Gaussian blur, sigma up to 4 pixels."""
    return blurred(luma, draw.uniform(luma, 0.3, 0.3 + 3.7 * strength))


def noise(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Gaussian noise, standard deviation up to 0.1 of the range."""
    return luma + _each(draw.uniform(luma, 0.0, 25.5 * strength)) * draw.noise(luma)


def tone(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Contrast 0.5 to 2 and brightness 0.6 to 1.7, then gamma 0.7 to 1.4, clipped between."""
    contrast = torch.exp(draw.uniform(luma, -0.69, 0.69) * strength)
    brightness = torch.exp(draw.uniform(luma, -0.5, 0.53) * strength)
    gamma = torch.exp(draw.uniform(luma, -0.35, 0.35) * strength)
    mean = luma.mean((2, 3), keepdim=True)
    changed = ((luma - mean) * _each(contrast) + mean) * _each(brightness)
    return 255 * (changed.clamp(1, 255) / 255) ** _each(gamma)


def median(luma: Tensor, _strength: float, _draw: Draw) -> Tensor:
    """Median of 3x3 cells."""
    padded = F.pad(luma, (1, 1, 1, 1), mode="reflect")
    near = F.unfold(padded, 3).view(len(luma), 9, *luma.shape[2:])
    return near.median(1, keepdim=True).values


def resize(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Shrunk with antialiasing, to 1 down to 0.3 of the size, and enlarged again."""
    scale = 1 - 0.7 * strength * float(draw.host.random())
    smaller = [max(8, round(side * scale)) for side in luma.shape[2:]]
    shrunk = F.interpolate(luma, smaller, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(rounded(shrunk), luma.shape[2:], mode="bicubic", align_corners=False)


def sharpen(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Unsharp mask, up to 1.5 times what a blur of one cell takes away."""
    soft = blurred(luma, torch.ones(len(luma), device=luma.device))
    return luma + _each(draw.uniform(luma, 0.0, 1.5 * strength)) * (luma - soft)


def _windows(luma: Tensor, share: Tensor, draw: Draw) -> Tensor:
    """Return (B, 1, H, W), 1 inside one random window of each picture that takes ``share`` (B,) of its area."""
    h, w = luma.shape[2:]
    side = share.clamp(0, 1).sqrt()
    top, left = (draw.uniform(luma, 0, 1) * (1 - side) for _ in range(2))
    y = (torch.arange(h, device=luma.device) + 0.5) / h
    x = (torch.arange(w, device=luma.device) + 0.5) / w
    rows = (y > top[:, None]) & (y < (top + side)[:, None])
    columns = (x > left[:, None]) & (x < (left + side)[:, None])
    return (rows[:, None, :, None] & columns[:, None, None, :]).float()


def erase(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """A window of up to 40 % of the area in one grey."""
    window = _windows(luma, draw.uniform(luma, 0.0, 0.4 * strength), draw)
    return torch.lerp(luma, _each(draw.uniform(luma, 0, 255)).expand_as(luma), window)


def splice(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """All but a window, which keeps 1 down to 0.2 of the area, comes from an unmarked picture."""
    window = _windows(luma, draw.uniform(luma, 1 - 0.8 * strength, 1.0), draw)
    page = draw.unmarked.roll(1 + int(draw.host.integers(len(draw.unmarked))), 0)[: len(luma)]
    return torch.lerp(F.interpolate(page, luma.shape[2:], mode="nearest"), luma, window)


def overlay(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Letters, nearly: a band of random bars in one grey over up to a quarter of the picture."""
    band = _windows(luma, draw.uniform(luma, 0.0, 0.5 * strength), draw)
    coarse = torch.rand(len(luma), 1, 24, 48, generator=draw.device, device=luma.device)
    bars = F.interpolate((coarse > 0.55).float(), luma.shape[2:], mode="nearest")
    return torch.lerp(luma, _each(draw.uniform(luma, 0, 255)).expand_as(luma), band * bars)


def regenerate(luma: Tensor, strength: float, draw: Draw) -> Tensor:
    """Through the frozen autoencoder with latent noise; blurred where there is none."""
    if draw.autoencoder is None:
        return blur(luma, strength, draw)
    through: Tensor = draw.autoencoder(luma, _each(draw.uniform(luma, 0.0, 0.4 * strength)), draw.device)
    return through


def nothing(luma: Tensor, _strength: float, _draw: Draw) -> Tensor:
    """The picture as it is."""
    return luma


# With how often each is drawn; regeneration and JPEG count most because the mark exists for them.
ATTACKS: dict[Attack, float] = {
    nothing: 1.0,
    compress: 3.0,
    blur: 1.0,
    noise: 1.0,
    tone: 1.0,
    median: 0.5,
    resize: 1.5,
    sharpen: 0.3,
    erase: 0.7,
    splice: 0.9,
    overlay: 0.7,
    regenerate: 2.5,
}
CHANCE = np.array(list(ATTACKS.values())) / sum(ATTACKS.values())


LARGER = 0.85  # share of parts that are attacked with two pixels per cell, as marked pictures have at least


def attacked(luma: Tensor, strength: float, draw: Draw, parts: int = 4, geometry: float = 0.5) -> tuple[Tensor, Warp]:
    """Return the batch after random attacks, in whole grey levels, and the warp that it went through.

    The batch is cut into ``parts``. A share ``geometry`` of them is warped, the others go through the identity; then
    each gets one attack and half of them (as ``strength`` grows) JPEG on top.
    """
    turned = draw.host.random(parts) < geometry * min(1.0, 2 * strength)
    warped = Warp(warp.draw(len(luma), strength, draw.device).matrix)
    changed, matrices = [], []
    for part, matrix, turn in zip(luma.chunk(parts), warped.matrix.chunk(parts), turned, strict=False):
        own = Warp(matrix if turn else torch.eye(3, device=luma.device).expand_as(matrix))
        changed.append(_worn(own(part, "reflection") if turn else part, strength, draw))
        matrices.append(own.matrix)
    return rounded(torch.cat(changed).clamp(0, 255)), Warp(torch.cat(matrices))


def _worn(part: Tensor, strength: float, draw: Draw) -> Tensor:
    larger = draw.host.random() < LARGER
    if larger:
        part = F.interpolate(part, scale_factor=2, mode="bilinear", align_corners=False)
    part = list(ATTACKS)[draw.host.choice(len(ATTACKS), p=CHANCE)](part, strength, draw)
    if draw.host.random() < 0.5 * strength:
        part = compress(part.clamp(0, 255), 0.8 * strength, draw)
    return F.avg_pool2d(part, 2) if larger else part
