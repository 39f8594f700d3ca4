"""PSNR, SSIM, MS-SSIM: fixed values, definitions, identities, refusals; the table of all metrics."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.signal import convolve2d

from markai.errors import ImageError, MethodError
from markai.metrics import DEFAULT, METRICS, measure, ms_ssim, psnr, ssim

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "lighthouse.png"


def ramp_and_noisy(dtype):
    """A ramp and the same with noise, equal in all dtypes up to the scale."""
    y, x = np.mgrid[0:48, 0:64]
    ramp = np.stack([x * 3, y * 4, (x + y) * 2], axis=2)
    noisy = ramp + np.random.default_rng(2004).integers(-20, 21, ramp.shape)
    scale = {"uint8": 1, "uint16": 257}.get(dtype, 1 / 255)
    return [(np.clip(picture, 0, 255) * scale).astype(dtype) for picture in (ramp, noisy)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_fixed_values(dtype):
    # From scikit-image 0.26: peak_signal_noise_ratio; structural_similarity(gaussian_weights=True, sigma=1.5,
    # use_sample_covariance=False, data_range=255) on the unrounded luma.
    ramp, noisy = ramp_and_noisy(dtype)
    assert psnr(ramp, noisy) == pytest.approx(26.751294356043225, rel=1e-6)
    assert ssim(ramp, noisy) == pytest.approx(0.6057562368296561, rel=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_equal_pictures(dtype):
    ramp, _ = ramp_and_noisy(dtype)
    assert psnr(ramp, ramp) == math.inf
    assert ssim(ramp, ramp) == ms_ssim(ramp, ramp) == 1.0


def test_order_does_not_matter():
    ramp, noisy = ramp_and_noisy("uint8")
    assert psnr(ramp, noisy) == psnr(noisy, ramp)
    assert ssim(ramp, noisy) == pytest.approx(ssim(noisy, ramp), abs=1e-12)


def test_psnr_from_its_definition():
    black = np.zeros((4, 5, 3), np.uint8)
    assert psnr(black, black + np.uint8(255)) == 0.0
    one = black.copy()
    one[0, 0, 0] = 255
    assert psnr(black, one) == pytest.approx(10 * math.log10(60))
    assert psnr(np.zeros(10), np.full(10, 0.1)) == pytest.approx(20)


def test_ssim_of_flat_pictures_is_the_luminance_term():
    dark, light = np.full((16, 16), 100, np.uint8), np.full((16, 16), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(dark, light) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))


def test_gray_is_taken_in_two_and_three_dimensions():
    ramp, noisy = (picture[..., 0] for picture in ramp_and_noisy("uint8"))
    expected = ssim(ramp, noisy)
    assert ssim(ramp[..., None], noisy[..., None]) == pytest.approx(expected)
    assert ssim(np.dstack([ramp] * 3), np.dstack([noisy] * 3)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [psnr, ssim, ms_ssim])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros((16, 16), np.uint8), np.zeros((16, 17), np.uint8)),
        (np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint16)),
        (np.zeros((16, 16), np.int32), np.zeros((16, 16), np.int32)),
        (np.zeros((0, 16), np.uint8), np.zeros((0, 16), np.uint8)),
    ],
)
def test_refusals(metric, first, second):
    with pytest.raises(ImageError):
        metric(first, second)


@pytest.mark.parametrize("shape", [(10, 40), (40, 10, 3), (40, 40, 4), (2, 40, 40, 3)])
def test_ssim_refuses_small_pictures_and_other_shapes(shape):
    for metric, name in ((ssim, "^SSIM"), (ms_ssim, "^MS-SSIM")):
        with pytest.raises(ImageError, match=name):
            metric(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))


def test_the_smallest_picture_for_ssim():
    assert ssim(np.zeros((11, 11), np.uint8), np.zeros((11, 11), np.uint8)) == 1.0


# The definitions, written out in double precision

OFFSETS = np.arange(-5, 6)
WINDOW = np.exp(-(OFFSETS[:, None] ** 2 + OFFSETS**2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()


def luma(picture):
    return picture @ [0.299, 0.587, 0.114]


def terms(x, y):
    """Luminance, and contrast times structure, at every window (Wang et al. 2004, equations 6, 9 and 10)."""
    mean_x, mean_y = (convolve2d(plane, WINDOW, "valid") for plane in (x, y))
    var_x = convolve2d(x * x, WINDOW, "valid") - mean_x**2
    var_y = convolve2d(y * y, WINDOW, "valid") - mean_y**2
    covariance = convolve2d(x * y, WINDOW, "valid") - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (
        (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1),
        (2 * covariance + c2) / (var_x + var_y + c2),
    )


def halved(plane):
    """Means of 2 x 2 pixels, of one pixel or two at an odd edge."""
    height, width = plane.shape
    return np.array([[plane[y : y + 2, x : x + 2].mean() for x in range(0, width, 2)] for y in range(0, height, 2)])


def ms_ssim_by_definition(x, y, weights):
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = halved(x), halved(y)
        luminance, contrast = terms(x, y)
        product *= np.mean(contrast if scale < len(weights) - 1 else luminance * contrast) ** weight
    return product


@pytest.fixture(scope="module")
def part():
    """A part of a photograph with odd sides, just large enough for five scales."""
    with Image.open(PHOTOGRAPH) as photograph:
        return np.asarray(photograph.convert("RGB"))[100:261, 200:405]


@pytest.mark.parametrize("spread", [1, 5, 40])
def test_ssim_is_its_definition(part, spread):
    noisy = disturbed(part, spread)
    luminance, contrast = terms(luma(part), luma(noisy))
    assert ssim(part, noisy) == pytest.approx(np.mean(luminance * contrast), rel=1e-12)


@pytest.mark.parametrize("spread", [1, 5, 40])
def test_ms_ssim_is_its_definition(part, spread):
    noisy = disturbed(part, spread)
    expected = ms_ssim_by_definition(luma(part), luma(noisy), [0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    assert ms_ssim(part, noisy) == pytest.approx(expected, rel=1e-12)


def test_ms_ssim_of_small_pictures_has_fewer_scales(part):
    noisy = disturbed(part, 10)
    two = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    small, other = part[:21, :30], noisy[:21, :30]
    assert ms_ssim(small, other) == pytest.approx(ms_ssim_by_definition(luma(small), luma(other), two), rel=1e-12)
    assert ms_ssim(part[:20], noisy[:20]) == pytest.approx(ssim(part[:20], noisy[:20]), rel=1e-12)


def test_a_negative_scale_counts_as_none():
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert ssim(checks, 255 - checks) < 0
    assert ms_ssim(checks, 255 - checks) == 0.0


def test_more_noise_is_less_alike(part):
    found = [measure(DEFAULT, part, disturbed(part, spread)) for spread in (1, 2, 5, 10, 20, 40)]
    for name in DEFAULT:
        values = [each[name] for each in found]
        assert values == sorted(values, reverse=METRICS[name].higher_is_better), name


def test_large_differences_on_flat_ground():
    """Where variances are small differences of large numbers; single precision misses by 1e-5."""
    ground = np.full((64, 64), 100, np.uint8)
    half = ground.copy()
    half[:32] += 120
    luminance, contrast = terms(ground.astype(float), half.astype(float))
    assert ssim(ground, half) == pytest.approx(np.mean(luminance * contrast), rel=1e-12)


def disturbed(picture, spread):
    noise = np.random.default_rng(2003).normal(0, spread, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


# The table


def test_the_table_measures_by_name(part):
    noisy = disturbed(part, 3)
    assert measure(["ssim", "psnr"], part, noisy) == {"ssim": ssim(part, noisy), "psnr": psnr(part, noisy)}
    assert DEFAULT == ("psnr", "ssim", "ms_ssim", "ciede2000")
    assert set(measure(DEFAULT, part, noisy)) == set(DEFAULT)


def test_metrics_that_need_larger_pictures_are_left_out(part):
    assert set(measure(METRICS, part[:10], part[:10])) == {"psnr", "ciede2000"}


@pytest.mark.parametrize("name", ["psnr", "ssim", "ms_ssim", "ciede2000"])
def test_the_least_side_is_what_the_metric_takes(name):
    metric = METRICS[name]
    smallest = np.zeros((metric.least_side, metric.least_side + 3, 3), np.uint8)
    assert metric.function(smallest, smallest) == {"psnr": math.inf, "ciede2000": 0.0}.get(name, 1.0)
    with pytest.raises(ImageError):
        metric.function(smallest[1:], smallest[1:])


def test_refusals_of_the_table(part):
    with pytest.raises(MethodError, match="no metric 'vmaf' - choose from psnr, ssim"):
        measure(["psnr", "vmaf"], part, part)
    with pytest.raises(ImageError, match="cannot compare"):
        measure(["psnr"], part, part[1:])
