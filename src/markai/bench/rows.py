"""Results on disk: JSON lines that are only ever appended, so that a killed run loses what it had in hand, no more."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from markai.errors import OutputError
from markai.files import write_atomically

Row = dict[str, Any]
Id = tuple[str, str, str, str, int]  # kind, method, picture or text, attack, seed


def id_of(row: Row) -> Id:
    """Return what a row is about; a file holds each id once.

    >>> id_of({"kind": "attack", "method": "dwt-dct", "picture": "a.png", "attack": "jpeg:50", "seed": 1})
    ('attack', 'dwt-dct', 'a.png', 'jpeg:50', 1)
    """
    source = row.get("picture") or row.get("text", "")
    return row["kind"], row.get("method", ""), source, row.get("attack", ""), row.get("seed", 0)


def read(path: Path) -> tuple[Row, list[Row]]:
    """Return the header and the rows of a file, whatever is left of a torn last line passed over.

    Raises:
        OutputError: if the file is missing or is not one of ours.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was never finished
        header, *rows = (json.loads(line) for line in lines)
        if header["kind"] != "run":
            raise ValueError("the first line is no header")
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror} - run the benchmark first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path} is not a file of benchmark rows ({error}) - choose another --out") from error
    return header, rows


def append(path: Path, row: Row) -> None:
    """Add one row, in one write, which the system does not mix with those of other processes."""
    line = json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


@contextmanager
def opened(path: Path, header: Row, *, retry_errors: bool = False) -> Iterator[dict[Id, Row]]:
    """Begin or take up a run; yield the rows that are there already. No other run may write meanwhile.

    Raises:
        OutputError: if the file holds a run with another header, or another process is at work on it.
    """
    if not path.exists() or not path.stat().st_size:
        write_atomically(path, (json.dumps(header) + "\n").encode())
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"another run writes {path} - wait for it, or choose another --out") from error
        before, rows = read(path)
        _check_same(before, header, path)
        kept = [row for row in rows if not (retry_errors and "error" in row)]
        _drop_torn_line(path)
        if len(kept) < len(rows):
            _rewrite(path, [before, *kept])
        yield {id_of(row): row for row in kept}


def _check_same(before: Row, header: Row, path: Path) -> None:
    """Rows of other settings or other code must not end up in one table."""
    for name in ("settings", "versions"):
        if before.get(name) != header[name]:
            old, new = before.get(name) or {}, header[name]
            changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            raise OutputError(
                f"{path} holds a run with other {name} ({', '.join(changed)}) - choose another --out, or delete it"
            )


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _rewrite(path: Path, rows: list[Row]) -> None:
    """Replace the content in place: a new file would not be the one that is locked."""
    content = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
    write_atomically(path.with_suffix(".backup"), path.read_bytes())
    path.write_bytes(content)
    path.with_suffix(".backup").unlink()
