"""What ``markai.detect`` does with a str: every kind of mark that markai writes, under every key of the ring."""

from collections.abc import Callable, Sequence
from typing import Any

from markai.errors import KeyFileError, MethodError
from markai.keys import Key, KeyRing
from markai.text.base import Scorer
from markai.text.detector import detect
from markai.text.mark import TextMark
from markai.text.result import TextDetection
from markai.text.tokens import encoded
from markai.text.words import WordMark, word_ids

Makers = dict[str, list[Callable[[Key], Scorer]]]

# With the parameters that TextMark has by default; marks with others are read by a TextMark like the one that wrote.
BY_TOKENS: Makers = {
    "text-bias": [lambda key: TextMark(key, "bias"), lambda key: TextMark(key, "bias", payload=True)],
    "text-gumbel": [lambda key: TextMark(key, "gumbel"), lambda key: TextMark(key, "gumbel", payload=True)],
    "text-tournament": [lambda key: TextMark(key, "tournament"), lambda key: TextMark(key, "tournament", payload=True)],
}
BY_WORDS: Makers = {"text-words": [WordMark]}


def search(
    text: Any,
    keys: Key | KeyRing | None,
    tokenizer: Any = None,
    fpr: float = 1e-6,
    method: str | None = None,
    others: Sequence[Scorer] = (),
) -> TextDetection:
    """Return the surest answer of all marks in a text: a str, or token ids (n,).

    Without a tokenizer only the mark on words can be read in a str; with ids only marks on tokens. ``others`` are
    further marks on tokens to look for, such as ``markai.text.profiles``; with some, ``keys`` may be None.

    >>> search("There is nothing in this text.", Key(bytes(32))).verdict
    'insufficient'

    Raises:
        KeyFileError: if there is nothing to look for.
        MethodError: if there is no such method, it needs a tokenizer, or the rate is out of range.
    """
    by_tokens = [*others, *_made(BY_TOKENS, keys, method)]
    by_words = _made(BY_WORDS, keys, method)
    if isinstance(text, str) and tokenizer is None and not (others or method in BY_TOKENS):
        by_tokens = []
    if not isinstance(text, str):
        by_words = []
    among = len(by_tokens) + len(by_words)
    if not among:
        raise KeyFileError("there is no mark to look for - give a key, or the profile of another's mark")
    found = []
    if by_tokens:
        ids, special = encoded(text, tokenizer)
        found.append(detect(ids, by_tokens, fpr, special=special, among=among))
    if by_words:
        found.append(detect(word_ids(text), by_words, fpr, among=among))
    return min(found, key=lambda each: each.log10_p_value)


def _made(makers: Makers, keys: Key | KeyRing | None, method: str | None) -> list[Scorer]:
    known = BY_TOKENS | BY_WORDS
    if method is not None and method not in known:
        raise MethodError(f"no method {method!r} for texts - choose from {', '.join(known)}")
    ring = () if keys is None else tuple(KeyRing.of(keys))
    return [make(key) for name in makers if method in (None, name) for make in makers[name] for key in ring]
