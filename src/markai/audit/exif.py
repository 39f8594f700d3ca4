"""EXIF (CIPA DC-008) and the directories of TIFF files, from their bytes: the texts that say where a picture is from.

Directories are followed by the two known pointers only, each once, so that no file can send the reader in circles.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from markai.audit.fields import MAX_TEXT, Fields, decoded

EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
XMP, PHOTOSHOP, IPTC = 0x02BC, 0x8649, 0x83BB
USER_COMMENT, MAKER_NOTE = 0x9286, 0x927C
TEXTS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x013C: "HostComputer",
    0x8298: "Copyright",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
    USER_COMMENT: "UserComment",
    MAKER_NOTE: "MakerNote",
    0x9003: "DateTimeOriginal",
    0xA430: "CameraOwnerName",
    0xA431: "BodySerialNumber",
    0xA433: "LensMake",
    0xA434: "LensModel",
    0xA435: "LensSerialNumber",
    0xA436: "ImageTitle",  # this and the following: EXIF 3.0
    0xA437: "Photographer",
    0xA438: "ImageEditor",
    0xA439: "CameraFirmware",
    0xA43A: "RAWDevelopingSoftware",
    0xA43B: "ImageEditingSoftware",
    0xA43C: "MetadataEditingSoftware",
}
EXPOSURE = {0x829A: "ExposureTime", 0x829D: "FNumber", 0x8827: "PhotographicSensitivity", 0x920A: "FocalLength"}
WIDE = {0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}  # the tags of Windows: UTF-16, little-endian
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UTF8 = 129  # a type of EXIF 3.0, also one byte
MAX_ENTRIES = 1000
COMMENT_CODES = {b"ASCII\0\0\0": "ascii", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "iso2022_jp", bytes(8): ""}


class Blocks(NamedTuple):
    """What else a directory holds: packets of XMP, resources of Photoshop, records of IPTC."""

    xmp: bytes | None = None
    photoshop: bytes | None = None
    iptc: bytes | None = None


class _Entry(NamedTuple):
    tag: int
    kind: int
    raw: bytes


class _Tiff(NamedTuple):
    data: bytes
    order: str
    big: bool

    def entries(self, at: int) -> Iterator[_Entry]:
        """Yield the entries of the directory at an offset whose values are whole."""
        number, step, inline = ("Q", 20, 8) if self.big else ("H", 12, 4)
        (count,) = struct.unpack_from(self.order + number, self.data, at)
        first = at + struct.calcsize(number)
        for place in range(first, first + step * min(count, MAX_ENTRIES), step):
            tag, kind, values = struct.unpack_from(self.order + ("HHQ" if self.big else "HHI"), self.data, place)
            size = values * (1 if kind == UTF8 else SIZES.get(kind, 0))
            start = place + step - inline
            if size > inline:
                (start,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), self.data, start)
            if size > 0 and start + size <= len(self.data):
                keep = size if tag in (XMP, PHOTOSHOP, IPTC) else min(size, 4 * MAX_TEXT)
                yield _Entry(tag, kind, self.data[start : start + min(keep, 16 << 20)])

    def number(self, entry: _Entry) -> int:
        return int.from_bytes(entry.raw[: SIZES.get(entry.kind, 4)], "little" if self.order == "<" else "big")


def read(data: bytes, found: Fields, carrier: str = "EXIF") -> Blocks:
    """Add the known texts of EXIF data, which begin with a TIFF header, and return the other blocks in it.

    >>> found = Fields()
    >>> read(b"II*\\0\\x08\\0\\0\\0" + b"\\1\\0" + b"\\x31\\1\\2\\0\\4\\0\\0\\0abc\\0" + bytes(4), found)
    Blocks(xmp=None, photoshop=None, iptc=None)
    >>> found.items
    [Field(carrier='EXIF', name='Software', value='abc')]
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        found.problem(f"the {carrier} data has no TIFF header")
        return Blocks()
    tiff = _Tiff(data, order, b"+" in data[2:4])
    blocks: dict[int, bytes] = {}
    try:
        (first,) = struct.unpack_from(order + ("Q" if tiff.big else "I"), data, 8 if tiff.big else 4)
        nested = _directory(tiff, first, found, carrier, blocks)
        for at in nested:
            _directory(tiff, at, found, carrier, blocks)
    except (struct.error, OverflowError):
        found.problem(f"the {carrier} data is damaged or cut short")
    return Blocks(blocks.get(XMP), blocks.get(PHOTOSHOP), blocks.get(IPTC))


def _directory(tiff: _Tiff, at: int, found: Fields, carrier: str, blocks: dict[int, bytes]) -> list[int]:
    """Add what a directory says; return where the directory of EXIF lies."""
    nested = []
    for entry in tiff.entries(at):
        if entry.tag in TEXTS:
            found.add(carrier, TEXTS[entry.tag], _text(entry, tiff.order))
        elif entry.tag in EXPOSURE:
            found.add(carrier, EXPOSURE[entry.tag], "present")
        elif entry.tag in (XMP, PHOTOSHOP, IPTC):
            blocks.setdefault(entry.tag, entry.raw)
        elif entry.tag == EXIF_DIRECTORY:
            nested = [tiff.number(entry)]
        elif entry.tag == GPS_DIRECTORY and any(True for _ in tiff.entries(tiff.number(entry))):
            found.add(carrier, "GPS", "present")
    return nested


def _text(entry: _Entry, order: str) -> str:
    if entry.tag == USER_COMMENT:
        return _user_comment(entry.raw, order)
    if entry.tag in WIDE:
        return entry.raw.decode("utf-16-le", "replace").rstrip("\0")
    if entry.kind in (2, 7, UTF8, 1):
        return decoded(entry.raw.split(b"\0", 1)[0] if entry.tag != MAKER_NOTE else _short_note(entry.raw))
    return ""


def _short_note(raw: bytes) -> bytes:
    """Return a maker's note where it is a word, as some generators write; that of a camera is binary."""
    word = raw.strip(b"\0")
    return word if len(word) < 100 and word.isascii() and word.decode("ascii").isprintable() else b"present"


def _user_comment(raw: bytes, order: str) -> str:
    code = COMMENT_CODES.get(raw[:8])
    if code is None:
        return decoded(raw)
    body = raw[8:]
    if code == "utf-16":
        # EXIF leaves the byte order open; generators that use piexif write big-endian whatever the file's order is.
        zeros = body[0:400:2].count(0), body[1:400:2].count(0)
        big = zeros[0] > zeros[1] if zeros[0] != zeros[1] else order == ">"
        return body.decode("utf-16-be" if big else "utf-16-le", "replace")
    return body.decode(code, "replace") if code == "iso2022_jp" else decoded(body)
