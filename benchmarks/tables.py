"""The committed tables: the default mark under the attacks that the README shows, and the peers beside it.

    python benchmarks/tables.py [targets] [own] [peers] [matched] [learned] [--pictures FOLDER] [--jobs 2]

Runs of ``markai.bench``, each taken up where it was stopped: the targets on all pictures in their own size, and
comparisons at 512 pixels. Writes ``results/targets.json``, ``own.json``, ``peers.json``, ``matched.json`` and
``learned.json``, from which ``readme.py`` fills the README, and ``results/agreement.md``, which holds the peers'
figures against those measured before with a script of its own. The full reports, with pictures, stay in the work
folder.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import EVAL, RESULTS, ROOT, SHOWN, TARGETS, save
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from markai import attacks
from markai.bench import presets, report, runner, showcase, summary
from markai.bench.methods import Entry
from markai.bench.pictures import Source, from_files, spread
from markai.bench.plan import Plan, Settings

SHORT_SIDE = 512  # larger pictures are shrunk to it: a phone photograph would take most of the hours
LEAST_SIDE = 512  # the targets are for pictures of at least this
SETTINGS = Settings(short_side=SHORT_SIDE, metrics=("psnr", "ssim", "ms_ssim", "ciede2000", "ssimulacra2"))
PEERS = ("dwt-dct", *(f"invisible-watermark/{name}" for name in ("dwtDct", "dwtDctSvd", "rivaGan")), "blind-watermark")
NATURAL = ("ai", "classic", "kodak", "photo")  # kinds of pictures, by the beginnings of their names
MATCHED_DB = 42.0  # mean PSNR at which they are compared once more
MATCHED_PICTURES = 4
# What the learned mark is for (regeneration, perspective, heavy JPEG and blur, local edits), and what it must not lose.
LEARNED = (
    *("none", "jpeg:50", "jpeg:30", "jpeg:10", "webp:50", "resize:0.35+jpeg:60", "resize-back:0.5+jpeg:50"),
    *("blur:2", "blur:4", "median:7", "noise:0.05", "brightness:1.5", "rotate:5", "perspective:0.1", "perspective:0.3"),
    *("crop:0.25", "erase:0.25", "paste:0.25", "inpaint:0.25", "splice:0.2", "splice:0.1"),
    *("denoise-nlm:10", "denoise-tv:0.1", "denoise-wavelet:25", "regen-nlm:13", "regen-lowpass:4", "regen-pca:4"),
    *("regen-avif:10", "proxy-autoencoder:1", "proxy-autoencoder:2", "proxy-autoencoder:4"),
    *("proxy-diffusion:0.1", "proxy-diffusion:0.2"),
)
LOOKED_AT = 36  # pictures on which the learned mark's choice of a writer was set: it is measured on others
LEARNED_PICTURES = 30
PUBLISHED = json.loads((ROOT / "benchmarks" / "published.json").read_text())["rows"]


def targets(pictures: list[Source]) -> Plan:
    """The default mark on every picture in its own size, under what it must withstand; two positions of each crop."""
    return Plan(
        entries=(Entry.parse("dwt-dct"),),
        attacks=tuple(TARGETS),
        sources=tuple(pictures),
        settings=replace(SETTINGS, short_side=None, metrics=("psnr", "ssim", "ciede2000")),
        positions=2,
        null_attacks=(),
        times=False,
    )


def own(pictures: list[Source]) -> Plan:
    """The default mark at the least size that the targets name, under more attacks; four positions of each crop."""
    return Plan(
        entries=(Entry.parse("dwt-dct"),),
        attacks=SHOWN,
        sources=tuple(pictures),
        settings=SETTINGS,
        positions=presets.FULL_POSITIONS,
        null_attacks=(),
        security=("wrong-key", "double-first", "double-second"),
    )


def peers(pictures: list[Source]) -> Plan:
    """All methods on Kodak's pictures, as in the published measurements, which this repeats."""
    kodak = tuple(source for source in pictures if source.group == "kodak")
    return Plan(
        entries=tuple(map(Entry.parse, PEERS)),
        attacks=tuple(dict.fromkeys((*attacks.PUBLISHED.values(), *attacks.QUICK))),
        sources=kodak or tuple(pictures[:12]),
        settings=SETTINGS,
    )


def matched(pictures: list[Source]) -> Plan:
    """Some of the same pictures, every method at the same mean PSNR."""
    entries = tuple(map(Entry.parse, presets.matched(PEERS, MATCHED_DB)))
    first = peers(pictures)
    few = tuple(spread(first.sources, MATCHED_PICTURES))
    return replace(first, entries=entries, attacks=attacks.QUICK, sources=few, times=False)


def learned(pictures: list[Source]) -> Plan:
    """The learned mark beside the hand-made one, and both in one picture, at 512 pixels where marks are lost first."""
    looked_at = spread(pictures, LOOKED_AT)
    others = [source for source in pictures if source not in looked_at]
    return Plan(
        entries=tuple(map(Entry.parse, ("dwt-dct", "learned", "both"))),
        attacks=LEARNED,
        sources=tuple(spread(others, LEARNED_PICTURES)),
        settings=replace(SETTINGS, metrics=("psnr", "ssim", "ciede2000")),
        null_attacks=(),
        times=False,
    )


PLANS = {"targets": targets, "own": own, "peers": peers, "matched": matched, "learned": learned}


def run(name: str, plan: Plan, work: Path, jobs: int) -> dict[str, Any]:
    """Run a plan, write its report, and return the summary without the pictures in it."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(name)
        header, rows = runner.run(
            plan, work / name / "rows.jsonl", jobs, lambda done, total: bar.update(task, completed=done, total=total)
        )
    rows = list(rows)
    result = summary.of(header, rows, plan, f"python benchmarks/tables.py {name}")
    if name == "targets":
        result["natural"] = natural(header, rows, plan)
    report.write(result | {"worst": showcase.worst(plan, rows)}, work / name)
    save(name, result)
    (RESULTS / f"{name}.md").write_text(report.markdown(result))
    return result


def natural(header: Mapping[str, Any], rows: list[Any], plan: Plan) -> dict[str, Any]:
    """Return quality and cells of the photographs and generated pictures alone, which the targets are for."""
    sources = tuple(source for source in plan.sources if source.group.startswith(NATURAL))
    names = {source.name for source in sources}
    of_them = [row for row in rows if row.get("picture") in names]
    found = summary.of(header, of_them, replace(plan, sources=sources))
    return {"pictures": len(sources), "methods": found["methods"], "cells": found["cells"]}


def agreement(result: Mapping[str, Any]) -> str:
    """Compare bit accuracies and exact rates with those published, in percent."""
    cells = {(cell["method"], cell["attack"]): cell for cell in result["cells"]}
    lines = [
        "| attack | method | bits, published | bits, here | exact, published | exact, here |",
        "|---|" * 2 + "---|" * 4,
    ]
    apart = []
    for row, of_method in PUBLISHED.items():
        spec = attacks.PUBLISHED.get(row)
        for method, (bits, exact) in of_method.items():
            cell = cells.get((method, spec))
            if cell and cell["bit_accuracy"]:
                here = 100 * cell["bit_accuracy"]["mean"]
                apart.append(abs(here - bits))
                share = 100 * cell["exact"]["value"]
                lines.append(f"| {spec} | {method} | {bits:.1f} | {here:.1f} | {exact} | {share:.0f} |")
    apart.sort()
    middle, late = apart[len(apart) // 2], apart[int(0.9 * len(apart))]
    said = (
        f"Of {len(apart)} bit accuracies half differ by less than {middle:.1f} points and 90 % by less than {late:.1f}."
    )
    return "\n".join([*lines, "", said]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*PLANS], default=[*PLANS])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--work", type=Path, default=ROOT / "scratch" / "bench")
    parser.add_argument("--count", type=int, help="so many of the pictures, from all kinds in turn")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-times", action="store_true", help="leave the speed for a quieter hour")
    args = parser.parse_args()
    pictures = from_files([args.pictures], LEAST_SIDE)
    pictures = spread(pictures, args.count or len(pictures))
    for name in args.names:
        plan = PLANS[name](pictures)
        result = run(name, replace(plan, times=plan.times and not args.no_times), args.work, args.jobs)
        if name == "peers":
            (RESULTS / "agreement.md").write_text(agreement(result))


if __name__ == "__main__":
    main()
