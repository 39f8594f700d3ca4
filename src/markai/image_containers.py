"""The byte structure of picture files: PNG chunks, JPEG segments, RIFF chunks, ISO boxes.

Nothing here decodes a pixel or knows Pillow. Readers never fail on damaged data: they yield what is whole and
stop; judging the file is the decoder's part.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markai.image_arrays import strips

PNG_HEAD_BYTES = 33  # signature and IHDR
PNG_COLOR_CHUNKS = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI"}
PNG_GRAY, PNG_RGB, PNG_GRAY_ALPHA, PNG_RGBA = 0, 2, 4, 6

JPEG_SOS, JPEG_APP0, JPEG_COM = 0xDA, 0xE0, 0xFE
JPEG_LEFT_OUT = {0xE0, 0xEB, 0xEE}  # JFIF and Adobe, which the encoder writes itself, and JUMBF (C2PA)
MPF_ENTRIES = 0xB002
MPF_UNDEFINED, MPF_VIEW = 0x00, 0x02  # second byte of an entry's attribute: gain maps; stereo and panorama


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (type, view of the whole chunk with length and checksum) up to IEND; the last may be cut short."""
    view, position = memoryview(data), 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, view[position : position + 12 + length]
        if kind == b"IEND":
            return
        position += 12 + length


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a whole chunk.

    >>> png_chunk(b"IEND", b"").hex()
    '0000000049454e44ae426082'
    """
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_is_whole(chunk: memoryview) -> bool:
    """Say whether a chunk has all its bytes and the right checksum."""
    length, checksum = int.from_bytes(chunk[:4], "big"), int.from_bytes(chunk[-4:], "big")
    return len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == checksum


def png_metadata(data: bytes) -> bytes:
    """Return the ancillary chunks that still hold after the pixels changed, as they stand.

    A lower-case fourth letter means "safe to copy even by who does not know the chunk" (PNG 3rd ed., 5.4):
    text, EXIF, resolution. Colour chunks are known to hold; a C2PA manifest (caBX) or animation (fcTL) is not
    copied.
    """
    return b"".join(
        chunk
        for kind, chunk in png_chunks(data)
        if kind[:1].islower()
        and (kind[3:].islower() or kind in PNG_COLOR_CHUNKS)
        and kind != b"tRNS"  # follows from the pixels
        and png_is_whole(chunk)
    )


def encode_png16(pixels: NDArray[np.uint16]) -> bytes:
    """Encode (H, W, C) uint16 as PNG: C = 2 gray and alpha, 3 RGB, 4 RGBA."""
    height, width, channels = pixels.shape
    color = {2: PNG_GRAY_ALPHA, 3: PNG_RGB, 4: PNG_RGBA}[channels]
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0))
    body = (png_chunk(b"IDAT", part) for part in deflated(_filtered_rows(pixels)))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *body, png_chunk(b"IEND", b"")])


def _filtered_rows(pixels: NDArray[np.uint16]) -> Iterator[NDArray[np.uint8]]:
    """Yield strips of rows under filter "up": each byte minus the one above, modulo 256."""
    above = np.zeros((1, 2 * pixels[0].size), np.uint8)
    for strip in strips(pixels):
        rows = np.ascontiguousarray(pixels[strip], ">u2").view(np.uint8).reshape(-1, above.size)
        filtered = np.full((len(rows), above.size + 1), 2, np.uint8)
        filtered[:, 1:] = np.diff(rows, axis=0, prepend=above)
        above = rows[-1:]
        yield filtered


def deflated(parts: Iterable[NDArray[Any]]) -> Iterator[bytes]:
    """Yield pieces of one zlib stream of the parts, which need not be there all at once."""
    packer = zlib.compressobj()
    for part in parts:
        if packed := packer.compress(part.tobytes()):
            yield packed
    yield packer.flush()


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments between SOI and the first scan."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == JPEG_SOS or end > len(data):
            return
        yield marker, position, end
        position = end


def jpeg_transplant(encoded: bytes, original: bytes) -> bytes:
    """Return ``encoded`` with the metadata of ``original``: EXIF, XMP, ICC, Photoshop, comments, JFIF
    density.

    HDR gain maps behind the picture stay, with the index (MPF) that points to them; large previews do not,
    for they show the picture before it was changed.
    """
    gain_maps = _gain_maps(original)
    parts = []
    for marker, start, end in jpeg_segments(original):
        application = JPEG_APP0 <= marker < JPEG_APP0 + 16 and marker not in JPEG_LEFT_OUT
        dangling = not gain_maps and original.startswith(b"MPF\0", start + 4)
        if marker == JPEG_COM or (application and not dangling):
            parts.append(original[start:end])
    body, head = 2, b""
    first = next(jpeg_segments(encoded), None)
    if first and first[0] == JPEG_APP0:
        body, head = first[2], _jfif(original) or encoded[2 : first[2]]
    result = b"".join([encoded[:2], head, *parts, memoryview(encoded)[body:]])
    return _append_gain_maps(result, original, gain_maps) if gain_maps else result


def jpeg_views(data: bytes) -> int:
    """Return how many equal views of a scene (stereo, panorama) an MPO file holds; 1 for any other file."""
    return 1 + sum(kind == MPF_VIEW for kind, _ in _mpf_pictures(data))


def _jfif(data: bytes) -> bytes:
    """Return the JFIF segment, or nothing."""
    segments = (data[start:end] for marker, start, end in jpeg_segments(data) if marker == JPEG_APP0)
    return next((segment for segment in segments if segment[4:9] == b"JFIF\0"), b"")


def _mpf_index(data: bytes) -> tuple[str, int, list[int]] | None:
    """Return the index of a multi-picture file (CIPA DC-007): byte order, base of offsets, entries."""
    starts = [start for _, start, _ in jpeg_segments(data) if data.startswith(b"MPF\0", start + 4)]
    if not starts:
        return None
    base = starts[0] + 8
    order = "<" if data.startswith(b"II", base) else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", data, base + 4)
        (count,) = struct.unpack_from(order + "H", data, base + directory)
        for at in range(base + directory + 2, base + directory + 2 + 12 * count, 12):
            tag, _, size, offset = struct.unpack_from(order + "HHII", data, at)
            if tag == MPF_ENTRIES:
                return order, base, list(range(base + offset, min(base + offset + size, len(data) - 15), 16))
    except struct.error:
        pass
    return None


def _mpf_pictures(data: bytes) -> list[tuple[int, int]]:
    """Return (kind, start) of the pictures behind the first one; none where the index is missing or wrong."""
    index = _mpf_index(data)
    if index is None:
        return []
    order, base, entries = index
    rows = [struct.unpack_from(order + "III", data, entry) for entry in entries[1:]]
    pictures = [(attribute >> 16 & 0xFF, base + offset) for attribute, _, offset in rows]
    return pictures if all(data.startswith(b"\xff\xd8", start) for _, start in pictures) else []


def _gain_maps(data: bytes) -> list[int]:
    """Return where the gain maps start, if all further pictures of the file are gain maps."""
    pictures = _mpf_pictures(data)
    return [start for _, start in pictures] if all(kind == MPF_UNDEFINED for kind, _ in pictures) else []


def _append_gain_maps(first: bytes, original: bytes, starts: list[int]) -> bytes:
    """Append the gain maps of ``original`` to its new first picture, and correct the index there."""
    index = _mpf_index(first)
    if index is None:
        return first
    order, base, entries = index
    result = bytearray(first)
    struct.pack_into(order + "I", result, entries[0] + 4, len(first))
    for entry, start in zip(entries[1:], starts, strict=True):
        struct.pack_into(order + "I", result, entry + 8, len(first) + start - min(starts) - base)
    return bytes(result) + original[min(starts) :]


def webp_is_lossless(data: bytes) -> bool:
    """Say whether the pixels of a still WebP are in a VP8L chunk."""
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        position += 8 + size + size % 2
    return False


def iso_box(data: bytes, kind: bytes) -> tuple[int, int]:
    """Return (start, end) of the first top-level box of a kind (ISO/IEC 14496-12, 4.2), or (0, 0)."""
    position = 0
    while position + 8 <= len(data):
        size, found = struct.unpack_from(">I4s", data, position)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        end = position + size if size >= 8 else len(data)
        if found == kind:
            return position, end
        position = end
    return 0, 0


class AvifDetails(NamedTuple):
    """What Pillow does not say about an AVIF file."""

    subsampling: str
    color: bytes  # primaries and transfer characteristics (ITU-T H.273), 2 bytes each; empty if not stated
    refusal: str | None


def avif_details(data: bytes) -> AvifDetails:
    """Read the configuration (av1C) and the colour (nclx) of an AVIF file."""
    start, end = iso_box(data, b"meta")
    meta = data[start:end]
    flags = [meta[match.end() + 2] for match in re.finditer(rb"av1C(?=...)", meta, re.DOTALL)]
    planes = next((flag for flag in flags if not flag & 0x10), 0x0C)  # 0x10 is monochrome: alpha, or gray
    refusal = None
    if any(flag & 0x40 for flag in flags):
        refusal = "the AVIF file has more than 8 bits per channel, which would be lost - export it as 16-bit PNG"
    elif b"tmap" in meta:
        refusal = "the AVIF file has an HDR gain map, which would be lost - export it without"
    color = re.search(rb"colrnclx(.{4})", meta, re.DOTALL)
    subsampling = {0x00: "4:4:4", 0x08: "4:2:2"}.get(planes & 0x0C, "4:2:0")
    return AvifDetails(subsampling, color[1] if color else b"", refusal)


def avif_with_color(data: bytes, color: bytes) -> bytes:
    """Return an AVIF file with other primaries and transfer than the sRGB that the encoder writes."""
    at = data.find(b"colrnclx") + 8
    return data[:at] + color + data[at + 4 :] if color and at > 8 else data


def jp2_refusal(data: bytes, channels: int) -> str | None:
    """Say what of a JPEG 2000 file would be lost, or None."""
    siz = data.find(b"\xff\x4f\xff\x51")
    depth = (data[siz + 42] & 0x7F) + 1 if 0 <= siz < len(data) - 42 else 8
    if depth > 8 and channels > 1:
        return f"the JPEG 2000 file has {depth} bits per channel, of which 8 would stay - convert it to PNG"
    start, end = iso_box(data, b"jp2h")
    header = data[start:end]
    if b"pclr" in header or b"colr\x01\0\0\0\0\0\x12" in header:  # enumerated colour space 18 is sYCC
        return "the JPEG 2000 file has palette or YCC colours - convert it to RGB"
    return None


def jp2_transplant(codestream: bytes, original: bytes) -> bytes:
    """Return ``original`` with another code stream; its boxes (colour, resolution, XMP, EXIF) stay."""
    start, end = iso_box(original, b"jp2c")
    if not end:
        return codestream  # the original is a bare code stream as well
    return original[:start] + struct.pack(">I4s", 8 + len(codestream), b"jp2c") + codestream + original[end:]
