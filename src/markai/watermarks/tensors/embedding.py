"""``dwt-dct`` embedding for a batch of pictures on their device.

What leaves the device, in one copy for the batch: of each picture eight rows of sums, from which the key makes the
content nonce, and two numbers that say which attacks to foresee. After marking, in another: the (POINTS,) coefficients
by which the host judges whether the payload can be read back. Pixels stay. The result is not the CPU's bit for bit, for
sums are added in another order, and decodes like it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from markai import payload as payload_code
from markai.errors import CapacityError
from markai.keys import Key
from markai.watermarks.carriers import POINTS, Complex, carriers_for, payload_key, step_for
from markai.watermarks.foreseen import BRIGHTER, MOSTLY_WHITE
from markai.watermarks.form import DWT_DCT, Form, OnDevice
from markai.watermarks.informed import PILOT_GAINS
from markai.watermarks.readback import FRESH, JPEG_ON_WHITE, ON_WHITE, check_size, content_nonce, reads, refusal
from markai.watermarks.sync import levelled
from markai.watermarks.tensors.foreseen import after_jpeg, foreseen
from markai.watermarks.tensors.informed import Host, blocks_on, residual, scaled
from markai.watermarks.tensors.planes import add_cells, cell_means, cell_means_and_spread
from markai.watermarks.tensors.tiles import Lattice, Tiles, spectrum


def embed(
    pixels: Tensor,
    key: Key,
    payloads: Sequence[bytes],
    strength: float = 1.0,
    alpha: Tensor | None = None,
    form: Form = DWT_DCT,
) -> Tensor:
    """Return pictures (B, 1 or 3, H, W) that carry one payload each; same dtype and device, the input is not changed.

    ``pixels`` are uint8, uint16 or floats in [0, 1], ``alpha`` (B, 1, H, W) of the same dtype. The result has no
    gradient. A batch is marked as its pictures are one by one.

    >>> from markai import Key, detect
    >>> pictures = torch.full((2, 3, 256, 320), 0.5)
    >>> marked = embed(pictures, Key(bytes(32)), [b"one", b"two"])
    >>> [found.payload for found in detect(marked, Key(bytes(32)))]
    [b'one', b'two']

    Raises:
        CapacityError: if a side is under 256 pixels, or a picture is transparent or has no room for a mark.
        PayloadError: if a payload is too long.
    """
    check_size(pixels.shape[2], pixels.shape[3], form.name)
    with _exactly(pixels.device):
        pictures = Pictures.of(pixels, alpha, key, form)
        marked, read = _marked(pictures, key, payloads, strength)
        for one, payload, readable in zip(pictures, payloads, read, strict=True):
            if not readable:
                raise _refusal(one, key, payload, strength)
    return marked


def _refusal(one: "Pictures", key: Key, payload: bytes, strength: float) -> CapacityError:
    return refusal(payload, lambda shorter: all(_marked(one, key, [shorter], strength)[1]))


@contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """No gradients, and none of autocast's halves, whatever the generator runs under."""
    casts = torch.amp.is_autocast_available(device.type)
    with torch.no_grad(), torch.autocast(device.type, enabled=False) if casts else nullcontext():
        yield


@dataclass(frozen=True, slots=True)
class Pictures:
    """A batch of one size, and what the host must know of it.

    ``cells``, ``spread`` and ``opacity`` are planes (B, 1, h, w); ``kinds`` say of each picture whether it is mostly
    white and whether it can be seen through.
    """

    pixels: Tensor
    step: int
    cells: Tensor
    spread: Tensor
    opacity: Tensor | None
    nonces: list[int]
    kinds: list[tuple[bool, bool]]
    form: Form

    @classmethod
    def of(cls, pixels: Tensor, alpha: Tensor | None, key: Key, form: Form = DWT_DCT) -> "Pictures":
        """Look at a batch; the host waits for one copy."""
        step = step_for(*pixels.shape[2:])
        cells, spread = cell_means_and_spread(pixels, step)
        opacity = None if alpha is None else cell_means(alpha, step) / 255
        white = (cells > 255 / BRIGHTER).sum((1, 2, 3)).float()
        least = torch.ones_like(white) if opacity is None else opacity.amin((1, 2, 3))
        facts = torch.cat([white[:, None], least[:, None], _strips(cells).flatten(1)], 1).cpu().numpy()
        nonces = [content_nonce(row.reshape(8, -1), key, form.name) for row in facts[:, 2:]]
        kinds = [(float(n) / cells[0].numel() > MOSTLY_WHITE, bool(opaque < 1)) for n, opaque in facts[:, :2]]
        return cls(pixels, step, cells, spread, opacity, nonces, kinds, form)

    def __iter__(self) -> Iterator["Pictures"]:
        """Every picture as a batch of one."""
        for i in range(len(self.nonces)):
            one = slice(i, i + 1)
            opacity = None if self.opacity is None else self.opacity[one]
            planes = self.pixels[one], self.step, self.cells[one], self.spread[one], opacity
            yield Pictures(*planes, self.nonces[one], self.kinds[one], self.form)

    def shifts(self, key: Key) -> list[tuple[int, int]]:
        """Return where the tile of each lies."""
        return [(int(y), int(x)) for y, x in carriers_for(key, self.form.name).shifts[self.nonces]]

    def on_device(self) -> OnDevice:
        """Return how their form reads and writes tensors where they lie."""
        device = self.cells.device
        return self.form.on(device) if self.form.on else OnDevice(blocks_on(device).level)


def _strips(cells: Tensor) -> Tensor:
    """Return the (B, 8, w) sums over eighths of the rows, row after row: bit for bit what ``content_nonce`` adds up."""
    height, width = cells.shape[2:]
    edges = np.linspace(0, height, 9).astype(int)
    tallest = int(np.diff(edges).max())
    rows = np.where(np.arange(tallest)[:, None] < np.diff(edges), edges[:-1] + np.arange(tallest)[:, None], height)
    below = torch.cat([cells[:, 0], cells.new_zeros(len(cells), 1, width)], 1)  # a row of nothing for shorter strips
    total, *others = below[:, torch.from_numpy(rows).to(cells.device)].unbind(1)
    for row in others:
        total = total + row
    return total


def _marked(pictures: Pictures, key: Key, payloads: Sequence[bytes], strength: float) -> tuple[Tensor, list[bool]]:
    """Return the marked batch, and which of its payloads could be read back."""
    first, *louder = PILOT_GAINS
    marked, read = _written(pictures, key, payloads, strength, first)
    for i, (one, payload) in enumerate(zip(pictures, payloads, strict=True)):
        for gain in louder:
            if not read[i]:
                marked[i : i + 1], (read[i],) = _written(one, key, [payload], strength, gain)
    return marked, read


def _written(
    pictures: Pictures, key: Key, payloads: Sequence[bytes], strength: float, pilot_gain: float
) -> tuple[Tensor, list[bool]]:
    """Mark once, and judge what was written."""
    added = _residuals(pictures, key, payloads, strength, pilot_gain)
    marked, written = add_cells(pictures.pixels, added, pictures.step)
    planes = [written]
    see_through = [clear for _, clear in pictures.kinds]
    if pictures.opacity is not None and any(see_through):
        # What has no transparency shows it on white: see ``tiled``.
        on_white = written * pictures.opacity + 255 * (1 - pictures.opacity)
        planes.append(after_jpeg(on_white, pictures.step, JPEG_ON_WHITE))
    stored, *shown = _seen(planes, pictures.on_device())
    read = []
    for i, place in enumerate(zip(payloads, pictures.nonces, pictures.shifts(key), strict=True)):
        fine = reads(levelled(stored[i]), key, *place, FRESH, pictures.form.name)
        if fine and see_through[i]:
            fine = reads(levelled(shown[0][i]), key, *place, ON_WHITE, pictures.form.name)
        read.append(fine)
    return marked, read


def _seen(planes: list[Tensor], form: OnDevice) -> NDArray[np.complex64]:
    """Return the (len(planes), B, POINTS) coefficients of planes (B, 1, h, w), on the host: one copy."""
    together = spectrum(form.level(torch.cat(planes)))
    pairs = torch.view_as_real(together).reshape(len(planes), -1, POINTS, 2).cpu().numpy()
    seen: Complex = pairs.view(np.complex64)[..., 0]
    return seen


def _residuals(pictures: Pictures, key: Key, payloads: Sequence[bytes], strength: float, pilot_gain: float) -> Tensor:
    """Return what to add to the cells, (B, 1, h, w); pictures of one kind go through the rounds together."""
    name, refine = pictures.form.name, pictures.on_device().refine
    carriers, shifts, cells = carriers_for(key, name), pictures.shifts(key), pictures.cells
    values = np.stack(
        [
            carriers.values(payload_code.encode(payload, payload_key(key, name), nonce), nonce)
            for payload, nonce in zip(payloads, pictures.nonces, strict=True)
        ]
    )
    shape, added = (cells.shape[2], cells.shape[3]), torch.empty_like(cells)
    for kind in sorted(set(pictures.kinds)):
        at = [i for i, each in enumerate(pictures.kinds) if each == kind]
        planes = (None if each is None else each[at] for each in (cells, pictures.spread, pictures.opacity))
        host = Host.of(*planes)  # type: ignore[arg-type]
        tiles = Tiles(shape, Lattice.of(key, cells.device, name), values[at], [shifts[i] for i in at])
        white, see_through = kind
        # What lies behind a transparent picture is unknown, and with it what attacks will do.
        views = [] if see_through else foreseen(shape, pictures.step, white=white, device=cells.device)
        if refine is None:
            added[at] = residual(host, tiles, strength, views, pilot_gain)
        else:  # networks know marks of full strength only
            change = refine(host, residual(host, tiles, 1.0, views, pilot_gain), tiles.pattern())
            added[at] = scaled(change, host, strength)
    return added
