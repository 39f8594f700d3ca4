"""The page: what stands in which order, the words around tables and charts, and a policy that forbids all network."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from markai.bench.report.curves import calibration, null_rates, quality, roc, strength
from markai.bench.report.elements import Child, Markup, tag
from markai.bench.report.marks import breakable, swatch
from markai.bench.report.model import READ_BACK, SHARES, Row, View
from markai.bench.report.numbers import UNKNOWN, duration, fraction, interval, number, plural, power
from markai.bench.report.tables import (
    caption,
    methods,
    overview,
    quality_at_performance,
    robustness,
    scale,
    scrolling,
    security,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; a body of None leaves it out."""

    ident: str
    title: str
    intro: str
    body: Callable[[View], Child]


def page(view: View) -> str:
    """Return the whole page."""
    present = [(section, body) for section in SECTIONS if (body := section.body(view))]
    main = [
        tag("section", tag("h2", section.title), section.intro and tag("p", section.intro), body, id=section.ident)
        for section, body in present
    ]
    contents = [tag("li", tag("a", section.title, href=f"#{section.ident}")) for section, _ in present]
    nav = tag("nav", tag("ul", contents), aria_label="Contents")
    body = tag("body", tag("header", _header(view), nav), tag("main", main))
    return "<!doctype html>\n" + tag("html", _head(_title(view)), body, lang="en") + "\n"


def _head(title: str) -> Markup:
    style = files("markai.bench.report").joinpath("style.css").read_text("utf-8")
    # Nothing but this very style sheet and the pictures in the page itself; no script at all.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )


def _title(view: View) -> str:
    counts = [plural(len(view.names), "method"), plural(len(view.attacks), "attack")]
    return f"markai benchmark: {', '.join([*counts, plural(view.count, view.words.one)])}"


def _header(view: View) -> list[Child]:
    run, machine = view.run, view.run.get("machine", {})
    groups = ", ".join(f"{name} {count}" for name, count in run.get("groups", {}).items())
    measured = str(run.get("created", UNKNOWN)).replace("T", " ").replace("+00:00", " UTC")
    facts = [
        (view.words.head, f"{view.count:,} {view.source}" + (f" ({groups})" if groups else "")),
        (
            "Measured",
            f"{measured}, in {duration(run.get('seconds'))}, seed {run.get('seed', UNKNOWN)}",
        ),
        ("Machine", _machine(machine)),
    ]
    notes = [tag("li", note) for note in run.get("notes", [])]
    return [
        tag("p", "markai benchmark", class_="kicker"),
        tag("h1", f"{plural(len(view.names), 'method')} against {plural(len(view.attacks), 'attack')}"),
        tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts], class_="facts"),
        tag("ul", notes, class_="notes") if notes else None,
    ]


def _machine(machine: Row) -> str:
    memory = f"{number(machine['memory_gb'], 0)} GB" if machine.get("memory_gb") else None
    cores = plural(machine["cores"], "core") if machine.get("cores") else None
    python = f"Python {machine['python']}" if machine.get("python") else None
    known = [machine.get("processor"), cores, memory, machine.get("platform"), python]
    return ", ".join(str(each) for each in known if each) or UNKNOWN


# Sections


def _glance(view: View) -> Child:
    if not view.methods:
        return None
    many = view.words.many
    terms = [
        *view.words.key,
        ("95 % interval", f"the small pair of numbers: the true shares that this many {many} leave possible."),
        ("Blue, orange", "all survive, none survive. The number is always there too."),
        (f"† and {UNKNOWN}", "† is a stand-in for an attack that needs trained weights; a dash was not measured."),
    ]
    key = [tag("div", tag("dt", term), tag("dd", meaning)) for term, meaning in terms]
    return [overview(view), tag("dl", key, class_="key")]


def _robustness(view: View) -> Child:
    """Return one heat table per measure; radio buttons choose which is seen, without a script."""
    if not view.methods or not view.measures or not view.attacks:
        return None
    parts = []
    for index, measure in enumerate(view.measures):
        ident = f"measure-{index}"
        parts += [
            tag("input", type="radio", name="measure", id=ident, checked=index == 0),
            tag("label", measure.label, for_=ident),
            tag("div", scale(measure), robustness(view, measure), class_="panel"),
        ]
    return tag("div", parts, class_="tabs")


def _methods(view: View) -> Child:
    return methods(view) if view.methods else None


def _quality_at_performance(view: View) -> Child:
    return quality_at_performance(view) if view.quality_at_performance else None


def _null(view: View) -> Child:
    return [null_rates(view), calibration(view)] if view.null else None


def _security(view: View) -> Child:
    return security(view) if view.security else None


def _worst(view: View) -> Child:
    cards = [_card(view, worst) for worst in view.worst if worst.get("images")]
    return tag("div", cards, class_="worst") if cards else None


def _card(view: View, worst: Row) -> Markup:
    head = tag("h3", swatch(view.style(worst["method"])), tag("span", breakable(worst["method"])))
    attack = [", ", tag("code", worst["attack"])] if worst.get("attack") else None
    why = tag("p", tag("b", breakable(worst["picture"])), ": ", worst["why"], attack)
    figures = [_picture(worst["picture"], image) for image in worst["images"]]
    return tag("article", head, why, tag("div", figures, class_="pictures"))


def _picture(name: str, image: Row) -> Markup:
    drawn = tag(
        "img",
        src=image["src"],
        width=image["width"],
        height=image["height"],
        alt=f"{name}, {image['label']}",
        loading="lazy",
    )
    return tag("figure", drawn, tag("figcaption", image["label"]))


def _limits(view: View) -> Child:
    if not view.methods:
        return None
    proxies = [attack["spec"] for attack in view.attacks if attack.get("proxy")]
    many = view.words.many
    named = [[", " if index else "", tag("code", spec)] for index, spec in enumerate(proxies)]
    words: list[Child] = [
        f"An interval speaks of {many} like these. Other kinds of {many}, and other sizes, can do better or worse.",
        f"Intervals of different attacks are of the same {many}: they do not add up to one larger sample.",
        f"A method counts as read back after an attack from {READ_BACK:.0%} of the {many} on; less counts as lost.",
        *view.words.limits,
        f"{view.words.head} on which a method raised an error are counted beside the cell, and as lost.",
    ]
    if proxies:
        words.insert(
            0,
            [
                "† Stand-ins: ",
                named,
                f". {view.words.stand_in} To survive a stand-in is ",
                "necessary, and proves nothing about the real attack.",
            ],
        )
    return tag("ul", [tag("li", each) for each in words], class_="words")


def _reproduce(view: View) -> Child:
    run = view.run
    if not run.get("command"):
        return None
    commit, versions = run.get("machine", {}).get("commit"), run.get("versions", {})
    with_what = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        tag("pre", tag("code", run["command"])),
        tag(
            "p",
            f"Seed {run.get('seed', UNKNOWN)}, commit {commit or UNKNOWN}. The same seed draws the same keys, messages "
            "and attacks; times differ from machine to machine.",
        ),
        tag("p", f"With {with_what}.") if versions else None,
    ]


def _data(view: View) -> Child:
    if not view.cells:
        return None
    rates = sorted({rate for cell in view.cells for rate in cell["detected"]}, key=float)
    shares = [key for key in SHARES if any(cell.get(key) for cell in view.cells)]
    labels = [SHARES[key][0] for key in shares]
    heads = ["Method", "Attack", "n", "Errors", "Wrong", *labels, "Bit accuracy", "Median p", "AUROC"]
    heads += [f"p ≤ {rate}" for rate in rates]
    head = tag("thead", tag("tr", [tag("th", each, scope="col") for each in heads]))
    rows = [tag("tr", [tag("td", each) for each in _data_row(cell, shares, rates)]) for cell in view.cells]
    table = tag(
        "table", caption("Every cell, shares with their 95 % interval."), head, tag("tbody", rows), class_="data"
    )
    shown = plural(len(view.cells), "cell")
    return tag("details", tag("summary", shown), scrolling(table, "Every cell", len(heads)))


def _data_row(cell: Row, shares: list[str], rates: list[str]) -> list[str]:
    counts = [f"{cell.get(count) or 0:,}" for count in ("n", "errors", "wrong")]
    known = [_with_interval(cell.get(key), "value") for key in shares]
    accuracy, auroc = _with_interval(cell.get("bit_accuracy"), "mean"), _with_interval(cell.get("auroc"), "value")
    found = [_with_interval(cell["detected"].get(rate), "value") for rate in rates]
    return [cell["method"], cell["attack"], *counts, *known, accuracy, power(cell.get("median_log10_p")), auroc, *found]


def _with_interval(share: Row | None, key: str) -> str:
    if not share:
        return UNKNOWN
    around = interval(share)
    return fraction(share.get(key)) + (f" ({around})" if around else "")


SECTIONS = (
    Section("glance", "At a glance", "", _glance),
    Section("robustness", "What survives what", "", _robustness),
    Section("methods", "Methods in full", "", _methods),
    Section(
        "strength",
        "Strength",
        "Strengths as they were tried, at even distances, the mild end on the left. "
        "The band is the 95 % interval; with many methods only the markers tell it.",
        strength,
    ),
    Section(
        "quality",
        "Robustness against quality",
        "What an attacker has to ruin to get rid of the mark: 0 is an untouched picture. A line that stays up wins.",
        quality,
    ),
    Section("performance", "Quality at performance", "", _quality_at_performance),
    Section("roc", "ROC", "Higher and further left is better; the thin line is guessing.", roc),
    Section(
        "null",
        "False alarms",
        "Where there is no mark an honest p-value is small exactly as often as it says. Below the diagonal, in the "
        "shaded half, alarms come more often than stated; above it the method is cautious.",
        _null,
    ),
    Section("security", "Security", "Attacks that aim at the scheme instead of the picture.", _security),
    Section("worst", "Worst pictures", "Where each method does worst: look before you trust a mean.", _worst),
    Section("limits", "Stand-ins and limits", "", _limits),
    Section("reproduce", "How to reproduce", "", _reproduce),
    Section("data", "All figures", "The same as JSON is in summary.json beside this page.", _data),
)
