"""The marks of others: as they make them, as others read them, and p-values that hold."""

import json
import math
from hashlib import sha256
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from markai.errors import MethodError
from markai.stats import smirnov_tail
from markai.text.base import Scorer
from markai.text.contexts import occurrences
from markai.text.detector import detect, evidence
from markai.text.levels import gumbel_levels
from markai.text.profiles import (
    PROFILES,
    HuggingFaceGreenList,
    HuggingFaceSynthID,
    SglangGumbel,
    VllmDualGumbel,
    VllmGumbel,
    describe,
)
from markai.text.profiles.vllm import derived_key
from markai.text.weights import Weights

VECTORS = json.loads((Path(__file__).parent / "vectors" / "text_profiles.json").read_text())
VOCABULARY = 1000
LAYERS = 30
MASK = 0xFFFFFFFF
SETTINGS = {
    "hf-kgw": {"vocab_size": VOCABULARY},
    "hf-synthid": {"keys": range(LAYERS)},
    "sglang-gumbel": {"key": "2a"},
    "vllm-dual-gumbel": {"key": 42},
    "vllm-gumbel": {"key": 42},
}
# What draws a mark of each kind under a random key.
UNDER_A_KEY = {
    "hf-kgw": lambda rng: HuggingFaceGreenList(VOCABULARY, hashing_key=int(rng.integers(1, 2**63))),
    "hf-kgw selfhash": lambda rng: HuggingFaceGreenList(
        VOCABULARY, 0.5, int(rng.integers(1, 2**63)), "selfhash", context_width=3
    ),
    "hf-synthid": lambda rng: HuggingFaceSynthID(rng.integers(-(2**63), 2**63, LAYERS).tolist()),
    "sglang-gumbel": lambda rng: SglangGumbel(rng.bytes(8).hex()),
    "sglang-gumbel dual": lambda rng: SglangGumbel(rng.bytes(8).hex(), rng.bytes(8).hex(), 0.3),
    "vllm-dual-gumbel": lambda rng: VllmDualGumbel(int(rng.integers(2**63))),
    "vllm-gumbel": lambda rng: VllmGumbel(int(rng.integers(2**63))),
}


def ids_of(values):
    return np.array(values, np.uint32)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def repetitive():
    """An unmarked text with few words, and lines that come again and again."""
    rng = np.random.default_rng(8)
    words = np.minimum(rng.zipf(1.3, 4000), VOCABULARY - 1)
    lines = [words[start : start + 9] for start in range(0, 450, 9)]
    return ids_of(np.concatenate([lines[i] for i in rng.integers(0, len(lines), 90)]))


# What they are


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_a_scorer_with_exact_chances(name):
    mark = PROFILES[name](**SETTINGS[name], key_id="theirs")
    assert isinstance(mark, Scorer)
    assert (mark.name, mark.key_id) == (name, "theirs")
    assert mark.null.min() >= 0
    assert mark.null.sum() == pytest.approx(1, abs=1e-12)
    assert mark.null[-1] > 0
    assert mark.scores(np.empty((0, mark.width), np.uint32), np.empty(0, np.uint32)).shape == (0,)
    assert all(setting in describe()[name] for setting in signature(PROFILES[name]).parameters if setting != "key_id")


@pytest.mark.parametrize("name", UNDER_A_KEY)
def test_scores_have_the_chances_they_say(name, rng):
    mark = UNDER_A_KEY[name](rng)
    count = 40_000 if name != "hf-kgw selfhash" else 4_000
    scores = mark.scores(
        rng.integers(1, VOCABULARY, (count, mark.width), dtype=np.uint32),
        rng.integers(0, VOCABULARY, count, dtype=np.uint32),
    )
    scores = scores[scores >= 0]
    observed = np.bincount(scores, minlength=len(mark.null)) / len(scores)
    excess = np.abs(np.cumsum(observed) - np.cumsum(mark.null)).max()
    assert 2 * smirnov_tail(float(excess), len(scores)) > 1e-4


@pytest.mark.parametrize("name", UNDER_A_KEY)
def test_p_values_hold_over_the_key_in_a_repetitive_text(name, rng, repetitive):
    marks = [UNDER_A_KEY[name](rng) for _ in range(60 if name in ("hf-kgw selfhash", "vllm-dual-gumbel") else 200)]
    seen = occurrences(repetitive, marks[0].width, marks[0].once)
    assert len(seen) < 0.7 * len(repetitive)
    p = np.sort(
        [10 ** evidence(mark, seen, Weights(int(seen.positions.max()) + 1), scan=False).log10_whole for mark in marks]
    )
    excess = (np.arange(1, len(p) + 1) / len(p) - p).max()
    assert smirnov_tail(float(excess), len(p)) > 1e-3


# transformers: green lists


@pytest.mark.parametrize("case", VECTORS["hf-kgw"], ids=lambda case: "-".join(map(str, case["settings"].values())))
def test_green_lists_are_those_of_the_vectors(case):
    mark = HuggingFaceGreenList(**case["settings"])
    assert "".join(map(str, mark.scores(ids_of(case["windows"]), ids_of(case["tokens"])))) == case["green"]


def written(step, logits_of, prompt, count, torch):
    """Ids drawn after a prompt by a processor of transformers."""
    torch.manual_seed(3)
    ids = torch.tensor([prompt])
    for _ in range(count):
        chances = torch.softmax(step(ids, logits_of()), -1)
        ids = torch.cat([ids, torch.multinomial(chances, 1)], 1)
    return ids[0].tolist()


@pytest.mark.parametrize(
    ("scheme", "width", "count"), [("lefthash", 1, 250), ("selfhash", 1, 250), ("selfhash", 4, 200)]
)
def test_green_lists_of_transformers_are_found(scheme, width, count, torch, transformers, rng):
    settings = {"hashing_key": 15_485_863, "seeding_scheme": scheme, "context_width": width}
    config = transformers.WatermarkingConfig(**settings, bias=4.0)
    processor = config.construct_processor(VOCABULARY, "cpu")
    ids = written(processor, lambda: 2 * torch.randn(1, VOCABULARY), [5, 6, 7, 8], count, torch)
    mark = HuggingFaceGreenList(VOCABULARY, **settings)
    assert detect(ids, [mark]).p_value < 1e-12
    assert not detect(ids, [HuggingFaceGreenList(VOCABULARY, **settings | {"hashing_key": 99})]).detected
    assert not detect(rng.integers(1, VOCABULARY, count), [mark]).detected

    seen = occurrences(ids_of(ids), mark.width, "pair")
    context = np.column_stack([seen.windows[:, mark.width - mark.neighbours :], seen.tokens])
    told = [
        int(row[-1]) in processor._get_greenlist_ids(torch.tensor(row if scheme == "selfhash" else row[:-1]))
        for row in context.astype(np.int64)
    ]
    scores = mark.scores(seen.windows, seen.tokens)
    counted = scores >= 0
    assert counted.mean() > 0.3
    np.testing.assert_array_equal(scores[counted], np.array(told)[counted])


def test_green_tokens_are_as_many_as_the_detector_of_transformers_counts(torch, transformers, repetitive):
    ids = repetitive[:250]
    config = transformers.WatermarkingConfig()
    model = transformers.PretrainedConfig(vocab_size=VOCABULARY, bos_token_id=VOCABULARY)
    theirs = transformers.WatermarkDetector(model, "cpu", config, ignore_repeated_ngrams=True)
    answer = theirs(torch.tensor(ids[None].astype(np.int64)), return_dict=True)
    mark = HuggingFaceGreenList(VOCABULARY)
    seen = occurrences(ids, 1, "pair")
    scores = mark.scores(seen.windows, seen.tokens)
    assert (answer.num_tokens_scored, answer.num_green_tokens) == (len(scores), scores.sum())


def test_what_no_key_decides_is_no_evidence():
    mark = HuggingFaceGreenList(VOCABULARY)
    # After token 0; a token that the model does not have; a pair that came before.
    scores = mark.scores(ids_of([[0], [5], [5], [5]]), ids_of([3, VOCABULARY, 3, 3]))
    assert scores.tolist()[:2] == [-1, -1]
    assert scores[2] >= 0
    assert scores[3] == -1
    # One neighbour gives the seed in both windows, or not: the same token counts as often as there are seeds.
    mark = HuggingFaceGreenList(VOCABULARY, seeding_scheme="selfhash", context_width=3)
    windows, tokens = ids_of([[1, 2], [3, 2], [1, 3], [2, 1]]), ids_of([9] * 4)
    assert (mark.scores(windows, tokens) >= 0).sum() == len(set(mark.seeds(windows, tokens).tolist()))


# transformers: tournaments


@pytest.mark.parametrize("case", VECTORS["hf-synthid"], ids=lambda case: str(case["settings"]["sampling_table_size"]))
def test_g_values_are_those_of_the_vectors(case):
    mark = HuggingFaceSynthID(**case["settings"])
    ngrams = ids_of(case["ngrams"])
    assert mark.table.sum() == case["ones"]
    g_values = mark.g_values(mark.hashes(ngrams[:, :-1], ngrams[:, -1]))
    assert ["".join(map(str, row)) for row in g_values] == case["g"]
    np.testing.assert_array_equal(mark.scores(ngrams[:, :-1], ngrams[:, -1]), g_values @ mark.weights)


def test_tournaments_of_transformers_are_found(torch, transformers, rng):
    keys = rng.integers(0, 2**40, LAYERS).tolist()
    config = transformers.SynthIDTextWatermarkingConfig(ngram_len=3, keys=keys)
    processor = config.construct_processor(VOCABULARY, "cpu")
    ids = written(processor, lambda: 2 * torch.randn(1, VOCABULARY), [5], 150, torch)[1:]
    mark = HuggingFaceSynthID(keys, ngram_len=3)
    assert detect(ids, [mark]).p_value < 1e-20
    assert not detect(ids, [HuggingFaceSynthID(rng.integers(0, 2**40, LAYERS).tolist(), ngram_len=3)]).detected
    assert not detect(rng.integers(1, VOCABULARY, 150), [mark]).detected

    theirs = processor.compute_g_values(torch.tensor([ids]))[0].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(ids_of(ids), 3)
    np.testing.assert_array_equal(mark.g_values(mark.hashes(windows[:, :2], windows[:, 2])), theirs)


def test_what_the_weak_hash_cannot_tell_apart_counts_once():
    mark = HuggingFaceSynthID(range(LAYERS))
    windows = ids_of([[1, 2, 3, 4], [1 + 2**16, 2, 3, 4], [1, 2, 3, 5]])
    scores = mark.scores(windows, ids_of([7, 7 + 2**17, 7]))
    assert scores[1] == -1
    assert (scores[[0, 2]] >= 0).all()


# vLLM


def test_words_are_those_of_vllm():
    known = VECTORS["vllm-gumbel"]
    mark = VllmGumbel(**known["settings"])
    for window, words in zip(known["windows"], known["words"], strict=True):
        windows = ids_of([window] * len(words))
        np.testing.assert_array_equal(mark.words(windows, ids_of(known["tokens"])), words)


def philox_of_one(counter, key):
    """Philox4x32-10 in plain integers: an implementation of its own, from the paper."""
    for step in range(10):
        k0, k1 = key[0] + step * 0x9E3779B9 & MASK, key[1] + step * 0xBB67AE85 & MASK
        first, second = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [second >> 32 ^ counter[1] ^ k0, second & MASK, first >> 32 ^ counter[3] ^ k1, first & MASK]
    return counter


def word_of_one(key, window, token):
    """vLLM's word, from its description of the mapping."""
    halves = key & MASK, key >> 32
    state = [0x574D4358, len(window), 0, 0]
    for offset in range(0, len(window), 4):
        block = [window[i] if i < len(window) else MASK - i + offset for i in range(offset, offset + 4)]
        state = philox_of_one([a ^ b for a, b in zip(state, block, strict=True)], (halves[0] ^ offset, halves[1]))
    return philox_of_one([token >> 2, *state[:3]], (halves[0] ^ state[3], halves[1] ^ 0x574D544B))[token & 3]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 11])
def test_words_of_any_width_follow_the_description(width, rng):
    key = int(rng.integers(2**63)) * 2 + 1
    windows = rng.integers(0, 2**32, (6, width), dtype=np.uint32)
    windows[0] = MASK  # before the first token
    tokens = rng.integers(0, 2**32, 6, dtype=np.uint32)
    expected = [word_of_one(key, row, token) for row, token in zip(windows.tolist(), tokens.tolist(), strict=True)]
    assert VllmGumbel(key, width).words(windows, tokens).tolist() == expected


def drawn(mark, chances, words, count, rng):
    """Ids chosen by the greatest u ** (1 / p), as the engines do; ``words`` gives those of the whole vocabulary."""
    ids = rng.integers(0, VOCABULARY, mark.width).tolist()
    for _ in range(count):
        u = (words(np.tile(ids_of(ids[-mark.width :]), (VOCABULARY, 1))) + 0.5) / 2**32
        ids.append(int(np.argmax(np.log(u) / chances())))
    return ids


def some_chances(rng):
    return lambda: np.exp(2 * rng.standard_normal(VOCABULARY))


def test_gumbel_of_vllm_is_found(rng):
    mark, vocabulary = VllmGumbel(42), np.arange(VOCABULARY, dtype=np.uint32)
    ids = drawn(mark, some_chances(rng), lambda windows: mark.words(windows, vocabulary), 100, rng)
    assert detect(ids, [mark]).p_value < 1e-12
    assert not detect(ids, [VllmGumbel(43)]).detected


def test_dual_keys_of_vllm_are_found(rng):
    single = [VllmGumbel(derived_key(42, domain)) for domain in (b"key_a", b"key_b")]
    assert derived_key(42, b"key_a") == int(sha256(b"key_a" + bytes(7) + b"\x2a").hexdigest()[:16], 16)
    mark, vocabulary = VllmDualGumbel(42, alpha=0.2), np.arange(VOCABULARY, dtype=np.uint32)

    def words(windows):
        return single[int(rng.random() < 0.2)].words(windows, vocabulary)

    ids = ids_of(drawn(mark, some_chances(rng), words, 100, rng))
    assert detect(ids, [mark]).p_value < 1e-12
    assert not detect(ids, [VllmDualGumbel(43)]).detected
    seen = occurrences(ids, 4, "context")
    both = [each.scores(seen.windows, seen.tokens) for each in single]
    np.testing.assert_array_equal(mark.scores(seen.windows, seen.tokens), 4 * both[0] + both[1])


@pytest.mark.parametrize("alpha", [0, 0.1, 0.25, 0.5, 1])
def test_chances_under_two_keys_are_those_of_the_weighted_sum(alpha):
    mark, null = VllmDualGumbel(42, alpha=alpha), gumbel_levels().null
    expected = np.zeros(mark.null.size)
    scores = np.add.outer(*(weight * np.arange(null.size) for weight in mark.weights))
    np.add.at(expected, scores, np.outer(null, null))
    np.testing.assert_allclose(mark.null, expected, rtol=1e-12)


# SGLang


def test_hashes_are_those_of_sglang():
    known = VECTORS["sglang-gumbel"]
    tokens = ids_of(known["tokens"])
    for row, settings in enumerate(known["settings"]):
        mark = SglangGumbel(**settings)
        contexts = mark.context_hashes(ids_of(known["windows"][row : row + 1]))
        assert contexts.tolist() == [known["contexts"][row]]
        assert mark.words(contexts, tokens).tolist() == known["words"][row]
        # The coin of each context says which of two keys is its own.
        second = known["second_keys"][row]
        chosen = mark if known["first_key"][row] else SglangGumbel(second)
        both = SglangGumbel(settings["key"], second)
        assert both.words(contexts, tokens).tolist() == chosen.words(contexts, tokens).tolist()


def test_text_of_sglang_is_found():
    known = VECTORS["sglang-gumbel"]
    ids = known["prompt"] + known["marked"]
    found = detect(ids, [SglangGumbel("0123456789abcdef")], prompt=len(known["prompt"]))
    assert found.scored == 32
    assert found.p_value < 1e-28
    assert found.method == "text-sglang-gumbel"
    assert not detect(ids, [SglangGumbel("deadbeef")]).detected


def test_dual_keys_of_sglang_are_found(rng):
    mark, vocabulary = SglangGumbel("12ab", "0xCD34", 0.3), np.arange(VOCABULARY, dtype=np.uint32)
    ids = drawn(mark, some_chances(rng), lambda windows: mark.words(mark.context_hashes(windows), vocabulary), 100, rng)
    assert detect(ids, [mark]).p_value < 1e-12
    alone = detect(ids, [SglangGumbel("cd34")])
    assert -math.inf < alone.log10_p_value < -1
    assert not detect(ids, [SglangGumbel("12ab", "0xCD35", 0.7)]).log10_p_value < -30


def test_contexts_of_one_hash_count_once():
    mark = SglangGumbel("ab", context_window=2)
    windows = ids_of(VECTORS["sglang-gumbel"]["colliding"])
    assert len(set(mark.context_hashes(windows).tolist())) == 1
    scores = mark.scores(windows, ids_of([17, 17]))
    assert scores[0] >= 0
    assert scores[1] == -1


# Settings


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hf-kgw", {"device": "cuda"}),
        ("hf-kgw", {"seeding_scheme": "minhash"}),
        ("hf-kgw", {"greenlist_ratio": 1.0}),
        ("hf-kgw", {"vocab_size": 3}),
        ("hf-kgw", {"vocab_size": 2**31}),
        ("hf-kgw", {"hashing_key": 2**64}),
        ("hf-kgw", {"seeding_scheme": "selfhash", "context_width": 0}),
        ("hf-synthid", {"keys": []}),
        ("hf-synthid", {"keys": [2**63]}),
        ("hf-synthid", {"ngram_len": 1}),
        ("hf-synthid", {"sampling_table_size": 1}),
        ("sglang-gumbel", {"key": "xyz"}),
        ("sglang-gumbel", {"key": "0" * 17}),
        ("sglang-gumbel", {"key_b": ""}),
        ("sglang-gumbel", {"mixing_probability": 1.0}),
        ("vllm-gumbel", {"key": -1}),
        ("vllm-gumbel", {"key": True}),
        ("vllm-gumbel", {"context_width": 0}),
        ("vllm-dual-gumbel", {"key": 2**64}),
        ("vllm-dual-gumbel", {"alpha": 1.5}),
    ],
)
def test_settings_that_no_engine_takes_are_refused(name, settings):
    with pytest.raises(MethodError):
        PROFILES[name](**SETTINGS[name] | settings)
