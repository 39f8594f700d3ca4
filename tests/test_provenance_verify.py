"""Verification: a status for whatever was done to a file, and never an error or "trusted" for what was changed."""

import importlib
import io
import json
import re
import struct
import sys
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from markai import Trust, sign, verify
from markai.errors import ImageError, MarkaiError, SigningError
from markai.provenance import SoftBinding, Verification, codes, media, xmp_files
from markai.provenance.c2pa_adapter import Report
from markai.provenance.verifying import _judge
from provenance_samples import CLAIM, EMBEDDING, MIME, encoded, picture, sample, signer

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ODD = Path(__file__).parents[2] / "shared" / "data" / "odd_formats"
TRUST = signer().trust()
BINDINGS = [SoftBinding.of("dwt-dct", b"acme:42")]


def signed(name: str) -> bytes:
    return sign(sample(name), signer(), CLAIM, bindings=BINDINGS).data


def changed(data: bytes, at: int, mask: int = 0x10) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def reasons(found: Verification) -> set[str]:
    return {reason.code for reason in found.reasons}


@pytest.mark.parametrize("name", EMBEDDING)
def test_an_unsigned_file_has_none(name):
    found = verify(sample(name), TRUST)
    assert (found.status, found.mime, bool(found)) == ("none", MIME[name], False)
    assert reasons(found) == {codes.NO_MANIFEST}
    assert found.reasons[0].sentence.endswith("says nothing about how the content was made.")


def test_what_holds_no_manifest_is_unsupported():
    for data, mime in ((b"hello", "text/plain"), (b"", None), (b"BM1234\0\0\0\0", None), (b"\0" * 99, None)):
        assert verify(data, TRUST, mime=mime).status == "unsupported"


def test_a_picture_that_was_encoded_again_has_lost_it(tmp_path):
    (tmp_path / "a.jpg").write_bytes(signed("jpeg"))
    Image.open(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    assert verify(tmp_path / "b.jpg", TRUST).status == "none"


@pytest.mark.parametrize("name", EMBEDDING)
def test_content_that_was_changed_is_invalid(name):
    data = signed(name)
    words = {
        "svg": b"<g/>",
        "pdf": b"/Width",
        "wav": b"data",
        **{each: sample(each)[60:99] for each in ("tiff", "webp")},
    }
    at = data.index(words[name]) + 1 if name in words else len(data) - 30
    found = verify(changed(data, at + 9 * (name == "wav"), 1), TRUST)
    assert (found.status, bool(found)) == ("invalid", False)
    assert reasons(found) & {"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"}
    assert any("changed after it was signed" in str(reason) for reason in found.reasons)
    assert found.claim == CLAIM  # what it says is still told


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "tiff"])
def test_junk_behind_the_file_is_invalid(name):
    assert verify(signed(name) + b"junk", TRUST).status in ("invalid", "damaged")


def test_metadata_that_was_changed_after_signing_is_invalid():
    for name in ("jpeg", "png", "webp", "avif", "tiff", "gif"):
        edited = xmp_files.write(signed(name), MIME[name], {"Iptc4xmpExt:AISystemUsed": "Another"})
        assert verify(edited, TRUST).status == "invalid"
    text = b"\0\0\0\x0etEXtAIGC\0{Label:1}"
    chunk = text + struct.pack(">I", zlib.crc32(text[4:]))
    data = signed("png")
    assert verify(data[:-12] + chunk + data[-12:], TRUST).status == "invalid"


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff", "gif", "wav"])
def test_every_part_of_the_manifest_counts(name):
    """A byte flipped in an assertion, in the claim, in the certificate, in the signature, in the boxes."""
    data = signed(name)
    for words, code in (
        (b"AcmeGen", "assertion.hashedURI.mismatch"),
        (b"com.markai.dwt-dct.1", "assertion.hashedURI.mismatch"),
        (b"instanceID", "claimSignature.mismatch"),
        (b"Development Signer", "claimSignature.mismatch"),
        (b"c2ma", None),
        (b"cose_sig" if b"cose_sig" in data else b"c2cs", None),
    ):
        at = data.rindex(words) if words == b"Development Signer" else data.index(words, data.index(b"c2pa"))
        at += 2 if words != b"instanceID" else len(words) + 8
        found = verify(changed(data, at, 4), TRUST)
        assert found.status in ("invalid", "damaged"), words
        if found.status == "invalid" and code:
            assert code in reasons(found) or "claimSignature.mismatch" in reasons(found)


@pytest.mark.parametrize("name", EMBEDDING)
def test_what_was_cut_short_is_never_trusted(name):
    data = signed(name)
    for size in {0, 1, 3, 8, 20, 60, len(data) // 3, len(data) // 2, len(data) - 60, len(data) - 1}:
        found = verify(data[:size], TRUST, mime=MIME[name])
        assert found.status in ("invalid", "damaged", "none", "unsupported"), size
        json.dumps(found.to_dict())


def test_the_manifest_of_another_file_is_invalid():
    one, other = (sign(sample("png"), signer(), CLAIM, embed=False), sign(b"hello", signer(), CLAIM))
    found = verify(sample("png"), TRUST, sidecar=other.sidecar)
    assert (found.status, reasons(found)) == ("invalid", {"assertion.dataHash.mismatch"})
    assert verify(sample("png"), TRUST, sidecar=one.sidecar).status == "trusted"
    for damaged in (b"", b"junk", one.sidecar[:50], one.sidecar[:-50], changed(one.sidecar, 900)):
        assert verify(sample("png"), TRUST, sidecar=damaged).status in ("damaged", "none", "invalid")


def test_a_store_alone_is_checked_as_far_as_it_goes():
    store = sign(sample("png"), signer(), CLAIM).manifest
    found = verify(store, TRUST, mime="application/c2pa")
    assert (found.status, reasons(found)) == ("invalid", {"assertion.dataHash.mismatch"})
    assert (found.claim, found.signer.organization) == (CLAIM, "Acme")


def test_a_sidecar_beside_the_file_is_found(tmp_path):
    store = sign(b"hello", signer(), CLAIM, mime="text/plain").sidecar
    (tmp_path / "a.txt").write_bytes(b"hello")
    assert verify(tmp_path / "a.txt", TRUST).status == "unsupported"
    for name in ("a.txt.c2pa", "a.c2pa"):
        (tmp_path / name).write_bytes(store)
        assert verify(tmp_path / "a.txt", TRUST).status == "trusted"
        assert verify(tmp_path / "a.txt", TRUST, sidecar=tmp_path / name).status == "trusted"
        (tmp_path / name).unlink()
    (tmp_path / "b.jpg").write_bytes(signed("jpeg"))
    (tmp_path / "b.jpg.c2pa").write_bytes(store)
    assert verify(tmp_path / "b.jpg", TRUST).status == "trusted"  # what is inside comes first
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            verify(path)
        with pytest.raises(ImageError, match="cannot be read"):
            verify(b"hello", sidecar=path)


def test_files_that_are_too_large_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "MAX_BYTES", 10)
    monkeypatch.setattr(media, "MAX_SIDECAR_BYTES", 10)
    (tmp_path / "a").write_bytes(b"x" * 11)
    for call in (
        lambda: verify(tmp_path / "a"),
        lambda: verify(b"x" * 11),
        lambda: verify(b"x", sidecar=tmp_path / "a"),
    ):
        with pytest.raises(ImageError, match="more than 10 bytes"):
            call()


def test_the_content_tells_the_type_and_a_name_only_what_has_no_signature():
    assert verify(signed("png"), TRUST, mime="image/jpeg").mime == "image/png"
    for data, path, mime in (
        (b"hello", "a.MD", "text/markdown"),
        (b"hello", "a.xyz", "application/octet-stream"),
        (b"\xef\xbb\xbf <!-- > --><!DOCTYPE svg>\n<s:svg ", None, "image/svg+xml"),
        (b"<html><svg>", None, "application/octet-stream"),
        (b"<!-- never ends", None, "application/octet-stream"),
        (b"\0\0\0\x18ftypheic", None, "image/heic"),
        (b"\0\0\0\x18ftypisom", None, "video/mp4"),
    ):
        assert media.media_type(data, path=path and Path(path)) == mime
    for hostile in (b"<!" * 9000, b"<!-- " + b">" * 9000, b"<?" + b" " * 9000, b"    " * 9000):
        start = time.process_time()
        media.media_type(hostile)
        assert time.process_time() - start < 0.5


def test_the_answer_is_plain_values():
    found = verify(signed("jpeg"), TRUST)
    row = json.loads(json.dumps(found.to_dict()))
    assert (row["status"], row["ok"], row["chain_intact"], row["is_ai"]) == ("trusted", True, True, True)
    assert row["claim"]["provider"] == "Acme"
    assert row["signer"]["organization"] == "Acme"
    assert row["soft_bindings"] == [{"alg": "com.markai.dwt-dct.1", "value": "YWNtZTo0Mg=="}]
    assert row["reasons"][0] == {
        "code": "signingCredential.trusted",
        "sentence": "The signer is on the trust list.",
        **{key: row["reasons"][0][key] for key in ("where", "detail")},
    }


def test_every_code_has_a_sentence():
    for code, sentence in codes.SENTENCES.items():
        assert re.fullmatch(r"[a-z2A-Z.-]+", code)
        assert re.fullmatch(r"[A-Z].*\.", sentence)
    assert "no words for" in codes.Reason("something.new").sentence


def test_a_report_of_any_shape_is_read():
    """What a manifest says is up to whoever wrote it."""
    shapes = [None, 7, "x", [], {}, [7], {"a": 7}, [{}], [[]], {"x": None}]
    names = ("manifests", "validation_results", "active_manifest", "validation_state")
    inner = ("assertions", "ingredients", "signature_info", "claim_generator_info", "claim_generator")
    for shape in shapes:
        for store in (
            dict.fromkeys(names, shape),
            {"active_manifest": "a", "manifests": {"a": shape}, "validation_state": "Trusted"},
            {"active_manifest": "a", "manifests": {"a": dict.fromkeys(inner, shape)}, "validation_state": "Trusted"},
            {
                "active_manifest": "a",
                "validation_state": "Trusted",
                "validation_results": {"activeManifest": shape, "ingredientDeltas": shape},
                "manifests": {
                    "a": {
                        "assertions": [
                            {"label": "c2pa.actions.v2", "data": shape},
                            {
                                "label": "c2pa.actions",
                                "data": {"actions": [{"action": shape, "digitalSourceType": shape}]},
                            },
                            {"label": "c2pa.soft-binding", "data": {"alg": shape, "blocks": [{"value": shape}]}},
                            {"label": "c2pa.soft-binding__1", "data": {"alg": "a.b", "blocks": shape}},
                            {"label": "com.markai.disclosure", "data": shape},
                        ],
                        "ingredients": [{"active_manifest": "a", "validation_results": shape, "title": shape}],
                    }
                },
            },
        ):
            for details in ({"manifests": shape}, {"manifests": [{"label": "a", "signature": shape}]}):
                found = _judge(Report(store, details, True, None), TRUST, b"", "image/png", None)
                assert found.status != "trusted"
                json.dumps(found.to_dict())


def test_a_long_or_endless_chain_of_ingredients_comes_to_an_end():
    def manifest(above: str) -> dict:
        return {"ingredients": [{"active_manifest": above, "label": "c2pa.ingredient.v3"}]}

    store = {"active_manifest": "0", "manifests": {str(n): manifest(str((n + 1) % 500)) for n in range(500)}}
    found = _judge(Report(store, {}, True, None), Trust.none(), b"", "image/png", None)
    json.dumps(found.to_dict())
    wide = {"active_manifest": "a", "manifests": {"a": {"ingredients": [{"active_manifest": "a"}] * 50}}}
    assert len(_judge(Report(wide, {}, True, None), Trust.none(), b"", "image/png", None).ingredients) == 50


# Hostile files


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("fuzz_verify")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_mutated_files_never_crash_hang_or_are_trusted(fuzz):
    """The full run, of tens of thousands, is benchmarks/fuzz_verify.py."""
    result = fuzz.run(500, seed=7)
    assert result["problems"] == []
    assert result["slowest_s"] < fuzz.SLOW_S
    trusted = sum(found.get("trusted", 0) for found in result["statuses"].values())
    assert trusted == 0
    assert sum(found.get("invalid", 0) + found.get("damaged", 0) for found in result["statuses"].values()) > 350


def test_the_judge_of_the_fuzzer_sees_what_it_should(fuzz):
    (chosen,) = [each for each in fuzz.samples(signer()) if each.name == "png"]
    inside, outside = chosen.manifest[0][0] + 40, chosen.manifest[0][1] + 40
    said = {key: chosen.said[key] for key in fuzz.SAID}
    for data, report, status in (
        (chosen.data, said, "unchanged"),
        (changed(chosen.data, inside), said, "trusted: unsigned bytes"),
        (changed(chosen.data, outside), said, "trusted"),
        (changed(chosen.data, inside), said | {"claim": None}, "trusted"),
        (chosen.data + b"x", said, "trusted"),
    ):
        assert fuzz._judge_trusted(chosen, data, None, report)[0] == status


def bomb(compressed: bool) -> bytes:
    """A PNG whose XMP, or whose colour profile, unpacks to 60 MB."""
    data = sample("png")
    packed = zlib.compress(bytes(60_000_000), 9)
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + packed if compressed else b"x\0\0" + packed
    kind = b"iTXt" if compressed else b"iCCP"
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + chunk + data[33:]


def test_bombs_stay_packed():
    for data in (bomb(True), bomb(False), b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 100_000):
        start = time.process_time()
        assert verify(data, TRUST).status in ("none", "damaged")
        assert time.process_time() - start < 5
    with pytest.raises(ImageError, match=r"damaged|more than"):
        xmp_files.read(bomb(True), "image/png")


@pytest.mark.skipif(not ODD.is_dir(), reason=f"{ODD} is not there")
def test_odd_files_have_a_status_and_are_signed_or_refused():
    """Files as they are met outside, among them damaged ones."""
    seen, refused = set(), []
    for path in sorted(path for path in ODD.iterdir() if path.suffix != ".csv"):
        found = verify(path, TRUST)
        assert found.status in ("none", "unsupported", "damaged"), path.name
        seen.add(found.status)
        try:
            result = sign(path, signer(), CLAIM)
        except MarkaiError as error:
            refused.append((path.name, " - " in str(error)))
            continue
        assert verify(result, TRUST).status == "trusted", path.name
    assert {"none", "damaged"} <= seen
    assert all(with_advice for _, with_advice in refused)
    assert {name for name, _ in refused if not name.startswith("bad_")} == {"gen_multipage.tif"}


def frames(data: bytes) -> list[tuple[str, tuple[int, int], bytes]]:
    with Image.open(io.BytesIO(data)) as picture:
        shown = []
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            shown.append((picture.mode, picture.size, picture.tobytes()))
        return shown


@pytest.mark.skipif(not ODD.is_dir(), reason=f"{ODD} is not there")
def test_pixels_of_odd_files_stay():
    kinds = (".png", ".jpg", ".webp", ".avif", ".tif", ".tiff", ".gif")
    for path in sorted(path for path in ODD.iterdir() if path.suffix in kinds):
        if not path.name.startswith(("bad_", "unsup_")) and path.name != "gen_multipage.tif":
            assert frames(sign(path, signer(), CLAIM)) == frames(path.read_bytes()), path.name


def test_a_tiff_file_of_several_pages_is_refused_for_c2pa_keeps_the_first():
    file = io.BytesIO()
    picture().save(file, "TIFF", save_all=True, append_images=[picture((8, 8))])
    with pytest.raises(SigningError, match=r"would destroy all pages .* - sign it with a sidecar"):
        sign(file.getvalue(), signer(), CLAIM)
    assert verify(sign(file.getvalue(), signer(), CLAIM, embed=False), TRUST).status == "trusted"


def test_a_gif_of_the_old_version_becomes_a_new_one():
    data = encoded("gif")
    old = b"GIF87a" + data[6:]
    result = sign(old, signer(), CLAIM)
    assert result.startswith(b"GIF89a")
    assert verify(result, TRUST).status == "trusted"
