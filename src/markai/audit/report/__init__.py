"""The report of an audit: one HTML page in English and Korean that needs nothing else and loads nothing.

>>> row = {"path": "a.png", "status": "ok", "verdict": {"code": "unknown", "sure": "none"}}
>>> page = html({"markai": "1", "rows": [row]})
>>> page.startswith("<!doctype html>"), "not proof of human origin" in page, "증거가 아닙니다" in page
(True, True, True)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markai.audit.report.page import page
from markai.audit.report.view import MOST_ROWS
from markai.audit.thumbnails import Thumbnails
from markai.audit.words import Language
from markai.files import write_atomically

__all__ = ["MOST_ROWS", "html", "write"]


def html(audit: Mapping[str, Any], *, thumbnails: Thumbnails | None = None, language: Language = "en") -> str:
    """Return the page; ``language`` is the one it opens in, and a switch on it shows the other.

    ``audit["rows"]`` is a list of rows or anything that can be walked through several times, such as
    :class:`markai.audit.lines.Rows`. A page holds at most ``MOST_ROWS`` of them, those with findings first, and says
    so; its counts are of all. Without ``thumbnails`` it has no pictures.

    Raises:
        ImageError: if the rows are a file that cannot be read.
    """
    return page(audit, thumbnails or Thumbnails(lambda _: None), language)


def write(
    audit: Mapping[str, Any], path: Path, *, thumbnails: Thumbnails | None = None, language: Language = "en"
) -> bytes:
    """Write the page, whole or not at all, and return its bytes, for their digest.

    Raises:
        OutputError: if it cannot be written.
        ImageError: if the rows are a file that cannot be read.
    """
    data = html(audit, thumbnails=thumbnails, language=language).encode("utf-8", "backslashreplace")
    write_atomically(path, data)
    return data
