"""The rows as a table for spreadsheets (CSV): one line a file, no cell that a spreadsheet would run as a formula."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from markai.audit.evidence import own_words
from markai.audit.tally import layer_state, status_of, verdict_of
from markai.audit.words import LAYERS, Language, sentence_of, show, visible
from markai.files import write_atomically

Row = Mapping[str, Any]

# What begins a formula in one spreadsheet or another; a tab or a line feed may come before it (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: Any) -> str:
    """Return a value as a cell holds it: text that a spreadsheet could take for a formula has an apostrophe before it.

    >>> cell("=1+1"), cell("-cmd"), cell("a.png"), cell(-12.5), cell(None)
    ("'=1+1", "'-cmd", 'a.png', '-12.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    text = visible(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _at(*path: str) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        found: Any = row
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return value


def _codes(row: Row) -> str:
    return "; ".join(str(each.get("code")) for each in row.get("contradictions") or ())


def _rules(status: str) -> Callable[[Row], str]:
    def value(row: Row) -> str:
        every = [*(row.get("rules") or ()), *(row.get("policy") or ())]
        return "; ".join(str(each.get("id")) for each in every if each.get("status") == status)

    return value


def _layer(name: str) -> Callable[[Row], str]:
    return lambda row: layer_state(row, name) if status_of(row) == "ok" else ""


def _traces(row: Row) -> str:
    traces = (row.get("metadata") or {}).get("traces") or ()
    return "; ".join(dict.fromkeys(str(each.get("generator") or each.get("kind")) for each in traces))


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "path": _at("path"),
    "status": status_of,
    "error": _at("error"),
    "verdict": verdict_of,
    "sure": _at("verdict", "sure"),
    "provider": _at("verdict", "by", "provider"),
    "system": _at("verdict", "by", "system"),
    "version": _at("verdict", "by", "version"),
    **{layer: _layer(layer) for layer in LAYERS},
    "log10_p_value": _at("watermark", "log10_p_value"),
    "payload": _at("watermark", "payload"),
    "key_id": _at("watermark", "key_id"),
    "marked_share": _at("watermark", "coverage", "share"),
    "signer": _at("manifest", "signer", "organization"),
    "manifest_id": _at("manifest", "manifest_id"),
    "traces": _traces,
    "contradictions": _codes,
    "rules_failed": _rules("fail"),
    "rules_passed": _rules("pass"),
    "sha256": _at("sha256"),
    "bytes": _at("bytes"),
    "type": _at("type"),
    "width": _at("width"),
    "height": _at("height"),
}


def columns(rows: Iterable[Row], language: Language = "en") -> str:
    """Return the rows as CSV with a head of codes; the last column is the verdict in words.

    >>> columns([{"path": "a.png", "verdict": {"code": "unknown"}}]).splitlines()[0][:26]
    'path,status,error,verdict,'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "meaning"])
    for row in rows:
        meaning = show(own_words_of(row), language)
        writer.writerow([*(cell(value(row)) for value in COLUMNS.values()), cell(meaning)])
    return out.getvalue()


def own_words_of(row: Row) -> Any:
    """Return the sentence of a row's verdict; why there is none where the file was not examined."""
    if status_of(row) != "ok" and row.get("error"):
        return own_words(row["error"])
    return sentence_of("verdict", row.get("verdict") or {"code": "none"})


def write_columns(path: Path, rows: Iterable[Row], language: Language = "en") -> None:
    """Write the rows as CSV, whole or not at all; with a byte order mark, without which Excel garbles Korean.

    Raises:
        OutputError: if the file cannot be written.
    """
    write_atomically(path, columns(rows, language).encode("utf-8-sig", "backslashreplace"))
