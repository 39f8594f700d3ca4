"""What a watermark method is, and how methods are found by name."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from markai.detection import Detection
from markai.errors import MarkaiError, MethodError
from markai.keys import Key

AUTO = "auto"  # the learned mark where its networks can run, else dwt-dct
GROUP = "markai.watermarks"  # the entry-point group through which other packages add methods


@runtime_checkable
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


@runtime_checkable
class CollageMark(Watermark, Protocol):
    """A mark of which several in one picture can be told apart; ``markai.detect_all`` takes one for the others."""

    def find_all(self, look: Any, key: Key, fpr: float = 1e-6) -> list[Detection]:
        """Return every mark of a key, the surest first; that there is any where there is none has the chance fpr."""


@runtime_checkable
class GlancingMark(Watermark, Protocol):
    """A mark that can be looked for cheaply where nobody tried to hide it, such as before marking again."""

    def glance(self, look: Any, key: Key, fpr: float = 1e-6) -> Detection:
        """Return what the likeliest place holds, without geometry; the p-value is one as that of ``find``."""


@runtime_checkable
class TensorMark(Watermark, Protocol):
    """A mark that is written and read where tensors lie; ``markai.embed`` and ``detect`` do so for those on a GPU.

    Tensors are (B, 1 or 3, H, W) uint8, uint16 or floats in [0, 1], RGB. A method without it gets a copy on the host.
    """

    def embed_tensors(
        self, pixels: Any, key: Key, payloads: Sequence[bytes], strength: float = 1.0, alpha: Any = None
    ) -> Any:
        """Return a new tensor of the same shape, dtype and device that carries one payload per picture.

        ``alpha`` is (B, 1, H, W) of the same dtype, or None. Raise CapacityError where a picture cannot carry its own.
        """

    def look_tensor(self, pixels: Any) -> Any:
        """Return what ``look`` does, of one tensor (1 or 3, H, W)."""


@runtime_checkable
class BitMark(Protocol):
    """A mark made by others that hides a fixed number of bits; it knows no key and states no p-value.

    Pixels are (H, W, 3) uint8 RGB, a message is (bits,) uint8 of 0 and 1. Such a method can be benchmarked
    (``markai bench``), with messages drawn at random: then the matching bits of a picture without a mark are exactly
    Binomial(bits, 1/2) whatever the method does. Making one costs little; what is heavy is loaded at its first use.
    """

    name: str
    bits: int
    adjustable: bool  # whether ``strength`` changes anything

    def embed(self, pixels: NDArray[np.uint8], message: NDArray[np.uint8], strength: float = 1.0) -> NDArray[np.uint8]:
        """Return marked pixels of the same shape; raise CapacityError where the picture cannot carry the message."""

    def extract(self, pixels: NDArray[np.uint8], strength: float = 1.0) -> NDArray[np.uint8]:
        """Return the message read; it always answers. Quantisers need the strength of embedding, others ignore it."""


def glance(mark: Watermark, look: Any, key: Key, fpr: float = 1e-6) -> Detection:
    """Look where a mark likeliest is, where the method can; search as ever where it cannot."""
    return mark.glance(look, key, fpr) if isinstance(mark, GlancingMark) else mark.find(look, key, fpr)


def reads_back(mark: Watermark, look: Any, key: Key, payload: bytes, fpr: float = 1e-6) -> bool:
    """Whether a fresh mark is read; where a glance, which is quick, does not do, the search has the last word."""
    return glance(mark, look, key, fpr).payload == payload or mark.find(look, key, fpr).payload == payload


@cache
def load(name: str) -> Watermark:
    """Return the keyed method of that name, built in or from another package; ``"auto"`` is the best that can run.

    >>> load("dwt-dct").name
    'dwt-dct'

    Raises:
        MethodError: if there is none, it cannot be loaded, or it knows no keys.
    """
    if name == AUTO:
        name = "learned" if "learned" in keyed_names() else "dwt-dct"
    if name not in names():
        raise _unknown(name)
    method = load_any(name)
    if not isinstance(method, Watermark):
        raise MethodError(f"{name!r} knows no keys, so nothing can be proved by it - it is for `markai bench` only")
    return method


@cache
def load_any(name: str) -> Watermark | BitMark:
    """Return a method, keyed or not: an installed one by its name, or ``package.module:attribute``.

    The attribute is called without arguments. Nothing but the benchmark takes such names, since they run code.

    >>> load_any("markai.watermarks.dwt_dct:DwtDct").name
    'dwt-dct'

    Raises:
        MethodError: if there is none, it cannot be loaded, or it is not a method.
    """
    points = [EntryPoint(name, name, GROUP)] if ":" in name else [*entry_points(group=GROUP, name=name)]
    if not points:
        raise _unknown(name)
    try:
        method = points[0].load()()
    except MarkaiError:
        raise
    except Exception as error:  # whatever the code of others raises
        said = f"{type(error).__name__}: {error}"
        raise MethodError(
            f"method {name!r} cannot be loaded ({said}) - repair or remove the package it is from"
        ) from error
    if not isinstance(method, Watermark | BitMark):
        raise MethodError(f"{name!r} is no method - it must have what markai.watermarks.Watermark or BitMark lists")
    return method


def names() -> list[str]:
    """Return the names of all installed methods, keyed or not.

    >>> "dwt-dct" in names()
    True
    """
    return sorted({point.name for point in entry_points(group=GROUP)})


def keyed_names() -> list[str]:
    """Return the names of the methods that know keys and can run here: those that detect tries by itself.

    A method may have an attribute ``searched``, false where it cannot run, or where others find its marks.

    >>> "dwt-dct" in keyed_names(), "both" in keyed_names()
    (True, False)

    Raises:
        MethodError: if an installed method cannot be loaded; passing it over might miss its marks.
    """
    methods = {name: load_any(name) for name in names()}
    return [
        name for name, method in methods.items() if isinstance(method, Watermark) and getattr(method, "searched", True)
    ]


def _unknown(name: str) -> MethodError:
    return MethodError(f"no watermark method {name!r} - installed: {', '.join(names()) or 'none'}")
