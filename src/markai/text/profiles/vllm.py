"""The Gumbel marks that vLLM writes itself: ``--watermark-config '{"algorithm": "gumbel", "key": 42}'``.

Its function is Philox4x32-10 twice ("philox4x32-10-v1"): over the context, four tokens at a time, and then over the
token. The sampler there compares the highest 24 bits of a word. The score here takes all 32: the lower 8 are as random,
so that the null is exact, where numbers of 24 bits would need one that is conservative.

Its other marks are not read. SBW is an open pull request (56859), whose generator and detector hash the context of
"lefthash" differently; SynthID is planned.
"""

from fractions import Fraction
from hashlib import sha256
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from markai._kernels import token_words
from markai._kernels.text_reference import Wide, philox
from markai.errors import MethodError
from markai.text.base import Ids, Scores
from markai.text.levels import gumbel_levels
from markai.text.profiles.common import LOW, checked_key, checked_width

CONTEXT_DOMAIN, TOKEN_DOMAIN = 0x574D4358, 0x574D544B
BLOCK = 4
MOST_WEIGHT = 10


class VllmGumbel:
    """The score is -ln(1 - u) of a token, in quarters (``gumbel_levels``); ``key`` and ``context_width`` as in vLLM.

    Bit-exact by vLLM's compatibility vectors. Contexts there hold tokens of the answer only, so pass the answer without
    its prompt; before its first token stands -1, which is 2**32 - 1 in a window.

    >>> mark = VllmGumbel(42)
    >>> mark.words(np.array([[1, 2, 3, 4], [4, 5, 6, 7]], np.uint32), np.array([7, 8], np.uint32))
    array([ 425429266, 3424185538], dtype=uint32)
    >>> mark.scores(np.array([[1, 2, 3, 4], [4, 5, 6, 7]], np.uint32), np.array([7, 8], np.uint32))
    array([0, 6])

    Raises:
        MethodError: if the key or the width is out of range.
    """

    name: ClassVar[str] = "vllm-gumbel"
    about: ClassVar[str] = "vLLM, algorithm gumbel"
    once: ClassVar[Literal["context"]] = "context"

    def __init__(self, key: int, context_width: int = 4, key_id: str | None = None) -> None:
        self.width = checked_width(context_width)
        self.key_id = key_id
        self._key = checked_key(key)

    @property
    def null(self) -> NDArray[np.float64]:
        """(89,) chances of the scores, exact."""
        return gumbel_levels().null

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the scores (n,) int64."""
        return gumbel_levels().scores(self.words(windows, tokens))

    def words(self, windows: Ids, tokens: Ids) -> NDArray[np.uint32]:
        """Return the words (n,), of which vLLM makes its uniform numbers."""
        return _words(self._key, windows, tokens)


class VllmDualGumbel:
    """The score weighs the scores under two keys, as vLLM's own detector does; both come from the one ``key``.

    The algorithm "dual_key_gumbel" draws most tokens with key A, a share ``alpha`` with key B, and nobody can tell
    which; with speculative decoding A is for what the draft model proposes, B for the rest, and ``alpha`` should be
    B's share of the tokens. Weights are whole numbers up to 10 with the ratio nearest to (1 - alpha) / alpha: 9 and 1
    for the default. The null is exact; vLLM's is a Gamma distribution with the same variance.

    >>> mark = VllmDualGumbel(42)
    >>> mark.weights, mark.null.size
    ((9, 1), 881)
    >>> mark.scores(np.array([[1, 2, 3, 4]], np.uint32), np.array([7], np.uint32))
    array([66])

    Raises:
        MethodError: if the key, the width or ``alpha`` is out of range.
    """

    name: ClassVar[str] = "vllm-dual-gumbel"
    about: ClassVar[str] = "vLLM, algorithm dual_key_gumbel"
    once: ClassVar[Literal["context"]] = "context"

    def __init__(self, key: int, context_width: int = 4, alpha: float = 0.1, key_id: str | None = None) -> None:
        if not 0 <= alpha <= 1:
            raise MethodError(f"alpha {alpha} is out of range - it is a share of tokens, 0 to 1")
        self.width = checked_width(context_width)
        self.weights = _weights(alpha)
        self.key_id = key_id
        self._keys = [derived_key(checked_key(key), domain) for domain in (b"key_a", b"key_b")]

    @property
    def null(self) -> NDArray[np.float64]:
        """(K,) chances of the scores, exact."""
        chances = np.ones(1)
        for weight in self.weights:
            spread = np.zeros(weight * (gumbel_levels().null.size - 1) + 1)
            spread[:: max(1, weight)] = gumbel_levels().null if weight else 1.0
            chances = np.convolve(chances, spread)
        return chances

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the weighted scores (n,) int64."""
        scores = np.zeros(len(tokens), np.int64)
        for key, weight in zip(self._keys, self.weights, strict=True):
            scores += weight * gumbel_levels().scores(_words(key, windows, tokens))
        return scores


def derived_key(key: int, domain: bytes) -> int:
    """Return the key of 64 bits that vLLM derives from a key for a domain: the start of a SHA-256.

    >>> derived_key(42, b"key_a") != derived_key(42, b"key_b")
    True
    """
    return int.from_bytes(sha256(domain + key.to_bytes(8, "big")).digest()[:8], "big")


def _weights(alpha: float) -> tuple[int, int]:
    share = Fraction(alpha).limit_denominator(MOST_WEIGHT)
    return share.denominator - share.numerator, share.numerator


def _words(key: int, windows: Ids, tokens: Ids) -> NDArray[np.uint32]:
    low, high = (np.full(len(tokens), half, np.uint64) for half in (key & LOW, key >> 32))
    s0, s1, s2, s3 = _context_state(low, high, windows.astype(np.uint64))
    # The kernel's block has the counter (token div 4, lane, s2, s3) and the key (s0, s1).
    states = np.stack([low ^ s3, high ^ np.uint64(TOKEN_DOMAIN), s1, s2], axis=1)
    return token_words(states.astype(np.uint32), np.ascontiguousarray(tokens), s0.astype(np.uint32))


def _context_state(low: Wide, high: Wide, windows: Wide) -> tuple[Wide, Wide, Wide, Wide]:
    count, width = windows.shape
    s0, s1, s2, s3 = (np.full(count, word, np.uint64) for word in (CONTEXT_DOMAIN, width, 0, 0))
    filling = np.array([LOW - i for i in range(width % BLOCK or BLOCK, BLOCK)], np.uint64)
    padded = np.hstack([windows, np.tile(filling, (count, 1))])
    for offset in range(0, width, BLOCK):
        b0, b1, b2, b3 = padded[:, offset : offset + BLOCK].T
        s0, s1, s2, s3 = philox((s0 ^ b0, s1 ^ b1, s2 ^ b2, s3 ^ b3), (low ^ np.uint64(offset), high))
    return s0, s1, s2, s3
