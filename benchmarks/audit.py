"""Audits many small pictures in processes, kills that in the middle, and lets it go on: time, memory, what is repeated.

    nice python benchmarks/audit.py [--files 10000] [--marked 400]

Writes results/audit.json and results/audit.md. Where others use the cores as well, what counts is how long the
processes ran or were ready to run: a process that waits for work is neither.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import RESULTS, machine, save
from PIL import Image

from markai import Key

PHOTO = Path(__file__).resolve().parent.parent / "examples" / "data" / "lighthouse.png"
SIDE, JOBS, EVERY_S = 256, 2, 1.0
CODE = """
import sys
from pathlib import Path
from markai.audit.engine import audit
from markai.audit.examine import Settings
if __name__ == "__main__":
    keys = tuple(map(Path, sys.argv[4:]))
    audit([sys.argv[1]], sys.argv[2], Settings(keys=keys, thorough=False), jobs=int(sys.argv[3]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="pictures that are audited without a key")
    parser.add_argument("--marked", type=int, default=400, help="those that are also searched for a mark")
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = Path(place)
        Key(bytes(32)).save(folder / "my.key")
        pictures(folder / "many", given.files)
        pictures(folder / "few", given.marked)
        whole = measured(folder / "many", folder / "whole")
        result = {
            "without_key": whole | {"files": given.files},
            "resumed": killed(folder / "many", folder / "killed", given.files),
            "same_rows": (folder / "whole/rows.ndjson").read_bytes() == (folder / "killed/rows.ndjson").read_bytes(),
            "with_key": measured(folder / "few", folder / "marked", folder / "my.key") | {"files": given.marked},
            "side": SIDE,
            "jobs": JOBS,
            "machine": machine(),
        }
    save("audit", result)
    (RESULTS / "audit.md").write_text(table(result))
    sys.stdout.write(table(result))


def pictures(folder: Path, count: int) -> None:
    """Write small pictures, each another: a part of a photograph from a place of its own."""
    folder.mkdir()
    with Image.open(PHOTO) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    rng = np.random.default_rng(0)
    for number in range(count):
        top, left = (int(rng.integers(0, size - SIDE + 1)) for size in pixels.shape[:2])
        part = pixels[top : top + SIDE, left : left + SIDE] ^ np.uint8(number % 2)
        Image.fromarray(part).save(folder / f"{number:06}.jpg", quality=85)


def started(folder: Path, out: Path, *keys: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CODE, *map(str, (folder, out, JOBS, *keys))]
    return subprocess.Popen(command, start_new_session=True)


def measured(folder: Path, out: Path, *keys: Path) -> dict[str, Any]:
    """Audit a folder to the end and look at the processes meanwhile."""
    begun = time.monotonic()
    process = started(folder, out, *keys)
    samples = []
    while process.poll() is None:
        time.sleep(EVERY_S)
        if sample := look(process.pid):
            samples.append({"s": time.monotonic() - begun} | sample)
    if process.returncode:
        raise SystemExit(f"the audit ended with {process.returncode}")
    return {"seconds": time.monotonic() - begun} | summary(samples)


def look(pid: int) -> dict[str, Any] | None:
    """Return the memory of a process and its workers, and how long each worker ran and was ready to run."""
    workers = [each for each in children(pid) if b"spawn_main" in read(f"/proc/{each}/cmdline")]
    times = {each: read(f"/proc/{each}/schedstat").split() for each in workers}
    memory = sum(resident(each) for each in [pid, *workers])
    active = {each: (int(said[0]) + int(said[1])) / 1e9 for each, said in times.items() if said}
    return {"mb": memory / 2**20, "active": active} if memory and active else None


def summary(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how memory went, and the share of the time that the workers were active, once all were there."""
    settled = [each for each in samples if len(each["active"]) == JOBS][2:]
    shares = []
    for before, after in pairwise(settled):
        both = before["active"].keys() & after["active"].keys()
        if len(both) == JOBS:
            used = sum(after["active"][each] - before["active"][each] for each in both)
            shares.append(min(1.0, used / (after["s"] - before["s"]) / JOBS))
    megabytes = [each["mb"] for each in settled]
    quarter = max(1, len(megabytes) // 4)
    parts = [megabytes[at : at + quarter] for at in range(0, quarter * 4, quarter)]
    return {
        "workers_active": mean(shares) if shares else None,
        "mb_by_quarter": [round(mean(part)) for part in parts if part],
        "mb_most": round(max(megabytes)) if megabytes else None,
    }


def killed(folder: Path, out: Path, count: int) -> dict[str, Any]:
    """Kill an audit three times, let it go on each time, and count how often each file was audited."""
    journal, seen, kept = out / "journal.ndjson", Counter[str](), []
    for share in (0.2, 0.5, 0.8):
        process = started(folder, out)
        while process.poll() is None and lines(journal) < share * count:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept.append(lines(journal) - 1)
    before = {json.loads(line)["path"] for line in journal.read_bytes().split(b"\n")[1:-1]}
    copy = out.with_name("journal")
    os.link(journal, copy)  # what the last run adds is seen there when the journal is gone
    process = started(folder, out)
    if process.wait():
        raise SystemExit(f"the audit ended with {process.returncode}")
    seen.update(json.loads(line)["path"] for line in copy.read_bytes().split(b"\n")[1:-1])
    rows = sum(1 for _ in (out / "rows.ndjson").open("rb"))
    return {
        "killed_at": kept,
        "before_the_last": len(before),
        "rows": rows,
        "audited_twice": sum(number - 1 for number in seen.values()),
    }


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def children(pid: int) -> list[int]:
    return [int(each) for each in read(f"/proc/{pid}/task/{pid}/children").split()]


def resident(pid: int) -> int:
    fields = read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def table(result: dict[str, Any]) -> str:
    """Return the result in words."""
    resumed = result["resumed"]
    head = (
        f"Small pictures ({result['side']} x {result['side']}, JPEG), {result['jobs']} processes, wall-clock time.\n\n"
    )
    names = "| | files | seconds | files/s | workers active | memory of all, MB, by quarter of the time |\n"
    names += "|---|---|---|---|---|---|\n"
    rows = ""
    for name, title in (("without_key", "manifest, metadata"), ("with_key", "and marks of one key (--quick)")):
        each = result[name]
        active = "–" if each["workers_active"] is None else f"{each['workers_active']:.1%}"
        memory = ", ".join(map(str, each["mb_by_quarter"]))
        speed = each["files"] / each["seconds"]
        rows += f"| {title} | {each['files']:,} | {each['seconds']:.0f} | {speed:.0f} | {active} | {memory} |\n"
    same = "the same bytes as" if result["same_rows"] else "OTHER than"
    foot = (
        f"\nKilled (SIGKILL) with {', '.join(f'{at:,}' for at in resumed['killed_at'])} rows on the disk and started "
        f"again: {resumed['audited_twice']} files audited twice, {resumed['rows']:,} rows, {same} those of a run that "
        "was not killed.\n"
    )
    return head + names + rows + foot


if __name__ == "__main__":
    main()
