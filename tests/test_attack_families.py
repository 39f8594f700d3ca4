"""What single attacks do to the pixels: areas, angles, places, colours, checked by hand or against NumPy."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from markai import attacks
from markai.errors import MissingExtraError
from markai.metrics import psnr

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "lighthouse.png"
WHITE = np.full((120, 200, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def photograph():
    pixels = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))[150:310, 200:440]
    pixels.flags.writeable = False
    return pixels


def where_it_came_from(height, width):
    """A picture whose pixels hold their own row and column."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)


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


def test_saturation_0_is_grayscale(photograph):
    assert np.array_equal(attacks.apply("saturation:0", photograph), attacks.apply("grayscale", photograph))


def test_hue_turns_primary_colours_into_each_other():
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    turned = attacks.apply(f"hue:{1 / 3}", colors)
    assert turned.tolist() == [[[0, 255, 0], [0, 0, 255], [255, 0, 0], [90, 90, 90]]]


def test_salt_and_pepper_hits_that_share_of_whole_pixels():
    gray = np.full((200, 200, 3), 128, np.uint8)
    hit = attacks.apply("salt-and-pepper:0.1", gray)
    assert (hit != 128).any(axis=2).mean() == pytest.approx(0.1, rel=0.05)
    assert (hit == 255).mean() == pytest.approx(0.05, rel=0.1)
    assert (hit == hit[..., :1]).all()


def test_equalize_spreads_the_luma(photograph):
    dull = attacks.apply("contrast:0.3", photograph)
    luma = np.asarray(Image.fromarray(attacks.apply("equalize", dull)).convert("L"))
    assert luma.std() == pytest.approx(255 / 12**0.5, rel=0.1)


def test_motion_blur_is_along_the_rows():
    stripes = np.tile(np.array([0, 255], np.uint8).repeat(10)[:, None, None], (3, 60, 3))
    assert np.array_equal(attacks.apply("motion-blur:9", stripes), stripes)
    assert not np.array_equal(attacks.apply("motion-blur:9", stripes.swapaxes(0, 1)), stripes.swapaxes(0, 1))


def test_light_falls_by_that_much_from_side_to_side():
    lit = attacks.apply("light:0.5", np.full((101, 101, 3), 200, np.uint8), seed=1)
    assert (lit.max(), lit.min()) == (200, 100)
    assert lit[50, 50, 0] == 150


def test_print_tone_has_the_black_and_the_white_of_paper():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    printed = attacks.apply("print-tone:1", ramp)[0, :, 0].astype(int)
    assert (printed[0], printed[255]) == (26, 230)
    assert (np.diff(printed) >= 0).all()


def test_palette_keeps_so_many_colours(photograph):
    assert len(np.unique(attacks.apply("palette:16", photograph).reshape(-1, 3), axis=0)) == 16


def test_the_second_jpeg_on_another_grid_does_more_harm(photograph):
    first = attacks.apply("jpeg:50", photograph)
    aligned, shifted = attacks.apply("jpeg:50", first), attacks.apply("jpeg-shifted:50", first)
    assert psnr(aligned, first) > psnr(shifted, first) + 3


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (-90, -1), (180, 2), (-180, 2)])
def test_right_angles_are_exact(degrees, turns, photograph):
    turned = np.rot90(photograph, turns)
    assert np.array_equal(attacks.apply(f"rotate-expand:{degrees}", photograph), turned)
    assert np.array_equal(attacks.apply(f"rotate-crop:{degrees}", photograph), turned)


def test_rotation_is_counter_clockwise_about_the_centre():
    dot = np.zeros((101, 101, 3), np.uint8)
    dot[49:52, 89:92] = 255  # 40 pixels to the right of the centre
    rows, columns = np.nonzero(attacks.apply("rotate:30", dot)[..., 0] > 128)
    assert rows.mean() == pytest.approx(50 - 40 * np.sin(np.pi / 6), abs=0.3)
    assert columns.mean() == pytest.approx(50 + 40 * np.cos(np.pi / 6), abs=0.3)


@pytest.mark.parametrize("degrees", [5, 30, 45, 100])
def test_an_expanded_canvas_holds_the_whole_picture(degrees):
    kept = attacks.apply(f"rotate-expand:{degrees}", WHITE).sum() / WHITE.sum()
    assert kept == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("degrees", [-170, -45, -5, 0.3, 5, 15, 30, 44, 45, 46, 60, 89.5, 91, 120, 179])
@pytest.mark.parametrize("shape", [(120, 200, 3), (200, 120, 3), (150, 150, 3), (30, 300, 3)])
def test_the_inside_of_a_rotated_picture_has_no_corners(degrees, shape):
    inside = attacks.apply(f"rotate-crop:{degrees}", np.full(shape, 255, np.uint8))
    assert inside.min() == 255
    larger = attacks.apply(f"rotate-expand:{degrees}", np.full(shape, 255, np.uint8))
    height, width = ((larger.shape[i] - inside.shape[i]) // 2 - 5 for i in (0, 1))
    if min(height, width) > 0:  # it is the largest: a few pixels more on every side are too many
        assert larger[height:-height, width:-width].min() < 255


def test_mirror_and_flip(photograph):
    assert np.array_equal(attacks.apply("mirror", photograph), photograph[:, ::-1])
    assert np.array_equal(attacks.apply("mirror+flip", photograph), attacks.apply("rotate:180", photograph))


def test_shift_is_exact(photograph):
    right = attacks.apply("shift:7", photograph)
    assert np.array_equal(right[7:, 7:], photograph[:-7, :-7])
    assert not right[:7].any()
    assert not right[:, :7].any()
    left = attacks.apply("shift:-7", photograph)
    assert np.array_equal(left[:-7, :-7], photograph[7:, 7:])
    assert not left[-7:].any()
    assert not attacks.apply("shift:4096", photograph).any()
    assert not attacks.apply("shift:-4096", photograph).any()


@pytest.mark.parametrize("name", ["resize", "resize-bicubic", "resize-bilinear"])
@pytest.mark.parametrize("factor", [0.25, 0.35, 2])
def test_resize_has_that_factor(name, factor, photograph):
    assert attacks.apply(f"{name}:{factor}", photograph).shape == (round(160 * factor), round(240 * factor), 3)


def test_the_filters_of_resize_differ(photograph):
    halves = [attacks.apply(f"{name}:0.5", photograph) for name in ("resize", "resize-bicubic", "resize-bilinear")]
    assert len({half.tobytes() for half in halves}) == 3


def test_resizes_of_one_side_or_to_a_width(photograph):
    assert attacks.apply("aspect:0.8", photograph).shape == (160, 192, 3)
    assert attacks.apply("resize-width:120", photograph).shape == (80, 120, 3)
    assert attacks.apply("resize-width:480", photograph).shape == (320, 480, 3)


def test_crop_back_is_a_crop_at_the_size_before():
    attacked = attacks.apply("crop-back:0.25", where_it_came_from(80, 120), seed=2)
    assert attacked.shape == (80, 120, 3)
    assert np.ptp(attacked[..., 0]) == pytest.approx(40, abs=2)
    assert np.ptp(attacked[..., 1]) == pytest.approx(60, abs=2)


def test_shear_slants_by_that_angle():
    bar = np.zeros((201, 201, 3), np.uint8)
    bar[:, 95:106] = 255
    sheared = attacks.apply("shear:10", bar)[..., 0].astype(float)
    centers = (sheared @ np.arange(201)) / sheared.sum(axis=1)
    assert np.polyfit(np.arange(201), centers, 1)[0] == pytest.approx(-np.tan(np.radians(10)), abs=0.002)
    assert centers[100] == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_perspective_moves_the_corners_inward_up_to_that_share(seed):
    seen = attacks.apply("perspective:0.4", WHITE, seed=seed)[..., 0] > 0
    assert seen[120 * 2 // 10 : -120 * 2 // 10, 200 * 2 // 10 : -200 * 2 // 10].all()
    assert 0.4 < seen.mean() < 1


def test_bend_holds_the_edges_and_moves_up_to_that_share():
    came_from = attacks.apply("bend:0.05", where_it_came_from(240, 240), seed=4).astype(int)
    moves = np.hypot(*np.moveaxis(came_from - where_it_came_from(240, 240).astype(int), 2, 0)[:2])
    assert moves[[0, -1]].max() < 2  # one pixel each way from rounding
    assert moves[:, [0, -1]].max() < 2
    assert moves.max() == pytest.approx(0.05 * 240, abs=1.5)


def test_border_surrounds_the_picture(photograph):
    framed = attacks.apply("border:0.1", photograph)
    assert framed.shape == (192, 272, 3)
    assert np.array_equal(framed[16:-16, 16:-16], photograph)
    assert framed[:16].min() == framed[:, -16:].min() == 255


def test_drop_lines_leaves_the_others_in_order():
    left = attacks.apply("drop-lines:0.1", where_it_came_from(100, 200))
    assert left.shape == (90, 180, 3)
    assert (np.diff(left[:, 0, 0].astype(int)) > 0).all()
    assert (left[:, :, 0] == left[:, :1, 0]).all()


@pytest.mark.parametrize("name", ["paste", "inpaint"])
def test_what_replaces_a_rectangle_has_its_area(name, photograph):
    changed = (attacks.apply(f"{name}:0.25", photograph, seed=3) != photograph).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert np.ptp(rows) == pytest.approx(80, abs=3)
    assert np.ptp(columns) == pytest.approx(120, abs=3)


def test_inpainting_is_smooth_and_fits(photograph):
    ramp = np.tile(np.arange(50, 200, dtype=np.uint8)[:, None], (100, 1, 3))
    assert psnr(attacks.apply("inpaint:0.25", ramp), ramp) > psnr(attacks.apply("erase:0.25", ramp), ramp) + 10
    assert attacks.apply("inpaint:1", photograph).std() == 0  # nothing to go by: gray


def test_splice_keeps_a_rectangle_where_it_was(photograph):
    same = (attacks.apply("splice:0.2", photograph, seed=1) == photograph).all(axis=2)
    assert same.mean() == pytest.approx(0.2, abs=0.01)


def test_collage_holds_the_whole_picture_smaller(photograph):
    collage = attacks.apply("collage:0.25", photograph, seed=1)
    half = attacks.apply("resize:0.5", photograph)
    found = [
        (row, column)
        for row in range(81)
        for column in range(121)
        if np.array_equal(collage[row, column : column + 120], half[0])
    ]
    assert len(found) == 1
    row, column = found[0]
    assert np.array_equal(collage[row : row + 80, column : column + 120], half)


def test_logo_and_text_cover_about_what_they_say(photograph):
    large = np.full((400, 600, 3), 99, np.uint8)
    discs = [(attacks.apply("logo:0.05", large, seed) != large).any(axis=2).mean() for seed in range(20)]
    assert max(discs) == pytest.approx(0.05 * np.pi / 4, rel=0.02)  # others reach over an edge
    written = (attacks.apply("text", large) != large).any(axis=2)
    assert 0.03 < written.mean() < 0.2
    assert written[:, :100].any()
    assert written[:, -100:].any()
    assert (attacks.apply("text", photograph) != photograph).any()


@pytest.mark.parametrize("spec", ["denoise-nlm:25", "denoise-tv:0.15", "denoise-wavelet:20", "denoise-wiener:7"])
def test_denoisers_take_noise_away(spec, photograph):
    noisy = attacks.apply("noise:0.08", photograph)
    assert psnr(attacks.apply(spec, noisy), photograph) > psnr(noisy, photograph) + 2


def test_lowpass_leaves_nothing_finer_than_its_factor():
    fine = np.tile(np.array([80, 80, 160, 160], np.uint8)[None, :, None], (160, 40, 3))
    coarse = fine.repeat(10, axis=1)
    assert attacks.apply("regen-lowpass:8", fine)[:, 16:-16].std() < 2
    assert attacks.apply("regen-lowpass:8", coarse).std() > 0.7 * coarse.std()


def test_the_linear_autoencoder_keeps_what_its_numbers_can_hold():
    level, slope = np.mgrid[0:64, 0:48]
    ramp = np.stack([2 * level + slope, 100 + level, 200 - 3 * slope], axis=2).astype(np.uint8)
    assert np.array_equal(attacks.apply("regen-pca:2", WHITE), WHITE)
    inside = np.s_[8:-8, 8:-8]  # the mirrored edges fold the ramp
    assert psnr(attacks.apply("regen-pca:8", ramp)[inside], ramp[inside]) > 45
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    kept = attacks.apply("regen-pca:4", noise).astype(float)
    assert kept.var() < 4 / 192 * 2 * noise.var()  # no four numbers tell more of white noise than four others


def test_jpeg_xl_has_the_quality_of_libjxl(photograph):
    imagecodecs = pytest.importorskip("imagecodecs")
    written = imagecodecs.jpegxl_encode(photograph, distance=0.1 + 0.09 * (100 - 50))
    assert np.array_equal(attacks.apply("jpeg-xl:50", photograph), imagecodecs.jpegxl_decode(written))


def test_a_double_jpeg_is_two_on_two_grids(photograph):
    twice = attacks.apply("jpeg-double:60", photograph)
    assert np.array_equal(twice, attacks.apply("jpeg:90+jpeg-shifted:60", photograph))


def test_the_ways_to_resize_back_differ(photograph):
    names = ("resize-back", "resize-back-bicubic", "resize-back-bilinear")
    assert len({attacks.apply(f"{name}:0.5", photograph).tobytes() for name in names}) == 3


@pytest.mark.parametrize(
    ("package", "spec", "purpose"),
    [
        ("cv2", "denoise-nlm", "non-local means"),
        ("cv2", "regen-nlm", "non-local means"),
        ("skimage", "denoise-wavelet", "wavelet denoisers"),
        ("pywt", "denoise-wavelet", "wavelet denoisers"),
        ("imagecodecs", "jpeg-xl", "JPEG XL attacks"),
    ],
)
def test_without_a_package_the_message_has_the_pip_line(package, spec, purpose, photograph, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{purpose} need .* pip install 'markai\[bench\]'"):
        attacks.apply(spec, photograph)
