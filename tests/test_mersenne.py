"""The shuffles of PyTorch's generator: the kernel, its twin, and PyTorch itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markai._kernels import _native as native
from markai._kernels import mersenne_reference as reference

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, n=st.integers(0, 2000))
def test_a_shuffle_is_as_the_reference_has_it(seed, n):
    shuffled = native.randperm(seed, n)
    assert shuffled.dtype == np.int64
    np.testing.assert_array_equal(shuffled, reference.randperm(seed, n))


@given(seeds=st.lists(SEEDS, min_size=1, max_size=4), vocabulary=st.integers(1, 3000), data=st.data())
def test_ranks_are_as_the_reference_has_them(seeds, vocabulary, data):
    rows = [(seed, data.draw(st.integers(0, vocabulary - 1))) for seed in seeds for _ in range(3)]
    limit = data.draw(st.integers(0, vocabulary + 2))
    arguments = *(np.array(column, np.uint32) for column in zip(*rows, strict=True)), vocabulary, limit
    ranks = native.randperm_ranks(*arguments)
    np.testing.assert_array_equal(ranks, reference.randperm_ranks(*arguments))
    shuffles = {seed: np.argsort(native.randperm(seed, vocabulary)) for seed in seeds}
    assert ranks.tolist() == [min(limit, shuffles[seed][token]) for seed, token in rows]


@pytest.mark.parametrize("n", [1, 2, 50, 624, 625, 20_000, 32_000, 65_536, 128_256, 256_000, 1_000_003])
def test_shuffles_are_those_of_torch(n):
    torch = pytest.importorskip("torch")
    for seed in (0, 15_485_863, 2**32 - 1):
        expected = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
        np.testing.assert_array_equal(native.randperm(seed, n), expected)
        tokens = np.random.default_rng(n).integers(0, n, 40).astype(np.uint32)
        ranks = native.randperm_ranks(np.full(40, seed, np.uint32), tokens, n, n)
        np.testing.assert_array_equal(expected[ranks], tokens)


def test_words_are_those_of_torch():
    torch = pytest.importorskip("torch")
    for seed in (0, 7, 2**32 + 1):
        words = torch.randint(0, 2**16, (3000,), generator=torch.Generator().manual_seed(seed)).numpy()
        np.testing.assert_array_equal(reference.mersenne_words(seed, 3000) & 0xFFFF, words)


@pytest.mark.parametrize("half", [native, reference])
def test_what_makes_no_sense_is_refused(half):
    one, two = np.zeros(1, np.uint32), np.zeros(2, np.uint32)
    for seeds, tokens, vocabulary in [(one, two, 5), (two, two + 5, 5), (two, two, 0), (two, two, 2**31)]:
        with pytest.raises(ValueError, match="must"):
            half.randperm_ranks(seeds, tokens, vocabulary, 3)
    with pytest.raises(ValueError, match="n must"):
        half.randperm(0, 2**31)
    assert half.randperm_ranks(one[:0], one[:0], 5, 3).shape == (0,)
