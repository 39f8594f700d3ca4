"""Where the mark is: the map against what was pasted over, pasted in, turned and cut."""

import copy

import numpy as np
import pytest
from PIL import Image

from markai import Key, detect
from markai.attacks import apply
from markai.detection import Coverage
from markai.watermarks import load
from markai.watermarks.carriers import FX, FY, SYMBOLS, TILE, as_signs, carriers_for, nonce_bits
from markai.watermarks.coverage import Known, Reading
from markai.watermarks.geometry import TURNS
from markai.watermarks.sync import spectrum
from markai.watermarks.warps import Warp

MARK = load("dwt-dct")
PAYLOAD = b"acme:42"


@pytest.fixture(scope="module")
def marked(photo, key):
    pixels = MARK.embed(photo, key, PAYLOAD)
    pixels.flags.writeable = False
    return pixels


def agreement(coverage, truth):
    """Intersection over union of the squares that are called marked and those that are; truth (H, W) bool."""
    share = Image.fromarray(truth.astype(np.float32)).resize(coverage.presence.shape[::-1], Image.Resampling.BOX)
    called, is_so = coverage.presence > 0.5, np.asarray(share) > 0.5
    return (called & is_so).sum() / (called | is_so).sum()


def test_a_whole_picture_is_marked_everywhere(marked, key):
    coverage = detect(marked, key).coverage
    assert coverage.presence.shape == (21, 32)
    assert coverage.presence.dtype == np.float32
    assert coverage.share > 0.97


BOXES = {"corner": np.s_[:256, :384], "middle": np.s_[130:380, 200:560], "edge": np.s_[300:, 100:600]}


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("attack", ["jpeg:75", "resize:0.7", "rotate-expand:90", "mirror"])
def test_what_is_pasted_over_is_a_hole(marked, photo, key, box, attack):
    pixels, truth = marked.copy(), np.ones(marked.shape, np.uint8)
    pixels[BOXES[box]] = photo[::-1, ::-1][BOXES[box]]
    truth[BOXES[box]] = 0
    coverage = detect(apply(attack, pixels), key).coverage
    assert agreement(coverage, apply(attack, 255 * truth)[..., 0] > 127) > 0.85


def test_what_is_pasted_in_is_an_island(marked, photo, key):
    pixels, truth = photo.copy(), np.zeros(photo.shape[:2], bool)
    pixels[60:400, 250:700], truth[60:400, 250:700] = marked[60:400, 250:700], True
    coverage = detect(pixels, key).coverage
    assert agreement(coverage, truth) > 0.85
    assert coverage.share == pytest.approx(truth.mean(), abs=0.05)


def test_turned_by_any_angle(marked, photo, key):
    pixels, truth = marked.copy(), np.full(marked.shape, 255, np.uint8)
    pixels[130:380, 200:560], truth[130:380, 200:560] = photo[:250, :360], 0
    coverage = detect(apply("rotate:10", pixels), key).coverage
    assert agreement(coverage, apply("rotate:10", truth)[..., 0] > 127) > 0.8


def test_presence_alone_shows_where_too(photo, key):
    """Where the payload cannot be read, the pilots know a fifth of the tile."""
    pixels = MARK.embed(photo, key, b"")
    pixels[:, :330] = photo[:, :330]
    look = MARK.look(pixels)
    found = MARK.find(look, key)
    truth = np.ones(photo.shape[:2], bool)
    truth[:, :330] = False
    assert agreement(found.coverage, truth) > 0.85


def test_no_mark_no_map(photo, marked, key):
    assert detect(photo, key).coverage is None
    assert detect(marked, Key(bytes(32))).coverage is None


@pytest.mark.parametrize("shape", [(256, 256), (300, 2400)])
def test_squares_have_at_least_eight_cells(photo, key, shape):
    pixels = np.asarray(Image.fromarray(photo).resize(shape[::-1], Image.Resampling.LANCZOS))
    coverage = detect(MARK.embed(pixels, key, b""), key).coverage
    assert coverage.presence.shape == {256: (16, 16), 300: (4, 32)}[shape[0]]
    assert coverage.share > 0.9


# The parts, where the answer is known


def tile_of(carriers, values, shift):
    """The tile of the mark in cells, moved by a shift."""
    waves = np.zeros((TILE, TILE), np.complex128)
    signs = (carriers.direction * values[carriers.symbol]) @ [1, 1j]
    waves[FY, FX] = signs * np.exp(-2j * np.pi / TILE * (FY * shift[0] + FX * shift[1]))
    return np.fft.ifft2(waves).real


@pytest.mark.parametrize("turn", range(8))
def test_the_pattern_is_the_tile_as_it_lies_in_the_plane(key, turn):
    rng, carriers = np.random.default_rng(turn), carriers_for(key)
    values = as_signs(np.concatenate([rng.integers(0, 2, SYMBOLS - 8, np.uint8), nonce_bits(9)]))
    tile = tile_of(carriers, values, (5, 21))
    forward = TURNS[turn].matrix.astype(int)
    plane = np.empty((TILE, TILE))
    for y in range(TILE):
        for x in range(TILE):
            plane[tuple(forward @ [y, x] % TILE)] = tile[y, x]
    plane = np.tile(plane, (2, 3)).astype(np.float32)
    got = Known(carriers, values, (5, 21), TURNS[turn]).pattern(spectrum(plane))
    assert np.corrcoef(got.ravel(), plane[:TILE, :TILE].ravel())[0, 1] > 0.99


def test_noise_is_not_marked_and_half_a_plane_is_half():
    rng, tile = np.random.default_rng(3), np.random.default_rng(4).standard_normal((TILE, TILE)).astype(np.float32)
    noise = rng.standard_normal((4 * TILE, 6 * TILE)).astype(np.float32)
    half = noise + np.where(np.arange(6 * TILE) < 192, 0.5, 0) * np.tile(tile, (4, 6)).astype(np.float32)
    presence = Reading.of(half.astype(np.float32), tile, 2, (512, 768)).presence()
    assert presence[:, :15].min() > 0.9
    assert (presence[:, 17:] > 0.5).mean() < 0.03


def test_a_net_is_followed():
    """The same through a net that turns rows into columns and is two pixels a cell."""
    tile = np.random.default_rng(4).standard_normal((TILE, TILE)).astype(np.float32)
    plane = np.random.default_rng(3).standard_normal((256, 384)).astype(np.float32)
    plane[:, :192] += 0.5 * np.tile(tile, (4, 3))
    cell = np.array([[0.0, 2.0], [2.0, 0.0]])
    warp = Warp.of((768, 512), cell, np.zeros(2), np.zeros(2))
    reading = Reading.of(plane, tile, warp, (768, 512))
    presence = reading.presence()
    assert presence.shape == (32, 21)
    assert presence[:15].min() > 0.9
    assert (presence[17:] > 0.5).mean() < 0.03
    np.testing.assert_array_equal(reading.at_blocks(presence).shape, (32, 48))


# The class


def test_a_coverage_is_computed_once_and_read_only():
    calls = []

    def compute():
        calls.append(1)
        return np.array([[0.25, 1.0], [0.0, 0.123]], np.float32)

    coverage = Coverage(compute)
    assert not calls
    assert coverage.share == pytest.approx(0.34325)
    assert coverage.to_dict() == {"share": 0.3433, "presence": [[0.25, 1.0], [0.0, 0.12]]}
    with pytest.raises(ValueError, match="read-only"):
        coverage.presence[0, 0] = 1
    np.testing.assert_array_equal(copy.deepcopy(coverage).presence, coverage.presence)
    assert len(calls) == 1
    assert "34%" in repr(coverage)


def test_as_a_picture():
    coverage = Coverage(lambda: np.array([[0, 1], [0, 1], [1, 1]], np.float32))
    image = coverage.to_image(60, 40)
    assert (image.shape, image.dtype) == ((60, 40), np.uint8)
    assert (image[0, 0], image[0, -1], image[-1, 0], image[30, 20]) == (0, 255, 255, 137)
    assert (np.diff(image[0].astype(int)) >= 0).all()
