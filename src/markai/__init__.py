"""markai: mark what generative models make, prove it later.

>>> import markai, numpy
>>> key = markai.Key.generate()
>>> picture = numpy.random.default_rng(1).integers(60, 200, (512, 512, 3), dtype=numpy.uint8)
>>> marked = markai.embed(picture, key, payload=b"acme:42")
>>> markai.detect(marked, key).payload
b'acme:42'

The names below are loaded when they are first used, so that ``import markai`` costs a few milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markai.api import detect, detect_all, embed
    from markai.detection import Detection, Geometry
    from markai.errors import MarkaiError, NotDetected
    from markai.inspector import Inspector
    from markai.keys import Key, KeyRing
    from markai.marker import Marker
    from markai.provenance.signer import Signer
    from markai.provenance.signing import sign
    from markai.provenance.trust import Trust
    from markai.provenance.verifying import verify

__version__ = "0.1.0"

__all__ = [
    "Detection",
    "Geometry",
    "Inspector",
    "Key",
    "KeyRing",
    "MarkaiError",
    "Marker",
    "NotDetected",
    "Signer",
    "Trust",
    "detect",
    "detect_all",
    "embed",
    "sign",
    "verify",
]

_HOME = {
    "Detection": "detection",
    "Geometry": "detection",
    "Inspector": "inspector",
    "Key": "keys",
    "KeyRing": "keys",
    "MarkaiError": "errors",
    "Marker": "marker",
    "NotDetected": "errors",
    "Signer": "provenance.signer",
    "Trust": "provenance.trust",
    "detect": "api",
    "detect_all": "api",
    "embed": "api",
    "sign": "provenance.signing",
    "verify": "provenance.verifying",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'markai' has no attribute {name!r}")
    value = getattr(import_module(f"markai.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
