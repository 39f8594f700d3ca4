"""Marks in texts, as an audit finds them: on words with a key alone, on tokens with the model's tokenizer."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from markai import Key
from markai.audit.examine import Examiner, Settings
from markai.audit.inputs import find
from markai.cli import cli
from markai.errors import MethodError
from markai.text import TextMark, WordMark
from markai.text.ngram import sampler, small_model

KEY = Key(bytes(range(32)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text with a mark on tokens, one with a mark on words, one without, the tokenizer and the key."""
    place = tmp_path_factory.mktemp("texts")
    tokenizer, model = small_model()
    draw, mark = sampler(np.random.default_rng(1)), TextMark(KEY, "gumbel", model.vocab_size)
    ids = model.generate(tokenizer.encode("The").ids, 200, lambda ids, logits: draw(ids, mark.step(ids, logits)))
    rng, words = np.random.default_rng(2), [f"word{i}" for i in range(500)]
    (place / "tokens.txt").write_text(tokenizer.decode(ids.tolist()), "utf-8", newline="")
    (place / "words.txt").write_text(WordMark(KEY).write(lambda _: " " + " ".join(rng.choice(words, 4)), pieces=50))
    (place / "plain.txt").write_text(" ".join(rng.choice(words, 300)))
    tokenizer.save(str(place / "tokenizer.json"))
    KEY.save(place / "my.key")
    return place


def methods(folder, **settings):
    examiner = Examiner(Settings(keys=(folder / "my.key",), **settings))
    rows = [examiner.examine(item) for item in find([str(folder / f"{n}.txt") for n in ("tokens", "words", "plain")])]
    examiner.close()
    return [(row["verdict"]["code"], row["watermark"] and row["watermark"]["method"]) for row in rows]


def test_marks_on_words_need_no_tokenizer(folder):
    assert methods(folder) == [("unknown", None), ("generated", "text-words"), ("unknown", None)]


def test_marks_on_tokens_need_one(folder):
    found = methods(folder, tokenizer=(folder / "tokenizer.json").read_bytes())
    assert found == [("generated", "text-gumbel"), ("generated", "text-words"), ("unknown", None)]
    with pytest.raises(MethodError, match=r"no tokenizer\.json"):
        Settings(tokenizer=b"{}").load_tokenizer()


def test_from_the_command_line(folder):
    arguments = [
        "--key",
        str(folder / "my.key"),
        "--tokenizer",
        str(folder / "tokenizer.json"),
        "--jobs",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(cli, ["audit", str(folder / "tokens.txt"), *arguments], catch_exceptions=False)
    row = json.loads(result.stdout.splitlines()[0])
    assert (row["watermark"]["method"], row["watermark"]["key_id"]) == ("text-gumbel", KEY.id)
