"""What happens to texts on their way: the same names, strengths and combinations as for pictures, from str to str.

>>> text = "The quick brown fox jumps over the lazy dog."
>>> apply("delete:0.3", text, seed=7)
'The quick jumps over the lazy dog.'
>>> apply("truncate:0.5+upper", text)
'THE QUICK BROWN FOX'
>>> apply("copy-paste:0.5", text, seed=7) != text
True

What needs a model is brought by the user, as a function from str to str or as the name of one:

>>> add("americanize", lambda text: text.replace("our", "or"))
>>> apply("americanize+lower", "Colour")
'color'

An attack with a dictionary of synonyms, or with a host of one's own, is the plain one with an argument:

>>> from functools import partial
>>> synonyms = {"quick": "fast", "dog": "hound"}
>>> run = partial(substitute, synonym=lambda word: synonyms.get(word, word))
>>> _ = attack("synonyms", WORDS_HIT, family="words")(run)
>>> apply("synonyms:1", text)
'The fast brown fox jumps over the lazy hound.'

The edits of token ids have no names: they take the size of the vocabulary, a tokenizer, or the ids of a host.
"""

# Imported for what they register, in the order in which names() lists them.
from markai.attacks.text import characters, words, excerpts, chains  # noqa: F401, I001
from markai.attacks.text.excerpts import copy_paste
from markai.attacks.text.ids import (
    Retokenized,
    copy_paste_ids,
    delete_ids,
    insert_ids,
    retokenize,
    substitute_ids,
    truncate_ids,
)
from markai.attacks.text.register import TEXTS, WORDS_HIT, WORDS_KEPT
from markai.attacks.text.rewriting import add, load, rewrite
from markai.attacks.text.words import substitute

attack, chain, apply = TEXTS.attack, TEXTS.chain, TEXTS.apply
names, parse, steps, traits = TEXTS.names, TEXTS.parse, TEXTS.steps, TEXTS.traits

__all__ = [
    "WORDS_HIT",
    "WORDS_KEPT",
    "Retokenized",
    "add",
    "apply",
    "attack",
    "chain",
    "copy_paste",
    "copy_paste_ids",
    "delete_ids",
    "insert_ids",
    "load",
    "names",
    "parse",
    "retokenize",
    "rewrite",
    "steps",
    "substitute",
    "substitute_ids",
    "traits",
    "truncate_ids",
]
