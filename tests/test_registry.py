"""The registry on SQLite and on a real PostgreSQL: what goes in comes out, is found, cannot be changed unnoticed."""

import hashlib
import io
import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from markai.errors import MissingExtraError, PayloadError, PayloadTakenError, RegistryError
from markai.provenance.registry import Record, Registry, TreeHead
from markai.provenance.registry import __getattr__ as registry_name
from markai.provenance.registry.bands import BITS, MOST_DISTANCE, distances, intervals, original, rotations
from markai.provenance.registry.records import LEAF_VERSION
from markai.provenance.registry.rows import contents_row, record_of, record_row
from markai.provenance.registry.schema import VERSION_TABLE, metadata

KEY_ID = "aad476906739de25"
WHEN = datetime(2026, 11, 25, 12, 0, 0, 123456, UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.open(url) as opened:
        yield opened


def record(number: int = 0, **changed: Any) -> Record:
    digest = hashlib.sha256(b"%d" % number).digest()
    given = {
        "payload": digest[:8],
        "key_id": KEY_ID,
        "method": "dwt-dct",
        "media_type": "image/png",
        "sha256": digest,
        "manifest": b"jumb" + digest * 20,
        "manifest_id": f"urn:c2pa:{digest[:16].hex()}",
        "fingerprint": digest[8:16],
        "sketch": digest * 3,
        "claim": {"provider": "Acme", "n": number, "넣은": ["\0", None, 1.5]},
        "created": WHEN + timedelta(seconds=number),
    }
    return Record(**{**given, **changed})


def numbers(found: list[Record]) -> list[int | None]:
    return [each.index for each in found]


def execute(opened: Registry, statement: str, **values: Any) -> None:
    """What somebody does who can write to the database."""
    with opened._database.writing() as connection:
        connection.execute(text(statement), values)


def without_guards(opened: Registry) -> None:
    """What somebody does first who wants to change it."""
    with opened._database.writing() as connection:
        if opened._database.is_sqlite:
            for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("DROP FUNCTION markai_append_only CASCADE"))


# Records in and out


def test_what_goes_in_comes_out(registry: Registry) -> None:
    added = registry.append(record())
    assert added == record(index=0)
    assert registry.find(added.payload, KEY_ID) == registry.find(added.payload) == [added]
    assert registry.find_manifest(added.manifest_id or "") == registry[0] == added
    assert registry.find(added.payload, "another") == registry.find(b"another") == []
    assert registry.find_manifest("urn:c2pa:another") is None
    with pytest.raises(IndexError, match="no record 1"):
        _ = registry[1]


def test_what_is_left_out_stays_out(registry: Registry) -> None:
    assert registry
    assert len(registry) == 0
    least = {"payload": b"", "key_id": KEY_ID, "method": "dwt-dct", "media_type": "text/plain", "sha256": bytes(32)}
    first = registry.append(Record(**least))
    second = registry.append(Record(**{**least, "payload": b"\0"}))
    assert (first.manifest, first.manifest_id, first.fingerprint, first.sketch, first.claim) == (
        b"",
        None,
        None,
        b"",
        {},
    )
    assert list(registry) == [first, second]
    assert datetime.now(UTC) - first.created < timedelta(minutes=1)


def test_times_are_kept_as_utc(registry: Registry) -> None:
    elsewhere = WHEN.astimezone(timezone(timedelta(hours=9)))
    assert registry.append(record(created=elsewhere)).created.tzinfo is UTC
    assert registry[0] == record(index=0)


def test_one_payload_may_stand_under_two_keys(registry: Registry) -> None:
    registry.append(record(0, payload=b"same"))
    registry.append(record(1, payload=b"same", key_id="another"))
    assert numbers(registry.find(b"same")) == [1, 0]
    assert numbers(registry.find(b"same", KEY_ID)) == [0]


@pytest.mark.parametrize(
    ("again", "message"),
    [({"payload": record().payload}, "payload"), ({"manifest_id": record().manifest_id}, "manifest")],
)
def test_a_payload_and_a_manifest_are_recorded_once(registry: Registry, again: dict[str, Any], message: str) -> None:
    registry.append(record())
    before = registry.head()
    with pytest.raises(PayloadTakenError, match=f"already.*{message}|{message}.*already"):
        registry.append(record(1, **again))
    with pytest.raises(PayloadTakenError):
        registry.extend([record(2), record(3), record(1, **again)])
    assert registry.head() == before
    assert numbers(registry.extend([record(2), record(1)])) == [1, 2]
    assert registry.check(before)


def test_several_at_once_are_the_same_as_one_by_one(registry: Registry, tmp_path: Path) -> None:
    assert registry.extend([]) == []
    assert numbers(registry.extend(record(number) for number in range(7))) == [*range(7)]
    with Registry.open(f"sqlite:///{tmp_path}/other.db") as other:
        for number in range(7):
            other.append(record(number))
        assert other.head() == registry.head()


def test_reserved_payloads_are_random_and_free(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({registry.reserve() for _ in range(50)}) == 50
    registry.append(record())
    draws = iter([record().payload, b"it is free"])
    monkeypatch.setattr("secrets.token_bytes", lambda _: next(draws))
    assert registry.reserve() == b"it is free"
    assert len(registry) == 1


def test_export_is_whole(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markai.provenance.registry.store.PAGE", 2)
    added = registry.extend(record(number) for number in range(5))
    file = io.StringIO()
    assert registry.export(file) == 5
    assert [Record.from_dict(json.loads(line)) for line in file.getvalue().splitlines()] == added
    assert list(registry) == added


@given(
    st.builds(
        Record,
        payload=st.binary(max_size=16),
        key_id=st.from_regex(r"[\x20-\x7e]{1,20}", fullmatch=True),
        method=st.just("dwt-dct"),
        media_type=st.just("image/png"),
        sha256=st.binary(min_size=32, max_size=32),
        manifest=st.binary(max_size=50),
        manifest_id=st.none() | st.just("urn:c2pa:1"),
        fingerprint=st.none() | st.binary(min_size=8, max_size=8),
        sketch=st.binary(max_size=50),
        claim=st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)),
        created=st.datetimes(timezones=st.just(UTC)),
    )
)
def test_records_survive_json(given: Record) -> None:
    again = Record.from_dict(json.loads(json.dumps(given.to_dict())))
    assert again == given
    assert again.leaf == given.leaf
    row = SimpleNamespace(**(record_row(3, given) | contents_row(3, given)))
    assert record_of(row) == replace(given, index=3)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"payload": bytes(17)}, PayloadError, "0 to 16 bytes"),
        ({"payload": "text"}, PayloadError, "0 to 16 bytes"),
        ({"key_id": ""}, ValueError, "key_id is 1 to 255 printable"),
        ({"manifest_id": "urn:\0"}, ValueError, "manifest_id is 1 to 255 printable"),
        ({"sha256": b"short"}, ValueError, "32 bytes, not 5"),
        ({"fingerprint": bytes(32)}, ValueError, "8 bytes, not 32"),
        ({"created": datetime(2026, 1, 1)}, ValueError, "no time zone"),
        ({"claim": {"score": float("nan")}}, ValueError, "JSON"),
    ],
)
def test_what_no_record_can_be(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        record(**changed)


def test_the_leaf_is_what_is_documented() -> None:
    one = record()

    def field(value: bytes) -> bytes:
        return (len(value) + 1).to_bytes(4, "big") + value

    claim = rb'{"n":0,"provider":"Acme","\ub123\uc740":["\u0000",null,1.5]}'
    values = [LEAF_VERSION, one.payload, KEY_ID.encode(), b"dwt-dct", b"image/png", one.sha256]
    values += [hashlib.sha256(one.manifest).digest(), (one.manifest_id or "").encode(), one.fingerprint or b""]
    values += [hashlib.sha256(one.sketch).digest(), claim, b"1795608000123456"]
    assert one.leaf == hashlib.sha256(b"\0" + b"".join(map(field, values))).digest()
    leaves = {record(**{name: None}).leaf for name in ("manifest_id", "fingerprint")}
    leaves |= {record(manifest=b"", sketch=b"").leaf, record(claim={}).leaf, one.leaf}
    assert len(leaves) == 5


# The log


def test_proofs(registry: Registry) -> None:
    heads = [registry.head()]
    for number in range(9):
        registry.append(record(number))
        heads.append(registry.head())
    assert [registry.head(size) for size in range(10)] == heads
    for each in registry:
        for size in range((each.index or 0) + 1, 10):
            assert registry.inclusion(each, size).verify(each, heads[size])
            assert not registry.inclusion(each, size).verify(each, heads[size - 1])
        assert not registry.inclusion(each).verify(record(100, index=each.index), heads[9])
    for old in range(10):
        for new in range(old, 10):
            proof = registry.consistency(old, new)
            assert proof.verify(heads[old], heads[new])
            assert not proof.verify(TreeHead(old, bytes(32)), heads[new])
            assert 0 == old < new or not proof.verify(heads[old], TreeHead(new, bytes(32)))
            assert old == new or not proof.verify(heads[new], heads[old])


def test_proofs_of_what_is_not_there(registry: Registry) -> None:
    added = registry.append(record())
    with pytest.raises(ValueError, match="is in no log"):
        registry.inclusion(record())
    with pytest.raises(ValueError, match="record 0 is not among the first 0"):
        registry.inclusion(added, 0)
    for ask in (
        registry.head,
        lambda size: registry.inclusion(added, size),
        lambda size: registry.consistency(0, size),
    ):
        with pytest.raises(ValueError, match="has 1 records, and never had 2"):
            ask(2)
    with pytest.raises(ValueError, match="does not begin with one of 2"):
        registry.consistency(2)


def test_heads_as_json() -> None:
    head = TreeHead(7, bytes(range(32)))
    assert TreeHead.from_dict(json.loads(json.dumps(head.to_dict()))) == head


def test_rows_can_only_be_added(registry: Registry) -> None:
    registry.extend(record(number) for number in range(3))
    before = registry.head()
    for table, column in {"records": "number", "contents": "number", "nodes": "position"}.items():
        for statement in (f"DELETE FROM markai_{table}", f"UPDATE markai_{table} SET {column} = {column}"):
            with pytest.raises(RegistryError, match="append-only"):
                execute(registry, statement)
    if registry._database.is_sqlite:
        copy = "SELECT {}, payload, key_id, method, media_type, sha256, manifest_id, claim, created, 0, 0, 0, 0"
        for number in (0, 3, 9):  # in the place of a row, of a payload, with a gap
            with pytest.raises(RegistryError):
                execute(
                    registry,
                    f"INSERT OR REPLACE INTO markai_records {copy.format(number)} FROM markai_records WHERE number = 1",
                )
    else:
        with pytest.raises(RegistryError, match="append-only"):
            execute(registry, "TRUNCATE markai_records CASCADE")
    assert registry.head() == before
    assert registry.check(before)


TAMPERED = {
    "the claim": ("UPDATE markai_records SET claim = '{}' WHERE number = 5", 5, "altered"),
    "the time": ("UPDATE markai_records SET created = created + 1 WHERE number = 5", 5, "altered"),
    "a band": ("UPDATE markai_records SET band2 = band2 + 1 WHERE number = 5", 5, "altered: .* bands"),
    "the manifest": ("UPDATE markai_contents SET manifest = :other WHERE number = 5", 5, "altered"),
    "a broken manifest": ("UPDATE markai_contents SET manifest = :short WHERE number = 5", 5, "altered: .* not whole"),
    "the sketch": ("UPDATE markai_contents SET sketch = :other WHERE number = 5", 5, "altered"),
    "contents gone": ("DELETE FROM markai_contents WHERE number = 5", 5, "altered"),
    "one gone": ("DELETE FROM markai_records WHERE number = 5", 5, "record 5 was deleted"),
    "the first gone": ("DELETE FROM markai_records WHERE number = 0", 0, "record 0 was deleted"),
    "the last gone": ("DELETE FROM markai_records WHERE number = 9", 9, "record 9 was deleted: the log goes on"),
    "all gone": ("DELETE FROM markai_records", 0, "record 0 was deleted"),
    "two exchanged": (
        "UPDATE markai_records SET claim = CASE number WHEN 5 THEN "
        "(SELECT claim FROM markai_records WHERE number = 6) ELSE (SELECT claim FROM markai_records WHERE number = 5) "
        "END WHERE number IN (5, 6)",
        5,
        "altered",
    ),
    "one more": (
        "INSERT INTO markai_records SELECT 10, payload, 'other', method, media_type, sha256, NULL, claim, created, "
        "band0, band1, band2, band3 FROM markai_records WHERE number = 3",
        10,
        "record 10 was inserted",
    ),
    "one before": (
        "INSERT INTO markai_records SELECT -1, payload, 'other', method, media_type, sha256, NULL, claim, created, "
        "band0, band1, band2, band3 FROM markai_records WHERE number = 3",
        -1,
        "record -1 was inserted",
    ),
    "a leaf": ("UPDATE markai_nodes SET hash = :other WHERE position = 8", 5, "altered"),  # 2 * 5 - 2
    "a node": ("UPDATE markai_nodes SET hash = :other WHERE position = 6", 3, "level 2"),
    "a node gone": ("DELETE FROM markai_nodes WHERE position = 6", 3, "level 2"),
    "the last leaf gone": ("DELETE FROM markai_nodes WHERE position >= 16", 9, "inserted: the log does not know it"),
    "a node more": ("INSERT INTO markai_nodes VALUES (18, :other)", 10, "record 10 was deleted: the log goes on"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_found_and_named(registry: Registry, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statement, index, problem = TAMPERED[what]
    registry.extend(record(number) for number in range(10))
    head = registry.head()
    assert registry.check(head)
    without_guards(registry)
    if statement.startswith("DELETE FROM markai_records"):
        execute(registry, statement.replace("records", "contents"))
    values = {"other": zlib.compress(b"other"), "short": zlib.compress(b"other")[:-2]}
    execute(registry, statement, **{name: value for name, value in values.items() if f":{name}" in statement})
    for page in (1000, 3):
        monkeypatch.setattr("markai.provenance.registry.checking.PAGE", page)
        for kept in (None, head):
            found = registry.check(kept)
            assert not found
            assert found.index == index
            with pytest.raises(AssertionError, match=problem):
                raise AssertionError(found.problem)
    assert found.to_dict()["sound"] is False


def rewritten(registry: Registry, keep: list[Record]) -> None:
    """Replace everything by a log that fits."""
    for table in ("contents", "records", "nodes"):
        execute(registry, f"DELETE FROM markai_{table}")
    registry.extend(keep)


def test_a_kept_head_shows_a_log_that_was_rewritten(registry: Registry) -> None:
    registry.extend(record(number) for number in range(10))
    head = registry.head()
    without_guards(registry)
    rewritten(registry, [record(number) for number in range(10) if number != 4])
    assert registry.check()
    found = registry.check(head)
    assert (found.index, found.problem) == (9, "record 9 was deleted: the given head has 10")
    registry.append(record(4))
    found = registry.check(head)
    assert found.index is None
    assert "log was rewritten" in (found.problem or "")
    assert not registry.check(TreeHead(0, bytes(32)))
    rewritten(registry, [record(number) for number in range(12)])
    assert registry.check(head)


def test_a_torn_log_takes_no_more(registry: Registry) -> None:
    registry.extend(record(number) for number in range(5))
    without_guards(registry)
    execute(registry, "DELETE FROM markai_nodes WHERE position = 7")
    with pytest.raises(RegistryError, match=r"does not fit its records - run Registry.check\(\)"):
        registry.append(record(9))
    with pytest.raises(RegistryError, match="does not fit"):
        registry.inclusion(registry[0])
    execute(registry, "DELETE FROM markai_nodes WHERE position > 2")
    with pytest.raises(RegistryError, match="does not fit"):
        registry.append(record(9))
    assert len(registry) == 5


def test_a_damaged_record_is_an_error_where_it_is_read(registry: Registry) -> None:
    registry.append(record())
    without_guards(registry)
    execute(registry, "DELETE FROM markai_contents")
    with pytest.raises(RegistryError, match=r"record 0 of the registry is damaged .* run Registry.check\(\)"):
        registry.find(record().payload)


# Fingerprints

FINGERPRINTS = st.binary(min_size=8, max_size=8)


@given(FINGERPRINTS, st.sets(st.integers(0, BITS - 1), max_size=MOST_DISTANCE))
def test_some_band_finds_whatever_is_near_enough(fingerprint: bytes, changed: set[int]) -> None:
    mask = sum(1 << bit for bit in changed)
    other = (int.from_bytes(fingerprint, "big") ^ mask).to_bytes(8, "big")
    turned = rotations(other)
    found = [
        any(low <= turned[band] <= high for low, high in ranges)
        for band, ranges in enumerate(intervals(fingerprint, len(changed)))
    ]
    assert any(found)
    assert original(turned[0]) == other
    import numpy as np

    for band in range(4):
        assert distances(np.array([turned[band]]), fingerprint, band).tolist() == [len(changed)]


@pytest.mark.parametrize("distance", [-1, 16])
def test_distances_have_a_limit(distance: int) -> None:
    with pytest.raises(ValueError, match="0 to 15 bits"):
        intervals(bytes(8), distance)


def test_the_nearest_are_found(registry: Registry) -> None:
    def turned(bits: int) -> bytes:
        return ((1 << bits) - 1).to_bytes(8, "big")

    registry.extend(record(number, fingerprint=turned(number)) for number in range(20))
    registry.append(record(20, fingerprint=turned(0)))
    registry.append(record(21, fingerprint=turned(0), media_type="text/plain"))
    registry.append(record(22, fingerprint=None))
    found = registry.nearest(bytes(8), 3)
    assert [(match.distance, match.record.index) for match in found] == [(0, 20), (0, 0), (1, 1), (2, 2), (3, 3)]
    assert [match.distance for match in registry.nearest(bytes(8), limit=100)] == [0, *range(11)]
    assert [match.distance for match in registry.nearest(bytes(8), 15, limit=4)] == [0, 0, 1, 2]
    assert [match.record.index for match in registry.nearest(bytes(8), media="text")] == [21]
    assert registry.nearest(b"\xaa" * 8) == []


# Opening


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with Registry.open(f"sqlite:///{tmp_path}/registry.db") as opened:
            opened.append(record())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(("registry.db", "registry.db-wal", "registry.db-shm"), 0o600)


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Registry.open("sqlite:///registry.db") as opened:
        assert repr(opened) == f"<Registry {tmp_path}/registry.db>"
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        opened._database.close()
        opened.append(record())
    assert not list((tmp_path / "elsewhere").iterdir())


def test_who_only_looks_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="there is no such file"):
        Registry.open(f"sqlite:///{tmp_path}/registry.db", create=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.db").touch()
    with pytest.raises(RegistryError, match="holds no registry - mark something with it first"):
        Registry.open(f"sqlite:///{tmp_path}/empty.db", create=False)


def test_opened_again(url: str) -> None:
    with Registry.open(url) as opened:
        opened.append(record())
    with Registry.open(url, create=False) as opened:
        assert len(opened) == 1
        assert opened.append(record(1)).index == 1


def test_the_migrations_make_the_tables_that_are_queried(registry: Registry) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with registry._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_other_schemas_are_refused(url: str) -> None:
    with Registry.open(url) as opened:
        execute(opened, f"UPDATE {VERSION_TABLE} SET version_num = 'v9'")
    with pytest.raises(RegistryError, match=r"written by a newer markai \(schema v9\) - update markai"):
        Registry.open(url)


def test_an_older_schema_is_brought_up_to_date_unless_one_only_looks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Registry.open(url).close()
    monkeypatch.setattr("markai.provenance.registry.database.VERSION", "v2")
    with pytest.raises(RegistryError, match="older schema v1"):
        Registry.open(url, create=False)
    done = []
    monkeypatch.setattr("markai.provenance.registry.database._migrate", done.append)
    Registry.open(url).close()
    assert len(done) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("registry.db", "not the URL of a registry"),
        (None, "not the URL of a registry"),
        ("mysql://user:secret@host/name", "in SQLite or PostgreSQL, not mysql"),
        ("postgresql+asyncpg://user:secret@host/name", r"not postgresql\+asyncpg"),
        ("sqlite://", "named by its path alone"),
        ("sqlite:///:memory:", "named by its path alone"),
        ("sqlite:///file:registry.db?uri=true", "named by its path alone"),
        ("sqlite:////proc/none/registry.db", "cannot open the registry /proc/none/registry.db: its directory does not"),
        ("sqlite:////proc", "is a directory"),
        ("postgresql://user:secr@et@host/name", "write that of the password as %40"),
        ("postgresql://user:secret@127.0.0.1:secret/name", "not the URL of a registry"),
        ("postgresql://user:secret@127.0.0.1:1/name", "cannot be reached: .*Connection refused"),
    ],
)
def test_urls_that_lead_nowhere(url: str, message: str) -> None:
    with pytest.raises(RegistryError, match=message) as caught:
        Registry.open(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)


def test_what_is_no_registry(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100)
    with pytest.raises(RegistryError, match="damaged or not a registry"):
        Registry.open(f"sqlite:///{file}")
    assert file.read_text() == "not a database " * 100


def test_passwords_are_told_nobody(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Registry.open(postgres_url) as opened:
        opened.append(record())
        assert "cret" not in repr(opened)
        with pytest.raises(RegistryError, match=r"no_such_table_\*\*\*"):
            execute(opened, 'SELECT * FROM "no_such_table_se@cret"')
    wrong = postgres_url.replace("se%40cret", "wr%40ng")
    for url in (wrong, wrong.replace(":wr%40ng", "") + "&password=wr%40ng"):
        with pytest.raises(RegistryError, match=r"cannot be reached: .*password authentication failed") as caught:
            Registry.open(url)
        assert "wr@ng" not in str(caught.value) + caplog.text
    assert "cret" not in caplog.text


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"psycopg: pip install 'markai\[postgres\]'"):
        Registry.open("postgresql://host/name")
    for module in [name for name in sys.modules if name.startswith("markai.provenance.registry.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(MissingExtraError, match=r"registries need sqlalchemy: pip install 'markai\[registry\]'"):
        registry_name("Registry")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        registry_name("nothing")


# Threads, processes, locks


def test_threads_share_a_registry(registry: Registry) -> None:
    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(lambda number: registry.append(record(number)), range(40)))
    assert sorted(numbers(added)) == [*range(40)]
    assert sorted(registry, key=lambda each: each.claim["n"]) == added
    assert registry.check()


def test_a_fork_leaves_both_with_their_own_connections(registry: Registry) -> None:
    registry.append(record(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn where libraries run threads
        child = os.fork()
    if not child:
        status = 1
        try:
            registry.append(record(1))
            status = 0 if len(registry) == 2 and registry.check() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert registry.append(record(2)).index == 2
    assert registry.check()


def test_a_writer_says_when_others_do_not_let_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markai.provenance.registry.database.PATIENCE", 0.2)
    with Registry.open(url) as holder, Registry.open(url) as other, holder._database.writing():
        with pytest.raises(RegistryError, match=r"is locked: others have been writing for 0\.2 s - try again"):
            other.append(record())
        assert len(other) == 0


def test_readers_do_not_wait_for_a_writer(registry: Registry) -> None:
    registry.append(record())
    with registry._database.writing() as connection:
        connection.execute(text("DELETE FROM markai_version"))
        assert registry.find(record().payload) == [registry[0]]
        connection.rollback()


def test_a_registry_that_may_not_be_written(tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as opened:
        opened.append(record())
    source = sqlite3.connect(f"file:{tmp_path}/registry.db?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        source.execute("DELETE FROM markai_records")
    source.close()


def test_importing_the_registry_imports_no_database() -> None:
    code = "import sys; import markai.provenance.registry; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
