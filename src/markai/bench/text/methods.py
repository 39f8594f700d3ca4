"""Methods for texts by name: markai's schemes with parameters, the marks of others, and those of one's own."""

import re
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

from markai.bench.text.marks import Own, TextMethod, Unmarked, Words
from markai.bench.text.peers import GreenLists, SynthID
from markai.errors import MarkaiError, MethodError
from markai.text.schemes import SCHEMES

WITH_PAYLOAD = {f"text-{scheme}": partial(Own.of, scheme) for scheme in SCHEMES}
METHODS: dict[str, Callable[..., TextMethod]] = {
    **WITH_PAYLOAD,
    "text-words": Words,
    "transformers/lefthash": partial(GreenLists, "lefthash"),
    "transformers/selfhash": partial(GreenLists, "selfhash"),
    "transformers/synthid": SynthID,
    "control/unmarked": Unmarked,
}


@cache
def load(name: str) -> TextMethod:
    """Return a method by name, with parameters after an ``@``, or ``package.module:attribute``, which runs that code.

    >>> load("text-gumbel@payload=4,width=3")
    Own(scheme='gumbel', parameters={'width': 3}, payload_bytes=4)

    Raises:
        MethodError: if there is none of that name, or a parameter is unknown or out of range.
        MissingExtraError: if it needs a package that is not installed.
    """
    plain, _, given = name.partition("@")
    if plain in METHODS:
        try:
            return METHODS[plain](**parsed(given))
        except TypeError as error:
            raise MethodError(f"{plain} does not take {given}: {error}") from None
    if re.fullmatch(r"[\w.]+:\w+", name):
        return _loaded(name)
    raise MethodError(
        f"no method {name!r} for texts - choose from {', '.join(METHODS)}, or give package.module:attribute"
    )


def available() -> dict[str, str | None]:
    """Return, for every method, None where it can be used and otherwise the reason why not.

    >>> available()["text-gumbel"] is None
    True
    """
    return {name: _reason(name) for name in METHODS}


def _reason(name: str) -> str | None:
    try:
        load(name)
    except MarkaiError as error:
        return str(error)
    return None


def parsed(given: str) -> dict[str, Any]:
    """Return the parameters in what follows the ``@``.

    >>> parsed("width=2,gamma=0.5,hashing=self")
    {'width': 2, 'gamma': 0.5, 'hashing': 'self'}

    Raises:
        MethodError: if there is no name or no value.
    """
    found: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        name, _, value = part.partition("=")
        if not name.isidentifier() or not value:
            raise MethodError(f"{part!r} is no parameter - write name=value, several with commas")
        found[name] = _value(value)
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _loaded(name: str) -> TextMethod:
    module, _, attribute = name.partition(":")
    try:
        method = getattr(import_module(module), attribute)()
    except Exception as error:  # whatever the code of others raises
        raise MethodError(f"method {name!r} cannot be loaded ({type(error).__name__}: {error}) - repair it") from error
    if not isinstance(method, TextMethod):
        raise MethodError(f"{name!r} is no method - it must have what markai.bench.text.methods.TextMethod lists")
    return method
