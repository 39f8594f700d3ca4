"""The embedder: a residual that pushes what the detector sees, not what the pixels are.

Informed embedding by gradient. The detector's view of the picture (whitened, cut into tiles, projected on the key's
symbols) is computed; symbols that are weak, in the whole picture or in a part of it that a crop may leave, ask for
more; the wish is pulled back through the detector's limiter to the cheapest residual (``_kernels.pull``), shaped by
what the eye forgives. One such round where cells are large; where they are small, rounds that look at the picture as
it is and as it will be after the attacks of ``foreseen``. Against a blind residual of the same PSNR it gains a factor
of 2 to 4 in detection energy. The detector knows nothing of it, so it may improve without a change of format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import fit_change, least_neighbour, neighbour_products, pull, smooth, whiten
from markai.payload import CODE_BITS
from markai.watermarks.carriers import POINTS, RING_RADIUS, RING_STARTS, RINGS, SYMBOLS, TILE, Carriers, Complex
from markai.watermarks.foreseen import View, as_it_is
from markai.watermarks.tiles import Parts, Tiles, wishes

Plane = NDArray[np.float32]

ROUNDS = 2  # times that each view is taken where attacks are foreseen
SHARE, SHARE_ALONE = 0.4, 0.6  # of the amplitude that a round replaces, and where there is one round only
STIFFNESS = 25.0  # |F| below which JPEG and noise would undo what is put there
# Amplitude of pilots against data: enough where the payload decides, and for where the pilots turn out too weak.
PILOT_GAINS = 0.9, 1.2
TILT = 0.3  # amplitudes fall with (radius)^TILT once the detector's levelling is undone
# Root mean square of the residual, in grey levels: a picture that decodes easily gets less, a hard one more, as what
# its weakest view lacks at NOMINAL says.
NOMINAL = 255 / 10 ** (42.0 / 20)
QUIETEST, LOUDEST = 255 / 10 ** (42.8 / 20), 255 / 10 ** (40.4 / 20)
LOUDER = 0.35  # exponent from lack of energy to amplitude; 0.5 would make up for all of it
COMFORTABLE = 700.0  # detection energy of the weakest half-sided window: 10 % of the picture may be what is left
# Mean loss of SSIM that no picture exceeds: flat and dark ones get less than QUIETEST. Its constants are (0.01 * 255)^2
# and (0.03 * 255)^2.
SSIM_LOSS, SSIM_C1, SSIM_C2 = 0.034, 6.5025, 58.5225
# Most that one cell changes, in grey levels: in a flat area, and more for each grey level of activity.
FLAT_LIMIT, LIMIT_SLOPE = 4.0, 0.5
FITS = 2  # times that the residual is scaled and clipped
DARK = 2.0, 8.0  # grey levels: black hides a quarter of what mid-grey does, this much light nearly three quarters
ENOUGH = np.float32(25)  # activity, in grey levels, above which more hides no more

PATTERN_REACH = 12.0  # cycles per tile
RING_PATTERN = np.exp(-((RING_RADIUS / PATTERN_REACH) ** 2))
RING_TILT = (((np.arange(RINGS) + 1) / (RINGS / 2)) ** TILT).astype(np.float32)


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
        """Judge how much each cell hides: flat and black areas little, texture much, transparent ones none.

        Activity is the contrast of a cell with its surroundings together with the contrast inside it (``spread``).
        The limit goes by the least activity of the neighbours, against ringing in the flat area beside an edge.
        """
        contrast = cells - smooth(cells, 8)
        variance = smooth(contrast * contrast, 4) + smooth(spread, 2)
        activity = np.sqrt(variance)
        hides = np.float32(0.9) + np.float32(0.22) * np.minimum(smooth(activity, 2), ENOUGH)
        light = np.sqrt((cells * cells + DARK[0] ** 2) / (cells * cells + DARK[1] ** 2))
        allowed = hides * np.sqrt(hides) * light
        inside = np.minimum(smooth(least_neighbour(activity), 2), ENOUGH)
        limit = np.float32(FLAT_LIMIT) + np.float32(LIMIT_SLOPE) * inside
        return cls(cells, variance, allowed if opacity is None else allowed * opacity, limit * light)

    def loss(self, added: Plane) -> float:
        """Predict 1 - SSIM (Wang et al. 2004) of a residual, within a third of what is measured on most pictures.

        Its window, of 1.5 pixels, is about a cell. What changes slowly costs luminance, which counts in the dark only;
        the rest is independent of the picture and costs contrast.
        """
        mean = smooth(added, 1)
        energy = smooth((added - mean) ** 2, 1)
        contrast = energy / (2 * self.variance + energy + SSIM_C2)
        luminance = mean**2 / (2 * self.cells * (self.cells + np.abs(mean)) + mean**2 + SSIM_C1)
        return float((contrast + luminance).mean())


def residual(
    host: Host,
    carriers: Carriers,
    values: NDArray[np.float32],
    shift: tuple[int, int],
    strength: float,
    foreseen: Sequence[View] = (),
    pilot_gain: float = PILOT_GAINS[0],
) -> Plane:
    """Return what to add to the cells (grey levels) for the detector to find ``values`` with the tile at ``shift``.

    The mark starts blind and at full strength. Each round looks at the marked picture as it is, or as it will be
    received, and replaces a part of the mark by what would help most there.
    """
    cells = host.cells
    tiles = Tiles((cells.shape[0], cells.shape[1]), carriers, values, shift)
    parts = Parts.of(tiles.down, tiles.across)
    wished = np.ones((tiles.down * tiles.across, SYMBOLS), np.float32)
    wished[:, CODE_BITS:] = pilot_gain
    rms, needs = NOMINAL, {}
    blind = pull(cells, tiles.plane(wished, RING_TILT), STIFFNESS) * host.allowed
    added = _fitted(blind, host, rms, strength)
    share = SHARE if foreseen else SHARE_ALONE
    for view in [View(as_it_is, COMFORTABLE), *foreseen] * (ROUNDS if foreseen else 1):
        received, back = view.seen(cells + added)
        spectra = tiles.spectra(whiten(received))
        scale = _ring_rms(spectra.sum(0))
        seen = tiles.symbols(spectra, scale)
        wished[:, :CODE_BITS] = wishes(seen[:, :CODE_BITS], parts)
        wished[:, CODE_BITS:] = pilot_gain * wishes(seen[:, CODE_BITS:], parts)
        energy = _energy(seen[:, :CODE_BITS], parts, 1 if view.seen is not as_it_is else parts.large)
        needs[view] = view.enough / (energy * (NOMINAL / rms) ** 2 + 1e-3)
        rms = float(np.clip(NOMINAL * max(needs.values()) ** LOUDER, QUIETEST, LOUDEST))
        better = back(pull(received, tiles.plane(wished, scale / scale.mean() * RING_TILT), STIFFNESS)) * host.allowed
        added = _fitted(_mixed(added, better, share), host, rms, strength)
    return _quietened(added, host, strength)


def scaled(change: Plane, host: Host, strength: float) -> Plane:
    """Return a change of full strength at another one, within what the picture leaves room for."""
    limit = host.limit * np.float32(strength)
    return _quietened(fit_change(change, strength, host.cells, limit), host, strength)


def pattern(host: Host, carriers: Carriers, values: NDArray[np.float32], shift: tuple[int, int]) -> Plane:
    """Return the tile that all of a mark stands for, of rms 1, falling with exp(-(radius / PATTERN_REACH)^2)."""
    tiles = Tiles((host.cells.shape[0], host.cells.shape[1]), carriers, values, shift)
    plane = tiles.plane(np.ones((tiles.down * tiles.across, SYMBOLS), np.float32), 1 / RING_PATTERN)
    return np.asarray(plane / np.sqrt((plane[:TILE, :TILE] ** 2).mean()), np.float32)


def _quietened(added: Plane, host: Host, strength: float) -> Plane:
    quieter = np.sqrt(SSIM_LOSS * strength**2 / max(host.loss(added), 1e-9))
    return added if quieter >= 1 else added * np.float32(quieter)


def _energy(seen: NDArray[np.float32], parts: Parts, count: int) -> float:
    """Return the detection energy D^2 of the weakest of the first ``count`` parts."""
    sums = parts.member[:count] @ seen
    return float((np.maximum(sums.mean(1), 0) ** 2 / np.maximum(sums.var(1), 1e-9)).min()) * CODE_BITS


def _mixed(plane: Plane, other: Plane, share: float) -> Plane:
    """Replace a share of a plane's amplitude by another's; only the direction of the result counts."""
    ratio = share / np.sqrt(1 - share**2) * rms_when_widened(plane) / max(rms_when_widened(other), 1e-9)
    return plane + other * np.float32(ratio)


def rms_when_widened(cells: Plane) -> float:
    """Root mean square of a plane after bilinear interpolation to many pixels per cell."""
    return float(np.sqrt(max(0.0, widened(*neighbour_products(cells))) / cells.size))


def widened(square: Any, beside: Any, corner: Any) -> Any:
    """Return the sum of squares, one cell counted as one, of a plane interpolated bilinearly to many pixels per cell.

    ``square`` sums the squares of its cells, ``beside`` the products of neighbours along both axes, ``corner`` those
    along both diagonals, as ``_kernels.neighbour_products`` does; numbers, arrays or tensors.
    """
    return 4 / 9 * square + 2 / 9 * beside + corner / 18


def _ring_rms(coefficients: Complex) -> NDArray[np.float32]:
    """Return the (RINGS,) rms of the coefficients by ring."""
    power = np.add.reduceat(np.abs(coefficients) ** 2, RING_STARTS) / np.diff(RING_STARTS, append=POINTS)
    return np.asarray(np.sqrt(np.maximum(power, 1e-20)), np.float32)


def _fitted(added: Plane, host: Host, rms: float, strength: float) -> Plane:
    """Scale to an rms, within what black, white and the cells' limits leave room for."""
    limit = host.limit * np.float32(strength)
    for _ in range(FITS):  # what clipping takes away, the rest makes up for the next time
        added = fit_change(added, rms * strength / max(rms_when_widened(added), 1e-9), host.cells, limit)
    return added
