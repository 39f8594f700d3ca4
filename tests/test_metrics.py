"""PSNR and SSIM: fixed values, identities, refusals."""

import math

import numpy as np
import pytest

from markai.errors import ImageError
from markai.metrics import psnr, ssim


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
    assert ssim(ramp, ramp) == 1.0


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


@pytest.mark.parametrize("metric", [psnr, ssim])
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
    with pytest.raises(ImageError, match="SSIM"):
        ssim(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))


def test_the_smallest_picture_for_ssim():
    assert ssim(np.zeros((11, 11), np.uint8), np.zeros((11, 11), np.uint8)) == 1.0
