"""The summary as Markdown tables, short enough for a README."""

from collections.abc import Iterable

from markai.bench.report.model import Row, View
from markai.bench.report.numbers import fraction, interval, number, plural

UNKNOWN = "-"


def document(view: View) -> str:
    """Return the tables of attacks and of methods, and what they were measured on."""
    parts = [robustness(view), methods(view), _footnotes(view)]
    return "\n\n".join(part for part in parts if part) + "\n"


def robustness(view: View) -> str:
    """Return attacks by methods: the share that counts most, for the first method with its interval."""
    if not view.methods or not view.attacks:
        return ""
    first, *others = view.names
    rows = [
        [
            attack["spec"] + (" †" if attack.get("proxy") else ""),
            _share(view, first, attack),
            _interval(view, first, attack),
            *(_share(view, other, attack) for other in others),
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
            *(_quality(method, key, digits) for key, _, digits in view.words.qualities),
            *(_time(method, key, digits) for key, _, digits in view.words.times),
            _false_alarms(view.null_of(method["name"])),
        ]
        for method in view.methods
    ]
    measured = [head for _, head, _ in (*view.words.qualities, *view.words.times)]
    return table(["method", "bits", *measured, "false alarms"], rows) if rows else ""


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


def _share(view: View, method: str, attack: Row) -> str:
    share = view.headline.share(view.cell(method, attack["spec"]))
    return _ascii(fraction(share["value"])) if share else UNKNOWN


def _interval(view: View, method: str, attack: Row) -> str:
    share = view.headline.share(view.cell(method, attack["spec"]))
    return f"{interval(share, to='-')} (n={share['n']})" if share else UNKNOWN


def _quality(method: Row, metric: str, digits: int) -> str:
    found = (method.get("quality") or {}).get(metric)
    return f"{number(found['mean'], digits)} ({number(found.get('least'), digits)})" if found else UNKNOWN


def _time(method: Row, what: str, digits: int) -> str:
    return _ascii(number((method.get("time") or {}).get(what), digits))


def _false_alarms(null: Row | None) -> str:
    return f"{null['accepted']:,} of {null['trials']:,}" if null else UNKNOWN


def _footnotes(view: View) -> str:
    run = view.run
    measured = view.words.footnote.format(
        subjects=f"{plural(view.count, view.words.one)} {view.source}", seed=run.get("seed", UNKNOWN)
    )
    proxies = "† A stand-in: to survive it is necessary, and proves nothing about the real attack."
    return f"{measured} {proxies}" if any(attack.get("proxy") for attack in view.attacks) else measured
