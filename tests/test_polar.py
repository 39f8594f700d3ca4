"""The native polar code against its NumPy oracle, and against what Arikan's definition says."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markai._kernels import polar_encode, polar_list_decode
from markai._kernels import polar_reference as reference
from markai.payload import CLASSES, frozen_set


def same(llr, frozen, list_size):
    words, metrics = polar_list_decode(llr, frozen, list_size)
    expected_words, expected_metrics = reference.polar_list_decode(llr, frozen, list_size)
    assert words.dtype == np.uint8
    assert metrics.dtype == np.float32
    np.testing.assert_array_equal(words, expected_words)
    np.testing.assert_array_equal(metrics, expected_metrics)
    return words, metrics


def test_encode_is_the_kronecker_power():
    kernel = reduce(np.kron, [np.array([[1, 0], [1, 1]])] * 6)
    bits = np.random.default_rng(1).integers(0, 2, (20, 64)).astype(np.uint8)
    for row in bits:
        np.testing.assert_array_equal(polar_encode(row), row @ kernel % 2)
    np.testing.assert_array_equal(reference.polar_encode(bits), bits @ kernel % 2)


@pytest.mark.parametrize("n", [1, 2, 8, 512, 16384])
def test_encode_equals_the_reference_and_is_its_own_inverse(n):
    bits = np.random.default_rng(n).integers(0, 2, n).astype(np.uint8)
    coded = polar_encode(bits)
    np.testing.assert_array_equal(coded, reference.polar_encode(bits))
    np.testing.assert_array_equal(polar_encode(coded), bits)


@pytest.mark.parametrize("code", CLASSES)
@pytest.mark.parametrize("list_size", [1, 7, 32, 64])
def test_decode_equals_the_reference_on_noise(code, list_size):
    rng = np.random.default_rng([code.bits, list_size])
    for scale in (1.0, 1e-38, 1e37):
        same((scale * rng.normal(size=512)).astype(np.float32), frozen_set(code.bits), list_size)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan])
def test_decode_equals_the_reference_on_one_value_everywhere(value):
    same(np.full(512, value, np.float32), frozen_set(99), 16)


@given(st.integers(0, 10), st.integers(1, 64), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_decode_equals_the_reference_on_ties_and_extremes(log_n, list_size, seed, share_frozen):
    rng = np.random.default_rng(seed)
    values = np.array([-np.inf, -1e35, -2, -1, -1e-40, -0.0, 0, 1, 2, 1e35, np.inf, np.nan], np.float32)
    llr = rng.choice(values, 2**log_n)
    same(llr, (rng.random(2**log_n) < share_frozen).astype(np.uint8), list_size)


def test_a_long_list_holds_every_word_in_order_of_likelihood():
    rng = np.random.default_rng(5)
    llr, frozen = rng.normal(size=16).astype(np.float32), np.array([1] * 10 + [0] * 6, np.uint8)
    words, metrics = same(llr, frozen, 64)
    assert len(np.unique(words, axis=0)) == 64
    assert not words[:, :10].any()
    disagreement = np.where(reference.polar_encode(words) != (llr < 0), np.abs(llr), 0).sum(axis=1)
    np.testing.assert_allclose(metrics, disagreement, rtol=1e-6)
    assert (np.diff(metrics) >= 0).all()


def test_rows_without_a_word_are_empty():
    words, metrics = same(np.array([1, -3], np.float32), np.array([1, 0], np.uint8), 4)
    assert words.tolist() == [[0, 1], [0, 0], [0, 0], [0, 0]]
    assert metrics.tolist() == [1, 3, np.inf, np.inf]


@pytest.mark.parametrize("decode", [polar_list_decode, reference.polar_list_decode])
@pytest.mark.parametrize(("n", "list_size"), [(0, 8), (3, 8), (32768, 1), (512, 0), (512, 65)])
def test_impossible_sizes_are_refused(decode, n, list_size):
    with pytest.raises(ValueError, match=r".+"):
        decode(np.zeros(n, np.float32), np.zeros(n, np.uint8), list_size)


@pytest.mark.parametrize("encode", [polar_encode, reference.polar_encode])
def test_impossible_lengths_are_refused(encode):
    with pytest.raises(ValueError, match=r".+"):
        encode(np.zeros(500, np.uint8))


def test_unequal_lengths_are_refused():
    for decode in (polar_list_decode, reference.polar_list_decode):
        with pytest.raises(ValueError, match=r".+"):
            decode(np.zeros(512, np.float32), np.zeros(256, np.uint8), 8)
