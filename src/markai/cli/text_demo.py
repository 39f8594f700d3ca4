"""``markai text demo``: a mark in text, from the first token to the p-value, on a language model made on the spot."""

import hashlib
import json
import math
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from markai.cli.common import json_option
from markai.errors import MethodError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from markai.text import TextDetection, TextMark
    from markai.text.ngram import SmallModel

SCHEMES = ("bias", "gumbel", "tournament")  # as in markai.text.schemes, which is slow to import
FIRST = 25  # tokens after which the p-value is first shown; then after twice as many, and so on
RARE = 0.25  # tokens are coloured whose score one in four has by chance: the green ones of the bias
STATUSES = {"present": "found", "absent": "not found", "insufficient": "insufficient"}
STYLES = {None: "dim", False: "", True: "black on green"}  # of tokens that do not count, count, are coloured
SHOWN = 160  # tokens of each text, so that all fits on a screen
WIDEST = 12  # characters for the smallest p-value


@dataclass(frozen=True)
class Sample:
    """A text, its pieces (tokens, as characters) and whether each is coloured, and what detection says as it grows."""

    name: str
    text: str
    pieces: list[tuple[str, bool | None]]
    share: float  # of the tokens that count, coloured
    growth: list[tuple[int, float]]  # tokens, log10 p
    found: "TextDetection"


@click.command()
@click.option("--scheme", type=click.Choice(SCHEMES), default=SCHEMES[0], show_default=True, help="How to mark.")
@click.option(
    "--tokens", type=click.IntRange(16, 20_000), default=400, show_default=True, help="How many tokens to write."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0.1, 4),
    default=1.0,
    show_default=True,
    help="Colder text is more predictable, and holds less of a mark.",
)
@click.option(
    "--attack",
    metavar="SPEC",
    default="substitute:0.3",
    show_default=True,
    help="What happens to the marked text, such as delete:0.1+lower.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides the texts and the key.")
@click.option(
    "--corpus",
    "corpus_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What the model learns from: a text, or a folder with .txt files.  [default: what ships with Python]",
)
@json_option
def demo(
    scheme: str, tokens: int, temperature: float, attack: str, seed: int, corpus_path: Path | None, as_json: bool
) -> None:
    """Write texts with and without a mark, and look for it.

    A small language model is trained, which takes seconds. It writes a text with the mark of a key and one
    without; the marked one is attacked, too. Tokens that speak for the key are coloured. The table says how
    probable so much evidence is where nobody marked anything: the p-value, after so many tokens.
    """
    from markai import Key
    from markai.attacks import text as attacks
    from markai.text import TextMark

    attacks.traits(attack)  # a wrong name is an error at once
    language = trained(corpus_path)
    # Whoever knows the seed has the key: good for a demonstration, and for nothing else.
    key = Key(hashlib.sha256(f"markai text demo {seed}".encode()).digest())
    mark = TextMark(key, scheme, vocab_size=language.model.vocab_size)
    marked, entropy = written(language, tokens, temperature, seed, mark)
    unmarked, _ = written(language, tokens, temperature, seed)
    texts = {"marked": marked, "unmarked": unmarked, attack: attacks.apply(attack, marked, seed=seed)}
    samples = [examined(name, text, mark, language) for name, text in texts.items()]
    setting = {"scheme": scheme, "key_id": key.id, "tokens": tokens, "temperature": temperature, "seed": seed}
    facts = {**setting, "entropy": round(entropy, 3), "by_chance": by_chance(mark)[1]}
    if as_json:
        click.echo(json.dumps({**facts, "texts": [row_of(sample) for sample in samples]}))
    else:
        show(samples, facts)


def trained(path: Path | None) -> "SmallModel":
    """Return the model; on a terminal say meanwhile what takes so long.

    Raises:
        MethodError: if nothing can be learnt from the file.
    """
    from markai.text.ngram import corpus, small_model

    with spinner("training a small language model"):
        try:
            return small_model(corpus(path) if path else None)
        except OSError as error:
            raise MethodError(f"no model can be trained on {path}: {error.strerror} - check the path") from error
        except UnicodeDecodeError as error:
            raise MethodError(
                f"no model can be trained on {path}: it is no text in UTF-8 - convert it first"
            ) from error
        except ValueError as error:
            raise MethodError(f"no model can be trained on {path}: {error}") from error


def spinner(doing: str) -> Any:
    """Return a context that shows a spinner on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(doing)


def written(
    language: "SmallModel", tokens: int, temperature: float, seed: int, mark: "TextMark | None" = None
) -> tuple[str, float]:
    """Return a text that begins with a paragraph, and how many nats of choice the model had at each token."""
    import numpy as np

    from markai.text.ngram import sampler

    draw = sampler(np.random.default_rng(seed))
    prompt = language.tokenizer.encode("\n\n").ids
    choose = draw if mark is None else (lambda ids, logits: draw(ids, mark.step(ids, logits)))
    ids = language.model.generate(prompt, tokens, choose, temperature)
    entropies = language.model.entropies(np.concatenate([prompt, ids]).astype(np.uint32), temperature)
    return language.tokenizer.decode(ids.tolist()), float(entropies[len(prompt) :].mean())


def examined(name: str, text: str, mark: "TextMark", language: "SmallModel") -> Sample:
    """Read a text as anybody with the key and the tokenizer does: from its characters."""
    from markai.text.contexts import occurrences
    from markai.text.tokens import encoded

    ids, _ = encoded(text, language.tokenizer)
    seen = occurrences(ids, mark.width, mark.once)
    scores = mark.scores(seen.windows, seen.tokens).tolist()
    least = by_chance(mark)[0]
    hot = {at: score >= least for at, score in zip(seen.positions.tolist(), scores, strict=True) if score >= 0}
    lengths = [FIRST << n for n in range(len(ids).bit_length()) if FIRST << n <= 0.8 * len(ids)]
    found = mark.detect(ids)
    growth = [(n, mark.detect(ids[:n]).log10_p_value) for n in lengths] + [(len(ids), found.log10_p_value)]
    pieces = [(piece, hot.get(at)) for at, piece in enumerate(pieces_of(text, language))]
    return Sample(name, text, pieces, sum(hot.values()) / max(1, len(hot)), growth, found)


def by_chance(mark: "TextMark") -> tuple[int, float]:
    """Return the score from which on a token is coloured, and its chance where there is no mark."""
    chances = mark.null[::-1].cumsum()[::-1]
    least = min(int((chances > RARE + 1e-9).sum()), len(chances) - 1)
    return least, float(chances[least])


def pieces_of(text: str, language: "SmallModel") -> Iterable[str]:
    """Yield the characters of each token; those that several tokens share go with the first."""
    done = 0
    for first, last in language.tokenizer.encode(text).offsets:
        yield text[max(first, done) : max(last, done)]
        done = max(last, done)


def row_of(sample: Sample) -> dict[str, Any]:
    """Return a sample as plain values."""
    growth = [{"tokens": tokens, "log10_p_value": log10_p} for tokens, log10_p in sample.growth]
    share = round(sample.share, 4)
    return {"name": sample.name, "text": sample.text, "share": share, "growth": growth, **sample.found.to_dict()}


# For people


def show(samples: list[Sample], facts: dict[str, Any]) -> None:
    """Print the texts and the table of p-values."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    console.print(
        f"The mark {facts['scheme']!r} of key {facts['key_id']} in {facts['tokens']} tokens, "
        f"written at temperature {facts['temperature']:g} with {facts['entropy']:.1f} nats of choice each."
    )
    for sample in samples:
        share = f": {sample.share:.0%} of the tokens coloured, {facts['by_chance']:.0%} by chance"
        console.print(Text.assemble("\n", (sample.name, "bold"), share))
        console.print(Padding(coloured(sample), (0, 2)))
    console.print("\np-value after so many tokens", table(samples), sep="\n")


def coloured(sample: Sample) -> "Text":
    """Return the text with the tokens that speak for the key in colour, dim where they do not count."""
    from rich.text import Text

    shown = Text()
    for piece, hot in sample.pieces[:SHOWN]:
        shown.append(piece.replace("\n", "¶ "), STYLES[hot])
    return shown.append(" ...") if len(sample.pieces) > SHOWN else shown


def table(samples: list[Sample]) -> "Table":
    """Return a column for each text with its p-values, and what is said of it in the end."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    level = math.log10(samples[0].found.fpr)
    smallest = min(level, *(log10_p for sample in samples for _, log10_p in sample.growth))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("tokens", *(sample.name for sample in samples)):
        shown.add_column(Text(title))
    growths = [dict(sample.growth[:-1]) for sample in samples]
    for tokens in sorted(set().union(*growths)):
        shown.add_row(str(tokens), *(cell(growth.get(tokens), smallest, level) for growth in growths))
    shown.add_row("all", *(cell(sample.growth[-1][1], smallest, level) for sample in samples))
    shown.add_row("", *(Text(STATUSES[sample.found.verdict], "bold") for sample in samples))
    return shown


def cell(log10_p: float | None, smallest: float, level: float) -> "Text":
    """Return a p-value and a bar as long as it has decades, in colour where it is small enough to say found."""
    from rich.text import Text

    if log10_p is None:
        return Text("")
    bar = "▪" * round(WIDEST * log10_p / smallest)
    return Text(f"{p_in_words(log10_p):<8}{bar}", "green" if log10_p <= level else "")


def p_in_words(log10_p: float) -> str:
    """Return a p-value with two digits, or its power of ten where a float ends.

    >>> p_in_words(-1.5), p_in_words(-31.2), p_in_words(-400.2), p_in_words(0.0)
    ('0.032', '6.3e-32', '1e-400', '1')
    """
    return f"{10**log10_p:.2g}" if log10_p > -300 else f"1e{math.ceil(log10_p)}"
