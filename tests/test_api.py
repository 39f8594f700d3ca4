"""embed and detect over every kind of input: the same kind back, the payload found, and clear errors."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from PIL.ImageCms import ImageCmsProfile, createProfile

import markai
from markai import Key, KeyRing, detect, detect_all, embed, watermarks
from markai.errors import CapacityError, ImageError, KeyFileError, MarkaiError, MethodError, PayloadError
from markai.image import file_format

PAYLOAD = b"acme:42"
OTHER = Key(bytes(32))
SRGB = ImageCmsProfile(createProfile("sRGB")).tobytes()


def encode(pixels, name, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


def decode(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def as_array(pixels, dtype, layout):
    """The crop as HxW, HxWx1, HxWx3 or HxWx4 of a dtype."""
    top = {"u": lambda: np.iinfo(dtype).max, "f": lambda: 1}[np.dtype(dtype).kind]()
    planes = {
        "HW": pixels[..., 1],
        "HW1": pixels[..., 1:2],
        "HW3": pixels,
        "HW4": np.dstack([pixels, np.full(pixels.shape[:2], 200, np.uint8)]),
    }[layout]
    return (planes / 255 * top).astype(dtype)


def as_pil(pixels, mode):
    gray = pixels[..., 1]
    made = {
        "I;16": lambda: Image.fromarray(gray.astype(np.uint16) * 257),
        "I": lambda: Image.fromarray(gray.astype(np.int32) * 257),
        "F": lambda: Image.fromarray((gray / 255).astype(np.float32)),
        "LAB": lambda: Image.merge("LAB", Image.fromarray(pixels).split()),
        "La": lambda: Image.fromarray(pixels).convert("LA").convert("La"),
        "RGBa": lambda: Image.fromarray(pixels).convert("RGBA").convert("RGBa"),
    }
    return made[mode]() if mode in made else Image.fromarray(pixels).convert(mode)


# Arrays


@pytest.mark.parametrize("layout", ["HW", "HW1", "HW3", "HW4"])
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f2", "f4", "f8"])
def test_arrays(crop, key, dtype, layout):
    given_ = as_array(crop, dtype, layout)
    before = given_.copy()
    given_.flags.writeable = False
    marked = embed(given_, key, PAYLOAD)
    assert type(marked) is np.ndarray
    assert (marked.shape, marked.dtype) == (given_.shape, given_.dtype)
    assert marked.flags.writeable
    assert not np.shares_memory(marked, given_)
    np.testing.assert_array_equal(given_, before)
    assert not np.array_equal(marked, given_)
    if layout == "HW4":
        np.testing.assert_array_equal(marked[..., 3], given_[..., 3])
    found = detect(marked, key)
    assert found.payload == PAYLOAD
    assert not detect(given_, key)
    np.testing.assert_array_equal(given_, before)


VIEWS = {
    "rows": lambda a: a[::-1],
    "columns": lambda a: a[:, ::-1],
    "axes": lambda a: a.swapaxes(0, 1),
    "Fortran": np.asfortranarray,
    "strided": lambda a: a.repeat(2, axis=1)[:, ::2],
    "window": lambda a: np.pad(a, ((9, 9), (9, 9), (0, 0)))[9:-9, 9:-9],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views(crop, key, view):
    marked = embed(view(crop), key, PAYLOAD)
    assert marked.shape == view(crop).shape
    assert detect(marked, key).payload == PAYLOAD
    np.testing.assert_array_equal(marked, embed(view(crop).copy(), key, PAYLOAD))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(256, 420),
    st.integers(256, 420),
    st.integers(0, 90),
    st.sampled_from(["u1", "u2", "f4", "f8"]),
    st.sampled_from(["HW", "HW3", "HW4"]),
    st.binary(max_size=16),
    st.binary(min_size=32, max_size=32),
)
def test_round_trip(photo, height, width, left, dtype, layout, payload, secret):
    host = as_array(photo[40 : 40 + height, left : left + width], dtype, layout)
    marked = embed(host, Key(secret), payload)
    assert (marked.shape, marked.dtype) == (host.shape, host.dtype)
    assert detect(marked, Key(secret)).require().payload == payload
    assert not detect(marked, OTHER if secret != bytes(32) else Key(bytes([1] * 32)))


# PIL images


@pytest.mark.parametrize(
    "mode",
    ["L", "LA", "RGB", "RGBA", "P", "I;16", "I", "F", "CMYK", "YCbCr", "HSV", "LAB", "RGBX", "La", "RGBa"],
)
def test_pil_modes(crop, key, mode):
    image = as_pil(crop, mode)
    image.info["dpi"] = (72, 72)
    before = image.tobytes()
    marked = embed(image, key, PAYLOAD)
    assert isinstance(marked, Image.Image)
    assert (marked.mode, marked.size) == (image.mode, image.size)
    assert marked.info["dpi"] == (72, 72)
    assert image.tobytes() == before != marked.tobytes()
    assert detect(marked, key).payload == PAYLOAD
    assert not detect(image, key)


def test_alpha_profile_and_exif_are_kept(crop, key):
    image = Image.fromarray(crop).convert("RGBA")
    alpha = Image.linear_gradient("L").resize(image.size)
    image.putalpha(alpha)
    exif = Image.Exif()
    exif[271] = "Acme"
    file, text = io.BytesIO(), PngImagePlugin.PngInfo()
    text.add_text("prompt", "a lighthouse")
    image.save(file, "PNG", icc_profile=SRGB, exif=exif, pnginfo=text)
    marked = decode(embed(file.getvalue(), key, PAYLOAD))
    assert marked.getchannel("A").tobytes() == alpha.tobytes()
    assert marked.info["icc_profile"] == SRGB
    assert marked.info["prompt"] == "a lighthouse"
    assert marked.getexif()[271] == "Acme"
    assert detect(marked, key).payload == PAYLOAD


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photograph_is_marked_upright(photo, key, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = encode(photo, "JPEG", quality=92, exif=exif)
    marked = embed(data, key, PAYLOAD)
    assert decode(marked).getexif()[274] == orientation
    assert decode(marked).size == decode(data).size
    assert detect(marked, key).payload == PAYLOAD


def test_a_bilevel_image_is_refused_but_looked_at(crop, key):
    scan = Image.fromarray(crop).convert("1")
    with pytest.raises(ImageError, match="bilevel"):
        embed(scan, key)
    assert not detect(scan, key)


# Encoded files


FORMATS = {
    "PNG": {},
    "JPEG": {"quality": 90},
    "WEBP": {"quality": 85},
    "AVIF": {"quality": 80},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "GIF": {},
    "PPM": {},
}


@pytest.mark.parametrize("name", FORMATS)
def test_encoded_files(crop, key, name):
    data = encode(crop, name, **FORMATS[name])
    marked = embed(data, key, PAYLOAD)
    assert type(marked) is bytes
    assert marked != data
    assert file_format(marked) == file_format(data) == name
    assert decode(marked).size == (320, 320)
    assert detect(marked, key).payload == PAYLOAD
    assert not detect(data, key)


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_other_buffers(crop, key, wrap):
    data = encode(crop, "PNG")
    marked = embed(wrap(data), key, PAYLOAD)
    assert detect(wrap(marked), key).payload == PAYLOAD


def test_paths(crop, key, tmp_path, photo_path):
    path = tmp_path / "marked.png"
    path.write_bytes(embed(encode(crop, "PNG"), key, PAYLOAD))
    assert detect(path, key).payload == PAYLOAD
    assert not detect(photo_path, key)
    marked = embed(photo_path, key, PAYLOAD)
    assert file_format(marked) == "PNG"
    assert detect(marked, key).payload == PAYLOAD


@pytest.mark.parametrize(
    ("name", "options"), [("JPEG", {"quality": 5}), ("JPEG", {"quality": 20}), ("WEBP", {"quality": 1})]
)
def test_a_poor_file_carries_the_mark_or_raises(photo, key, name, options):
    for pixels in (photo, photo[100:400, 200:500]):
        try:
            marked = embed(encode(pixels, name, **options), key, PAYLOAD)
        except CapacityError:
            continue
        assert detect(marked, key).payload == PAYLOAD


def test_a_poor_file_says_why_it_is_refused(crop, key):
    with pytest.raises(CapacityError, match="does not survive being written back in this format and quality - use"):
        embed(encode(crop, "JPEG", quality=2), key, bytes(16))


# Tensors


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tensors(torch, crop, key, dtype, channels):
    layout = as_array(crop, "u1", {1: "HW1", 3: "HW3", 4: "HW4"}[channels])
    tensor = torch.from_numpy(layout.transpose(2, 0, 1).copy())
    tensor = tensor if dtype == "uint8" else (tensor / 255).to(getattr(torch, dtype))
    before = tensor.clone()
    marked = embed(tensor, key, PAYLOAD)
    assert (marked.shape, marked.dtype, marked.device) == (tensor.shape, tensor.dtype, tensor.device)
    assert torch.equal(tensor, before)
    assert marked.data_ptr() != tensor.data_ptr()
    assert detect(marked, key).payload == PAYLOAD


def test_tensor_batches(torch, crop, key):
    batch = torch.from_numpy(np.stack([crop, crop[::-1]]).transpose(0, 3, 1, 2).copy()).float() / 255
    marked = embed(batch, key, [b"one", b"two"])
    assert marked.shape == batch.shape
    assert [found.payload for found in detect(marked, key)] == [b"one", b"two"]


# Batches


@pytest.mark.parametrize("payloads", [PAYLOAD, [b"one", b"two"], (b"one", b"two")])
@pytest.mark.parametrize("kind", ["list", "tuple", "array"])
def test_batches(crop, key, payloads, kind):
    hosts = [crop.copy(), crop[:, ::-1].copy()]
    batch = {"list": list, "tuple": tuple, "array": np.stack}[kind](hosts)
    marked = embed(batch, key, payloads)
    assert type(marked) is type(batch)
    assert len(marked) == 2
    found = detect(marked, key)
    assert isinstance(found, list)
    expected = [payloads] * 2 if isinstance(payloads, bytes) else list(payloads)
    assert [each.payload for each in found] == expected
    np.testing.assert_array_equal(hosts[0], crop)


def test_a_mixed_list(crop, key):
    marked = embed([crop, Image.fromarray(crop), encode(crop, "PNG"), crop[..., 0] / 255], key, PAYLOAD)
    assert [type(item) for item in marked] == [np.ndarray, Image.Image, bytes, np.ndarray]
    assert all(found.payload == PAYLOAD for found in detect(marked, key))


def test_empty_batches(key):
    assert embed([], key) == detect([], key) == []
    assert embed(np.zeros((0, 300, 300, 3), np.uint8), key).shape == (0, 300, 300, 3)


@pytest.mark.parametrize("payloads", [[], [b"one"], [b"one"] * 3])
def test_as_many_payloads_as_pictures(crop, key, payloads):
    with pytest.raises(PayloadError, match=r"2 pictures but \d payloads - give one, or one per picture"):
        embed([crop, crop], key, payloads)


# Keys, rates, methods


@pytest.fixture(scope="module")
def marked(crop, key):
    return embed(crop, key, PAYLOAD)


def test_a_key_ring(marked, key):
    ring = KeyRing([OTHER, Key(bytes([7] * 32)), key])
    found, alone = detect(marked, ring), detect(marked, key)
    assert found.payload == PAYLOAD
    assert found.key_id == key.id
    assert found.log10_p_value == pytest.approx(alone.log10_p_value + np.log10(3))
    assert found.tests > alone.tests
    assert not detect(marked, KeyRing([OTHER, Key(bytes([7] * 32))]))


def test_payloads_of_two_keys(marked, key):
    twice = embed(marked, OTHER, b"second")
    assert detect(twice, KeyRing([key, OTHER])).payload in (PAYLOAD, b"second")
    assert detect(twice, KeyRing([key, OTHER])).key_id in (key.id, OTHER.id)


@pytest.mark.parametrize("method", [None, "dwt-dct"])
def test_methods(marked, key, method):
    found = detect(marked, key, method=method)
    assert (found.payload, found.method) == (PAYLOAD, "dwt-dct")


@pytest.mark.parametrize("fpr", [1e-12, 1e-6, 0.01, 0.999])
def test_the_rate(marked, key, fpr):
    found = detect(marked, key, fpr=fpr)
    assert (found.fpr, found.payload) == (fpr, PAYLOAD)
    assert bool(found) == (found.p_value <= fpr)


def test_a_rate_that_nothing_reaches(marked, key):
    found = detect(marked, key, fpr=1e-300)
    assert not found
    assert (found.payload, found.method, found.key_id, found.geometry) == (None, None, None, None)
    with pytest.raises(markai.NotDetected, match="no mark of this key"):
        found.require()


@pytest.mark.parametrize("fpr", [0, 0.0, 1, -1e-6, 2, float("nan"), float("inf")])
def test_what_is_not_a_rate(marked, key, fpr):
    with pytest.raises(MethodError, match="is not a rate - choose a number between 0 and 1"):
        detect(marked, key, fpr=fpr)


@pytest.mark.parametrize("strength", [0, 0.09, 4.1, -1, float("nan"), float("inf")])
def test_what_is_not_a_strength(crop, key, strength):
    with pytest.raises(MethodError, match="out of range - choose"):
        embed(crop, key, strength=strength)


@pytest.mark.parametrize("threads", [0, 2, 7])
def test_threads_change_nothing(crop, key, threads):
    marked = embed(crop, key, b"shared", threads=threads)
    np.testing.assert_array_equal(marked, embed(crop, key, b"shared"))
    assert detect(marked, key, threads=threads) == detect(marked, key)


@pytest.mark.parametrize("threads", [-1, 1.5, None, "2", True])
def test_what_is_not_a_number_of_threads(crop, key, threads):
    for call in (lambda: embed(crop, key, threads=threads), lambda: detect(crop, key, threads=threads)):
        with pytest.raises(MethodError, match="0 for one per core"):
            call()


def test_a_method_that_knows_no_threads_works_alone(crop, key, monkeypatch):
    mark = watermarks.load("dwt-dct")

    class Alone:
        name = mark.name

        def embed(self, pixels, key, payload, strength=1.0, alpha=None):
            return mark.embed(pixels, key, payload, strength, alpha)

        def look(self, pixels):
            return mark.look(pixels)

        def find(self, look, key, fpr=1e-6):
            return mark.find(look, key, fpr)

    monkeypatch.setattr(watermarks, "load", lambda _: Alone())
    assert detect(embed(crop, key, b"alone", threads=2), key, threads=2).payload == b"alone"


def test_a_method_that_does_not_exist(crop, key):
    with pytest.raises(MethodError, match="no watermark method 'none' - installed: both, dwt-dct, learned"):
        embed(crop, key, method="none")
    with pytest.raises(MethodError, match="no watermark method 'none'"):
        detect(crop, key, method="none")


@pytest.mark.parametrize("wrong", ["key", bytes(32), None, 7], ids=["str", "bytes", "None", "int"])
def test_what_is_not_a_key(crop, wrong):
    with pytest.raises(KeyFileError, match=r"markai\.Key"):
        detect(crop, wrong)


@pytest.mark.parametrize("wrong", ["key", bytes(32), None, KeyRing([OTHER])], ids=["str", "bytes", "None", "ring"])
def test_what_is_not_a_key_to_mark_with(crop, wrong):
    with pytest.raises(KeyFileError, match=r"markai\.Key"):
        embed(crop, wrong)


# Refusals


@pytest.mark.parametrize("payload", [bytes(17), "acme", None, 7, [b"one"], bytearray(b"a")])
def test_what_is_not_a_payload(crop, key, payload):
    with pytest.raises(PayloadError):
        embed(crop, key, payload)
    with pytest.raises(PayloadError):
        embed([crop], key, [payload])


def test_a_str_is_text(key):
    assert detect("photo.png", key).verdict == "insufficient"  # a text of two words
    with pytest.raises(MethodError, match=r"for a file pass pathlib\.Path"):
        detect_all("photo.png", key)
    with pytest.raises(ImageError, match="a str is not a picture"):
        embed("photo.png", key)


NOT_PICTURES = {
    "nothing": None,
    "a number": 3,
    "a dict": {},
    "no pixels": np.zeros((0, 0), np.uint8),
    "no rows": np.zeros((0, 5, 3), np.uint8),
    "NaN": np.full((300, 300, 3), np.nan),
    "one NaN": np.where(np.arange(90000).reshape(300, 300) == 7, np.nan, 0.5),
    "infinity": np.full((300, 300), np.inf, np.float32),
    "floats to 255": np.full((300, 300, 3), 255.0),
    "negative floats": np.full((300, 300, 3), -1.0),
    "int32": np.zeros((300, 300), np.int32),
    "bool": np.zeros((300, 300), bool),
    "complex": np.zeros((300, 300), complex),
    "objects": np.full((300, 300), None),
    "two channels": np.zeros((300, 300, 2), np.uint8),
    "channels first": np.zeros((3, 300, 300), np.uint8),
    "one axis": np.zeros(300, np.uint8),
    "five axes": np.zeros((1, 1, 300, 300, 3), np.uint8),
    "no bytes": b"",
    "zero bytes": bytes(1000),
    "text": b"hello world",
    "the start of a PNG": b"\x89PNG\r\n\x1a\n",
    "the start of a JPEG": b"\xff\xd8\xff\xe0",
}


@pytest.mark.parametrize("image", NOT_PICTURES.values(), ids=NOT_PICTURES)
def test_what_is_not_a_picture(image, key):
    for use in (embed, detect):
        with pytest.raises(ImageError, match=" - ") as caught:
            use(image, key)
        assert not isinstance(caught.value, CapacityError)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files(crop, key, name, share):
    data = encode(crop, name)
    for use in (embed, detect):
        with pytest.raises(ImageError):
            use(data[: int(share * len(data))], key)


def test_files_that_are_not_what_their_name_says(key, tmp_path):
    path = tmp_path / "text.png"
    path.write_text("this is no picture\n")
    with pytest.raises(ImageError, match="not a picture that markai can read"):
        detect(path, key)
    path.write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        detect(path, key)
    with pytest.raises(ImageError, match="cannot read"):
        detect(tmp_path / "missing.png", key)
    with pytest.raises(ImageError, match="cannot read"):
        detect(tmp_path, key)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (255, 400, 3), (400, 255, 4)])
def test_too_small_to_mark_but_not_to_look_at(key, shape):
    image = np.full(shape, 128, np.uint8)
    with pytest.raises(CapacityError, match="at least 256x256"):
        embed(image, key)
    assert not detect(image, key)


def test_one_bad_picture_in_a_batch_fails_it_whole(crop, key):
    with pytest.raises(CapacityError):
        embed([crop, crop[:100]], key)


def test_every_refusal_is_a_markai_error():
    assert all(issubclass(error, MarkaiError) for error in (ImageError, CapacityError, PayloadError, MethodError))


# What is imported

SCRIPT = """
import sys
import numpy, markai
picture = numpy.random.default_rng(1).integers(60, 200, (300, 300, 3), dtype=numpy.uint8)
key = markai.Key(bytes(32))
found = markai.detect(markai.embed(picture, key, b"x"), key)
print(found.payload, [name for name in ("torch", "cv2", "matplotlib", "pandas") if name in sys.modules])
"""


def test_marking_an_array_imports_no_torch():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("b'x' []\n", "")
