"""The keyed words of text marks: published vectors, vectors that hold forever, and the kernels against their oracle."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from markai._kernels import _native as native
from markai._kernels import text_reference as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "text_prf.json").read_text())
HALVES = pytest.mark.parametrize("half", [native, reference], ids=["native", "reference"])
same = np.testing.assert_array_equal
seeds = st.integers(0, 2**32 - 1)
# Around a block of 4, the 8 blocks and the buffers of 256 and 1024 words that are made at once.
sizes = st.integers(0, 70) | st.sampled_from([255, 256, 257, 300, 1023, 1024, 1025, 1056, 2051, 4099])
rows = st.integers(0, 4)
heights = st.integers(1, 16)


def words(seed, *shape):
    """Words of every size: a third of all bits, low bits only, and extremes."""
    rng = np.random.default_rng(seed)
    anything = rng.integers(0, 2**32, shape, dtype=np.uint32)
    return np.choose(rng.integers(0, 3, shape), [anything, anything & 0xFF, anything | 0xFFFFFF00]).astype(np.uint32)


def some_logits(seed, *shape):
    """Logits with ties, zeros of both signs, and numbers that are none."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, rng.choice([0, 1, 30]), shape).astype(np.float32)
    odd = rng.choice(np.float32([0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38]), shape)
    return np.where(rng.random(shape) < rng.choice([0, 0.02, 0.5]), odd, logits)


# The published functions

# SipHash-2-4-128 of the bytes 0, 1, 2 ... under the key 00 to 0f, by number of bytes: from vectors.h of the reference
# implementation, and for 252 and 256 bytes from OpenSSL 3.
SIPHASH = {
    0: "a3817f04ba25a8e66df67214c7550293",
    4: "f88164c12d9c8faf7d0f6e7c7bcd5579",
    8: "3b62a9ba6258f5610f83e264f31497b4",
    12: "d626b266905ef35882634df68532c125",
    16: "6ee2a4ca67b054bbfd3315bf85230577",
    20: "9e25fc833f2290733e9344a5e83839eb",
    24: "2db479ae78bd50d8882a8a178a6132ad",
    28: "0664da1668574b88b935f3027358aef4",
    32: "7c3956ca5eeafc3e363e9d556546eb68",
    36: "3dc47d1f29c448461e9e76ed904f6711",
    40: "df6a301e95c95dad97ae0cc8c6913bd8",
    44: "89237d9ded9c5e78d8b1c9b166cc7342",
    48: "f7e5aef549f782cf379055a608269b16",
    52: "2c97325cbd06b36eb2133dd08b3a017c",
    56: "1938f2cf72d54ee97e94166fa91d2a36",
    60: "e3040c00eb28f15366ca73cbd872e740",
    252: "86c0486e0556e386e47b8eab4225d178",
    256: "67a00304d3834c4612eaee7b5f579acb",
}
# Random123's known answers for philox4x32-10: counter, key, output.
PHILOX = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@HALVES
@pytest.mark.parametrize("length", SIPHASH)
def test_context_states_are_siphash(half, length):
    key = np.frombuffer(bytes(range(16)), "<u8").astype(np.uint64)
    message = np.frombuffer(bytes(i % 256 for i in range(length)), "<u4").astype(np.uint32)
    assert half.context_states(key, message[None]).astype("<u4").tobytes().hex() == SIPHASH[length]


@pytest.mark.parametrize(("counter", "key", "output"), PHILOX)
def test_token_words_are_philox(counter, key, output):
    c, k, expected = ([int(word, 16) for word in text.split()] for text in (counter, key, output))
    block = reference.philox(tuple(np.uint64([word]) for word in c), tuple(np.uint64([word]) for word in k))
    assert [int(word[0]) for word in block] == expected
    if c[0] < 2**30:  # the first word of a token's counter is at most that of token 2**32 - 1
        states = np.tile(np.uint32([*k, *c[2:]]), (4, 1))
        tokens = np.arange(4, dtype=np.uint32) + np.uint32(4 * c[0])
        assert native.token_words(states, tokens, np.full(4, c[1], np.uint32)).tolist() == expected


# Vectors


def array(values, dtype=np.uint32):
    return np.array(values, dtype)


@HALVES
@pytest.mark.parametrize("vector", VECTORS["context_states"], ids=lambda vector: str(len(vector["window"])))
def test_states_hold_forever(half, vector):
    key = array([int(word, 16) for word in vector["key"]], np.uint64)
    window = array(vector["window"])[None]
    assert half.context_states(key, window).tolist() == [vector["state"]]


@HALVES
def test_words_hold_forever(half):
    v = VECTORS["token_words"]
    given = array(v["states"]), array(v["tokens"]), array(v["lanes"])
    assert half.token_words(*given).tolist() == v["words"]
    v = VECTORS["self_words"]
    given = array(v["neighbours"]), array(v["tokens"]), array(v["lanes"])
    assert half.self_words(*given).tolist() == v["words"]
    v = VECTORS["vocabulary_words"]
    assert half.vocabulary_words(array(v["states"]), array(v["lanes"]), v["size"]).tolist() == v["words"]


@HALVES
@pytest.mark.parametrize(("name", "states"), [("add_bias", "states"), ("add_bias_self", "neighbours")])
def test_green_lists_hold_forever(half, name, states):
    v = VECTORS[name]
    logits = np.zeros((2, v["size"]), np.float32)
    getattr(half, name)(logits, array(v[states]), array(v["lanes"]), v["below"], np.ones(2, np.float32))
    assert [np.flatnonzero(row).tolist() for row in logits] == v["green"]


@HALVES
def test_choices_hold_forever(half):
    v = VECTORS["gumbel_choice"]
    logits = array(v["logits"], np.float32)
    assert half.gumbel_choice(logits, array(v["states"]), array(v["lanes"])).tolist() == v["choices"]


# The kernels against the oracle: the same bits


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 64), st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2), seeds)
def test_context_states_equal_the_reference(count, width, key, seed):
    given = np.array(key, np.uint64), words(seed, count, width)
    states = native.context_states(*given)
    assert (states.dtype, states.shape) == (np.uint32, (count, 4))
    same(states, reference.context_states(*given))


@settings(deadline=None)
@given(st.integers(0, 40), heights, seeds)
def test_token_and_self_words_equal_the_reference(count, height, seed):
    neighbours, tokens, lanes = words(seed, count, height, 4), words(seed + 1, count), words(seed + 2, count)
    states = np.ascontiguousarray(neighbours[:, 0])
    same(native.token_words(states, tokens, lanes), reference.token_words(states, tokens, lanes))
    same(native.self_words(neighbours, tokens, lanes), reference.self_words(neighbours, tokens, lanes))


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(0, 2**32 - 300), st.sampled_from([0, 1, 7, 8, 9, 64, 255, 256, 300]), seeds)
def test_lane_words_equal_the_reference(count, first, lanes, seed):
    states, tokens = words(seed, count, 4), words(seed + 1, count)
    result = native.lane_words(states, tokens, first, lanes)
    assert (result.dtype, result.shape) == (np.uint32, (count, lanes))
    same(result, reference.lane_words(states, tokens, first, lanes))
    for i in range(lanes):
        same(result[:, i], native.token_words(states, tokens, np.full(count, first + i, np.uint32)))


@settings(deadline=None)
@given(rows, sizes, seeds)
def test_vocabulary_words_equal_the_reference(count, size, seed):
    states, lanes = words(seed, count, 4), words(seed + 1, count)
    result = native.vocabulary_words(states, lanes, size)
    assert (result.dtype, result.shape) == (np.uint32, (count, size))
    same(result, reference.vocabulary_words(states, lanes, size))
    for r in range(count):
        tokens = np.arange(size, dtype=np.uint32)
        same(result[r], native.token_words(np.tile(states[r], (size, 1)), tokens, np.full(size, lanes[r])))


def both_change(name, logits, *arguments):
    """What both halves make of a copy, bit by bit, NaN and the sign of zero included."""
    ours, theirs = logits.copy(), logits.copy()
    assert getattr(native, name)(ours, *arguments) is None
    with np.errstate(invalid="ignore", over="ignore"):
        getattr(reference, name)(theirs, *arguments)
    same(ours.view(np.uint32), theirs.view(np.uint32))
    return ours


deltas = st.sampled_from([0.0, -0.0, 2.0, -1.5, 1e-30, 3e38])


@settings(deadline=None)
@given(rows, sizes, st.integers(0, 2**32) | st.sampled_from([1, 2**31, 2**32 - 1, 2**32]), deltas, seeds)
@example(2, 70, 2**32, 2.0, 0)
@example(2, 70, 0, 2.0, 0)
def test_add_bias_equals_the_reference(count, size, below, delta, seed):
    states, lanes, logits = words(seed, count, 4), words(seed + 1, count), some_logits(seed, count, size)
    raised = np.full(count, delta, np.float32)
    raised[::3] = 0
    changed = both_change("add_bias", logits, states, lanes, below, raised)
    same(changed[::3].view(np.uint32), logits[::3].view(np.uint32))


@settings(deadline=None)
@given(rows, sizes, heights, st.integers(0, 2**16) | st.sampled_from([1, 2**15, 2**16]), deltas, seeds)
@example(2, 70, 4, 2**16, 2.0, 0)
@example(2, 70, 4, 0, 2.0, 0)
def test_add_bias_self_equals_the_reference(count, size, height, below, delta, seed):
    neighbours, lanes = words(seed, count, height, 4), words(seed + 1, count)
    given = neighbours, lanes, below
    both_change("add_bias_self", some_logits(seed, count, size), *given, np.full(count, delta, np.float32))
    # What a detector computes for one token is what was done to it.
    changed = both_change("add_bias_self", np.zeros((count, size), np.float32), *given, np.ones(count, np.float32))
    for r in range(count):
        tokens = np.arange(size, dtype=np.uint32)
        anchors = native.self_words(np.tile(neighbours[r], (size, 1, 1)), tokens, np.full(size, lanes[r]))
        same(changed[r] == 1, (anchors & 0xFFFF) < below)


def test_the_threshold_itself_is_not_green():
    states, lanes = words(1, 1, 4), words(2, 1)
    word = int(native.vocabulary_words(states, lanes, 50)[0, 31])
    low = word & 0xFFFF
    for below, green in ((word, 0), (word + 1, 1)):
        assert (
            both_change("add_bias", np.zeros((1, 50), np.float32), states, lanes, below, np.ones(1, "f4"))[0, 31]
            == green
        )
    for below, green in ((low, 0), (low + 1, 1)):
        logits = np.zeros((1, 50), np.float32)
        assert both_change("add_bias_self", logits, states[None], lanes, below, np.ones(1, "f4"))[0, 31] == green


def test_the_first_of_equal_neighbours_is_the_anchor():
    """Of 400,000 pairs of words about six have one high half, and low halves that differ."""
    neighbours, tokens, lanes = words(5, 400_000, 2, 4), np.arange(400_000, dtype=np.uint32), words(6, 400_000)
    first, second = (native.token_words(np.ascontiguousarray(neighbours[:, i]), tokens, lanes) for i in (0, 1))
    tied = (first >> 16 == second >> 16) & (first != second)
    assert tied.any()
    same(native.self_words(neighbours, tokens, lanes)[tied], first[tied])
    same(reference.self_words(neighbours, tokens, lanes)[tied], first[tied])


def test_a_vocabulary_with_equal_neighbours():
    """Among 128,256 tokens twenty have an anchor that another neighbour equals in the high half."""
    logits = np.zeros((1, 128_256), np.float32)
    both_change("add_bias_self", logits, words(1, 1, 16, 4), words(2, 1), 2**14, np.ones(1, np.float32))


# The choice


def both_choose(logits, states, lanes):
    chosen = native.gumbel_choice(logits, states, lanes)
    assert (chosen.dtype, chosen.shape) == (np.int64, (len(logits),))
    same(chosen, reference.gumbel_choice(logits, states, lanes))
    return chosen


@settings(deadline=None)
@given(rows, sizes, seeds)
def test_gumbel_choice_equals_the_reference(count, size, seed):
    states, lanes, logits = words(seed, count, 4), words(seed + 1, count), some_logits(seed, count, size)
    before = logits.copy()
    chosen = both_choose(logits, states, lanes)
    same(logits.view(np.uint32), before.view(np.uint32))
    for r in np.flatnonzero(np.isposinf(logits).any(axis=1)):
        assert chosen[r] == np.flatnonzero(np.isposinf(logits[r]))[0]


def noise(words):
    return -np.log(-np.log((words + 0.5) / 2**32))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([1e-6, 1e-3, 0.03, 0.2, 1.0]), st.sampled_from([-1e6, -40.0, 0.0, 40.0, 1e6, 1e30]), seeds)
def test_no_choice_is_lost_where_all_are_close(spread, level, seed):
    """Logits that nearly make up for the noise."""
    states, lanes = words(seed, 1, 4), words(seed + 1, 1)
    made_up = noise(native.vocabulary_words(states, lanes, 3000))
    near = level - made_up + np.random.default_rng(seed).normal(0, spread, made_up.shape)
    both_choose(near.astype(np.float32), states, lanes)


@pytest.mark.parametrize("level", [0, 30, 1e3, 3e4, 1e6, 1e8, -1e6])
def test_no_choice_is_lost_where_the_bound_is_tight(level):
    """High words, just over a power of two when inverted, have a bound 3e-4 over their noise or closer.

    Each such token is to win by the least that float32 can say, over another of an earlier group, and to lose by it.
    """
    states, lanes = np.zeros((300, 4), np.uint32), np.arange(300, dtype=np.uint32)
    dealt = native.vocabulary_words(states, lanes, 40_000)
    tight = np.isin(~dealt >> np.uint32(8), np.add.outer([2**11, 2**12, 2**13], [0, 1]))
    tight[:, :300] = False
    assert tight.sum() > 2
    for row, token in zip(*np.nonzero(tight), strict=True):
        logits = np.full((2, 40_000), -np.inf, np.float32)
        logits[:, 7] = level
        equal = logits[0, 7] + noise(dealt[row, 7]) - noise(dealt[row, token])
        near = np.nextafter(np.float32(equal), np.float32([-np.inf, equal, np.inf]))
        logits[:, token] = near[near > equal].min(), near[near < equal].max()
        assert both_choose(logits, states[:2], np.full(2, row, np.uint32)).tolist() == [token, 7]


@pytest.mark.parametrize("size", [128_256, 50_257])
@pytest.mark.parametrize(("finite", "spread"), [(0, 1), (1, 1), (50, 3), (None, 0), (None, 1), (None, 9)])
def test_gumbel_choice_of_a_vocabulary(size, finite, spread):
    rng = np.random.default_rng(size)
    logits = (spread * rng.standard_normal((3, size))).astype(np.float32)
    if finite is not None:
        for row in logits:
            row[rng.permutation(size)[finite:]] = -np.inf
    chosen = both_choose(logits, words(1, 3, 4), words(2, 3))
    assert (chosen == -1).all() == (finite == 0)


def test_the_first_of_equals_is_chosen():
    """Noise is lost beside 1e30, so that all score the same."""
    logits = np.full((1, 700), 1e30, np.float32)
    logits[0, :300] = -np.inf, *[0] * 299
    assert both_choose(logits, words(1, 1, 4), words(2, 1)).tolist() == [300]


def test_the_least_number_is_better_than_none():
    logits = np.full((1, 700), -np.inf, np.float32)
    logits[0, 400] = np.finfo(np.float32).min
    assert both_choose(logits, words(1, 1, 4), words(2, 1)).tolist() == [400]


@pytest.mark.parametrize(
    "values", [[], [-np.inf], [np.nan], [np.nan, -np.inf] * 200], ids=lambda values: str(len(values))
)
def test_nothing_to_choose_from(values):
    logits = np.array([values, values], np.float32)
    assert both_choose(logits, words(1, 2, 4), words(2, 2)).tolist() == [-1, -1]


def test_choices_follow_the_softmax():
    """Over 20,000 states, a chi-squared of 3 degrees of freedom: 16.3 is p = 0.001."""
    chances = np.array([0.5, 0.3, 0.15, 0.05])
    logits = np.tile(np.log(chances).astype(np.float32), (20_000, 1))
    states = np.random.default_rng(1).integers(0, 2**32, (20_000, 4), dtype=np.uint32)
    counts = np.bincount(native.gumbel_choice(logits, states, np.zeros(20_000, np.uint32)), minlength=4)
    expected = 20_000 * chances
    assert ((counts - expected) ** 2 / expected).sum() < 16.3


def test_results_do_not_depend_on_where_the_logits_lie():
    states, lanes = words(1, 1, 4), words(2, 1)
    logits = some_logits(3, 1, 1031)
    changed = logits.copy()
    native.add_bias(changed, states, lanes, 2**31, np.ones(1, np.float32))
    for offset in (4, 12, 20, 36):
        raw = np.zeros(logits.nbytes + 64, np.uint8)
        moved = raw[offset : offset + logits.nbytes].view(np.float32).reshape(logits.shape)
        moved[...] = logits
        same(native.gumbel_choice(moved, states, lanes), native.gumbel_choice(logits, states, lanes))
        native.add_bias(moved, states, lanes, 2**31, np.ones(1, np.float32))
        same(moved, changed)
        assert not raw[:offset].any()
        assert not raw[offset + logits.nbytes :].any()


# Refusals: an exception, never a crash, and nothing changed

KEY, WINDOWS = np.zeros(2, np.uint64), np.zeros((3, 4), np.uint32)
STATES, TOKENS, NEIGHBOURS = WINDOWS, np.zeros(3, np.uint32), np.zeros((3, 2, 4), np.uint32)
LOGITS, DELTA = np.zeros((3, 8), np.float32), np.ones(3, np.float32)


def frozen(values):
    values = values.copy()
    values.flags.writeable = False
    return values


REFUSED = {
    "a key of one word": lambda half: half.context_states(KEY[:1], WINDOWS),
    "windows of 65 words": lambda half: half.context_states(KEY, np.zeros((1, 65), np.uint32)),
    "one window alone": lambda half: half.context_states(KEY, WINDOWS[0]),
    "states of three words": lambda half: half.token_words(STATES[:, :3].copy(), TOKENS, TOKENS),
    "states too few": lambda half: half.token_words(STATES[:2], TOKENS, TOKENS),
    "tokens too few for lanes": lambda half: half.lane_words(STATES, TOKENS[:2], 0, 9),
    "lanes too many": lambda half: half.lane_words(STATES, TOKENS, 2**32 - 3, 4),
    "lanes too few": lambda half: half.token_words(STATES, TOKENS, TOKENS[:2]),
    "a word too many": lambda half: half.vocabulary_words(STATES, TOKENS, 2**32 + 1),
    "a size below 0": lambda half: half.vocabulary_words(STATES, TOKENS, -1),
    "lanes too few for states": lambda half: half.vocabulary_words(STATES, TOKENS[:2], 8),
    "no neighbours": lambda half: half.self_words(NEIGHBOURS[:, :0].copy(), TOKENS, TOKENS),
    "17 neighbours": lambda half: half.self_words(np.zeros((3, 17, 4), np.uint32), TOKENS, TOKENS),
    "neighbours too few": lambda half: half.self_words(NEIGHBOURS[:2], TOKENS, TOKENS),
    "neighbours of three words": lambda half: half.self_words(NEIGHBOURS[:, :, :3].copy(), TOKENS, TOKENS),
    "below 2**32 + 1": lambda half: half.add_bias(LOGITS, STATES, TOKENS, 2**32 + 1, DELTA),
    "below -1": lambda half: half.add_bias(LOGITS, STATES, TOKENS, -1, DELTA),
    "logits that cannot be written": lambda half: half.add_bias(frozen(LOGITS), STATES, TOKENS, 2**32, DELTA),
    "a row of logits too few": lambda half: half.add_bias(LOGITS[:2], STATES, TOKENS, 1, DELTA),
    "a delta too few": lambda half: half.add_bias(LOGITS, STATES, TOKENS, 1, DELTA[:2]),
    "logits of one axis": lambda half: half.add_bias(LOGITS[0], STATES, TOKENS, 1, DELTA),
    "below 2**16 + 1": lambda half: half.add_bias_self(LOGITS, NEIGHBOURS, TOKENS, 2**16 + 1, DELTA),
    "bias without neighbours": lambda half: half.add_bias_self(LOGITS, NEIGHBOURS[:, :0].copy(), TOKENS, 1, DELTA),
    "neighbours of two rows": lambda half: half.add_bias_self(LOGITS, NEIGHBOURS[:2], TOKENS, 1, DELTA),
    "lanes of two rows": lambda half: half.add_bias_self(LOGITS, NEIGHBOURS, TOKENS[:2], 1, DELTA),
    "a choice with lanes too few": lambda half: half.gumbel_choice(LOGITS, STATES, TOKENS[:2]),
    "a choice with states too few": lambda half: half.gumbel_choice(LOGITS, STATES[:2], TOKENS),
}
# NumPy would convert or copy; the compiled half says no, or it would work on a copy.
REFUSED_NATIVE = {
    "states of int64": lambda: native.token_words(STATES.astype(np.int64), TOKENS, TOKENS),
    "a key of int64": lambda: native.context_states(KEY.astype(np.int64), WINDOWS),
    "logits of float64": lambda: native.add_bias(LOGITS.astype(np.float64), STATES, TOKENS, 1, DELTA),
    "logits strided": lambda: native.add_bias(np.zeros((3, 16), np.float32)[:, ::2], STATES, TOKENS, 1, DELTA),
    "logits transposed": lambda: native.add_bias_self(np.zeros((8, 3), "f4").T, NEIGHBOURS, TOKENS, 1, DELTA),
    "a delta of float64": lambda: native.add_bias(LOGITS, STATES, TOKENS, 1, DELTA.astype(np.float64)),
    "a list": lambda: native.gumbel_choice(LOGITS.tolist(), STATES, TOKENS),
}


@HALVES
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refused(half, call):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        call(half)
    assert not LOGITS.any()


@pytest.mark.parametrize("call", REFUSED_NATIVE.values(), ids=REFUSED_NATIVE)
def test_the_compiled_half_converts_nothing(call):
    with pytest.raises(TypeError):
        call()


def test_read_only_input_is_fine():
    states, lanes = frozen(STATES), frozen(TOKENS)
    logits = LOGITS.copy()
    native.add_bias(logits, states, lanes, 2**32, frozen(DELTA))
    assert (logits == 1).all()
    assert (native.gumbel_choice(frozen(LOGITS), states, lanes) >= 0).all()
