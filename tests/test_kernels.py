"""The native kernels of planes and spectra against their NumPy oracle; the polar code's are in test_polar."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markai import Key
from markai._kernels import _native as native
from markai._kernels import mersenne_reference, polar_reference, reference, text_reference
from markai.metrics import psnr
from markai.watermarks import load

DTYPES = [np.uint8, np.uint16, np.float32]
WHITE = {"uint8": 255, "uint16": 65535, "float32": 1.0}
STEPS = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 48, 64]
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(["noise", "smooth", "flat", "black", "white", "edge", "extreme"])


def samples(kind, shape, dtype, seed):
    """Pixels of one kind, (H, W, C), over the whole range of the dtype."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    values = {
        "noise": lambda: rng.random(shape),
        "smooth": lambda: (
            0.5 + 0.4 * np.sin(rows / 9 + columns / 7 + seed % 10)[..., None] + rng.normal(0, 0.02, shape)
        ),
        "flat": lambda: np.full(shape, rng.random()),
        "black": lambda: np.zeros(shape),
        "white": lambda: np.ones(shape),
        "edge": lambda: np.broadcast_to((columns > shape[1] // 2)[..., None], shape).astype(float),
        "extreme": lambda: rng.integers(0, 2, shape).astype(float),
    }[kind]()
    top = WHITE[np.dtype(dtype).name]
    scaled = np.clip(values, 0, 1) * top
    return (scaled if top == 1 else np.rint(scaled)).astype(dtype)


def a_plane(kind, shape, seed):
    return np.ascontiguousarray(samples(kind, (*shape, 1), np.float32, seed)[..., 0] * np.float32(255))


@st.composite
def pixel_cases(draw):
    step = draw(st.sampled_from(STEPS))
    height, width = (draw(st.integers(step, max(3 * step + 2, 40))) for _ in range(2))
    shape = (height, width, draw(st.sampled_from([1, 3])))
    return samples(draw(kinds), shape, draw(st.sampled_from(DTYPES)), draw(seeds)), step


planes = st.builds(a_plane, kinds, st.tuples(st.integers(9, 70), st.integers(9, 70)), seeds)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def close(value, expected, worst, typical):
    """Within shares of the oracle's largest and rms value, or of the rounding of the 255 grey levels that went in."""
    assert value.dtype == np.float32
    assert value.shape == expected.shape
    error = np.abs(value.astype(np.float64) - expected)
    rounding = 255 * np.finfo(np.float32).eps
    assert error.max() <= worst * np.abs(expected).max() + rounding
    assert rms(error) <= typical * rms(expected) + rounding


def exact_sum(pixels, cells, step):
    wide = reference._interpolated(cells.astype(np.float64), pixels.shape[0], step)
    wide = reference._interpolated(wide.T, pixels.shape[1], step).T
    return pixels + wide[..., None] * (WHITE[pixels.dtype.name] / 255)


# Planes


@settings(deadline=None)
@given(pixel_cases())
def test_cell_means_equal_the_reference(case):
    pixels, step = case
    before = pixels.copy()
    means = native.cell_means(pixels, step)
    close(means, reference.cell_means(pixels, step), 2e-6, 1e-6)
    both, spread = native.cell_means_and_spread(pixels, step)
    np.testing.assert_allclose(both, means, rtol=1e-6 if pixels.dtype == np.float32 else 0)
    # A variance is a small difference of large squares, summed over ``step`` rows in float32.
    expected = reference.cell_means_and_spread(pixels, step)[1]
    np.testing.assert_allclose(spread, expected, rtol=1e-4, atol=255**2 * np.finfo(np.float32).eps * max(4, step))
    assert (spread >= 0).all()
    np.testing.assert_array_equal(pixels, before)


@settings(deadline=None)
@given(pixel_cases(), kinds, seeds, st.sampled_from([0.0, 0.3, 3.0, 40.0, 600.0]))
def test_add_cells_equals_the_reference(case, kind, seed, loudness):
    pixels, step = case
    before = pixels.copy()
    shape = pixels.shape[0] // step, pixels.shape[1] // step
    cells = ((a_plane(kind, shape, seed) / 127.5 - 1) * loudness).astype(np.float32)
    cells_before = cells.copy()
    result, means = native.add_cells(pixels, cells, step)
    expected, _ = reference.add_cells(pixels, cells, step)
    np.testing.assert_array_equal(means, native.cell_means(result, step))
    assert result.dtype == pixels.dtype
    assert result.shape == pixels.shape
    # The kernel sums in float32, the oracle in float64: so close may the two be to each other, or to a tie of rounding.
    added = np.abs(cells).max() * WHITE[pixels.dtype.name] / 255
    close_by = 4 * np.finfo(np.float32).eps * (WHITE[pixels.dtype.name] + added)
    difference = np.abs(result.astype(np.float64) - expected)
    if pixels.dtype == np.float32:
        assert difference.max() <= close_by
        assert result.min() >= 0
        assert result.max() <= 1
    else:
        assert difference.max() <= 1
        from_tie = np.abs(exact_sum(pixels, cells, step) % 1 - 0.5)
        assert (from_tie[difference == 1] <= close_by).all()
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(cells, cells_before)
    assert not np.shares_memory(result, pixels)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_adding_nothing_changes_nothing(dtype, channels):
    for step in (1, 2, 3, 7):
        pixels = samples("noise", (29, 31, channels), dtype, step)
        cells = np.zeros((29 // step, 31 // step), np.float32)
        np.testing.assert_array_equal(native.add_cells(pixels, cells, step)[0], pixels)


def test_a_channel_alone_is_the_picture_in_gray():
    gray = samples("noise", (30, 40, 1), np.uint8, 1)
    np.testing.assert_allclose(
        native.cell_means(np.repeat(gray, 3, axis=2), 2), native.cell_means(gray, 2), rtol=0, atol=1e-4
    )


@settings(deadline=None)
@given(pixel_cases(), seeds, st.integers(2, 9))
def test_threads_change_nothing(case, seed, threads):
    pixels, step = case
    cells = a_plane("noise", (pixels.shape[0] // step, pixels.shape[1] // step), seed)
    for kernel, arguments in (
        (native.cell_means_and_spread, (pixels, step)),
        (native.add_cells, (pixels, cells - np.float32(127.5), step)),
    ):
        for shared, alone in zip(kernel(*arguments, threads=threads), kernel(*arguments), strict=True):
            np.testing.assert_array_equal(shared, alone)
    np.testing.assert_array_equal(native.cell_means(pixels, step, threads), native.cell_means(pixels, step))


# Spectra


@settings(deadline=None)
@given(planes)
def test_whiten_equals_the_reference(plane):
    before = plane.copy()
    close(native.whiten(plane), reference.whiten(plane), 5e-5, 1e-5)
    np.testing.assert_array_equal(plane, before)


@settings(deadline=None)
@given(planes, kinds, seeds, st.sampled_from([10.0, 25.0, 200.0]))
def test_pull_equals_the_reference(plane, kind, seed, stiffness):
    target = a_plane(kind, plane.shape, seed) - np.float32(127.5)
    before = plane.copy(), target.copy()
    close(native.pull(plane, target, stiffness), reference.pull(plane, target, stiffness), 5e-5, 1e-5)
    np.testing.assert_array_equal(plane, before[0])
    np.testing.assert_array_equal(target, before[1])


@settings(deadline=None)
@given(st.builds(a_plane, kinds, st.tuples(st.integers(2, 70), st.integers(2, 70)), seeds), st.integers(0, 9))
def test_smooth_equals_the_reference(plane, passes):
    before = plane.copy()
    close(native.smooth(plane, passes), reference.smooth(plane, passes), 2e-6, 1e-6)
    np.testing.assert_array_equal(plane, before)


@settings(deadline=None)
@given(
    st.builds(a_plane, kinds, st.tuples(st.integers(2, 50), st.integers(2, 50)), seeds),
    st.tuples(st.integers(2, 5), st.integers(2, 5)),
    st.sampled_from([1, 2, 7, 32]),
    seeds,
)
def test_warp_equals_the_reference(plane, count, spacing, seed):
    before = plane.copy()
    rng = np.random.default_rng(seed)
    nodes = (rng.uniform(-0.5, 1.5, (*count, 2)) * plane.shape).astype(np.float32)
    cells, inside = native.warp(plane, nodes, spacing, 128.0)
    expected, expected_inside = reference.warp(plane, nodes, spacing, 128.0)
    assert cells.shape == inside.shape == tuple((n - 1) * spacing for n in count)
    assert (cells[inside == 0] == 128).all()
    same = inside == expected_inside
    assert (~same).sum() <= 1 + same.size // 1000  # a centre on the border, to rounding
    np.testing.assert_allclose(cells[same], expected[same], rtol=0, atol=255 * 2e-5 * max(plane.shape))
    np.testing.assert_array_equal(plane, before)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(2, 30), st.integers(2, 30)),
    st.tuples(st.integers(0, 6), st.integers(0, 9)),
    seeds,
)
def test_lattice_scores_equals_the_reference(shape, count, seed):
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal(shape).astype(np.float32)
    sides = rng.uniform(-0.3 * max(shape), 0.3 * max(shape), (count[0], shape[0], 2, 2)).astype(np.float32)
    multiples = rng.integers(-2, 3, (2, count[1])).astype(np.float32)
    given = maps, sides, multiples, 2.0 * shape[1], 2.0 * shape[2]
    scores = native.lattice_scores(*given)
    assert scores.shape == (count[0],)
    np.testing.assert_allclose(scores, reference.lattice_scores(*given), rtol=1e-3, atol=1e-3)


def test_lattice_scores_sees_a_lattice():
    """Ones at every multiple of two sides, and at none other: the root of how many overlaps there are."""
    i, j = np.mgrid[-2:3, -2:3]
    y, x = 4 * i - j, i + 5 * j
    maps = np.zeros((1, 41, 41), np.float32)
    maps[0, 20 + y, 20 + x] = 1
    sides = np.array([[[[4, -1], [1, 5]]], [[[4, -1], [1, 6]]]], np.float32)
    multiples = np.array([[1, 0, 1, 2], [0, 1, 1, -1]], np.float32)
    scores = native.lattice_scores(maps, sides, multiples, 1e6, 1e6)
    np.testing.assert_allclose(scores, [2, 0.5], rtol=1e-4)


def some_waves(tiles, waves, groups, seed):
    rng = np.random.default_rng(seed)
    amplitudes = rng.standard_normal((tiles, waves, 2)).astype(np.float32)
    frequencies = np.stack([rng.integers(-63, 64, waves), rng.integers(0, 64, waves)], axis=1).astype(np.int32)
    return amplitudes, frequencies, rng.integers(0, groups, waves).astype(np.int32)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 3), st.integers(1, 80), st.integers(1, 9), st.integers(1, 4), seeds)
def test_strongest_shifts_equal_the_reference(tiles, number, groups, count, seed):
    waves = some_waves(tiles, number, groups, seed)
    shifts, sums = native.strongest_shifts(*waves, groups, count)
    expected_shifts, expected_sums = reference.strongest_shifts(*waves, groups, count)
    assert shifts.shape == (tiles, count, 2)
    assert sums.shape == (tiles, count, groups)
    np.testing.assert_allclose(np.abs(sums).sum(2), np.abs(expected_sums).sum(2), rtol=1e-5, atol=1e-4)
    # Of equal places either may be first: one wave is as high on a whole line.
    clear = np.abs(expected_sums).min(axis=2) > 1e-3 if number > 20 else np.zeros((tiles, count), bool)
    np.testing.assert_allclose(sums[clear], expected_sums[clear], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(shifts[clear], expected_shifts[clear])


@pytest.mark.parametrize(("y", "x"), [(0, 0), (5, 127), (63.75, 64.25), (127, 32), (32, 0.5), (96, 96), (31, 65)])
def test_strongest_shifts_find_what_was_put_there(y, x):
    """Waves that meet at one place, every other group upside down, in noise; at the edges of bands."""
    noise, frequencies, group = some_waves(2, 200, 4, 7)
    signs = np.array([1, -1, 1, -1])
    meet = signs[group] * np.exp(-2j * np.pi / 128 * (frequencies @ [y, x]))
    amplitudes = np.stack([meet.real, meet.imag], axis=1) + noise / 2
    shifts, sums = native.strongest_shifts(amplitudes.astype(np.float32), frequencies, group, 4, 2)
    np.testing.assert_array_equal(shifts[:, 0] % 128, [[y, x]] * 2)
    np.testing.assert_array_equal(np.sign(sums[:, 0]), [signs] * 2)
    apart = np.abs((shifts[:, 0] - shifts[:, 1] + 64) % 128 - 64).max(axis=1)
    assert (apart >= 2).all()  # three whole shifts, each refined by at most one


def test_warp_reads_what_lies_there():
    """A linear plane is read exactly, wherever it is sampled: cells of 1.5 pixels, from row 2 and column 3 on."""
    y, x = np.mgrid[:20, :30] + 0.5
    nodes = np.stack(np.meshgrid([2, 8, 14], [3, 9, 15, 21], indexing="ij"), axis=2).astype(np.float32)
    cells, inside = native.warp((3 * y + 5 * x).astype(np.float32), nodes, 4, 0.0)
    rows, columns = 2 + 1.5 * (np.arange(8) + 0.5), 3 + 1.5 * (np.arange(12) + 0.5)
    np.testing.assert_allclose(cells, 3 * rows[:, None] + 5 * columns, rtol=1e-6)
    assert inside.all()


@settings(deadline=None)
@given(planes, kinds, seeds, st.sampled_from([0.0, 0.3, 2.0]))
def test_what_the_embedder_asks_of_planes_equals_the_reference(plane, kind, seed, scale):
    np.testing.assert_array_equal(native.least_neighbour(plane), reference.least_neighbour(plane))
    np.testing.assert_allclose(native.neighbour_products(plane), reference.neighbour_products(plane), rtol=1e-5)
    change = a_plane(kind, plane.shape, seed) - np.float32(127.5)
    limit = a_plane("noise", plane.shape, seed) / np.float32(10)
    fitted = native.fit_change(change, scale, plane, limit)
    np.testing.assert_array_equal(fitted, reference.fit_change(change, scale, plane, limit))
    assert (np.abs(fitted) <= limit).all()
    assert (plane + fitted >= 0).all()
    assert (plane + fitted <= 255).all()


@settings(deadline=None)
@given(st.tuples(st.integers(0, 5), st.integers(1, 60), st.integers(1, 20)), seeds)
def test_symbols_equal_the_reference_and_are_adjoint(shape, seed):
    (tiles, points, symbols), rng = shape, np.random.default_rng(seed)
    turn = np.exp(2j * np.pi * rng.random(points)).astype(np.complex64)
    symbol, direction = rng.integers(0, symbols, (points, 2)), rng.standard_normal((points, 2)).astype(np.float32)
    amplitudes = rng.standard_normal((tiles, symbols)).astype(np.float32)
    parts = rng.standard_normal((2, tiles, points)).astype(np.float32)
    coefficients = parts[0] + 1j * parts[1]
    gathered = native.gather_symbols(coefficients, turn, symbol, direction, symbols)
    expected = reference.gather_symbols(coefficients, turn, symbol, direction, symbols)
    np.testing.assert_allclose(gathered, expected, atol=1e-4)
    scattered = native.scatter_symbols(amplitudes, turn.conj(), symbol, direction)
    expected = reference.scatter_symbols(amplitudes, turn.conj(), symbol, direction)
    np.testing.assert_allclose(scattered, expected, atol=1e-5)
    assert np.vdot(gathered, amplitudes) == pytest.approx(np.vdot(scattered, coefficients).real, abs=1e-2)


def test_pull_is_the_gradient_it_says_it_is():
    """By finite differences of <limited(plane), target> in float64, with the reference's own pieces."""

    def inner(values):
        f = reference._blocks(reference._high_pass(values))
        limited = reference._overlap_add(f * (np.abs(f) ** 2 + 25.0**2) ** -0.5, *values.shape)
        return float((limited * target).sum())

    rng = np.random.default_rng(3)
    plane, target = rng.normal(128, 30, (24, 24)), rng.normal(0, 1, (24, 24))
    gradient = native.pull(plane.astype(np.float32), target.astype(np.float32), 25.0)
    # The blocks' and the high-pass's mirrored borders are not part of the gradient: compare inside.
    for y, x in [(12, 12), (11, 14), (13, 10)]:
        nudge = np.zeros_like(plane)
        nudge[y, x] = 1e-3
        slope = (inner(plane + nudge) - inner(plane - nudge)) / 2e-3
        assert gradient[y, x] == pytest.approx(slope, rel=2e-3, abs=1e-4)


# Refusals: an exception, never a crash

CELLS = np.zeros((10, 10), np.float32)
SIDES = np.ones((1, 1, 2, 2), np.float32)
NODES = np.zeros((2, 2, 2), np.float32)
TURN, SYMBOL, DIRECTION = np.ones(3, np.complex64), np.ones((3, 2), np.int64), np.ones((3, 2), np.float32)
PIXELS = np.zeros((20, 20, 3), np.uint8)
WAVES = some_waves(1, 10, 2, 0)
REFUSED = {
    "two channels": lambda: native.cell_means(np.zeros((20, 20, 2), np.uint8), 2),
    "four channels": lambda: native.add_cells(np.zeros((20, 20, 4), np.uint8), CELLS, 2),
    "no channels": lambda: native.cell_means(np.zeros((20, 20, 0), np.uint8), 2),
    "no channel axis": lambda: native.cell_means(np.zeros((20, 20), np.uint8), 2),
    "four axes": lambda: native.cell_means(np.zeros((1, 20, 20, 3), np.uint8), 2),
    "empty picture": lambda: native.cell_means(np.zeros((0, 20, 3), np.uint8), 2),
    "step 0": lambda: native.cell_means(PIXELS, 0),
    "step -1": lambda: native.cell_means_and_spread(PIXELS, -1),
    "step 1.5": lambda: native.cell_means(PIXELS, 1.5),
    "step 65": lambda: native.cell_means(np.zeros((80, 80, 1), np.uint8), 65),
    "step of 70 bits": lambda: native.cell_means(PIXELS, 1 << 70),
    "step larger than the picture": lambda: native.cell_means(PIXELS, 21),
    "float64": lambda: native.cell_means(PIXELS.astype(np.float64), 2),
    "float16": lambda: native.cell_means(PIXELS.astype(np.float16), 2),
    "int16": lambda: native.cell_means(PIXELS.astype(np.int16), 2),
    "foreign byte order": lambda: native.cell_means(PIXELS.astype(">u2"), 2),
    "strided": lambda: native.cell_means(PIXELS[::2], 2),
    "mirrored": lambda: native.add_cells(PIXELS[:, ::-1], CELLS, 2),
    "Fortran order": lambda: native.add_cells(np.asfortranarray(PIXELS), CELLS, 2),
    "a list": lambda: native.cell_means(PIXELS.tolist(), 2),
    "None": lambda: native.cell_means(None, 2),
    "threads -1": lambda: native.cell_means(PIXELS, 2, threads=-1),
    "cells too few": lambda: native.add_cells(PIXELS, CELLS[:9], 2),
    "cells too many": lambda: native.add_cells(PIXELS, np.zeros((11, 10), np.float32), 2),
    "cells of float64": lambda: native.add_cells(PIXELS, CELLS.astype(np.float64), 2),
    "cells strided": lambda: native.add_cells(PIXELS, np.zeros((10, 20), np.float32)[:, ::2], 2),
    "whiten 8 x 9": lambda: native.whiten(np.zeros((8, 9), np.float32)),
    "whiten 9 x 8": lambda: native.whiten(np.zeros((9, 8), np.float32)),
    "whiten 0 x 9": lambda: native.whiten(np.zeros((0, 9), np.float32)),
    "whiten of float64": lambda: native.whiten(np.zeros((20, 20))),
    "whiten of three axes": lambda: native.whiten(np.zeros((20, 20, 1), np.float32)),
    "whiten strided": lambda: native.whiten(np.zeros((40, 20), np.float32)[::2]),
    "whiten transposed": lambda: native.whiten(np.zeros((40, 20), np.float32).T),
    "pull of two shapes": lambda: native.pull(np.zeros((20, 20), np.float32), np.zeros((20, 21), np.float32), 1.0),
    "pull too small": lambda: native.pull(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32), 1.0),
    "pull with stiffness 0": lambda: native.pull(CELLS, CELLS, 0.0),
    "pull with stiffness -1": lambda: native.pull(CELLS, CELLS, -1.0),
    "pull with stiffness NaN": lambda: native.pull(CELLS, CELLS, float("nan")),
    "smooth 1 x 5": lambda: native.smooth(np.zeros((1, 5), np.float32), 1),
    "smooth 0 x 0": lambda: native.smooth(np.zeros((0, 0), np.float32), 1),
    "smooth -1 times": lambda: native.smooth(CELLS, -1),
    "smooth strided": lambda: native.smooth(CELLS[:, ::2], 1),
    "a limit of another shape": lambda: native.fit_change(CELLS, 1.0, CELLS, CELLS[:9]),
    "a symbol too large": lambda: native.gather_symbols(TURN[None], TURN, SYMBOL, DIRECTION, 1),
    "a symbol that is negative": lambda: native.scatter_symbols(CELLS, TURN, -SYMBOL, DIRECTION),
    "coefficients of other points": lambda: native.gather_symbols(TURN[None, :2].copy(), TURN, SYMBOL, DIRECTION, 2),
    "directions of other points": lambda: native.scatter_symbols(CELLS, TURN, SYMBOL, DIRECTION[:2]),
    "warp of one row": lambda: native.warp(CELLS[:1], NODES, 4, 0.0),
    "warp by one node": lambda: native.warp(CELLS, NODES[:, :1].copy(), 4, 0.0),
    "warp by three coordinates": lambda: native.warp(CELLS, np.zeros((2, 2, 3), np.float32), 4, 0.0),
    "warp with spacing 0": lambda: native.warp(CELLS, NODES, 0, 0.0),
    "waves without frequencies": lambda: native.strongest_shifts(*WAVES[:1], WAVES[1][:9], WAVES[2], 2, 1),
    "waves without groups": lambda: native.strongest_shifts(*WAVES[:2], WAVES[2][:9], 2, 1),
    "a wave too short": lambda: native.strongest_shifts(WAVES[0], WAVES[1] + np.int32(64), WAVES[2], 2, 1),
    "a wave backwards": lambda: native.strongest_shifts(WAVES[0], WAVES[1] - np.int32(64), WAVES[2], 2, 1),
    "a wave of INT_MIN": lambda: native.strongest_shifts(WAVES[0], WAVES[1] * 0 + np.int32(-(2**31)), WAVES[2], 2, 1),
    "a group too many": lambda: native.strongest_shifts(*WAVES, 1, 1),
    "a negative group": lambda: native.strongest_shifts(*WAVES[:2], -WAVES[2] - 1, 2, 1),
    "no groups": lambda: native.strongest_shifts(*WAVES, 0, 1),
    "65 groups": lambda: native.strongest_shifts(*WAVES, 65, 1),
    "no peaks": lambda: native.strongest_shifts(*WAVES, 2, 0),
    "complex waves": lambda: native.strongest_shifts(WAVES[0].view(np.complex64), *WAVES[1:], 2, 1),
    "lattice_scores of a plane": lambda: native.lattice_scores(CELLS, SIDES, SIDES[0, 0], 9.0, 9.0),
    "lattice_scores of other maps": lambda: native.lattice_scores(np.stack([CELLS] * 2), SIDES, SIDES[0, 0], 9.0, 9.0),
    "lattice_scores of one row": lambda: native.lattice_scores(CELLS[None, :1], SIDES, SIDES[0, 0], 9.0, 9.0),
    "lattice_scores of no size": lambda: native.lattice_scores(CELLS[None], SIDES, SIDES[0, 0], 0.0, 9.0),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refused(call):
    with pytest.raises((ValueError, TypeError)):
        call()


def test_smallest_that_works():
    assert native.whiten(np.zeros((9, 9), np.float32)).shape == (9, 9)
    assert native.smooth(np.zeros((2, 2), np.float32), 3).shape == (2, 2)
    assert native.cell_means(np.full((1, 1, 1), 7, np.uint8), 1).tolist() == [[7.0]]
    assert native.cell_means(np.full((64, 64, 3), 7, np.uint8), 64) == pytest.approx(7.0)


def test_read_only_input_is_fine():
    plane = a_plane("noise", (40, 40), 1)
    plane.flags.writeable = False
    pixels = samples("noise", (80, 80, 3), np.uint8, 1)
    pixels.flags.writeable = False
    assert native.whiten(plane).flags.writeable
    assert native.add_cells(pixels, plane, 2)[0].flags.writeable


def test_results_do_not_depend_on_where_the_input_lies():
    plane = a_plane("noise", (41, 43), 1)
    raw = np.zeros(plane.nbytes + 64, np.uint8)
    expected = native.whiten(plane)
    for offset in (4, 12, 20, 36):
        moved = raw[offset : offset + plane.nbytes].view(np.float32).reshape(plane.shape)
        moved[...] = plane
        np.testing.assert_array_equal(native.whiten(moved), expected)


# Threads

LARGE = np.zeros((1600, 1600), np.float32)
WIDE = np.zeros((3200, 3200, 1), np.uint8)
MANY = np.zeros((2000, 3), np.complex64)
STATES, LANES, RAISED = np.zeros((1600, 4), np.uint32), np.zeros(1600, np.uint32), np.ones(1600, np.float32)
RELEASED = {
    "whiten": lambda: native.whiten(LARGE),
    "pull": lambda: native.pull(LARGE, LARGE, 25.0),
    "smooth": lambda: native.smooth(LARGE, 8),
    "least_neighbour": lambda: native.least_neighbour(LARGE),
    "neighbour_products": lambda: native.neighbour_products(LARGE),
    "fit_change": lambda: native.fit_change(LARGE, 1.0, LARGE, LARGE),
    "gather_symbols": lambda: native.gather_symbols(MANY, TURN, SYMBOL, DIRECTION, 1600),
    "scatter_symbols": lambda: native.scatter_symbols(LARGE, TURN, SYMBOL, DIRECTION),
    "warp": lambda: native.warp(LARGE, 1600 * np.mgrid[:2, :2].astype(np.float32).transpose(1, 2, 0).copy(), 1000, 0.0),
    "strongest_shifts": lambda: native.strongest_shifts(*some_waves(20, 200, 8, 0), 8, 1),
    "lattice_scores": lambda: native.lattice_scores(
        LARGE[None], np.ones((1000, 1, 2, 2), np.float32), np.ones((2, 1000), np.float32), 9.0, 9.0
    ),
    "cell_means": lambda: native.cell_means(WIDE, 2),
    "cell_means_and_spread": lambda: native.cell_means_and_spread(WIDE, 2),
    "add_cells": lambda: native.add_cells(WIDE, LARGE, 2),
    "polar_list_decode": lambda: native.polar_list_decode(np.zeros(16384, np.float32), np.zeros(16384, np.uint8), 64),
    "context_states": lambda: native.context_states(np.zeros(2, np.uint64), STATES),
    "token_words": lambda: native.token_words(STATES, LANES, LANES),
    "lane_words": lambda: native.lane_words(STATES, LANES, 0, 256),
    "randperm": lambda: native.randperm(1, 100_000),
    "randperm_ranks": lambda: native.randperm_ranks(LANES, LANES % np.uint32(4096), 4096, 4096),
    "self_words": lambda: native.self_words(STATES[:, None].copy(), LANES, LANES),
    "vocabulary_words": lambda: native.vocabulary_words(STATES, LANES, 1000),
    "add_bias": lambda: native.add_bias(np.zeros((1600, 1600), np.float32), STATES, LANES, 1 << 31, RAISED),
    "add_bias_self": lambda: native.add_bias_self(
        np.zeros((1600, 1600), np.float32), STATES[:, None].copy(), LANES, 1 << 15, RAISED
    ),
    "gumbel_choice": lambda: native.gumbel_choice(LARGE, STATES, LANES),
}


@pytest.fixture
def counter():
    """How far another thread has counted. It gets to run only where this one lets go of the GIL."""
    count, stop = [0], threading.Event()

    def work():
        while not stop.is_set():
            count[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # so nobody takes the GIL away from the test
    thread = threading.Thread(target=work)
    thread.start()
    yield lambda: count[0]
    stop.set()
    thread.join()
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("kernel", RELEASED.values(), ids=RELEASED)
def test_other_threads_run_meanwhile(kernel, counter):
    for _ in range(20_000):  # one call may be over before the other thread wakes; without a release none ever wakes it
        before = counter()
        kernel()
        if counter() > before:
            return
    pytest.fail("the GIL is held")


def test_the_same_answer_in_many_threads():
    plane = a_plane("noise", (300, 300), 5)
    expected, results = native.whiten(plane), []
    threads = [threading.Thread(target=lambda: results.append(native.whiten(plane))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for result in results:
        np.testing.assert_array_equal(result, expected)


# The whole mark on either half


def test_both_halves_have_the_same_names():
    names = {name for name in dir(native) if not name.startswith("_")}
    oracles = [
        {name for name in names if callable(getattr(module, name, None))}
        for module in (reference, polar_reference, text_reference, mersenne_reference)
    ]
    assert set().union(*oracles) == names
    assert sum(map(len, oracles)) == len(names)


SCRIPT = """
import sys
import numpy as np
from markai import Key
from markai._kernels import whiten
from markai.watermarks import load
assert whiten.__module__ == "markai._kernels.reference"
mark, key = load("dwt-dct"), Key(bytes(range(32)))
given = np.load(sys.argv[1])
np.save(sys.argv[3], mark.embed(given, key, b"reference"))
print(mark.find(mark.look(np.load(sys.argv[2])), key).payload)
"""


def test_marks_of_either_half_are_read_by_the_other(photo, key, tmp_path):
    mark, host = load("dwt-dct"), np.ascontiguousarray(photo[200:456, 420:676])
    marked = mark.embed(host, key, b"native")
    paths = [str(tmp_path / name) for name in ("host.npy", "marked.npy", "back.npy")]
    np.save(paths[0], host)
    np.save(paths[1], marked)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths],
        env={**os.environ, "MARKAI_KERNELS": "reference"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("b'native'\n", "")
    back = np.load(paths[2])
    assert mark.find(mark.look(back), key).payload == b"reference"
    assert mark.find(mark.look(back), Key(bytes(32))).payload is None
    # Not only readable but the same picture, up to rounding.
    assert psnr(back, mark.embed(host, key, b"reference")) > 60
