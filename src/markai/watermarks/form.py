"""What differs between the marks that share the tile: the name under which keys deal it, and two networks or none.

A form may level the cells in its own way before they are read and refine what is written. Both see the picture only
and never the key, so the bound on the p-value holds for any form (see ``sync``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from markai._kernels import whiten

if TYPE_CHECKING:
    import torch

    from markai.watermarks.informed import Host
    from markai.watermarks.tensors.informed import Host as TensorHost

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Form:
    """How one method reads and writes planes of cells.

    ``level`` returns the plane (H, W) from cells in grey levels in which the tile is looked for. ``refine`` returns
    what to add instead, given the host, what the informed writer would add and the tile's pattern of rms 1; all are
    (H, W) float32. ``on`` returns both for tensors (B, 1, H, W) on a device; they are those of ``dwt-dct`` without it.
    """

    name: str
    level: Callable[[Plane], Plane] = whiten
    refine: "Callable[[Host, Plane, Plane], Plane] | None" = None
    on: "Callable[[torch.device], OnDevice] | None" = None


@dataclass(frozen=True, slots=True)
class OnDevice:
    """``level`` and ``refine`` of a form for tensors (B, 1, H, W)."""

    level: "Callable[[torch.Tensor], torch.Tensor]"
    refine: "Callable[[TensorHost, torch.Tensor, torch.Tensor], torch.Tensor] | None" = None


DWT_DCT = Form("dwt-dct")
