"""The worst of a run as pictures: original, marked, difference, attacked. Made again from the seed, not kept."""

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from markai import attacks
from markai.attacks.pixels import resized, rounded
from markai.bench import methods
from markai.bench.plan import Plan, attack_seed
from markai.bench.rows import Row
from markai.bench.work import Job

Pixels = NDArray[np.uint8]

SHOWN_SIDE = 360  # pixels of the longer side
DETAIL = 180  # pixels at their own size, where the mark changes most
AMPLIFIED = 8
LOST = 2  # attacked pictures for the first method


def worst(plan: Plan, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return for every method the picture that its mark changes most, and for the first method marks that were lost.

    The lost ones are those that surprise: from the attacks that it survives most often.
    """
    entries = {entry.label: entry for entry in plan.entries}
    sources = {source.name: source for source in plan.sources}
    strengths = {row["method"]: row["strength"] for row in rows if row["kind"] == "strength"}
    job = Job(plan.settings, strengths, plan.sources)
    cases = [*_most_changed(rows), *_surprising(rows, plan.entries[0].label)]
    return [
        {"method": row["method"], "picture": row["picture"], "attack": row.get("attack"), "why": why}
        | {"images": _images(job, entries[row["method"]], sources[row["picture"]], row)}
        for row, why in cases
        if row["method"] in entries and row["picture"] in sources
    ]


def _most_changed(rows: Iterable[Row]) -> list[tuple[Row, str]]:
    least: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == "mark" and row.get("ssim") is not None:
            least[row["method"]] = min(row, least.get(row["method"], row), key=lambda each: each["ssim"])
    return [(row, f"its lowest SSIM: {row['ssim']:.4f}, {row['psnr']:.1f} dB") for row in least.values()]


def _surprising(rows: Iterable[Row], method: str) -> list[tuple[Row, str]]:
    tried: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == "attack" and row["method"] == method and "error" not in row:
            tried.setdefault(row["attack"], []).append(row)
    share = {spec: sum(row["exact"] for row in found) / len(found) for spec, found in tried.items()}
    missed = sorted((spec for spec in tried if share[spec] < 1), key=lambda spec: -share[spec])
    first = [next(row for row in tried[spec] if not row["exact"]) for spec in missed[:LOST]]
    return [
        (row, f"lost; the share of exact payloads after {row['attack']} is {share[row['attack']]:.3f}") for row in first
    ]


def _images(job: Job, entry: methods.Entry, source: Any, row: Row) -> list[dict[str, Any]]:
    original = source.load(job.settings.short_side)
    marked = methods.load(entry.name).embed(original, job.trial(entry, source.name), job.strength(entry))
    change = marked.astype(np.int16) - original
    box = _loudest(change)
    images = [
        ("original", _whole(original)),
        ("original, detail", original[box]),
        ("marked, detail", marked[box]),
        (f"difference x {AMPLIFIED}", rounded(128.0 + AMPLIFIED * change[box])),
    ]
    if row.get("attack"):
        seed = attack_seed(job.settings, source.name, row["seed"])
        images.append((row["attack"], _whole(attacks.apply(row["attack"], marked, seed))))
    return [{"label": label, **_encoded(pixels)} for label, pixels in images]


def _loudest(change: NDArray[np.int16]) -> tuple[slice, slice]:
    """Return the window in which the mark changes most."""
    energy = (change.astype(np.float32) ** 2).sum(axis=2)
    total = np.pad(energy, ((1, 0), (1, 0))).cumsum(0, dtype=np.float64).cumsum(1)
    height, width = (min(DETAIL, side) for side in energy.shape)
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def _whole(pixels: Pixels) -> Pixels:
    scale = min(1.0, SHOWN_SIDE / max(pixels.shape[:2]))
    return resized(pixels, scale * pixels.shape[0], scale * pixels.shape[1]) if scale < 1 else pixels


def _encoded(pixels: Pixels) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "WEBP", quality=90)
    source = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return {"src": source, "width": pixels.shape[1], "height": pixels.shape[0]}
