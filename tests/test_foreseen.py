"""The attacks that the embedder foresees: close to the real ones, and with gradients that point uphill."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from markai._kernels import cell_means
from markai.metrics import ssim
from markai.watermarks.foreseen import LARGE_CELLS, foreseen
from markai.watermarks.informed import Host

STEP = 2


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def cells(photo):
    return cell_means(photo, STEP)


def jpeg(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_jpeg_is_foreseen_as_it_will_be(photo, cells):
    """Cells know nothing finer than themselves, so the picture here has nothing finer."""
    smooth = gaussian_filter(photo.mean(axis=2), STEP)
    grey = np.repeat(smooth.round().astype(np.uint8)[..., None], 3, axis=2)
    before, after = cell_means(grey, STEP), cell_means(jpeg(grey, 10), STEP)
    modelled = foreseen(cells, STEP)[0].seen(before)[0]
    assert np.std(after - modelled) < 0.5 * np.std(after - before)


def test_a_preview_is_foreseen_as_it_will_be(photo, cells):
    _, preview = foreseen(cells, STEP)
    grey = Image.fromarray(photo).convert("L").convert("RGB")
    size = [round(side * 0.35) for side in grey.size]
    small = jpeg(np.asarray(grey.resize(size, Image.Resampling.BILINEAR)), 60)
    back = Image.fromarray(small).resize([side // STEP for side in grey.size], Image.Resampling.BILINEAR)
    after, before = np.asarray(back, np.float32)[..., 0], cell_means(np.asarray(grey), STEP)
    modelled = preview.seen(before)[0]
    assert np.std(after - modelled) < 0.5 * np.std(after - before)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_way_back_points_uphill(cells, which, rng):
    """A step along the gradient moves what is received where it should; one along noise does not."""
    bright = np.clip(cells + 90, 0, 255)
    view = foreseen(bright, STEP)[which]
    received, back = view.seen(bright)
    wanted = gaussian_filter(rng.standard_normal(cells.shape), 4).astype(np.float32)

    def gained(step):
        moved = view.seen(bright + step * np.float32(4 / step.std()))[0] - received
        return np.vdot(moved, wanted) / np.sqrt(np.vdot(moved, moved) * np.vdot(wanted, wanted))

    assert gained(back(wanted)) > 0.3
    assert abs(gained(rng.standard_normal(cells.shape).astype(np.float32))) < 0.1


def test_large_cells_need_no_foresight(cells):
    assert foreseen(np.minimum(cells, 100), LARGE_CELLS + 1) == []
    assert len(foreseen(np.full_like(cells, 250), LARGE_CELLS + 1)) == 1  # white pages are brightened all the same


def test_brightening_reaches_what_is_not_white(cells):
    page = np.where(cells < 60, cells, 250).astype(np.float32)
    received, back = foreseen(page, 4)[0].seen(page)
    assert received.max() == 255
    gradient = back(np.ones_like(page))
    assert not gradient[page == 250].any()
    assert gradient[page < 60].all()


@pytest.mark.parametrize("shift", [0, -100])
def test_the_predicted_loss_is_what_ssim_measures(photo, shift, rng):
    """As it is and nearly black, where luminance is what is lost."""
    pixels = np.clip(photo.astype(int) + shift, 0, 255).astype(np.uint8)
    host = Host.of(cell_means(pixels, STEP), np.zeros((photo.shape[0] // 2, photo.shape[1] // 2), np.float32))
    added = rng.normal(0, 2, host.cells.shape).astype(np.float32)
    marked = np.clip(pixels + np.kron(added, np.ones((STEP, STEP)))[..., None].round(), 0, 255).astype(np.uint8)
    measured = 1 - ssim(pixels, marked)
    assert 0.4 * measured < host.loss(added) < 2.5 * measured
