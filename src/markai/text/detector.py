"""Token ids in, one honest p-value out: whatever the mark, as long as its scores have a known null.

For every scorer (a scheme under a key, or another's mark) there are two pieces of evidence: the sum of the scores of
the whole text, and that of the best window of a cover of it (``cover.py``). Half of the error goes to each, the second
half is shared by all windows, and everything by all scorers.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markai.errors import MethodError
from markai.stats import corrected, either, log10_score_tail
from markai.text.base import Ids, Scorer, Scores, as_ids
from markai.text.contexts import Occurrences, occurrences
from markai.text.cover import Cover
from markai.text.result import Segment, TextDetection

# Weights are whole numbers, so that weighted sums have exact tails too. Finer or larger ones find no more.
MOST_WEIGHT = 8
PER_NAT = 2.0
# Decades of evidence that a marked token brings at best, about: text with 4 nats a token (docs/text.md).
DECADES_PER_TOKEN = 1.0


@dataclass(frozen=True)
class Evidence:
    """What one scorer sees in a text."""

    scorer: Scorer
    seen: Occurrences
    scores: Scores
    weights: NDArray[np.int64]
    log10_whole: float
    log10_best: float  # of the windows, corrected for their number
    hypotheses: int

    @property
    def log10_p(self) -> float:
        return either(self.log10_whole, self.log10_best)


def detect(
    ids: ArrayLike,
    scorers: Sequence[Scorer],
    fpr: float = 1e-6,
    *,
    entropies: ArrayLike | None = None,
    prompt: int = 0,
    special: Collection[int] = (),
    scan: bool = True,
    among: int | None = None,
) -> TextDetection:
    """Return what the likeliest of the scorers sees in token ids (n,), corrected for all of them.

    The first ``prompt`` ids are context and no evidence; ``special`` ids (padding, turn markers) are neither.
    ``entropies`` (n,), in nats, of the distribution from which each token was drawn, from any language model that
    stands in for the one that wrote the text, give weights: where there was no choice there is no mark.
    Weights that depend on the text alone leave the p-value true. ``scan=False`` leaves the search for passages out.
    ``among`` is how many scorers are tried in all, where these are not all.

    >>> from markai import Key
    >>> from markai.text.mark import TextMark
    >>> detect(np.arange(400) * 7 % 1000, [TextMark(Key(bytes(32)), "gumbel")]).verdict
    'absent'

    Raises:
        MethodError: if there is no scorer, the rate is not between 0 and 1, or there is not one entropy for each id.
        TypeError, ValueError: if the ids are none.
    """
    if not scorers or not 0 < fpr < 1:
        raise MethodError(f"detection needs a mark to look for, and an fpr between 0 and 1, not {fpr}")
    tokens = as_ids(ids)
    weights = _weights(entropies, len(tokens))
    seen: dict[tuple[int, str], Occurrences] = {}
    found = []
    for scorer in scorers:
        what = scorer.width, scorer.once
        if what not in seen:
            seen[what] = occurrences(tokens, *what, start=prompt, excluded=special)
        found.append(evidence(scorer, seen[what], weights, scan))
    best = min(found, key=lambda each: each.log10_p)
    return _answer(best, found, fpr, tokens, among or len(found))


def evidence(scorer: Scorer, seen: Occurrences, weights: NDArray[np.int64] | None, scan: bool = True) -> Evidence:
    """Score what was seen; ``weights`` (tokens of the text,) or None where all count alike."""
    scores = scorer.scores(seen.windows, seen.tokens)
    counted = scores >= 0
    if weights is not None:
        counted &= weights[seen.positions] > 0
    if not counted.all():
        at = np.flatnonzero(counted)
        seen, scores = Occurrences(seen.windows[at], seen.tokens[at], seen.positions[at]), scores[at]
    by_token = np.ones(len(seen), np.int64) if weights is None else weights[seen.positions]
    whole = log10_score_tail(int(scores @ by_token), scorer.null, np.bincount(by_token, minlength=2).tolist())
    if not scan or not len(seen):
        return Evidence(scorer, seen, scores, by_token, whole, 0.0, 2)
    cover = Cover(scores, by_token, scorer.null)
    return Evidence(scorer, seen, scores, by_token, whole, cover.best(), 1 + len(cover))


def _weights(entropies: ArrayLike | None, count: int) -> NDArray[np.int64] | None:
    if entropies is None:
        return None
    nats = np.asarray(entropies, np.float64)
    if nats.shape != (count,) or not np.isfinite(nats).all():
        raise MethodError(f"{count} ids need {count} finite entropies in nats, not an array of shape {nats.shape}")
    return np.clip(np.rint(PER_NAT * nats), 0, MOST_WEIGHT).astype(np.int64)


def _answer(best: Evidence, found: Sequence[Evidence], fpr: float, tokens: Ids, among: int) -> TextDetection:
    log10_p = corrected(best.log10_p, among)
    detected = log10_p <= math.log10(fpr)
    payload, payload_log10_p = None, None
    if detected and hasattr(best.scorer, "read"):
        payload, payload_log10_p = best.scorer.read(best.seen, best.weights)
    return TextDetection(
        log10_p_value=log10_p,
        fpr=fpr,
        payload=payload,
        method=f"text-{best.scorer.name}" if detected else None,
        key_id=best.scorer.key_id if detected else None,
        tests=sum(each.hypotheses for each in found),
        reasons=() if detected else _reasons(best, among, fpr),
        tokens=len(tokens),
        scored=len(best.seen),
        segments=_segments(best, math.log10(fpr / among)) if detected else (),
        payload_log10_p=payload_log10_p,
    )


def _segments(best: Evidence, log10_level: float) -> tuple[Segment, ...]:
    at = best.seen.positions
    passages = Cover(best.scores, best.weights, best.scorer.null).passages(log10_level)
    if best.log10_whole <= min([each.log10_p for each in passages], default=0.0):
        return (Segment(int(at[0]), int(at[-1]) + 1, best.log10_whole),)
    return tuple(Segment(int(at[each.first]), int(at[each.last - 1]) + 1, each.log10_p) for each in passages)


def _reasons(best: Evidence, scorers: int, fpr: float) -> tuple[str, ...]:
    """Say why no answer was possible, where even a text that is marked throughout would not have reached the rate."""
    wanted = -math.log10(fpr) + math.log10(2 * scorers)
    per_token = min(DECADES_PER_TOKEN, -math.log10(best.scorer.null[-1]))
    if per_token * len(best.seen) < wanted:
        return (
            f"{len(best.seen)} tokens can be scored, at least {math.ceil(wanted / per_token)} are needed at {fpr:g}",
        )
    return ()
