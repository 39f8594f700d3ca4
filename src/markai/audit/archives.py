"""ZIP archives as folders: their members, one by one, within bounds on number, size and ratio; nothing is unpacked."""

import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from markai.errors import ImageError

INSIDE = "!/"  # between the path of an archive and the name of a member
SUFFIX = ".zip"
NESTED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
ENCRYPTED = 1  # a bit of a member's flags
END, END_BYTES, COMMENT_BYTES = b"PK\5\6", 22, 65535
LOCATOR, LOCATOR_BYTES = b"PK\6\7", 20
FAILURES = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is read at most: of a file or a member, of all members of an archive together, and how many of them.

    A member of more than ``ratio_bytes`` that is packed to less than 1 / ``ratio`` of that is a bomb.
    """

    file_bytes: int = 1 << 30
    archive_bytes: int = 64 << 30
    members: int = 100_000
    directory_bytes: int = 32 << 20  # the list of members, which is held in memory
    ratio: int = 200
    ratio_bytes: int = 16 << 20

    def to_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Member(NamedTuple):
    """A member of an archive by its name and its place in the list; with an ``error`` it cannot be examined.

    Without a name the error is that of the archive.
    """

    name: str | None
    place: int
    status: str = "unreadable"
    error: str = ""


def is_archive(path: str) -> bool:
    """Say whether a file is looked into, which its name decides: documents of many kinds are ZIP files as well.

    >>> is_archive("export.ZIP"), is_archive("letter.docx")
    (True, False)
    """
    return path.lower().endswith(SUFFIX)


def members(path: str, limits: Limits | None = None) -> Iterator[Member]:
    """Yield the members of an archive in their order, folders left out; what is wrong is a member with an error.

    >>> with zipfile.ZipFile("a.zip", "w") as archive:
    ...     archive.writestr("x.png", b"...")
    ...     archive.writestr("inner.zip", b"...")
    >>> [(each.name, each.status if each.error else "") for each in members("a.zip")]
    [('x.png', ''), ('inner.zip', 'skipped')]
    """
    limits = limits or Limits()
    try:
        with open_archive(path, limits) as archive:
            listed = archive.infolist()
    except ImageError as error:
        yield Member(None, 0, "too large", str(error))
        return
    except FAILURES as error:
        yield Member(None, 0, "unreadable", f"the archive cannot be read: {_reason(error)} - make it anew")
        return
    last = {info.filename: index for index, info in enumerate(listed)}
    seen: Counter[str] = Counter()
    count = total = 0
    for index, info in enumerate(listed):
        if info.is_dir():
            continue
        count += 1
        if count > limits.members:
            yield Member(None, 0, "too large", f"the archive has more than {limits.members:,} members - split it")
            return
        total += info.file_size
        status, problem = _problem(info, total, limits)
        name = info.filename
        if last[name] != index:
            seen[name] += 1
            name = f"{name} (copy {seen[name]}, hidden by a later one)"
            status, problem = "skipped", "the archive holds several members of this name; only the last is unpacked"
        yield Member(name, index, status, problem)


def open_archive(path: str, limits: Limits) -> zipfile.ZipFile:
    """Open an archive whose list of members is not too long.

    Raises:
        ImageError: if it is.
        OSError, zipfile.BadZipFile and others (``FAILURES``): if it cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123  # strings are what millions of items hold
        size = _directory_bytes(file)
    if size > limits.directory_bytes:
        raise ImageError(f"the archive's list of members has more than {limits.directory_bytes:,} bytes - split it")
    return zipfile.ZipFile(path)


def read(archive: zipfile.ZipFile, index: int, most: int) -> bytes:
    """Return the bytes of a member, one more than ``most`` where there are more, whatever its header claims.

    Raises:
        zipfile.BadZipFile and others (``FAILURES``): if it cannot be read.
    """
    with archive.open(archive.infolist()[index]) as member:
        return member.read(most + 1)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _problem(info: zipfile.ZipInfo, total: int, limits: Limits) -> tuple[str, str]:
    if info.flag_bits & ENCRYPTED:
        return "unreadable", "the member is encrypted - unpack it and audit it by itself"
    if info.filename.lower().endswith(NESTED):
        return "skipped", "archives in archives are not opened - unpack it and audit it by itself"
    if info.file_size > limits.file_bytes:
        return "too large", f"the member has {info.file_size:,} bytes, and {limits.file_bytes:,} are read at most"
    if info.file_size > limits.ratio_bytes and info.file_size > limits.ratio * max(1, info.compress_size):
        return "too large", f"the member is packed to less than 1/{limits.ratio} of its size, as archive bombs are"
    if total > limits.archive_bytes:
        return "too large", f"the archive unpacks to more than {limits.archive_bytes:,} bytes - split it"
    return "", ""


def _directory_bytes(file: BinaryIO) -> int:
    """Return how long the list of members claims to be: it is read into memory as a whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END_BYTES - COMMENT_BYTES - LOCATOR_BYTES))
    tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + END_BYTES:
        return 0  # no archive, as whoever opens it will find out
    claimed = int(struct.unpack_from("<I", tail, at + 12)[0])
    if tail[max(0, at - LOCATOR_BYTES) :].startswith(LOCATOR):  # ZIP64
        (place,) = struct.unpack_from("<Q", tail, at - LOCATOR_BYTES + 8)
        file.seek(min(place, size))
        record = file.read(56)
        claimed = int(struct.unpack_from("<Q", record, 40)[0]) if len(record) == 56 else claimed
    return min(claimed, size)
