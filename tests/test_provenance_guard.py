"""A few bytes in a manifest that claim gigabytes: c2pa would reserve them, so it never sees such a file."""

import base64
import html
import io
import struct
import time

import pytest

from markai import sign, verify
from markai.errors import SigningError
from markai.provenance import c2pa_adapter, guard
from markai.provenance.guard import claims_too_much
from markai.provenance.manifest import definition
from provenance_samples import CLAIM, EMBEDDING, MIME, sample, signer

c2pa = pytest.importorskip("c2pa")

TRUST = signer().trust()
MODEL = b"\xa3omodelIdentifier"  # a map of three, the first key a text of 15 bytes
CLAIMS = (b"\x7a\xff\xff\xff\xff", b"\x5a\xff\xff\xff\xff", b"\x7b\0\0\0\x02\0\0\0\0", b"\x5b\x7f" + b"\xff" * 7)


def exaggerated(data: bytes, claim: bytes, mime: str) -> bytes:
    """The file, with a key that claims to be longer than any memory."""
    if mime == "image/svg+xml":
        start = data.index(b"manifest>") + 9
        end = data.index(b"<", start)
        store = exaggerated(base64.b64decode(data[start:end]), claim, "application/c2pa")
        return data[:start] + base64.b64encode(store) + data[end:]
    at = data.index(MODEL[:5]) + 1
    return data[:at] + claim + data[at + len(claim) :]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("name", EMBEDDING)
def test_a_claim_of_gigabytes_is_damage_at_once(name, claim):
    data = exaggerated(sign(sample(name), signer(), CLAIM).data, claim, MIME[name])
    start = time.process_time()
    found = verify(data, TRUST)
    assert (found.status, found.reasons[0].code) == ("damaged", "com.markai.damaged")
    assert "claims more bytes than the file has" in found.reasons[0].detail
    assert time.process_time() - start < 0.5
    for options in ({}, {"parent": sample(name)}):
        with pytest.raises(SigningError, match="damaged"):
            sign(data, signer(), CLAIM, **options)


def test_so_it_is_in_a_sidecar_and_in_a_parent():
    signed = sign(b"hello", signer(), CLAIM)
    store = exaggerated(signed.sidecar, CLAIMS[0], "application/c2pa")
    assert verify(b"hello", TRUST, sidecar=store).status == "damaged"
    parent = exaggerated(sign(sample("png"), signer(), CLAIM).data, CLAIMS[0], "image/png")
    with pytest.raises(SigningError, match="damaged"):
        sign(sample("png"), signer(), CLAIM, parent=parent)


def test_a_claim_that_is_kept_or_small_is_no_harm():
    box = b"\0\0\0\x10cbor\x7a\0\0\0\x03abc"
    for stream in (
        box,
        box[:-3],
        b"\0\0\0\x0ccbor\x7a\0\x0f\xff\xff",
        b"cbor\x7a\xff\xff\xff\xff",
        b"a word: cbor\x7a" + b"\xff" * 9,
    ):
        assert not claims_too_much(stream, "application/c2pa")
    for stream in (
        b"\0\0\0\x0dcbor\x7a\xff\xff\xff\xff",
        b"\0\0\0\0cbor\x9f\x61a\xfa\0\0\0\0\xd8\x12\x1b" + b"\0" * 8 + b"\x5b" + b"\x7f" * 8,
        b"\0\0\0\1cbor\xf6\x7a\xff\xff\xff\xff",
    ):
        assert claims_too_much(stream, "application/c2pa")


@pytest.mark.parametrize("name", ["jpeg", "gif", "png", "webp", "tiff", "avif", "svg"])
def test_a_large_manifest_is_read_whole_and_guarded_to_its_end(name):
    """One of more than 64 kB is in several segments of a JPEG file, any in blocks of 255 bytes of a GIF file."""
    made = definition(CLAIM)
    made["assertions"].insert(1, {"label": "com.example.big", "data": {"x": "A" * 150_000}})
    data, _, _ = c2pa_adapter.sign(sample(name), MIME[name], made, signer())
    assert not claims_too_much(data, MIME[name])
    assert verify(data, TRUST).status == "trusted"
    assert verify(sign(data, signer(), CLAIM), TRUST).ingredients[0].status == "trusted"
    assert data.count(b"\xff\xeb") >= 3 * (name == "jpeg")
    damaged = exaggerated(data, CLAIMS[0], MIME[name])
    assert claims_too_much(damaged, MIME[name])
    assert verify(damaged, TRUST).status == "damaged"


def test_it_cannot_be_hidden_where_c2pa_still_finds_it():
    data = exaggerated(sign(sample("jpeg"), signer(), CLAIM).data, CLAIMS[0], "image/jpeg")
    at = data.index(b"\xff\xeb")
    decoys = [
        data[:at] + b"\xff\xeb\0\x12JP" + data[at + 6 : at + 8] + b"\0\0\0\1" + b"\0\0\0\x20jumb" + data[at:],
        data[:at] + b"\xff\xe5\0\x06\xff\xeb\0\x40" + data[at:],
        data[:at] + data[at:].replace(b"JP", b"XX", 1),
    ]
    segment = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    rest = data[:at] + data[at + len(segment) :]
    decoys.append(rest[:-2] + segment + rest[-2:])  # behind the pixels
    assert all(claims_too_much(each, "image/jpeg") for each in decoys)
    gif = exaggerated(sign(sample("gif"), signer(), CLAIM).data, CLAIMS[0], "image/gif")
    at = gif.index(guard.GIF_BLOCK)
    assert claims_too_much(gif[:at] + guard.GIF_BLOCK + b"\1\0\0\xff" + gif[at:], "image/gif")
    assert claims_too_much(guard.GIF_BLOCK * 100, "image/gif")
    svg = exaggerated(sign(sample("svg"), signer(), CLAIM).data, CLAIMS[0], "image/svg+xml")
    at = svg.index(b"manifest>") + 9
    escaped = b"".join(b"&#%d;" % byte for byte in svg[at : at + 40])
    assert html.unescape(escaped.decode()).encode() == svg[at : at + 40]
    assert claims_too_much(svg[:at] + escaped + svg[at + 40 :], "image/svg+xml")
    assert claims_too_much(svg[:at] + b"<![CDATA[" + svg[at:], "image/svg+xml")


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"\xff\xeb\xff\xff" * 300_000, "image/jpeg"),
        (b"\xff\xeb\0\2" * 300_000, "image/jpeg"),
        (b"\0\0\0\x08cbor" * 300_000, "application/c2pa"),
        (b"\0\0\0\0cbor" * 3_000, "application/c2pa"),
        (b"manifest>" * 200_000, "image/svg+xml"),
        (b"manifest" + b" " * 2_000_000, "image/svg+xml"),
        (guard.GIF_BLOCK + b"\0\0\0" + b"\1x" * 500_000, "image/gif"),
    ],
)
def test_looking_takes_time_in_proportion(data, mime):
    start = time.process_time()
    claims_too_much(data, mime)
    assert time.process_time() - start < 3


def test_a_packed_manifest_is_read_up_to_a_limit(monkeypatch):
    made, out = definition(CLAIM), io.BytesIO()
    made["assertions"].append({"label": "com.example.big", "data": {"x": "A" * 900_000}})
    settings = c2pa_adapter._settings(TRUST)
    settings["core"]["prefer_compress_manifests"] = True
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Builder(made, context=context) as builder,
        c2pa_adapter._native_signer(signer(), None, []) as native,
    ):
        builder.sign(native, "image/png", io.BytesIO(sample("png")), out)
    assert b"brob" in out.getvalue()
    assert len(out.getvalue()) < 10_000
    assert verify(out.getvalue(), TRUST).status == "trusted"
    monkeypatch.setattr(c2pa_adapter, "MAX_UNPACKED_MB", 0)
    found = verify(out.getvalue(), TRUST)
    assert (found.status, found.reasons[0].detail) == ("damaged", "Verify: output exceeds maximum size")


def test_boxes_of_every_length_are_walked_without_error():
    for size in range(40):
        for first in range(0, 256, 5):
            box = struct.pack(">I", 8 + size) + b"cbor" + bytes([first]) * size
            claims_too_much(box, "application/c2pa")
            claims_too_much(box[:-3], "image/png")
