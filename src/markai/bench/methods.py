"""Methods under test, own and foreign, behind one face: embed, look, read."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from markai.bench import peers
from markai.errors import MethodError
from markai.keys import Key
from markai.stats import log10_binomial_tail
from markai.watermarks.base import BitMark, Watermark

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Trial:
    """What is embedded: a key and a message of its own for every method, picture and purpose.

    >>> Trial.draw(0, "dwt-dct", "kodak_01.png").key.id == Trial.draw(0, "dwt-dct", "kodak_01.png").key.id
    True
    """

    key: Key
    message: bytes

    @classmethod
    def draw(cls, seed: int, *purpose: str | int, message_bytes: int = 8) -> "Trial":
        """Draw from the seed; which other trials a run holds does not matter."""
        rng = np.random.default_rng([seed, *hashlib.sha256(repr(purpose).encode()).digest()])
        return cls(Key(rng.bytes(32)), rng.bytes(message_bytes))

    def bits(self, count: int) -> NDArray[np.uint8]:
        """Return the first ``count`` bits of a stream that begins with the message."""
        rng = np.random.default_rng(list(self.message))
        return rng.integers(0, 2, count, dtype=np.uint8)


@dataclass(frozen=True)
class Reading:
    """What a method says of a picture, given what should be there.

    ``log10_p`` is the method's own corrected p-value, or that of the matching bits; ``exact`` says that the whole
    message was read, ``wrong`` that another one was claimed.
    """

    log10_p: float
    exact: bool
    wrong: bool
    bit_accuracy: float | None = None


class Method(Protocol):
    """What the benchmark asks of a method."""

    bits: int
    keyed: bool
    adjustable: bool

    def embed(self, pixels: Pixels, trial: Trial, strength: float) -> Pixels:
        """Return the marked pixels."""

    def look(self, pixels: Pixels, strength: float = 1.0) -> Any:
        """Return what can be computed before it is known what to look for; quantisers must know their strength."""

    def read(self, look: Any, trial: Trial) -> Reading:
        """Return how well the trial's message is there."""


@dataclass(frozen=True)
class Keyed:
    """A method that knows keys and states p-values of its own."""

    mark: Watermark
    bits: int = 64
    keyed: bool = True
    adjustable: bool = True

    def embed(self, pixels: Pixels, trial: Trial, strength: float) -> Pixels:
        return self.mark.embed(pixels, trial.key, trial.message, strength)

    def look(self, pixels: Pixels, strength: float = 1.0) -> Any:  # noqa: ARG002
        return self.mark.look(pixels)

    def read(self, look: Any, trial: Trial) -> Reading:
        found = self.mark.find(look, trial.key)
        exact = found.payload == trial.message
        return Reading(found.log10_p_value, exact, found.payload is not None and not exact)


@dataclass(frozen=True)
class Unkeyed:
    """A foreign method: bits in, bits out. It always answers, so every answer that is not exact is a wrong one.

    The message is drawn at random, so on unmarked pictures the number of matching bits is binomial whatever the
    method does, and the tail is a true p-value.
    """

    mark: BitMark
    keyed: bool = False

    @property
    def bits(self) -> int:
        return self.mark.bits

    @property
    def adjustable(self) -> bool:
        return self.mark.adjustable

    def embed(self, pixels: Pixels, trial: Trial, strength: float) -> Pixels:
        return self.mark.embed(pixels, trial.bits(self.bits), strength)

    def look(self, pixels: Pixels, strength: float = 1.0) -> NDArray[np.uint8]:
        return self.mark.extract(pixels, strength)

    def read(self, look: NDArray[np.uint8], trial: Trial) -> Reading:
        matching = int((look == trial.bits(self.bits)).sum())
        exact = matching == self.bits
        return Reading(log10_binomial_tail(matching, self.bits), exact, not exact, matching / self.bits)


@cache
def load(name: str) -> Method:
    """Return a method by name: installed, a peer, or ``package.module:attribute``.

    >>> load("dwt-dct").keyed
    True

    Raises:
        MethodError: if there is none of that name.
        MissingExtraError: if it needs a package that is not installed.
    """
    mark = peers.load(name)
    return Keyed(mark) if hasattr(mark, "find") else Unkeyed(mark)


@dataclass(frozen=True)
class Entry:
    """A method as one column of the tables: at a strength, or at the strength that gives a mean PSNR.

    >>> Entry.parse("dwt-dct@0.8").strength, Entry.parse("dwt-dct@42dB").psnr, Entry.parse("dwt-dct").strength
    (0.8, 42.0, 1.0)
    """

    label: str
    name: str
    strength: float = 1.0
    psnr: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Entry":
        """Read ``name``, ``name@strength`` or ``name@42dB``.

        Raises:
            MethodError: if what follows the @ is neither.
        """
        name, at, level = text.partition("@")
        if not at:
            return cls(text, name)
        try:
            value = float(level.removesuffix("dB"))
        except ValueError:
            value = 0.0
        if not 0 < value < 100:
            raise MethodError(f"{text!r} is neither name@strength nor name@42dB - name is one of the methods")
        return cls(text, name, psnr=value) if level.endswith("dB") else cls(text, name, strength=value)
