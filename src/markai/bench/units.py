"""Units of work, whatever is marked: which rows they make, what of them is left to do, errors that become rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

from markai.bench.rows import Id, Row

Emit = Callable[[Row], None]
Item = tuple[str, int]  # an attack and which turn of it

MARK: Item = ("", 0)


class Labelled(Protocol):
    """A method as one column of the tables."""

    @property
    def label(self) -> str:
        """What rows call it."""


class Named(Protocol):
    """A picture or a text."""

    @property
    def name(self) -> str:
        """What rows call it."""

    @property
    def group(self) -> str:
        """What sorts like with like."""


class Seeded(Protocol):
    """The settings of a run."""

    @property
    def seed(self) -> int:
        """What decides every random choice."""


@dataclass(frozen=True)
class Unit:
    """Work that is done in one go, in one process: the rows (attack, seed) wanted of a method and what it marks."""

    subject: ClassVar[str] = "picture"

    kind: str
    entry: Labelled | None
    source: Named | None
    wanted: tuple[Item, ...]

    def ids(self) -> list[Id]:
        """Return the ids of the rows that this unit makes."""
        method = self.entry.label if self.entry else ""
        source = self.source.name if self.source else ""
        return [(self.row_kind(item), method, source, *item) for item in self.wanted]

    def row_kind(self, item: Item) -> str:
        """Return the kind of a row: marking is the first row of attacking."""
        return "mark" if self.kind == "attack" and item == MARK else self.kind

    def without(self, done: set[Id]) -> Self:
        """Return what is left to do."""
        left = tuple(item for item, row in zip(self.wanted, self.ids(), strict=True) if row not in done)
        return replace(self, wanted=left)

    def head(self, item: Item) -> Row:
        """Return what a row is about: the part that is there whether the work succeeds or not."""
        spec, turn = item
        row: Row = {"kind": self.row_kind(item)}
        if self.entry:
            row["method"] = self.entry.label
        if self.source:
            row |= {self.subject: self.source.name, "group": self.source.group}
        return row | ({"attack": spec, "seed": turn} if item != MARK else {})


def as_rows(unit: Unit, work: Callable[[Emit], None], emit: Emit) -> None:
    """Let ``work`` hand over the rest of each row of a unit, in order; what it does not get to has its error."""
    left = list(unit.wanted)

    def emit_next(row: Row) -> None:
        emit(unit.head(left.pop(0)) | row)

    try:
        work(emit_next)
    except Exception as error:  # what concerns the unit as a whole: an unreadable picture, a missing package
        while left:
            emit_next({"error": said(error)})


def said(error: BaseException) -> str:
    """Return an error in one line of bounded length.

    >>> said(ValueError("too\\nlong"))
    'ValueError: too long'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
