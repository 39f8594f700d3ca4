"""NumPy oracle of prf.cpp: the keyed random words that text marks are made of. The same signatures and the same bits.

A context (the last tokens, and whatever else a scheme puts before them) becomes a state by SipHash-2-4 with 128 bits
of output (Aumasson and Bernstein 2012), keyed; a state gives every token a word by Philox4x32-10 (Salmon et al. 2011),
a counter-based generator: any word alone, in any order, on any device. A lane is one of 2**32 independent words of the
same token in the same context. Everything is in uint64 arithmetic, of which Philox uses the low half.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Wide = NDArray[np.uint64]
Logits = NDArray[np.float32]

MOST_TOKENS_OF_CONTEXT = 64
MOST_NEIGHBOURS = 16
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)


def context_states(key: Wide, windows: Words) -> Words:
    """Return the state (n, 4) uint32 of every window (n, w) uint32: SipHash-2-4-128 of its words in little endian.

    ``key`` (2,) uint64 is SipHash's key; the state is its 16 bytes, low word first.

    >>> context_states(np.array([0x0706050403020100, 0x0F0E0D0C0B0A0908], np.uint64), np.zeros((1, 0), np.uint32))[0, 0]
    np.uint32(75465123)

    Raises:
        ValueError: if the key is not of two words, or a window longer than 64.
    """
    if key.shape != (2,) or windows.ndim != 2 or windows.shape[1] > MOST_TOKENS_OF_CONTEXT:
        raise ValueError(f"key must be (2,) and windows (n, w) of at most {MOST_TOKENS_OF_CONTEXT} words")
    k0, k1 = (np.full(len(windows), word) for word in key)
    constants = (0x736F6D6570736575, 0x646F72616E646F6D ^ 0xEE, 0x6C7967656E657261, 0x7465646279746573)
    v = [k ^ np.uint64(constant) for k, constant in zip((k0, k1, k0, k1), constants, strict=True)]
    for block in _blocks(windows):
        v[3] = v[3] ^ block
        v = _sip_rounds(v, 2)
        v[0] = v[0] ^ block
    v[2] = v[2] ^ np.uint64(0xEE)
    v = _sip_rounds(v, 4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] = v[1] ^ np.uint64(0xDD)
    v = _sip_rounds(v, 4)
    second = v[0] ^ v[1] ^ v[2] ^ v[3]
    halves = [first & LOW, first >> np.uint64(32), second & LOW, second >> np.uint64(32)]
    return np.stack(halves, axis=1).astype(np.uint32)


def _blocks(windows: Words) -> list[Wide]:
    # Two words each; the last has the word left over, if any, and the number of bytes modulo 256 in its highest byte.
    words = windows.astype(np.uint64).T
    length = len(words)
    blocks = [words[i] | words[i + 1] << np.uint64(32) for i in range(0, length - 1, 2)]
    left_over = words[-1] if length % 2 else np.zeros(len(windows), np.uint64)
    return [*blocks, left_over | np.uint64((4 * length % 256) << 56)]


def _sip_rounds(v: list[Wide], count: int) -> list[Wide]:
    v0, v1, v2, v3 = v
    for _ in range(count):
        v0, v2 = v0 + v1, v2 + v3
        v1, v3 = _rotated(v1, 13) ^ v0, _rotated(v3, 16) ^ v2
        v0, v2 = _rotated(v0, 32) + v3, v2 + v1
        v3, v1 = _rotated(v3, 21) ^ v0, _rotated(v1, 17) ^ v2
        v2 = _rotated(v2, 32)
    return [v0, v1, v2, v3]


def _rotated(values: Wide, bits: int) -> Wide:
    return values << np.uint64(bits) | values >> np.uint64(64 - bits)


def philox(counter: tuple[Wide, Wide, Wide, Wide], key: tuple[Wide, Wide]) -> tuple[Wide, Wide, Wide, Wide]:
    """Return the four output words of Philox4x32-10 for arrays of counters and keys, uint64 that hold 32 bits each.

    >>> zero = np.zeros((), np.uint64)
    >>> [hex(word) for word in philox((zero,) * 4, (zero,) * 2)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    for step in range(10):
        k0, k1 = (key[i] + np.uint64(step * WEYL[i]) & LOW for i in (0, 1))
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = p1 >> np.uint64(32) ^ c1 ^ k0, p1 & LOW, p0 >> np.uint64(32) ^ c3 ^ k1, p0 & LOW
    return c0, c1, c2, c3


def token_words(states: Words, tokens: Words, lanes: Words) -> Words:
    """Return the words (n,) uint32 of tokens (n,) in states (n, 4) and lanes (n,), all uint32.

    The word of token t is output word t mod 4 of the block with key (s0, s1) and counter (t div 4, lane, s2, s3).

    >>> token_words(np.zeros((2, 4), np.uint32), np.array([1, 2], np.uint32), np.zeros(2, np.uint32)).tolist()
    [3781805453, 3159862348]

    Raises:
        ValueError: if the lengths differ, or a state is not of four words.
    """
    if tokens.ndim != 1 or states.shape != (len(tokens), 4) or lanes.shape != tokens.shape:
        raise ValueError("states must be (n, 4), tokens and lanes (n,)")
    s0, s1, s2, s3 = states.T.astype(np.uint64)
    wide = tokens.astype(np.uint64)
    block = philox((wide >> np.uint64(2), lanes.astype(np.uint64), s2, s3), (s0, s1))
    return np.choose(tokens & np.uint32(3), block).astype(np.uint32)


def lane_words(states: Words, tokens: Words, first: int, count: int) -> Words:
    """Return the words (n, count) uint32 of tokens (n,) in states (n, 4), in the lanes first to first + count - 1.

    >>> lane_words(np.zeros((1, 4), np.uint32), np.array([1], np.uint32), 0, 2).tolist()
    [[3781805453, 3928187465]]

    Raises:
        ValueError: if the lengths differ, a state is not of four words, or there are no such lanes.
    """
    if not 0 <= first <= first + count <= 2**32:
        raise ValueError("lanes must be 0 to 2**32 - 1")
    if states.shape != (len(tokens), 4):
        raise ValueError("states must be (n, 4) and tokens (n,)")
    lanes = np.tile(np.arange(first, first + count).astype(np.uint32), len(tokens))
    words = token_words(np.repeat(states, count, 0), np.repeat(tokens, count), lanes)
    return words.reshape(len(tokens), count)


def vocabulary_words(states: Words, lanes: Words, size: int) -> Words:
    """Return the words (b, size) uint32 of the tokens 0 to size - 1 in each of b states (b, 4) and lanes (b,).

    >>> vocabulary_words(np.zeros((1, 4), np.uint32), np.zeros(1, np.uint32), 3).tolist()
    [[1713891541, 3781805453, 3159862348]]

    Raises:
        ValueError: if a state is not of four words, the lengths differ, or the size is not 0 to 2**32.
    """
    if lanes.ndim != 1 or states.shape != (len(lanes), 4):
        raise ValueError("states must be (b, 4) and lanes (b,)")
    if not 0 <= size <= 2**32:
        raise ValueError("size must be 0 to 2**32")
    s0, s1, s2, s3 = states.T[:, :, None].astype(np.uint64)
    index = np.arange(-(-size // 4), dtype=np.uint64)[None]
    block = philox((index, lanes[:, None].astype(np.uint64), s2, s3), (s0, s1))
    words = np.stack(np.broadcast_arrays(*block), axis=2).astype(np.uint32)
    return np.ascontiguousarray(words.reshape(len(lanes), 4 * index.size)[:, :size])


def add_bias(logits: Logits, states: Words, lanes: Words, below: int, delta: Logits) -> None:
    """Add delta[r] to logits[r, t], in place, where the word of token t in row r's state and lane is under ``below``.

    ``logits`` (b, v) and ``delta`` (b,) are float32, ``states`` (b, 4) and ``lanes`` (b,) uint32, ``below`` 0 to 2**32.
    A row whose delta is 0 stays as it is.

    >>> logits = np.zeros((1, 4), np.float32)
    >>> add_bias(logits, np.zeros((1, 4), np.uint32), np.zeros(1, np.uint32), 2**31, np.float32([2]))
    >>> logits.tolist()
    [[2.0, 0.0, 0.0, 0.0]]

    Raises:
        ValueError: if the shapes do not fit, or ``below`` is out of range.
    """
    if not 0 <= below <= 2**32:
        raise ValueError("below must be 0 to 2**32")
    _check_rows(logits, lanes, delta)
    words = vocabulary_words(states, lanes, logits.shape[1])
    _add_where(words.astype(np.uint64) < np.uint64(below), logits, delta)


def add_bias_self(logits: Logits, neighbours: Words, lanes: Words, below: int, delta: Logits) -> None:
    """Add delta[r] to logits[r, t], in place, where the low half of token t's anchor word is under ``below``.

    ``neighbours`` (b, h, 4) uint32 are the states of h contexts per row, 1 to 16; a token's anchor word is the one of
    its h words with the smallest high half (``self_words``). ``below`` is 0 to 2**16, the rest as in ``add_bias``.

    >>> logits = np.zeros((1, 4), np.float32)
    >>> add_bias_self(logits, np.zeros((1, 1, 4), np.uint32), np.zeros(1, np.uint32), 2**15, np.float32([2]))
    >>> logits.tolist()
    [[0.0, 0.0, 0.0, 0.0]]

    Raises:
        ValueError: if the shapes do not fit, or ``below`` is out of range.
    """
    if not 0 <= below <= 2**16:
        raise ValueError("below must be 0 to 2**16")
    _check_rows(logits, lanes, delta)
    _check_neighbours(neighbours)
    words = [vocabulary_words(states, lanes, logits.shape[1]) for states in neighbours.transpose(1, 0, 2)]
    _add_where((_anchors(np.stack(words, axis=1)) & np.uint32(0xFFFF)) < below, logits, delta)


def self_words(neighbours: Words, tokens: Words, lanes: Words) -> Words:
    """Return the anchor words (n,) uint32 of tokens (n,) among neighbours (n, h, 4) in lanes (n,), all uint32.

    That is the word with the smallest high half, the first of them where several have it.

    >>> self_words(np.zeros((1, 3, 4), np.uint32), np.array([1], np.uint32), np.zeros(1, np.uint32)).tolist()
    [3781805453]

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_neighbours(neighbours)
    words = [token_words(states, tokens, lanes) for states in neighbours.transpose(1, 0, 2)]
    return _anchors(np.stack(words, axis=1))


def gumbel_choice(logits: Logits, states: Words, lanes: Words) -> NDArray[np.int64]:
    """Return, for every row, the token (b,) int64 with the largest logit plus Gumbel noise from its word.

    The noise of word w is -ln(-ln((w + 1/2) / 2**32)), and it and the sum are float64. The first token wins a tie; a
    logit that is -inf or NaN is never chosen; a row that has nothing else gets -1.

    >>> gumbel_choice(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.uint32), np.zeros(1, np.uint32)).tolist()
    [1]

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_rows(logits, lanes, lanes)
    words = vocabulary_words(states, lanes, logits.shape[1])
    if not words.size:
        return np.full(len(lanes), -1, np.int64)
    noise = -np.log(-np.log((words + 0.5) / 2**32))
    scores = np.where(np.isnan(logits), -np.inf, logits.astype(np.float64)) + noise
    return np.where((scores > -np.inf).any(axis=1), scores.argmax(axis=1), -1)


def _anchors(words: Words) -> Words:
    # Of (n, h, ...) along the second axis; argmin takes the first of equals.
    first = (words >> np.uint32(16)).argmin(axis=1)
    return np.take_along_axis(words, first[:, None], axis=1)[:, 0]


def _add_where(green: NDArray[np.bool_], logits: Logits, delta: Logits) -> None:
    np.add(logits, delta[:, None], out=logits, where=green & (delta != 0)[:, None])


def _check_rows(logits: Logits, lanes: Words, delta: Logits | Words) -> None:
    if logits.ndim != 2 or lanes.shape != logits.shape[:1] or delta.shape != lanes.shape:
        raise ValueError("logits must be (b, v), lanes and delta (b,)")


def _check_neighbours(neighbours: Words) -> None:
    if neighbours.ndim != 3 or not 1 <= neighbours.shape[1] <= MOST_NEIGHBOURS:
        raise ValueError(f"neighbours must be (n, h, 4) with h of 1 to {MOST_NEIGHBOURS}")
