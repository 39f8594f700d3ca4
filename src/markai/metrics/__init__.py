"""How much two pictures differ. Every metric of the benchmark is a row of :data:`METRICS`.

Pictures are arrays of the same shape and dtype: uint8, uint16, or float in [0, 1]; the reference comes first.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from markai.errors import MethodError
from markai.metrics.colour import ciede2000
from markai.metrics.learned import LPIPS_SIDE, SSIMULACRA2_SIDE, lpips, ssimulacra2
from markai.metrics.pixels import common_peak, psnr
from markai.metrics.structure import WINDOW, ms_ssim, ssim

__all__ = [
    "DEFAULT",
    "METRICS",
    "Metric",
    "ciede2000",
    "lpips",
    "measure",
    "ms_ssim",
    "psnr",
    "ssim",
    "ssimulacra2",
]


class Metric(NamedTuple):
    """A metric: what computes it, and what is to be known of it to run it and to read it."""

    function: Callable[[NDArray[Any], NDArray[Any]], float]
    title: str
    unit: str  # "" for a bare number
    higher_is_better: bool
    least_side: int  # pixels that the shorter side must have
    packages: tuple[str, ...] = ()  # of the extra "bench"
    cheap: bool = True  # at most 0.2 s per megapixel; the others take 1 to 4 s


METRICS = {
    "psnr": Metric(psnr, "PSNR", "dB", True, 1),
    "ssim": Metric(ssim, "SSIM", "", True, WINDOW),
    "ms_ssim": Metric(ms_ssim, "MS-SSIM", "", True, WINDOW),
    "ciede2000": Metric(ciede2000, "CIEDE2000", "ΔE", False, 1),
    "ssimulacra2": Metric(ssimulacra2, "SSIMULACRA 2", "", True, SSIMULACRA2_SIDE, ("ssimulacra2",), cheap=False),
    "lpips": Metric(lpips, "LPIPS", "", False, LPIPS_SIDE, ("onnxruntime",), cheap=False),
}
DEFAULT = tuple(name for name, metric in METRICS.items() if metric.cheap)


def measure(names: Iterable[str], first: NDArray[Any], second: NDArray[Any]) -> dict[str, float]:
    """Return the named metrics of ``second`` against the reference ``first``, both (H, W, 3).

    A metric that needs larger pictures is left out.

    >>> import numpy as np
    >>> gray = np.full((64, 64, 3), 128, np.uint8)
    >>> measure(["psnr", "ssim", "ssimulacra2"], gray, gray)
    {'psnr': inf, 'ssim': 1.0}

    Raises:
        MethodError: if there is no such metric, or LPIPS is asked for and has no network.
        ImageError: if the pictures differ in shape or dtype, or are not pictures.
        MissingExtraError: if a metric needs a package that is not installed.
    """
    wanted = list(names)
    if unknown := [name for name in wanted if name not in METRICS]:
        raise MethodError(f"no metric {unknown[0]!r} - choose from {', '.join(METRICS)}")
    common_peak(first, second)
    side = min(first.shape[:2])
    return {name: METRICS[name].function(first, second) for name in wanted if side >= METRICS[name].least_side}
