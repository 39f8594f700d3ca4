"""The keyed words as tensors: the same bits as the kernels, eagerly, compiled, and on a GPU where there is one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from markai import _kernels as kernels
from markai.text import tensors

VECTORS = json.loads((Path(__file__).parent / "vectors" / "text_prf.json").read_text())
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="parity on a GPU needs a GPU")),
]
seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 5)
heights = st.integers(1, 16)
sizes = st.integers(1, 70) | st.just(1031)


def words(seed, *shape):
    return np.random.default_rng(seed).integers(0, 2**32, shape, dtype=np.uint32)


def tensor(values, device="cpu"):
    return torch.from_numpy(values.astype(np.int64)).to(device)


def bits(key, device="cpu"):
    return torch.from_numpy(key.view(np.int64)).to(device)


def same(result, expected):
    assert result.dtype == torch.bool or result.dtype == torch.int64
    np.testing.assert_array_equal(result.cpu().numpy(), expected)


def raised(name, size, states, lanes, below):
    logits = np.zeros((len(lanes), size), np.float32)
    getattr(kernels, name)(logits, states, lanes, below, np.ones(len(lanes), np.float32))
    return logits == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 64), st.integers(0, 5), seeds)
def test_context_states_are_the_kernels(width, count, seed):
    key = np.random.default_rng(seed).integers(0, 2**64, 2, dtype=np.uint64)
    windows = words(seed + 1, count, width)
    same(tensors.context_states(bits(key), tensor(windows)), kernels.context_states(key, windows))


@settings(deadline=None, max_examples=40)
@given(counts, heights, seeds)
def test_words_of_tokens_are_the_kernels(count, height, seed):
    neighbours, tokens, lanes = words(seed, count, height, 4), words(seed + 1, count), words(seed + 2, count)
    given = tensor(tokens), tensor(lanes)
    states = np.ascontiguousarray(neighbours[:, 0])
    same(tensors.token_words(tensor(states), *given), kernels.token_words(states, tokens, lanes))
    same(tensors.self_words(tensor(neighbours), *given), kernels.self_words(neighbours, tokens, lanes))


@settings(deadline=None, max_examples=40)
@given(counts, heights, sizes, st.integers(0, 2**32), seeds)
def test_green_tokens_are_the_kernels(count, height, size, below, seed):
    neighbours, lanes = words(seed, count, height, 4), words(seed + 1, count)
    states = np.ascontiguousarray(neighbours[:, 0])
    given = tensor(states), tensor(lanes), size
    same(tensors.vocabulary_words(*given), kernels.vocabulary_words(states, lanes, size))
    same(tensors.green_mask(*given, below), raised("add_bias", size, states, lanes, below))
    green = tensors.self_green_mask(tensor(neighbours), tensor(lanes), size, below >> 16)
    same(green, raised("add_bias_self", size, neighbours, lanes, below >> 16))


def test_the_first_of_equal_neighbours_is_the_anchor():
    """Of 200,000 pairs of words about three have one high half, and low halves that differ."""
    neighbours, tokens, lanes = words(1, 200_000, 2, 4), words(2, 200_000), words(3, 200_000)
    first, second = (kernels.token_words(neighbours[:, i].copy(), tokens, lanes) for i in (0, 1))
    tied = (first >> 16 == second >> 16) & (first != second)
    assert tied.any()
    result = tensors.self_words(tensor(neighbours), tensor(tokens), tensor(lanes))
    same(result[torch.from_numpy(tied)], first[tied])


@pytest.mark.parametrize("device", DEVICES)
def test_vectors_hold_on_every_device(device):
    def given(name, *fields):
        return [torch.tensor(VECTORS[name][field], device=device) for field in fields]

    for vector in VECTORS["context_states"]:
        key = np.array([int(word, 16) for word in vector["key"]], np.uint64)
        window = torch.tensor(vector["window"], dtype=torch.int64, device=device)[None]
        assert tensors.context_states(bits(key, device), window).tolist() == [vector["state"]]
    of_tokens = tensors.token_words(*given("token_words", "states", "tokens", "lanes"))
    assert of_tokens.tolist() == VECTORS["token_words"]["words"]
    anchors = tensors.self_words(*given("self_words", "neighbours", "tokens", "lanes"))
    assert anchors.tolist() == VECTORS["self_words"]["words"]
    v = VECTORS["vocabulary_words"]
    assert tensors.vocabulary_words(*given("vocabulary_words", "states", "lanes"), v["size"]).tolist() == v["words"]
    v = VECTORS["add_bias"]
    green = tensors.green_mask(*given("add_bias", "states", "lanes"), v["size"], v["below"])
    assert [row.nonzero()[:, 0].tolist() for row in green] == v["green"]
    v = VECTORS["add_bias_self"]
    green = tensors.self_green_mask(*given("add_bias_self", "neighbours", "lanes"), v["size"], v["below"])
    assert [row.nonzero()[:, 0].tolist() for row in green] == v["green"]


@pytest.mark.parametrize("device", DEVICES)
def test_a_vocabulary_on_every_device(device):
    """32 rows of 128,256 tokens, where a GPU works in parallel; no call may wait for it."""
    count, size = 32 if device == "cuda" else 1, 128_256
    states, lanes, neighbours = words(1, count, 4), words(2, count), words(3, count, 4, 4)
    on_device = tensor(states, device), tensor(lanes, device), tensor(neighbours, device)
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        green = tensors.green_mask(*on_device[:2], size, 2**30)
        by_neighbour = tensors.self_green_mask(on_device[2], on_device[1], size, 2**14)
        chosen = tensors.gumbel_noise(tensors.vocabulary_words(*on_device[:2], size), torch.float64).argmax(1)
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert green.device.type == device
    same(green, raised("add_bias", size, states, lanes, 2**30))
    same(by_neighbour, raised("add_bias_self", size, neighbours, lanes, 2**14))
    same(chosen, kernels.gumbel_choice(np.zeros((count, size), np.float32), states, lanes))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own use of it
@pytest.mark.parametrize("device", DEVICES)
def test_compiled_words_are_the_same(device, tmp_path, monkeypatch):
    """In one graph. An index that is multiplied comes out wrong from TorchInductor on the CPU, and must not be one."""
    if not shutil.which("g++"):
        pytest.skip("TorchInductor needs a C++ compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    # Without asking the compiler what instructions there are, which is half of the time.
    compiled = torch.compile(tensors.vocabulary_words, fullgraph=True, options={"cpp.vec_isa_ok": True})
    states, lanes = words(1, 3, 4), words(2, 3)
    result = compiled(tensor(states, device), tensor(lanes, device), 301)
    same(result, kernels.vocabulary_words(states, lanes, 301))


# Noise

EXTREMES = torch.tensor([0, 1, 2, 255, 2**31 - 1, 2**31, 2**32 - 2**12, 2**32 - 2, 2**32 - 1])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_noise_is_exact_to_rounding_at_both_ends(dtype, close):
    everywhere = torch.cat([EXTREMES, tensor(words(1, 100_000))])
    noise = tensors.gumbel_noise(everywhere, dtype)
    assert noise.dtype == dtype
    u = (everywhere.numpy() + np.longdouble(0.5)) / 2**32
    expected = (-np.log(-np.log(u))).astype(np.float64)
    np.testing.assert_allclose(noise.double().numpy(), expected, rtol=close, atol=close)
    assert noise.isfinite().all()


def test_noise_chooses_what_the_kernel_chooses():
    states, lanes = words(1, 50, 4), words(2, 50)
    logits = np.random.default_rng(3).normal(0, 2, (50, 5000)).astype(np.float32)
    noise = tensors.gumbel_noise(tensors.vocabulary_words(tensor(states), tensor(lanes), 5000), torch.float64)
    same((torch.from_numpy(logits) + noise).argmax(1), kernels.gumbel_choice(logits, states, lanes))
