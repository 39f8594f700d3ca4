"""Attacks that need a model, brought by the user: paraphrase, translation there and back, any other function."""

import importlib
from collections.abc import Callable

import numpy as np

from markai.attacks.text.register import TEXTS
from markai.errors import MethodError

Rewriter = Callable[[str], str]


def rewrite(text: str, function: Rewriter, name: str | None = None) -> str:
    """Return what ``function`` makes of the text; ``name`` is what an error calls it.

    >>> rewrite("colour", lambda text: text.replace("our", "or"))
    'color'

    Raises:
        MethodError: if it fails or returns no str; what it raised is the cause.
    """
    name = name or getattr(function, "__name__", type(function).__name__)
    try:
        rewritten = function(text)
    except Exception as error:
        raise MethodError(f"the rewriter {name} failed with {type(error).__name__}: {error}") from error
    if not isinstance(rewritten, str):
        raise MethodError(f"the rewriter {name} returned {type(rewritten).__name__} - let it return a str")
    return rewritten


def load(path: str) -> Rewriter:
    """Return the function that ``"module:function"`` names.

    >>> load("textwrap:dedent")("  indented")
    'indented'

    Raises:
        MethodError: if there is no such module or function, or the module cannot be imported.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise MethodError(f"{path!r} names no rewriter - write module:function")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module does when imported
        raise MethodError(f"cannot load the rewriter {path!r}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise MethodError(f"{path!r} is a {type(function).__name__} - name a function from str to str")
    return function  # type: ignore[no-any-return]


def add(name: str, function: Rewriter | str) -> None:
    """Register a function from str to str, or the ``"module:function"`` that names one, as an attack.

    It takes no strength and gets no seed: results repeat only where the function's do. Adding it again replaces it.

    >>> add("dedent", "textwrap:dedent")
    >>> TEXTS.apply("dedent+upper", "  indented")
    'INDENTED'

    Raises:
        MethodError: if the name cannot stand in a spec or is that of another attack, or the function cannot be loaded.
    """
    if name in TEXTS.names() and TEXTS.parse(name)[0].family != "rewriting":
        raise MethodError(f"there is an attack {name!r} already - choose another name")
    rewriter = load(function) if isinstance(function, str) else function

    def run(text: str, _strength: float, _rng: np.random.Generator) -> str:
        return rewrite(text, rewriter, name)

    run.__doc__ = rewriter.__doc__ or f"Rewrite with {name}."
    TEXTS.attack(name, family="rewriting")(run)
