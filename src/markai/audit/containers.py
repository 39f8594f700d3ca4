"""Where picture files keep their metadata: every text, EXIF block and XMP packet, unpacked within bounds.

No pixel is decoded. Of a damaged file what is whole is read, up to the damage.
"""

import binascii
import re
import struct
import zlib
from collections.abc import Callable, Iterator

import markai.audit.documents as documents
import markai.audit.exif as exif
import markai.audit.iim as iim
import markai.audit.xmp_properties as xmp_properties
import markai.provenance.xmp_bmff as xmp_bmff
import markai.provenance.xmp_files as xmp_files
from markai.audit.fields import Fields, decoded
from markai.errors import ImageError
from markai.image_containers import JPEG_COM, jpeg_segments, png_chunks

MAX_UNPACKED = 4 << 20  # bytes of one compressed text
JPEG_APP1, JPEG_APP13 = 0xE1, 0xED
EXIF_HEADER = b"Exif\0\0"
XMP_HEADER, XMP_REST = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP_HEADER = b"Photoshop 3.0\0"
XMP_KEYWORD = "XML:com.adobe.xmp"
RAW_PROFILE = re.compile(r"Raw profile type (exif|iptc|8bim|xmp|APP1)", re.IGNORECASE)  # as ImageMagick writes them
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
SAMSUNG_TAIL, SAMSUNG_EDITOR = 1 << 20, b"PhotoEditor_Re_Edit_Data"
SAMSUNG_TYPE = re.compile(rb"genAIType\"\s{0,8}:\s{0,8}(-?\d{1,9})")


def collect(data: bytes, mime: str) -> Fields:
    """Return the metadata of a file of a media type, as far as it can be read; none of a kind that is not known.

    >>> collect(b"GIF89a" + bytes(7) + b"!\\xfe\\5Hello\\0;", "image/gif").items
    [Field(carrier='GIF', name='comment', value='Hello')]
    """
    found = Fields()
    try:
        READERS.get(mime, documents.reader(mime))(data, found)
    except (ImageError, struct.error, IndexError, zlib.error) as error:
        found.problem(f"the metadata is damaged or cut short ({str(error) or type(error).__name__})")
    return found


def _jpeg(data: bytes, found: Fields) -> None:
    photoshop, rest = [], {}
    for marker, start, end in jpeg_segments(data):
        body = data[start + 4 : end]
        if marker == JPEG_APP1 and body.startswith(EXIF_HEADER):
            _exif(body[len(EXIF_HEADER) :], found)
        elif marker == JPEG_APP1 and body.startswith(XMP_HEADER):
            xmp_properties.read(body[len(XMP_HEADER) :], found)
        elif marker == JPEG_APP1 and body.startswith(XMP_REST) and len(body) > len(XMP_REST) + 40:
            rest.update(_extension(body[len(XMP_REST) :]))
        elif marker == JPEG_APP13 and body.startswith(PHOTOSHOP_HEADER):
            photoshop.append(body[len(PHOTOSHOP_HEADER) :])  # one block may go over several segments
        elif marker == JPEG_COM:
            found.add("JPEG", "comment", decoded(body))
    if photoshop:
        iim.read_resources(b"".join(photoshop), found)
    for name in {name for name, _ in rest}:
        parts = [rest[each] for each in sorted(rest) if each[0] == name]
        xmp_properties.read(b"".join(parts), found, "XMP extension")
    _samsung(data, found)


def _extension(body: bytes) -> dict[tuple[bytes, int], bytes]:
    """Return a part of an extended XMP packet by its digest and offset (XMP specification part 3, 1.1.3.1)."""
    return {(body[:32], int.from_bytes(body[36:40], "big")): body[40:]}


def _samsung(data: bytes, found: Fields) -> None:
    """Add the mark that Galaxy's editor leaves behind the picture where a generative tool was used.

    It is not documented by Samsung; forensic readers report it of files of the S23 to S25.
    """
    tail = data[max(2, len(data) - SAMSUNG_TAIL) :]
    kind = SAMSUNG_TYPE.search(tail) if SAMSUNG_EDITOR in tail else None
    if kind and int(kind[1]):
        found.add("JPEG trailer", "genAIType", kind[1].decode())


def _png(data: bytes, found: Fields) -> None:
    for kind, chunk in png_chunks(data):
        body = chunk[8:-4] if kind in PNG_TEXTS or kind == b"eXIf" else b""
        if kind == b"eXIf":
            _exif(bytes(body), found)
        elif kind in PNG_TEXTS:
            _png_text(kind.decode(), bytes(body), found)


def _png_text(kind: str, body: bytes, found: Fields) -> None:
    keyword, separator, rest = body[:80].partition(b"\0")  # a keyword has at most 79 bytes
    if not separator:
        return
    name, rest = decoded(keyword), body[len(keyword) + 1 :]
    if kind == "zTXt":
        rest = _unpacked(rest[1:], found)
    elif kind == "iTXt":
        compressed, rest = rest[:1], rest[2:]
        rest = rest.split(b"\0", 2)[-1] if rest.count(b"\0") >= 2 else b""  # behind language and translated keyword
        rest = _unpacked(rest, found) if compressed == b"\1" else rest
    if name == XMP_KEYWORD:
        xmp_properties.read(rest, found)
    elif profile := RAW_PROFILE.fullmatch(name):
        _raw_profile(profile[1].lower(), rest, found)
    else:
        found.add(f"PNG {kind}", name, decoded(rest))


def _unpacked(packed: bytes, found: Fields) -> bytes:
    """Return what a compressed text holds, up to a bound: a few bytes can stand for a gigabyte."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, MAX_UNPACKED)
    except zlib.error:
        found.problem("a compressed text is damaged")
        return b""
    if unpacker.unconsumed_tail:
        found.problem(f"a compressed text has more than {MAX_UNPACKED:,} bytes: the rest was left out")
    return text


def _raw_profile(kind: str, text: bytes, found: Fields) -> None:
    """Read a block that ImageMagick wrote as a name, a length, and hexadecimal digits."""
    _, length, *rows = [*text.split(), b"0", b"0"]
    try:
        block = binascii.unhexlify(b"".join(rows)[: 2 * int(length[:9])])  # some writers leave rubbish behind it
    except ValueError:
        found.problem("a profile written as hexadecimal digits is damaged")
        return
    if block.startswith(XMP_HEADER) or kind == "xmp":
        xmp_properties.read(block.removeprefix(XMP_HEADER), found)
    elif kind in ("exif", "app1"):
        _exif(block.removeprefix(EXIF_HEADER), found)
    else:
        iim.read_resources(block.removeprefix(PHOTOSHOP_HEADER), found)


def _exif(block: bytes, found: Fields) -> None:
    _blocks(exif.read(block.removeprefix(EXIF_HEADER), found), found)


def _blocks(blocks: exif.Blocks, found: Fields) -> None:
    if blocks.xmp:
        xmp_properties.read(blocks.xmp, found)
    if blocks.photoshop:
        iim.read_resources(blocks.photoshop, found)
    if blocks.iptc:
        iim.read(blocks.iptc, found)


def _tiff(data: bytes, found: Fields) -> None:
    _blocks(exif.read(data, found, "TIFF"), found)


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of the chunks of a RIFF file but its samples; of lists (LIST) those inside."""
    at, ends = 12, len(data)
    while at + 8 <= ends:
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"LIST" and data[at + 8 : at + 12] == b"INFO":
            at += 12
            continue
        if kind not in (b"data", b"movi", b"VP8 ", b"VP8L", b"ANMF", b"ALPH"):
            yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _riff(data: bytes, found: Fields) -> None:
    for kind, content in riff_chunks(data):
        if kind == b"EXIF":
            _exif(content, found)
        elif kind in (b"XMP ", b"_PMX"):
            xmp_properties.read(content, found)
        elif kind == b"AIGC":
            found.add("RIFF", "AIGC", decoded(content))
        elif kind in (b"ISFT", b"ICMT", b"IART"):  # software, comment, artist
            found.add("RIFF", kind.decode(), decoded(content.split(b"\0", 1)[0]))


def _gif(data: bytes, found: Fields) -> None:
    packet = xmp_files.CONTAINERS["image/gif"].find(data)
    if packet:
        xmp_properties.read(packet, found)
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] in (0x21, 0x2C):
        comment = data[at : at + 2] == b"\x21\xfe"
        if data[at] == 0x21:
            at += 2
        else:
            at += 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        parts = []
        while size := data[at]:
            parts += [data[at + 1 : at + 1 + size]] if comment else []
            at += 1 + size
        at += 1
        found.add("GIF", "comment", decoded(b"".join(parts)))


def _bmff(data: bytes, found: Fields) -> None:
    if block := xmp_bmff.find_exif(data):
        _exif(block, found)
    if packet := xmp_bmff.find(data):
        xmp_properties.read(packet, found)


READERS: dict[str, Callable[[bytes, Fields], None]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/tiff": _tiff,
    "image/gif": _gif,
    **dict.fromkeys(("image/webp", "audio/wav", "video/avi"), _riff),
    **dict.fromkeys(("image/avif", "image/heic", "image/heif"), _bmff),
}
