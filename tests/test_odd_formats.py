"""Files as they are met outside: each opens and comes back in its own format, or raises a clear ImageError.

The files stand beside the repository (``../shared/data/odd_formats``); without them nothing is tested here.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from markai.errors import ImageError
from markai.image import file_format, open_picture

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "odd_formats"
FILES = sorted(path for path in FOLDER.glob("*") if path.suffix != ".csv") if FOLDER.is_dir() else []

pytestmark = pytest.mark.skipif(not FILES, reason=f"{FOLDER} is not there")

# What is refused besides the damaged files, and why: the words that its message must hold.
REFUSED = {
    "apng.png": "20 frames",
    "avif_10bit_pq.avif": "more than 8 bits",
    "avif_animated.avif": "5 frames",
    "avif_gainmap.avif": "HDR gain map",
    "avif_gainmap_grid.avif": "more than 8 bits",
    "avif_hdr_p3.avif": "more than 8 bits",
    "gen.heic": "not a picture that markai can read",
    "gen.ico": "not a picture that markai can read",
    "gen_anim.avif": "4 frames",
    "gen_anim.gif": "8 frames",
    "gen_anim.png": "4 frames",
    "gen_anim.webp": "8 frames",
    "gen_bilevel.png": "bilevel",
    "gen_multipage.tif": "3 frames",
    "gif_anim.gif": "2 frames",
    "heic_example.heic": "not a picture that markai can read",
    "heic_gray_exif.heic": "not a picture that markai can read",
    "heic_multi_image.heic": "not a picture that markai can read",
    "heic_photo.heic": "not a picture that markai can read",
    "heif_444.heif": "not a picture that markai can read",
    "heif_gray12.heif": "not a picture that markai can read",
    "heif_rgba_10bit.heif": "not a picture that markai can read",
    "pngsuite_basn0g01.png": "bilevel",
    "tiff_ccitt4.tiff": "bilevel",
    "unsup_avif_clap_irot_imir.avif": "rare kind",
    "unsup_avif_pyramid.avif": "rare kind",
    "unsup_jpg_12bit.jpg": "rare kind",
    "webp_anim.webp": "6 frames",
}
DAMAGED = {
    "bad_corrupted.heic": "not a picture that markai can read",
    "bad_decompression_bomb_header.png": "more than 300,000,000 pixels",
    "bad_empty.png": "empty",
    "bad_flipped_bits.jpg": "damaged",
    "bad_header_only.png": "damaged",
    "bad_pngsuite_xcrn0g04.png": "not a picture that markai can read",
    "bad_pngsuite_xcsn0g01.png": "damaged",  # only a checksum is wrong, which Pillow alone would not see
    "bad_pngsuite_xd0n2c08.png": "damaged",
    "bad_pngsuite_xdtn0g01.png": "damaged",
    "bad_pngsuite_xhdn0g08.png": "damaged",
    "bad_pngsuite_xlfn0g04.png": "not a picture that markai can read",
    "bad_pngsuite_xs1n0g01.png": "not a picture that markai can read",
    "bad_text.jpg": "not a picture that markai can read",
    "bad_truncated.heic": "not a picture that markai can read",
    "bad_truncated.jpg": "damaged",
    "bad_truncated.png": "damaged",
    "bad_truncated.webp": "damaged",
}
UNREADABLE = ("bad_", "unsup_", "heic_", "heif_", "gen.heic", "gen.ico")  # not even for detection


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_comes_back_or_is_refused(path):
    words = {**REFUSED, **DAMAGED}.get(path.name)
    if words:
        with pytest.raises(ImageError, match=f"{words}.* - ") as caught:
            open_picture(path)
        assert "Traceback" not in str(caught.value)
    else:
        assert not path.name.startswith("bad_")
        comes_back(path.read_bytes())


def comes_back(data: bytes) -> None:
    picture = open_picture(data)
    result = picture.rebuild(picture.pixels)
    again = open_picture(result)
    assert file_format(result) == file_format(data)
    assert again.pixels.shape == picture.pixels.shape
    assert again.pixels.dtype == picture.pixels.dtype
    difference = np.abs(again.pixels.astype(float) - picture.pixels)
    assert difference.mean() <= (3.5 if picture.lossy else 0)
    if picture.alpha is not None:
        assert again.alpha is not None
        closeness = np.abs(again.alpha.astype(int) - picture.alpha).max()
        assert closeness <= (16 if file_format(data) == "AVIF" else 0)  # AVIF codes alpha as lossily as colour
    has_same_metadata(data, result)


def has_same_metadata(before: bytes, after: bytes) -> None:
    old, new = Image.open(io.BytesIO(before)), Image.open(io.BytesIO(after))
    assert (new.format, new.mode, new.size) == (old.format, old.mode, old.size)
    for key in ("icc_profile", "xmp", "dpi", "comment", "chromaticity", "gamma", "srgb", "photoshop"):
        if key in old.info and file_format(before) != "JPEG2000":  # its comment names the encoder
            expected = old.info[key]
            assert new.info[key] == (pytest.approx(expected, rel=1e-3) if key == "dpi" else expected)
    if "exif" in old.info:
        assert tags_of(new) == tags_of(old)


def tags_of(image: Image.Image) -> dict[int, object]:
    """EXIF without the tags that hold offsets and without the orientation 1, which need not be written."""
    tags = image.getexif()
    return {tag: tags[tag] for tag in tags if tag not in (34665, 34853) and (tag, tags[tag]) != (274, 1)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_opens_for_detection_unless_it_is_damaged_or_unknown(path):
    if not path.name.startswith(UNREADABLE):
        assert open_picture(path, read_only=True).pixels.size > 0
    else:
        with pytest.raises(ImageError):
            open_picture(path, read_only=True)


def test_tables_name_files_that_exist():
    names = {path.name for path in FILES}
    assert {**REFUSED, **DAMAGED}.keys() <= names
    assert DAMAGED.keys() == {name for name in names if name.startswith("bad_")}


def test_ultra_hdr_jpeg_keeps_its_gain_map_byte_for_byte():
    data = (FOLDER / "jpg_ultrahdr_gainmap.jpg").read_bytes()
    picture = open_picture(data)
    gain_map = data[data.rindex(b"\xff\xd8\xff") :]
    assert picture.rebuild(picture.pixels).endswith(gain_map)
