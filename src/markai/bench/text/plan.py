"""What a run over texts consists of, beside the plan for pictures."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from markai.bench import units
from markai.bench.methods import Entry
from markai.bench.text import edits
from markai.bench.text.sources import Source
from markai.bench.units import MARK
from markai.text.ngram import TEMPERATURE

NULLS = ("people", "model")  # who wrote the texts without a mark


@dataclass(frozen=True)
class Settings:
    """What decides the content of a row, beside its id. A run is taken up only with the same settings.

    ``tokens`` are written after ``prompt`` of people's, at a temperature; ``null_keys`` random keys read every text
    without a mark.
    """

    seed: int = 0
    tokens: int = 400
    prompt: int = 20
    temperature: float = TEMPERATURE
    null_keys: int = 20

    @property
    def reach(self) -> int:
        """How many tokens of people's a text needs: the prompt, and what stands beside that which the model writes."""
        return self.prompt + self.tokens

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Unit(units.Unit):
    """The rows wanted of a method and a text."""

    subject: ClassVar[str] = "text"

    entry: Entry
    source: Source


@dataclass(frozen=True)
class Plan:
    """A whole run: every method writes after every prompt, and what it wrote is attacked in every way."""

    entries: tuple[Entry, ...]
    attacks: tuple[str, ...]
    sources: tuple[Source, ...]
    settings: Settings = field(default_factory=Settings)

    def units(self) -> list[Unit]:
        """Return all work, texts first, so that a run that is cut short still compares methods.

        Raises:
            MethodError: if there is no such attack, or its strength is out of range.
        """
        for spec in self.attacks:
            edits.parse(spec)
        attacked = (MARK, *((spec, 0) for spec in self.attacks))
        nulls = tuple((who, 0) for who in NULLS) if self.settings.null_keys else ()
        pairs = [(source, entry) for source in self.sources for entry in self.entries]
        return [
            *(Unit("attack", entry, source, attacked) for source, entry in pairs),
            *(Unit("null", entry, source, nulls) for source, entry in pairs if nulls),
        ]


def entry(name: str) -> Entry:
    """Return the method of that name as a column; what follows an ``@`` are parameters, and no strength."""
    return Entry(name, name)
