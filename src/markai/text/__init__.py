"""Marks in text: written while a language model chooses its tokens, found again from the tokens alone.

    mark = TextMark(key, "gumbel", vocab_size=model.config.vocab_size)
    ids = generate(model, mark, **inputs, do_sample=True)  # of markai.integrations.transformers
    mark.detect(text, tokenizer)

Three schemes for whoever has the logits (``schemes.py``), one for whoever has not (:class:`WordMark`), detectors for
marks that others write (``profiles``). Every p-value is exact over the secret key (``detector.py``).
"""

from markai.text.detector import detect
from markai.text.mark import TextMark
from markai.text.result import Segment, TextDetection
from markai.text.words import WordMark

__all__ = ["Segment", "TextDetection", "TextMark", "WordMark", "detect"]
