"""Several marks in one picture: each is found once, with its own payload, place and geometry."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from markai import Key, KeyRing, detect, detect_all
from markai._kernels import whiten
from markai.attacks import apply
from markai.errors import MethodError
from markai.watermarks import CollageMark, base, load
from markai.watermarks.carriers import TILE
from markai.watermarks.places import MOST_TILES, windows
from markai.watermarks.sync import seen_in
from markai.watermarks.warps import Pyramid

MARK = load("dwt-dct")
OTHER = Key(bytes(32))


def resized(pixels, height, width):
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def one(photo, key):
    """The left of the photograph, marked."""
    return MARK.embed(np.ascontiguousarray(photo[:, :400]), key, b"one")


@pytest.fixture(scope="module")
def two(photo, key):
    """The right of the photograph, turned upside down and marked."""
    return MARK.embed(np.ascontiguousarray(photo[::-1, 400:]), key, b"two:two")


@pytest.fixture(scope="module")
def page(photo):
    return resized(photo[::-1], 780, 1100)


def pasted(page, *parts):
    """A page with (y, x, pixels) laid on it."""
    page = page.copy()
    for y, x, pixels in parts:
        page[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return page


def squares(coverage, top, left, bottom, right, shape):
    """The mean presence within a box that is given in pixels of a picture of that shape."""
    rows, columns = coverage.presence.shape
    y, x = (np.array([top, bottom]) * rows / shape[0]), (np.array([left, right]) * columns / shape[1])
    return coverage.presence[round(y[0]) : round(y[1]), round(x[0]) : round(x[1])].mean()


def test_two_marked_pictures_on_a_page(one, two, page, key):
    sheet = apply("jpeg:75", pasted(page, (30, 40, one), (250, 700, two)))
    found = {each.payload: each for each in detect_all(sheet, key)}
    assert set(found) == {b"one", b"two:two"}
    for (y, x, pixels), each in (((30, 40, one), found[b"one"]), ((250, 700, two), found[b"two:two"])):
        bottom, right = y + pixels.shape[0], x + pixels.shape[1]
        assert squares(each.coverage, y, x, bottom, right, sheet.shape) > 0.85
        assert each.coverage.share == pytest.approx(pixels.size / sheet.size, rel=0.25)
        period = each.geometry.period
        apart = (np.add(each.geometry.offset, (x, y)) + period / 2) % period - period / 2
        assert np.abs(apart).max() <= 1
        assert each.key_id == key.id


def test_one_small_picture_within_a_large_one(one, page, key):
    large = MARK.embed(page, key, b"large")
    found = detect_all(pasted(large, (300, 500, one[:400, :300])), key)
    assert {each.payload for each in found} == {b"one", b"large"}
    covers = {each.payload: each.coverage for each in found}
    assert squares(covers[b"one"], 300, 500, 700, 800, page.shape) > 0.85
    assert squares(covers[b"large"], 300, 500, 700, 800, page.shape) < 0.2


def test_turned_and_scaled_parts_have_their_own_geometry(one, two, page, key):
    turned, smaller = apply("rotate-expand:20", one), resized(two, 440, 317)
    found = {each.payload: each for each in detect_all(pasted(page, (0, 0, turned), (330, 770, smaller)), key)}
    assert set(found) == {b"one", b"two:two"}
    assert found[b"one"].geometry.rotation == pytest.approx(20, abs=0.3)
    assert found[b"one"].geometry.scale_x == pytest.approx(1, rel=0.005)
    assert found[b"two:two"].geometry.scale_x == pytest.approx(317 / 368, rel=0.005)


def test_a_picture_on_a_page_whose_cells_are_coarser(two, photo, key):
    sheet = pasted(resized(photo, 1320, 1980), (700, 1500, two))
    assert not detect(sheet, key)
    (found,) = detect_all(sheet, key)
    assert found.payload == b"two:two"
    assert found.geometry.period == 2 * TILE
    assert found.coverage.share == pytest.approx(two.size / sheet.size, rel=0.3)


def test_two_keys_on_one_picture(one, key):
    twice = MARK.embed(one, OTHER, b"second")
    found = detect_all(twice, KeyRing([key, OTHER]))
    assert {(each.key_id, each.payload) for each in found} == {(key.id, b"one"), (OTHER.id, b"second")}


def test_what_counts_as_another_mark(one, photo, page, key):
    """Two cuttings that do not line up are two, and another picture with the same payload is another."""
    twin = MARK.embed(np.ascontiguousarray(photo[:256, 368:]), key, b"one")
    sheet = pasted(page, (0, 0, one[:, :300]), (268, 790, one[:, 50:350]), (0, 350, twin))
    assert [each.payload for each in detect_all(sheet, key)] == [b"one"] * 3


def test_cuttings_that_line_up_are_one_mark_in_two_places(one, page, key):
    (found,) = detect_all(pasted(page, (0, 0, one[:, :300]), (256, 768, one[:, :300])), key)
    assert found.coverage.share == pytest.approx(2 * 512 * 300 / page[..., 0].size, rel=0.25)
    assert squares(found.coverage, 0, 0, 512, 300, page.shape) > 0.8
    assert squares(found.coverage, 256, 768, 768, 1068, page.shape) > 0.8


@pytest.mark.parametrize("attack", ["rotate:10", "perspective:0.1"])
def test_one_mark_is_reported_once(photo, key, attack):
    found = detect_all(apply(attack, MARK.embed(photo, key, b"one"), seed=3), key)
    assert [each.payload for each in found] == [b"one"]


def test_batches_paths_and_what_is_wrong(one, tmp_path, key):
    Image.fromarray(one).save(tmp_path / "one.png")
    batch = [tmp_path / "one.png", np.zeros((40, 40, 3), np.uint8)]
    assert [[each.payload for each in found] for found in detect_all(batch, key)] == [[b"one"], []]
    with pytest.raises(MethodError, match="not a rate"):
        detect_all(one, key, fpr=0)
    with pytest.raises(MethodError, match="text"):
        detect_all("one.png", key)


def test_a_method_that_knows_no_collages(one, key, monkeypatch):
    class Plain:
        name = "plain"

        def embed(self, *_):
            raise NotImplementedError

        def look(self, pixels):
            return MARK.look(pixels)

        def find(self, look, key, fpr=1e-6):
            return MARK.find(look, key, fpr)

    assert isinstance(MARK, CollageMark)
    assert not isinstance(Plain(), CollageMark)
    monkeypatch.setattr(base, "names", lambda: ["plain"])
    monkeypatch.setattr(base, "load_any", lambda _: Plain())
    base.load.cache_clear()
    assert [each.payload for each in detect_all(one, key, method="plain")] == [b"one"]
    assert detect_all(one, OTHER, method="plain") == []
    base.load.cache_clear()


# The rate, and what is searched


def test_the_rate_is_kept_by_the_list(photo):
    """At a rate that can be counted: 0.3. Keys are drawn, the picture is held."""
    look = MARK.look(np.ascontiguousarray(photo[160:416, 400:656]))
    keys = [Key(hashlib.sha256(f"several {i}".encode()).digest()) for i in range(20)]
    reported = sum(bool(MARK.find_all(look, each, 0.3)) for each in keys)
    assert stats.binomtest(reported, len(keys), 0.3, alternative="greater").pvalue > 0.01


def test_a_mark_does_not_make_others_likelier(one, page, key):
    """Beside one key's mark the list of another is as empty as without it, and nothing but the mark is in its own."""
    sheet = MARK.look(pasted(page, (200, 300, one)))
    assert MARK.find_all(sheet, OTHER, 1e-3) == []
    assert len(MARK.find_all(sheet, key, 1e-3)) == 1


@pytest.mark.parametrize("shape", [(300, 300), (2000, 3000), (16, 16)])
def test_the_windows_are_bounded(shape):
    pixels = np.zeros((*shape, 1), np.uint8)
    asked = []

    def plane(step):
        asked.append(step)
        return np.zeros((shape[0] // step, shape[1] // step), np.float32)

    assert list(windows(Pyramid(pixels), plane, whiten)) == []  # nothing to see in any
    for step in asked:
        assert -(-shape[0] // step // TILE) * -(-shape[1] // step // TILE) <= MOST_TILES
    assert asked == {300: [2, 3, 4, 6, 8], 2000: [2, 3, 4, 6, 8, 12, 16, 24, 32], 16: []}[shape[0]]


def test_the_windows_hold_the_whole_and_its_parts():
    rng = np.random.default_rng(1)
    noise = {step: rng.standard_normal((320 // step, 448 // step)).astype(np.float32) for step in (2, 3, 4, 6, 8)}
    seen = [
        place.seen
        for place, _ in windows(Pyramid(np.zeros((320, 448, 1), np.uint8)), noise.__getitem__, whiten)
        if place.step == 2
    ]
    assert len(seen) == 9  # 3 x 4 tiles: 2 x 3 squares of two tiles, 1 x 2 of three, and the whole
    whole = seen_in(noise[2])
    assert any(np.abs(each - whole).max() < 1e-3 for each in seen)
    part = seen_in(np.ascontiguousarray(noise[2][:128, 64:192]))
    assert any(np.abs(each - part).max() < 1e-3 for each in seen)
