"""False positives in text at scale: random keys on texts that nobody marked, each scheme and each reader of payloads.

What a text repeats does not depend on the key, so it is found once and scored under thousands of keys. Of every trial
(text, key) several p-values are kept, for each correction hides what is below it: that of the whole detection, search
for passages included; that of the sum over the text, corrected for nothing; the same with ties split at random, which
is uniform where the null is right, while sums of few values leave room below; and that of one window, drawn at random.
Every tenth trial also weighs tokens by the model. Tails of the same score are computed once. One trial in 500 goes
through ``detect`` as well, which computes everything anew and must say the same. Green lists have a million trials,
other schemes, which share all but the levels of a score with them, 70,000, and readers of payloads fewer still, for
their decoder takes most of the time. ``text.py`` runs this; resumable per text and scheme.
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from common import ROOT
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

import text_corpora
from markai import Key, stats
from markai.bench.methods import Trial
from markai.bench.text import methods
from markai.bench.text.author import Author
from markai.bench.text.marks import Tokens
from markai.bench.text.peers import GreenLists
from markai.text import cover, detector
from markai.text.base import Ids, Scorer
from markai.text.contexts import occurrences
from markai.text.ngram import TEMPERATURE
from markai.text.schemes import SCHEMES as OF_MARKS
from markai.text.schemes import Bias, Gumbel, Tournament
from markai.text.weights import Weights
from markai.text.words import WordMark, word_ids

LEVELS = ("whole", "text", "split", "window", "weighted whole", "weighted text")
SCHEMES = ("text-bias", "text-bias@hashing=self,width=4", "text-gumbel", "text-tournament", "text-words")
READERS = ("text-bias@payload=4", "text-gumbel@payload=4", "text-tournament@payload=4")
THEIRS = {"transformers/lefthash": GreenLists("lefthash"), "transformers/selfhash": GreenLists("selfhash")}
SHARES = {"text-bias": 1}  # of the number of trials a scheme has one in so many, as given here or
SHARE, PAYLOAD_SHARE = 16, 500  # one of these, readers of payloads the second
THEIR_KEYS = 4  # for each text, of the detectors of transformers
WEIGHTED_EVERY, FOUND_EVERY = 10, 500
LENGTHS = (100, 200, 400, 1000)  # tokens
PASSAGES = 8  # of each corpus
EXTRAS = 8  # texts of each kind that is made from ids
FIXED_LENGTH, MOST_FIXED = 200, 1000  # tokens, and passages of a corpus, that are read under one fixed key
PAD = 0  # the id that fills up


@dataclass(frozen=True, eq=False)
class Case:
    """A text that nobody marked under the keys that it is read under."""

    kind: str
    name: str
    ids: Ids


def key_of(*purpose: Any) -> Key:
    """Return the key that every run draws for a purpose."""
    return Key(hashlib.sha256(" ".join(map(str, ("text null", *purpose))).encode()).digest())


@cache
def author() -> Author:
    return Author.of(TEMPERATURE)


def cases() -> list[Case]:
    """Return passages of all corpora, and texts that only ids can have."""
    of_corpora = [
        Case(name, f"{name} {number}", passage)
        for name in text_corpora.NAMES
        for number, passage in enumerate(passages(name))
    ]
    return [*of_corpora, *extras()]


@cache
def encoded(name: str) -> Ids:
    return author().encode(text_corpora.adversarial(name))


def passages(name: str) -> Iterator[Ids]:
    """Yield passages of a corpus, of all lengths in turn, from places that are spread evenly."""
    ids = encoded(name)
    for place, length in zip(np.linspace(0, 0.9, PASSAGES), cycle(LENGTHS)):
        start = min(int(place * len(ids)), max(0, len(ids) - length))
        yield ids[start : start + length]


def extras() -> Iterator[Case]:
    """Yield padded ids, random ids, what the model writes with and without choice, and other keys' marks."""
    marks = cycle(("text-gumbel", "text-bias", "text-tournament", "text-gumbel@payload=4"))
    for number, (prose, mark) in enumerate(islice(zip(passages("prose"), marks, strict=False), EXTRAS)):
        rng = np.random.default_rng([5, number])
        padding = np.full(400 - 20 * number, PAD, np.uint32)
        yield Case("padded ids", f"padded ids {number}", np.concatenate([prose[: 40 + 40 * number], padding]))
        yield Case("random ids", f"random ids {number}", rng.integers(0, author().vocab_size, 300, dtype=np.uint32))
        yield Case("the model", f"the model {number}", author().write(prose[:8], 300, rng))
        stuck = Author(author().small, 0.2).write(prose[:8], 400, rng)
        yield Case("the model, stuck", f"the model, stuck {number}", stuck)
        method = methods.load(mark)
        trial = Trial(key_of("another's", number), b"mark"[: method.payload_bytes])
        yield Case("another key's mark", f"another {number}", method.write(author(), prose[:8], 300, trial, rng))


@lru_cache(maxsize=1 << 20)
def tail_of(score: int, null: bytes, counts: tuple[int, ...]) -> float:
    return stats.log10_score_tail(score, np.frombuffer(null), counts)


windows_of = lru_cache(maxsize=1 << 12)(cover.windows)
SHARED = {each.name: cache(each) for each in (Bias, Gumbel, Tournament)}  # their tables do not depend on the key


@contextmanager
def computed_once() -> Iterator[None]:
    """Let the detector compute tails, windows and what a scheme keeps in tables once in a process."""

    def tail(score: int, null: NDArray[np.float64], counts: Sequence[int]) -> float:
        return tail_of(score, null.tobytes(), tuple(counts))

    with ExitStack() as patches:
        for module in (detector, cover):
            patches.enter_context(mock.patch.object(module, "log10_score_tail", tail))
        patches.enter_context(mock.patch.object(cover, "windows", windows_of))
        patches.enter_context(mock.patch.dict(OF_MARKS, SHARED))
        yield


def scorers(name: str) -> Callable[[Key], Scorer]:
    """Return what makes the scorer of a scheme from a key."""
    if name == "text-words":
        return WordMark
    method = methods.load(name)
    assert isinstance(method, Tokens)
    return lambda key: method.scorer(author(), key)


def trials(case: Case, name: str, number: int) -> dict[str, Any]:
    """Return log10 p (number, 6) of a text under that many keys, NaN for what was not asked, and payloads claimed."""
    make, words = scorers(name), name == "text-words"
    ids = word_ids(author().decode(case.ids)) if words else case.ids
    first = make(key_of("first"))
    seen = occurrences(ids, first.width, first.once)
    plain = Weights(len(ids))
    weighed = plain if words else Weights(len(ids), *author().nats(ids))
    rng = np.random.default_rng(list(hashlib.sha256(f"{case.name} {name}".encode()).digest()))
    rows, payloads = np.full((number, len(LEVELS)), np.nan), 0
    with computed_once():
        for trial in range(number):
            scorer = make(key_of(case.name, name, trial))
            found = detector.evidence(scorer, seen, plain)
            rows[trial, :4] = found.log10_p, found.log10_whole, split(found, rng), window(found, rng)
            payloads += found.payload is not None
            if trial % WEIGHTED_EVERY == 0 and not words:
                found = detector.evidence(scorer, seen, weighed)
                rows[trial, 4:] = found.log10_p, found.log10_whole
    check(case, ids, name, rows)
    return {"log10": rows.astype(np.float32), "payloads": payloads}


def split(found: detector.Evidence, rng: np.random.Generator) -> float:
    """Return log10 p of the sum over the text with ties split: drawn evenly from between P(S > s) and P(S >= s)."""
    score, counts = int(found.scores @ found.weights), tuple(np.bincount(found.weights, minlength=2).tolist())
    least, most = (10.0 ** tail_of(each, found.scorer.null.tobytes(), counts) for each in (score + 1, score))
    return math.log10(most - float(rng.random()) * (most - least))


def window(found: detector.Evidence, rng: np.random.Generator) -> float:
    """Return log10 p of one window, chosen before anything was scored."""
    first, last = windows_of(len(found.scores))
    if not len(first):
        return math.nan
    at = int(rng.integers(len(first)))
    score = int(found.scores[first[at] : last[at]].sum())
    return tail_of(score, found.scorer.null.tobytes(), (0, int(last[at] - first[at])))


def check(case: Case, ids: Ids, name: str, rows: NDArray[np.float64]) -> None:
    """Hold some trials against the detector as everybody calls it."""
    for trial in range(0, len(rows), FOUND_EVERY):
        told = detector.detect(ids, [scorers(name)(key_of(case.name, name, trial))]).log10_p_value
        if not math.isclose(told, rows[trial, 0], abs_tol=1e-9):
            raise AssertionError(f"{case.name}, {name}, key {trial}: detect says {told}, the harness {rows[trial, 0]}")


def theirs(case: Case, name: str) -> dict[str, Any]:
    """Return log10 p (THEIR_KEYS, 2): by the detector of transformers at its defaults, and by our profile of it."""
    method, rows = THEIRS[name], []
    for trial in range(THEIR_KEYS):
        key = key_of(case.name, name, trial)
        profile = detector.detect(case.ids, [method.scorer(author(), key)]).log10_p_value
        rows.append((method.own(author(), case.ids, key), profile))
    return {"log10": np.array(rows)}


def fixed(corpus: str, name: str) -> dict[str, Any]:
    """Return log10 p of all passages of a corpus under one fixed key."""
    scorer, ids = scorers(name)(key_of("fixed")), encoded(corpus)
    parts = [ids[at : at + FIXED_LENGTH] for at in range(0, len(ids), FIXED_LENGTH)][:MOST_FIXED]
    if name == "text-words":
        parts = [word_ids(author().decode(part)) for part in parts]
    return {"log10": np.array([detector.detect(part, [scorer]).log10_p_value for part in parts])}


# Running


Task = tuple[str, int, str, int]  # what, which text or corpus, scheme, keys


def run(task: Task, todo: Sequence[Case], path: Path) -> None:
    what, index, name, number = task
    if what == "fixed":
        found = fixed(text_corpora.NAMES[index], name)
    else:
        found = trials(todo[index], name, number) if what == "trials" else theirs(todo[index], name)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **found)
    partial.rename(path)


_TODO: list[Case] = []  # what processes inherit: building it takes as long as training the model


def _run(task: Task, path: Path) -> None:
    run(task, _TODO, path)


def measure(number: int, work: Path, jobs: int) -> dict[str, Any]:
    """Run what is missing of all schemes, ``number`` trials of the first, and return the counts."""
    todo = cases()
    _TODO[:] = todo
    each = -(-number // len(todo))
    few = max(1, each // PAYLOAD_SHARE)
    shares = [(name, max(1, each // SHARES.get(name, SHARE))) for name in SCHEMES]
    tasks: list[Task] = [("trials", at, name, count) for name, count in shares for at in range(len(todo))]
    tasks += [("theirs", at, name, THEIR_KEYS) for name in THEIRS for at in range(len(todo))]
    tasks += [("fixed", at, name, 1) for name in SCHEMES for at in range(len(text_corpora.NAMES))]
    tasks += [("trials", at, name, few) for name in READERS for at in range(len(todo))]
    folder = work / digest()
    folder.mkdir(parents=True, exist_ok=True)
    paths = {task: folder / ("-".join(map(str, task)).replace("/", "_") + ".npz") for task in tasks}
    missing = [task for task in tasks if not paths[task].exists()]
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar, ProcessPoolExecutor(jobs) as pool:
        shown = bar.add_task("null", total=len(tasks), completed=len(tasks) - len(missing))
        for done in as_completed([pool.submit(_run, task, paths[task]) for task in missing]):
            done.result()
            bar.advance(shown)
    return summary(todo, {task: dict(np.load(path)) for task, path in paths.items()})


def digest() -> str:
    """Return what stands for all the code that a p-value depends on: with other code nothing is taken up."""
    import markai

    package = Path(markai.__file__).parent
    files = [*sorted((package / "text").rglob("*.py")), package / "stats.py", ROOT / "tests" / "text_corpora.py"]
    own = "".join(map(inspect.getsource, (passages, extras, trials, split, window, theirs, fixed, computed_once)))
    return hashlib.sha256(b"".join([file.read_bytes() for file in files] + [own.encode()])).hexdigest()[:12]


# Counting


def against_nominal(log10: NDArray[np.floating[Any]], rates: Sequence[int] = (2, 3, 4, 5)) -> dict[str, Any]:
    """Return how often p-values are below each rate, with an interval, and how likely that many are at the most."""
    known = log10[~np.isnan(log10)].astype(np.float64)
    levels = {}
    for k in rates:
        count, nominal = int((known <= -k).sum()), len(known) * 10.0**-k
        low, high = stats.clopper_pearson(count, len(known))
        tail = 10 ** stats.log10_binomial_tail(count, len(known), 10.0**-k)
        ratio = count / nominal if nominal else 0.0
        levels[f"1e-{k}"] = {
            "count": count,
            "nominal": nominal,
            "ratio": ratio,
            "low": low,
            "high": high,
            "chance": tail,
        }
    return {"trials": len(known), "smallest_log10_p": float(known.min(initial=0.0)), "levels": levels}


def summary(todo: Sequence[Case], found: dict[Task, dict[str, Any]]) -> dict[str, Any]:
    """Return the counts of all schemes, over all texts and by kind of text."""

    def rows(what: str, name: str, kind: str | None = None) -> NDArray[np.floating[Any]]:
        return np.concatenate(
            [
                one["log10"]
                for task, one in found.items()
                if (task[0], task[2]) == (what, name) and (kind is None or todo[task[1]].kind == kind)
            ]
        )

    kinds = list(dict.fromkeys(case.kind for case in todo))
    ours = {}
    for name in (*SCHEMES, *READERS):
        log10 = rows("trials", name)
        levels = LEVELS if name in SCHEMES else ("whole", "weighted whole")
        ours[name] = {
            level: against_nominal(log10[:, LEVELS.index(level)])
            for level in levels
            if not np.isnan(log10[:, LEVELS.index(level)]).all()
        }
        ours[name]["kinds"] = {kind: against_nominal(rows("trials", name, kind)[:, 0]) for kind in kinds}
        ours[name]["payloads"] = sum(
            int(one["payloads"]) for task, one in found.items() if task[0] == "trials" and task[2] == name
        )
    others = {}
    for name in THEIRS:
        own, profile = rows("theirs", name).T
        others[name] = {"own": against_nominal(own), "profile": against_nominal(profile)}
        others[name]["kinds"] = {kind: against_nominal(rows("theirs", name, kind)[:, 0]) for kind in kinds}
    one_key = {
        name: against_nominal(
            np.concatenate([one["log10"] for task, one in found.items() if (task[0], task[2]) == ("fixed", name)]),
            (2, 3, 4, 5, 6),
        )
        for name in SCHEMES
    }
    return {
        "texts": len(todo),
        "kinds": {kind: sum(case.kind == kind for case in todo) for kind in kinds},
        "schemes": ours,
        "theirs": others,
        "fixed_key": one_key,
    }
