"""``markai verify``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from markai.cli.common import (
    Row,
    for_each,
    inputs_argument,
    jobs_option,
    json_option,
    recursive_option,
    show_row,
    shown,
)
from markai.cli.detect import read_input
from markai.cli.options import trust_options
from markai.files import Source, find_pictures

if TYPE_CHECKING:
    from markai.provenance import Trust


@click.command()
@inputs_argument
@trust_options
@click.option("--sidecar", metavar="FILE", type=click.Path(path_type=Path), help="The manifest of the one INPUT.")
@click.option("--mime", metavar="TYPE", help="The media type of files that have no signature of their own.")
@recursive_option
@jobs_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    lists: tuple[Path, ...],
    tsa_lists: tuple[Path, ...],
    allowed: tuple[Path, ...],
    sidecar: Path | None,
    mime: str | None,
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Check C2PA manifests: intact, by whom?

    For the mark, the registry and what contradicts what, see "markai inspect".

    INPUT is a file, a directory, or - for the standard input. A manifest that lies beside a file (photo.jpg.c2pa,
    photo.c2pa) is found. Nothing is fetched from the network. One line for every file says whether it is

    \b
    trusted      intact, and signed by somebody on the lists of --trust or --allowed
    valid        intact, signed by somebody who is not
    invalid      changed since it was signed, or the certificate does not hold
    damaged      it cannot be read
    none         no manifest, which says nothing about how it was made
    unsupported  a kind of file that holds none

    and below why. Exit code 0: all are trusted (valid, where no list was given); 1: some are not; 2: an error.
    """
    sources = find_pictures(inputs, recursive=recursive)
    if sidecar and len(sources) != 1:
        raise click.UsageError(f"one --sidecar and {len(sources)} files - check them one by one")
    trust = load_trust(lists, tsa_lists, allowed)

    def work(source: Source) -> Row:
        from markai.provenance import verify as verify_data

        data = read_input(source.path) if str(source.path) == "-" else source.path
        return verify_data(data, trust, sidecar=sidecar, mime=mime).to_dict()

    passed: list[bool] = []

    def show(row: Row) -> None:
        passed.append(row.get("ok", False))
        show_row(row, as_json, in_words)

    statuses = for_each(sources, work, show, jobs)
    ctx.exit(2 if "error" in statuses else 0 if all(passed) else 1)


def load_trust(lists: tuple[Path, ...], tsa_lists: tuple[Path, ...], allowed: tuple[Path, ...]) -> "Trust":
    """Load the lists that were named."""
    from markai.provenance import Trust

    return Trust.from_files(*lists, tsa=tsa_lists, allowed=allowed)


def in_words(row: Row) -> str:
    """Return the lines for one file."""
    said = [row["status"], shown(row["file"]), *signer_in_words(row), *claim_in_words(row)]
    return "\n".join(["  ".join(said), *reasons_in_words(row["reasons"]), *ingredients_in_words(row["ingredients"], 1)])


def signer_in_words(row: Row) -> list[str]:
    """Say who signed, and when."""
    signer = row["signer"]
    if not signer:
        return []
    name = shown(signer["organization"] or signer["common_name"] or "somebody without a name")
    known = "" if row["status"] == "trusted" else " (so it says)"
    said = [f"signed by {name}{known}{' for development' if signer['development'] else ''}"]
    if row["time"]:
        said.append(f"{'at' if row['time_trusted'] else 'supposedly at'} {row['time']}")
    return said


def claim_in_words(row: Row) -> list[str]:
    """Say how the content was made."""
    claim = row["claim"]
    made = [shown(f"made with {claim['system']} {claim['version']} of {claim['provider']}")] if claim else []
    kind = [f"AI ({row['source_type']})" if row["is_ai"] else shown(row["source_type"])] if row["source_type"] else []
    return made + kind


def reasons_in_words(reasons: list[dict[str, str]]) -> list[str]:
    """Say why, each reason once."""
    return list(dict.fromkeys(f"  {each['sentence']} ({shown(each['code'])})" for each in reasons))


def ingredients_in_words(ingredients: list[dict[str, Any]], depth: int) -> list[str]:
    """Say what the content was made from."""
    lines = []
    for each in ingredients:
        title = shown(each["title"] or each["manifest_id"] or "a file without a name")
        said = [each["status"], shown(each["relationship"] or "ingredient"), title, *signer_in_words(each)]
        lines += ["  " * depth + "<- " + "  ".join(said), *ingredients_in_words(each["ingredients"], depth + 1)]
    return lines
