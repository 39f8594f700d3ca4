"""How fast the registry is when it is large, and what is left when its writers are killed.

    python benchmarks/registry.py [--sqlite 10000000] [--postgres 1000000 --url postgresql://...] [--kills 200]

Fills a registry of the shipped schema with random records, or takes that of an earlier run: the rows are made here and
the indexes built after them; the log is the real one, and some records are verified against it. Then it measures what
users do through the API, on the caches as the filling left them and, for SQLite, on files that were dropped from the
system's cache. Manifests and sketches are SMALL bytes each: they lie in a table of their own, so their size moves no
index; what they cost shows where records of full size are appended. Written to ``results/registry.json`` and
``registry.md``; what a run does not measure (``--sqlite 0``, ``--kills 0``, no ``--url``) stays from the one before.
"""

import argparse
import hashlib
import json
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, save

from markai.provenance.registry import Record, Registry
from markai.provenance.registry.merkle import Frontier, leaf_hash
from markai.provenance.registry.records import EPOCH, LEAF_VERSION, MICROSECOND

SMALL = 64  # bytes of manifest and sketch, as filled
MANIFEST, PACKED, SKETCH = (
    4025,
    1800,
    2321,
)  # of a real record: a manifest without time stamp, and what zlib makes of it
BATCH = 20_000
LOOKUPS, NEAREST, APPENDS = 2000, 40, 300
DISTANCES = (0, 3, 7, 10, 15)
WRITERS = 8
SAMPLE = 5000  # records whose keys are asked for
Row = dict[str, Any]
Columns = tuple[str, ...]

RECORD: Columns = ("number", "payload", "key_id", "method", "media_type", "sha256", "manifest_id", "claim", "created")
RECORD += ("band0", "band1", "band2", "band3")
CONTENTS: Columns = ("number", "manifest", "sketch")
NODE: Columns = ("position", "hash")


# What the filled records have in common.
COMMON = {
    "key_id": "aad476906739de25",
    "method": "dwt-dct",
    "media_type": "image/png",
    "manifest": bytes(range(SMALL)),
    "sketch": bytes(SMALL),
    "claim": {"provider": "Acme", "system": "AcmeGen", "version": "2.1"},
}
DRAWN = 72  # bytes that differ: payload, fingerprint, manifest id, digest, and 8 more


def random_record(number: int, drawn: bytes) -> Record:
    """Return the record that is made of some random bytes."""
    return Record(
        **COMMON,
        payload=drawn[:8],
        fingerprint=drawn[8:16],
        manifest_id=f"urn:c2pa:{drawn[16:32].hex()}",
        sha256=drawn[32:64],
        created=EPOCH + (1_790_000_000_000_000 + number) * MICROSECOND,
        index=number,
    )


class Filling:
    """Rows of random records, batch by batch, with the log that belongs to them.

    Rows and leaves are put together here, of the parts that differ: through Record it would take four times as long.
    That they are the same is checked on the records of ``sample``.
    """

    def __init__(self, total: int) -> None:
        self._rng, self._tree, self._total = np.random.default_rng(1), Frontier(), total
        self.sample: list[Record] = []
        self.keep = max(1, total // SAMPLE)

    def redrawn(self) -> list[Record]:
        """Return the sample alone, for a registry that was filled before."""
        for first in range(0, self._total, BATCH):
            count = min(BATCH, self._total - first)
            drawn = self._rng.bytes(DRAWN * count)
            for number in range(-(-first // self.keep) * self.keep, first + count, self.keep):
                self.sample.append(random_record(number, drawn[(number - first) * DRAWN :][:DRAWN]))
        return self.sample

    def batches(self) -> Iterator[tuple[list[Any], list[Any], list[Any]]]:
        """Yield rows for the three tables."""
        keep = self.keep
        contents = zlib.compress(COMMON["manifest"]), COMMON["sketch"]
        for first in range(0, self._total, BATCH):
            count = min(BATCH, self._total - first)
            drawn = self._rng.bytes(DRAWN * count)
            records, nodes = [], []
            for number in range(first, first + count):
                row, leaf = parts(number, drawn[(number - first) * DRAWN :][:DRAWN])
                records.append(row)
                nodes += self._tree.append(leaf)
                if number % keep == 0:
                    self.sample.append(random_record(number, drawn[(number - first) * DRAWN :][:DRAWN]))
                    assert self.sample[-1].leaf == leaf
            at = 2 * first - first.bit_count()
            numbers = range(first, first + count)
            yield records, [(number, *contents) for number in numbers], list(zip(count_from(at), nodes, strict=False))
            tell(f"filled {first + count:,}")


def parts(number: int, drawn: bytes) -> tuple[tuple[Any, ...], bytes]:
    """Return the row and the leaf of a random record."""
    payload, fingerprint, digest = drawn[:8], drawn[8:16], drawn[32:64]
    manifest_id, created = f"urn:c2pa:{drawn[16:32].hex()}", 1_790_000_000_000_000 + number
    moment = b"%d" % created
    leaf = leaf_hash(
        BEFORE + payload + NAMES + digest + MANIFEST_DIGEST + manifest_id.encode() + b"\0\0\0\x09" + fingerprint
        + SKETCH_AND_CLAIM + moment
    )  # fmt: skip
    one, two = int.from_bytes(fingerprint, "big"), int.from_bytes(fingerprint * 2, "big")
    bands = (one, two >> 48 & FULL, two >> 32 & FULL, two >> 16 & FULL)
    signed = (value - (1 << 64) if value >> 63 else value for value in bands)
    return (number, payload, *ROW, digest, manifest_id, CLAIM, created, *signed), leaf


def field(value: bytes) -> bytes:
    """Return a value as the leaf has it (``Record.leaf``)."""
    return (len(value) + 1).to_bytes(4, "big") + value


FULL = (1 << 64) - 1
ROW = (COMMON["key_id"], COMMON["method"], COMMON["media_type"])
CLAIM = random_record(0, bytes(DRAWN)).claim_json
BEFORE = field(LEAF_VERSION) + field(bytes(8))[:4]
NAMES = b"".join(field(name.encode()) for name in ROW) + field(bytes(32))[:4]
MANIFEST_DIGEST = field(hashlib.sha256(COMMON["manifest"]).digest()) + field(bytes(41))[:4]
SKETCH_AND_CLAIM = field(hashlib.sha256(COMMON["sketch"]).digest()) + field(CLAIM.encode()) + field(bytes(16))[:4]


def fill_sqlite(path: Path, total: int) -> list[Record]:
    """Fill a new file without its indexes and triggers, then put them back as they were."""
    with Registry.open(f"sqlite:///{path}") as registry:
        if len(registry) >= total:
            return Filling(total).redrawn()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("PRAGMA cache_size = -2000000")
    later = raw.execute("SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql NOT NULL")
    later = later.fetchall()
    for kind, name, _ in later:
        raw.execute(f"DROP {kind} {name}")
    filling = Filling(total)
    for records, contents, nodes in filling.batches():
        raw.execute("BEGIN")
        for table, columns, rows in zip(
            ("markai_records", "markai_contents", "markai_nodes"),
            (RECORD, CONTENTS, NODE),
            (records, contents, nodes),
            strict=True,
        ):
            marks = ",".join("?" * len(columns))
            raw.executemany(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", rows)
        raw.execute("COMMIT")
    for kind, name, statement in sorted(later):
        tell(f"{kind} {name}")
        raw.execute(statement)
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return filling.sample


def fill_postgres(url: str, total: int) -> list[Record]:
    """Fill an empty database by COPY, without the indexes that are not constraints, then put them back."""
    import psycopg

    with Registry.open(url) as registry:
        if len(registry) >= total:
            return Filling(total).redrawn()
    filling = Filling(total)
    with psycopg.connect(url) as raw:
        later = raw.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'markai_records_band%'"
        ).fetchall()
        for name, _ in later:
            raw.execute(f"DROP INDEX {name}")
        for batch in filling.batches():
            for table, columns, rows in zip(
                ("markai_records", "markai_contents", "markai_nodes"), (RECORD, CONTENTS, NODE), batch, strict=True
            ):
                with raw.cursor().copy(f"COPY {table} ({','.join(columns)}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
        for _, statement in later:
            raw.execute(statement)
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("VACUUM ANALYZE")
    return filling.sample


def timed(work: Callable[[Any], Any], items: list[Any]) -> Row:
    """Return how long a call takes, in milliseconds."""
    taken = []
    for item in items:
        begin = time.perf_counter()
        work(item)
        taken.append(1000 * (time.perf_counter() - begin))
    quantiles = np.quantile(taken, [0.5, 0.95, 1.0])
    return {"calls": len(taken), **dict(zip(("median", "p95", "most"), quantiles.round(3).tolist(), strict=True))}


def full(number: int) -> Record:
    """Make a record as large as a real one."""
    payload = secrets.token_bytes(8)
    return Record(
        payload=payload,
        key_id="aad476906739de25",
        method="dwt-dct",
        media_type="image/png",
        sha256=hashlib.sha256(payload).digest(),
        manifest=secrets.token_bytes(PACKED) + bytes(MANIFEST - PACKED),
        manifest_id=f"urn:c2pa:{secrets.token_hex(16)}",
        fingerprint=secrets.token_bytes(8),
        sketch=secrets.token_bytes(SKETCH),
        claim={"provider": "Acme", "number": number},
    )


def changed(fingerprint: bytes, bits: int, rng: random.Random) -> bytes:
    """Turn some bits over."""
    mask = sum(1 << bit for bit in rng.sample(range(64), bits))
    return (int.from_bytes(fingerprint, "big") ^ mask).to_bytes(8, "big")


def reading(url: str, sample: list[Record]) -> Row:
    """Measure what looks things up, and check what it finds."""
    rng = random.Random(2)
    some = rng.choices(sample, k=LOOKUPS)
    with Registry.open(url, create=False) as registry:
        head = registry.head()
        for record in some[:20]:
            assert registry.find(record.payload, record.key_id) == [record]
            assert registry.find_manifest(record.manifest_id) == record
            assert registry.inclusion(record).verify(record, head)
        rows = {
            "find by payload": timed(lambda each: registry.find(each.payload, each.key_id), some),
            "find what is not there": timed(registry.find, [secrets.token_bytes(8) for _ in some]),
            "find by manifest id": timed(lambda each: registry.find_manifest(each.manifest_id), some),
            "reserve": timed(lambda _: registry.reserve(), some),
            "inclusion proof": timed(registry.inclusion, some[:300]),
            "consistency proof": timed(registry.consistency, [each.index for each in some[:300]]),
            "head": timed(lambda _: registry.head(), some[:300]),
        }
        for distance in DISTANCES:
            asked = [(each, changed(each.fingerprint, distance, rng)) for each in some[:NEAREST]]
            for record, fingerprint in asked[:5]:
                assert record in [match.record for match in registry.nearest(fingerprint, distance, limit=10_000)]
            rows[f"nearest, {distance} bits"] = timed(
                lambda each, most=distance: registry.nearest(each[1], most), asked
            )
    return rows


def writing(url: str) -> Row:
    """Measure appending records of full size, alone and with others."""
    with Registry.open(url) as registry:
        rows = {"append": timed(lambda number: registry.append(full(number)), list(range(APPENDS)))}
        hundreds = [[full(number) for number in range(100)] for _ in range(10)]
        rows["append 100 at once"] = timed(registry.extend, hundreds)
    command = [sys.executable, __file__, "--append-to", url]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WRITERS)
    ]
    for process in writers:
        process.stdout.readline()
    begin = time.perf_counter()
    for process in writers:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate()[0] for process in writers]
    seconds = time.perf_counter() - begin
    waits = np.array([float(line) for each in told for line in each.split()])
    median, p95, most = np.quantile(waits, [0.5, 0.95, 1]).round(2).tolist()
    name = f"append, {WRITERS} processes"
    return (
        rows
        | {name: {"calls": len(waits), "median": median, "p95": p95, "most": most}}
        | {"appends per second, 8 processes": round(len(waits) / seconds)}
    )


def append_to(url: str) -> None:
    """Be one of several writers, and say how long each append took."""
    with Registry.open(url) as registry:
        print("open", flush=True)
        sys.stdin.readline()
        for number in range(100):
            record = full(number)
            begin = time.perf_counter()
            registry.append(record)
            print(1000 * (time.perf_counter() - begin), flush=True)


def killed(url: str, times: int) -> Row:
    """Kill writers at random moments; after each, the registry must open, be sound, and hold whole records only."""
    rng, between, opening = random.Random(3), 0, 0
    Registry.open(url).close()
    for number in range(times):
        with Registry.open(url, create=False) as registry:
            before = registry.head()
        told = killed_writer(url, rng.uniform(0, 0.4))
        with Registry.open(url, create=False) as registry:
            after = len(registry)
            assert after - before.size - told in (0, 1), "a record was lost, or one too many is there"
            between += after - before.size - told
            opening += after == before.size
            assert registry.consistency(before.size).verify(before, registry.head())
            whole = registry.check(before)
            assert whole, whole.problem
            with registry._database.reading() as connection:
                for table, count in (("contents", after), ("nodes", 2 * after - after.bit_count())):
                    rows = connection.exec_driver_sql(f"SELECT count(*) FROM markai_{table}").scalar()
                    assert rows == count, f"orphans in {table}"
        tell(f"killed {number + 1}")
    return {
        "kills": times,
        "records": after,
        "committed but not yet told when killed": between,
        "killed before the first record": opening,
        "orphans": 0,
    }


def killed_writer(url: str, seconds: float) -> int:
    """Let a process append without a pause, kill it, and return how many appends it told of."""
    here, there = os.pipe()
    writer = os.fork()
    if not writer:
        try:
            with Registry.open(url) as registry:
                while True:
                    registry.append(full(0))
                    os.write(there, b".")
        finally:
            os._exit(1)
    os.close(there)
    time.sleep(seconds)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    told = len(os.read(here, 1 << 16))
    os.close(here)
    return told


def forget(path: Path) -> None:
    """Drop a file from the system's cache."""
    for each in path.parent.glob(f"{path.name}*"):
        with each.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(url: str, path: Path | None, fill: Callable[[], list[Record]]) -> Row:
    """Fill a registry and measure it."""
    sample = fill()
    result: Row = {}
    if path is not None:
        result["bytes"] = path.stat().st_size
        forget(path)
        result["cold"] = reading(url, sample)
    result["warm"] = reading(url, sample) | writing(url)
    return result


def tell(text: str) -> None:
    """Show how far this is."""
    sys.stderr.write(f"{text}\n")


def table(result: Row) -> str:
    """Return the Markdown table, in milliseconds."""
    lines = ["| registry | call | median, ms | 95 % | most |", "|---|---|---|---|---|"]
    for name, cache in (("sqlite", "warm"), ("sqlite", "cold"), ("postgresql", "warm")):
        for call, row in result.get(name, {}).get(cache, {}).items():
            records = f"{name}, {result[name]['records']:,} records, {cache}"
            cells = [row[key] for key in ("median", "p95", "most")] if isinstance(row, dict) else [row, "", ""]
            lines.append(f"| {records} | {call} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sqlite", type=int, default=10_000_000, help="records")
    parser.add_argument("--postgres", type=int, default=1_000_000, help="records")
    parser.add_argument("--url", help="of an empty PostgreSQL database; without it, only SQLite")
    parser.add_argument("--folder", type=Path, default=Path("scratch/registry"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--name", default="registry", help="of the files in results/")
    parser.add_argument("--append-to", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.append_to:
        append_to(args.append_to)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    earlier = RESULTS / f"{args.name}.json"
    result: Row = json.loads(earlier.read_text()) if earlier.exists() else {}
    result["machine"] = machine()
    path = args.folder.resolve() / "registry.db"
    if args.kills:
        result["killed"] = killed(f"sqlite:///{path.with_name('killed.db')}", args.kills)
        save(args.name, result)
    if args.sqlite:
        url = f"sqlite:///{path}"
        result["sqlite"] = {"records": args.sqlite, **measured(url, path, lambda: fill_sqlite(path, args.sqlite))}
        save(args.name, result)
    if args.url:
        filled = measured(args.url, None, lambda: fill_postgres(args.url, args.postgres))
        result["postgresql"] = {"records": args.postgres, **filled}
    save(args.name, result)
    (RESULTS / f"{args.name}.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
