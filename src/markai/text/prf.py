"""The keyed function behind every mark in text: key, window and lane to a word for each token of the vocabulary.

HKDF-SHA256 gives each scheme a key of its own. SipHash-2-4 (128 bits) of the window under it is the state, which is
where the secret meets the text. Philox4x32-10 spreads the state over the vocabulary. Whole numbers only: NumPy, C++
and tensors on any device (``tensors.py``) deal the same words, which ``tests/vectors/text_prf.json`` holds forever.
Lanes are independent dealings for the same window: 0 for marks without a message, 1 to 256 for a byte of a message.
"""

import numpy as np
from numpy.typing import NDArray

from markai._kernels import context_states, lane_words, self_words, token_words
from markai.keys import Key
from markai.text.base import Ids
from markai.text.schemes import Bias, Scheme

VALUES = 256  # of a byte
LANE_PRESENCE, LANE_BYTE, LANE_PLACE = 0, 1, 257  # LANE_BYTE + its value; LANE_PLACE: which byte a window stands for


class Dealer:
    """Deals the words of one key for one scheme.

    >>> from markai.text.schemes import Gumbel
    >>> dealer = Dealer(Key(bytes(32)), Gumbel(width=2))
    >>> states = dealer.states(np.array([[7, 8], [8, 9]], np.uint32))
    >>> dealer.words(states, np.array([3, 3], np.uint32), np.zeros(2, np.uint32))
    array([ 338779438, 3226094192], dtype=uint32)
    """

    def __init__(self, key: Key, scheme: Scheme) -> None:
        hashing = scheme.hashing if isinstance(scheme, Bias) else "left"
        label = f"text {scheme.name} {hashing} {scheme.width} v1"
        self.key = np.frombuffer(key.derive(label, 16), "<u8").astype(np.uint64)
        self.by_neighbour = hashing == "self"

    def states(self, windows: Ids) -> Ids:
        """Return the states (n, 4) of windows (n, w), or (n, w, 4), one for each token, with self hashing."""
        if not self.by_neighbour:
            return context_states(self.key, np.ascontiguousarray(windows))
        return context_states(self.key, windows.reshape(-1, 1)).reshape(*windows.shape, 4)

    def words(self, states: Ids, tokens: Ids, lanes: Ids) -> NDArray[np.uint32]:
        """Return the words (n,) of tokens (n,) in lanes (n,)."""
        return (self_words if self.by_neighbour else token_words)(states, tokens, lanes)

    def byte_words(self, states: Ids, tokens: Ids) -> NDArray[np.uint32]:
        """Return the words (n, 256) of tokens (n,) in the lanes of all values of a byte."""
        if not self.by_neighbour:
            return lane_words(states, tokens, LANE_BYTE, VALUES)
        # Of each lane the word with the least upper half among the neighbours, the first of equals, as in self_words.
        count, height = states.shape[:2]
        words = lane_words(states.reshape(-1, 4), np.repeat(tokens, height), LANE_BYTE, VALUES)
        words = words.reshape(count, height, VALUES)
        return np.take_along_axis(words, np.argmin(words >> np.uint32(16), axis=1)[:, None], 1)[:, 0]

    def places(self, states: Ids, count: int) -> NDArray[np.int64]:
        """Return which of ``count`` bytes of a message each state (n, ...) stands for; of several, the last token's."""
        last = np.ascontiguousarray(states[:, -1]) if self.by_neighbour else states
        words = token_words(last, np.zeros(len(last), np.uint32), np.full(len(last), LANE_PLACE, np.uint32))
        return (words % np.uint32(count)).astype(np.int64)
