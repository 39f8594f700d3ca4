"""Pictures as files of a format that was asked for, whatever they came as.

``image.edit`` gives back what it got; this writes a new file instead: upright, in 8 bits unless PNG keeps 16, with the
colour profile and the EXIF data of what it was made from.
"""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from markai.errors import ImageError
from markai.files import FORMAT_OF
from markai.image import open_picture
from markai.image_arrays import Array, to_pil
from markai.image_containers import PNG_HEAD_BYTES, encode_png16, png_chunk
from markai.image_files import LOSSY_QUALITY, codec, encode, file_format, header

QUALITY = {"JPEG": 95, "WEBP": LOSSY_QUALITY, "AVIF": LOSSY_QUALITY}
OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"exact": True}, "TIFF": {"compression": "tiff_adobe_deflate"}}
WRITTEN = ("PNG", "TIFF", *QUALITY)
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# What EXIF data says of a picture rather than of the file that it was in: without orientation, tables and previews.
DESCRIBING = {
    *("ImageDescription", "Make", "Model", "XResolution", "YResolution", "ResolutionUnit", "Software", "DateTime"),
    *("Artist", "HostComputer", "Copyright", "ExifOffset", "GPSInfo"),
}
PROFILED = {"L", "LA", "RGB", "RGBA", "P"}  # whose colour profile is one for the canonical pixels


def format_name(name: str) -> str:
    """Return the name of a format that can be written, from a name, a suffix or a media type.

    >>> format_name("jpg"), format_name(".webp"), format_name("image/png")
    ('JPEG', 'WEBP', 'PNG')

    Raises:
        ImageError: if it is none of them.
    """
    known = FORMAT_OF.get("." + name.lower().rpartition("/")[2].lstrip("."))
    if known not in WRITTEN:
        raise ImageError(f"no new file of format {name!r} can be written - choose {', '.join(WRITTEN).lower()}")
    return known


def edit_into(
    image: Any, change: Callable[[Array, Array | None], Array], name: str, quality: int | None = None
) -> tuple[bytes, bool]:
    """Return a file of the format ``name`` with the pixels that ``change(pixels, alpha)`` makes; say if it is lossy.

    Takes what ``image.open_picture`` takes. ``quality`` (1 to 100) is that of JPEG, WebP and AVIF. The old pixels are
    let go before the new ones are encoded.

    >>> data, lossy = edit_into(np.zeros((8, 9), np.uint8), lambda pixels, alpha: pixels + np.uint8(7), "png")
    >>> file_format(data), lossy, open_picture(data).pixels.max()
    ('PNG', False, np.uint8(7))

    Raises:
        ImageError: if the picture cannot be read, or not be written in that format.
    """
    wanted = format_name(name)
    if quality is not None and not (wanted in QUALITY and 1 <= quality <= 100):
        raise ImageError(f"quality {quality} does not go with {wanted} - give 1 to 100, for JPEG, WebP or AVIF")
    metadata = _metadata(image)
    picture = open_picture(image)
    alpha = picture.alpha
    if alpha is not None and wanted == "JPEG":
        if alpha.min() < (np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1):
            raise ImageError("a JPEG file holds no transparency - choose PNG, WebP or AVIF, or lay it on white first")
        alpha = None
    changed = change(picture.pixels, alpha)
    picture.check(changed)
    del picture
    shown = changed if alpha is None else np.dstack([changed, alpha])
    with codec(f"the picture cannot be written as {wanted}", "choose another format, such as PNG"):
        if shown.dtype == np.uint16 and wanted == "PNG" and shown.shape[2] > 1:
            return _deep_png(shown, metadata), False
        options = {"quality": quality or QUALITY.get(wanted), **metadata, **OPTIONS.get(wanted, {})}
        return encode(_raster(shown, wanted), wanted, **options), wanted in QUALITY


def _metadata(image: Any) -> dict[str, Any]:
    """Return the colour profile and the EXIF data, upright, of a PIL image or a file."""
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
        with codec(f"the {file_format(data)} file is damaged", "restore it or export it again"):
            image = header(data)
    if not isinstance(image, Image.Image):
        return {}
    found: dict[str, Any] = {}
    if image.mode in PROFILED and image.info.get("icc_profile"):
        found["icc_profile"] = image.info["icc_profile"]
    with codec("the EXIF data of the picture is damaged", "export it again without"):
        if given := image.getexif():
            exif = Image.Exif()  # a copy: the caller's picture stays as it is
            exif.load(given.tobytes())
            for tag in [tag for tag in exif if ExifTags.TAGS.get(tag) not in DESCRIBING]:
                del exif[tag]
            found["exif"] = exif.tobytes()
    return found


def _raster(pixels: Array, wanted: str) -> Image.Image:
    """Return (H, W, C) pixels as a PIL image, of 16 bits only where gray PNG and TIFF keep them."""
    height, width, channels = pixels.shape
    if pixels.dtype == np.uint16 and channels == 1 and wanted in ("PNG", "TIFF"):
        return to_pil(pixels.reshape(height, width), "I;16")
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = np.rint(pixels * np.float32(255)).astype(np.uint8)
    return to_pil(pixels if channels > 1 else pixels.reshape(height, width), MODES[channels])


def _deep_png(pixels: Array, metadata: dict[str, Any]) -> bytes:
    encoded = encode_png16(pixels)
    chunks = b""
    if profile := metadata.get("icc_profile"):
        chunks += png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    if exif := metadata.get("exif"):
        chunks += png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return encoded[:PNG_HEAD_BYTES] + chunks + encoded[PNG_HEAD_BYTES:]
