"""The embedder for a batch of pictures of one size: ``watermarks.informed`` in tensors, round by round the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from markai.payload import CODE_BITS
from markai.watermarks.carriers import SYMBOLS
from markai.watermarks.informed import (
    COMFORTABLE,
    DARK,
    ENOUGH,
    FITS,
    FLAT_LIMIT,
    LIMIT_SLOPE,
    LOUDER,
    LOUDEST,
    NOMINAL,
    QUIETEST,
    ROUNDS,
    SHARE,
    SHARE_ALONE,
    SSIM_C1,
    SSIM_C2,
    SSIM_LOSS,
)
from markai.watermarks.tensors.blocks import Blocks
from markai.watermarks.tensors.foreseen import View, as_it_is
from markai.watermarks.tensors.planes import fit_change, least_neighbour, rms_when_widened, smooth
from markai.watermarks.tensors.tiles import Parts, Tiles, wishes


@lru_cache(maxsize=8)
def blocks_on(device: torch.device) -> Blocks:
    """Return the transforms, with their tables on a device."""
    return Blocks().to(device)


@dataclass(frozen=True, slots=True)
class Host:
    """Pictures as the embedder sees them: planes (B, 1, h, w), as in ``watermarks.informed.Host``."""

    cells: Tensor
    variance: Tensor
    allowed: Tensor
    limit: Tensor

    @classmethod
    def of(cls, cells: Tensor, spread: Tensor, opacity: Tensor | None = None) -> "Host":
        """Judge how much each cell hides: flat and black areas little, texture much, transparent ones none."""
        contrast = cells - smooth(cells, 8)
        variance = smooth(contrast * contrast, 4) + smooth(spread, 2)
        activity = variance.sqrt()
        hides = 0.9 + 0.22 * smooth(activity, 2).clamp_max(float(ENOUGH))
        light = ((cells * cells + DARK[0] ** 2) / (cells * cells + DARK[1] ** 2)).sqrt()
        allowed = hides * hides.sqrt() * light
        limit = FLAT_LIMIT + LIMIT_SLOPE * smooth(least_neighbour(activity), 2).clamp_max(float(ENOUGH))
        return cls(cells, variance, allowed if opacity is None else allowed * opacity, limit * light)

    def loss(self, added: Tensor) -> Tensor:
        """Predict the (B, 1, 1, 1) loss of SSIM by a residual."""
        mean = smooth(added, 1)
        energy = smooth((added - mean).square(), 1)
        contrast = energy / (2 * self.variance + energy + SSIM_C2)
        luminance = mean.square() / (2 * self.cells * (self.cells + mean.abs()) + mean.square() + SSIM_C1)
        return (contrast + luminance).mean((1, 2, 3), keepdim=True)


def residual(host: Host, tiles: Tiles, strength: float, foreseen: Sequence[View], pilot_gain: float) -> Tensor:
    """Return what to add to the cells, (B, 1, h, w) grey levels, for the detector to find what ``tiles`` hold.

    Nothing here waits for the device.
    """
    cells, lattice, blocks, batch = host.cells, tiles.lattice, blocks_on(host.cells.device), len(host.cells)
    tilt = lattice.tilt.expand(batch, -1)
    wished = cells.new_ones(batch, 1, SYMBOLS)
    wished[:, :, CODE_BITS:] = pilot_gain
    rms = cells.new_full((batch, 1, 1, 1), NOMINAL)
    added = _fitted(blocks.pull(cells, tiles.plane(wished, tilt)) * host.allowed, host, rms, strength)
    views = [View(as_it_is, COMFORTABLE), *foreseen]
    needs: dict[int, Tensor] = {}
    for turn in range(len(views) * (ROUNDS if foreseen else 1)):
        view = views[turn % len(views)]
        received, back = view.seen(cells + added)
        spectra = tiles.spectra(blocks.level(received))
        scale = lattice.ring_rms(spectra.sum(1))
        seen = tiles.symbols(spectra, scale)
        data, pilots = (wishes(each, tiles.parts) for each in seen.tensor_split([CODE_BITS], 2))
        energy = _energy(seen[:, :, :CODE_BITS], tiles.parts, tiles.parts.large if view is views[0] else 1)
        needs[turn % len(views)] = view.enough / (energy * (NOMINAL / rms).square() + 1e-3)
        rms = (NOMINAL * torch.stack([*needs.values()]).amax(0) ** LOUDER).clamp(QUIETEST, LOUDEST)
        target = tiles.plane(torch.cat([data, pilot_gain * pilots], 2), scale / scale.mean(1, keepdim=True) * tilt)
        better = back(blocks.pull(received, target)) * host.allowed
        added = _fitted(_mixed(added, better, SHARE if foreseen else SHARE_ALONE), host, rms, strength)
    return _quietened(added, host, strength)


def scaled(change: Tensor, host: Host, strength: float) -> Tensor:
    """Return changes of full strength at another one, within what the pictures leave room for."""
    return _quietened(
        fit_change(change, change.new_tensor(strength), host.cells, host.limit * strength), host, strength
    )


def _quietened(added: Tensor, host: Host, strength: float) -> Tensor:
    quieter = (SSIM_LOSS * strength**2 / host.loss(added).clamp_min(1e-9)).sqrt()
    return added * quieter.clamp_max(1)


def _energy(seen: Tensor, parts: Parts, count: int) -> Tensor:
    """Return the (B, 1, 1, 1) detection energy D^2 of the weakest of the first ``count`` parts."""
    sums = parts.member[:count] @ seen
    each = sums.mean(2).clamp_min(0).square() / sums.var(2, correction=0).clamp_min(1e-9)
    return torch.mul(each.amin(1)[:, None, None, None], CODE_BITS)


def _mixed(plane: Tensor, other: Tensor, share: float) -> Tensor:
    """Replace a share of the planes' amplitude by the others'; only the direction of the result counts."""
    ratio = share / (1 - share**2) ** 0.5 * rms_when_widened(plane) / rms_when_widened(other).clamp_min(1e-9)
    return torch.addcmul(plane, other, ratio)


def _fitted(added: Tensor, host: Host, rms: Tensor, strength: float) -> Tensor:
    """Scale to an rms (B, 1, 1, 1), within what black, white and the cells' limits leave room for."""
    limit = host.limit * strength
    for _ in range(FITS):  # what clipping takes away, the rest makes up for the next time
        added = fit_change(added, rms * strength / rms_when_widened(added).clamp_min(1e-9), host.cells, limit)
    return added
