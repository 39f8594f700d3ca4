"""The Gumbel mark that SGLang writes itself: ``--enable-watermark --watermark-config``.

Its function is MurmurHash3 (x86, 32 bits) of the context, and again of the key, that hash and the token, as its guide
"Text Watermarking" lays down.
"""

import re
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from markai.errors import MethodError
from markai.text.base import Ids, Scores
from markai.text.levels import gumbel_levels
from markai.text.profiles.common import LOW, checked_width, once_each

HEX_KEY = re.compile(r"(0[xX])?[0-9a-fA-F]{1,16}")


class SglangGumbel:
    """The score is -ln(1 - u) of a token, in quarters (``gumbel_levels``); settings as in SGLang's configuration.

    ``key`` has 1 to 16 hexadecimal digits. With ``key_b`` each context draws its key, A with ``mixing_probability``.
    Bit-exact with the published hash. Contexts reach into the prompt there: pass prompt and answer, and say where the
    prompt ends. SGLang marks 4,096 contexts of an answer at most; what comes after is unmarked text.

    The hash of a context has 32 bits and no key in it, so that somebody can make contexts that share it, under every
    key; such contexts count once, as in the generation.

    >>> mark = SglangGumbel("0123456789abcdef")
    >>> mark.words(mark.context_hashes(np.array([[1, 2, 3, 4]], np.uint32)), np.array([17], np.uint32))
    array([2305555132], dtype=uint32)
    >>> mark.scores(np.array([[1, 2, 3, 4]], np.uint32), np.array([17], np.uint32))
    array([3])

    Raises:
        MethodError: if a key is no hexadecimal number, or a setting is out of range.
    """

    name: ClassVar[str] = "sglang-gumbel"
    about: ClassVar[str] = "SGLang, one key or two"
    once: ClassVar[Literal["context"]] = "context"

    def __init__(
        self,
        key: str,
        key_b: str | None = None,
        mixing_probability: float = 0.5,
        context_window: int = 4,
        key_id: str | None = None,
    ) -> None:
        if not 0 < mixing_probability < 1:
            raise MethodError(f"mixing_probability {mixing_probability} is out of range - between 0 and 1")
        self.width = checked_width(context_window)
        self.threshold = int(mixing_probability * (1 << 32))
        self.key_id = key_id
        self._keys = [_key_words(each) for each in (key, key_b) if each is not None]

    @property
    def null(self) -> NDArray[np.float64]:
        """(89,) chances of the scores, exact."""
        return gumbel_levels().null

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the scores (n,) int64; -1 where a context with the same hash came before."""
        contexts = self.context_hashes(windows)
        return once_each(gumbel_levels().scores(self.words(contexts, tokens)), contexts.astype(np.uint64))

    def words(self, contexts: NDArray[np.uint32], tokens: Ids) -> NDArray[np.uint32]:
        """Return the words (n,) of tokens after contexts with these hashes, of which SGLang makes its u."""
        words = [murmur3([*key, contexts, tokens]) for key in self._keys]
        if len(words) == 1:
            return words[0]
        coins = murmur3([*self._keys[0], *self._keys[1], contexts])
        return np.where(coins < self.threshold, *words)

    def context_hashes(self, windows: Ids) -> NDArray[np.uint32]:
        """Return the hashes (n,) of windows (n, w)."""
        return murmur3(list(windows.T))


def murmur3(words: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Return MurmurHash3 (x86, 32 bits, seed 0) of words of 32 bits, arrays that broadcast.

    >>> murmur3([np.array([word], np.uint32) for word in (1, 2, 3, 4)])
    array([1145416960], dtype=uint32)
    """
    state = np.zeros(1, np.uint32)
    for word in words:
        mixed = _rotated(word * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        state = _rotated(state ^ mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    state = state ^ np.uint32(4 * len(words))
    state = (state ^ state >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    state = (state ^ state >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return state ^ state >> np.uint32(16)


def _rotated(values: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return values << np.uint32(bits) | values >> np.uint32(32 - bits)


def _key_words(key: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    if not HEX_KEY.fullmatch(key):
        raise MethodError("an SGLang key has 1 to 16 hexadecimal digits, with or without 0x before them")
    number = int(key, 16)
    return np.array([number & LOW], np.uint32), np.array([number >> 32], np.uint32)
