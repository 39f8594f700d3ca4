"""``markai bench``."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from markai.cli.common import json_option, shown

if TYPE_CHECKING:
    from markai.bench.plan import Plan

ROWS = "rows.jsonl"
SUITES = ("quick", "suite", "sweep", "published")  # as in markai.bench.presets, which is slow to import
METRICS = ("ssimulacra2", "lpips")  # those that are slow or need weights


@click.command()
@click.option("--quick", is_flag=True, help="Minutes instead of hours: 16 attacks on 10 small pictures.")
@click.option(
    "--pictures",
    "paths",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="A picture or a folder of them; repeatable.  [default: drawn pictures]",
)
@click.option("--count", type=click.IntRange(min=1), help="How many of the pictures, taken from all kinds in turn.")
@click.option("--short-side", type=click.IntRange(min=256), help="Shrink pictures until the shorter side is this long.")
@click.option(
    "--least-side",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Leave out pictures whose shorter side is less.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME[@STRENGTH|@PSNRdB]",
    help="A method: installed, a peer, or package.module:attribute; repeatable.  [default: all that run here]",
)
@click.option("--match", type=float, metavar="DB", help="Methods that have a strength once more at this mean PSNR.")
@click.option("--attack", "attacks", multiple=True, metavar="SPEC", help='Such as "crop:0.5+jpeg:70"; repeatable.')
@click.option("--suite", "suites", multiple=True, type=click.Choice(SUITES), help="A list of attacks; repeatable.")
@click.option(
    "--security",
    multiple=True,
    metavar="SPEC",
    help='Such as "average-remove:100"; repeatable; "none" for none.  [default: averaging, copying, marking twice]',
)
@click.option(
    "--metric", "metrics", multiple=True, type=click.Choice(METRICS), help="Also measure this of marks; repeatable."
)
@click.option("--null-keys", type=click.IntRange(min=0), help="Random keys for every unmarked picture.")
@click.option("--no-times", is_flag=True, help="Leave out the measurement of speed and memory.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides every random choice.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench"),
    show_default=True,
    help="Where rows, summary and report go; a run that is there is taken up.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one per core",
    help="How many processes.",
)
@click.option("--retry-errors", is_flag=True, help="Do again what ended in an error.")
@click.option("--list", "list_only", is_flag=True, help="List methods and attacks, and do nothing else.")
@json_option
def bench(out: Path, jobs: int, retry_errors: bool, list_only: bool, as_json: bool, **options: Any) -> None:
    """Measure how well marks survive.

    Marks pictures by every method, attacks them, reads them again, and looks for marks where there are none.
    Writes rows.jsonl, summary.json, report.md and report.html into the directory --out. The same command takes
    up a run that was stopped.

    Exit code 0: done, whatever the figures; 2: an error.
    """
    if list_only:
        _list(as_json)
        return
    from markai.bench import report, runner, showcase, summary

    plan = _plan(**options)
    with _bar() as advance:
        header, rows = runner.run(plan, out / ROWS, jobs, advance, retry_errors=retry_errors)
    result = summary.of(header, rows, plan, _command()) | {"worst": showcase.worst(plan, rows)}
    report.write(result, out)
    if as_json:
        click.echo(json.dumps(result))
    else:
        _show(result)
        click.echo(f"report: {shown(out / 'report.html')}", err=True)


def _plan(
    quick: bool,
    paths: tuple[Path, ...],
    count: int | None,
    short_side: int | None,
    least_side: int,
    methods: tuple[str, ...],
    match: float | None,
    attacks: tuple[str, ...],
    suites: tuple[str, ...],
    security: tuple[str, ...],
    metrics: tuple[str, ...],
    null_keys: int | None,
    no_times: bool,
    seed: int,
) -> "Plan":
    """Take a ready-made plan and change in it what was asked for."""
    from dataclasses import replace

    from markai.bench import presets
    from markai.bench.pictures import from_files, spread

    names = [*(methods or presets.default_methods())]
    names += presets.matched(names, match) if match is not None else []
    sources = from_files(paths, least_side) if paths else None
    plan = (presets.quick if quick else presets.full)(names, sources, seed)
    settings = replace(plan.settings, metrics=tuple(dict.fromkeys((*plan.settings.metrics, *metrics))))
    if null_keys is not None:
        settings = replace(settings, null_keys=null_keys)
    if short_side is not None:
        settings = replace(settings, short_side=short_side)
    chosen = dict.fromkeys((*attacks, *(spec for suite in suites for spec in presets.SUITES[suite])))
    return replace(
        plan,
        sources=tuple(spread(sources or plan.sources, count)) if count else plan.sources,
        attacks=tuple(chosen) or plan.attacks,
        settings=settings,
        security=tuple(spec for spec in security if spec != "none") if security else plan.security,
        times=not no_times,
    )


def _show(result: dict[str, Any]) -> None:
    """Print how many exact messages survived, in percent: attacks down, methods across."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="exact messages, %", title_justify="left", box=None, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for method in result["methods"]:
        table.add_column(method["name"], justify="right", overflow="fold")
    shares = {(cell["attack"], cell["method"]): cell["exact"]["value"] for cell in result["cells"]}
    for attack in result["attacks"]:
        found = [shares[attack["spec"], method["name"]] for method in result["methods"]]
        name = attack["spec"] + (" (proxy)" if attack["proxy"] else "")
        table.add_row(name, *("-" if share is None else f"{100 * share:.0f}" for share in found))
    Console(highlight=False).print(table)


def _list(as_json: bool) -> None:
    from markai import attacks, watermarks
    from markai.bench import peers, presets, security

    methods = dict.fromkeys(watermarks.names()) | peers.available()
    if as_json:
        known = {"attacks": attacks.names(), "suites": presets.SUITES, "security": [*security.MEANINGS]}
        click.echo(json.dumps({"methods": methods, **known}))
        return
    click.echo("methods:")
    for name, reason in methods.items():
        click.echo(f"  {name}" + (f"  (not here: {reason})" if reason else ""))
    click.echo("attacks:")
    for name in attacks.names():
        found, default = attacks.parse(name)
        strength = f":{default:g}  {found.strength}" if found.strength else ""
        click.echo(f"  {name}{strength}{'  (a proxy)' if found.proxy else ''}")
    click.echo("security:")
    for name, (meaning, wanted) in security.MEANINGS.items():
        click.echo(f"  {name}  {meaning}; wanted {wanted}")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], object]]:
    """Show a bar with the time left on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _command() -> str:
    import shlex

    return shlex.join(["markai", *sys.argv[1:]])
