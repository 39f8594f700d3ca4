"""What a run consists of: settings that decide every row, and the units of work that the rows come from."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from markai import attacks
from markai.bench import units
from markai.bench.methods import Entry
from markai.bench.pictures import Source, spread
from markai.bench.units import MARK, Seeded

MOVING = ("crop", "crop-back", "splice", "collage")  # attacks whose outcome depends on where they hit
DAMAGED = 24  # pictures tell the mean PSNR of an attack to 0.5 dB; they take as long as a method


@dataclass(frozen=True)
class Settings:
    """What decides the content of a row, beside its id. A run is taken up only with the same settings.

    ``message_bytes`` is the payload of keyed methods, ``short_side`` the shorter side to which pictures are shrunk,
    ``metrics`` what is measured of a mark, ``null_keys`` the random keys for every unmarked picture.
    """

    seed: int = 0
    message_bytes: int = 8
    short_side: int | None = None
    metrics: tuple[str, ...] = ("psnr", "ssim", "ms_ssim", "ciede2000")
    null_keys: int = 100
    security_side: int = 512
    time_side: int = 1024

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"metrics": list(self.metrics)}


@dataclass(frozen=True)
class Unit(units.Unit):
    """The rows wanted of a method and a picture."""

    entry: Entry | None
    source: Source | None


@dataclass(frozen=True)
class Plan:
    """A whole run.

    ``positions`` is how often an attack is tried whose outcome depends on where it hits; ``null_attacks`` are done to
    unmarked pictures before they are read under random keys; ``nulls`` are further unmarked pictures. What an attack
    does to quality is measured on at most DAMAGED of the pictures.
    """

    entries: tuple[Entry, ...]
    attacks: tuple[str, ...]
    sources: tuple[Source, ...]
    settings: Settings = field(default_factory=Settings)
    positions: int = 1
    null_attacks: tuple[str, ...] = ("none",)
    nulls: tuple[Source, ...] = ()
    security: tuple[str, ...] = ()
    times: bool = True

    def units(self) -> list[Unit]:
        """Return all work, pictures first, so that a run that is cut short still compares methods.

        Raises:
            MethodError: if there is no such attack, or its strength is out of range.
        """
        for spec in (*self.attacks, *self.null_attacks):
            attacks.steps(spec)
        return [*self._per_picture(), *self._per_null(), *self._per_method()]

    def _per_picture(self) -> Iterator[Unit]:
        wanted = (MARK, *((spec, turn) for spec in self.attacks for turn in range(self._turns(spec))))
        damaged = set(spread(self.sources, DAMAGED))
        for source in self.sources:
            if source in damaged:
                yield Unit("damage", None, source, tuple((spec, 0) for spec in self.attacks))
            for entry in self.entries:
                yield Unit("attack", entry, source, wanted)

    def _per_null(self) -> Iterator[Unit]:
        if self.settings.null_keys:
            for entry in self.distinct():
                for source in (*self.sources, *self.nulls):
                    yield Unit("null", entry, source, tuple((spec, 0) for spec in self.null_attacks))

    def _per_method(self) -> Iterator[Unit]:
        for entry in self.entries:
            if self.security:
                yield Unit("security", entry, None, tuple((name, 0) for name in self.security))
        for entry in self.entries:
            if self.times:
                yield Unit("time", entry, None, (MARK,))

    def distinct(self) -> list[Entry]:
        """Return the first entry of each method: a detector's null does not depend on a strength of embedding."""
        return list({entry.name: entry for entry in reversed(self.entries)}.values())[::-1]

    def first(self, entry: Entry) -> Entry:
        """Return the entry whose null rows serve this one."""
        return next(each for each in self.entries if each.name == entry.name)

    def _turns(self, spec: str) -> int:
        return self.positions if any(step.name in MOVING for step, _ in attacks.steps(spec)) else 1


def attack_seed(settings: Seeded, source: str, turn: int) -> int:
    """Return the seed of an attack: the same for every method, so that all are hit in the same place."""
    return int.from_bytes(hashlib.sha256(repr((settings.seed, source, turn)).encode()).digest()[:4])
