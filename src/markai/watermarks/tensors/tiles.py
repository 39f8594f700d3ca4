"""Planes of cells as tiles, and the key's symbols in each: ``watermarks.tiles`` for a batch of pictures of one size."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from markai.keys import Key
from markai.watermarks import tiles
from markai.watermarks.carriers import FX, FY, POINTS, RING, RING_STARTS, RINGS, SYMBOLS, TILE, carriers_for, phase
from markai.watermarks.form import DWT_DCT
from markai.watermarks.informed import RING_PATTERN, RING_TILT
from markai.watermarks.tiles import AT, FIRMNESS

HALF = TILE // 2 + 1
# At fx = 0 both a wave and its conjugate lie in the half plane. Of what is put at the wave, half goes to the other:
# libraries differ in what they make of a spectrum that no real tile has.
EDGE = np.flatnonzero(FX == 0)


class Lattice:
    """The lattice on a device, and what a key makes of it; ``symbol`` and ``direction`` as in ``Carriers``."""

    def __init__(self, key: Key, device: torch.device, method: str) -> None:
        carriers = carriers_for(key, method)
        self.symbol = torch.from_numpy(carriers.symbol).to(device)
        self.direction = torch.from_numpy(carriers.direction).to(device)
        sums = np.zeros((2 * POINTS, SYMBOLS), np.float32)
        sums[np.arange(2 * POINTS), carriers.symbol.ravel()] = carriers.direction.ravel()
        self.sums = torch.from_numpy(sums).to(device)  # a product where sums by index would depend on their order
        self.at = _at(device)
        self.edge, self.mirrored = (torch.from_numpy(each).to(device) for each in (EDGE, -FY[EDGE] % TILE * HALF))
        self.shares = torch.from_numpy(np.where(FX == 0, 0.5, 1).astype(np.float32)).to(device)
        self.ring = torch.from_numpy(RING).to(device)
        rings = (RING[:, None] == np.arange(RINGS)) / np.diff(RING_STARTS, append=POINTS)
        self.rings = torch.from_numpy(rings.astype(np.float32)).to(device)
        self.tilt = torch.from_numpy(RING_TILT).to(device)
        self.pattern = torch.from_numpy(RING_PATTERN).to(device)

    @staticmethod
    @lru_cache(maxsize=8)
    def of(key: Key, device: torch.device, method: str = DWT_DCT.name) -> "Lattice":
        """Return the lattice of a key on a device: 5 MB, made when it is first asked for."""
        return Lattice(key, device, method)

    def ring_rms(self, coefficients: Tensor) -> Tensor:
        """Return the (B, RINGS) rms of (B, POINTS) coefficients by ring."""
        power = torch.view_as_real(coefficients).square().sum(2)
        return torch.sqrt((power @ self.rings).clamp_min(1e-20))


def spectrum(plane: Tensor) -> Tensor:
    """Return the (B, POINTS) coefficients of levelled planes, folded to one tile: ``sync.spectrum``."""
    padded = _padded(plane)
    batch, _, height, width = padded.shape
    folded = padded.reshape(batch, height // TILE, TILE, width // TILE, TILE).sum((1, 3))
    return _points(folded)


def _points(tiles: Tensor) -> Tensor:
    """Return the (..., POINTS) coefficients of tiles (..., TILE, TILE)."""
    found: Tensor = torch.fft.rfft2(tiles).flatten(-2)[..., _at(tiles.device)]
    return found


@lru_cache(maxsize=8)
def _at(device: torch.device) -> Tensor:
    return torch.from_numpy(AT).to(device)


def _padded(plane: Tensor) -> Tensor:
    return F.pad(plane, (0, -plane.shape[3] % TILE, 0, -plane.shape[2] % TILE))


class Parts:
    """The parts of a picture that must decode by themselves: ``tiles.Parts`` on a device."""

    def __init__(self, down: int, across: int, device: torch.device) -> None:
        parts = tiles.Parts.of(down, across)
        self.large = parts.large
        self.member, self.weight = (torch.from_numpy(each).to(device) for each in (parts.member, parts.weight))


class Tiles:
    """Planes of one size as tiles, and each picture's ``values`` (B, SYMBOLS) in them at its shift: both ways."""

    def __init__(
        self,
        shape: tuple[int, int],
        lattice: Lattice,
        values: NDArray[np.float32],
        shifts: Sequence[tuple[int, int]],
    ) -> None:
        self.shape, self.lattice = shape, lattice
        self.down, self.across = -(-shape[0] // TILE), -(-shape[1] // TILE)
        device = lattice.sums.device
        self.parts = Parts(self.down, self.across, device)
        self._values = torch.from_numpy(values).to(device)[:, None]
        self._phase = torch.from_numpy(np.stack([phase(slice(None), shift) for shift in shifts])).to(device)

    def spectra(self, plane: Tensor) -> Tensor:
        """Return the (B, tiles, POINTS) coefficients of planes (B, 1, h, w)."""
        apart = _padded(plane).reshape(len(plane), self.down, TILE, self.across, TILE).transpose(2, 3)
        return _points(apart.reshape(len(plane), -1, TILE, TILE))

    def symbols(self, spectra: Tensor, scale: Tensor) -> Tensor:
        """Return (B, tiles, SYMBOLS): how far each tile speaks for the right sign of each symbol."""
        turned = spectra * (self._phase / scale[:, self.lattice.ring])[:, None]
        return torch.matmul(torch.view_as_real(turned).flatten(2), self.lattice.sums) * self._values

    def plane(self, amplitude: Tensor, scale: Tensor) -> Tensor:
        """Return the planes in which every tile holds its symbols with the given amplitudes.

        ``amplitude`` is (B, tiles, SYMBOLS), or (B, 1, SYMBOLS) for all tiles alike; ``scale`` (B, RINGS).
        """
        lattice = self.lattice
        parts = (amplitude * self._values)[:, :, lattice.symbol] * lattice.direction
        turn = self._phase.conj() / scale[:, lattice.ring] * lattice.shares
        waves = torch.view_as_complex(parts) * turn[:, None]
        grid = waves.new_zeros(*waves.shape[:2], TILE * HALF).index_copy(2, lattice.at, waves)
        grid = grid.index_copy(2, lattice.mirrored, waves[:, :, lattice.edge].conj().resolve_conj())
        each = torch.fft.irfft2(grid.reshape(*grid.shape[:2], TILE, HALF))
        each = each.expand(-1, self.down * self.across, -1, -1).reshape(-1, self.down, self.across, TILE, TILE)
        whole = each.transpose(2, 3).reshape(-1, 1, self.down * TILE, self.across * TILE)
        inside: Tensor = whole[..., : self.shape[0], : self.shape[1]].contiguous()
        return inside

    def pattern(self) -> Tensor:
        """Return the tiles (B, 1, h, w) that all of the marks stand for, of rms 1: ``informed.pattern``."""
        ones = self._values.new_ones(len(self._values), 1, SYMBOLS)
        plane = self.plane(ones, (1 / self.lattice.pattern).expand(len(ones), -1))
        return plane * plane[..., :TILE, :TILE].square().mean((1, 2, 3), keepdim=True).rsqrt()


def wishes(seen: Tensor, parts: Parts) -> Tensor:
    """Return (B, tiles, symbols) amplitudes: each part asks for its symbols by their logistic shortfall."""
    sums = torch.cat([parts.member @ seen, seen], 1)
    middle = sums.mean(2, keepdim=True).maximum(0.3 * sums.std(2, correction=0, keepdim=True)) + 1e-9
    short = parts.weight[:, None] / (1 + (sums * (FIRMNESS / middle)).clamp(-30, 30).exp())
    wish = parts.member.T @ short[:, : parts.large] + short[:, parts.large :]
    return torch.div(wish, wish.square().mean((1, 2), keepdim=True).sqrt())
