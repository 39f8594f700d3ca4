"""Every accepted kind of picture becomes canonical pixels and comes back as it was."""

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL.ImageCms import ImageCmsProfile, createProfile

from markai import image_containers, image_files, image_tiff
from markai.errors import ImageError, MissingExtraError
from markai.image import MAX_PIXELS, file_format, open_picture, split_batch

rng = np.random.default_rng(7)
ORIENTATION = 274
SRGB = ImageCmsProfile(createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def photo(height: int = 40, width: int = 56, channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    """A smooth picture with a little noise, so that codecs behave as on photos; (H, W, C) or (H, W)."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [np.sin(rows / (5 + i)) + np.cos(columns / (7 + i)) for i in range(channels)]
    values = (np.stack(planes, axis=2) + 2) / 4 * 0.8 + 0.1 + rng.normal(0, 0.01, (height, width, channels))
    top = np.iinfo(dtype).max
    return (np.clip(values, 0, 1) * top).astype(dtype).squeeze()


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def exif(orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    tags[271] = "markai"
    return tags


def same(image: Any) -> Any:
    """The input, opened and rebuilt from its own pixels."""
    picture = open_picture(image)
    return picture.rebuild(picture.pixels)


def brighter(picture: Any) -> Any:
    """Pixels that all differ from the opened ones, away from the ends of the range."""
    top = 1 if picture.pixels.dtype.kind == "f" else np.iinfo(picture.pixels.dtype).max
    return (picture.pixels * 0.8 + top * 0.1).astype(picture.pixels.dtype)


# Arrays


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.sampled_from([size, (*size, 1), (*size, 3), (*size, 4)])
)
arrays = st.one_of(
    npst.arrays(st.sampled_from([np.uint8, np.uint16, np.dtype(">u2")]), shapes),
    npst.arrays(np.float16, shapes, elements=st.floats(0, 1, width=16)),
    npst.arrays(np.float32, shapes, elements=st.floats(0, 1, width=32)),
    npst.arrays(st.sampled_from([np.float64, np.dtype(">f8")]), shapes, elements=st.floats(0, 1)),
)


@settings(deadline=None)
@given(arrays, st.data())
def test_array_identity_is_exact_and_never_aliases(array, data):
    steps = [data.draw(st.sampled_from([1, -1, 2])) for _ in range(2)]
    array = array[:: steps[0], :: steps[1]]
    array.flags.writeable = False
    before = array.copy()

    picture = open_picture(array)
    result = picture.rebuild(picture.pixels)

    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.ndim == 3
    assert picture.pixels.shape[2] in (1, 3)
    assert picture.pixels.dtype == (array.dtype.newbyteorder("=") if array.dtype.kind == "u" else np.float32)
    assert (picture.alpha is not None) == (array.ndim == 3 and array.shape[2] == 4)
    assert picture.alpha is None or picture.alpha.dtype == picture.pixels.dtype
    assert (result.shape, result.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(result, array)
    assert not np.shares_memory(result, array)
    result[...] = 0
    if picture.pixels.flags.writeable:  # never where it is the input's own memory
        picture.pixels[...] = 0
    np.testing.assert_array_equal(array, before)


@settings(deadline=None)
@given(arrays)
def test_array_carries_changed_pixels_and_keeps_alpha(array):
    picture = open_picture(array)
    marked = picture.rebuild(brighter(picture))
    again = open_picture(marked)
    tolerance = 1e-3 if array.dtype == np.float16 else 1e-7
    np.testing.assert_allclose(again.pixels, brighter(picture), atol=tolerance)
    if picture.alpha is not None:
        np.testing.assert_array_equal(marked[..., 3], array[..., 3])


def test_rgb_stays_rgb():
    array = np.zeros((2, 2, 4), np.uint8)
    array[:] = (1, 2, 3, 4)
    picture = open_picture(array)
    assert picture.pixels[0, 0].tolist() == [1, 2, 3]
    assert picture.alpha[0, 0] == 4


def test_float_overshoot_is_clipped():
    picture = open_picture(np.array([[-0.0005, 1.0005]]))
    assert picture.pixels.ravel().tolist() == [0, 1]
    assert picture.rebuild(picture.pixels).ravel().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), 0.5) * 510, r"\[0, 1\], these run from 255 to 255 - scale"),
        (np.full((4, 4), -1.0, np.float32), r"\[0, 1\].*\(x \+ 1\) / 2"),
        (np.full((4, 4), np.nan, np.float16), "NaN"),
        (np.full((4, 4), np.inf), "infinity"),
        (np.zeros((4, 4), bool), "bool pixels"),
        (np.zeros((4, 4), np.int32), "int32 pixels"),
        (np.zeros((4, 4), np.complex64), "complex64"),
        (np.zeros((4, 4), object), "object"),
        (np.zeros((4, 4), np.uint32), "uint32"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.zeros((4, 0, 3), np.uint8), "no pixels"),
        (np.zeros(4, np.uint8), "not a picture"),
        (np.zeros((3, 20, 20), np.uint8), "channels last"),
        (np.zeros((20, 20, 2), np.uint8), "HxWx4"),
        (np.zeros((2, 20, 20, 3), np.uint8), "batch"),
    ],
)
def test_arrays_that_are_not_pictures(array, words):
    with pytest.raises(ImageError, match=words):
        open_picture(array)


@pytest.mark.parametrize("thing", [None, 3, "picture.png", {"a": 1}, object()])
def test_other_things_are_not_pictures(thing):
    with pytest.raises(ImageError, match="is not a picture - pass"):
        open_picture(thing)


def test_rebuild_wants_the_same_shape_and_dtype():
    picture = open_picture(np.zeros((4, 4, 3), np.uint8))
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ImageError, match="the same shape and dtype"):
            picture.rebuild(wrong)


def test_read_only_pictures_are_not_rebuilt():
    picture = open_picture(np.zeros((4, 4, 3), np.uint8), read_only=True)
    with pytest.raises(ImageError, match="read-only"):
        picture.rebuild(picture.pixels)


# Tensors


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5), (4, 6, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float32", "float64"])
def test_tensor_identity_is_exact(torch, shape, dtype):
    tensor = torch.rand(shape)
    tensor = (tensor * 255).to(torch.uint8) if dtype == "uint8" else tensor.to(getattr(torch, dtype))
    before = tensor.clone()
    picture = open_picture(tensor)
    result = picture.rebuild(picture.pixels)
    assert picture.pixels.shape == (6, 5, 1 if len(shape) == 2 or shape[0] == 1 else 3)
    assert (result.shape, result.dtype, result.device) == (tensor.shape, tensor.dtype, tensor.device)
    assert torch.equal(result, tensor)
    result.zero_()
    assert torch.equal(tensor, before)


def test_tensor_is_channels_first_detached_and_of_any_stride(torch):
    tensor = torch.rand(8, 6, 3).permute(2, 0, 1).requires_grad_()
    picture = open_picture(tensor)
    np.testing.assert_array_equal(picture.pixels, tensor.detach().permute(1, 2, 0).numpy())
    result = picture.rebuild(picture.pixels)
    assert not result.requires_grad
    assert torch.equal(result, tensor)


def test_tensors_that_are_not_pictures(torch):
    wrong = {
        "not a picture": torch.rand(8, 6, 3),
        "batch|not a picture": torch.rand(2, 3, 8, 6),
        "scale": torch.rand(3, 8, 6) * 255,
        "int64": torch.zeros(3, 8, 6, dtype=torch.int64),
        "no pixels": torch.zeros(3, 0, 6),
        "not readable": torch.zeros(3, 8, 6, device="meta"),
    }
    for words, tensor in wrong.items():
        with pytest.raises(ImageError, match=words):
            open_picture(tensor)


def test_tensor_on_a_gpu_stays_there(torch):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    tensor = torch.rand(3, 8, 6, device="cuda")
    result = same(tensor)
    assert result.device == tensor.device
    assert torch.equal(result, tensor)


# Batches


def test_batches_split_and_join(torch):
    nhwc = rng.integers(0, 256, (3, 4, 5, 3), np.uint8)
    items, join = split_batch(nhwc)
    assert [item.shape for item in items] == [(4, 5, 3)] * 3
    np.testing.assert_array_equal(join([same(item) for item in items]), nhwc)

    nchw = torch.rand(2, 3, 4, 5)
    items, join = split_batch(nchw)
    assert torch.equal(join([same(item) for item in items]), nchw)

    for batch in ([1, 2], (1, 2), [], ()):
        items, join = split_batch(batch)
        assert items == list(batch)
        assert join(items) == batch
        assert type(join(items)) is type(batch)


def test_empty_batches_join(torch):
    for empty in (np.zeros((0, 4, 5, 3), np.uint8), torch.zeros(0, 3, 4, 5)):
        items, join = split_batch(empty)
        assert items == []
        assert join([]).shape == empty.shape


@pytest.mark.parametrize("one", [photo(), Image.new("RGB", (4, 4)), b"GIF89a", "text", None])
def test_single_items_are_no_batch(one):
    assert split_batch(one) is None


# PIL images


def pil(mode: str) -> Image.Image:
    if mode.startswith("I;16"):
        gray = photo(channels=1, dtype=np.uint16)
        raw = gray.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
        return Image.frombytes(mode, gray.shape[::-1], raw)
    if mode == "I":
        return Image.fromarray(photo(channels=1, dtype=np.uint16).astype(np.int32))
    if mode == "F":
        return Image.fromarray(photo(channels=1).astype(np.float32) / 255)
    if mode in ("RGB", "L", "P", "HSV", "YCbCr"):
        return Image.fromarray(photo()).convert(mode)
    channels = len(Image.new(mode, (1, 1)).getbands())
    planes = photo(channels=channels)
    return Image.frombytes(mode, planes.shape[1::-1], planes.tobytes())


EXACT = ["L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "I", "F", "CMYK", "RGBX", "LAB"]
ROUNDED = ["YCbCr", "HSV", "La", "RGBa"]


@pytest.mark.parametrize("mode", EXACT + ROUNDED)
def test_pil_identity_is_exact(mode):
    image = pil(mode)
    image.info.update(icc_profile=SRGB, dpi=(72, 72))
    before = image.tobytes()
    picture = open_picture(image)
    result = picture.rebuild(picture.pixels)
    assert (result.mode, result.size, result.info) == (image.mode, image.size, image.info)
    assert result.tobytes() == before
    assert picture.lossy == (mode in ROUNDED)
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA", "La", "RGBa"))
    assert picture.pixels.shape[2] == (1 if mode[0] in "LIF" else 3)
    result.paste(0, (0, 0, *result.size))
    picture.pixels[...] = 0
    assert image.tobytes() == before


@pytest.mark.parametrize("mode", EXACT + ROUNDED)
def test_pil_carries_changed_pixels(mode):
    picture = open_picture(pil(mode))
    marked = brighter(picture)
    again = open_picture(picture.rebuild(marked))
    error = np.abs(again.pixels.astype(float) - marked.astype(float))
    tolerance = {"YCbCr": 3, "HSV": 8, "La": 255, "RGBa": 255, "CMYK": 255}.get(mode, 0)
    assert error.max() <= tolerance
    if mode == "CMYK":  # where the black ink leaves no room for the colour it stays darker
        assert np.median(error) <= 1
    if picture.alpha is not None:
        np.testing.assert_array_equal(again.alpha, picture.alpha)


def test_cmyk_is_the_naive_formula_and_black_stays():
    image = pil("CMYK")
    image.paste((10, 20, 30, 255), (0, 0, 8, 8))
    picture = open_picture(image)
    difference = np.abs(picture.pixels.astype(int) - np.asarray(image.convert("RGB")))
    assert difference.max() <= 1
    result = picture.rebuild(brighter(picture))
    assert result.getchannel("K").tobytes() == image.getchannel("K").tobytes()
    assert result.getpixel((3, 3)) == (10, 20, 30, 255)


def test_lab_marks_lightness_only():
    image = pil("LAB")
    picture = open_picture(image)
    np.testing.assert_array_equal(picture.pixels[..., 0], np.asarray(image.getchannel("L")))
    result = picture.rebuild(brighter(picture))
    for band in ("A", "B"):
        assert result.getchannel(band).tobytes() == image.getchannel(band).tobytes()


def test_palette_is_fitted_again_with_dithering():
    image = Image.fromarray(photo(120, 160)).quantize(64)
    picture = open_picture(image)
    assert picture.lossy
    marked = brighter(picture)
    result = picture.rebuild(marked)
    assert (result.mode, result.size) == ("P", image.size)
    got, wanted = np.asarray(result.convert("RGB"), float), marked.astype(float)
    blocks = (got - wanted).reshape(15, 8, 20, 8, 3).mean(axis=(1, 3))
    assert np.abs(blocks).max() < 3  # dithering keeps the mean of a block


@pytest.mark.parametrize("transparency", [3, bytes([0]), bytes([255, 0, 255, 90, 90, 17])])
def test_palette_keeps_its_transparency_exactly(transparency):
    image = Image.fromarray(photo()).quantize(16)
    image.info["transparency"] = transparency
    picture = open_picture(image)
    result = picture.rebuild(brighter(picture))
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(picture.alpha, alpha)
    np.testing.assert_array_equal(np.asarray(result.convert("RGBA"))[..., 3], alpha)
    assert isinstance(result.info["transparency"], int) == (17 not in np.unique(alpha))


def test_palette_with_256_levels_of_alpha():
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.putpalette([value for i in range(256) for value in (i, 255 - i, 128)])
    image.info["transparency"] = bytes(range(256))
    result = same(image)
    np.testing.assert_array_equal(np.asarray(result.convert("RGBA")), np.asarray(image.convert("RGBA")))


@pytest.mark.parametrize(("mode", "key"), [("L", 100), ("RGB", (100, 100, 100))])
def test_transparent_colour_stays_with_its_pixels(mode, key):
    image = pil(mode)
    image.paste(key, (0, 0, 9, 9))
    image.info["transparency"] = key
    picture = open_picture(image)
    assert (picture.alpha[:9, :9] == 0).all()
    assert picture.alpha.max() == 255
    marked = np.full_like(picture.pixels, 100)  # everything falls on the transparent colour
    result = picture.rebuild(marked)
    assert result.info["transparency"] == key
    np.testing.assert_array_equal(open_picture(result).alpha, picture.alpha)
    assert np.abs(open_picture(result).pixels.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_exif_orientation_is_honoured_and_kept(orientation, mode):
    plain = pil(mode)
    image = decode(encode(plain, "PNG", exif=exif(orientation)))
    upright = np.asarray(image_ops_upright(image))
    picture = open_picture(image)
    pixels = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    np.testing.assert_array_equal(pixels.squeeze(), upright)
    assert picture.pixels.flags.c_contiguous
    result = picture.rebuild(picture.pixels)
    assert result.tobytes() == plain.tobytes()
    assert result.getexif()[ORIENTATION] == orientation
    assert result.info["exif"] == image.info["exif"]


def image_ops_upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def test_orientation_set_on_the_object_wins_over_info():
    image = decode(encode(pil("RGB"), "PNG", exif=exif(6)))
    image.getexif()[ORIENTATION] = 3
    result = same(image)
    assert result.tobytes() == image.tobytes()
    assert result.getexif()[ORIENTATION] == 3


def test_pil_images_that_are_refused(monkeypatch):
    with pytest.raises(ImageError, match="bilevel"):
        open_picture(Image.new("1", (9, 9)))
    assert open_picture(Image.new("1", (9, 9), 1), read_only=True).pixels.max() == 255
    with pytest.raises(ImageError, match="mode PA is not accepted"):
        open_picture(Image.new("PA", (9, 9)))
    with pytest.raises(ImageError, match="no pixels"):
        open_picture(Image.new("RGB", (0, 9)))
    with pytest.raises(ImageError, match=r"\[0, 1\]"):
        open_picture(Image.new("F", (9, 9), 17.0))
    with pytest.raises(ImageError, match="0 to 65535"):
        open_picture(Image.new("I", (9, 9), 70_000))
    monkeypatch.setattr(image_files, "MAX_PIXELS", 80)
    with pytest.raises(ImageError, match="more than 80 pixels"):
        open_picture(Image.new("RGB", (9, 9)))


def test_pil_images_that_are_still_lazy_or_already_closed():
    data = encode(pil("RGB"), "TIFF")
    lazy = Image.open(io.BytesIO(data))
    assert same(lazy).tobytes() == pil_bytes(data)
    with Image.open(io.BytesIO(data)) as closed:
        closed.load()
    assert same(closed).tobytes() == pil_bytes(data)
    with pytest.raises(ImageError, match="cannot be decoded"):
        open_picture(Image.open(io.BytesIO(encode(pil("RGB"), "PNG")[:-2000])))


def pil_bytes(data: bytes) -> bytes:
    return decode(data).tobytes()


# Files

LOSSLESS = {
    "PNG": ["L", "LA", "RGB", "RGBA", "I;16"],
    "TIFF": ["L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F", "CMYK", "YCbCr", "LAB", "RGBX"],
    "BMP": ["L", "RGB"],
    "PPM": ["L", "RGB", "I"],
    "TGA": ["L", "LA", "RGB", "RGBA"],
    "JPEG2000": ["L", "LA", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
}
LOSSLESS_CASES = [(name, mode) for name, modes in LOSSLESS.items() for mode in modes]


@pytest.mark.parametrize(("name", "mode"), LOSSLESS_CASES)
def test_lossless_files_come_back_exactly(name, mode):
    data = encode(pil(mode), name, **({"lossless": True, "exact": True} if name == "WEBP" else {}))
    before, after = decode(data), decode(same(data))
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    assert after.tobytes() == before.tobytes()
    assert open_picture(data).lossy == (mode == "YCbCr")


@pytest.mark.parametrize(("name", "mode"), LOSSLESS_CASES)
def test_lossless_files_carry_changed_pixels(name, mode):
    picture = open_picture(encode(pil(mode), name, **({"lossless": True} if name == "WEBP" else {})))
    marked = brighter(picture)
    again = open_picture(picture.rebuild(marked))
    assert again.pixels.dtype == marked.dtype
    error = np.abs(again.pixels.astype(float) - marked.astype(float))
    assert np.median(error) <= (1 if mode in ("CMYK", "YCbCr") else 0)
    if mode not in ("CMYK", "YCbCr"):
        assert error.max() == 0
    if picture.alpha is not None:
        np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("name", ["PNG", "GIF", "BMP", "TIFF", "TGA"])
def test_palette_files_stay_palette_files(name):
    image = Image.fromarray(photo()).quantize(32)
    if name in ("PNG", "GIF"):
        image.info["transparency"] = 5
    data = encode(image, name)
    picture = open_picture(data)
    result = decode(picture.rebuild(brighter(picture)))
    assert (result.format, result.mode) == (name, "P")
    again = open_picture(picture.rebuild(brighter(picture)))
    assert picture.lossy
    assert np.abs(again.pixels.mean() - brighter(picture).mean()) < 2
    if name in ("PNG", "GIF"):
        np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF"])
def test_lossy_files_stay_close_and_say_so(name):
    data = encode(pil("RGB"), name, quality=90)
    picture = open_picture(data)
    assert picture.lossy
    result = picture.rebuild(picture.pixels)
    assert file_format(result) == name
    assert np.abs(open_picture(result).pixels.astype(float) - picture.pixels).mean() < 3


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_files_keep_orientation_and_metadata(name, orientation):
    data = encode(pil("RGB"), name, exif=exif(orientation), icc_profile=SRGB, dpi=(300, 300))
    picture = open_picture(data)
    assert picture.pixels.shape[:2] == ((56, 40) if orientation > 4 else (40, 56))
    result = picture.rebuild(picture.pixels)
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(result))
    assert after.size == before.size
    assert after.getexif().get(ORIENTATION, 1) == orientation
    assert after.getexif()[271] == "markai"
    assert after.info["icc_profile"] == SRGB
    assert after.info.get("dpi") == before.info.get("dpi")
    difference = np.abs(open_picture(result).pixels.astype(float) - picture.pixels)
    assert difference.mean() < 3


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_files_keep_xmp(name):
    options: dict[str, Any] = {"xmp": XMP}
    if name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": text}
    result = decode(same(encode(pil("RGB"), name, **options)))
    assert result.info["xmp"] == XMP


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_a_file(kind):
    assert isinstance(same(kind(encode(pil("RGB"), "PNG"))), bytes)


def test_paths_are_read(tmp_path):
    path = tmp_path / "wrong name.txt"
    path.write_bytes(encode(pil("RGB"), "PNG"))
    assert pil_bytes(same(path)) == pil_bytes(path.read_bytes())
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match="cannot read"):
            open_picture(missing)


def test_one_pixel_opens_in_every_format():
    for name, modes in LOSSLESS.items():
        for mode in modes:
            data = encode(Image.new(mode, (1, 1)), name)
            assert decode(same(data)).size == (1, 1)


# JPEG


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_tables_sampling_and_order_of_scans(sampling, progressive):
    options = {"quality": 61, "subsampling": sampling, "progressive": progressive, "comment": b"hi"}
    data = encode(pil("RGB"), "JPEG", **options)
    result = same(data)
    before, after = decode(data), decode(result)
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before)
    assert after.info.get("progressive") == before.info.get("progressive")
    assert after.info["comment"] == b"hi"
    assert after.info["jfif_density"] == before.info["jfif_density"]


def test_jpeg_gray_keeps_its_table():
    data = encode(pil("L"), "JPEG", quality=61)
    assert decode(same(data)).quantization == decode(data).quantization
    assert open_picture(data).pixels.shape[2] == 1


def test_jpeg_too_large_for_pillows_progressive_buffer_is_written_baseline(monkeypatch):
    noise = Image.fromarray(rng.integers(0, 256, (300, 300, 3), np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "MAXBLOCK", 1 << 22)
        data = encode(noise, "JPEG", qtables=[[1] * 64] * 2, subsampling=0, progressive=True)
    result = same(data)
    assert "progressive" in decode(data).info
    assert "progressive" not in decode(result).info
    assert np.abs(np.asarray(decode(result), int) - np.asarray(decode(data), int)).max() < 4


def test_jpeg_cmyk_is_not_inverted():
    data = encode(pil("CMYK"), "JPEG", quality=95)
    picture = open_picture(data)
    assert np.abs(picture.pixels.astype(int) - np.asarray(decode(data).convert("RGB"))).max() <= 1
    result = decode(picture.rebuild(picture.pixels))
    assert result.mode == "CMYK"
    assert np.abs(np.asarray(result, int) - np.asarray(decode(data), int)).mean() < 2


def test_jpeg_rgb_stays_rgb():
    data = encode(pil("RGB"), "JPEG", quality=95, keep_rgb=True)
    result = same(data)
    assert decode(result).info["adobe_transform"] == 0
    assert np.abs(np.asarray(decode(result), int) - np.asarray(decode(data), int)).max() <= 2


def test_jpeg_segments_that_pillow_does_not_know_are_copied_and_c2pa_is_not():
    data = encode(pil("RGB"), "JPEG")
    segment = b"\xff\xed" + struct.pack(">H", 2 + 20) + b"Photoshop 3.0\0abcdef"
    name = b"http://ns.adobe.com/xmp/extension/\0"
    extended = b"\xff\xe1" + struct.pack(">H", 2 + len(name) + 5) + name + b"12345"
    manifest = b"\xff\xeb" + struct.pack(">H", 2 + 8) + b"JPc2pa.."
    result = same(data[:2] + extended + manifest + segment + data[2:])
    assert extended in result
    assert segment in result
    assert manifest not in result


def mpo(kind: int = 0) -> bytes:
    second = Image.fromarray(255 - photo(20, 28))
    data = bytearray(encode(pil("RGB"), "MPO", save_all=True, append_images=[second]))
    order, _, entries = image_containers._mpf_index(bytes(data))
    struct.pack_into(order + "I", data, entries[1], kind)
    return bytes(data)


def test_jpeg_keeps_its_gain_map():
    data = mpo()
    picture = open_picture(data)
    result = picture.rebuild(brighter(picture))
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(result))
    assert after.n_frames == 2
    assert np.abs(np.asarray(after, float) - brighter(picture)).mean() < 3
    before.seek(1)
    after.seek(1)
    assert after.tobytes() == before.tobytes()
    assert isinstance(same(Image.open(io.BytesIO(data))), Image.Image)


def test_jpeg_leaves_out_previews_and_refuses_stereo():
    result = same(mpo(0x010001))
    assert b"MPF\0" not in result
    assert Image.open(io.BytesIO(result)).format == "JPEG"
    with pytest.raises(ImageError, match="views"):
        open_picture(mpo(0x020002))


def test_jpeg_with_a_wrong_index_of_pictures_still_opens():
    for offset in (0xFFFFFFF0, 5):
        data = bytearray(mpo())
        order, _, entries = image_containers._mpf_index(bytes(data))
        struct.pack_into(order + "I", data, entries[1] + 8, offset)
        assert b"MPF\0" not in same(bytes(data))


# PNG


def png16(channels: int, *extra: bytes) -> bytes:
    data = image_containers.encode_png16(photo(channels=channels, dtype=np.uint16))
    return data[:33] + b"".join(extra) + data[33:]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_with_16_bits_keeps_them(channels):
    planes = photo(channels=channels, dtype=np.uint16)
    picture = open_picture(image_containers.encode_png16(planes))
    colors = planes[..., : 1 if channels == 2 else 3]
    np.testing.assert_array_equal(picture.pixels, colors)
    if channels != 3:
        np.testing.assert_array_equal(picture.alpha, planes[..., -1])
    marked = picture.pixels + np.uint16(1)
    np.testing.assert_array_equal(open_picture(picture.rebuild(marked)).pixels, marked)
    assert not picture.lossy


def test_png_with_16_bits_is_what_opencv_and_pillow_read():
    import cv2

    planes = photo(dtype=np.uint16)
    data = image_containers.encode_png16(planes)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read[..., ::-1], planes)
    np.testing.assert_array_equal(np.asarray(decode(data)), planes >> 8)


def test_16_bit_files_need_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="16-bit colour files need opencv-python-headless"):
        open_picture(png16(3))


@pytest.mark.parametrize("deep", [False, True])
def test_png_keeps_the_chunks_that_still_hold(deep):
    chunk = image_containers.png_chunk
    kept = [
        chunk(b"iCCP", b"name\0\0" + zlib.compress(SRGB)),
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"cHRM", struct.pack(">8I", *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])),
        chunk(b"cICP", bytes([1, 13, 0, 1])),
        chunk(b"pHYs", struct.pack(">IIB", 3780, 3780, 1)),
        chunk(b"tEXt", b"parameters\0a cat"),
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 5_000_000)),  # Pillow refuses this one
        chunk(b"iTXt", b"Title\0\0\0\0\0" + "grün".encode()),
        chunk(b"eXIf", exif(6).tobytes()[6:]),
    ]
    left_out = [chunk(b"caBX", b"c2pa"), chunk(b"sBIT", b"\x05\x05\x05"), b"\0\0\0\x01tEXtabadc"]
    plain = encode(pil("RGB"), "PNG")
    data = png16(3, *kept, *left_out) if deep else plain[:33] + b"".join(kept + left_out) + plain[33:]
    picture = open_picture(data)
    assert picture.pixels.shape[:2] == (56, 40)
    result = picture.rebuild(picture.pixels)
    assert [chunk for chunk in kept if chunk not in result] == []
    assert [chunk for chunk in left_out if chunk in result] == []
    np.testing.assert_array_equal(open_picture(result).pixels, picture.pixels)


@pytest.mark.parametrize(
    ("depth", "color", "key"), [(8, 2, (10, 20, 30)), (16, 2, (10, 20, 30)), (8, 0, (77,)), (16, 0, (777,))]
)
def test_png_keeps_its_transparent_colour(depth, color, key):
    dtype = np.uint16 if depth == 16 else np.uint8
    pixels = photo(channels=3 if color == 2 else 1, dtype=dtype)
    pixels[:5, :5] = key if color == 2 else key[0]
    deep = (depth, color) == (16, 2)
    data = image_containers.encode_png16(pixels) if deep else encode(Image.fromarray(pixels), "PNG")
    trns = image_containers.png_chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    picture = open_picture(data[:33] + trns + data[33:])
    assert (picture.alpha[:5, :5] == 0).all()
    result = picture.rebuild(brighter(picture))
    assert trns in result
    again = open_picture(result)
    np.testing.assert_array_equal(again.alpha, picture.alpha)
    assert (again.pixels[:5, :5] == key).all()


def test_png_with_4_bit_gray_scales_its_transparent_colour():
    rows = b"".join(b"\0" + bytes([0x0F, 0x8F]) for _ in range(4))  # 0, 15, 8, 15
    chunk = image_containers.png_chunk
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 4, 0, 0, 0, 0))
    data += chunk(b"tRNS", b"\0\x0f") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    picture = open_picture(data)
    assert picture.alpha[0].tolist() == [255, 0, 255, 0]
    np.testing.assert_array_equal(open_picture(picture.rebuild(picture.pixels)).alpha, picture.alpha)


# TIFF


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_tiff_keeps_compression_and_tags(compression):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "grün".encode()
    tags.tagtype[270] = 2
    tags[305] = "markai"
    tags[700] = XMP
    tags[34377] = b"photoshop"
    options = {"compression": compression, "tiffinfo": tags, "dpi": (300, 300), "icc_profile": SRGB}
    data = encode(pil("RGB"), "TIFF", **options)
    result = same(data)
    before, after = decode(data), decode(result)
    assert after.info["compression"] == ("tiff_adobe_deflate" if compression == "jpeg" else compression)
    for tag in (270, 282, 283, 296, 305, 700, 34377, 34675):
        assert after.tag_v2[tag] == before.tag_v2[tag]
    assert after.tag_v2[270].encode("latin-1").rstrip(b"\0") == "grün".encode()
    assert after.tobytes() == before.tobytes()


def test_tiff_keeps_exif_and_gps_also_when_compressed():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[34665] = {33434: TiffImagePlugin.IFDRational(1, 50), 36867: "2026:01:02 03:04:05"}
    tags[34853] = {1: "N", 2: (TiffImagePlugin.IFDRational(52, 1),) * 3}
    data = image_tiff.with_tags(encode(pil("RGB"), "TIFF", compression="tiff_lzw"), tags)
    after = Image.open(io.BytesIO(same(data))).getexif()
    assert dict(after.get_ifd(34665)) == tags[34665]
    assert dict(after.get_ifd(34853)) == tags[34853]


def test_tiff_keeps_its_predictor():
    smooth = Image.fromarray(np.add.outer(np.arange(200), np.arange(256)).astype(np.uint8))
    data = encode(smooth, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    assert len(same(data)) < 1.1 * len(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_with_16_bits_keeps_them_and_its_orientation(orientation, channels):
    planes = photo(channels=channels, dtype=np.uint16)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ORIENTATION], tags[34675] = orientation, SRGB
    data = image_tiff.with_tags(image_tiff.encode16(planes), tags)
    picture = open_picture(data)
    assert picture.pixels.dtype == np.uint16
    eight_bit = np.asarray(decode(data))  # Pillow turns it upright
    np.testing.assert_array_equal(picture.pixels >> 8, eight_bit[..., :3])
    result = picture.rebuild(picture.pixels)
    np.testing.assert_array_equal(open_picture(result).pixels, picture.pixels)
    tags = Image.open(io.BytesIO(result)).tag_v2
    assert (tags[ORIENTATION], tags[34675], tags[258]) == (orientation, SRGB, (16,) * channels)
    if channels == 4:
        np.testing.assert_array_equal(open_picture(result).alpha, picture.alpha)


def test_tiff_orientation_in_big_tiff():
    data = encode(pil("RGB"), "TIFF", big_tiff=True, exif=exif(6))
    picture = open_picture(data)
    assert picture.pixels.shape == (56, 40, 3)
    np.testing.assert_array_equal(open_picture(picture.rebuild(picture.pixels)).pixels, picture.pixels)


# Other formats


def test_webp_keeps_colours_under_transparent_pixels():
    data = encode(pil("RGBA"), "WEBP", lossless=True, exact=True)
    result = same(data)
    assert image_containers.webp_is_lossless(result)
    np.testing.assert_array_equal(np.asarray(decode(result)), np.asarray(decode(data)))
    lossy = encode(pil("RGBA"), "WEBP", quality=80)
    assert not image_containers.webp_is_lossless(same(lossy))
    np.testing.assert_array_equal(open_picture(same(lossy)).alpha, open_picture(lossy).alpha)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_avif_keeps_sampling_and_colour(sampling):
    data = encode(pil("RGBA"), "AVIF", subsampling=sampling)
    data = image_containers.avif_with_color(data, b"\x00\x0c\x00\x10")  # Display P3, PQ
    details = image_containers.avif_details(same(data))
    assert details == (sampling, b"\x00\x0c\x00\x10", None)
    assert decode(same(data)).mode == "RGBA"


def test_avif_that_would_lose_hdr_is_refused_but_can_be_read(monkeypatch):
    data = encode(pil("RGB"), "AVIF")
    deep = bytearray(data)
    deep[data.find(b"av1C") + 6] |= 0x40  # high_bitdepth
    details = image_containers.avif_details(bytes(deep))
    assert "more than 8 bits" in details.refusal
    assert "gain map" in image_containers.avif_details(data.replace(b"colrnclx", b"tmapnclx")).refusal
    monkeypatch.setattr(image_files, "avif_details", lambda _: details)
    with pytest.raises(ImageError, match="more than 8 bits"):
        open_picture(data)
    assert open_picture(data, read_only=True).pixels.dtype == np.uint8


def test_jpeg2000_keeps_its_boxes():
    data = encode(pil("RGB"), "JPEG2000")
    box = struct.pack(">I4s", 8 + len(XMP), b"xml ") + XMP
    start, _ = image_containers.iso_box(data, b"jp2c")
    result = same(data[:start] + box + data[start:])
    assert box in result
    assert pil_bytes(result) == pil_bytes(data)
    bare = encode(pil("RGB"), "JPEG2000", no_jp2=True)
    assert same(bare).startswith(b"\xff\x4f\xff\x51")


def test_tga_bmp_gif_keep_what_they_can():
    assert decode(same(encode(pil("RGB"), "TGA", compression="tga_rle"))).info["compression"] == "tga_rle"
    dpi = decode(same(encode(pil("RGB"), "BMP", dpi=(300, 300)))).info["dpi"]
    assert dpi == pytest.approx((300, 300), 1e-3)
    assert decode(same(encode(pil("P"), "GIF", comment=b"hi"))).info["comment"] == b"hi"


def test_gray_gif_keeps_its_levels_and_the_transparent_one():
    image = Image.fromarray(np.arange(80 * 80, dtype=np.uint32).astype(np.uint8).reshape(80, 80))
    data = encode(image, "GIF")
    assert decode(data).mode == "L"
    assert decode(same(data)).tobytes() == decode(data).tobytes()
    assert not open_picture(data).lossy
    image.paste(9, (0, 0, 9, 9))
    picture = open_picture(encode(image, "GIF", transparency=9))
    assert (picture.alpha[:9, :9] == 0).all()
    again = open_picture(picture.rebuild(brighter(picture)))
    np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_frames_are_counted_and_refused(name):
    frames = [Image.fromarray(np.roll(photo(), 5 * i, axis=1)) for i in range(3)]
    data = encode(frames[0], name, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="3 frames - mark each frame by itself"):
        open_picture(data)
    with pytest.raises(ImageError, match="3 frames - mark each frame by itself"):
        open_picture(Image.open(io.BytesIO(data)))
    assert open_picture(data, read_only=True).pixels.shape == (40, 56, 3)
    frame = Image.open(io.BytesIO(data))
    frame.seek(1)
    assert same(frame.copy()).size == (56, 40)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encode(Image.new("1", (9, 9)), "PNG"), "bilevel"),
        (encode(Image.new("1", (9, 9)), "TIFF", compression="group4"), "bilevel"),
        (b"P6 2 1 65535\n" + bytes(12), "more than 8 bits"),
        (b"P6\n# c\n2 1\n#d\n65535\n" + bytes(12), "more than 8 bits"),
        (encode(pil("CMYK"), "JPEG2000"), "mode CMYK cannot be written back"),
        (encode(pil("F"), "PPM"), "mode F cannot be written back"),
    ],
)
def test_files_that_cannot_come_back_are_refused(data, words):
    with pytest.raises(ImageError, match=words):
        open_picture(data)
    assert open_picture(data, read_only=True).pixels.ndim == 3


# Damage


@pytest.mark.parametrize("name", list(image_files.FORMATS))
def test_cut_and_flipped_files_raise_image_errors_or_open(name):
    data = encode(Image.fromarray(photo(24, 24)), name)
    damaged = [data[:cut] for cut in range(1, len(data) - 1, max(1, len(data) // 40))]
    for _ in range(60):
        flipped = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            flipped[place] ^= 1 << rng.integers(0, 8)
        damaged.append(bytes(flipped))
    for case in damaged:
        with suppress(ImageError):  # a message of its own; anything else fails the test
            same(case)
    with pytest.raises(ImageError):
        open_picture(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"this is text", bytes(100), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_data_that_is_no_picture(data):
    with pytest.raises(ImageError, match=" - "):
        open_picture(data)


def test_heic_names_the_formats_that_work():
    with pytest.raises(ImageError, match="PNG, JPEG, WEBP, AVIF"):
        open_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


def bomb(width: int, height: int) -> bytes:
    chunk = image_containers.png_chunk
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_bombs_are_refused_by_their_header():
    assert MAX_PIXELS > 16_384**2
    with pytest.raises(ImageError, match="100000x100000 is more than 300,000,000 pixels - scale it down"):
        open_picture(bomb(100_000, 100_000))


@pytest.mark.parametrize("name", list(image_files.FORMATS))
def test_large_files_open_although_pillow_alone_would_refuse(name, monkeypatch):
    data = encode(pil("RGB"), name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    if name == "WEBP":
        with pytest.raises(ImageError, match=r"exceeds limit of 200 pixels.* - convert it to PNG"):
            open_picture(data)
    else:
        assert open_picture(data).pixels.shape == (40, 56, 3)


def test_files_may_have_no_more_than_max_bytes(monkeypatch, tmp_path):
    monkeypatch.setattr("markai.image_files.MAX_BYTES", 100)
    monkeypatch.setattr("markai.image.MAX_BYTES", 100)
    path = tmp_path / "a.png"
    path.write_bytes(encode(pil("RGB"), "PNG"))
    with pytest.raises(ImageError, match="more than 100 - export"):
        open_picture(path)


def test_pillow_is_left_as_it_was():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    for data in (encode(pil("RGB"), "PNG"), encode(pil("RGB"), "JPEG")[:-300], b"GIF89a"):
        with suppress(ImageError):
            same(data)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_warnings_of_pillow_stay_inside_also_between_threads():
    truncated_tag = TiffImagePlugin.ImageFileDirectory_v2()
    truncated_tag[305] = "markai" * 10
    data = bytearray(image_tiff.with_tags(encode(pil("RGB"), "TIFF"), truncated_tag))
    at = data.find(struct.pack("<HHI", 305, 2, 61))
    struct.pack_into("<I", data, at + 4, 4_000_000)  # longer than the file
    with pytest.warns(UserWarning, match="Tag data larger|corrupt"):
        Image.open(io.BytesIO(data)).load()

    results: list[Any] = []

    def work():
        results.extend(same(bytes(data)) for _ in range(20))

    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [str(warning.message) for warning in caught] == []
    assert len(results) == 80
    assert list(warnings.filters) == filters


def test_importing_loads_neither_opencv_nor_torch():
    code = "import sys, markai.image; print([m for m in ('cv2', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
