"""IPTC-IIM (Information Interchange Model 4.2), the older form of IPTC's metadata, inside Photoshop's resources."""

from collections.abc import Iterator

from markai.audit.fields import Fields, decoded

RESOURCE_IPTC = 0x0404
APPLICATION_RECORD = 2
# Datasets of the application record, under the names of the specification.
DATASETS = {
    5: "ObjectName",
    40: "SpecialInstructions",
    65: "OriginatingProgram",
    70: "ProgramVersion",
    80: "By-line",
    85: "By-lineTitle",
    105: "Headline",
    110: "Credit",
    115: "Source",
    116: "CopyrightNotice",
    118: "Contact",
    120: "Caption",
    122: "CaptionWriter",
}
MAX_DATASETS = 1000


def resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, content) of the resources in a block of Photoshop's, up to the first that is damaged."""
    at = 0
    while block[at : at + 4] == b"8BIM" and at + 12 <= len(block):
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        name = 1 + block[at + 6]
        at += 6 + name + name % 2
        size = int.from_bytes(block[at : at + 4], "big")
        yield number, block[at + 4 : at + 4 + size]
        at += 4 + size + size % 2


def read_resources(block: bytes, found: Fields) -> None:
    """Add the texts of the IPTC-IIM records in a block of Photoshop's resources."""
    for number, content in resources(block):
        if number == RESOURCE_IPTC:
            read(content, found)


def read(records: bytes, found: Fields) -> None:
    """Add the known texts of IPTC-IIM records.

    >>> found = Fields()
    >>> read(b"\\x1c\\2\\x6e\\0\\4Acme", found)
    >>> found.items
    [Field(carrier='IPTC-IIM', name='Credit', value='Acme')]
    """
    at = 0
    for _ in range(MAX_DATASETS):
        if records[at : at + 1] != b"\x1c" or at + 5 > len(records):
            return
        record, dataset = records[at + 1], records[at + 2]
        size = int.from_bytes(records[at + 3 : at + 5], "big")
        if size & 0x8000:  # an extended size, for objects beyond 32 kB: none of the texts here
            return
        if record == APPLICATION_RECORD and dataset in DATASETS:
            found.add("IPTC-IIM", DATASETS[dataset], decoded(records[at + 5 : at + 5 + size]))
        at += 5 + size
