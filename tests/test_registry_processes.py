"""Several processes at one registry, and processes that die: nothing is lost, doubled, or half there."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from markai.provenance.registry import Record, Registry

WRITERS, APPENDS, KILLS = 8, 50, 5

WRITER = """
import hashlib, os, sys
from markai.provenance.registry import Record, Registry

url, key_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
registry = Registry.open(url)
print("open", flush=True)
sys.stdin.readline()
for number in range(count):
    payload = registry.reserve()
    registry.append(Record(payload=payload, key_id=key_id, method="dwt-dct", media_type="image/png",
                           sha256=hashlib.sha256(payload).digest(), manifest=os.urandom(3000),
                           manifest_id=f"urn:c2pa:{payload.hex()}", fingerprint=payload, sketch=bytes(2000)))
    print(payload.hex(), flush=True)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    return request.getfixturevalue("postgres_url")


def writer(url: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, name, str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    process.stdin.write("\n")
    process.stdin.flush()


def assert_no_orphan(registry: Registry) -> None:
    """Every row belongs to a record that is whole."""
    size = len(registry)
    counts = {"markai_records": size, "markai_contents": size, "markai_nodes": 2 * size - size.bit_count()}
    with registry._database.reading() as connection:
        for table, count in counts.items():
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == count, table
    assert registry.check()


def test_writers_side_by_side(url: str) -> None:
    """All of them open a registry that does not exist, too."""
    writers = [writer(url, f"writer-{number}", APPENDS) for number in range(WRITERS)]
    for process in writers:
        begin(process)
    told = [process.communicate(timeout=120)[0].split() for process in writers]
    assert [process.returncode for process in writers] == [0] * WRITERS
    with Registry.open(url, create=False) as registry:
        assert len(registry) == WRITERS * APPENDS
        assert_no_orphan(registry)
        order: dict[str, list[str]] = {}
        for record in registry:
            order.setdefault(record.key_id, []).append(record.payload.hex())
        assert [order[f"writer-{number}"] for number in range(WRITERS)] == told
        assert len({payload for each in told for payload in each}) == WRITERS * APPENDS


def test_a_writer_that_is_killed_leaves_whole_records(url: str) -> None:
    """What it said is appended is there; what it was about to is there whole or not at all."""
    rng = random.Random(7)
    with Registry.open(url) as registry:
        for number in range(KILLS):
            before = registry.head()
            process = writer(url, f"killed-{number}", 10_000)
            begin(process)
            time.sleep(rng.uniform(0.0, 0.12))
            os.kill(process.pid, signal.SIGKILL)
            told = process.communicate(timeout=60)[0].split()
            kept = [record.payload.hex() for record in registry if record.key_id == f"killed-{number}"]
            assert kept[: len(told)] == told
            assert len(kept) - len(told) in (0, 1)
            assert registry.check(before)
        assert_no_orphan(registry)
        assert (
            registry.append(
                Record(payload=b"after", key_id="after", method="dwt-dct", media_type="image/png", sha256=bytes(32))
            ).index
            == len(registry) - 1
        )
