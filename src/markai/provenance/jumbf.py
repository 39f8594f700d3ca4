"""The boxes of a manifest store (JUMBF, ISO 19566-5): only what names its manifests."""

import struct
from collections.abc import Iterator

from markai.errors import SigningError

SUPERBOX, DESCRIPTION = b"jumb", b"jumd"
LABEL_AT = 17  # in a description box: 16 bytes of type, one of toggles


def labels(store: bytes) -> list[str]:
    """Return the labels of the manifests in a store, the active one last; of what is damaged, those before.

    >>> labels(b"no store")
    []
    """
    found = []
    for kind, start, end in _boxes(store, 0, len(store)):
        if kind == SUPERBOX:
            inner = [box for box in _boxes(store, start, end) if box[0] == SUPERBOX]
            found += [label for _, first, last in inner if (label := _label(store, first, last))]
    return found


def active_label(store: bytes) -> str:
    """Return the label of the active manifest of a store.

    Raises:
        SigningError: if there is none.
    """
    found = labels(store)
    if not found:
        raise SigningError("the manifest store holds no manifest - pass a whole one")
    return found[-1]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of the contents of the boxes in a range, as far as they are whole."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            return
        yield kind, start + 8, start + size
        start += size


def _label(data: bytes, start: int, end: int) -> str | None:
    for kind, first, last in _boxes(data, start, end):
        if kind == DESCRIPTION:
            return data[first + LABEL_AT : last].split(b"\0")[0].decode("utf-8", "replace") or None
    return None
