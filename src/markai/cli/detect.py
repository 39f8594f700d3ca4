"""``markai detect``."""

import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from markai.files import Source, find_pictures, read_picture, same_file, write_atomically

NEARLY_ALL = 0.9  # share of a picture that is marked, above which it is not worth a word


@click.command()
@inputs_argument
@key_option("key_files", multiple=True, help="A secret key; repeat it for a key ring.")
@click.option(
    "--fpr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=1e-6,
    show_default=True,
    help="The false-positive rate to keep: found means p <= this.",
)
@click.option(
    "--method", help="Only dwt-dct or learned; both: their evidence together.  [default: every one that can run]"
)
@click.option("--all", "every", is_flag=True, help="Find every mark in a collage, not only the surest; takes seconds.")
@click.option(
    "--coverage",
    "drawing",
    metavar="OUT.png",
    type=click.Path(path_type=Path),
    help="Draw where in the one INPUT the mark is; nothing is drawn where none was found.",
)
@recursive_option
@jobs_option
@json_option
@click.pass_context
def detect(
    ctx: click.Context,
    inputs: tuple[Path, ...],
    key_files: tuple[Path, ...],
    fpr: float,
    method: str | None,
    every: bool,
    drawing: Path | None,
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Look for the mark of a key in pictures.

    INPUT is a file, a directory, or - for the standard input. For every file one line says whether the mark
    was found, its payload, the p-value (corrected for everything that was tried), the method, the id of the
    key, and how the picture was changed since: the offset of a crop, scale, rotation. With --all there is a
    line for each mark below.

    Exit code 0: found in all; 1: not found in some; 2: an error with some.
    """
    from markai import watermarks
    from markai.keys import KeyRing

    ring = KeyRing(load_keys(key_files))
    if method:
        watermarks.load(method)  # a wrong name is one error, not one for every file
    sources = find_pictures(inputs, recursive=recursive)
    if drawing:
        check_drawing(drawing, sources)

    def look(source: Source) -> Row:
        import markai

        data = read_input(source.path)
        if every:
            marks = markai.detect_all(data, ring, fpr=fpr, method=method)
            row: Row = {"detected": bool(marks), "fpr": fpr, "marks": [mark.to_dict() for mark in marks]}
        else:
            found = markai.detect(data, ring, fpr=fpr, method=method)
            marks, row = [found] * found.detected, found.to_dict()
        coverages = [mark.coverage for mark in marks if mark.coverage]
        if drawing and coverages:
            from markai.cli.overlay import overlay

            write_atomically(drawing, overlay(data, coverages))
        return {"status": "found" if row["detected"] else "not found", **row}

    statuses = for_each(sources, look, partial(show_row, as_json=as_json, in_words=in_words), jobs)
    ctx.exit(2 if "error" in statuses else 1 if "not found" in statuses else 0)


def check_drawing(target: Path, sources: Sequence[Source]) -> None:
    """Raise where a picture of the coverage cannot go to that file."""
    if target.suffix.lower() != ".png":
        raise OutputError(f"{target} is drawn as PNG - give it a name that ends in .png")
    if len(sources) != 1:
        raise OutputError(f"{len(sources)} pictures and one --coverage {target} - draw them one by one")
    if same_file(target, sources[0].path):
        raise OutputError(f"{target} is the picture itself - give the drawing another name")


def read_input(path: Path) -> bytes:
    """Return the bytes of a file, or of the standard input for ``-``."""
    from markai.image import MAX_BYTES

    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    return read_picture(path, MAX_BYTES)


def in_words(row: Row) -> str:
    """Return the line for one file, and with --all a line for each of its marks."""
    name = shown(row["file"])
    if "marks" in row:
        count = len(row["marks"])
        first = f"{row['status']}  {name}  {count or 'no'} mark{'s' * (count != 1)}"
        return "\n".join([first, *("  " + "  ".join(mark_in_words(mark)) for mark in row["marks"])])
    said = mark_in_words(row) if row["detected"] else [f"p={row['p_value']:.2g}"]
    return "  ".join([row["status"], name, *said, *row["reasons"]])


def mark_in_words(row: Row) -> list[str]:
    """Say what a mark is, and where."""
    payload = row["payload_text"] or (f"0x{row['payload']}" if row["payload"] else "")
    said = [f"payload {payload}" if payload else "no payload", f"p={row['p_value']:.2g}", row["method"]]
    share = (row["coverage"] or {"share": 1.0})["share"]
    part = [f"on {share:.0%} of the picture"] if share < NEARLY_ALL else []
    return [*said, f"key {row['key_id']}", *changes(row["geometry"] or {}), *part]


def changes(geometry: dict[str, Any]) -> list[str]:
    """Say how a picture was changed since it was marked."""
    if not geometry:
        return []
    period = geometry["period"] or math.inf
    right, down = (round(way) % period for way in geometry["offset"])  # known modulo the period: 127.8 of 128 is 0
    said = [f"offset {right:.0f},{down:.0f}"]
    across, down = geometry["scale_x"], geometry["scale_y"]
    if abs(across - 1) > 1e-3 or abs(down - 1) > 1e-3:
        said.append(f"scale {across:.3g}x{down:.3g}")
    if abs(geometry["rotation"]) > 0.05:
        said.append(f"rotated {geometry['rotation']:.1f}")
    return said + ["flipped"] * geometry["flipped"]
