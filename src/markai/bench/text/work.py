"""One unit of work: write, attack, read. Whatever goes wrong becomes a row, never a lost run."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np

from markai.attacks.text import retokenize
from markai.bench import runner
from markai.bench.methods import Trial
from markai.bench.plan import attack_seed
from markai.bench.rows import Row
from markai.bench.runner import Advance
from markai.bench.text import edits, methods
from markai.bench.text.author import Author
from markai.bench.text.edits import Written
from markai.bench.text.marks import Reading, TextMethod
from markai.bench.text.plan import Plan, Settings, Unit
from markai.bench.units import MARK, Emit, as_rows, said
from markai.keys import Key
from markai.text.base import Ids

FIXED = Key(bytes(range(32)))
ALARM = -6.0  # log10 of the rate at which a text that nobody marked counts as found
LEAST_LOG10 = -1e4  # JSON has no word for minus infinity
DIGITS = 4


def run(
    plan: Plan, path: Path, jobs: int = 1, advance: Advance | None = None, *, retry_errors: bool = False
) -> tuple[Row, list[Row]]:
    """Run what is missing of a plan and return the header and all rows.

    Raises:
        OutputError: if the file cannot be written, or holds another run.
        MethodError: if a method or an attack is unknown.
        MissingExtraError: if a method needs a package that is not installed.
    """
    units = plan.units()
    for each in plan.entries:  # a wrong name is one error, not one for every row
        methods.load(each.name)
    first, job = runner.header(plan), Job(plan.settings)
    return runner.carry_out(units, lambda _: job, first, path, jobs, advance, retry_errors=retry_errors)


@dataclass(frozen=True)
class Job:
    """What every unit of a run has in common."""

    settings: Settings

    def run(self, unit: Unit, emit: Emit) -> None:
        """Do a unit and hand over its rows one by one."""
        as_rows(unit, partial({"attack": self._attack, "null": self._null}[unit.kind], unit), emit)

    def trial(self, unit: Unit, *purpose: str | int) -> Trial:
        """Return the key and the message of a unit; for nulls those of a purpose."""
        size = methods.load(unit.entry.name).payload_bytes
        return Trial.draw(self.settings.seed, unit.entry.name, unit.source.name, *purpose, message_bytes=size)

    def _attack(self, unit: Unit, emit: Emit) -> None:
        author, method, trial = Author.of(self.settings.temperature), methods.load(unit.entry.name), self.trial(unit)
        prompt, _ = unit.source.parts(author, self.settings.prompt, 0)
        seed = attack_seed(self.settings, unit.source.name, 0)
        start = time.perf_counter()
        try:
            ids = method.write(author, prompt, self.settings.tokens, trial, np.random.default_rng(seed))
        except Exception as error:  # refused: then nothing survives either
            for item in unit.wanted:
                emit({"error": said(error) if item == MARK else "the text was not marked"})
            return
        taken = time.perf_counter() - start
        for item in unit.wanted:
            if item == MARK:
                emit(_described(ids, author) | {"write_s": round(taken, 5)})
            else:
                emit(_attacked(method, Written(ids, author, prompt), trial, item[0], seed))

    def _null(self, unit: Unit, emit: Emit) -> None:
        """Read texts that nobody marked under many random keys, and under one fixed key."""
        author, method = Author.of(self.settings.temperature), methods.load(unit.entry.name)
        prompt, people = unit.source.parts(author, self.settings.prompt, self.settings.tokens)
        for who, _ in unit.wanted:
            ids = people
            if who == "model":
                rng = np.random.default_rng([attack_seed(self.settings, unit.source.name, 0), 1])
                ids = author.write(prompt, self.settings.tokens, rng)
            trials = (self.trial(unit, "null", who, n) for n in range(self.settings.null_keys))
            readings = [method.read(author, ids, trial, weigh=False) for trial in trials]
            fixed = method.read(author, ids, Trial(FIXED, bytes(method.payload_bytes)), weigh=False)
            own = [_finite(each.own) for each in readings if each.own is not None]
            emit(
                {
                    "log10_p": [_finite(each.log10_p) for each in readings],
                    "accepted": sum(_claimed(each) for each in readings),
                    "fixed_log10_p": _finite(fixed.log10_p),
                    **({"own": own} if own else {}),
                }
            )


def _described(ids: Ids, author: Author) -> Row:
    """Return what the text is like: what it left to choose, how it surprises, how much is lost by going through str."""
    entropies, surprisals = author.nats(ids)
    again = retokenize(ids, lambda each: author.decode(np.asarray(each)), lambda text: author.encode(text).tolist())
    return {
        "tokens": len(ids),
        "entropy": round(fmean(entropies), 5),
        "surprisal": round(fmean(surprisals), 5),
        "retokenized": round(again.changed / len(ids), 5),
    }


def _attacked(method: TextMethod, written: Written, trial: Trial, spec: str, seed: int) -> Row:
    try:
        ids = edits.apply(spec, written, seed)
        start = time.perf_counter()
        reading = method.read(written.author, ids, trial)
    except Exception as error:  # a crash of a reader is its answer: nothing found
        return {"error": said(error)}
    told = {"exact": reading.exact, "exact_weighted": reading.exact_weighted}
    numbers = {"log10_p": reading.log10_p, "weighted": reading.weighted, "own": reading.own}
    return {
        **{name: _finite(value) for name, value in numbers.items() if value is not None},
        **{name: value for name, value in told.items() if value is not None},
        "wrong": reading.wrong,
        "read_s": round(time.perf_counter() - start, 5),
    }


def _claimed(reading: Reading) -> bool:
    return reading.log10_p <= ALARM or reading.wrong or bool(reading.exact)


def _finite(log10_p: float) -> float:
    return round(max(log10_p, LEAST_LOG10), DIGITS)
