"""What a marked picture looked like, in two kilobytes, and whether another picture shows the same.

A mark can be lifted off one picture and laid over another, and then leads to the wrong record. So a record keeps a
sketch: the mean luma of some CELLS cells. Detection tells how the picture at hand was cut, turned and scaled, up to
whole periods of the mark. At each place that this leaves, the picture is read on the sketch's own grid, both are
levelled (each cell less the mean of its surroundings, over their deviation) and correlated where they overlap. The best
places are moved at their four corners, which takes up shear, perspective and small errors; the best correlation is the
score. How much it proves depends on how many cells it rests on: `evidence` counts standard deviations of chance.
`benchmarks/likeness.py` measures it; `docs/registry.md` tells the error rates behind SAME and DIFFERENT.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from markai._kernels import warp
from markai.detection import Coverage, Geometry
from markai.watermarks.carriers import TILE, step_for
from markai.watermarks.warps import Pyramid

CELLS = 2304  # about: 48 x 48
MOST_ACROSS = 255
HEADER = struct.Struct(">BIIBB")  # version, height, width, rows, columns
VERSION = 1

SURROUNDINGS = 5  # cells across, that a cell is levelled by
FLOOR = 4.0  # grey levels squared, added to the variance: noise in flat parts is no likeness
FAINT = 0.02  # mean square of what is levelled, below which a picture is flat: deviations of 0.3 grey levels
LEAST_OVERLAP = 0.5  # of the smaller of the two pictures
LEAST_CELLS = 40  # of an overlap, below which nothing is said
MARKED = 0.5  # presence from which a square counts as marked
SAMPLED = 1.5  # pixels per cell that are left when a picture is read, as in watermarks.warps

PLACES = 12  # of the best are settled, until one is
CLEAR = 0.8
MOVES = 4  # times that the corners are moved
STIFFNESS = 0.01  # against moving them, of the mean curvature
TINY = 1e-30
MOST_SCORE = 0.999  # that evidence is made of; the cells are rounded
FARTHEST = 3.0  # cells that a corner may move

SAME, DIFFERENT = 0.6, 0.45  # scores
SURE = 12.0  # evidence
FEW = 30  # cells that a score rests on, below which it does not prove a difference

Plane = NDArray[np.float32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Verdict = Literal["same", "different", "unclear"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a picture agrees with a sketch.

    ``score`` is their correlation at the best place: 1 at most, about 0 for unrelated pictures. It rests on as many
    cells of equal weight as ``support`` says: few where little overlaps, or where most is flat. ``share`` is how much
    of the picture at hand was compared. ``offset`` is where in the marked picture its upper left corner lies, (x, y);
    None where there was too little to compare: hardly any overlap, or nothing but one flat colour in both.

    >>> Agreement(0.9, 500, 1.0, (0.0, 0.0)).verdict, Agreement(0.9, 20, 1.0, (0.0, 0.0)).verdict
    ('same', 'unclear')
    """

    score: float
    support: float
    share: float
    offset: tuple[float, float] | None

    @property
    def evidence(self) -> float:
        """The score in standard deviations of what chance makes of so many cells (Fisher's transformation)."""
        return math.atanh(max(-MOST_SCORE, min(MOST_SCORE, self.score))) * math.sqrt(self.support)

    @property
    def verdict(self) -> Verdict:
        """``same`` or ``different`` where the score says so and rests on enough, else ``unclear``."""
        if self.offset is None or DIFFERENT < self.score < SAME:
            return "unclear"
        if self.score >= SAME:
            return "same" if self.evidence >= SURE else "unclear"
        return "different" if self.support >= FEW else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        figures = {name: getattr(self, name) for name in ("score", "evidence", "share")}
        return {"verdict": self.verdict, **{name: round(value, 4) for name, value in figures.items()}}


NOTHING = Agreement(-1.0, 0.0, 0.0, None)


def sketch(pixels: NDArray[Any], alpha: NDArray[Any] | None = None) -> bytes:
    """Return the sketch of canonical pixels (``image.open_picture``), what is transparent on white.

    >>> len(sketch(np.zeros((300, 400, 3), np.uint8)))
    2321
    """
    return _Sketch.of(on_white(pixels, alpha)).to_bytes()


def agreement(
    sketched: bytes,
    pixels: NDArray[Any],
    geometry: Geometry | None = None,
    coverage: Coverage | None = None,
    alpha: NDArray[Any] | None = None,
) -> Agreement:
    """Return how well canonical pixels agree with the sketch of a record.

    ``geometry`` and ``coverage`` are the detection's: how the picture was changed, and where the mark is (only there it
    is compared). Without a geometry it is taken for the whole picture, scaled.

    >>> picture = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8).repeat(50, 0).repeat(50, 1)
    >>> agreement(sketch(picture), picture).verdict, agreement(sketch(picture), picture[::-1].copy()).verdict
    ('same', 'different')

    Raises:
        ValueError: if the sketch is damaged.
    """
    kept = _Sketch.from_bytes(sketched)
    reader = _Reader(kept, on_white(pixels, alpha), None if coverage is None else coverage.presence)
    return reader.best(geometry or _whole(kept, reader.shape))


def on_white(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """Return canonical pixels as they look on a white page.

    >>> on_white(np.zeros((1, 2, 1), np.uint8), np.array([[0, 255]], np.uint8)).ravel().tolist()
    [255, 0]
    """
    if alpha is None:
        return pixels
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0
    share = (alpha.astype(np.float32) / np.float32(white))[..., None]
    shown = pixels * share + np.float32(white) * (1 - share)
    return np.asarray(np.rint(shown) if pixels.dtype.kind == "u" else shown, pixels.dtype)


@dataclass(frozen=True, slots=True)
class _Sketch:
    """``cells`` (rows, columns) of a picture of that size."""

    height: int
    width: int
    cells: NDArray[np.uint8]

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Self:
        height, width = pixels.shape[:2]
        side = math.sqrt(height * width / CELLS)
        rows, columns = (min(MOST_ACROSS, length, max(1, round(length / side))) for length in (height, width))
        empty = cls(height, width, np.zeros((rows, columns), np.uint8))
        cells, _ = _Reader(empty, pixels, None).read(empty.corners)
        return cls(height, width, np.clip(np.rint(cells), 0, 255).astype(np.uint8))

    def to_bytes(self) -> bytes:
        return HEADER.pack(VERSION, self.height, self.width, *self.cells.shape) + self.cells.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        if len(data) >= HEADER.size and data[0] == VERSION:
            _, height, width, rows, columns = HEADER.unpack_from(data)
            if height * width and rows * columns == len(data) - HEADER.size > 0:
                cells = np.frombuffer(data, np.uint8, offset=HEADER.size).reshape(rows, columns)
                return cls(height, width, cells)
        raise ValueError("this is not a sketch that this markai knows")

    @property
    def cell(self) -> Floats:
        """(2,): height and width of a cell."""
        return np.asarray(np.array([self.height, self.width]) / self.cells.shape, np.float64)

    @property
    def corners(self) -> Floats:
        """(2, 2, 2): where the corners (y, x) of a square of cells lie that holds the grid."""
        unit = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij"), axis=2)
        return np.asarray(unit * (self.cell * max(self.cells.shape)), np.float64)


class _Reader:
    """Reads a picture on the grid of a sketch, wherever its corners are put."""

    def __init__(self, kept: _Sketch, pixels: NDArray[Any], presence: Plane | None) -> None:
        self.kept, self.shape = kept, np.array(pixels.shape[:2])
        self._luma, self._presence = Pyramid(pixels), presence
        self._across = max(kept.cells.shape)
        t = (np.arange(self._across) + 0.5) / self._across
        rows, columns = (np.stack([1 - t, t])[:, :length] for length in kept.cells.shape)
        self._weights = (rows[:, None, :, None] * columns[None, :, None, :]).reshape(4, *kept.cells.shape)

    def read(self, corners: Floats) -> tuple[Plane, Mask]:
        """Return the cells (rows, columns) with the corners there in the picture, and which of them to compare."""
        size = math.sqrt(max(1e-9, self._area(corners)))
        reduction = max(1, min(int(size / SAMPLED), int(self.shape.min()) // 2))
        cells, inside = self._warped(self._luma.at(reduction), corners / reduction)
        seen = inside == 1
        if self._presence is not None:
            share, _ = self._warped(self._presence, corners * self._presence.shape / self.shape)
            seen &= share >= MARKED
        return cells, seen

    def best(self, geometry: Geometry) -> Agreement:
        """Return the agreement at the best of the places that a geometry leaves."""
        linear, offsets = _places(self.kept, self.shape, geometry)
        tried = []
        for offset in offsets:
            corners = (self.kept.corners - offset) @ linear.T
            tried.append((self._compared(corners, offset, *self.read(corners)), corners))
        found = NOTHING
        for compared, corners in sorted(tried, key=lambda each: -each[0].score)[:PLACES]:
            if compared.offset is None or found.score >= CLEAR:
                break
            if min(self.kept.cells.shape) < 2:  # there is no slope across a single row
                found = max(found, compared, key=lambda each: each.score)
            else:
                found = max(found, self._settled(compared, corners), key=lambda each: each.score)
        return found

    def _settled(self, found: Agreement, corners: Floats) -> Agreement:
        """Return the best of what moving the corners gives: Gauss-Newton on the levelled planes, a little blurred."""
        from scipy.ndimage import uniform_filter

        moved, offset = np.zeros((4, 2)), np.array(found.offset)[::-1]
        cells, seen = self.read(corners)
        for _ in range(MOVES):
            wanted, have = (uniform_filter(_levelled(plane, seen), 3) for plane in (self.kept.cells, cells))
            slopes = np.concatenate([(self._weights * slope)[:, seen] for slope in np.gradient(have)]).T
            curvature = slopes.T @ slopes
            stiff = STIFFNESS * np.trace(curvature) / len(curvature) + 1e-9
            change = np.linalg.solve(curvature + stiff * np.eye(8), slopes.T @ (wanted - have)[seen])
            moved = np.clip(moved + change.reshape(2, 4).T, -FARTHEST, FARTHEST)
            place = corners + moved.reshape(2, 2, 2) @ self._steps(corners)
            cells, seen = self.read(place)
            compared = self._compared(place, offset, cells, seen)
            if compared.offset is None:
                break
            found = max(found, compared, key=lambda each: each.score)
        return found

    def _compared(self, corners: Floats, offset: Floats, cells: Plane, seen: Mask) -> Agreement:
        """Return the correlation of the cells that are seen there."""
        count = np.count_nonzero(seen)
        if count < LEAST_CELLS:
            return NOTHING
        one, other = (_centred(_levelled(plane, seen), seen) for plane in (self.kept.cells, cells))
        powers = float((one * one).sum()), float((other * other).sum())
        if max(powers) < FAINT * count:
            return NOTHING
        score = float((one * other).sum()) / math.sqrt(max(math.prod(powers), TINY))
        support = _support(np.abs(one * other))
        share = min(1.0, float(count * self._area(corners) / self.shape.prod()))
        return Agreement(score, support, share, (float(offset[1]), float(offset[0])))

    def _steps(self, corners: Floats) -> Floats:
        """(2, 2): the steps (y, x) from cell to cell in the picture, down and across."""
        steps = np.stack([corners[1, 0] - corners[0, 0], corners[0, 1] - corners[0, 0]])
        return np.asarray(steps / self._across, np.float64)

    def _area(self, corners: Floats) -> float:
        return abs(float(np.linalg.det(self._steps(corners))))

    def _warped(self, plane: Plane, corners: Floats) -> tuple[Plane, NDArray[np.uint8]]:
        rows, columns = self.kept.cells.shape
        if min(plane.shape) < 2:  # the kernel interpolates between two
            plane = np.pad(plane, [(0, max(0, 2 - length)) for length in plane.shape], mode="edge")
        cells, inside = warp(plane, corners.astype(np.float32), self._across, float(plane.mean()))
        return cells[:rows, :columns], inside[:rows, :columns]


def _levelled(plane: NDArray[Any], seen: Mask) -> Floats:
    """Return each cell less the mean of its surroundings, over their deviation; 0 where nothing is seen."""
    from scipy.ndimage import uniform_filter

    def mean(values: Floats) -> Floats:
        return np.asarray(uniform_filter(values, SURROUNDINGS, mode="constant"), np.float64) / number

    inside = seen.astype(np.float64)
    number = np.asarray(uniform_filter(inside, SURROUNDINGS, mode="constant"), np.float64) + 1e-9
    detail = (plane - mean(plane * inside)) * inside
    return np.asarray(detail / np.sqrt(mean(detail * detail) + FLOOR), np.float64)


def _centred(plane: Floats, seen: Mask) -> Floats:
    return np.where(seen, plane - plane[seen].mean(), 0.0)


def _support(weights: Floats) -> float:
    """Return how many cells of equal weight weigh as much, but no more than the square of their rows, or columns.

    The cells along a straight line are one coincidence: two windows' borders lie on each other as a whole or not.
    """
    rows, columns = (_participants(weights.sum(axis=axis)) for axis in (1, 0))
    return min(_participants(weights), rows**2, columns**2)


def _participants(weights: Floats) -> float:
    return float(weights.sum() ** 2 / max(float((weights * weights).sum()), TINY))


def _whole(kept: _Sketch, shape: NDArray[np.int_]) -> Geometry:
    return Geometry(scale_x=float(shape[1]) / kept.width, scale_y=float(shape[0]) / kept.height)


def _places(kept: _Sketch, shape: NDArray[np.int_], geometry: Geometry) -> tuple[Floats, Iterator[Floats]]:
    """Return what takes steps (y, x) in the marked picture to such in the one at hand, and where that may begin.

    The geometry was told for one cell size of the mark; the size of the marked picture says which it really was.
    """
    ratio = geometry.period / (TILE * step_for(kept.height, kept.width)) if geometry.period else 1.0
    turn = math.radians(geometry.rotation)
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    linear = turned * [geometry.scale_y, -geometry.scale_x if geometry.flipped else geometry.scale_x] * ratio
    offset, period = np.array(geometry.offset[::-1]) / ratio, geometry.period / ratio
    outline = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * shape @ np.linalg.inv(linear).T
    low, high = outline.min(axis=0), outline.max(axis=0)
    size = np.array([kept.height, kept.width])
    if not period:
        return linear, iter([offset])
    least = LEAST_OVERLAP * np.minimum(high - low, size)
    first = np.ceil((least - offset - high) / period).astype(int)
    last = np.floor((size - least - offset - low) / period).astype(int)
    return linear, (
        offset + period * np.array([down, right])
        for down in range(first[0], last[0] + 1)
        for right in range(first[1], last[1] + 1)
    )
