"""What the regeneration proxies do to pictures that they were not trained on, and to the default mark.

    python benchmarks/proxies.py [--pictures FOLDER] [--count 16] [--work FOLDER] [--jobs 1]

PSNR and SSIM of unmarked pictures against themselves after an attack, and the share of marked pictures from which the
8-byte payload still comes back exactly, at 512 pixels on the shorter side. Classical stand-ins stand beside them. A run
of ``markai.bench``, taken up where it was stopped. Written to ``results/proxies.json`` and ``.md``.
"""

import argparse
from pathlib import Path
from statistics import median
from typing import Any

from common import EVAL, RESULTS, ROOT, machine, save

from markai.bench import runner
from markai.bench.methods import Entry
from markai.bench.pictures import from_files, spread
from markai.bench.plan import Plan, Settings

SHORT_SIDE = LEAST_SIDE = 512
NATURAL = ("ai", "classic", "kodak", "photo")  # kinds of pictures, by the beginnings of their names
SHOWN = (
    *(f"proxy-autoencoder:{passes}" for passes in (1, 2, 4)),
    *(f"proxy-diffusion:{share}" for share in (0.1, 0.2, 0.4, 0.6)),
)
BESIDE = ("regen-nlm:25", "regen-pca:4", "regen-lowpass:8", "regen-avif:10")


def measured(rows: list[dict[str, Any]], spec: str, groups: dict[str, str]) -> dict[str, Any]:
    """Return the medians and shares of one attack over all pictures and over the natural ones."""
    damage = [row for row in rows if row["kind"] == "damage" and row["attack"] == spec and "psnr" in row]
    natural = [row for row in damage if groups[row["picture"]].startswith(NATURAL)]
    marked = [row for row in rows if row["kind"] == "attack" and row["attack"] == spec]
    return {
        "pictures": len(damage),
        "natural": len(natural),
        **{name: round(median(row[name] for row in damage), 3) for name in ("psnr", "ssim")},
        **{f"natural_{name}": round(median(row[name] for row in natural), 3) for name in ("psnr", "ssim")},
        "lowest_psnr": round(min(row["psnr"] for row in damage), 2),
        "highest_psnr": round(max(row["psnr"] for row in damage), 2),
        "exact": sum(bool(row.get("exact")) for row in marked),
        "marked": len(marked),
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "| attack | PSNR, median | lowest to highest | SSIM, median | photographs and generated | exact payload |",
        "|---|---|---|---|---|---|",
    ]
    for spec, row in found.items():
        extremes = f"{row['lowest_psnr']:.1f} to {row['highest_psnr']:.1f}"
        natural = f"{row['natural_psnr']:.1f} dB, {row['natural_ssim']:.2f}"
        survived = f"{row['exact']} of {row['marked']}"
        lines.append(f"| {spec} | {row['psnr']:.1f} | {extremes} | {row['ssim']:.2f} | {natural} | {survived} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--count", type=int, default=16, help="so many of the pictures, from all kinds in turn")
    parser.add_argument("--work", type=Path, default=ROOT / "scratch" / "bench" / "proxies")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    sources = tuple(spread(from_files([args.pictures], LEAST_SIDE), args.count))
    specs = (*SHOWN, *BESIDE)
    settings = Settings(short_side=SHORT_SIDE, metrics=("psnr",), null_keys=0)
    plan = Plan((Entry.parse("dwt-dct"),), specs, sources, settings, null_attacks=(), times=False)
    groups = {source.name: source.group for source in sources}
    _, every = runner.run(plan, args.work / "rows.jsonl", args.jobs)
    rows = [row for row in every if row.get("picture") in groups]  # an earlier run may have had more pictures
    found = {spec: measured(rows, spec, groups) for spec in specs}
    save("proxies", {"machine": machine(), "short_side": SHORT_SIDE, "pictures": list(groups), "attacks": found})
    (RESULTS / "proxies.md").write_text(table(found))


if __name__ == "__main__":
    main()
