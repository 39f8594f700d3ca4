"""Metadata of what is no picture file: SVG, PDF, texts, MP3, MP4; of each what says how it was made, and no more."""

import json
import re
from collections.abc import Callable, Iterator

import markai.audit.xmp_properties as xmp_properties
from markai.audit.fields import Fields, decoded

MAX_SCANNED = 4 << 20  # bytes at each end of a document
MAX_PACKETS = 20
PDF_ENTRY = re.compile(
    rb"/(Creator|Producer|Author|AIGC)\s{0,4}(\((?:[^()\\]|\\.){1,65536}\)|<[0-9A-Fa-f\s]{1,131072}>)"
)
PDF_ESCAPES = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
PDF_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
HTML_META = re.compile(r"<meta\s[^<>]{1,65536}>", re.IGNORECASE)
HTML_ATTRIBUTE = re.compile(r"(name|property|content)\s{0,4}=\s{0,4}(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
HTML_NAMES = {"generator", "author", "aigc"}
LABEL = re.compile(r"[\"']?AIGC[\"']?\s{0,8}[:=]\s{0,8}", re.IGNORECASE)
ID3_TEXTS = {b"TXXX": "", b"TSSE": "TSSE", b"TENC": "TENC", b"TPE1": "TPE1", b"TSS": "TSSE"}
ID3_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
BOXES = {b"moov", b"udta", b"ilst"}
MAX_BOXES, MAX_KEYS, MAX_LABELS = 10_000, 1000, 20


def reader(mime: str) -> Callable[[bytes, Fields], None]:
    """Return the function that reads files of a media type; one that reads nothing for those that are not known."""
    if mime in READERS:
        return READERS[mime]
    return _text if mime.startswith("text/") or mime.endswith(("json", "xml")) else lambda _data, _found: None


def _ends(data: bytes) -> bytes:
    return data if len(data) <= 2 * MAX_SCANNED else data[:MAX_SCANNED] + b"\n" + data[-MAX_SCANNED:]


def _svg(data: bytes, found: Fields) -> None:
    xmp_properties.read(data, found, whole_document=True)


def _pdf(data: bytes, found: Fields) -> None:
    """Add what stands in the open: packets and entries inside compressed streams are not looked for."""
    ends = _ends(data)
    for packet in _packets(ends):
        xmp_properties.read(packet, found)
    for entry in PDF_ENTRY.finditer(ends):
        found.add("PDF", entry[1].decode(), _pdf_string(entry[2]))


def _packets(data: bytes) -> Iterator[bytes]:
    """Yield XMP packets by the instructions around them: plain searches, whose time no file can make quadratic."""
    end = 0
    for _ in range(MAX_PACKETS):
        begin = data.find(b"<?xpacket begin=", end)
        start = data.find(b"?>", begin) if begin >= 0 else -1
        end = data.find(b"<?xpacket end=", start) if start >= 0 else -1
        if end < 0:
            return
        yield data[start + 2 : end]


def _pdf_string(token: bytes) -> str:
    if token.startswith(b"<"):
        digits = b"".join(token[1:-1].split())
        raw = bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())
    else:
        raw = PDF_ESCAPES.sub(_pdf_escape, token[1:-1])
    return raw[2:].decode("utf-16-be", "replace") if raw.startswith(b"\xfe\xff") else decoded(raw)


def _pdf_escape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 0xFF]) if code.isdigit() else PDF_NAMED.get(code, code)


def _html(data: bytes, found: Fields) -> None:
    text = decoded(_ends(data))
    for tag in HTML_META.findall(text):
        given = {name.lower(): value[1:-1] for name, value in HTML_ATTRIBUTE.findall(tag)}
        name = given.get("name", given.get("property", ""))
        if name.lower() in HTML_NAMES:
            found.add("HTML meta", name, given.get("content", "").replace("&quot;", '"').replace("&amp;", "&"))
    _labels(text, found)


def _text(data: bytes, found: Fields) -> None:
    _labels(decoded(_ends(data)), found)


def _labels(text: str, found: Fields) -> None:
    """Add China's labels, which are JSON behind the word AIGC, from wherever they stand."""
    decoder = json.JSONDecoder()
    for number, match in enumerate(LABEL.finditer(text)):
        if number == MAX_LABELS:
            return
        try:
            value, end = decoder.raw_decode(text[match.end() : match.end() + 65_536])
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.add("text", "AIGC", text[match.end() : match.end() + end])


def _mp3(data: bytes, found: Fields) -> None:
    """Add texts of an ID3v2 tag (versions 2.2 to 2.4): the software, and the user's own such as AIGC."""
    if data[:3] != b"ID3":
        return
    version, at = data[3], 10
    end = min(len(data), 10 + _synchsafe(data[6:10]), MAX_SCANNED)
    name, head = (3, 6) if version == 2 else (4, 10)
    while at + head <= end and data[at : at + 1].strip(b"\0"):
        kind, length = data[at : at + name], data[at + name : at + name + (3 if version == 2 else 4)]
        size = _synchsafe(length) if version == 4 else int.from_bytes(length, "big")
        body = data[at + head : at + head + size]
        if kind in ID3_TEXTS or kind == b"TXX":
            _id3_text(ID3_TEXTS.get(kind, ""), body, found)
        at += head + size


def _synchsafe(raw: bytes) -> int:
    number = 0
    for byte in raw:
        number = number << 7 | byte & 0x7F
    return number


def _id3_text(name: str, body: bytes, found: Fields) -> None:
    encoding = ID3_ENCODINGS[body[0]] if body and body[0] < 4 else "latin-1"
    text = body[1:].decode(encoding, "replace")
    if not name:  # the user's own: a description, then the value
        name, _, text = text.partition("\0")
    found.add("ID3", name, text.strip("\ufeff\0"))


def _mp4(data: bytes, found: Fields) -> None:
    """Add the keyed metadata of QuickTime: the table "keys" beside the list "ilst", wherever under moov."""
    keys: list[str] = []
    for kind, start, end in _boxes(data, 0, len(data), 0):
        if kind == b"keys":
            keys = _keys(data[start + 8 : end])
        elif int.from_bytes(kind, "big") - 1 in range(len(keys)):
            found.add("MP4", keys[int.from_bytes(kind, "big") - 1], _item(data[start:end]))


def _boxes(data: bytes, start: int, end: int, depth: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start of the content, end) of boxes, and of those inside the boxes that lead to metadata."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        size, kind, body = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], start + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        stop = end if size == 0 else start + size
        if stop > end or stop < body:
            return
        if kind in BOXES and depth < 6:
            yield from _boxes(data, body, stop, depth + 1)
        elif kind == b"meta" and depth < 6:
            full = data[body + 4 : body + 8] not in (b"hdlr", b"keys")  # QuickTime's has no version and flags
            yield from _boxes(data, body + 4 * full, stop, depth + 1)
        else:
            yield kind, body, stop
        start = stop


def _keys(table: bytes) -> list[str]:
    names: list[str] = []
    at = 0
    while at + 8 <= len(table) and len(names) < MAX_KEYS:
        size = int.from_bytes(table[at : at + 4], "big")
        if size < 8:
            break
        names.append(decoded(table[at + 8 : at + size]))
        at += size
    return names


def _item(box: bytes) -> str:
    """Return the text of an item: a box "data" with its type and language before it."""
    return decoded(box[16:]) if box[4:8] == b"data" and box[8:12] == b"\0\0\0\1" else ""


READERS: dict[str, Callable[[bytes, Fields], None]] = {
    "image/svg+xml": _svg,
    "application/pdf": _pdf,
    "text/html": _html,
    "audio/mpeg": _mp3,
    **dict.fromkeys(("video/mp4", "video/quicktime", "audio/mp4"), _mp4),
}
