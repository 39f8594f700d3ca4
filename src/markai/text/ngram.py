"""A language model that trains in seconds, in NumPy: for the demo, the tests and the benchmark of marks in text.

Byte pairs (Gage, 1994; Sennrich et al., 2016) make the vocabulary; an n-gram model, interpolated after Witten and Bell
(1991), makes the distributions: P(w | h) = (c(hw) + t(h) P(w | h')) / (c(h) + t(h)), where c counts, t(h) is how many
different tokens follow the context h, and h' is h without its oldest token. By default both learn from text that ships
with Python. What it writes makes no sense for long, but its entropy, which is what a mark lives on, is set by one knob:
at ``TEMPERATURE`` it writes with 1.3 nats a token.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markai.errors import MissingExtraError
from markai.text.base import Ids, as_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
Rows = NDArray[np.int64]
Choose = Callable[[Ids, Logits], int]

VOCAB_SIZE = 4096
ORDER = 4
TEMPERATURE = 0.82  # at which the small model writes with 1.3 nats a token (mean entropy over its own text)
BATCH = 64  # paragraphs that are encoded in one go
PROSE = re.compile(r"(?!.*>>>)[A-Z].{40,}[.!?]")  # hardly any headings, code, tables and lists
COLDEST = 0.02  # (1 / 1 000 000) ** (1 / 0.02) is still above 0 in float64
BYTES = 256  # byte-level BPE begins with a token for each
# Not on every machine with Python: Debian has packages of their own for these, others leave out their tests.
NOT_EVERYWHERE = {"ensurepip", "idlelib", "lib2to3", "test", "tests", "tkinter", "turtledemo"}


# The corpus


def corpus(*paths: str | PathLike[str]) -> str:
    """Return text to train on: of the files and of every ``.txt`` in the folders given, in UTF-8.

    Without a path it is what ships with Python: the paragraphs of prose in its reference and in the docstrings of its
    library, each once, read without importing anything. That is 1.1 million characters by people, in English, the
    same on every machine with that version of Python.

    >>> len(corpus()) > 500_000
    True

    Raises:
        OSError: if a path cannot be read.
        UnicodeDecodeError: if one is not UTF-8.
    """
    if not paths:
        return _shipped()
    files = [file for path in map(Path, paths) for file in (sorted(path.glob("*.txt")) if path.is_dir() else [path])]
    return "\n\n".join(file.read_text("utf-8") for file in files)


@lru_cache(maxsize=1)
def _shipped() -> str:
    from pydoc_data.topics import topics

    docstrings = (text for path in _library() for text in _docstrings(ast.parse(path.read_bytes())))
    paragraphs = (" ".join(part.split()) for text in (*topics.values(), *docstrings) for part in text.split("\n\n"))
    return "\n\n".join(dict.fromkeys(filter(PROSE.fullmatch, paragraphs)))


def _library() -> Iterator[Path]:
    """Yield the sources of the standard library that are on every machine with this Python."""
    folder = Path(ast.__file__).parent
    for name in sorted(sys.stdlib_module_names - NOT_EVERYWHERE):
        sources = [folder / f"{name}.py", *sorted((folder / name).rglob("*.py"))]
        here = (path for path in sources if NOT_EVERYWHERE.isdisjoint(path.relative_to(folder).parts))
        yield from (path for path in here if path.is_file())


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    if text := ast.get_docstring(node):
        yield text
    for each in node.body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(each)


# The vocabulary


def train_tokenizer(text: str, vocab_size: int = VOCAB_SIZE) -> "Tokenizer":
    """Train byte-level BPE on a text: lossless for any Unicode, and the same tokenizer for the same text.

    There are ``vocab_size`` tokens, fewer where the text has no more pairs of bytes to join.

    >>> tokenizer = train_tokenizer("low lower lowest", vocab_size=260)
    >>> tokenizer.encode("lower 漢字").tokens[:2]
    ['low', 'e']
    >>> tokenizer.decode(tokenizer.encode("lower 漢字").ids)
    'lower 漢字'

    Raises:
        MissingExtraError: if the package ``tokenizers`` is missing.
        ValueError: if the vocabulary is too small to hold every byte.
    """
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError:
        raise MissingExtraError.naming("tokenizers", "text", "byte-pair vocabularies") from None
    if vocab_size < BYTES:
        raise ValueError(f"a vocabulary of {vocab_size} does not hold all bytes - take {BYTES} or more")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def _encoded(tokenizer: "Tokenizer", text: str) -> Ids:
    """Encode a long text on all cores: cut at paragraphs, where byte-level BPE never joins anything across."""
    paragraphs = re.split(r"(?<=\S)(?=\n\n)", text)
    parts = ["".join(paragraphs[first : first + BATCH]) for first in range(0, len(paragraphs), BATCH)]
    return np.concatenate([np.array(part.ids, np.uint32) for part in tokenizer.encode_batch_fast(parts)])


# The model


@dataclass(slots=True)
class _Level:
    """The contexts of one length and the tokens seen after them; of length 0 there is one, with every token.

    Contexts form a trie, read from the newest token back. The key of one is row * V + token: the row of the context
    one shorter, and the token before that; its own row is its place among the keys. A pair is row * V + token as well:
    a context and a token after it.
    """

    vocab_size: int
    keys: Rows  # (C,) ascending
    pairs: Rows  # (P,) ascending
    shorter: Rows  # (P,) the place of the same token after the context one shorter, in the level below
    probabilities: Floats  # (P,)
    weights: Floats  # (C,) what the shorter context's probabilities of all other tokens are multiplied by
    # For one step at a time: lists, which give single items ten times as fast as arrays, and float32.
    rows: dict[int, int] = field(init=False)
    ends: list[int] = field(init=False)
    log_weights: list[float] = field(init=False)
    tokens: Rows = field(init=False)
    logs: Logits = field(init=False)

    def __post_init__(self) -> None:
        self.rows = dict(zip(self.keys.tolist(), range(len(self.keys)), strict=True))
        self.ends = np.searchsorted(self.pairs, np.arange(len(self.keys) + 1) * self.vocab_size).tolist()
        self.log_weights = np.log(self.weights).tolist()
        self.tokens = self.pairs % self.vocab_size
        self.logs = np.log(self.probabilities).astype(np.float32)

    @classmethod
    def root(cls, ids: Rows, vocab_size: int) -> Self:
        """Return the level of the empty context, where tokens never seen share what is left over."""
        counts = np.bincount(ids, minlength=vocab_size)
        types = np.count_nonzero(counts)
        probabilities = (counts + types / vocab_size) / (len(ids) + types)
        every = np.arange(vocab_size)
        return cls(vocab_size, np.zeros(1, np.int64), every, every, probabilities, np.ones(1))

    def longer(self, keys: Rows, rows: Rows, ids: Rows) -> "_Level":
        """Return the level above this one, from the row of the context before each id."""
        pairs, counts = np.unique(rows * self.vocab_size + ids, return_counts=True)
        of, tokens = np.divmod(pairs, self.vocab_size)
        shorter = np.searchsorted(self.pairs, (keys // self.vocab_size)[of] * self.vocab_size + tokens)
        seen, types = np.bincount(rows), np.bincount(of)
        probabilities = (counts + types[of] * self.probabilities[shorter]) / (seen + types)[of]
        return _Level(self.vocab_size, keys, pairs, shorter, probabilities, types / (seen + types))


def _places(ascending: Rows, wanted: Rows) -> Rows:
    """Return where each is, -1 for those that are not there, and so for what has the row -1."""
    places = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[places] == wanted, places, -1)


class NGramModel:
    """An n-gram model over token ids, interpolated after Witten and Bell.

    >>> model = NGramModel.train([0, 1, 2, 0, 1, 2, 0, 1], vocab_size=4, order=3)
    >>> np.exp(model.logits([0, 1])).round(2)
    array([0.04, 0.04, 0.92, 0.01], dtype=float32)
    >>> model.generate([0, 1], 6, np.random.default_rng(0), temperature=0.3)
    array([2, 0, 1, 2, 0, 1], dtype=uint32)
    """

    def __init__(self, levels: list[_Level]) -> None:
        self._levels = levels
        self._tables: dict[float, list[Floats]] = {}
        self.vocab_size = levels[0].vocab_size
        self.order = len(levels)

    @classmethod
    def train(cls, ids: ArrayLike, vocab_size: int, order: int = ORDER) -> Self:
        """Count the ids (n,), at least one, of one text; ``order`` - 1 tokens decide over the next one.

        Raises:
            TypeError: if they are no integers.
            ValueError: if they are not one sequence below ``vocab_size``, or there are none, or the order is below 1.
        """
        tokens = _checked(ids, vocab_size)
        if not len(tokens) or order < 1:
            raise ValueError(f"{len(tokens)} ids at order {order} train no model - take one or more of both")
        levels = [_Level.root(tokens, vocab_size)]
        rows = np.zeros(len(tokens), np.int64)
        for length in range(1, min(order, len(tokens))):  # a context as long as the text has nothing after it
            keys, rows = np.unique(rows[1:] * vocab_size + tokens[:-length], return_inverse=True)
            levels.append(levels[-1].longer(keys, rows, tokens[length:]))
        return cls(levels)

    def logits(self, ids: ArrayLike, temperature: float = 1.0) -> Logits:
        """Return (V,) float32: log probabilities, in nats, of the token after ``ids`` (n,), n >= 0.

        They are divided by the temperature, 0.02 or more, and not normalised again.

        Raises:
            TypeError: if the ids are no integers.
            ValueError: if they are not one sequence below V, or the temperature is below 0.02.
        """
        tokens = _checked(ids, self.vocab_size)
        return self._logits(tokens[max(0, len(tokens) + 1 - self.order) :].tolist(), _power(temperature))

    def _logits(self, context: list[int], power: float) -> Logits:
        """Write the longer contexts' tokens over those of the shorter ones: each has all that the next one has."""
        rows = [0]
        for level, token in zip(self._levels[1:], reversed(context), strict=False):
            row = level.rows.get(rows[-1] * self.vocab_size + token)
            if row is None:
                break
            rows.append(row)
        scale = sum(level.log_weights[row] for level, row in zip(self._levels, rows, strict=False))
        logits = self._levels[0].logs + np.float32(scale)
        for level, row in zip(self._levels[1:], rows[1:], strict=False):
            scale -= level.log_weights[row]
            these = slice(level.ends[row], level.ends[row + 1])
            logits[level.tokens[these]] = level.logs[these] + np.float32(scale)
        if power != 1:
            logits *= np.float32(power)
        return logits

    def generate(
        self, prompt: ArrayLike, length: int, choose: Choose | np.random.Generator, temperature: float = 1.0
    ) -> Ids:
        """Return the ``length`` ids (uint32) that follow the prompt (n,), n >= 0.

        ``choose`` gets all ids so far, prompt included, and the logits (V,) at this temperature, and returns the next
        id; a generator draws it from the logits.

        Raises:
            TypeError: if the prompt's ids are no integers.
            ValueError: if they are not one sequence below V, the temperature is below 0.02, or an id that was chosen
                is not in the vocabulary.
        """
        start, power = _checked(prompt, self.vocab_size), _power(temperature)
        pick = sampler(choose) if isinstance(choose, np.random.Generator) else choose
        ids = np.concatenate([start, np.zeros(length)]).astype(np.uint32)
        for n in range(len(start), len(ids)):
            token = pick(ids[:n], self._logits(ids[max(0, n + 1 - self.order) : n].tolist(), power))
            if not 0 <= token < self.vocab_size:
                raise ValueError(f"{token} was chosen from a vocabulary of {self.vocab_size} - return an id below that")
            ids[n] = token
        return ids[len(start) :]

    def log_probabilities(self, ids: ArrayLike, temperature: float = 1.0) -> Floats:
        """Return the log probability, in nats, of each of the ids (n,) after those before it: (n,) float64.

        Raises:
            TypeError: if the ids are no integers.
            ValueError: if they are not one sequence below V, or the temperature is below 0.02.
        """
        tokens, power = _checked(ids, self.vocab_size), _power(temperature)
        contexts = self._rows(tokens)
        probabilities = self._levels[0].probabilities[tokens]
        for level, rows in zip(self._levels[1:], contexts[1:], strict=True):
            pairs = _places(level.pairs, rows * self.vocab_size + tokens)
            otherwise = np.where(rows < 0, 1.0, level.weights[rows]) * probabilities
            probabilities = np.where(pairs < 0, otherwise, level.probabilities[pairs])
        return power * np.log(probabilities) - self._after(contexts, power)[0]

    def perplexity(self, ids: ArrayLike) -> float:
        """Return exp of the mean of minus ``log_probabilities`` over ids (n,), at least one.

        Raises:
            TypeError: if the ids are no integers.
            ValueError: if they are not one sequence below V, or there are none.
        """
        logs = self.log_probabilities(ids)
        if not len(logs):
            raise ValueError("no ids have no perplexity - give one or more")
        return float(np.exp(-logs.mean()))

    def entropies(self, ids: ArrayLike, temperature: float = 1.0) -> Floats:
        """Return the entropy, in nats, of the distribution that each of the ids (n,) was drawn from: (n,) float64.

        It does not depend on the id itself, only on those before it. All of a text costs no more than a few steps:
        the entropies after all contexts are computed once for a temperature.

        >>> model = NGramModel.train([0, 1, 0, 2], vocab_size=4)
        >>> model.entropies([0, 3, 3]).round(3), model.entropies([0, 3, 3], temperature=0.1).round(3)
        (array([1.3  , 1.212, 1.3  ]), array([0.118, 0.699, 0.118]))

        Raises:
            TypeError: if the ids are no integers.
            ValueError: if they are not one sequence below V, or the temperature is below 0.02.
        """
        power = _power(temperature)
        return self._after(self._rows(_checked(ids, self.vocab_size)), power)[1]

    def _after(self, contexts: list[Rows], power: float) -> tuple[Floats, Floats]:
        """Return twice (n,): what ``_sums`` says of the longest known of the contexts before each token."""
        tables = self._tables.get(power) or self._sums(power)
        self._tables = {power: tables}
        values = np.empty((2, len(contexts[0])))
        for table, rows in zip(tables, contexts, strict=True):
            values[:, rows >= 0] = table[:, rows[rows >= 0]]
        return values[0], values[1]

    def _rows(self, tokens: Rows) -> list[Rows]:
        """Return for each level the row (n,) of the context before each token, -1 where there is none."""
        rows = [np.zeros(len(tokens), np.int64)]
        for length, level in enumerate(self._levels[1:], 1):
            found = np.full(len(tokens), -1)
            found[length:] = _places(level.keys, rows[-1][length:] * self.vocab_size + tokens[:-length])
            rows.append(found)
        return rows

    def _sums(self, power: float) -> list[Floats]:
        """Return for each level (2, C), of each context: log S, and the entropy log S - power T / S.

        S = sum q and T = sum q log p over all tokens, where q = p ** power. Both come from those of the context one
        shorter, without its part of the tokens that the longer one has seen, times the weight: so no context is ever
        spread out over the vocabulary.
        """
        tables, totals, below = [], np.zeros((2, 1)), np.zeros((2, self.vocab_size))
        for level in self._levels:
            q, starts, log_weights = level.probabilities**power, level.ends[:-1], level.log_weights
            pairs = np.stack([q, q * np.log(level.probabilities)])
            rest = totals[:, level.keys // self.vocab_size] - np.add.reduceat(below[:, level.shorter], starts, axis=1)
            rest[1] += rest[0] * log_weights
            totals = np.add.reduceat(pairs, starts, axis=1) + rest * level.weights**power
            tables.append(np.stack([np.log(totals[0]), np.log(totals[0]) - power * totals[1] / totals[0]]))
            below = pairs
        return tables


def sampler(rng: np.random.Generator) -> Choose:
    """Return what draws a token from the softmax of its logits, for ``NGramModel.generate``.

    >>> sampler(np.random.default_rng(0))(np.array([], np.uint32), np.log(np.array([0.01, 0.99], np.float32)))
    1
    """

    def choose(_ids: Ids, logits: Logits) -> int:
        ladder = np.cumsum(np.exp(logits - logits.max()), dtype=np.float64)
        return int(np.searchsorted(ladder, rng.random() * ladder[-1]))

    return choose


class SmallModel(NamedTuple):
    """A tokenizer, and a model of its ids."""

    tokenizer: "Tokenizer"
    model: NGramModel


@lru_cache(maxsize=2)
def small_model(text: str | None = None) -> SmallModel:
    """Return a tokenizer and a model trained on a text, by default on ``corpus()``; once per process and text.

    >>> tokenizer, model = small_model("She sells sea shells by the sea shore.")
    >>> tokenizer.decode(model.generate(tokenizer.encode("sea").ids, 5, np.random.default_rng(0), 0.1))
    ' sea shells by the sea'

    Raises:
        MissingExtraError: if the package ``tokenizers`` is missing.
        ValueError: if the text is empty.
    """
    text = corpus() if text is None else text
    tokenizer = train_tokenizer(text)
    return SmallModel(tokenizer, NGramModel.train(_encoded(tokenizer, text), tokenizer.get_vocab_size()))


def _checked(ids: ArrayLike, vocab_size: int) -> Rows:
    tokens = as_ids(ids).astype(np.int64)
    if len(tokens) and int(tokens.max()) >= vocab_size:
        raise ValueError(f"id {tokens.max()} is not in a vocabulary of {vocab_size} - encode with its own tokenizer")
    return tokens


def _power(temperature: float) -> float:
    if not temperature >= COLDEST:
        raise ValueError(
            f"a temperature is {COLDEST} or more, not {temperature} - at 0.1 it is nearly always the likeliest"
        )
    return 1 / temperature
