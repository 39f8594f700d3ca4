"""What decoding and encoding costs: ids that change, marks that are no longer found; small and GPT-2's vocabulary.

The small model once more on GPT-2's tokens, at the temperature at which it writes with as much choice. ``text.py`` runs
this.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT

from markai.attacks.text import retokenize
from markai.bench import statistics
from markai.bench.methods import Trial
from markai.bench.text import methods, sources
from markai.bench.text.author import Author
from markai.text.ngram import NGramModel, SmallModel, corpus

GPT2 = ROOT.parent / "shared" / "data" / "tokenizer"
METHODS = ("control/unmarked", "text-bias", "text-gumbel", "text-tournament")
TEXTS, TOKENS, PROMPT = 200, 200, 20
NATS = 1.3
RATE = 1e-6


def gpt2(folder: Path = GPT2) -> SmallModel | None:
    """Return GPT-2's tokenizer and the small model on its tokens, where its files are there."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary, merges = folder / "gpt2_vocab.json", folder / "gpt2_merges.txt"
    if not vocabulary.exists():
        return None
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    parts = tokenizer.encode_batch_fast(corpus().split("\n\n"))
    ids = np.concatenate([np.array(part.ids, np.uint32) for part in parts])
    return SmallModel(tokenizer, NGramModel.train(ids, tokenizer.get_vocab_size()))


def at_entropy(small: SmallModel, nats: float = NATS) -> Author:
    """Return the model at the temperature at which it writes with so many nats a token, by bisection."""
    low, high = 0.2, 1.5
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(Author(small, middle)) < nats else (low, middle)
    return Author(small, round((low + high) / 2, 3))


def entropy(author: Author, texts: int = 20) -> float:
    """Return the mean entropy of what the model writes unmarked, in nats a token."""
    found = []
    for source in sources.shipped(texts, PROMPT + TOKENS):
        prompt, _ = source.parts(author, PROMPT, 0)
        ids = author.write(prompt, TOKENS, np.random.default_rng(len(found)))
        found.append(author.nats(ids)[0].mean())
    return float(np.mean(found))


def measured(author: Author, name: str, count: int) -> dict[str, Any]:
    """Return how much of a method's texts comes back from str, and whether the mark does."""
    method, rows = methods.load(name), list(texts(author, name, count))
    before, after = [], []
    for trial, ids, again in rows:
        before.append(method.read(author, ids, trial, weigh=False).log10_p)
        after.append(method.read(author, np.asarray(again.ids, np.uint32), trial, weigh=False).log10_p)
    changed = [again.changed / len(ids) for _, ids, again in rows]
    return {
        "method": name,
        "texts": count,
        "changed": statistics.bootstrap_mean(changed).to_dict(),
        "most_changed": max(changed),
        "texts_changed": statistics.share([share > 0 for share in changed]).to_dict(),
        "found_before": statistics.tpr_at(before, RATE).to_dict(),
        "found_after": statistics.tpr_at(after, RATE).to_dict(),
        "median_log10_p": [float(np.median(before)), float(np.median(after))],
    }


def texts(author: Author, name: str, count: int) -> Iterator[tuple[Trial, Any, Any]]:
    """Yield the key, the ids that a method wrote, and what decoding and encoding makes of them."""
    method = methods.load(name)
    decode = partial(_decode, author)
    for number, source in enumerate(sources.shipped(count, PROMPT + TOKENS)):
        trial = Trial.draw(0, name, source.name, message_bytes=0)
        prompt, _ = source.parts(author, PROMPT, 0)
        ids = method.write(author, prompt, TOKENS, trial, np.random.default_rng([7, number]))
        yield trial, ids, retokenize(ids, decode, lambda text: author.encode(text).tolist())


def _decode(author: Author, ids: list[int]) -> str:
    return author.decode(np.asarray(ids))


def measure(count: int = TEXTS) -> dict[str, Any]:
    """Return the figures for each vocabulary that is there."""
    from markai.text.ngram import small_model

    smalls = {"small, 4,096 tokens": small_model(), "GPT-2, 50,257 tokens": gpt2()}
    found = {}
    for title, small in smalls.items():
        if small is not None:
            author = at_entropy(small)
            rows = [measured(author, name, count) for name in METHODS]
            found[title] = {"temperature": author.temperature, "entropy": entropy(author), "rows": rows}
    return found
