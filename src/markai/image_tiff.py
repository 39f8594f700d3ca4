"""TIFF tags: which of them describe the picture, and how they move to newly encoded pixels.

Pillow's TIFF encoder drops EXIF and GPS directories as soon as it compresses, so it encodes the pixels alone
and the tags are merged afterwards. Reached only through ``markai.image_files``.
"""

import struct
from io import BytesIO
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.image_arrays import strips
from markai.image_containers import deflated

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION = 256, 257, 258, 259, 262, 274
OFFSETS, SAMPLES, ROWS_PER_STRIP, LENGTHS, PLANAR, PREDICTOR = 273, 277, 278, 279, 284, 317
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
DIRECTORIES = {34665, 34853}  # EXIF and GPS
# How the pixels lie in the file, or pointers into it; everything else describes the picture and is kept.
STRUCTURE = {
    *range(254, 260), PHOTOMETRIC, 263, 264, 265, 266, OFFSETS, SAMPLES, ROWS_PER_STRIP, LENGTHS, 280, 281,
    PLANAR, 288, 289, 290, 291, 292, 293, PREDICTOR, 320, *range(322, 326), 330, EXTRA_SAMPLES, SAMPLE_FORMAT,
    340, 341, 347, *range(512, 522), *range(529, 533), *DIRECTORIES, 40965,
}  # fmt: skip
RGB, CONTIGUOUS, PREMULTIPLIED, ADOBE_DEFLATE, HORIZONTAL = 2, 1, 1, 8, 2
LOSSLESS = {"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd", "lzma"}
WITH_PREDICTOR = {"tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd"}


def descriptive_tags(image: Any) -> Any:
    """Return the tags of an opened TiffImageFile that stay true for other pixels of the same size."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    kept = ImageFileDirectory_v2()
    for tag in image.tag_v2:
        if tag not in STRUCTURE:
            value = image.tag_v2[tag]
            kept.tagtype[tag] = image.tag_v2.tagtype[tag]
            # Pillow reads text as Latin-1 but writes ASCII, which would ruin what is really UTF-8.
            kept[tag] = value.encode("latin-1", "replace") if isinstance(value, str) else value
    for tag in DIRECTORIES & set(image.tag_v2):
        # What an entry of the inner directory points to (40965, interoperability) stays behind.
        kept[tag] = {key: value for key, value in image.getexif().get_ifd(tag).items() if key != 40965}
    return kept


def without_orientation(data: bytes) -> bytes:
    """Return a TIFF file whose first orientation tag says "as stored"."""
    order = "<" if data[:2] == b"II" else ">"
    big = 0x2B in data[2:4]  # BigTIFF: 8-byte offsets, 20-byte entries
    (directory,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, directory)
    first, step, value = (directory + 8, 20, 12) if big else (directory + 2, 12, 8)
    result = bytearray(data)
    for entry in range(first, first + step * count, step):
        if struct.unpack_from(order + "H", data, entry) == (ORIENTATION,):
            struct.pack_into(order + "H", result, entry + value, 1)
    return bytes(result)


def encoder_options(image: Any) -> dict[str, Any]:
    """Return Pillow's options for the compression of an opened TiffImageFile; deflate if that was lossy."""
    compression = image.info.get("compression")
    if compression not in LOSSLESS:
        return {"compression": "tiff_adobe_deflate"}
    predicted = compression in WITH_PREDICTOR and image.tag_v2.get(PREDICTOR) == HORIZONTAL
    return {"compression": compression, "tiffinfo": {PREDICTOR: HORIZONTAL} if predicted else None}


def with_tags(encoded: bytes, tags: Any) -> bytes:
    """Return an encoded single-page TIFF with further tags."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

    source = TiffImageFile(BytesIO(encoded)).tag_v2
    merged = ImageFileDirectory_v2(prefix=encoded[:2])
    for directory in (tags, source):
        for tag in directory:
            merged.tagtype[tag] = directory.tagtype[tag]
            merged[tag] = directory[tag]
    places = list(zip(source[OFFSETS], source[LENGTHS], strict=True))
    merged.tagtype[OFFSETS] = 4  # LONG
    merged[OFFSETS] = (0, *accumulate(length for _, length in places[:-1]))  # counted from behind the tags
    file = BytesIO()
    merged.save(file)
    pixels = memoryview(encoded)
    return b"".join([file.getvalue(), *(pixels[start : start + length] for start, length in places)])


def refusal16(tags: Any) -> str | None:
    """Say why 16-bit samples with these tags cannot be written back, or None."""
    plain = tags.get(PHOTOMETRIC) == RGB and tags.get(PLANAR, CONTIGUOUS) == CONTIGUOUS
    straight = PREMULTIPLIED not in tags.get(EXTRA_SAMPLES, ())
    if plain and straight and set(tags[BITS]) == {16} and set(tags.get(SAMPLE_FORMAT, (1,))) == {1}:
        return None
    return "the TIFF file has more than 8 bits per channel - convert it to contiguous 16-bit RGB or RGBA"


def encode16(pixels: NDArray[np.uint16]) -> bytes:
    """Encode (H, W, C) uint16 RGB or RGBA as deflated TIFF with horizontal prediction."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    height, width, channels = pixels.shape
    rows = (np.diff(pixels[strip], axis=1, prepend=np.uint16(0)) for strip in strips(pixels))
    packed = b"".join(deflated(part.astype("<u2", copy=False) for part in rows))
    tags = ImageFileDirectory_v2(prefix=b"II")
    tags[WIDTH], tags[HEIGHT], tags[SAMPLES], tags[ROWS_PER_STRIP] = width, height, channels, height
    tags[BITS], tags[SAMPLE_FORMAT] = (16,) * channels, (1,) * channels
    tags[COMPRESSION], tags[PREDICTOR] = ADOBE_DEFLATE, HORIZONTAL
    tags[PHOTOMETRIC], tags[PLANAR] = RGB, CONTIGUOUS
    tags[OFFSETS], tags[LENGTHS] = 0, len(packed)
    if channels == 4:
        tags[EXTRA_SAMPLES] = 2  # straight alpha
    file = BytesIO()
    tags.save(file)
    return b"".join([file.getvalue(), packed])
