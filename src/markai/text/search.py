"""What ``markai.detect`` does with a str: every kind of mark that markai writes, under every key of the ring."""

from collections.abc import Callable
from typing import Any

from markai.errors import MethodError
from markai.keys import Key, KeyRing
from markai.text.base import Scorer
from markai.text.detector import detect
from markai.text.mark import TextMark
from markai.text.result import TextDetection
from markai.text.tokens import encoded
from markai.text.words import WordMark, word_ids

# With the parameters that TextMark has by default; marks with others are read by a TextMark like the one that wrote.
BY_TOKENS: dict[str, list[Callable[[Key], Scorer]]] = {
    "text-bias": [lambda key: TextMark(key, "bias"), lambda key: TextMark(key, "bias", payload=True)],
    "text-gumbel": [lambda key: TextMark(key, "gumbel"), lambda key: TextMark(key, "gumbel", payload=True)],
    "text-tournament": [lambda key: TextMark(key, "tournament"), lambda key: TextMark(key, "tournament", payload=True)],
}
BY_WORDS: dict[str, list[Callable[[Key], Scorer]]] = {"text-words": [WordMark]}


def search(
    text: str, keys: Key | KeyRing, tokenizer: Any = None, fpr: float = 1e-6, method: str | None = None
) -> TextDetection:
    """Return the surest answer of all marks; without a tokenizer only that on words can be read.

    >>> search("There is nothing in this text.", Key(bytes(32))).verdict
    'insufficient'

    Raises:
        MethodError: if there is no such method, it needs a tokenizer, or the rate is out of range.
    """
    ring = KeyRing.of(keys)
    known = BY_TOKENS | BY_WORDS
    if method is not None and method not in known:
        raise MethodError(f"no method {method!r} for texts - choose from {', '.join(known)}")
    wanted = [method] if method else [*known] if tokenizer is not None else [*BY_WORDS]
    groups = [
        [make(key) for name in wanted if name in table for make in table[name] for key in ring]
        for table in (BY_TOKENS, BY_WORDS)
    ]
    among = sum(map(len, groups))
    found = []
    if groups[0]:
        ids, special = encoded(text, tokenizer)
        found.append(detect(ids, groups[0], fpr, special=special, among=among))
    if groups[1]:
        found.append(detect(word_ids(text), groups[1], fpr, among=among))
    return min(found, key=lambda each: each.log10_p_value)
