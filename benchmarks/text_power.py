"""How much text a mark needs, and what edits it outlives: runs of ``markai bench --modality text``.

Every method writes after the same prompts, and every text has a key of its own. ``text.py`` runs this.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import machine
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from markai.bench import report
from markai.bench.text import sources, summary, work
from markai.bench.text.plan import Plan, Settings, entry

TEXTS = 200
ATTACKED_TEXTS = 60  # of the table of attacks
OURS = ("text-bias", "text-gumbel", "text-tournament")
THEIRS = ("transformers/lefthash", "transformers/selfhash@context_width=4", "transformers/synthid")
PASSAGES = ("among-people-ids:0.1", "among-unmarked-ids:0.1")
EDITS = ("substitute-ids:0.1", "substitute-ids:0.3", "delete-ids:0.1", "insert-ids:0.1")
WIDTHS = tuple(f"text-{scheme}@width={width}" for scheme in ("gumbel", "bias", "tournament") for width in (1, 2, 4))
PAYLOADS = tuple(f"{name}@payload=4" for name in OURS)
SHOWN = (
    *("none", "normalize", "lower", "publish", "homoglyphs:0.1", "homoglyphs:0.1+normalize", "zero-width:0.1"),
    *("zero-width:0.1+visible", "typos:0.05", "substitute:0.1", "substitute:0.3", "delete:0.1", "delete:0.3"),
    *("insert:0.1", "swap:0.1", "edit:0.1", "edit:0.3", "truncate:0.5", "truncate:0.25", "excerpt:0.25"),
    *("copy-paste:0.5", "copy-paste:0.25", "copy-paste-1:0.25", "copy-paste-1:0.1", "excerpt:0.5+edit:0.1+publish"),
)


def plan(tokens: int, methods: tuple[str, ...], attacks: tuple[str, ...], count: int = TEXTS) -> Plan:
    """Return a plan without nulls, for which there are runs of their own."""
    settings = Settings(tokens=tokens, null_keys=0)
    texts = sources.shipped(count, settings.reach)
    return Plan(tuple(map(entry, methods)), attacks, tuple(texts), settings)


PLANS: dict[str, Callable[[], Plan]] = {
    "50 tokens": lambda: plan(50, (*OURS, *THEIRS), ("ids", "none")),
    "100 tokens": lambda: plan(100, (*OURS, *THEIRS), ("ids", "none")),
    "200 tokens": lambda: plan(
        200,
        (*OURS, "text-bias@hashing=self,width=4", "text-words", *THEIRS, "control/unmarked"),
        ("ids", "none", *PASSAGES),
    ),
    "400 tokens": lambda: plan(400, (*WIDTHS, *PAYLOADS, *THEIRS[:1]), ("ids", "none", *EDITS)),
    "attacks": lambda: plan(
        400, (*OURS, "text-gumbel@width=2", "text-words", THEIRS[0], THEIRS[2]), SHOWN, ATTACKED_TEXTS
    ),
}


def measure(names: tuple[str, ...], folder: Path, jobs: int) -> dict[str, Any]:
    """Run what is missing of some plans, write their reports, and return their summaries."""
    found = {}
    for name in names:
        wanted, at = PLANS[name](), folder / name.replace(" ", "-")
        columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns) as bar:
            task = bar.add_task(name)
            header, rows = work.run(wanted, at / "rows.jsonl", jobs, lambda *state, task=task: show(bar, task, *state))
        result = summary.of(header, rows, wanted, "python benchmarks/text.py power")
        report.write(result, at)
        found[name] = {key: result[key] for key in ("run", "methods", "attacks", "cells")} | {"machine": machine()}
    return found


def show(bar: Progress, task: Any, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)
