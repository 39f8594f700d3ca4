"""A benchmark's summary as it could be: five methods, sixty attacks, gaps and errors included; all from one seed.

python tests/report_sample.py FOLDER [METHODS [ATTACKS]]     writes its report, to be looked at
"""

import base64
import io
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from markai.attacks import SUITE, parse, traits
from markai.bench.report import write
from markai.stats import clopper_pearson

PICTURES = 91
# Name, bits, keyed, PSNR, how much damage it survives, milliseconds to embed.
METHODS = (
    ("markai/dwt-dct", 512, True, 42.6, 0.9, 19.2),
    ("invisible-watermark/dwtDctSvd", 32, False, 40.1, 0.35, 509.0),
    ("invisible-watermark/rivaGan", 32, False, 40.4, 0.6, 3120.0),
    ("blind-watermark", 64, False, 37.8, 0.3, 812.0),
    ("trustmark/Q", 100, False, 43.3, 0.75, 1410.0),
    *(
        (f"family-{index}/a-method-with-a-long-name", 48, index % 2 == 0, 38.0 + index, 0.1 * index, 50.0)
        for index in range(9)
    ),
)
SWEEPS = {
    "jpeg": (90, 70, 50, 30, 20, 10),
    "noise": (0.01, 0.02, 0.05, 0.1, 0.2),
    "blur": (0.5, 1, 2, 4, 8),
    "rotate": (0.5, 1, 2, 5, 10, 45),
    "crop": (0.9, 0.5, 0.25, 0.1),
    "brightness": (0.25, 0.5, 1, 1.5, 2),
    "regen-lowpass": (2, 4, 8, 16),
}


def share(hits, n):
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = clopper_pearson(hits, n)
    return {"value": hits / n, "low": low, "high": high, "n": n}


def mean(value, spread, n=PICTURES):
    return {"mean": value, "low": value - spread, "high": value + spread, "n": n}


def logistic(value):
    return 1 / (1 + math.exp(-value))


def attack_row(spec, rng):
    found = traits(spec)
    attack, strength = parse(spec.split("+")[0])
    return {
        "spec": spec,
        "name": attack.name,
        "strength": strength if attack.strength else None,
        "meaning": attack.strength.meaning if attack.strength else "",
        "families": list(found.families),
        "proxy": found.proxy,
        "geometric": found.geometric,
        "psnr": None if found.geometric else math.inf if spec == "none" else float(rng.uniform(18, 40)),
        "ssim": None if found.geometric else float(rng.uniform(0.5, 1)),
    }


def cell_row(method, attack, chance, rng, n=PICTURES):
    exact, errors = int(rng.binomial(n, chance)), int(rng.integers(1, 4)) if rng.random() < 0.02 else 0
    found = {
        rate: min(n, exact + int(rng.binomial(n - exact, more)))
        for rate, more in (("1e-2", 0.4), ("1e-3", 0.25), ("1e-6", 0.1))
    }
    return {
        "method": method,
        "attack": attack,
        "n": n,
        "errors": errors,
        "exact": share(exact, n),
        "detected": {rate: share(hits, n) for rate, hits in found.items()},
        "bit_accuracy": mean(0.5 + 0.5 * chance, 0.01, n),
        "median_log10_p": -72 * chance - 0.3,
        "auroc": {"value": 0.5 + chance / 2, "low": max(0.0, 0.48 + chance / 2), "high": min(1.0, 0.52 + chance / 2)},
        "wrong": int(method == "blind-watermark" and attack == "jpeg:10") * 2,
    }


def empty_cell(method, attack, errors):
    return {
        "method": method,
        "attack": attack,
        "n": 0,
        "errors": errors,
        "exact": share(0, 0),
        "wrong": 0,
        "detected": {"1e-6": share(0, 0)},
        "bit_accuracy": None,
        "median_log10_p": None,
        "auroc": None,
    }


def method_row(name, bits, keyed, psnr, _, embed_ms):
    quality = {
        "psnr": mean(psnr, 0.3) | {"least": psnr - 3.1},
        "ssim": mean(0.985, 0.003) | {"least": 0.8746},
        "ms_ssim": mean(0.992, 0.002) | {"least": 0.961},
        "ciede2000": mean(0.81, 0.05) | {"least": 1.92},
    }
    if keyed:
        quality["ssimulacra2"] = mean(84.2, 1.1) | {"least": 61.5}
    time = {
        "embed_ms": embed_ms,
        "detect_ms": embed_ms / 2.5,
        "width": 1024,
        "height": 1024,
        "embed_ms_default": embed_ms / 1.6,
        "detect_ms_default": embed_ms / 3,
    }
    return {
        "name": name,
        "bits": bits,
        "keyed": keyed,
        "states_p": keyed,
        "strength": 1.0,
        "errors": 3 * (name == "trustmark/Q"),
        "quality": quality,
        "time": None if name == "blind-watermark" else time,
        "memory_mb": {"embed": 84.0 + bits, "detect": 61.0} if keyed else None,
    }


def curve_rows(methods, rng):
    for name, strengths in SWEEPS.items():
        points = []
        for method, *_, robust, _ in methods:
            for place, strength in enumerate(strengths):
                damage = (place + 1) / len(strengths)
                chance = logistic(14 * (robust - damage * 0.8))
                hits = int(rng.binomial(PICTURES, chance))
                tpr = min(PICTURES, hits + int(rng.binomial(PICTURES - hits, 0.3)))
                quality = None if traits(name).geometric else 0.05 + 0.75 * damage**1.5
                points.append(
                    {
                        "strength": strength,
                        "attack": f"{name}:{strength:g}",
                        "method": method,
                        "exact": share(hits, PICTURES),
                    }
                    | {"tpr": share(tpr, PICTURES), "quality": quality, "psnr": 40 - 20 * damage}
                )
        yield {"attack": name, "meaning": parse(name)[0].strength.meaning, "points": points}


def roc_rows(methods):
    rates = [10 ** (k / 4) for k in range(-24, 1)]
    for attack, harm in (("all", 0.5), ("jpeg:10", 0.6), ("rotate:5", 0.8)):
        for method, *_, robust, _ in methods:
            power = 10 ** (3 * (harm - robust) - 1)
            yield {"method": method, "attack": attack, "points": [[0.0, 0.0]] + [[rate, rate**power] for rate in rates]}


def null_rows(methods, rng):
    for method, *_ in methods:
        trials, skew = 9100, 0.8 if method == "invisible-watermark/rivaGan" else 1.03
        observed = np.sort(rng.random(trials)) ** (1 / skew)
        expected = (np.arange(trials) + 0.5) / trials
        ranks = np.unique(np.geomspace(1, trials, 40).astype(int)) - 1
        rates = {f"1e-{k}": share(int((observed <= 10.0**-k).sum()), trials) for k in (1, 2, 3, 6)}
        yield {
            "method": method,
            "trials": trials,
            "pictures": PICTURES,
            "accepted": int(method == "blind-watermark"),
            "smallest_log10_p": float(np.log10(observed[0])),
            "rates": rates,
            "ks_p": 0.41,
            "quantiles": [[float(expected[rank]), float(observed[rank])] for rank in ranks],
        }


def security_rows(methods, rng):
    kinds = (
        ("copy", "low", "the mark of one picture, carried to another by denoising, is accepted there"),
        ("averaging:100", "high", "still detected after the mean of 100 marked pictures is subtracted"),
        ("embed-twice", "high", "the first payload is still read after a second mark with another key"),
    )
    for attack, want, meaning in kinds:
        for method, *_ in methods:
            hits = int(rng.binomial(40, rng.random()))
            yield {
                "method": method,
                "attack": attack,
                "n": 40,
                "bad": share(hits, 40),
                "meaning": meaning,
                "want": want,
            }


def picture(seed):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (256, 192), Image.Resampling.BICUBIC
    )
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=60)
    src = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"src": src, "width": 256, "height": 192}


def worst_rows(methods):
    labels = ("original", "marked", "difference x 16", "after jpeg:10")
    for index, (method, *_) in enumerate(methods[:3]):
        images = [{"label": label} | picture(index + place) for place, label in enumerate(labels)]
        yield {
            "method": method,
            "picture": f"drawings/diagram_{index:03}.png",
            "attack": "jpeg:10",
            "why": "lowest SSIM of the marked picture, 0.8746",
            "images": images,
        }


def sample(methods=5, attacks=60, seed=7):
    """Return the summary; more attacks than the suite has are strengths of JPEG."""
    rng, chosen = np.random.default_rng(seed), METHODS[:methods]
    specs = [spec for spec in SUITE if spec == "none" or hash_of(spec) % 100 < 100 * attacks / len(SUITE)]
    specs += [f"jpeg:{quality}" for quality in range(11, 11 + max(0, attacks - len(SUITE)))]
    rows = [attack_row(spec, rng) for spec in dict.fromkeys(specs)]
    cells = []
    for method, *_, robust, _ in chosen:
        for row in rows:
            chance = (
                1.0
                if row["spec"] == "none"
                else logistic(12 * (robust - rng.random() ** 0.7 - 0.3 * row["geometric"] + 0.3))
            )
            failed = method == "trustmark/Q" and row["spec"].startswith("crop:0.1")
            skipped = method == "blind-watermark" and "regeneration" in row["families"]
            if not skipped:
                cells.append(
                    empty_cell(method, row["spec"], 91) if failed else cell_row(method, row["spec"], chance, rng)
                )
    curves = list(curve_rows(chosen, rng))
    return {
        "schema": 1,
        "run": {
            "created": "2026-11-22T19:40:00+00:00",
            "seconds": 25_911.0,
            "seed": seed,
            "pictures": PICTURES,
            "command": "markai bench pictures --method dwt-dct --method invisible-watermark/dwtDctSvd --seed 7",
            "picture_source": "eval",
            "groups": {"photographs": 48, "generated": 20, "drawings": 23},
            "machine": {
                "processor": "Intel(R) Xeon(R) Processor",
                "cores": 2,
                "memory_gb": 15.6,
                "python": "3.11.7",
                "platform": "Linux-6.1-x86_64",
                "commit": "3e8cb04",
            },
            "versions": {"markai": "0.1.0", "numpy": "2.3.4", "pillow": "12.0.0", "invisible-watermark": "0.2.0"},
            "notes": ["The strength of dwt-dct was tuned on these pictures: take its shares as of a tuned set."],
        },
        "methods": [method_row(*method) for method in chosen],
        "attacks": rows,
        "cells": cells,
        "curves": curves,
        "quality_at_performance": [
            {
                "attack": name,
                "method": method,
                "q95": None if robust > 0.8 else robust * 0.6,
                "q70": None if robust > 0.5 else robust,
            }
            for name in SWEEPS
            for method, *_, robust, _ in chosen
        ],
        "roc": list(roc_rows(chosen)),
        "null": list(null_rows(chosen, rng)),
        "security": list(security_rows(chosen, rng)),
        "worst": list(worst_rows(chosen)),
    }


def hash_of(text):
    """A number from a text, the same in every process."""
    return sum(place * byte for place, byte in enumerate(text.encode(), 17))


if __name__ == "__main__":
    write(sample(*map(int, sys.argv[2:])), Path(sys.argv[1]))
