"""Mark what a language model writes, edit it, find the mark again: ``python examples/llm.py``.

Trains a small model on text that ships with Python, which takes seconds, and prints a table. Exits with 1 if a mark was
lost, or found where there is none. The ``mark.processor()`` that is used here is what goes into other engines: see
``markai.integrations`` for transformers, llama.cpp and vLLM.
"""

import codecs
import contextlib
import io
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import markai
from markai.attacks import text as attacks
from markai.text import TextDetection, TextMark, WordMark, ngram

TOKENS, TEMPERATURE = 400, ngram.TEMPERATURE  # a page, with 1.3 nats a token to choose from
PIECE = 12  # tokens of each piece that the black box is asked for
EDITS = {
    "substitute:0.1": "every tenth word another",
    "delete:0.2": "every fifth word gone",
    "swap:0.1": "every tenth word swapped",
    "excerpt:0.4": "an excerpt, two fifths of it",
    "copy-paste:0.5": "every other passage by somebody else",
}


@dataclass(frozen=True)
class Row:
    """One text, what detection says about it, and what it should say."""

    title: str
    found: TextDetection
    marked: bool
    payload: bytes | None = None

    @property
    def good(self) -> bool:
        return self.found.detected == self.marked and self.found.payload == self.payload


class Model:
    """A language model as an engine has one: a text goes on token by token, each drawn from what a processor left."""

    def __init__(self) -> None:
        self.tokenizer, self.model = ngram.small_model()
        self.vocab_size = self.model.vocab_size

    def write(self, prompt: str, tokens: int = TOKENS, processor: Any = None, seed: int = 0) -> str:
        """Return what follows the prompt. ``processor`` is called with the ids so far and the logits."""
        draw = ngram.sampler(np.random.default_rng(seed))
        choose = draw if processor is None else (lambda ids, logits: draw(ids, processor(ids, logits)))
        ids = self.model.generate(self.tokenizer.encode(prompt).ids, tokens, choose, TEMPERATURE)
        return self.tokenizer.decode(ids.tolist())


def main() -> int:
    """Tell the whole story; return the exit status."""
    # Fixed keys, so that everybody sees the same numbers. Yours is secret: markai.Key.generate(), once.
    key, another_key = markai.Key(bytes(range(32))), markai.Key(bytes(32))
    with Console(stderr=True).status("training a small language model"):
        model = Model()
    groups = [with_logits(model, key, another_key), edited(model, key), without_logits(model, key, another_key)]
    Console().print(table(groups))
    wrong = [row.title for rows in groups for row in rows if not row.good]
    print(f"Not as expected: {', '.join(wrong)}." if wrong else "Every answer is as expected.")
    return 1 if wrong else 0


def with_logits(model: Model, key: markai.Key, another_key: markai.Key) -> list[Row]:
    """Mark while the tokens are drawn, in three ways, and look for it with the tokenizer and the key."""
    bias = TextMark(key, "bias", vocab_size=model.vocab_size)
    gumbel = TextMark(key, "gumbel", vocab_size=model.vocab_size)
    payload = TextMark(key, "gumbel", vocab_size=model.vocab_size, payload=b"user")
    text = model.write("\n\n", processor=gumbel.processor())

    def found(mark: TextMark, text: str) -> TextDetection:
        return mark.detect(text, tokenizer=model.tokenizer)

    return [
        Row("marked: bias", found(bias, model.write("\n\n", processor=bias.processor())), True),
        Row("marked: gumbel", found(gumbel, text), True),
        Row(
            "marked: gumbel, and says who",
            found(payload, model.write("\n\n", processor=payload.processor())),
            True,
            b"user",
        ),
        Row("the same, with another key", found(TextMark(another_key, "gumbel"), text), False),
        Row("not marked", found(gumbel, model.write("\n\n", seed=1)), False),
        Row("by people: the Zen of Python", found(gumbel, zen()), False),
    ]


def edited(model: Model, key: markai.Key) -> list[Row]:
    """Change a marked text in ways that texts are changed in, and look for the mark again."""
    mark = TextMark(key, "gumbel", vocab_size=model.vocab_size)
    text = model.write("\n\n", processor=mark.processor())
    rows = [
        Row(f"gumbel, {title}", mark.detect(attacks.apply(edit, text, seed=1), tokenizer=model.tokenizer), True)
        for edit, title in EDITS.items()
    ]
    # Whoever reads need not know the payload, nor its length.
    text = model.write("\n\n", processor=TextMark(key, "gumbel", payload=b"user").processor())
    reader, edit = TextMark(key, "gumbel", payload=True), next(iter(EDITS))
    found = reader.detect(attacks.apply(edit, text, seed=1), tokenizer=model.tokenizer)
    return [*rows, Row(f"says who, {EDITS[edit]}", found, True, b"user")]


def without_logits(model: Model, key: markai.Key, another_key: markai.Key) -> list[Row]:
    """Mark what comes from behind an API, where nobody sees logits: of several answers the key's favourite is kept."""
    mark = WordMark(key)
    seeds = iter(range(10**6))
    text = mark.write(lambda so_far: model.write(so_far or "\n\n", PIECE, seed=next(seeds)), pieces=50, choices=8)
    return [
        Row("black box: best of 8", mark.detect(text), True),
        Row("the same, with another key", WordMark(another_key).detect(text), False),
        Row("not marked", mark.detect(model.write("\n\n", 50 * PIECE, seed=2)), False),
    ]


def zen() -> str:
    """Return a text that people wrote."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    return codecs.decode(this.s, "rot13")


def table(groups: list[list[Row]]) -> Table:
    """The result for the terminal. The p-value is the chance that a text which nobody marked scores this well."""
    result = Table("text", "mark", "payload")
    for column in ("tokens", "p-value"):
        result.add_column(column, justify="right")
    for rows in groups:
        for row in rows:
            colour = "green" if row.good else "red"
            payload = row.found.payload.decode() if row.found.payload else "-"
            answer = f"[{colour}]{row.found.verdict}[/]"
            result.add_row(row.title, answer, payload, str(row.found.tokens), short(row.found.log10_p_value))
        result.add_section()
    return result


def short(log10_p: float) -> str:
    return f"{10**log10_p:.2f}" if log10_p > -2 else f"1e{round(log10_p)}"


if __name__ == "__main__":
    sys.exit(main())
