"""Marks in text, written and read again: every scheme on a toy model, payloads, repetitions, and formats of old."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markai
from markai import Key, KeyRing
from markai.errors import KeyFileError, MethodError, PayloadError
from markai.text import TextMark, WordMark
from markai.text.contexts import met_before, occurrences
from markai.text.prf import LANE_PRESENCE, Dealer
from markai.text.schemes import Bias, Gumbel, Tournament

VOCABULARY = 500
VECTORS = Path(__file__).parent / "vectors" / "text_marks.json"
KINDS = [
    ("bias", {}),
    ("bias", {"width": 1, "gamma": 0.5}),
    ("bias", {"hashing": "self", "width": 4}),
    ("gumbel", {}),
    ("tournament", {}),
]
NAMES = [f"{scheme} {parameters}" for scheme, parameters in KINDS]


def keys(n, purpose=0):
    return [Key(np.random.default_rng([purpose, i]).bytes(32)) for i in range(n)]


def draw(logits, rng):
    """Sample from logits (v,)."""
    chances = np.exp(logits - logits.max(), dtype=np.float64)
    return int(rng.choice(len(chances), p=chances / chances.sum()))


def write(mark, length, seed=0, scale=1.5, prompt=(1, 2, 3, 4)):
    """Ids of a toy model with random logits at each step: 3.9 nats at scale 1.5 and 500 tokens."""
    rng = np.random.default_rng(seed)
    ids = list(prompt)
    for _ in range(length):
        logits = rng.normal(0, scale, VOCABULARY).astype(np.float32)
        ids.append(draw(mark.step(ids, logits) if mark else logits, rng))
    return ids


@pytest.mark.parametrize(("scheme", "parameters"), KINDS, ids=NAMES)
def test_what_is_written_is_read_with_the_right_key_only(key, scheme, parameters):
    mark = TextMark(key, scheme, vocab_size=VOCABULARY, **parameters)
    ids = write(mark, 120)
    found = mark.detect(ids, prompt=4)
    assert found.detected
    assert (found.method, found.key_id, found.payload) == (f"text-{scheme}", key.id, None)
    assert found.log10_p_value < -8
    assert (found.tokens, found.verdict) == (124, "present")
    assert found.segments[0].start <= 20
    assert found.segments[-1].end >= 110
    other = TextMark(Key(bytes(32)), scheme, **parameters).detect(ids, prompt=4)
    assert not other.detected
    assert (other.method, other.key_id, other.segments) == (None, None, ())
    assert not mark.detect(write(None, 120), prompt=4)


@pytest.mark.parametrize("scheme", ["gumbel", "tournament", "bias"])
@pytest.mark.parametrize("payload", [b"\0", b"ok", b"abc", b"\xff\0\x80\x01"])
def test_payloads(key, scheme, payload):
    strong = {"delta": 4.0} if scheme == "bias" else {}
    ids = write(TextMark(key, scheme, payload=payload, **strong), 400, scale=2.0)
    found = TextMark(key, scheme, payload=True, **strong).detect(ids, prompt=4)
    assert found.payload == payload
    assert found.detected
    other = TextMark(Key(bytes(32)), scheme, payload=True).detect(ids, prompt=4)
    assert (other.payload, other.detected) == (None, False)
    # A mark without a message is dealt from another lane: neither is mistaken for the other.
    assert not TextMark(key, scheme, width=2).detect(ids, prompt=4)
    plain = write(TextMark(key, scheme, width=2), 200)
    assert TextMark(key, scheme, payload=True).detect(plain, prompt=4).payload is None


def test_an_edited_payload_is_right_or_absent(key):
    mark = TextMark(key, "gumbel", payload=b"acme")
    ids = np.array(write(mark, 400))
    rng = np.random.default_rng(3)
    seen = set()
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        hit = rng.random(len(ids)) < share
        found = mark.detect(np.where(hit, rng.integers(0, VOCABULARY, len(ids)), ids), prompt=4)
        seen.add(found.payload)
    assert seen == {b"acme", None}


@pytest.mark.parametrize("scheme", ["gumbel", "tournament"])
def test_over_keys_the_sampling_schemes_draw_as_the_model_would(scheme):
    """Each token as often as its chance: chi-square over 4,000 keys, with 7 tokens, once with a payload."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, 8).astype(np.float32)
    logits[3] = -np.inf
    chances = np.exp(logits) / np.exp(logits).sum()
    for payload in (None, b"x"):
        counts = np.zeros(8)
        for i, each in enumerate(keys(4000)):
            row = TextMark(each, scheme, payload=payload).step([5, 6, 7, 8], logits)
            counts[draw(row, np.random.default_rng(i))] += 1
        assert counts[3] == 0
        expected = 4000 * np.delete(chances, 3)
        assert ((np.delete(counts, 3) - expected) ** 2 / expected).sum() < 22.5  # p = 0.001 with 6 degrees


def test_bias_raises_a_share_gamma_by_delta(key):
    for hashing, width in (("left", 2), ("self", 4)):
        mark = TextMark(key, "bias", gamma=0.25, delta=1.5, hashing=hashing, width=width)
        logits = np.random.default_rng(0).normal(0, 1, (3, 20_000)).astype(np.float32)
        before = logits.copy()
        changed = mark.step(np.arange(15).reshape(3, 5), logits)
        assert np.array_equal(logits, before)
        raised = changed != before
        assert np.allclose((changed - before)[raised], 1.5, atol=1e-5)
        assert raised.mean(1) == pytest.approx(0.25, abs=0.01)
        assert not np.array_equal(raised[0], raised[1])


def test_repeated_windows_are_left_to_the_sampler(key):
    logits = np.random.default_rng(0).normal(0, 1, (2, 50)).astype(np.float32)
    ids = np.array([[1, 2, 3, 4, 9, 1, 2, 3, 4], [5, 2, 3, 4, 9, 1, 2, 3, 4]])
    for scheme in ("gumbel", "tournament"):
        changed = TextMark(key, scheme, width=4).step(ids, logits)
        assert np.array_equal(changed[0], logits[0])
        assert not np.array_equal(changed[1], logits[1])
    assert np.isfinite(TextMark(key, "gumbel").step(ids, logits)[1]).sum() == 1


def test_a_step_keeps_nothing(key):
    mark = TextMark(key, "gumbel")
    rng = np.random.default_rng(2)
    ids, logits = rng.integers(0, 50, (4, 9)), rng.normal(0, 1, (4, 50)).astype(np.float32)
    once = mark.step(ids, logits)
    order = [2, 0, 3, 1]
    assert np.array_equal(mark.step(ids[order], logits[order]), once[order])
    assert np.array_equal(mark.step(ids[1], logits[1]), once[1])  # one row without a batch axis


def test_short_and_empty_contexts(key):
    for scheme, parameters in KINDS:
        mark = TextMark(key, scheme, **parameters)
        for ids in (np.empty((1, 0), int), [[3]], [[1, 2, 3, 4, 5, 6]]):
            assert mark.step(np.array(ids), np.zeros((1, 30), np.float32)).shape == (1, 30)
        for text in ([], [1], [1, 2, 3]):
            found = mark.detect(text)
            assert found.verdict == "insufficient"
            assert found.p_value >= 0.25
            assert "tokens can be scored" in found.reasons[0]


def test_nothing_to_choose_from_stays_so(key):
    for scheme in ("gumbel", "tournament"):
        row = TextMark(key, scheme).step([1, 2, 3, 4], np.full(10, -np.inf, np.float32))
        assert np.isneginf(row).all()
        only = np.full(10, -np.inf, np.float32)
        only[7] = -3
        assert np.flatnonzero(np.isfinite(TextMark(key, scheme).step([1, 2, 3, 4], only))).tolist() == [7]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda _key: TextMark(b"x" * 32), KeyFileError, "one markai.Key"),
        (lambda key: TextMark(key, "unigram"), MethodError, "choose from bias, gumbel, tournament"),
        (lambda key: TextMark(key, "gumbel", gamma=0.5), MethodError, "does not take gamma"),
        (lambda key: TextMark(key, "bias", gamma=1.5), MethodError, "share of green"),
        (lambda key: TextMark(key, "bias", delta=-1.0), MethodError, "delta"),
        (lambda key: TextMark(key, "bias", hashing="right"), MethodError, "left or self"),
        (lambda key: TextMark(key, "gumbel", width=0), MethodError, "1 to 16"),
        (lambda key: TextMark(key, "tournament", layers=33), MethodError, "1 to 32 bits"),
        (lambda key: TextMark(key, payload=b"12345"), PayloadError, "1 to 4 bytes"),
        (lambda key: TextMark(key, payload="1"), PayloadError, "1 to 4 bytes"),
        (lambda key: TextMark(key, payload=True).step([1, 2], np.zeros(5)), MethodError, "no payload to write"),
        (lambda key: TextMark(key).step([1, 2], np.zeros((2, 5))), MethodError, "do not go together"),
        (lambda key: TextMark(key, vocab_size=9).step([1, 2], np.zeros(5)), MethodError, "vocab_size=9"),
        (lambda key: TextMark(key).detect("a text"), MethodError, "pass tokenizer="),
        (lambda key: TextMark(key).detect([1, 2], fpr=1.0), MethodError, "between 0 and 1"),
        (lambda key: TextMark(key).detect([1, 2], entropies=[1.0]), MethodError, "2 finite numbers"),
        (lambda key: TextMark(key).detect([1, 2], surprisals=[1.0, 1.0]), MethodError, "give both"),
        (lambda key: TextMark(key).detect([1.5, 2]), TypeError, "integers"),
        (lambda key: TextMark(key).detect([-1, 2]), ValueError, "padding"),
        (lambda key: TextMark(key).detect([[1, 2], [3, 4]]), ValueError, "one text at a time"),
        (lambda key: WordMark(key).choose([]), MethodError, "nothing to choose"),
        (lambda key: WordMark(key).write(lambda _so_far: 5), MethodError, "return the str"),
        (lambda key: WordMark(key).write(str, choices=1), MethodError, "out of range"),
        (lambda key: markai.detect("text", key, method="dwt-dct"), MethodError, "choose from text-bias"),
        (lambda key: markai.detect("text", key, method="text-gumbel"), MethodError, "tokenizer"),
        (lambda key: markai.detect("text", key, tokenizer=object()), MethodError, "is no tokenizer"),
        (lambda key: markai.detect("text", key, tokenizer="nothing.json"), MethodError, "no tokenizer.json"),
    ],
)
def test_errors_say_what_to_do(key, make, error, words):
    with pytest.raises(error, match=words):
        make(key)


# Keys and lanes


def test_schemes_and_widths_have_keys_of_their_own(key):
    window, token, lane = np.array([[7, 7, 7, 7]], np.uint32), np.array([3], np.uint32), np.zeros(1, np.uint32)
    kinds = [Gumbel(width=4), Tournament(width=4), Bias(width=4), Bias(width=4, hashing="self"), Gumbel(width=3)]
    dealers = [Dealer(each, kind) for each in (key, Key(bytes(32))) for kind in kinds]
    words = [d.words(d.states(window[:, -k.width :]), token, lane)[0] for d, k in zip(dealers, kinds * 2, strict=True)]
    assert len(set(words)) == len(words)


def test_bytes_and_places_spread_evenly(key):
    dealer = Dealer(key, Gumbel(width=2))
    states = dealer.states(np.random.default_rng(0).integers(0, 2**32 - 1, (6000, 2), np.uint32))
    counts = np.bincount(dealer.places(states, 12), minlength=12)
    assert ((counts - 500) ** 2 / 500).sum() < 31.3  # p = 0.001 with 11 degrees
    words = dealer.byte_words(states[:50], np.arange(50, dtype=np.uint32))
    assert words.shape == (50, 256)
    assert len(np.unique(words)) == words.size
    lane_7 = dealer.words(states[:50], np.arange(50, dtype=np.uint32), np.full(50, 1 + 7, np.uint32))
    assert np.array_equal(words[:, 7], lane_7)


# What counts once


@given(ids=st.lists(st.integers(0, 4), max_size=60), width=st.integers(1, 4), start=st.integers(0, 12))
def test_occurrences_are_the_first_of_their_kind(ids, width, start):
    for once in ("pair", "context"):
        seen, expected = set(), []
        for at in range(width, len(ids)):
            if at < start or 4 in ids[at - width : at + 1]:
                continue
            name = tuple(ids[at - width : at + (once == "pair")])
            if name not in seen:
                expected.append(at)
            seen.add(name)
        found = occurrences(np.array(ids, np.uint32), width, once, start, excluded={4})
        assert found.positions.tolist() == expected
        assert found.tokens.tolist() == [ids[at] for at in expected]
        assert found.windows.tolist() == [ids[at - width : at] for at in expected]


@given(ids=st.lists(st.integers(0, 2), max_size=30), width=st.integers(1, 4))
def test_met_before(ids, width):
    windows = [tuple(ids[at : at + width]) for at in range(len(ids) - width + 1)]
    expected = bool(windows) and windows[-1] in windows[:-1]
    assert met_before(np.array([ids], np.int64).reshape(1, -1), width).tolist() == [expected]


def test_a_chorus_counts_once(key):
    """A marked line repeated a hundred times has the evidence of one line; so has an unmarked one."""
    mark = TextMark(key, "bias", delta=10.0)
    line = write(mark, 12)[4:]
    once, often = mark.detect(line), mark.detect(line * 100)
    assert often.scored <= once.scored + mark.width  # and the pairs across the seam
    assert often.log10_p_value > -7
    unmarked = write(None, 12)[4:] * 100
    assert min(TextMark(each, "bias").detect(unmarked).log10_p_value for each in keys(60)) > -4


def test_padding_and_prompts_are_no_evidence(key):
    mark = TextMark(key, "gumbel")
    ids = write(mark, 60)
    bare = mark.detect(ids, prompt=4, scan=False)
    padded = mark.detect([499] * 40 + ids + [0] * 200, prompt=44, special={0, 499}, scan=False)
    assert padded.log10_p_value == pytest.approx(bare.log10_p_value, abs=1.5)  # 0 and 499 may occur in the text
    assert mark.detect(ids, prompt=30, scan=False).scored < bare.scored
    assert TextMark(Key(bytes(32)), "gumbel").detect([7] * 500).scored == 1


# Old marks are read forever


def test_vectors(key):
    """Texts that were written when the format was fixed."""
    for vector in json.loads(VECTORS.read_text()):
        payload = vector["payload"] and bytes.fromhex(vector["payload"])
        mark = TextMark(key, vector["scheme"], payload=payload, **vector["parameters"])
        found = mark.detect(vector["ids"], prompt=4)
        assert found.log10_p_value == pytest.approx(vector["log10_p_value"], abs=1e-6), vector["scheme"]
        assert found.payload == payload
        logits = np.linspace(0, 2, VOCABULARY, dtype=np.float32)
        chosen = mark.step(vector["ids"][:8], logits)
        assert [int(np.argmax(chosen)), int(np.isfinite(chosen).sum())] == vector["step"]


def make_vectors():
    """Write the vectors; run by hand when a format is added, never to change one."""
    rows, made = [], Key(bytes(range(32)))
    for scheme, parameters in [*KINDS, ("gumbel", {"width": 2})]:
        payload = b"acme" if parameters == {"width": 2} else None
        mark = TextMark(made, scheme, payload=payload, **parameters)
        ids = write(mark, 300 if payload else 80)
        chosen = mark.step(ids[:8], np.linspace(0, 2, VOCABULARY, dtype=np.float32))
        rows.append(
            {
                "scheme": scheme,
                "parameters": parameters,
                "payload": payload and payload.hex(),
                "ids": ids,
                "log10_p_value": mark.detect(ids, prompt=4).log10_p_value,
                "step": [int(np.argmax(chosen)), int(np.isfinite(chosen).sum())],
            }
        )
    VECTORS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


# Through the public door


def letters(text):
    return [ord(each) for each in text]


def test_markai_detect_takes_texts(key):
    for scheme, payload in (("bias", None), ("gumbel", None), ("tournament", None), ("gumbel", b"acme")):
        ids = write(TextMark(key, scheme, payload=payload), 400 if payload else 150, scale=2.0)
        text = "".join(chr(each) for each in ids)
        found = markai.detect(text, KeyRing([Key(bytes(32)), key]), tokenizer=letters)
        assert (found.method, found.key_id, found.payload) == (f"text-{scheme}", key.id, payload)
        assert found.tests > 14
        assert not markai.detect(text, Key(bytes(32)), tokenizer=letters)
        assert not markai.detect(text, key)  # without a tokenizer only marks on words can be read


ODD_TEXTS = [
    *("", "\ud800 lone \udfff", "\0\0\0", "\u202e" * 300, "a" * 20_000),
    *("👩‍👩‍👧‍👦" * 50, "نص عربي " * 40, "한국어 글 " * 40),
]


def test_any_unicode_is_read(key):
    for text in ODD_TEXTS:
        assert not markai.detect(text, key)
        assert not markai.detect(text, key, tokenizer=lambda each: list(each.encode("utf-8", "replace")))


def test_a_row_for_json(key):
    row = json.loads(json.dumps(TextMark(key, "gumbel").detect(write(TextMark(key, "gumbel"), 60)).to_dict()))
    assert row["detected"] is True
    assert row["verdict"] == "present"
    assert row["segments"][0]["log10_p_value"] < -6
    assert {"tokens", "scored", "tests", "p_value", "method", "payload", "reasons"} <= set(row)


# Words


def test_words_are_marked_through_any_generator(key):
    vocabulary = [f"w{i}" for i in range(2000)]

    def generate(so_far):
        calls.append(so_far)
        return " " + " ".join(rng.choice(vocabulary, 5))

    rng, calls = np.random.default_rng(0), []
    mark = WordMark(key)
    text = mark.write(generate, prompt="Start:", pieces=40, choices=8)
    assert len(calls) == 320
    assert calls[0] == "Start:"
    assert calls[-1].startswith("Start: w")
    assert mark.detect(text).log10_p_value < -12
    assert markai.detect(text, key).method == "text-words"
    assert mark.detect(text.upper().replace(" ", ",\n  ")).log10_p_value == mark.detect(text).log10_p_value
    assert not mark.detect(" ".join(rng.choice(vocabulary, 200)))


def test_words_of_languages_without_spaces(key):
    rng = np.random.default_rng(1)
    characters = [chr(0x4E00 + i) for i in range(3000)]
    text = WordMark(key).write(lambda _so_far: "".join(rng.choice(characters, 8)), pieces=25, choices=16)
    assert WordMark(key).detect(text)


# Weights


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_weights_that_say_nothing_change_nothing(seed):
    rng = np.random.default_rng(seed)
    mark, ids = TextMark(Key(bytes(32)), "gumbel"), rng.integers(0, 99, 60)
    plain, weighted = mark.detect(ids), mark.detect(ids, entropies=np.full(60, 0.5), surprisals=np.zeros(60))
    assert weighted.log10_p_value == pytest.approx(plain.log10_p_value, abs=1e-9)


def test_weights_find_more_where_choice_is_rare(key):
    """Three tokens in four are the model's only choice."""
    rng = np.random.default_rng(5)
    mark, ids, entropies = TextMark(key, "gumbel"), [1, 2, 3, 4], [0.0] * 4
    for at in range(240):
        logits = rng.normal(0, 1.5, VOCABULARY).astype(np.float32)
        if at % 4:
            logits[rng.integers(VOCABULARY)] = 40
        chances = np.exp(logits - logits.max(), dtype=np.float64)
        chances /= chances.sum()
        entropies.append(float(-(chances * np.log(np.maximum(chances, 1e-300))).sum()))
        ids.append(draw(mark.step(ids, logits), rng))
    plain, weighted = mark.detect(ids, prompt=4), mark.detect(ids, prompt=4, entropies=entropies)
    assert weighted.log10_p_value < 1.3 * plain.log10_p_value < 0
    assert weighted.scored < plain.scored == 240
    assert mark.detect(ids, prompt=4, entropies=np.zeros(244)).verdict == "insufficient"


def test_lane_of_presence_is_the_format():
    assert LANE_PRESENCE == 0
    assert math.isclose(TextMark(Key(bytes(32)), "bias").null[1], 0.25)
