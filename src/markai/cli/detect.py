"""``markai detect``."""

import math
import sys
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
from markai.files import Source, find_pictures, read_picture


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
@click.option("--method", help="Look for this method only.  [default: every one that is installed]")
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
    recursive: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Look for the mark of a key in pictures.

    INPUT is a file, a directory, or - for the standard input. For every file one line says whether the mark
    was found, its payload, the p-value (corrected for everything that was tried), the method, the id of the
    key, and how the picture was changed since: the offset of a crop, scale, rotation.

    Exit code 0: found in all; 1: not found in some; 2: an error with some.
    """
    from markai import watermarks
    from markai.keys import KeyRing

    ring = KeyRing(load_keys(key_files))
    if method:
        watermarks.load(method)  # a wrong name is one error, not one for every file
    sources = find_pictures(inputs, recursive=recursive)

    def look(source: Source) -> Row:
        import markai

        found = markai.detect(read_input(source.path), ring, fpr=fpr, method=method)
        return {"status": "found" if found else "not found", **found.to_dict()}

    statuses = for_each(sources, look, partial(show_row, as_json=as_json, in_words=in_words), jobs)
    ctx.exit(2 if "error" in statuses else 1 if "not found" in statuses else 0)


def read_input(path: Path) -> bytes:
    """Return the bytes of a file, or of the standard input for ``-``."""
    from markai.image import MAX_BYTES

    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    return read_picture(path, MAX_BYTES)


def in_words(row: Row) -> str:
    """Return the line for one file."""
    line = [row["status"], shown(row["file"]), f"p={row['p_value']:.2g}"]
    if row["detected"]:
        payload = row["payload_text"] or (f"0x{row['payload']}" if row["payload"] else "")
        line[2:2] = [f"payload {payload}" if payload else "no payload"]
        line += [row["method"], f"key {row['key_id']}", *changes(row["geometry"] or {})]
    return "  ".join([*line, *row["reasons"]])


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
