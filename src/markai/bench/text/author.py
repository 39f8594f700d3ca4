"""The language model that writes for the benchmark, and that a reader weighs tokens by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from markai.text.base import Ids, as_ids
from markai.text.ngram import SmallModel, sampler, small_model

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
Step = Callable[[Ids, Logits], Logits]  # what a mark makes of the logits (V,) after the ids (n,)


@dataclass(frozen=True)
class Author:
    """The small model at one temperature.

    >>> author = Author.of(0.82)
    >>> author.decode(author.encode("in so many words"))
    'in so many words'
    >>> len(author.write(author.encode("There is"), 5, np.random.default_rng(0)))
    5
    """

    small: SmallModel
    temperature: float

    @classmethod
    def of(cls, temperature: float) -> "Author":
        """Return the author of this process; it is trained at first use."""
        return _authors(temperature)

    @property
    def vocab_size(self) -> int:
        return self.small.model.vocab_size

    def write(self, prompt: Ids, length: int, rng: np.random.Generator, step: Step | None = None) -> Ids:
        """Return ``length`` ids after the prompt, drawn from the logits as ``step`` changes them."""
        draw = sampler(rng)

        def choose(ids: Ids, logits: Logits) -> int:
            return draw(ids, logits if step is None else step(ids, logits))

        return self.small.model.generate(prompt, length, choose, self.temperature)

    def encode(self, text: str) -> Ids:
        return as_ids(self.small.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Ids) -> str:
        text: str = self.small.tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        return text

    def nats(self, ids: Ids) -> tuple[Floats, Floats]:
        """Return the entropies (n,) and the surprisals (n,) of ids, both at the author's temperature."""
        model = self.small.model
        return model.entropies(ids, self.temperature), -model.log_probabilities(ids, self.temperature)


@cache
def _authors(temperature: float) -> Author:
    return Author(small_model(), temperature)
