"""The pictures that the benchmarks run on, and what they write down about the machine."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EVAL = ROOT.parent / "shared" / "data" / "eval"
RESULTS = ROOT / "benchmarks" / "results"
PHOTOGRAPHIC = (
    "ai",
    "art",
    "classic",
    "kodak",
    "photo",
    "satellite",
)  # the rest: drawings, diagrams, scans, screens...


def eval_files(folder: Path = EVAL, least_side: int = 0) -> list[Path]:
    """Return the pictures of a folder, sorted, whose shorter side is at least that long."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".avif"}:
            with Image.open(path) as image:
                if min(image.size) >= least_side:
                    files.append(path)
    if not files:
        raise SystemExit(f"no pictures in {folder} - name a folder with --pictures")
    return files


def load(path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB, transparent parts on white."""
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def is_photographic(path: Path) -> bool:
    return path.name.startswith(PHOTOGRAPHIC)


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, versions, commit."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    packages = {name: version(name) for name in ("markai", "numpy", "scipy", "pillow")}
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        **packages,
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Write a result as JSON into ``benchmarks/results``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
