"""Attacks: seeded and pure, strengths that mean what they say, refusals that name the choices."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from markai import attacks
from markai.errors import ImageError, MethodError
from markai.metrics import psnr

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "lighthouse.png"
RANDOM = {"noise", "crop", "erase"}
RESIZING = {"crop"}


@pytest.fixture(scope="module")
def photograph():
    pixels = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))[150:310, 200:440]
    pixels.flags.writeable = False  # whatever changes its input fails
    return pixels


@pytest.mark.parametrize("name", attacks.names())
def test_same_seed_same_pixels_in_memory_of_their_own(name, photograph):
    first = attacks.apply(name, photograph, seed=5)
    assert np.array_equal(first, attacks.apply(name, photograph, seed=5))
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert not np.shares_memory(first, photograph)
    assert (first.shape == photograph.shape) == (name not in RESIZING)


@pytest.mark.parametrize("name", attacks.names())
def test_only_random_attacks_depend_on_the_seed(name, photograph):
    same = np.array_equal(attacks.apply(name, photograph, seed=1), attacks.apply(name, photograph, seed=2))
    assert same == (name not in RANDOM)


@pytest.mark.parametrize("name", attacks.names())
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 2, 3), (3, 31, 3)])
def test_tiny_pictures(name, shape):
    tiny = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    strength = attacks.parse(name)[0].strength
    specs = [name] if strength is None else [f"{name}:{strength.low}", name, f"{name}:{strength.high}"]
    for spec in specs:
        assert attacks.apply(spec, tiny).size > 0


@pytest.mark.parametrize(
    ("name", "rising"),
    [
        ("jpeg", (90, 50, 30, 10)),
        ("webp", (90, 50, 20, 1)),
        ("avif", (90, 60, 30, 5)),
        ("blur", (0.5, 1, 2, 4)),
        ("noise", (0.01, 0.05, 0.1, 0.3)),
        ("median", (3, 5, 9, 15)),
        ("brightness", (0.9, 0.7, 0.5, 0.2)),
        ("brightness", (1.1, 1.3, 1.5, 2)),
        ("contrast", (0.9, 0.7, 0.5, 0.2)),
        ("gamma", (1.1, 1.4, 2, 3)),
        ("gamma", (0.9, 0.7, 0.5, 0.3)),
        ("erase", (0.05, 0.25, 0.5, 1)),
        ("resize-back", (0.9, 0.5, 0.25, 0.1)),
    ],
)
def test_stronger_attacks_do_more_harm(name, rising, photograph):
    quality = [psnr(attacks.apply(f"{name}:{strength}", photograph), photograph) for strength in rising]
    assert quality == sorted(set(quality), reverse=True)


@pytest.mark.parametrize(
    "spec", ["none", "brightness:1", "contrast:1", "gamma:1", "crop:1", "noise:0", "resize-back:1"]
)
def test_strengths_that_change_nothing(spec, photograph):
    assert np.array_equal(attacks.apply(spec, photograph), photograph)


@pytest.mark.parametrize("area", [0.1, 0.25, 0.5, 0.9])
def test_crop_keeps_the_area_and_the_aspect(area, photograph):
    height, width = attacks.apply(f"crop:{area}", photograph).shape[:2]
    assert height * width == pytest.approx(area * 160 * 240, rel=0.02)
    assert width / height == pytest.approx(240 / 160, rel=0.02)


def test_crops_lie_anywhere_in_the_picture():
    rows, columns = np.mgrid[0:40, 0:60]
    where = np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)
    corners = {tuple(attacks.apply("crop:0.25", where, seed)[0, 0, :2].tolist()) for seed in range(300)}
    tops, lefts = zip(*corners, strict=True)
    assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 20, 0, 30)


def test_erase_is_a_gray_rectangle_of_that_area(photograph):
    changed = (attacks.apply("erase:0.25", photograph, seed=3) != photograph).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert changed[box].size == pytest.approx(0.25 * changed.size, rel=0.02)
    assert (attacks.apply("erase:0.25", photograph, seed=3)[box] == attacks.GRAY).all()


def test_noise_has_the_deviation_that_it_says():
    gray = np.full((200, 200, 3), 128, np.uint8)
    noisy = attacks.apply("noise:0.05", gray).astype(float)
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.2)


def test_point_operations_by_hand():
    pixels = np.array([[[0, 100, 200], [50, 150, 250]]], np.uint8)  # the mean is 125
    assert attacks.apply("brightness:1.5", pixels).ravel().tolist() == [0, 150, 255, 75, 225, 255]
    assert attacks.apply("contrast:0.5", pixels).ravel().tolist() == [62, 112, 162, 88, 138, 188]
    assert attacks.apply("gamma:2", pixels).ravel().tolist() == [0, 39, 157, 10, 88, 245]
    assert attacks.apply("grayscale", pixels).ravel().tolist() == [82, 82, 82, 132, 132, 132]


@pytest.mark.parametrize("spec", ["nope", "", ":50", "JPEG:50", "jpeg 50"])
def test_unknown_names_list_the_choices(spec):
    with pytest.raises(MethodError, match=r"no attack .* choose from none, jpeg, webp"):
        attacks.parse(spec)


@pytest.mark.parametrize(
    "spec",
    ["jpeg:0", "jpeg:101", "jpeg:50.5", "jpeg:", "jpeg:x", "jpeg:nan", "crop:0", "crop:inf", "median:4", "noise:-0.1"],
)
def test_strengths_out_of_range_name_the_range(spec):
    name = spec.partition(":")[0]
    with pytest.raises(MethodError, match=rf"out of range - {name} takes .*, [\d.]+ to \d+"):
        attacks.parse(spec)


def test_a_strength_where_there_is_none():
    with pytest.raises(MethodError, match="grayscale takes no strength"):
        attacks.parse("grayscale:1")


@pytest.mark.parametrize("name", attacks.names())
def test_defaults_are_in_range(name):
    attack, default = attacks.parse(name)
    assert attack.strength is None or attack.strength.allows(default)
    assert attack.function.__doc__


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(ImageError, match="uint8 RGB"):
        attacks.apply("none", pixels)


def test_a_picture_that_the_codec_cannot_hold():
    with pytest.raises(ImageError, match="20000x1 picture cannot go through WEBP"):
        attacks.apply("webp:50", np.zeros((1, 20000, 3), np.uint8))
