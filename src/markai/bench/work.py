"""One unit of work: mark, attack, read. Whatever goes wrong becomes a row, never a lost run."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai import attacks
from markai.bench import methods, security, timing
from markai.bench.methods import Entry, Keyed, Method, Trial
from markai.bench.pictures import Source
from markai.bench.plan import Settings, Unit, attack_seed
from markai.bench.rows import Row
from markai.bench.units import MARK, Emit, as_rows, said
from markai.keys import Key
from markai.metrics import measure

Pixels = NDArray[np.uint8]

DAMAGE = ("psnr", "ssim", "ms_ssim", "ciede2000")  # what is measured of an attack
FIXED = Trial(Key(bytes(range(32))), bytes(range(8)))
DIGITS = 4  # of log10 p in the file


@dataclass(frozen=True)
class Job:
    """What every unit of a run has in common; ``strengths`` are those found for the entries with a wanted PSNR."""

    settings: Settings
    strengths: Mapping[str, float]
    sources: tuple[Source, ...]

    def strength(self, entry: Entry) -> float:
        return self.strengths.get(entry.label, entry.strength)

    def run(self, unit: Unit, emit: Emit) -> None:
        run(unit, self, emit)

    def trial(self, entry: Entry, *purpose: str | int) -> Trial:
        return Trial.draw(self.settings.seed, entry.name, *purpose, message_bytes=self.settings.message_bytes)


def run(unit: Unit, job: Job, emit: Emit) -> None:
    """Do a unit and hand over its rows one by one."""
    work = {"attack": _attack, "damage": _damage, "null": _null, "security": _security, "time": _time}[unit.kind]
    as_rows(unit, partial(work, unit, job), emit)


def _attack(unit: Unit, job: Job, emit: Emit) -> None:
    assert unit.entry
    assert unit.source
    method = methods.load(unit.entry.name)
    trial = job.trial(unit.entry, unit.source.name)
    original = unit.source.load(job.settings.short_side)
    start = time.perf_counter()
    try:
        marked = method.embed(original, trial, job.strength(unit.entry))
    except Exception as error:  # refused: then nothing survives either
        for item in unit.wanted:
            emit({"error": said(error) if item == MARK else "the picture was not marked"})
        return
    taken = time.perf_counter() - start
    for item in unit.wanted:
        if item == MARK:
            height, width = original.shape[:2]
            quality = _rounded(measure(job.settings.metrics, original, marked))
            emit({"width": width, "height": height, **quality, "embed_s": round(taken, 5)})
        else:
            seed = attack_seed(job.settings, unit.source.name, item[1])
            emit(_attacked(method, marked, trial, job.strength(unit.entry), item[0], seed))


def _attacked(method: Method, marked: Pixels, trial: Trial, strength: float, spec: str, seed: int) -> Row:
    try:
        pixels = attacks.apply(spec, marked, seed)
        start = time.perf_counter()
        reading = method.read(method.look(pixels, strength), trial)
    except Exception as error:  # a crash of a reader is its answer: nothing found
        return {"error": said(error)}
    row: Row = {"log10_p": _finite(reading.log10_p), "exact": reading.exact, "wrong": reading.wrong}
    if reading.bit_accuracy is not None:
        row["bit_accuracy"] = round(reading.bit_accuracy, 5)
    return row | {"detect_s": round(time.perf_counter() - start, 5)}


def _damage(unit: Unit, job: Job, emit: Emit) -> None:
    """Measure what the attacks do to the unmarked picture; those that change its size cannot be compared."""
    assert unit.source
    original = unit.source.load(job.settings.short_side)
    for spec, turn in unit.wanted:
        try:
            pixels = attacks.apply(spec, original, attack_seed(job.settings, unit.source.name, turn))
            emit(_rounded(measure(DAMAGE, original, pixels)) if pixels.shape == original.shape else {})
        except Exception as error:
            emit({"error": said(error)})


def _null(unit: Unit, job: Job, emit: Emit) -> None:
    """Read an unmarked picture under many random keys, and under one fixed key."""
    assert unit.entry
    assert unit.source
    method, source = methods.load(unit.entry.name), unit.source
    pixels = source.load(job.settings.short_side)
    for spec, turn in unit.wanted:
        attacked = attacks.apply(spec, pixels, attack_seed(job.settings, source.name, turn))
        look = method.look(attacked, job.strength(unit.entry))
        trials = (job.trial(unit.entry, source.name, "null", spec, n) for n in range(job.settings.null_keys))
        readings = [method.read(look, trial) for trial in trials]
        claimed = sum(each.exact or (isinstance(method, Keyed) and each.wrong) for each in readings)
        fixed = method.read(look, FIXED)
        emit(
            {
                "log10_p": [_finite(each.log10_p) for each in readings],
                "accepted": claimed,
                "fixed_log10_p": _finite(fixed.log10_p),
            }
        )


def _security(unit: Unit, job: Job, emit: Emit) -> None:
    assert unit.entry
    method = methods.load(unit.entry.name)
    bench = security.Bench(method, job.strength(unit.entry), partial(job.trial, unit.entry), job.settings.security_side)
    for name, _ in unit.wanted:
        try:
            emit(bench.run(name, job.sources))
        except Exception as error:
            emit({"error": said(error)})


def _time(unit: Unit, job: Job, emit: Emit) -> None:
    assert unit.entry
    emit(timing.measured(unit.entry.name, job.strength(unit.entry), job.settings.time_side))


def _finite(log10_p: float) -> float:
    """Bring -inf, which JSON has no word for, to the least that can be told apart."""
    return round(max(log10_p, -1e4), DIGITS)


def _rounded(values: Mapping[str, float]) -> dict[str, Any]:
    return {name: round(value, 5) if np.isfinite(value) else None for name, value in values.items()}
