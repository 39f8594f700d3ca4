"""Scores into p-values: the one place where that is done.

Everything is in log10, because a good detection has p = 1e-80 and a float ends at 1e-308. Every tail is exact or
conservative (never too small), and each is tested against a high-precision reference.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LN10 = math.log(10.0)

# 1 / (4 P(Z >= sqrt 2)): Bentkus and Dzindzalieta, "A tight Gaussian bound for weighted sums of Rademacher random
# variables", Bernoulli 21 (2015): P(S >= t) <= this * P(Z >= t), the best possible constant; here rounded up.
RADEMACHER_CONSTANT = 3.178690


def log10_normal_tail(z: float) -> float:
    """Return log10 P(Z >= z) for a standard normal Z.

    >>> round(log10_normal_tail(4.753424), 4)
    -6.0
    """
    from scipy.special import log_ndtr

    return float(log_ndtr(-z)) / LN10


def log10_rademacher_tail(t: float) -> float:
    """Return a bound on log10 P(S >= t) for S = sum a_i s_i / sqrt(sum a_i^2) with independent fair signs s_i.

    It holds for any weights a_i whatever, so for any host picture when the signs come from the key: the smaller of
    Hoeffding's exp(-t^2/2) and the Gaussian bound of Bentkus and Dzindzalieta (2015).

    >>> log10_rademacher_tail(0.0)
    0.0
    >>> log10_rademacher_tail(40.0) < -347
    True
    """
    if t <= 0.0:
        return 0.0
    return min(0.0, -t * t / 2 / LN10, math.log10(RADEMACHER_CONSTANT) + log10_normal_tail(t))


def log10_binomial_tail(successes: int, trials: int, probability: float = 0.5) -> float:
    """Return the exact log10 P(X >= successes) for X binomial.

    >>> round(10 ** log10_binomial_tail(9, 10), 6)
    0.010742
    """
    from scipy.special import gammaln, logsumexp

    if successes <= 0:
        return 0.0
    if successes > trials or probability <= 0.0:
        return -math.inf
    if probability >= 1.0:
        return 0.0
    k = np.arange(successes, trials + 1)
    log_choose = gammaln(trials + 1) - gammaln(k + 1) - gammaln(trials - k + 1)
    return min(
        0.0,
        float(logsumexp(log_choose + k * math.log(probability) + (trials - k) * math.log1p(-probability))) / LN10,
    )


def log10_score_tail(score: int, null: NDArray[np.float64], counts: Sequence[int]) -> float:
    """Return log10 P(S >= score) for S = sum of w_i x_i with independent x_i of the same distribution ``null``.

    ``null`` (K,) holds P(x = 0) to P(x = K - 1), adding up to 1; ``counts[w]`` of the summands have the weight w. Exact
    but for rounding (relative 1e-9 down to p = 1e-300): the distribution is tilted until its mean is the score
    (Esscher, 1932), where the Fourier transform of a lattice distribution has no small numbers to lose, and tilted
    back. What little wraps around in the transform adds to the tail.

    >>> round(log10_score_tail(9, np.array([0.5, 0.5]), [0, 10]), 6) == round(log10_binomial_tail(9, 10), 6)
    True
    >>> log10_score_tail(0, np.array([0.5, 0.5]), [0, 10]), log10_score_tail(11, np.array([0.5, 0.5]), [0, 10])
    (0.0, -inf)
    """
    tail = _Lattice(null, counts)
    if score <= max(0.0, tail.mean - 9 * tail.deviation):  # p > 1 - 1e-15
        return 0.0
    if score > tail.most:
        return -math.inf
    if score == tail.most:
        return tail.total * math.log10(tail.null[-1])
    return tail.log10_tail(score)


class _Lattice:
    """The sum of weighted independent scores; ``tilt`` is Esscher's parameter."""

    def __init__(self, null: NDArray[np.float64], counts: Sequence[int]) -> None:
        self.null = null[: int(null.nonzero()[0][-1]) + 1]
        self.weights = np.flatnonzero(np.asarray(counts)[1:]) + 1  # of weight 0 nothing depends
        self.counts = np.asarray(counts)[self.weights]
        self.values = np.arange(len(self.null))
        self.total = int(self.counts.sum())
        self.most = int(self.weights @ self.counts) * (len(self.null) - 1)
        _, self.mean, variance = self.cumulants(0.0)
        self.deviation = math.sqrt(variance)

    def tilted(self, tilt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (weights, K) chances after tilting, and (weights,) log of what they were divided by."""
        exponents = tilt * self.weights[:, None] * self.values
        peak = exponents[:, -1:].clip(0)
        chances = self.null * np.exp(exponents - peak)
        sums = chances.sum(1)
        return chances / sums[:, None], np.log(sums) + peak[:, 0]

    def cumulants(self, tilt: float) -> tuple[float, float, float]:
        """Return the log of the moment generating function, and its first two derivatives."""
        chances, logs = self.tilted(tilt)
        means = chances @ self.values
        variances = chances @ self.values**2 - means**2
        weighted = self.weights * self.counts
        return float(self.counts @ logs), float(weighted @ means), float((weighted * self.weights) @ variances)

    def saddle(self, score: int) -> float:
        """Return the tilt whose mean is the score: Newton's method within a bracket."""
        low, high, tilt = 0.0, math.inf, (score - self.mean) / self.deviation**2
        for _ in range(60):
            _, mean, variance = self.cumulants(tilt)
            if abs(mean - score) < 1e-3 * math.sqrt(variance):
                break
            low, high = (tilt, high) if mean < score else (low, tilt)
            tilt += (score - mean) / variance if variance > 0 else 0
            if not low < tilt < high:
                tilt = (low + high) / 2 if high < math.inf else 2 * low
        return tilt

    def log10_tail(self, score: int) -> float:
        """Return the tail by the tilted transform; below the mean the tilt stays at 0, where nothing is small."""
        tilt = self.saddle(score) if score > self.mean else 0.0
        log_mgf, _, variance = self.cumulants(tilt)
        # The tilted sum is within 10 deviations of its mean and a few of its largest terms, or within all there is.
        reach = 10 * math.sqrt(variance) + int(self.weights[-1]) * len(self.null) + max(0.0, self.mean - score)
        wide = 2 * reach
        size = 1 << math.ceil(math.log2(min(wide, self.most + 1) + 1))
        spectrum = np.ones(size // 2 + 1, np.complex128)
        for weight, count, chances in zip(self.weights, self.counts, self.tilted(tilt)[0], strict=True):
            spectrum *= _power(np.fft.rfft(np.bincount(weight * self.values % size, chances, size)), int(count))
        density = np.maximum(np.fft.irfft(spectrum, size), 0)
        if self.most < size:
            start, above = score, self.most - score + 1
        else:  # a window of the circle from half a turn before the score to half a turn after it
            start, above = score % size, size // 2
        steps = np.arange(above)
        tail = float(density[(start + steps) % size] @ np.exp(-tilt * steps))
        return min(0.0, (log_mgf - tilt * score + math.log(tail)) / LN10) if tail > 0 else -math.inf


def _power(base: NDArray[np.complex128], exponent: int) -> NDArray[np.complex128]:
    """Return base**exponent, by squaring: NumPy's own takes a logarithm of each number, ten times as long."""
    power = np.ones_like(base)
    while exponent:
        if exponent & 1:
            power *= base
        exponent >>= 1
        if exponent:
            base = base * base
    return power


def corrected(log10_p: float, tests: int) -> float:
    """Return log10 p after ``tests`` hypotheses were tried (Bonferroni: holds however they depend on each other).

    >>> corrected(-9.0, 1000)
    -6.0
    """
    return min(0.0, log10_p + math.log10(max(1, tests)))


def either(first: float, second: float) -> float:
    """Return log10 p of two pieces of evidence of which the better is reported (Bonferroni with two tests).

    >>> round(either(-9.0, -3.0), 3)
    -8.699
    """
    return corrected(min(first, second), 2)


def together(first: float, second: float) -> float:
    """Return the log10 p-value of two independent tests by their product (Fisher, 1932), given theirs.

    P(p q <= x) = x (1 - ln x) for independent uniform p and q, and at most that where p and q are conservative.

    >>> round(together(-6.0, -4.0), 3), together(0.0, 0.0)
    (-8.619, 0.0)
    """
    product = first + second
    return min(0.0, product + math.log10(1 - product * math.log(10)))


def clopper_pearson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for a share (Clopper and Pearson, 1934).

    Counts may be fractions, as the effective counts of dependent trials are.

    >>> clopper_pearson(0, 100)[1] < 0.037
    True
    """
    from scipy.special import betaincinv

    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def median_rank(n: int, confidence: float = 0.95) -> int:
    """Return the greatest r for which the r-th smallest and the r-th largest of n values enclose the median.

    Exact for any continuous distribution: the number of values below its median is Binomial(n, 1/2). 0 where even
    the extremes do not have that confidence, which at 95 % is n < 6.

    >>> median_rank(100), median_rank(6), median_rank(5)
    (40, 1, 0)
    """
    from scipy.special import bdtr

    return int(np.count_nonzero(bdtr(np.arange(n), n, 0.5) <= (1 - confidence) / 2))


def bootstrap_tail(n: int, confidence: float = 0.95) -> float:
    """Return the tail to cut from each side of a bootstrap distribution of n >= 2 units.

    Plain percentiles are too narrow by sqrt((n - 1) / n) and by the normal in place of Student's t. Hesterberg,
    "What teachers should know about the bootstrap", The American Statistician 69 (2015), undoes both.

    >>> round(bootstrap_tail(10), 4), round(bootstrap_tail(1000), 4)
    (0.0086, 0.0248)
    """
    from scipy.special import ndtr, stdtrit

    quantile = float(stdtrit(n - 1, (1 - confidence) / 2))
    return float(ndtr(math.sqrt(n / (n - 1)) * quantile))


def smirnov_tail(excess: float, n: int) -> float:
    """Return P(max_x F_n(x) - F(x) >= excess), exact, for n independent draws from a continuous F (Smirnov, 1944).

    >>> round(smirnov_tail(0.2, 50), 4)
    0.0157
    """
    from scipy.special import smirnov

    return float(smirnov(n, max(0.0, excess)))
