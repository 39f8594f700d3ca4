"""Pictures are found in order, and nothing half-written is ever left."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from markai.errors import ImageError, OutputError
from markai.files import (
    FORMAT_OF,
    Source,
    destinations,
    find_pictures,
    leftovers,
    read_picture,
    remove_leftovers,
    staged,
    write_atomically,
)
from markai.image_files import FORMATS


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def relatives(sources: list[Source]) -> list[str]:
    return [str(source.relative) for source in sources]


def test_every_format_that_is_read_has_a_suffix() -> None:
    assert set(FORMATS) <= set(FORMAT_OF.values())


def test_a_walk_finds_pictures_sorted_and_leaves_out_the_rest(tmp_path: Path) -> None:
    names = ["b.PNG", "a.jpg", "notes.txt", ".hidden.png", ".git/x.png", "sub/c.webp", "sub/deep/d.heic", "out/a.jpg"]
    touch(*(tmp_path / name for name in names))
    assert relatives(find_pictures([tmp_path])) == ["a.jpg", "b.PNG"]
    found = find_pictures([tmp_path], recursive=True, leave_out=tmp_path / "out")
    assert relatives(found) == ["a.jpg", "b.PNG", "sub/c.webp", "sub/deep/d.heic"]


def test_a_named_file_is_taken_whatever_it_is_called_and_only_once(tmp_path: Path) -> None:
    touch(tmp_path / "picture")
    assert relatives(find_pictures([tmp_path / "picture"] * 2)) == ["picture"]


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures"):
        find_pictures([tmp_path], recursive=True)


def test_link_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "loop.png").symlink_to("loop.png")
    found = find_pictures([tmp_path], recursive=True)
    assert relatives(found) == ["a.png", "loop.png"]
    with pytest.raises(ImageError, match="symbolic links"):
        read_picture(found[1].path, 10)


def test_a_directory_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.png", tmp_path / "closed" / "b.png")
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    _, closed = find_pictures([tmp_path], recursive=True)
    assert closed.path == tmp_path / "closed"
    assert closed.error == "the directory cannot be listed: Permission denied"
    also = Source(tmp_path / "too", Path(), "closed as well")
    assert set(destinations([closed, also], tmp_path)) == {closed, also}


def test_destinations_mirror_the_tree_and_refuse_collisions(tmp_path: Path) -> None:
    touch(tmp_path / "one/sub/a.png", tmp_path / "two/sub/a.png")
    (first,) = find_pictures([tmp_path / "one"], recursive=True)
    assert destinations([first], Path("out")) == {first: Path("out/sub/a.png")}
    both = find_pictures([tmp_path / "one", tmp_path / "two"], recursive=True)
    with pytest.raises(OutputError, match=r"would both become out/sub/a\.png"):
        destinations(both, Path("out"))


def test_a_file_and_its_directory_are_one_input(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    assert len(destinations(find_pictures([tmp_path, tmp_path / "a.png"]), Path("out"))) == 1


def test_reading_stops_one_byte_after_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"0123456789")
    assert read_picture(path, 10) == b"0123456789"
    assert read_picture(path, 4) == b"01234"


def test_pipes_and_directories_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(ImageError, match="cannot be read"):
            read_picture(path, 10)


def test_writing_makes_directories_and_keeps_the_mode_of_what_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    write_atomically(path, b"one")
    path.chmod(0o640)
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    touch(tmp_path / "plain")
    write_atomically(tmp_path / "a.png", b"one")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("real.png")
    write_atomically(tmp_path / "link.png", b"data")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() == b"data"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_original_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    path = tmp_path / "a.png"
    path.write_bytes(b"original")
    monkeypatch.setattr(os if failing == "fsync" else Path, failing, fail)
    with pytest.raises((OutputError, KeyboardInterrupt), match=r"No space left on device|^$"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"original"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_is_an_output_error(tmp_path: Path) -> None:
    touch(tmp_path / "file")
    for path in (tmp_path, tmp_path / "file" / "a.png", Path("/dev/null"), Path("/proc/a.png"), tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot write"):
            write_atomically(path, b"data")
    assert not Path("/dev/null").is_file()


def test_what_is_staged_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with staged(path, b"data"):
        assert not path.exists()
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(".markai-")
        assert temporary.read_bytes() == b"data"
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_what_is_staged_gets_no_name_where_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the block"), staged(tmp_path / "a.png", b"data"):  # not as an OutputError
        raise OSError("of the block")
    assert not list(tmp_path.iterdir())


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    (tmp_path / ".markai-0123-a.png.tmp").write_bytes(b"half")
    (tmp_path / ".markai-0123.png").write_bytes(b"of somebody else")
    (tmp_path / ".markai-link.tmp").symlink_to(tmp_path / ".markai-0123.png")
    assert remove_leftovers(tmp_path) == 0  # too young: it may not be locked yet
    with staged(tmp_path / "a.png", b"data"):
        (found,) = leftovers(tmp_path)
        assert (found.path.name, found.name) == (".markai-0123-a.png.tmp", "a.png")
        assert 0 <= found.age < 60
        assert remove_leftovers(tmp_path, age=0) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == [".markai-0123.png", ".markai-link.tmp", "a.png"]
    assert remove_leftovers(tmp_path / "absent") == 0


def test_a_long_name_is_not_told_and_still_written(tmp_path: Path) -> None:
    for name, told in (("x" * 200 + ".png", True), ("\u4e00" * 80 + ".png", False)):
        with staged(tmp_path / name, b"data"):
            (temporary,) = (each.name for each in tmp_path.iterdir() if each.name.startswith(".markai-"))
            assert temporary.endswith(f"-{name}.tmp") == told
        assert (tmp_path / name).read_bytes() == b"data"
