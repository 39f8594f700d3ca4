"""Where the benchmarks find pictures and put results."""

import json
import subprocess
from pathlib import Path
from typing import Any

from markai.bench import runner

ROOT = Path(__file__).resolve().parent.parent
EVAL = ROOT.parent / "shared" / "data" / "eval"
RESULTS = ROOT / "benchmarks" / "results"


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, versions, commit."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {**runner.machine(), **runner.versions(), "commit": commit.stdout.strip()}


def save(name: str, result: dict[str, Any]) -> None:
    """Write a result as JSON into ``benchmarks/results``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
