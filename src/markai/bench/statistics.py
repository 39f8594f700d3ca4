"""What is made of the benchmark's rows: shares, means, medians, ROC curves, calibration, quality at performance.

Every figure comes as an :class:`Interval`, at 95 % unless asked otherwise. Rows of the same picture depend on each
other, so functions take ``clusters``: for every row something that names its picture, and pictures are what is
independent. Without it every row counts as a picture of its own.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markai import stats
from markai.metrics import METRICS

Floats = NDArray[np.float64]
Clusters = Iterable[Hashable] | None

RESAMPLES = 2000  # the ends of the interval then move by 2 % of its width from seed to seed
CHUNK = 1 << 20  # resampled counts held at once: 8 MiB
LEAST_LOG10 = -300.0  # p below the least double is shown as this


class Interval(NamedTuple):
    """An estimate between its confidence bounds, from n rows; None is what n rows do not determine."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return what goes into a summary.

        >>> share([True, True, False, True]).to_dict()["value"]
        0.75
        """
        return self._asdict()


# Shares, means, medians


def share(hits: ArrayLike, clusters: Clusters = None, confidence: float = 0.95) -> Interval:
    """Return the share of rows that are true, between its Clopper-Pearson bounds.

    The bounds are exact for independent rows. With ``clusters`` they are those of the number of independent rows
    that would leave the share as uncertain as it is (Korn and Graubard, "Confidence intervals for proportions with
    small expected number of positive counts", Survey Methodology 24, 1998); where all rows agree, of one row for
    each cluster.

    >>> round(share([True] * 8).low, 3), round(share([True] * 8, clusters="aabbccdd").low, 3)
    (0.631, 0.398)
    """
    values = np.asarray(hits, dtype=np.float64)
    if not values.size:
        return Interval(None, 0.0, 1.0, 0)
    mean = float(values.mean())
    trials = len(values) if clusters is None else _effective_trials(values, mean, _codes(clusters, len(values)))
    return Interval(mean, *stats.clopper_pearson(mean * trials, trials, confidence), len(values))


def tpr_at(log10_p: ArrayLike, fpr: float, clusters: Clusters = None, confidence: float = 0.95) -> Interval:
    """Return the share of rows that are detected at a false-positive rate: those with p <= ``fpr``.

    >>> tpr_at([-9.0, -3.0, -2.0, -0.1], fpr=1e-3).value
    0.5
    """
    return share(np.asarray(log10_p, dtype=np.float64) <= math.log10(fpr), clusters, confidence)


def bootstrap_mean(values: ArrayLike, clusters: Clusters = None, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Return the mean, between the percentiles of means over resampled clusters, widened for their number.

    The bounds are those of ``stats.bootstrap_tail``. They are None for a single cluster.

    >>> mean = bootstrap_mean([0.5, 0.75, 0.75, 1.0])
    >>> mean.value, mean.low < 0.6 < 0.9 < mean.high
    (0.75, True)

    Raises:
        ValueError: if a value is not finite; the PSNR of equal pictures has no place in a mean.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a mean takes finite values - leave out the infinite PSNR of equal pictures")
    if not numbers.size:
        return Interval(None, None, None, 0)
    codes = _codes(clusters, len(numbers))
    sums, sizes = np.bincount(codes, numbers), np.bincount(codes)
    low, high = _bootstrap(lambda times: (times @ sums) / (times @ sizes), len(sizes), seed, confidence)
    return Interval(float(numbers.mean()), low, high, len(numbers))


def median_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the median between the order statistics that enclose it, which is exact for independent rows.

    The bounds are None for fewer than six values, at 95 %.

    >>> median_interval(range(1, 101))
    Interval(value=50.5, low=40.0, high=61.0, n=100)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = stats.median_rank(len(ordered), confidence)
    if not ordered.size:
        return Interval(None, None, None, 0)
    low, high = (float(ordered[rank - 1]), float(ordered[-rank])) if rank else (None, None)
    return Interval(float(np.median(ordered)), low, high, len(ordered))


def _codes(clusters: Clusters, rows: int) -> NDArray[np.int64]:
    """Return the number of each row's cluster, counted from 0 in order of appearance."""
    if clusters is None:
        return np.arange(rows)
    seen: dict[Hashable, int] = {}
    codes = np.array([seen.setdefault(each, len(seen)) for each in clusters], dtype=np.int64)
    if len(codes) != rows:
        raise ValueError(f"{rows} rows and {len(codes)} clusters - name one cluster for every row")
    return codes


def _effective_trials(values: Floats, mean: float, codes: NDArray[np.int64]) -> float:
    """Return how many independent rows would give a share its variance between clusters (linearized)."""
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    if mean in (0.0, 1.0) or len(sizes) == 1:
        return len(sizes)
    variance = len(sizes) / (len(sizes) - 1) * float(np.sum((sums - mean * sizes) ** 2)) / len(values) ** 2
    return min(len(values), max(1.0, mean * (1 - mean) / variance)) if variance else len(values)


def _bootstrap(
    statistic: Callable[[Floats], Floats], clusters: int, seed: int, confidence: float
) -> tuple[float | None, float | None]:
    """Return bounds of a statistic that maps how often each cluster was drawn (draws, clusters) to (draws,)."""
    if clusters < 2:
        return None, None
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // clusters)
    found = []
    for start in range(0, RESAMPLES, step):
        draws = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=min(step, RESAMPLES - start))
        found.append(statistic(draws.astype(np.float64)))
    tail = stats.bootstrap_tail(clusters, confidence)
    low, high = np.nanquantile(np.concatenate(found), [tail, 1 - tail])
    return float(low), float(high)


# Detection: ROC curves and the area under them


def auroc(
    positives: ArrayLike,
    negatives: ArrayLike,
    positive_clusters: Clusters = None,
    negative_clusters: Clusters = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Return the area under the ROC curve: how often a marked picture scores higher than an unmarked one.

    Ties count half (Mann and Whitney, 1947). Greater scores mean marked: pass -log10 p. The bounds come from
    resampling clusters, as for :func:`bootstrap_mean`; a cluster may have rows on both sides. Where the scores do
    not overlap a bootstrap sees no uncertainty. Then the bound is Clopper and Pearson's, for as many successes as
    pairs of a positive and a negative can be made with every cluster in one pair.

    Takes memory for every pair of clusters: name the pictures of large samples.

    >>> auroc([3, 4, 5, 6], [1, 2, 3, 4]).value
    0.875

    Raises:
        ValueError: if a score is not a number.
    """
    marked, clean = (np.asarray(side, dtype=np.float64) for side in (positives, negatives))
    rows = len(marked) + len(clean)
    if np.isnan(marked).any() or np.isnan(clean).any():
        raise ValueError("a score is not a number - leave out the rows that failed")
    if (positive_clusters is None) != (negative_clusters is None):
        raise ValueError("clusters of one side only - name those of both, or none")
    if not len(marked) or not len(clean):
        return Interval(None, None, None, rows)
    named = [side for side in (positive_clusters, negative_clusters) if side is not None]
    codes = _codes(chain(*named) if named else None, rows)
    ours, theirs, clusters = codes[: len(marked)], codes[len(marked) :], int(codes.max()) + 1
    area = _area_of_draws(marked, clean, ours, theirs)
    value = float(area(np.ones((1, clusters)))[0])
    if value in (0.0, 1.0):
        pairs = min(len(np.unique(ours)), len(np.unique(theirs)), clusters // 2)
        return Interval(value, *stats.clopper_pearson(value * pairs, pairs, confidence), rows)
    return Interval(value, *_bootstrap(area, clusters, seed, confidence), rows)


def roc(positives: ArrayLike, negatives: ArrayLike, points: int = 200) -> list[tuple[float, float]]:
    """Return the ROC curve as corners (fpr, tpr) from (0, 0) to (1, 1), at most ``points`` of them.

    Greater scores mean marked. A longer curve keeps corners evenly spread along it, half of them over the logarithm
    of fpr, where detectors are compared. Empty where either side is.

    >>> roc([3, 4], [1, 3])
    [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]
    """
    marked, clean = (np.sort(np.asarray(side, dtype=np.float64)) for side in (positives, negatives))
    if not len(marked) or not len(clean):
        return []
    thresholds = np.unique(np.concatenate([marked, clean]))[::-1]
    tpr, fpr = (
        np.append(0.0, 1 - np.searchsorted(side, thresholds, side="left") / len(side)) for side in (marked, clean)
    )
    straight = (np.diff(fpr[:-1]) == 0) & (np.diff(fpr[1:]) == 0) | (np.diff(tpr[:-1]) == 0) & (np.diff(tpr[1:]) == 0)
    kept = np.flatnonzero(np.concatenate([[True], ~straight, [True]]))
    if len(kept) > points:
        kept = kept[_spread(fpr[kept], tpr[kept], points)]
    return list(zip(fpr[kept].tolist(), tpr[kept].tolist(), strict=True))


def _area_of_draws(
    marked: Floats, clean: Floats, ours: NDArray[np.int64], theirs: NDArray[np.int64]
) -> Callable[[Floats], Floats]:
    """Return what maps how often each cluster was drawn (draws, clusters) to areas (draws,).

    ``ours`` and ``theirs`` are the clusters of the positives and negatives. A draw without rows of one side has no
    area: not a number.
    """
    (ours, our_rows), (theirs, their_rows) = (np.unique(side, return_inverse=True) for side in (ours, theirs))
    wins = np.zeros((len(ours), len(theirs)))  # how often a positive beats a negative, between each two clusters
    for score, row in zip(marked, our_rows, strict=True):
        wins[row] += np.bincount(their_rows, (score > clean) + (score == clean) / 2)
    our_sizes, their_sizes = np.bincount(our_rows), np.bincount(their_rows)

    def area(times: Floats) -> Floats:
        positive, negative = times[:, ours], times[:, theirs]
        with np.errstate(invalid="ignore"):
            areas: Floats = np.sum((positive @ wins) * negative, axis=1) / (
                (positive @ our_sizes) * (negative @ their_sizes)
            )
        return areas

    return area


def _spread(fpr: Floats, tpr: Floats, points: int) -> NDArray[np.int64]:
    """Return at most ``points`` indices, with both ends: half even in fpr + tpr, half even in log fpr."""
    along = fpr + tpr
    logarithm = np.log(np.maximum(fpr, fpr[fpr > 0].min()))
    chosen = [np.searchsorted(scale, np.linspace(scale[0], scale[-1], points // 2)) for scale in (along, logarithm)]
    return np.unique(np.concatenate(chosen))


# The null: are p-values of unmarked pictures at least uniform?


class Calibration(NamedTuple):
    """p-values of unmarked pictures against the uniform distribution."""

    rates: dict[str, Interval]  # "1e-3": share of p <= 1e-3, which should not be above 1e-3
    quantiles: list[tuple[float, float]]  # (expected p, observed p): observed should not be below
    ks_p: float | None  # small where p-values are smaller than uniform ones would be


def calibration(log10_p: ArrayLike, clusters: Clusters = None, confidence: float = 0.95) -> Calibration:
    """Compare p-values of unmarked pictures with uniform ones.

    The claim that is tested is that a p-value is stochastically at least uniform, as it must be and as a
    conservative or discrete one is. ``ks_p`` is the exact p-value of Smirnov's one-sided test for independent rows;
    it sees the bulk, and the rates see the tail. Different keys on one picture give independent rows where the
    p-value holds for every picture.

    >>> found = calibration(np.log10((np.arange(1000) + 0.5) / 1000))
    >>> found.rates["1e-2"].value, found.quantiles[-1], found.ks_p > 0.9
    (0.01, (1.0, 0.9995), True)
    """
    ordered = np.sort(np.asarray(log10_p, dtype=np.float64))
    n = len(ordered)
    rates = {f"1e-{k}": tpr_at(log10_p, 10.0**-k, clusters, confidence) for k in range(1, 7)}
    if not n:
        return Calibration(rates, [], None)
    expected = 10.0 ** (-np.arange(int(4 * math.log10(n)), -1, -1) / 4)
    ranks = np.ceil(expected * n - 1e-9).astype(int)
    observed = 10.0 ** np.maximum(ordered[ranks - 1], LEAST_LOG10)
    excess = float(np.max(np.arange(1, n + 1) / n - 10.0**ordered))
    return Calibration(
        rates, list(zip(expected.tolist(), observed.tolist(), strict=True)), stats.smirnov_tail(excess, n)
    )


# Quality at performance (WAVES)


class Normaliser(NamedTuple):
    """The values of a metric at which an attacked picture counts as mildly (0.1) and as severely (0.9) degraded."""

    mild: float
    severe: float


def normalisers(values: Mapping[str, Sequence[float]]) -> dict[str, Normaliser]:
    """Return the scale of each metric: its 10 % and 90 % quantiles over all attacked pictures of a run.

    An et al., "WAVES: benchmarking the robustness of image watermarks", ICML 2024: metrics as different as dB
    and distances become comparable. ``values`` has for every metric of ``markai.metrics.METRICS`` what it gave.
    Infinite values, the PSNR of equal pictures, are left out, and so are metrics that do not vary.

    >>> normalisers({"psnr": [20.0, 30.0, 40.0], "ciede2000": [1.0, 1.0]})
    {'psnr': Normaliser(mild=38.0, severe=22.0)}
    """
    found = {}
    for name, measured in values.items():
        finite = np.asarray([value for value in measured if math.isfinite(value)], dtype=np.float64)
        if not finite.size:
            continue
        low, high = (float(value) for value in np.quantile(finite, [0.1, 0.9]))
        if low < high:
            found[name] = Normaliser(high, low) if METRICS[name].higher_is_better else Normaliser(low, high)
    return found


def degradation(values: Mapping[str, float], scales: Mapping[str, Normaliser]) -> float | None:
    """Return WAVES' normalized quality degradation of one attacked picture: the mean over its metrics.

    0.1 is the mild and 0.9 the severe end of the run, greater is worse, and values beyond go on linearly. An
    infinite PSNR counts as 0.1. None where no metric has a scale.

    >>> degradation({"psnr": 30.0}, {"psnr": Normaliser(38.0, 22.0)})
    0.5
    """
    parts = []
    for name, scale in scales.items():
        if name in values:
            value = values[name] if math.isfinite(values[name]) else scale.mild
            parts.append(0.1 + 0.8 * (value - scale.mild) / (scale.severe - scale.mild))
    return math.fsum(parts) / len(parts) if parts else None


def quality_at(points: Iterable[tuple[float, float]], performance: float) -> float | None:
    """Return the degradation at which an attack first brings the TPR down to ``performance``: WAVES' Q@P.

    ``points`` are (degradation, TPR at fpr 1e-3) by growing strength, joined by straight lines. None (WAVES: inf)
    where the TPR stays above at every strength; -inf, as in WAVES, where the mildest is already below.

    >>> quality_at([(0.25, 1.0), (0.5, 0.5), (0.75, 0.0)], 0.75)
    0.375
    >>> quality_at([(0.1, 1.0)], 0.7), quality_at([(0.1, 0.5)], 0.7)
    (None, -inf)
    """
    before: tuple[float, float] | None = None
    for quality, tpr in points:
        if tpr <= performance:
            if before is None:
                return quality if tpr == performance else -math.inf
            share_of_way = (before[1] - performance) / (before[1] - tpr)
            return before[0] + share_of_way * (quality - before[0])
        before = quality, tpr
    return None
