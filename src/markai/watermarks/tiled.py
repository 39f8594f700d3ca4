"""Marks on the tile: keyed, informed, self-synchronising under crops, turns, scales and perspective.

Cell means (the low-pass half of a Haar wavelet decomposition) carry a keyed pattern that repeats every 64 cells; the
host is levelled before it is read. See ``carriers`` (the format), ``sync`` (reading), ``geometry`` (where to read) and
``informed`` (writing). What differs between the methods is their :class:`Form`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai import payload as payload_code
from markai._kernels import add_cells, cell_means, cell_means_and_spread
from markai.detection import Detection
from markai.keys import Key
from markai.watermarks.carriers import Carriers, carriers_for, payload_key, step_for
from markai.watermarks.foreseen import View, after_jpeg, foreseen
from markai.watermarks.form import Form
from markai.watermarks.geometry import TURNS
from markai.watermarks.informed import PILOT_GAINS, Host, pattern, residual, scaled
from markai.watermarks.readback import JPEG_ON_WHITE, ON_WHITE, check_size, content_nonce, reads, refusal
from markai.watermarks.search import PEAKS, Look, Search
from markai.watermarks.several import find_all
from markai.watermarks.sync import seen_in
from markai.watermarks.warps import Pyramid


class Tiled:
    """A method of one form, with the operations of :class:`markai.watermarks.CollageMark` and ``GlancingMark``."""

    name: str

    def __init__(self, form: Form) -> None:
        self.form = form

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

        ``strength`` scales the residual: 1.0 gives 40.4 to 42.8 dB PSNR as the picture needs, more where it is flat.
        ``threads`` share the passes over the pixels; the result is the same.

        Raises:
            CapacityError: if a side is under 256 pixels, or the picture is transparent or has no room for a mark.
            PayloadError: if the payload is too long.
        """
        check_size(pixels.shape[0], pixels.shape[1], self.name)
        marked = _marked(self.form, pixels, key, payload, strength, alpha, threads)
        if marked is None:
            raise refusal(
                payload, lambda each: _marked(self.form, pixels, key, each, strength, alpha, threads) is not None
            )
        return marked

    def embed_tensors(
        self, pixels: Any, key: Key, payloads: Sequence[bytes], strength: float = 1.0, alpha: Any = None
    ) -> Any:
        """Return a batch marked on its device: see ``tensors.embedding``, and :meth:`embed` for the rest."""
        from markai.watermarks.tensors.embedding import embed

        return embed(pixels, key, payloads, strength, alpha, self.form)

    def look(self, pixels: NDArray[Any], threads: int = 1) -> Look:
        """Return what detection sees of a picture before any key is used; one look serves many keys."""
        return Look(Pyramid(pixels, threads), self.form)

    def look_tensor(self, pixels: Any) -> Look:
        """Return what :meth:`look` does, of a tensor (C, H, W), of which only planes of cell means leave the device."""
        from markai.watermarks.tensors.reading import TensorPyramid

        return Look(TensorPyramid(pixels), self.form)

    def find(self, look: Look, key: Key, fpr: float = 1e-6) -> Detection:
        """Search every position of the tile: upright at each cell size that a crop may have left, the likeliest first,
        and only where that does not give a payload, at every geometry that the picture suggests."""
        search = Search(key, fpr, self.form)
        upright, turned = look.tests
        for step in look.steps:
            search.add(look.upright(step), TURNS[:1], upright, PEAKS)
            if search.sure:
                break
        if search.best and not search.decode():
            for place in look.elsewhere():
                search.add(place, TURNS if place.warp else TURNS[1:], turned, 1)
                if search.sure and search.decode():
                    break
            else:
                search.decode()
        return search.conclude(look)

    def glance(self, look: Look, key: Key, fpr: float = 1e-6) -> Detection:
        """Search upright, at the cell size that the picture would be marked with: 2 ms, 4 where there is a mark."""
        search = Search(key, fpr, self.form)
        for step in look.steps[:1]:
            search.add(look.upright(step), TURNS[:1], look.tests[0], 1)
        if search.best is None or not search.sure:  # a payload that only its MAC could prove is worth no glance
            return search.conclude(look)
        search.decode()
        payload = search.decoded[2] if search.decoded else None
        return Detection(search.best.log10_p, fpr, payload, self.name, key.id, tests=search.best.tests)

    def find_all(self, look: Look, key: Key, fpr: float = 1e-6) -> list[Detection]:
        """Search the picture and every window of it; return each mark, the surest first (see ``several``)."""
        return find_all(look, key, fpr)


def _marked(
    form: Form,
    pixels: NDArray[Any],
    key: Key,
    payload: bytes,
    strength: float,
    alpha: NDArray[Any] | None,
    threads: int,
) -> NDArray[Any] | None:
    """Return the marked pixels, or None where the payload could not be read back from them."""
    step = step_for(*pixels.shape[:2])
    cells, spread = cell_means_and_spread(pixels, step, threads)
    opacity = None if alpha is None else _opacity(alpha, step)
    carriers = carriers_for(key, form.name)
    nonce = content_nonce(cells, key, form.name)
    values = carriers.values(payload_code.encode(payload, payload_key(key, form.name), nonce), nonce)
    shift = (int(carriers.shifts[nonce, 0]), int(carriers.shifts[nonce, 1]))
    see_through = opacity is not None and bool(opacity.min() < 1)
    # What lies behind a transparent picture is unknown, and with it what attacks will do.
    host, attacks = Host.of(cells, spread, opacity), [] if see_through else foreseen(cells, step)
    for pilot_gain in PILOT_GAINS:
        added = _residual(form, host, carriers, values, shift, strength, attacks, pilot_gain)
        marked, written = add_cells(pixels, added, step, threads)
        readable = reads(seen_in(form.level(written)), key, payload, nonce, shift, method=form.name)
        if readable and opacity is not None and see_through:
            # What has no transparency shows it on white, and that outline may be louder than the mark. The payload
            # must still be there after JPEG, and be plain.
            on_white = after_jpeg(written * opacity + np.float32(255) * (1 - opacity), step, JPEG_ON_WHITE)
            readable = reads(seen_in(form.level(on_white)), key, payload, nonce, shift, ON_WHITE, form.name)
        if readable:
            return marked
    return None


def _residual(
    form: Form,
    host: Host,
    carriers: Carriers,
    values: NDArray[np.float32],
    shift: tuple[int, int],
    strength: float,
    attacks: list[View],
    pilot_gain: float,
) -> NDArray[np.float32]:
    if form.refine is None:
        return residual(host, carriers, values, shift, strength, attacks, pilot_gain)
    # Networks know marks of full strength only.
    start = residual(host, carriers, values, shift, 1.0, attacks, pilot_gain)
    return scaled(form.refine(host, start, pattern(host, carriers, values, shift)), host, strength)


def _opacity(alpha: NDArray[Any], step: int) -> NDArray[np.float32]:
    return np.asarray(cell_means(np.ascontiguousarray(alpha[..., None]), step) / 255, np.float32)
