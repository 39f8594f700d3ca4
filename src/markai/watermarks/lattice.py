"""Candidates for the geometry of a picture, from the mark's repetition alone: no key is used.

The mark repeats every TILE cells, so the autocorrelation of the levelled picture has peaks on a lattice whose basis is
the tile's two sides as they are received: scales, rotation, shear and mirror, up to the eight symmetries of the square.
Under perspective the lattice changes from place to place: then five parts of the picture, each with its
own autocorrelation, agree on one homography.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markai._kernels import lattice_scores, whiten
from markai.watermarks.carriers import TILE
from markai.watermarks.warps import Floats, Plane, Pyramid, Warp

WORKING = 448  # the picture is looked at as if it had this many pixels squared
ENLARGED = 1.5  # at most, where it has fewer: peaks of small tiles get as wide as those of others
QUIET = np.float32(0.25)  # of the contrast is left when levelling: what JPEG rounds to nothing is no evidence
REACH = 0.7  # of a window's side: how far its autocorrelation is looked at
LEAST_TILE, MOST_TILE = 32, 0.7  # sides of a tile: working pixels, and share of the window's shorter side
LEAST_SINE, MOST_ASPECT = 0.5, 2.6  # of the angle and of the lengths of a tile's sides
LOUDEST = 6.0  # power of one frequency, in means of its neighbours
HIGHEST = 1500  # points among which peaks are looked for
MAXIMA = 32  # peaks of which every two are tried as sides of the tile
PARTS = [(y / 4, x / 4) for y in range(3) for x in range(3)]  # where windows of half the sides begin
CORNERS = (0, 2, 4, 6, 8)  # and the middle: those of PARTS whose own lattices are looked at
SEEDS = 8  # lattices of single parts that are tried against all parts
STARTS = 3  # of those, and of the nearly upright ones, how many are improved a little, and the best of them fully
NEARLY = 0.2  # of a tile's side: how far the sides of a nearly upright tile may be from it
KEPT_UPRIGHT, KEPT_WHOLE, KEPT_PARTS = 2, 2, 1  # candidates: upright squares, of the whole picture, and of its parts
BENDS = np.linspace(-0.16, 0.16, 11)  # perspective tried, along each axis: 1 / (1 + bend) at one side of the picture
CLIMB = 24, 40  # rounds of random steps, and steps in each


@dataclass(frozen=True, slots=True)
class Candidate:
    """``score`` in standard deviations of the noise; ``tile`` (2, 2) its sides (down, across) as columns (y, x) in
    working pixels as they are at ``centre``, ``bend`` (2,) as in :meth:`Warp.of`."""

    score: float
    tile: Floats
    bend: Floats
    centre: Floats

    def warp(self, shape: tuple[int, int], pixel: float) -> Warp:
        """Return the net over a picture of that shape, of which a working pixel has ``pixel`` pixels."""
        return Warp.of(shape, upright(self.tile) * pixel / TILE, self.bend / pixel, self.centre * pixel)


@dataclass(frozen=True, slots=True)
class Windows:
    """The autocorrelations (n, 2 r + 1, 2 s + 1) of equal windows of one plane, and how well a lattice fits them.

    ``centres`` (n, 2) and ``size`` (2,) are the windows'; ``multiples`` (2, m) are the lattice vectors that count.
    """

    maps: Plane
    centres: Floats
    size: Floats
    multiples: Plane

    @classmethod
    def of(cls, plane: Plane, begins: Sequence[tuple[float, float]], share: float, order: int) -> "Windows":
        """Take the windows that begin at shares (y, x) of the plane and have ``share`` of its sides."""
        height, width = (int(share * side) for side in plane.shape)
        corners = (np.array(begins) * plane.shape).astype(int)
        maps = autocorrelations(np.stack([plane[y : y + height, x : x + width] for y, x in corners]))
        i, j = (a.ravel() for a in np.mgrid[-order : order + 1, -order : order + 1])
        half = (i > 0) | ((i == 0) & (j > 0))
        multiples = np.stack([i[half], j[half]]).astype(np.float32)
        size = np.array([height, width], np.float64)
        return cls(maps, corners + size / 2, size, multiples)

    @property
    def reach(self) -> Floats:
        """The largest lag (y, x) that the maps hold."""
        return (np.array(self.maps.shape[1:]) - 1) / 2

    def one(self, k: int) -> "Windows":
        """Return one of the windows alone."""
        return Windows(self.maps[k : k + 1], self.centres[k : k + 1], self.size, self.multiples)

    def score(self, tiles: Floats, bends: Floats, centre: Floats) -> NDArray[np.float64]:
        """Return for each of (n, 2, 2) tiles with (n, 2) bends how much the maps show at its lattice, normalised."""
        sides = _sides_at(tiles, bends, self.centres - centre).astype(np.float32, order="C")
        return np.asarray(lattice_scores(self.maps, sides, self.multiples, *self.size.tolist()), np.float64)

    def seeds(self, count: int) -> list[tuple[float, Floats]]:
        """Return (score, tile) of the best lattices of the first window, from every two of its highest peaks."""
        peaks = self._peaks()
        one, other = np.triu_indices(len(peaks), 1)
        # A peak with itself, turned by 90 degrees: the mark is a square unless somebody made it another.
        turned = peaks[:, ::-1] * [1, -1]
        sides = np.stack([np.concatenate([peaks[one], peaks]), np.concatenate([peaks[other], turned])], axis=2)
        length = np.hypot(sides[:, 0], sides[:, 1])
        sine = np.abs(np.linalg.det(sides)) / np.maximum(length.prod(axis=1), 1e-9)
        plain = length.max(axis=1) <= MOST_ASPECT * length.min(axis=1)
        sides = sides[(sine >= LEAST_SINE) & plain]
        scores = self.score(sides, np.zeros((len(sides), 2)), self.centres[0])
        best = np.argsort(-scores, kind="stable")[:count]
        return [(float(scores[k]), reduced(sides[k])) for k in best]

    def near(self, tile: Floats, bends: Floats, centre: Floats) -> Floats:
        """Return the (n, 2, 2) best tiles about ``tile`` for (n, 2) bends, each side for itself.

        The windows' maps are laid over each other where the bend puts that side, and the highest point is taken: at
        fewer hypotheses than any lattice has, a mark is found by half of the score.
        """
        reach = int(NEARLY * np.abs(tile).max())
        span = np.arange(-reach, reach + 1)
        padded = np.pad(self.maps, ((0, 0), (reach, reach), (reach, reach)))
        limit = np.array(self.maps.shape[1:]) - 1
        sides = _sides_at(np.broadcast_to(tile, (len(bends), 2, 2)), bends, self.centres - centre)
        corners = np.clip(np.rint(sides + self.reach[:, None]), 0, limit[:, None]).astype(int)
        best = np.broadcast_to(tile, (len(bends), 2, 2)).copy()
        for k, axis in np.ndindex(len(bends), 2):
            total = np.zeros((len(span), len(span)), np.float32)
            for plane, (y, x) in zip(padded, corners[k, :, :, axis].tolist(), strict=True):
                total += plane[y : y + len(span), x : x + len(span)]
            best[k, :, axis] += span[list(np.unravel_index(np.argmax(total), (len(span), len(span))))]
        return best

    def _peaks(self) -> Floats:
        """Return the (n, 2) highest local maxima of the first map, one of each two that mirror each other."""
        high, wide = (int(side) for side in self.reach)
        half = self.maps[0][:, wide - 2 :]  # two columns more, for the neighbours of the first
        y, x = np.mgrid[-high : high + 1, -2 : wide + 1]
        square = y * y + x * x
        allowed = (square >= LEAST_TILE**2) & (square <= (MOST_TILE * self.size.min()) ** 2)
        allowed &= (x >= 0) & ((x > 0) | (y > 0)) & (np.abs(y) <= high - 2) & (x <= wide - 2)
        values = np.where(allowed, half, 0).ravel()
        # The highest points only: their neighbours are looked at one by one.
        rows, columns = np.divmod(np.argpartition(-values, min(HIGHEST, values.size - 1))[:HIGHEST], half.shape[1])
        rows, columns = rows[allowed[rows, columns]], columns[allowed[rows, columns]]
        around = np.mgrid[-2:3, -2:3].reshape(2, -1, 1)
        summit = half[rows, columns] >= half[rows + around[0], columns + around[1]].max(axis=0)
        rows, columns = rows[summit], columns[summit]
        best = np.argsort(-half[rows, columns], kind="stable")[:MAXIMA]
        rows, columns = rows[best], columns[best]
        fine = [
            _vertex(half[rows - dy, columns - dx], half[rows, columns], half[rows + dy, columns + dx])
            for dy, dx in ((1, 0), (0, 1))
        ]
        return np.stack([rows - high + fine[0], columns - 2 + fine[1]], axis=1).astype(np.float64)


def _vertex(before: Plane, at: Plane, after: Plane) -> Plane:
    """Return where between -1/2 and 1/2 a parabola through three samples is highest."""
    curve = np.minimum(before - 2 * at + after, -1e-9)
    return np.asarray(np.clip((before - after) / (2 * curve), -0.5, 0.5))


def autocorrelations(windows: Plane) -> Plane:
    """Return the (n, 2 r + 1, 2 s + 1) autocorrelations of (n, h, w) levelled windows, lag 0 in the middle.

    Each is in units of its own noise, at lags where the windows overlap in full. No frequency counts more than LOUDEST
    times what its neighbours do: a screen, a fence or rows of text must not drown the rest. Low-pass [1 2 1]/4 along
    both axes, which widens peaks to about the 1.5 pixels that a lattice may be off, and takes noise away.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.ndimage import uniform_filter

    sides = windows.shape[1:]
    high, wide = (int(REACH * side) for side in sides)
    shape = tuple(next_fast_len(side + lag, real=True) for side, lag in zip(sides, (high, wide), strict=True))
    power = np.abs(rfft2(windows, shape)) ** 2
    around = uniform_filter(power, (0, 9, 9), mode="wrap")
    power = np.minimum(power / np.maximum(around, 1e-6 * power.mean() + 1e-12), LOUDEST)
    low_y, low_x = np.cos(np.pi * np.fft.fftfreq(shape[0])) ** 2, np.cos(np.pi * np.fft.rfftfreq(shape[1])) ** 2
    lags = irfft2(power * np.outer(low_y, low_x).astype(np.float32), shape)
    maps = np.concatenate([lags[:, -high:], lags[:, : high + 1]], axis=1)
    maps = np.concatenate([maps[:, :, -wide:], maps[:, :, : wide + 1]], axis=2)
    y, x = np.ogrid[-high : high + 1 : 2, -wide : wide + 1 : 2]
    overlap = (1 - np.abs(y) / sides[0]) * (1 - np.abs(x) / sides[1])
    flat = np.abs(maps[:, ::2, ::2] / np.sqrt(overlap))[:, np.hypot(y, x) >= LEAST_TILE]
    deviation = np.median(flat, axis=1) / 0.6745  # of a normal distribution, from its median size
    return np.asarray(maps / np.maximum(deviation, 1e-12)[:, None, None], np.float32)


def _sides_at(tiles: Floats, bends: Floats, z: Floats) -> Floats:
    """Return the (n, m, 2, 2) tiles at (m, 2) places z from their centre, by the derivative of the homography."""
    far = 1 + bends @ z.T
    number = np.einsum("nab,mb->nma", _inverse(tiles), z) / far[..., None]
    slope = (_inverse(tiles)[:, None] - number[..., :, None] * bends[:, None, None, :]) / far[..., None, None]
    return _inverse(slope)


def _inverse(matrices: Floats) -> Floats:
    """Return the inverses of (..., 2, 2) matrices; ten times as fast as the general routine."""
    a, b, c, d = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 0], matrices[..., 1, 1]
    adjoint = np.stack([d, -b, -c, a], axis=-1).reshape(matrices.shape)
    return np.asarray(adjoint / (a * d - b * c)[..., None, None])


def reduced(tile: Floats) -> Floats:
    """Return the shortest basis of the same lattice (Lagrange and Gauss)."""
    u, v = tile.T
    while True:
        if u @ u > v @ v:
            u, v = v, u
        times = round(float(u @ v / (u @ u)))
        if not times:
            return np.stack([u, v], axis=1)
        v = v - times * u


def upright(tile: Floats) -> Floats:
    """Return the sides in the order and with the signs that point most down and right."""
    down, across = tile.T / np.hypot(*tile)[:, None]
    if abs(down[0]) + abs(across[1]) < abs(across[0]) + abs(down[1]):
        return upright(tile[:, ::-1])
    return tile * np.where([down[0] < 0, across[1] < 0], -1, 1)


def _climb(windows: Windows, start: Candidate, reach: Floats, share: float = 1.0) -> Candidate:
    """Improve a candidate by random steps of at most ``reach`` (6,) that shrink where none helps."""
    rounds, steps = int(share * CLIMB[0]), CLIMB[1]
    rng = np.random.default_rng(0)
    best, at, reach = start.score, np.concatenate([start.tile.ravel(), start.bend]), reach.copy()
    for _ in range(rounds):
        tried = at + reach * rng.standard_normal((steps, 6))
        scores = windows.score(tried[:, :4].reshape(-1, 2, 2), tried[:, 4:], start.centre)
        k = int(scores.argmax())
        if scores[k] > best:
            best, at = float(scores[k]), tried[k]
        else:
            reach *= 0.7
    return Candidate(best, at[:4].reshape(2, 2), at[4:], start.centre)


def _distinct(candidates: list[Candidate], count: int) -> list[Candidate]:
    """Return the best, and the best after it that are others."""
    kept: list[Candidate] = []
    for candidate in _best(candidates, len(candidates)):
        mine = upright(candidate.tile)
        if all(np.abs(mine - upright(other.tile)).max() > 0.03 * np.abs(mine).max() for other in kept):
            kept.append(candidate)
        if len(kept) == count:
            break
    return kept


def of_the_whole(plane: Plane) -> list[Candidate]:
    """Return the best affine candidates for a levelled plane, best first: of upright squares, and of all lattices.

    Few hypotheses need little evidence: a square that only its size is searched for is found where its score is 4.
    """
    windows = Windows.of(plane, [(0, 0)], 1, 3)
    flat, centre = np.zeros(2), windows.centres[0]
    sides = np.arange(LEAST_TILE, MOST_TILE * windows.size.min(), 0.125)[:, None, None] * np.eye(2)
    scores = windows.score(sides, np.zeros((len(sides), 2)), centre)
    squares = [Candidate(float(score), side, flat, centre) for score, side in zip(scores, sides, strict=True)]
    seeds = [Candidate(score, tile, flat, centre) for score, tile in windows.seeds(3 * KEPT_WHOLE)]
    reach = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    upright = [
        _climb(windows, square, np.array([0.25, 0, 0, 0.25, 0, 0])) for square in _distinct(squares, KEPT_UPRIGHT)
    ]
    found = [_climb(windows, seed, reach) for seed in _distinct(seeds, KEPT_WHOLE)]
    return _best(upright + found, KEPT_UPRIGHT + KEPT_WHOLE)


def of_the_parts(plane: Plane, sides: Sequence[float]) -> list[Candidate]:
    """Return the best homographies for a levelled plane, best first.

    Started from tiles that are nearly upright with one of the ``sides``, in working pixels, and from the lattices of
    single parts.
    """
    windows = Windows.of(plane, PARTS, 0.5, 2)
    bends = np.stack(np.meshgrid(BENDS, BENDS), axis=2).reshape(-1, 2) / max(plane.shape)
    middle = np.array(plane.shape) / 2

    def started(tiles: Floats, centre: Floats, count: int) -> list[Candidate]:
        scores = windows.score(tiles, bends, centre)
        best = np.argsort(-scores, kind="stable")[:count]
        return [Candidate(float(scores[k]), tiles[k], bends[k], centre) for k in best]

    nearly = [
        candidate
        for side in sides
        if side * (1 - NEARLY) < windows.reach.min()
        for candidate in started(windows.near(np.eye(2) * side, bends, middle), middle, STARTS)
    ]
    each = [(score, tile, k) for k in CORNERS for score, tile in windows.one(k).seeds(2)]
    others = [
        candidate
        for _, tile, k in sorted(each, key=lambda seed: -seed[0])[:SEEDS]
        for candidate in started(np.broadcast_to(tile, (len(bends), 2, 2)), windows.centres[k], 1)
    ]
    reach = np.array([1.0] * 4 + [0.02 / max(plane.shape)] * 2)
    # The two kinds are not compared before: of the others there were more, and the best of many is high by chance.
    better = [_climb(windows, each, reach, 0.4) for each in _best(nearly, STARTS) + _best(others, 1)]
    return _distinct([_climb(windows, each, reach) for each in _best(better, KEPT_PARTS)], KEPT_PARTS)


def _best(candidates: list[Candidate], count: int) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: -candidate.score)[:count]


def working_plane(picture: Pyramid) -> tuple[Plane, float]:
    """Return the picture at about WORKING pixels squared, levelled, and how many pixels one of those has."""
    height, width = picture.shape
    pixel = max(1 / ENLARGED, float(np.sqrt(height * width)) / WORKING)
    net = Warp.of(picture.shape, np.eye(2) * pixel, np.zeros(2), np.zeros(2))
    plane, inside = picture.read(net.nodes, pixel, 1.0)
    rows, columns = int(inside.any(axis=1).sum()), int(inside.any(axis=0).sum())
    return whiten(plane[:rows, :columns] * QUIET), pixel
