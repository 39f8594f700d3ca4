"""What happens to texts in the benchmark: the attacks on texts by name, and edits of ids, which know the model.

An attack on a text goes through decoding and encoding: what tokens a reader gets is part of it. Edits of ids leave that
out, and so does "ids", which changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from markai.attacks import text as attacks
from markai.attacks.registry import Strength
from markai.attacks.text.excerpts import reference
from markai.bench.text.author import Author
from markai.errors import MethodError
from markai.text.base import Ids, as_ids

HIT = Strength("share of the ids", 0, 1, default=0.1)
KEPT = Strength("share of the ids kept", 0, 1, default=0.5)
PART = Strength("share of the whole", 0.01, 1, default=0.1)


@dataclass(frozen=True)
class Written:
    """Ids and where they come from: the edits paste them into other texts by the same author."""

    ids: Ids
    author: Author
    prompt: Ids


Function = Callable[[Written, float, np.random.Generator], Any]


@dataclass(frozen=True)
class Edit:
    """An edit of ids by name; ``strength`` is None where there is only one."""

    function: Function
    strength: Strength | None = None
    geometric: bool = False


def apply(spec: str, written: Written, seed: int) -> Ids:
    """Return the ids that a reader gets.

    Raises:
        MethodError: if there is no such attack or edit, or its strength is out of range.
    """
    name, strength = parse(spec)
    if name is not None:
        edited = EDITS[name].function(written, strength, np.random.default_rng([seed, *name.encode()]))
        return as_ids(edited)
    return written.author.encode(attacks.apply(spec, written.author.decode(written.ids), seed))


def parse(spec: str) -> tuple[str | None, float]:
    """Return the name of an edit and its strength; None for the name of what happens to text.

    >>> parse("delete-ids:0.3"), parse("delete:0.3+lower")
    (('delete-ids', 0.3), (None, 0.0))

    Raises:
        MethodError: if there is no such attack or edit, or its strength is out of range.
    """
    name, colon, given = spec.partition(":")
    edit = EDITS.get(name)
    if edit is None:
        attacks.steps(spec)
        return None, 0.0
    if edit.strength is None:
        if colon:
            raise MethodError(f"{name} takes no strength - write {name!r}")
        return name, 0.0
    try:
        strength = float(given) if colon else edit.strength.default
    except ValueError:
        strength = -1.0
    if not edit.strength.allows(strength):
        raise MethodError(f"{spec!r} is out of range - {name} takes {edit.strength}")
    return name, strength


def _same(written: Written, _strength: float, _rng: np.random.Generator) -> Ids:
    return written.ids


def _substitute(written: Written, share: float, rng: np.random.Generator) -> Any:
    return attacks.substitute_ids(written.ids, share, written.author.vocab_size, rng)


def _delete(written: Written, share: float, rng: np.random.Generator) -> Any:
    return attacks.delete_ids(written.ids, share, rng)


def _insert(written: Written, share: float, rng: np.random.Generator) -> Any:
    return attacks.insert_ids(written.ids, share, written.author.vocab_size, rng)


def _truncate(written: Written, share: float, _rng: np.random.Generator) -> Any:
    return attacks.truncate_ids(written.ids, share)


def _copy_paste(written: Written, share: float, rng: np.random.Generator) -> Any:
    return attacks.copy_paste_ids(written.ids, share, _people(written.author), rng)


def _among_people(written: Written, share: float, rng: np.random.Generator) -> Ids:
    people = _people(written.author)
    start = int(rng.integers(len(people)))
    return _passage(written.ids, share, np.roll(people, -start), rng)


def _among_unmarked(written: Written, share: float, rng: np.random.Generator) -> Ids:
    length = round(len(written.ids) / share)
    return _passage(written.ids, share, written.author.write(written.prompt, length, rng), rng)


def _passage(ids: Ids, share: float, host: Ids, rng: np.random.Generator) -> Ids:
    """Return the ids as one passage, at a random place, of a text of which they are this share."""
    others = np.resize(host, round(len(ids) / share) - len(ids))
    return np.insert(others, int(rng.integers(len(others) + 1)), ids)


@cache
def _people(author: Author) -> Ids:
    return author.encode(reference())


EDITS = {
    "ids": Edit(_same),
    "substitute-ids": Edit(_substitute, HIT),
    "delete-ids": Edit(_delete, HIT),
    "insert-ids": Edit(_insert, HIT),
    "truncate-ids": Edit(_truncate, KEPT),
    "copy-paste-ids": Edit(_copy_paste, KEPT, geometric=True),
    "among-people-ids": Edit(_among_people, PART, geometric=True),
    "among-unmarked-ids": Edit(_among_unmarked, PART, geometric=True),
}
