"""Small files with the metadata that generators, cameras and editors write, for the tests of audits."""

import io
import json
import struct
import zlib
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from markai.image_containers import png_chunk
from markai.provenance import xmp_files
from provenance_samples import MIME, encoded, sample

IPTC_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
}
UUID = "0d7a4a3e-3f1b-4c55-9f5e-6d2f5a3f4b11"
PROMPT = "SECRET-PROMPT of Jane Roe"
LABEL = {
    "Label": "1",
    "ContentProducer": "001191440300708461136T",
    "ProduceID": "P-0001",
    "ReservedCode1": "",
    "ContentPropagator": "001191440300708461136T",
    "PropagateID": "P-0001",
    "ReservedCode2": "",
}
BARE = json.dumps(LABEL)
WRAPPED = json.dumps({"AIGC": LABEL})
WEBUI = (
    f"{PROMPT}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4242, Size: 512x768, "
    f'Model hash: e1441589a6, Model: C:\\Users\\jane\\v1-5, ADetailer prompt: "Model: {PROMPT}", Version: v1.9.4'
)
GRAPH = json.dumps(
    {
        "3": {"class_type": "KSampler", "inputs": {"seed": 1}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl/sd_xl_base.safetensors"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": PROMPT}},
    }
)
WORKFLOW = json.dumps({"last_node_id": 9, "last_link_id": 9, "nodes": [{"type": "KSampler", "widgets": [PROMPT]}]})
MIDJOURNEY = f"{PROMPT} --ar 16:9 --v 6.1 --sref https://example.org/jane.png Job ID: {UUID}"


def png(texts: dict[str, str] | None = None, kind: str = "tEXt", **options: Any) -> bytes:
    """A PNG file with texts."""
    info = PngInfo()
    for name, value in (texts or {}).items():
        if kind == "iTXt":
            info.add_itxt(name, value, zip=True)
        else:
            info.add_text(name, value, zip=kind == "zTXt")
    return encoded("png", pnginfo=info, **options)


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG file with one more chunk behind its header."""
    return data[:33] + png_chunk(kind, body) + data[33:]


def exif(**tags: Any) -> Image.Exif:
    """EXIF data by the names of its tags; GPS=True adds a place."""
    made = Image.Exif()
    numbers = {"Software": 0x131, "Make": 0x10F, "Model": 0x110, "ImageDescription": 0x10E, "Artist": 0x13B}
    nested = {"UserComment": 0x9286, "FNumber": 0x829D, "BodySerialNumber": 0xA431, "MakerNote": 0x927C}
    for name, value in tags.items():
        if name == "GPS":
            made.get_ifd(0x8825)[2] = (37.0, 33.0, 0.0)
        elif name in nested:
            made.get_ifd(0x8769)[nested[name]] = value
        else:
            made[numbers[name]] = value
    return made


def comment(text: str, code: str = "ascii") -> bytes:
    """A UserComment in one of EXIF's codes."""
    if code == "unicode":
        return b"UNICODE\0" + text.encode("utf-16-be")
    return (b"ASCII\0\0\0" if code == "ascii" else bytes(8)) + text.encode()


def xmp(inner: str = "", attributes: str = "") -> bytes:
    """An XMP packet with properties as elements and as attributes."""
    declared = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in NAMESPACES.items())
    return (
        f'<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta '
        f'xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" {declared} {attributes}>'
        f'{inner}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def source_type(name: str) -> str:
    return f"<Iptc4xmpExt:DigitalSourceType>{IPTC_TYPES}{name}</Iptc4xmpExt:DigitalSourceType>"


def carrying(name: str, packet: bytes) -> bytes:
    """A file of a kind with an XMP packet."""
    data = sample(name)
    if name == "svg":
        rdf = packet[packet.index(b"<rdf:RDF") : packet.index(b"</x:xmpmeta>")]
        return data.replace(b"<g/>", b"<metadata>" + rdf + b"</metadata>")
    if name == "pdf":
        return data.replace(b"%%EOF", b"1 0 obj<</Type/Metadata>>stream\n" + packet + b"\nendstream endobj\n%%EOF")
    return xmp_files.CONTAINERS[MIME[name]].put(data, packet)


def iim(*datasets: tuple[int, bytes]) -> bytes:
    """A block of Photoshop's resources with IPTC-IIM records."""
    records = b"".join(b"\x1c\2" + bytes([number]) + struct.pack(">H", len(text)) + text for number, text in datasets)
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + b"\0" * (len(records) % 2)


def jpeg_with(marker: int, body: bytes, data: bytes | None = None) -> bytes:
    """A JPEG file with one more segment."""
    data = sample("jpeg") if data is None else data
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def mp4(name: str, value: str) -> bytes:
    """An MP4 file with one key of QuickTime's metadata."""
    key = struct.pack(">I4s", 8 + len(name), b"mdta") + name.encode()
    item = box(b"\0\0\0\1", box(b"data", struct.pack(">II", 1, 0) + value.encode()))
    meta = box(
        b"meta", bytes(4) + box(b"hdlr", bytes(25)) + box(b"keys", struct.pack(">II", 0, 1) + key) + box(b"ilst", item)
    )
    return box(b"ftyp", b"isom\0\0\0\0isom") + box(b"mdat", bytes(16)) + box(b"moov", box(b"udta", meta))


def mp3(name: str, value: str) -> bytes:
    """An MP3 file with one text of the user's own in its ID3 tag (version 2.4)."""
    frame = b"\3" + name.encode() + b"\0" + value.encode()
    size = len(frame)
    safe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    body = b"TXXX" + safe + b"\0\0" + frame
    tag = bytes((len(body) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + tag + body + b"\xff\xfb" + bytes(50)


def wav(kind: bytes, body: bytes) -> bytes:
    """A WAV file with one more chunk."""
    data = sample("wav") + kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:]


def bomb(megabytes: int = 64) -> bytes:
    """A PNG file of some kilobytes whose text has as many megabytes."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"a" * (1 << 20)) for _ in range(megabytes)) + packer.flush()
    return with_chunk(sample("png"), b"zTXt", b"parameters\0\0" + packed)


def hostile_avif(items: int = 300) -> bytes:
    """An AVIF file of 2 kB that says that each of its items has 65,535 extents of no bytes."""
    places = b"".join(struct.pack(">HHH", number, 0, 65_535) for number in range(items))
    iloc = struct.pack(">IHH", 0, 0, items) + places
    meta = bytes(4) + box(b"pitm", b"\0\0\0\0\0\1") + box(b"iinf", bytes(6)) + box(b"iloc", iloc)
    return box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", meta)


def webp_exif(made: Image.Exif) -> bytes:
    """A WebP file with EXIF data."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "gray").save(file, "WEBP", exif=made)
    return file.getvalue()
