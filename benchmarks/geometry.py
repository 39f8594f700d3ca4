"""How right the geometry is that detection returns, and how often it finds the payload there.

    python benchmarks/geometry.py [--pictures FOLDER] [--limit 30] [--sides 512 native] [--attacks NAME ...]

Each picture is marked at 512 pixels on the short side and as it is (at most two megapixels), attacked, and searched.
The truth is measured: a picture of its own coordinates goes through the same moves, with the same seed. Written to
``results/geometry.json`` and ``geometry.md``.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import math  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, RESULTS, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from markai import Key  # noqa: E402
from markai.attacks import apply, steps  # noqa: E402
from markai.attacks.pixels import resized, rounded  # noqa: E402
from markai.bench.pictures import Source, from_files, spread  # noqa: E402
from markai.detection import Geometry  # noqa: E402
from markai.errors import CapacityError  # noqa: E402
from markai.watermarks.carriers import TILE, step_for  # noqa: E402
from markai.watermarks.dwt_dct import DwtDct  # noqa: E402

Pixels = NDArray[np.uint8]
# Where the received corner lies in the marked picture, and the steps (2, 2) there for one received pixel; (y, x).
Map = tuple[NDArray[np.float64], NDArray[np.float64]]

KEY, PAYLOAD = Key(bytes(range(32))), b"acme:42!"
NATURAL, MOST_PIXELS = ("ai_", "kodak_", "photo"), 2_000_000
WAVE, SWING = 40, 100  # pixels, grey levels: 16 of them in each pixel
SPELLED = {  # chains, step by step: those that move something must be told from those that do not
    "screenshot": "crop:0.9+resize:0.7+jpeg:60",
    "print-photo:0.5": "blur:1+print-tone:0.5+light:0.25+perspective:0.1+noise:0.02+jpeg:75",
}
SCALES = (0.35, 0.5, 0.75, 1.3, 2, 3)
ATTACKS = (
    *("rotate:0.5", "rotate:2", "rotate:5", "rotate:15", "rotate:45", "rotate-expand:33", "rotate-expand:90"),
    *("rotate:117", "rotate-expand:-140", "mirror+rotate:20"),
    *(f"resize:{scale}" for scale in SCALES),
    *(f"resize:{scale}+jpeg:75" for scale in SCALES),
    *("aspect:0.8", "aspect:1.25", "shear:3", "perspective:0.1", "perspective:0.2", "bend:0.01"),
    *(
        f"crop:0.5+{move}"
        for move in ("rotate:15", "resize:0.5", "resize:2", "aspect:0.8", "shear:3", "perspective:0.1")
    ),
    *("rotate:5+crop:0.7+jpeg:70", "screenshot", "print-photo:0.5", "border:0.5+rotate:10"),
)


def at_side(source: Source, side: str) -> Pixels:
    """Load a picture at a short side, or as it is but for MOST_PIXELS."""
    if side != "native":
        return source.load(int(side))
    pixels = source.load()
    shrink = min(1.0, math.sqrt(MOST_PIXELS / (pixels.shape[0] * pixels.shape[1])))
    return resized(pixels, *(shrink * length for length in pixels.shape[:2])) if shrink < 1 else pixels


def truth(shape: tuple[int, ...], attack: str, seed: int) -> Map | None:
    """Return the map at the centre, from a cubic through all coordinates seen; None where that is off by a pixel."""
    moves = [f"{step.name}:{value}" if step.strength else step.name for step, value in steps(attack) if step.geometric]
    seen = [coordinate(apply("+".join(moves), waves(shape, axis), seed), shape[axis]) for axis in (0, 1)]
    at = np.stack(seen, axis=2)
    size = np.array(at.shape[:2])
    rows, columns = np.nonzero(np.isfinite(at).all(axis=2))
    i, j = (rows + 0.5) / size[0] - 0.5, (columns + 0.5) / size[1] - 0.5
    powers = [(1, 0), (0, 1), *((a, b) for a in range(4) for b in range(4 - a) if a + b != 1)]
    terms = np.stack([i**a * j**b for a, b in powers], axis=1)
    fitted = np.linalg.lstsq(terms, at[rows, columns], rcond=None)[0]
    if np.abs(terms @ fitted - at[rows, columns]).mean() > 0.5:
        return None
    slope = fitted[:2].T / size
    return fitted[2] - slope @ (size / 2), slope


def waves(shape: tuple[int, ...], axis: int) -> Pixels:
    """Return a picture of its own coordinate: cosine and sine of a wave along it, and which wave it is."""
    at = np.expand_dims(np.arange(shape[axis]) + 0.5, 1 - axis)
    phase = 2 * np.pi * at / WAVE
    rough = 255 * at / shape[axis]
    planes = (128 + SWING * np.cos(phase), 128 + SWING * np.sin(phase), rough)
    return rounded(np.stack([np.broadcast_to(plane, shape[:2]) for plane in planes], axis=2))


def coordinate(seen: Pixels, side: int) -> NDArray[np.float64]:
    """Return the (H, W) coordinates that a picture of waves shows, NaN where something else does."""
    cosine, sine, rough = np.moveaxis(seen.astype(np.float64), 2, 0)
    part = np.arctan2(sine - 128, cosine - 128) / (2 * np.pi)
    whole = WAVE * (np.round(rough * side / 255 / WAVE - part) + part)
    return np.where(np.abs(np.hypot(sine - 128, cosine - 128) / SWING - 1) < 0.2, whole, np.nan)


def errors(told: Geometry, step: int, truly: Map) -> dict[str, float]:
    """Return what is wrong with a geometry: degrees, shares of the scales, pixels of the marked picture.

    Scales are known up to the ratio of two cell sizes (see Geometry); which one was told is read from its period.
    """
    corner, slope = truly
    ratio = told.period / (TILE * step)
    linear = np.linalg.inv(slope)
    flipped = np.linalg.det(linear) < 0
    upright = linear * ([1, -1] if flipped else [1, 1])
    rotation = -math.degrees(math.atan2(upright[0, 1] - upright[1, 0], upright[0, 0] + upright[1, 1]))
    down, across = np.hypot(*linear)
    off = np.array(told.offset[::-1]) / ratio - corner
    period = TILE * step
    return {
        "flipped": float(told.flipped != flipped),
        "rotation": abs((told.rotation - rotation + 180) % 360 - 180),
        "scale": max(abs(told.scale_x * ratio / across - 1), abs(told.scale_y * ratio / down - 1)),
        "offset": float(np.abs((off + period / 2) % period - period / 2).max()),
    }


def rows_of(source: Source, side: str, attacks: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Mark a picture, attack it, and yield what detection says."""
    mark, pixels = DwtDct(), at_side(source, side)
    try:
        marked = mark.embed(pixels, KEY, PAYLOAD)
    except CapacityError:
        return
    step = step_for(*pixels.shape[:2])
    for attack in attacks:
        spec = SPELLED.get(attack, attack)
        seed = sum(map(ord, source.name))
        attacked = apply(spec, marked, seed)
        begin = time.process_time()
        found = mark.find(mark.look(attacked), KEY)
        row = {"picture": source.name, "side": side, "attack": attack, "ms": round(1e3 * (time.process_time() - begin))}
        row |= {"payload": found.payload == PAYLOAD, "log10_p": round(found.log10_p_value, 2)}
        truly = truth(pixels.shape, spec, seed)
        if found.payload == PAYLOAD and found.geometry is not None and truly is not None:
            row |= {name: round(value, 5) for name, value in errors(found.geometry, step, truly).items()}
        yield row


def table(rows: list[dict[str, Any]], attacks: Iterable[str]) -> str:
    """Return the Markdown table: errors as median / 95 % / most of those that were read."""
    lines = ["| attack | side | payload | rotation, degrees | scale, % | offset, pixels |", "|---|---|---|---|---|---|"]
    for attack in attacks:
        for side in dict.fromkeys(row["side"] for row in rows):
            of = [row for row in rows if row["attack"] == attack and row["side"] == side]
            read = [row for row in of if row["payload"]]
            cells = [f"{attack}", side, f"{len(read)}/{len(of)}"]
            for name, unit in (("rotation", 1), ("scale", 100), ("offset", 1)):
                values = unit * np.array([row[name] for row in read if name in row])
                figures = (np.median(values), np.quantile(values, 0.95), values.max()) if values.size else ()
                cells.append(" / ".join(f"{value:.2f}" for value in figures))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--limit", type=int, default=30)
    parser.add_argument("--sides", nargs="+", default=["512", "native"])
    parser.add_argument("--attacks", nargs="+", default=ATTACKS)
    parser.add_argument("--name", default="geometry", help="of the files in results/")
    args = parser.parse_args()
    natural = [source for source in from_files([args.pictures]) if source.name.startswith(NATURAL)]
    rows = []
    for source in spread(natural or from_files([args.pictures]), args.limit):
        for side in args.sides:
            rows += rows_of(source, side, args.attacks)
            sys.stderr.write(f"{source.name} {side}\n")
    save(args.name, {"machine": machine(), "rows": rows})
    (RESULTS / f"{args.name}.md").write_text(table(rows, args.attacks))
    print(table(rows, args.attacks))


if __name__ == "__main__":
    main()
