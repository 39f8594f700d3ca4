"""What a file may not make the validator do: reserve memory for text that is not there.

c2pa-rs 0.91 decodes CBOR by reserving what a text or byte string says that it has: 6 kB with a length of 4 GiB in it
cost 4 GB and half a minute, and an unfriendly file would not stop at one. So the strings in every CBOR box are held
against what is left of the data before c2pa sees it. Manifests that are packed (Brotli) cannot be looked into.
"""

import base64
import binascii
import html
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

HARMLESS = 1 << 20  # bytes that a string may claim in vain
MAX_ITEMS = 1_000_000  # in all boxes of a file; half a second
MAX_GIF_BLOCKS = 64
TAG, GIF_BLOCK = b"cbor", b"\x21\xff\x0bC2PA_GIF"
JPEG_APP11, JPEG_MARKER = 0xEB, re.compile(rb"\xff[^\x00\xff\xd0-\xd8]")
SVG_TEXT = re.compile(rb"manifest[^<>]{0,500}>(?:<!\[CDATA\[)?([^<]+)<?")
ENTRY_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
BYTES, TEXT = 2, 3  # major types of strings (RFC 8949, 3.1)


def claims_too_much(data: bytes, mime: str) -> bool:
    """Say whether a CBOR string in a file claims more bytes than there are, in any way that the file may hold it.

    >>> claims_too_much(b"\\0\\0\\0\\x0ccbor\\x7a\\xff\\xff\\xff\\xff", "application/c2pa")
    True
    """
    if mime == "image/gif" and data.count(GIF_BLOCK) > MAX_GIF_BLOCKS:
        return True
    return any(_box_claims_too_much(stream) for stream in _streams(data, mime))


def _streams(data: bytes, mime: str) -> Iterator[bytes]:
    """Yield what may hold boxes in one piece: the data, or what it holds in pieces or in another coding."""
    if mime == "image/jpeg":
        yield from _jpeg_boxes(data)
    elif mime == "image/gif":
        yield from _gif_blocks(data)
    elif mime == "image/svg+xml":
        for text in SVG_TEXT.findall(data):
            with suppress(binascii.Error):
                yield base64.b64decode(html.unescape(text.decode("latin-1")).encode("latin-1", "ignore"))
    else:
        yield data


def _jpeg_boxes(data: bytes) -> list[bytes]:
    """Return what the APP11 segments hold, joined by the number of their box; all but the first repeat its header."""
    boxes: dict[bytes, list[bytes]] = {}
    found = JPEG_MARKER.search(data, 2)
    while found:
        start = found.start()
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if data[start + 1] == JPEG_APP11:
            parts = boxes.setdefault(data[start + 6 : start + 8], [])
            parts.append(data[start + (20 if parts else 12) : end])
        found = JPEG_MARKER.search(data, max(end, start + 2))
    return [b"".join(parts) for parts in boxes.values()]


def _gif_blocks(data: bytes) -> Iterator[bytes]:
    """Yield the contents of the extensions that may hold a manifest."""
    for found in islice(re.finditer(re.escape(GIF_BLOCK), data), MAX_GIF_BLOCKS):
        at, parts = found.end() + 3, []
        while at < len(data) and data[at]:
            parts.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        yield b"".join(parts)


def _box_claims_too_much(stream: bytes) -> bool:
    budget, at = MAX_ITEMS, stream.find(TAG)
    while at >= 0:
        size = int.from_bytes(stream[at - 4 : at], "big") if at >= 4 else -1
        end = at - 4 + size if size >= 8 else len(stream)
        if size in (0, 1) or (size >= 8 and end <= len(stream)):
            budget = _walk(stream, at + 4, end, budget)
            if budget <= 0:
                return True
        at = stream.find(TAG, at + 4)
    return False


def _walk(stream: bytes, at: int, end: int, budget: int) -> int:
    """Go over the items of a box, one after the other however they are nested; return what is left of the budget.

    Nothing is left where a string claims too much.
    """
    while at < end and budget > 0:
        kind, info = stream[at] >> 5, stream[at] & 31
        width = ENTRY_BYTES.get(info, 0)
        value = int.from_bytes(stream[at + 1 : at + 1 + width], "big") if width else info
        at, budget = at + 1 + width, budget - 1
        if kind in (BYTES, TEXT) and info < 28:
            if value > max(len(stream) - at, HARMLESS):
                return 0
            at += value
    return budget
