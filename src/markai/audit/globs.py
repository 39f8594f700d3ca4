"""Patterns of paths, as people know them from ignore files: which files a line of a policy is about."""

import re
from functools import lru_cache

MAX_PATTERN = 500


def matches(path: str, pattern: str) -> bool:
    """Say whether a path fits a pattern.

    ``*`` and ``?`` stand for what has no slash, ``**`` for any number of folders. A pattern that does not begin with a
    slash may begin at any folder of the path, so that it means the same whether an audit was given ``out``,
    ``./out`` or ``/home/me/out``; one that ends with a slash means all that is below.

    >>> matches("/home/me/out/a/b.png", "out/**"), matches("about/b.png", "out/**"), matches("x/b.png", "*.png")
    (True, False, True)
    >>> matches("out.zip!/in/b.png", "out.zip!/**"), matches("out/a/b.png", "out/*.png")
    (True, False)
    """
    return _compiled(pattern).fullmatch(path.replace("\\", "/").removeprefix("./")) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    begins = "" if pattern.startswith("/") else "(?:.*/)?"
    pattern = pattern.removeprefix("./") + ("**" if pattern.endswith("/") else "")
    parts = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", re.sub(r"\*{3,}", "**", pattern))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(begins + "".join(meaning.get(part, re.escape(part)) for part in parts), re.DOTALL)
