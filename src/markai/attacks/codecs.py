"""Codecs: the picture is written and read again."""

import io
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from markai.attacks.pixels import Pixels
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack
from markai.errors import MissingExtraError
from markai.image_files import codec

attack = partial(any_attack, family="codec")
QUALITY = Strength("quality", 1, 100, default=50, step=1)
HALVED_COLOR = Strength("quality, 4:2:0", 1, 100, default=50, step=1)
GRID_SHIFT = 4  # half a block: as far from the grid of an earlier JPEG as can be, in luma


@attack("none")
def none(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Change nothing."""
    return pixels


@attack("jpeg", HALVED_COLOR)
def jpeg(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as JPEG with halved colour, as nearly every service does, and read again."""
    return _recode(pixels, "JPEG", quality=int(quality), subsampling="4:2:0")


@attack("webp", QUALITY)
def webp(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as lossy WebP and read again."""
    return _recode(pixels, "WEBP", quality=int(quality))


@attack("avif", QUALITY)
def avif(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as AVIF, 4:2:0, and read again."""
    # One thread: with more, the encoder may split the picture otherwise on a machine with other cores.
    return _recode(pixels, "AVIF", quality=int(quality), subsampling="4:2:0", max_threads=1)


@attack("jpeg-444", Strength("quality, 4:4:4", 1, 100, default=50, step=1))
def jpeg_444(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as JPEG with full colour and read again."""
    return _recode(pixels, "JPEG", quality=int(quality), subsampling="4:4:4")


@attack("jpeg-shifted", HALVED_COLOR)
def jpeg_shifted(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as JPEG with the grid of blocks half a block off: the second JPEG of a picture once cropped."""
    padded = np.pad(pixels, ((GRID_SHIFT, 0), (GRID_SHIFT, 0), (0, 0)), "edge")
    return _recode(padded, "JPEG", quality=int(quality), subsampling="4:2:0")[GRID_SHIFT:, GRID_SHIFT:]


@attack("jpeg2000", Strength("times smaller than raw", 1, 400, default=50))
def jpeg2000(pixels: Pixels, ratio: float, _rng: np.random.Generator) -> Pixels:
    """Write as JPEG 2000, irreversible, and read again."""
    return _recode(pixels, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True)


@attack("jpeg-xl", QUALITY)
def jpeg_xl(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as lossy JPEG XL, of the distance that libjxl maps this quality to, and read again; needs imagecodecs.

    Below quality 5 the encoder halves the picture first, which does less harm than quality 5 itself.
    """
    try:
        from imagecodecs import jpegxl_decode, jpegxl_encode
    except ImportError:
        raise MissingExtraError.naming("imagecodecs", "bench", "JPEG XL attacks") from None
    height, width = pixels.shape[:2]
    with codec(f"a {width}x{height} picture cannot go through JPEG XL", "resize it first"):
        written = jpegxl_encode(np.ascontiguousarray(pixels), level=int(quality), numthreads=1)
        return np.asarray(jpegxl_decode(written, numthreads=1), np.uint8)


@attack("palette", Strength("colours", 2, 256, default=256, step=1))
def palette(pixels: Pixels, colors: float, _rng: np.random.Generator) -> Pixels:
    """Keep the most useful colours, dithered by Floyd and Steinberg, as GIF and small PNG files do."""
    picture = Image.fromarray(pixels)
    table = picture.quantize(int(colors), Image.Quantize.MEDIANCUT)  # dithers only against a given palette
    return np.asarray(picture.quantize(palette=table, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))


@attack("png")
def png(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Write as PNG and read again; changes nothing."""
    return _recode(pixels, "PNG", compress_level=1)


@attack("webp-lossless")
def webp_lossless(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Write as lossless WebP and read again; changes nothing."""
    return _recode(pixels, "WEBP", lossless=True, quality=0)


def _recode(pixels: Pixels, file_format: str, **options: Any) -> Pixels:
    """Encode and decode in memory."""
    file, (height, width) = io.BytesIO(), pixels.shape[:2]
    with codec(f"a {width}x{height} picture cannot go through {file_format}", "resize it first"):
        Image.fromarray(pixels).save(file, file_format, **options)
        return np.asarray(Image.open(file).convert("RGB"))
