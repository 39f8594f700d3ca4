"""What differs between the marks that share the tile: the name under which keys deal it, and two networks or none.

A form may level the cells in its own way before they are read and refine what is written. Both see the picture only
and never the key, so the bound on the p-value holds for any form (see ``sync``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai._kernels import whiten

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OnDevice:
    """``level`` and ``refine`` of a form for tensors (B, 1, H, W); the host is that of ``tensors.informed``."""

    level: Callable[[Any], Any]
    refine: Callable[[Any, Any, Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """How one method reads and writes planes of cells.

    ``level`` returns the plane (H, W) from cells in grey levels in which the tile is looked for. ``refine`` returns
    what to add instead, given the host (``informed.Host``), what the informed writer would add and the tile's pattern
    of rms 1; all are (H, W) float32. ``on`` returns both for a torch device; without it they are those of ``dwt-dct``.
    ``ways`` is how many forms of one name a picture is read in: all that is tested is corrected for it.
    """

    name: str
    level: Callable[[Plane], Plane] = whiten
    refine: Callable[[Any, Plane, Plane], Plane] | None = None
    on: Callable[[Any], OnDevice] | None = None
    ways: int = 1


DWT_DCT = Form("dwt-dct")
