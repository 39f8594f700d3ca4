"""What the commands share: options, the loop over many files, and how rows are shown."""

import json
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from markai.errors import KeyFileError, MarkaiError
from markai.files import Source

if TYPE_CHECKING:
    from markai.keys import Key

KEY_VARIABLE = "MARKAI_KEY_FILE"
MAX_DEFAULT_JOBS = 4  # a picture of 16k x 16k takes gigabytes while it is worked on

Row = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger("markai")


def _default_jobs() -> int:
    return min(MAX_DEFAULT_JOBS, len(os.sched_getaffinity(0)))


inputs_argument = click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(path_type=Path, allow_dash=True)
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
recursive_option = click.option(
    "-r", "--recursive", is_flag=True, help="Also take the pictures in directories below a directory."
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=_default_jobs,
    show_default=f"one per core, at most {MAX_DEFAULT_JOBS}",
    help="How many files to work on at the same time.",
)
key_option = partial(
    click.option,
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar=KEY_VARIABLE,
    show_envvar=True,
)


def load_keys(paths: Sequence[Path]) -> "list[Key]":
    """Load the key files that were named.

    Raises:
        KeyFileError: if there are none, or one is damaged.
    """
    from markai.keys import Key

    if not paths:
        raise KeyFileError(f"no key - pass --key FILE or set {KEY_VARIABLE}; make a key with: markai keygen FILE")
    return [Key.load(path) for path in paths]


def for_each(
    sources: Sequence[Source], work: Callable[[Source], Row], show: Callable[[Row], None], jobs: int
) -> set[str]:
    """Work on every source, show the rows in the order of the sources as they complete, return the statuses.

    What goes wrong with one file is its row, and the others go on.
    """
    statuses = set()
    rows = map_in_order(partial(_attempt, work), sources, min(jobs, len(sources)))
    with progress(len(sources)) as advance, closing(rows):
        for row in rows:
            show(row)
            statuses.add(row["status"])
            advance()
    return statuses


def _attempt(work: Callable[[Source], Row], source: Source) -> Row:
    row: Row = {"file": str(source.path)}
    if source.error:
        return row | {"status": "error", "error": source.error}
    try:
        return row | work(source)
    except MarkaiError as error:
        log.debug("%s", row["file"], exc_info=True)
        return row | {"status": "error", "error": str(error)}
    except Exception as error:  # a bug, or no memory for this one: an overnight batch still goes on
        log.debug("%s", row["file"], exc_info=True)
        problem = f"unexpected {type(error).__name__}: {error} - run markai --debug and report what it shows"
        return row | {"status": "error", "error": problem}


def map_in_order(function: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Generator[Result, None, None]:
    """Map in threads, results in order, never far ahead of the consumer; without threads for one job."""
    if jobs == 1:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * jobs:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # after Ctrl-C a file in work is finished, no other is begun
        pool.shutdown(cancel_futures=True)


@contextmanager
def progress(total: int) -> Iterator[Callable[[], object]]:
    """Show a bar with the time left, on a terminal and for more than one file; yield what moves it on."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Rich would print a redirected stdout on stderr, which is right only where both are the terminal.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def show_row(row: Row, as_json: bool, in_words: Callable[[Row], str]) -> None:
    """Print a result to stdout; in words an error goes to stderr."""
    if as_json:
        click.echo(json.dumps(row))
    elif row["status"] == "error":
        click.echo(f"error: {shown(row['file'])}: {row['error']}", err=True)
    else:
        click.echo(in_words(row))


def shown(path: object) -> str:
    """Return a path for people; what could fake a line or move the cursor is escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)
