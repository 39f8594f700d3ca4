"""Averaging, copying and gradients: against marks and detectors whose answer is known."""

import sys

import numpy as np
import pytest
from PIL import Image

from markai.attacks import security
from markai.errors import ImageError, MethodError, MissingExtraError
from markai.metrics import psnr

SHAPE = (96, 128, 3)
AMPLITUDE = 3


def correlation(first, second):
    first, second = (np.asarray(each, float) - np.mean(each) for each in (first, second))
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


@pytest.fixture(scope="module")
def pattern():
    """A mark that does not depend on the picture: signs at every value."""
    return np.random.default_rng(3).choice(np.array([-AMPLITUDE, AMPLITUDE]), SHAPE)


@pytest.fixture(scope="module")
def originals(photo):
    """Twenty cuts of the photograph; none of their values is near enough to an end to be clipped."""
    places = np.random.default_rng(4).integers(0, (512 - SHAPE[0], 768 - SHAPE[1]), (20, 2))
    cuts = [photo[y : y + SHAPE[0], x : x + SHAPE[1]] for y, x in places]
    return [np.clip(cut, AMPLITUDE, 255 - AMPLITUDE) for cut in cuts]


@pytest.fixture(scope="module")
def marked(originals, pattern):
    return [(original + pattern).astype(np.uint8) for original in originals]


# Averaging


def test_with_the_originals_the_mark_is_found_and_removed_exactly(marked, originals, pattern):
    residual = security.estimate_residual(iter(marked), iter(originals))
    assert residual.dtype == np.float32
    assert np.array_equal(residual, pattern)
    assert np.array_equal(security.remove(marked[0], residual), originals[0])
    assert np.array_equal(security.forge(originals[1], residual), marked[1])


def test_other_originals_in_another_number_will_do(marked, originals, pattern):
    few = security.estimate_residual(marked[:5], originals[10:])
    many = security.estimate_residual(marked[:10], originals[10:])
    assert 0 < correlation(few, pattern) < correlation(many, pattern)


def test_without_originals_more_pictures_tell_more(marked, pattern):
    found = [correlation(security.estimate_residual(marked[:count]), pattern) for count in (1, 4, 20)]
    assert found == sorted(found)
    assert found[2] > found[0] + 0.2
    assert found[2] > 0.7


def test_any_denoiser_may_estimate(marked, pattern, originals):
    exact = security.estimate_residual(marked[:1], denoiser=lambda _: originals[0])
    assert np.array_equal(exact, pattern)


def test_gains(pattern):
    gray = np.full(SHAPE, 128, np.uint8)
    residual = pattern.astype(np.float32)
    assert np.array_equal(security.forge(gray, residual, 2), gray + 2 * pattern)
    assert np.array_equal(security.remove(gray, residual, 0), gray)
    assert np.array_equal(security.forge(gray, residual, rms=6), gray + 2 * pattern)
    with pytest.raises(MethodError, match="residual is zero"):
        security.forge(gray, np.zeros(SHAPE, np.float32), rms=6)


@pytest.mark.parametrize(
    "attack",
    [
        lambda one, other: security.estimate_residual([one, other]),
        lambda one, other: security.estimate_residual([one], [other]),
        lambda one, other: security.remove(one, other.astype(np.float32)),
        lambda one, other: security.forge(one, other.astype(np.float32)),
    ],
)
def test_pictures_of_other_sizes_are_refused(attack):
    with pytest.raises(ImageError, match=r"shapes \(.*\) and \(.*\) differ - bring all pictures to one size"):
        attack(np.zeros((8, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8))


def test_no_pictures_are_refused(marked):
    for given in ([[]], [marked, []]):
        with pytest.raises(ImageError, match="no pictures to average"):
            security.estimate_residual(*given)


# Copying


def test_a_mark_that_does_not_depend_on_the_picture_can_be_copied(photo, originals, pattern):
    sky, target = photo[: SHAPE[0], : SHAPE[1]], originals[7]
    marked = (sky + pattern).astype(np.uint8)  # nothing in the sky is clipped
    assert correlation(security.copy_mark(marked, target).astype(float) - target, pattern) > 0.6
    assert abs(correlation(security.copy_mark(sky, target).astype(float) - target, pattern)) < 0.05


@pytest.mark.parametrize("wanted", [34, 40])
def test_a_copy_has_the_distance_that_was_asked_for(wanted, marked, originals):
    assert psnr(security.copy_mark(marked[0], originals[7], psnr=wanted), originals[7]) == pytest.approx(
        wanted, abs=0.3
    )


def test_textures_are_given_more_of_the_mark_than_flat_places(marked):
    target = np.full(SHAPE, 128, np.uint8)
    target[:, 64:] = np.random.default_rng(5).integers(60, 200, (SHAPE[0], 64, 1))
    added = security.copy_mark(marked[0], target).astype(float) - target
    guessed = marked[0] - security.wiener_denoised(marked[0])
    gains = [
        (added[:, columns] * guessed[:, columns]).sum() / np.square(guessed[:, columns]).sum()
        for columns in (slice(0, 60), slice(68, None))
    ]
    assert gains == pytest.approx([security.FLAT, 1], abs=0.05)


def test_a_target_of_another_size_is_resized_and_cut_about_its_centre(marked, photo):
    height, width = SHAPE[:2]
    twice_as_wide = np.pad(photo[: 2 * height, : 2 * width], ((0, 0), (width, width), (0, 0)))
    copied = security.copy_mark(marked[0], twice_as_wide, psnr=40)
    half = Image.fromarray(photo[: 2 * height, : 2 * width]).resize((width, height), Image.Resampling.LANCZOS)
    inside = np.s_[:, 3:-3]  # the filter sees the black beyond the cut
    assert psnr(copied[inside], np.asarray(half)[inside]) == pytest.approx(40, abs=0.5)


# Gradients


@pytest.fixture
def linear():
    """A correlation detector: against it, the best within epsilon is epsilon against every sign."""
    torch = pytest.importorskip("torch")
    weights = torch.randn(1, 3, *SHAPE[:2], generator=torch.Generator().manual_seed(1))
    return weights, lambda values: (values * weights).sum(dim=(1, 2, 3))


@pytest.mark.parametrize("raising", [False, True])
@pytest.mark.parametrize("epsilon", [1, 4])
def test_gradients_find_the_optimum_of_a_linear_detector(epsilon, raising, linear, photo):
    weights, score = linear
    pixels = photo[: SHAPE[0], : SHAPE[1]]
    signs = weights.sign()[0].permute(1, 2, 0).numpy() * (1 if raising else -1)
    optimum = np.clip(pixels + epsilon * signs, 0, 255).astype(np.uint8)
    assert np.array_equal(security.gradient_attack(pixels, score, epsilon, 10, raising=raising), optimum)


def test_gradients_stay_within_epsilon_and_stop_where_the_score_is_least():
    """A score with its minimum at 100.0 levels, which single steps overshoot."""
    pytest.importorskip("torch")
    pixels = np.array([[[90, 99, 104], [100, 255, 0]]], np.uint8)
    attacked = security.gradient_attack(pixels, lambda values: (255 * values - 100) ** 2, 5, 40, step=0.25)
    assert attacked.tolist() == [[[95, 100, 100], [100, 250, 5]]]
    one = security.gradient_attack(pixels, lambda values: (255 * values - 100) ** 2, 5, 1, step=2)
    assert np.abs(one.astype(int) - pixels).max() == 2


@pytest.mark.parametrize(("epsilon", "steps"), [(0, 10), (4, 0)])
def test_gradients_without_room_are_refused(epsilon, steps):
    with pytest.raises(MethodError, match=f"{steps} steps within {epsilon} levels change nothing"):
        security.gradient_attack(np.zeros((8, 8, 3), np.uint8), lambda values: values, epsilon, steps)


def test_without_torch_the_message_has_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"gradient attacks need torch: pip install 'markai\[torch\]'"):
        security.gradient_attack(np.zeros((8, 8, 3), np.uint8), lambda values: values, 4)
