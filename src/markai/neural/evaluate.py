"""What a pair of networks achieves on pictures that it was not trained on, attack by attack, at one PSNR."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from markai.neural.augment import blurred
from markai.neural.jpeg import jpeg, rounded
from markai.neural.lattice import Lattice, energy, repeated
from markai.neural.model import Embedder, Extractor
from markai.neural.regenerate import Autoencoder
from markai.neural.warp import Warp

NEEDED = 229.0  # D^2 that an 8-byte payload needs (docs/dwt-dct.md)
BITS = 64  # the message in whose bits accuracy is counted
Planes = Callable[[Tensor], Tensor]


def _quality(luma: Tensor, quality: float) -> Tensor:
    return jpeg(luma, torch.full((len(luma),), quality, device=luma.device))


def _blur(luma: Tensor, sigma: float) -> Tensor:
    return blurred(luma, torch.full((len(luma),), sigma, device=luma.device))


def _noise(luma: Tensor, deviation: float) -> Tensor:
    generator = torch.Generator(luma.device).manual_seed(1)
    return luma + 255 * deviation * torch.randn(luma.shape, generator=generator, device=luma.device)


def _shrunk(luma: Tensor, scale: float, quality: float) -> Tensor:
    size = [round(side * scale) for side in luma.shape[2:]]
    small = F.interpolate(luma, size, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(_quality(small, quality), luma.shape[2:], mode="bicubic", align_corners=False)


def _pasted(luma: Tensor, share: float) -> Tensor:
    side = round(luma.shape[2] * share**0.5)
    page = luma.roll(1, 0).flip(3).clone()
    page[..., 24 : 24 + side, 24 : 24 + side] = luma[..., 24 : 24 + side, 24 : 24 + side]
    return page


def _erased(luma: Tensor) -> Tensor:
    page = luma.clone()
    page[..., 40 : 40 + luma.shape[2] // 2, 40 : 40 + luma.shape[3] // 2] = 128
    return page


ATTACKS: dict[str, Planes] = {
    "none": lambda luma: luma,
    "jpeg:50": lambda luma: _quality(luma, 50),
    "jpeg:30": lambda luma: _quality(luma, 30),
    "jpeg:10": lambda luma: _quality(luma, 10),
    "blur:1": lambda luma: _blur(luma, 1.0),
    "blur:2": lambda luma: _blur(luma, 2.0),
    "noise:0.05": lambda luma: _noise(luma, 0.05),
    "resize:0.5+jpeg:50": lambda luma: _shrunk(luma, 0.5, 50),
    "brightness:1.5": lambda luma: luma * 1.5,
    "erase:0.25": _erased,
    "splice:0.2": lambda luma: _pasted(luma, 0.2),
}


def _warps(batch: int, device: torch.device) -> dict[str, Warp]:
    """Known geometry: what is lost by resampling alone, the search apart."""
    cosine, sine = 0.99619, 0.08716  # 5 degrees
    turn = [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]
    tilt = [[1.0, 0.05, 0.0], [0.0, 1.05, 0.0], [0.1, 0.05, 1.0]]
    matrices = {"rotate:5": turn, "perspective:0.1": tilt}
    return {name: Warp(torch.tensor(m, device=device).expand(batch, 3, 3)) for name, m in matrices.items()}


@torch.no_grad()
def evaluate(
    embedder: Embedder,
    extractor: Extractor,
    planes: Tensor,
    psnr: float = 42.0,
    autoencoder: Autoencoder | None = None,
    batch: int = 16,
) -> dict[str, Any]:
    """Return {"psnr", "ssim", "attacks": {name: {"accuracy", "energy", "readable", "presence"}}} over (N, 1, H, W).

    ``accuracy`` is that of 64 bits repeated in the coded ones, ``energy`` the median D^2, ``readable`` the share of
    pictures with enough of it for 8 bytes, ``presence`` the median T. Messages are drawn by a fixed seed.
    """
    device = planes.device
    lattice, generator = Lattice().to(device), torch.Generator(device).manual_seed(2)
    rows: dict[str, list[Tensor]] = {}
    seen_quality = []
    for part in planes.split(batch):
        message = lattice.draw(len(part), generator)
        pattern = lattice.plane(message.signs, embedder.loudness, (part.shape[2], part.shape[3]))
        change = embedder(part, pattern, 255 / 10 ** (psnr / 20))
        marked = rounded(part + change).clamp(0, 255)
        seen_quality.append(torch.stack([_psnr(part, marked), ssim(part, marked)]))
        outcomes: dict[str, Tensor] = {name: extractor(_whole(attack(marked))) for name, attack in ATTACKS.items()}
        if autoencoder is not None:
            for noise in (0.0, 0.2):
                outcomes[f"own-regeneration:{noise}"] = extractor(_whole(autoencoder(marked, noise, generator)))
        for name, warp in _warps(len(part), device).items():
            outcomes[name] = warp.back(extractor(_whole(warp(marked, "reflection"))))
        for name, plane in outcomes.items():
            seen = lattice.read(plane)
            soft = lattice.soft_bits(seen, message)
            right = (repeated(soft, message.bits, BITS) > 0).float().mean(1)
            rows.setdefault(name, []).append(
                torch.stack([right, energy(soft, message.bits), lattice.presence(seen, message)])
            )
    quality = torch.cat(seen_quality, 1).mean(1)
    return {
        "pictures": len(planes),
        "psnr": round(float(quality[0]), 2),
        "ssim": round(float(quality[1]), 4),
        "attacks": {name: _row(torch.cat(values, 1)) for name, values in rows.items()},
    }


def _row(values: Tensor) -> dict[str, float]:
    right, power, presence = values
    return {
        "accuracy": round(float(right.mean()), 4),
        "energy": round(float(power.median()), 1),
        "readable": round(float((power >= NEEDED).float().mean()), 3),
        "presence": round(float(presence.median()), 2),
    }


def _whole(luma: Tensor) -> Tensor:
    return luma.clamp(0, 255).round()


def _psnr(first: Tensor, second: Tensor) -> Tensor:
    return 10 * torch.log10(255**2 / (first - second).square().mean((1, 2, 3)).clamp_min(1e-9))


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the (B,) structural similarity (Wang et al. 2004) of planes in grey levels, over 7x7 means.

    >>> plane = torch.rand(2, 1, 32, 32) * 255
    >>> [round(float(value), 3) for value in ssim(plane, plane)]
    [1.0, 1.0]
    """
    stack = torch.cat([first, second, first * first, second * second, first * second], 1)
    a, b, aa, bb, ab = F.avg_pool2d(stack, 7, 1).unbind(1)
    variance = (aa - a * a) + (bb - b * b)
    share = (2 * a * b + 6.5025) * (2 * (ab - a * b) + 58.5225)
    return (share / ((a * a + b * b + 6.5025) * (variance + 58.5225))).mean((1, 2))
