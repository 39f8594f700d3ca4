"""Marks in text under test, behind one face: write ids, read ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from markai.bench.methods import Trial
from markai.bench.text.author import Author
from markai.keys import Key
from markai.text.base import Ids, Scorer
from markai.text.detector import detect
from markai.text.mark import TextMark
from markai.text.result import TextDetection
from markai.text.words import WordMark, word_ids

PIECE, CHOICES = 8, 8  # tokens of a piece, and how many are offered for it, of marks without logits


@dataclass(frozen=True)
class Reading:
    """What a method says of a text, given what should be there; what it cannot say is None.

    ``weighted`` is log10 p with entropies and surprisals, ``own`` that of the maker's own detector.
    """

    log10_p: float
    weighted: float | None = None
    own: float | None = None
    exact: bool | None = None
    exact_weighted: bool | None = None
    wrong: bool = False


@runtime_checkable
class TextMethod(Protocol):
    """What the benchmark asks of a method."""

    @property
    def payload_bytes(self) -> int:
        """How long the message is; 0 for marks that only say that they are there."""

    def write(self, author: Author, prompt: Ids, length: int, trial: Trial, rng: np.random.Generator) -> Ids:
        """Return ``length`` marked ids after the prompt."""

    def read(self, author: Author, ids: Ids, trial: Trial, *, weigh: bool = True) -> Reading:
        """Return how well the trial's mark is there; ``weigh=False`` leaves out what weights tell."""


class Tokens:
    """A mark that is read from tokens, through a ``Scorer``."""

    payload_bytes = 0

    def scorer(self, author: Author, key: Key) -> Scorer:
        """Return what reads the mark under a key."""
        raise NotImplementedError

    def read(self, author: Author, ids: Ids, trial: Trial, *, weigh: bool = True) -> Reading:
        scorer = self.scorer(author, trial.key)
        found = [detect(ids, [scorer])]
        if weigh:
            entropies, surprisals = author.nats(ids)
            found.append(detect(ids, [scorer], entropies=entropies, surprisals=surprisals))
        exact = [each.payload == trial.message for each in found] if self.payload_bytes else []
        return Reading(
            found[0].log10_p_value,
            found[1].log10_p_value if weigh else None,
            exact=exact[0] if exact else None,
            exact_weighted=exact[1] if exact and weigh else None,
            wrong=any(_wrong(each, trial) for each in found),
        )


def _wrong(found: TextDetection, trial: Trial) -> bool:
    return found.payload not in (None, trial.message)


@dataclass(frozen=True)
class Own(Tokens):
    """A scheme of markai with its parameters."""

    scheme: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    payload_bytes: int = 0

    @classmethod
    def of(cls, scheme: str, payload: int = 0, **parameters: Any) -> Self:
        """Return the method with a payload of so many bytes, after a look at whether it can be made."""
        TextMark(Key(bytes(32)), scheme, payload=bytes(payload) or None, **parameters)
        return cls(scheme, parameters, payload)

    def write(self, author: Author, prompt: Ids, length: int, trial: Trial, rng: np.random.Generator) -> Ids:
        payload = trial.message if self.payload_bytes else None
        mark = TextMark(trial.key, self.scheme, author.vocab_size, payload, **self.parameters)
        return author.write(prompt, length, rng, mark.step)

    def scorer(self, author: Author, key: Key) -> TextMark:  # noqa: ARG002
        return TextMark(key, self.scheme, payload=True if self.payload_bytes else None, **self.parameters)


class Words:
    """The mark on words: of several pieces that the model offers, the best."""

    payload_bytes = 0

    def write(self, author: Author, prompt: Ids, length: int, trial: Trial, rng: np.random.Generator) -> Ids:
        def offer(so_far: str) -> str:
            return author.decode(author.write(author.encode(so_far), PIECE, rng))

        pieces = -(-length // PIECE)
        text = WordMark(trial.key).write(offer, author.decode(prompt), pieces, CHOICES)
        return author.encode(text)[:length]

    def read(self, author: Author, ids: Ids, trial: Trial, *, weigh: bool = True) -> Reading:  # noqa: ARG002
        return Reading(detect(word_ids(author.decode(ids)), [WordMark(trial.key)]).log10_p_value)


class Unmarked(Own):
    """A method that marks nothing: what it is found at must be chance, and its texts are what the model's are like."""

    def __init__(self) -> None:
        super().__init__("gumbel")

    def write(self, author: Author, prompt: Ids, length: int, trial: Trial, rng: np.random.Generator) -> Ids:  # noqa: ARG002
        return author.write(prompt, length, rng)
