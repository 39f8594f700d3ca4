"""What kind of file something is: by its content, else by what is said of it, else by its name."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from markai.errors import ImageError
from markai.files import read_picture

MAX_BYTES = 2_400_000_000  # as for pictures
MAX_SIDECAR_BYTES = 64 << 20
UNKNOWN = "application/octet-stream"
SIDECAR_SUFFIX = ".c2pa"
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")

# In order: what an ISO file is, its first brand says.
SIGNATURES = {
    "image/jpeg": rb"\xff\xd8\xff",
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/webp": rb"RIFF....WEBP",
    "audio/wav": rb"RIFF....WAVE",
    "video/avi": rb"RIFF....AVI ",
    "image/gif": rb"GIF8[79]a",
    "image/tiff": rb"II[*+]\0|MM\0[*+]",
    "image/avif": rb"....ftyp(?:avi[fs]|(?:mif1|msf1).{4,64}avi[fs])",
    "image/heic": rb"....ftyp(?:hei[cxms]|hev[cx])",
    "image/heif": rb"....ftyp(?:mif1|msf1)",
    "video/quicktime": rb"....ftypqt  ",
    "audio/mp4": rb"....ftypM4A ",
    "video/mp4": rb"....ftyp",
    "image/jxl": rb"\0\0\0\x0cJXL \r\n\x87\n",
    "audio/flac": rb"fLaC",
    "audio/mpeg": rb"ID3|\xff[\xf2\xf3\xfb]",
    "application/pdf": rb".{0,1019}%PDF-",
    "image/bmp": rb"BM.{4}\0\0\0\0",
}
PATTERNS = {mime: re.compile(pattern, re.DOTALL) for mime, pattern in SIGNATURES.items()}
HEAD_BYTES = 6000  # as far as anything here looks
SVG = re.compile(rb"<(?:\w{1,20}:)?svg[\s>]")
# What has no signature of its own.
SUFFIXES = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
    ".xml": "application/xml",
    ".jp2": "image/jp2",
    ".safetensors": UNKNOWN,
}


class Source(NamedTuple):
    """The bytes to work on, their media type, and the file that they came from, if any."""

    data: bytes
    mime: str
    path: Path | None


def load(data: bytes | str | os.PathLike[str], mime: str | None = None) -> Source:
    """Read a path, or take bytes as they are, and find out what they are.

    Raises:
        ImageError: if there is no such file, it is too large, or ``mime`` is no media type.
        TypeError: if ``data`` is something else.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        content = read_picture(path, MAX_BYTES)
    elif isinstance(data, bytes | bytearray | memoryview):
        path, content = None, bytes(data)
    else:
        raise TypeError(f"pass the bytes of a file or its path, not {type(data).__name__}")
    if len(content) > MAX_BYTES:
        raise ImageError(f"the file has more than {MAX_BYTES:,} bytes - split it")
    return Source(content, media_type(content, mime, path), path)


def media_type(data: bytes, mime: str | None = None, path: Path | None = None) -> str:
    """Return the media type of a file.

    >>> media_type(b"GIF89a..."), media_type(b"hello", path=Path("a.txt")), media_type(b"hello", "Text/Plain")
    ('image/gif', 'text/plain', 'text/plain')

    Raises:
        ImageError: if ``mime`` is no media type.
    """
    if mime is not None and not MEDIA_TYPE.fullmatch(mime.lower()):
        raise ImageError(f"{mime!r} is no media type - pass one such as image/png or text/plain")
    head = data[:HEAD_BYTES]
    for known, pattern in PATTERNS.items():
        if pattern.match(head):
            return known
    if _is_svg(head):
        return "image/svg+xml"
    if mime is not None:
        return mime.lower()
    return SUFFIXES.get(path.suffix.lower(), UNKNOWN) if path else UNKNOWN


def _is_svg(head: bytes) -> bool:
    """Say whether the first element is svg, after declarations and comments; each byte is looked at once."""
    at = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while True:
        at += len(head) - at - len(head[at:].lstrip())
        if not head.startswith((b"<?", b"<!"), at):
            return SVG.match(head, at) is not None
        closing = b"-->" if head.startswith(b"<!--", at) else b">"
        end = head.find(closing, at)
        if end < 0:
            return False
        at = end + len(closing)


def sidecar_paths(path: Path) -> tuple[Path, Path]:
    """Return where the manifest of a file may lie beside it: photo.jpg.c2pa, which is written, and photo.c2pa."""
    return path.with_name(path.name + SIDECAR_SUFFIX), path.with_suffix(SIDECAR_SUFFIX)


def read_sidecar(path: str | os.PathLike[str]) -> bytes:
    """Return the manifest store in a sidecar file.

    Raises:
        ImageError: if it cannot be read or is too large to be one.
    """
    store = read_picture(Path(path), MAX_SIDECAR_BYTES)
    if len(store) > MAX_SIDECAR_BYTES:
        raise ImageError(f"{os.fspath(path)} has more than {MAX_SIDECAR_BYTES:,} bytes - it is no manifest store")
    return store
