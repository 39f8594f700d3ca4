"""Processes that mark and are killed: the registry opens, no file is half there, none is without its record."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from markai import verify
from markai.files import remove_leftovers
from markai.provenance.registry import Registry
from marking_samples import Pixels, encoded, marker

pytest.importorskip("c2pa")

KILLS = 4
# It marks the same picture again and again, and says so before it begins and after each.
WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from marking_samples import marker

folder, name = Path(sys.argv[2]), sys.argv[3]
made = marker(f"sqlite:///{folder}/registry.db")
made.mark((folder / "photo.png").read_bytes(), payload=name.encode())
print("ready", flush=True)
for number in range(10_000):
    made.mark_file(folder / "photo.png", folder / "out" / f"{name}-{number}.png")
    print(f"{name}-{number}.png", flush=True)
"""


def test_a_marker_that_is_killed_leaves_no_half_and_no_orphan(tmp_path: Path, crop: Pixels) -> None:
    rng = random.Random(11)
    (tmp_path / "photo.png").write_bytes(encoded(crop))
    (tmp_path / "out").mkdir()
    told: set[str] = set()
    for number in range(KILLS):
        command = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(tmp_path), f"run{number}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        told.update(process.communicate(timeout=60)[0].split())
        with Registry.open(f"sqlite:///{tmp_path}/registry.db", create=False) as registry:
            assert registry.check()
            known = {record.sha256: record.manifest_id for record in registry}
        files = [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".markai-")]
        assert told <= {path.name for path in files}
        for path in files:  # whole, signed, and known to the registry
            data = path.read_bytes()
            assert verify(data).manifest_id == known[hashlib.sha256(data).digest()]
        # One record for each start, and at most one without a file for each that was killed.
        assert len(files) <= len(known) - (number + 1) <= len(files) + number + 1
    # The next run gives recorded files their names, and removes the rest.
    with marker(f"sqlite:///{tmp_path}/registry.db") as made:
        named = made.take_up(tmp_path / "out")
        assert len(files) + len(named) == len(known) - KILLS
        assert all(made.recorded(path.read_bytes()) for path in named)
    remove_leftovers(tmp_path / "out", age=0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in [*files, *named])
