"""Encoded picture files: what they are, how they open, and how they are written back as they were.

Pillow decodes and encodes the pixels. What it would drop or rewrite (text chunks, extended XMP, Photoshop
blocks, gain maps) is copied as it stands from the original. Left out on purpose are C2PA manifests, whose
hashes no longer hold once the pixels change, and previews of the unmarked picture. Reached only through
``markai.image``.
"""

import logging
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from io import BytesIO
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from markai import image_tiff
from markai.errors import ImageError, MarkaiError, MissingExtraError
from markai.image_containers import (
    PNG_GRAY,
    PNG_GRAY_ALPHA,
    PNG_HEAD_BYTES,
    PNG_RGB,
    avif_details,
    avif_with_color,
    encode_png16,
    jp2_refusal,
    jp2_transplant,
    jpeg_transplant,
    jpeg_views,
    png_chunk,
    png_chunks,
    png_is_whole,
    png_metadata,
    webp_is_lossless,
)

MAX_PIXELS = 300_000_000  # 16k x 16k fits; a header that claims more is refused before anything is decoded
MAX_BYTES = 8 * MAX_PIXELS  # as many, uncompressed: RGBA of 16 bits
LOSSY_QUALITY = 90  # of WebP and AVIF, whose own quality is not stored in the file

# By content, never by name. TGA has no signature, so that it comes last and takes only a plausible header.
FORMATS = {
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "AVIF": re.compile(rb"....ftyp(?:avi[fs]|(?:mif1|msf1).{4,64}avi[fs])", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "BMP": re.compile(rb"BM"),
    "PPM": re.compile(rb"P[1-6Ff]\s"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "JPEG2000": re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    "TGA": re.compile(rb".(?:\0[\x02\x03\x0a\x0b]|\x01[\x01\x09]).{13}[\x08\x10\x18\x20][\x00-\x3f]", re.DOTALL),
}
# The classes themselves: Image.open() would refuse 16k x 16k and would open the second picture of an MPO.
PLUGINS = {
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "JPEG2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "TGA": ("TgaImagePlugin", "TgaImageFile"),
}
# The modes that come back as the same mode from a file of the format; "1" has its own error in image.py.
WRITABLE = {
    "PNG": {"1", "L", "LA", "RGB", "RGBA", "P", "I;16"},
    "JPEG": {"L", "RGB", "CMYK"},
    "WEBP": {"RGB", "RGBA"},
    "AVIF": {"RGB", "RGBA"},
    "TIFF": {"1", "L", "LA", "RGB", "RGBA", "RGBX", "P", "I;16", "I;16B", "I", "F", "CMYK", "YCbCr", "LAB"},
    "BMP": {"1", "L", "RGB", "P"},
    "PPM": {"1", "L", "RGB", "I"},
    "GIF": {"L", "P"},
    "JPEG2000": {"L", "LA", "RGB", "RGBA", "I;16"},
    "TGA": {"L", "LA", "RGB", "RGBA", "P"},
}

log = logging.getLogger("markai")

Raster = Image.Image | NDArray[np.uint16]
ColorKey = int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class PictureFile:
    """A decoded file and the way to write it again.

    ``raster`` is as stored, not turned upright; an array HxWxC (C = 2 is gray and alpha) where Pillow would
    cut 16 bits to 8. ``write`` takes a raster of the same kind. ``refusal`` says why that cannot be, if so.
    """

    raster: Raster
    write: Callable[[Any], bytes]
    lossy: bool = False
    orientation: int = 1
    color_key: ColorKey = None
    refusal: str | None = None


def file_format(data: bytes) -> str:
    """Return the format of an encoded picture by its content, in Pillow's spelling.

    >>> file_format(b"GIF89a...")
    'GIF'

    Raises:
        ImageError: if it is none of the formats that markai reads.
    """
    for name, signature in FORMATS.items():
        if signature.match(data):
            return name
    what = "the file is empty" if not data else "the data is not a picture that markai can read"
    raise ImageError(f"{what} - the formats that work are {', '.join(FORMATS)}; convert others to PNG first")


def read_file(data: bytes) -> PictureFile:
    """Decode an encoded picture.

    Raises:
        ImageError: if it is damaged, too large, or of an unknown format.
        MissingExtraError: if it has 16-bit colours and OpenCV is not installed.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(f"the file has {len(data):,} bytes, more than {MAX_BYTES:,} - export it smaller")
    name = file_format(data)
    with codec(f"the {name} file is damaged, cut short or of a rare kind", "restore it or export it again"):
        return _READERS[name](data)


class TooManyPixels(ImageError):
    """The picture is larger than is decoded, and nothing is known to be wrong with it."""


def check_size(width: int, height: int) -> None:
    """Raise ImageError where a picture has no pixels, TooManyPixels where it has more than MAX_PIXELS."""
    if width < 1 or height < 1:
        raise ImageError(f"a picture of {width}x{height} holds no pixels - pass at least one")
    if width * height > MAX_PIXELS:
        raise TooManyPixels(f"{width}x{height} is more than {MAX_PIXELS:,} pixels - scale it down or cut it in tiles")


@contextmanager
def codec(problem: str, advice: str) -> Iterator[None]:
    """Turn whatever a codec raises into an ImageError, and keep Pillow's warnings quiet.

    A damaged file makes codecs raise nearly anything: OSError, SyntaxError, struct.error, KeyError. The whole
    story goes to the log, at level DEBUG.
    """
    try:
        with _quiet_pillow:
            yield
    except MarkaiError:
        raise
    except Image.DecompressionBombError as error:  # of WebP, whose plugin asks before it can be told
        advice = "convert it to PNG, or raise PIL.Image.MAX_IMAGE_PIXELS"
        raise ImageError(f"Pillow does not open the picture: {error} - {advice}") from None
    except Exception as error:
        log.debug(problem, exc_info=True)
        said = f" ({error})" if isinstance(error, OSError | SyntaxError | ValueError) else ""
        raise ImageError(f"{problem}{said} - {advice}") from None


class _QuietPillow:
    """Ignores warnings raised inside Pillow while any thread is in the block.

    ``warnings.catch_warnings`` swaps the whole filter list and is not safe between threads; this adds one
    entry for the first thread that enters and takes exactly that entry away with the last that leaves.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._entry: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0 or self._entry not in warnings.filters:
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._entry = warnings.filters[0]
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                with suppress(ValueError):
                    cast("list[Any]", warnings.filters).remove(self._entry)


_quiet_pillow = _QuietPillow()


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation 1 to 8; EXIF that cannot be read turns nothing."""
    with suppress(Exception), _quiet_pillow:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        return orientation if 1 <= orientation <= 8 else 1
    return 1


def _open(name: str, data: bytes) -> Any:
    """Return Pillow's picture of one format, its size checked, its pixels not decoded yet."""
    module, plugin = PLUGINS[name]
    image = getattr(import_module(f"PIL.{module}"), plugin)(BytesIO(data))
    check_size(*image.size)
    if name == "TIFF":  # whose plugin refuses more than 179 MP unless it finds the memory for its tiles there
        check_size(*image._tile_size)
        image.im = Image.new(image.mode, image._tile_size, None).im
    return image


def _save(image: Image.Image, name: str, **options: Any) -> bytes:
    """Encode with Pillow; options that are None are left out."""
    file = BytesIO()
    image.save(file, name, **{key: value for key, value in options.items() if value is not None})
    return file.getvalue()


def header(data: bytes) -> Image.Image:
    """Return Pillow's picture of an encoded file, its size checked, its pixels not decoded; inside :func:`codec`."""
    name = file_format(data)
    image: Image.Image
    if name != "PNG":
        image = _open(name, data)
    else:  # any chunk that is not needed may be odd, as in _read_png
        kept = [chunk for kind, chunk in png_chunks(data) if kind in (b"iCCP", b"eXIf") and png_is_whole(chunk)]
        image = _open(name, b"".join([data[:PNG_HEAD_BYTES], *kept, png_chunk(b"IDAT", b"")]))
        image.info.setdefault("exif", b"")  # or Pillow would decode the pixels to look behind them
    return image


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    """Return a new file of the format ``name`` by Pillow; options that are None are left out; inside :func:`codec`."""
    return _save(image, name, **options)


def _refusal(name: str, image: Any) -> str | None:
    """Say why a picture with these frames or of this mode cannot be written back, or None."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        return _frames_refusal(name, frames)
    if image.mode not in WRITABLE[name]:
        return f"a {name} file of mode {image.mode} cannot be written back as it was - convert it to PNG first"
    return None


def _frames_refusal(name: str, frames: int) -> str:
    return f"the {name} file has {frames} frames - mark each frame by itself and join them again"


def _finish(
    name: str,
    image: Any,
    *,
    lossy: bool = False,
    patch: Callable[[bytes], bytes] = bytes,
    refusal: str | None = None,
    color_key: ColorKey = None,
    **options: Any,
) -> PictureFile:
    """Decode now; to write, encode with Pillow's ``options`` and let ``patch`` add what they cannot."""
    refusal = refusal or _refusal(name, image)
    image.load()
    return PictureFile(
        raster=image,
        write=lambda raster: patch(_save(raster, name, **options)),
        lossy=lossy,
        orientation=orientation_of(image),
        color_key=color_key,
        refusal=refusal,
    )


def _read_png(data: bytes) -> PictureFile:
    """Read PNG without its text and colour chunks: however large or odd, none stands in the way."""
    chunks = list(png_chunks(data))
    needed = [(kind, chunk) for kind, chunk in chunks if kind[:1].isupper() or kind in (b"tRNS", b"eXIf")]
    image = _open("PNG", b"".join([data[:8], *(chunk for _, chunk in needed)]))
    if not all(png_is_whole(chunk) for _, chunk in needed):  # Pillow does not check the pixels' own checksums
        raise ValueError("a checksum does not fit")
    depth, color = data[24:26]
    found = dict(chunks)
    frames = int.from_bytes(found.get(b"acTL", b"")[8:12], "big")
    key = _png_color_key(found.get(b"tRNS", b"")[8:-4], depth, color)
    metadata = png_metadata(data)

    def patch(encoded: bytes) -> bytes:
        return b"".join([encoded[:PNG_HEAD_BYTES], metadata, memoryview(encoded)[PNG_HEAD_BYTES:]])

    file = _finish(
        "PNG",
        image,
        patch=patch,
        refusal=_frames_refusal("PNG", frames) if frames > 1 else None,
        color_key=key,
        transparency=key,
    )
    if depth < 16 or color == PNG_GRAY:
        return file
    pixels = _decode_deep(b"".join([data[:8], *(chunk for kind, chunk in needed if kind[:1].isupper())]))
    if color == PNG_GRAY_ALPHA:
        pixels = pixels[..., [0, -1]]
    if isinstance(key, tuple):
        metadata += png_chunk(b"tRNS", struct.pack(">3H", *key))
    return replace(file, raster=pixels, write=lambda raster: patch(encode_png16(raster)))


def _png_color_key(body: bytes | memoryview, depth: int, color: int) -> ColorKey:
    """Return the transparent colour of gray or RGB, gray at the 8 bits that Pillow makes of 1, 2, 4."""
    top = (1 << depth) - 1
    values = tuple(int(value) & top for (value,) in struct.iter_unpack(">H", body[: len(body) // 2 * 2]))
    if color == PNG_GRAY and len(values) == 1:
        return values[0] * (255 // top if depth < 8 else 1)
    return values if color == PNG_RGB and len(values) == 3 else None


def _decode_deep(data: bytes) -> NDArray[np.uint16]:
    """Return the 16-bit RGB or RGBA pixels (H, W, C) of a PNG or TIFF file that Pillow found sound."""
    try:
        import cv2
    except ImportError:
        raise MissingExtraError.naming("opencv-python-headless", "deep", "16-bit colour files") from None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ImageError("the 16-bit colours cannot be decoded - convert the file to a 16-bit RGB PNG first")
    order = [2, 1, 0] if pixels.shape[2] == 3 else [2, 1, 0, 3]
    return np.ascontiguousarray(pixels[..., order])


def _read_jpeg(data: bytes) -> PictureFile:
    """Read the first picture, which is the one that is shown; it is written with the tables that it had."""
    image = _open("JPEG", data)
    views = jpeg_views(data)
    tables = [image.quantization[layer[3]] for layer in image.layer]
    # The encoder has one table for luma and one for chroma: where Cb and Cr differ, the finer of each entry.
    chroma = [min(pair) for pair in zip(*tables[1:3], strict=True)] if image.mode == "RGB" else tables[0]
    sampling = import_module("PIL.JpegImagePlugin").get_sampling(image)
    # Pillow encodes progressive files into a buffer of 2 bytes per pixel, and fails where that is too small.
    roomy = len(data) < max(32_768, 1.5 * image.width * image.height)
    plain_rgb = image.info.get("adobe_transform") == 0 or bytes(layer[0] for layer in image.layer) == b"RGB"
    return _finish(
        "JPEG",
        image,
        lossy=True,
        patch=partial(jpeg_transplant, original=data),
        refusal=f"the JPEG file holds {views} views of a scene - mark each by itself" if views > 1 else None,
        qtables=[tables[0]] if chroma == tables[0] else [tables[0], chroma],
        # What Pillow cannot write (4:4:0, 4:1:1) becomes 4:4:4, which loses nothing.
        subsampling=0 if sampling < 0 and image.mode == "RGB" else sampling,
        progressive=roomy and bool(image.info.get("progressive")),
        keep_rgb=plain_rgb and image.mode == "RGB",
    )


def _read_webp(data: bytes) -> PictureFile:
    image = _open("WEBP", data)
    lossless = webp_is_lossless(data)
    return _finish(
        "WEBP",
        image,
        lossy=not lossless,
        lossless=lossless,
        quality=None if lossless else LOSSY_QUALITY,
        exact=True,  # keeps the colours under transparent pixels
        **_info(image, "icc_profile", "exif", "xmp"),
    )


def _read_avif(data: bytes) -> PictureFile:
    image = _open("AVIF", data)
    details = avif_details(data)
    return _finish(
        "AVIF",
        image,
        lossy=True,
        patch=partial(avif_with_color, color=details.color),
        refusal=details.refusal,
        quality=LOSSY_QUALITY,
        subsampling=details.subsampling,
        **_info(image, "icc_profile", "exif", "xmp"),
    )


def _read_jpeg2000(data: bytes) -> PictureFile:
    """Read JPEG 2000; it is written losslessly, into the boxes that it had."""
    image = _open("JPEG2000", data)
    refusal = jp2_refusal(data, len(image.getbands()))
    patch = partial(jp2_transplant, original=data)
    return _finish("JPEG2000", image, patch=patch, refusal=refusal, no_jp2=True)


def _read_plain(data: bytes, name: str, kept: tuple[str, ...] = ()) -> PictureFile:
    """Read a simple lossless format, of whose ``info`` Pillow can write what is ``kept``."""
    image = _open(name, data)
    refusal = None
    if name == "PPM" and image.mode == "RGB" and _ppm_maximum(data) > 255:
        refusal = "a PPM file with more than 8 bits per channel cannot be kept - convert it to a 16-bit PNG first"
    key = image.info.get("transparency") if image.mode == "L" else None
    return _finish(name, image, refusal=refusal, color_key=key, transparency=key, **_info(image, *kept))


def _ppm_maximum(data: bytes) -> int:
    header = re.sub(rb"#[^\r\n]*", b"", data[:10_000]).split(maxsplit=4)
    return int(header[3])


def _info(image: Any, *keys: str) -> dict[str, Any]:
    return {key: image.info[key] for key in keys if key in image.info}


def _read_tiff(data: bytes) -> PictureFile:
    """Read a TIFF page; it is written with the same tags and, if that is lossless, the same compression."""
    image = _open("TIFF", data)
    bits = image.tag_v2.get(image_tiff.BITS, (1,))
    deep = len(bits) > 1 and max(bits) > 8
    refusal = image_tiff.refusal16(image.tag_v2) if deep else None
    orientation = image.tag_v2.get(image_tiff.ORIENTATION, 1)
    if orientation != 1:  # decoders turn TIFF upright, unlike any other format: let them see it as stored
        data = image_tiff.without_orientation(data)
    tags = image_tiff.descriptive_tags(image)
    patch = partial(image_tiff.with_tags, tags=tags)
    file = _finish("TIFF", _open("TIFF", data), patch=patch, refusal=refusal, **image_tiff.encoder_options(image))
    if deep and not file.refusal:
        pixels = _decode_deep(data)
        file = replace(file, raster=pixels, write=lambda raster: patch(image_tiff.encode16(raster)))
    return replace(file, orientation=orientation)


_READERS: dict[str, Callable[[bytes], PictureFile]] = {
    "PNG": _read_png,
    "JPEG": _read_jpeg,
    "WEBP": _read_webp,
    "AVIF": _read_avif,
    "TIFF": _read_tiff,
    "BMP": partial(_read_plain, name="BMP", kept=("dpi",)),
    "PPM": partial(_read_plain, name="PPM"),
    "GIF": partial(_read_plain, name="GIF", kept=("comment",)),
    "JPEG2000": _read_jpeg2000,
    "TGA": partial(_read_plain, name="TGA", kept=("compression", "orientation", "id_section")),
}
