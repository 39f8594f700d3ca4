"""False positives in text, over keys, for every scheme; the search for passages; what each correction is for."""

import math
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from markai import Key
from markai.errors import MethodError
from markai.stats import log10_score_tail
from markai.text import TextMark, detect
from markai.text.base import as_ids
from markai.text.contexts import occurrences
from markai.text.cover import Cover, windows
from markai.text.detector import evidence
from markai.text.levels import Levels, green_levels, gumbel_levels, sum_of_bits
from markai.text.weights import Weights

sys.path.insert(0, str(Path(__file__).parent))
import text_corpora

KINDS = [
    ("bias", {}),
    ("bias", {"hashing": "self", "width": 4}),
    ("gumbel", {}),
    ("gumbel", {"width": 1}),
    ("tournament", {}),
]
NAMES = [f"{scheme} {parameters}" for scheme, parameters in KINDS]
TEXTS = [name for name in text_corpora.NAMES if not name.startswith("shared/")]


def key(seed):
    return Key(np.random.default_rng([77, seed]).bytes(32))


@cache
def ids_of(name, count=600):
    """Words as ids: what repeats in a text repeats in them."""
    words = text_corpora.adversarial(name)[:20_000].split()[:count]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return np.array([numbers[word] for word in words])


@pytest.mark.parametrize(("scheme", "parameters"), KINDS, ids=NAMES)
def test_null_p_values_are_never_too_small(scheme, parameters):
    """30 keys on each text: no excess of small p-values (one-sided Kolmogorov-Smirnov)."""
    found = []
    for name in TEXTS:
        seen = None
        for seed in range(30):
            mark = TextMark(key(seed), scheme, **parameters)
            seen = seen or occurrences(as_ids(ids_of(name)), mark.width, mark.once)
            each = evidence(mark, seen, Weights(len(ids_of(name))))
            found += [each.log10_whole, each.log10_p]
    whole, both = 10.0 ** np.array(found[::2]), 10.0 ** np.array(found[1::2])
    for p in (whole, both):
        assert stats.kstest(p, "uniform", alternative="greater").pvalue > 1e-3
        for rate in (0.1, 0.01):
            assert stats.binomtest(int((p <= rate).sum()), len(p), rate, alternative="greater").pvalue > 1e-3


def test_null_p_values_of_payload_readers_are_never_too_small():
    ids = ids_of(TEXTS[0], 300)
    p = [TextMark(key(seed), "gumbel", payload=True).detect(ids).p_value for seed in range(25)]
    assert min(p) > 1e-3
    found = [TextMark(key(seed), "gumbel", payload=True).detect(ids).payload for seed in range(25)]
    assert set(found) == {None}


def test_weights_leave_the_null_true():
    rng = np.random.default_rng(1)
    ids, nats = ids_of(TEXTS[0], 300), rng.exponential(1, 300)
    p = [TextMark(key(s), "gumbel").detect(ids, entropies=nats, surprisals=2 * nats).p_value for s in range(300)]
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 1e-3


# Where nulls come from


@pytest.mark.parametrize(
    "levels", [gumbel_levels(), green_levels(1 << 30), Levels(np.array([1, 5, 1 << 20], np.uint64))]
)
def test_levels_are_exact(levels):
    assert levels.null.sum() == 1.0
    starts = levels.starts.astype(np.int64)
    edge = np.concatenate([starts, starts - 1]).clip(0, 2**32 - 1).astype(np.uint32)
    expected = [sum(int(start) <= int(word) for start in starts) for word in edge]
    assert levels.scores(edge).tolist() == expected
    words = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    counts = np.bincount(levels.scores(words), minlength=len(levels.null))
    often = levels.null * 1e5 > 5
    z = (counts - 1e5 * levels.null)[often] / np.sqrt(1e5 * levels.null[often])
    assert np.abs(z).max() < 4.5


def test_gumbel_scores_never_understate_a_chance():
    """Against the exponential that they stand for: P(score >= 4 x) <= exp(-x)."""
    tail = np.cumsum(gumbel_levels().null[::-1])[::-1]
    x = np.arange(len(tail)) / 4
    assert (tail <= np.exp(-x) * (1 + 1e-12)).all()
    assert (tail[:60] >= np.exp(-x[:60]) * (1 - 1e-3)).all()


def test_sum_of_bits_is_exact():
    weights = np.array([3, 1, 2, 2])
    sums = [weights @ [i >> b & 1 for b in range(4)] for i in range(16)]
    assert np.array_equal(sum_of_bits(weights), np.bincount(sums) / 16)


# Passages


def test_every_passage_fills_a_window_by_a_third():
    for count in (10, 16, 40, 257, 1000):
        first, last = windows(count)
        assert len(first) == len(set(zip(first, last, strict=True)))
        assert last.max(initial=count) == count
        for length in (24, 60, 200):
            for start in range(0, count - length, 7):
                inside = (first >= start) & (last <= start + length)
                assert (last - first)[inside].max() >= length / 3


@pytest.mark.parametrize(("scheme", "parameters"), [("gumbel", {}), ("bias", {"delta": 4.0})])
def test_a_marked_passage_is_found_in_a_long_text(scheme, parameters):
    rng = np.random.default_rng(4)
    mark, ids = TextMark(key(1), scheme, **parameters), rng.integers(0, 3000, 2000).tolist()
    passage = ids[:900]
    for _ in range(200):
        logits = rng.gumbel(0, 1, 3000).astype(np.float32)
        passage.append(int(np.argmax(mark.step(passage, logits))))
    ids = passage + ids[1100:]
    found = mark.detect(ids)
    assert found.detected
    assert len(found.segments) <= 3
    assert abs(found.segments[0].start - 900) < 10
    assert abs(found.segments[-1].end - 1100) < 10
    assert not mark.detect(ids, scan=False) or mark.detect(ids, scan=False).log10_p_value > found.log10_p_value
    twice = mark.detect(passage + ids[1100:] + passage[800:] + ids[:500])  # the second copy says nothing new
    assert len(twice.segments) == len(found.segments)


def test_the_cover_never_beats_the_exact_tail():
    rng = np.random.default_rng(0)
    null = np.array([0.75, 0.25])
    for _ in range(40):
        n = int(rng.integers(20, 300))
        scores, weights = (rng.random(n) < rng.choice([0.25, 0.6])).astype(np.int64), rng.integers(1, 4, n)
        cover = Cover(scores, weights, null)
        first, last = cover.first, cover.last
        exact = [cover.log10_tail(a, b) for a, b in zip(first, last, strict=True)]
        bound = -cover.evidence() / math.log(10)
        assert (np.array(exact) <= bound + 1e-9).all()
        best = min(exact) + math.log10(len(cover))
        assert min(0.0, best) - 1e-9 <= cover.best() <= min(0.0, best) + 2


# Corrections


def test_every_scorer_is_corrected_for():
    ids = np.random.default_rng(0).integers(0, 50, 200)
    marks = [TextMark(key(seed), "gumbel") for seed in range(20)]
    single = [mark.detect(ids) for mark in marks]
    together = detect(ids, marks)
    best = min(each.log10_p_value for each in single)
    assert together.log10_p_value == pytest.approx(min(0.0, best + math.log10(20)))
    assert together.tests == sum(each.tests for each in single)
    among = detect(ids, marks[:1], among=1000)
    assert among.log10_p_value == pytest.approx(min(0.0, single[0].log10_p_value + 3))
    with pytest.raises(MethodError, match="a mark to look for"):
        detect(ids, [])


def test_detection_at_the_edge_of_the_rate():
    mark, rng = TextMark(key(3), "bias", delta=3.0), np.random.default_rng(0)
    ids = [1, 2]
    for _ in range(60):
        ids.append(int(np.argmax(mark.step(ids, rng.gumbel(size=200).astype(np.float32)))))
    p = mark.detect(ids).p_value
    assert mark.detect(ids, fpr=p * 1.000001).detected
    assert not mark.detect(ids, fpr=p * 0.999999).detected


def test_insufficient_is_said_before_absent():
    mark = TextMark(key(0), "bias")
    short, longer = np.arange(12), np.arange(400)
    assert mark.detect(short).verdict == "insufficient"
    assert "10 tokens can be scored" in mark.detect(short).reasons[0]
    assert mark.detect(longer).verdict == "absent"


def test_a_tail_of_nothing_is_one():
    assert log10_score_tail(0, np.array([0.5, 0.5]), [0, 0]) == 0.0
