"""The small language model: exact probabilities, entropies and logits, the same every time; a lossless vocabulary."""

import hashlib
import inspect
import math
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markai.errors import MissingExtraError
from markai.text import ngram
from markai.text.ngram import TEMPERATURE, NGramModel, corpus, sampler, small_model, train_tokenizer

VOCAB_SIZE = 12
# A Markov chain with three tokens that never come: 9, 10 and 11.
TOY = np.cumsum(np.random.default_rng(3).integers(0, 3, 300)) % 9
TEXT = "Don't *trust* your eyes: 말은 쉽다, 知之為知之 - e\u0301le\u0301gance, \U0001f468\u200d\U0001f469.\n\n \t x\x00"


@pytest.fixture(scope="module")
def toy():
    return NGramModel.train(TOY, VOCAB_SIZE)


@pytest.fixture(scope="module")
def small():
    return small_model()


def witten_bell(ids, vocab_size, context):
    """The distribution after a context, from the definition."""
    follows = defaultdict(Counter)
    for place, token in enumerate(ids):
        for length in range(min(place, len(context)) + 1):
            follows[tuple(ids[place - length : place])][token] += 1
    probabilities = np.full(vocab_size, 1 / vocab_size)
    for length in range(len(context) + 1):
        seen = follows[tuple(context[len(context) - length :])]
        counts = np.array([seen[token] for token in range(vocab_size)])
        if len(seen):
            probabilities = (counts + len(seen) * probabilities) / (counts.sum() + len(seen))
    return probabilities


def entropy(probabilities, temperature=1.0):
    tempered = probabilities ** (1 / temperature)
    tempered /= tempered.sum()
    return float(-(tempered * np.log(tempered)).sum())


# Probabilities


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_probabilities_are_those_of_the_definition(order):
    model = NGramModel.train(TOY, VOCAB_SIZE, order)
    text = [*TOY[40:60].tolist(), 10, 3, 3, 3, 11]
    for place in range(len(text) + 1):
        before = text[:place]
        expected = witten_bell(TOY.tolist(), VOCAB_SIZE, before[max(0, place + 1 - order) :])
        found = np.exp(model.logits(before))
        assert found.dtype == np.float32
        assert found == pytest.approx(expected, rel=1e-5)
        assert found.sum() == pytest.approx(1, abs=1e-6)
        if place < len(text):
            assert model.log_probabilities(text)[place] == pytest.approx(math.log(expected[text[place]]), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.45, 1.0, 2.0])
def test_entropies_and_probabilities_are_those_of_the_logits(toy, temperature):
    text = [*TOY[40:60].tolist(), 10, 3, 3, 3, 11, 2]
    expected = [entropy(np.exp(np.float64(toy.logits(text[:place]))), temperature) for place in range(len(text))]
    assert toy.entropies(text, temperature) == pytest.approx(expected, rel=1e-5)
    for place, token in enumerate(text):
        logits = np.float64(toy.logits(text[:place], temperature))
        expected_log = logits[token] - np.log(np.exp(logits).sum())
        assert toy.log_probabilities(text, temperature)[place] == pytest.approx(expected_log, rel=1e-4, abs=1e-6)
    logits = np.float64(toy.logits(text, temperature))
    assert entropy(np.exp(logits)) == pytest.approx(entropy(np.exp(np.float64(toy.logits(text))), temperature))


def test_perplexity_is_the_mean_over_the_text(toy):
    assert toy.perplexity(TOY) == pytest.approx(math.exp(-toy.log_probabilities(TOY).mean()))
    assert toy.perplexity(TOY) < NGramModel.train(TOY, VOCAB_SIZE, order=1).perplexity(TOY)
    assert NGramModel.train([0], 1).perplexity([0, 0]) == 1


def test_entropies_hold_for_what_is_nearly_certain(small):
    ids = small.tokenizer.encode("This is a list of all the names that are used in the program. " * 8).ids
    for temperature in (ngram.COLDEST, 0.1, 1.0):
        found = small.model.entropies(ids, temperature)
        assert np.isfinite(found).all()
        assert found.min() > -1e-12


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_any_text_makes_a_model(ids, order):
    model = NGramModel.train(ids, 5, order)
    assert np.exp(model.logits(ids)).sum() == pytest.approx(1, abs=1e-5)
    assert model.entropies(ids).shape == (len(ids),)
    assert model.perplexity(ids) < 5 * len(ids)


# Writing


def test_a_generator_draws_from_the_logits(toy):
    rng, draws = np.random.default_rng(0), 20_000
    logits = toy.logits([3, 4])
    choose = sampler(rng)
    drawn = np.bincount([choose(np.empty(0, np.uint32), logits) for _ in range(draws)], minlength=VOCAB_SIZE) / draws
    assert drawn == pytest.approx(np.exp(logits), abs=4 * 0.5 / math.sqrt(draws))


def test_choose_sees_the_prompt_and_decides(toy):
    seen = []

    def choose(ids, logits):
        seen.append((ids.tolist(), logits))
        return int(logits.argmax())

    written = toy.generate([3, 4], 3, choose, temperature=0.5)
    assert written.dtype == np.uint32
    assert [ids for ids, _ in seen] == [[3, 4], [3, 4, written[0]], [3, 4, *written[:2]]]
    for ids, logits in seen:
        assert np.array_equal(logits, toy.logits(ids, 0.5))


def test_the_same_seed_writes_the_same(small):
    prompt = small.tokenizer.encode("The value").ids
    first, again, other = (
        small.model.generate(prompt, 50, np.random.default_rng(seed), TEMPERATURE).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other
    assert small.model.generate([], 0, np.random.default_rng(0)).shape == (0,)


def test_the_temperature_writes_with_the_entropy_that_it_promises(small):
    """1.3 nats a token; the standard error over these 30 texts is 0.02."""
    means = []
    for seed in range(30):
        written = small.model.generate([], 200, np.random.default_rng(seed), TEMPERATURE)
        means.append(small.model.entropies(written, TEMPERATURE)[20:].mean())
    assert np.mean(means) == pytest.approx(1.3, abs=0.15)


# The vocabulary and the corpus


def test_the_vocabulary_loses_nothing(small):
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x3000 + 0xE000), 0x1F600, 0x10FFFF]))
    for text in (TEXT, TEXT[::-1], everything, "\r\n" * 5, ""):
        assert small.tokenizer.decode(small.tokenizer.encode(text).ids, skip_special_tokens=False) == text
    assert small.tokenizer.get_vocab_size() == small.model.vocab_size == 4096


def test_the_vocabulary_loses_nothing_of_other_texts(small, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from text_corpora import NAMES, adversarial

    for name in NAMES:
        text = adversarial(name)[:20_000]
        ids = small.tokenizer.encode(text).ids
        assert small.tokenizer.decode(ids, skip_special_tokens=False) == text, name
        assert np.isfinite(small.model.entropies(ids, TEMPERATURE)).all()


def test_encoding_in_parts_changes_nothing(small):
    for text in (corpus()[:200_000], "\n\n".join([TEXT, "", " a", "\n"] * 200)):
        assert ngram._encoded(small.tokenizer, text).tolist() == small.tokenizer.encode(text).ids


def fingerprint(language):
    parts = corpus().encode(), language.tokenizer.to_str().encode(), language.model.logits([5, 6]).tobytes()
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_another_process_trains_the_same_and_imports_nothing_odd(small):
    code = f"""if True:
        import hashlib, sys
        from markai.text.ngram import corpus, small_model
        before = set(sys.modules)
        corpus()
        new = set(sys.modules) - before
        {inspect.getsource(fingerprint).replace(chr(10), chr(10) + " " * 8)}
        print(fingerprint(small_model()), *new)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    theirs, *new = done.stdout.split()
    assert theirs == fingerprint(small)
    assert {name.split(".")[0] for name in new} <= {"pydoc_data"}


def test_it_is_trained_once(small):
    assert small_model() is small
    assert small_model("Another text.") is not small


def test_the_corpus_is_prose_that_stands_there_once():
    paragraphs = corpus().split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs) > 5000
    assert all(text == " ".join(text.split()) and text[0].isupper() and text[-1] in ".!?" for text in paragraphs)


def test_files_and_folders_are_read_as_they_are(tmp_path):
    (tmp_path / "b.txt").write_text("Zweite\n", "utf-8")
    (tmp_path / "a.txt").write_text("漢字", "utf-8")
    (tmp_path / "c.md").write_text("No.")
    assert corpus(tmp_path) == "漢字\n\nZweite\n"
    assert corpus(tmp_path / "c.md", str(tmp_path / "a.txt")) == "No.\n\n漢字"
    with pytest.raises(FileNotFoundError):
        corpus(tmp_path / "d.txt")


# Refusals


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'markai\[text\]'"):
        train_tokenizer("text")


def test_what_makes_no_sense_is_refused(toy):
    for wrong in (
        lambda: NGramModel.train([], 5),
        lambda: NGramModel.train([1], 5, order=0),
        lambda: NGramModel.train([5], 5),
        lambda: toy.logits([VOCAB_SIZE]),
        lambda: toy.logits([1], 0),
        lambda: toy.entropies([1], float("nan")),
        lambda: toy.perplexity([]),
        lambda: toy.generate([], 1, lambda _ids, logits: len(logits)),
        lambda: toy.generate([], 1, lambda _ids, _logits: -1),
        lambda: train_tokenizer("text", 255),
        lambda: small_model(""),
    ):
        with pytest.raises(ValueError, match=" - "):
            wrong()
    with pytest.raises(TypeError):
        toy.logits([0.5])
