"""Marks on the tile: keyed, informed, self-synchronising under crops, turns, scales and perspective.

Cell means (the low-pass half of a Haar wavelet decomposition) carry a keyed pattern that repeats every 64 cells; the
host is levelled before it is read. See ``carriers`` (the format), ``sync`` (reading), ``geometry`` (where to read) and
``informed`` (writing). What differs between the methods is their :class:`Form`.
"""

import hashlib
import hmac
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai import payload as payload_code
from markai._kernels import add_cells, cell_means, cell_means_and_spread
from markai.detection import Detection
from markai.errors import CapacityError
from markai.keys import Key
from markai.stats import corrected, log10_rademacher_tail
from markai.watermarks.carriers import Carriers, carriers_for, step_for
from markai.watermarks.foreseen import View, after_jpeg, foreseen
from markai.watermarks.form import DWT_DCT, Form
from markai.watermarks.geometry import TURNS
from markai.watermarks.informed import PILOT_GAINS, Host, pattern, residual, scaled
from markai.watermarks.places import CROP_STEPS
from markai.watermarks.search import PEAKS, Look, Search
from markai.watermarks.several import find_all
from markai.watermarks.sync import POSITIONS, peak_at, seen_in, soft_bits

LEAST_SIDE = 256  # pixels
SURE = -9.0  # log10 p that a fresh mark must reach: a margin of 1,000 below the usual 1e-6
SURE_ON_WHITE, JPEG_ON_WHITE = -2.0, 75  # and what a transparent one must reach on white, after JPEG of that quality
NO_ROOM = (
    "the picture has no room for a mark that can be read back (transparent, saturated, or repeating with the tile), "
    "or the strength is too low"
)


class Tiled:
    """A method of one form, with the operations of :class:`markai.watermarks.CollageMark` and ``GlancingMark``."""

    def __init__(self, form: Form = DWT_DCT) -> None:
        self.form, self.name = form, form.name

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
        height, width = pixels.shape[:2]
        if min(height, width) < LEAST_SIDE:
            raise CapacityError(
                f"the picture is {width}x{height}, {self.name} needs at least {LEAST_SIDE}x{LEAST_SIDE} - "
                "enlarge it first"
            )
        marked = _marked(self.form, pixels, key, payload, strength, alpha, threads)
        if marked is None:
            shorter = (code.size for code in reversed(payload_code.CLASSES) if code.size < len(payload))
            fits = next((n for n in shorter if self._fits(pixels, key, payload[:n], strength, alpha, threads)), None)
            advice = "mark a larger picture" if fits is None else f"shorten the payload: {fits} bytes would fit"
            raise CapacityError(f"{NO_ROOM} - raise the strength, or {advice}")
        return marked

    def _fits(self, *arguments: Any) -> bool:
        return _marked(self.form, *arguments) is not None

    def look(self, pixels: NDArray[Any], threads: int = 1) -> Look:
        """Return what detection sees of a picture before any key is used; one look serves many keys."""
        return Look(pixels, self.form, threads)

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
    values = carriers.values(payload_code.encode(payload, key, nonce), nonce)
    shift = (int(carriers.shifts[nonce, 0]), int(carriers.shifts[nonce, 1]))
    see_through = opacity is not None and bool(opacity.min() < 1)
    # What lies behind a transparent picture is unknown, and with it what attacks will do.
    host, attacks = Host.of(cells, spread, opacity), [] if see_through else foreseen(cells, step)
    for pilot_gain in PILOT_GAINS:
        added = _residual(form, host, carriers, values, shift, strength, attacks, pilot_gain)
        marked, written = add_cells(pixels, added, step, threads)
        # A shorter list than detection's: quicker, and a margin of 0.3 dB.
        readable = _reads(form, written, key, payload, nonce, shift, SURE, list_size=8)
        if readable and opacity is not None and see_through:
            # What has no transparency shows it on white, and that outline may be louder than the mark. The payload
            # must still be there after JPEG, and be plain. The pilots keep their margin on the stored colours.
            on_white = after_jpeg(written * opacity + np.float32(255) * (1 - opacity), step, JPEG_ON_WHITE)
            readable = _reads(form, on_white, key, payload, nonce, shift, SURE_ON_WHITE, list_size=1)
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


def _reads(
    form: Form,
    cells: NDArray[np.float32],
    key: Key,
    payload: bytes,
    nonce: int,
    shift: tuple[int, int],
    sure: float,
    list_size: int,
) -> bool:
    """Whether detection will find the payload in these cells: its own steps, but at the known place."""
    seen, carriers = seen_in(form.level(cells)), carriers_for(key, form.name)
    if seen is None:
        return False
    peak = peak_at(seen, carriers, shift, nonce)
    enough = corrected(log10_rademacher_tail(peak.score), POSITIONS * CROP_STEPS) <= sure
    decoded = payload_code.decode(soft_bits(seen, carriers, peak), key, nonce, list_size)
    return enough and decoded.payload == payload


def content_nonce(cells: NDArray[np.float32], key: Key, method: str = DWT_DCT.name) -> int:
    """Return 0..255 from the key and what the picture looks like at 8x8: pictures of one key get different tiles."""
    rows, columns = (np.linspace(0, n, 9).astype(int)[:8] for n in cells.shape)
    sums = np.add.reduceat(np.add.reduceat(cells, rows, axis=0), columns, axis=1)
    coarse = np.round(sums / sums.size).astype("<i8").tobytes()
    return hmac.digest(key.derive(f"{method} v1 nonce"), coarse, hashlib.sha256)[0]


def _opacity(alpha: NDArray[Any], step: int) -> NDArray[np.float32]:
    return np.asarray(cell_means(np.ascontiguousarray(alpha[..., None]), step) / 255, np.float32)
