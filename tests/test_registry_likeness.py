"""Fingerprints and sketches: the same picture is known again, however it was changed, and another is told from it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markai
from markai import Key
from markai.attacks import apply
from markai.attacks.pixels import resized
from markai.attacks.security import copy_mark
from markai.detection import Coverage, Geometry
from markai.errors import MissingExtraError
from markai.provenance.registry import Agreement, agreement, fingerprint, hamming, sketch, text_fingerprint
from markai.provenance.registry.likeness import CELLS, on_white
from markai.watermarks.carriers import TILE, step_for

PAYLOAD = b"acme:42!"
CHANGES = (
    *("none", "jpeg:30", "crop:0.5+jpeg:60", "crop:0.25+jpeg:60", "resize:0.5", "resize:2+crop:0.5", "grayscale"),
    *("rotate-expand:90", "rotate:15", "rotate:5+crop:0.7+jpeg:70", "mirror", "flip", "aspect:0.8", "shear:3"),
    *("perspective:0.1", "brightness:0.5", "erase:0.25", "paste:0.25", "screenshot"),
)


@pytest.fixture(scope="module")
def marked(photo: np.ndarray, key: Key) -> np.ndarray:
    return markai.embed(photo, key, PAYLOAD)


@pytest.fixture(scope="module")
def another(photo: np.ndarray) -> np.ndarray:
    """The photograph upside down: another picture with the same colours and textures."""
    return np.ascontiguousarray(photo[::-1])


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_picture_agrees_where_detection_says_that_it_lies(marked: np.ndarray, key: Key, change: str) -> None:
    attacked = apply(change, marked, 3)
    found = markai.detect(attacked, key)
    assert found.payload == PAYLOAD
    agrees = agreement(sketch(marked), attacked, found.geometry, found.coverage)
    assert agrees.verdict == "same", agrees
    if change in ("none", "jpeg:30"):
        assert agrees.score > 0.95
        assert agrees.share > 0.7  # what the coverage shows
        assert np.allclose(agrees.offset, 0, atol=1)


def test_a_copied_mark_does_not_make_another_picture_the_same(
    marked: np.ndarray, another: np.ndarray, key: Key
) -> None:
    forged = copy_mark(marked, another, 36.0)
    found = markai.detect(forged, key)
    assert found.payload == PAYLOAD  # or this shows nothing
    assert agreement(sketch(marked), forged, found.geometry, found.coverage).verdict == "different"
    assert agreement(sketch(marked), forged, found.geometry).verdict == "different"
    assert agreement(sketch(another), forged, found.geometry, found.coverage).verdict == "same"
    cut = apply("crop:0.5+jpeg:60", forged, 3)
    period = float(TILE * step_for(*marked.shape[:2]))
    for x in range(0, 128, 16):
        lies = Geometry(offset=(float(x), 40.0), period=period)
        assert agreement(sketch(marked), cut, lies).verdict != "same"


def test_another_size_of_cells_is_the_same_place(marked: np.ndarray) -> None:
    """Detection tells the scale up to the ratio of two cell sizes; the record knows the picture's own."""
    half = resized(marked, marked.shape[0] / 2, marked.shape[1] / 2)
    period = float(TILE * step_for(*marked.shape[:2]))
    as_is = agreement(sketch(marked), half, Geometry(0.5, 0.5, period=period))
    other = agreement(sketch(marked), half, Geometry(0.5 * 2 / 3, 0.5 * 2 / 3, period=1.5 * period))
    assert as_is.verdict == other.verdict == "same"
    assert as_is.score == pytest.approx(other.score, abs=1e-3)


def test_only_what_is_marked_is_compared(marked: np.ndarray, another: np.ndarray) -> None:
    page = another.copy()
    page[:, :384] = marked[:, :384]
    period = float(TILE * step_for(*marked.shape[:2]))
    left = np.zeros((20, 30), np.float32)
    left[:, :15] = 1
    everywhere = agreement(sketch(marked), page, Geometry(period=period))
    there = agreement(sketch(marked), page, Geometry(period=period), Coverage(lambda: left))
    assert there.score > 0.95 > everywhere.score
    assert 0.45 < there.share < 0.52
    nowhere = agreement(sketch(marked), page, Geometry(period=period), Coverage(lambda: np.zeros_like(left)))
    assert (nowhere.verdict, nowhere.share, nowhere.offset) == ("unclear", 0.0, None)


def test_without_a_geometry_it_is_the_whole_picture(marked: np.ndarray, another: np.ndarray) -> None:
    assert agreement(sketch(marked), resized(marked, 300, 300)).verdict == "same"
    assert agreement(sketch(marked), another).verdict == "different"


def test_flat_pictures_say_nothing(photo: np.ndarray) -> None:
    flat = np.full(photo.shape, 200, np.uint8)
    assert agreement(sketch(flat), flat).verdict == "unclear"
    assert agreement(sketch(flat), photo).verdict != "same"
    assert agreement(sketch(photo), flat).verdict != "same"
    dot = flat.copy()
    dot[100:130, 100:130] = 0
    other = flat.copy()
    other[101:131, 102:130] = 60  # a single spot in the same place proves nothing
    assert agreement(sketch(dot), other).verdict == "unclear"


def test_every_dtype_gives_the_same_sketch(photo: np.ndarray) -> None:
    deep = (photo.astype(np.uint16) * 257).astype(np.uint16)
    unit = (photo / np.float32(255)).astype(np.float32)
    for other in (deep, unit):
        assert np.abs(cells(sketch(other)) - cells(sketch(photo))).max() <= 1
        assert hamming(fingerprint(other), fingerprint(photo)) <= 2
        assert agreement(sketch(photo), other).verdict == "same"
    gray = np.ascontiguousarray(photo[..., :1])
    assert agreement(sketch(gray), np.repeat(gray, 3, axis=2)).score > 0.99


def cells(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)[11:].astype(int)


def test_what_is_transparent_is_white(photo: np.ndarray) -> None:
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[:, :400] = 255
    shown = photo.copy()
    shown[:, 400:] = 255
    assert np.array_equal(on_white(photo, alpha), shown)
    assert sketch(photo, alpha) == sketch(shown)
    assert fingerprint(photo, alpha) == fingerprint(shown)
    assert agreement(sketch(shown), photo, alpha=alpha).score > 0.99
    unit = on_white(np.zeros((1, 1, 1), np.float32), np.full((1, 1), 0.25, np.float32))
    assert unit.dtype == np.float32
    assert unit.item() == 0.75


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([1, 3]))
def test_pictures_of_every_shape_have_a_sketch(height: int, width: int, channels: int) -> None:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)
    data = sketch(pixels)
    assert 11 < len(data) <= 11 + 2 * CELLS
    agrees = agreement(data, pixels)
    assert agrees.verdict != "different" or min(height, width) < 8
    assert agrees.verdict == "same" or min(height, width) < 48
    period = float(TILE * step_for(height, width))
    assert agreement(data, pixels, Geometry(offset=(period - 1, 0.0), period=period)).score <= 1


@pytest.mark.parametrize("data", [b"", b"\1", sketch(np.zeros((9, 9, 1), np.uint8))[:-1], b"\2" + bytes(10 + 9)])
def test_damaged_sketches_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a sketch"):
        agreement(data, np.zeros((9, 9, 1), np.uint8))


def test_agreement_as_json() -> None:
    agrees = Agreement(0.98765, 400.0, 0.5, (3.0, 4.0))
    assert agrees.to_dict() == {"verdict": "same", "score": 0.9877, "evidence": 50.8105, "share": 0.5}
    verdicts = [dataclasses.replace(agrees, score=score).verdict for score in (-1, 0.44, 0.5, 0.59, 0.61)]
    assert verdicts == ["different", "different", "unclear", "unclear", "same"]
    few = dataclasses.replace(agrees, support=20.0)
    assert [dataclasses.replace(few, score=score).verdict for score in (0.1, 0.9, 1.0)] == [
        "unclear",
        "unclear",
        "same",
    ]


# Fingerprints


@pytest.mark.parametrize("change", ["jpeg:60", "resize:0.35+jpeg:60", "brightness:0.5", "blur:2", "noise:0.05"])
def test_fingerprints_withstand(photo: np.ndarray, change: str) -> None:
    assert hamming(fingerprint(photo), fingerprint(apply(change, photo, 1))) <= 6


def test_fingerprints_of_different_pictures_differ(photo: np.ndarray, another: np.ndarray) -> None:
    assert hamming(fingerprint(photo), fingerprint(another)) > 15


def test_fingerprints_are_imagehashs(photo: np.ndarray) -> None:
    from imagehash import phash
    from PIL import Image

    assert fingerprint(photo).hex() == str(phash(Image.fromarray(photo)))


def test_fingerprints_need_imagehash(monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    with pytest.raises(MissingExtraError, match=r"imagehash: pip install 'markai\[registry\]'"):
        fingerprint(photo)


TEXT = (
    "The registry keeps of every marked text what it read like, so that a copy of which a sentence was cut or a word "
    "was changed can be found again, by those who have nothing but the copy. 등록부는 표시된 글마다 어떻게 읽혔는지를 "
    "간직하므로, 문장 하나가 잘리거나 낱말 하나가 바뀐 사본도 다시 찾을 수 있다. "
) * 2


def test_texts_that_read_alike_have_near_fingerprints() -> None:
    kept = text_fingerprint(TEXT)
    assert hamming(kept, text_fingerprint(TEXT.upper().replace(" ", "\n "))) == 0
    assert hamming(kept, text_fingerprint(TEXT.replace("sentence", "paragraph"))) <= 10
    assert hamming(kept, text_fingerprint(TEXT[:-60])) <= 12
    assert hamming(kept, text_fingerprint("Another text altogether, about the weather in Busan, and tea. " * 8)) > 15
    assert len({text_fingerprint(short) for short in ("", "a", "ab", "\ud800")}) == 4
