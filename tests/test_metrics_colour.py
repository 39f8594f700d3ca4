"""CIEDE2000: the published test data, scikit-image, symmetry, known colours, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markai.errors import ImageError
from markai.metrics import ciede2000
from markai.metrics.colour import BLOCK, delta_e_2000, lab_from_srgb

# Sharma, Wu and Dalal (2005), table 1: L1 a1 b1, L2 a2 b2, Delta E 2000.
SHARMA = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
).T


def test_the_published_pairs():
    first, second, expected = SHARMA[:3], SHARMA[3:6], SHARMA[6]
    assert np.abs(delta_e_2000(first, second) - expected).max() <= 0.5e-4 + 1e-9
    assert np.abs(delta_e_2000(second, first) - expected).max() <= 0.5e-4 + 1e-9


def test_single_precision_is_enough():
    """Apart from the pairs of nearly opposite hues, where the formula itself jumps and rounding picks the side."""
    continuous = np.r_[0:8, 15:34]
    lab = SHARMA.astype(np.float32)[:, continuous]
    found = delta_e_2000(lab[:3], lab[3:6])
    assert found.dtype == np.float32
    assert np.abs(found - SHARMA[6, continuous]).max() < 2e-4


def test_known_colours():
    # From colorimetry's tables for sRGB: white, black, and the primaries in CIELAB with D65.
    pixels = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    assert np.abs(lab_from_srgb(pixels).T - expected).max() < 0.03
    assert np.abs(lab_from_srgb(np.arange(256, dtype=np.uint8)[:, None])[1:]).max() < 1e-4


def random_pictures(shape=(200, 230, 3)):
    rng = np.random.default_rng(2000)
    first = rng.integers(0, 256, shape, dtype=np.uint8)
    return first, np.clip(first + rng.integers(-9, 10, shape), 0, 255).astype(np.uint8)


def test_scikit_image_agrees():
    color = pytest.importorskip("skimage.color")
    first, second = random_pictures()
    assert first[..., 0].size > BLOCK
    expected = color.deltaE_ciede2000(color.rgb2lab(first), color.rgb2lab(second)).mean()
    assert ciede2000(first, second) == pytest.approx(expected, abs=5e-4)  # its matrix has two digits more


def test_every_dtype_gives_the_same():
    first, second = random_pictures((40, 50, 3))
    expected = ciede2000(first, second)
    for convert in (lambda p: p.astype(np.uint16) * 257, lambda p: p / 255, lambda p: (p / 255).astype(np.float32)):
        assert ciede2000(convert(first), convert(second)) == pytest.approx(expected, rel=1e-5)


def test_gray_is_taken_in_two_and_three_dimensions():
    first, second = (picture[..., 0] for picture in random_pictures((40, 50, 3)))
    expected = ciede2000(np.dstack([first] * 3), np.dstack([second] * 3))
    assert ciede2000(first, second) == pytest.approx(expected)
    assert ciede2000(first[..., None], second[..., None]) == pytest.approx(expected)


lab_colours = st.lists(
    st.tuples(st.floats(0, 100), st.floats(-128, 128), st.floats(-128, 128)), min_size=2, max_size=2
).map(lambda pair: np.array(pair)[..., None])


@given(lab_colours)
def test_it_is_a_symmetric_distance(pair):
    first, second = pair
    there, back = delta_e_2000(first, second), delta_e_2000(second, first)
    assert there == pytest.approx(back, rel=1e-9, abs=1e-9)
    assert 0 <= there < 200
    assert delta_e_2000(first, first) == 0


@pytest.mark.parametrize("shape", [(8, 8, 4), (2, 8, 8, 3), (8,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ImageError, match="CIEDE2000 takes"):
        ciede2000(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
