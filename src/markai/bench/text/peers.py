"""The marks that transformers writes, as its own processors write them, on the small model's logits.

They are read by markai's profiles, and those with a detector of their own by that too, at the p-value that it states.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from markai.bench.methods import Trial
from markai.bench.text.author import Author, Logits
from markai.bench.text.marks import Reading, Tokens
from markai.errors import MissingExtraError
from markai.keys import Key
from markai.stats import log10_normal_tail
from markai.text.base import Ids
from markai.text.profiles import HuggingFaceGreenList, HuggingFaceSynthID

LAYERS = 30  # keys of SynthID's published configuration


@dataclass(frozen=True)
class GreenLists(Tokens):
    """``WatermarkingConfig`` at its defaults, but for what is given."""

    seeding_scheme: Literal["lefthash", "selfhash"]
    context_width: int = 1
    bias: float = 2.0
    greenlist_ratio: float = 0.25

    def __post_init__(self) -> None:
        _check_installed()

    def write(self, author: Author, prompt: Ids, length: int, trial: Trial, rng: np.random.Generator) -> Ids:
        return author.write(prompt, length, rng, _step(self.config(trial.key), author))

    def read(self, author: Author, ids: Ids, trial: Trial, *, weigh: bool = True) -> Reading:
        found = super().read(author, ids, trial, weigh=weigh)
        return Reading(found.log10_p, found.weighted, own=self.own(author, ids, trial.key))

    def scorer(self, author: Author, key: Key) -> HuggingFaceGreenList:
        return HuggingFaceGreenList(
            author.vocab_size, self.greenlist_ratio, _number(key), self.seeding_scheme, self.context_width
        )

    def config(self, key: Key) -> Any:
        """Return the settings under a key."""
        return _transformers().WatermarkingConfig(
            greenlist_ratio=self.greenlist_ratio,
            bias=self.bias,
            hashing_key=_number(key),
            seeding_scheme=self.seeding_scheme,
            context_width=self.context_width,
        )

    def own(self, author: Author, ids: Ids, key: Key) -> float:
        """Return log10 p as ``WatermarkDetector`` computes it, from its z-score, where p itself would underflow."""
        import torch

        model = SimpleNamespace(vocab_size=author.vocab_size, bos_token_id=-1, is_encoder_decoder=False)
        detector = _transformers().WatermarkDetector(model, "cpu", self.config(key))
        found = detector(torch.from_numpy(ids.astype(np.int64))[None], return_dict=True)
        return log10_normal_tail(float(found.z_score[0]))


@dataclass(frozen=True)
class SynthID(Tokens):
    """``SynthIDTextWatermarkingConfig``; its own detector needs training, and states no p-value."""

    ngram_len: int = 5

    def __post_init__(self) -> None:
        _check_installed()

    def write(self, author: Author, prompt: Ids, length: int, trial: Trial, rng: np.random.Generator) -> Ids:
        config = _transformers().SynthIDTextWatermarkingConfig(self.ngram_len, keys=_numbers(trial.key))
        return author.write(prompt, length, rng, _step(config, author))

    def scorer(self, author: Author, key: Key) -> HuggingFaceSynthID:  # noqa: ARG002
        return HuggingFaceSynthID(_numbers(key), self.ngram_len)


def _step(config: Any, author: Author) -> Any:
    """Return the processor of transformers as a step on arrays."""
    import torch

    processor = config.construct_processor(author.vocab_size, "cpu")

    def step(ids: Ids, logits: Logits) -> Logits:
        changed = processor(torch.from_numpy(ids.astype(np.int64))[None], torch.from_numpy(logits)[None])
        return np.asarray(changed[0].numpy())

    return step


def _number(key: Key) -> int:
    return _numbers(key)[0]


def _numbers(key: Key) -> list[int]:
    """Return keys as transformers has them: numbers, here of 62 bits."""
    words = np.frombuffer(key.derive("bench peers", 8 * LAYERS), "<u8")
    return [int(word) >> 2 for word in words]


def _check_installed() -> None:
    """Raise where a package is missing; importing them takes seconds, and is left for later."""
    if not (find_spec("torch") and find_spec("transformers")):
        raise MissingExtraError.naming("transformers", "regen", "the marks of transformers")


def _transformers() -> Any:
    import transformers

    return transformers
