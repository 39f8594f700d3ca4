"""XMP packets: the fields that say what was generated, read and merged without rewriting the rest.

A packet is untrusted XML: no document type is accepted (so no entities), size and depth are bounded. Merging cuts the
old values out of the text and adds one description at its end; everything else stays byte for byte.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from markai.errors import ImageError
from markai.provenance.claim import Claim, source_type_name

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",  # IPTC Photo Metadata 2025.1
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",  # GB 45438-2025
    "markai": "urn:markai:disclosure:1:",  # the rest of California's latent disclosure
}
SOURCE_TYPE, SYSTEM, VERSION = (
    f"Iptc4xmpExt:{name}" for name in ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed")
)
PROMPT, AIGC = "Iptc4xmpExt:AIPromptInformation", "TC260:AIGC"
PROVIDER, CREATED, IDENTIFIER = (f"markai:{name}" for name in ("Provider", "Created", "Identifier"))
PROPERTIES = (SOURCE_TYPE, SYSTEM, VERSION, PROMPT, AIGC, PROVIDER, CREATED, IDENTIFIER)
KNOWN = {
    f"{NAMESPACES[prefix]} {name}": f"{prefix}:{name}" for prefix, name in (each.split(":") for each in PROPERTIES)
}
DESCRIPTION = f"{RDF} Description"
MAX_PACKET, MAX_DEPTH, MAX_VALUE = 4 << 20, 100, 20_000
BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
END = b'\n<?xpacket end="w"?>'
TAG = re.compile(rb"<(?:\"[^\"]*\"|'[^']*'|[^>\"'])*>")


@dataclass(slots=True)
class Packet:
    """What is found in a packet: the known properties, and where in its text they are."""

    values: dict[str, list[str]] = field(default_factory=dict)
    spans: list[tuple[int, int]] = field(default_factory=list)
    insert_at: int = -1  # just before </rdf:RDF>
    _path: list[str] = field(default_factory=list)
    _open: tuple[str, int, int] | None = None  # the property that is being read, its start, its depth
    _text: list[str] = field(default_factory=list)
    _description: tuple[int, int, bool] = (0, 0, False)  # where it starts, its depth, whether it says something else


def claim_fields(claim: Claim) -> dict[str, str]:
    """Return the properties that a claim is written as.

    >>> claim_fields(Claim("Acme", "AcmeGen", "2.1"))["Iptc4xmpExt:AISystemUsed"]
    'AcmeGen'
    """
    fields = {
        SOURCE_TYPE: claim.source_type_uri,
        SYSTEM: claim.system,
        VERSION: claim.version,
        PROVIDER: claim.provider,
        CREATED: claim.when,
        IDENTIFIER: claim.id,
    }
    if claim.prompt:
        fields[PROMPT] = claim.prompt
    if claim.tc260:
        fields[AIGC] = claim.tc260.to_json()
    return fields


def read(packet: bytes) -> dict[str, tuple[str, ...]]:
    """Return the known properties of a packet; several values where it says several, the source type's short name.

    >>> read(merge(None, claim_fields(Claim("Acme", "AcmeGen", "2.1"))))["Iptc4xmpExt:DigitalSourceType"]
    ('trainedAlgorithmicMedia',)

    Raises:
        ImageError: if it is damaged, too large, or not plain XML.
    """
    values = {name: tuple(found) for name, found in _parse(_utf8(packet)).values.items()}
    if SOURCE_TYPE in values:
        values[SOURCE_TYPE] = tuple(map(source_type_name, values[SOURCE_TYPE]))
    return values


def merge(packet: bytes | None, fields: dict[str, str]) -> bytes:
    """Return a packet with these properties, in which all others are as they were.

    Raises:
        ImageError: if the packet is damaged, too large, or not plain XML.
    """
    described = _description(fields)
    if packet is None or not packet.strip(b"\0 \t\r\n"):
        head = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'.encode()
        return BEGIN + head + described + b"</rdf:RDF></x:xmpmeta>" + END
    text = _utf8(packet)
    found = _parse(text)
    if found.insert_at < 0:
        raise ImageError("the XMP metadata has no rdf:RDF - remove it, or sign with metadata=False")
    places = sorted(found.spans)  # apart from each other, and before the end of rdf:RDF
    kept = zip([0, *(end for _, end in places)], [*(start for start, _ in places), found.insert_at], strict=True)
    return b"".join([*(text[start:end] for start, end in kept), described, text[found.insert_at :]])


def without_padding(packet: bytes) -> bytes:
    """Return a packet without the spaces that writers leave for edits in place."""
    end = packet.rfind(b"<?xpacket end")
    return packet if end < 0 else packet[:end].rstrip() + b"\n" + packet[end:]


def _description(fields: dict[str, str]) -> bytes:
    prefixes = sorted({name.split(":")[0] for name in fields})
    declared = "".join(f' xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in prefixes)
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return f'<rdf:Description xmlns:rdf="{RDF}" rdf:about=""{declared}>{inner}</rdf:Description>'.encode()


def _utf8(packet: bytes) -> bytes:
    """Return a packet as UTF-8 without what follows the XML."""
    if len(packet) > MAX_PACKET:
        raise ImageError(
            f"the XMP metadata has more than {MAX_PACKET:,} bytes - remove it, or sign with metadata=False"
        )
    for mark, name in (
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if packet.startswith(mark):
            packet = packet.decode(name, "replace").encode()
            break
    return packet.removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")


def _parse(text: bytes) -> Packet:
    found = Packet()
    parser = expat.ParserCreate("utf-8", " ")
    parser.namespace_prefixes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = lambda name, given: _start(found, parser, text, name, given)
    parser.EndElementHandler = lambda name: _end(found, parser, text, name)
    parser.CharacterDataHandler = lambda data: found._text.append(data) if found._open else None
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError) as error:
        advice = "remove it, or sign with metadata=False"
        raise ImageError(f"the XMP metadata of the file is damaged ({error}) - {advice}") from None
    return found


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type")


def _start(found: Packet, parser: Any, text: bytes, name: str, given: dict[str, str]) -> None:
    start = parser.CurrentByteIndex
    found._path.append(_qualified(name))
    if len(found._path) > MAX_DEPTH:
        raise ValueError("it is nested without end")
    known, depth = KNOWN.get(found._path[-1]), len(found._path)
    if found._path[-3:-1] == [f"{RDF} RDF", DESCRIPTION]:
        if known:
            found._open, found._text = (known, start, depth), []
        else:
            found._description = (*found._description[:2], True)
    elif found._path[-2:] == [f"{RDF} RDF", DESCRIPTION]:
        others = [name for name in given if _qualified(name) not in KNOWN and _qualified(name) != f"{RDF} about"]
        found._description = (start, depth, bool(others))
        for attribute, value in given.items():
            if known := KNOWN.get(_qualified(attribute)):
                found.values.setdefault(known, []).append(value[:MAX_VALUE])
                found.spans += _attribute_spans(text, start, attribute)


def _end(found: Packet, parser: Any, text: bytes, name: str) -> None:
    if found._open and found._open[2] == len(found._path):
        known, start, _ = found._open
        found.spans.append((start, _end_of(text, start, parser.CurrentByteIndex)))
        value = "".join(found._text).strip()
        found.values.setdefault(known, []).append(value[:MAX_VALUE])
        found._open = None
    start, depth, says_more = found._description
    if depth == len(found._path) and _qualified(name) == DESCRIPTION and not says_more:
        while found.spans and found.spans[-1][0] >= start:
            found.spans.pop()
        found.spans.append((start, _end_of(text, start, parser.CurrentByteIndex)))
    if _qualified(name) == f"{RDF} RDF" and text.startswith(b"</", parser.CurrentByteIndex):
        found.insert_at = parser.CurrentByteIndex
    found._path.pop()


def _qualified(name: str) -> str:
    """Return "namespace name" without the prefix that expat puts third."""
    return " ".join(name.split(" ")[:2])


def _tag(text: bytes, start: int) -> bytes:
    match = TAG.match(text, start)
    return match[0] if match else b""


def _end_of(text: bytes, start: int, at: int) -> int:
    """Return where the element that starts at ``start`` ends, of which the parser is ``at`` the end tag."""
    opening = _tag(text, start)
    return start + len(opening) if opening.endswith(b"/>") else at + len(_tag(text, at))


def _attribute_spans(text: bytes, start: int, attribute: str) -> list[tuple[int, int]]:
    """Return where in a start tag an attribute stands, with the space before it."""
    _, name, prefix = attribute.split(" ")
    pattern = rb"\s" + re.escape(f"{prefix}:{name}".encode()) + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
    match = re.compile(pattern).search(_tag(text, start))
    return [(start + match.start(), start + match.end())] if match else []
