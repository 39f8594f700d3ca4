"""Inspector: every verdict, every contradiction, recovery from SQLite and from PostgreSQL, and what it refuses."""

import datetime as dt
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from markai import Inspector, KeyRing, Signer, Trust, detect, detect_all, embed, sign
from markai.attacks import apply
from markai.attacks.security import copy_mark
from markai.errors import ImageError, KeyFileError, MethodError, RegistryError
from markai.inspection import contradictions, verdicts
from markai.inspection.evidence import is_named
from markai.inspection.verdicts import Verdict
from markai.inspector import Finding
from markai.marked import Marked
from markai.provenance import Claim, SoftBinding
from markai.provenance.registry import Record, Registry, sketch
from markai.provenance.xmp import claim_fields
from markai.provenance.xmp_files import write as write_xmp
from marking_samples import (
    KEY,
    OTHER_KEY,
    Pixels,
    decoded,
    encoded,
    inspector,
    marker,
    with_manifest_of,
)
from provenance_samples import CLAIM, Authority, sample, signer

pytest.importorskip("c2pa")

CAMERA = Claim("Cam", "X100", "1", source_type="digitalCapture")
STRANGER = signer("Somebody else")
WHOLE = SoftBinding.of("both", b"acme:42", KEY.id)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with what the tests share in it."""
    with Registry.open(f"sqlite:///{tmp_path_factory.mktemp('registry')}/registry.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def out(registry: Registry, photo: Pixels) -> Marked:
    """A photograph that was marked and recorded."""
    return marker(registry).mark(photo)


@pytest.fixture(scope="module")
def other(photo: Pixels) -> Pixels:
    """Another picture of that size."""
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]] / 50
    waves = 128 + 60 * np.sin(rows + 2 * np.cos(columns / 2)) + np.random.default_rng(1).normal(0, 6, rows.shape)
    return np.clip(waves[..., None] + [0, 10, -10], 0, 255).astype(np.uint8)


def codes(finding: Finding) -> list[str]:
    return [each.code for each in finding.contradictions]


def says(finding: Finding) -> tuple[Verdict, list[str], bool]:
    assert json.loads(json.dumps(finding.to_dict()))["verdict"] == finding.verdict
    return finding.verdict, codes(finding), bool(finding)


# The story that all of this is for


def test_recoded_cropped_and_stripped_it_leads_back_to_its_manifest(url: str, photo: Pixels, other: Pixels) -> None:
    with marker(url) as made:
        out = made.mark(photo, payload=b"acme:42!")  # always the same, so that the copy is
    cut = encoded(apply("crop:0.5", decoded(out.data), 1), "JPEG", quality=60)
    with inspector(url) as looking:
        finding = looking.inspect(cut)
        assert says(finding) == (Verdict.RECOVERED, [], True)
        recovered = finding.recovered
        assert recovered
        assert (finding.manifest.status, recovered.by, recovered.verdict) == ("none", "watermark", "same")
        assert (recovered.record.id, recovered.manifest.manifest_id) == (out.record_id, out.manifest_id)
        assert (recovered.intact, recovered.trusted, recovered.logged, recovered.exact) == (True, True, True, False)
        assert recovered.manifest.claim == out.claim
        assert recovered.record.manifest == out.manifest
        copied = looking.inspect(encoded(copy_mark(decoded(out.data), other, 36.0)))
        assert says(copied) == (Verdict.COPIED, [contradictions.COPIED_MARK], False)
        assert copied.watermark
        assert copied.watermark.payload == out.payload
        evidence = copied.contradictions[0].evidence
        assert (evidence["record"], evidence["agreement"]["verdict"]) == (out.record_id, "different")


# Verdicts


def test_generated_all_layers_agree(registry: Registry, out: Marked) -> None:
    finding = inspector(registry, thorough=True).inspect(out.data)
    assert says(finding) == (Verdict.GENERATED, [], True)
    assert finding.recovered
    assert (finding.recovered.exact, finding.recovered.verdict, len(finding.marks)) == (True, "same", 1)
    assert list(finding.layers) == ["manifest", "watermark", "registry", "metadata"]
    assert "AcmeGen 2.1 of Acme" in finding.layers["manifest"]
    assert "signed by Acme, who is on the trust list" in finding.layers["manifest"]
    assert f"record {out.record_id}" in finding.layers["registry"]
    assert "byte for byte" in finding.layers["registry"]


def test_generated_by_the_manifest_alone() -> None:
    signed = sign(sample("png"), signer("Acme"), CLAIM)
    assert says(inspector().inspect(signed)) == (Verdict.GENERATED, [], True)
    assert says(inspector(trust=Trust.none()).inspect(signed)) == (Verdict.GENERATED, [], True)  # nobody to trust
    assert "as it says" in inspector(trust=Trust.none()).inspect(signed).layers["manifest"]


def test_generated_by_the_mark_alone(registry: Registry, crop: Pixels) -> None:
    marked = encoded(embed(crop, KEY, payload=b"acme:42"))
    for asked in (None, registry):
        finding = inspector(asked).inspect(marked)
        assert says(finding) == (Verdict.GENERATED, [], True)
        assert "copied from elsewhere" in finding.layers["watermark"]
        assert finding.recovered is None


def test_generated_says_an_unknown_signer_and_the_mark_confirms_it(crop: Pixels) -> None:
    signed = marker(org="Somebody else").mark(crop).data
    assert says(inspector().inspect(signed)) == (Verdict.GENERATED, [], True)
    assert says(inspector(key=OTHER_KEY).inspect(signed)) == (Verdict.CLAIMED, [], False)


def test_edited_after_marking(registry: Registry, out: Marked) -> None:
    pixels = decoded(out.data).copy()
    pixels[100:200, 100:300] = 0
    finding = inspector(registry).inspect(with_manifest_of(out.data, pixels))
    assert says(finding) == (Verdict.EDITED, [contradictions.EDITED_AFTER_SIGNING], False)
    assert finding.recovered
    assert (finding.recovered.by, finding.recovered.verdict) == ("watermark", "same")


@pytest.mark.parametrize(("source_type", "verdict"), [("digitalCapture", "camera"), ("humanEdits", "human")])
def test_claimed_camera_and_claimed_human(source_type: str, verdict: str) -> None:
    claim = Claim("Cam", "X100", "1", source_type=source_type)
    wanted = Verdict[verdict.upper()]
    assert says(inspector().inspect(sign(sample("png"), signer("Acme"), claim))) == (wanted, [], True)
    assert says(inspector().inspect(sign(sample("png"), STRANGER, claim))) == (wanted, [], False)
    unsigned = write_xmp(sample("png"), "image/png", claim_fields(claim))
    assert says(inspector().inspect(unsigned)) == (wanted, [], False)


def test_signed_without_saying_how_it_was_made() -> None:
    claim = Claim("Agency", "Desk", "1", source_type="composite")
    assert says(inspector().inspect(sign(sample("png"), signer("Acme"), claim))) == (Verdict.SIGNED, [], True)


def test_claimed_generated_by_somebody_unknown_or_by_bare_metadata() -> None:
    assert says(inspector().inspect(sign(sample("png"), STRANGER, CLAIM))) == (Verdict.CLAIMED, [], False)
    finding = inspector().inspect(write_xmp(sample("png"), "image/png", claim_fields(CLAIM)))
    assert says(finding) == (Verdict.CLAIMED, [], False)
    assert "trainedAlgorithmicMedia" in finding.layers["metadata"]


def test_resembles_a_record_that_nothing_leads_to(registry: Registry, out: Marked, photo: Pixels) -> None:
    finding = inspector(registry).inspect(encoded(photo))  # the original: it looks the same, and nobody marked it
    assert says(finding) == (Verdict.RESEMBLES, [], False)
    assert [each.record.id for each in finding.lookalikes] == [out.record_id]
    assert "looks like this" in finding.layers["registry"]


def test_an_invalid_manifest_is_believed_in_nothing() -> None:
    signed = bytes(sign(sample("jpeg"), signer("Acme"), CLAIM))
    at = signed.index(b"AcmeGen", signed.index(b"jumb"))
    finding = inspector().inspect(signed[:at] + b"EvilGen" + signed[at + 7 :])
    assert finding.manifest.status in ("invalid", "damaged")
    assert says(finding) == (Verdict.INVALID, [], False)
    assert finding.layers["manifest"].startswith("Not valid: ")


def test_a_lost_record_is_found_through_the_mark_whatever_the_manifest_says(registry: Registry, out: Marked) -> None:
    wrecked = bytearray(out.data)
    wrecked[out.data.index(b"AcmeGen", out.data.index(b"caBX"))] ^= 1
    finding = inspector(registry).inspect(bytes(wrecked))
    assert not finding.manifest_holds
    assert finding.verdict is Verdict.RECOVERED


def test_nothing_found_is_no_proof(registry: Registry, other: Pixels) -> None:
    finding = inspector(registry).inspect(encoded(other))
    assert says(finding) == (Verdict.NOTHING, [], False)
    assert "not proof of human origin" in finding.verdict.sentence
    assert (finding.recovered, finding.lookalikes) == (None, ())


def test_every_verdict_and_contradiction_has_a_sentence() -> None:
    assert set(verdicts.SENTENCES) == set(Verdict)
    named = {value for name, value in vars(contradictions).items() if name.isupper() and isinstance(value, str)}
    assert set(contradictions.SENTENCES) == named


# Contradictions


def test_the_manifest_says_camera_and_the_mark_says_generated(registry: Registry, out: Marked) -> None:
    pixels = encoded(decoded(out.data))
    for who in (signer("Acme"), STRANGER):
        finding = inspector(registry).inspect(sign(pixels, who, CAMERA))
        assert finding.verdict is Verdict.CONTRADICTORY
        assert codes(finding) == [contradictions.SOURCE_DISAGREES, contradictions.OTHER_MANIFEST]
        evidence = finding.contradictions[0].evidence
        assert (evidence["says"], evidence["where"], evidence["record"]) == (
            "digitalCapture",
            "manifest",
            out.record_id,
        )
    without_record = inspector().inspect(sign(pixels, STRANGER, CAMERA))
    assert says(without_record) == (Verdict.CONTRADICTORY, [contradictions.SOURCE_DISAGREES], False)
    bare = inspector(registry).inspect(write_xmp(pixels, "image/png", claim_fields(CAMERA)))
    assert says(bare) == (Verdict.CONTRADICTORY, [contradictions.SOURCE_DISAGREES], False)
    assert bare.contradictions[0].evidence["where"] == "metadata"


def test_who_marks_his_own_photographs_contradicts_nothing(registry: Registry, crop: Pixels) -> None:
    own = marker(registry, source_type="digitalCapture").mark(crop)
    assert says(inspector(registry).inspect(own.data)) == (Verdict.CAMERA, [], True)


def test_the_soft_binding_names_another_mark(out: Marked) -> None:
    bindings = [SoftBinding.of("dwt-dct", b"another!", KEY.id)]
    finding = inspector().inspect(sign(encoded(decoded(out.data)), signer("Acme"), CLAIM, bindings=bindings))
    assert says(finding) == (Verdict.CONTRADICTORY, [contradictions.BINDING_MISMATCH], False)
    evidence = finding.contradictions[0].evidence
    assert evidence["found"]["payload"] == out.payload.hex()
    assert evidence["stated"][0]["value"] == bindings[0].value


def test_the_manifest_was_moved_onto_another_picture(registry: Registry, out: Marked, other: Pixels) -> None:
    finding = inspector(registry).inspect(with_manifest_of(out.data, other))
    assert finding.verdict is Verdict.CONTRADICTORY
    assert codes(finding) == [
        contradictions.FOREIGN_MANIFEST,
        contradictions.MARK_MISSING,
        contradictions.EDITED_AFTER_SIGNING,
    ]


def test_the_mark_was_removed_and_the_manifest_is_still_there(registry: Registry, out: Marked, photo: Pixels) -> None:
    moved = with_manifest_of(out.data, photo)
    for asked in (registry, None):  # the manifest names the key itself
        finding = inspector(asked).inspect(moved)
        assert says(finding) == (
            Verdict.EDITED,
            [contradictions.MARK_MISSING, contradictions.EDITED_AFTER_SIGNING],
            False,
        )
        assert finding.contradictions[0].evidence["key_id"] == KEY.id


def test_a_mark_under_a_key_that_is_not_at_hand_is_not_missing(registry: Registry, out: Marked, crop: Pixels) -> None:
    finding = inspector(registry, key=OTHER_KEY).inspect(out.data)
    assert says(finding) == (Verdict.GENERATED, [], True)
    assert finding.notes == (
        f"The manifest names a mark (com.markai.dwt-dct.1) under key {KEY.id}, which was not looked for.",
    )
    unnamed = sign(encoded(crop), signer("Acme"), CLAIM, bindings=[SoftBinding.of("dwt-dct", b"acme:42")])
    finding = inspector().inspect(unnamed)
    assert says(finding) == (Verdict.GENERATED, [], True)
    assert "a key that it does not name" in finding.notes[0]


def test_the_registry_knows_the_key_where_the_manifest_does_not(tmp_path: Path, crop: Pixels) -> None:
    signed = sign(encoded(crop), signer("Acme"), CLAIM, bindings=[SoftBinding.of("dwt-dct", b"acme:42")])
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        own.append(record_of(signed, payload=b"acme:42"))
        finding = inspector(own).inspect(signed)
    assert says(finding) == (Verdict.GENERATED, [contradictions.MARK_MISSING], False)


def record_of(signed: Any, **changed: Any) -> Record:
    said = {"key_id": KEY.id, "method": "dwt-dct", "media_type": "image/png", "sha256": bytes(32)}
    return Record(**{**said, "manifest": signed.manifest, "manifest_id": signed.manifest_id, **changed})


def test_several_marks(registry: Registry, out: Marked, other: Pixels) -> None:
    second = marker(registry).mark(other)
    page = np.hstack([decoded(out.data), decoded(second.data)])
    finding = inspector(registry, thorough=True).inspect(encoded(page))
    assert says(finding) == (Verdict.RECOVERED, [contradictions.SEVERAL_MARKS], False)
    assert {each.record.id for each in finding.records} == {out.record_id, second.record_id}
    assert {each.verdict for each in finding.records} == {"same"}
    shares = [mark["share"] for mark in finding.contradictions[0].evidence["marks"]]
    assert all(0.3 < share < 0.7 for share in shares)


def test_marks_that_the_history_explains_are_no_contradiction(registry: Registry, out: Marked) -> None:
    again = marker(registry).mark(out.data)
    finding = inspector(registry, thorough=True).inspect(again.data)
    assert says(finding) == (Verdict.GENERATED, [], True)
    assert finding.recovered
    assert finding.recovered.record.id == again.record_id


def test_marked_by_two_companies(out: Marked, registry: Registry) -> None:
    ring = KeyRing([KEY, OTHER_KEY])
    both = encoded(embed(decoded(out.data), OTHER_KEY, payload=b"globex"))
    finding = inspector(registry, key=ring, thorough=True).inspect(both)
    assert contradictions.SEVERAL_MARKS in codes(finding)
    assert {mark.key_id for mark in finding.marks} == {KEY.id, OTHER_KEY.id}


# Methods


def test_the_learned_mark_leads_to_its_record(registry: Registry, photo: Pixels) -> None:
    pytest.importorskip("onnxruntime")
    out = marker(registry, method="learned").mark(photo, payload=b"method-0")
    with inspector(registry) as looking:
        finding = looking.inspect(encoded(decoded(out.data), "JPEG", quality=60))
    assert says(finding) == ("recovered", [], True)
    assert f"({out.method}, p = " in finding.layers["watermark"]
    assert finding.recovered
    assert (finding.recovered.record.id, finding.recovered.record.method) == (out.record_id, "learned")


def test_both_marks_of_a_picture_are_one_story(registry: Registry, photo: Pixels) -> None:
    pytest.importorskip("onnxruntime")
    out = marker(registry, method="both").mark(photo, payload=b"method-1")
    with inspector(registry, thorough=True) as looking:
        whole = looking.inspect(out.data)
        lossy = looking.inspect(encoded(decoded(out.data), "JPEG", quality=60))
    assert says(whole) == ("generated", [], True)
    assert says(lossy) == ("recovered", [], True)
    for finding in (whole, lossy):
        assert {(mark.method, mark.payload) for mark in finding.marks} == {
            ("dwt-dct", out.payload),
            ("learned", out.payload),
        }
        assert [each.record.method for each in finding.records] == ["both"]
        assert "(dwt-dct and learned, p = " in finding.layers["watermark"]


def test_two_marks_of_which_one_is_only_proved_by_its_payload(photo: Pixels) -> None:
    pytest.importorskip("onnxruntime")
    marked = embed(photo, KEY, b"paylo003", method="both")
    found = detect(marked, KEY, method="dwt-dct")
    assert found.payload == b"paylo003"
    assert found.p_value > 1e-9


def test_either_of_two_marks_confirms_an_unknown_signer(registry: Registry, photo: Pixels) -> None:
    pytest.importorskip("onnxruntime")
    made = marker(org="Nobody", method="both").mark(photo, payload=b"method-2")
    named = sign(embed(encoded(photo), KEY, b"acme:42", "learned"), STRANGER, CLAIM, bindings=[WHOLE])
    with inspector(registry) as looking:
        assert says(looking.inspect(made.data)) == ("generated", [], True)
        finding = looking.inspect(named)  # a manifest that names both by one name
        assert finding.watermark
        assert (says(finding), finding.watermark.method) == (("generated", [], True), "learned")
        assert says(looking.inspect(sign(encoded(photo), STRANGER, CLAIM, bindings=[WHOLE])))[1] == ["mark-missing"]


def test_a_payload_that_one_of_two_marks_lost_is_no_other_content(
    registry: Registry, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    out = marker(registry, method="both").mark(photo, payload=b"method-3")
    found = detect_all(out.data, KEY)
    assert {mark.method for mark in found} == {"dwt-dct", "learned"}
    lost = [replace(mark, payload=None) if mark.method == "dwt-dct" else mark for mark in found]
    read = next(mark for mark in lost if mark.payload)
    monkeypatch.setattr("markai.inspector.detect", lambda *_, **__: read)
    monkeypatch.setattr("markai.inspector.detect_all", lambda *_, **__: lost)
    with inspector(registry, thorough=True) as looking:
        finding = looking.inspect(out.data)
    assert (codes(finding), finding.marks) == ([], (read,))


def test_somebody_signed_it_again_and_left_out_its_history(registry: Registry, out: Marked) -> None:
    pixels = encoded(decoded(out.data))
    finding = inspector(registry).inspect(sign(pixels, STRANGER, CLAIM))
    assert says(finding) == (Verdict.GENERATED, [contradictions.OTHER_MANIFEST], False)  # says the record, at least
    assert finding.contradictions[0].evidence["recorded"] == out.manifest_id
    kept = inspector(registry).inspect(sign(pixels, STRANGER, CLAIM, parent=out.data))
    assert codes(kept) == []


def test_a_manifest_that_only_has_the_id_of_another_is_not_that(tmp_path: Path, crop: Pixels) -> None:
    """Whoever signs chooses the id: here a record has that of a stranger's manifest, and another signer."""
    marked = embed(crop, KEY, payload=b"acme:42")
    bindings = [SoftBinding.of("dwt-dct", b"acme:42", KEY.id)]
    stranger = sign(encoded(marked), STRANGER, Claim("Globex", "Gen", "1"), bindings=bindings)
    own = sign(encoded(marked), signer("Acme"), CLAIM, bindings=bindings)
    store = own.manifest.replace(own.manifest_id.encode(), stranger.manifest_id.encode())  # breaks its signature
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as kept:
        kept.append(record_of(stranger, payload=b"acme:42", manifest=store, sketch=sketch(marked)))
        finding = inspector(kept).inspect(stranger)
        assert codes(finding) == [contradictions.RECORD_BROKEN]
        recovered = finding.recovered
        assert recovered
        assert not is_named(finding, recovered)


def test_a_record_that_was_altered(tmp_path: Path, crop: Pixels) -> None:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        out = marker(own).mark(crop)
        with own._database.writing() as connection:
            for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
            connection.execute(text("UPDATE markai_records SET method = 'learned'"))
        finding = inspector(own).inspect(encoded(decoded(out.data)))
    assert says(finding) == (Verdict.GENERATED, [contradictions.RECORD_BROKEN], False)
    assert finding.contradictions[0].evidence["logged"] is False


@pytest.mark.parametrize("wrong", ["payload", "signature", "junk"])
def test_a_record_whose_manifest_does_not_hold(tmp_path: Path, crop: Pixels, wrong: str) -> None:
    marked = embed(crop, KEY, payload=b"acme:42")
    bindings = [SoftBinding.of("dwt-dct", b"another" if wrong == "payload" else b"acme:42")]
    signed = sign(encoded(marked), signer("Acme"), CLAIM, bindings=bindings)
    store = bytearray(signed.manifest)
    if wrong == "signature":
        store[store.rindex(b"AcmeGen")] ^= 1
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        own.append(record_of(signed, payload=b"acme:42", manifest=b"junk" if wrong == "junk" else bytes(store)))
        finding = inspector(own).inspect(encoded(marked))
    assert says(finding) == (Verdict.GENERATED, [contradictions.RECORD_BROKEN], False)
    assert finding.recovered
    assert (finding.recovered.intact, finding.recovered.logged) == (False, True)


def test_the_metadata_says_something_else_than_the_manifest() -> None:
    for claim, said in ((CLAIM, CAMERA), (CAMERA, CLAIM)):
        data = write_xmp(sample("png"), "image/png", claim_fields(said))
        finding = inspector().inspect(sign(data, signer("Acme"), claim, metadata=False))
        assert codes(finding) == [contradictions.METADATA_DISAGREES]
        assert not finding


def test_something_that_it_was_made_from_was_changed() -> None:
    parent = bytearray(sign(sample("jpeg"), signer("Acme"), CLAIM))
    parent[-20] ^= 1
    finding = inspector().inspect(sign(sample("png"), signer("Acme"), CLAIM, parent=bytes(parent)))
    assert says(finding) == (Verdict.GENERATED, [contradictions.HISTORY_INVALID], False)


# Recovery in detail


def test_a_certificate_that_expired_after_the_record_was_made_does_no_harm(tmp_path: Path, crop: Pixels) -> None:
    root = Authority("Acme")
    chain, key = root.issue(org="Acme", valid=(-dt.timedelta(days=1), dt.timedelta(seconds=3)))
    brief, bindings = Signer(chain, key=key), [SoftBinding.of("dwt-dct", b"acme:42")]
    marked = encoded(embed(crop, KEY, payload=b"acme:42"))
    signed = sign(marked, brief, CLAIM, bindings=bindings)
    late = sign(marked, brief, CLAIM, bindings=bindings)
    time.sleep(max(0.0, (brief.not_after - dt.datetime.now(dt.UTC)).total_seconds()) + 1)
    for each, intact in ((signed, True), (late, False)):
        created = brief.not_after + dt.timedelta(seconds=-2 if intact else 1)
        with Registry.open(f"sqlite:///{tmp_path}/{intact}.db") as own:
            own.append(record_of(each, payload=b"acme:42", created=created))
            finding = inspector(own, trust=Trust(manifest=root.pem)).inspect(marked)
        assert finding.recovered
        assert (finding.recovered.intact, finding.recovered.trusted) == (intact, False)


def test_a_record_without_a_manifest_or_a_sketch(tmp_path: Path, crop: Pixels) -> None:
    marked = embed(crop, KEY, payload=b"acme:42")
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        said = {"key_id": KEY.id, "method": "dwt-dct", "media_type": "image/png", "sha256": bytes(32)}
        own.append(Record(payload=b"acme:42", **said))
        own.append(Record(payload=b"acme:43", sketch=b"of the future", **said))
        finding = inspector(own).inspect(encoded(marked))
        assert says(finding) == (Verdict.GENERATED, [], True)
        assert finding.recovered
        assert (finding.recovered.verdict, finding.recovered.agreement) == ("unclear", None)
        newer = inspector(own).inspect(encoded(embed(crop, KEY, payload=b"acme:43")))
        assert newer.recovered
        assert newer.recovered.agreement is None


def test_where_nothing_can_be_compared_nothing_is_proved(tmp_path: Path, crop: Pixels) -> None:
    marked = embed(crop, KEY, payload=b"acme:42")
    signed = sign(encoded(marked), signer("Acme"), CLAIM, bindings=[SoftBinding.of("dwt-dct", b"acme:42")])
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as own:
        own.append(record_of(signed, payload=b"acme:42"))  # and no sketch
        finding = inspector(own).inspect(encoded(marked))
    assert finding.recovered
    assert (finding.verdict, finding.recovered.verdict, bool(finding)) == (Verdict.RECOVERED, "unclear", False)
    assert "cannot be compared" in finding.layers["registry"]
    assert "a copied mark is not ruled out" in finding.notes[0]


def test_the_mirror_image_and_one_that_is_turned_are_traced_as_well(registry: Registry, out: Marked) -> None:
    for attack in ("mirror", "rotate-expand:90", "resize:0.5", "erase:0.25"):
        finding = inspector(registry).inspect(encoded(apply(attack, decoded(out.data), 1), "JPEG", quality=80))
        assert says(finding) == (Verdict.RECOVERED, [], True), attack


# Files, sidecars, limits


def test_paths_sidecars_and_kinds_without_marks(tmp_path: Path, registry: Registry, crop: Pixels) -> None:
    out = marker(registry).mark(encoded(crop, "BMP"))
    out.save(tmp_path / "a.bmp")
    looking = inspector(registry)
    for given in (str(tmp_path / "a.bmp"), tmp_path / "a.bmp"):
        assert says(looking.inspect(given)) == (Verdict.GENERATED, [], True)
    assert says(looking.inspect(out.data)) == (Verdict.RECOVERED, [], True)
    for sidecar in (out.sidecar, tmp_path / "a.bmp.c2pa"):
        assert says(looking.inspect(out.data, sidecar=sidecar)) == (Verdict.GENERATED, [], True)
    (tmp_path / "b.bmp").write_bytes(out.data)
    (tmp_path / "b.bmp.c2pa").write_bytes(b"junk")
    assert looking.inspect(tmp_path / "b.bmp").verdict is Verdict.RECOVERED
    for name in ("svg", "wav", "pdf"):
        finding = looking.inspect(sign(sample(name), signer("Acme"), CLAIM))
        assert says(finding) == (Verdict.GENERATED, [], True)
        assert finding.watermark is None
    plain = looking.inspect(b"some words", mime="text/plain")
    assert says(plain) == (Verdict.NOTHING, [], False)


def test_pixels_and_metadata_that_cannot_be_read_are_a_note(registry: Registry, crop: Pixels) -> None:
    signed = bytes(sign(encoded(crop, "JPEG"), signer("Acme"), CLAIM))
    cut = inspector(registry).inspect(signed[: len(signed) // 2])
    assert cut.watermark is None
    assert "The pixels cannot be read" in cut.notes[0]
    broken = write_xmp(encoded(crop), "image/png", claim_fields(CLAIM)).replace(b"</rdf:RDF>", b"</rdf:XXX>")
    assert any("metadata" in note for note in inspector().inspect(broken).notes)
    for data in (b"", b"junk", b"\x89PNG\r\n\x1a\n"):
        finding = inspector(registry).inspect(data)
        assert finding.verdict in (Verdict.NOTHING, Verdict.INVALID)
    with pytest.raises(ImageError, match="cannot be read"):
        inspector().inspect("absent.png")


def test_more_bytes_or_pixels_than_allowed_are_refused_before_they_are_decoded(tmp_path: Path, crop: Pixels) -> None:
    data = encoded(crop)
    (tmp_path / "a.png").write_bytes(data)
    small = inspector(max_bytes=len(data) - 1)
    for given in (data, tmp_path / "a.png"):
        with pytest.raises(ImageError, match="max_bytes"):
            small.inspect(given)
    with pytest.raises(ImageError, match="max_pixels"):
        inspector(max_pixels=crop.size // 3 - 1).inspect(data)
    assert inspector(max_pixels=crop.size // 3, max_bytes=len(data)).inspect(data).verdict is Verdict.NOTHING


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no such file"):
        inspector(f"sqlite:///{tmp_path}/absent.db")
    assert not list(tmp_path.iterdir())


def test_without_a_key_no_marks_are_looked_for(registry: Registry, out: Marked, tmp_path: Path) -> None:
    looking = inspector(registry, key=None)
    finding = looking.inspect(out.data)
    assert (finding.verdict, finding.watermark, finding.marks, bool(finding)) == (Verdict.GENERATED, None, (), True)
    assert finding.recovered
    assert finding.recovered.by == "manifest"
    assert looking.inspect(b"some words", mime="text/plain").watermark is None
    marked = marker().mark(encoded(np.full((300, 300, 3), 128, np.uint8), "BMP"))
    marked.save(tmp_path / "a.bmp")
    assert looking.inspect(marked.data, origin=tmp_path / "a.bmp").verdict is Verdict.GENERATED  # the sidecar beside it


def test_what_cannot_work_is_said_at_once() -> None:
    with pytest.raises(KeyFileError):
        Inspector([b"no key"])  # type: ignore[arg-type]
    for fpr in (0, 1, -1):
        with pytest.raises(MethodError, match="rate"):
            inspector(fpr=fpr)


def test_its_own_registry_is_closed_and_that_of_others_is_not(tmp_path: Path, crop: Pixels) -> None:
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as shared, inspector(shared) as looking:
        assert "registry.db" in repr(looking)
        looking.inspect(encoded(crop))
        looking.close()
        assert len(shared) == 0


def test_threads_share_one(registry: Registry, out: Marked) -> None:
    looking = inspector(registry)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(looking.inspect, [out.data] * 8))
    assert {finding.verdict for finding in found} == {Verdict.GENERATED}
