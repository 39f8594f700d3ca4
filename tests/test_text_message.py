"""Payloads of texts: the code word for ever, its distance, and what the decoder makes of evidence."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markai import Key
from markai.errors import PayloadError
from markai.text import message
from markai.text.message import LENGTH, VALUES, decode, encode

VECTORS = json.loads((Path(__file__).parent / "vectors" / "text_message.json").read_text())
KEY = Key(bytes(range(32)))
payloads = st.binary(min_size=1, max_size=4)


def evidence(word, strength=9):
    return strength * (np.asarray(word)[:, None] == np.arange(VALUES)).astype(np.int64)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["payload"])
def test_words_hold_forever(vector):
    key = Key(bytes.fromhex(vector["key"]))
    assert encode(bytes.fromhex(vector["payload"]), key).tobytes().hex() == vector["word"]


def times(a, b):
    """Product in GF(256), by the book: Russian peasants."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def test_products_are_those_of_the_field():
    table = message._products()
    assert all(table[a, b] == times(a, b) for a in range(0, 256, 3) for b in range(256))
    assert all((np.sort(table[a, 1:]) == np.arange(1, 256)).all() for a in range(1, 256))


@given(payloads)
def test_a_word_is_a_polynomial_through_payload_and_mac(payload):
    word = encode(payload, KEY).tolist()
    count = len(payload) + 2
    assert bytes(word[: len(payload)]) == payload
    for at in range(count, LENGTH):  # Lagrange's formula, term by term
        value = 0
        for i in range(count):
            term = word[i]
            for j in range(count):
                if j != i:
                    inverse = next(x for x in range(256) if times(x, i ^ j) == 1)
                    term = times(term, times(at ^ j, inverse))
            value ^= term
        assert value == word[at]


@settings(max_examples=30)
@given(payloads, payloads)
def test_words_differ_in_all_but_k_minus_one_bytes(one, other):
    if len(one) == len(other) and one != other:
        apart = int((encode(one, KEY) != encode(other, KEY)).sum())
        assert apart >= LENGTH - (len(one) + 2) + 1


@settings(max_examples=40)
@given(payloads, st.sets(st.integers(0, LENGTH - 1), max_size=6))
def test_six_lost_bytes_are_no_loss(payload, lost):
    sums = evidence(encode(payload, KEY))
    sums[list(lost)] = 0
    word = decode(sums, KEY)[len(payload) - 1]
    assert (word.payload, word.authentic) == (payload, True)
    assert word.log2_rivals == 8 * len(payload)


@settings(max_examples=40)
@given(payloads, st.sets(st.integers(0, LENGTH - 1), max_size=2), st.integers(1, 255))
def test_two_wrong_bytes_that_are_less_sure_are_put_right(payload, wrong, by):
    word = encode(payload, KEY).copy()
    sums = evidence(word)
    for at in wrong:
        sums[at] = 0
        sums[at, word[at] ^ by], sums[at, word[at]] = 6, 5
    assert decode(sums, KEY)[len(payload) - 1].payload == payload


def test_noise_is_never_authentic():
    rng = np.random.default_rng(1)
    words = [word for _ in range(60) for word in decode(rng.integers(0, 40, (LENGTH, VALUES)), KEY)]
    assert not any(word.authentic for word in words)
    assert {word.log2_rivals for word in words} == {24, 32, 40, 48}
    for word in words:  # a code word all the same: its first k bytes say what the others are
        count = len(word.payload) + 2
        frame = word.values[:count].astype(np.uint8)
        whole = message._completed(frame[None, None], message._completion((tuple(range(count)),)))[0, 0]
        assert np.array_equal(whole, word.values)


def test_another_key_reads_no_payload():
    assert not any(word.authentic for word in decode(evidence(encode(b"acme", KEY)), Key(bytes(32))))


@pytest.mark.parametrize("payload", [b"", b"12345", "1", None, 7])
def test_payloads_that_are_none(payload):
    with pytest.raises(PayloadError, match="1 to 4 bytes"):
        encode(payload, KEY)


def test_all_starts_agree_on_a_clean_word():
    """Whatever k bytes are known best: completing them gives the word."""
    word = encode(b"\x01\x02\x03\xff", KEY)
    for start in itertools.combinations(range(LENGTH), 6):
        known = word[list(start)]
        assert np.array_equal(message._completed(known[None, None], message._completion((start,)))[0, 0], word)
