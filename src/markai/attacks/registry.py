"""Registers of attacks: names, strengths, combinations, chains. The attacks themselves stand in their families.

Pictures and texts share one grammar and one implementation, a :class:`Register` each; the names at the end of this
module are the pictures'.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from markai.attacks.pixels import Pixels
from markai.errors import ImageError, MethodError

Content = TypeVar("Content")
Function = Callable[[Content, float, np.random.Generator], Content]
Spec = Callable[[float], str]
PictureFamily = Literal["codec", "geometry", "photometric", "local", "regeneration"]
TextFamily = Literal["words", "excerpt", "characters", "rewriting"]
Family = PictureFamily | TextFamily | Literal["chain"]


@dataclass(frozen=True, slots=True)
class Strength:
    """What the number after the colon means: from ``low`` to ``high``, by ``step`` where that is not 0.

    >>> window = Strength("window in pixels", 3, 15, default=5, step=2)
    >>> window.allows(7), window.allows(8), str(window)
    (True, False, 'window in pixels, 3 to 15 by 2')
    """

    meaning: str
    low: float
    high: float
    default: float
    step: float = 0

    def allows(self, value: float) -> bool:
        """Whether ``value`` lies in the range and on a step of it; NaN never does."""
        return self.low <= value <= self.high and not (self.step and (value - self.low) % self.step)

    def __str__(self) -> str:
        return f"{self.meaning}, {self.low:g} to {self.high:g}" + (f" by {self.step:g}" if self.step else "")


@dataclass(frozen=True, slots=True)
class Attack:
    """A named attack; ``strength`` is None where there is only one.

    ``geometric`` attacks move what they keep, so that a detector has to search for it. A ``proxy`` stands in for
    an attack that needs trained weights: to survive it is necessary, and proves nothing about the real one.
    """

    name: str
    strength: Strength | None
    function: Callable[[Any, float, np.random.Generator], Any]
    family: Family
    proxy: bool = False
    geometric: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """What is true of a spec as a whole: of any of its steps."""

    families: tuple[Family, ...]
    proxy: bool
    geometric: bool


class Register(Generic[Content]):
    """The attacks on one kind of content, which ``check`` refuses with an error where it is not of that kind.

    >>> shouts = Register[str](check=lambda text: None)
    >>> @shouts.attack("louder", Strength("exclamation marks", 1, 9, default=1, step=1), family="characters")
    ... def louder(text: str, marks: float, rng: np.random.Generator) -> str:
    ...     return text.upper() + "!" * int(marks)
    >>> shouts.apply("louder+louder:2", "hello")
    'HELLO!!!'
    """

    def __init__(self, check: Callable[[Content], None]) -> None:
        self._check = check
        self._attacks: dict[str, Attack] = {}

    def attack(
        self,
        name: str,
        strength: Strength | None = None,
        *,
        family: Family,
        proxy: bool = False,
        geometric: bool = False,
    ) -> Callable[[Function[Content]], Function[Content]]:
        """Register the decorated function under ``name``.

        Raises:
            MethodError: if the name is empty or could not stand in a spec, because of a colon or a plus.
        """
        if not name or {":", "+"} & set(name):
            raise MethodError(f"{name!r} cannot name an attack - write at least one letter, no colon and no plus")

        def register(function: Function[Content]) -> Function[Content]:
            self._attacks[name] = Attack(name, strength, function, family, proxy, geometric)
            return function

        return register

    def chain(self, name: str, strength: Strength | None = None) -> Callable[[Spec], Spec]:
        """Register a combination under a name of its own: the decorated function writes its spec for a strength."""

        def register(spec_of: Spec) -> Spec:
            def run(content: Content, value: float, rng: np.random.Generator) -> Content:
                return self.apply(spec_of(value), content, seed=int(rng.integers(1 << 32)))

            run.__doc__ = spec_of.__doc__
            usual = self.traits(spec_of(strength.default if strength else 0))
            self.attack(name, strength, family="chain", proxy=usual.proxy, geometric=usual.geometric)(run)
            return spec_of

        return register

    def names(self) -> list[str]:
        """Return the names of all attacks, like with like.

        >>> names()[:4]
        ['none', 'jpeg', 'webp', 'avif']
        """
        return list(self._attacks)

    def parse(self, spec: str) -> tuple[Attack, float]:
        """Return the attack and the strength that ``"name"`` or ``"name:strength"`` asks for.

        >>> parse("blur:1.5")[1], parse("blur")[1], parse("grayscale")[1]
        (1.5, 2.0, 0)

        Raises:
            MethodError: if there is no such attack, or its strength is out of range.
        """
        name, colon, given = spec.partition(":")
        if name not in self._attacks:
            raise MethodError(f"no attack {name!r} - choose from {', '.join(self.names())}")
        found = self._attacks[name]
        if found.strength is None:
            if colon:
                raise MethodError(f"{name} takes no strength - write {name!r}")
            return found, 0
        if not colon:
            return found, found.strength.default
        value = _number(given)
        if not found.strength.allows(value):
            raise MethodError(f"{spec!r} is out of range - {name} takes {found.strength}")
        return found, value

    def steps(self, spec: str) -> list[tuple[Attack, float]]:
        """Return what a combination such as ``"crop:0.9+jpeg:60"`` asks for, in the order in which it happens.

        >>> [(step.name, strength) for step, strength in steps("crop:0.9+jpeg")]
        [('crop', 0.9), ('jpeg', 50)]

        Raises:
            MethodError: if a step names no attack, or its strength is out of range.
        """
        return [self.parse(step) for step in spec.split("+")]

    def traits(self, spec: str) -> Traits:
        """Return the families and the flags of an attack or a combination.

        >>> traits("rotate:5+jpeg:70")
        Traits(families=('geometry', 'codec'), proxy=False, geometric=True)

        Raises:
            MethodError: if a step names no attack, or its strength is out of range.
        """
        found = [step for step, _ in self.steps(spec)]
        return Traits(
            families=tuple(dict.fromkeys(step.family for step in found)),
            proxy=any(step.proxy for step in found),
            geometric=any(step.geometric for step in found),
        )

    def apply(self, spec: str, content: Content, seed: int = 0) -> Content:
        """Return the attacked content; the same ``seed`` (0 or more) gives the same.

        An attack draws the same numbers at every strength, so that a sweep compares like with like. A combination
        gives what its steps give one after the other with this seed, unless the same attack comes twice.

        Raises:
            MethodError: if there is no such attack, or its strength is out of range.
            MarkaiError: if the content is of another kind, or an attack cannot work on it.
            MissingExtraError: if an attack needs a package that is not installed.
        """
        wanted = self.steps(spec)
        self._check(content)
        before: Counter[str] = Counter()
        attacked = content
        for step, strength in wanted:
            # The second "noise" of a combination must not be the first once more. No name has a byte this small.
            again = [before[step.name]] if before[step.name] else []
            rng = np.random.default_rng([seed, *step.name.encode(), *again])
            attacked = step.function(attacked, strength, rng)
            before[step.name] += 1
        return attacked


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_pixels(pixels: Pixels) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"attacks take (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}")


PICTURES = Register[Pixels](_check_pixels)
attack, chain = PICTURES.attack, PICTURES.chain
names, parse, steps, traits = PICTURES.names, PICTURES.parse, PICTURES.steps, PICTURES.traits


def apply(spec: str, pixels: Pixels, seed: int = 0) -> Pixels:
    """Return the attacked pixels, in memory of their own, as :meth:`Register.apply` of the pictures does.

    Raises:
        MethodError: if there is no such attack, or its strength is out of range.
        ImageError: if the pixels are not (H, W, 3) uint8, or a codec cannot hold them.
        MissingExtraError: if an attack needs a package that is not installed.
    """
    return np.array(PICTURES.apply(spec, pixels, seed), order="C")
