"""Picture files on disk: finding them, and writing so that nothing half-written is ever left behind."""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from markai.errors import ImageError, OutputError

# What a name promises. HEIF and JPEG XL cannot be read, but to pass them over would skip pictures silently.
SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "TGA": (".tga",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG XL": (".jxl",),
}
TEMPORARY = ".markai-"  # how the name of a file begins that is not whole yet
LONGEST_NAME = 255  # bytes, of every common file system
FORMAT_OF = {suffix: name for name, suffixes in SUFFIXES.items() for suffix in suffixes}


@dataclass(frozen=True, slots=True)
class Source:
    """A picture to work on, and its place ``relative`` to the directory that it was found in.

    ``error`` is set where a directory could not be listed: it stands for the pictures that may be in there.
    """

    path: Path
    relative: Path
    error: str | None = None


def find_pictures(inputs: Iterable[Path], *, recursive: bool = False, leave_out: Path | None = None) -> list[Source]:
    """Return the files among ``inputs`` as they are, and the pictures in the directories, sorted by name.

    In a directory a picture is what has a picture's suffix; hidden names are passed over, links to
    directories are not followed, and ``leave_out``, where the results go, is not taken for input.

    Raises:
        ImageError: if there are none at all.
    """
    inputs, out = list(inputs), None if leave_out is None else os.path.realpath(leave_out)
    found: dict[Source, None] = {}  # in order, and a file that is named twice once
    for path in inputs:
        found.update(dict.fromkeys(_walk(path, recursive, out) if is_directory(path) else [_single(path)]))
    if not found:
        hint = "" if recursive else "; -r also looks into the directories below"
        raise ImageError(f"no pictures in {', '.join(map(str, inputs))} - they are known by their suffix{hint}")
    return list(found)


def _single(path: Path) -> Source:
    return Source(path, Path(path.name))


def _walk(root: Path, recursive: bool, leave_out: str | None) -> Iterator[Source]:
    failures: list[OSError] = []
    for folder, below, names in os.walk(root, onerror=failures.append):
        here = Path(folder)
        below[:] = sorted(name for name in below if recursive and not name.startswith("."))
        below[:] = [name for name in below if os.path.realpath(here / name) != leave_out]
        for name in sorted(names):
            path = here / name
            if path.suffix.lower() in FORMAT_OF and not name.startswith("."):
                yield Source(path, path.relative_to(root))
    for failure in failures:
        yield Source(Path(failure.filename), Path(), f"the directory cannot be listed: {failure.strerror}")


def is_directory(path: Path) -> bool:
    """Whether this is a directory; of what cannot be looked at, reading it will say why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def destinations(sources: Iterable[Source], directory: Path) -> dict[Source, Path]:
    """Return where each result goes in ``directory``, which mirrors the tree that the sources were found in.

    Raises:
        OutputError: if two results would be the same file.
    """
    taken: dict[Path, Path] = {}
    targets = {}
    for source in sources:
        target = targets[source] = directory / source.relative
        other = source.path if source.error else taken.setdefault(target, source.path)
        if other != source.path:
            raise OutputError(f"{other} and {source.path} would both become {target} - give them different outputs")
    return targets


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same existing file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def read_picture(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file; one byte more than ``limit`` where there are more.

    Raises:
        ImageError: if it cannot be read.
    """
    try:
        # Before opening: to open a named pipe is to wait for its writer, and /dev/zero never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, "it is a directory or a device, not a file")
        with path.open("rb") as file:
            return file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror} - check the path") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, through a new name beside it; missing directories are made.

    A link is followed, and a file that is replaced keeps its permissions.

    Raises:
        OutputError: if it cannot be written; what was there is still there, and nothing else.
    """
    with staged(path, data):
        pass


@contextmanager
def staged(path: Path, data: bytes) -> Iterator[None]:
    """Write a file beside its name, run the block, and give it its name: not if the block raises.

    What the block does comes after the data is on the disk and before anybody can see the file. A process that is
    killed leaves a file of another name (``.markai-*.tmp``) at most: see :func:`leftovers`.

    Raises:
        OutputError: if it cannot be written; what was there is still there, and nothing else.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(_temporary(target.name))
    with _output_errors(path):
        mode = stat.S_IMODE(_replaceable(target).st_mode) if target.exists() else None
        target.parent.mkdir(parents=True, exist_ok=True)
    handle = -1
    try:
        with _output_errors(path):
            handle = _write_new(temporary, data, mode)
        yield
        with _output_errors(path):
            temporary.replace(target)
    finally:  # also on Ctrl-C
        temporary.unlink(missing_ok=True)
        if handle >= 0:
            os.close(handle)


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "nothing was changed; check the path, its permissions and the free space"
        reason = "its directory is a file" if isinstance(error, FileExistsError) else error.strerror
        raise OutputError(f"cannot write {path}: {reason} - {advice}") from error


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a killed process left of a file that it wrote, the name that this was to get, and its age in seconds."""

    path: Path
    name: str | None
    age: float


def leftovers(directory: Path) -> list[Leftover]:
    """Return what killed processes left in a directory; who writes holds a lock, so that nothing is of the living.

    What is younger than a second or so may belong to somebody who has not locked it yet.
    """
    found = []
    for path in sorted(directory.glob(f"{TEMPORARY}*.tmp")):
        with suppress(OSError):  # in use, or gone meanwhile
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                name = path.name.removeprefix(TEMPORARY).removesuffix(".tmp").partition("-")[2]
                found.append(Leftover(path, name or None, time.time() - os.fstat(handle).st_mtime))
            finally:
                os.close(handle)
    return found


def remove_leftovers(directory: Path, age: float = 60.0) -> int:
    """Remove the leftovers that are at least ``age`` seconds old, and return how many there were."""
    old = [each.path for each in leftovers(directory) if each.age >= age]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _temporary(name: str) -> str:
    """Return a new name that tells the file's own, where it is short enough."""
    token = secrets.token_hex(8)
    told = f"{TEMPORARY}{token}-{name}.tmp"
    return told if len(os.fsencode(told)) <= LONGEST_NAME else f"{TEMPORARY}{token}.tmp"


def _replaceable(target: Path) -> os.stat_result:
    status = target.stat()
    if not stat.S_ISREG(status.st_mode):  # a rename over /dev/null would remove the device
        raise OSError(errno.EINVAL, "it is a directory or a device, not a file")
    return status


def _write_new(path: Path, data: bytes, mode: int | None) -> int:
    """Write a new file to the disk and return its handle, which holds a lock while it is open."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if mode is not None:
            os.fchmod(handle, mode)
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(handle)
    except BaseException:
        os.close(handle)
        raise
    return handle
