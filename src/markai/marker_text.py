"""What a marker does with a text: it is bytes like any file, and its mark must be readable before it is signed."""

from typing import Any

from markai.detection import Detection
from markai.errors import CapacityError, KeyFileError, MethodError
from markai.keys import Key

TEXT = "text/plain"
NO_METHOD = "none"  # of the record of a text without a mark


def encoded(text: str) -> bytes:
    """Return a text as UTF-8.

    Raises:
        MethodError: if it holds what is no text.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MethodError("the text holds half of a surrogate pair, which UTF-8 cannot - decode it properly") from None


def decoded(data: bytes) -> str:
    """Return the text in UTF-8.

    Raises:
        MethodError: if it is something else.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MethodError(f"the text is not UTF-8 ({error}) - convert it first") from None


def read_back(text: str, mark: Any, tokenizer: Any, payload: bytes | None, key: Key) -> Detection:
    """Return the mark that must be in a text: that of a ``TextMark`` or ``WordMark``, or the one of a name.

    Raises:
        CapacityError: if it is not there, or does not carry what it must.
        KeyFileError: if the mark is of another key.
        MethodError: if there is no such mark, or a tokenizer is missing.
    """
    from markai.text import TextMark, WordMark
    from markai.text.search import search

    if isinstance(mark, str):
        found: Detection = search(text, key, tokenizer, method=mark)
    elif not isinstance(mark, TextMark | WordMark):
        raise MethodError(f"a {type(mark).__name__} is no mark - pass the TextMark that wrote the text, or its name")
    elif mark.key_id != key.id:
        raise KeyFileError(f"the mark is of key {mark.key_id}, the marker of {key.id} - use one key for both")
    else:
        found = mark.detect(text, tokenizer) if isinstance(mark, TextMark) else mark.detect(text)
        payload = mark.payload if isinstance(mark, TextMark) and isinstance(mark.payload, bytes) else payload
    if not found:
        why = "; ".join(found.reasons) or f"p = {found.p_value:.2g}"
        raise CapacityError(f"the mark cannot be read in the text ({why}) - generate a longer text, or a freer one")
    if payload is not None and found.payload != payload:
        read = "none" if found.payload is None else found.payload.hex()
        raise CapacityError(f"the text carries the payload {read}, not {payload.hex()} - generate a longer text")
    return found
