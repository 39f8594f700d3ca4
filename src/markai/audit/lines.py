"""Rows on disk: NDJSON, one JSON object a line, in a form that gives the same bytes for the same rows."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markai.errors import ImageError
from markai.files import write_atomically

Row = Mapping[str, Any]


class Rows:
    """The rows of an NDJSON file, read anew each time they are walked through: an audit of any length fits in memory.

    >>> from pathlib import Path
    >>> write_rows(Path("rows.ndjson"), [{"path": "a.png"}, {"path": "b.png"}])
    >>> rows = Rows(Path("rows.ndjson"))
    >>> [row["path"] for row in rows], [row["path"] for row in rows]
    (['a.png', 'b.png'], ['a.png', 'b.png'])

    Raises:
        ImageError: while walking, if the file cannot be read or a line of it is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _row(line, self.path, number)
        except OSError as error:
            raise ImageError(f"cannot read {self.path}: {error.strerror} - check the path") from error


def _row(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise ImageError(f"line {number} of {path} is not a row of an audit - it was cut or changed; audit again")
    return row


def plain(value: Any) -> Any:
    """Return what JSON can hold: it knows neither NaN nor infinity, so both become null.

    >>> plain({"p": float("nan"), "at": (1, 2)})
    {'p': None, 'at': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def line(row: Row) -> bytes:
    """Return a row as its line, keys in the row's own order.

    >>> line({"path": "사진.png", "bytes": 7})
    b'{"path":"\\xec\\x82\\xac\\xec\\xa7\\x84.png","bytes":7}\\n'
    """
    return encoded(row) + b"\n"


def encoded(value: Any, indent: int | None = None) -> bytes:
    r"""Return JSON in UTF-8. Names on disk that are not UTF-8, lone surrogates to Python, are spelled out.

    >>> encoded({"path": "a\udcff"})
    b'{"path":"a\\udcff"}'
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent, separators=separators, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # which is how JSON writes them as well


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as NDJSON, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    write_atomically(path, b"".join(map(line, rows)))


def digest(rows: Iterable[Row]) -> str:
    """Return the SHA-256 of the rows as NDJSON, in hex: that of the file that :func:`write_rows` writes.

    >>> digest([])[:8]
    'e3b0c442'
    """
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(line(row))
    return hashed.hexdigest()


def document(audit: Row) -> bytes:
    """Return the whole audit as one JSON object, its rows in a list."""
    whole = {key: list(value) if key == "rows" else value for key, value in audit.items()}
    return encoded(whole, indent=1) + b"\n"
