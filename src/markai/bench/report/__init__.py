"""The report of a benchmark: one HTML page that needs nothing else, Markdown for a README, JSON for programs.

>>> share = {"value": 0.5, "low": 0.01, "high": 0.99, "n": 2}
>>> summary = {
...     "methods": [{"name": "dwt-dct", "bits": 64}],
...     "attacks": [{"spec": "jpeg:50", "families": ["codec"]}],
...     "cells": [{"method": "dwt-dct", "attack": "jpeg:50", "n": 2, "exact": share, "detected": {}}],
... }
>>> print(markdown(summary).splitlines()[2])
| jpeg:50 | 0.500 | 0.010-0.990 (n=2) |
>>> html(summary).startswith("<!doctype html>")
True
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markai.bench.report.markdown import document
from markai.bench.report.model import View
from markai.bench.report.page import page
from markai.files import write_atomically

__all__ = ["html", "markdown", "write"]


def html(summary: Mapping[str, Any]) -> str:
    """Return the page: UTF-8, no script, nothing loaded from anywhere, the same text for the same summary.

    ``summary`` is what ``markai.bench.summary`` makes of the rows; parts that are empty or missing are left out.
    """
    return page(View(summary))


def markdown(summary: Mapping[str, Any]) -> str:
    """Return the exact payloads, attacks by methods, with intervals for the first method, and the methods' costs."""
    return document(View(summary))


def write(summary: Mapping[str, Any], folder: Path) -> None:
    """Write ``summary.json``, ``report.html`` and ``report.md`` into ``folder``, each whole or not at all.

    Raises:
        OutputError: if one cannot be written.
    """
    data = json.dumps(_plain(summary), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for name, text in (("summary.json", data), ("report.html", html(summary)), ("report.md", markdown(summary))):
        write_atomically(folder / name, text.encode())


def _plain(value: Any) -> Any:
    """Return what JSON can hold: it knows neither NaN nor infinity, so both become null."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
