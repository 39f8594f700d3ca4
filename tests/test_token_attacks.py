"""Edits of token ids: shares, uniform draws, refusals; what a real tokenizer makes of ids that it did not write."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markai import attacks
from markai.attacks import text
from markai.errors import MethodError

SAMPLE = "Don't *trust* your eyes: 말은 쉽다, 知之為知之 - e\u0301le\u0301gance, \U0001f468\u200d\U0001f469.\n"


def rng(seed=0):
    return np.random.default_rng(seed)


IDS = np.arange(20_000) % 500


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_the_share_of_ids_that_is_hit(share):
    margin = pytest.approx(share, abs=4 * (share * (1 - share) / len(IDS)) ** 0.5)
    assert (text.substitute_ids(IDS, share, 500, rng()) != IDS).mean() == margin
    assert 1 - len(text.delete_ids(IDS, share, rng())) / len(IDS) == margin
    assert len(text.insert_ids(IDS, share, 500, rng())) / len(IDS) - 1 == margin
    assert np.array_equal(text.truncate_ids(IDS, share), IDS[: round(share * len(IDS))])


def test_all_other_ids_are_as_likely():
    new = text.substitute_ids(np.full(100_000, 3), 1, 11, rng())
    assert np.bincount(new, minlength=11) == pytest.approx([0 if each == 3 else 10_000 for each in range(11)], rel=0.05)
    inserted = text.insert_ids(np.full(110_000, 11), 1, 12, rng())
    assert np.bincount(inserted)[:11] == pytest.approx([110_000 / 12] * 11, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30), st.floats(0, 1), st.integers(0, 99))
def test_any_ids(ids, share, seed):
    deleted = iter(ids)
    assert all(each in deleted for each in text.delete_ids(ids, share, rng(seed)).tolist())
    inserted = iter(text.insert_ids(ids, share, 41, rng(seed)).tolist())
    assert all(each in inserted for each in ids)
    substituted = text.substitute_ids(ids, share, 41, rng(seed))
    assert len(substituted) == len(ids)
    assert ((substituted >= 0) & (substituted < 41)).all()
    assert substituted.dtype == np.int64


def test_ids_are_never_changed_in_place():
    ids = np.arange(10, dtype=np.uint16)
    ids.flags.writeable = False
    for new in (
        text.substitute_ids(ids, 0, 70_000, rng()),
        text.delete_ids(ids, 0, rng()),
        text.insert_ids(ids, 0, 10, rng()),
        text.truncate_ids(ids, 1),
        text.copy_paste_ids(ids, 1, [0], rng()),
    ):
        assert np.array_equal(new, ids)
        assert new.flags.writeable
        assert not np.shares_memory(new, ids)


def test_pasted_ids_are_where_pasted_words_are():
    ids, host = np.arange(100, 130), np.arange(7)
    mixed = text.copy_paste_ids(ids, 0.5, host, rng(3), snippets=2)
    as_words = text.copy_paste(" ".join(map(str, ids)), 0.5, rng(3), 2, " ".join(map(str, host)))
    assert mixed.tolist() == [int(word) for word in as_words.split()]
    assert (mixed == ids).sum() == 15


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: text.truncate_ids([1.5], 0.5), "ids are integers"),
        (lambda: text.truncate_ids([[1, 2]], 0.5), "ids are integers"),
        (lambda: text.truncate_ids([-1], 0.5), "0 or more"),
        (lambda: text.truncate_ids([True], 0.5), "not bool"),
        (lambda: text.delete_ids([1], 1.1, rng()), "from 0 to 1"),
        (lambda: text.delete_ids([1], float("nan"), rng()), "from 0 to 1"),
        (lambda: text.insert_ids([5], 0.1, 5, rng()), "vocabulary of 5"),
        (lambda: text.substitute_ids([0], 0.1, 1, rng()), "vocabulary of 1"),
        (lambda: text.copy_paste_ids([1], 0.1, [], rng()), "host has no ids"),
        (lambda: text.retokenize([1], lambda _ids: b"a", list), "decode returned bytes"),
        (lambda: text.retokenize([1], lambda _ids: "a", str), "ids are integers"),
    ],
)
def test_ids_that_are_none(call, why):
    with pytest.raises(MethodError, match=why):
        call()


@pytest.fixture(scope="module")
def bpe():
    """A byte-level BPE of 400 tokens, trained on the sample and what the attacks say of themselves."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([SAMPLE, *map(inspect.getdoc, (attacks, text, np.ndarray))], trainer)
    return tokenizer


def test_retokenisation(bpe):
    def encode(content):
        return bpe.encode(content).ids

    ids = encode(SAMPLE)
    again = text.retokenize(ids, bpe.decode, encode)
    assert (again.ids.tolist(), again.changed) == (ids, 0)

    # A model may write " the" in letters: the same text, other ids.
    the = encode(" the")
    letters = [bpe.token_to_id(letter) for letter in "Ġthe"]
    assert len(the) == 1
    spelled = text.retokenize(ids + letters, bpe.decode, encode)
    assert bpe.decode(spelled.ids.tolist()) == f"{SAMPLE} the"
    assert spelled.ids.tolist() == ids + the
    assert spelled.changed == 4


def test_random_ids_are_seldom_what_the_tokenizer_would_write(bpe):
    def encode(content):
        return bpe.encode(content).ids

    letters = np.array([bpe.token_to_id(letter) for letter in "etaoinshr"])
    ids = letters[rng(1).integers(0, 9, 300)]
    first = text.retokenize(ids, bpe.decode, encode)
    assert 0 < first.changed <= 300
    assert len(first.ids) < 300
    second = text.retokenize(first.ids, bpe.decode, encode)
    assert second.changed == 0
    assert np.array_equal(second.ids, first.ids)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_changed_ids_are_those_outside_the_longest_common_subsequence(before, after):
    def longest(a, b):
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + longest(a[1:], b[1:])
        return max(longest(a[1:], b), longest(a, b[1:]))

    before, after = tuple(before[:7]), tuple(after[:7])
    changed = text.retokenize(before, lambda _ids: "", lambda _text: after).changed
    assert changed == len(before) - longest(before, after)
