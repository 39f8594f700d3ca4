"""JPEG's luma channel as tensor arithmetic: the forward pass is exact, the backward pass ignores the rounding."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# ITU-T T.81, table K.1.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def rounded(x: Tensor) -> Tensor:
    """Round, with the gradient of the identity (the straight-through estimator, Bengio et al. 2013).

    >>> rounded(torch.tensor([0.4, 1.6])).tolist()
    [0.0, 2.0]
    """
    return x + (x.round() - x).detach()


def steps(quality: Tensor) -> Tensor:
    """Return the (B, 8, 8) quantisation steps for qualities (B,) of 1 to 100, as libjpeg scales its table.

    >>> steps(torch.tensor([50.0]))[0, 0, :4].tolist()
    [16.0, 11.0, 10.0, 16.0]
    """
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    table = torch.tensor(_LUMA, device=quality.device, dtype=torch.float32)
    return ((table * scale[:, None, None] + 50) / 100).floor().clamp(1, 255)


def jpeg(luma: Tensor, quality: Tensor) -> Tensor:
    """Return luma (B, 1, H, W), 0..255, after JPEG at qualities (B,); rounded to whole grey levels."""
    b, _, h, w = luma.shape
    transform = _dct(luma.device)
    padded = F.pad(rounded(luma.float()), (0, -w % 8, 0, -h % 8), mode="replicate") - 128
    blocks = padded.reshape(b, padded.shape[2] // 8, 8, padded.shape[3] // 8, 8).transpose(2, 3)
    step = steps(quality)[:, None, None]
    coefficients = rounded(transform @ blocks @ transform.T / step) * step
    pixels = (transform.T @ coefficients @ transform).transpose(2, 3).reshape(padded.shape)
    return rounded(pixels + 128)[..., :h, :w].clamp(0, 255)


def _dct(device: torch.device) -> Tensor:
    n = torch.arange(8, device=device, dtype=torch.float32)
    waves = torch.cos(math.pi / 8 * (n + 0.5) * n[:, None]) / 2
    return torch.where(n[:, None] == 0, waves * math.sqrt(0.5), waves)
