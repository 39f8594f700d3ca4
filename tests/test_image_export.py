"""Pictures of every kind into new files: what is kept, what is converted, what is refused."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from markai.errors import ImageError
from markai.image import file_format, open_picture, size_of
from markai.image_export import WRITTEN, edit_into, format_name

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def same(pixels: Any, _: Any) -> Any:
    return pixels


def gradient(channels: int, dtype: Any = np.uint8) -> Any:
    rows, columns = np.mgrid[:64, :80]
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    planes = [(rows * 2 + columns) / 210, columns / 80, rows / 64, np.full(rows.shape, 0.5)][-channels:]
    return (np.stack(planes, axis=2) * top).astype(dtype)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_becomes_a_file_of_every_format(name: str, channels: int) -> None:
    pixels = gradient(channels)
    data, lossy = edit_into(pixels, same, name.lower())
    assert (file_format(data), lossy, size_of(data)) == (name, name not in ("PNG", "TIFF"), (80, 64))
    shown = open_picture(data, read_only=True).pixels
    assert np.abs(shown.astype(int) - pixels).max() <= (24 if lossy else 0)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_transparency_is_kept_where_the_format_has_it(name: str) -> None:
    pixels = np.dstack([gradient(3), np.full((64, 80), 77, np.uint8)])
    alpha = open_picture(edit_into(pixels, same, name)[0], read_only=True).alpha
    assert alpha is not None
    assert (np.abs(alpha.astype(int) - 77) <= 2).all()


def test_jpeg_takes_no_transparency_unless_nothing_is_transparent() -> None:
    opaque = np.dstack([gradient(3), np.full((64, 80), 255, np.uint8)])
    assert file_format(edit_into(opaque, same, "jpg")[0]) == "JPEG"
    opaque[0, 0, 3] = 254
    with pytest.raises(ImageError, match="no transparency"):
        edit_into(opaque, same, "jpg")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_16_bits_and_others_round(channels: int) -> None:
    pixels = gradient(channels, np.uint16)
    picture = open_picture(edit_into(pixels, same, "png")[0])
    shown = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    assert np.array_equal(shown, pixels)
    if channels < 4:
        eight = open_picture(edit_into(pixels, same, "jpeg")[0], read_only=True).pixels
        assert np.abs(eight.astype(int) - pixels // 257).max() <= 24


def test_floats_become_8_bits() -> None:
    pixels = gradient(3, np.float32)
    assert np.array_equal(open_picture(edit_into(pixels, same, "png")[0]).pixels, np.rint(pixels * 255))


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("as_file", [False, True])
def test_profile_and_exif_come_along_and_the_picture_is_upright(name: str, as_file: bool) -> None:
    image = Image.fromarray(gradient(3))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "Somebody"
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif, icc_profile=PROFILE)
    given: Any = file.getvalue() if as_file else Image.open(file)
    with Image.open(io.BytesIO(edit_into(given, same, name)[0])) as written:
        assert written.size == (64, 80)  # turned
        assert written.info.get("icc_profile") == PROFILE
        assert written.getexif().get(ExifTags.Base.Artist) == "Somebody"
        assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1
    file = io.BytesIO()
    image.save(file, "TIFF", exif=exif)
    with Image.open(io.BytesIO(edit_into(file.getvalue(), same, name)[0])) as written:
        assert written.getexif().get(ExifTags.Base.Artist) == "Somebody"
    assert as_file or given.getexif()[ExifTags.Base.Orientation] == 6  # the input is never changed


def test_a_deep_png_has_them_too() -> None:
    image = Image.fromarray(gradient(3))
    file = io.BytesIO()
    image.save(file, "TIFF", icc_profile=PROFILE)
    data, _ = edit_into(file.getvalue(), lambda pixels, _: pixels, "png")
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == PROFILE
    from markai.image_export import _deep_png

    exif = image.getexif()
    exif[ExifTags.Base.Artist] = "Somebody"
    deep = _deep_png(gradient(3, np.uint16), {"icc_profile": PROFILE, "exif": exif.tobytes()})
    with Image.open(io.BytesIO(deep)) as written:
        written.load()
        assert (written.info["icc_profile"], written.getexif()[ExifTags.Base.Artist]) == (PROFILE, "Somebody")


def test_the_profile_of_inks_is_not_one_for_colours() -> None:
    image = Image.fromarray(gradient(3)).convert("CMYK")
    image.info["icc_profile"] = b"of inks"
    assert "icc_profile" not in Image.open(io.BytesIO(edit_into(image, same, "png")[0])).info


def test_quality_is_that_of_lossy_formats() -> None:
    pixels = gradient(3)
    small, large = (len(edit_into(pixels, same, "jpeg", quality)[0]) for quality in (30, 98))
    assert small < large
    for name, quality in (("png", 90), ("jpeg", 0), ("webp", 101)):
        with pytest.raises(ImageError, match="quality"):
            edit_into(pixels, same, name, quality)


@pytest.mark.parametrize("name", ["gif", "bmp", "heic", "exe", "", "image/svg+xml", "../png"])
def test_other_formats_are_refused(name: str) -> None:
    if name == "../png":
        assert format_name(name) == "PNG"  # a name is all that it is
        return
    with pytest.raises(ImageError, match="choose png"):
        edit_into(gradient(3), same, name)


def test_an_odd_chunk_stands_in_nobodys_way() -> None:
    file = io.BytesIO()
    Image.fromarray(gradient(3)).save(file, "PNG", icc_profile=PROFILE)
    data = bytearray(file.getvalue())
    at = data.index(b"iCCP")
    length = int.from_bytes(data[at - 4 : at], "big")
    data[at + 4 + length] ^= 1  # its checksum
    assert size_of(bytes(data)) == (80, 64)
    assert "icc_profile" not in Image.open(io.BytesIO(edit_into(bytes(data), same, "webp")[0])).info


def test_damaged_files_are_errors_in_words() -> None:
    file = io.BytesIO()
    Image.fromarray(gradient(3)).save(file, "PNG")
    for data in (file.getvalue()[:-80], b"junk", b""):
        with pytest.raises(ImageError):
            edit_into(data, same, "png")
    for data in (file.getvalue()[:20], b"junk", b""):
        with pytest.raises(ImageError):
            size_of(data)
