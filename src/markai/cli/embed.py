"""``markai embed``."""

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
from markai.errors import OutputError
from markai.files import (
    FORMAT_OF,
    SUFFIXES,
    Source,
    destinations,
    find_pictures,
    is_directory,
    read_picture,
    same_file,
    write_atomically,
)

if TYPE_CHECKING:
    from markai.keys import Key

METHOD, STRENGTHS, MAX_PAYLOAD = "dwt-dct", (0.1, 4.0), 16  # as in markai.api, which is slow to import
METHODS = "dwt-dct; learned, by networks (extra onnx or torch); both, as loud as one; auto: learned where it can run."


@click.command()
@inputs_argument
@click.option("-o", "--output", required=True, metavar="OUTPUT", help="A file for one file, else a directory.")
@key_option("key_file", help="The secret key.")
@click.option("--payload", metavar="TEXT", help=f"What the mark says, at most {MAX_PAYLOAD} bytes of UTF-8.")
@click.option("--payload-hex", metavar="HEX", help="The same as hexadecimal digits.")
@click.option("--method", default=METHOD, show_default=True, help=METHODS)
@click.option(
    "--strength",
    type=click.FloatRange(*STRENGTHS),
    default=1.0,
    show_default=True,
    help="A stronger mark survives more, and shows sooner.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist; needed to mark files in place.")
@recursive_option
@jobs_option
@json_option
@click.pass_context
def embed(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    output: str,
    key_file: Path | None,
    payload: str | None,
    payload_hex: str | None,
    method: str,
    strength: float,
    overwrite: bool,
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Mark pictures invisibly.

    Each keeps its format and metadata. One INPUT file is written to OUTPUT, a file or an existing directory.
    With several INPUTs, or a directory, OUTPUT is a directory that mirrors the tree. In directories pictures
    are known by their suffix; hidden names are passed over.

    A file is written whole or not at all, so an interrupted run is taken up by the same command: what exists
    already is skipped. (Not so in place with --overwrite: it would mark twice.) A file that fails does not
    stop the others; the exit code is then 2.
    """
    from markai import watermarks

    key = load_keys([key_file] if key_file else [])[0]
    content = payload_bytes(payload, payload_hex)
    watermarks.load(method)  # a wrong name is one error, not one for every file
    targets = plan(inputs, output, recursive, overwrite)

    def mark(source: Source) -> Row:
        target = targets[source]
        if target.exists() and not overwrite:
            return {"output": str(target), "status": "exists"}
        mark_file(source.path, target, key, content, method, strength)
        made = {"payload": content.hex(), "method": method, "strength": strength, "key_id": key.id}
        return {"output": str(target), "status": "marked", **made}

    show = partial(show_row, as_json=as_json, in_words=in_words)
    ctx.exit(2 if "error" in for_each(list(targets), mark, show, jobs) else 0)


def payload_bytes(text: str | None, digits: str | None) -> bytes:
    """Return the payload that the two options ask for; none is empty, which marks presence only."""
    if text is not None and digits is not None:
        raise click.UsageError("pass --payload or --payload-hex, not both")
    try:
        # surrogateescape gives back the bytes of an argument that is not UTF-8
        content = bytes.fromhex(digits) if digits else (text or "").encode("utf-8", "surrogateescape")
    except ValueError:
        raise click.BadParameter(f"{digits!r} is not pairs of hexadecimal digits", param_hint="--payload-hex") from None
    if len(content) > MAX_PAYLOAD:
        raise click.BadParameter(
            f"{len(content)} bytes, a mark carries {MAX_PAYLOAD} - store the data elsewhere and mark its id",
            param_hint="--payload" if text else "--payload-hex",
        )
    return content


def plan(inputs: tuple[Path, ...], output: str, recursive: bool, overwrite: bool) -> dict[Source, Path]:
    """Return what to mark and where it goes, or raise before anything is written."""
    single = len(inputs) == 1 and not is_directory(inputs[0])
    goal = Path(output)
    into = is_directory(goal) or output.endswith("/")
    if not (single or into) and goal.exists():
        raise OutputError(f"{output} is a file - several pictures need a directory as output")
    sources = find_pictures(inputs, recursive=recursive, leave_out=goal)
    targets = destinations(sources, goal) if into or not single else {sources[0]: goal}
    for source, target in targets.items():
        if overwrite or source.error:
            continue
        if same_file(source.path, target):
            raise OutputError(f"{source.path} would be replaced - pass --overwrite to mark it in place")
        if single and target.exists():
            raise OutputError(f"{target} exists already - pass --overwrite to replace it")
    return targets


def mark_file(source: Path, target: Path, key: "Key", payload: bytes, method: str, strength: float) -> None:
    """Mark one file."""
    import markai
    from markai.image import MAX_BYTES, file_format

    data = read_picture(source, MAX_BYTES)
    held, wanted = file_format(data), FORMAT_OF.get(target.suffix.lower())
    if wanted not in (None, held) and target.suffix.lower() != source.suffix.lower():
        advice = f"the format is kept: name it {target.stem}{SUFFIXES[held][0]} and convert that"
        raise OutputError(f"the picture is {held}, but {target} asks for {wanted} - {advice}")
    write_atomically(target, markai.embed(data, key, payload=payload, method=method, strength=strength))


def in_words(row: Row) -> str:
    """Return the line for one file."""
    if row["status"] == "exists":
        return f"exists  {shown(row['output'])}"
    return f"marked  {shown(row['file'])} -> {shown(row['output'])}"
