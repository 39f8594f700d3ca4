"""``markai audit``."""

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from markai.cli.audit_outputs import FORMATS, sign_record, write_outputs
from markai.cli.common import key_option, load_keys
from markai.cli.options import registry_options, registry_url, signer_options, trust_options
from markai.cli.verify import load_trust
from markai.errors import ImageError, PolicyError

if TYPE_CHECKING:
    from markai.audit.examine import Settings
    from markai.audit.inputs import Selection

LEVELS = ("never", "error", "contradiction", "warning")
DEFAULT_LEVEL = "contradiction"
REGIMES = "eu,korea,california,china,iptc,common"
MAX_POLICY_BYTES = 1 << 20
MAX_TOKENIZER_BYTES = 64 << 20

path_type = click.Path(path_type=Path)


@click.command()
@click.argument("inputs", nargs=-1, metavar="PATH...", type=click.Path(allow_dash=True))
@click.option(
    "-o", "--output", "folder", metavar="DIR", type=path_type, help="Write everything there, and go on there."
)
@key_option(
    "key_files", multiple=True, help="A secret key; repeat it for a key ring. Without, no marks are looked for."
)
@trust_options
@registry_options
@click.option("--rules", "--regime", "regimes", metavar="NAMES", multiple=True, help=f"Check against rules: {REGIMES}.")
@click.option("--policy", metavar="FILE", type=path_type, help="Check against a policy of your own (docs/audit.md).")
@click.option("--fail-on", type=click.Choice(LEVELS), help=f"What exit code 1 is for.  [default: {DEFAULT_LEVEL}]")
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="What to make of it; repeat it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a file; the same as --format ndjson.")
@click.option("--jobs", type=click.IntRange(min=1), show_default="one per core", help="How many processes work.")
@click.option(
    "--since", metavar="DIR", type=path_type, help="Take over what an earlier audit found in the same content."
)
@click.option("--self-test", is_flag=True, help="Also measure how well the keys hold.")
@click.option(
    "--test-picture", "test_pictures", metavar="PATH", multiple=True, type=path_type, help="On these pictures."
)
@click.option("--sign", "record_key", metavar="KEY.pem", type=path_type, help="Sign a record of it (Ed25519, with -o).")
@click.option("--manifest", is_flag=True, help="Sign it with a manifest (C2PA), by --chain and --private-key.")
@signer_options
@click.option("--include", metavar="GLOB", multiple=True, help="Of folders and archives only what fits.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Of folders and archives not what fits.")
@click.option("--files-from", metavar="FILE", type=click.Path(allow_dash=True), help="Paths, a line each or with NUL.")
@click.option("--all-files", is_flag=True, help="Have a row for files of other kinds as well.")
@click.option("--hidden", is_flag=True, help="Also take names that begin with a dot.")
@click.option("--no-ignore", is_flag=True, help="Do not heed .markaiignore.")
@click.option("--fpr", type=click.FloatRange(0, 1, True, True), default=1e-6, show_default=True, help="Of one file.")
@click.option("--quick", is_flag=True, help="Do not look for several marks in one picture.")
@click.option(
    "--tokenizer", metavar="FILE", type=path_type, help="A tokenizer.json: also look for marks on its tokens."
)
@click.option("--max-bytes", type=click.IntRange(min=1), default=1 << 30, show_default=True, help="Of a file.")
@click.option("--max-memory", type=click.IntRange(min=256), default=6144, show_default=True, help="MB of a process.")
@click.option("--max-seconds", type=click.FloatRange(min=1), default=600, show_default=True, help="For a file.")
@click.option("--language", type=click.Choice(("en", "ko")), default="en", show_default=True, help="Of what is said.")
@click.pass_context
def audit(ctx: click.Context, /, inputs: tuple[str, ...], folder: Path | None, **options: Any) -> None:
    """Say of every file where it comes from, over all layers: one file or a million.

    PATH is a file, a folder (with all below it), a ZIP archive, or - for a list of paths on the standard input. Each
    file has one verdict, from its mark, its manifest, its metadata and the registry, and what contradicts it; with
    --rules and --policy also what is missing, and what to do. Nothing is sent anywhere.

    With -o the rows (rows.ndjson), the audit (audit.json) and what --format asks for (by default a report,
    audit.html) are written to DIR; a run that was killed goes on when it is started again.

    \b
    markai audit export/ --key my.key --rules eu,korea -o audit
    find . -name '*.png' -print0 | markai audit - --json
    markai audit export/ --since audit -o audit-2 --fail-on warning

    \b
    --fail-on never          only report
              error          rules and lines of the policy that are errors, and what could not be examined
              contradiction  and contradictions (the default, unless the policy has another)
              warning        and warnings, and what is damaged or copied

    Exit code 0: nothing of the kind; 1: there is; 2: an error.
    """
    from tempfile import TemporaryDirectory

    formats = _formats(options.pop("formats"), options.pop("as_json"), folder)
    _check(inputs, folder, options)
    settings, selection = _settings(ctx, options), _selection(options)
    level = options["fail_on"] or settings.load_policy().fail_on or DEFAULT_LEVEL
    if folder is not None:
        found = _run(inputs, folder, settings, selection, options)
        written = write_outputs(found, formats, folder, options["language"])
        sign_record(found, folder, written, options)
        ctx.exit(int(_fails(found["rows"], level)))
    with TemporaryDirectory(prefix="markai-") as place:
        found = _run(inputs, Path(place) / "audit", settings, selection, options)
        write_outputs(found, formats, None, options["language"])
        ctx.exit(int(_fails(found["rows"], level)))


def _formats(given: tuple[str, ...], as_json: bool, folder: Path | None) -> list[str]:
    formats = list(dict.fromkeys([*given, *(["ndjson"] if as_json else [])]))
    if folder is None and len(formats) > 1:
        raise click.UsageError(f"{' and '.join(formats)} cannot all go to stdout - write them into a folder with -o")
    return formats or (["table"] if folder is None else ["table", "html"])


def _check(inputs: tuple[str, ...], folder: Path | None, options: dict[str, Any]) -> None:
    if not inputs and not options["files_from"]:
        raise click.UsageError("nothing to audit - name files or folders, or a list of them with --files-from")
    if inputs and (options["files_from"] or ("-" in inputs and len(inputs) > 1)):
        raise click.UsageError("a list of paths stands alone - write the others into it")
    if (options["record_key"] or options["manifest"]) and folder is None:
        raise click.UsageError("a record is signed beside what it is of - add -o DIR")
    if options["tsa"] and not options["manifest"]:
        raise click.UsageError("--tsa is for signing with a manifest - add --manifest")


def _settings(ctx: click.Context, options: dict[str, Any]) -> "Settings":
    from markai.audit.archives import Limits
    from markai.audit.examine import Settings

    key_files: tuple[Path, ...] = options["key_files"]
    if key_files:
        load_keys(key_files)  # what there is to say of them is said once, and not by every process
    policy: Path | None = options["policy"]
    settings = Settings(
        keys=key_files,
        trust=load_trust(options["lists"], options["tsa_lists"], options["allowed"]),
        registry=registry_url(ctx, options["registry"], options["registry_file"]),
        fpr=options["fpr"],
        thorough=not options["quick"],
        tokenizer=_content(options["tokenizer"], MAX_TOKENIZER_BYTES) if options["tokenizer"] else None,
        policy=_content(policy, MAX_POLICY_BYTES) if policy else None,
        policy_name=str(policy),
        every=options["all_files"],
        limits=Limits(file_bytes=options["max_bytes"]),
    )
    named = tuple(dict.fromkeys(name for each in options["regimes"] for name in each.split(",") if name))
    return replace(settings, regimes=named or settings.load_policy().regimes or ())


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)  # whoever reads it refuses what is longer
    except OSError as error:
        raise PolicyError(f"cannot read {path}: {error.strerror} - check the path") from None


def _selection(options: dict[str, Any]) -> "Selection":
    from markai.audit.inputs import Selection

    return Selection(
        include=options["include"],
        exclude=options["exclude"],
        hidden=options["hidden"],
        ignore_files=not options["no_ignore"],
        every=options["all_files"],
    )


def _run(
    inputs: tuple[str, ...], folder: Path, settings: "Settings", selection: "Selection", options: dict[str, Any]
) -> dict[str, Any]:
    from markai.audit.engine import audit as run
    from markai.audit.workers import Bounds

    with _listed(inputs, options["files_from"]) as files, _progress(files, selection) as tell:
        found = run(
            files,
            folder,
            settings,
            selection=selection,
            jobs=options["jobs"],
            since=options["since"],
            bounds=Bounds(memory=options["max_memory"] << 20, seconds=options["max_seconds"]),
            test=options["test_pictures"] or options["self_test"],
            command=_command(),
            progress=tell,
        )
    if found["reused"] or options["since"]:
        of = f"{found['reused']:,} files were" if found["reused"] != 1 else "1 file was"
        click.echo(f"{of} examined by an earlier audit, and not changed since", err=True)
    return found


def _command() -> str:
    """Return the command line; a URL in it has no password, which is refused there."""
    return shlex.join(["markai", *sys.argv[1:]])


@contextmanager
def _listed(inputs: tuple[str, ...], files_from: str | None) -> Iterator[Iterable[str]]:
    """Yield what is to be audited: what was named, or one after the other what a list names."""
    from markai.audit.inputs import paths_in

    if files_from is None and inputs != ("-",):
        yield list(inputs)
    elif files_from is None or files_from == "-":
        yield paths_in(sys.stdin.buffer)
    else:
        with _opened(Path(files_from)) as file:
            yield paths_in(file)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror} - it holds the paths of files") from None


@contextmanager
def _progress(files: Iterable[str], selection: "Selection") -> Iterator[Callable[[int], object] | None]:
    """Show on a terminal how many files are done and, once they are counted, how long the others will take."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    from markai.audit.engine import count

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None)
        if isinstance(files, list):  # a list that is read as it comes cannot be counted first
            counting = Thread(target=lambda: bar.update(task, total=count(files, selection)), daemon=True)
            counting.start()
        yield lambda done: bar.update(task, completed=done)


def _fails(rows: Iterable[dict[str, Any]], level: str) -> bool:
    from markai.audit.policy import worst

    if level != "contradiction":
        return worst(rows, level)
    return any(row.get("contradictions") or worst([row], "error") for row in rows)
