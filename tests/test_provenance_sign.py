"""Signing: every kind of file, the history kept, the clock's policies, keys that live elsewhere, processes."""

import datetime as dt
import io
import json
import os
import pickle
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from PIL import Image

from markai import Signer, Trust, sign, verify
from markai.errors import ImageError, SigningError, TimestampError
from markai.provenance import Claim, Signed, SoftBinding, c2pa_adapter, xmp_files
from provenance_samples import (
    CLAIM,
    EMBEDDING,
    MIME,
    PICTURES,
    Authority,
    encoded,
    new_key,
    sample,
    signer,
    time_stamping,
)

c2pa = pytest.importorskip("c2pa")

ROOT = Authority()
CHAIN, KEY = ROOT.issue()
TRUST = Trust(manifest=ROOT.pem)


def reader(data: bytes, mime: str, root: bytes, sidecar: bytes | None = None) -> dict:
    """What c2pa says by itself, with a root of ours and no setting of markai's but "no network"."""
    settings = {
        "version": 1,
        "trust": {"trust_anchors": root.decode()},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader(mime, io.BytesIO(data), sidecar, context=context) as read,
    ):
        return json.loads(read.json())


@pytest.mark.parametrize("name", EMBEDDING)
def test_every_kind_of_file_is_signed_inside_and_a_bare_reader_trusts_it(name):
    signed = sign(sample(name), signer(), CLAIM, bindings=[SoftBinding.of("dwt-dct", b"acme:42")])
    assert (type(signed), signed.mime, signed.sidecar, signed.time_stamped) == (Signed, MIME[name], None, False)
    assert reader(signed, MIME[name], signer().trust().manifest)["validation_state"] == "Trusted"
    found = verify(signed, signer().trust())
    assert (found.status, found.claim, found.manifest_id) == ("trusted", CLAIM, signed.manifest_id)
    assert (found.source_type, found.is_ai, found.embedded) == ("trainedAlgorithmicMedia", True, True)
    assert found.actions == ("c2pa.created", "c2pa.watermarked.bound")
    assert [binding.alg for binding in found.soft_bindings] == ["com.markai.dwt-dct.1"]
    assert found.soft_bindings[0].matches(b"acme:42")
    json.dumps(found.to_dict())


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_stay_and_no_thumbnail_is_added(name):
    signed = sign(sample(name), signer(), CLAIM)
    assert len(signed) < len(sample(name)) + 8_000
    before, after = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in (sample(name), signed))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("name", ["text", *PICTURES, "svg", "wav"])
def test_a_sidecar_fits_any_kind_of_file_and_one_changed_byte_shows(name):
    data = sample(name)
    signed = sign(data, signer(), CLAIM, mime=MIME[name], embed=False)
    assert (signed.data, signed.manifest) == (data, signed.sidecar)
    assert verify(data, signer().trust(), sidecar=signed.sidecar, mime=MIME[name]).status == "trusted"
    assert verify(signed, signer().trust()).status == "trusted"  # it knows its own
    assert reader(data, MIME[name], signer().trust().manifest, signed.sidecar)["validation_state"] == "Trusted"
    changed = bytearray(data)
    changed[-12] ^= 4
    found = verify(bytes(changed), signer().trust(), sidecar=signed.sidecar, mime=MIME[name])
    assert found.status in ("invalid", "damaged")
    if name == "text":
        assert [reason.code for reason in found.reasons] == ["assertion.dataHash.mismatch"]


@pytest.mark.parametrize("mime", ["application/octet-stream", "text/markdown", "image/bmp", "x-own/kind", None])
def test_what_holds_no_manifest_gets_a_sidecar_by_itself(mime):
    signed = sign(b"hello", signer(), CLAIM, mime=mime)
    assert signed.sidecar
    assert verify(b"hello", signer().trust(), sidecar=signed.sidecar, mime=mime)


def test_what_cannot_be_is_refused():
    with pytest.raises(SigningError, match=r"text/plain holds no manifest - leave embed out"):
        sign(b"hello", signer(), CLAIM, mime="text/plain", embed=True)
    with pytest.raises(SigningError, match=r"never fits - leave embed out"):
        sign(sample("pdf"), signer(), CLAIM, embed=False)
    with pytest.raises(ImageError, match=r"no media type"):
        sign(b"hello", signer(), CLAIM, mime="text")
    with pytest.raises(TypeError, match=r"not int"):
        sign(7, signer(), CLAIM)
    for damaged in (sample("png")[:-40], sample("jpeg")[:10], b"\x89PNG\r\n\x1a\n"):
        with pytest.raises((SigningError, ImageError), match=" - "):
            sign(damaged, signer(), CLAIM)


def test_paths_are_read_and_not_changed(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(sample("png"))
    assert verify(sign(str(path), signer(), CLAIM), signer().trust())
    assert path.read_bytes() == sample("png")
    with pytest.raises(ImageError, match="cannot be read"):
        sign(tmp_path / "absent.png", signer(), CLAIM)


def test_a_result_is_bytes_that_remember_what_belongs_to_them():
    signed = sign(b"hello", signer(), CLAIM, mime="text/plain")
    again = pickle.loads(pickle.dumps(signed))
    assert again == signed == b"hello"
    assert vars(again) == vars(signed)


# The history


def test_signing_again_keeps_the_old_manifest_with_its_own_status():
    first = sign(sample("jpeg"), signer("First"), CLAIM, bindings=[SoftBinding.of("dwt-dct", b"1")])
    second = sign(first, signer("Second"), Claim("Second", "Editor", "1"))
    found = verify(second, signer("Second").trust())
    assert (found.status, found.chain_intact, found.actions) == ("trusted", True, ("c2pa.opened", "c2pa.edited"))
    (parent,) = found.ingredients
    assert (parent.status, parent.relationship, parent.manifest_id) == ("valid", "parentOf", first.manifest_id)
    assert (parent.claim, parent.signer.organization) == (CLAIM, "First")
    assert parent.soft_bindings[0].matches(b"1")
    assert not found.soft_bindings
    assert verify(second, signer("First").trust()).ingredients[0].status == "trusted"
    assert verify(second, signer("First").trust()).status == "valid"


def test_a_chain_of_three_is_walked_to_its_end():
    chain = sample("png")
    for number in range(4):
        chain = sign(chain, signer(f"Org {number}"), Claim("Acme", "Editor", str(number)))
    found = verify(chain, signer("Org 1").trust())
    said = []
    while found.ingredients:
        (found,) = found.ingredients
        said.append((found.status, found.claim.version))
    assert said == [("valid", "2"), ("trusted", "1"), ("valid", "0")]


def test_a_tampered_parent_is_reported_though_the_child_is_trusted():
    first = bytearray(sign(sample("jpeg"), signer(), CLAIM))
    first[-20] ^= 1
    child = sign(bytes(first), signer(), CLAIM)
    assert reader(child, "image/jpeg", signer().trust().manifest)["validation_state"] == "Trusted"
    found = verify(child, signer().trust())
    assert (found.status, found.chain_intact, found.ingredients[0].status) == ("trusted", False, "invalid")
    assert "assertion.dataHash.mismatch" in {reason.code for reason in found.reasons}
    grandchild = verify(sign(child, signer(), CLAIM), signer().trust())
    assert (grandchild.status, grandchild.chain_intact) == ("trusted", False)
    assert "assertion.dataHash.mismatch" in {reason.code for reason in grandchild.reasons}


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_before_it_was_marked_is_kept_as_the_parent(name):
    """Its metadata and pixels are other ones: it is hashed as it was, not as it became."""
    first = sign(sample(name), signer(), CLAIM)
    found = verify(sign(encoded(name, comment=b"x") if name == "gif" else sample(name), signer(), CLAIM, parent=first))
    assert [(each.status, each.manifest_id) for each in found.ingredients] == [("valid", first.manifest_id)]
    found = verify(sign(sample(name), signer(), CLAIM, parent=sample(name)))
    assert [each.status for each in found.ingredients] == ["none"]
    assert "ingredient.unknownProvenance" in {reason.code for reason in found.ingredients[0].reasons}


def test_a_damaged_manifest_is_never_dropped_silently():
    first = bytearray(sign(sample("jpeg"), signer(), CLAIM))
    first[first.index(b"c2ma")] ^= 16
    with pytest.raises(SigningError, match="damaged and would be lost"):
        sign(bytes(first), signer(), CLAIM)
    beside = sign(bytes(first), signer(), CLAIM, embed=False)  # the file stays as it is
    assert beside == bytes(first)


def test_what_an_outer_signer_records_of_an_ingredient_makes_nobody_trusted():
    """The outer signer trusts the inner one, under a list that is named as ours, and says so in the manifest."""
    inner = sign(sample("jpeg"), signer("Inner"), CLAIM)
    settings = c2pa_adapter._settings(Trust(manifest=signer("Inner").trust().manifest))
    outer = io.BytesIO()
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Builder({"claim_generator_info": [{"name": "x"}], "assertions": []}, context=context) as builder,
        c2pa_adapter._native_signer(signer("Outer"), None, []) as native,
    ):
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        builder.sign(native, "image/jpeg", io.BytesIO(inner), outer)
    outer_only, both = signer("Outer").trust(), signer("Outer").trust().manifest + signer("Inner").trust().manifest
    recorded = reader(outer.getvalue(), "image/jpeg", ROOT.pem)["manifests"]
    assert "found in [urn:markai:trust:manifest]" in json.dumps(recorded)
    found = verify(outer.getvalue(), outer_only)
    assert (found.status, found.ingredients[0].status) == ("trusted", "valid")
    assert verify(outer.getvalue(), Trust(manifest=both)).ingredients[0].status == "trusted"
    as_clock = Trust(manifest=outer_only.manifest, tsa=signer("Inner").trust().manifest)
    assert verify(outer.getvalue(), as_clock).ingredients[0].status == "valid"


# Time


def test_a_time_stamp_keeps_a_file_valid_after_its_certificate_has_expired():
    chain, key = ROOT.issue(valid=(-dt.timedelta(days=30), dt.timedelta(seconds=3)))
    with time_stamping() as tsa:
        stamped = sign(sample("jpeg"), Signer(chain, key=key, tsa_url=tsa.url), CLAIM)
        plain = sign(sample("jpeg"), Signer(chain, key=key), CLAIM)
        assert (stamped.time_stamped, plain.time_stamped, tsa.asked) == (True, False, 1)
    both = Trust(manifest=ROOT.pem, tsa=tsa.root)
    assert verify(plain, both).status == "trusted"
    time.sleep(3.2)
    found = verify(stamped, both)
    assert (found.status, found.time_trusted) == ("trusted", True)
    assert abs(found.time - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=30)
    for data, trust in ((plain, both), (stamped, TRUST), (stamped, Trust(manifest=ROOT.pem + tsa.root))):
        found = verify(data, trust)
        assert (found.status, found.time_trusted) == ("invalid", False)
        assert "signingCredential.expired" in {reason.code for reason in found.reasons}
        assert any("no trusted time stamp" in reason.sentence for reason in found.reasons)


@pytest.mark.parametrize("mode", ["error", "garbage", "forged"])
def test_policies_when_the_authority_fails(mode):
    with time_stamping() as tsa:
        tsa.mode = mode
        with pytest.raises(TimestampError, match=f"{tsa.url} gave no time stamp .* - try again, or sign with"):
            sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=tsa.url), CLAIM)
        signed = sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=tsa.url, timestamp="best-effort"), CLAIM)
        assert not signed.time_stamped
        found = verify(signed, TRUST)
        assert (found.status, found.time) == ("trusted", None)


def test_policies_when_nobody_is_there():
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(TimestampError):
        sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=nowhere), CLAIM)
    assert verify(sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=nowhere, timestamp="best-effort"), CLAIM), TRUST)
    assert verify(sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=nowhere, timestamp="off"), CLAIM), TRUST)


def test_policies_are_checked_before_anything_is_signed():
    with pytest.raises(SigningError, match="no time stamp policy 'maybe'"):
        Signer(CHAIN, key=KEY, timestamp="maybe")
    for policy in ("require", "best-effort"):
        with pytest.raises(SigningError, match="needs an authority"):
            Signer(CHAIN, key=KEY, timestamp=policy)


def test_best_effort_says_so_in_the_log(caplog):
    sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url="http://127.0.0.1:9", timestamp="best-effort"), CLAIM)
    assert "signed without a time stamp" in caplog.text


def test_a_failure_for_another_reason_is_not_blamed_on_the_clock():
    with time_stamping() as tsa, pytest.raises(SigningError) as caught:
        sign(sample("png")[:-40], Signer(CHAIN, key=KEY, tsa_url=tsa.url), CLAIM, metadata=False)
    assert not isinstance(caught.value, TimestampError)


# Keys that live elsewhere


def test_callbacks_sign_with_every_kind_of_key():
    def ecdsa(key, digest, raw):
        def callback(data: bytes) -> bytes:
            der = key.sign(data, ec.ECDSA(digest))
            size = (key.key_size + 7) // 8
            return b"".join(value.to_bytes(size, "big") for value in utils.decode_dss_signature(der)) if raw else der

        return callback

    p256, p384, own, rsa = new_key(), new_key("p384"), new_key("ed25519"), new_key("rsa2048")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    for key, callback in (
        (p256, ecdsa(p256, hashes.SHA256(), True)),
        (p256, ecdsa(p256, hashes.SHA256(), False)),
        (p384, ecdsa(p384, hashes.SHA384(), True)),
        (own, own.sign),
        (rsa, lambda data: rsa.sign(data, pss, hashes.SHA256())),
    ):
        chain, _ = ROOT.issue(key=key)
        assert verify(sign(sample("png"), Signer.from_callback(chain, callback), CLAIM), TRUST).status == "trusted"


def test_a_callback_may_take_its_chain_from_a_file(tmp_path):
    (tmp_path / "chain.pem").write_bytes(CHAIN)
    key = load_pem_private_key(KEY, None)
    remote = Signer.from_callback(tmp_path / "chain.pem", lambda data: key.sign(data, ec.ECDSA(hashes.SHA256())))
    assert verify(sign(sample("png"), remote, CLAIM), TRUST)


def test_what_a_callback_raises_is_told_and_a_wrong_signature_is_not_written():
    def broken(_: bytes) -> bytes:
        raise ConnectionError("the vault is sealed")

    with pytest.raises(SigningError, match="the vault is sealed") as caught:
        sign(sample("png"), Signer.from_callback(CHAIN, broken), CLAIM)
    assert isinstance(caught.value.__cause__, ConnectionError)
    for answer in (b"\0" * 64, b"", b"x" * 5000, "text"):
        with pytest.raises(SigningError, match=" - "):
            sign(sample("png"), Signer.from_callback(CHAIN, lambda _, answer=answer: answer), CLAIM)


# Processes, threads, the network


def test_it_works_in_a_child_that_was_forked_after_use():
    signed = sign(sample("jpeg"), signer(), CLAIM)
    assert verify(signed, signer().trust())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            again = sign(signed, signer(), CLAIM)
            found = verify(again, signer().trust())
            code = 0 if (found.status, len(found.ingredients)) == ("trusted", 1) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_share_signers_and_trust():
    found: list[str] = []

    def work(number: int) -> None:
        for _ in range(5):
            data = sign(sample(PICTURES[number % len(PICTURES)]), signer(), CLAIM)
            found.append(verify(data, signer().trust()).status)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["trusted"] * 40


def test_a_manifest_that_is_kept_elsewhere_is_never_fetched():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        url, out = f"http://127.0.0.1:{server.server_port}/m.c2pa", io.BytesIO()
        with (
            c2pa.Context.from_dict(c2pa_adapter._settings(Trust.none())) as context,
            c2pa.Builder({"claim_generator_info": [{"name": "x"}], "assertions": []}, context=context) as builder,
            c2pa_adapter._native_signer(signer(), None, []) as native,
        ):
            builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA)
            builder.set_no_embed()
            builder.set_remote_url(url)
            builder.sign(native, "image/jpeg", io.BytesIO(sample("jpeg")), out)
        assert url.encode() in out.getvalue()
        found = verify(out.getvalue(), signer().trust())
        again = sign(out.getvalue(), signer(), CLAIM)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (found.status, [reason.code for reason in found.reasons]) == ("none", ["manifest.inaccessible"])
    assert verify(again, signer().trust()).status == "trusted"
    assert not asked


def test_the_settings_have_their_effects():
    """c2pa ignores a setting that it does not know: each of ours must show."""
    settings = c2pa_adapter._settings(Trust(manifest=ROOT.pem))
    big = io.BytesIO()
    Image.new("RGB", (600, 600)).save(big, "PNG")
    plain = len(sign(big.getvalue(), signer(), CLAIM))
    assert plain < len(big.getvalue()) + 8_000
    documents, key = ROOT.issue(purposes=("1.3.6.1.5.5.7.3.36",))
    assert verify(sign(sample("png"), Signer(documents, key=key), CLAIM), TRUST).status == "trusted"
    assert settings["verify"] == {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True}
    assert settings["version"] == 1


def test_without_c2pa_the_pip_line_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "c2pa", None)
    for call in (lambda: verify(sample("png")), lambda: sign(sample("png"), signer(), CLAIM)):
        c2pa_adapter.embeddable.cache_clear()
        with pytest.raises(ImportError, match=r"C2PA manifests need c2pa-python: pip install 'markai\[c2pa\]'"):
            call()


def test_metadata_is_written_before_the_signature_and_may_be_left_out():
    assert xmp_files.read(sign(sample("png"), signer(), CLAIM), "image/png")["markai:Provider"] == ("Acme",)
    assert xmp_files.read(sign(sample("png"), signer(), CLAIM, metadata=False), "image/png") == {}
    assert xmp_files.read(sign(sample("png"), signer(), CLAIM, embed=False), "image/png") == {}


def test_a_picture_that_c2pa_would_destroy_is_refused():
    """c2pa-rs 0.91 moves the pictures of an AVIF file, and writes wrong offsets where they count from a base of 0."""
    data = sample("avif")
    at = data.index(b"iloc") - 4
    old = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    (offset, length) = (int.from_bytes(old[-8:-4], "big"), int.from_bytes(old[-4:], "big"))
    assert old[8:22].hex() == "0000000044000001000100000001"
    based = (len(old) + 4).to_bytes(4, "big") + old[4:12] + b"\x44\x40" + old[14:20] + bytes(4) + old[20:22]
    based += (offset + 4).to_bytes(4, "big") + length.to_bytes(4, "big")
    grown = data[:at] + based + data[at + len(old) :]
    meta = grown.index(b"meta") - 4
    grown = grown[:meta] + (int.from_bytes(grown[meta : meta + 4], "big") + 4).to_bytes(4, "big") + grown[meta + 4 :]
    Image.open(io.BytesIO(grown)).load()
    with pytest.raises(SigningError, match="would destroy this picture"):
        sign(grown, signer(), CLAIM, metadata=False)
    Image.open(io.BytesIO(sign(grown, signer(), CLAIM))).load()  # with metadata the offsets are written anew
