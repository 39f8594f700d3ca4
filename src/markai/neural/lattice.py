"""The tile as tensors: signs into a plane that can be added, a plane into soft bits, both differentiable.

The lattice, its rings and the number of coded bits are those of ``watermarks.carriers``; who owns what is a key's
(:mod:`markai.neural.starts`). A batch is of one key, and training takes dozens in turn: nothing about one is worth
learning.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from markai.payload import CODE_BITS
from markai.watermarks.carriers import RING, RINGS, TILE
from markai.watermarks.informed import RING_PATTERN
from markai.watermarks.sync import MAGNITUDE_LIMIT
from markai.watermarks.tensors.tiles import spectrum
from markai.watermarks.tiles import AT


@dataclass(frozen=True, slots=True)
class Message:
    """What a batch carries: ``signs`` (B, POINTS, 2) of +-1 and who owns each real part.

    ``bits`` (B, CODE_BITS) of +-1 are the coded bits, ``symbol`` (POINTS, 2) the bit that each part repeats (with a
    keyed sign, which is in ``signs``), ``data`` (POINTS,) is 1 for payload and 0 for pilots. ``keyed`` (B, POINTS, 2)
    are the signs less the bits: what the detector knows.
    """

    signs: Tensor
    bits: Tensor
    keyed: Tensor
    symbol: Tensor
    data: Tensor


class Lattice(nn.Module):
    """Both directions between signs on the lattice and planes of cells; sizes are multiples of TILE.

    >>> lattice = Lattice()
    >>> signs = torch.randn(2, len(RING), 2, generator=torch.Generator().manual_seed(1)).sign()
    >>> plane = lattice.plane(signs, torch.ones(RINGS), (128, 128))
    >>> plane.shape, round(float(plane.std()), 2)
    (torch.Size([2, 1, 128, 128]), 1.0)
    >>> bool((lattice.read(plane) * signs > 0).all())
    True
    """

    ring: Tensor
    number: Tensor
    at: Tensor
    tilt: Tensor

    def __init__(self) -> None:
        super().__init__()
        ring = F.one_hot(torch.from_numpy(RING), RINGS).float()
        self.register_buffer("ring", ring, persistent=False)
        self.register_buffer("number", ring.sum(0), persistent=False)
        self.register_buffer("tilt", torch.from_numpy(RING_PATTERN), persistent=False)
        self.register_buffer("at", torch.from_numpy(AT), persistent=False)

    def plane(self, signs: Tensor, loudness: Tensor, size: tuple[int, int]) -> Tensor:
        """Return (B, 1, *size): the tile of (B, POINTS, 2) signs, ring r ``loudness[r]`` (RINGS,) loud, rms 1."""
        parts = signs * (self.ring @ loudness)[:, None]
        waves = torch.view_as_complex(parts.float().contiguous())
        grid = waves.new_zeros(len(signs), TILE * (TILE // 2 + 1)).index_copy(1, self.at, waves)
        tile = torch.fft.irfft2(grid.view(-1, TILE, TILE // 2 + 1))
        tile = torch.mul(tile, tile.square().mean((1, 2), keepdim=True).rsqrt())
        return tile[:, None].repeat(1, 1, size[0] // TILE, size[1] // TILE)

    def read(self, plane: Tensor) -> Tensor:
        """Return the (B, POINTS, 2) coefficients of a plane (B, 1, H, W), levelled by ring as in ``sync``."""
        raw = torch.view_as_real(spectrum(plane.float()))
        power = self._by_ring(raw.square().sum(2)) / self.number
        level: Tensor = raw * ((power + 1e-12).rsqrt() @ self.ring.T)[..., None]
        size = level.square().sum(2, keepdim=True).add(1e-9).sqrt()
        return level * (MAGNITUDE_LIMIT / size).clamp_max(1)

    def soft_bits(self, seen: Tensor, message: Message, *, told: bool = False) -> Tensor:
        """Return the (B, CODE_BITS) log-likelihood ratios, positive for +1: ``sync.soft_bits`` in tensors.

        The pilots tell how much each ring counts. ``told`` also uses the bits for that, as training may: the fifth of
        the points that are pilots would make its loss noisy. No gradient flows through these weights.
        """
        agreement = seen * message.keyed
        known, right = (torch.ones_like(message.data), seen * message.signs) if told else (1 - message.data, agreement)
        weight = self._weights(seen.detach(), right.detach().sum(2), known)
        parts = agreement * (weight @ self.ring.T)[..., None] * message.data[:, None]
        zeros = parts.new_zeros(len(parts), CODE_BITS)
        return zeros.index_add(1, message.symbol.reshape(-1), parts.flatten(1))

    def presence(self, seen: Tensor, message: Message) -> Tensor:
        """Return (B,): the pilots' T = sum x s / sqrt(sum x^2), which under a wrong key has mean 0 and variance 1."""
        pilot = (seen * message.keyed).flatten(1) * (1 - message.data).repeat_interleave(2)
        return pilot.sum(1) / pilot.square().sum(1).add(1e-12).sqrt()

    def _by_ring(self, points: Tensor) -> Tensor:
        sums: Tensor = points @ self.ring
        return sums

    def _weights(self, seen: Tensor, right: Tensor, known: Tensor) -> Tensor:
        # Gain per real part at the known points, over the variance of what is left.
        gain = _smoothed(self._by_ring(right * known)) / (2 * _smoothed(self._by_ring(known[None]))).clamp_min(1)
        gain = gain.clamp_min(0.01)
        power = self._by_ring(seen.square().sum(2)) / (2 * self.number)
        return 2 * gain / (power - gain.square()).maximum(0.1 * power + 1e-6)


def _smoothed(rings: Tensor) -> Tensor:
    padded = F.pad(rings[:, None], (1, 1), mode="replicate")[:, 0]
    return padded[:, :-2] / 4 + padded[:, 1:-1] / 2 + padded[:, 2:] / 4


def energy(soft: Tensor, bits: Tensor) -> Tensor:
    """Return (B,) D^2: the detection energy of all soft bits together, whatever their common scale."""
    right = soft * bits
    return right.shape[1] * right.mean(1).clamp_min(0).square() / right.var(1).clamp_min(1e-12)


def repeated(soft: Tensor, bits: Tensor, number: int) -> Tensor:
    """Return (B, number) margins, positive where right, of a message of ``number`` bits that repeats in the coded ones.

    The unit in which marks of 32 to 256 bits are compared: coded bits are many and weak.
    """
    return (soft * bits).reshape(len(soft), -1, number).sum(1)
