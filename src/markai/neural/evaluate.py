"""What a pair of networks achieves on pictures that it was not trained on, attack by attack, at one PSNR."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from markai.neural.augment import blurred
from markai.neural.jpeg import jpeg, rounded
from markai.neural.lattice import Lattice, energy, repeated
from markai.neural.model import Pair
from markai.neural.regenerate import Autoencoder
from markai.neural.starts import Starts
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


def _pasted(luma: Tensor, page: Tensor, share: float) -> Tensor:
    side, start = round(luma.shape[2] * share**0.5), luma.shape[2] // 8
    window = (..., slice(start, start + side), slice(start, start + side))
    page = page.clone()
    page[window] = luma[window]
    return page


def _erased(luma: Tensor) -> Tensor:
    page = luma.clone()
    height, width = luma.shape[2:]
    page[..., height // 6 : height // 6 + height // 2, width // 6 : width // 6 + width // 2] = 128
    return page


ATTACKS: dict[str, Planes] = {
    "none": lambda luma: luma,
    "jpeg:50": lambda luma: _quality(luma, 50),
    "jpeg:30": lambda luma: _quality(luma, 30),
    "jpeg:10": lambda luma: _quality(luma, 10),
    "blur:2": lambda luma: _blur(luma, 2.0),
    "blur:4": lambda luma: _blur(luma, 4.0),
    "noise:0.05": lambda luma: _noise(luma, 0.05),
    "resize:0.5+jpeg:50": lambda luma: _shrunk(luma, 0.5, 50),
    "brightness:1.5": lambda luma: luma * 1.5,
    "erase:0.25": _erased,
}


def _warps(batch: int, device: torch.device) -> dict[str, Warp]:
    """Known geometry: what is lost by resampling alone, the search apart."""
    cosine, sine = 0.99619, 0.08716  # 5 degrees
    turn = [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]
    tilt = [[1.0, 0.05, 0.0], [0.0, 1.05, 0.0], [0.1, 0.05, 1.0]]
    matrices = {"rotate:5": turn, "perspective:0.1": tilt}
    return {name: Warp(torch.tensor(m, device=device).expand(batch, 3, 3)) for name, m in matrices.items()}


@dataclass(frozen=True, slots=True)
class Trial:
    """How pictures are worn: with cells of ``step`` pixels when attacked."""

    step: int = 2
    autoencoder: Autoencoder | None = None

    def outcomes(self, plane: Tensor, marked: Tensor, extractor: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each attack and what the extractor makes of the attacked planes."""
        larger = F.interpolate(marked, scale_factor=self.step, mode="bilinear") if self.step > 1 else marked
        yield "splice:0.2", extractor(_pasted(marked, plane.roll(1, 0), 0.2))
        generator = torch.Generator(marked.device).manual_seed(3)
        for name, attack in ATTACKS.items():
            yield name, extractor(self._cells(attack(larger)))
        if self.autoencoder is not None:
            for noise in (0.0, 0.2):
                yield f"own-regeneration:{noise}", extractor(self._cells(self.autoencoder(larger, noise, generator)))
        for name, warp in _warps(len(marked), marked.device).items():
            cells, inside = warp.undone(self._cells(warp(larger, "reflection")))
            yield name, extractor(cells) * inside

    def _cells(self, luma: Tensor) -> Tensor:
        return F.avg_pool2d(luma.clamp(0, 255).round(), self.step)


@torch.no_grad()
def evaluate(pair: Pair, starts: Starts, trial: Trial | None = None, batch: int = 16) -> dict[str, Any]:
    """Return {"pictures", "psnr", "ssim", "attacks": {name: row}} over planes of cells and their hand-made marks.

    A row holds "accuracy", that of 64 bits repeated in the coded ones; "energy", the median D^2; "readable", the share
    of pictures with enough of it for 8 bytes; "presence", the median T.
    """
    trial = trial or Trial()
    device = next(pair.parameters()).device
    lattice = Lattice().to(device)
    rows: dict[str, list[Tensor]] = {}
    likeness = []
    for index in torch.split(torch.arange(len(starts)), batch):
        part = starts.rows(index, device)
        plane, message = part.plane, part.message
        pattern = lattice.plane(message.signs, lattice.tilt, (plane.shape[2], plane.shape[3]))
        change = pair.embedder(plane, part.change, pattern, part.allowed, part.limit)
        marked = rounded(plane + change).clamp(0, 255)
        likeness.append(torch.stack([_psnr(plane, marked), ssim(plane, marked)]))
        for name, found in trial.outcomes(plane, marked, pair.extractor):
            seen = lattice.read(found)
            soft = lattice.soft_bits(seen, message)
            right = (repeated(soft, message.bits, BITS) > 0).float().mean(1)
            row = torch.stack([right, energy(soft, message.bits), lattice.presence(seen, message)])
            rows.setdefault(name, []).append(row)
    psnr, similar = torch.cat(likeness, 1).mean(1).tolist()
    attacks = {name: _row(torch.cat(values, 1)) for name, values in rows.items()}
    return {"pictures": len(starts), "psnr": round(psnr, 2), "ssim": round(similar, 4), "attacks": attacks}


def _row(values: Tensor) -> dict[str, float]:
    right, power, presence = values
    return {
        "accuracy": round(float(right.mean()), 4),
        "energy": round(float(power.median()), 1),
        "readable": round(float((power >= NEEDED).float().mean()), 3),
        "presence": round(float(presence.median()), 2),
    }


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
