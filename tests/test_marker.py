"""Marker: four layers in one call, in the right order, for every kind of picture, all of them or none."""

import errno
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from sqlalchemy import event

import markai.marker
from markai import Marker, Signer, detect, verify, watermarks
from markai.errors import (
    CapacityError,
    CertificateError,
    ImageError,
    KeyFileError,
    MarkaiError,
    MethodError,
    OutputError,
    PayloadError,
    PayloadTakenError,
    RegistryError,
    SigningError,
)
from markai.image import file_format, open_picture
from markai.provenance import Claim, SoftBinding, sign
from markai.provenance.registry import Registry, fingerprint, sketch
from markai.provenance.xmp import AIGC, SOURCE_TYPE
from markai.provenance.xmp_files import read as read_xmp
from marking_samples import KEY, OTHER_KEY, PICTURE, TRUST, Pixels, encoded, inspector, marker
from provenance_samples import CLAIM, signer

pytest.importorskip("c2pa")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as opened:
        yield opened


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("registry.db"))


# The four layers


def test_one_call_marks_describes_signs_and_records(registry: Registry, crop: Pixels) -> None:
    out = marker(registry).mark(crop)
    found = detect(out.data, KEY)
    assert (found.payload, found.method, len(out.payload)) == (out.payload, "dwt-dct", 8)
    manifest = verify(out.data, TRUST)
    assert (manifest.status, manifest.manifest_id, manifest.claim) == ("trusted", out.manifest_id, out.claim)
    assert manifest.actions == ("c2pa.created", "c2pa.watermarked.bound")
    assert manifest.soft_bindings == (SoftBinding.of("dwt-dct", out.payload, KEY.id),)
    assert read_xmp(out.data, "image/png")[SOURCE_TYPE] == ("trainedAlgorithmicMedia",)
    (record,) = registry
    assert (record.id, record.payload, record.manifest, record.media_type) == (
        out.record_id,
        out.payload,
        out.manifest,
        "image/png",
    )
    assert record.sha256 == hashlib.sha256(out.data).digest()
    assert record.claim == out.claim.to_dict()
    pixels = open_picture(out.data).pixels
    assert (record.fingerprint, record.sketch) == (fingerprint(pixels), sketch(pixels))
    assert (out.mime, out.sidecar, out.earlier, out.key_id) == ("image/png", None, None, KEY.id)
    row = json.loads(json.dumps(out.to_dict()))
    assert (row["payload"], row["sha256"]) == (out.payload.hex(), record.sha256.hex())


def test_without_a_registry_the_payload_is_random_or_given(crop: Pixels) -> None:
    made = marker()
    first, second = made.mark([crop, crop])
    assert first.payload != second.payload
    assert (len(first.payload), first.record_id) == (8, None)
    assert detect(made.mark(crop, payload=b"acme:42").data, KEY).payload == b"acme:42"
    presence = made.mark(crop, payload=b"")
    assert detect(presence.data, KEY).payload == b""
    assert verify(presence.data).actions == ("c2pa.created", "c2pa.watermarked.unbound")
    assert made.recorded(first.data) is None


def test_what_is_claimed(crop: Pixels) -> None:
    made = marker(tc260_producer="Acme", source_type="compositeWithTrainedAlgorithmicMedia")
    out = made.mark(crop, claim=made.claim(prompt="a cat", title="Cat"))
    assert verify(out.data).source_type == "compositeWithTrainedAlgorithmicMedia"
    label = json.loads(read_xmp(out.data, "image/png")[AIGC][0])
    assert (label["ContentProducer"], label["ProduceID"]) == ("Acme", out.claim.id)
    assert b"a cat" in out.data
    assert b"a cat" not in out.manifest
    assert made.mark(crop).claim.id != out.claim.id


@pytest.mark.parametrize(
    ("method", "recorded", "marks"),
    [
        ("learned", "learned", ("learned",)),
        ("both", "both", ("dwt-dct", "learned")),
        ("auto", "learned", ("learned",)),
    ],
)
def test_methods_are_named_in_manifest_and_record(
    registry: Registry, photo: Pixels, method: str, recorded: str, marks: tuple[str, ...]
) -> None:
    pytest.importorskip("onnxruntime")
    out = marker(registry, method=method).mark(photo, payload=b"acme:42!")
    assert (out.method, registry.find(out.payload)[0].method) == (recorded, recorded)
    found = verify(out.data, TRUST)
    assert found.soft_bindings == tuple(SoftBinding.of(each, out.payload, KEY.id) for each in marks)
    assert [detect(out.data, KEY, method=each).payload for each in marks] == [out.payload] * len(marks)
    again = marker(registry, method=method).mark(out.data, payload=b"acme:43!")
    assert again.earlier
    assert (again.earlier.method, again.earlier.payload) == (recorded, out.payload)
    with inspector(registry) as looking:
        finding = looking.inspect(again.data)
    assert (finding.verdict, finding.contradictions) == ("generated", ())


def test_auto_is_the_other_mark_where_no_network_can_run(crop: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markai.neural.runtime.available", lambda: False)
    watermarks.load.cache_clear()
    try:
        out = marker(method="auto").mark(crop)
    finally:
        watermarks.load.cache_clear()
    assert out.method == "dwt-dct"
    assert [binding.alg for binding in verify(out.data).soft_bindings] == ["com.markai.dwt-dct.1"]


# Every kind of picture


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "avif", "tiff"])
def test_arrays_become_files_of_a_format(name: str, crop: Pixels) -> None:
    out = marker().mark(crop, name)
    assert (file_format(out.data).lower(), out.mime) == (name, f"image/{name}")
    assert detect(out.data, KEY).payload == out.payload
    assert verify(out.data, TRUST).status == "trusted"


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
def test_files_keep_their_format(name: str, crop: Pixels) -> None:
    out = marker().mark(encoded(crop, name, quality=95))
    assert (file_format(out.data), detect(out.data, KEY).payload) == (name, out.payload)
    assert verify(out.data, TRUST).status == "trusted"


def test_a_file_is_converted_where_that_is_asked_for(crop: Pixels) -> None:
    made = marker()
    data = encoded(crop, "PNG")
    small, large = (len(made.mark(data, "jpg", quality=quality).data) for quality in (80, 98))
    assert small < large < len(data)
    assert file_format(made.mark(data, "png").data) == "PNG"
    for given in ({"format": "png", "quality": 90}, {"quality": 90}):
        with pytest.raises(MethodError, match="keeps its own quality"):
            made.mark(data, **given)


def test_pil_images_keep_profile_and_exif_and_are_not_changed(crop: Pixels) -> None:
    image = Image.fromarray(crop)
    image.getexif()[ExifTags.Base.Artist] = "Somebody"
    before = image.tobytes()
    out = marker().mark(image, "jpeg")
    assert Image.open(io.BytesIO(out.data)).getexif()[ExifTags.Base.Artist] == "Somebody"
    assert image.tobytes() == before


def test_gray_transparent_deep_and_floating_pictures(crop: Pixels) -> None:
    made = marker()
    alpha = np.full(crop.shape[:2], 200, np.uint8)
    for pixels in (crop[..., 0], np.dstack([crop, alpha]), crop.astype(np.uint16) * 257, crop / np.float32(255)):
        out = made.mark(pixels)
        assert detect(out.data, KEY).payload == out.payload
    assert open_picture(made.mark(crop.astype(np.uint16) * 257).data).pixels.dtype == np.uint16
    with pytest.raises(ImageError, match="no transparency"):
        made.mark(np.dstack([crop, alpha]), "jpeg")


def test_what_holds_no_manifest_gets_a_sidecar(tmp_path: Path, registry: Registry, crop: Pixels) -> None:
    out = marker(registry).mark(encoded(crop, "BMP"))
    assert out.sidecar == out.manifest
    out.save(tmp_path / "new" / "a.bmp")
    assert names(tmp_path / "new") == ["a.bmp", "a.bmp.c2pa"]
    assert verify(tmp_path / "new" / "a.bmp", TRUST).status == "trusted"


def test_batches_of_lists_and_arrays(registry: Registry, crop: Pixels) -> None:
    made = marker(registry)
    for batch in ([crop, Image.fromarray(crop[:300])], np.stack([crop, crop[::-1]])):
        first, second = made.mark(batch, "jpeg")
        assert [detect(out.data, KEY).payload for out in (first, second)] == [first.payload, second.payload]
    outs = made.mark([crop, crop], payload=[b"one", b"two"], claim=[made.claim(title="1"), made.claim(title="2")])
    assert [(out.payload, out.claim.title) for out in outs] == [(b"one", "1"), (b"two", "2")]
    assert made.mark([]) == []
    assert len(registry) == 6
    for given in ({"payload": b"one for two"}, {"payload": [b"1"]}, {"payload": ["1", "2"]}, {"claim": CLAIM}):
        with pytest.raises(PayloadError, match="need as many"):
            made.mark([crop, crop], **given)
    with pytest.raises(PayloadError, match="one of its own"):
        made.mark([crop, crop], payload=[b"same", b"same"])
    assert len(registry) == 6


# What was there before


def test_a_manifest_in_the_file_stays_as_an_ingredient(registry: Registry, crop: Pixels) -> None:
    first = sign(encoded(crop, "JPEG"), signer("Camera"), Claim("Cam", "X", "1", source_type="digitalCapture"))
    out = marker(registry).mark(bytes(first))
    found = verify(out.data, TRUST)
    assert (found.status, found.actions[:2]) == ("trusted", ("c2pa.opened", "c2pa.edited"))
    assert [each.manifest_id for each in found.ingredients] == [first.manifest_id]
    converted = verify(marker().mark(bytes(first), "png").data, TRUST)
    assert [each.manifest_id for each in converted.ingredients] == [first.manifest_id]


def test_a_damaged_manifest_is_refused_rather_than_lost(registry: Registry, crop: Pixels) -> None:
    signed = bytearray(sign(encoded(crop), signer(), CLAIM))
    at = signed.index(b"c2pa.hash.data")
    signed[at : at + 4] = b"\xff\xff\xff\xff"
    crc = signed.index(b"caBX") - 4
    length = int.from_bytes(signed[crc : crc + 4], "big")
    signed[crc + 8 + length : crc + 12 + length] = zlib.crc32(signed[crc + 4 : crc + 8 + length]).to_bytes(4, "big")
    with pytest.raises(SigningError, match="damaged"):
        marker(registry).mark(bytes(signed))
    assert len(registry) == 0


def test_a_mark_that_is_there_already_is_noticed(
    registry: Registry, crop: Pixels, caplog: pytest.LogCaptureFixture
) -> None:
    made = marker(registry)
    first = made.mark(crop)
    assert not caplog.records
    again = made.mark(first.data)
    assert again.earlier
    assert again.earlier.payload == first.payload
    assert registry.find(again.payload)[0].claim["earlier"] == first.record_id
    assert f"payload {first.payload.hex()}" in caplog.text
    assert [each.manifest_id for each in verify(again.data).ingredients] == [first.manifest_id]
    assert json.loads(json.dumps(again.to_dict()))["earlier"]["payload"] == first.payload.hex()
    assert marker(key=OTHER_KEY).mark(first.data).earlier is None  # under a key that this marker does not have


def test_what_is_recorded_is_known_again_byte_for_byte(registry: Registry, crop: Pixels) -> None:
    made = marker(registry)
    out = made.mark(crop)
    record = made.recorded(out.data)
    assert record
    assert record.id == out.record_id
    for data in (out.data + b"\n", encoded(crop), b"junk", bytes(sign(encoded(crop), signer(), CLAIM))):
        assert made.recorded(data) is None


# Payloads


def test_payloads_are_reserved(registry: Registry) -> None:
    made = marker(registry)
    assert {len(made.reserve(size)) for size in range(1, 17)} == set(range(1, 17))
    assert len(marker().reserve(4)) == 4
    for size in (0, 17):
        with pytest.raises(PayloadError, match="1 to 16"):
            made.reserve(size)


def test_a_reserved_payload_is_one_that_is_free(
    registry: Registry, crop: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = marker(registry)
    made.mark(crop, payload=b"\1")
    drawn = iter([b"\1", b"\1", b"\2"])
    monkeypatch.setattr(markai.marker.secrets, "token_bytes", lambda _: next(drawn))
    assert made.reserve(1) == b"\2"


def test_a_payload_is_recorded_once(registry: Registry, crop: Pixels) -> None:
    made = marker(registry)
    made.mark(crop, payload=b"acme:42")
    with pytest.raises(PayloadTakenError, match="already"):
        made.mark(crop, payload=b"acme:42")
    with pytest.raises(PayloadError, match="1 to 16 bytes"):
        made.mark(crop, payload=b"")
    with pytest.raises(PayloadError):
        made.mark(crop, payload=b"x" * 17)
    with pytest.raises(PayloadError, match="bytes"):
        made.mark(crop, payload="text")
    assert len(registry) == 1


# All or nothing


def broken(_: bytes) -> bytes:
    raise OSError("the key store is gone")


def test_a_signer_that_raises_leaves_nothing(registry: Registry, crop: Pixels, tmp_path: Path) -> None:
    failing = Signer.from_callback(signer().chain, broken, development=True)
    made = Marker(KEY, signer=failing, registry=registry, provider="Acme", system="AcmeGen", version="2.1")
    with pytest.raises(SigningError, match="key store is gone"):
        made.mark(crop)
    with pytest.raises(SigningError):
        made.mark_file(PICTURE, tmp_path / "out" / "a.png")
    assert len(registry) == 0
    assert names(tmp_path) == []


def test_of_a_batch_all_are_recorded_or_none(registry: Registry, crop: Pixels) -> None:
    with pytest.raises(CapacityError, match="256x256"):
        marker(registry).mark([crop, crop[:200]])
    assert len(registry) == 0


def test_a_registry_that_fails_leaves_no_file(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RegistryError("the registry cannot grow: no space left - free some space; nothing was recorded")

    monkeypatch.setattr(registry, "extend", fail)
    (tmp_path / "old.png").write_bytes(b"old")
    for target in ("a.png", "old.png"):
        with pytest.raises(RegistryError, match="cannot grow"):
            marker(registry).mark_file(PICTURE, tmp_path / target)
    assert names(tmp_path) == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"


def test_a_full_disk_leaves_neither_file_nor_record(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("markai.files.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        marker(registry).mark_file(PICTURE, tmp_path / "a.png")
    assert len(registry) == 0
    assert names(tmp_path) == []


def test_a_real_full_disk(tmp_path: Path, crop: Pixels) -> None:
    """SQLite itself, held to as many pages as it has: the record does not fit, and nothing is handed over."""
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as small:
        made = marker(small)
        first = made.mark_file(PICTURE, tmp_path / "first.png")
        engine = small._database._engine
        with engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        engine.dispose()
        event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(RegistryError, match="cannot grow"):
            made.mark(crop)
        with pytest.raises(RegistryError, match="cannot grow"):
            made.mark_file(PICTURE, tmp_path / "second.png")
        assert names(tmp_path) == ["first.png"]
        assert (len(small), bool(small.check())) == (1, True)
        assert small.find(first.payload)


def test_the_record_comes_after_the_bytes_and_before_the_name(registry: Registry, tmp_path: Path) -> None:
    seen: list[Any] = []
    extend = registry.extend

    def watched(records: Any) -> Any:
        (temporary,) = (path for path in tmp_path.iterdir() if path.name.startswith(".markai-"))
        seen.append(hashlib.sha256(temporary.read_bytes()).digest() == next(iter(records)).sha256)
        assert not (tmp_path / "a.png").exists()
        return extend(records)

    registry.extend = watched  # type: ignore[method-assign]
    out = marker(registry).mark_file(PICTURE, tmp_path / "a.png")
    assert seen == [True]
    assert (tmp_path / "a.png").read_bytes() == out.data
    assert names(tmp_path) == ["a.png"]


def test_a_name_that_cannot_be_given_leaves_a_record_and_no_file(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a crash at that moment leaves too: a record that leads nobody anywhere."""

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        marker(registry).mark_file(PICTURE, tmp_path / "a.png")
    assert names(tmp_path) == []
    assert len(registry) == 1


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_what_was_recorded_and_not_named_is_taken_up(
    registry: Registry, tmp_path: Path, crop: Pixels, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As after a kill between the record and the name: the file gets it; what was not recorded is removed."""
    made, source = marker(registry), tmp_path / name
    source.write_bytes(encoded(crop, name[-3:]))
    (tmp_path / "out").mkdir()
    out = made.mark_file(source, tmp_path / "out" / name)
    beside = [] if out.sidecar is None else [f"{name}.c2pa"]
    for each in (name, *beside):
        (tmp_path / "out" / each).rename(tmp_path / "out" / f".markai-0123-{each}.tmp")
    (tmp_path / "out" / ".markai-4567-b.png.tmp").write_bytes(encoded(crop))
    (tmp_path / "out" / ".markai-4567.tmp").write_bytes(b"half")
    for each in (".markai-4567-b.png.tmp", ".markai-4567.tmp"):
        os.utime(tmp_path / "out" / each, (0, 0))
    assert made.take_up(tmp_path / "out") == [tmp_path / "out" / name]
    assert names(tmp_path / "out") == sorted([name, *beside])
    assert (tmp_path / "out" / name).read_bytes() == out.data
    assert verify(tmp_path / "out" / name, TRUST).status == "trusted"
    if beside:  # killed between the two names
        (tmp_path / "out" / name).rename(tmp_path / "out" / f".markai-89ab-{name}.tmp")
        assert made.take_up(tmp_path / "out") == [tmp_path / "out" / name]
    (tmp_path / "out" / f".markai-0123-{name}.tmp").write_bytes(out.data)
    assert made.take_up(tmp_path / "out") == []  # it has its name already
    assert marker().take_up(tmp_path / "out") == []
    assert made.take_up(tmp_path / "absent") == []
    (tmp_path / "out" / name).unlink()
    with monkeypatch.context() as patch:  # another process was faster
        patch.setattr("markai.leftovers._is_recorded", lambda leftover, *_: leftover.path.unlink() or True)
        assert made.take_up(tmp_path / "out") == []
    (tmp_path / "out" / f".markai-0123-{name}.tmp").write_bytes(out.data)

    def fail(*_: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="Permission denied"):
        made.take_up(tmp_path / "out")


def test_marking_a_file_in_place_and_with_a_sidecar(registry: Registry, tmp_path: Path, crop: Pixels) -> None:
    made = marker(registry)
    (tmp_path / "a.bmp").write_bytes(encoded(crop, "BMP"))
    out = made.mark_file(tmp_path / "a.bmp", tmp_path / "a.bmp")
    assert names(tmp_path) == ["a.bmp", "a.bmp.c2pa"]
    assert verify(tmp_path / "a.bmp", TRUST).manifest_id == out.manifest_id
    converted = made.mark_file(tmp_path / "a.bmp", tmp_path / "a.webp", "webp")
    assert file_format((tmp_path / "a.webp").read_bytes()) == "WEBP"
    assert converted.earlier
    with pytest.raises(ImageError, match="cannot be read"):
        made.mark_file(tmp_path / "absent.png", tmp_path / "b.png")


# Who may


def test_a_development_chain_from_files_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    from markai.provenance.certs import make_chain, write_chain

    paths = write_chain(make_chain("Acme"), tmp_path)
    loaded = Signer.from_files(paths["chain"], paths["key"])
    said = {"provider": "Acme", "system": "AcmeGen", "version": "2.1"}
    with pytest.raises(CertificateError, match="development=True"):
        Marker(KEY, signer=loaded, **said)
    assert Marker(KEY, signer=loaded, development=True, **said).signer is loaded
    meant = Signer.from_files(paths["chain"], paths["key"], development=True)
    assert Marker(KEY, signer=meant, **said).signer is meant


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"key": b"32 bytes"}, KeyFileError),
        ({"strength": 9.0}, MethodError),
        ({"method": "magic"}, MethodError),
        ({"source_type": "made up"}, SigningError),
        ({"registry": "mysql://host/db"}, RegistryError),
        ({"tc260_producer": "\0"}, SigningError),
    ],
)
def test_what_cannot_work_is_said_at_once(changed: dict[str, Any], error: type[MarkaiError]) -> None:
    with pytest.raises(error):
        marker(**changed)


def test_what_is_no_picture(crop: Pixels) -> None:
    made = marker()
    for image in (b"junk", 42, crop[:100], encoded(crop)[:500]):
        with pytest.raises(ImageError):
            made.mark(image)
    with pytest.raises(ImageError, match="format"):
        made.mark(crop, "gif")


def test_a_mark_that_a_lossy_format_swallows_is_refused(registry: Registry, crop: Pixels) -> None:
    with pytest.raises(CapacityError, match="does not survive being written in this format and quality - use a loss"):
        marker(registry).mark(crop, "jpeg", quality=1)
    assert len(registry) == 0


def test_its_own_registry_is_closed_and_that_of_others_is_not(registry: Registry, tmp_path: Path, crop: Pixels) -> None:
    with marker(f"sqlite:///{tmp_path}/registry.db") as own:
        own.mark(crop)
        assert "registry.db" in repr(own)
    with marker(registry) as borrowed:
        borrowed.mark(crop)
    assert len(registry) == 2
