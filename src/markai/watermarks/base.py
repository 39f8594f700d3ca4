"""What a watermark method is, and how methods are found by name."""

from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from numpy.typing import NDArray

from markai.detection import Detection
from markai.errors import MethodError
from markai.keys import Key

GROUP = "markai.watermarks"  # the entry-point group through which other packages add methods


class Watermark(Protocol):
    """A mark in pixels. Pixels are (H, W, 1 or 3) uint8, uint16 or float32 in [0, 1], RGB, upright."""

    name: str

    def embed(
        self,
        pixels: NDArray[Any],
        key: Key,
        payload: bytes,
        strength: float = 1.0,
        alpha: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Return marked pixels of the same shape and dtype; raise CapacityError where the picture cannot carry it."""

    def look(self, pixels: NDArray[Any]) -> Any:
        """Return what detection sees of a picture before any key is used; one look serves many keys."""

    def find(self, look: Any, key: Key, fpr: float = 1e-6) -> Detection:
        """Return what is there under a key; the p-value is corrected for everything that this call tried."""


@cache
def load(name: str) -> Watermark:
    """Return the method of that name, built in or from another package.

    >>> load("dwt-dct").name
    'dwt-dct'

    Raises:
        MethodError: if there is none.
    """
    for point in entry_points(group=GROUP, name=name):
        method: Watermark = point.load()()
        return method
    raise MethodError(f"no watermark method {name!r} - installed: {', '.join(names()) or 'none'}")


def names() -> list[str]:
    """Return the names of all installed methods.

    >>> "dwt-dct" in names()
    True
    """
    return sorted({point.name for point in entry_points(group=GROUP)})
