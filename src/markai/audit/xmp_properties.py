"""Every simple property of an XMP packet (ISO 16684-1), by its customary prefix, however RDF writes it.

``markai.provenance.xmp`` reads and merges the few that markai writes; an audit wants what others wrote: elements,
attributes, ``rdf:resource``, items of lists, members of structures.
"""

from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from markai.audit.fields import MAX_TEXT, Fields
from markai.provenance.xmp import MAX_DEPTH, MAX_PACKET, RDF

PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/pdf/1.3/": "pdf",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://www.tc260.org.cn/ns/AIGC/1.0/": "TC260",
    "urn:markai:disclosure:1:": "markai",
}
SYNTAX = {"about", "resource", "parseType", "datatype", "ID", "nodeID", "type"}
ANY_NAMESPACE = {"AIGC", "XmpKvBase64"}  # China's label, also in namespaces that only its writers know
MAX_PROPERTIES = 2000


@dataclass(slots=True)
class _State:
    found: Fields
    carrier: str
    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    size: int = 0
    in_rdf: int = 0
    count: int = 0


def read(packet: bytes, found: Fields, carrier: str = "XMP", *, whole_document: bool = False) -> None:
    """Add the simple properties of a packet, or of a ``whole_document`` such as an SVG file that may hold some.

    A packet is untrusted XML: entities are refused, and size, depth and number are bounded.

    >>> found = Fields()
    >>> read(b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description '
    ...      b'xmlns:x="http://ns.adobe.com/xap/1.0/" x:CreatorTool="Paint"/></r:RDF>', found)
    >>> found.items
    [Field(carrier='XMP', name='xmp:CreatorTool', value='Paint')]
    """
    what = "XML of the file" if whole_document else f"{carrier} metadata"
    if len(packet) > MAX_PACKET:
        found.problem(f"the {what} has more than {MAX_PACKET:,} bytes and was not read")
        return
    state = _State(found, carrier)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.EntityDeclHandler = _refuse
    if whole_document:
        parser.CommentHandler = lambda text: found.add("XML", "comment", text)
    else:
        parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = lambda name, given: _start(state, name, given)
    parser.EndElementHandler = lambda _: _end(state)
    parser.CharacterDataHandler = lambda text: _characters(state, text)
    try:
        parser.Parse(_xml(packet), True)
    except (expat.ExpatError, ValueError) as error:
        found.problem(f"the {what} is damaged ({error})")


def _xml(packet: bytes) -> bytes:
    """Return the XML alone: some writers end it with zeros. Expat knows every encoding of XMP but UTF-32."""
    if packet[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return packet.decode("utf-32", "replace").encode()
    return packet if packet[:2] in (b"\xff\xfe", b"\xfe\xff") else packet.strip(b"\0 \t\r\n")


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type or entities")


def _start(state: _State, name: str, given: dict[str, str]) -> None:
    state.path.append(name)
    if len(state.path) > MAX_DEPTH:
        raise ValueError("it is nested without end")
    state.text.clear()
    state.size = 0
    if name == f"{RDF} RDF":
        state.in_rdf += 1
    for attribute, value in given.items() if state.in_rdf else ():
        space, _, local = attribute.rpartition(" ")
        if space == RDF and local == "resource":
            _add(state, _property(state.path), value)
        elif space != RDF and local not in SYNTAX:
            _add(state, _named(attribute), value)


def _characters(state: _State, text: str) -> None:
    if state.in_rdf and state.size < MAX_TEXT:
        state.text.append(text)
        state.size += len(text)


def _end(state: _State) -> None:
    value = "".join(state.text).strip()
    if state.in_rdf and value:
        _add(state, _property(state.path), value)
    state.text.clear()
    state.size = 0
    if state.path.pop() == f"{RDF} RDF":
        state.in_rdf -= 1


def _property(path: list[str]) -> str | None:
    """Return the innermost property of a path: lists and their items belong to the property around them."""
    return next((name for name in map(_named, reversed(path)) if name), None)


def _named(qualified: str) -> str | None:
    space, _, local = qualified.rpartition(" ")
    prefix = PREFIXES.get(space)
    if prefix is None:
        return f"?:{local}" if local in ANY_NAMESPACE else None
    return f"{prefix}:{local}"


def _add(state: _State, name: str | None, value: Any) -> None:
    if name is None:
        return
    state.count += 1
    if state.count > MAX_PROPERTIES:
        raise ValueError(f"it has more than {MAX_PROPERTIES} properties")
    state.found.add(state.carrier, name, value)
