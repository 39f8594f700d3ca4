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
from markai.watermarks.carriers import STEPS, Complex, carriers_for, nonce_of, step_for
from markai.watermarks.foreseen import foreseen
from markai.watermarks.geometry import TURNS, VIEWS, Turn, Views
from markai.watermarks.informed import PILOT_GAINS, Host, residual
from markai.watermarks.sync import POSITIONS, Peak, observe, peak_at, search, soft_bits
from markai.watermarks.warps import Pyramid, Warp

LEAST_SIDE = 256  # pixels
CROP_STEPS = 5  # cell sizes tried: that of the picture as it is, and of what it may be a tenth of (3.2 x 3.2)
TURNED_STEPS = 2  # of those, how many are tried mirrored and in quarter turns too
STAGES = 2  # the cheap hypotheses and the search: each may use half of the rate of false positives
TURNED_TESTS = POSITIONS * len(TURNS) * (TURNED_STEPS + VIEWS)
PEAKS = 3  # places tried for a payload where the pilots alone prove nothing
SURE = -9.0  # log10 p that a fresh mark must reach: a margin of 1,000 below the usual 1e-6
NO_ROOM = (
    "the picture has no room for a mark that can be read back (transparent, saturated, or repeating with the tile), "
    "or the strength is too low"
)
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
                f"the picture is {width}x{height}, dwt-dct needs at least {LEAST_SIDE}x{LEAST_SIDE} - enlarge it first"
            )
        marked = _marked(pixels, key, payload, strength, alpha, threads)
        if marked is None:
            shorter = (code.size for code in reversed(payload_code.CLASSES) if code.size < len(payload))
            fitting = (n for n in shorter if _marked(pixels, key, payload[:n], strength, alpha, threads) is not None)
            fits = next(fitting, None)
            advice = "mark a larger picture" if fits is None else f"shorten the payload: {fits} bytes would fit"
            raise CapacityError(f"{NO_ROOM} - raise the strength, or {advice}")
        return marked

    def look(self, pixels: NDArray[Any], threads: int = 1) -> "Look":
        """Return what detection sees of a picture before any key is used; one look serves many keys."""
        return Look(pixels, threads)

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
        return search.conclude(look.shape)


@dataclass(frozen=True, slots=True)
class Place:
    """Cells that a mark may lie in, and what is seen there; ``warp`` is None for upright cells of ``step`` pixels."""

    seen: Complex | None
    step: int = 0
    warp: Warp | None = None


class Look:
    """What one picture shows at each geometry, computed when it is first asked for."""

    def __init__(self, pixels: NDArray[Any], threads: int = 1) -> None:
        self.shape = (pixels.shape[0], pixels.shape[1])
        self.steps = _steps_to_try(*self.shape)
        self._picture = Pyramid(pixels, threads)
        self._upright: dict[int, Place] = {}
        self._views = Views(self._picture)

    def upright(self, step: int) -> Place:
        """Return the picture in cells of that many pixels."""
        if step not in self._upright:
            self._upright[step] = Place(observe(self._picture.at(step)), step)
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
        self.best: _Candidate | None = None  # by p-value
        self.checked = 0  # MACs compared
        self.decoded: tuple[_Candidate, int, bytes] | None = None  # the payload, its nonce and where it was read
        self._tried: set[_Candidate] = set()

    def add(self, place: Place, turns: list[Turn], tests: int, count: int) -> None:
        """Search a place, as one of ``tests`` hypotheses, and keep its ``count`` best peaks."""
        if place.seen is None:
            return
        tiles = np.stack([turn(place.seen) for turn in turns])
        found = [
            _Candidate(place, turn, seen, peak, tests)
            for turn, seen, best in zip(turns, tiles, search(tiles, self.carriers, count), strict=True)
            for peak in best
        ]
        self.candidates = sorted([*self.candidates, *found], key=lambda candidate: -candidate.peak.score)
        highest = max(found, key=lambda candidate: candidate.peak.score)
        if self.best is None or highest.log10_p < self.best.log10_p:
            self.best = highest

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

    def conclude(self, shape: tuple[int, int]) -> Detection:
        """Return what was found in a picture of that shape."""
        best = self.best
        if best is None:
            reason = "inconclusive: too little signal (flat, or a few lines only) to tell a mark from none"
            return Detection(0.0, self.fpr, key_id=self.key.id, reasons=(reason,))
        nothing = Detection(best.log10_p, self.fpr, key_id=self.key.id, tests=best.tests)
        if self.decoded is not None:
            at, nonce, payload = self.decoded
            log10_p = either(best.log10_p, payload_code.log10_p_value(self.checked))
            return self._found(replace(nothing, log10_p_value=log10_p, payload=payload), at, shape, nonce)
        return self._found(nothing, best, shape, nonce_of(best.peak.signs)) if self.sure else nothing

    def _found(self, found: Detection, at: _Candidate, shape: tuple[int, int], nonce: int) -> Detection:
        """Add where the mark was found to what was found."""
        step = at.place.step
        warp = at.place.warp or Warp.of(shape, np.eye(2) * step, np.zeros(2), np.zeros(2))
        shift = np.array(at.peak.shift) - self.carriers.shifts[nonce]
        return replace(found, method=DwtDct.name, geometry=warp.geometry(shape, at.turn.matrix, shift))


def _marked(
    pixels: NDArray[Any], key: Key, payload: bytes, strength: float, alpha: NDArray[Any] | None, threads: int
) -> NDArray[Any] | None:
    """Return the marked pixels, or None where the payload could not be read back from them."""
    step = step_for(*pixels.shape[:2])
    cells, spread = cell_means_and_spread(pixels, step, threads)
    opacity = None if alpha is None else _opacity(alpha, step)
    carriers = carriers_for(key)
    nonce = content_nonce(cells, key)
    values = carriers.values(payload_code.encode(payload, key, nonce), nonce)
    shift = (int(carriers.shifts[nonce, 0]), int(carriers.shifts[nonce, 1]))
    host, attacks = Host.of(cells, spread, opacity), foreseen(cells, step)
    for pilot_gain in PILOT_GAINS:
        added = residual(host, carriers, values, shift, strength, attacks, pilot_gain)
        marked, written = add_cells(pixels, added, step, threads)
        # A shorter list than detection's: quicker, and a margin of 0.3 dB.
        readable = _reads(written, key, payload, nonce, shift, SURE, list_size=8)
        if readable and opacity is not None and opacity.min() < 1:
            # What has no transparency shows it on white, and that outline may be louder than the mark. The payload
            # must still be there, and be plain: JPEG is made of it. The pilots keep their margin on the stored colours.
            on_white = written * opacity + np.float32(255) * (1 - opacity)
            readable = _reads(on_white, key, payload, nonce, shift, 0, list_size=1)
        if readable:
            return marked
    return None


def _reads(
    cells: NDArray[np.float32],
    key: Key,
    payload: bytes,
    nonce: int,
    shift: tuple[int, int],
    sure: float,
    list_size: int,
) -> bool:
    """Whether detection will find the payload in these cells: its own steps, but at the known place."""
    seen, carriers = observe(cells), carriers_for(key)
    if seen is None:
        return False
    peak = peak_at(seen, carriers, shift, nonce)
    enough = corrected(log10_rademacher_tail(peak.score), POSITIONS * CROP_STEPS) <= sure
    decoded = payload_code.decode(soft_bits(seen, carriers, peak), key, nonce, list_size)
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
