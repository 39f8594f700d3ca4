"""Every mark of one key in a picture that may be a collage: windows are searched one by one, then marks told apart.

Two marked pictures pasted beside each other have two lattices. Each is a quarter or half of the picture and noise to
the other. So beside the whole, as in plain detection, windows of all sizes are searched (``places.windows``), at cells
finer than the picture's own too. The hypotheses of plain detection may use half of the rate of false positives, all
windows together the other half, each alike (weighted Bonferroni): over the key, the chance that anything at all is
reported from content without this key's mark is at most ``fpr``, however many windows there are. A payload's MAC counts
once for every MAC that was compared anywhere in the picture.

Which windows are searched does not depend on what was found in others, so a mark that is found changes nothing about
the evidence for another: nothing is masked.
"""

from dataclasses import dataclass, replace

import numpy as np

from markai.detection import Detection, Geometry
from markai.keys import Key
from markai.stats import either
from markai.watermarks.carriers import TILE, nonce_of
from markai.watermarks.geometry import TURNS
from markai.watermarks.search import PEAKS, Candidate, Look, Search
from markai.watermarks.sync import POSITIONS, peak_at, seen_in

MOST_SURE, MOST_DOUBTFUL = 32, 8  # candidates that are decoded: those the pilots prove, and the best of the others
SAME_SHIFT = 1.5  # cells that two windows of one mark may differ by
SAME_GROUND = 0.5  # of the smaller coverage, beyond which two coverages show one mark
SAME_OFFSET, SAME_ROTATION, SAME_SCALE = 1 / 32, 0.3, 0.01  # of a tile, degrees, and relative: one lattice
MAP = 64  # points along each side at which coverages are compared


@dataclass(frozen=True, slots=True)
class _Mark:
    """A candidate that was decoded, or tried to, and what happened to the picture if the mark is there."""

    at: Candidate
    nonce: int
    payload: bytes | None
    geometry: Geometry


def find_all(look: Look, key: Key, fpr: float) -> list[Detection]:
    """Return every mark of a key, the surest first; see the module."""
    search = Search(key, fpr, look.form)
    _search_everywhere(look, search)
    marks = _decoded(look, search, _apart(search.candidates))
    found: list[tuple[_Mark, Detection]] = []
    for mark in sorted(marks, key=lambda mark: (mark.payload is None, -mark.at.peak.score)):
        alike = [(other, its) for other, its in found if mark.payload in (None, other.payload) or other.payload is None]
        if any(_line_up(mark, other) for other, _ in alike):
            continue
        detection = _detection(look, search, mark)
        if detection and not any(_same_ground(detection, its) for _, its in alike):
            found.append((mark, detection))
    return sorted((detection for _, detection in found), key=lambda detection: detection.log10_p_value)


def _search_everywhere(look: Look, search: Search) -> None:
    """Find the peaks of all that plain detection may look at, and of all windows."""
    upright, turned = (2 * tests for tests in look.tests)
    for step in look.steps:
        search.add(look.upright(step), TURNS[:1], upright, PEAKS)
    for place in look.elsewhere():
        search.add(place, TURNS if place.warp else TURNS[1:], turned, 1)
    tests = 2 * look.form.ways * POSITIONS * sum(len(turns) for _, turns in look.windows)
    for place, turns in look.windows:
        search.add(place, turns, tests, 1)


def _apart(candidates: list[Candidate]) -> list[Candidate]:
    """Return the surest of the candidates, and of those that say the same of one lattice only the first."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda each: each.log10_p):
        if len(kept) == MOST_SURE + MOST_DOUBTFUL:
            break
        if not any(_one_lattice(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def _one_lattice(one: Candidate, other: Candidate) -> bool:
    if one.place.step != other.place.step or one.place.warp is not other.place.warp or one.turn is not other.turn:
        return False
    apart = np.subtract(one.peak.shift, other.peak.shift)
    return bool(np.abs((apart + TILE / 2) % TILE - TILE / 2).max() <= SAME_SHIFT)


def _decoded(look: Look, search: Search, candidates: list[Candidate]) -> list[_Mark]:
    """Decode the candidates, and once more what a sure one's pilots cover; keep those with a payload or sure."""
    marks, doubtful = [], 0
    for candidate in candidates:
        sure = 10**candidate.log10_p <= search.fpr
        doubtful += not sure
        if doubtful > MOST_DOUBTFUL:
            break
        mark = _read(look, search, candidate)
        if sure and mark.payload is None:
            mark = _read(look, search, _focused(look, search, candidate))
        if sure or mark.payload is not None:
            marks.append(mark)
    return marks


def _read(look: Look, search: Search, candidate: Candidate) -> _Mark:
    payload, nonce, compared = search.read(candidate)
    search.checked += compared
    nonce = nonce_of(candidate.peak.signs) if payload is None else nonce
    return _Mark(candidate, nonce, payload, search.geometry(look, candidate, nonce))


def _focused(look: Look, search: Search, at: Candidate) -> Candidate:
    """Return the candidate with what is seen where its pilots are, and only there."""
    nonce = nonce_of(at.peak.signs)
    reading, plane = search.reading(look, at, search.known(at, nonce, None))
    seen = seen_in(plane * reading.at_cells(reading.presence()))
    if seen is None:
        return at
    seen = at.turn(seen)
    peak = peak_at(seen, search.carriers, at.peak.shift, nonce)
    return replace(at, seen=seen, peak=replace(at.peak, agreement=peak.agreement))


def _detection(look: Look, search: Search, mark: _Mark) -> Detection:
    at = mark.at
    proved = either(at.log10_p, search.authenticated)
    log10_p = at.log10_p if mark.payload is None else proved
    found = Detection(log10_p, search.fpr, mark.payload, key_id=search.key.id, tests=at.tests)
    return search.found(found, look, at, mark.nonce, alone=False)


def _line_up(mark: _Mark, other: _Mark) -> bool:
    """Whether two marks are of one picture (its nonce tells) whose tiles line up, in one place or several."""
    one, its = mark.geometry, other.geometry
    if mark.nonce != other.nonce or one.flipped != its.flipped or one.period != its.period:
        return False
    apart = np.subtract(one.offset, its.offset) / one.period
    return (
        bool(np.abs(apart - np.round(apart)).max() <= SAME_OFFSET)
        and abs((one.rotation - its.rotation + 180) % 360 - 180) <= SAME_ROTATION
        and max(abs(one.scale_x / its.scale_x - 1), abs(one.scale_y / its.scale_y - 1)) <= SAME_SCALE
    )


def _same_ground(one: Detection, other: Detection) -> bool:
    """Whether two marks cover the same part of the picture."""
    maps = [each.coverage.to_image(MAP, MAP).astype(np.float32) for each in (one, other) if each.coverage]
    return bool(np.minimum(*maps).sum() > SAME_GROUND * min(each.sum() for each in maps))
