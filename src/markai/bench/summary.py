"""Rows into tables: shares with intervals, qualities, curves, calibration. Whatever the report shows is here."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from statistics import fmean, median
from typing import Any

from markai import attacks
from markai.bench import methods, security
from markai.bench import statistics as measures
from markai.bench.methods import Entry
from markai.bench.plan import Plan
from markai.bench.rows import Row
from markai.bench.work import DAMAGE
from markai.metrics import METRICS

Table = dict[str, Any]

RATES = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-6": 1e-6}
FIXED_RATE = 1e-6
WAVES_RATE = "1e-3"  # quality at performance is defined at a false-positive rate of 0.1 %
NOT_FOUND = 0.0  # the log10 p of a row that failed
PERFORMANCES = {"q95": 0.95, "q70": 0.7}
LEAST_POINTS = 3  # of a curve
MOST_ROCS = 6
TIMES = ("embed_ms", "detect_ms", "embed_ms_default", "detect_ms_default", "width", "height")


def of(header: Row, rows: Iterable[Row], plan: Plan, command: str = "") -> Table:
    """Return everything that the report tells of a run, as plain values for JSON.

    A row that failed counts as not found and not exact; how many there were is told beside it.
    """
    view = _View(plan, rows)
    pairs = [(entry, spec) for spec in plan.attacks for entry in plan.entries]
    return {
        "schema": 1,
        "run": _run(header, plan, command),
        "methods": [view.method(entry) for entry in plan.entries],
        "attacks": [view.attack(spec) for spec in plan.attacks],
        "cells": [view.cell(entry, spec) for entry, spec in pairs],
        "curves": view.curves(),
        "quality_at_performance": view.quality_at_performance(),
        "roc": view.rocs(),
        "null": [table for entry in plan.distinct() if (table := view.null(entry))],
        "security": view.security(),
        "worst": [],
    }


def _run(header: Row, plan: Plan, command: str) -> Table:
    groups: dict[str, int] = defaultdict(int)
    for source in plan.sources:
        groups[source.group] += 1
    drawn = sum(source.path is None for source in plan.sources)
    notes = ["The pictures are drawn, not photographed: for figures that mean something, give a folder of real ones."]
    return {
        **stamped(header, plan.settings.seed, command),
        "pictures": len(plan.sources),
        "picture_source": "drawn" if drawn else "files",
        "groups": dict(groups),
        "notes": notes if drawn else [],
    }


def stamped(header: Row, seed: int, command: str) -> Table:
    """Return when, how and on what a run was made, whatever it is about."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "command": command,
        "machine": header["machine"],
        "versions": header["versions"],
        "settings": header["settings"],
    }


class _View:
    """The rows of a run, by what they are about."""

    def __init__(self, plan: Plan, rows: Iterable[Row]) -> None:
        self.plan = plan
        self.by_kind: dict[str, list[Row]] = defaultdict(list)
        pictures = {source.name for source in (*plan.sources, *plan.nulls)}
        for row in rows:
            if row.get("picture") in pictures | {None}:  # the file may hold more than this plan
                self.by_kind[row["kind"]].append(row)
        self.attacked = grouped(self.by_kind["attack"], "method", "attack")
        self.damage = grouped(self.by_kind["damage"], "attack")
        self.nulls = grouped(self.by_kind["null"], "method")

    def method(self, entry: Entry) -> Table:
        """Return the quality, the speed and the failures of a method."""
        method, label = methods.load(entry.name), entry.label
        marks = [row for row in self.by_kind["mark"] if row["method"] == label]
        strengths = [row["strength"] for row in self.by_kind["strength"] if row["method"] == label]
        times = [row for row in self.by_kind["time"] if row["method"] == label and "error" not in row]
        attacked = [row for spec in self.plan.attacks for row in self.attacked[label, spec]]
        return {
            "name": label,
            "bits": method.bits,
            "keyed": method.keyed,
            "states_p": method.keyed,
            "strength": strengths[0] if strengths else entry.strength,
            "errors": sum("error" in row for row in (*marks, *attacked)),
            "refused": sum("error" in row for row in marks),
            "quality": {name: table for name in METRICS if (table := self._quality(marks, name))},
            "time": {name: times[0][name] for name in TIMES} if times else None,
            "memory_mb": {"embed": times[0]["embed_mb"], "detect": times[0]["detect_mb"]} if times else None,
        }

    def attack(self, spec: str) -> Table:
        """Return what an attack is, and what it does to unmarked pictures."""
        steps, traits = attacks.steps(spec), attacks.traits(spec)
        (first, strength), single = steps[0], len(steps) == 1
        damage = self.damage[spec,]
        means = {name: [row[name] for row in damage if row.get(name) is not None] for name in ("psnr", "ssim")}
        return {
            "spec": spec,
            "name": first.name if single else spec,
            "strength": strength if single and first.strength else None,
            "meaning": first.strength.meaning if single and first.strength else "",
            "families": list(traits.families),
            "proxy": traits.proxy,
            "geometric": traits.geometric,
            **{name: fmean(values) if values else None for name, values in means.items()},
        }

    def cell(self, entry: Entry, spec: str) -> Table:
        """Return how a method stands one attack."""
        rows = self.attacked[entry.label, spec]
        scores, pictures = [_log10_p(row) for row in rows], [row["picture"] for row in rows]
        accuracy = [row for row in rows if "bit_accuracy" in row]
        return {
            "method": entry.label,
            "attack": spec,
            "n": len(rows),
            "errors": sum("error" in row for row in rows),
            "exact": measures.share([row.get("exact", False) for row in rows], pictures).to_dict(),
            "detected": {name: measures.tpr_at(scores, rate, pictures).to_dict() for name, rate in RATES.items()},
            "bit_accuracy": self._mean(accuracy, "bit_accuracy"),
            "median_log10_p": median(scores) if scores else None,
            "auroc": self._auroc(entry, spec, rows),
            "wrong": sum(row.get("wrong", False) for row in rows),
        }

    def _mean(self, rows: Sequence[Row], name: str) -> Table | None:
        """Return mean and interval of a column, over pictures."""
        if not rows:
            return None
        pictures = [row["picture"] for row in rows]
        found = measures.bootstrap_mean([row[name] for row in rows], pictures, self.plan.settings.seed)
        return {"mean": found.value, "low": found.low, "high": found.high, "n": found.n}

    def _quality(self, marks: Sequence[Row], name: str) -> Table | None:
        """Return mean, interval and the worst picture of a metric."""
        known = [row for row in marks if row.get(name) is not None]
        found = self._mean(known, name)
        worst = min if METRICS[name].higher_is_better else max
        return found and found | {"least": worst(row[name] for row in known)}

    def _unmarked(self, entry: Entry, spec: str = "none") -> list[Row]:
        """Return the null rows for an attack; of unmarked pictures as they are, where it was not tried on them."""
        rows = [row for row in self.nulls[self.plan.first(entry).label,] if "error" not in row]
        return [row for row in rows if row["attack"] == spec] or [row for row in rows if row["attack"] == "none"]

    def _auroc(self, entry: Entry, spec: str, rows: Sequence[Row]) -> Table | None:
        unmarked = self._unmarked(entry, spec)
        if not rows or not unmarked:
            return None
        found = measures.auroc(
            [-_log10_p(row) for row in rows],
            [-p for row in unmarked for p in row["log10_p"]],
            [row["picture"] for row in rows],
            [row["picture"] for row in unmarked for _ in row["log10_p"]],
            seed=self.plan.settings.seed,
        )
        return found.to_dict()

    def curves(self) -> list[Table]:
        """Return, for every attack that was tried at several strengths, how each method stands them."""
        swept: dict[str, list[Table]] = defaultdict(list)
        for spec in self.plan.attacks:
            about = self.attack(spec)
            if about["strength"] is not None:
                swept[about["name"]].append(about)
        return [self._curve(found) for found in swept.values() if len(found) >= LEAST_POINTS]

    def _curve(self, found: list[Table]) -> Table:
        points = []
        for about in sorted(found, key=lambda each: each["strength"]):
            for entry in self.plan.entries:
                cell = self.cells[entry.label, about["spec"]]
                point = {"strength": about["strength"], "attack": about["spec"], "method": entry.label}
                point |= {"exact": cell["exact"], "tpr": cell["detected"][WAVES_RATE]}
                points.append(point | {"quality": self.degradations.get(about["spec"]), "psnr": about["psnr"]})
        return {"attack": found[0]["name"], "meaning": found[0]["meaning"], "points": points}

    @cached_property
    def cells(self) -> dict[tuple[str, str], Table]:
        return {(e.label, spec): self.cell(e, spec) for spec in self.plan.attacks for e in self.plan.entries}

    def rocs(self) -> list[Table]:
        """Return the curves over all attacks, and over those that tell the methods apart most."""
        spread = {}
        for spec in self.plan.attacks:
            shares = [self.cells[entry.label, spec]["exact"]["value"] or 0 for entry in self.plan.entries]
            spread[spec] = max(shares) - min(shares)
        telling = sorted(spread, key=lambda spec: -spread[spec])[:MOST_ROCS]
        wanted = [("all", self.plan.attacks), *((spec, (spec,)) for spec in telling)]
        curves = (self._roc(entry, name, specs) for name, specs in wanted for entry in self.plan.entries)
        return [curve for curve in curves if curve["points"]]

    def _roc(self, entry: Entry, name: str, specs: Sequence[str]) -> Table:
        marked = [-_log10_p(row) for spec in specs for row in self.attacked[entry.label, spec]]
        unmarked = [-p for row in self._unmarked(entry, name) for p in row["log10_p"]]
        points = [list(point) for point in measures.roc(marked, unmarked)] if marked and unmarked else []
        return {"method": entry.label, "attack": name, "points": points}

    def quality_at_performance(self) -> list[Table]:
        """Return how much an attack must spoil pictures before the mark is lost (WAVES: Q@0.95P and Q@0.7P).

        None where it never is, 0 where the mildest strength is enough.
        """
        found = []
        for curve in self.curves():
            for entry in self.plan.entries:
                points = [point for point in curve["points"] if point["method"] == entry.label]
                known = [(p["quality"], p["tpr"]["value"]) for p in points if p["tpr"]["n"]]
                # Mild first; a greater strength of JPEG is a milder attack.
                milder = sorted(pair for pair in known if pair[0] is not None)
                if milder:
                    at = {name: measures.quality_at(milder, share) for name, share in PERFORMANCES.items()}
                    at = {name: 0.0 if quality == -math.inf else quality for name, quality in at.items()}
                    found.append({"attack": curve["attack"], "method": entry.label, **at})
        return found

    @cached_property
    def degradations(self) -> dict[str, float]:
        """Return the mean degradation of each attack that leaves the picture's size."""
        measured = [row for row in self.by_kind["damage"] if row.get("ssim") is not None]
        if not measured:
            return {}
        known = [
            {name: math.inf if row[name] is None else row[name] for name in DAMAGE if name in row} for row in measured
        ]
        scales = measures.normalisers({name: [row[name] for row in known if name in row] for name in DAMAGE})
        found: dict[str, list[float]] = defaultdict(list)
        for row, values in zip(measured, known, strict=True):
            if (degraded := measures.degradation(values, scales)) is not None:
                found[row["attack"]].append(degraded)
        return {spec: fmean(values) for spec, values in found.items()}

    def null(self, entry: Entry) -> Table | None:
        """Return how the p-values of a method lie where there is no mark."""
        rows = [row for row in self.nulls[entry.label,] if "error" not in row]
        if not rows:
            return None
        log10_p = [p for row in rows for p in row["log10_p"]]
        calibrated = measures.calibration(log10_p)
        fixed = [row["fixed_log10_p"] <= math.log10(FIXED_RATE) for row in rows]
        return {
            "method": entry.name,
            "trials": len(log10_p),
            "pictures": len({row["picture"] for row in rows}),
            "attacks": sorted({row["attack"] for row in rows}),
            "accepted": sum(row["accepted"] for row in rows),
            "fixed_key": measures.share(fixed).to_dict(),
            "smallest_log10_p": min(log10_p),
            "rates": {rate: share.to_dict() for rate, share in calibrated.rates.items()},
            "quantiles": [list(pair) for pair in calibrated.quantiles],
            "ks_p": calibrated.ks_p,
        }

    def security(self) -> list[Table]:
        """Return what happened in the attacks that take several pictures."""
        return [
            {
                "method": row["method"],
                "attack": row["attack"],
                "n": row.get("n", 0),
                "bad": measures.share(
                    [turn < row["happened"] for turn in range(row["n"])] if "n" in row else []
                ).to_dict(),
                "error": row.get("error"),
                "meaning": security.MEANINGS[row["attack"].partition(":")[0]][0],
                "want": security.MEANINGS[row["attack"].partition(":")[0]][1],
            }
            for row in self.by_kind["security"]
        ]


def grouped(rows: Iterable[Row], *names: str) -> defaultdict[tuple[str, ...], list[Row]]:
    """Return rows by the values of these columns."""
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def _log10_p(row: Row) -> float:
    return float(row.get("log10_p", NOT_FOUND))
