"""The ``learned`` mark and ``both``: the tile of ``dwt-dct`` refined and read by networks, alone or beside it.

The networks see pictures and never keys. What the key deals (carriers, pilots, nonce, payload code) is dealt under
the method's own name, so a picture can hold both marks, and what one of them shows is independent of the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import whiten
from markai.detection import Detection
from markai.errors import CapacityError
from markai.keys import Key
from markai.neural import runtime, scales
from markai.stats import together
from markai.watermarks.dwt_dct import DwtDct
from markai.watermarks.form import Form, OnDevice
from markai.watermarks.informed import Host
from markai.watermarks.search import Look
from markai.watermarks.tiled import Tiled

Plane = NDArray[np.float32]
NO_ROOM = "the picture has no room for two marks - raise the strength, or use one method"
SHARE = float(np.sqrt(0.5))  # of the amplitude that each of two marks has, so that both have the energy of one


def _level(cells: Plane) -> Plane:
    if min(cells.shape) < scales.MULTIPLE:  # too small for the networks; hardly a quarter of a tile
        return np.asarray(whiten(cells) * np.float32(scales.LEVEL_GAIN), np.float32)
    return runtime.read(cells, whiten(cells))


def _refine(host: Host, start: Plane, pattern: Plane) -> Plane:
    return runtime.write(host.cells, start, pattern, host.allowed, host.limit)


@cache
def _on(device: Any) -> OnDevice:
    """Return the networks for tensors on a device, in planes of any size."""
    from torch import Tensor
    from torch.nn import functional as F

    from markai.neural.pairs import TorchPair

    pair = TorchPair(device)

    def padded(plane: Tensor) -> Tensor:
        room = (0, -plane.shape[3] % scales.MULTIPLE, 0, -plane.shape[2] % scales.MULTIPLE)
        return F.pad(plane, room, mode="reflect")

    def level(cells: Tensor) -> Tensor:
        return pair.read(padded(cells))[..., : cells.shape[2], : cells.shape[3]]

    def refine(host: Any, start: Tensor, pattern: Tensor) -> Tensor:
        planes = (padded(each) for each in (host.cells, start, pattern, host.allowed, host.limit))
        return pair.write(*planes)[..., : start.shape[2], : start.shape[3]]

    return OnDevice(level, refine)


FORM = Form("learned", _level, _refine, _on)


class Learned(Tiled):
    """See the module; built by ``markai.watermarks.load("learned")``.

    Needs ONNX Runtime (extra ``onnx``) or torch; raises MissingExtraError at its first use without them.
    """

    name = FORM.name

    def __init__(self) -> None:
        super().__init__(FORM)

    @property
    def searched(self) -> bool:
        """Whether detection without a named method tries it: where the networks can run."""
        return runtime.available()


@dataclass(frozen=True, slots=True)
class Looks:
    """What the two methods see of one picture."""

    plain: Look
    learned: Look


class Both:
    """``dwt-dct`` and ``learned`` in one picture, each with half of the energy; one p-value for both.

    Built by ``markai.watermarks.load("both")``. Detection without a named method finds either mark by itself.
    """

    name = "both"
    searched = False

    def __init__(self) -> None:
        self.plain, self.learned = DwtDct(), Learned()

    def embed(
        self,
        pixels: NDArray[Any],
        key: Key,
        payload: bytes,
        strength: float = 1.0,
        alpha: NDArray[Any] | None = None,
        threads: int = 1,
    ) -> NDArray[Any]:
        """Return (H, W, 1 or 3) pixels that carry ``payload`` twice, as loud as one mark; same dtype.

        Raises:
            CapacityError: if a side is under 256 pixels, or the picture has no room for two marks.
            PayloadError: if the payload is too long.
        """
        # Each is made for the picture alone: to a mark made for the marked picture the other is host, and is weakened.
        one, other = (mark.embed(pixels, key, payload, strength * SHARE, alpha, threads) for mark in self.marks)
        marked = _sum(one, other, pixels)
        if not all(_reads(mark, mark.look(marked, threads), key, payload) for mark in self.marks):
            raise CapacityError(NO_ROOM)
        return marked

    def embed_tensors(
        self, pixels: Any, key: Key, payloads: Sequence[bytes], strength: float = 1.0, alpha: Any = None
    ) -> Any:
        """Return a batch marked twice on its device; see :meth:`embed`."""
        import torch

        one, other = (mark.embed_tensors(pixels, key, payloads, strength * SHARE, alpha) for mark in self.marks)
        wide = torch.promote_types(pixels.dtype, torch.float32 if pixels.is_floating_point() else torch.int32)
        white = 1 if pixels.is_floating_point() else torch.iinfo(pixels.dtype).max
        marked = (one.to(wide) + other - pixels).clamp(0, white).to(pixels.dtype)
        for picture, payload in zip(marked, payloads, strict=True):
            if not all(_reads(mark, mark.look_tensor(picture), key, payload) for mark in self.marks):
                raise CapacityError(NO_ROOM)
        return marked

    @property
    def marks(self) -> tuple[DwtDct, Learned]:
        """The two methods."""
        return self.plain, self.learned

    def look(self, pixels: NDArray[Any], threads: int = 1) -> Looks:
        """Return what detection sees of a picture before any key is used; one look serves many keys."""
        return Looks(self.plain.look(pixels, threads), self.learned.look(pixels, threads))

    def look_tensor(self, pixels: Any) -> Looks:
        """Return what :meth:`look` does, of a tensor (C, H, W)."""
        return Looks(self.plain.look_tensor(pixels), self.learned.look_tensor(pixels))

    def find(self, look: Looks, key: Key, fpr: float = 1e-6) -> Detection:
        """Search both marks; the product of their p-values, which are independent over the key, is the evidence."""
        return self._one_of(self.plain.find(look.plain, key, fpr), self.learned.find(look.learned, key, fpr), fpr)

    def glance(self, look: Looks, key: Key, fpr: float = 1e-6) -> Detection:
        """Look for both marks where they likeliest are; see :class:`markai.watermarks.GlancingMark`."""
        return self._one_of(self.plain.glance(look.plain, key, fpr), self.learned.glance(look.learned, key, fpr), fpr)

    def _one_of(self, plain: Detection, learned: Detection, fpr: float) -> Detection:
        found = plain, learned
        better = min(found, key=lambda each: (each.payload is None, each.log10_p_value))
        evidence = together(*(each.log10_p_value for each in found))
        tests = sum(each.tests for each in found)
        return replace(
            better, log10_p_value=evidence, tests=tests, method=self.name if evidence <= np.log10(fpr) else None
        )


def _reads(mark: Tiled, look: Look, key: Key, payload: bytes) -> bool:
    """Whether a mark is read; a glance passes over what only the MAC of a payload proves, which half the energy may."""
    return mark.glance(look, key).payload == payload or mark.find(look, key).payload == payload


def _sum(one: NDArray[Any], other: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels with what was added to each of two marked copies."""
    wide, white = (np.float32, 1) if pixels.dtype.kind == "f" else (np.int32, np.iinfo(pixels.dtype).max)
    return np.asarray(np.clip(one.astype(wide) + other - pixels, 0, white), pixels.dtype)
