"""Where in a received picture the mark is: the levelled cells against the whole known pattern, place by place.

Once a payload is decoded, every coefficient of the tile is known, not only the pilots. The tile with the rings weighted
as the picture shows them (a matched filter) is multiplied with the levelled cells; over a window the products sum to

    z = sum c_i / sqrt(sum c_i^2),

the statistic of ``sync`` at one place: about standard normal where the mark is not, 5 to 20 in a Gaussian window with a
deviation of 6 cells where it is. So a tenth of a tile suffices to tell. The presence of the mark in a square of the
grid is the posterior of "marked" against "not", at even odds, with z ~ N(0, 1) where it is not and
z ~ N(m, 1 + (SPREAD m)^2) where it is, since textures and flat parts hold more and less of it; m is taken from the
picture itself; neighbouring squares are alike. It is no p-value: it supposes that the mark is there, and says where.
How well it agrees with what was pasted over, and where it ends, is in docs/dwt-dct.md.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from markai.watermarks.carriers import FX, FY, POINTS, RING, RING_STARTS, TILE, Carriers, Complex, phase
from markai.watermarks.geometry import TURNS, Turn
from markai.watermarks.warps import SPACING, Floats, Plane, Warp

BLOCK = 8  # cells that are summed first; a square of the grid has at least as many
ACROSS = 32  # squares along the longer side, at most
NARROWEST, WIDEST = 6.0, 32.0  # cells: deviation of the window, widened by steps until the mark stands out
STANDS_OUT = 4.0  # mean of z where marked, less is taken for noise
SPREAD = 0.25  # of z where marked, over its mean
QUIET = 0.6  # of the median noise power: a window with less to correlate proves no more than one that has it
MOST_LLR = 15.0
NEARLY_ALL = 0.88  # share of the blocks at which a mark stands out: the net needs no bending
COUPLING, STEPS = 2.0, 6  # of a square with each of its four neighbours, in log odds


@dataclass(frozen=True)
class Reading:
    """The sums of c and c^2 over blocks of BLOCK x BLOCK cells, (n, m) each, and where they lie.

    ``warp`` is the net of the cells over a picture of ``shape``, or the size in pixels of upright ones.
    """

    products: Plane
    squares: Plane
    warp: Warp | float
    shape: tuple[int, int]
    size: tuple[int, int]  # of the plane, in cells

    @classmethod
    def of(cls, plane: Plane, tile: Plane, warp: Warp | float, shape: tuple[int, int]) -> "Reading":
        """Correlate a levelled plane of cells with a tile."""
        high, wide = (-(-side // TILE) * TILE for side in plane.shape)
        padded = np.zeros((high, wide), np.float32)
        padded[: plane.shape[0], : plane.shape[1]] = plane
        products = (padded.reshape(-1, TILE, wide // TILE, TILE) * tile[:, None]).reshape(high, wide)
        n, m = (-(-side // BLOCK) for side in plane.shape)
        squares = _block_sums(products * products)
        return cls(_block_sums(products)[:n, :m], squares[:n, :m], warp, shape, (plane.shape[0], plane.shape[1]))

    @cached_property
    def centres(self) -> Floats:
        """The (n, m, 2) centres (y, x) of the blocks, in pixels of the picture."""
        at = [BLOCK * (np.arange(count) + 0.5) for count in self.products.shape]
        if not isinstance(self.warp, Warp):
            return np.stack(np.meshgrid(at[0] * self.warp, at[1] * self.warp, indexing="ij"), axis=2)
        across = _between(self.warp.nodes, at[0] / SPACING)
        return _between(across.swapaxes(0, 1), at[1] / SPACING).swapaxes(0, 1)

    @property
    def cell(self) -> float:
        """The size of a cell at the centre of the picture, in pixels."""
        if not isinstance(self.warp, Warp):
            return float(self.warp)
        return math.sqrt(abs(float(np.linalg.det(self.warp.at(np.array(self.shape) / 2)[1]))))

    def presence(self) -> Plane:
        """Return the (rows, columns) presence of the mark, 0 to 1, on a grid over the picture."""
        cell = self.cell
        side = max(max(self.shape) / ACROSS, BLOCK * cell)
        grid = tuple(max(1, round(pixels / side)) for pixels in self.shape)
        usual = float(np.median(self.squares[self.squares > 0])) if self.squares.any() else 1.0
        maps = _on_grid(np.stack([self.products, self.squares, np.full_like(self.squares, QUIET * usual)]), self, grid)
        width = NARROWEST
        while True:
            z = _window(maps, [width * cell * n / pixels for n, pixels in zip(grid, self.shape, strict=True)])
            mean = _mean_where_marked(z)
            if mean > STANDS_OUT or width >= WIDEST:
                return _alike(_log_odds(z, mean))
            width *= math.sqrt(2)

    def stands_out(self) -> bool:
        """Whether the mark is at nearly all blocks that show anything: then the cells lie where they should."""
        blocks = self.squares > QUIET * np.median(self.squares)  # not those at the border of a turned picture
        return bool(blocks.any() and self.at_blocks(self.presence())[blocks].mean() > NEARLY_ALL)

    def at_blocks(self, presence: Plane) -> Plane:
        """Return the (n, m) presence at the blocks: that of the nearest square, 0 outside of the picture."""
        grid = np.array(presence.shape)
        at = np.floor(self.centres * grid / self.shape).astype(int)
        inside = ((at >= 0) & (at < grid)).all(axis=2)
        y, x = np.where(inside[..., None], at, 0).transpose(2, 0, 1)
        return np.where(inside, presence[y, x], np.float32(0))

    def at_cells(self, presence: Plane) -> Plane:
        """Return the presence at every cell of the plane that was correlated."""
        return self.at_blocks(presence).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[: self.size[0], : self.size[1]]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a mark: ``values`` (SYMBOLS,) are its signs, 0 where unknown; the tile's shift; its turn."""

    carriers: Carriers
    values: NDArray[np.float32]
    shift: tuple[float, float]
    turn: Turn

    @property
    def tile(self) -> Complex:
        """The (POINTS,) coefficients of the tile, each of unit size or 0."""
        carriers = self.carriers
        signs = np.ascontiguousarray(carriers.direction * self.values[carriers.symbol]).view(np.complex64)[:, 0]
        return np.asarray(signs * phase(slice(None), self.shift).conj(), np.complex64)

    def pattern(self, raw: Complex) -> Plane:
        """Return the (TILE, TILE) tile to correlate a levelled plane with, from the plane's (POINTS,) spectrum.

        The plane itself says how much of each ring is left: a ring counts by its gain over its noise.
        """
        waves = self.tile
        agreement, known, power = (
            np.add.reduceat(each, RING_STARTS)
            for each in ((self.turn(raw) * waves.conj()).real, np.abs(waves) ** 2, np.abs(raw) ** 2)
        )
        power /= np.diff(RING_STARTS, append=POINTS)
        gain = np.maximum(agreement / np.maximum(known, 1), 0)
        weight = gain / np.maximum(power - gain**2, 0.05 * power + 1e-12)
        return _turned(waves * weight[RING], self.turn)


@dataclass(frozen=True, slots=True)
class Upright:
    """All that a reading of upright cells needs, in a byte per cell: most detections are never asked where."""

    plane: NDArray[np.int8]
    raw: Complex
    known: Known
    step: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, plane: Plane, raw: Complex, known: Known, step: int, shape: tuple[int, int]) -> "Upright":
        """Round the levelled plane to a twentieth of its deviation."""
        flat = plane.ravel()
        scale = 20 / max(math.sqrt(float(flat @ flat) / flat.size), 1e-9)
        return cls(np.clip(plane * np.float32(scale), -127, 127).astype(np.int8), raw, known, step, shape)

    def presence(self) -> Plane:
        """Return what :meth:`Reading.presence` does."""
        return Reading.of(self.plane.astype(np.float32), self.known.pattern(self.raw), self.step, self.shape).presence()


def _turned(coefficients: Complex, turn: Turn) -> Plane:
    """Return the tile with these coefficients, as it lies in the plane that it was turned back from."""
    from scipy.fft import irfft2

    waves = np.zeros((TILE, TILE // 2 + 1), np.complex64)
    waves[FY, FX] = coefficients
    tile = irfft2(waves, overwrite_x=True)
    if turn is TURNS[0]:
        return np.asarray(tile, np.float32)
    # A cell at q of the mark is at R q of the plane, both counted from the same cell.
    back = turn.matrix.T.astype(int)
    y, x = np.mgrid[:TILE, :TILE]
    return np.asarray(tile[back[0, 0] * y + back[0, 1] * x, back[1, 0] * y + back[1, 1] * x], np.float32)


def _block_sums(values: Plane) -> Plane:
    ones = np.ones(BLOCK, np.float32)
    rows = (values.reshape(-1, BLOCK) @ ones).reshape(-1, BLOCK, values.shape[1] // BLOCK)
    return np.asarray(ones @ rows, np.float32)


def _between(nodes: Floats, at: Floats) -> Floats:
    """Interpolate along the first axis."""
    first = np.minimum(at.astype(int), len(nodes) - 2)
    part = (at - first)[:, None, None]
    return np.asarray(nodes[first] * (1 - part) + nodes[first + 1] * part)


def _on_grid(values: Plane, reading: Reading, grid: tuple[int, ...]) -> Floats:
    """Return (k, rows, columns): the (k, n, m) values of blocks, each dealt to the four squares around its centre."""
    at = reading.centres * np.array(grid) / reading.shape - 0.5
    inside = ((at > -1) & (at < grid)).all(axis=2)
    at, values = at[inside], values[:, inside]
    low = np.floor(at).astype(int)
    out = np.zeros((len(values), (grid[0] + 2) * (grid[1] + 2)))
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - np.array(corner) - (at - low)).prod(axis=1)
        y, x = (low + corner + 1).T
        for k, each in enumerate(values):
            out[k] += np.bincount(y * (grid[1] + 2) + x, each * share, out.shape[1])
    return out.reshape(-1, grid[0] + 2, grid[1] + 2)[:, 1:-1, 1:-1]


def _window(maps: Floats, widths: list[float]) -> Floats:
    """Return z in Gaussian windows of these deviations, in squares, around every square."""
    down, across = (
        np.exp(-(np.subtract.outer(np.arange(n), np.arange(n)) ** 2) / (2 * width**2))
        for n, width in zip(maps.shape[1:], widths, strict=True)
    )
    products, squares, least = maps
    power, floor = (down**2 @ each @ across**2 for each in (squares, least))
    return np.asarray((down @ products @ across) / np.sqrt(np.maximum(np.maximum(power, floor), 1e-20)))


def _log_odds(z: Floats, mean: float) -> Floats:
    """Return log P(marked) / P(not) of every square by itself."""
    variance = 1 + (SPREAD * mean) ** 2
    llr = (z**2 - (z - mean) ** 2 / variance - math.log(variance)) / 2
    return np.asarray(np.clip(np.where(z > mean, np.maximum(llr, 0), llr), -MOST_LLR, MOST_LLR))


def _mean_where_marked(z: Floats) -> float:
    """Return the mean of z where the mark is, by expectation and maximisation from where it is largest."""
    above = np.maximum(z, 0)
    mean = float((above**3).sum() / max((above**2).sum(), 1e-9))
    for _ in range(STEPS):
        marked = 1 / (1 + np.exp(-_log_odds(z, mean)))
        mean = max(STANDS_OUT, float((marked * z).sum() / marked.sum()))
    return mean


def _alike(llr: Floats) -> Plane:
    """Return the probability of "marked" in every square, neighbours being alike: an Ising field, by mean-field steps.

    Where grass or sky leaves a square undecided, those around it decide.
    """
    field = llr
    for _ in range(STEPS):
        spin = np.pad(np.tanh(field / 2), 1, mode="edge")
        field = llr + COUPLING * (spin[:-2, 1:-1] + spin[2:, 1:-1] + spin[1:-1, :-2] + spin[1:-1, 2:])
    return np.asarray(1 / (1 + np.exp(-field)), np.float32)
