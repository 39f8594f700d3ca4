"""``markai inspect``."""

from pathlib import Path

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
from markai.cli.detect import read_input
from markai.cli.options import load_tokenizer, registry_options, registry_url, tokenizer_option, trust_options
from markai.cli.verify import load_trust
from markai.files import Source, find_pictures, write_atomically


@click.command()
@inputs_argument
@key_option("key_files", multiple=True, help="A secret key; repeat it for a key ring.")
@trust_options
@registry_options
@click.option(
    "--fpr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=1e-6,
    show_default=True,
    help="The false-positive rate that the marks of a file keep together.",
)
@click.option("--quick", is_flag=True, help="Do not look for several marks in one picture.")
@tokenizer_option
@click.option("--sidecar", metavar="FILE", type=click.Path(path_type=Path), help="The manifest of the one INPUT.")
@click.option("--mime", metavar="TYPE", help="The media type of files that have no signature of their own.")
@click.option(
    "--manifest",
    "extracted",
    metavar="OUT.c2pa",
    type=click.Path(path_type=Path),
    help="Write the manifest that the registry has of the one INPUT.",
)
@recursive_option
@jobs_option
@json_option
@click.pass_context
def inspect(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    key_files: tuple[Path, ...],
    lists: tuple[Path, ...],
    tsa_lists: tuple[Path, ...],
    allowed: tuple[Path, ...],
    registry: str | None,
    registry_file: Path | None,
    fpr: float,
    quick: bool,
    tokenizer_file: Path | None,
    sidecar: Path | None,
    mime: str | None,
    extracted: Path | None,
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Say where files come from, by every layer.

    Reads the manifest, the mark and the metadata of each INPUT (a file, a directory, or - for the standard input),
    asks the registry, and names what does not fit together. The first line is the verdict:

    \b
    generated             a model made it: a manifest or a mark says so
    recovered             the manifest was lost, and found again through the mark
    edited after marking  the manifest holds, the content is another than was signed
    copied mark           the mark belongs to other content
    contradictory         the layers cannot all be right
    claimed camera        somebody says so (also: claimed human, claimed generated, signed)
    resembles a record    looks like one, and nothing in it proves that
    invalid manifest      it is not as it was signed
    nothing found         which is not proof of human origin

    Exit code 0: provenance was proved for all, and nothing contradicts it; 1: not for some; 2: an error.
    """
    from markai.inspector import Inspector
    from markai.keys import KeyRing

    ring = KeyRing(load_keys(key_files))
    sources = find_pictures(inputs, recursive=recursive)
    if (sidecar or extracted) and len(sources) != 1:
        raise click.UsageError(f"{len(sources)} files and one --sidecar or --manifest - inspect them one by one")
    inspector = Inspector(
        ring,
        trust=load_trust(lists, tsa_lists, allowed),
        registry=registry_url(ctx, registry, registry_file),
        fpr=fpr,
        thorough=not quick,
        tokenizer=load_tokenizer(tokenizer_file),
    )

    def work(source: Source) -> Row:
        data = read_input(source.path) if str(source.path) == "-" else source.path
        finding = inspector.inspect(data, sidecar=sidecar, mime=mime)
        if extracted and finding.recovered and finding.recovered.record.manifest:
            write_atomically(extracted, finding.recovered.record.manifest)
        return {"status": finding.verdict.value, **finding.to_dict()}

    passed: list[bool] = []

    def show(row: Row) -> None:
        passed.append(row.get("ok", False))
        show_row(row, as_json, in_words)

    with inspector:
        statuses = for_each(sources, work, show, jobs)
    ctx.exit(2 if "error" in statuses else 0 if all(passed) else 1)


def in_words(row: Row) -> str:
    """Return the lines for one file."""
    said = [f"  {name}: {shown(sentence)}" for name, sentence in row["layers"].items()]
    against = [f"  ! {each['sentence']} ({each['code']})" for each in row["contradictions"]]
    notes = [f"  {shown(note)}" for note in row["notes"]]
    return "\n".join([f"{row['verdict']}  {shown(row['file'])}", f"  {row['sentence']}", *against, *said, *notes])
