"""The registry: records in, found again by payload, manifest or looks, and a log that shows any change to them."""

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, insert, select

from markai.provenance.registry.bands import Interval, distances, intervals
from markai.provenance.registry.checking import Check, check
from markai.provenance.registry.database import Database
from markai.provenance.registry.log import append_leaves, load_frontier, load_ranges, log_size
from markai.provenance.registry.merkle import consistency_ranges, inclusion_ranges
from markai.provenance.registry.records import ConsistencyProof, InclusionProof, Match, Record, TreeHead
from markai.provenance.registry.rows import contents_row, everything, numbered, record_of, record_row
from markai.provenance.registry.schema import contents, records

RESERVED_BYTES = 8
PAGE = 500  # records read at a time
LIKE = 10  # bits of 64 that the fingerprints of one picture rarely differ by (docs/registry.md)


class Registry:
    """Records of what was marked, in SQLite or PostgreSQL; made by :meth:`open`. Threads and processes may share it.

    Records are only ever added. Adding one is one transaction that holds the record, its manifest and its part of a
    Merkle log (RFC 9162), so that a crash leaves all of them or none. Nothing is written before: :meth:`reserve` only
    draws an id, and should two writers draw the same (once in 2^64) the second is refused and draws again.

    >>> with Registry.open("sqlite:///markai.db") as registry:
    ...     record = registry.append(Record(payload=registry.reserve(), key_id="aad476906739de25", method="dwt-dct",
    ...                                     media_type="image/png", sha256=bytes(32)))
    ...     registry.find(record.payload) == [record], len(registry)
    ...     registry.inclusion(record).verify(record, registry.head())
    (True, 1)
    True
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open a registry, and make it or bring its tables up to date where that is needed.

        ``url`` is ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://user:password@host/name``
        (the database must exist). With ``create=False``, for who only looks things up, a missing or older one is
        refused. A new SQLite file is readable by its owner only. SQLite needs a local disk, not a network share.

        Raises:
            RegistryError: if it cannot be opened; the message says why, and never holds the password.
            MissingExtraError: if the driver is not installed.
        """
        database = Database(url, create=create)
        database.prepare(create=create)
        return cls(database)

    def reserve(self) -> bytes:
        """Return 8 random bytes that no record has for a payload; they tell nothing about how many there are.

        Raises:
            RegistryError: if the database fails.
        """
        with self._database.reading() as connection:
            while True:
                payload = secrets.token_bytes(RESERVED_BYTES)
                if connection.scalar(select(records.c.number).where(records.c.payload == payload)) is None:
                    return payload

    def append(self, record: Record) -> Record:
        """Add a record and return it with its ``index``; once this returns, it is on the disk.

        Raises:
            PayloadTakenError: if there is a record with its payload and key, or with its manifest id.
            RegistryError: if the database fails; nothing was added, unless the connection broke just then.
        """
        return self.extend([record])[0]

    def extend(self, new: Iterable[Record]) -> list[Record]:
        """Add several records, all or none of them, and return them with their ``index``.

        Raises:
            PayloadTakenError: if there is a record with the payload and key of one, or with its manifest id.
            RegistryError: if the database fails; nothing was added, unless the connection broke just then.
        """
        given = list(new)
        if not given:
            return []
        leaves = [record.leaf for record in given]
        with self._database.writing() as connection:
            tree = load_frontier(connection, log_size(connection))
            first = tree.size
            connection.execute(insert(records), [record_row(first + i, record) for i, record in enumerate(given)])
            connection.execute(insert(contents), [contents_row(first + i, record) for i, record in enumerate(given)])
            append_leaves(connection, tree, leaves)
        return [numbered(record, first + i) for i, record in enumerate(given)]

    def find(self, payload: bytes, key_id: str | None = None) -> list[Record]:
        """Return the records with a payload, the newest first: at most one where the key is given.

        Raises:
            RegistryError: if the database fails.
        """
        query = everything.where(records.c.payload == payload)
        return self._all(query if key_id is None else query.where(records.c.key_id == key_id))

    def find_manifest(self, manifest_id: str) -> Record | None:
        """Return the record with the manifest of that id (``urn:c2pa:...``), or None.

        Raises:
            RegistryError: if the database fails.
        """
        return next(iter(self._all(everything.where(records.c.manifest_id == manifest_id))), None)

    def nearest(
        self, fingerprint: bytes, max_distance: int = LIKE, *, media: str = "image", limit: int = 10
    ) -> list[Match]:
        """Return the records that look most like this, the nearest first.

        ``max_distance`` is the most bits of 64 that may differ, up to 15. ``media`` is what their media type begins
        with: fingerprints of pictures and of texts do not compare.

        Raises:
            ValueError: if the distance is out of range.
            RegistryError: if the database fails.
        """
        found: dict[int, int] = {}
        with self._database.reading() as connection:
            for band, ranges in enumerate(intervals(fingerprint, max_distance)):
                numbers, turned = _in_ranges(connection, band, ranges)
                apart = distances(turned, fingerprint, band)
                near = apart <= max_distance
                found.update(zip(numbers[near].tolist(), apart[near].tolist(), strict=True))
            return _nearest(connection, found, media, limit)

    def __getitem__(self, index: int) -> Record:
        """Return the record of that number in the log, counted from 0.

        Raises:
            IndexError: if there is none.
            RegistryError: if the database fails.
        """
        found = self._all(everything.where(records.c.number == index))
        if not found:
            raise IndexError(f"the registry has no record {index}")
        return found[0]

    def __len__(self) -> int:
        with self._database.reading() as connection:
            return log_size(connection)

    def __bool__(self) -> bool:
        """Whether there is a registry: always, also while it has no records."""
        return True

    def __iter__(self) -> Iterator[Record]:
        """Yield every record in the order of the log; those added meanwhile may come too."""
        at = 0
        while page := self._page(at):
            yield from page
            at = 1 + max(record.index or 0 for record in page)

    def export(self, file: IO[str]) -> int:
        """Write every record as a line of JSON (``Record.from_dict`` reads it), and return how many they were.

        Raises:
            RegistryError: if the database fails.
        """
        count = 0
        for record in self:
            file.write(json.dumps(record.to_dict(), ensure_ascii=False) + "\n")
            count += 1
        return count

    def head(self, size: int | None = None) -> TreeHead:
        """Return the log's root, now or when it had ``size`` records.

        Raises:
            ValueError: if it never had that many.
            RegistryError: if the database fails or a hash is missing.
        """
        with self._database.reading() as connection:
            leaves = _size_up_to(connection, size)
            return TreeHead(leaves, load_frontier(connection, leaves).root)

    def inclusion(self, record: Record, size: int | None = None) -> InclusionProof:
        """Return the proof that a record is in the log, as it is now or as it was with ``size`` records.

        Raises:
            ValueError: if the log of that size does not reach to the record, or the record was never appended.
            RegistryError: if the database fails or a hash is missing.
        """
        if record.index is None:
            raise ValueError("the record is in no log - append() and find() return records that are")
        with self._database.reading() as connection:
            leaves = _size_up_to(connection, size)
            if record.index >= leaves:
                raise ValueError(f"record {record.index} is not among the first {leaves}")
            path = load_ranges(connection, inclusion_ranges(record.index, leaves))
            return InclusionProof(record.index, leaves, tuple(path))

    def consistency(self, old: int, new: int | None = None) -> ConsistencyProof:
        """Return the proof that the log of ``old`` records is how that of ``new`` begins.

        Raises:
            ValueError: if it never had that many.
            RegistryError: if the database fails or a hash is missing.
        """
        with self._database.reading() as connection:
            leaves = _size_up_to(connection, new)
            if not 0 <= old <= leaves:
                raise ValueError(f"a log of {leaves} records does not begin with one of {old}")
            return ConsistencyProof(old, leaves, tuple(load_ranges(connection, consistency_ranges(old, leaves))))

    def check(self, head: TreeHead | None = None) -> Check:
        """Walk all records and their log, and say which is the first that was altered, deleted or inserted.

        Who can write to the database can also rewrite the log to fit. A ``head`` that was kept elsewhere shows that.

        Raises:
            RegistryError: if the database fails.
        """
        with self._database.reading() as connection:
            return check(connection, head)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Registry {self._database.name}>"

    def _all(self, query: "Select[Any]") -> list[Record]:
        with self._database.reading() as connection:
            return [record_of(row) for row in connection.execute(query.order_by(records.c.number.desc()))]

    def _page(self, first: int) -> list[Record]:
        query = everything.where(records.c.number >= first).order_by(records.c.number).limit(PAGE)
        with self._database.reading() as connection:
            return [record_of(row) for row in connection.execute(query)]


def _size_up_to(connection: Connection, size: int | None) -> int:
    now = log_size(connection)
    if size is not None and not 0 <= size <= now:
        raise ValueError(f"the log has {now} records, and never had {size}")
    return now if size is None else size


def _in_ranges(
    connection: Connection, band: int, ranges: Sequence[Interval]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the records whose band lies in one of the ranges, and the bands' values."""
    probes = ",".join(f"({low},{high})" for low, high in ranges)
    if not probes:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # CROSS JOIN, so that SQLite looks each range up in the index, which holds all that is asked for.
    found = connection.exec_driver_sql(
        f"WITH probes (low, high) AS (VALUES {probes}) SELECT number, band{band} "
        f"FROM probes CROSS JOIN markai_records WHERE band{band} BETWEEN low AND high"
    )
    numbers, values = np.fromiter(chain.from_iterable(found), np.int64).reshape(-1, 2).T
    return numbers, values


def _nearest(connection: Connection, apart: dict[int, int], media: str, limit: int) -> list[Match]:
    """Return the nearest of the records with these numbers whose media type is right."""
    ordered = sorted(apart, key=lambda number: (apart[number], -number))
    matches: list[Match] = []
    for first in range(0, len(ordered), PAGE):
        page = ordered[first : first + PAGE]
        right = records.c.media_type.startswith(f"{media}/", autoescape=True)
        rows = {row.number: row for row in connection.execute(everything.where(records.c.number.in_(page), right))}
        matches += [Match(record_of(rows[number]), apart[number]) for number in page if number in rows]
        if len(matches) >= limit:
            break
    return matches[:limit]
