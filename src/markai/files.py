"""Picture files on disk: finding them, and writing so that nothing half-written is ever left behind."""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
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
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".markai-{secrets.token_hex(8)}.tmp")
    try:
        mode = stat.S_IMODE(_replaceable(target).st_mode) if target.exists() else None
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(temporary, data, mode)
            temporary.replace(target)
        finally:  # also on Ctrl-C
            temporary.unlink(missing_ok=True)
    except OSError as error:
        advice = "nothing was changed; check the path, its permissions and the free space"
        reason = "its directory is a file" if isinstance(error, FileExistsError) else error.strerror
        raise OutputError(f"cannot write {path}: {reason} - {advice}") from error


def _replaceable(target: Path) -> os.stat_result:
    status = target.stat()
    if not stat.S_ISREG(status.st_mode):  # a rename over /dev/null would remove the device
        raise OSError(errno.EINVAL, "it is a directory or a device, not a file")
    return status


def _write_new(path: Path, data: bytes, mode: int | None) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(handle, "wb") as file:
        if mode is not None:
            os.fchmod(handle, mode)
        file.write(data)
        file.flush()
        os.fsync(handle)
