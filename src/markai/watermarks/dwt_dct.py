"""The ``dwt-dct`` mark: keyed, tiled, informed, self-synchronising under crops and shifts.

Cell means (the low-pass half of a Haar wavelet decomposition) carry a keyed pattern that repeats every 64 cells; local
8x8 transforms level the host before it is read. See ``carriers`` (the format), ``sync`` (reading) and ``informed``
(writing).
"""

import hashlib
import hmac
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai import payload as payload_code
from markai._kernels import add_cells, cell_means, cell_means_and_spread
from markai.detection import Detection, Geometry
from markai.errors import CapacityError
from markai.keys import Key
from markai.stats import corrected, either, log10_rademacher_tail
from markai.watermarks.carriers import STEPS, TILE, Complex, carriers_for, nonce_of, step_for
from markai.watermarks.informed import Host, residual
from markai.watermarks.sync import POSITIONS, Peak, find_peaks, observe, peak_at, soft_bits

LEAST_SIDE = 256  # pixels
CROP_STEPS = 5  # cell sizes tried: that of the picture as it is, and of what it may be a tenth of (3.2 x 3.2)
PEAKS = 3  # places tried for a payload where the pilots alone prove nothing
SURE = -9.0  # log10 p that a fresh mark must reach: a margin of 1,000 below the usual 1e-6
DOUBTFUL_SIGNS = 2  # group signs turned, one at a time, where the payload does not decode


class DwtDct:
    """See the module; built by ``markai.watermarks.load("dwt-dct")``."""

    name = "dwt-dct"

    def embed(
        self,
        pixels: NDArray[Any],
        key: Key,
        payload: bytes,
        strength: float = 1.0,
        alpha: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Return (H, W, 1 or 3) pixels that carry ``payload``; same dtype, the input is not changed.

        ``strength`` scales the residual: 1.0 gives 40.4 to 42.8 dB PSNR as the picture needs, more where it is flat.

        Raises:
            CapacityError: if a side is under 256 pixels, or the picture is transparent or has no room for a mark.
            PayloadError: if the payload is too long.
        """
        height, width = pixels.shape[:2]
        if min(height, width) < LEAST_SIDE:
            raise CapacityError(
                f"the picture is {width}x{height}, dwt-dct needs at least {LEAST_SIDE}x{LEAST_SIDE} - enlarge it first"
            )
        step = step_for(height, width)
        cells, spread = cell_means_and_spread(pixels, step)
        opacity = None if alpha is None else _opacity(alpha, step)
        carriers = carriers_for(key)
        nonce = content_nonce(cells, key)
        values = carriers.values(payload_code.encode(payload, key, nonce), nonce)
        shift = (int(carriers.shifts[nonce, 0]), int(carriers.shifts[nonce, 1]))
        added = residual(Host.of(cells, spread, opacity), carriers, values, shift, strength)
        marked = add_cells(pixels, added, step)
        if not _reads(cell_means(marked, step), key, payload, nonce, shift):
            raise CapacityError(
                "the picture has no room for a mark that can be read back (transparent, saturated, or repeating with "
                "the tile), or the strength is too low - raise the strength, or mark a larger picture"
            )
        return marked

    def look(self, pixels: NDArray[Any]) -> "Look":
        """Return what detection sees of a picture before any key is used; one look serves many keys."""
        return Look(pixels)

    def find(self, look: "Look", key: Key, fpr: float = 1e-6) -> Detection:
        """Search every position of the tile at each cell size that a crop may have left, the likeliest first."""
        search = _Search(key, POSITIONS * len(look.steps), fpr)
        for step in look.steps:
            seen = look.at(step)
            if seen is not None:
                search.add(step, seen)
            if search.sure:
                break
        return search.conclude()


class Look:
    """The levelled coefficients of one picture at each cell size, computed when they are first asked for."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.steps = _steps_to_try(*pixels.shape[:2])
        self._pixels = pixels
        self._seen: dict[int, Complex | None] = {}

    def at(self, step: int) -> Complex | None:
        if step not in self._seen:
            self._seen[step] = observe(cell_means(self._pixels, step))
        return self._seen[step]


class _Search:
    """The candidates of one detection under one key, best first, and what they prove."""

    def __init__(self, key: Key, tests: int, fpr: float) -> None:
        self.key, self.tests, self.fpr = key, tests, fpr
        self.carriers = carriers_for(key)
        self.candidates: list[tuple[int, Complex, Peak]] = []

    def add(self, step: int, seen: Complex) -> None:
        self.candidates += [(step, seen, peak) for peak in find_peaks(seen, self.carriers, PEAKS)]
        self.candidates.sort(key=lambda candidate: -candidate[2].score)

    def log10_p(self, peak: Peak) -> float:
        return corrected(log10_rademacher_tail(peak.score), self.tests)

    @property
    def sure(self) -> bool:
        return bool(self.candidates) and 10 ** self.log10_p(self.candidates[0][2]) <= self.fpr

    def conclude(self) -> Detection:
        """Decode at the best places; the payload's MAC is evidence of its own beside the pilots'."""
        if not self.candidates:
            reason = "inconclusive: too little signal (flat, or a few lines only) to tell a mark from none"
            return Detection(0.0, self.fpr, key_id=self.key.id, tests=self.tests, reasons=(reason,))
        checked = 0
        for step, seen, peak in self.candidates[: 1 if self.sure else PEAKS]:
            payload, nonce, tried = self._decode(seen, peak)
            checked += tried
            if payload is not None:
                log10_p = either(self.log10_p(peak), payload_code.log10_p_value(checked))
                return self._found(step, peak, nonce, log10_p, payload)
        step, _, peak = self.candidates[0]
        if self.sure:
            return self._found(step, peak, nonce_of(peak.signs), self.log10_p(peak), None)
        return Detection(self.log10_p(peak), self.fpr, key_id=self.key.id, tests=self.tests)

    def _decode(self, seen: Complex, peak: Peak) -> tuple[bytes | None, int, int]:
        """Return (payload, nonce, MACs compared), trying the nonce as read and with its doubtful signs turned."""
        llr = soft_bits(seen, self.carriers, peak)
        checked = 0
        for turned in (None, *np.argsort(np.abs(peak.agreement))[:DOUBTFUL_SIGNS]):
            signs = peak.signs.copy()
            if turned is not None:
                signs[turned] *= -1
            nonce = nonce_of(signs)
            decoded = payload_code.decode(llr, self.key, nonce)
            checked += decoded.candidates
            if decoded:
                return decoded.payload, nonce, checked
        return None, 0, checked

    def _found(self, step: int, peak: Peak, nonce: int, log10_p: float, payload: bytes | None) -> Detection:
        period = TILE * step
        drawn = self.carriers.shifts[nonce]
        down, right = ((float(drawn[axis]) - peak.shift[axis]) * step % period for axis in (0, 1))
        return Detection(
            log10_p,
            self.fpr,
            payload=payload,
            method=DwtDct.name,
            key_id=self.key.id,
            geometry=Geometry(offset=(right, down), period=float(period)),
            tests=self.tests,
        )


def _reads(cells: NDArray[np.float32], key: Key, payload: bytes, nonce: int, shift: tuple[int, int]) -> bool:
    """Whether detection will find the payload in these cells: its own steps, but at the known place."""
    seen, carriers = observe(cells), carriers_for(key)
    if seen is None:
        return False
    peak = peak_at(seen, carriers, shift, nonce)
    enough = corrected(log10_rademacher_tail(peak.score), POSITIONS * CROP_STEPS) <= SURE
    # A shorter list than detection's: quicker, and a margin of 0.3 dB.
    decoded = payload_code.decode(soft_bits(seen, carriers, peak), key, nonce, list_size=8)
    return enough and decoded.payload == payload


def content_nonce(cells: NDArray[np.float32], key: Key) -> int:
    """Return 0..255 from the key and what the picture looks like at 8x8: pictures of one key get different tiles."""
    rows, columns = (np.linspace(0, n, 9).astype(int)[:8] for n in cells.shape)
    sums = np.add.reduceat(np.add.reduceat(cells, rows, axis=0), columns, axis=1)
    coarse = np.round(sums / sums.size).astype("<i8").tobytes()
    return hmac.digest(key.derive("dwt-dct v1 nonce"), coarse, hashlib.sha256)[0]


def _opacity(alpha: NDArray[Any], step: int) -> NDArray[np.float32]:
    return np.asarray(cell_means(np.ascontiguousarray(alpha[..., None]), step) / 255, np.float32)


def _steps_to_try(height: int, width: int) -> tuple[int, ...]:
    """Cell sizes for a picture of this size, and for larger ones that it may be a crop of."""
    first = STEPS.index(step_for(height, width))
    smallest = min(height, width)
    return tuple(step for step in STEPS[first : first + CROP_STEPS] if smallest // step > 8)
