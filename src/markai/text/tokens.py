"""Texts into token ids and back, with whatever tokenizer the model has."""

from typing import Any

from markai.errors import MethodError
from markai.text.base import Ids, as_ids


def encoded(text: Any, tokenizer: Any = None) -> tuple[Ids, frozenset[int]]:
    """Return the token ids (n,) of a text, and the ids that are no text: special tokens, padding.

    ``text`` is a str, or ids as they are. ``tokenizer`` is one of the ``tokenizers`` package, one of transformers, the
    path of a tokenizer.json, or a function from str to ids.

    >>> encoded("hi", lambda text: list(text.encode()))
    (array([104, 105], dtype=uint32), frozenset())

    Raises:
        MethodError: if a str comes without a tokenizer, or the tokenizer is none.
    """
    if tokenizer is None:
        if isinstance(text, str):
            raise MethodError("a text is read as the tokens of its model - pass tokenizer=..., or token ids")
        return as_ids(text), frozenset()
    known = loaded(tokenizer)
    ids = as_ids(text) if not isinstance(text, str) else as_ids(_encode(known, _valid(text)))
    return ids, _special(known)


def loaded(tokenizer: Any) -> Any:
    """Return a tokenizer as it is, or the one in a tokenizer.json, by its path or its bytes.

    Raises:
        MethodError: if the file cannot be read.
        MissingExtraError: if the tokenizers package is missing.
    """
    import os

    if not isinstance(tokenizer, str | bytes | os.PathLike):
        return tokenizer
    try:
        from tokenizers import Tokenizer
    except ImportError:
        from markai.errors import MissingExtraError

        raise MissingExtraError.naming("tokenizers", "text", "tokenizer files") from None
    try:
        if isinstance(tokenizer, bytes):
            return Tokenizer.from_str(tokenizer.decode())
        return Tokenizer.from_file(os.fspath(tokenizer))
    except Exception as error:  # the package raises a bare Exception
        name = "what was given" if isinstance(tokenizer, bytes) else os.fspath(tokenizer)
        raise MethodError(f"{name} is no tokenizer.json: {error} - save the model's tokenizer in that form") from error


def _encode(tokenizer: Any, text: str) -> Any:
    if hasattr(tokenizer, "encode"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        return getattr(ids, "ids", ids)  # tokenizers wraps them, transformers does not
    if callable(tokenizer):
        return tokenizer(text)
    raise MethodError(f"{type(tokenizer).__name__} is no tokenizer - it needs encode(text), or to be a function to ids")


def _special(tokenizer: Any) -> frozenset[int]:
    ids = getattr(tokenizer, "all_special_ids", None)
    if ids is None and hasattr(tokenizer, "get_added_tokens_decoder"):
        ids = [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    return frozenset(ids or ())


def _valid(text: str) -> str:
    """Replace lone surrogates, which no encoding of text can hold."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
