"""XMP packets in files: found, and put in, by moving segments and chunks; no pixel is decoded or encoded again."""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import markai.provenance.xmp as xmp
import markai.provenance.xmp_bmff as xmp_bmff
from markai.errors import ImageError
from markai.image_containers import JPEG_APP0, PNG_HEAD_BYTES, jpeg_segments, png_chunk, png_chunks
from markai.provenance.xmp import MAX_PACKET

JPEG_APP1, JPEG_HEADER, JPEG_MAX = 0xE1, b"http://ns.adobe.com/xap/1.0/\0", 65_533
PNG_KEYWORD = b"XML:com.adobe.xmp\0"
GIF_HEADER = b"\x21\xff\x0bXMP DataXMP"
GIF_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # leads any reader of sub-blocks to the end
TIFF_XMP, TIFF_BYTE = 700, 1
WEBP_ALPHA, WEBP_XMP = 0x10, 0x04


class Container(NamedTuple):
    """How to find the packet in one kind of file, and how to put another in its place."""

    find: Callable[[bytes], bytes | None]
    put: Callable[[bytes, bytes], bytes]


def read(data: bytes, mime: str) -> dict[str, tuple[str, ...]]:
    """Return the known XMP properties of a file, none where it has no packet or cannot have one.

    Raises:
        ImageError: if the packet is damaged or too large.
    """
    packet = CONTAINERS[mime].find(data) if mime in CONTAINERS else None
    return xmp.read(packet) if packet else {}


def write(data: bytes, mime: str, fields: dict[str, str]) -> bytes:
    """Return a file with these XMP properties; one of another kind as it is.

    Raises:
        ImageError: if the file or its packet is damaged, or has no room.
    """
    if mime not in CONTAINERS:
        return data
    find, put = CONTAINERS[mime]
    try:
        return put(data, xmp.merge(find(data), fields))
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        if isinstance(error, ImageError):
            raise
        raise _damaged(mime) from None


def _damaged(mime: str) -> ImageError:
    return ImageError(f"the {mime} file is damaged or of a rare kind - export it again, or sign with metadata=False")


def _jpeg_packet(data: bytes) -> tuple[int, int] | None:
    found = ((start, end) for marker, start, end in jpeg_segments(data) if marker == JPEG_APP1)
    return next(((start, end) for start, end in found if data.startswith(JPEG_HEADER, start + 4)), None)


def _find_jpeg(data: bytes) -> bytes | None:
    place = _jpeg_packet(data)
    return data[place[0] + 4 + len(JPEG_HEADER) : place[1]] if place else None


def _put_jpeg(data: bytes, packet: bytes) -> bytes:
    """Replace the segment, or put one behind JFIF and EXIF: before the index of further pictures, which counts on."""
    body = JPEG_HEADER + packet
    if len(body) + 2 > JPEG_MAX:
        body = JPEG_HEADER + xmp.without_padding(packet)
    if len(body) + 2 > JPEG_MAX:
        raise ImageError("the XMP metadata is too long for a JPEG file - shorten it, or sign with metadata=False")
    segment = struct.pack(">BBH", 0xFF, JPEG_APP1, len(body) + 2) + body
    place = _jpeg_packet(data)
    if place is None:
        at = 2
        for marker, start, end in jpeg_segments(data):
            if not (marker == JPEG_APP0 or (marker == JPEG_APP1 and data.startswith(b"Exif\0", start + 4))):
                break
            at = end
        place = at, at
    elif any(data.startswith(b"MPF\0", start + 4) for _, start, _ in jpeg_segments(data[: place[0] + 4])):
        raise ImageError("the XMP metadata lies behind an index of further pictures - sign with metadata=False")
    return data[: place[0]] + segment + data[place[1] :]


def _png_packet(data: bytes) -> tuple[int, int] | None:
    position = 8
    for kind, chunk in png_chunks(data):
        if kind == b"iTXt" and chunk[8:].tobytes().startswith(PNG_KEYWORD):
            return position, position + len(chunk)
        position += len(chunk)
    return None


def _find_png(data: bytes) -> bytes | None:
    place = _png_packet(data)
    if place is None:
        return None
    body = data[place[0] + 8 + len(PNG_KEYWORD) : place[1] - 4]
    compressed, rest = body[:1], body[2:]
    _, _, rest = rest.partition(b"\0")  # the language
    _, _, text = rest.partition(b"\0")  # the keyword in it
    if compressed != b"\x01":
        return text
    try:
        unpacked = zlib.decompressobj().decompress(text, MAX_PACKET + 1)
    except zlib.error:
        raise _damaged("image/png") from None
    return unpacked


def _put_png(data: bytes, packet: bytes) -> bytes:
    start, end = _png_packet(data) or (PNG_HEAD_BYTES, PNG_HEAD_BYTES)
    chunk = png_chunk(b"iTXt", PNG_KEYWORD + b"\0\0\0\0" + packet)
    return data[:start] + chunk + data[end:]


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of whole chunks, padding included."""
    position, limit = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position + 8 <= limit:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + size + size % 2
        if end > limit + size % 2:
            return
        yield data[position : position + 4], position, min(end, len(data))
        position = end


def _find_webp(data: bytes) -> bytes | None:
    for kind, start, _ in _webp_chunks(data):
        if kind == b"XMP ":
            return data[start + 8 : start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")]
    return None


def _put_webp(data: bytes, packet: bytes) -> bytes:
    """Replace or append the chunk, in the extended form of the file, whose header says that it is there."""
    chunks = [(kind, data[start:end]) for kind, start, end in _webp_chunks(data)]
    tail = data[8 + int.from_bytes(data[4:8], "little") :]
    if not chunks or chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _extended_header(*chunks[0])))
    head = bytearray(chunks[0][1])
    head[8] |= WEBP_XMP
    chunks[0] = (b"VP8X", bytes(head))
    written = b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)
    at = next((number for number, (kind, _) in enumerate(chunks) if kind == b"XMP "), len(chunks))
    chunks[at : at + 1] = [(b"XMP ", written)]
    body = b"WEBP" + b"".join(chunk for _, chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body + tail


def _extended_header(kind: bytes, chunk: bytes) -> bytes:
    """Return the VP8X chunk for the one chunk of a simple file."""
    if kind == b"VP8L":
        bits = int.from_bytes(chunk[9:13], "little")
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(chunk[at : at + 2], "little") % 0x4000 - 1 for at in (14, 16))
        alpha = 0
    else:
        raise _damaged("image/webp")
    flags = WEBP_ALPHA * alpha
    return b"VP8X" + struct.pack("<II", 10, flags) + width.to_bytes(3, "little") + height.to_bytes(3, "little")


def _gif_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the blocks behind the global colour table, up to the trailer."""
    position = _gif_head(data)
    while position < len(data) and data[position] in (0x21, 0x2C):
        start = position
        if data[start] == 0x21:
            position += 2
        else:
            flags = data[start + 9]
            position += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        while data[position]:
            position += 1 + data[position]
        position += 1
        yield start, position


def _gif_head(data: bytes) -> int:
    return 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)


def _gif_packet(data: bytes) -> tuple[int, int] | None:
    return next(((start, end) for start, end in _gif_blocks(data) if data.startswith(GIF_HEADER, start)), None)


def _find_gif(data: bytes) -> bytes | None:
    try:
        place = _gif_packet(data)
    except IndexError:
        raise _damaged("image/gif") from None
    return data[place[0] + len(GIF_HEADER) : place[1] - len(GIF_TRAILER)] if place else None


def _put_gif(data: bytes, packet: bytes) -> bytes:
    start, end = _gif_packet(data) or (_gif_head(data), _gif_head(data))
    if len(data) < end or b"\0" in packet:  # a zero would end the block early
        raise _damaged("image/gif")
    return b"GIF89a" + data[6:start] + GIF_HEADER + packet + GIF_TRAILER + data[end:]


class _Directory(NamedTuple):
    """The first directory of a TIFF file: byte order, whether BigTIFF, its entries, and what follows them."""

    order: str
    big: bool
    at: int
    entries: list[bytes]
    following: bytes

    @property
    def offset_format(self) -> str:
        return self.order + ("Q" if self.big else "I")

    def entry(self, tag: int, kind: int, count: int, offset: int) -> bytes:
        return struct.pack(self.order + ("HHQQ" if self.big else "HHII"), tag, kind, count, offset)


def _directory(data: bytes) -> _Directory:
    order, big = ("<" if data[:2] == b"II" else ">"), 0x2B in data[2:4]
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    first, step, width = (at + 8, 20, 8) if big else (at + 2, 12, 4)
    if not 0 < count < 10_000 or first + step * count + width > len(data):
        raise _damaged("image/tiff")
    entries = [data[start : start + step] for start in range(first, first + step * count, step)]
    return _Directory(order, big, at, entries, data[first + step * count : first + step * count + width])


def _find_tiff(data: bytes) -> bytes | None:
    try:
        directory = _directory(data)
        for entry in directory.entries:
            tag, _, count, offset = struct.unpack(directory.order + ("HHQQ" if directory.big else "HHII"), entry)
            if tag == TIFF_XMP:
                return data[offset : offset + count]
    except struct.error:
        raise _damaged("image/tiff") from None
    return None


def has_pages(data: bytes) -> bool:
    """Say whether a TIFF file has more than one page."""
    try:
        return any(_directory(data).following)
    except (struct.error, ImageError):
        return False


def _put_tiff(data: bytes, packet: bytes) -> bytes:
    """Append the packet and a new first directory; offsets are absolute, so that all others still hold."""
    directory = _directory(data)
    room = b"\0" * (len(data) % 2)
    at = len(data) + len(room)
    kept = [entry for entry in directory.entries if struct.unpack_from(directory.order + "H", entry) != (TIFF_XMP,)]
    entries = [*kept, directory.entry(TIFF_XMP, TIFF_BYTE, len(packet), at)]
    entries.sort(key=lambda entry: struct.unpack_from(directory.order + "H", entry))
    padded = packet + b"\0" * (len(packet) % 2)
    count = struct.pack(directory.order + ("Q" if directory.big else "H"), len(entries))
    pointer = struct.pack(directory.offset_format, at + len(padded))
    start = 8 if directory.big else 4
    head = data[:start] + pointer + data[start + len(pointer) :]
    return head + room + padded + count + b"".join(entries) + directory.following


CONTAINERS = {
    "image/jpeg": Container(_find_jpeg, _put_jpeg),
    "image/png": Container(_find_png, _put_png),
    "image/webp": Container(_find_webp, _put_webp),
    "image/gif": Container(_find_gif, _put_gif),
    "image/tiff": Container(_find_tiff, _put_tiff),
    **dict.fromkeys(("image/avif", "image/heic", "image/heif"), Container(xmp_bmff.find, xmp_bmff.put)),
}
