"""The tables: methods at a glance, methods in full, attacks by methods, quality at performance, security."""

from collections.abc import Callable, Iterable

from markai.bench.report.elements import Child, Markup, tag
from markai.bench.report.marks import breakable, swatch
from markai.bench.report.model import NO_ATTACK, READ_BACK, Measure, Row, View, family_label, level
from markai.bench.report.numbers import UNKNOWN, finite, fraction, interval, milliseconds, number, plural, power
from markai.bench.report.words import TEXTS

PROXY = tag("a", "†", href="#limits", class_="flag", title="a stand-in for the real attack, see Limits")
FITTING = 6  # methods that a wide window holds without scrolling sideways
# Metric: how it is called, digits, what its "least" is.
METRICS = {
    "psnr": ("PSNR, dB", 2, "least"),
    "ssim": ("SSIM", 4, "least"),
    "ms_ssim": ("MS-SSIM", 4, "least"),
    "ciede2000": ("Colour difference ΔE00", 2, "most"),
    "ssimulacra2": ("SSIMULACRA 2", 1, "least"),
    "lpips": ("LPIPS", 4, "most"),
    "entropy": ("Choice, nats a token", 2, "least"),
    "surprisal": ("Surprise, nats a token", 2, "most"),
    "retokenized": ("Lost by decoding and encoding", 4, "most"),
}


def scrolling(table: Markup, label: str, columns: int) -> Markup:
    """Return a table that scrolls in a frame of its own where the page is too narrow for it."""
    width = "fits" if columns <= FITTING else "many"
    return tag("div", table, class_=f"scroll {width}", role="region", aria_label=label, tabindex=0)


def method_heads(view: View) -> list[Markup]:
    """Return one column head per method, with its line."""
    return [
        tag("th", swatch(view.style(name)), tag("span", breakable(name)), scope="col", class_="method")
        for name in view.names
    ]


def caption(words: str) -> Markup:
    """Return a caption that stays in view where its table scrolls sideways."""
    return tag("caption", tag("span", words, class_="stay"))


def group(title: Child, columns: int) -> Markup:
    """Return the row that heads a group of rows."""
    return tag("tr", tag("th", tag("span", title, class_="stay"), colspan=columns, scope="rowgroup"), class_="group")


def missing() -> Markup:
    """Return the cell of what was not measured."""
    return tag("td", UNKNOWN, title="not measured")


def heat(value: float | None, chance: float = 0.0) -> str | None:
    """Return the class that colours a cell by a share."""
    step = level(value, chance)
    return None if step is None else f"h{step}"


# At a glance


def overview(view: View) -> Markup:
    """Return one row per method: what it survives by family, what it costs, what it finds where nothing is."""
    words = (
        f"{view.headline.label}: mean share over the attacks of a family; below it the worst attack. "
        f"Read back: attacks after which at least {READ_BACK:.0%} of the {view.words.many} {view.words.survived}."
    )
    heads = [
        "Read back",
        *(_family_head(family, attacks) for family, attacks in view.groups.items()),
        *(view.words.cost[1], "False alarms"),
    ]
    rows = [
        tag(
            "tr",
            tag("th", swatch(view.style(name)), tag("span", breakable(name)), scope="row", class_="method"),
            _read_back(view, name),
            [_family(view, name, family) for family in view.groups],
            _cost(view, method),
            _false_alarms(view.null_of(name)),
        )
        for name, method in zip(view.names, view.methods, strict=True)
    ]
    table = tag(
        "table",
        caption(words),
        tag("thead", tag("tr", tag("th", "Method", scope="col"), [tag("th", head, scope="col") for head in heads])),
        tag("tbody", rows),
        class_="glance",
    )
    return scrolling(table, "Methods at a glance", FITTING)


def _family_head(family: str, attacks: list[Row]) -> list[Child]:
    dagger = PROXY if any(attack.get("proxy") for attack in attacks) else None
    return [family_label(family), dagger, tag("small", plural(len(attacks), "attack"))]


def _read_back(view: View, method: str) -> Markup:
    measured = view.survived(method, [attack for attack in view.attacks if attack["spec"] != NO_ATTACK])
    if not measured:
        return tag("td", UNKNOWN)
    survived = sum(value >= READ_BACK for value, _ in measured)
    return tag("td", tag("b", survived), tag("small", f"of {plural(len(measured), 'attack')}"))


def _family(view: View, method: str, family: str) -> Markup:
    measured = view.survived(method, view.groups[family])
    if not measured:
        return missing()
    mean = sum(value for value, _ in measured) / len(measured)
    worst = f"{fraction(measured[0][0], 2)} {measured[0][1]}" if family != NO_ATTACK and len(measured) > 1 else None
    return tag("td", tag("b", fraction(mean, 2)), worst and tag("small", breakable(worst)), class_=heat(mean))


def _cost(view: View, method: Row) -> Markup:
    name, _, unit, digits = view.words.cost
    found = (method.get("quality") or {}).get(name)
    if not found:
        return tag("td", UNKNOWN)
    worst = tag("small", f"{METRICS[name][2]} {number(found['least'], digits)}")
    return tag("td", f"{number(found['mean'], digits)}{unit}", worst)


def _false_alarms(null: Row | None) -> Markup:
    if not null:
        return missing()
    trials = tag("small", f"of {plural(null['trials'], 'trial')}")
    return tag("td", f"{null['accepted']:,}", trials, class_="bad" if null["accepted"] else None)


# Methods in full


def methods(view: View) -> Markup:
    """Return quality, speed, memory and honesty: one column per method."""
    groups: list[tuple[str, list[Markup]]] = [
        ("Mark", [_line("Payload, bits", view, _bits), *_strength_lines(view)]),
        (view.words.quality, _quality_lines(view)),
        (view.words.time, _time_lines(view)),
        ("Memory, MB", _memory_lines(view)),
        (
            "Honesty",
            [
                _line("False alarms", view, lambda method: _accepted(view, method)),
                _line("Wrong payloads accepted", view, lambda method: _count(view.total(method["name"], "wrong"))),
                _line("Errors", view, lambda method: _count(method.get("errors") or 0)),
            ],
        ),
    ]
    span = len(view.names) + 1
    bodies = [tag("tbody", group(title, span), lines) for title, lines in groups if lines]
    head = tag("thead", tag("tr", tag("td"), method_heads(view)))
    table = tag("table", caption("What each method costs and how far it can be trusted."), head, bodies, class_="costs")
    return scrolling(table, "Methods in full", len(view.names))


def _line(title: Child, view: View, cell: Callable[[Row], Markup]) -> Markup:
    return tag("tr", tag("th", title, scope="row"), [cell(method) for method in view.methods])


def _two(main: str, *below: str, class_: str | None = None) -> Markup:
    return tag("td", main, [tag("small", line) for line in below if line], class_=class_)


def _count(count: int) -> Markup:
    return tag("td", f"{count:,}", class_="bad" if count else None)


def _bits(method: Row) -> Markup:
    keyed = "secret key" if method.get("keyed") else "no key"
    return _two(f"{method['bits']}", f"{keyed}, {'states p' if method.get('states_p') else 'p from its bits'}")


def _strength_lines(view: View) -> list[Markup]:
    if not any(method.get("strength") for method in view.methods):
        return []
    return [_line("Strength", view, lambda method: tag("td", number(method.get("strength"))))]


def _quality_lines(view: View) -> list[Markup]:
    present = {metric for method in view.methods for metric in method.get("quality") or {}}
    known = [metric for metric in METRICS if metric in present]
    return [
        _line(METRICS.get(metric, (metric,))[0], view, _quality_cell(metric))
        for metric in known + sorted(present - set(known))
    ]


def _quality_cell(metric: str) -> Callable[[Row], Markup]:
    _, digits, extreme = METRICS.get(metric, (metric, 3, "least"))

    def cell(method: Row) -> Markup:
        found = (method.get("quality") or {}).get(metric)
        if not found:
            return missing()
        worst = f"{extreme} {number(found.get('least'), digits)}"
        return _two(number(found["mean"], digits), interval(found, digits), worst)

    return cell


def _time_lines(view: View) -> list[Markup]:
    times = [method["time"] for method in view.methods if method.get("time")]
    if not times:
        return []
    if view.words is TEXTS:
        return [_line(head.capitalize(), view, _time_cell(key, digits)) for key, head, digits in view.words.times]
    sizes = ", ".join(dict.fromkeys(f"{time['width']} x {time['height']}" for time in times))

    def cell(what: str) -> Callable[[Row], Markup]:
        def of(method: Row) -> Markup:
            time = method.get("time")
            return (
                _two(*(milliseconds(time[key]) for key in (f"{what}_ms", f"{what}_ms_default"))) if time else missing()
            )

        return of

    return [_line([f"{verb}, {sizes}"], view, cell(what)) for verb, what in (("Embed", "embed"), ("Detect", "detect"))]


def _time_cell(key: str, digits: int) -> Callable[[Row], Markup]:
    return lambda method: tag("td", number(method["time"][key], digits)) if method.get("time") else missing()


def _memory_lines(view: View) -> list[Markup]:
    if not any(method.get("memory_mb") for method in view.methods):
        return []

    def cell(what: str) -> Callable[[Row], Markup]:
        return lambda method: tag("td", number(method["memory_mb"][what], 0)) if method.get("memory_mb") else missing()

    return [_line(verb, view, cell(what)) for verb, what in (("Embed", "embed"), ("Detect", "detect"))]


def _accepted(view: View, method: Row) -> Markup:
    null = view.null_of(method["name"])
    if not null:
        return missing()
    below = f"of {null['trials']:,}", f"smallest p {power(null.get('smallest_log10_p'))}"
    return _two(f"{null['accepted']:,}", *below, class_="bad" if null["accepted"] else None)


# Attacks by methods


def robustness(view: View, measure: Measure) -> Markup:
    """Return the heat table of one measure: attacks by family in rows, methods in columns."""
    span = len(view.names) + (2 if view.words.damage else 1)
    bodies = [
        tag(
            "tbody",
            group(family_label(family), span),
            [_attack_row(view, attack, measure) for attack in attacks],
        )
        for family, attacks in view.groups.items()
    ]
    head = tag(
        "thead",
        tag(
            "tr",
            tag("th", "Attack", scope="col"),
            tag("th", "PSNR, dB", scope="col", class_="quiet") if view.words.damage else None,
            method_heads(view),
        ),
    )
    words = f"{measure.label}: {measure.meaning}; below it the 95 % interval. {view.words.damage or ''}"
    table = tag("table", caption(words), head, bodies, class_="heat")
    return scrolling(table, measure.label, len(view.names))


def _attack_row(view: View, attack: Row, measure: Measure) -> Markup:
    spec = attack["spec"]
    name = tag("th", attack_name(attack), scope="row", title=attack.get("meaning") or None)
    psnr = tag("td", number(attack.get("psnr"), 1), class_="quiet") if view.words.damage else None
    return tag("tr", name, psnr, [_heat_cell(view, view.cell(method, spec), measure, method) for method in view.names])


def attack_name(attack: Row) -> list[Child]:
    """Return the spec of an attack, with a dagger where it is a stand-in."""
    return [tag("code", breakable(attack["spec"])), PROXY if attack.get("proxy") else None]


def _heat_cell(view: View, cell: Row | None, measure: Measure, method: str) -> Markup:
    share = measure.share(cell)
    flags = _flags(cell)
    if share is None:
        return tag("td", UNKNOWN, flags, title="not measured")
    return tag(
        "td",
        tag("b", fraction(share["value"])),
        tag("small", interval(share)),
        flags,
        class_=heat(share["value"], measure.chance),
        title=_details(view, cell, method),
    )


def _flags(cell: Row | None) -> list[Markup]:
    if cell is None:
        return []
    counts = (
        ("wrong", plural(cell.get("wrong") or 0, "wrong", "wrong")),
        ("errors", plural(cell.get("errors") or 0, "error")),
    )
    return [tag("small", text, class_="alarm") for what, text in counts if cell.get(what)]


def _details(view: View, cell: Row | None, method: str) -> str | None:
    """Return what the table has no room for, for who points at a cell."""
    if cell is None:
        return None
    known = f"median p {power(cell.get('median_log10_p'))}, AUROC {fraction((cell.get('auroc') or {}).get('value'))}"
    return f"{method}, {cell['attack']}: {plural(cell['n'], view.words.one)}, {known}"


def scale(measure: Measure) -> Markup:
    """Return the key to the colours of a heat table."""
    low = measure.chance
    steps = [tag("i", class_=f"h{step}", aria_hidden="true") for step in range(11)]
    return tag("p", f"{low:g} ", tag("span", steps, class_="steps"), " 1", class_="scale")


# Quality at performance, security


def quality_at_performance(view: View) -> Markup:
    """Return how much quality an attacker has to give up: one row per attack that was swept."""
    found = {(row["attack"], row["method"]): row for row in view.quality_at_performance}
    attacks = dict.fromkeys(row["attack"] for row in view.quality_at_performance)
    rows = [
        tag(
            "tr",
            tag("th", tag("code", breakable(attack)), scope="row"),
            [_quality_at(found.get((attack, method))) for method in view.names],
        )
        for attack in attacks
    ]
    words = (
        "Quality given up until detection at 1e-3 falls to 0.95, below it to 0.7. More is better; "
        "never: it did not fall so far at any strength tried."
    )
    head = tag("thead", tag("tr", tag("th", "Attack", scope="col"), method_heads(view)))
    table = tag("table", caption(words), head, tag("tbody", rows), class_="heat")
    return scrolling(table, "Quality at performance", len(view.names))


def _quality_at(row: Row | None) -> Markup:
    if row is None:
        return missing()
    first, second = (finite(row.get(key)) for key in ("q95", "q70"))
    colour = heat(1.0 if first is None else first)
    return tag("td", tag("b", _or_never(first)), tag("small", _or_never(second)), class_=colour)


def _or_never(value: float | None) -> str:
    return "never" if value is None else f"{value:.3f}"


def security(view: View) -> Markup:
    """Return the attacks that aim at the scheme: what is wanted, and what happened."""
    rows_of: dict[str, list[Row]] = {}
    for row in view.security:
        rows_of.setdefault(row["attack"], []).append(row)
    body = [tag("tr", _security_head(rows), _security_cells(view.names, rows)) for rows in rows_of.values()]
    head = tag(
        "thead",
        tag("tr", tag("th", "Attack", scope="col"), tag("th", "Wanted", scope="col"), method_heads(view)),
    )
    words = "Share of pictures, 95 % interval, and how many. Blue is what is wanted, orange is not."
    table = tag("table", caption(words), head, tag("tbody", body), class_="heat security")
    return scrolling(table, "Security", len(view.names))


def _security_head(rows: list[Row]) -> list[Markup]:
    name = tag("th", tag("code", breakable(rows[0]["attack"])), tag("small", rows[0]["meaning"]), scope="row")
    return [name, tag("td", rows[0]["want"])]


def _security_cells(names: Iterable[str], rows: list[Row]) -> list[Markup]:
    by_method = {row["method"]: row for row in rows}
    return [_security_cell(by_method.get(name)) for name in names]


def _security_cell(row: Row | None) -> Markup:
    value = finite(row["bad"]["value"]) if row else None
    if row is None or value is None:
        return missing()
    return tag(
        "td",
        tag("b", fraction(value)),
        tag("small", interval(row["bad"])),
        tag("small", f"n {row['n']:,}"),
        class_=heat(value if row["want"] == "high" else 1 - value),
    )
