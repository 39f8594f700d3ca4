"""Text marks in llama-cpp-python.

    from markai.integrations.llama_cpp import arguments

    llm = llama_cpp.Llama("model.gguf")
    llm("Once upon a time", max_tokens=400, **arguments(mark, temperature=0.8, top_p=0.95))

Logits processors come before temperature, top-k and the like there, and what they return is drawn from. Detection needs
the model's tokens: ``mark.detect(text, tokenizer=lambda text: llm.tokenize(text.encode(), add_bos=False))``.

With a ``grammar`` only the scheme bias works: a grammar comes after what the others chose, and may forbid it. With a
``draft_model`` no scheme does: processors are shown all that it guesses, also tokens after the one to be chosen.
"""

from typing import Any

from markai.text.mark import TextMark


def arguments(
    mark: TextMark, *, temperature: float = 0.8, top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05
) -> dict[str, Any]:
    """Return the keywords with which a ``Llama`` marks what it writes; the defaults are those of llama-cpp-python.

    A mark that draws the token itself is given temperature, top-k, top-p and min-p to do, in transformers' order, and
    llama.cpp nothing. The scheme bias leaves them to llama.cpp. ``logits_processor`` is a list that
    ``llama_cpp.LogitsProcessorList`` takes, to add others to: those come before the mark.

    >>> from markai import Key
    >>> given = arguments(TextMark(Key(bytes(32)), "gumbel"), temperature=0.7)
    >>> given["temperature"], given["top_k"], given["logits_processor"][0].sampling
    (1.0, 0, Sampling(temperature=0.7, top_k=40, top_p=0.95, min_p=0.05))

    Raises:
        MethodError: if a setting is out of range, or greedy (temperature 0) for a scheme that draws the token itself.
    """
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    if not mark.scheme.samples:
        return {"logits_processor": [mark.processor()], **settings}
    nothing = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    processor = mark.processor(temperature, max(0, top_k), top_p, min_p)
    return {"logits_processor": [processor], **nothing, "typical_p": 1.0, "repeat_penalty": 1.0, "mirostat_mode": 0}
