"""Rows of texts into tables, in the form that the report reads: shares with intervals, curves, calibration."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from statistics import median
from typing import Any

from markai.attacks import text as attacks
from markai.attacks.text import WORDS_KEPT
from markai.bench import statistics as measures
from markai.bench.methods import Entry
from markai.bench.rows import Row
from markai.bench.summary import FIXED_RATE, LEAST_POINTS, MOST_ROCS, NOT_FOUND, RATES, grouped, stamped
from markai.bench.text import edits, methods
from markai.bench.text.plan import Plan

Table = dict[str, Any]

QUALITIES = {"entropy": min, "surprisal": max, "retokenized": max}  # and what the worst text of each is
HEADLINE = "1e-6"
OWN = "its own detector"
STRONGER_DOWNWARD = {WORDS_KEPT.meaning, edits.KEPT.meaning, edits.PART.meaning}


def of(header: Row, rows: Iterable[Row], plan: Plan, command: str = "") -> Table:
    """Return everything that the report tells of a run, as plain values for JSON.

    A row that failed counts as not found and not exact; how many there were is told beside it.
    """
    view = _View(plan, rows)
    return {
        "schema": 1,
        "run": _run(header, plan, command),
        "methods": [view.method(entry) for entry in plan.entries],
        "attacks": [attack(spec) for spec in plan.attacks],
        "cells": list(view.cells.values()),
        "curves": view.curves(),
        "roc": view.rocs(),
        "null": [table for entry in plan.entries for table in view.nulls(entry)],
    }


def _run(header: Row, plan: Plan, command: str) -> Table:
    settings = plan.settings
    groups: dict[str, int] = defaultdict(int)
    for source in plan.sources:
        groups[source.group] += 1
    notes = [
        f"{settings.tokens} tokens by a small language model after {settings.prompt} of a text by people, at a "
        f"temperature of {settings.temperature:g}. It stands in for a large one: what it says makes no sense, and "
        "what marks live on, how much choice there is, is set by the temperature.",
    ]
    return {
        **stamped(header, settings.seed, command),
        "subject": "text",
        "texts": len(plan.sources),
        "text_source": f"{settings.tokens} tokens",
        "groups": dict(groups),
        "notes": notes,
    }


def attack(spec: str) -> Table:
    """Return what an attack is.

    >>> attack("delete-ids:0.3")["families"], attack("lower+delete")["families"]
    (['tokens'], ['characters', 'words'])
    """
    name, strength = edits.parse(spec)
    if name is not None:
        edit = edits.EDITS[name]
        return {
            "spec": spec,
            "name": name,
            "strength": strength if edit.strength else None,
            "meaning": edit.strength.meaning if edit.strength else "",
            "families": ["tokens"],
            "proxy": False,
            "geometric": edit.geometric,
        }
    steps, traits = attacks.steps(spec), attacks.traits(spec)
    (first, strength), single = steps[0], len(steps) == 1
    return {
        "spec": spec,
        "name": first.name if single else spec,
        "strength": strength if single and first.strength else None,
        "meaning": first.strength.meaning if single and first.strength else "",
        "families": list(traits.families),
        "proxy": traits.proxy,
        "geometric": traits.geometric,
    }


class _View:
    """The rows of a run, by what they are about."""

    def __init__(self, plan: Plan, rows: Iterable[Row]) -> None:
        self.plan = plan
        texts = {source.name for source in plan.sources}
        here = [row for row in rows if row.get("text") in texts]  # the file may hold more than this plan
        self.marks = grouped((row for row in here if row["kind"] == "mark"), "method")
        self.attacked = grouped((row for row in here if row["kind"] == "attack"), "method", "attack")
        self.unmarked = grouped((row for row in here if row["kind"] == "null" and "error" not in row), "method")

    def method(self, entry: Entry) -> Table:
        """Return what a method writes, how fast, and its failures."""
        marks = self.marks[entry.label,]
        attacked = [row for spec in self.plan.attacks for row in self.attacked[entry.label, spec]]
        return {
            "name": entry.label,
            "bits": 8 * methods.load(entry.name).payload_bytes,
            "keyed": True,
            "states_p": True,
            "errors": sum("error" in row for row in (*marks, *attacked)),
            "refused": sum("error" in row for row in marks),
            "quality": {name: table for name in QUALITIES if (table := self._quality(marks, name))},
            "time": self._times(marks, attacked),
        }

    def _quality(self, marks: Sequence[Row], name: str) -> Table | None:
        known = [row[name] for row in marks if name in row]
        if not known:
            return None
        found = measures.bootstrap_mean(known, seed=self.plan.settings.seed)
        return {
            "mean": found.value,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "least": QUALITIES[name](known),
        }

    def _times(self, marks: Sequence[Row], attacked: Sequence[Row]) -> Table | None:
        written = [1e3 * row["write_s"] / row["tokens"] for row in marks if "write_s" in row]
        read = [1e3 * row["read_s"] for row in attacked if "read_s" in row]
        return {"write_ms": median(written), "read_ms": median(read)} if written and read else None

    @cached_property
    def cells(self) -> dict[tuple[str, str], Table]:
        return {(e.label, spec): self.cell(e, spec) for spec in self.plan.attacks for e in self.plan.entries}

    def cell(self, entry: Entry, spec: str) -> Table:
        """Return how a method stands one attack; what it cannot say is None."""
        rows = self.attacked[entry.label, spec]
        scores = [float(row.get("log10_p", NOT_FOUND)) for row in rows]
        weighted = _column(rows, "weighted")
        return {
            "method": entry.label,
            "attack": spec,
            "n": len(rows),
            "errors": sum("error" in row for row in rows),
            "detected": {name: measures.tpr_at(scores, rate).to_dict() for name, rate in RATES.items()},
            "weighted": _found(weighted),
            "own": _found(_column(rows, "own")),
            "exact": _exact(rows, "exact"),
            "exact_weighted": _exact(rows, "exact_weighted"),
            "median_log10_p": median(scores) if scores else None,
            "median_weighted": median(weighted) if weighted else None,
            "auroc": self._auroc(entry, scores),
            "wrong": sum(row.get("wrong", False) for row in rows),
        }

    def _null_log10_p(self, entry: Entry) -> list[float]:
        return [p for row in self.unmarked[entry.label,] for p in row["log10_p"]]

    def _auroc(self, entry: Entry, scores: Sequence[float]) -> Table | None:
        unmarked = self.unmarked[entry.label,]
        if not scores or not unmarked:
            return None
        of = [row["text"] for row in unmarked for _ in row["log10_p"]]
        positive, negative = [-p for p in scores], [-p for p in self._null_log10_p(entry)]
        seed = self.plan.settings.seed
        return measures.auroc(positive, negative, range(len(scores)), of, seed=seed).to_dict()

    def curves(self) -> list[Table]:
        """Return, for every attack that was tried at several strengths, how each method stands them."""
        swept: dict[str, list[Table]] = defaultdict(list)
        for spec in self.plan.attacks:
            about = attack(spec)
            if about["strength"] is not None:
                swept[about["name"]].append(about)
        return [self._curve(found) for found in swept.values() if len(found) >= LEAST_POINTS]

    def _curve(self, found: list[Table]) -> Table:
        points = []
        for about in sorted(found, key=lambda each: float(each["strength"])):
            for entry in self.plan.entries:
                share = self.cells[entry.label, about["spec"]]["detected"][HEADLINE]
                point = {"strength": about["strength"], "attack": about["spec"], "method": entry.label}
                points.append(point | {"detected": share})
        kept = found[0]["meaning"] in STRONGER_DOWNWARD
        return {"attack": found[0]["name"], "meaning": found[0]["meaning"], "points": points, "downward": kept}

    def rocs(self) -> list[Table]:
        """Return the curves over all attacks, and over those that tell the methods apart most."""
        spread = {}
        for spec in self.plan.attacks:
            shares = [self.cells[entry.label, spec]["detected"][HEADLINE]["value"] or 0 for entry in self.plan.entries]
            spread[spec] = max(shares, default=0) - min(shares, default=0)
        telling = sorted(spread, key=lambda spec: -spread[spec])[:MOST_ROCS]
        wanted = [("all", self.plan.attacks), *((spec, (spec,)) for spec in telling)]
        return [
            curve for name, specs in wanted for entry in self.plan.entries if (curve := self._roc(entry, name, specs))
        ]

    def _roc(self, entry: Entry, name: str, specs: Sequence[str]) -> Table | None:
        marked = [-float(row.get("log10_p", NOT_FOUND)) for spec in specs for row in self.attacked[entry.label, spec]]
        unmarked = [-p for p in self._null_log10_p(entry)]
        if not marked or not unmarked:
            return None
        points = [list(point) for point in measures.roc(marked, unmarked)]
        return {"method": entry.label, "attack": name, "points": points}

    def nulls(self, entry: Entry) -> list[Table]:
        """Return how p-values lie where there is no mark: those of markai, and those of a detector of its own."""
        rows = self.unmarked[entry.label,]
        if not rows:
            return []
        fixed = [row["fixed_log10_p"] <= math.log10(FIXED_RATE) for row in rows]
        table = _calibrated(entry.label, rows, self._null_log10_p(entry))
        found = [
            table | {"accepted": sum(row["accepted"] for row in rows), "fixed_key": measures.share(fixed).to_dict()}
        ]
        own = [p for row in rows for p in row.get("own", [])]
        if own:
            alarms = sum(p <= math.log10(FIXED_RATE) for p in own)
            found.append(_calibrated(f"{entry.label}, {OWN}", rows, own) | {"accepted": alarms})
        return found


def _calibrated(name: str, rows: Sequence[Row], log10_p: Sequence[float]) -> Table:
    calibrated = measures.calibration(log10_p)
    return {
        "method": name,
        "trials": len(log10_p),
        "texts": len({row["text"] for row in rows}),
        "attacks": sorted({row["attack"] for row in rows}),
        "smallest_log10_p": min(log10_p),
        "rates": {rate: share.to_dict() for rate, share in calibrated.rates.items()},
        "quantiles": [list(pair) for pair in calibrated.quantiles],
        "ks_p": calibrated.ks_p,
    }


def _column(rows: Sequence[Row], name: str) -> list[float]:
    """Return a column, a failed row counting as not found; nothing where no row has it."""
    if not any(name in row for row in rows):
        return []
    return [float(row.get(name, NOT_FOUND)) for row in rows]


def _found(scores: Sequence[float]) -> Table | None:
    return measures.tpr_at(scores, RATES[HEADLINE]).to_dict() if scores else None


def _exact(rows: Sequence[Row], name: str) -> Table | None:
    if not any(name in row for row in rows):
        return None
    return measures.share([row.get(name, False) for row in rows]).to_dict()
