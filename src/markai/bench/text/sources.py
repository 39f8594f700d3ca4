"""Texts by people: their beginnings are prompts, what follows is what detectors must find nothing in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from markai.bench.pictures import group_of
from markai.bench.text.author import Author
from markai.errors import MethodError
from markai.text.base import Ids
from markai.text.ngram import corpus

CHARACTERS = 8  # for each token that is wanted: English has 4 with the small vocabulary, code 2
SHIPPED = "python"  # what the texts are called that ship with Python


@dataclass(frozen=True, slots=True)
class Source:
    """A passage by name; ``group`` sorts like with like in the tables."""

    name: str
    group: str
    text: str

    def parts(self, author: Author, prompt: int, length: int) -> tuple[Ids, Ids]:
        """Return the prompt, and up to ``length`` ids that people wrote after it."""
        ids = author.encode(self.text)
        return ids[:prompt], ids[prompt : prompt + length]


def shipped(count: int, tokens: int, seed: int = 0) -> list[Source]:
    """Return passages of what ships with Python, which the small model has learnt from, long enough for ``tokens``."""
    return _passages({SHIPPED: corpus()}, count, tokens, seed)


def from_files(paths: Sequence[Path], count: int, tokens: int, seed: int = 0) -> list[Source]:
    """Return passages of texts, of all files in turn: files in UTF-8, and every ``.txt`` in folders.

    Raises:
        MethodError: if a file is not UTF-8, too short, or there is none.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*.txt")) if path.is_dir() else [path])]
    if not files:
        raise MethodError(f"no .txt file in {', '.join(map(str, paths))} - name files, or a folder that holds some")
    try:
        texts = {file.stem: file.read_text("utf-8") for file in files}
    except UnicodeDecodeError as error:
        raise MethodError(f"a text is not UTF-8: {error} - convert it first") from None
    return _passages(texts, count, tokens, seed)


def _passages(texts: dict[str, str], count: int, tokens: int, seed: int) -> list[Source]:
    """Cut passages from random places, each from the beginning of a line on; which ones depends on no other."""
    found, names = [], list(texts)
    length = CHARACTERS * tokens
    for number in range(count):
        name = names[number % len(names)]
        text = texts[name]
        if len(text) < length:
            raise MethodError(f"{name} has {len(text)} characters, of {length} for {tokens} tokens - give longer texts")
        start = int(np.random.default_rng([seed, number]).integers(len(text) - length + 1))
        start = text.find("\n", start, start + length // 4) + 1 or start
        found.append(Source(f"{name}-{number:03}", group_of(name), text[start : start + length]))
    return found
