"""Reading under one key: the places that a mark may lie in, the best peaks there, and what they prove."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from markai import payload as payload_code
from markai.detection import Coverage, Detection, Geometry
from markai.keys import Key
from markai.stats import corrected, either, log10_rademacher_tail
from markai.watermarks.align import bending
from markai.watermarks.carriers import Complex, carriers_for, nonce_of, payload_key
from markai.watermarks.coverage import Known, Reading, Upright
from markai.watermarks.form import DWT_DCT, Form
from markai.watermarks.geometry import TURNS, VIEWS, Turn, Views, settled
from markai.watermarks.places import Place, steps_to_try, windows
from markai.watermarks.sync import POSITIONS, Peak, levelled, search, soft_bits, spectrum
from markai.watermarks.warps import SPACING, Plane, Pyramid, Warp

STAGES = 2  # the cheap hypotheses and the search: each may use half of the rate of false positives
TURNED_STEPS = 2  # of those, how many are tried mirrored and in quarter turns too
PEAKS = 3  # places tried for a payload where the pilots alone prove nothing
DOUBTFUL_SIGNS = 2  # group signs turned, one at a time, where the payload does not decode


class Look:
    """What one picture shows at each geometry, computed when it is first asked for."""

    def __init__(self, picture: Pyramid, form: Form = DWT_DCT) -> None:
        self.shape, self.picture, self.form = picture.shape, picture, form
        self.steps = steps_to_try(*self.shape)
        self._planes: dict[int, Plane] = {}
        self._spectra: dict[int, Complex] = {}
        self._upright: dict[int, Place] = {}
        self._views = Views(self.picture, form.level)

    def upright(self, step: int) -> Place:
        """Return the picture in cells of that many pixels."""
        if step not in self._upright:
            self._upright[step] = Place(levelled(self.spectrum(step)), step)
        return self._upright[step]

    def plane(self, step: int) -> Plane:
        """Return the levelled plane of the picture's cells of that many pixels."""
        if step not in self._planes:
            self._planes[step] = self.form.level(self.picture.at(step))
        return self._planes[step]

    def spectrum(self, step: int) -> Complex:
        """Return the (POINTS,) spectrum of that plane."""
        if step not in self._spectra:
            self._spectra[step] = spectrum(self.plane(step))
        return self._spectra[step]

    def elsewhere(self) -> Iterator[Place]:
        """Yield what else to search, in every turn: the likeliest upright cells, and the geometries found."""
        yield from (self.upright(step) for step in self.steps[:TURNED_STEPS])
        yield from (Place(view.seen, warp=view.warp) for view in self._views)

    @property
    def tests(self) -> tuple[int, int]:
        """How many hypotheses an upright place is one of, and one elsewhere."""
        each = self.form.ways * STAGES * POSITIONS
        return each * len(self.steps), each * len(TURNS) * (TURNED_STEPS + VIEWS)

    @cached_property
    def windows(self) -> list[tuple[Place, list[Turn]]]:
        """The windows that are searched each by itself, and their turns."""
        return list(windows(self.picture, self.plane, self.form.level))

    def levelled(self, warp: Warp) -> tuple[Plane, NDArray[np.uint8]]:
        """Return the levelled cells of a net, and which of them lie in the picture; the others are 0."""
        cells, inside = warp.read(self.picture)
        return self.form.level(cells) * inside, inside


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One peak, where it was found, and the number of tests for which its p-value is corrected."""

    place: Place
    turn: Turn
    seen: Complex  # turned
    peak: Peak
    tests: int

    @property
    def log10_p(self) -> float:
        return corrected(log10_rademacher_tail(self.peak.score), self.tests)


class Search:
    """The candidates of one detection under one key, best first, and what they prove."""

    def __init__(self, key: Key, fpr: float, form: Form = DWT_DCT) -> None:
        self.key, self.fpr, self.method, self.ways = key, fpr, form.name, form.ways
        self.carriers, self.payload_key = carriers_for(key, form.name), payload_key(key, form.name)
        self.candidates: list[Candidate] = []
        self.best: Candidate | None = None  # by p-value
        self.checked = 0  # MACs compared
        self.decoded: tuple[Candidate, int, bytes] | None = None  # the payload, its nonce and where it was read
        self._tried: set[Candidate] = set()

    def add(self, place: Place, turns: list[Turn], tests: int, count: int) -> None:
        """Search a place, as one of ``tests`` hypotheses, and keep its ``count`` best peaks."""
        if place.seen is None:
            return
        tiles = np.stack([turn(place.seen) for turn in turns])
        found = [
            Candidate(place, turn, seen, peak, tests)
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
            payload, nonce, compared = self.read(candidate)
            self.checked += compared
            if payload is not None:
                self.decoded = candidate, nonce, payload
                return True
        return False

    def read(self, candidate: Candidate) -> tuple[bytes | None, int, int]:
        """Return (payload, nonce, MACs compared), trying the nonce as read and with its doubtful signs turned."""
        peak = candidate.peak
        llr = soft_bits(candidate.seen, self.carriers, peak)
        checked = 0
        for turned in (None, *np.argsort(np.abs(peak.agreement))[:DOUBTFUL_SIGNS]):
            signs = peak.signs.copy()
            if turned is not None:
                signs[turned] *= -1
            nonce = nonce_of(signs)
            decoded = payload_code.decode(llr, self.payload_key, nonce)
            checked += decoded.candidates
            if decoded:
                return decoded.payload, nonce, checked
        return None, 0, checked

    def conclude(self, look: Look) -> Detection:
        """Return what was found in that picture."""
        best = self.best
        if best is None:
            reason = "inconclusive: too little signal (flat, or a few lines only) to tell a mark from none"
            return Detection(0.0, self.fpr, key_id=self.key.id, reasons=(reason,))
        nothing = Detection(best.log10_p, self.fpr, key_id=self.key.id, tests=best.tests)
        if self.decoded is not None:
            at, nonce, payload = self.decoded
            log10_p = either(best.log10_p, self.authenticated)
            return self.found(replace(nothing, log10_p_value=log10_p, payload=payload), look, at, nonce)
        return self.found(nothing, look, best, nonce_of(best.peak.signs)) if self.sure else nothing

    @property
    def authenticated(self) -> float:
        """The log10 p-value of a payload that a MAC proved, for all MACs compared, in each of the ways to read."""
        return corrected(payload_code.log10_p_value(self.checked), self.ways)

    def found(self, found: Detection, look: Look, at: Candidate, nonce: int, alone: bool = True) -> Detection:
        """Add to what was found where that is, and what happened to the picture.

        Where a mark is not ``alone``, its geometry is taken from where it is: the presence costs 2 ms.
        """
        step, known = at.place.step, self.known(at, nonce, found.payload)
        if alone and at.place.warp is None:
            plane, net = look.plane(step), None
            coverage = Coverage(Upright.of(plane, look.spectrum(step), known, step, look.shape).presence)
        else:
            reading, plane = self.reading(look, at, known)
            if not alone:
                plane = plane * reading.at_cells(reading.presence())
            net = reading.warp if isinstance(reading.warp, Warp) else None
            coverage = Coverage(reading.presence)
        net = settled(net or self._net(at), plane, at.turn, known.tile)
        return replace(found, method=self.method, geometry=self.geometry(look, at, nonce, net), coverage=coverage)

    def geometry(self, look: Look, at: Candidate, nonce: int, net: Warp | None = None) -> Geometry:
        """Return what happened to the picture, if the mark is there."""
        shift = np.array(at.peak.shift) - self.carriers.shifts[nonce]
        return (net or self._net(at)).geometry(look.shape, at.turn.matrix, shift)

    @staticmethod
    def _net(at: Candidate) -> Warp:
        # Upright cells are a net too, of which one mesh says all.
        return at.place.warp or Warp(at.place.step * SPACING * np.moveaxis(np.mgrid[:2, :2], 0, 2).astype(np.float64))

    def known(self, at: Candidate, nonce: int, payload: bytes | None) -> Known:
        """Return what is known of a mark: the pilots, and the payload where there is one."""
        values = self.carriers.values(payload_code.encode(payload or b"", self.payload_key, nonce), nonce)
        if payload is None:
            values[: payload_code.CODE_BITS] = 0
        return Known(self.carriers, values, at.peak.shift, at.turn)

    def reading(self, look: Look, at: Candidate, known: Known) -> tuple[Reading, Plane]:
        """Correlate the picture, place by place, with what is known; return the levelled plane too that was read."""
        warp, step = at.place.warp, at.place.step
        if warp is None:
            plane = look.plane(step)
            return Reading.of(plane, known.pattern(look.spectrum(step)), step, look.shape), plane
        plane, inside = look.levelled(warp)
        tile = known.pattern(spectrum(plane))
        reading = Reading.of(plane, tile, warp, look.shape)
        if not reading.stands_out():
            # The net was found without the key: where the mark is weak or bent it may be cells off.
            warp = warp.moved(bending(plane, inside, tile))
            plane, _ = look.levelled(warp)
            reading = Reading.of(plane, known.pattern(spectrum(plane)), warp, look.shape)
        return reading, plane
