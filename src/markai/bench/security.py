"""Attacks that take more than one picture: averaging, copying, marking twice, reading with another key.

All are judged by the detector that an attacker does not have; a row counts in how many pictures what happened.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from markai.attacks import security as attack
from markai.attacks.pixels import resized
from markai.bench.methods import Method, Reading, Trial
from markai.bench.pictures import Source
from markai.errors import MethodError

Pixels = NDArray[np.uint8]

JUDGED = 12  # pictures
FPR_LOG10 = -6.0
ROOM = 1.2  # of the shorter side: how far squares of one picture can lie apart
FORGED_RMS = 2.0  # grey levels: the strength of a real mark of 42 dB

# What is counted of each attack, and whether an owner wants it often or seldom. A number after the colon says how many
# marked pictures the attacker has.
MEANINGS = {
    "wrong-key": ("marked pictures found with another key", "low"),
    "double-first": ("the first mark still read exactly after a second", "high"),
    "double-second": ("the second mark read exactly on top of a first", "high"),
    "copy": ("the mark of one picture accepted, with its message, on another", "low"),
    "average-remove": ("marks still found after the mean residual was subtracted, originals known", "high"),
    "average-remove-blind": ("marks still found after the mean residual was subtracted, originals unknown", "high"),
    "average-forge": ("unmarked pictures accepted, with a message, after the mean residual was added", "low"),
}
QUICK = ("wrong-key", "double-first", "double-second", "copy", "average-remove:10", "average-forge:10")
FULL = (
    *("wrong-key", "double-first", "double-second", "copy"),
    *(f"{name}:{count}" for name in ("average-remove", "average-remove-blind", "average-forge") for count in (10, 100)),
)


class DrawTrial(Protocol):
    """Draws a key and a message for a purpose."""

    def __call__(self, *purpose: str | int) -> Trial: ...


@dataclass
class Bench:
    """A method under attack on square pictures of ``side`` pixels, all marked under one key."""

    method: Method
    strength: float
    draw: DrawTrial
    side: int
    residuals: dict[tuple[int, bool], NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def owner(self) -> Trial:
        """The key and the message that all marked pictures share: what averaging needs."""
        return self.draw("security", "owner")

    def run(self, name: str, sources: Sequence[Source]) -> dict[str, Any]:
        """Return how many pictures of how many showed what the attack is about.

        Raises:
            MethodError: if there is no such attack.
        """
        kind, _, count = name.partition(":")
        attacks: dict[str, Callable[[list[Pixels]], Iterator[bool]]] = {
            "wrong-key": self._wrong_key,
            "double-first": lambda judged: self._double(judged, first=True),
            "double-second": lambda judged: self._double(judged, first=False),
            "copy": self._copied,
            "average-remove": lambda judged: self._averaged(judged, sources, int(count), known=True),
            "average-remove-blind": lambda judged: self._averaged(judged, sources, int(count), known=False),
            "average-forge": lambda judged: self._forged(judged, sources, int(count)),
        }
        if kind not in attacks or ("average" in kind) != count.isdecimal():
            raise MethodError(f"no security attack {name!r} - choose from {', '.join(MEANINGS)}, averages with :number")
        seen = list(attacks[kind](list(islice(squares(sources, self.side), JUDGED))))
        return {"happened": sum(seen), "n": len(seen)}

    def _mark(self, pixels: Pixels, trial: Trial | None = None) -> Pixels:
        return self.method.embed(pixels, trial or self.owner, self.strength)

    def _read(self, pixels: Pixels, trial: Trial | None = None) -> Reading:
        return self.method.read(self.method.look(pixels, self.strength), trial or self.owner)

    def _found(self, pixels: Pixels, trial: Trial | None = None) -> bool:
        return self._read(pixels, trial).log10_p <= FPR_LOG10

    def _wrong_key(self, judged: list[Pixels]) -> Iterator[bool]:
        other = self.draw("security", "other")
        return (self._found(self._mark(pixels), other) for pixels in judged)

    def _double(self, judged: list[Pixels], *, first: bool) -> Iterator[bool]:
        other = self.draw("security", "other")
        for pixels in judged:
            yield self._read(self._mark(self._mark(pixels), other), self.owner if first else other).exact

    def _copied(self, judged: list[Pixels]) -> Iterator[bool]:
        """Each mark goes to the next picture."""
        for source, target in zip(judged, judged[1:] + judged[:1], strict=True):
            yield self._read(attack.copy_mark(self._mark(source), target)).exact

    def _averaged(self, judged: list[Pixels], sources: Sequence[Source], count: int, *, known: bool) -> Iterator[bool]:
        residual = self._residual(sources, count, known=known)
        return (self._found(attack.remove(self._mark(pixels), residual)) for pixels in judged)

    def _forged(self, judged: list[Pixels], sources: Sequence[Source], count: int) -> Iterator[bool]:
        residual = self._residual(sources, count, known=True)
        return (self._read(attack.forge(pixels, residual, rms=FORGED_RMS)).exact for pixels in judged)

    def _residual(self, sources: Sequence[Source], count: int, *, known: bool) -> NDArray[np.float32]:
        """Return the mean of what marking added to ``count`` squares, none of which is judged."""
        if (count, known) not in self.residuals:
            # Drawn twice, for a thousand pictures are more than memory is for.
            marked, originals = (islice(squares(sources, self.side, JUDGED), count) for _ in range(2))
            found = attack.estimate_residual(map(self._mark, marked), originals if known else None)
            self.residuals[count, known] = found
        return self.residuals[count, known]


def squares(sources: Sequence[Source], side: int, skip: int = 0) -> Iterator[Pixels]:
    """Yield squares of the pictures without end: after each picture came once, other parts of them.

    The first ``skip`` are left out.
    """
    rng = np.random.default_rng(side)
    for number, source in enumerate(cycle(sources)):
        place = rng.random(2)
        if number < skip:
            continue
        pixels = source.load()
        scale = ROOM * side / min(pixels.shape[:2])
        pixels = resized(pixels, *(scale * length for length in pixels.shape[:2]))
        top, left = (int(at * (length - side + 1)) for at, length in zip(place, pixels.shape[:2], strict=True))
        yield np.ascontiguousarray(pixels[top : top + side, left : left + side])
