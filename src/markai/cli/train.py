"""``markai train``."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from markai.cli.common import json_option, shown
from markai.errors import MissingExtraError

Report = Callable[[dict[str, Any]], object]
SHOWN = ("step", "loss", "accuracy", "strength")  # beside the bar


@click.command()
@click.option(
    "--config",
    "name",
    metavar="NAME|FILE.toml",
    default="cpu",
    show_default=True,
    help="ci (seconds), cpu, h200, or a file of settings.",
)
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="A folder of pictures, or a pack of one; every tenth is held out.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where weights, checkpoint, log, curve and evaluation go.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so long; --resume goes on.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@json_option
def train(name: str, data: Path, out: Path, minutes: float | None, resume: bool, as_json: bool) -> None:
    """Train the networks of the learned mark.

    Runs on a GPU where torch finds one. A checkpoint is saved now and then, and at the end; a run that was
    stopped ends, with --resume, where it would have without the stop. Once the schedule is over, the weights are
    evaluated on the pictures held out, beside dwt-dct.

    Exit code 0: done, or stopped in time; 2: an error.
    """
    if not (find_spec("torch") and find_spec("safetensors")):
        raise MissingExtraError.naming("torch and safetensors", "torch", "training runs")
    from markai.neural import config, train

    try:
        settings = config.load(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--config") from error
    with _bar() as report:
        trainer = train.run(settings, data, out, minutes or math.inf, resume, report)
    _show(out, trainer.step, trainer.seconds, trainer.progress, as_json)


def _show(out: Path, step: int, seconds: float, progress: float, as_json: bool) -> None:
    found = out / "evaluation.json"
    finished = progress >= 1
    if as_json:
        evaluation = json.loads(found.read_text()) if finished and found.exists() else None
        row = {"out": str(out), "step": step, "seconds": round(seconds, 1), "progress": round(progress, 4)}
        click.echo(json.dumps({**row, "finished": finished, "evaluation": evaluation}))
        return
    state = "the schedule is over" if finished else f"{100 * progress:.0f} % of the schedule; go on with --resume"
    click.echo(f"{shown(out)}: {step} steps in {seconds / 60:.1f} minutes, {state}")


@contextmanager
def _bar() -> Iterator[Report]:
    """Show how far the schedule is, on a terminal; yield what takes the rows of the log."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("making the marks to begin from", total=1.0)

        def report(row: dict[str, Any]) -> None:
            if "progress" in row:
                text = "  ".join(f"{name} {row[name]:g}" for name in SHOWN)
                bar.update(task, completed=row["progress"], description=text)

        yield report
