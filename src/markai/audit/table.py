"""What an audit found, on a terminal: a table of files, those with findings first, and the counts below it.

Where the output is no terminal there is one plain line a file, without colours, boxes or counts, for other programs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text as Styled

from markai.audit.evidence import maker
from markai.audit.tally import Tally, failures, has_findings, status_of, tally, verdict_of
from markai.audit.words import RULE_STATUSES, VERDICTS, Language, name_of, say, show, visible

Row = Mapping[str, Any]

MOST = 40  # files that are listed; a screen or two
NARROW, WIDE = 72, 110  # columns of the terminal from which findings, and who made it, have one of their own
STYLES = {
    "generated": "bold blue",
    "recovered": "bold cyan",
    "edited": "bold magenta",
    "generated-claimed": "blue",
    "copied": "bold red",
    "camera": "green",
    "human": "green",
    "contradictory": "bold red",
    "damaged": "yellow",
    "unknown": "dim",
    "none": "dim",
}


def print_audit(audit: Row, console: Console, *, language: Language = "en", most: int = MOST) -> None:
    """Print the files and the counts of an audit; to what is no terminal, a line for every file and nothing else.

    >>> row = {"path": "a.png", "status": "ok", "verdict": {"code": "unknown"}}
    >>> print_audit({"rows": [row]}, Console())
    unknown	a.png
    """
    rows = audit.get("rows") or ()
    if not console.is_terminal:
        for row in rows:
            console.file.write(plain_line(row) + "\n")  # rich would spread the tabs
        return
    print_table(rows, console, language=language, most=most)
    print_summary(tally(rows), console, language=language)


def plain_line(row: Row) -> str:
    """Return a row as a line for other programs: verdict, path, findings, with tabs between them; codes, not words.

    >>> plain_line({"path": "a\\tb", "verdict": {"code": "copied"}, "contradictions": [{"code": "copied-mark"}]})
    'copied\\ta\\\\tb\\tcopied-mark'
    """
    codes = [visible(each.get("code")) for each in row.get("contradictions") or ()]
    codes += [visible(each.get("id")) for each in failures(row)]
    status = [status_of(row)] if status_of(row) != "ok" else []
    found = " ".join([*status, *dict.fromkeys(codes)])
    return "\t".join([visible(verdict_of(row)), visible(row.get("path", "")), *([found] if found else [])])


def print_table(rows: Iterable[Row], console: Console, *, language: Language = "en", most: int = MOST) -> None:
    """Print a table of files, those with findings first, at most ``most`` of them."""
    telling: list[Row] = []
    others: list[Row] = []
    count = 0
    for row in rows:
        count += 1
        kept = telling if has_findings(row) else others
        if len(kept) < most:
            kept.append(row)
    shown = [*telling, *others][:most]
    console.print(_table(shown, console.width, language))
    if count > len(shown):
        console.print(Styled(say("table.more", language, count=f"{count - len(shown):,}"), "dim"))


def _table(rows: Sequence[Row], width: int, language: Language) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column(say("report.verdict", language), no_wrap=width >= NARROW)
    table.add_column(say("report.file", language), overflow="fold", ratio=1)
    if width >= WIDE:
        table.add_column(say("evidence.by", language), overflow="fold")
    if width >= NARROW:
        table.add_column(say("report.findings-column", language), overflow="fold")
    for row in rows:
        table.add_row(*_cells(row, width, language))
    return table


def _cells(row: Row, width: int, language: Language) -> list[Styled]:
    """Return the cells of a row. They are styled text, never markup: a file may be called "[red]"."""
    code = verdict_of(row)
    cells = [Styled(show(name_of("verdict", visible(code)), language), STYLES.get(code, ""))]
    findings = _findings(row, language)
    path = Styled(visible(row.get("path", "")))
    if width < NARROW and findings:
        path.append(f"\n{findings}", "red")
    cells.append(path)
    if width >= WIDE:
        cells.append(Styled(show(maker((row.get("verdict") or {}).get("by")), language)))
    if width >= NARROW:
        cells.append(Styled(findings, "red"))
    return cells


def _findings(row: Row, language: Language) -> str:
    names = [show(name_of("status", status_of(row)), language)] if status_of(row) != "ok" else []
    names += [
        show(name_of("contradiction", visible(each.get("code"))), language) for each in row.get("contradictions") or ()
    ]
    names += [visible(each.get("id")) for each in failures(row)]
    return ", ".join(dict.fromkeys(names))


def print_summary(counted: Tally, console: Console, *, language: Language = "en") -> None:
    """Print the counts: files by verdict, contradictions, rules."""
    console.print()
    parts = [say("table.files", language, count=f"{counted.files:,}")]
    for code, count in (
        ("contradictions", counted.with_contradictions),
        ("failures", counted.with_failures),
        ("unexamined", counted.files - counted.examined),
    ):
        if count:
            parts.append(say(f"table.{code}", language, count=f"{count:,}"))
    console.print(Styled(", ".join(parts), "bold"))
    verdicts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    verdicts.add_column(justify="right")
    verdicts.add_column()
    for code in [*VERDICTS, *sorted(set(counted.verdicts) - set(VERDICTS))]:
        if counted.verdicts[code]:
            name = Styled(show(name_of("verdict", visible(code)), language), STYLES.get(code, ""))
            verdicts.add_row(f"{counted.verdicts[code]:,}", name)
    console.print(verdicts)
    if counted.rules or counted.policy:
        console.print()
        console.print(_rules(counted, language))
    if counted.verdicts["unknown"]:
        console.print()
        console.print(Styled(say("verdict.unknown.sentence", language), "dim"))


def _rules(counted: Tally, language: Language) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(say("report.rule", language), overflow="fold")
    for status in RULE_STATUSES:
        table.add_column(say(f"rule.{status}", language), justify="right")
    for name, counts in [*counted.rules.items(), *counted.policy.items()]:
        failed = "bold red" if counts["fail"] else ""
        cells = [Styled(f"{counts[status]:,}", failed if status == "fail" else "") for status in RULE_STATUSES]
        table.add_row(Styled(visible(name)), *cells)
    return table
