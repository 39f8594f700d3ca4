"""SSIMULACRA 2 through its package, LPIPS through an ONNX file: known answers, order, refusals."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from markai.errors import ImageError, MethodError, MissingExtraError
from markai.metrics import METRICS, lpips, measure, ssimulacra2

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "lighthouse.png"


@pytest.fixture(scope="module")
def photograph():
    with Image.open(PHOTOGRAPH) as picture:
        return np.asarray(picture.convert("RGB"))[:256, 100:400]


def as_jpeg(picture, quality):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(stream))


# SSIMULACRA 2


def test_ssimulacra2_falls_with_quality(photograph):
    """The ranges are those its authors give for JPEG: about 90 at quality 95, 70 at 70, 30 at 30 or below."""
    pytest.importorskip("ssimulacra2")
    found = {quality: ssimulacra2(photograph, as_jpeg(photograph, quality)) for quality in (95, 90, 70, 30, 10)}
    assert ssimulacra2(photograph, photograph) == 100
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert 85 < found[95] < 95
    assert 80 < found[90] < 90
    assert 60 < found[70] < 80
    assert 25 < found[30] < 60
    assert found[10] < 20


def test_ssimulacra2_reads_what_a_file_would_hold(photograph, tmp_path):
    package = pytest.importorskip("ssimulacra2")
    worse = as_jpeg(photograph, 60)
    for name, picture in (("first.png", photograph), ("second.png", worse)):
        Image.fromarray(picture).save(tmp_path / name)
    expected = package.compute_ssimulacra2(tmp_path / "first.png", tmp_path / "second.png")
    assert ssimulacra2(photograph, worse) == expected
    gray, worse_gray = photograph[..., 1], worse[..., 1]
    assert ssimulacra2(gray, worse_gray) == ssimulacra2(np.dstack([gray] * 3), np.dstack([worse_gray] * 3))


def test_ssimulacra2_refuses_small_pictures_and_other_dtypes(photograph):
    with pytest.raises(ImageError, match="225 pixels"):
        ssimulacra2(photograph[:224], photograph[:224])
    with pytest.raises(ImageError, match="uint8"):
        ssimulacra2(photograph / 255, photograph / 255)


# LPIPS. The network of the tests is a mean absolute difference, written as the ONNX file that it would be: fields of
# onnx.proto, each a tag and its contents.


def field(number, contents):
    if isinstance(contents, int):
        return bytes([number << 3, contents])
    contents = contents.encode() if isinstance(contents, str) else contents
    length = [len(contents) & 127 | 128, len(contents) >> 7] if len(contents) > 127 else [len(contents)]
    return bytes([number << 3 | 2, *length]) + contents


def node(operation, inputs, output):
    return field(1, b"".join(field(1, each) for each in inputs) + field(2, output) + field(4, operation))


def tensor(kind, name, shape):
    sides = b"".join(field(1, field(1, side) if isinstance(side, int) else field(2, side)) for side in shape)
    return field(kind, field(1, name) + field(2, field(1, field(1, 1) + field(2, sides))))  # 1 is float32


def network(*inputs):
    graph = node("Sub", (inputs[0], inputs[-1]), "difference") + node("Abs", ["difference"], "distance")
    graph += node("ReduceMean", ["distance"], "mean") + field(2, "mean_difference")
    graph += b"".join(tensor(11, name, (1, 3, "H", "W")) for name in inputs) + tensor(12, "mean", (1, 1, 1, 1))
    return field(1, 8) + field(8, field(2, 13)) + field(7, graph)


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "lpips.onnx"
    path.write_bytes(network("reference", "other"))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_lpips_runs_the_network_on_pixels_from_minus_one_to_one(model, dtype):
    top = {"uint8": 255, "uint16": 65535}.get(dtype, 1.0)
    dark = np.zeros((64, 70, 3), dtype)
    light = dark.copy()
    light[:16] = top
    assert lpips(dark, dark, model) == 0
    assert lpips(dark, light, model) == pytest.approx(0.5)
    assert lpips(dark[..., 0], light[..., 0], model) == pytest.approx(0.5)


def test_the_environment_names_the_network(model, monkeypatch):
    dark, light = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 51, np.uint8)
    monkeypatch.setenv("MARKAI_LPIPS_MODEL", str(model))
    assert lpips(dark, light) == pytest.approx(0.4, rel=1e-5)
    assert measure(["lpips"], dark, light) == {"lpips": lpips(dark, light)}
    monkeypatch.delenv("MARKAI_LPIPS_MODEL")
    with pytest.raises(MethodError, match="set MARKAI_LPIPS_MODEL"):
        lpips(dark, light)


def test_files_that_are_no_such_network(model, tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(MethodError, match="cannot be read as an ONNX file"):
        lpips(pixels, pixels, tmp_path / "absent.onnx")
    other = tmp_path / "one.onnx"
    other.write_bytes(network("only"))
    with pytest.raises(MethodError, match="takes 1 tensors"):
        lpips(pixels, pixels, other)
    with pytest.raises(ImageError, match="64 pixels"):
        lpips(pixels[:63], pixels[:63], model)


@pytest.mark.parametrize(("name", "module"), [("ssimulacra2", "ssimulacra2"), ("lpips", "onnxruntime")])
def test_missing_packages_are_named(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("MARKAI_LPIPS_MODEL", "unread.onnx")
    picture = np.zeros((256, 256, 3), np.uint8)
    with pytest.raises(MissingExtraError, match=rf"need {module}: pip install 'markai\[bench\]'"):
        METRICS[name].function(picture, picture)
