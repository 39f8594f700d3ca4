"""XMP: merged without rewriting the rest, spliced without touching a pixel, read without being hurt."""

import io
import struct
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from markai import sign, verify
from markai.errors import ImageError, MarkaiError
from markai.provenance import Claim, Tc260, xmp, xmp_bmff, xmp_files
from markai.provenance.xmp import RDF, claim_fields, merge, read
from provenance_samples import CLAIM, MIME, PICTURES, encoded, picture, sample, signer

WHOLE = Claim("Acme & Söhne <AG>", "AcmeGen", "2.1", prompt='a "cat" in 서울 & <b>', tc260=Tc260("Acme", "7"))
FIELDS = claim_fields(WHOLE)
PLAIN = {
    name: (value.removeprefix("http://cv.iptc.org/newscodes/digitalsourcetype/"),) for name, value in FIELDS.items()
}
OTHERS = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<!-- kept --><x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" i:AISystemUsed='Old &gt; 1'
    xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/png">
   <i:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</i:DigitalSourceType>
   <dc:creator><rdf:Seq><rdf:li>Me</rdf:li></rdf:Seq></dc:creator>
   <i:AIPromptInformation/><i:Event>kept</i:Event>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:T="http://www.tc260.org.cn/ns/AIGC/1.0/"><T:AIGC>{"Label":"3"}</T:AIGC></rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGBA"))


# Packets


def test_a_new_packet_says_it_all():
    assert read(merge(None, FIELDS)) == PLAIN
    assert read(merge(b"\0\0 \n", FIELDS)) == PLAIN


def test_others_are_kept_byte_for_byte_and_ours_are_replaced():
    assert read(OTHERS)["Iptc4xmpExt:DigitalSourceType"] == ("digitalCapture",)
    assert read(OTHERS)["Iptc4xmpExt:AISystemUsed"] == ("Old > 1",)
    assert read(OTHERS)["TC260:AIGC"] == ('{"Label":"3"}',)
    merged = merge(OTHERS, FIELDS)
    assert read(merged) == PLAIN
    for kept in (
        b"<!-- kept -->",
        b"<dc:creator><rdf:Seq><rdf:li>Me",
        b'dc:format="image/png"',
        b"<i:Event>kept</i:Event>",
    ):
        assert kept in merged
    for gone in (b"digitalCapture", b"Old", b'"Label":"3"', b"<i:AIPromptInformation"):
        assert gone not in merged
    assert merged.startswith(OTHERS[:60])
    assert merged.endswith(OTHERS[-40:])


def test_writing_again_changes_nothing():
    once = merge(OTHERS, FIELDS)
    assert merge(once, FIELDS) == once
    assert merge(merge(None, FIELDS), FIELDS) == merge(None, FIELDS)


def test_contradictions_are_all_told():
    twice = merge(None, FIELDS).replace(b"</rdf:RDF>", b"", 1)
    other = (
        f'<rdf:Description xmlns:t="{xmp.NAMESPACES["TC260"]}"><t:AIGC>2</t:AIGC></rdf:Description></rdf:RDF>'.encode()
    )
    assert read(twice.replace(b"</x:xmpmeta>", other + b"</x:xmpmeta>"))["TC260:AIGC"] == (FIELDS["TC260:AIGC"], "2")


def test_values_deep_inside_something_else_are_not_ours():
    nested = f"""<r:RDF xmlns:r="{RDF}" xmlns:i="{xmp.NAMESPACES["Iptc4xmpExt"]}"><r:Description><i:Event>
        <r:Description i:AISystemUsed="x"><i:AISystemUsed>y</i:AISystemUsed></r:Description></i:Event><i:Other/>
        </r:Description></r:RDF>""".encode()
    assert read(nested) == {}
    assert merge(nested, FIELDS).startswith(nested[:-8])


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_encodings_become_utf_8(coding):
    text = merge(None, FIELDS).decode()
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(coding, b"")
    body = mark + text.removeprefix("﻿").encode(coding)
    assert read(body) == PLAIN
    assert read(merge(body, FIELDS)) == PLAIN


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=40))
def test_any_text_comes_back(text):
    packet = merge(None, {"markai:Provider": text})
    assert read(packet)["markai:Provider"] == (text.strip(),)


HOSTILE = {
    "entities": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
    "outside": b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    "external": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "parameter": b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/"> %a;]><x/>',
    "no end": b"<x><y>",
    "deep": b"<a>" * 200_000,
    "undeclared": b"<x>&nbsp;</x>",
    "prefix": b"<q:x/>",
    "bytes": b"\xff\xff\xff",
    "declared": b'<?xml version="1.0" encoding="utf-16"?><x>\xff</x>',
    "long": b"<x>" + b" " * (5 << 20) + b"</x>",
    "no rdf": b"<x/>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_packets_are_refused_quickly(name):
    start = time.process_time()
    with pytest.raises(ImageError, match=r"XMP metadata .* - "):
        merge(HOSTILE[name], FIELDS)
    if name != "no rdf":
        with pytest.raises(ImageError, match=r"XMP metadata .* - "):
            read(HOSTILE[name])
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "body",
    [
        b'<r:Description xmlns:t="http://www.tc260.org.cn/ns/AIGC/1.0/" t:AIGC="1"/>' * 10_000,
        b'<r:Description xmlns:t="http://www.tc260.org.cn/ns/AIGC/1.0/">' + b"<t:AIGC/>" * 60_000 + b"</r:Description>",
        b"<r:Description " + b" " * 1_000_000 + b"/>",
        b'<r:Description xmlns:t="http://www.tc260.org.cn/ns/AIGC/1.0/"' + b" " * 1_000_000 + b't:AIGC="1"/>',
    ],
    ids=["descriptions", "values", "spaces", "spaces before"],
)
def test_large_packets_take_time_in_proportion(body):
    packet = f'<r:RDF xmlns:r="{RDF}">'.encode() + body + b"</r:RDF>"
    start = time.process_time()
    assert read(merge(packet, FIELDS)) == PLAIN
    assert time.process_time() - start < 3


@settings(max_examples=150)
@given(st.binary(max_size=300), st.integers(0, len(OTHERS)), st.integers(0, 40))
def test_damage_is_an_image_error_or_harmless(junk, at, gone):
    packet = OTHERS[:at] + junk + OTHERS[at + gone :]
    with suppress(ImageError):
        assert read(merge(packet, FIELDS)) == PLAIN


# Files


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_and_everything_else_stay(name):
    data = sample(name)
    written = xmp_files.write(data, MIME[name], FIELDS)
    assert xmp_files.read(written, MIME[name]) == PLAIN
    assert np.array_equal(pixels(written), pixels(data))
    again = xmp_files.write(written, MIME[name], claim_fields(CLAIM))
    assert xmp_files.read(again, MIME[name])["markai:Provider"] == ("Acme",)
    assert np.array_equal(pixels(again), pixels(data))
    assert "AIPromptInformation" not in str(xmp_files.read(again, MIME[name]))
    assert b"in \xec\x84\x9c\xec\x9a\xb8" not in again or name == "tiff"  # which only appends


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff"])
def test_other_readers_see_it(name):
    with Image.open(io.BytesIO(xmp_files.write(sample(name), MIME[name], FIELDS))) as opened:
        opened.load()
        packet = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp") or opened.tag_v2[700]
    assert read(packet if isinstance(packet, bytes) else packet.encode()) == PLAIN


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_what_other_writers_put_there_is_kept(name):
    data = encoded(name, xmp=OTHERS)
    written = xmp_files.write(data, MIME[name], FIELDS)
    assert xmp_files.read(written, MIME[name]) == PLAIN
    with Image.open(io.BytesIO(written)) as opened:
        assert b"<rdf:li>Me</rdf:li>" in opened.info["xmp"]
    assert verify(sign(data, signer(), CLAIM), signer().trust()).status == "trusted"


def test_exif_profile_and_comment_stay():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    options = {"exif": exif.tobytes(), "icc_profile": b"\0" * 200}
    for name, more in (("jpeg", {"comment": b"hello"}), ("png", {}), ("webp", {}), ("avif", {})):
        before = encoded(name, **options, **more)
        after = xmp_files.write(before, MIME[name], FIELDS)
        with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
            for key in ("icc_profile", "comment"):
                assert one.info.get(key) == other.info.get(key)
            assert dict(one.getexif()) == dict(other.getexif()) == {0x010E: "a description"}


def test_the_segment_comes_behind_exif_and_before_anything_else():
    data = xmp_files.write(encoded("jpeg", exif=Image.Exif(), comment=b"x"), "image/jpeg", FIELDS)
    assert data.index(b"JFIF") < data.index(b"http://ns.adobe.com/xap") < data.index(b"\xff\xdb")


def test_a_jpeg_packet_too_long_for_its_segment_loses_its_padding_or_is_refused():
    head, tail = OTHERS[:-20], OTHERS[-20:]
    padded = encoded("jpeg", xmp=head + b" " * (65_000 - len(OTHERS)) + tail)
    assert xmp_files.read(xmp_files.write(padded, "image/jpeg", FIELDS), "image/jpeg") == PLAIN
    full = encoded("jpeg", xmp=OTHERS.replace(b"Me", b"x" * (65_400 - len(OTHERS))))
    with pytest.raises(ImageError, match="too long for a JPEG file - shorten it, or sign with metadata=False"):
        sign(full, signer(), CLAIM)
    assert verify(sign(full, signer(), CLAIM, metadata=False), signer().trust()).status == "trusted"


def test_packed_text_of_png_is_read_and_replaced():
    body = b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(OTHERS)
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    data = sample("png")[:33] + chunk + sample("png")[33:]
    assert xmp_files.read(data, "image/png")["TC260:AIGC"] == ('{"Label":"3"}',)
    assert xmp_files.read(xmp_files.write(data, "image/png", FIELDS), "image/png") == PLAIN


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_of_every_kind(options, mode):
    file = io.BytesIO()
    source = picture((17, 33)).convert(mode)
    if mode == "RGBA":
        source.putalpha(90)
    source.save(file, "WEBP", **options)
    written = xmp_files.write(file.getvalue(), "image/webp", FIELDS)
    with Image.open(io.BytesIO(written)) as after, Image.open(io.BytesIO(file.getvalue())) as before:
        assert (after.mode, after.size, after.tobytes()) == (before.mode, before.size, before.tobytes())
    assert xmp_files.read(written, "image/webp") == PLAIN


def test_animations_keep_their_frames():
    for name in ("gif", "webp", "avif", "png"):
        file = io.BytesIO()
        frames = [picture().point(lambda value, number=number: value ^ number) for number in (0, 7, 90)]
        frames[0].save(file, name.upper(), save_all=True, append_images=frames[1:], duration=40, loop=0)
        signed = sign(file.getvalue(), signer(), WHOLE)
        with Image.open(io.BytesIO(file.getvalue())) as before, Image.open(io.BytesIO(signed)) as after:
            assert (after.n_frames, after.info.get("loop")) == (before.n_frames, before.info.get("loop"))
            for number in range(before.n_frames):
                before.seek(number)
                after.seek(number)
                assert before.tobytes() == after.tobytes(), (name, number)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}, {"tiffinfo": {700: OTHERS}}])
def test_tiff_of_every_kind(options):
    data = encoded("tiff", **options)
    assert np.array_equal(pixels(xmp_files.write(data, "image/tiff", FIELDS)), pixels(data))
    assert xmp_files.read(xmp_files.write(data, "image/tiff", FIELDS), "image/tiff") == PLAIN
    swapped = io.BytesIO()
    picture().convert("I;16B").save(swapped, "TIFF") if not options else swapped.write(data)
    assert xmp_files.read(xmp_files.write(swapped.getvalue(), "image/tiff", FIELDS), "image/tiff") == PLAIN


def test_avif_with_alpha_keeps_both_planes_and_old_packets_are_blanked():
    file = io.BytesIO()
    source = picture((64, 40)).convert("RGBA")
    source.putalpha(Image.linear_gradient("L").resize((64, 40)))
    source.save(file, "AVIF", xmp=OTHERS)
    written = xmp_files.write(file.getvalue(), "image/avif", FIELDS)
    assert np.array_equal(pixels(written), pixels(file.getvalue()))
    assert b"digitalCapture" not in written
    inner = xmp_bmff.contents(written)
    assert len(inner) == len(xmp_bmff.contents(file.getvalue()))


def test_a_last_box_that_reaches_to_the_end_gets_a_size():
    data = sample("avif")
    at = data.index(b"mdat") - 4
    endless = data[:at] + bytes(4) + data[at + 4 :]
    written = xmp_files.write(endless, "image/avif", FIELDS)
    assert np.array_equal(pixels(written), pixels(data))
    assert xmp_files.read(written, "image/avif") == PLAIN


@settings(max_examples=200, deadline=1000)
@given(st.data())
def test_damaged_containers_raise_image_errors_only(data):
    name = data.draw(st.sampled_from(PICTURES))
    whole = bytearray(xmp_files.write(sample(name), MIME[name], FIELDS))
    for _ in range(data.draw(st.integers(1, 4))):
        at, width = data.draw(st.integers(0, min(len(whole) - 1, 900))), data.draw(st.sampled_from([1, 2, 4]))
        whole[at : at + width] = data.draw(st.binary(min_size=width, max_size=width))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))]) if data.draw(st.booleans()) else bytes(whole)
    for call in (xmp_files.read, lambda *given: xmp_files.write(*given, FIELDS)):
        try:
            call(damaged, MIME[name])
        except MarkaiError as error:
            assert " - " in str(error)  # noqa: PT017


def test_kinds_without_a_place_for_it_stay_as_they_are():
    for name in ("svg", "pdf", "wav", "text"):
        assert xmp_files.write(sample(name), MIME[name], FIELDS) == sample(name)
        assert xmp_files.read(sample(name), MIME[name]) == {}
