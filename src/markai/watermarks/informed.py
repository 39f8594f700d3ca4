"""The embedder: a residual that pushes what the detector sees, not what the pixels are.

Informed embedding by gradient. The detector's view of the picture (whitened, cut into tiles, projected on the key's
symbols) is computed; symbols that are weak, in the whole picture or in a part of it that a crop may leave, ask for
more; the wish is pulled back through the detector's limiter to the cheapest residual (``_kernels.pull``), shaped by
what the eye forgives. Two rounds of that; a third gains 4 % of detection energy and costs a quarter of the time.
Against a blind residual of the same PSNR it gains a factor of 2 to 4 in detection energy. The detector knows nothing of
it, so it may improve without a change of format.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markai._kernels import fit_change, least_neighbour, neighbour_products, pull, smooth, whiten
from markai.payload import CODE_BITS
from markai.watermarks.carriers import POINTS, RING_STARTS, RINGS, SYMBOLS, Carriers, Complex
from markai.watermarks.tiles import Parts, Tiles, wishes

Plane = NDArray[np.float32]

ROUNDS = 2
STIFFNESS = 25.0  # |F| below which JPEG and noise would undo what is put there
PILOT_GAIN = 1.2  # amplitude of pilots against data
TILT = 0.3  # amplitudes rise with (radius)^TILT once the detector's levelling is undone
# Root mean square of the residual, in grey levels: a picture whose parts decode easily gets less, a hard one more, as
# the detection energy of its weakest part at NOMINAL compares to COMFORTABLE.
NOMINAL = 255 / 10 ** (42.0 / 20)
QUIETEST, LOUDEST = 255 / 10 ** (42.8 / 20), 255 / 10 ** (40.4 / 20)
COMFORTABLE = 1100.0
# Mean loss of SSIM that no picture exceeds, and its constant (0.03 * 255)^2: flat pictures get less than QUIETEST.
SSIM_LOSS, SSIM_C2 = 0.045, 58.5225
# Most that one cell changes, in grey levels: in a flat area, and more for each grey level of activity.
FLAT_LIMIT, LIMIT_SLOPE = 4.0, 0.5
ENOUGH = np.float32(25)  # activity, in grey levels, above which more hides no more

RING_TILT = ((np.arange(RINGS) + 1) / (RINGS / 2)) ** TILT


@dataclass(frozen=True, slots=True)
class Host:
    """The picture as the embedder sees it: planes of one value per cell.

    ``cells`` mean luma in grey levels, ``variance`` local variance, ``allowed`` how large a change hides (relative),
    ``limit`` the largest change that any cell gets.
    """

    cells: Plane
    variance: Plane
    allowed: Plane
    limit: Plane

    @classmethod
    def of(cls, cells: Plane, spread: Plane, opacity: Plane | None = None) -> "Host":
        """Judge how much each cell hides: flat areas little, texture much, transparent ones none.

        Activity is the contrast of a cell with its surroundings together with the contrast inside it (``spread``).
        The limit goes by the least activity of the neighbours, against ringing in the flat area beside an edge.
        """
        contrast = cells - smooth(cells, 8)
        variance = smooth(contrast * contrast, 4) + smooth(spread, 2)
        activity = np.sqrt(variance)
        hides = np.float32(0.9) + np.float32(0.22) * np.minimum(smooth(activity, 2), ENOUGH)
        allowed = hides * np.sqrt(hides)
        inside = np.minimum(smooth(least_neighbour(activity), 2), ENOUGH)
        limit = np.float32(FLAT_LIMIT) + np.float32(LIMIT_SLOPE) * inside
        return cls(cells, variance, allowed if opacity is None else allowed * opacity, limit)

    def loss(self, added: Plane) -> float:
        """Predict 1 - SSIM (Wang et al. 2004) of an independent residual from local variances."""
        energy = smooth(added * added, 2)
        return float((energy / (2 * self.variance + energy + SSIM_C2)).mean())


def residual(
    host: Host, carriers: Carriers, values: NDArray[np.float32], shift: tuple[int, int], strength: float
) -> Plane:
    """Return what to add to the cells (grey levels) for the detector to find ``values`` with the tile at ``shift``."""
    cells = host.cells
    tiles = Tiles((cells.shape[0], cells.shape[1]), carriers, values, shift)
    parts = Parts.of(tiles.down, tiles.across)
    amplitude = np.ones((tiles.down * tiles.across, SYMBOLS), np.float32)
    amplitude[:, CODE_BITS:] = PILOT_GAIN
    added = np.zeros_like(cells)
    scale, loudness, reached = np.ones(RINGS, np.float32), NOMINAL, 1.0
    for done in range(ROUNDS):
        if done:
            spectra = tiles.spectra(whiten(cells + added))
            scale = _ring_rms(spectra.sum(0))
            seen = tiles.symbols(spectra, scale)
            amplitude[:, :CODE_BITS] = wishes(seen[:, :CODE_BITS], parts)
            amplitude[:, CODE_BITS:] = PILOT_GAIN * wishes(seen[:, CODE_BITS:], parts)
            loudness = _loudness(seen[:, :CODE_BITS], parts, done / ROUNDS)
        step = pull(cells + added, tiles.plane(amplitude, scale / scale.mean() * RING_TILT), STIFFNESS) * host.allowed
        step *= np.float32(1 / max(rms_when_widened(step), 1e-9))
        if done:
            step += added * np.float32(np.sqrt(done) / reached)
        reached = loudness * strength * np.sqrt((done + 1) / ROUNDS)
        added = _fitted(step, host, reached, strength, 2 if done + 1 == ROUNDS else 1)
    quieter = np.sqrt(SSIM_LOSS * strength**2 / max(host.loss(added), 1e-9))
    return added if quieter >= 1 else added * np.float32(quieter)


def _loudness(seen: NDArray[np.float32], parts: Parts, share: float) -> float:
    """Return the rms for this picture: from the detection energy that its weakest part would have at NOMINAL.

    ``share`` is the share of NOMINAL's energy that was there when the symbols were seen.
    """
    sums = parts.member[: parts.large] @ seen
    energy = np.maximum(sums.mean(1), 0) ** 2 / np.maximum(sums.var(1), 1e-9)
    weakest = float(energy.min()) * CODE_BITS / share
    return float(np.clip(NOMINAL * (COMFORTABLE / max(weakest, 1e-3)) ** 0.35, QUIETEST, LOUDEST))


def rms_when_widened(cells: Plane) -> float:
    """Root mean square of a plane after bilinear interpolation to many pixels per cell."""
    square, beside, corner = neighbour_products(cells)
    return float(np.sqrt(max(0.0, 4 / 9 * square + 2 / 9 * beside + corner / 18) / cells.size))


def _ring_rms(coefficients: Complex) -> NDArray[np.float32]:
    """Return the (RINGS,) rms of the coefficients by ring."""
    power = np.add.reduceat(np.abs(coefficients) ** 2, RING_STARTS) / np.diff(RING_STARTS, append=POINTS)
    return np.asarray(np.sqrt(np.maximum(power, 1e-20)), np.float32)


def _fitted(added: Plane, host: Host, rms: float, strength: float, times: int) -> Plane:
    """Scale to an rms, within what black, white and the cells' limits leave room for."""
    limit = host.limit * np.float32(strength)
    for _ in range(times):  # what clipping takes away, the rest makes up for the next time
        added = fit_change(added, rms / max(rms_when_widened(added), 1e-9), host.cells, limit)
    return added
