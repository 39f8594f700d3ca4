"""Robustness and quality of the default mark on real pictures: one row per attack, with intervals.

    python benchmarks/robustness.py [--pictures FOLDER] [--payload-bytes 8] [--workers 2]

Every picture of at least 512 px is marked with a random payload under its own key, attacked, and detected. Crops are
repeated at several positions. Writes ``results/robustness.json`` and the table ``results/robustness.md``.
"""

import argparse
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pictures import EVAL, RESULTS, eval_files, is_photographic, load, machine, save

from markai import Key, attacks
from markai.metrics import psnr, ssim
from markai.stats import clopper_pearson
from markai.watermarks.dwt_dct import DwtDct

LEAST_SIDE = 512
ATTACKS = {
    "none": 1,
    "jpeg:90": 1,
    "jpeg:70": 1,
    "jpeg:50": 1,
    "jpeg:30": 1,
    "jpeg:10": 1,
    "webp:50": 1,
    "avif:50": 1,
    "blur:2": 1,
    "median:5": 1,
    "noise:0.05": 1,
    "brightness:0.5": 1,
    "brightness:1.5": 1,
    "contrast:0.5": 1,
    "contrast:1.5": 1,
    "gamma:0.7": 1,
    "gamma:1.4": 1,
    "grayscale": 1,
    "erase:0.25": 1,
    "resize-back:0.5": 1,
    "crop:0.5": 4,
    "crop:0.25": 4,
    "crop:0.1": 4,
}


def rows_of(path: Path, payload_bytes: int) -> list[dict[str, Any]]:
    """Mark one picture and attack it: a row for the mark itself, then one per attack and position."""
    rng = np.random.default_rng(int.from_bytes(path.stem.encode()[-7:], "little"))
    key, payload = Key(rng.bytes(32)), rng.bytes(payload_bytes)
    mark, original = DwtDct(), load(path)
    marked = mark.embed(original, key, payload)
    picture = {"picture": path.name, "photographic": is_photographic(path)}
    rows = [{**picture, "attack": "", "psnr": psnr(original, marked), "ssim": ssim(original, marked)}]
    for attack, positions in ATTACKS.items():
        for seed in range(positions):
            found = mark.find(mark.look(attacks.apply(attack, marked, seed=seed)), key)
            rows.append(
                {
                    **picture,
                    "attack": attack,
                    "detected": bool(found),
                    "exact": found.payload == payload,
                    "wrong": found.payload not in (None, payload),
                    "log10_p": found.log10_p_value,
                }
            )
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares with 95 % Clopper-Pearson intervals by attack, and the quality of the mark."""
    quality = [row for row in rows if not row["attack"]]
    by_attack = defaultdict(list)
    for row in rows:
        by_attack[row["attack"]].append(row)
    table = {}
    for attack in ATTACKS:
        tried = by_attack[attack]
        exact, detected = (sum(row[what] for row in tried) for what in ("exact", "detected"))
        table[attack] = {
            "n": len(tried),
            "detected": detected / len(tried),
            "exact": exact / len(tried),
            "exact_95": clopper_pearson(exact, len(tried)),
            "median_log10_p": float(np.median([row["log10_p"] for row in tried])),
        }
    values = {name: np.array([row[name] for row in quality]) for name in ("psnr", "ssim")}
    return {
        "pictures": len(quality),
        "psnr": {"mean": float(values["psnr"].mean()), "least": float(values["psnr"].min())},
        "ssim": {"mean": float(values["ssim"].mean()), "least": float(values["ssim"].min())},
        "wrong_payloads": sum(row.get("wrong", False) for row in rows),
        "attacks": table,
    }


def markdown(everything: dict[str, Any], photographic: dict[str, Any]) -> str:
    """The committed table."""
    lines = [
        "| attack | exact payload | 95 % interval | detected | median log10 p | exact, photographic only |",
        "|---|---|---|---|---|---|",
    ]
    for attack, row in everything["attacks"].items():
        low, high = row["exact_95"]
        lines.append(
            f"| {attack} | {row['exact']:.3f} | {low:.3f}-{high:.3f} (n={row['n']}) | {row['detected']:.3f} | "
            f"{row['median_log10_p']:.0f} | {photographic['attacks'][attack]['exact']:.3f} |"
        )
    for name, part in (("all", everything), ("photographic only", photographic)):
        lines += [
            "",
            f"{name.capitalize()}: {part['pictures']} pictures, PSNR {part['psnr']['mean']:.2f} dB "
            f"(least {part['psnr']['least']:.2f}), SSIM {part['ssim']['mean']:.4f} "
            f"(least {part['ssim']['least']:.4f}), wrong payloads: {part['wrong_payloads']}.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--payload-bytes", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    files = eval_files(args.pictures, LEAST_SIDE)
    rows = []
    with ProcessPoolExecutor(args.workers) as pool:
        work = pool.map(partial(rows_of, payload_bytes=args.payload_bytes), files)
        for done, (path, found) in enumerate(zip(files, work, strict=True), 1):
            rows += found
            lost = [row["attack"] for row in found if row["attack"] and not row["exact"]]
            print(
                f"{done}/{len(files)} {path.name} {found[0]['psnr']:.1f} dB, lost: {' '.join(lost) or '-'}", flush=True
            )
    everything, photographic = summary(rows), summary([row for row in rows if row["photographic"]])
    name = "robustness" if args.payload_bytes == 8 else f"robustness-{args.payload_bytes}-bytes"
    result = {"payload_bytes": args.payload_bytes, "all": everything, "photographic": photographic}
    save(name, {"machine": machine(), **result})
    (RESULTS / f"{name}.md").write_text(markdown(everything, photographic))
    print(markdown(everything, photographic))


if __name__ == "__main__":
    main()
