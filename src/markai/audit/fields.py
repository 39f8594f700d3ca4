"""Metadata as named texts, whatever carried it: how it is collected, and within which bounds.

Metadata is untrusted: each text, their number and their sum are bounded, and what is over a bound is cut or left out
and counted as a problem, never an error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_TEXT = 1 << 20  # characters of one field: workflows of 300 kB are common
MAX_TOTAL = 16 << 20  # characters of all fields of a file
MAX_FIELDS = 5000
MAX_PROBLEMS = 20
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")  # breaks and reversed writing


class Field(NamedTuple):
    """One text of a file's metadata: what carried it (EXIF, XMP, PNG tEXt...), its name there, and the text itself."""

    carrier: str
    name: str
    value: str

    @property
    def where(self) -> str:
        """The carrier and the name, as a trace says where it was found."""
        return f"{self.carrier} {self.name}".strip()


@dataclass(slots=True)
class Fields:
    """The fields of one file, in the order in which they lie there, and what could not be read.

    >>> found = Fields()
    >>> found.add("EXIF", "Software", "Darkroom 2")
    >>> [each.where for each in found.named("software")]
    ['EXIF Software']
    """

    items: list[Field] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _total: int = 0

    def add(self, carrier: str, name: str, value: str) -> None:
        """Add a field; one that is empty is left out, one that is over a bound is cut or left out."""
        value = value[:MAX_TEXT].strip("\0 \t\r\n")
        if not value:
            return
        if len(self.items) >= MAX_FIELDS or self._total + len(value) > MAX_TOTAL:
            self.problem("there is more metadata than is read: the rest was left out")
            return
        self._total += len(value)
        self.items.append(Field(carrier, clean(name, 100), value))

    def problem(self, sentence: str) -> None:
        """Note what could not be read, once."""
        if sentence not in self.problems and len(self.problems) < MAX_PROBLEMS:
            self.problems.append(sentence)

    def named(self, *names: str) -> Iterator[Field]:
        """Yield the fields of these names in any carrier, whatever their case and the prefix of their namespace."""
        wanted = {name.lower() for name in names}
        return (each for each in self.items if each.name.lower().rpartition(":")[2] in wanted)

    def of(self, carrier: str) -> Iterator[Field]:
        """Yield the fields of the carriers whose names begin so."""
        return (each for each in self.items if each.carrier.startswith(carrier))


def clean(text: str, limit: int) -> str:
    """Return a text in one line without control characters, shortened to a number of characters.

    >>> clean(" a\\nb\\0 c", 10), clean("abcdef", 4)
    ('a b c', 'abc…')
    """
    # Cut before the work, so that a long text costs no more than a short one.
    line = " ".join(CONTROL.sub(" ", text[: 4 * limit + 100]).split())
    line = line.encode("utf-8", "replace").decode()  # lone surrogates, which JSON readers refuse
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def decoded(raw: bytes) -> str:
    """Return bytes as text: UTF-8, as most writers do, else Latin-1, as the standards say and as anything can be read.

    >>> decoded("생성".encode()), decoded(b"caf\\xe9")
    ('생성', 'café')
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
