"""Tournament sampling of transformers: ``SynthIDTextWatermarkingConfig`` (Dathathri et al., Nature 2024).

Google's Gemini and the synthid-text package hash in other ways, and are not read by this.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from markai._kernels.mersenne_reference import mersenne_words
from markai.errors import MethodError
from markai.text.base import Ids, Scores
from markai.text.profiles.common import checked_width, once_each

MULTIPLIER, INCREMENT = 6364136223846793005, 1  # of the linear congruential generator that hashes, modulo 2**64
MOST_TABLE = 1 << 24
MOST_DEPTH = 128
WEIGHTS = 10, 1  # of the first layer and of the last


class HuggingFaceSynthID:
    """The score is a weighted sum of a token's g-values: 10 for the first layer down to 1 for the last, whole numbers.

    ``keys`` has one number for each layer; the other settings are those of the config. Its ``context_history_size``
    takes no part: a context counts once, however long ago it was met.

    The g-values are bit-exact with transformers 5.23. Their hash is weak: with the usual table of 65,536 entries only
    16 bits of an ngram's hash matter, and 16 of each key. Tokens 65,536 apart are the same, and each layer's key is
    one of 65,536 to try. So this is evidence against chance, not against somebody who forges it.

    ngrams with the same 16 bits count once: 8 of 1,000 are lost, 7 % of 10,000. Over keys drawn uniformly a g-value is
    1 as often as the table has a 1 (exact for sizes that are powers of two, to 2**-40 for others) and layers are
    independent; that different ngrams are rests on the table being random. Over 8,000 sets of keys a manual of 400
    tokens had p <= 0.01 in 0.96 %. Keys below 1,000, as in the examples of transformers, share the chance of one text:
    1.7 % at worst.

    >>> mark = HuggingFaceSynthID([654, 400, 836, 123])
    >>> mark.weights, len(mark.null)
    (array([10,  7,  4,  1]), 23)
    >>> mark.scores(np.array([[1, 2, 3, 4], [1, 2, 3, 4]], np.uint32), np.array([5, 65541], np.uint32))
    array([ 4, -1])

    Raises:
        MethodError: if there are no keys or more than 128, or a setting is out of range.
    """

    name: ClassVar[str] = "hf-synthid"
    about: ClassVar[str] = "transformers, SynthIDTextWatermarkingConfig: tournaments"
    once: ClassVar[Literal["context"]] = "context"

    def __init__(
        self,
        keys: Sequence[int],
        ngram_len: int = 5,
        sampling_table_size: int = 65_536,
        sampling_table_seed: int = 0,
        key_id: str | None = None,
    ) -> None:
        if not 1 <= len(keys) <= MOST_DEPTH:
            raise MethodError(f"{len(keys)} keys are out of range - 1 to {MOST_DEPTH}, one for each layer")
        if not all(-(1 << 63) <= key < 1 << 63 for key in keys):
            raise MethodError("keys are whole numbers of 64 bits, with a sign")
        if not 1 < sampling_table_size <= MOST_TABLE:
            raise MethodError(f"a sampling table has 2 to {MOST_TABLE} entries, not {sampling_table_size}")
        self.width = checked_width(ngram_len - 1)
        self.size = sampling_table_size
        self.seed = sampling_table_seed
        self.key_id = key_id
        self._keys = np.array([int(key) % (1 << 64) for key in keys], np.uint64)

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """(layers,) how much each g-value counts."""
        return np.rint(np.linspace(*WEIGHTS, len(self._keys))).astype(np.int64)

    @cached_property
    def table(self) -> NDArray[np.int64]:
        """(size,) zeros and ones: ``torch.randint(0, 2)`` takes the lowest bit of each word."""
        return (mersenne_words(self.seed, self.size) & 1).astype(np.int64)

    @cached_property
    def null(self) -> NDArray[np.float64]:
        """(sum of the weights + 1,) chances of the scores: independent g-values, 1 as often as in the table."""
        one, chances = float(self.table.mean()), np.ones(1)
        for weight in self.weights:
            nothing = np.zeros(weight)
            chances = (1 - one) * np.append(chances, nothing) + one * np.append(nothing, chances)
        return chances

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the weighted sums (n,) int64; -1 where all that the hash keeps of window and token came before."""
        hashes = self.hashes(windows, tokens)
        alike = hashes & np.uint64(self.size - 1) if self.size & (self.size - 1) == 0 else hashes
        return once_each(self.g_values(hashes) @ self.weights, alike)

    def hashes(self, windows: Ids, tokens: Ids) -> NDArray[np.uint64]:
        """Return the hashes (n,) of ngrams, before a key comes in."""
        hashes = np.ones(len(tokens), np.uint64)
        for column in (*windows.T, tokens):
            hashes = _hashed(hashes, column)
        return hashes

    def g_values(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the g-values (n, layers), 0 or 1."""
        # Of numbers with a sign, as in PyTorch: what is below zero has a remainder above it.
        return self.table[_hashed(hashes[:, None], self._keys).view(np.int64) % self.size]


def _hashed(hashes: NDArray[np.uint64], data: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    return (hashes + data) * np.uint64(MULTIPLIER) + np.uint64(INCREMENT)
