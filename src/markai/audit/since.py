"""An earlier audit as a store of rows by the content of files, so that what did not change is not examined again."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import markai.provenance.media as media
from markai.audit.lines import Rows
from markai.errors import OutputError

Row = dict[str, Any]

DIGEST = re.compile(
    rb'"sha256":"([0-9a-f]{64})"'
)  # of the file itself: it stands first, and quotes in names are escaped
OF_THE_PATH = ("path", "rules", "policy")  # what of a row is not of the content


class Earlier:
    """The rows of an earlier audit, found by SHA-256: 16 bytes of memory a row, shared among processes.

    ``rows`` is the NDJSON file, ``index`` the file that :meth:`build` wrote.

    >>> from markai.audit.lines import write_rows
    >>> digest = "ab" * 32
    >>> write_rows(Path("rows.ndjson"), [{"path": "a.txt", "status": "ok", "sha256": digest, "type": "text/plain"}])
    >>> earlier = Earlier.build(Path("rows.ndjson"), Path("index.npy"))
    >>> earlier.row(digest, "text/plain", None)["status"], earlier.row(digest, "text/html", None)
    ('ok', None)
    >>> earlier.close()

    Raises:
        OutputError: if the files cannot be read.
    """

    def __init__(self, rows: Path, index: Path) -> None:
        self.rows, self.index = rows, index
        try:
            self._index: NDArray[np.uint64] = np.load(index, mmap_mode="r")
            self._file = rows.open("rb")
        except (OSError, ValueError) as error:
            raise OutputError(
                f"cannot read the earlier audit {rows}: {error} - name the folder of a whole one"
            ) from None

    @classmethod
    def build(cls, rows: Path, index: Path) -> Self:
        """Index the rows of an earlier audit.

        Raises:
            OutputError: if they cannot be read, or the index cannot be written.
        """
        try:
            pairs = np.fromiter((number for pair in _digests(rows) for number in pair), np.uint64).reshape(-1, 2)
            np.save(index, pairs[np.argsort(pairs[:, 0], kind="stable")])
        except OSError as error:
            raise OutputError(f"cannot read the earlier audit {rows}: {error.strerror} - check the path") from None
        return cls(rows, index)

    def row(self, digest: str, mime: str, origin: Path | None) -> Row | None:
        """Return what an earlier audit found in the same content, without what depends on the path.

        It is None where that is not certain to be found again: another type, a manifest beside the file, then or now,
        and a certificate that has expired since.
        """
        if origin is not None and any(each.exists() for each in media.sidecar_paths(origin)):
            return None
        start = int(np.searchsorted(self._index[:, 0], np.uint64(int(digest[:16], 16))))
        if start == len(self._index) or int(self._index[start, 0]) != int(digest[:16], 16):
            return None
        self._file.seek(int(self._index[start, 1]))
        row = json.loads(self._file.readline())
        same = row.get("sha256") == digest and row.get("type") == mime and row.get("status") == "ok"
        if not same or _may_differ(row):
            return None
        return {name: value for name, value in row.items() if name not in OF_THE_PATH}

    def close(self) -> None:
        """Close the file of rows."""
        self._file.close()


def _digests(rows: Path) -> Iterator[tuple[int, int]]:
    offset = 0
    with rows.open("rb") as file:
        for line in file:
            found = DIGEST.search(line)
            if found:
                yield int(found[1][:16], 16), offset
            offset += len(line)


def _may_differ(row: Mapping[str, Any]) -> bool:
    manifest = row.get("manifest") or {}
    if manifest.get("status") not in ("none", "unsupported") and not manifest.get("embedded", True):
        return True
    expires = (manifest.get("signer") or {}).get("not_after")
    return expires is not None and dt.datetime.fromisoformat(expires) < dt.datetime.now(dt.UTC)


def rows_of(folder: Path) -> Rows:
    """Return the rows of a finished audit.

    Raises:
        OutputError: if there is none in that folder.
    """
    if not (folder / "rows.ndjson").is_file():
        raise OutputError(f"{folder} holds no finished audit - name a folder that an audit was written to with -o")
    return Rows(folder / "rows.ndjson")
