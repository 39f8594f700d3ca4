"""Where the benchmarks find pictures and put results."""

import json
import subprocess
from pathlib import Path
from typing import Any

from markai.bench import runner

ROOT = Path(__file__).resolve().parent.parent
EVAL = ROOT.parent / "shared" / "data" / "eval"
RESULTS = ROOT / "benchmarks" / "results"

# What the mark must withstand: the share of pictures of at least 512 pixels whose 8 bytes must come back.
TARGETS = {
    **dict.fromkeys(("none", "webp:90", "avif:90", "jpeg:90", "jpeg:70", "jpeg:50", "jpeg:30", "webp:50"), 0.99),
    "jpeg:10": 0.90,
    **dict.fromkeys(("resize:0.75", "resize:0.5", "resize-back:0.75", "resize-back:0.5", "resize:2"), 0.99),
    "resize:0.35+jpeg:60": 0.95,
    **dict.fromkeys(("blur:2", "noise:0.05", "median:5", "gamma:0.7", "gamma:1.4", "brightness:0.5"), 0.99),
    **dict.fromkeys(("brightness:1.5", "contrast:0.5", "contrast:1.5", "saturation:0", "hue:0.1", "grayscale"), 0.99),
    "crop:0.5": 0.99,
    "crop:0.25": 0.97,
    "crop:0.1": 0.80,
    **dict.fromkeys(("rotate:2", "rotate:5", "rotate:15", "rotate:45", "rotate:90", "rotate:180"), 0.97),
    **dict.fromkeys(("rotate-expand:15", "rotate-expand:45", "rotate-expand:90", "mirror"), 0.97),
    "aspect:0.8": 0.95,
    "shear:3": 0.90,
    "perspective:0.1": 0.90,
    **dict.fromkeys(("erase:0.25", "paste:0.25", "text:0.08"), 0.99),
    **dict.fromkeys(("crop:0.9+resize:0.7+jpeg:60", "social", "rotate:5+crop:0.7+jpeg:70"), 0.95),
}

# The attacks of the table at 512 pixels, the least size that the targets name: what the mark is compared by.
SHOWN = (
    *("none", "jpeg:90", "jpeg:50", "jpeg:30", "jpeg:10", "webp:50", "avif:50", "jpeg-xl:50"),
    *("resize:0.75", "resize:0.5", "resize:2", "resize:0.35+jpeg:60", "resize-back:0.5"),
    *("blur:2", "noise:0.05", "median:5", "gamma:0.7", "grayscale", "hue:0.1"),
    *("brightness:0.5", "brightness:1.5", "contrast:0.5", "contrast:1.5"),
    *("crop:0.5", "crop:0.25", "crop:0.1"),
    *("rotate:2", "rotate:5", "rotate:15", "rotate:45", "rotate-expand:15", "rotate-expand:90", "mirror"),
    *("aspect:0.8", "shear:3", "perspective:0.1", "bend:0.01"),
    *("erase:0.25", "paste:0.25", "text:0.08", "splice:0.2", "collage:0.2"),
    *("screenshot", "social", "rotate:5+crop:0.7+jpeg:70", "print-photo:0.5", "waves-all:0.5"),
    *("denoise-nlm:10", "regen-nlm:25", "regen-lowpass:8", "regen-pca:16", "regen-avif:10"),
)


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, versions, commit."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {**runner.machine(), **runner.versions(), "commit": commit.stdout.strip()}


def save(name: str, result: dict[str, Any]) -> None:
    """Write a result as JSON into ``benchmarks/results``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
