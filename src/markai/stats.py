"""Scores into p-values: the one place where that is done.

Everything is in log10, because a good detection has p = 1e-80 and a float ends at 1e-308. Every tail is exact or
conservative (never too small), and each is tested against a high-precision reference.
"""

import math

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
    import numpy as np
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
    import numpy as np
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
