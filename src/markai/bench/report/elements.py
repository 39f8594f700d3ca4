"""HTML and SVG elements from Python: whatever is not markup already is escaped, so that no name can break a page."""

from collections.abc import Iterable
from html import escape

VOID = frozenset({"img", "input", "meta"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | float | None | Iterable["Child"]


def markup(child: Child) -> Markup:
    """Return a child as markup: text is escaped, None is nothing, and the items of a sequence follow each other.

    >>> markup(["a < b", None, Markup("<br>"), 7])
    'a &lt; b<br>7'
    """
    if child is None:
        return Markup()
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int | float):
        return Markup(escape(str(child), quote=False))
    return Markup("".join(map(markup, child)))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element. In the names of attributes a trailing ``_`` falls away and others become ``-``.

    Attributes that are None or False are left out; True gives ``name=""``, which both HTML and XML read.

    >>> tag("a", "1 < 2", href="#x", class_="wide", title=None, aria_hidden=True)
    '<a href="#x" class="wide" aria-hidden="">1 &lt; 2</a>'
    """
    written = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{"" if value is True else escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{markup(children)}</{name}>")
