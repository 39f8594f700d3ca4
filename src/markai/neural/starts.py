"""Pictures with the mark that ``dwt-dct`` would give them: what the networks start from, and must do better than.

The hand-made writer takes 5 to 15 ms for a plane of 128x128 cells, so a training run makes its starts once, under a
few dozen keys, and draws batches from them. A batch is of one key: what ring or bit a point belongs to is the same in
all of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from markai.keys import Key
from markai.neural.lattice import Message
from markai.payload import CODE_BITS
from markai.watermarks.carriers import SYMBOLS, Carriers, carriers_for
from markai.watermarks.foreseen import foreseen
from markai.watermarks.informed import Host, residual

ROUND_STEP = 8  # pixels: cells so large that the writer foresees no attack and takes one round


@dataclass(frozen=True, slots=True)
class Starts:
    """Planes under one key and what ``dwt-dct`` adds to them.

    ``plane``, ``change``, ``allowed`` and ``limit`` are (N, 1, H, W) float32 in grey levels but for ``allowed``, which
    is relative (see :class:`markai.watermarks.informed.Host`); ``values`` (N, SYMBOLS) are the signs they carry.
    """

    plane: Tensor
    change: Tensor
    allowed: Tensor
    limit: Tensor
    values: Tensor
    carriers: Carriers

    @classmethod
    def of(cls, planes: Tensor, key: Key, step: int, rng: np.random.Generator) -> "Starts":
        """Mark planes (N, 1, H, W) of cells of ``step`` pixels with messages drawn at random."""
        carriers = carriers_for(key)
        values = rng.integers(0, 2, (len(planes), SYMBOLS)).astype(np.float32) * 2 - 1
        made = [
            _made(plane, carriers, signs, step) for plane, signs in zip(planes[:, 0].cpu().numpy(), values, strict=True)
        ]
        change, allowed, limit = (torch.from_numpy(np.stack(each))[:, None] for each in zip(*made, strict=True))
        return cls(planes.cpu(), change, allowed, limit, torch.from_numpy(values), carriers)

    def rows(self, index: Tensor, device: torch.device) -> "Starts":
        """Return some of them, on a device."""
        parts = (self.plane, self.change, self.allowed, self.limit, self.values)
        plane, change, allowed, limit, values = (part[index].to(device) for part in parts)
        return Starts(plane, change, allowed, limit, values, self.carriers)

    @property
    def message(self) -> Message:
        """What the planes carry, in the form that :class:`markai.neural.lattice.Lattice` reads."""
        device = self.values.device
        symbol = torch.from_numpy(self.carriers.symbol).to(device)
        unit = torch.from_numpy(self.carriers.direction).to(device).sign()
        signs = unit * self.values[:, symbol]
        data = (symbol[:, 0] < CODE_BITS).float()
        keyed = torch.where(data[:, None] > 0, unit, signs)
        return Message(signs, self.values[:, :CODE_BITS], keyed, symbol.clamp_max(CODE_BITS - 1), data)

    def __len__(self) -> int:
        return len(self.plane)


def _made(
    plane: NDArray[np.float32], carriers: Carriers, values: NDArray[np.float32], step: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    plane = np.ascontiguousarray(plane, np.float32)
    host = Host.of(plane, np.zeros_like(plane))
    change = residual(host, carriers, values, (0, 0), 1.0, foreseen(plane, step))
    return change, host.allowed, host.limit


def drawn_key(seed: int, number: int) -> Key:
    """Return the key of that number in a run: a seed is enough, since nothing secret is marked with it."""
    return Key(np.random.default_rng([seed, number]).bytes(32))
