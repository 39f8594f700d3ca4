"""Words on the page, in both languages at once: a switch shows one of them, without a script."""

from markai.audit.words import LANGUAGES, Said, Text, show, visible
from markai.bench.report.elements import Markup, tag


def words(text: Text | None) -> Markup:
    """Return a text as markup: one ``span`` per language, or the escaped text where it has only one.

    >>> words({"en": "a < b", "ko": "가"})
    '<span lang="en">a &lt; b</span><span lang="ko">가</span>'
    >>> words("a&b"), words(None)
    ('<bdi>a&amp;b</bdi>', '')
    """
    if not text:
        return Markup()
    if isinstance(text, str):
        return tag("bdi", visible(text))
    return Markup("".join(tag("span", show(text, language), lang=language) for language in LANGUAGES))


def say(code: str, **values: object) -> Markup:
    """Return the sentence of a code in both languages.

    >>> say("rule.pass")
    '<span lang="en">pass</span><span lang="ko">충족</span>'

    Raises:
        KeyError: if there is no such code, or a value for it is missing.
    """
    return words(Said(code, {name: str(value) for name, value in values.items()}))


def drawn(code: str, **attributes: str | float) -> Markup:
    """Return the sentence of a code as text of a drawing."""
    texts = (tag("text", show(Said(code), language), lang=language, **attributes) for language in LANGUAGES)
    return Markup("".join(texts))
