"""Small pictures of what was audited, for the report: of bounded number and size, each of the very bytes audited."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from markai.audit.tally import has_findings
from markai.errors import MarkaiError
from markai.files import read_picture
from markai.image import open_picture
from markai.image_files import check_size, codec, file_format

Row = Mapping[str, Any]

SIDE = 176  # pixels along the longer side: sharp at twice the density in the list, enough for the map of the mark
QUALITY = 55
FIRST = 200  # files from the start of the list that get a picture, besides those with findings
MOST_BYTES = 8 << 20  # of all pictures on a page, as base64
LARGEST_FILE = 64 << 20
IN_ARCHIVE = "!/"


def thumbnail(data: bytes) -> bytes | None:
    """Return a small WebP of a picture file, upright; None where it is no picture that can be read."""
    try:
        small = _draft(data) if file_format(data) == "JPEG" else _whole(data)
    except (MarkaiError, MemoryError):
        return None
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def _draft(data: bytes) -> Image.Image:
    """Return a JPEG decoded at a fraction of its size, which takes a fraction of the time."""
    with codec("the JPEG file is damaged", "it is shown without a picture"):
        image = Image.open(io.BytesIO(data), formats=("JPEG", "MPO"))
        check_size(*image.size)
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return ImageOps.exif_transpose(image.convert("RGB"))


def _whole(data: bytes) -> Image.Image:
    picture = open_picture(data, read_only=True)
    step = max(1, min(picture.pixels.shape[:2]) // (4 * SIDE))  # every so many pixels: it is small in the end
    pixels = picture.pixels[::step, ::step]
    scale = {"uint8": 1.0, "uint16": 1 / 257, "float32": 255.0}[pixels.dtype.name]
    return Image.fromarray(np.rint(np.repeat(pixels, 3 // pixels.shape[2], axis=2) * scale).astype(np.uint8))


def read(row: Row) -> bytes | None:
    """Return the bytes of the file that a row is about; None where they are not those that were audited."""
    path, _, member = str(row.get("path")).partition(IN_ARCHIVE)
    try:
        if not member:
            data = read_picture(Path(path), LARGEST_FILE)
        else:
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo(member).file_size > LARGEST_FILE:
                    return None
                data = archive.read(member)
    except (MarkaiError, OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError):
        return None
    return data if hashlib.sha256(data).hexdigest() == row.get("sha256") else None


class Thumbnails:
    """Which rows get a picture on the page: those with findings and the first ones, until the space is used up.

    ``picture_of`` returns the small picture of a row (WebP, JPEG or PNG), or None; :func:`from_files` reads the
    files once more.

    >>> rows = [{"path": "a"}, {"path": "b", "contradictions": [{"code": "copied-mark"}]}]
    >>> pictures = Thumbnails(lambda row: b"RIFF....WEBP", most_bytes=60).choose(rows)
    >>> {index: uri[:15] for index, uri in pictures.items()}
    {1: 'data:image/webp'}
    """

    def __init__(
        self, picture_of: Callable[[Row], bytes | None], *, first: int = FIRST, most_bytes: int = MOST_BYTES
    ) -> None:
        self.picture_of, self.first, self.most_bytes = picture_of, first, most_bytes

    def choose(self, rows: Iterable[Row]) -> dict[int, str]:
        """Return pictures as data URIs, by the number of their row."""
        others: list[tuple[int, Row]] = []
        chosen: dict[int, str] = {}
        left = self.most_bytes
        for index, row in enumerate(rows):
            if not has_findings(row):
                if len(others) < self.first:
                    others.append((index, row))
                continue
            left = self._add(chosen, index, row, left)
        for index, row in others:
            left = self._add(chosen, index, row, left)
        return chosen

    def _add(self, chosen: dict[int, str], index: int, row: Row, left: int) -> int:
        if left <= 0 or not (data := self.picture_of(row)):
            return left
        uri = data_uri(data)
        if len(uri) > left:
            return 0  # later ones could be smaller; but whoever reads should not wonder why just these have one
        chosen[index] = uri
        return left - len(uri)


def from_files(*, first: int = FIRST, most_bytes: int = MOST_BYTES) -> Thumbnails:
    """Return thumbnails that are made from the audited files, where they are still what was audited."""

    def picture_of(row: Row) -> bytes | None:
        data = read(row)
        return None if data is None else thumbnail(data)

    return Thumbnails(picture_of, first=first, most_bytes=most_bytes)


def data_uri(data: bytes) -> str:
    """Return a small picture as a data URI.

    >>> data_uri(b"RIFF")
    'data:image/webp;base64,UklGRg=='
    """
    kind = "jpeg" if data[:2] == b"\xff\xd8" else "png" if data[:4] == b"\x89PNG" else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
