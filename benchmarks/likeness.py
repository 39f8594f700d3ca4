"""Whether a record's sketch tells its own picture, attacked, from every other picture that carries its mark.

    python benchmarks/likeness.py [--pictures FOLDER] [--limit 0] [--copies 60]

Own: each picture is marked at 512 pixels on the short side, sketched, attacked, detected, and compared at the geometry
that detection tells. Others: each picture is compared with every other one's sketch as if it carried that one's mark
without loss, whole and after crop:0.5+jpeg:60. Copies: marks lifted off one picture and laid over another, as far as
detection takes them. Fingerprints are compared over the same pictures. Written to ``results/likeness.json`` and
``likeness.md``.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, RESULTS, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from markai import Key  # noqa: E402
from markai.attacks import apply  # noqa: E402
from markai.attacks.pixels import rectangle, resized  # noqa: E402
from markai.attacks.security import copy_mark  # noqa: E402
from markai.bench.pictures import Source, from_files, spread  # noqa: E402
from markai.detection import Geometry  # noqa: E402
from markai.errors import CapacityError  # noqa: E402
from markai.provenance.registry.fingerprints import fingerprint, hamming  # noqa: E402
from markai.provenance.registry.likeness import DIFFERENT, SAME, agreement, sketch  # noqa: E402
from markai.stats import clopper_pearson  # noqa: E402
from markai.watermarks.carriers import TILE, step_for  # noqa: E402
from markai.watermarks.dwt_dct import DwtDct  # noqa: E402

Pixels = NDArray[np.uint8]
Row = dict[str, Any]

KEY, PAYLOAD, SIDE = Key(bytes(range(32))), b"acme:42!", 512
DECIDES = "crop:0.5+jpeg:60"  # what a copy must be told from
ATTACKS = (
    *(
        "none",
        DECIDES,
        "crop:0.25+jpeg:60",
        "crop:0.1",
        "crop:0.5+resize:0.5+jpeg:60",
        "resize:0.35+jpeg:60",
        "jpeg:10",
    ),
    *("rotate:5+crop:0.7+jpeg:70", "rotate:45", "mirror", "aspect:0.8", "shear:3", "perspective:0.1", "screenshot"),
    *("social", "blur:2", "noise:0.05", "brightness:1.5", "contrast:0.5", "gamma:1.4", "hue:0.1"),
    *("erase:0.25", "paste:0.25", "text:0.08"),
)
ALIKE = ("jpeg:60", "resize:0.35+jpeg:60", "brightness:0.5", "brightness:1.5", "crop:0.9", "crop:0.5", "rotate:2")
SAME_SCENE = 16  # bits: of two pictures that differ in fewer a look says whether they are one


@dataclass
class Marked:
    """A picture, marked, and what its record keeps."""

    name: str
    pixels: Pixels
    marked: Pixels
    sketch: bytes
    fingerprint: bytes


def marked(sources: list[Source]) -> Iterator[Marked]:
    """Mark what can be."""
    mark = DwtDct()
    for source in sources:
        pixels = source.load(SIDE)
        try:
            result = mark.embed(pixels, KEY, PAYLOAD)
        except CapacityError:
            continue
        yield Marked(source.name, pixels, result, sketch(result), fingerprint(result))


def detected(own: Marked, attacked: Pixels) -> Row | None:
    """Return how an attacked picture agrees with its own record, None where the mark does not lead to that."""
    found = DwtDct()
    detection = found.find(found.look(attacked), KEY)
    if detection.payload != PAYLOAD:
        return None
    return agreement(own.sketch, attacked, detection.geometry, detection.coverage).to_dict()


def own_rows(pictures: list[Marked]) -> Iterator[Row]:
    """Compare each picture with its own sketch, attacked."""
    for own in pictures:
        for attack in ATTACKS:
            row = detected(own, apply(attack, own.marked, seed(own.name)))
            if row is not None:
                yield {"picture": own.name, "attack": attack, **row}
        tell(f"own {own.name}")


def other_rows(pictures: list[Marked], count: int) -> Iterator[Row]:
    """Compare each sketch with every other picture, or with so many, as if they had its picture's mark."""
    rng = np.random.default_rng(2)
    for own in pictures:
        height, width = own.marked.shape[:2]
        period = float(TILE * step_for(height, width))
        others = [other for other in pictures if other is not own]
        for index in rng.permutation(len(others))[: count or len(others)]:
            other = others[index]
            laid = resized(other.pixels, height, width)
            rows, columns = rectangle(laid, 0.5, np.random.default_rng(seed(other.name)))
            cut = apply("jpeg:60", np.ascontiguousarray(laid[rows, columns]), 0)
            corner = (float(columns.start % period), float(rows.start % period))
            for attack, pixels, offset in (("none", laid, (0.0, 0.0)), (DECIDES, cut, corner)):
                agrees = agreement(own.sketch, pixels, Geometry(offset=offset, period=period))
                yield {"record": own.name, "picture": other.name, "attack": attack, **agrees.to_dict()}
        tell(f"others {own.name}")


def copied_rows(pictures: list[Marked], count: int) -> Iterator[Row]:
    """Lift marks off pictures and lay them over others."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        own, other = (pictures[index] for index in rng.choice(len(pictures), 2, replace=False))
        forged = copy_mark(own.marked, other.pixels, 38.0)
        for attack in ("none", DECIDES):
            row = detected(own, apply(attack, forged, 1))
            yield {"record": own.name, "picture": other.name, "attack": attack, "found": row is not None, **(row or {})}
        tell(f"copy {own.name} {other.name}")


def fingerprint_rows(pictures: list[Marked]) -> Iterator[Row]:
    """Count the bits in which fingerprints differ: of attacked pictures, and of different ones."""
    for own in pictures:
        for attack in ALIKE:
            other = fingerprint(apply(attack, own.marked, seed(own.name)))
            yield {"picture": own.name, "attack": attack, "bits": hamming(own.fingerprint, other)}
    for index, own in enumerate(pictures):
        for second in pictures[:index]:
            bits = hamming(own.fingerprint, second.fingerprint)
            yield {"picture": own.name, "other": second.name, "attack": "another picture", "bits": bits}


def seed(name: str) -> int:
    """Return the attack's seed for a picture."""
    return sum(map(ord, name))


def tell(text: str) -> None:
    """Show how far this is."""
    sys.stderr.write(f"{text}\n")


def rate(rows: list[Row], verdict: str) -> str:
    """Return how many rows have a verdict, and the 95 % interval of their share in percent."""
    count = sum(row["verdict"] == verdict for row in rows)
    low, high = clopper_pearson(count, len(rows))
    return f"{count}/{len(rows)} ({100 * low:.2g} to {100 * high:.2g} %)"


def likeness_table(own: list[Row], others: list[Row], copies: list[Row]) -> str:
    """Return the Markdown table of scores and verdicts."""
    lines = [
        "| compared | score: least / 5 % / median / 99 % / most | evidence, likewise | same | different | unclear |"
    ]
    lines.append("|---|---|---|---|---|---|")
    groups = {f"own, {attack}": [row for row in own if row["attack"] == attack] for attack in ATTACKS}
    groups |= {f"another, {attack}": [row for row in others if row["attack"] == attack] for attack in ("none", DECIDES)}
    taken = [row for row in copies if row["found"]]
    groups |= {
        f"a copied mark, {attack}": [row for row in taken if row["attack"] == attack] for attack in ("none", DECIDES)
    }
    for name, rows in groups.items():
        if rows:
            cells = []
            for figure, form in (("score", "{:.2f}"), ("evidence", "{:.0f}")):
                values = np.quantile([row[figure] for row in rows], [0, 0.05, 0.5, 0.99, 1])
                cells.append(" / ".join(map(form.format, values)))
            cells += [rate(rows, verdict) for verdict in ("same", "different", "unclear")]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def fingerprint_table(rows: list[Row]) -> str:
    """Return the Markdown table of fingerprint distances."""
    lines = ["| fingerprints of | bits of 64: least / 1 % / median / 95 % / most |", "|---|---|"]
    for attack in (*ALIKE, "another picture"):
        bits = np.quantile([row["bits"] for row in rows if row["attack"] == attack], [0, 0.01, 0.5, 0.95, 1])
        lines.append(f"| {attack} | " + " / ".join(f"{value:.0f}" for value in bits) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--limit", type=int, default=0, help="pictures, evenly from all kinds; 0 for all")
    parser.add_argument("--others", type=int, default=0, help="pictures to compare each sketch with; 0 for all")
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--name", default="likeness", help="of the files in results/")
    args = parser.parse_args()
    sources = from_files([args.pictures])
    pictures = list(marked(spread(sources, args.limit) if args.limit else sources))
    prints = list(fingerprint_rows(pictures))
    near = {(row["picture"], row["other"]) for row in prints if "other" in row and row["bits"] < SAME_SCENE}
    tell(f"{len(pictures)} pictures; near duplicates, left out as others: {sorted(near)}")
    own = list(own_rows(pictures))
    others = [
        row
        for row in other_rows(pictures, args.others)
        if not {(row["record"], row["picture"]), (row["picture"], row["record"])} & near
    ]
    copies = list(copied_rows(pictures, args.copies))
    thresholds = {"same": SAME, "different": DIFFERENT}
    worst = sorted(others, key=lambda row: -row["score"])[:50]
    kept = {"own": own, "others_worst": worst, "copies": copies, "near_duplicates": sorted(near)}
    save(args.name, {"machine": machine(), "pictures": len(pictures), "thresholds": thresholds, **kept})
    head = f"{len(pictures)} pictures; same from {SAME}, different up to {DIFFERENT}\n\n"
    report = head + likeness_table(own, others, copies) + "\n" + fingerprint_table(prints)
    (RESULTS / f"{args.name}.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
