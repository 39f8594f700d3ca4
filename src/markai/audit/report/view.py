"""An audit as the page reads it: the counts over all rows, and the rows that are shown, without what takes space."""

from collections.abc import Iterable, Mapping
from typing import Any

from markai.audit.evidence import own_words
from markai.audit.lines import plain
from markai.audit.report.listing import coverage
from markai.audit.tally import Tally, failures, has_findings, undecided
from markai.audit.words import Text

Row = Mapping[str, Any]

MOST_ROWS = 20_000  # of some 2 kB: what a browser opens in seconds


class View:
    """What several parts of the page ask of an audit.

    Attributes:
        tally: the counts over all rows.
        rows: those that are shown: all, or those with findings first where they are too many.
        todos: what rows say to do about a rule, by its id.
        undecided: what rows say is missing to decide a rule, by its id.
    """

    def __init__(self, audit: Row, most: int = MOST_ROWS) -> None:
        self.audit, self.tally = audit, Tally()
        self.todos: dict[str, Text] = {}
        self.undecided: dict[str, Text] = {}
        self.rows = self._choose(audit.get("rows") or (), most)

    def _choose(self, rows: Iterable[Row], most: int) -> list[Row]:
        telling: list[tuple[int, Row]] = []
        others: list[tuple[int, Row]] = []
        for index, row in enumerate(rows):
            self.tally.add(row)
            for each in failures(row):
                if each.get("todo"):
                    self.todos.setdefault(str(each["id"]), own_words(each["todo"]))
            for each in undecided(row):
                if each.get("sentence"):
                    self.undecided.setdefault(str(each["id"]), own_words(each["sentence"]))
            kept = telling if has_findings(row) else others
            if len(kept) < most:
                kept.append((index, slim(row)))
        if self.tally.files <= most:
            return [row for _, row in sorted([*telling, *others], key=lambda each: each[0])]
        return [row for _, row in [*telling, *others][:most]]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the audit."""
        given = self.audit.get("settings")
        return plain(given) if isinstance(given, Mapping) else {}


def slim(row: Row) -> dict[str, Any]:
    """Return a row with the map of its mark as a short text, ``map``, in place of a thousand numbers.

    >>> slim({"watermark": {"coverage": {"share": 1.0, "presence": [[1.0, 1.0]]}}})
    {'watermark': {'coverage': {'share': 1.0}}, 'map': '2:2p'}
    """
    slimmed: dict[str, Any] = plain(
        {key: value for key, value in row.items() if key not in ("watermark", "watermarks")}
    )
    if row.get("watermark"):
        slimmed["watermark"] = _without_map(row["watermark"])
    if row.get("watermarks"):
        slimmed["watermarks"] = [_without_map(each) for each in row["watermarks"]]
    return slimmed | {"map": coverage(row)}


def _without_map(found: Row) -> dict[str, Any]:
    covered = found.get("coverage")
    share = {"coverage": {"share": covered.get("share")}} if covered else {}
    return {**plain({key: value for key, value in found.items() if key != "coverage"}), **share}
