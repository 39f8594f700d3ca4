"""The verdicts: a folder of real files with every history, and what each of them must come to."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from markai import Trust, sign
from markai.attacks.security import copy_mark
from markai.audit.examine import Examiner, Settings, judged
from markai.audit.inputs import Item, find
from markai.audit.reading import stamp
from markai.audit.words import FURTHER_VERDICTS, VERDICTS
from markai.provenance import Claim
from markai.provenance.registry import Registry
from marking_samples import KEY, PICTURE, TRUST, decoded, encoded, marker, with_manifest_of
from provenance_samples import signer

pytest.importorskip("c2pa")

SHARED = Path(__file__).parents[2] / "shared" / "data"
PARAMETERS = "a lighthouse\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Model: x"
CLAIM = Claim("Acme", "AcmeGen", "2.1")


def png(pixels: Any, **texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    return encoded(pixels, pnginfo=info)


def camera(pixels: Any, **texts: str) -> bytes:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Example", "Camera 1"
    if texts:
        exif[Base.Software] = texts["software"]
    exif.get_ifd(IFD.Exif).update({Base.ExposureTime: 0.01, Base.FNumber: 8.0})
    return encoded(pixels, "JPEG", exif=exif, quality=90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every history, a key and a registry."""
    place = tmp_path_factory.mktemp("mixed")
    KEY.save(place / "my.key")
    with Image.open(PICTURE) as picture:
        photo = np.asarray(picture.convert("RGB"))
    left, right = photo[:384, :384], photo[128:512, 384:768]
    registry = Registry.open(f"sqlite:///{place}/registry.db")
    made, alone = marker(registry), marker()
    out = made.mark(left, format="png").data
    pixels = decoded(out)
    signed = bytes(sign(encoded(left), signer("Acme"), CLAIM))
    photographed = sign(encoded(right), signer("Acme"), Claim("Acme", "Camera", "1", source_type="digitalCapture"))
    stranger = bytes(sign(encoded(right), signer("Stranger"), CLAIM))
    beside = sign(encoded(right), signer("Acme"), CLAIM, embed=False)
    broken = bytearray(signed)
    broken[signed.index(b"trainedAlgorithmicMedia")] ^= 1
    files = {
        "marked.png": out,
        "marked-elsewhere.png": encoded(decoded(alone.mark(right, format="png").data)),
        "signed.png": signed,
        "stranger.png": stranger,
        "stripped.jpg": encoded(pixels, "JPEG", quality=80),
        "cropped.webp": encoded(pixels[40:360, 20:370], "WEBP", quality=80),
        "tampered.png": with_manifest_of(signed, right),
        "copied.png": encoded(copy_mark(pixels, right, 34.0)),
        "photo-signed.png": bytes(photographed),
        "photo-marked.jpg": camera(pixels),
        "broken.png": bytes(broken),
        "beside.png": encoded(right),
        "beside.png.c2pa": beside.manifest,
        "metadata.png": png(right, parameters=PARAMETERS),
        "camera.jpg": camera(right),
        "camera-and-generator.jpg": camera(right, software="Midjourney"),
        "untouched.png": encoded(right),
        "cut.png": encoded(right)[:5000],
        "empty.png": b"",
        "garbage.jpg": b"no picture at all",
        "plain.txt": b"Just a text.",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "program.exe": b"MZ" + bytes(100),
    }
    (place / "files").mkdir()
    for name, data in files.items():
        (place / "files" / name).write_bytes(data)
    made.close()
    alone.close()
    registry.close()
    return place


def settings(place: Path, **options: Any) -> Settings:
    given = {"keys": (place / "my.key",), "trust": TRUST, "registry": f"sqlite:///{place}/registry.db"} | options
    return Settings(thorough=False, **given)


def rows(settings: Settings, path: Path) -> dict[str, dict[str, Any]]:
    examiner = Examiner(settings)
    try:
        found = [row for item in find([path]) if (row := examiner.examine(item))]
    finally:
        examiner.close()
    return {Path(row["path"]).name: row for row in found}


@pytest.fixture(scope="module")
def examined(folder: Path) -> dict[str, dict[str, Any]]:
    return rows(settings(folder), folder / "files")


# Verdict, how sure, the layers that it rests on, what contradicts it.
EXPECTED = {
    "beside.png": ("generated", "proven", ["manifest"], []),
    "broken.png": ("damaged", "none", ["manifest"], []),
    "camera-and-generator.jpg": ("generated-claimed", "claimed", ["metadata"], ["metadata.camera-and-generator"]),
    "camera.jpg": ("camera", "claimed", ["metadata"], []),
    "copied.png": ("copied", "none", ["watermark", "record"], ["copied-mark"]),
    "cropped.webp": ("recovered", "proven", ["watermark", "record"], []),
    "cut.png": ("damaged", "none", [], []),
    "drawing.svg": ("unknown", "none", [], []),
    "empty.png": ("damaged", "none", [], []),
    "garbage.jpg": ("damaged", "none", [], []),
    "marked-elsewhere.png": ("generated", "proven", ["watermark"], []),
    "marked.png": ("generated", "proven", ["watermark", "manifest", "record"], []),
    "metadata.png": ("generated-claimed", "claimed", ["metadata"], []),
    "photo-marked.jpg": ("recovered", "proven", ["watermark", "record"], ["metadata.camera-and-mark"]),
    "photo-signed.png": ("camera", "claimed", ["manifest", "metadata"], []),
    "plain.txt": ("unknown", "none", [], []),
    "signed.png": ("generated", "proven", ["manifest"], []),
    "stranger.png": ("generated-claimed", "claimed", ["manifest", "metadata"], []),
    "stripped.jpg": ("recovered", "proven", ["watermark", "record"], []),
    "tampered.png": ("edited", "proven", ["manifest"], ["edited-after-signing"]),
    "untouched.png": ("unknown", "none", [], []),
}


def test_every_file_has_a_row_and_no_other(examined: dict[str, dict[str, Any]]) -> None:
    assert sorted(examined) == sorted(EXPECTED)
    assert {row["status"] for row in examined.values()} == {"ok"}
    json.dumps(list(examined.values()), allow_nan=False)


@pytest.mark.parametrize("name", EXPECTED)
def test_verdicts(name: str, examined: dict[str, dict[str, Any]]) -> None:
    row = examined[name]
    said = row["verdict"]
    codes = [each["code"] for each in row["contradictions"]]
    layers = [each for each in said["layers"] if not (each == "manifest" and row["manifest"]["status"] == "damaged")]
    assert (said["code"], said["sure"], layers, codes) == EXPECTED[name]
    assert said["code"] in (*VERDICTS, *FURTHER_VERDICTS)


def test_who_made_it(examined: dict[str, dict[str, Any]]) -> None:
    acme = {"provider": "Acme", "system": "AcmeGen", "version": "2.1"}
    for name in ("marked.png", "stripped.jpg", "cropped.webp", "signed.png", "beside.png", "tampered.png"):
        assert examined[name]["verdict"]["by"] == acme
    assert examined["metadata.png"]["verdict"]["by"] == {
        "provider": None,
        "system": "Stable Diffusion WebUI",
        "version": None,
    }
    for name in ("untouched.png", "copied.png", "camera.jpg", "marked-elsewhere.png"):
        assert examined[name]["verdict"]["by"] is None


def test_what_a_row_holds(examined: dict[str, dict[str, Any]]) -> None:
    row = examined["stripped.jpg"]
    assert (row["type"], row["width"], row["height"]) == ("image/jpeg", 384, 384)
    assert row["watermark"]["detected"]
    assert row["watermark"]["coverage"]["presence"]
    assert row["record"]["id"].startswith(KEY.id)
    assert row["record"]["provider"] == "Acme"
    assert row["recovered"]["status"] in ("trusted", "invalid"), "checked without the file that it was signed with"
    assert examined["marked.png"]["recovered"] is None, "nothing was lost"
    assert not examined["plain.txt"]["watermark"]["detected"]
    assert examined["camera.jpg"]["metadata"]["camera"]["make"] == "Example"
    assert "the pixels cannot be read" in " ".join(examined["cut.png"]["notes"]).lower()
    assert examined["copied.png"]["recovered"] is None


def test_prompts_are_not_repeated(examined: dict[str, dict[str, Any]]) -> None:
    row = examined["metadata.png"]
    assert "a lighthouse" not in json.dumps(row)
    assert row["metadata"]["personal"]


def test_without_keys_no_marks_are_looked_for(folder: Path) -> None:
    found = rows(settings(folder, keys=(), registry=None), folder / "files")
    assert {row["watermark"] for row in found.values()} == {None}
    codes = {name: row["verdict"]["code"] for name, row in found.items()}
    assert codes["stripped.jpg"] == "unknown"
    assert codes["signed.png"] == "generated"
    assert codes["cut.png"] == "damaged"
    assert codes["copied.png"] == "unknown"


def test_without_a_list_of_trust_what_is_intact_counts(folder: Path) -> None:
    found = rows(settings(folder, trust=Trust.none(), registry=None, keys=()), folder / "files")
    said = {name: (row["verdict"]["code"], row["verdict"]["sure"]) for name, row in found.items()}
    assert said["stranger.png"] == ("generated", "proven")
    assert said["tampered.png"] == ("edited", "proven")


def test_an_edited_file_of_a_stranger_is_no_proof(folder: Path, tmp_path: Path) -> None:
    signed = (folder / "files" / "stranger.png").read_bytes()
    (tmp_path / "edited.png").write_bytes(with_manifest_of(signed, decoded(signed)[::-1].copy()))
    row = rows(settings(folder, registry=None), tmp_path)["edited.png"]
    assert (row["verdict"]["code"], row["verdict"]["sure"]) == ("edited", "claimed")


def test_rules_and_policy(folder: Path) -> None:
    policy = b"""
version: 1
declares: {files: plain.txt, generated: true}
rules:
- {id: signed, files: "*.png", require: {path: manifest.status, equals: trusted}, message: Not signed.}
"""
    chosen = settings(folder, regimes=("eu",), policy=policy)
    names = ("signed.png", "untouched.png", "camera.jpg", "marked.png", "stripped.jpg", "plain.txt")
    found = {name: rows(chosen, folder / "files" / name)[name] for name in names}
    statuses = {name: row["policy"][0]["status"] for name, row in found.items()}
    assert statuses["signed.png"] == "pass"
    assert statuses["untouched.png"] == "fail"
    assert statuses["camera.jpg"] == "not applicable"
    eu = {name: {each["id"]: each["status"] for each in row["rules"]} for name, row in found.items()}
    assert eu["marked.png"]["EU-1"] == eu["marked.png"]["EU-2"] == "pass"
    assert eu["stripped.jpg"]["EU-1"] == "fail"
    assert eu["untouched.png"]["EU-1"] == "not applicable"
    assert eu["plain.txt"]["EU-1"] == "fail", "it is declared to be generated"


def test_a_file_that_cannot_be_examined_fails_the_policy(folder: Path) -> None:
    examiner = Examiner(settings(folder, policy=b"version: 1\nrules: [{id: a, require: {use: signed}, message: m}]"))
    row = examiner.examine(Item("none.png", "none.png"))
    assert row is not None
    assert (row["status"], row["rules"], row["policy"][0]["status"]) == ("unreadable", [], "fail")
    assert row["verdict"] == {
        "code": "none",
        "sentence": "The file could not be examined, so nothing is said about it.",
        "by": None,
        "layers": [],
        "sure": "none",
    }
    examiner.close()
    assert judged({"path": "a", "status": "skipped"}, [], settings(folder).load_policy())["policy"] == []


def test_pictures_of_too_many_pixels(folder: Path) -> None:
    row = rows(settings(folder, max_pixels=1000), folder / "files")["signed.png"]
    assert (row["status"], row["error"]) == ("too large", "384x384 is more than 1,000 pixels")


def test_other_kinds_of_files_have_a_row_when_asked(folder: Path) -> None:
    found = rows(settings(folder, every=True, keys=()), folder / "files")
    assert {name for name, row in found.items() if row["status"] == "skipped"} == {"program.exe", "beside.png.c2pa"}


def test_members_of_an_archive_are_judged_like_files(folder: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("stripped.jpg", "signed.png", "untouched.png"):
            archive.write(folder / "files" / name, name)
    found = rows(settings(folder), tmp_path)
    assert [row["path"] for row in found.values()] == [
        f"{tmp_path}/a.zip!/{name}" for name in ("stripped.jpg", "signed.png", "untouched.png")
    ]
    assert [row["verdict"]["code"] for row in found.values()] == ["recovered", "generated", "unknown"]


def test_a_stamp_is_that_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"1")
    first = stamp(Item("a.zip!/x", str(tmp_path / "a.zip"), 0))
    (tmp_path / "a.zip").write_bytes(b"12")
    assert stamp(Item("a.zip!/x", str(tmp_path / "a.zip"), 0)) != first


@pytest.mark.skipif(not (SHARED / "odd_formats").exists(), reason="the odd formats are not here")
def test_odd_files_are_rows_and_never_errors(folder: Path) -> None:
    found = rows(settings(folder, keys=(), registry=None), SHARED / "odd_formats")
    assert len(found) > 40
    assert {name: row["status"] for name, row in found.items() if row["status"] != "ok"} == {
        "bad_decompression_bomb_header.png": "too large"
    }
    for name, row in found.items():
        if row["verdict"]["code"] == "damaged":
            assert name.startswith(("bad_", "unsup_")), "what is whole is never called damaged"


@pytest.mark.skipif(not (SHARED / "eval").exists(), reason="the pictures of the evaluation are not here")
def test_pictures_that_nobody_marked(folder: Path, tmp_path: Path) -> None:
    for path in sorted((SHARED / "eval").iterdir())[:60:20]:
        with Image.open(path) as picture:
            picture.convert("RGB").resize((320, 320)).save(tmp_path / f"{path.stem}.png")
    found = rows(settings(folder), tmp_path)
    assert {row["verdict"]["code"] for row in found.values()} == {"unknown"}
    assert not any(row["watermark"]["detected"] for row in found.values())


def test_a_file_that_can_be_read_twice_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    honest = io.open
    monkeypatch.setattr(
        "builtins.open", lambda path, *given, **named: opened.append(path) or honest(path, *given, **named)
    )
    path = str(folder / "files" / "untouched.png")
    examiner = Examiner(settings(folder))
    examiner.examine(Item(path, path))
    examiner.close()
    assert opened.count(path) == 1
