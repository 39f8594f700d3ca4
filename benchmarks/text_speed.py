"""How long marks in text take beside those of transformers: a step, ``generate``, detection; one run, one thread.

Of each comparison all sides take turns, so that what else the machine does falls on all alike. What is slow runs once.
``text.py`` runs this.
"""

import time
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np

from markai import Key
from markai.bench.text.author import Author
from markai.text import TextMark
from markai.text.base import Ids
from markai.text.ngram import TEMPERATURE

SIZES, BATCHES = (32_000, 128_256, 256_000), (1, 8, 32)
CONTEXT = 200  # tokens before a step
SPREAD = 3.0  # of the logits, in nats: like a language model's, a few hundred tokens hold nearly all
SCHEMES = {
    "markai bias, left": ("bias", {}),
    "markai bias, self (width 4)": ("bias", {"hashing": "self", "width": 4}),
    "markai gumbel": ("gumbel", {}),
    "markai tournament": ("tournament", {}),
}
THEIRS = ("transformers lefthash", "transformers selfhash (width 4)", "transformers synthid")
ENOUGH_S, MOST, LEAST = 2.0, 15, 3  # seconds and runs of each side
SLOW_S = 3.0  # what takes longer runs once
TURNS, TOKENS, PROMPT = 7, 48, 16  # of generate
DETECTED = 1000  # tokens

Works = dict[str, Callable[[], Any]]


def milliseconds(works: Works) -> dict[str, float]:
    """Return the median time of each, taken in turns, after one run to warm up; of what is slow that one run."""
    first = {name: _seconds(work) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(MOST):
        for name, work in works.items():
            taken = times[name]
            if first[name] < SLOW_S and (len(taken) < LEAST or sum(taken) < ENOUGH_S):
                taken.append(_seconds(work))
    return {name: 1e3 * (median(taken) if taken else first[name]) for name, taken in times.items()}


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def configs() -> dict[str, Any]:
    """Return the configurations of transformers, the two green lists as the papers have them."""
    import transformers

    marks, synthid = transformers.WatermarkingConfig, transformers.SynthIDTextWatermarkingConfig
    keys = np.random.default_rng(0).integers(0, 2**31, 30).tolist()
    left, self_, tournament = THEIRS
    return {
        left: marks(seeding_scheme="lefthash"),
        self_: marks(seeding_scheme="selfhash", context_width=4),
        tournament: synthid(ngram_len=5, keys=keys),
    }


# A step


def steps() -> list[dict[str, Any]]:
    """Return the milliseconds of one step for every size of vocabulary and batch."""
    return [{"vocab": size, "batch": batch, "ms": step_times(size, batch)} for size in SIZES for batch in BATCHES]


def step_times(size: int, batch: int) -> dict[str, float]:
    import torch

    rng = np.random.default_rng(1)
    ids = rng.integers(0, size, (batch, CONTEXT))
    logits = rng.normal(0, SPREAD, (batch, size)).astype(np.float32)
    ids_t, logits_t = torch.from_numpy(ids), torch.from_numpy(logits)
    works: Works = {"softmax and draw": lambda: torch.multinomial(torch.softmax(logits_t, -1), 1)}
    for name, (scheme, parameters) in SCHEMES.items():
        mark = TextMark(Key(bytes(32)), scheme, size, **parameters)
        works[name] = lambda mark=mark: mark.step(ids, logits)
    for name, config in configs().items():
        processor = config.construct_processor(size, "cpu")
        works[name] = lambda processor=processor: processor(ids_t, logits_t)
    return milliseconds(works)


# generate


def generate() -> dict[str, Any]:
    """Return the seconds of ``generate`` with a small GPT-2, and what each mark multiplies them by."""
    import torch
    import transformers

    size, batch = SIZES[0], 8
    torch.manual_seed(0)
    shape = transformers.GPT2Config(
        vocab_size=size, n_layer=4, n_embd=256, n_head=4, eos_token_id=None, bos_token_id=None
    )
    model = transformers.GPT2LMHeadModel(shape).eval()
    prompt = torch.randint(1, size, (batch, PROMPT))
    common = {"attention_mask": torch.ones_like(prompt), "do_sample": True, "top_k": 0, "max_new_tokens": TOKENS}

    def run(**more: Any) -> Callable[[], Any]:
        return lambda: model.generate(prompt, pad_token_id=0, **common, **more)

    works: Works = {"no mark": run()}
    for name, (scheme, parameters) in SCHEMES.items():
        mark = TextMark(Key(bytes(32)), scheme, size, **parameters)
        works[name] = run(logits_processor=[mark.processor()])
    works |= {name: run(watermarking_config=config) for name, config in configs().items()}
    ratios, seconds = in_turns(works, "no mark")
    return {"vocab": size, "batch": batch, "tokens": TOKENS, "seconds": seconds, "times": ratios}


def in_turns(works: Works, floor: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median of the ratios to ``floor``, which runs before each, and the median seconds."""
    for work in works.values():
        work()
    ratios: dict[str, list[float]] = {name: [] for name in works}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(TURNS):
        for name, work in works.items():
            bare, mine = _seconds(works[floor]), _seconds(work)
            ratios[name].append(mine / bare)
            taken[name].append(mine)
    return {name: median(each) for name, each in ratios.items()}, {name: median(each) for name, each in taken.items()}


# Detection


def detection() -> dict[str, Any]:
    """Return milliseconds for 1,000 tokens and one key, after tokenisation: of unmarked and of marked text."""
    author = Author.of(TEMPERATURE)
    prompt = author.encode("The module defines the following functions")
    unmarked = author.write(prompt, DETECTED, np.random.default_rng(2))
    found = {"markai": {"unmarked": ours(unmarked, None), "marked": ours(unmarked, author)}}
    found["transformers"] = {str(size): theirs(unmarked, size) for size in SIZES}
    return found


def ours(ids: Ids, author: Author | None) -> dict[str, float]:
    """Return the times of each reader; with an author on texts that he marks."""
    works: Works = {}
    for scheme in ("bias", "gumbel", "tournament"):
        for payload in (None, b"acme"):
            text = ids if author is None else marked(author, scheme, payload)
            reader = True if payload else None
            name = scheme + (", payload" if payload else "")
            works[name] = lambda s=scheme, p=reader, t=text: TextMark(Key(bytes(32)), s, payload=p).detect(t)
            if not payload:
                works[f"{name}, no search"] = lambda s=scheme, t=text: TextMark(Key(bytes(32)), s).detect(t, scan=False)
    return milliseconds(works)


def marked(author: Author, scheme: str, payload: bytes | None) -> Ids:
    mark = TextMark(Key(bytes(32)), scheme, author.vocab_size, payload)
    prompt = author.encode("The module defines the following functions")
    return author.write(prompt, DETECTED, np.random.default_rng(2), mark.step)


def theirs(ids: Ids, size: int) -> dict[str, float]:
    """Return the times of the detectors of transformers, and of SynthID's scores without a detector."""
    import torch
    import transformers

    text = torch.from_numpy(ids.astype(np.int64))[None]
    model = SimpleNamespace(vocab_size=size, bos_token_id=-1, is_encoder_decoder=False)
    left, self_, tournament = configs().values()
    processor = tournament.construct_processor(size, "cpu")
    # A new detector each time: theirs keeps what it has shuffled, and another key shuffles anew.
    works: Works = {
        name: lambda config=config: transformers.WatermarkDetector(model, "cpu", config)(text)
        for name, config in zip(THEIRS[:2], (left, self_), strict=True)
    }
    works[f"{THEIRS[2]}, scores only"] = lambda: (
        processor.compute_g_values(text),
        processor.compute_context_repetition_mask(text),
    )
    return milliseconds(works)


def measure() -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    return {"detection": detection(), "generate": generate(), "steps": steps()}
