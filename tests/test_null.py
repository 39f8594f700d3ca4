"""The false-positive rate where it can fail: random keys on pictures that nobody marked, and one key on all of them.

A p-value is a promise over the key, whatever the picture is. So most of these tests hold a picture and draw keys; they
are drawn from a fixed seed, so that what passes once passes always.
"""

import hashlib
import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from markai import Key
from markai._kernels import cell_means, whiten
from markai.image import open_picture
from markai.stats import log10_rademacher_tail
from markai.watermarks import load
from markai.watermarks.carriers import carriers_for, nonce_of
from markai.watermarks.geometry import TURNS
from markai.watermarks.sync import POSITIONS, find_peaks, peak_at, search, seen_in

FPR = 1e-6
KEYS_PER_PICTURE = 6
CORNERS = [(0, 0), (0, 448), (192, 0), (192, 448), (100, 200), (160, 400), (37, 91), (64, 128), (150, 20), (11, 333)]


def keys(n, purpose):
    return [Key(hashlib.sha256(f"{purpose} {i}".encode()).digest()) for i in range(n)]


@pytest.fixture(scope="module")
def unmarked(photo, synthetics):
    """Every synthetic picture, crops of the photograph, and what happens to photographs."""
    crops = {f"crop {y},{x}": photo[y : y + 320, x : x + 320].copy() for y, x in CORNERS}
    whole = Image.fromarray(photo)
    changed = {
        "photo": photo,
        "photo in gray": np.asarray(whole.convert("L"))[..., None].copy(),
        "photo enlarged": np.asarray(whole.resize((1200, 800))),
        "photo of 16 levels": photo & 0xF0,
        "photo below a white page": np.concatenate([np.full_like(photo[:300], 255), photo]),
        "photo repeated": np.tile(photo[:128, :128], (3, 3, 1)),
        "thumbnail": np.asarray(whole.resize((96, 64))),
        "photo of 16 bits": photo.astype(np.uint16) * 257,
    }
    return {**synthetics, **crops, **changed}


@pytest.fixture(scope="module")
def searched(unmarked):
    """A detection for every picture under a few random keys."""
    mark, found = load("dwt-dct"), {}
    for name, pixels in unmarked.items():
        look = mark.look(pixels)
        found[name] = [mark.find(look, key, FPR) for key in keys(KEYS_PER_PICTURE, name)]
    return found


def test_no_random_key_finds_a_mark(searched):
    trials = [detection for each in searched.values() for detection in each]
    assert len(trials) >= 180
    for detection in trials:
        assert not detection.detected
        assert detection.payload is None
        assert detection.method is None
        assert detection.geometry is None


def test_p_values_are_not_smaller_than_uniform(searched):
    p = [detection.p_value for each in searched.values() for detection in each]
    assert all(0 < value <= 1 for value in p)
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.01
    # The smallest of n p-values is below 1/(100 n) once in a hundred times.
    assert min(p) > 1 / (100 * len(p))


def test_one_key_finds_nothing_in_any_unmarked_picture(unmarked, key):
    mark = load("dwt-dct")
    for name, pixels in unmarked.items():
        found = mark.find(mark.look(pixels), key, FPR)
        assert not found, name


def test_one_key_finds_nothing_in_the_larger_collection(shared_data, key):
    mark = load("dwt-dct")
    paths = sorted((shared_data / "eval").glob("*.*"), key=lambda path: (path.stat().st_size, path.name))
    pictures = [path for path in paths if path.suffix in {".png", ".jpg", ".webp"}][:40]
    assert pictures
    for path in pictures:
        assert not mark.find(mark.look(open_picture(path, read_only=True).pixels), key, FPR), path.name


def test_pictures_with_next_to_no_signal_say_so(synthetics, key):
    mark = load("dwt-dct")
    for name in ("black", "gray", "white"):
        found = mark.find(mark.look(synthetics[name]), key, FPR)
        assert found.p_value == 1.0
        assert "inconclusive" in found.reasons[0]


def test_marks_of_other_keys_are_not_found(crop):
    mark = load("dwt-dct")
    for mine, theirs in zip(keys(6, "mine"), keys(6, "theirs"), strict=True):
        look = mark.look(mark.embed(crop, theirs, b"theirs", 1.0))
        assert mark.find(look, theirs, FPR).payload == b"theirs"
        assert not mark.find(look, mine, FPR)


# The statistic itself, at one place and before any correction

STATISTIC_KEYS = 2000
STATISTIC_PICTURES = ["crop 0,0", "crop 160,400", "noise", "text", "halftone", "tiles", "checkerboard", "lines"]


def pilots_at_rest(seen, carriers):
    """T of the pilots for the tile unshifted and every group's sign +."""
    aligned = (seen[carriers.pilots] * carriers.pilot_phase.conj()).astype(np.complex128)
    return float(aligned.real.sum() * math.sqrt(2 / (np.abs(aligned) ** 2).sum()))


@pytest.fixture(scope="module")
def statistics(unmarked):
    seen = {name: seen_in(whiten(cell_means(unmarked[name], 2))) for name in STATISTIC_PICTURES}
    assert all(value is not None for value in seen.values())
    drawn = [carriers_for(key) for key in keys(STATISTIC_KEYS, "statistic")]
    return {name: np.array([pilots_at_rest(value, each) for each in drawn]) for name, value in seen.items()}


@pytest.mark.parametrize("name", STATISTIC_PICTURES)
def test_the_statistic_is_standard_normal_over_the_key(statistics, name):
    t = statistics[name]
    assert stats.kstest(t, "norm").pvalue > 0.01
    assert abs(t.mean()) < 3.5 / math.sqrt(len(t))
    assert t.std() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("name", STATISTIC_PICTURES)
def test_the_statistic_keeps_its_bound_over_the_key(statistics, name):
    t = statistics[name]
    p = 10.0 ** np.array([log10_rademacher_tail(value) for value in t])
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.01
    for level in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5):
        beyond, bound = int((t >= level).sum()), 10 ** log10_rademacher_tail(level)
        assert stats.binomtest(beyond, len(t), min(1.0, bound), alternative="greater").pvalue > 0.001


def test_the_search_sees_the_statistic_at_its_places(unmarked):
    """What the search scores at its best place is the same T there, with the best signs, to rounding."""
    seen = seen_in(whiten(cell_means(unmarked["crop 0,0"], 2)))
    for key in keys(20, "search"):
        carriers = carriers_for(key)
        best = find_peaks(seen, carriers, 1)[0]
        assert abs(pilots_at_rest(seen, carriers)) <= best.score
        np.testing.assert_allclose(np.abs(best.agreement).sum(), best.score, rtol=1e-4)
        near = np.arange(-2, 3) / 2
        around = [(round(2 * best.shift[0]) / 2 + y, round(2 * best.shift[1]) / 2 + x) for y in near for x in near]
        there = [peak_at(seen, carriers, shift, nonce_of(best.signs)).score for shift in around]
        assert min(abs(score - best.score) for score in there) < 1e-4
        np.testing.assert_array_equal(np.sign(best.agreement), best.signs)
        assert best.score < 9.0  # sqrt(2 ln POSITIONS) = 5.5 for independent places
    assert POSITIONS == 128 * 128 * 256


def test_many_tiles_are_searched_as_one_is(unmarked):
    seen, carriers = seen_in(whiten(cell_means(unmarked["crop 0,0"], 2))), carriers_for(keys(1, "many")[0])
    tiles = [turn(seen) for turn in TURNS]
    for tile, peaks in zip(tiles, search(np.stack(tiles), carriers, 3), strict=True):
        for peak, alone in zip(peaks, find_peaks(tile, carriers, 3), strict=True):
            assert (peak.score, peak.shift) == (alone.score, alone.shift)
            np.testing.assert_array_equal(peak.agreement, alone.agreement)
