"""``markai mark``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from markai.cli.common import (
    Row,
    for_each,
    inputs_argument,
    jobs_option,
    json_option,
    key_option,
    load_keys,
    recursive_option,
    show_row,
    shown,
)
from markai.cli.embed import METHOD, METHODS, STRENGTHS, payload_bytes, plan
from markai.cli.options import (
    claim_options,
    load_tokenizer,
    registry_options,
    registry_url,
    signer_options,
    tokenizer_option,
)
from markai.cli.sign import load_signer
from markai.errors import OutputError
from markai.files import FORMAT_OF, Source, read_picture, same_file

if TYPE_CHECKING:
    from markai.marked import Marked
    from markai.marker import Marker


@click.command()
@inputs_argument
@click.option("-o", "--output", required=True, metavar="OUTPUT", help="A file for one file, else a directory.")
@key_option("key_file", help="The secret key.")
@signer_options
@registry_options
@claim_options
@click.option("--format", "wanted", metavar="NAME", help="Write png, jpeg, webp, avif or tiff.  [default: as it was]")
@click.option("--quality", type=click.IntRange(1, 100), help="Of JPEG, WebP and AVIF, where --format asks for them.")
@click.option("--payload", metavar="TEXT", help="What the mark of the one INPUT says.  [default: a new id for each]")
@click.option("--payload-hex", metavar="HEX", help="The same as hexadecimal digits.")
@click.option("--method", default=METHOD, show_default=True, help=METHODS)
@click.option(
    "--strength",
    type=click.FloatRange(*STRENGTHS),
    default=1.0,
    show_default=True,
    help="A stronger mark survives more, and shows sooner.",
)
@click.option("--text-mark", metavar="NAME", help="The mark that texts were written with, such as text-gumbel.")
@tokenizer_option
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist; needed to mark files in place.")
@recursive_option
@jobs_option
@json_option
@click.pass_context
def mark(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    output: str,
    key_file: Path | None,
    chain: Path | None,
    private_key: Path | None,
    tsa: str | None,
    timestamp: str | None,
    registry: str | None,
    registry_file: Path | None,
    provider: str,
    system: str,
    system_version: str,
    source_type: str,
    tc260_producer: str | None,
    wanted: str | None,
    quality: int | None,
    payload: str | None,
    payload_hex: str | None,
    method: str,
    strength: float,
    text_mark: str | None,
    tokenizer_file: Path | None,
    overwrite: bool,
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Mark, describe, sign and record pictures at once.

    Each gets an invisible mark with an id of its own, IPTC metadata, a C2PA manifest, and a record in the
    registry, by which "markai inspect" finds the manifest again when the file has lost it. A text (.txt, .md) is
    described, signed beside it and recorded; its mark was written when it was generated, and with --text-mark it
    must be readable there.

    All or nothing: a file appears whole, signed and recorded, or not at all. An interrupted run is taken up by the
    same command: what exists already is skipped, and in place what the registry knows. Exit code 0: done; 2: an
    error with some.
    """
    from markai.marker import Marker

    key = load_keys([key_file] if key_file else [])[0]
    content = payload_bytes(payload, payload_hex) or None
    targets = _renamed(plan(inputs, output, recursive, overwrite), wanted)
    if content and len(targets) != 1:
        raise click.UsageError(f"one payload and {len(targets)} pictures - leave it out, and each gets its own")
    tokenizer = load_tokenizer(tokenizer_file)
    marker = Marker(
        key,
        signer=load_signer(chain, private_key, tsa, timestamp),
        registry=registry_url(ctx, registry, registry_file),
        provider=provider,
        system=system,
        version=system_version,
        method=method,
        strength=strength,
        source_type=source_type,
        tc260_producer=tc260_producer,
    )

    def work(source: Source) -> Row:
        target = targets[source]
        if _is_done(marker, source.path, target, overwrite):
            return {"output": str(target), "status": "exists"}
        named = wanted or _format_for(source.path, target)
        marked = marker.mark_file(
            source.path, target, named, content, quality=quality, mark=text_mark, tokenizer=tokenizer
        )
        return _row(marked, target)

    with marker:
        for folder in {target.parent for target in targets.values()}:
            marker.take_up(folder)  # of a run that was killed
        show = partial(show_row, as_json=as_json, in_words=in_words)
        statuses = for_each(list(targets), work, show, jobs)
    ctx.exit(2 if "error" in statuses else 0)


def _renamed(targets: dict[Source, Path], wanted: str | None) -> dict[Source, Path]:
    """Return the targets with the suffix of the format that is wanted.

    Raises:
        OutputError: if two would have the same name then.
    """
    if wanted is None:
        return targets
    suffix = "." + wanted.lower().lstrip(".")
    renamed = {
        source: target if FORMAT_OF.get(target.suffix.lower()) == FORMAT_OF.get(suffix) else target.with_suffix(suffix)
        for source, target in targets.items()
    }
    if len(set(renamed.values())) < len(renamed):
        raise OutputError("two pictures would have the same name in that format - mark them into two directories")
    return renamed


def _format_for(source: Path, target: Path) -> str | None:
    """Return the format that the target's name asks for, where the source's is another."""
    asked = FORMAT_OF.get(target.suffix.lower())
    return target.suffix if asked and asked != FORMAT_OF.get(source.suffix.lower()) else None


def _is_done(marker: "Marker", source: Path, target: Path, overwrite: bool) -> bool:
    """Whether there is nothing to do: the target is there, or it is marked already and was to be marked in place."""
    from markai.image import MAX_BYTES

    if not overwrite:
        return target.exists()
    return same_file(source, target) and marker.recorded(read_picture(source, MAX_BYTES)) is not None


def _row(marked: "Marked", target: Path) -> Row:
    beside = str(target) + ".c2pa" if marked.sidecar is not None else None
    return {"output": str(target), "status": "marked", "sidecar": beside, **marked.to_dict()}


def in_words(row: Row) -> str:
    """Return the line for one file."""
    if row["status"] == "exists":
        return f"exists  {shown(row['output'])}"
    beside = f" and {shown(row['sidecar'])}" if row["sidecar"] else ""
    recorded = f"  record {row['record_id']}" if row["record_id"] else f"  payload {row['payload']}, not recorded"
    again = "  (it had a mark already)" if row["earlier"] else ""
    return f"marked  {shown(row['file'])} -> {shown(row['output'])}{beside}{recorded}{again}"
