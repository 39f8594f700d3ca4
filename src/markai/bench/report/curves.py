"""The charts: strength, quality, ROC, null calibration; one small chart per attack or method, lines are methods."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from markai.bench.report.charts import Axis, Line, Point, chart, curve, note, region
from markai.bench.report.elements import Child, Markup, tag
from markai.bench.report.marks import breakable, legend, swatch
from markai.bench.report.model import Row, View
from markai.bench.report.numbers import UNKNOWN, finite, fraction, interval, plural, power, small
from markai.bench.report.tables import FITTING, caption, missing, scrolling

FEWEST = 2  # points that make a curve
MARKED = 24  # points up to which each is marked; longer lines are smooth enough to be read by colour and dash
MOST_MARKS = 9  # strengths that can be written side by side


def _figures(figures: Iterable[tuple[Child, Markup]], kind: str = "charts") -> Markup:
    """Return small charts side by side, each under its title."""
    return tag("div", [tag("figure", tag("figcaption", title), drawn) for title, drawn in figures], class_=kind)


def _legend_of(view: View, methods: Iterable[str]) -> Markup:
    drawn = set(methods)
    return legend((view.style(name), name) for name in [*view.names, *sorted(drawn - set(view.names))] if name in drawn)


def _in_words(title: str, lines: Sequence[Line]) -> str:
    ends = [f"{line.name} from {fraction(line.points[0].y)} to {fraction(line.points[-1].y)}" for line in lines]
    return f"{title}: {'; '.join(ends)}"


# Strength and quality


def strength(view: View) -> Markup | None:
    """Return one chart per swept attack: what survives against its strength, the mild end on the left."""
    figures = []
    for sweep in view.curves:
        lines = _swept(view, sweep, "strength", view.words.curve)
        if lines:
            x, lines = _evenly(sweep, lines)
            label = view.words.curve_label
            words = _in_words(f"{label.capitalize()}, against the strength of {sweep['attack']}", lines)
            figures.append((tag("code", sweep["attack"]), chart(x, Axis(label, 0, 1), lines, words)))
    return _with_legend(view, view.curves, figures)


def quality(view: View) -> Markup | None:
    """Return one chart per swept attack: detection at 1e-3 against the quality that the attack costs."""
    swept = [(sweep, _swept(view, sweep, "quality", "tpr")) for sweep in view.curves]
    swept = [(sweep, lines) for sweep, lines in swept if lines]
    if not swept:
        return None
    worst = max(point.x for _, lines in swept for line in lines for point in line.points)
    x, y = (
        Axis("quality lost", 0, max(worst, 0.1)),
        Axis("detected at 1e-3", 0, 1),
    )  # one scale: comparable side by side
    figures: list[tuple[Child, Markup]] = [
        (
            tag("code", sweep["attack"]),
            chart(x, y, lines, _in_words(f"Detection at 1e-3 against the quality lost to {sweep['attack']}", lines)),
        )
        for sweep, lines in swept
    ]
    return _with_legend(view, [sweep for sweep, _ in swept], figures)


def _with_legend(view: View, sweeps: Sequence[Row], figures: Sequence[tuple[Child, Markup]]) -> Markup | None:
    if not figures:
        return None
    drawn = (point["method"] for sweep in sweeps for point in sweep["points"])
    return Markup(_legend_of(view, drawn) + _figures(figures))


def _swept(view: View, sweep: Row, across: str, share: str) -> list[Line]:
    """Return the lines of a sweep: one per method that has at least two points with both figures."""
    lines = []
    for method in dict.fromkeys(point["method"] for point in sweep["points"]):
        rows = sorted(
            (
                row
                for row in sweep["points"]
                if row["method"] == method
                and finite(row["strength"]) is not None
                and finite(row.get(across)) is not None
                and finite((row.get(share) or {}).get("value")) is not None
            ),
            key=lambda row: float(row["strength"]),
        )
        if len(rows) >= FEWEST:
            lines.append(Line(method, view.style(method), [_point(row, across, share) for row in rows]))
    return lines


def _point(row: Row, across: str, share: str) -> Point:
    found = row[share]
    title = (
        f"{row['method']}, {row['attack']}: {fraction(found['value'])} ({interval(found)}), n {found.get('n', UNKNOWN)}"
    )
    return Point(row[across], found["value"], finite(found.get("low")), finite(found.get("high")), title)


def _evenly(sweep: Row, lines: Sequence[Line]) -> tuple[Axis, list[Line]]:
    """Return the axis and the lines with the strengths that were tried at even distances, the mild end on the left.

    Sweeps double or halve: on a linear axis most of their points would share one corner.
    """
    tried = sorted({point.x for line in lines for point in line.points}, reverse=_stronger_downward(sweep))
    place = {strength: float(index) for index, strength in enumerate(tried)}
    every = -(-len(tried) // MOST_MARKS)
    marks = [(place[strength], f"{strength:g}") for strength in tried[::every]]
    axis = Axis(sweep["meaning"], -0.25, len(tried) - 0.75, marks=marks)
    moved = [sorted((replace(point, x=place[point.x]) for point in line.points), key=lambda p: p.x) for line in lines]
    return axis, [replace(line, points=points) for line, points in zip(lines, moved, strict=True)]


def _stronger_downward(sweep: Row) -> bool:
    """Whether small numbers do more damage, as in the quality of a JPEG: as it is said, or as it was measured."""
    if "downward" in sweep:
        return bool(sweep["downward"])
    damage = {}
    for point in sweep["points"]:
        psnr = finite(point.get("psnr"))
        known = finite(point.get("quality"))
        known = known if known is not None else None if psnr is None else -psnr
        if known is not None:
            damage[float(point["strength"])] = known
    return bool(damage) and damage[min(damage)] > damage[max(damage)]


# ROC


def roc(view: View) -> Markup | None:
    """Return one chart per attack: detection against false alarms, on a logarithmic axis."""
    by_attack: dict[str, list[Row]] = {}
    for row in view.roc:
        if len(_known(row["points"])) >= FEWEST:
            by_attack.setdefault(row["attack"], []).append(row)
    if not by_attack:
        return None
    low = _decade(rate for row in view.roc for rate, _ in _known(row["points"]))
    x, y = Axis("false-positive rate", low, 1, log=True), Axis("detected", 0, 1)
    chance = curve(x, y, [(low ** (k / 48), low ** (k / 48)) for k in range(49)])
    figures: list[tuple[Child, Markup]] = []
    for attack, rows in by_attack.items():
        title = "all attacks" if attack == "all" else attack
        lines = [_roc_line(view, row, low) for row in rows]
        words = f"ROC, {title}: " + "; ".join(f"{line.name} starts at {fraction(line.points[0].y)}" for line in lines)
        figures.append((tag("code", title), chart(x, y, lines, words, ground=[chance])))
    return Markup(_legend_of(view, (row["method"] for row in view.roc)) + _figures(figures))


def _roc_line(view: View, row: Row, low: float) -> Line:
    known = _known(row["points"])
    start = max((y for x, y in known if x <= low), default=0.0)  # a log axis has no 0: what is left of it stands on it
    points = [Point(low, start), *(Point(x, y) for x, y in known if x > low)]
    return Line(row["method"], view.style(row["method"]), points, staircase=True, marked=False)


def _known(pairs: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
    return sorted((x, y) for x, y in pairs if finite(x) is not None and finite(y) is not None)


def _decade(values: Iterable[float]) -> float:
    """Return the power of ten, at most 0.1, at or below the smallest positive value."""
    smallest = min((value for value in values if value > 0), default=0.1)
    return 10.0 ** min(-1, math.floor(math.log10(smallest) + 1e-9))


# Null calibration


def calibration(view: View) -> Markup | None:
    """Return one chart per method: p-values without a mark against those that an honest method would give."""
    lines = [line for line in (_null_line(view, row) for row in view.null) if len(line.points) >= FEWEST]
    if not lines:
        return None
    low = _decade(value for line in lines for point in line.points for value in (point.x, point.y))
    x, y = Axis("expected p", low, 1, log=True), Axis("observed p", low, 1, log=True)
    ground = [
        region(x, y, [(low, low), (1, low), (1, 1)]),
        curve(x, y, [(low, low), (1, 1)]),
        note(x, y, (low**0.03, low**0.96), "too many false alarms", shaded=True),
        note(x, y, (low**0.97, low**0.06), "cautious"),
    ]
    return _figures(
        ([swatch(line.style), " ", breakable(line.name)], chart(x, y, [line], _null_words(line), ground))
        for line in lines
    )


def _null_line(view: View, row: Row) -> Line:
    pairs = _known(row.get("quantiles") or [])
    points = [Point(x, y, title=f"expected {small(x)}, observed {small(y)}") for x, y in pairs]
    return Line(row["method"], view.style(row["method"]), points, marked=len(points) <= MARKED)


def _null_words(line: Line) -> str:
    first = line.points[0]
    return f"Null calibration of {line.name}: where {small(first.x)} is expected, {small(first.y)} was observed"


def null_rates(view: View) -> Markup:
    """Return how often something passed at each nominal rate where nothing is, one row per method."""
    rates = sorted({rate for row in view.null for rate in row.get("rates") or {}}, key=float, reverse=True)
    heads = ["Method", "Trials", "False alarms", "Smallest p", "KS test, p", *(f"Rate at {rate}" for rate in rates)]
    rows = [
        tag(
            "tr",
            tag(
                "th",
                swatch(view.style(row["method"])),
                tag("span", breakable(row["method"])),
                scope="row",
                class_="method",
            ),
            tag("td", f"{row['trials']:,}", tag("small", plural(row[view.words.many], view.words.one))),
            tag("td", f"{row['accepted']:,}", class_="bad" if row["accepted"] else None),
            tag("td", power(row.get("smallest_log10_p"))),
            tag("td", fraction(row.get("ks_p"))),
            [_rate((row.get("rates") or {}).get(rate), float(rate)) for rate in rates],
        )
        for row in view.null
    ]
    many = view.words.many
    words = f"Unmarked {many}, random keys. Too high: even the low end of the interval is above the nominal rate."
    head = tag("thead", tag("tr", [tag("th", title, scope="col") for title in heads]))
    table = tag("table", caption(words), head, tag("tbody", rows))
    return scrolling(table, "Null rates", FITTING)


def _rate(share: Row | None, nominal: float) -> Markup:
    value = finite(share["value"]) if share else None
    if share is None or value is None:
        return missing()
    high = (finite(share.get("low")) or 0) > nominal
    return tag(
        "td",
        small(value),
        tag("small", f"{small(share.get('low'))} to {small(share.get('high'))}"),
        tag("small", "too high") if high else None,
        class_="bad" if high else None,
    )
