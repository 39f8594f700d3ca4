"""What an audit finds: files, folders, lists, archives; and what is wrong with them, as rows and never as a crash."""

import io
import os
import socket
import struct
import time
import zipfile
from pathlib import Path

import pytest

from markai.audit.archives import Limits, members
from markai.audit.inputs import Item, Problem, Selection, find, paths_in, without_nested
from markai.audit.reading import Reader, Unusable, media_type, stamp
from markai.errors import ImageError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)


def paths(*inputs: str, **options: object) -> list[str]:
    return [item.path for item in find(inputs, Selection(**options))]  # type: ignore[arg-type]


def archive(name: str, files: dict[str, bytes], **options: object) -> None:
    with zipfile.ZipFile(name, "w", **options) as opened:  # type: ignore[call-overload]
        for each, data in files.items():
            opened.writestr(each, data)


# Folders


def test_the_order_is_that_of_the_names_and_of_the_inputs() -> None:
    tree("b/2.png", "b/10.png", "b/a/x.png", "b/Z.png", "a.png")
    assert paths("b", "a.png") == ["b/10.png", "b/2.png", "b/Z.png", "b/a/x.png", "a.png"]
    assert paths("./b/") == ["./b/10.png", "./b/2.png", "./b/Z.png", "./b/a/x.png"]


def test_finding_is_lazy() -> None:
    tree("a/1.png", "b/2.png")
    found = find(["a", "b"])
    assert next(found).path == "a/1.png"
    Path("b/0.png").write_bytes(PNG)
    assert [item.path for item in found] == ["b/0.png", "b/2.png"]


def test_patterns() -> None:
    tree("in/a.png", "in/a.jpg", "in/sub/b.png", "in/raw/c.png", "in/raw/deep/d.png")
    assert paths("in", include=("*.png",), exclude=("raw",)) == ["in/a.png", "in/sub/b.png"]
    assert paths("in", exclude=("raw/deep/**",)) == ["in/a.jpg", "in/a.png", "in/raw/c.png", "in/sub/b.png"]
    assert paths("in", include=("/sub/*",)) == ["in/sub/b.png"]
    assert paths("in/a.jpg", include=("*.png",)) == ["in/a.jpg"], "what is named is taken"


def test_hidden_names() -> None:
    tree("in/.a.png", "in/.git/b.png", "in/c.png")
    assert paths("in") == ["in/c.png"]
    assert paths("in", hidden=True) == ["in/.a.png", "in/c.png", "in/.git/b.png"]
    assert paths("in/.a.png") == ["in/.a.png"]


def test_ignore_files() -> None:
    tree("in/a.png", "in/a.tmp.png", "in/keep.tmp.png", "in/cache/b.png", "in/sub/cache/c.png", "in/sub/d.png")
    Path("in/.markaiignore").write_text("# drafts\n*.tmp.png\n!keep.tmp.png\n/cache/\n")
    Path("in/sub/.markaiignore").write_bytes(b"d.*\n\xff\n")
    assert paths("in") == ["in/a.png", "in/keep.tmp.png", "in/sub/cache/c.png"]
    assert len(paths("in", ignore_files=False)) == 6
    Path("in/sub/.markaiignore").write_text("cache\n")
    assert paths("in") == ["in/a.png", "in/keep.tmp.png", "in/sub/d.png"]


def test_the_folder_of_the_results_is_left_out(place: Path) -> None:
    tree("in/a.png", "in/audit/b.png")
    assert paths("in", leave_out=str(place / "in" / "audit")) == ["in/a.png"]


def test_links() -> None:
    tree("in/a.png", "other/b.png")
    Path("in/loop").symlink_to("loop")
    Path("in/up").symlink_to("..")
    Path("in/gone.png").symlink_to("nothing")
    Path("in/other").symlink_to("../other")
    Path("in/link.png").symlink_to("a.png")
    found = {item.path: item.problem for item in find(["in"])}
    assert [path for path, problem in found.items() if problem] == ["in/other", "in/up"]
    assert found["in/up"] == Problem("skipped", "a link to a folder is not followed - name it to have it audited")
    assert paths("in/other") == ["in/other/b.png"], "one that is named is followed"
    for name, why in {"loop": "Too many levels", "gone.png": "No such file"}.items():
        with pytest.raises(Unusable, match=why) as caught:
            Reader(Limits()).read(Item(f"in/{name}", f"in/{name}"), every=False)
        assert caught.value.status == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed() -> None:
    tree("in/locked/a.png", "in/z.png")
    Path("in/locked").chmod(0)
    try:
        found = list(find(["in"]))
    finally:
        Path("in/locked").chmod(0o700)
    assert [item.path for item in found] == ["in/z.png", "in/locked"]
    assert found[1].problem is not None
    assert "Permission denied" in found[1].problem.error


def test_a_folder_that_vanishes() -> None:
    tree("in/a.png", "in/sub/b.png")
    found = find(["in"])
    next(found)
    Path("in/sub/b.png").unlink()
    Path("in/sub").rmdir()
    (gone,) = found
    assert gone.problem is not None
    assert gone.problem.error == "the folder cannot be listed: No such file or directory - check its permissions"


def test_folders_nested_deeply() -> None:
    depth = 1100  # deeper than Python recurses
    paths_of = ["/".join(["d"] * (level + 1)) for level in range(depth)]
    try:
        for path in paths_of:
            Path(path).mkdir()
        Path(paths_of[-1], "a.png").write_bytes(PNG)
        assert paths("d") == [f"{paths_of[-1]}/a.png"]
    finally:  # by hand: nor could pytest clear it away
        Path(paths_of[-1], "a.png").unlink(missing_ok=True)
        for path in reversed(paths_of):
            Path(path).rmdir()


def test_names_of_any_bytes() -> None:
    name = os.fsdecode(b"in/\xff\xfe\n.png")
    tree(name)
    (item,) = find(["in"])
    assert item.path == name
    content = Reader(Limits()).read(item, every=False)
    assert content is not None
    assert content.mime == "image/png"


def test_nested_inputs_are_taken_once() -> None:
    assert without_nested(["a", "a/b", "./a", "a/../a/c.png"]) == ["a"]
    assert without_nested([".", "a.png", "b"]) == ["."]
    assert without_nested(["/x/y", "/x", "z"]) == ["/x", "z"]


# Lists


def test_lists_of_paths() -> None:
    assert list(paths_in(io.BytesIO(b""))) == []
    assert list(paths_in(io.BytesIO(b"a\n\n\nb"))) == ["a", "b"]
    many = [f"{number}.png" for number in range(50_000)]
    assert list(paths_in(io.BytesIO("\n".join(many).encode()))) == many
    assert list(paths_in(io.BytesIO("\0".join(many).encode()))) == many
    with pytest.raises(ImageError, match="more than 65,536 bytes"):
        list(paths_in(io.BytesIO(b"x" * 200_000)))


# Archives


def test_members_are_files() -> None:
    archive("a.zip", {"b/2.png": PNG, "1.png": PNG, "b/": b"", ".hidden.png": PNG, "__MACOSX/1.png": PNG})
    assert paths("a.zip") == ["a.zip!/b/2.png", "a.zip!/1.png"]
    assert paths(".", include=("b/*",)) == ["./a.zip!/b/2.png"]
    assert paths(".", exclude=("*.zip",)) == []
    reader = Reader(Limits())
    for item in find(["a.zip"]):
        content = reader.read(item, every=False)
        assert content is not None
        assert (content.data, content.mime, content.origin) == (PNG, "image/png", None)
    reader.close()


def test_archives_in_archives_and_names_that_come_twice() -> None:
    with zipfile.ZipFile("a.zip", "w") as opened:
        for name, data in (("x.png", b"first"), ("in.zip", b""), ("in.tar.gz", b"")):
            opened.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("x.png", PNG)
    found = {item.path: item.problem and item.problem.status for item in find(["a.zip"])}
    hidden = "a.zip!/x.png (copy 1, hidden by a later one)"
    assert found == {hidden: "skipped", "a.zip!/in.zip": "skipped", "a.zip!/in.tar.gz": "skipped", "a.zip!/x.png": None}


def test_encrypted_members() -> None:
    archive("a.zip", {"x.png": PNG})
    data = bytearray(Path("a.zip").read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    Path("a.zip").write_bytes(data)
    (item,) = find(["a.zip"])
    assert item.problem == Problem("unreadable", "the member is encrypted - unpack it and audit it by itself")


def test_bombs() -> None:
    limits = Limits(file_bytes=50_000_000, archive_bytes=5_000, members=3, ratio_bytes=1_000_000)
    archive("bomb.zip", {"zeros.png": bytes(20_000_000)}, compression=zipfile.ZIP_DEFLATED)
    archive("large.zip", {"a.png": bytes(50_000_001)}, compression=zipfile.ZIP_DEFLATED)
    archive("many.zip", {f"{number}.png": bytes(1_000) for number in range(9)})
    archive("total.zip", {f"{number}.png": bytes(3_000) for number in range(2)})
    said = {
        name: [each.error for each in members(f"{name}.zip", limits)] for name in ("bomb", "large", "many", "total")
    }
    assert "1/200 of its size" in said["bomb"][0]
    assert "50,000,001 bytes" in said["large"][0]
    assert said["many"][:3] == ["", "", ""]
    assert said["many"][3:] == ["the archive has more than 3 members - split it"]
    assert said["total"] == ["", "the archive unpacks to more than 5,000 bytes - split it"]


def test_a_member_that_is_larger_than_it_says() -> None:
    archive("a.zip", {"x.png": PNG + bytes(9_000)}, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(Path("a.zip").read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, 50)  # its size in the list of members
    Path("a.zip").write_bytes(data)
    (item,) = find(["a.zip"])
    with pytest.raises(Unusable, match="cannot be unpacked"):
        Reader(Limits()).read(item, every=False)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "directory"])
def test_damaged_archives(damage: str) -> None:
    archive("a.zip", {"x.png": PNG, "y.png": PNG})
    data = Path("a.zip").read_bytes()
    at = data.index(b"PK\1\2")
    broken = {"empty": b"", "text": b"text", "cut": data[:-10], "directory": data[:at] + b"XX" + data[at + 2 :]}
    Path("a.zip").write_bytes(broken[damage])
    (item,) = find(["a.zip"])
    assert item.path == "a.zip"
    assert item.problem is not None
    assert item.problem.status == "unreadable"


def test_a_damaged_member_is_its_own_row() -> None:
    archive("a.zip", {"x.png": PNG, "y.png": PNG})
    data = bytearray(Path("a.zip").read_bytes())
    data[data.index(PNG) + 20] ^= 1
    Path("a.zip").write_bytes(data)
    first, second = find(["a.zip"])
    reader = Reader(Limits())
    with pytest.raises(Unusable, match="Bad CRC-32"):
        reader.read(first, every=False)
    assert reader.read(second, every=False) is not None
    reader.close()


def test_a_list_of_members_that_fills_the_memory_is_not_read() -> None:
    archive("a.zip", {f"{number:06}.png": b"" for number in range(100)})
    (item,) = find(["a.zip"], Selection(limits=Limits(directory_bytes=1_000)))
    assert item.problem is not None
    assert item.problem.status == "too large"


def test_an_archive_that_is_replaced_meanwhile() -> None:
    archive("a.zip", {"x.png": PNG, "y.png": PNG})
    items = list(find(["a.zip"]))
    reader = Reader(Limits())
    assert reader.read(items[0], every=False) is not None
    archive("b.zip", {"z.png": PNG})
    os.replace("b.zip", "a.zip")  # noqa: PTH105
    with pytest.raises(Unusable, match="replaced") as caught:
        reader.read(items[1], every=False)
    assert caught.value.status == "changed"
    reader.close()


# Reading


def test_kinds_are_told_by_content_and_by_name() -> None:
    assert media_type(PNG, "noname") == "image/png"
    assert media_type(b"", "a.TGA") == "image/x-tga"
    assert media_type(b"\x7fELF", "a") == "application/octet-stream"
    Path("plain").write_bytes(PNG)
    Path("program").write_bytes(b"\x7fELF")
    reader = Reader(Limits())
    assert reader.read(Item("plain", "plain"), every=False) is not None
    assert reader.read(Item("program", "program"), every=False) is None
    for item, every in ((Item("program", "program", asked=True), False), (Item("program", "program"), True)):
        with pytest.raises(Unusable, match="holds nothing that an audit could read") as caught:
            reader.read(item, every=every)
        assert caught.value.status == "skipped"


def test_what_is_no_file() -> None:
    os.mkfifo("pipe.png")
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket.png")
    server.close()
    for name in ("pipe.png", "socket.png", "/dev/zero", "a\0b"):
        with pytest.raises(Unusable) as caught:
            Reader(Limits()).read(Item(name, name), every=False)
        assert caught.value.status == "unreadable"


def test_files_that_are_too_large() -> None:
    Path("large.png").write_bytes(PNG + bytes(1000))
    with pytest.raises(Unusable, match="1,108 bytes, and 1,000 are read at most") as caught:
        Reader(Limits(file_bytes=1000)).read(Item("large.png", "large.png"), every=False)
    assert caught.value.status == "too large"


def test_files_that_change_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tree("a.png")
    honest, calls = os.fstat, []

    def fstat(handle: int) -> os.stat_result:
        calls.append(handle)
        if len(calls) == 2:
            with Path("a.png").open("ab") as file:
                file.write(b"more")
        return honest(handle)

    monkeypatch.setattr("markai.audit.reading.os.fstat", fstat)
    with pytest.raises(Unusable, match="written to while") as caught:
        Reader(Limits()).read(Item("a.png", "a.png"), every=False)
    assert caught.value.status == "changed"


def test_a_stamp_changes_with_the_file_and_with_the_manifest_beside_it() -> None:
    tree("a.png")
    item = Item("a.png", "a.png")
    seen = {stamp(item)}
    status = Path("a.png").stat()
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    Path("a.png").write_bytes(PNG[:-1] + b"x")
    os.utime("a.png", ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had happened
    seen.add(stamp(item))
    Path("a.png.c2pa").write_bytes(b"1")
    seen.add(stamp(item))
    Path("a.c2pa").write_bytes(b"1")
    seen.add(stamp(item))
    assert len(seen) == 4
