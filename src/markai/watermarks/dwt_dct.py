"""The ``dwt-dct`` mark: keyed, tiled, informed, self-synchronising under crops, turns, scales and perspective.

Cell means (the low-pass half of a Haar wavelet decomposition) carry a keyed pattern that repeats every 64 cells; local
8x8 transforms level the host before it is read. See ``carriers`` (the format), ``sync`` (reading), ``geometry`` (where
to read) and ``informed`` (writing).
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai import payload as payload_code
from markai._kernels import add_cells, cell_means, cell_means_and_spread
from markai.detection import Detection
from markai.errors import CapacityError
from markai.keys import Key
from markai.stats import corrected, either, log10_rademacher_tail
from markai.watermarks.carriers import STEPS, Complex, carriers_for, nonce_of, phase, step_for
from markai.watermarks.geometry import TURNS, VIEWS, Turn, Views, settled
from markai.watermarks.informed import Host, residual
from markai.watermarks.sync import POSITIONS, Peak, find_peaks, observe, peak_at, soft_bits
from markai.watermarks.warps import Pyramid, Warp

LEAST_SIDE = 256  # pixels
CROP_STEPS = 5  # cell sizes tried: that of the picture as it is, and of what it may be a tenth of (3.2 x 3.2)
TURNED_STEPS = 2  # of those, how many are tried mirrored and in quarter turns too
STAGES = 2  # the cheap hypotheses and the search: each may use half of the rate of false positives
TURNED_TESTS = POSITIONS * len(TURNS) * (TURNED_STEPS + VIEWS)
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
        """Search every position of the tile: upright at each cell size that a crop may have left, the likeliest first,
        and only where that does not give a payload, at every geometry that the picture suggests."""
        search = _Search(key, fpr)
        upright, turned = STAGES * POSITIONS * len(look.steps), STAGES * TURNED_TESTS
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


@dataclass(frozen=True, slots=True)
class Place:
    """Cells that a mark may lie in, and what is seen there; ``warp`` is None for upright cells of ``step`` pixels."""

    seen: Complex | None
    step: int = 0
    warp: Warp | None = None


class Look:
    """What one picture shows at each geometry, computed when it is first asked for."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.shape = (pixels.shape[0], pixels.shape[1])
        self.steps = _steps_to_try(*self.shape)
        self.picture = Pyramid(pixels)
        self._upright: dict[int, Place] = {}
        self._views = Views(self.picture)

    def upright(self, step: int) -> Place:
        """Return the picture in cells of that many pixels."""
        if step not in self._upright:
            self._upright[step] = Place(observe(self.picture.at(step)), step)
        return self._upright[step]

    def elsewhere(self) -> Iterator[Place]:
        """Yield what else to search, in every turn: the likeliest upright cells, and the geometries found."""
        yield from (self.upright(step) for step in self.steps[:TURNED_STEPS])
        yield from (Place(view.seen, warp=view.warp) for view in self._views)


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """One peak, where it was found, and the number of tests for which its p-value is corrected."""

    place: Place
    turn: Turn
    seen: Complex  # turned
    peak: Peak
    tests: int

    @property
    def log10_p(self) -> float:
        return corrected(log10_rademacher_tail(self.peak.score), self.tests)


class _Search:
    """The candidates of one detection under one key, best first, and what they prove."""

    def __init__(self, key: Key, fpr: float) -> None:
        self.key, self.fpr = key, fpr
        self.carriers = carriers_for(key)
        self.candidates: list[_Candidate] = []
        self.checked = 0  # MACs compared
        self.decoded: tuple[_Candidate, int, bytes] | None = None  # the payload, its nonce and where it was read
        self._tried: set[_Candidate] = set()

    def add(self, place: Place, turns: list[Turn], tests: int, count: int) -> None:
        """Search a place, as one of ``tests`` hypotheses, and keep its ``count`` best peaks."""
        if place.seen is None:
            return
        for turn in turns:
            seen = turn(place.seen)
            peaks = find_peaks(seen, self.carriers, count)
            self.candidates += [_Candidate(place, turn, seen, peak, tests) for peak in peaks]
        self.candidates.sort(key=lambda candidate: -candidate.peak.score)

    @property
    def best(self) -> _Candidate | None:
        return min(self.candidates, key=lambda candidate: candidate.log10_p, default=None)

    @property
    def sure(self) -> bool:
        return self.best is not None and 10**self.best.log10_p <= self.fpr

    def decode(self) -> bool:
        """Decode at the best places that were not tried yet; the MAC is evidence of its own beside the pilots'."""
        for candidate in self.candidates[: 1 if self.sure else PEAKS]:
            if candidate in self._tried:
                continue
            self._tried.add(candidate)
            payload, nonce, compared = self._read(candidate)
            self.checked += compared
            if payload is not None:
                self.decoded = candidate, nonce, payload
                return True
        return False

    def _read(self, candidate: _Candidate) -> tuple[bytes | None, int, int]:
        """Return (payload, nonce, MACs compared), trying the nonce as read and with its doubtful signs turned."""
        peak = candidate.peak
        llr = soft_bits(candidate.seen, self.carriers, peak)
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

    def conclude(self, look: Look) -> Detection:
        """Return what was found in a picture."""
        best = self.best
        if best is None:
            reason = "inconclusive: too little signal (flat, or a few lines only) to tell a mark from none"
            return Detection(0.0, self.fpr, key_id=self.key.id, reasons=(reason,))
        nothing = Detection(best.log10_p, self.fpr, key_id=self.key.id, tests=best.tests)
        if self.decoded is not None:
            at, nonce, payload = self.decoded
            log10_p = either(best.log10_p, payload_code.log10_p_value(self.checked))
            return self._found(replace(nothing, log10_p_value=log10_p, payload=payload), at, look, nonce)
        return self._found(nothing, best, look, nonce_of(best.peak.signs)) if self.sure else nothing

    def _found(self, found: Detection, at: _Candidate, look: Look, nonce: int) -> Detection:
        """Add where the mark was found to what was found."""
        step, carriers = at.place.step, self.carriers
        warp = at.place.warp or Warp.of(look.shape, np.eye(2) * step, np.zeros(2), np.zeros(2))
        warp = settled(look.picture, warp, at.turn, self._tile(at.peak, found.payload, nonce), step)
        shift = np.array(at.peak.shift) - carriers.shifts[nonce]
        return replace(found, method=DwtDct.name, geometry=warp.geometry(look.shape, at.turn.matrix, shift))

    def _tile(self, peak: Peak, payload: bytes | None, nonce: int) -> Complex:
        """Return the (POINTS,) coefficients that a mark has at a peak: the pilots', and the payload's where known."""
        values = np.concatenate([np.zeros(payload_code.CODE_BITS, np.float32), peak.signs])
        if payload is not None:
            values = self.carriers.values(payload_code.encode(payload, self.key, nonce), nonce)
        parts = self.carriers.direction * values[self.carriers.symbol]
        return np.asarray((parts[:, 0] + 1j * parts[:, 1]) * phase(slice(None), peak.shift).conj(), np.complex64)


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
