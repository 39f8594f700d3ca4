"""The summary as the report reads it: methods in one order with one style each, attacks by family, cells by place."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markai.bench.report.numbers import UNKNOWN, finite
from markai.bench.report.words import words_for

Row = Mapping[str, Any]

NO_ATTACK, CHAIN = "none", "chain"
FAMILIES = {
    NO_ATTACK: "No attack",
    "codec": "Compression",
    "photometric": "Light, noise, blur",
    "geometry": "Geometry",
    "local": "Local edits",
    "regeneration": "Regeneration",
    "tokens": "Edits of token ids",
    "characters": "Characters",
    "words": "Words",
    "excerpt": "Excerpts",
    "rewriting": "Rewriting",
    CHAIN: "Combinations",
}
READ_BACK = 0.95  # "read back after an attack": at least this share of the pictures, as in WAVES' Q@0.95P
# What a cell says beside detection at several rates: key, how it is called, what of the pictures or texts that is.
SHARES = {
    "exact": ("Exact payload", "whose whole payload was read back without an error"),
    "weighted": (
        "Detected at 1e-6, weighted",
        "found with a p-value of at most 1e-6, with tokens weighed by a language model",
    ),
    "exact_weighted": ("Exact payload, weighted", "whose whole payload was read back with tokens weighed"),
    "own": ("Its own detector at 1e-6", "to which the maker's own detector gives a p-value of at most 1e-6"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """What a cell can be asked for: a share with its interval. ``chance`` is what a coin would get."""

    key: str
    label: str
    meaning: str
    chance: float = 0.0

    def share(self, cell: Row | None) -> Row | None:
        """Return value, low, high and n, or None where it was not measured."""
        if cell is None:
            return None
        found = cell["detected"].get(self.key) if self.key in cell["detected"] else cell.get(self.key)
        if not found:
            return None
        share = {"value": found.get("mean"), **found}
        return share if finite(share["value"]) is not None else None


class View:
    """A summary and the questions that several parts of the report ask of it. Missing lists are empty."""

    def __init__(self, summary: Row) -> None:
        self.run: Row = summary.get("run", {})
        self.words = words_for(self.run)
        self.methods: list[Row] = list(summary.get("methods", []))
        self.attacks: list[Row] = list(summary.get("attacks", []))
        self.cells: list[Row] = list(summary.get("cells", []))
        self.curves: list[Row] = list(summary.get("curves", []))
        self.quality_at_performance: list[Row] = list(summary.get("quality_at_performance", []))
        self.roc: list[Row] = list(summary.get("roc", []))
        self.null: list[Row] = list(summary.get("null", []))
        self.security: list[Row] = list(summary.get("security", []))
        self.worst: list[Row] = list(summary.get("worst", []))
        self.names: list[str] = [method["name"] for method in self.methods]
        self._cell = {(cell["method"], cell["attack"]): cell for cell in self.cells}
        self._null = {row["method"]: row for row in self.null}

    def style(self, method: str) -> int:
        """Return the number that gives a method its colour, dash and marker on the whole page."""
        return self.names.index(method) if method in self.names else len(self.names)

    def cell(self, method: str, attack: str) -> Row | None:
        """Return what was measured for a method under an attack."""
        return self._cell.get((method, attack))

    @property
    def count(self) -> int:
        """How many pictures or texts there were."""
        return int(self.run.get(self.words.many, 0))

    @property
    def source(self) -> str:
        """Where they are from, or how long they are."""
        return self.words.source.format(self.run.get(f"{self.words.one}_source", UNKNOWN))

    def null_of(self, method: str) -> Row | None:
        """Return what a method found where nothing is."""
        return self._null.get(method)

    @cached_property
    def groups(self) -> dict[str, list[Row]]:
        """The attacks by family, in the order of FAMILIES and then of appearance; several families are a chain."""
        found: dict[str, list[Row]] = {family: [] for family in FAMILIES}
        for attack in self.attacks:
            families = attack.get("families") or ["other"]
            family = families[0] if len(families) == 1 else CHAIN
            found.setdefault(NO_ATTACK if attack["spec"] == NO_ATTACK else family, []).append(attack)
        return {family: attacks for family, attacks in found.items() if attacks}

    @cached_property
    def measures(self) -> list[Measure]:
        """What the cells hold, the headline first: payloads, detection from strict to loose, bit accuracy."""
        rates = sorted({rate for cell in self.cells for rate in cell["detected"]}, key=float)
        share = f"share of {self.words.many}"
        possible = [
            *(Measure(key, label, f"{share} {what}") for key, (label, what) in SHARES.items()),
            *(
                Measure(rate, f"Detected at {rate}", f"{share} found with a p-value of at most {rate}")
                for rate in rates
            ),
            Measure("bit_accuracy", "Bit accuracy", "mean share of right bits; guessing gives 0.5", chance=0.5),
        ]
        order = {key: place for place, key in enumerate(self.words.first)}
        possible.sort(key=lambda measure: order.get(measure.key, len(order)))
        return [measure for measure in possible if any(measure.share(cell) for cell in self.cells)]

    @cached_property
    def headline(self) -> Measure:
        """What a method is judged by at a glance."""
        return next((each for each in self.measures if each.key == self.words.first[0]), Measure("exact", "", ""))

    def survived(self, method: str, attacks: list[Row]) -> list[tuple[float, str]]:
        """Return (share of the headline, spec) for the attacks under which it was measured, the worst first."""
        measured = []
        for attack in attacks:
            share = self.headline.share(self.cell(method, attack["spec"]))
            if share is not None:
                measured.append((float(share["value"]), attack["spec"]))
        return sorted(measured)

    def total(self, method: str, what: str) -> int:
        """Return the sum of a count, such as ``wrong`` or ``errors``, over all cells of a method."""
        return sum(cell.get(what) or 0 for cell in self.cells if cell["method"] == method)


def family_label(family: str) -> str:
    """Return how a family is called on the page.

    >>> family_label("codec"), family_label("security")
    ('Compression', 'Security')
    """
    return FAMILIES.get(family, family.capitalize())


def level(value: float | None, chance: float = 0.0) -> int | None:
    """Return the step of the colour scale, 0 to 10, of a share; only all of it reaches 10.

    >>> level(0.999), level(1), level(0), level(0.75, chance=0.5), level(0.3, chance=0.5), level(None)
    (9, 10, 0, 5, 0, None)
    """
    known = finite(value)
    return None if known is None else max(0, min(10, int((known - chance) / (1 - chance) * 10 + 1e-9)))
