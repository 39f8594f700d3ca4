"""Where the benchmarks find pictures and put results."""

import json
import subprocess
from pathlib import Path
from typing import Any

from markai.bench import runner

ROOT = Path(__file__).resolve().parent.parent
EVAL = ROOT.parent / "shared" / "data" / "eval"
RESULTS = ROOT / "benchmarks" / "results"

# The attacks of the committed table: those that the targets name, and what the mark is compared by.
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
