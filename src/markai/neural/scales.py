"""What surrounds the two bare networks: how their inputs are scaled and what their outputs mean.

One text for torch and NumPy, so that what was trained is what runs: ``xp`` is either module, and arrays are planes of
that module, all of one shape. A network takes its inputs stacked along the channels and returns two planes, ``gain``
and ``more``.
"""

from collections.abc import Callable
from typing import Any

MULTIPLE = 16  # what both sides of a network's planes are multiples of
LEVEL_GAIN = 4.0  # brings a levelled plane, whose rms is about 0.3, near one
WRITER_REACH, READER_REACH = 3.0, 4.0  # most that a gain may be, as the logarithm of a factor
FITS = 2  # times that a change is scaled and clipped
LEAST_ENERGY = 1e-6  # of a plane, in squared grey levels: below it nothing is scaled


def writer_inputs(plane: Any, start: Any, pattern: Any, allowed: Any) -> list[Any]:
    """Return the writer's four inputs: cells 0..255, the hand-made change in grey levels, its tile, what hides."""
    return [plane / 64 - 2, start / 2, pattern, allowed / 4]


def reader_inputs(plane: Any, level: Any) -> list[Any]:
    """Return the reader's two inputs: cells 0..255 and what ``_kernels.whiten`` makes of them."""
    return [plane / 64 - 2, level * LEVEL_GAIN]


def written(xp: Any, start: Any, allowed: Any, gain: Any, more: Any) -> Any:
    """Return the change that the writer wants, in grey levels, before :func:`fitted`."""
    return start * xp.exp(xp.clip(gain, -WRITER_REACH, WRITER_REACH)) + allowed * more


def levelled(xp: Any, level: Any, gain: Any, more: Any) -> Any:
    """Return the pattern that the reader sees, large where that is sure; ``LEVEL_GAIN`` times ``level`` untrained."""
    return level * LEVEL_GAIN * xp.exp(xp.clip(gain, -READER_REACH, READER_REACH)) + more


def fitted(xp: Any, change: Any, start: Any, limit: Any, energy: Callable[[Any], Any]) -> Any:
    """Scale a change to the ``energy`` of the start, no cell beyond +-``limit``; a start itself comes back as it is.

    What the limit takes from some cells the others make up for.
    """
    wanted = energy(start)
    for _ in range(FITS):
        change = xp.clip(change * xp.sqrt(wanted / energy(change)), -limit, limit)
    return change
