"""The state of an audit on disk: every row as soon as it is known, so that a killed audit goes on where it was."""

import fcntl
import json
import os
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from markai.errors import OutputError

Header = dict[str, Any]

NAME = "journal.ndjson"
ROW = b',"row":'  # what comes before it is ours, so that the first of these is where the row begins
NONE = b"null"  # instead of a row: the file is of a kind that was not asked for
COPIED = 1 << 20


class Journal:
    """Rows in the order in which they became known, each with its place in the audit; 16 bytes of memory for each.

    A line is ``{"path": ..., "stamp": ..., "row": {...}}``; ``stamp`` tells whether the file has changed since. Each is
    one write, so that a killed process leaves whole lines and at most one that is torn, which is dropped.

    >>> with Journal.open(Path("audit"), {"settings": 1}) as journal:
    ...     journal.add(1, "b.png", "0", b'{"path":"b.png"}')
    ...     journal.add(0, "a.png", "0", b'{"path":"a.png"}')
    >>> with Journal.open(Path("audit"), {"settings": 1}) as journal:
    ...     journal.reuse(0, "a.png", "0"), journal.reuse(1, "b.png", "0"), journal.reuse(2, "c.png", "0")
    ...     journal.write(Path("rows.ndjson"))
    ...     Path("rows.ndjson").read_text()
    (True, True, False)
    2
    '{"path":"a.png"}\\n{"path":"b.png"}\\n'
    """

    def __init__(self, file: BinaryIO, header: Header, path: Path) -> None:
        self.header, self.path = header, path
        self._file = file  # only written to: a write moves the place where a buffer that is read from would go on
        self._reader = path.open("rb")
        self._places = array("q")  # where the row of each number is, -1 where there is none yet
        self._hashes, self._offsets = self._index()
        self._end = file.seek(0, os.SEEK_END)

    @classmethod
    def open(cls, folder: Path, header: Header, fresh: tuple[str, ...] = ()) -> Self:
        """Begin an audit in a folder, or take up the one that was begun there with the same header.

        ``fresh`` are names in the header that may differ, such as the time: those of the one begun are kept.

        Raises:
            OutputError: if it cannot be written, was begun with other settings, or another audit is writing there.
        """
        path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror} - choose another folder") from error
        try:
            return cls(file, _begun(file, header, fresh, path), path)
        except BaseException:
            file.close()
            raise

    @property
    def resumes(self) -> bool:
        """Whether there are rows of an earlier run."""
        return len(self._hashes) > 0

    def add(self, number: int, path: str, stamp: str, row: bytes | None) -> None:
        """Write down a row.

        Raises:
            OutputError: if the disk is full, or the like.
        """
        known = json.dumps({"path": path, "stamp": stamp}).encode()
        line = known[:-1] + ROW + (NONE if row is None else row) + b"}\n"
        try:
            written = os.write(self._file.fileno(), line)
            while written < len(line):  # a full disk says so at the second attempt
                written += os.write(self._file.fileno(), line[written:])
        except OSError as error:
            advice = "make room, and run it again: it goes on from here"
            raise OutputError(f"cannot write {self.path}: {error.strerror} - {advice}") from error
        self._place(number, self._end)
        self._end += len(line)

    def reuse(self, number: int, path: str, stamp: str) -> bool:
        """Take the row of an earlier run where the file is as it was; say whether there is one."""
        wanted = _hash(path)
        at = int(np.searchsorted(self._hashes, np.uint64(wanted), side="right")) - 1  # the latest
        while at >= 0 and int(self._hashes[at]) == wanted:
            offset = int(self._offsets[at])
            self._reader.seek(offset)
            known, _ = _split(self._reader.readline())
            if known["path"] == path and known["stamp"] == stamp:
                self._place(number, offset)
                return True
            at -= 1
        return False

    def rows(self) -> Iterator[bytes]:
        """Yield the rows in the order of their numbers, as bytes without an end of line."""
        for place in self._places:
            if place >= 0:
                self._reader.seek(place)
                row = _split(self._reader.readline())[1]
                if row != NONE:
                    yield row

    def write(self, path: Path) -> int:
        """Write the rows in their order as NDJSON, whole or not at all; return how many there are.

        Raises:
            OutputError: if they cannot be written.
        """
        count = 0
        temporary = path.with_name(f"{path.name}.part")
        try:
            with temporary.open("wb") as file:
                for row in self.rows():
                    file.write(row + b"\n")
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"cannot write {path}: {error.strerror} - make room and run it again") from error
        return count

    def remove(self) -> None:
        """Remove the journal: the audit is finished."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._file.close()

    def _place(self, number: int, offset: int) -> None:
        if number >= len(self._places):
            self._places.extend([-1] * (number + 1 - len(self._places)))
        self._places[number] = offset

    def _index(self) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Return hashes of the paths that have rows, sorted, and where those are."""
        hashes, offsets = array("Q"), array("q")
        self._reader.seek(0)
        offset = len(self._reader.readline())
        for line in self._reader:
            hashes.append(_hash(_split(line)[0]["path"]))
            offsets.append(offset)
            offset += len(line)
        sorted_hashes = np.frombuffer(hashes, np.uint64) if hashes else np.empty(0, np.uint64)
        order = np.argsort(sorted_hashes, kind="stable")
        places = np.frombuffer(offsets, np.int64) if offsets else np.empty(0, np.int64)
        return sorted_hashes[order], places[order]


def _begun(file: BinaryIO, header: Header, fresh: tuple[str, ...], path: Path) -> Header:
    """Return the header of the audit in a file, which is locked; write it where there is none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutputError(f"another audit writes {path} - wait for it, or choose another folder") from error
    _drop_torn_line(file)
    file.seek(0)
    line = file.readline()
    if not line:
        file.write(json.dumps(header).encode() + b"\n")
        file.flush()
        return header
    try:
        before: Header = json.loads(line)
        differing = sorted(name for name in {*before, *header} - {*fresh} if before.get(name) != header.get(name))
    except (ValueError, TypeError) as error:
        raise OutputError(f"{path} is no journal of an audit - choose another folder") from error
    if differing and not file.readline():  # nothing was audited yet
        file.truncate(0)
        return _begun(file, header, fresh, path)
    if differing:
        changed = ", ".join(_differences(before, header, differing))
        advice = "run it as before, choose another folder, or delete the journal"
        raise OutputError(f"{path} holds an audit that was begun otherwise ({changed}) - {advice}")
    return before


def _differences(before: Header, header: Header, names: list[str]) -> Iterator[str]:
    for name in names:
        old, new = before.get(name), header.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        else:
            yield name


def _drop_torn_line(file: BinaryIO) -> None:
    size = end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - COPIED)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        file.truncate(end)


def _split(line: bytes) -> tuple[dict[str, str], bytes]:
    known, _, row = line.partition(ROW)
    return json.loads(known + b"}"), row[:-2]


def _hash(path: str) -> int:
    return int.from_bytes(blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest())
