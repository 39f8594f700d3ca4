"""Reads what is audited: whole, within limits, and the same from the first byte to the last; else it says why not."""

import os
import stat
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import markai.provenance.media as media
from markai.audit import archives
from markai.audit.archives import INSIDE, Limits
from markai.audit.inputs import Item
from markai.files import FORMAT_OF

SKIPPED = "this kind of file holds nothing that an audit could read"
# Pictures that have no signature of their own, by the format that their suffix promises.
PICTURE_TYPES = {
    "PPM": "image/x-portable-anymap",
    "TGA": "image/x-tga",
    "JPEG2000": "image/jp2",
    "JPEG XL": "image/jxl",
}
EXAMINED = ("image/", "audio/", "video/", "text/")
DOCUMENTS = {"application/pdf"}


class Unusable(Exception):
    """Why there is nothing to examine: the status of the row, and a sentence."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, its media type, and the path beside which a manifest may lie."""

    data: bytes
    mime: str
    origin: Path | None


def stamp(item: Item) -> str:
    """Return what changes when a file is written to: of a file the manifests beside it belong to it.

    The time of change is of the inode: no program can set it back, as it can the time of modification.
    """
    if item.problem is not None:
        return item.problem.status
    files = [item.file]
    if item.member is None:
        files += [os.fspath(each) for each in media.sidecar_paths(Path(item.file)) if item.file != os.fspath(each)]
    return " ".join(_stamp_of(each) for each in files)


def _stamp_of(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return "-"
    return f"{found.st_size}:{found.st_ctime_ns}:{found.st_ino}"


def is_examined(mime: str) -> bool:
    """Say whether an audit can find anything in a kind of file.

    >>> is_examined("image/png"), is_examined("application/zip")
    (True, False)
    """
    return mime.startswith(EXAMINED) or mime in DOCUMENTS


def media_type(head: bytes, name: str) -> str:
    """Return the media type of a file by how it begins, else by its name.

    >>> media_type(b"GIF89a", "a.bin"), media_type(b"P6 1 1 255", "a.ppm"), media_type(b"", "a.png")
    ('image/gif', 'image/x-portable-anymap', 'image/png')
    """
    path = Path(name.rpartition("/")[2])
    found = media.media_type(head, path=path)
    promised = FORMAT_OF.get(path.suffix.lower())
    if found == media.UNKNOWN and promised:
        return PICTURE_TYPES.get(promised, f"image/{promised.lower()}")
    return found


class Reader:
    """Reads items. It keeps the last archive open, whose members come one after the other."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._archive: tuple[str, str, zipfile.ZipFile] | None = None

    def read(self, item: Item, *, every: bool) -> Content | None:
        """Return the content of a file; None where it is of a kind that was not asked for.

        Raises:
            Unusable: if it cannot be read, is too large, changed meanwhile, or cannot be examined.
        """
        data = self._member(item) if item.member is not None else self._file(item, every)
        if data is None:
            return None
        mime = media_type(data[: media.HEAD_BYTES], item.path)
        if is_examined(mime):
            return Content(data, mime, Path(item.file) if item.member is None else None)
        if item.asked or every:
            raise Unusable("skipped", f"{SKIPPED} ({mime})")
        return None

    def _file(self, item: Item, every: bool) -> bytes | None:
        try:
            return self._checked(item, every)
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise Unusable("unreadable", f"cannot be read: {reason} - check the path and its permissions") from None

    def _checked(self, item: Item, every: bool) -> bytes | None:
        # Before opening: to open a named pipe is to wait for its writer, and /dev/zero never ends.
        if not stat.S_ISREG(os.stat(item.file).st_mode):  # noqa: PTH116
            raise Unusable("unreadable", "it is a device, a pipe or a socket, not a file - leave it out")
        with open(item.file, "rb") as file:  # noqa: PTH123
            before = os.fstat(file.fileno())
            head = file.read(media.HEAD_BYTES)
            if not (item.asked or every or is_examined(media_type(head, item.file))):
                return None
            if before.st_size > self.limits.file_bytes:
                sizes = f"{before.st_size:,} bytes, and {self.limits.file_bytes:,} are read at most"
                raise Unusable("too large", f"the file has {sizes}")
            if not is_examined(media_type(head, item.file)):
                return head
            data = head + file.read(max(0, before.st_size - len(head)) + 1)
            after, named = os.fstat(file.fileno()), os.stat(item.file)  # noqa: PTH116
        if len(data) != before.st_size or not _same(before, after) or not _same(before, named):
            raise Unusable("changed", "the file was written to while it was read - audit it again")
        return data

    def _member(self, item: Item) -> bytes:
        assert item.member is not None
        try:
            data = archives.read(self._opened(item), item.member, self.limits.file_bytes)
        except archives.FAILURES as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
            raise Unusable("unreadable", f"the member cannot be unpacked: {reason} - make the archive anew") from None
        if len(data) > self.limits.file_bytes:
            raise Unusable("too large", f"the member has more than {self.limits.file_bytes:,} bytes")
        return data

    def _opened(self, item: Item) -> zipfile.ZipFile:
        """Return the archive of a member, opened anew where it was replaced."""
        now = _stamp_of(item.file)
        if self._archive is None or self._archive[:2] != (item.file, now):
            self.close()
            self._archive = (item.file, now, archives.open_archive(item.file, self.limits))
        archive, name = self._archive[2], item.path.partition(INSIDE)[2]
        listed = archive.infolist()
        assert item.member is not None
        if item.member >= len(listed) or not item.path.endswith(INSIDE + listed[item.member].filename):
            raise Unusable("changed", f"the archive was replaced meanwhile, and {name!r} is elsewhere - audit it again")
        return archive

    def close(self) -> None:
        """Close the archive that is open."""
        if self._archive is not None:
            with suppress(OSError):
                self._archive[2].close()
            self._archive = None


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)
