"""False positives at scale: random keys on pictures that nobody marked, with the whole search on.

    python benchmarks/null.py [--method dwt-dct] [--trials 1100000] [--ring 45] [--jobs 2] [--pictures FOLDER]

What a picture shows does not depend on the key, so it is looked at once and searched under thousands of keys. Of every
trial (picture, key) p-values are kept, for each correction hides what is below it: that of one search, drawn from all
places and turns; that of one hypothesis in it, a shift and a nonce, which is corrected for nothing; and every twentieth
time, for it takes fifty searches, that of the whole detection. One trial in 500 also goes through ``find``,
payloads and all, and must say the same; every picture is read under one fixed key, and by ``markai.detect`` under a
ring of keys. All pictures meet the same keys but for the rings'. Resumable per picture; writes ``results/null.json``,
or ``null_learned.json``.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import hashlib  # noqa: E402
import math  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from concurrent.futures import ProcessPoolExecutor, as_completed  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from functools import cache  # noqa: E402
from itertools import cycle  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402
from unittest import mock  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, ROOT, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn  # noqa: E402

import markai  # noqa: E402
from markai import Key, KeyRing, attacks, stats, watermarks  # noqa: E402
from markai.bench.pictures import Source, from_files, generated, spread, structured  # noqa: E402
from markai.watermarks import search as reading  # noqa: E402
from markai.watermarks.carriers import NONCES, Carriers, Complex, carriers_for  # noqa: E402
from markai.watermarks.sync import FINE, GRID, POSITIONS, peak_at, search  # noqa: E402

FPR = 1e-6
LEVELS = ("whole", "search", "hypothesis")
WHOLE_EVERY = 20  # trials: how often everything is searched, not one place
FOUND_EVERY = 500  # trials: how often the detector itself is asked
SHORT_SIDE = 512  # of what is changed before it is read, so that 37 megapixels are not rotated
SMALL_SIDES = (72, 100, 140, 200)
TRAIN, SMALL, OTHERS = 150, 32, 32  # pictures
CHANGES = (
    *("resize:0.5", "resize:2", "resize:0.35+jpeg:60", "crop:0.25", "crop:0.1", "jpeg:30", "rotate:17", "mirror"),
    *("rotate-expand:45", "perspective:0.1", "aspect:0.8", "screenshot", "print-photo:0.5", "noise:0.05"),
)
OTHER_CHANGES = ("none", "rotate:5", "resize:0.75", "perspective:0.1")  # of pictures with another key's mark


@dataclass(frozen=True, slots=True)
class Case:
    """A picture without a mark, or with another key's, and what is done to it before it is read."""

    kind: str
    source: Source
    change: str = "none"
    short_side: int | None = None
    marked: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind} {self.source.name} {self.change}"

    def digest(self, *settings: int | str) -> str:
        """Return a file name for what comes of it."""
        return hashlib.sha256(f"{self.name} {settings}".encode()).hexdigest()[:16]

    def load(self) -> NDArray[np.uint8]:
        pixels = self.source.load(self.short_side)
        if self.marked:
            pixels = markai.embed(pixels, key_of("another's", self.name), b"another's")
        return attacks.apply(self.change, pixels)


def cases(pictures: Path) -> list[Case]:
    """Everything that is read: photographs and drawings, structure, crops and warps of them, and others' marks."""
    files = from_files([pictures], 1)
    train = pictures.parent / "train"
    own = [Case("as they are", source) for source in files]
    changed = [Case("changed", *each, SHORT_SIDE) for each in zip(files, cycle(CHANGES))]
    small = [Case("small", source, "none", side) for source, side in zip(spread(files, SMALL), cycle(SMALL_SIDES))]
    others = [
        Case("another key's mark", source, change, SHORT_SIDE, marked=True)
        for source, change in zip(spread(from_files([pictures], SHORT_SIDE), OTHERS), cycle(OTHER_CHANGES))
    ]
    patterns = [Case("structured", source, change) for source in structured() for change in ("none", "rotate:10")]
    drawn = [Case("drawn", source) for source in generated()]
    more = [Case("thumbnails", source) for source in spread(from_files([train], 1), TRAIN)] if train.is_dir() else []
    return [*own, *changed, *small, *others, *patterns, *drawn, *more]


def key_of(*purpose: Any) -> Key:
    """Return the key that every run draws for a purpose."""
    return Key(hashlib.sha256(" ".join(map(str, ("null", *purpose))).encode()).digest())


@cache
def carriers_of(trial: int, method: str) -> Carriers:
    """Return what the key of a trial makes of the lattice: dealing takes 3 ms, ten times what a search does."""
    return carriers_for(key_of(trial), method)


def everything(mark: Any, look: Any, name: str) -> tuple[Complex, NDArray[np.int64]]:
    """Return all that ``find`` searches where no key fits: (n, POINTS) tiles, and the tests for which each pays."""
    tiles: list[Complex] = []
    tests: list[int] = []
    add = reading.Search.add

    def record(self: Any, place: Any, turns: Any, paid: int, count: int) -> None:
        if place.seen is not None:
            tiles.extend(turn(place.seen) for turn in turns)
            tests.extend([paid] * len(turns))
        add(self, place, turns, paid, count)

    with mock.patch.object(reading.Search, "add", record):
        mark.find(look, key_of("looking", name), FPR)
    return np.stack(tiles) if tiles else np.zeros((0, 0), np.complex64), np.array(tests)


def trials(tiles: Complex, tests: NDArray[np.int64], name: str, number: int, method: str) -> NDArray[np.float64]:
    """Return (number, 3) log10 p under that many keys: of the whole detection, of one search, of one hypothesis.

    The whole takes fifty searches, so only every WHOLE_EVERY trial has it; NaN stands for the others.
    """
    rng = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    rows = []
    for trial in range(number if len(tiles) else 0):
        carriers = carriers_of(trial, method)
        one, y, x, nonce = rng.integers([len(tiles), GRID, GRID, NONCES])
        there = peak_at(tiles[one], carriers, (y / FINE, x / FINE), int(nonce))
        everywhere = trial % WHOLE_EVERY == 0
        searched = search(tiles if everywhere else tiles[one : one + 1], carriers, 1)
        scores = np.array([peaks[0].score for peaks in searched])
        best = [(scores[tests == paid].max(), int(paid)) for paid in np.unique(tests)] if everywhere else []
        whole = min((log10_p(score, paid) for score, paid in best), default=math.nan)
        rows.append((whole, log10_p(scores[one if everywhere else 0], POSITIONS), log10_p(there.score, 1)))
    return np.array(rows).reshape(-1, len(LEVELS))


def log10_p(score: float, tests: int) -> float:
    return stats.corrected(stats.log10_rademacher_tail(float(score)), tests)


def run(case: Case, method: str, number: int, ring: int, path: Path) -> None:
    """Try one picture under many keys and write what came of it."""
    pixels = case.load()
    mark = watermarks.load(method)
    look = mark.look(pixels)
    tiles, tests = everything(mark, look, case.name)
    log10 = trials(tiles, tests, case.name, number, method)
    asked = range(0, number, FOUND_EVERY)
    found = [mark.find(look, key_of(trial), FPR) for trial in asked]
    for trial, one in zip(asked, found, strict=True):
        expected = log10[trial, 0] if len(log10) else 0.0
        if not (one.payload or math.isclose(one.log10_p_value, expected, abs_tol=1e-9)):
            raise AssertionError(f"{case.name}, key {trial}: find says {one.log10_p_value}, the harness {expected}")
    fixed = mark.find(look, key_of("fixed"), FPR)
    keys = [key_of("ring", case.name, trial) for trial in range(ring)]
    rung = markai.detect(pixels, KeyRing(keys), FPR, method)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        log10=log10,
        searches=len(tests),
        fixed=fixed.log10_p_value,
        ring=rung.log10_p_value,
        found=len(found),
        payloads=sum(one.payload is not None for one in (*found, fixed, rung)),
    )
    partial.rename(path)


def measure(todo: Sequence[Case], method: str, number: int, ring: int, work: Path, jobs: int) -> list[dict[str, Any]]:
    """Run what has not been run, and return all results in order."""
    work.mkdir(parents=True, exist_ok=True)
    paths = {case: work / f"{case.digest(method, number, ring)}.npz" for case in todo}
    missing = [case for case in todo if not paths[case].exists()]
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar, ProcessPoolExecutor(jobs) as pool:
        task = bar.add_task("null", total=len(todo), completed=len(todo) - len(missing))
        for done in as_completed([pool.submit(run, case, method, number, ring, paths[case]) for case in missing]):
            done.result()
            bar.advance(task)
    return [dict(np.load(paths[case])) for case in todo]


def against_uniform(log10: NDArray[np.float64]) -> dict[str, Any]:
    """Return how the p-values of independent trials compare with their promise, P(p <= x) <= x."""
    log10 = log10[~np.isnan(log10)]
    n, levels = len(log10), {}
    for k in range(1, 7):
        beyond = int((log10 <= -k).sum())
        low, high = stats.clopper_pearson(beyond, n)
        tail = 10 ** stats.log10_binomial_tail(beyond, n, 10.0**-k)
        levels[f"1e-{k}"] = {"count": beyond, "nominal": n * 10.0**-k, "low": low, "high": high, "chance": tail}
    excess = float((np.arange(1, n + 1) / n - np.sort(10.0**log10)).max())
    return {
        "trials": n,
        "smallest_log10_p": float(log10.min()),
        "levels": levels,
        "smirnov": {"excess": max(0.0, excess), "p": stats.smirnov_tail(excess, n)},
    }


def summary(todo: Sequence[Case], results: Sequence[dict[str, Any]], ring: int) -> dict[str, Any]:
    """Return the counts over all pictures and by kind."""

    def levels(kind: str | None = None) -> dict[str, Any]:
        of = [one["log10"] for case, one in zip(todo, results, strict=True) if kind in (None, case.kind)]
        return {name: against_uniform(log10) for name, log10 in zip(LEVELS, np.concatenate(of).T, strict=True)}

    def of_pictures(name: str) -> dict[str, Any]:
        log10 = np.array([float(one[name]) for one in results])
        return {
            "pictures": len(log10),
            "detected": int((log10 <= math.log10(FPR)).sum()),
            "smallest_log10_p": float(log10.min()),
        }

    return {
        **levels(),
        "kinds": {
            kind: {"pictures": sum(case.kind == kind for case in todo), **levels(kind)}
            for kind in dict.fromkeys(case.kind for case in todo)
        },
        "searches": int(sum(len(one["log10"]) * int(one["searches"]) for one in results)),
        "no_signal": sum(not int(one["searches"]) for one in results),
        "found": int(sum(int(one["found"]) for one in results)),
        "payloads": int(sum(int(one["payloads"]) for one in results)),
        "fixed_key": of_pictures("fixed"),
        "detect": {**of_pictures("ring"), "keys_each": ring, "keys": ring * len(results)},
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=["dwt-dct", "learned"], default="dwt-dct")
    parser.add_argument(
        "--trials", type=int, default=1_100_000, help="pictures times keys; those without a signal are left out"
    )
    parser.add_argument("--ring", type=int, default=45, help="keys for markai.detect on every picture")
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--work", type=Path, default=ROOT / "scratch" / "null")
    parser.add_argument("--every", type=int, default=1, help="only every so many of the pictures")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    todo = cases(args.pictures)[:: args.every]
    number = -(-args.trials // len(todo))
    results = measure(todo, args.method, number, args.ring, args.work / machine()["commit"], args.jobs)
    name = "null" if args.method == "dwt-dct" else f"null_{args.method}"
    save(name, summary(todo, results, args.ring))


if __name__ == "__main__":
    main()
