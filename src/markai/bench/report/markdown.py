"""The summary as Markdown tables, short enough for a README."""

from collections.abc import Iterable

from markai.bench.report.model import Row, View
from markai.bench.report.numbers import finite, fraction, interval, number, plural

UNKNOWN = "-"


def document(view: View) -> str:
    """Return the tables of attacks and of methods, and what they were measured on."""
    parts = [robustness(view), methods(view), _footnotes(view)]
    return "\n\n".join(part for part in parts if part) + "\n"


def robustness(view: View) -> str:
    """Return attacks by methods: the share of exact payloads, for the first method with its interval."""
    if not view.methods or not view.attacks:
        return ""
    first, *others = view.names
    rows = [
        [
            attack["spec"] + (" †" if attack.get("proxy") else ""),
            _exact(view.cell(first, attack["spec"])),
            _interval(view.cell(first, attack["spec"])),
            *(_exact(view.cell(other, attack["spec"])) for other in others),
        ]
        for attack in view.attacks
    ]
    return table(["attack", first, "95 % interval", *others], rows)


def methods(view: View) -> str:
    """Return what each method costs: quality, time, false alarms."""
    rows = [
        [
            method["name"],
            f"{method['bits']}",
            _quality(method, "psnr", 2),
            _quality(method, "ssim", 4),
            _time(method, "embed_ms"),
            _time(method, "detect_ms"),
            _false_alarms(view.null_of(method["name"])),
        ]
        for method in view.methods
    ]
    heads = ["method", "bits", "PSNR, dB (least)", "SSIM (least)", "embed, ms", "detect, ms", "false alarms"]
    return table(heads, rows) if rows else ""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    r"""Return a Markdown table; what would break a cell is escaped.

    >>> print(table(["a", "b"], [["x|y", "1"]]))
    | a | b |
    |---|---|
    | x\|y | 1 |
    """
    first = list(heads)
    lines = [first, ["---"] * len(first), *rows]
    return "\n".join(
        f"|{'|'.join(line)}|" if index == 1 else f"| {' | '.join(map(_cell, line))} |"
        for index, line in enumerate(lines)
    )


def _cell(text: str) -> str:
    plain = " ".join(text.split())
    for character in "\\|<`*":
        plain = plain.replace(character, f"\\{character}")
    return plain


def _ascii(text: str) -> str:
    """A dash as the rest of the README writes it."""
    return text.replace("\N{EN DASH}", UNKNOWN)


def _exact(cell: Row | None) -> str:
    return UNKNOWN if cell is None else _ascii(fraction(cell["exact"]["value"]))


def _interval(cell: Row | None) -> str:
    if cell is None or finite(cell["exact"]["value"]) is None:
        return UNKNOWN
    return f"{interval(cell['exact'], to='-')} (n={cell['n']})"


def _quality(method: Row, metric: str, digits: int) -> str:
    found = (method.get("quality") or {}).get(metric)
    return f"{number(found['mean'], digits)} ({number(found.get('least'), digits)})" if found else UNKNOWN


def _time(method: Row, what: str) -> str:
    return _ascii(number((method.get("time") or {}).get(what), 1))


def _false_alarms(null: Row | None) -> str:
    return f"{null['accepted']:,} of {null['trials']:,}" if null else UNKNOWN


def _footnotes(view: View) -> str:
    run = view.run
    pictures = f"{plural(run.get('pictures', 0), 'picture')} from {run.get('picture_source', UNKNOWN)}"
    measured = f"Share of exact payloads on {pictures}, seed {run.get('seed', UNKNOWN)}; times on one thread."
    proxies = "† A stand-in: to survive it is necessary, and proves nothing about the real attack."
    return f"{measured} {proxies}" if any(attack.get("proxy") for attack in view.attacks) else measured
