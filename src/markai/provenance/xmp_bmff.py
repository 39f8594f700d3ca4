"""XMP packets in AVIF files (ISO/IEC 14496-12 and 23008-12): an item of type "mime" that describes the picture.

EXIF, which is only read, is an item as well.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from markai.errors import ImageError

CONTENT_TYPE, EXIF_TYPE = b"application/rdf+xml\0", b"Exif"
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
IN_FILE, IN_IDAT = 0, 1  # construction methods
MAX_ITEMS, MAX_DEPTH = 100_000, 10
MAX_EXTENTS = 200_000  # of all items together: one that takes no bytes in the table costs its writer nothing
MAX_METADATA = 16 << 20  # bytes of EXIF or XMP, of which extents may name the same ones over and over


class Box:
    """A box: its type, and where in the data it starts, its content starts, and it ends."""

    __slots__ = ("body", "end", "kind", "start")

    def __init__(self, kind: bytes, start: int, body: int, end: int) -> None:
        self.kind, self.start, self.body, self.end = kind, start, body, end


@dataclass(slots=True)
class Item:
    """Where the bytes of an item lie: one entry of an item location box (iloc)."""

    number: int
    method: int = IN_FILE
    reference: int = 0
    extents: list[tuple[int, int, int]] = field(default_factory=list)  # (index, offset, length)


@dataclass(slots=True)
class Meta:
    """The parts of a meta box that are needed here."""

    box: Box
    children: dict[bytes, Box]
    primary: int
    items: list[Item]
    packet_item: int | None
    exif_item: int | None
    last_item: int


def find(data: bytes) -> bytes | None:
    """Return the packet of a file, or None.

    Raises:
        ImageError: if the file is damaged.
    """
    try:
        meta = _meta(data)
        return _metadata(data, meta, meta.packet_item)
    except (struct.error, IndexError):
        raise _damaged() from None


def find_exif(data: bytes) -> bytes | None:
    """Return the EXIF data of a file from its TIFF header on, or None.

    Raises:
        ImageError: if the file is damaged.
    """
    try:
        meta = _meta(data)
        found = _metadata(data, meta, meta.exif_item)
        return found[4 + int.from_bytes(found[:4], "big") :] if found else None  # it starts with where the header is
    except (struct.error, IndexError):
        raise _damaged() from None


def _metadata(data: bytes, meta: Meta, number: int | None) -> bytes | None:
    item = next((each for each in meta.items if each.number == number), None)
    if item and sum(length for _, _, length in item.extents) > MAX_METADATA:
        raise _damaged()
    return _content(data, meta, item) if item else None


def contents(data: bytes) -> list[bytes] | None:
    """Return the bytes of every item of a picture file, None for a file that has no such items."""
    try:
        meta = _meta(data)
        return [_content(data, meta, item) for item in meta.items]
    except (ImageError, struct.error, IndexError):
        return None


def put(data: bytes, packet: bytes) -> bytes:
    """Return the file with another packet, which goes to its end; what the meta box moves is pointed to anew.

    Raises:
        ImageError: if the file is damaged or of a rare kind.
    """
    data = _with_known_sizes(data)
    meta = _meta(data)
    if meta.packet_item is None:
        number = meta.last_item + 1
        if number > 0xFFFF:
            raise _damaged()
        meta.items.append(Item(number))
    else:
        number = meta.packet_item
        data = _blanked(data, meta, number)
    item = next(each for each in meta.items if each.number == number)
    item.method, item.reference, item.extents = IN_FILE, 0, [(0, 0, len(packet))]
    fresh = meta.packet_item is None
    growth = len(_new_meta(data, meta, number, fresh)) - (meta.box.end - meta.box.start)
    for each in meta.items:
        if each.method == IN_FILE and each is not item:
            each.extents = [
                (index, offset + growth * (offset >= meta.box.end), length) for index, offset, length in each.extents
            ]
    item.extents = [(0, len(data) + growth + 8, len(packet))]
    moved = _with_moved_chunks(data, meta.box.end, growth)
    written = _new_meta(moved, meta, number, fresh)
    return b"".join(
        [moved[: meta.box.start], written, moved[meta.box.end :], struct.pack(">I4s", 8 + len(packet), b"mdat"), packet]
    )


def _damaged() -> ImageError:
    return ImageError(
        "the AVIF or HEIF file is damaged or of a rare kind - export it again, or sign with metadata=False"
    )


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else start + size
        if stop > end or stop < body:
            raise _damaged()
        yield Box(kind, start, body, stop)
        start = stop


def _with_known_sizes(data: bytes) -> bytes:
    """Return the file with the size of a last box that reaches "to the end" written out, to append another."""
    (last,) = deque(_boxes(data, 0, len(data)), maxlen=1) or [Box(b"", 0, 0, 0)]
    if data[last.start : last.start + 4] != bytes(4):
        return data
    return data[: last.start] + struct.pack(">I", last.end - last.start) + data[last.start + 4 :]


def _meta(data: bytes) -> Meta:
    box = next((each for each in _boxes(data, 0, len(data)) if each.kind == b"meta"), None)
    if box is None:
        raise _damaged()
    children = {each.kind: each for each in _boxes(data, box.body + 4, box.end)}
    if not {b"pitm", b"iloc", b"iinf"} <= children.keys():
        raise _damaged()
    pitm = children[b"pitm"].body
    (primary,) = struct.unpack_from(">H" if data[pitm] == 0 else ">I", data, pitm + 4)
    items = _locations(data, children[b"iloc"])
    located = {item.number for item in items}
    described: dict[bytes, int] = {}
    last = max(located, default=0)
    for number, kind in _entries(data, children[b"iinf"]):
        last = max(last, number)
        if number in located:
            described.setdefault(kind, number)
    return Meta(box, children, primary, items, described.get(CONTENT_TYPE), described.get(EXIF_TYPE), last)


def _entries(data: bytes, box: Box) -> Iterator[tuple[int, bytes]]:
    """Yield (item, type) of the item information: the content type of "mime" items, the item type of others."""
    start = box.body + (6 if data[box.body] == 0 else 8)
    for entry in _boxes(data, start, box.end):
        version = data[entry.body]
        if entry.kind != b"infe" or version not in (2, 3):
            continue
        wide = version == 3
        (number,) = struct.unpack_from(">I" if wide else ">H", data, entry.body + 4)
        at = entry.body + (10 if wide else 8)
        if data[at : at + 4] == b"mime":
            name_end = data.index(b"\0", at + 4, entry.end) + 1 if b"\0" in data[at + 4 : entry.end] else entry.end
            yield number, data[name_end : name_end + len(CONTENT_TYPE)]
        else:
            yield number, data[at : at + 4]


class _Fields:
    """Reads numbers of a given width one after the other."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def take(self, width: int) -> int:
        if self.at + width > self.end:
            raise _damaged()
        value = int.from_bytes(self.data[self.at : self.at + width], "big")
        self.at += width
        return value


def _locations(data: bytes, box: Box) -> list[Item]:
    """Return the item locations, base offsets added to the offsets."""
    fields = _Fields(data, box.body, box.end)
    version = fields.take(4) >> 24
    sizes = fields.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    if version > 2:
        raise _damaged()
    items, extents = [], 0
    for _ in range(min(fields.take(4 if version == 2 else 2), MAX_ITEMS)):
        item = Item(fields.take(4 if version == 2 else 2))
        item.method = fields.take(2) & 15 if version else IN_FILE
        item.reference = fields.take(2)
        base, count = fields.take(base_size), fields.take(2)
        extents += count
        if extents > MAX_EXTENTS:
            raise _damaged()
        for _ in range(count):
            index = fields.take(index_size) if version else 0
            item.extents.append((index, base + fields.take(offset_size), fields.take(length_size)))
        items.append(item)
    return items


def _new_locations(items: list[Item]) -> bytes:
    """Return an item location box of version 1: numbers of 2 bytes, offsets and lengths of 4, no base.

    With a base of 0, or an index, c2pa-rs 0.91 moves the items when it signs and writes wrong offsets: a picture that
    is lost. So there is an index only where one is used.
    """
    index_size = 4 * any(index for item in items for index, _, _ in item.extents)
    parts = [struct.pack(">BBBBBBH", 1, 0, 0, 0, 0x44, index_size, len(items))]
    for item in items:
        parts.append(struct.pack(">HHHH", item.number, item.method, item.reference, len(item.extents)))
        for index, offset, length in item.extents:
            parts.append(index.to_bytes(index_size, "big") + struct.pack(">II", offset, length))
    return _box(b"iloc", b"".join(parts))


def _new_meta(data: bytes, meta: Meta, number: int, fresh: bool) -> bytes:
    """Return the meta box with other locations and, for a fresh packet, its entry and its reference."""
    parts = [data[meta.box.body : meta.box.body + 4]]
    for box in _boxes(data, meta.box.body + 4, meta.box.end):
        whole = data[box.start : box.end]
        if box.kind == b"iloc":
            whole = _new_locations(meta.items)
        elif box.kind == b"iinf" and fresh:
            whole = _with_entry(data, box, number)
        elif box.kind == b"iref" and fresh:
            whole = _box(b"iref", data[box.body : box.end] + _reference(data[box.body], number, meta.primary))
        parts.append(whole)
    if fresh and b"iref" not in meta.children:
        parts.append(_box(b"iref", bytes(4) + _reference(0, number, meta.primary)))
    return _box(b"meta", b"".join(parts))


def _with_entry(data: bytes, box: Box, number: int) -> bytes:
    narrow = data[box.body] == 0
    head, width = data[box.body : box.body + 4], 2 if narrow else 4
    count = int.from_bytes(data[box.body + 4 : box.body + 4 + width], "big") + 1
    flags = 1  # hidden: not a picture
    entry = _box(b"infe", struct.pack(">BBBBHH4s", 2, 0, 0, flags, number, 0, b"mime") + b"XMP\0" + CONTENT_TYPE)
    return _box(b"iinf", head + count.to_bytes(width, "big") + data[box.body + 4 + width : box.end] + entry)


def _reference(version: int, number: int, primary: int) -> bytes:
    """Return the reference that says: this item describes that one."""
    return _box(b"cdsc", struct.pack(">HHH" if version == 0 else ">IHI", number, 1, primary))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _content(data: bytes, meta: Meta, item: Item) -> bytes:
    places = _places(meta, item)
    if any(start + length > len(data) for start, length in places):
        raise _damaged()
    return b"".join(data[start : start + length] for start, length in places)


def _places(meta: Meta, item: Item) -> list[tuple[int, int]]:
    idat = meta.children.get(b"idat")
    if item.reference or (item.method == IN_IDAT and idat is None) or item.method > IN_IDAT:
        raise _damaged()
    base = idat.body if item.method == IN_IDAT and idat else 0
    return [(base + offset, length) for _, offset, length in item.extents]


def _blanked(data: bytes, meta: Meta, number: int) -> bytes:
    """Return the file with spaces where the old packet was."""
    result: Any = bytearray(data)
    for item in meta.items:
        for start, length in _places(meta, item) if item.number == number else ():
            result[start : start + length] = b" " * len(result[start : start + length])
    return bytes(result)


def _with_moved_chunks(data: bytes, behind: int, growth: int) -> bytes:
    """Return the file with the chunk offsets of its tracks (of animations) moved by ``growth``."""
    result = bytearray(data)
    for table, width in _chunk_tables(data, 0, len(data), 0):
        (count,) = struct.unpack_from(">I", data, table.body + 4)
        if table.body + 8 + count * width > table.end:
            raise _damaged()
        for at in range(table.body + 8, table.body + 8 + count * width, width):
            offset = int.from_bytes(data[at : at + width], "big")
            if offset >= behind:
                result[at : at + width] = (offset + growth).to_bytes(width, "big")
    return bytes(result)


def _chunk_tables(data: bytes, start: int, end: int, depth: int) -> Iterator[tuple[Box, int]]:
    for box in _boxes(data, start, end):
        if box.kind in (b"stco", b"co64"):
            yield box, 4 if box.kind == b"stco" else 8
        elif box.kind in CONTAINERS and depth < MAX_DEPTH:
            yield from _chunk_tables(data, box.body, box.end, depth + 1)
