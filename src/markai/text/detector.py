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
from markai.text.base import Ids, Read, Reading, Scorer, Scores, as_ids
from markai.text.contexts import Occurrences, occurrences
from markai.text.cover import Cover
from markai.text.result import Segment, TextDetection
from markai.text.weights import Weights

# Decades of evidence that a marked token brings at best, about: text with 4 nats a token (docs/text.md).
DECADES_PER_TOKEN = 1.0


@dataclass(frozen=True)
class Evidence:
    """What one scorer sees in a text: the whole of it, and the best of its windows, each corrected for rivals."""

    scorer: Scorer
    seen: Occurrences
    scores: Scores
    weights: NDArray[np.int64]
    log10_whole: float
    log10_best: float
    hypotheses: int
    payload: bytes | None = None

    @property
    def log10_p(self) -> float:
        return either(self.log10_whole, self.log10_best)


def detect(
    ids: ArrayLike,
    scorers: Sequence[Scorer],
    fpr: float = 1e-6,
    *,
    entropies: ArrayLike | None = None,
    surprisals: ArrayLike | None = None,
    prompt: int = 0,
    special: Collection[int] = (),
    scan: bool = True,
    among: int | None = None,
) -> TextDetection:
    """Return what the likeliest of the scorers sees in token ids (n,), corrected for all of them.

    The first ``prompt`` ids are context and no evidence; ``special`` ids (padding, turn markers) are neither.
    ``entropies`` (n,), in nats, of the distributions that the tokens were drawn from, and ``surprisals`` (n,) of the
    tokens, by any language model that stands in for the one that wrote the text, give weights (``weights.py``) and
    leave the p-value true. ``scan=False`` leaves the search for passages out. ``among`` is how many scorers are tried
    in all, where these are not all.

    >>> from markai import Key
    >>> from markai.text.mark import TextMark
    >>> detect(np.arange(400) * 7 % 1000, [TextMark(Key(bytes(32)), "gumbel")]).verdict
    'absent'

    Raises:
        MethodError: if there is no scorer, the rate is not between 0 and 1, or there are not as many nats as ids.
        TypeError, ValueError: if the ids are none.
    """
    if not scorers or not 0 < fpr < 1:
        raise MethodError(f"detection needs a mark to look for, and an fpr between 0 and 1, not {fpr}")
    tokens = as_ids(ids)
    weights = Weights(len(tokens), entropies, surprisals)
    seen: dict[tuple[int, str], Occurrences] = {}
    found = []
    for scorer in scorers:
        what = scorer.width, scorer.once
        if what not in seen:
            seen[what] = occurrences(tokens, *what, start=prompt, excluded=special)
        found.append(evidence(scorer, seen[what], weights, scan))
    best = min(found, key=lambda each: each.log10_p)
    return _answer(best, found, fpr, tokens, among or len(found))


def evidence(scorer: Scorer, seen: Occurrences, weights: Weights, scan: bool = True) -> Evidence:
    """Score what was seen.

    With payloads there is one answer for each length, and a word of n free bits has 2**n rivals: what it would take to
    find it by chance among them all. The four lengths share the error evenly.
    """
    by_token = weights.of(seen.positions, scorer.width)
    read: Read | None = getattr(scorer, "read", None)
    readings = read(seen.windows, seen.tokens, by_token) if read else None
    if readings is None:
        return _weighed(scorer, seen, scorer.scores(seen.windows, seen.tokens), by_token, scan)
    found = [_weighed(scorer, seen, each.scores, by_token, scan, each, len(readings)) for each in readings]
    return min(found, key=lambda each: each.log10_p)


def _weighed(
    scorer: Scorer,
    seen: Occurrences,
    scores: Scores,
    weights: NDArray[np.int64],
    scan: bool,
    reading: Reading | None = None,
    lengths: int = 1,
) -> Evidence:
    at = np.flatnonzero((scores >= 0) & (weights > 0))
    seen, scores, weights = Occurrences(seen.windows[at], seen.tokens[at], seen.positions[at]), scores[at], weights[at]
    counts = np.bincount(weights, minlength=2).tolist()
    rivals = lengths << (reading.log2_rivals if reading else 0)
    whole = corrected(log10_score_tail(int(scores @ weights), scorer.null, counts), rivals)
    cover = Cover(scores, weights, scorer.null) if scan and len(at) else ()
    best = corrected(cover.best(), rivals) if isinstance(cover, Cover) else 0.0
    payload = reading.payload if reading else None
    return Evidence(scorer, seen, scores, weights, whole, best, rivals * (1 + len(cover)), payload)


def _answer(best: Evidence, found: Sequence[Evidence], fpr: float, tokens: Ids, among: int) -> TextDetection:
    log10_p = corrected(best.log10_p, among)
    detected = log10_p <= math.log10(fpr)
    return TextDetection(
        log10_p_value=log10_p,
        fpr=fpr,
        payload=best.payload if detected else None,
        method=f"text-{best.scorer.name}" if detected else None,
        key_id=best.scorer.key_id if detected else None,
        tests=sum(each.hypotheses for each in found),
        reasons=() if detected else _reasons(best, among, fpr),
        tokens=len(tokens),
        scored=len(best.seen),
        segments=_segments(best, math.log10(fpr / among)) if detected else (),
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
