"""``markai bench``."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from markai.cli.common import json_option, shown

if TYPE_CHECKING:
    from markai.bench.plan import Plan
    from markai.bench.text.plan import Plan as TextPlan

ROWS = "rows.jsonl"
SUITES = ("quick", "suite", "sweep", "published", "proxies")  # as in markai.bench.presets, which is slow to import
METRICS = ("ssimulacra2", "lpips")  # those that are slow or need weights
MODALITIES = ("picture", "text")
PICTURES_ONLY = {"paths", "short_side", "least_side", "match", "security", "metrics", "no_times"}
TEXTS_ONLY = {"texts", "tokens", "temperature"}


@click.command()
@click.option(
    "--modality", type=click.Choice(MODALITIES), default="picture", show_default=True, help="What the marks are in."
)
@click.option("--quick", is_flag=True, help="Minutes instead of hours: 16 attacks on 10 small pictures or 12 texts.")
@click.option(
    "--pictures",
    "paths",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="A picture or a folder of them; repeatable.  [default: drawn pictures]",
)
@click.option(
    "--texts",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="A text in UTF-8, or a folder of .txt files, to begin from; repeatable.  [default: what ships with Python]",
)
@click.option("--tokens", type=click.IntRange(min=20), help="How long the marked texts are.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0.1),
    help="Of the model that writes; at the default its texts have 1.3 nats of choice a token.",
)
@click.option("--count", type=click.IntRange(min=1), help="How many of the pictures or texts, of all kinds in turn.")
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
    metavar="NAME[@STRENGTH|@PSNRdB|@NAME=VALUE,...]",
    help="A method: installed, a peer, or package.module:attribute; repeatable.  [default: all that run here]",
)
@click.option("--match", type=float, metavar="DB", help="Methods that have a strength once more at this mean PSNR.")
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="SPEC",
    help='Such as "crop:0.5+jpeg:70", or for texts "delete:0.3"; repeatable.',
)
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
@click.option("--null-keys", type=click.IntRange(min=0), help="Random keys for everything that is unmarked.")
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
def bench(
    modality: str,
    out: Path,
    jobs: int,
    retry_errors: bool,
    list_only: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how well marks survive.

    Marks pictures by every method, attacks them, reads them again, and looks for marks where there are none;
    or has texts written with every mark, and does the same to them. Writes rows.jsonl, summary.json, report.md
    and report.html into the directory --out. The same command takes up a run that was stopped.

    Exit code 0: done, whatever the figures; 2: an error.
    """
    if list_only:
        (_list if modality == "picture" else _list_texts)(as_json)
        return
    from markai.bench import report

    _refuse(TEXTS_ONLY if modality == "picture" else PICTURES_ONLY, modality)
    measured = _pictures if modality == "picture" else _texts
    result = measured(out / ROWS, jobs, retry_errors, options)
    report.write(result, out)
    if as_json:
        click.echo(json.dumps(result))
    else:
        _show(result)
        click.echo(f"report: {shown(out / 'report.html')}", err=True)


def _refuse(names: set[str], modality: str) -> None:
    """Raise where an option was given that another modality has."""
    ctx = click.get_current_context()
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if param.name in names and given:
            raise click.UsageError(f"{param.opts[0]} says nothing about a {modality} - leave it out")


def _pictures(path: Path, jobs: int, retry_errors: bool, options: dict[str, Any]) -> dict[str, Any]:
    from markai.bench import runner, showcase, summary

    plan = _plan(**{name: value for name, value in options.items() if name not in TEXTS_ONLY})
    with _bar() as advance:
        header, rows = runner.run(plan, path, jobs, advance, retry_errors=retry_errors)
    return summary.of(header, rows, plan, _command()) | {"worst": showcase.worst(plan, rows)}


def _texts(path: Path, jobs: int, retry_errors: bool, options: dict[str, Any]) -> dict[str, Any]:
    from markai.bench.text import summary, work

    plan = _text_plan(**{name: value for name, value in options.items() if name not in PICTURES_ONLY})
    with _bar() as advance:
        header, rows = work.run(plan, path, jobs, advance, retry_errors=retry_errors)
    return summary.of(header, rows, plan, _command())


def _text_plan(
    quick: bool,
    texts: tuple[Path, ...],
    tokens: int | None,
    temperature: float | None,
    count: int | None,
    methods: tuple[str, ...],
    attacks: tuple[str, ...],
    suites: tuple[str, ...],
    null_keys: int | None,
    seed: int,
) -> "TextPlan":
    """Take a ready-made plan and change in it what was asked for."""
    from dataclasses import replace

    from markai.bench.text import presets, sources

    plan = (presets.quick if quick else presets.full)(methods or presets.default_methods(), seed=seed)
    asked: dict[str, Any] = {"tokens": tokens, "temperature": temperature, "null_keys": null_keys}
    settings = replace(plan.settings, **{name: value for name, value in asked.items() if value is not None})
    unknown = [suite for suite in suites if suite not in presets.SUITES]
    if unknown:
        raise click.UsageError(f"texts have no suite {unknown[0]} - choose from {', '.join(presets.SUITES)}")
    chosen = dict.fromkeys((*attacks, *(spec for suite in suites for spec in presets.SUITES[suite])))
    many = count or len(plan.sources)
    found = sources.from_files(texts, many, settings.reach, seed) if texts else None
    return replace(
        plan,
        sources=tuple(found or sources.shipped(many, settings.reach, seed)),
        attacks=tuple(chosen) or plan.attacks,
        settings=settings,
    )


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
    """Print how many marks survived, in percent: attacks down, methods across."""
    from rich.console import Console
    from rich.table import Table

    from markai.bench.report.model import View

    view = View(result)
    title = f"{view.headline.label}, %"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for method in result["methods"]:
        table.add_column(method["name"], justify="right", overflow="fold")
    for attack in result["attacks"]:
        cells = [view.cell(method["name"], attack["spec"]) for method in result["methods"]]
        found = [view.headline.share(cell) for cell in cells]
        name = attack["spec"] + (" (proxy)" if attack["proxy"] else "")
        table.add_row(name, *("-" if share is None else f"{100 * share['value']:.0f}" for share in found))
    Console(highlight=False).print(table)


def _list(as_json: bool) -> None:
    from markai import attacks, watermarks
    from markai.bench import peers, presets, security

    methods = dict.fromkeys(watermarks.names()) | peers.available()
    if as_json:
        known = {"attacks": attacks.names(), "suites": presets.SUITES, "security": [*security.MEANINGS]}
        click.echo(json.dumps({"methods": methods, **known}))
        return
    _list_methods(methods)
    click.echo("attacks:")
    _list_attacks(attacks)
    click.echo("security:")
    for name, (meaning, wanted) in security.MEANINGS.items():
        click.echo(f"  {name}  {meaning}; wanted {wanted}")


def _list_texts(as_json: bool) -> None:
    from markai.attacks import text
    from markai.bench.text import edits, methods, presets

    known = methods.available()
    if as_json:
        attacks = [*edits.EDITS, *text.names()]
        click.echo(json.dumps({"methods": known, "attacks": attacks, "suites": presets.SUITES}))
        return
    _list_methods(known)
    click.echo("attacks:")
    for name, edit in edits.EDITS.items():
        click.echo(f"  {name}" + (f":{edit.strength.default:g}  {edit.strength}" if edit.strength else ""))
    _list_attacks(text)


def _list_methods(methods: dict[str, str | None]) -> None:
    click.echo("methods:")
    for name, reason in methods.items():
        click.echo(f"  {name}" + (f"  (not here: {reason})" if reason else ""))


def _list_attacks(register: Any) -> None:
    for name in register.names():
        found, default = register.parse(name)
        strength = f":{default:g}  {found.strength}" if found.strength else ""
        click.echo(f"  {name}{strength}{'  (a proxy)' if found.proxy else ''}")


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
