"""Every tail against a high-precision reference; conservative where it is not exact, never above 0, never NaN."""

import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from markai.stats import (
    RADEMACHER_CONSTANT,
    clopper_pearson,
    corrected,
    either,
    log10_binomial_tail,
    log10_normal_tail,
    log10_rademacher_tail,
    log10_score_tail,
)


@pytest.fixture(autouse=True)
def precise():
    with mpmath.workdps(60):
        yield


def exact_log10_normal(z):
    return mpmath.log10(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2)


def exact_log10_binomial(successes, trials, probability):
    p = mpmath.mpf(probability)
    odds = p / (1 - p)
    term = total = mpmath.binomial(trials, successes) * p**successes * (1 - p) ** (trials - successes)
    for k in range(successes, trials):
        term *= odds * (trials - k) / (k + 1)
        total += term
        if term < total * mpmath.mpf("1e-40") and k > trials * probability:
            break
    return mpmath.log10(total)


# The normal tail


@pytest.mark.parametrize("z", [-8.0, -3.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 2.0, 4.753424, 8.0, 20.0, 38.0, 60.0, 300.0])
def test_normal_tail(z):
    assert log10_normal_tail(z) == pytest.approx(float(exact_log10_normal(z)), rel=1e-12)


@pytest.mark.parametrize("z", [1e3, 1e4, 1e6])
def test_normal_tail_where_the_p_value_has_a_million_digits(z):
    # erfc underflows even here; its continued fraction's first terms are exact to 60 digits at such z.
    x = mpmath.mpf(z)
    series = 1 - 1 / x**2 + 3 / x**4 - 15 / x**6 + 105 / x**8
    expected = (-x * x / 2 - mpmath.log(x * mpmath.sqrt(2 * mpmath.pi)) + mpmath.log(series)) / mpmath.log(10)
    assert log10_normal_tail(z) == pytest.approx(float(expected), rel=1e-12)


def test_normal_tail_on_a_dense_grid():
    for z in np.linspace(-5, 40, 500):
        assert log10_normal_tail(float(z)) == pytest.approx(float(exact_log10_normal(float(z))), rel=1e-11, abs=1e-15)


# The Rademacher bound


def test_the_constant_is_the_best_one_rounded_up():
    exact = 1 / (2 * mpmath.erfc(1))  # 1 / (4 P(Z >= sqrt 2))
    assert exact <= RADEMACHER_CONSTANT <= exact * mpmath.mpf("1.0001")


@pytest.mark.parametrize("t", [1e-6, 0.1, 0.5, 1.0, 1.2, math.sqrt(2), 1.6, 2.0, 3.0, 6.5, 11.0, 25.0, 40.0, 60.0, 1e4])
def test_rademacher_tail_is_the_smaller_of_its_two_bounds(t):
    hoeffding = -(mpmath.mpf(t) ** 2) / 2 / mpmath.log(10)
    gaussian = mpmath.log10(RADEMACHER_CONSTANT) + exact_log10_normal(t) if t <= 60 else mpmath.inf
    if t > 60:
        assert log10_rademacher_tail(t) <= float(hoeffding)
    else:
        assert log10_rademacher_tail(t) == pytest.approx(float(min(0, hoeffding, gaussian)), rel=1e-11)


WEIGHTS = {
    "equal": np.ones(16),
    "two": np.array([1.0, 1.0] + [0.0] * 14),  # P(S >= sqrt 2) = 1/4, where the constant is attained
    "one dominant": np.array([10.0] + [1.0] * 15),
    "one": np.array([1.0] + [0.0] * 15),
    "geometric": 0.5 ** np.arange(16),
    "slow geometric": 0.9 ** np.arange(16),
    "linear": np.arange(1.0, 17.0),
    "half and half": np.array([3.0] * 8 + [1.0] * 8),
    "heavy-tailed": np.abs(np.random.default_rng(1).standard_cauchy(16)),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_rademacher_tail_bounds_every_sum_of_signs(name):
    """All 65536 sums: P(S >= t) at every value t that S takes, which is where the tail is largest."""
    weights = WEIGHTS[name]
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=16)))
    sums = np.sort(signs @ (weights / np.sqrt((weights**2).sum())))
    for t in np.unique(np.round(sums[sums > 0], 9)):
        at_least = len(sums) - np.searchsorted(sums, t - 1e-8)
        assert math.log10(at_least / len(sums)) <= log10_rademacher_tail(float(t)) + 1e-7


def test_tails_fall():
    grid = np.concatenate([np.linspace(-3, 12, 2000), np.geomspace(12, 1e6, 200)])
    for tail in (log10_normal_tail, log10_rademacher_tail):
        values = [tail(float(t)) for t in grid]
        assert all(later <= earlier for earlier, later in itertools.pairwise(values))
        assert all(math.isfinite(value) and value <= 0 for value in values)


# The binomial tail


@pytest.mark.parametrize("trials", [1, 2, 10, 97, 1000, 5000])
@pytest.mark.parametrize("probability", [0.5, 0.25, 0.01, 1e-6, 1e-30, 0.999])
def test_binomial_tail(trials, probability):
    middle = round(trials * probability)
    for successes in sorted({1, min(2, trials), middle, (middle + trials) // 2, trials - 1, trials} - {0}):
        expected = float(exact_log10_binomial(successes, trials, probability))
        # gammaln of 5000 is 4e4, so its rounding is felt at about 1e-11.
        assert log10_binomial_tail(successes, trials, probability) == pytest.approx(expected, rel=1e-11, abs=3e-11)


def test_binomial_tail_of_few_trials_by_counting():
    for trials in range(1, 12):
        for successes in range(trials + 1):
            share = sum(math.comb(trials, k) for k in range(successes, trials + 1)) / 2**trials
            assert log10_binomial_tail(successes, trials) == pytest.approx(math.log10(share), abs=1e-13)


@pytest.mark.parametrize(
    ("successes", "trials", "probability", "expected"),
    [
        (0, 10, 0.5, 0.0),
        (-3, 10, 0.5, 0.0),
        (0, 0, 0.5, 0.0),
        (11, 10, 0.5, -math.inf),
        (1, 10, 0.0, -math.inf),
        (10, 10, 1.0, 0.0),
        (0, 10, 0.0, 0.0),
    ],
)
def test_binomial_tail_at_its_ends(successes, trials, probability, expected):
    assert log10_binomial_tail(successes, trials, probability) == expected


@given(st.integers(-5, 400), st.integers(0, 300), st.floats(0, 1))
def test_binomial_tail_is_a_probability(successes, trials, probability):
    value = log10_binomial_tail(successes, trials, probability)
    assert not math.isnan(value)
    assert value <= 0


# Corrections


def test_corrected():
    assert corrected(-9.0, 1000) == -6.0
    assert corrected(-9.0, 1) == corrected(-9.0, 0) == -9.0
    assert corrected(-2.0, 1000) == 0.0
    assert corrected(-1e9, 10**400) == -1e9 + 400
    assert corrected(-math.inf, 10) == -math.inf


@given(st.floats(-1e9, 0), st.integers(0, 10**30))
def test_correction_only_ever_weakens(log10_p, tests):
    value = corrected(log10_p, tests)
    assert log10_p <= value <= 0


@given(st.floats(-1e9, 0), st.floats(-1e9, 0))
def test_either_is_twice_the_better(first, second):
    value = either(first, second)
    assert value == either(second, first)
    assert min(first, second) <= value <= 0
    assert value == pytest.approx(min(0.0, min(first, second) + math.log10(2)), rel=1e-12, abs=1e-12)


# The interval of a share


@pytest.mark.parametrize("trials", [1, 7, 100, 5000])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_clopper_pearson_equals_scipy(trials, confidence):
    for successes in sorted({0, 1, trials // 3, trials - 1, trials}):
        exact = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, "exact")
        assert clopper_pearson(successes, trials, confidence) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_clopper_pearson_by_its_definition():
    low, high = clopper_pearson(8, 20)
    assert 10 ** log10_binomial_tail(8, 20, low) == pytest.approx(0.025)
    assert 1 - 10 ** log10_binomial_tail(9, 20, high) == pytest.approx(0.025)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(100, 100)[0] == pytest.approx(0.025 ** (1 / 100))


# Sums of scores


def exact_log10_scores(score, null, counts):
    """By convolution in fractions."""
    sums = [Fraction(1)]
    for weight, count in enumerate(counts):
        for _ in range(count if weight else 0):
            longer = [Fraction(0)] * (len(sums) + weight * (len(null) - 1))
            for i, chance in enumerate(sums):
                for k, each in enumerate(null):
                    longer[i + weight * k] += chance * each
            sums = longer
    tail = sum(sums[max(0, score) :])
    return mpmath.log10(mpmath.mpf(tail.numerator) / tail.denominator) if tail else -math.inf


NULL = [Fraction(3, 8), Fraction(1, 8), Fraction(1, 4), Fraction(1, 4)]


@pytest.mark.parametrize("counts", [[0, 1], [0, 5], [2, 3, 1, 2], [0, 30], [0, 0, 4, 9], [5, 0, 0, 3]])
def test_score_tail_is_the_convolution(counts):
    null = np.array([float(each) for each in NULL])
    most = 3 * sum(weight * count for weight, count in enumerate(counts))
    for score in range(-1, most + 2):
        expected = float(exact_log10_scores(score, NULL, counts))
        assert log10_score_tail(score, null, counts) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(("trials", "probability"), [(50, 0.25), (1000, 0.25), (4000, 0.5), (3000, 0.01)])
def test_score_tail_is_the_binomial_tail_to_the_last_digit(trials, probability):
    null = np.array([1 - probability, probability])
    for successes in np.linspace(trials * probability, trials, 12).astype(int).tolist():
        expected = float(exact_log10_binomial(successes, trials, probability))
        assert log10_score_tail(successes, null, [0, trials]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=60)
@given(
    null=st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(lambda row: sum(map(bool, row)) > 1),
    counts=st.lists(st.integers(0, 6), min_size=2, max_size=5),
    share=st.floats(0, 1),
)
def test_score_tails_of_any_kind(null, counts, share):
    fractions = [Fraction(each, sum(null)) for each in null]
    most = (len(null) - 1) * sum(weight * count for weight, count in enumerate(counts))
    score = round(share * most)
    expected = float(exact_log10_scores(score, fractions, counts))
    found = log10_score_tail(score, np.array(null) / sum(null), counts)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
