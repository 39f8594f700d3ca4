"""The statistics of the benchmark: exact small cases, brute force, coverage of the intervals, properties."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markai import stats
from markai.bench.statistics import (
    Interval,
    Normaliser,
    auroc,
    bootstrap_mean,
    calibration,
    degradation,
    median_interval,
    normalisers,
    quality_at,
    roc,
    share,
    tpr_at,
)

scores = st.lists(st.integers(-6, 6), min_size=1, max_size=15)


def covered(interval, truth):
    return interval.low <= truth <= interval.high


# Shares


def test_a_share_and_its_exact_bounds():
    found = share([True] * 3 + [False] * 7)
    assert found == Interval(0.3, *stats.clopper_pearson(3, 10), 10)
    assert json.loads(json.dumps(found.to_dict())) == {"value": 0.3, "low": found.low, "high": found.high, "n": 10}
    assert share([]) == Interval(None, 0.0, 1.0, 0)
    assert share(np.ones(50, bool)).high == 1.0
    assert share([1, 0], confidence=0.5).low > share([1, 0]).low


def test_rows_of_one_picture_count_as_one_where_they_agree():
    alone = np.repeat([True, False, True, True, False] * 8, 1)
    thrice, pictures = np.repeat(alone, 3), np.repeat(np.arange(40), 3)
    found, expected = share(thrice, pictures), share(alone)
    assert found.n == 120
    assert found.value == pytest.approx(expected.value)
    assert found.low == pytest.approx(expected.low, abs=0.004)
    assert found.high == pytest.approx(expected.high, abs=0.004)
    assert share(thrice).low > found.low + 0.05


def test_clusters_do_not_matter_where_rows_are_independent():
    hits = np.random.default_rng(1).random(4000) < 0.3
    clustered, plain = share(hits, np.arange(4000) // 4), share(hits)
    assert clustered.high - clustered.low == pytest.approx(plain.high - plain.low, rel=0.1)


def test_unanimous_rows_count_once_for_each_picture():
    assert share([True] * 60, ["a", "b", "c"] * 20)[:3] == (1.0, *stats.clopper_pearson(3, 3))
    assert share([False] * 60, ["a"] * 60)[:3] == (0.0, *stats.clopper_pearson(0, 1))


def test_the_share_between_clusters_covers():
    rng = np.random.default_rng(2)
    pictures = np.repeat(np.arange(60), 4)
    hits = [np.repeat(rng.beta(2, 1, 60), 4) > rng.random(240) for _ in range(300)]
    assert np.mean([covered(share(each, pictures), 2 / 3) for each in hits]) >= 0.93
    assert np.mean([covered(share(each), 2 / 3) for each in hits]) < 0.93


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_bounds_of_shares(rows):
    hits, clusters = zip(*rows, strict=True)
    found = share(hits, clusters)
    assert 0 <= found.low <= found.value <= found.high <= 1
    misses = share([not each for each in hits], clusters)
    assert (misses.low, misses.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)


def test_detection_includes_its_threshold():
    log10_p = [-7.0, -6.0, -5.9, -3.0, -1.0, 0.0]
    assert [tpr_at(log10_p, fpr).value * 6 for fpr in (1e-6, 1e-3, 1e-2, 1.0)] == pytest.approx([2, 4, 4, 6])
    assert tpr_at([-math.inf, 0.0], 1e-6).value == 0.5
    assert tpr_at([], 1e-6).value is None


# Means and medians


def test_a_mean_and_the_width_of_its_interval():
    values = np.random.default_rng(3).normal(40, 2, 400)
    found = bootstrap_mean(values)
    assert found.value == values.mean()
    assert found.n == 400
    assert (found.high - found.low) / 2 == pytest.approx(1.966 * values.std(ddof=1) / 20, rel=0.1)
    assert bootstrap_mean(values, seed=1) != found == bootstrap_mean(values)


def test_a_mean_over_clusters_is_that_of_their_own_means():
    centers = np.random.default_rng(4).normal(0, 1, 50)
    once, thrice = bootstrap_mean(centers), bootstrap_mean(np.repeat(centers, 3), np.repeat(np.arange(50), 3))
    assert thrice.n == 150
    assert thrice[:3] == pytest.approx(once[:3])


def test_means_of_few_rows():
    assert bootstrap_mean([]) == Interval(None, None, None, 0)
    assert bootstrap_mean([2.0]) == Interval(2.0, None, None, 1)
    assert bootstrap_mean([2.0, 4.0], ["a", "a"]) == Interval(3.0, None, None, 2)
    assert bootstrap_mean([7.0] * 9) == pytest.approx(Interval(7.0, 7.0, 7.0, 9))
    with pytest.raises(ValueError, match="infinite PSNR"):
        bootstrap_mean([40.0, math.inf])
    with pytest.raises(ValueError, match="3 rows and 2 clusters"):
        bootstrap_mean([1, 2, 3], ["a", "b"])


def test_the_mean_of_few_clusters_covers():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        values = np.repeat(rng.normal(0, 1, 12), 3) + rng.normal(0, 0.5, 36)
        hits += covered(bootstrap_mean(values, np.arange(36) // 3, seed), 0.0)
    assert 0.91 <= hits / 200 <= 0.99


def test_the_median_between_order_statistics():
    rng = np.random.default_rng(6)
    found = median_interval(rng.permutation(11))
    assert found == Interval(5.0, 1.0, 9.0, 11)  # P(X <= 1) = 12 / 2048 <= 0.025 < 67 / 2048 = P(X <= 2)
    assert median_interval([1, 2, 3, 4, 5]) == Interval(3.0, None, None, 5)
    assert median_interval([]) == Interval(None, None, None, 0)
    covers = [covered(median_interval(rng.exponential(size=25)), math.log(2)) for _ in range(1000)]
    assert 0.94 <= np.mean(covers) <= 0.985  # by the binomial: 0.957


def test_median_rank_is_the_binomial_tail():
    for n in (1, 5, 6, 20, 101):
        rank = stats.median_rank(n)
        tails = [sum(math.comb(n, k) for k in range(r)) / 2**n for r in (rank, rank + 1)]
        assert tails[0] <= 0.025 < tails[1]


# ROC


def brute_auroc(positives, negatives):
    pairs = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    return sum(pairs) / len(pairs)


def area_under(points):
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in itertools.pairwise(points))


@settings(deadline=None, max_examples=50)
@given(scores, scores)
def test_auroc_is_the_share_of_ordered_pairs(positives, negatives):
    found = auroc(positives, negatives)
    assert found.value == pytest.approx(brute_auroc(positives, negatives))
    assert auroc(negatives, positives).value == pytest.approx(1 - found.value)
    assert auroc(np.exp(positives), np.exp(negatives)) == found  # only the order counts
    assert area_under(roc(positives, negatives)) == pytest.approx(found.value)


def test_auroc_covers():
    truth = 0.5 * math.erfc(-1 / 2)  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    rng = np.random.default_rng(7)
    found = [auroc(rng.normal(1, 1, 30), rng.normal(0, 1, 30), seed=seed) for seed in range(100)]
    assert 0.91 <= np.mean([covered(each, truth) for each in found]) <= 0.99


def test_auroc_of_repeated_pictures_is_no_more_certain():
    rng = np.random.default_rng(8)
    marked, clean, pictures = rng.normal(1, 1, 40), rng.normal(0, 1, 40), np.arange(40)
    once = auroc(marked, clean, pictures, pictures)
    repeated = auroc(np.repeat(marked, 5), np.repeat(clean, 5), np.repeat(pictures, 5), np.repeat(pictures, 5))
    assert repeated[:3] == pytest.approx(once[:3])
    assert repeated.n == 400


def test_auroc_without_overlap_is_not_certain():
    assert auroc([2] * 30, [1] * 50) == Interval(1.0, *stats.clopper_pearson(30, 30), 80)
    assert auroc([2] * 30, [1] * 30, range(30), range(30)).low == stats.clopper_pearson(15, 15)[0]
    assert auroc([1] * 30, [2] * 50)[:3] == (0.0, *stats.clopper_pearson(0, 30))
    assert auroc([1, 2, 3], []) == Interval(None, None, None, 3)
    assert auroc([math.inf], [math.inf]).value == 0.5


def test_refusals_of_auroc():
    with pytest.raises(ValueError, match="not a number"):
        auroc([1, math.nan], [0])
    with pytest.raises(ValueError, match="one side"):
        auroc([1], [0], positive_clusters=["a"])


def test_a_roc_curve_has_its_corners_only():
    assert roc([3, 4, 5], [0, 1, 2]) == [(0, 0), (0, 1), (1, 1)]
    assert roc([1, 1], [1, 1]) == [(0, 0), (1, 1)]
    assert roc([1, 3], [0, 2]) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]
    assert roc([], [1]) == roc([1], []) == []


def test_a_long_roc_curve_is_thinned_where_it_is_not_looked_at():
    rng = np.random.default_rng(9)
    marked, clean = rng.normal(1.5, 1, 20000), rng.normal(0, 1, 20000)
    full, thin = roc(marked, clean, points=10**6), roc(marked, clean)
    assert len(full) > 5000 > 200 >= len(thin) > 120
    assert set(thin) <= set(full)
    assert (thin[0], thin[-1]) == ((0, 0), (1, 1))
    assert thin == sorted(thin)
    assert area_under(thin) == pytest.approx(brute_auroc(marked[:500], clean[:500]), abs=0.03)
    assert sum(0 < fpr < 1e-2 for fpr, _ in thin) > 30


# Calibration


def test_calibration_of_uniform_p_values():
    log10_p = np.log10(np.random.default_rng(10).random(20000))
    found = calibration(log10_p)
    assert list(found.rates) == ["1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6"]
    assert all(covered(found.rates[f"1e-{k}"], 10.0**-k) for k in range(1, 7))
    assert found.rates["1e-6"].high < 2e-4
    assert found.ks_p > 0.01
    expected, observed = np.array(found.quantiles).T
    assert expected[-1] == 1
    assert expected[0] == pytest.approx(10**-4.25)  # the last of the grid that is not below 1 / n
    assert np.all(np.diff(expected) > 0)
    assert np.all(np.diff(observed) >= 0)
    assert np.abs(np.log10(observed[4:] / expected[4:])).max() < 0.1


def test_calibration_sees_p_values_that_are_too_small_and_forgives_larger_ones():
    uniform = np.random.default_rng(11).random(5000)
    assert calibration(np.log10(uniform * 0.9)).ks_p < 1e-6
    assert calibration(np.log10(np.sqrt(uniform))).ks_p > 0.9
    assert calibration(np.log10(np.ceil(uniform * 4) / 4)).ks_p > 0.01  # discrete, P(p <= x) = x at its values


def test_calibration_of_few_and_of_tiny_p_values():
    assert calibration([]).ks_p is None
    assert calibration([]).quantiles == []
    assert calibration([-0.3]).quantiles == [(1.0, pytest.approx(10**-0.3))]
    assert calibration([-4000.0] * 3).quantiles[-1] == (1.0, 1e-300)
    assert calibration([-4000.0] * 3).ks_p < 1e-9


def test_smirnov_tail_is_its_definition():
    """P(D+ >= d) for n = 2 by integration over the square: the ordered pair must satisfy u1 > 1/2 - d, u2 > 1 - d."""
    grid = (np.arange(2000) + 0.5) / 2000
    low, high = np.minimum.outer(grid, grid), np.maximum.outer(grid, grid)
    for d in (0.2, 0.5, 0.7):
        assert stats.smirnov_tail(d, 2) == pytest.approx(np.mean((low <= 0.5 - d) | (high <= 1 - d)), abs=2e-3)
    assert stats.smirnov_tail(-0.1, 9) == stats.smirnov_tail(0.0, 9) == 1


# Quality at performance


def test_degradation_runs_from_mild_to_severe_whichever_way_a_metric_points():
    values = {"psnr": list(np.linspace(50, 0, 101)), "ciede2000": list(np.linspace(0, 10, 101)), "ssim": [0.9] * 101}
    scales = normalisers(values)
    assert scales == {
        "psnr": pytest.approx(Normaliser(45, 5)),
        "ciede2000": pytest.approx(Normaliser(1, 9)),
    }
    assert degradation({"psnr": 45, "ciede2000": 1}, scales) == pytest.approx(0.1)
    assert degradation({"psnr": 5, "ciede2000": 9}, scales) == pytest.approx(0.9)
    assert degradation({"psnr": 5, "ciede2000": 1, "ssim": 0.1}, scales) == pytest.approx(0.5)
    assert degradation({"ciede2000": 10}, scales) == pytest.approx(1.0)
    assert degradation({"ssim": 0.9}, scales) is None


def test_equal_pictures_are_mildly_degraded():
    scales = normalisers({"psnr": [math.inf, 20, 30, 40, math.inf]})
    assert scales == {"psnr": pytest.approx(Normaliser(38, 22))}
    assert degradation({"psnr": math.inf}, scales) == pytest.approx(0.1)
    assert normalisers({"psnr": [math.inf], "ssim": []}) == {}


curves = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8).map(
    lambda points: list(zip(sorted(q for q, _ in points), sorted((t for _, t in points), reverse=True), strict=True))
)


@given(curves, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_quality_at_performance_is_on_the_curve_and_monotone(points, first, second):
    low, high = sorted((first, second))
    at_low, at_high = quality_at(points, low), quality_at(points, high)
    if at_low is not None:
        assert at_high is not None
        assert at_high <= at_low + 1e-12
    for found, performance in ((at_low, low), (at_high, high)):
        if found is None:
            assert all(tpr > performance for _, tpr in points)
        elif found == -math.inf:
            assert points[0][1] < performance
        else:
            assert points[0][0] <= found <= points[-1][0] + 1e-12


def test_quality_at_performance_by_hand():
    points = [(0.1, 1.0), (0.3, 0.9), (0.6, 0.2), (0.7, 0.95)]
    assert quality_at(points, 0.95) == pytest.approx(0.2)
    assert quality_at(points, 0.9) == pytest.approx(0.3)
    assert quality_at(points, 0.7) == pytest.approx(0.3 + 0.3 * 2 / 7)
    assert quality_at(points, 0.1) is None
    assert quality_at(points[1:], 0.95) == -math.inf
    assert quality_at(points[1:], 0.9) == 0.3
    assert quality_at([], 0.95) is None
