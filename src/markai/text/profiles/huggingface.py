"""Green lists of transformers: ``WatermarkingConfig``, the mark of Kirchenbauer et al. (ICML 2023).

A context seeds PyTorch's generator, and the first gamma V entries of a shuffle of the V tokens are green. Generation
on a CPU only: on a GPU PyTorch has another generator, and the same config marks other tokens.
"""

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from markai._kernels import randperm, randperm_ranks
from markai._kernels.mersenne_reference import MOST_SHUFFLED
from markai.errors import MethodError
from markai.text.base import Ids, Scores
from markai.text.profiles.common import LOW, NO_SCORE, checked_width

TABLE = 1_000_003  # entries of the hash table of selfhash
SEEDS = (1 << 64) - 1  # the modulus of seeds, one less than a power of two
MILLIONTH_PRIME = 15_485_863  # the default key: everybody has it


class HuggingFaceGreenList:
    """The score is 1 for a green token. The settings are those of ``WatermarkingConfig``, and the key is a number.

    ``vocab_size`` is the model's (``model.config.vocab_size``, the number of logits), not the tokenizer's. Two things
    are not as the config says: "lefthash" looks at the last token whatever ``context_width``; and in "selfhash" the
    scored token is one of the ``context_width``, so that with the default of 1 its list never changes.

    Bit-exact with transformers 5.23. What scores twice by construction counts once here: in "selfhash" the same token
    with the same neighbour giving the seed. After token 0 "lefthash" has one list for every key, which is no evidence.
    The chance of green is ``floor(gamma V) / V`` within a relative V / 2**32, the remainder's bias; tokens that follow
    one context are drawn without replacement, which makes their sum vary less than it is taken to.

    >>> mark = HuggingFaceGreenList(1000, hashing_key=7)
    >>> mark.scores(np.array([[5], [5], [6]], np.uint32), np.array([8, 9, 8], np.uint32))
    array([0, 0, 1])
    >>> mark.null
    array([0.75, 0.25])

    Raises:
        MethodError: if a setting is out of range, or ``device`` is not "cpu".
    """

    name: ClassVar[str] = "hf-kgw"
    about: ClassVar[str] = "transformers, WatermarkingConfig on a CPU: green lists"
    once: ClassVar[Literal["pair"]] = "pair"

    def __init__(
        self,
        vocab_size: int,
        greenlist_ratio: float = 0.25,
        hashing_key: int = MILLIONTH_PRIME,
        seeding_scheme: Literal["lefthash", "selfhash"] = "lefthash",
        context_width: int = 1,
        device: str = "cpu",
        key_id: str | None = None,
    ) -> None:
        if device != "cpu":
            raise MethodError(f"green lists made on {device} cannot be read - PyTorch's generator is another one there")
        if seeding_scheme not in ("lefthash", "selfhash"):
            raise MethodError(f"seeding_scheme {seeding_scheme!r} is unknown - choose lefthash or selfhash")
        if not 0 < greenlist_ratio < 1 or int(vocab_size * greenlist_ratio) < 1 or vocab_size > MOST_SHUFFLED:
            raise MethodError(f"no green list is {greenlist_ratio} of {vocab_size} tokens - the ratio is in (0, 1)")
        if not -(1 << 63) <= hashing_key <= SEEDS:
            raise MethodError("hashing_key is a whole number of 64 bits")
        self.vocab_size = vocab_size
        self.greens = int(vocab_size * greenlist_ratio)
        self.selfhash = seeding_scheme == "selfhash"
        self.neighbours = checked_width(context_width) - 1 if self.selfhash else 1
        self.width = max(1, self.neighbours)
        self.key_id = key_id
        self._key = int(hashing_key)

    @property
    def null(self) -> NDArray[np.float64]:
        """(2,) chances of red and green."""
        return np.array([self.vocab_size - self.greens, self.greens]) / self.vocab_size

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return 1 for green, 0 for red, (n,) int64; -1 where the seed and token came before, or there is no list."""
        listed = tokens < self.vocab_size
        if not self.selfhash:
            listed &= windows[:, -1] != 0
        at = np.flatnonzero(listed)
        seeds = self.seeds(windows[at], tokens[at])
        # Sorted, so that each seed is shuffled once.
        pairs, first = np.unique(seeds << np.uint64(32) | tokens[at], return_index=True)
        seeds32, distinct = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
        ranks = randperm_ranks(seeds32, distinct, self.vocab_size, self.greens)
        scores = np.full(len(tokens), NO_SCORE, np.int64)
        scores[at[first]] = ranks < self.greens
        return scores

    def seeds(self, windows: Ids, tokens: Ids) -> NDArray[np.uint64]:
        """Return the low 32 bits of the seeds (n,), uint64; PyTorch's generator on a CPU takes no more of them."""
        if self.selfhash:
            return self._self_seeds(windows, tokens)
        last, row = np.unique(windows[:, -1], return_inverse=True)
        seeds = [self._key * token % SEEDS & LOW for token in last.tolist()]
        return np.array(seeds, np.uint64)[row]

    def _self_seeds(self, windows: Ids, tokens: Ids) -> NDArray[np.uint64]:
        # The least product of the key, a token's entry and the scored one's own; int64 overflows here as it does there.
        anchors = np.column_stack([windows[:, self.width - self.neighbours :], tokens])
        entries = self._entries[anchors % TABLE]
        key = np.array(self._key % (1 << 64), np.uint64).view(np.int64)
        least: NDArray[np.int64] = (key * entries * entries[:, -1:]).min(1)
        # Below zero, modulo 2**64 - 1 is one less than modulo 2**64.
        return (least - (least < 0)).view(np.uint64) & np.uint64(LOW)

    @cached_property
    def _entries(self) -> NDArray[np.int64]:
        return randperm(self._key & LOW, TABLE) + 1
