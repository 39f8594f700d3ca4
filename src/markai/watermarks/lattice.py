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

from markai._kernels import sum_samples, whiten
from markai.watermarks.carriers import TILE
from markai.watermarks.warps import Floats, Plane, Pyramid, Warp

WORKING = 448  # the picture is looked at as if it had this many pixels squared
ENLARGED = 1.5  # at most, where it has fewer: peaks of small tiles get as wide as those of others
QUIET = np.float32(0.25)  # of the contrast is left when levelling: what JPEG rounds to nothing is no evidence
REACH = 0.7  # of a window's side: how far its autocorrelation is looked at
LEAST_TILE, MOST_TILE = 32, 0.7  # sides of a tile: working pixels, and share of the window's shorter side
LEAST_SINE, MOST_ASPECT = 0.5, 2.6  # of the angle and of the lengths of a tile's sides
LOUDEST = 6.0  # power of one frequency, in means of its neighbours
MAXIMA = 32  # peaks of which every two are tried as sides of the tile
PARTS = [(0.25, 0.25), (0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)]  # where windows of half the sides begin
SEEDS = 8  # lattices of parts that are tried against all parts
KEPT_WHOLE, KEPT_PARTS = 2, 1  # candidates of the whole picture, and of its parts
BENDS = np.linspace(-0.12, 0.12, 13)  # perspective tried, along each axis: 1 / (1 + bend) at one side of the picture
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
        multiples = np.stack([i, j])[:, (i > 0) | ((i == 0) & (j > 0))].astype(np.float32)
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
        sides = _sides_at(tiles, bends, self.centres - centre).astype(np.float32)
        lags = np.ascontiguousarray((sides @ self.multiples).swapaxes(2, 3))  # (n, windows, multiples, 2)
        seen = np.asarray((np.abs(lags) < self.reach - 1).all(axis=3))
        overlap = np.where(seen, (1 - np.abs(lags) / self.size.astype(np.float32)).prod(axis=3), 0).sum((1, 2))
        points = np.where(seen[..., None], lags + self.reach.astype(np.float32), np.float32(-1))
        return np.asarray(sum_samples(self.maps, points) / np.sqrt(np.maximum(overlap, 1e-3)), np.float64)

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

    def _peaks(self) -> Floats:
        """Return the (n, 2) highest local maxima of the first map, one of each two that mirror each other."""
        from scipy.ndimage import maximum_filter

        high, wide = (int(side) for side in self.reach)
        half = self.maps[0][:, wide - 2 :]  # two columns more, for the neighbours of the first
        y, x = np.mgrid[-high : high + 1, -2 : wide + 1]
        radius = np.hypot(y, x)
        summit = (half >= maximum_filter(half, 5)) & (half > 0) & (x >= 0) & (np.abs(y) < high) & (x < wide)
        summit &= (radius >= LEAST_TILE) & (radius <= MOST_TILE * self.size.min()) & ((x > 0) | (y > 0))
        rows, columns = np.nonzero(summit)
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


def _climb(windows: Windows, start: Candidate, reach: Floats) -> Candidate:
    """Improve a candidate by random steps of at most ``reach`` (6,) that shrink where none helps."""
    rounds, steps = CLIMB
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
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        mine = upright(candidate.tile)
        if all(np.abs(mine - upright(other.tile)).max() > 0.03 * np.abs(mine).max() for other in kept):
            kept.append(candidate)
    return kept[:count]


def of_the_whole(plane: Plane) -> list[Candidate]:
    """Return the best affine candidates for a levelled plane, best first."""
    windows = Windows.of(plane, [(0, 0)], 1, 3)
    flat, centre = np.zeros(2), windows.centres[0]
    seeds = [Candidate(score, tile, flat, centre) for score, tile in windows.seeds(3 * KEPT_WHOLE)]
    reach = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    return _distinct([_climb(windows, seed, reach) for seed in _distinct(seeds, KEPT_WHOLE)], KEPT_WHOLE)


def of_the_parts(plane: Plane) -> list[Candidate]:
    """Return the best homographies for a levelled plane, best first: lattices of one part tried against all."""
    windows = Windows.of(plane, PARTS, 0.5, 2)
    each = [(score, tile, k) for k in range(len(windows.maps)) for score, tile in windows.one(k).seeds(2)]
    bends = np.stack(np.meshgrid(BENDS, BENDS), axis=2).reshape(-1, 2) / max(plane.shape)
    started = []
    for _, tile, k in sorted(each, key=lambda seed: -seed[0])[:SEEDS]:
        scores = windows.score(np.broadcast_to(tile, (len(bends), 2, 2)), bends, windows.centres[k])
        best = int(scores.argmax())
        started.append(Candidate(float(scores[best]), tile, bends[best], windows.centres[k]))
    started.sort(key=lambda candidate: -candidate.score)
    reach = np.array([1.0] * 4 + [0.02 / max(plane.shape)] * 2)
    return _distinct([_climb(windows, start, reach) for start in started[:KEPT_PARTS]], KEPT_PARTS)


def working_plane(picture: Pyramid) -> tuple[Plane, float]:
    """Return the picture at about WORKING pixels squared, levelled, and how many pixels one of those has."""
    height, width = picture.shape
    pixel = max(1 / ENLARGED, float(np.sqrt(height * width)) / WORKING)
    net = Warp.of(picture.shape, np.eye(2) * pixel, np.zeros(2), np.zeros(2))
    plane, inside = picture.read(net.nodes, pixel, 1.0)
    rows, columns = int(inside.any(axis=1).sum()), int(inside.any(axis=0).sum())
    return whiten(plane[:rows, :columns] * QUIET), pixel
