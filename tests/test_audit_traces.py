"""What unsigned metadata says: every carrier and generator, nothing personal in a row, and no file that breaks it."""

import json
import struct
import time
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest

from audit_files import (
    BARE,
    GRAPH,
    LABEL,
    MIDJOURNEY,
    PROMPT,
    UUID,
    WEBUI,
    WORKFLOW,
    WRAPPED,
    bomb,
    box,
    carrying,
    comment,
    exif,
    hostile_avif,
    iim,
    jpeg_with,
    mp3,
    mp4,
    png,
    source_type,
    wav,
    webp_exif,
    with_chunk,
    xmp,
)
from markai import sign
from markai.audit import disagreements, tc260
from markai.audit.fields import MAX_FIELDS, Fields, clean
from markai.audit.traces import WITHHELD, Metadata, read_metadata
from markai.errors import ImageError
from markai.provenance import Claim, Tc260, media, xmp_bmff
from provenance_samples import MIME, encoded, sample, signer

SHARED = Path(__file__).parents[2] / "shared" / "data"
FILES = sorted(path for folder in ("eval", "odd_formats") for path in (SHARED / folder).glob("*.*"))


def read(data: bytes) -> Metadata:
    """Read a file as what its content is; and whatever it is, the row is JSON, bounded, and without the prompt."""
    found = read_metadata(data, media.media_type(data))
    row = json.dumps(found.to_dict(), allow_nan=False)
    assert PROMPT not in row
    assert "SECRET" not in row
    assert "jane" not in row.lower()
    assert all(len(trace.value) <= 200 for trace in found.traces)
    return found


def only(found: Metadata) -> tuple:
    (trace,) = found.traces
    return trace.kind, trace.generator, trace.claims


# Generators

GENERATORS = {
    "webui": (png({"parameters": WEBUI}), "stable-diffusion", "Stable Diffusion WebUI v1.9.4", "PNG tEXt parameters"),
    "webui-ztxt": (
        png({"parameters": WEBUI}, "zTXt"),
        "stable-diffusion",
        "Stable Diffusion WebUI v1.9.4",
        "PNG zTXt parameters",
    ),
    "webui-jpeg": (
        encoded("jpeg", exif=exif(UserComment=comment(WEBUI, "unicode"))),
        "stable-diffusion",
        "Stable Diffusion WebUI v1.9.4",
        "EXIF UserComment",
    ),
    "forge": (
        png({"parameters": WEBUI.replace("v1.9.4", "f2.0.1v1.10.1")}),
        "stable-diffusion",
        "Stable Diffusion WebUI Forge f2.0.1v1.10.1",
        "PNG tEXt parameters",
    ),
    "sdnext": (
        png({"parameters": f"{PROMPT}\nSteps: 9, Sampler: UniPC, App: SD.Next, Version: abc123"}),
        "stable-diffusion",
        "SD.Next abc123",
        "PNG tEXt parameters",
    ),
    "swarm": (
        png({"parameters": json.dumps({"sui_image_params": {"prompt": PROMPT}, "swarm_version": "0.9.3"})}),
        "stable-diffusion",
        "SwarmUI 0.9.3",
        "PNG tEXt parameters",
    ),
    "comfyui-webp": (
        webp_exif(exif(Model=f"prompt:{GRAPH}", Make=f"workflow:{WORKFLOW}")),
        "comfyui",
        "ComfyUI",
        "EXIF Make",
    ),
    "comfyui-workflow": (png({"workflow": WORKFLOW}), "comfyui", "ComfyUI", "PNG tEXt workflow"),
    "invokeai": (
        png({"invokeai_metadata": json.dumps({"app_version": "4.2.1", "positive_prompt": PROMPT})}, "iTXt"),
        "invokeai",
        "InvokeAI 4.2.1",
        "PNG iTXt invokeai_metadata",
    ),
    "dream": (png({"Dream": f'"{PROMPT}" -s 50'}), "invokeai", "InvokeAI", "PNG tEXt Dream"),
    "fooocus": (png({"fooocus_scheme": "fooocus"}), "fooocus", "Fooocus", "PNG tEXt fooocus_scheme"),
    "fooocus-json": (
        png(
            {
                "parameters": json.dumps(
                    {
                        "prompt": PROMPT,
                        "base_model": "a/jugg.safetensors",
                        "metadata_scheme": "fooocus",
                        "version": "Fooocus v2.5.0",
                    }
                )
            }
        ),
        "fooocus",
        "Fooocus v2.5.0",
        "PNG tEXt parameters",
    ),
    "midjourney-png": (png({"Description": MIDJOURNEY}), "midjourney", "Midjourney 6.1", "PNG tEXt Description"),
    "midjourney-jpeg": (
        encoded("jpeg", exif=exif(ImageDescription=f"{PROMPT} --niji 6 --ar 2:3")),
        "midjourney",
        "Midjourney niji 6",
        "EXIF ImageDescription",
    ),
    "midjourney-caption": (
        jpeg_with(0xED, b"Photoshop 3.0\0" + iim((120, MIDJOURNEY.encode()))),
        "midjourney",
        "Midjourney 6.1",
        "IPTC-IIM Caption",
    ),
    "dall-e": (png({"Software": "DALL·E 3"}), "dall-e", "DALL-E", "PNG tEXt Software"),
    "openai": (png({"Software": "ChatGPT"}), "dall-e", "OpenAI", "PNG tEXt Software"),
    "firefly": (encoded("jpeg", exif=exif(Software="Adobe Firefly 3.0")), "firefly", "Adobe Firefly", "EXIF Software"),
    "google": (
        carrying("jpeg", xmp("<photoshop:Credit>Made with Google AI</photoshop:Credit>")),
        "other",
        "Google",
        "XMP photoshop:Credit",
    ),
    "google-iim": (
        jpeg_with(0xED, b"Photoshop 3.0\0" + iim((110, b"Made with Google AI"))),
        "other",
        "Google",
        "IPTC-IIM Credit",
    ),
    "ideogram": (encoded("jpeg", exif=exif(Make="Ideogram AI")), "other", "Ideogram", "EXIF Make"),
    "draw-things": (
        carrying("png", xmp("<xmp:CreatorTool>Draw Things</xmp:CreatorTool>")),
        "stable-diffusion",
        "Draw Things",
        "XMP xmp:CreatorTool",
    ),
    "gif": (sample("gif")[:-1] + b"!\xfe\x07ComfyUI\0;", "comfyui", "ComfyUI", "GIF comment"),
    "jpeg-comment": (jpeg_with(0xFE, b"Made with Midjourney"), "midjourney", "Midjourney", "JPEG comment"),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name):
    data, kind, generator, field = GENERATORS[name]
    traces = [trace for trace in read(data).traces if trace.claims == "generated"]
    assert (traces[0].kind, traces[0].generator, traces[0].field) == (kind, generator, field)


def test_of_settings_only_harmless_ones_are_shown():
    assert read(GENERATORS["webui"][0]).traces[0].value == "Steps: 20, Sampler: Euler a, Size: 512x768, Model: v1-5"
    graph = read(png({"prompt": GRAPH, "workflow": WORKFLOW}))
    assert [trace.value for trace in graph.traces] == ["3 nodes, sd_xl_base.safetensors", "a workflow"]
    assert graph.personal == ("PNG tEXt prompt", "PNG tEXt workflow")
    assert read(GENERATORS["midjourney-png"][0]).traces[0].value == f"--ar 16:9 Job ID: {UUID}"


def test_novelai_writes_its_name_and_a_comment():
    settings = json.dumps({"prompt": PROMPT, "uc": "blurry", "steps": 28})
    source = "NovelAI Diffusion V4.5 37442FCA"
    beside = read(png({"Software": "NovelAI", "Source": source, "Comment": settings, "Title": "NovelAI"}))
    assert {trace.kind for trace in beside.traces} == {"novelai"}
    assert [trace.value for trace in beside.traces if trace.field == "PNG tEXt Comment"] == [source]
    inside = json.dumps({"Comment": settings, "Software": "NovelAI", "Source": source})
    assert read(webp_exif(exif(UserComment=comment(inside)))).traces[0].kind == "novelai"


def test_grok_signs_the_description_and_names_the_picture_as_the_artist():
    made = exif(ImageDescription="Signature: " + "Ab1+" * 30, Artist=UUID)
    assert only(read(encoded("jpeg", exif=made))) == ("other", "xAI Grok", "generated")
    assert not read(encoded("jpeg", exif=exif(ImageDescription="Signature: " + "Ab1+" * 30))).traces


def test_a_generative_edit_is_not_a_generated_picture():
    tail = b'PhotoEditor_Re_Edit_Data{"isBlending":false,"genAIType": 2}'
    assert only(read(sample("jpeg") + tail)) == ("other", "Samsung Galaxy AI", "edited with AI")
    assert not read(sample("jpeg") + tail.replace(b"2}", b"0}")).traces
    credit = xmp("<photoshop:Credit>Edited with Google AI</photoshop:Credit>")
    assert only(read(carrying("webp", credit))) == ("other", "Google", "edited with AI")


@pytest.mark.parametrize(
    "texts",
    [
        {"Description": "A walk --verbose with --version of it", "Comment": "I asked Midjourney fans, here is it all"},
        {"Title": "Steps: to take", "Software": "imagen editor", "Source": "Gemini constellation"},
        {"prompt": "Enter your name", "workflow": "scan, crop, save", "parameters": "aperture 5.6"},
        {"Comment": "Created with GIMP", "Software": "Firefly camera 1.0"},
    ],
    ids=["prose", "words", "names", "editors"],
)
def test_ordinary_words_are_no_generators(texts):
    assert not read(png(texts)).claims("generated")


# IPTC, in every kind of file

FILLED = xmp(
    f"{source_type('trainedAlgorithmicMedia')}<Iptc4xmpExt:AISystemUsed>AcmeGen</Iptc4xmpExt:AISystemUsed>"
    f"<Iptc4xmpExt:AIPromptInformation>{PROMPT}</Iptc4xmpExt:AIPromptInformation>",
    'Iptc4xmpExt:AISystemVersionUsed="2.1"',
)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "tiff", "gif", "svg", "pdf"])
def test_iptc_in_every_kind_of_file(name):
    found = read(carrying(name, FILLED))
    assert found.iptc == {"source_type": "trainedAlgorithmicMedia", "system": "AcmeGen", "version": "2.1"}
    assert {(trace.kind, trace.generator, trace.claims) for trace in found.traces} >= {
        ("iptc", "AcmeGen 2.1", "generated")
    }
    assert found.personal == ("XMP Iptc4xmpExt:AIPromptInformation",)
    assert not found.problems


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("trainedAlgorithmicMedia", "generated"),
        ("compositeWithTrainedAlgorithmicMedia", "edited with AI"),
        ("digitalCapture", "camera"),
        ("computationalCapture", "camera"),
        ("algorithmicMedia", "software"),
        ("humanEdits", "software"),
        ("nothingKnown", "software"),
    ],
)
def test_source_types(name, claims):
    assert [trace.claims for trace in read(carrying("png", xmp(source_type(name)))).traces] == [claims]


def test_every_way_to_write_a_property():
    uri = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    for packet in (
        xmp(f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{uri}"/>'),
        xmp("", f'Iptc4xmpExt:DigitalSourceType="{uri}"'),
        xmp(
            f"<Iptc4xmpExt:DigitalSourceType><rdf:Bag><rdf:li>{uri}</rdf:li></rdf:Bag></Iptc4xmpExt:DigitalSourceType>"
        ),
        xmp(f"<Iptc4xmpExt:DigitalSourceType>\n {uri}\n</Iptc4xmpExt:DigitalSourceType>").decode().encode("utf-16"),
    ):
        assert read(carrying("tiff", packet)).iptc == {"source_type": "trainedAlgorithmicMedia"}, packet


def test_what_markai_writes_is_read():
    claim = Claim("Acme", "AcmeGen", "2.1", prompt=PROMPT, tc260=Tc260("acme", "42"))
    found = read(sign(sample("png"), signer(), claim).data)
    assert found.iptc == {"source_type": "trainedAlgorithmicMedia", "system": "AcmeGen", "version": "2.1"}
    assert found.disclosure == {"provider": "Acme", "created": claim.when, "id": claim.id}
    assert (found.tc260["Label"], found.tc260["ContentProducer"], found.tc260["problems"]) == ("1", "acme", [])
    assert not found.contradictions


def test_a_manifest_that_is_kept_elsewhere_is_named():
    packet = xmp().replace(
        b"</rdf:Description>",
        b'<p:provenance xmlns:p="http://purl.org/dc/terms/">https://example.org/m.c2pa</p:provenance></rdf:Description>',
    )
    assert read(carrying("jpeg", packet)).traces[0].field == "XMP dcterms:provenance"


def test_extended_xmp_and_profiles_of_imagemagick():
    body = xmp(source_type("trainedAlgorithmicMedia"))
    half = len(body) // 2
    data = sample("jpeg")
    for at, part in ((half, body[half:]), (0, body[:half])):
        header = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", len(body), at)
        data = jpeg_with(0xE1, header + part, data)
    assert read(data).traces[0].field == "XMP extension Iptc4xmpExt:DigitalSourceType"
    block = b"Exif\0\0" + exif(Software="ComfyUI").tobytes()[6:]
    rows = f"\nexif\n{len(block):8}\n{block.hex()}rubbish".encode()
    text = with_chunk(sample("png"), b"tEXt", b"Raw profile type exif\0" + rows)
    assert read(text).traces[0].generator == "ComfyUI"


def test_documents():
    pdf = sample("pdf") + b"\n1 0 obj<</Producer (Acme \\(Pro\\) 2) /Creator <FEFF0041> /Author (Jane)>>"
    found = read(pdf)
    assert [trace.value for trace in found.traces if trace.field == "PDF Producer"][-1] == "Acme (Pro) 2"
    assert "PDF Author" in found.personal
    page = b'<!doctype html><html><meta name="generator" content="Midjourney"><meta name=author content="Jane">'
    assert only(read_metadata(page, "text/html"))[:2] == ("midjourney", "Midjourney")
    svg = sample("svg").replace(b"<svg", b"<!-- Generator: Adobe Illustrator --><svg", 1)
    assert not read(svg).problems


# China's label

TC260 = {
    "png-text": png({"AIGC": BARE}),
    "png-wrapped": png({"AIGC": WRAPPED}),
    "png-ztxt": png({"AIGC": WRAPPED}, "zTXt"),
    "png-itxt": png({"AIGC": BARE}, "iTXt"),
    "xmp-element": carrying("png", xmp(f"<TC260:AIGC>{BARE}</TC260:AIGC>")),
    "xmp-attribute": carrying("jpeg", xmp("", f"TC260:AIGC='{BARE}'")),
    "xmp-webp": carrying("webp", xmp(f"<TC260:AIGC>{WRAPPED}</TC260:AIGC>")),
    "xmp-other-namespace": carrying("jpeg", xmp('<a:AIGC xmlns:a="urn:x">' + BARE + "</a:AIGC>")),
    "xmp-base64": carrying(
        "jpeg", xmp(f'<a:XmpKvBase64 xmlns:a="urn:x">{b64encode(WRAPPED.encode()).decode()}</a:XmpKvBase64>')
    ),
    "exif-comment": encoded("jpeg", exif=exif(UserComment=comment(WRAPPED))),
    "exif-unicode": webp_exif(exif(UserComment=comment(WRAPPED, "unicode"))),
    "exif-raw": encoded("jpeg", exif=exif(UserComment=WRAPPED.encode())),
    "wav": wav(b"AIGC", WRAPPED.encode()),
    "mp3": mp3("AIGC", WRAPPED),
    "mp4": mp4("AIGC", BARE),
    "pdf": sample("pdf") + b"<</AIGC (" + BARE.encode() + b")>>",
    "lower-case": png({"aigc": json.dumps({"aigc": LABEL})}),
    "text-in-text": png({"AIGC": json.dumps({"AIGC": BARE})}),
}


@pytest.mark.parametrize("name", TC260)
def test_labels_in_every_carrier(name):
    found = read(TC260[name])
    assert {key: found.tc260[key] for key in LABEL} == LABEL
    assert (found.tc260["agree"], found.tc260["problems"]) == (True, [])
    assert only(found) == ("tc260", LABEL["ContentProducer"], "generated")


def test_labels_in_texts():
    for text, mime in (
        (f"Dear all\n{WRAPPED}\n", "text/plain"),
        (f"---\nAIGC: {BARE}\n---", "text/markdown"),
        (WRAPPED, "application/json"),
    ):
        assert read_metadata(text.encode(), mime).tc260["ProduceID"] == "P-0001", mime
    page = f"<meta name='AIGC' content='{WRAPPED}'>".encode()
    assert read_metadata(page, "text/html").tc260["ProduceID"] == "P-0001"


@pytest.mark.parametrize(
    ("label", "problems"),
    [
        (LABEL | {"Label": "9"}, {"label-unknown"}),
        (LABEL | {"Label": ""}, {"label-missing"}),
        (LABEL | {"Label": 1}, {"values-not-text"}),
        (LABEL | {"ProduceID": ""}, {"id-missing"}),
        (LABEL | {"ContentProducer": "测试工作室"}, {"characters"}),
        (LABEL | {"ContentProducer": "Test Studio"}, {"characters"}),
        (LABEL | {"Evil": "x"}, {"keys-unknown"}),
        ({"Label": "1", "ContentProducer": "a", "ProduceID": "b"}, {"keys-missing"}),
        ({"Label": "1"}, {"keys-missing", "producer-missing", "id-missing"}),
        (LABEL | {"ProduceID": ["b"]}, {"id-missing", "values-not-text"}),
        (LABEL | {"ProduceID": None}, {"id-missing", "values-not-text"}),
        ("hello", {"not-json"}),
        ([1], {"not-json"}),
        ({"something": "else"}, {"not-json"}),
    ],
)
def test_labels_that_are_not_what_the_standard_asks_for(label, problems):
    assert set(read(png({"AIGC": json.dumps(label)})).tc260["problems"]) == problems


def test_a_key_that_comes_twice_is_noticed():
    twice = BARE.replace('"Label": "1"', '"Label": "3", "Label": "1"')
    assert read(png({"AIGC": twice})).tc260["problems"] == ["keys-repeated"]


def test_json_without_a_label_is_none():
    assert read(encoded("jpeg", exif=exif(UserComment=comment('{"AIGC": 1}')))).tc260 is None
    assert tc260.summary([]) is None


# Cameras and people


def test_a_camera_is_a_claim_and_people_are_not_in_it():
    made = exif(Make="Acme", Model="Shot 5", FNumber=2.8, BodySerialNumber="SECRET-123", Artist="Jane Roe", GPS=True)
    found = read(encoded("jpeg", exif=made))
    assert found.camera == {"make": "Acme", "model": "Shot 5", "exposure": True}
    assert only(found) == ("exif", None, "camera")
    assert set(found.personal) == {"EXIF Artist", "EXIF BodySerialNumber", "EXIF GPS"}
    assert read(encoded("tiff", exif=exif(Make="Scan Co", Model="9000"))).camera["exposure"] is False
    assert read(sample("jpeg")) == Metadata()


def test_xmp_names_of_people_and_places_stay_in_the_file():
    packet = xmp(
        "<dc:creator><rdf:Seq><rdf:li>Jane Roe</rdf:li></rdf:Seq></dc:creator>"
        "<exif:GPSLatitude>37,33N</exif:GPSLatitude><photoshop:City>SECRET city</photoshop:City>"
    )
    assert set(read(carrying("webp", packet)).personal) == {
        "XMP dc:creator",
        "XMP exif:GPSLatitude",
        "XMP photoshop:City",
    }


def test_what_repeats_personal_data_is_withheld():
    found = read(encoded("jpeg", exif=exif(Artist="Jane Roe", Software="Darkroom of Jane Roe")))
    assert [trace.value for trace in found.traces] == [WITHHELD]
    assert read(png({"Software": "Tool by jane@example.org"})).traces[0].value == WITHHELD


def test_software_is_only_software():
    assert [(t.kind, t.value, t.claims) for t in read(png({"Software": "www.inkscape.org"})).traces] == [
        ("other", "www.inkscape.org", "software")
    ]


# Carriers that disagree


def codes(data: bytes) -> set[str]:
    found = read(data)
    assert all(each["sentence"] == disagreements.SENTENCES[each["code"]] for each in found.contradictions)
    assert all(each["evidence"] for each in found.contradictions)
    return {each["code"].removeprefix("metadata.") for each in found.contradictions}


def test_disagreements():
    assert codes(with_chunk(png({"AIGC": BARE}), b"tEXt", b"AIGC\0" + BARE.encode())) == {"label-repeated"}
    other = BARE.replace("P-0001", "P-0002").encode()
    assert codes(with_chunk(png({"AIGC": BARE}), b"tEXt", b"AIGC\0" + other)) == {"labels-differ"}
    two = source_type("digitalCapture") + source_type("trainedAlgorithmicMedia")
    assert codes(carrying("jpeg", xmp(two))) == {"source-types-differ"}
    camera = source_type("digitalCapture")
    assert codes(carrying("jpeg", xmp(f"{camera}<TC260:AIGC>{BARE}</TC260:AIGC>"))) == {"label-and-source-type"}
    assert codes(png({"Software": "NovelAI", "Comment": "Made with Midjourney"})) == {"generators-differ"}
    shot = exif(Make="Acme", Model="Shot 5", FNumber=2.8, Software="Midjourney")
    assert codes(encoded("jpeg", exif=shot)) == {"camera-and-generator"}
    tool = "<xmp:CreatorTool>Midjourney</xmp:CreatorTool>"
    assert codes(carrying("jpeg", xmp(camera + tool))) == {"camera-and-source-type"}
    packet = xmp("<tiff:Model>Shot 6</tiff:Model>")
    assert codes(encoded("jpeg", exif=exif(Make="Acme", Model="Shot 5"), xmp=packet)) == {"cameras-differ"}


def test_front_ends_that_passed_a_picture_on_agree():
    assert codes(png({"parameters": WEBUI, "prompt": GRAPH, "workflow": WORKFLOW})) == set()
    assert codes(carrying("png", FILLED)) == set()


# Hostile files


def quickly(data: bytes, mime: str | None = None) -> Metadata:
    started = time.perf_counter()
    found = read_metadata(data, mime or media.media_type(data))
    assert time.perf_counter() - started < 5
    json.dumps(found.to_dict(), allow_nan=False)
    return found


DEEP = "[" * 60_000
HOSTILE = {
    "bomb": bomb(),
    "json-depth": png({"AIGC": DEEP, "parameters": '{"a":' * 50_000}),
    "json-wrapped-depth": png({"AIGC": '{"AIGC":' + DEEP}),
    "huge-number": png({"AIGC": '{"Label": ' + "9" * 60_000 + "}"}),
    "many-texts": b"".join(
        [sample("png")[:33], *[with_chunk(bytes(33), b"tEXt", b"a\0b")[33:]] * 20_000, sample("png")[33:]]
    ),
    "xmp-depth": carrying("png", b"<a>" * 5000),
    "xmp-entities": carrying("png", b'<!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><r>&b;</r>'),
    "xmp-not-xml": carrying("webp", b"\xff\xfe\0\xd8" * 50),
    "xmp-many": carrying("png", xmp("<xmp:CreatorTool>a</xmp:CreatorTool>" * 30_000)),
    "svg-entities": b'<!DOCTYPE svg [<!ENTITY a "aa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    "pdf-begins": b"%PDF-1.7\n" + b"<?xpacket begin=" * 300_000,
    "pdf-strings": b"%PDF-1.7\n" + b"/Author(" * 300_000 + b"/Author<" * 100_000,
    "pdf-escapes": b"%PDF-1.7\n/Author (" + b"\\" * 2_000_001,
    "html-tags": b"<html>" + b"<meta name=" * 200_000,
    "text-labels": b"AIGC: {" * 300_000,
    "avif-extents": hostile_avif(),
    "exif-loop": encoded(
        "png", exif=b"Exif\0\0II*\0\x08\0\0\0\2\0" + struct.pack("<HHIIHHII", 0x8769, 4, 1, 8, 0x8825, 4, 1, 8)
    ),
    "exif-huge": encoded(
        "png", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 0x131, 2, 1 << 31, 8) * 50
    ),
    "exif-nothing": encoded("png", exif=b"Exif\0\0"),
    "exif-offset": encoded("png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "iim": jpeg_with(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\xff" + bytes(3) + b"\x1c" * 60),
    "profile": with_chunk(sample("png"), b"tEXt", b"Raw profile type exif\0\nexif\n x\nzz"),
    "mp4-boxes": box(b"ftyp", b"isom\0\0\0\0isom") + box(b"moov", box(b"udta", bytes(8) * 50_000)),
    "mp3-frames": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"TXXX" + bytes(6) * 50_000,
    "riff": b"RIFF\xff\xff\xff\xffWEBP" + b"EXIF\xff\xff\xff\xff" + b"LIST\4\0\0\0INFO" * 20_000,
    "gif": sample("gif")[:13] + b"!\xfe" + b"\1a" * 20_000,
    "control": png({"Software": "\x1b[31mred\x07\u202egpj\n\r"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name):
    found = quickly(HOSTILE[name])
    for trace in found.traces:
        assert trace.value.isprintable()


def test_a_bomb_is_cut_and_that_is_said():
    assert any("the rest was left out" in each for each in quickly(HOSTILE["bomb"]).problems)
    assert any("more metadata" in each for each in quickly(HOSTILE["many-texts"]).problems)
    assert any("entities" in each for each in quickly(HOSTILE["xmp-entities"]).problems)


def test_items_of_no_bytes_are_refused():
    for find in (xmp_bmff.find, xmp_bmff.find_exif):
        with pytest.raises(ImageError, match="damaged"):
            find(hostile_avif())


def test_exif_of_avif_is_found():
    assert read(encoded("avif", exif=exif(Software="ComfyUI"))).traces[0].generator == "ComfyUI"


SAMPLES = [GENERATORS[name][0] for name in ("webui", "comfyui-webp", "midjourney-caption", "webui-jpeg", "gif")]
SAMPLES += [TC260[name] for name in ("wav", "mp3", "mp4", "pdf")]
SAMPLES += [carrying(name, FILLED) for name in ("avif", "tiff", "svg")]
KINDS = [media.media_type(data) for data in SAMPLES]


@pytest.mark.parametrize(
    "number", range(len(SAMPLES)), ids=[mime.replace("/", "-") + str(n) for n, mime in enumerate(KINDS)]
)
def test_damaged_files(number):
    """Bytes are flipped and cut at every part of a file; the answer may be anything, but there is one."""
    data, mime, rng = SAMPLES[number], KINDS[number], np.random.default_rng(number)
    for _ in range(60):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 4):
            broken[at] = rng.integers(256)
        quickly(bytes(broken), mime)
        quickly(data[: rng.integers(len(data))], mime)
    other = KINDS[(number + 1) % len(KINDS)]
    quickly(data, other)  # declared as what it is not


def test_bounds_of_fields():
    found = Fields()
    for number in range(MAX_FIELDS + 5):
        found.add("x", str(number), "a")
    assert len(found.items) == MAX_FIELDS
    assert found.problems == ["there is more metadata than is read: the rest was left out"]
    assert clean("\ud800a", 10) == "?a"


# Real files


@pytest.mark.skipif(not FILES, reason="no ../shared/data on this machine")
def test_real_files():
    """Each gives traces or none; of the 21 generated pictures one still says so, the others were exported without."""
    said = {}
    for path in FILES:
        data = path.read_bytes()
        said[path.name] = quickly(data, media.media_type(data, path=path))
    generated = [name for name, found in said.items() if found.claims("generated") or found.claims("edited with AI")]
    assert generated == ["ai_14.png"]
    assert {trace.generator for trace in said["ai_14.png"].traces} == {"ComfyUI"}
    assert said["heic_photo.heic"].camera["model"] == "iPhone 13 Pro"
    assert "EXIF GPS" in said["jpg_apple_gainmap.jpg"].personal
    assert not any(found.contradictions for found in said.values())


@pytest.mark.parametrize("name", MIME)
def test_plain_files_say_nothing(name):
    found = read_metadata(sample(name), MIME[name])
    assert not found.claims("generated")
    assert not found.problems
