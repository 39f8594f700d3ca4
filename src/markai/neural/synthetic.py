"""Pictures made on the device while training: what photographs do not show a network, screens and pages above all.

Each maker takes (batch, side, generator) and returns luma (B, 1, side, side) in grey levels, differently per picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

DISCS = 48


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _grid(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    at = (torch.arange(side, device=device) + 0.5) / side
    return at[:, None], at


def clouds(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Noise with a spectrum of 1 / f^a, a from 0.6 to 1.6."""
    white = torch.fft.rfft2(torch.randn(batch, side, side, generator=generator, device=generator.device))
    fy: Tensor = torch.fft.fftfreq(side, device=generator.device)[:, None]
    radius = torch.hypot(fy, torch.fft.rfftfreq(side, device=generator.device)).clamp_min(1 / side)
    slope = 0.6 + _uniform(generator, batch, 1, 1)
    plane = torch.fft.irfft2(white * radius**-slope)
    plane = plane * plane.square().mean((1, 2), keepdim=True).rsqrt()
    contrast = 10 + 50 * _uniform(generator, batch, 1, 1)
    return torch.add(128, contrast * plane)[:, None]


def gradients(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Flat, or a linear ramp."""
    y, x = _grid(side, generator.device)
    level, down, right = (_uniform(generator, batch, 1, 1) for _ in range(3))
    return (255 * level + (down - 0.5) * 300 * (y - 0.5) + (right - 0.5) * 300 * (x - 0.5))[:, None]


def leaves(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Dead leaves (Lee, Mumford and Huang 2001): discs of all sizes over each other."""
    y, x = _grid(side, generator.device)
    picture = 255 * _uniform(generator, batch, 1, 1).expand(batch, side, side)
    for _ in range(DISCS):
        cy, cx, size, level = (_uniform(generator, batch, 1, 1) for _ in range(4))
        inside = (y - cy).square() + (x - cx).square() < (0.02 / (0.05 + size)).square()
        picture = torch.where(inside, 255 * level, picture)
    return picture[:, None]


def screens(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Rectangles in few greys, as user interfaces have."""
    y, x = _grid(side, generator.device)
    picture = 200 + 55 * _uniform(generator, batch, 1, 1).expand(batch, side, side)
    for _ in range(12):
        top, left, tall, wide, level = (_uniform(generator, batch, 1, 1) for _ in range(5))
        inside = (y > top) & (y < top + 0.5 * tall) & (x > left) & (x < left + 0.5 * wide)
        picture = torch.where(inside, 255 * (level * 6).round() / 6, picture)
    return picture[:, None]


def pages(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Text, nearly: rows of narrow random bars, dark on light or the reverse."""
    rows = side // 4
    ink = (_uniform(generator, batch, 1, rows, side // 2) > 0.5).float()
    lines = (torch.arange(rows, device=generator.device) % 3 > 0).float()[:, None]
    bars = F.interpolate(ink * lines, (side, side), mode="nearest")
    paper, contrast = (_uniform(generator, batch, 1, 1, 1) for _ in range(2))
    return 255 * torch.lerp(paper, 1 - paper, bars * contrast)


MAKERS: tuple[Callable[[int, int, torch.Generator], Tensor], ...] = (clouds, gradients, leaves, screens, pages)


def pictures(batch: int, side: int, generator: torch.Generator, maker: int) -> Tensor:
    """Return luma (B, 1, side, side), 0..255, of the ``maker``-th kind (any integer).

    >>> pictures(2, 64, torch.Generator().manual_seed(1), 2).shape
    torch.Size([2, 1, 64, 64])
    """
    return MAKERS[maker % len(MAKERS)](batch, side, generator).clamp(0, 255)
