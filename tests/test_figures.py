"""The README quotes the benchmarks' results, and nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_readme_holds_the_figures_of_the_results():
    check = [sys.executable, ROOT / "benchmarks" / "readme.py", "--check"]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
