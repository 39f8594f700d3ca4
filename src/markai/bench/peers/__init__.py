"""Methods made by others, as they come, to be measured beside markai's: ``peers.load("blind-watermark")``.

Each adapter says version, licence, bits, what ``strength`` does and where the weights are. None is a dependency.
"""

from collections.abc import Callable
from functools import cache, partial

from markai import watermarks
from markai.bench.peers.blind import BlindWatermark
from markai.bench.peers.controls import RandomBits
from markai.bench.peers.invisible import QuantisedChroma, RivaGan
from markai.bench.peers.learned import TorchScript, TrustMark, WatermarkAnything
from markai.errors import MarkaiError, MethodError
from markai.watermarks import BitMark, Watermark

PEERS: dict[str, Callable[[], BitMark]] = {
    "invisible-watermark/dwtDct": partial(QuantisedChroma, "dwtDct"),
    "invisible-watermark/dwtDctSvd": partial(QuantisedChroma, "dwtDctSvd"),
    "invisible-watermark/rivaGan": RivaGan,
    "blind-watermark": BlindWatermark,
    **{f"trustmark/{variant}": partial(TrustMark, variant) for variant in "BCPQ"},
    "videoseal": partial(TorchScript, "videoseal", "MARKAI_VIDEOSEAL_JIT"),
    "pixelseal": partial(TorchScript, "pixelseal", "MARKAI_PIXELSEAL_JIT"),
    "wam": WatermarkAnything,
    "control/random-bits": RandomBits,
}


@cache
def load(name: str) -> Watermark | BitMark:
    """Return a method by name: a peer, an installed one, or ``package.module:attribute``, which runs that code.

    What is heavy is loaded at its first use.

    >>> load("control/random-bits").bits, load("dwt-dct").name
    (64, 'dwt-dct')

    Raises:
        MethodError: if there is none of that name, or it lacks its weights.
        MissingExtraError: if it needs a package that is not installed; the message holds the pip line.
    """
    if name in PEERS:
        return PEERS[name]()
    if ":" in name or name in watermarks.names():
        return watermarks.load_any(name)
    known = ", ".join([*watermarks.names(), *names()])
    raise MethodError(f"no method {name!r} - choose from {known}, or give package.module:attribute")


def names() -> list[str]:
    """Return the names of all peers that are known, installed or not.

    >>> "blind-watermark" in names()
    True
    """
    return list(PEERS)


def available() -> dict[str, str | None]:
    """Return, for every peer, None where it can be used and otherwise the reason why not.

    >>> available()["control/random-bits"] is None
    True
    """
    return {name: _reason(name) for name in names()}


def _reason(name: str) -> str | None:
    try:
        load(name)
    except MarkaiError as error:
        return str(error)
    return None
