"""Training pictures: packed into one file, decoded once, cropped on the device.

A pack is a safetensors file that holds the files of a folder as they are, so that it travels as one and stays small;
``python -m markai.neural.data FOLDER PACK`` writes one.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from markai.files import find_pictures, read_picture, write_atomically
from markai.image import open_picture
from markai.neural import synthetic

MAX_BYTES = 1 << 26
HELD_OUT = 10  # every tenth picture is never trained on


def pack(folder: Path, target: Path) -> int:
    """Write the pictures of a folder and those below it into one safetensors file; return how many.

    Raises:
        ImageError: if there is none.
    """
    from safetensors.numpy import save

    files = read(folder)
    ends = np.cumsum([len(data) for data in files])
    write_atomically(target, save({"bytes": np.frombuffer(b"".join(files), np.uint8), "ends": ends}))
    return len(files)


def read(source: Path) -> list[bytes]:
    """Return the pictures, as encoded files, of a pack or of a folder, in a fixed order."""
    if source.is_dir():
        return [read_picture(found.path, MAX_BYTES) for found in find_pictures([source], recursive=True)]
    from safetensors.numpy import load_file

    packed = load_file(source)
    return [part.tobytes() for part in np.split(packed["bytes"], packed["ends"][:-1])]


def luma_of(data: bytes) -> NDArray[np.uint8]:
    """Return the luma (H, W) uint8 of an encoded picture; 16 bits are cut to 8."""
    pixels = open_picture(data, read_only=True).pixels
    scale = {"uint8": 1.0, "uint16": 1 / 257, "float32": 255.0}[pixels.dtype.name]
    weights = np.array([77, 150, 29]) / 256 if pixels.shape[2] == 3 else np.ones(1)
    return np.asarray(np.rint(pixels @ weights * scale), np.uint8)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Luma planes on the device: ``bank`` (N, 1, S, S) uint8, each in its upper left ``sizes`` (N, 2) corner."""

    bank: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, planes: list[NDArray[np.uint8]], device: torch.device) -> "Pictures":
        """Lay planes (H, W) of any sizes on one canvas each, as large as the largest of them."""
        side = max(max(plane.shape) for plane in planes)
        bank = np.zeros((len(planes), 1, side, side), np.uint8)
        for place, plane in zip(bank[:, 0], planes, strict=True):
            place[: plane.shape[0], : plane.shape[1]] = plane
        sizes = torch.tensor([plane.shape for plane in planes], dtype=torch.float32)
        return cls(torch.from_numpy(bank).to(device), sizes.to(device))

    @classmethod
    def load(cls, source: Path, device: torch.device, limit: int = 0) -> tuple["Pictures", "Pictures"]:
        """Decode a folder or a pack once; return what to train on and what is held out."""
        planes = [luma_of(data) for data in read(source)[: limit or None]]
        held = planes[::HELD_OUT]
        trained = [plane for index, plane in enumerate(planes) if index % HELD_OUT]
        return cls.of(trained or held, device), cls.of(held, device)

    def __len__(self) -> int:
        return len(self.bank)

    def crops(self, batch: int, side: int, generator: torch.Generator) -> Tensor:
        """Return (batch, 1, side, side) random windows in grey levels: zoomed, turned over, brighter or darker."""
        device = self.bank.device
        draw = torch.rand(batch, 7, generator=generator, device=device)
        index = (draw[:, 0] * len(self)).long().clamp_max(len(self) - 1)
        # Up to the whole short side, but never much coarser than the picture: that would alias.
        short = self.sizes[index].amin(1)
        window = torch.minimum(short, 1.2 * side * torch.ones_like(short)) * (0.6 + 0.4 * draw[:, 1])
        luma = self._windows(index, window, draw[:, 2:4], side)
        luma = torch.where(draw[:, 4, None, None, None] < 0.5, luma.flip(3), luma)
        contrast = torch.exp((draw[:, 5] - 0.5) * 0.8)[:, None, None, None]
        shift = ((draw[:, 6] - 0.5) * 60)[:, None, None, None]
        return ((luma - 128) * contrast + 128 + shift).clamp(0, 255).round()

    def centres(self, side: int) -> Tensor:
        """Return (N, 1, side, side): the middle of every picture, enlarged where it is smaller."""
        index = torch.arange(len(self), device=self.bank.device)
        short = self.sizes.amin(1)
        middle = torch.full((len(self), 2), 0.5, device=self.bank.device)
        return self._windows(index, short.clamp_max(side), middle, side).round()

    def _windows(self, index: Tensor, window: Tensor, place: Tensor, side: int) -> Tensor:
        # One bilinear resampling; (place) 0..1 says where in the room that the window leaves it starts.
        canvas = self.bank.shape[-1]
        start = (self.sizes[index] - window[:, None]) * place
        at = (torch.arange(side, device=self.bank.device) + 0.5) / side * window[:, None]
        inside = torch.minimum(start[..., None] + at[:, None], self.sizes[index][..., None] - 0.5)
        y, x = (2 * inside / canvas - 1).unbind(1)
        grid = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
        return F.grid_sample(self.bank[index].float(), grid, padding_mode="border", align_corners=False)


def batch_of(
    pictures: Pictures, batch: int, side: int, generator: torch.Generator, maker: int, made: float = 0.2
) -> Tensor:
    """Return a training batch (batch, 1, side, side): crops, and a share ``made`` of synthetic pictures of one kind."""
    number = int(batch * made)
    real = pictures.crops(batch - number, side, generator)
    return torch.cat([real, synthetic.pictures(number, side, generator, maker)]) if number else real


if __name__ == "__main__":
    sys.stderr.write(f"{pack(Path(sys.argv[1]), Path(sys.argv[2]))} pictures\n")
