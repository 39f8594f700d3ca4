"""The ``learned`` mark and ``both``: the tile of ``dwt-dct`` refined and read by networks, alone or beside it.

The networks see pictures and never keys. What the key deals (carriers, pilots, nonce, payload code) is dealt under
the method's own name, so a picture can hold both marks, and what one of them shows is independent of the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import cell_means, whiten
from markai.detection import Detection, surest
from markai.errors import CapacityError
from markai.keys import Key
from markai.neural import runtime, scales
from markai.stats import together
from markai.watermarks.base import reads_back
from markai.watermarks.carriers import carriers_for, step_for
from markai.watermarks.dwt_dct import DwtDct
from markai.watermarks.foreseen import after_jpeg
from markai.watermarks.form import Form, OnDevice
from markai.watermarks.informed import Host
from markai.watermarks.readback import content_nonce, energy
from markai.watermarks.search import Look
from markai.watermarks.sync import seen_in
from markai.watermarks.tiled import Tiled
from markai.watermarks.warps import Pyramid

Plane = NDArray[np.float32]
NO_ROOM = "the picture has no room for two marks - raise the strength, or use one method"
FINEST = 512  # cells across: a picture of 320 turned by 45 degrees needs 453
PREVIEWED = 10  # quality of the JPEG that tells which of the two marks a picture keeps
AMPLE = 200.0  # detection energy then, by a rough model: of 36 pictures, those with more lost nothing by refinement
SHARE = float(np.sqrt(0.5))  # of the amplitude that each of two marks has, so that both have the energy of one


def _level(cells: Plane) -> Plane:
    # Less than a quarter of a tile, or finer cells than a marked picture has, turned or not: a chance lattice of a
    # picture without a mark, for which networks would take most of the time.
    if not scales.MULTIPLE <= min(cells.shape) <= FINEST:
        return np.asarray(whiten(cells) * np.float32(scales.LEVEL_GAIN), np.float32)
    return runtime.read(cells, whiten(cells))


def _refine(host: Host, start: Plane, pattern: Plane) -> Plane:
    return runtime.write(host.cells, start, pattern, host.allowed, host.limit)


def _on(device: Any) -> OnDevice:
    return _on_in(device, get_ident())


@lru_cache(maxsize=8)
def _on_in(device: Any, _thread: int) -> OnDevice:
    """Return the networks for tensors on a device, in planes of any size; each thread has its own."""
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


class Way(Tiled):
    """One of the two ways in which the learned mark is written and read."""

    name = "learned"

    def left(self, pixels: NDArray[Any], marked: NDArray[Any], key: Key, payload: bytes) -> float:
        """Return the detection energy that JPEG of a preview would leave, modelled on the cells."""
        step = step_for(pixels.shape[0], pixels.shape[1])
        return self._left(cell_means(pixels, step), cell_means(marked, step), step, key, payload)

    def left_in_tensors(self, pixels: Any, marked: Any, key: Key, payload: bytes) -> float:
        """Return what :meth:`left` does, of tensors (C, H, W)."""
        from markai.watermarks.tensors.reading import TensorPyramid

        step = step_for(pixels.shape[1], pixels.shape[2])
        return self._left(TensorPyramid(pixels).at(step), TensorPyramid(marked).at(step), step, key, payload)

    def _left(self, before: Plane, cells: Plane, step: int, key: Key, payload: bytes) -> float:
        nonce = content_nonce(before, key, self.name)
        shift = carriers_for(key, self.name).shifts[nonce]
        seen = seen_in(self.form.level(after_jpeg(cells, step, PREVIEWED)))
        return energy(seen, key, payload, nonce, (int(shift[0]), int(shift[1])), self.name)


# The picture is read in both ways, whichever the writer took: every test is corrected for two.
REFINED = Form(Way.name, _level, _refine, _on, ways=2)
HAND_MADE = Form(Way.name, ways=2)


class Learned:
    """See the module; built by ``markai.watermarks.load("learned")``.

    Flat and drawn pictures, of which the networks saw few, may keep more of the hand-made mark under JPEG. So where
    JPEG of quality PREVIEWED leaves the refined mark in want, both are made, and the one that keeps more is taken.

    Needs ONNX Runtime (extra ``onnx``) or torch; raises MissingExtraError at its first use without them.
    """

    name = REFINED.name

    def __init__(self) -> None:
        self.ways = Way(REFINED), Way(HAND_MADE)

    @property
    def searched(self) -> bool:
        """Whether detection without a named method tries it: where the networks can run."""
        return runtime.available()

    def embed(
        self,
        pixels: NDArray[Any],
        key: Key,
        payload: bytes,
        strength: float = 1.0,
        alpha: NDArray[Any] | None = None,
        threads: int = 1,
    ) -> NDArray[Any]:
        """Return (H, W, 1 or 3) pixels that carry ``payload``; same dtype, the input is not changed.

        ``strength`` is as for ``dwt-dct``.

        Raises:
            CapacityError: if a side is under 256 pixels, or the picture is transparent or has no room for a mark.
            PayloadError: if the payload is too long.
        """
        marked: NDArray[Any] = self._better(
            lambda way: way.embed(pixels, key, payload, strength, alpha, threads),
            lambda way, marked: way.left(pixels, marked, key, payload),
        )
        return marked

    def embed_tensors(
        self, pixels: Any, key: Key, payloads: Sequence[bytes], strength: float = 1.0, alpha: Any = None
    ) -> Any:
        """Return a batch marked on its device; see :meth:`embed`. Of each picture a plane of cells goes to the host."""
        import torch

        refined, _ = self.ways
        try:
            together = refined.embed_tensors(pixels, key, payloads, strength, alpha)
        except CapacityError:  # one has no room for a refined mark: each by itself, so that the others keep theirs
            together = None

        def one(i: int) -> Any:
            part = slice(i, i + 1)
            opacity = None if alpha is None else alpha[part]

            def embed(way: Way) -> Any:
                if way is refined and together is not None:
                    return together[part]
                return way.embed_tensors(pixels[part], key, payloads[part], strength, opacity)

            return self._better(embed, lambda way, marked: way.left_in_tensors(pixels[i], marked[0], key, payloads[i]))

        return torch.cat([one(i) for i in range(len(pixels))])

    def _better(self, embed: Callable[[Way], Any], left: Callable[[Way, Any], float]) -> Any:
        """Return the refined result if enough would be left of it, else the one of which more would be."""
        refined, hand_made = self.ways
        try:
            first = embed(refined)
            had = left(refined, first)
        except CapacityError:
            return embed(hand_made)
        if had >= AMPLE:
            return first
        try:
            second = embed(hand_made)
        except CapacityError:
            return first
        return second if left(hand_made, second) > had else first

    def look(self, pixels: NDArray[Any], threads: int = 1) -> list[Look]:
        """Return what detection sees of a picture, in both ways, before any key is used; one look serves many keys."""
        return self._looks(Pyramid(pixels, threads))

    def look_tensor(self, pixels: Any) -> list[Look]:
        """Return what :meth:`look` does, of a tensor (C, H, W)."""
        from markai.watermarks.tensors.reading import TensorPyramid

        return self._looks(TensorPyramid(pixels))

    def _looks(self, picture: Pyramid) -> list[Look]:
        return [Look(picture, way.form) for way in self.ways]

    def find(self, look: list[Look], key: Key, fpr: float = 1e-6) -> Detection:
        """Search as the networks read, and where that gives no payload as ``dwt-dct`` reads."""
        return self._first(look, lambda way, each: way.find(each, key, fpr))

    def glance(self, look: list[Look], key: Key, fpr: float = 1e-6) -> Detection:
        """Look where the mark likeliest is; see :class:`markai.watermarks.GlancingMark`."""
        return self._first(look, lambda way, each: way.glance(each, key, fpr))

    def _first(self, look: list[Look], search: Callable[[Way, Look], Detection]) -> Detection:
        found: list[Detection] = []
        for way, each in zip(self.ways, look, strict=True):
            found.append(search(way, each))
            if found[-1] and found[-1].payload is not None:
                break
        return replace(surest(found), tests=sum(each.tests for each in found))

    def find_all(self, look: list[Look], key: Key, fpr: float = 1e-6) -> list[Detection]:
        """Return every mark of a key, the surest first; what both ways read is told once."""
        found, more = (way.find_all(each, key, fpr) for way, each in zip(self.ways, look, strict=True))
        known = {each.payload for each in found}
        found += [each for each in more if each.payload not in known]
        return sorted(found, key=lambda each: each.log10_p_value)


class Both:
    """``dwt-dct`` and ``learned`` in one picture, each with half of the energy; one p-value for both.

    Built by ``markai.watermarks.load("both")``. Detection without a named method finds either mark by itself.
    """

    name = "both"
    searched = False

    def __init__(self) -> None:
        self.marks: tuple[DwtDct | Learned, ...] = (DwtDct(), Learned())

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
        if not all(reads_back(mark, mark.look(marked, threads), key, payload) for mark in self.marks):
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
            if not all(reads_back(mark, mark.look_tensor(picture), key, payload) for mark in self.marks):
                raise CapacityError(NO_ROOM)
        return marked

    def look(self, pixels: NDArray[Any], threads: int = 1) -> list[Any]:
        """Return what each method sees of a picture before any key is used; one look serves many keys."""
        return [mark.look(pixels, threads) for mark in self.marks]

    def look_tensor(self, pixels: Any) -> list[Any]:
        """Return what :meth:`look` does, of a tensor (C, H, W)."""
        return [mark.look_tensor(pixels) for mark in self.marks]

    def find(self, look: list[Any], key: Key, fpr: float = 1e-6) -> Detection:
        """Search both marks; the product of their p-values, which are independent over the key, is the evidence."""
        return self._together([mark.find(each, key, fpr) for mark, each in zip(self.marks, look, strict=True)], fpr)

    def glance(self, look: list[Any], key: Key, fpr: float = 1e-6) -> Detection:
        """Look for both marks where they likeliest are; see :class:`markai.watermarks.GlancingMark`."""
        return self._together([mark.glance(each, key, fpr) for mark, each in zip(self.marks, look, strict=True)], fpr)

    def _together(self, found: list[Detection], fpr: float) -> Detection:
        evidence = together(*(each.log10_p_value for each in found))
        name = self.name if evidence <= np.log10(fpr) else None
        return replace(surest(found), log10_p_value=evidence, tests=sum(each.tests for each in found), method=name)


def _sum(one: NDArray[Any], other: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels with what was added to each of two marked copies."""
    wide, white = (np.float32, 1) if pixels.dtype.kind == "f" else (np.int32, np.iinfo(pixels.dtype).max)
    return np.asarray(np.clip(one.astype(wide) + other - pixels, 0, white), pixels.dtype)
