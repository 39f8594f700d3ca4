"""Chains: what happens to a text as a whole, as combinations of the other attacks."""

from markai.attacks.text.register import TEXTS, WORDS_HIT


@TEXTS.chain("edit", WORDS_HIT)
def edit(share: float) -> str:
    """Edit this share of the words, a quarter each way: replaced, left out, put in, exchanged."""
    return "+".join(f"{name}:{share / 4:g}" for name in ("substitute", "delete", "insert", "swap"))


@TEXTS.chain("publish")
def publish(_strength: float) -> str:
    """Paste into a word processor and a web page: no Markdown, typographic quotes, normalised, single spaces."""
    return "markdown+quotes+normalize+collapse"
