"""Rotation, scale, crop, mirror and perspective of a batch as one resampling, and the way back."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Warp:
    """A homography per picture: ``matrix`` (B, 3, 3) takes a place in the result to its place in the source.

    Coordinates are -1..1 across the picture.
    """

    matrix: Tensor

    def __call__(self, plane: Tensor, padding: str = "zeros") -> Tensor:
        """Return the plane (B, 1, H, W) resampled, of the same size."""
        b, _, h, w = plane.shape
        y = (torch.arange(h, device=plane.device) + 0.5) * (2 / h) - 1
        x = (torch.arange(w, device=plane.device) + 0.5) * (2 / w) - 1
        ones = torch.ones(h, w, device=plane.device)
        places = torch.stack([x.expand(h, w), y[:, None].expand(h, w), ones], -1).reshape(-1, 3)
        moved = places @ self.matrix.transpose(1, 2)
        grid = moved[..., :2] / moved[..., 2:].clamp_min(0.1)
        return F.grid_sample(plane.float(), grid.view(b, h, w, 2), padding_mode=padding, align_corners=False)

    @property
    def back(self) -> "Warp":
        """The inverse; what the warp cut off comes back as zeros."""
        return Warp(torch.linalg.inv_ex(self.matrix)[0])

    def undone(self, plane: Tensor) -> tuple[Tensor, Tensor]:
        """Return the plane brought back, the mean where it was cut off, and (B, 1, H, W) which cells are there."""
        mean = plane.mean((1, 2, 3), keepdim=True)
        inside = (self.back(torch.ones_like(plane)) > 0.99).float()
        return self.back(plane - mean) + mean, inside


def draw(batch: int, strength: float, generator: torch.Generator) -> Warp:
    """Draw mild and hard warps: up to +-15 degrees, 0.6 to 1.4 times in scale, 0.3 of perspective, half mirrored.

    ``strength`` (0 to 1) scales the ranges.

    >>> warp = draw(3, 0.0, torch.Generator().manual_seed(1))
    >>> plane = torch.rand(3, 1, 64, 64)
    >>> bool(((warp.back(warp(plane)) - plane).abs() < 1e-4).all())
    True
    """
    device = generator.device

    def spread(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator, device=device) * 2 - 1

    angle = spread() * (0.26 * strength)
    zoom = torch.exp(spread() * (0.35 * strength))
    aspect = torch.exp(spread() * (0.1 * strength))
    mirror = torch.sign(spread())
    matrix = torch.zeros(batch, 3, 3, device=device)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * zoom * aspect * mirror, -angle.sin() * zoom
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() * zoom * mirror, angle.cos() * zoom / aspect
    matrix[:, :2, 2] = spread(2) * (0.25 * strength)
    matrix[:, 2, :2] = spread(2) * (0.12 * strength)
    matrix[:, 2, 2] = 1
    return Warp(matrix)
