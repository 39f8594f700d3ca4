"""At what strength a method reaches a mean PSNR, so that methods are compared at equal visibility."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from markai.bench import methods
from markai.bench.methods import Entry, Trial
from markai.bench.pictures import Source, spread
from markai.bench.plan import Settings
from markai.errors import MarkaiError, MethodError
from markai.metrics import psnr

PICTURES = 6
STEPS = 8  # of bisection, on a log scale from 1/8 to 8: the last is 3 % wide, 0.25 dB
RANGE = (0.125, 8.0)
MOST_DB = 100.0  # of pictures that did not change at all


def strength_for(entry: Entry, sources: Sequence[Source], settings: Settings) -> dict[str, Any]:
    """Return the strength at which the mean PSNR over a few pictures is the one wanted, and the PSNR reached.

    Raises:
        MethodError: if the method has no strength, or none in the range reaches that PSNR.
    """
    assert entry.psnr is not None
    method = methods.load(entry.name)
    if not method.adjustable:
        raise MethodError(f"{entry.name} has no strength to set - compare it at its default: {entry.name}")
    chosen = [(source.name, source.load(settings.short_side)) for source in spread(sources, PICTURES)]

    def mean_psnr(strength: float) -> float | None:
        """Return None where a method refuses that strength."""
        try:
            trials = (Trial.draw(settings.seed, entry.name, name) for name, _ in chosen)
            pairs = [
                (pixels, method.embed(pixels, trial, strength))
                for (_, pixels), trial in zip(chosen, trials, strict=True)
            ]
        except MarkaiError:
            return None
        return fmean(min(MOST_DB, psnr(before, after)) for before, after in pairs)

    low, high = map(math.log, RANGE)
    best: tuple[float, float] | None = None
    for _ in range(STEPS):
        middle = (low + high) / 2
        reached = mean_psnr(math.exp(middle))
        if reached is not None and (best is None or abs(reached - entry.psnr) < abs(best[1] - entry.psnr)):
            best = math.exp(middle), reached
        # What is refused is refused for being too weak to be read back, or for being out of range: go to the middle.
        too_loud = reached < entry.psnr if reached is not None else middle > 0
        low, high = (low, middle) if too_loud else (middle, high)
    if best is None or abs(best[1] - entry.psnr) > 1:
        raise MethodError(f"no strength of {entry.name} reaches {entry.psnr:g} dB - leave out the @{entry.psnr:g}dB")
    return {"strength": best[0], "psnr": round(best[1], 3), "pictures": [name for name, _ in chosen]}
