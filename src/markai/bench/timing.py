"""How long a method takes and how much memory: in a process of its own, with nothing else running.

    python -m markai.bench.timing METHOD STRENGTH SIDE THREADS

writes one JSON object. The benchmark calls it once on one core and once as the method comes.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ENOUGH_S, MOST_REPEATS = 3.0, 25
LIMIT_S = 600


def measured(name: str, strength: float, side: int) -> dict[str, Any]:
    """Return medians in milliseconds for a side x side picture, on one core and by default, and the memory in MB.

    Raises:
        RuntimeError: if the method fails, with the end of what it said.
    """
    one, free = (_in_a_process(name, strength, side, one_core=one_core) for one_core in (True, False))
    return {
        "width": side,
        "height": side,
        "embed_ms": one["embed_ms"],
        "detect_ms": one["detect_ms"],
        "embed_ms_default": free["embed_ms"],
        "detect_ms_default": free["detect_ms"],
        "embed_mb": one["embed_mb"],
        "detect_mb": one["detect_mb"],
    }


def _in_a_process(name: str, strength: float, side: int, *, one_core: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "markai.bench.timing", name, str(strength), str(side), str(int(one_core))]
    environment = os.environ | (ONE_THREAD if one_core else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"timing {name} failed: {done.stderr.strip()[-300:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(name: str, strength: float, side: int) -> dict[str, float]:
    from markai.bench import methods, pictures

    method, trial = methods.load(name), methods.Trial.draw(0, "time", name)
    pixels = pictures.drawn("leaves-01", side)
    before = _peak_mb()
    marked = method.embed(pixels, trial, strength)
    after_embed = _peak_mb()
    method.read(method.look(marked, strength), trial)
    after_detect = _peak_mb()
    return {
        "embed_ms": _milliseconds(lambda: method.embed(pixels, trial, strength)),
        "detect_ms": _milliseconds(lambda: method.read(method.look(marked, strength), trial)),
        "embed_mb": after_embed - before,
        "detect_mb": after_detect - before,
    }


def _milliseconds(work: Callable[[], Any]) -> float:
    """Return the median of as many repeats as fit into a few seconds, at least three; it has been warmed up."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < ENOUGH_S and len(times) < MOST_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(median(times) * 1e3, 3)


def _peak_mb() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure what the command line names and write the result to stdout."""
    name, strength, side, one_core = sys.argv[1:]
    if int(one_core) and hasattr(os, "sched_setaffinity"):  # holds back thread pools that ask nobody
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sys.stdout.write(json.dumps(_measure(name, float(strength), int(side))) + "\n")


if __name__ == "__main__":
    main()
