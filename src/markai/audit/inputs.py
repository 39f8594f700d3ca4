"""What an audit looks at: files, folders, lists of paths, members of archives; in the same order each time, lazily."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from markai.audit import archives
from markai.audit.globs import matches
from markai.errors import ImageError

IGNORE_FILE = ".markaiignore"
MAX_IGNORE_BYTES = 1 << 20
MAX_PATH_BYTES = 1 << 16  # of a line in a list of paths; longer ones are no paths
BLOCK = 1 << 16


class Problem(NamedTuple):
    """Why a file cannot be examined: the status of its row, and a sentence."""

    status: str
    error: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to audit: the ``path`` that its row shows, the ``file`` on disk, and the ``member`` of an archive.

    ``asked`` says that the user named it, so that it has a row whatever it is. With a ``problem`` there is nothing
    left to examine.
    """

    path: str
    file: str
    member: int | None = None
    asked: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which files are taken.

    ``include`` and ``exclude`` are patterns (see :mod:`markai.audit.globs`) of paths below what was named; files that
    are named themselves are always taken. Hidden names are passed over unless ``hidden``, and so is what a
    ``.markaiignore`` lists unless ``ignore_files`` is off. With ``every``, kinds of files that cannot be examined have
    a row as well. ``leave_out`` is a folder that is passed over: the one that results go to.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    ignore_files: bool = True
    every: bool = False
    leave_out: str | None = None
    limits: archives.Limits = field(default_factory=archives.Limits)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON, without ``leave_out``, which changes no row."""
        names = ("include", "exclude", "hidden", "ignore_files", "every")
        plain = {name: getattr(self, name) for name in names}
        return {name: list(each) if isinstance(each, tuple) else each for name, each in plain.items()}

    def takes(self, path: str) -> bool:
        """Say whether a file below a folder or in an archive is taken, by its path relative to that, from a slash."""
        included = not self.include or any(matches(path, each) for each in self.include)
        return included and not self.drops(path)

    def drops(self, path: str) -> bool:
        """Say whether a pattern leaves out a file, or a folder with all that is below it."""
        return any(matches(path, each) or matches(f"{path}/", each) for each in self.exclude)


class _Ignored(NamedTuple):
    """What an ignore file says of the paths below its folder, ``base``."""

    base: str
    lines: tuple[str, ...]

    def says(self, path: str, folder: bool) -> bool | None:
        """Return whether it ignores a path, the last line that fits deciding; None where none fits."""
        relative = path.removeprefix(self.base) + "/" * folder
        answer = None
        for line in self.lines:
            pattern = line.removeprefix("!")
            anchored = "/" in pattern.rstrip("/") and not pattern.startswith("/")  # as in other ignore files
            pattern = "/" * anchored + pattern
            if matches(relative, pattern) or (folder and matches(relative, f"{pattern}/")):
                answer = not line.startswith("!")
        return answer


def find(inputs: Iterable[str | os.PathLike[str]], selection: Selection | None = None) -> Iterator[Item]:
    """Yield what is to be audited: inputs in their order, folders with all that is below them, sorted by name.

    Nothing that is found wrong raises: it is an item with a ``problem``. Links to folders are not followed, but one
    that is named itself is. Archives (``.zip``) are walked through as if they were folders.

    >>> folder = Path("pictures")
    >>> (folder / "raw").mkdir(parents=True)
    >>> for name in ("b.png", "a.png", "raw/c.png", ".hidden.png"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [item.path for item in find([folder])]
    ['pictures/a.png', 'pictures/b.png', 'pictures/raw/c.png']
    >>> [item.path for item in find([folder], Selection(exclude=("raw/",)))]
    ['pictures/a.png', 'pictures/b.png']
    """
    selection = selection or Selection()
    for given in inputs:
        path = os.fspath(given)
        try:
            folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  # a Path would drop "./" and double slashes
        except (OSError, ValueError):  # whoever reads it says why; ValueError: a null byte
            folder = False
        if folder:
            yield from _walk(path.rstrip("/") or "/", selection)
        else:
            yield from _opened(Item(path, path, asked=True), selection, "")


def without_nested(inputs: Iterable[str]) -> list[str]:
    """Return paths without those that another of them holds, which would be audited twice.

    >>> without_nested(["out", "out/a.png", "output", "./out"])
    ['out', 'output']
    """
    given = list(dict.fromkeys(inputs))
    plain = [os.path.normpath(each) for each in given]
    kept: dict[str, str] = {}
    for name, path in zip(plain, given, strict=True):
        parents = {str(each) for each in Path(name).parents}
        if not parents & {each for each in plain if each != "."} and not (name != "." and "." in plain and parents):
            kept.setdefault(name, path)
    return list(kept.values())


def paths_in(file: BinaryIO) -> Iterator[str]:
    """Yield the paths in a list, a line each, or with NUL after each where the list holds any; empty ones left out.

    >>> import io
    >>> list(paths_in(io.BytesIO(b"a.png\\nb c.png\\n"))), list(paths_in(io.BytesIO(b"a\\nb.png\\0c.png\\0")))
    (['a.png', 'b c.png'], ['a\\nb.png', 'c.png'])

    Raises:
        ImageError: if something between two ends is too long for a path.
    """
    block = file.read(BLOCK)
    end = b"\0" if b"\0" in block else b"\n"
    rest = b""
    while block:
        *whole, rest = (rest + block).split(end)
        if len(rest) > MAX_PATH_BYTES:
            raise ImageError(f"the list of files has a path of more than {MAX_PATH_BYTES:,} bytes - give a path a line")
        yield from (os.fsdecode(each) for each in whole if each.strip(b"\r"))
        block = file.read(BLOCK)
    if rest.strip(b"\r"):
        yield os.fsdecode(rest)


def _walk(root: str, selection: Selection) -> Iterator[Item]:
    """Walk through a folder. What is still to do is a list and not the call stack: folders may be nested deeply."""
    base = "" if root == "/" else root
    waiting: list[tuple[str, tuple[_Ignored, ...]]] = [(root, ())]
    while waiting:
        folder, ignored = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda each: each.name)
        except OSError as error:
            yield _bad(folder, "unreadable", f"the folder cannot be listed: {error.strerror} - check its permissions")
            continue
        if selection.ignore_files:
            ignored = (*ignored, *_ignore_file(folder))
        below: list[tuple[str, tuple[_Ignored, ...]]] = []
        for entry in entries:
            path = f"{'' if folder == '/' else folder}/{entry.name}"
            relative = path.removeprefix(base)
            is_folder = _is_folder(entry)
            if _passed_over(entry.name, path, relative, is_folder, ignored, selection):
                continue
            if is_folder and not entry.is_symlink():
                below.append((path, ignored))
            elif is_folder:
                yield _bad(path, "skipped", "a link to a folder is not followed - name it to have it audited")
            else:
                yield from _opened(Item(path, path), selection, relative)
        waiting += reversed(below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle: reading it says so
        return False


def _passed_over(
    name: str, path: str, relative: str, folder: bool, ignored: tuple[_Ignored, ...], selection: Selection
) -> bool:
    if name.startswith(".") and not selection.hidden:
        return True
    verdicts = [said for each in ignored if (said := each.says(path, folder)) is not None]
    if (verdicts and verdicts[-1]) or (folder and selection.drops(relative)):
        return True
    return folder and selection.leave_out is not None and os.path.realpath(path) == selection.leave_out


def _ignore_file(folder: str) -> list[_Ignored]:
    try:
        with open(f"{folder}/{IGNORE_FILE}", "rb") as file:  # noqa: PTH123
            data = file.read(MAX_IGNORE_BYTES)
    except OSError:
        return []
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    return [_Ignored("" if folder == "/" else folder, tuple(each for each in lines if each and each[0] != "#"))]


def _opened(item: Item, selection: Selection, relative: str) -> Iterator[Item]:
    """Yield a file, or the members of an archive."""
    if not archives.is_archive(item.file):
        if item.asked or selection.takes(relative):
            yield item
    elif item.asked or not selection.drops(relative):
        yield from _members(item, selection)


def _members(item: Item, selection: Selection) -> Iterator[Item]:
    for member in archives.members(item.file, selection.limits):
        if member.name is None:
            yield _bad(item.path, member.status, member.error)
            continue
        hidden = any(part.startswith(".") and part.strip(".") for part in member.name.split("/"))
        if (hidden or "__MACOSX" in member.name.split("/")) and not selection.hidden:
            continue
        if selection.takes("/" + member.name.lstrip("/")):
            problem = Problem(member.status, member.error) if member.error else None
            yield Item(f"{item.path}{archives.INSIDE}{member.name}", item.file, member.place, problem=problem)


def _bad(path: str, status: str, error: str) -> Item:
    return Item(path, path, problem=Problem(status, error))
