"""The counts on the page: verdicts, layers, contradictions, the self-test."""

from collections.abc import Mapping, Sequence
from typing import Any

from markai.audit.evidence import own_words, rate
from markai.audit.report.bars import bar, interval
from markai.audit.report.bilingual import say, words
from markai.audit.report.listing import quietest, state_label, states
from markai.audit.tally import Tally
from markai.audit.words import CLAIMED, LAYERS, VERDICTS, name_of, sentence_of, visible
from markai.bench.report.elements import Child, Markup, tag
from markai.bench.report.marks import breakable
from markai.bench.report.numbers import UNKNOWN, finite

Row = Mapping[str, Any]


def percent(count: int, total: int) -> str:
    """Return a share; only none and all of it are written as 0 % and 100 %.

    >>> percent(1, 3), percent(1, 100_000), percent(99_999, 100_000), percent(0, 0)
    ('33.3%', '<0.1%', '>99.9%', '–')
    """
    if not total:
        return UNKNOWN
    share = 100 * count / total
    if 0 < share < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return ">99.9%"
    return f"{share:.0f}%" if share in (0, 100) else f"{share:.1f}%"


def counted(counts: Sequence[tuple[Child, int, str]], total: int, title: str, head: str) -> Markup:
    """Return a table of counts with a bar each: what, how many, and the class that colours it."""
    rows = [
        tag(
            "tr",
            tag("th", what, scope="row"),
            tag("td", bar([(count, kind)], total), class_="bars"),
            tag("td", f"{count:,}", class_="number"),
            tag("td", percent(count, total), class_="number quiet"),
        )
        for what, count, kind in counts
    ]
    heads = [
        tag("th", say(head), scope="col"),
        tag("td", class_="bars"),
        tag("th", say("report.count"), scope="col", class_="number"),
        tag("th", say("report.share"), scope="col", class_="number"),
    ]
    caption = tag("caption", say(title), class_="aside")
    return tag("table", caption, tag("thead", tag("tr", heads)), tag("tbody", rows), class_="counts")


def verdicts(tally: Tally) -> Markup:
    """Return how many files got each verdict; those that no file got are there too, for that is worth knowing."""
    codes = [*VERDICTS, *sorted(set(tally.verdicts) - set(VERDICTS))]
    shown = [code for code in codes if code != "none" or tally.verdicts["none"]]
    counts = [
        (_link(f"verdict:{code}", "chip", f"v-{code}", code, tally.verdicts[code]), tally.verdicts[code], f"v-{code}")
        for code in shown
    ]
    strip = bar([(tally.verdicts[code], f"v-{code}") for code in shown], tally.files)
    return tag(
        "div", tag("div", strip, class_="strip"), counted(counts, tally.files, "report.verdicts", "report.verdict")
    )


def _link(show: str, kind: str, colour: str, code: str, count: int) -> Markup:
    """Return a verdict that, with a script, shows its files."""
    claimed = " claimed" if code in CLAIMED else ""
    chip = tag("span", words(name_of("verdict", code)), class_=f"{kind} {colour}{claimed}")
    return tag("a", chip, href="#files", data_show=show) if count else chip


def layers(tally: Tally) -> Markup:
    """Return what the layers say, a small table for each."""
    cards = []
    for layer in LAYERS:
        found = tally.layers[layer]
        counts: list[tuple[Child, int, str]] = [
            (words(state_label(layer, state)), count, _tone(state)) for state, count in states(layer, found)
        ]
        if counts:
            table = counted(counts, tally.examined, f"layer.{layer}", f"layer.{layer}")
            cards.append(tag("div", table, class_="card"))
    return tag("div", cards, class_="cards")


def _tone(state: str) -> str:
    if quietest(state):
        return "nothing"
    return "bad" if state in ("invalid", "damaged") else "weak" if state in ("valid", "software") else "good"


def contradictions(tally: Tally) -> Markup:
    """Return how many files have which contradiction."""
    if not tally.contradictions:
        return tag("p", say("report.findings.none"))
    counts: list[tuple[Child, int, str]] = []
    for code, count in sorted(tally.contradictions.items(), key=lambda item: (-item[1], item[0])):
        name = tag(
            "a", words(name_of("contradiction", visible(code))), href="#files", data_show=f"contradiction:{code}"
        )
        sentence = sentence_of("contradiction", {"code": code})
        counts.append(([name, tag("small", words(sentence)) if sentence != code else None], count, "bad"))
    return counted(counts, tally.files, "report.findings", "report.findings")


# Self-test


FIGURES = ("rate", "interval", "exact", "n")


def selftest(found: Row | None) -> list[Markup] | None:
    """Return how reliably the detector found marks with the settings of this audit; None without a self-test."""
    if not found or not (found.get("attacks") or found.get("false_positives")):
        return None
    parts = []
    if found.get("attacks"):
        about = (found.get("pictures") or {}).get("sentence") if isinstance(found.get("pictures"), Mapping) else None
        parts += [tag("p", words(own_words(about)))] if about else []
        figures = [tag("th", say(f"report.selftest.{code}"), scope="col", class_="number") for code in FIGURES]
        head = tag("tr", tag("th", say("report.selftest.attack"), scope="col"), tag("td"), figures)
        rows = [_attack(each) for each in found["attacks"]]
        caption = tag("caption", say("report.selftest.graph"))
        table = tag("table", caption, tag("thead", head), tag("tbody", rows), class_="counts selftest")
        parts.append(tag("div", table, class_="scroll", role="region", tabindex=0, data_label="selftest"))
    if false := false_alarms(found):
        parts.append(tag("p", tag("b", say("report.selftest.false"), ": "), false))
    return parts


def _attack(each: Row) -> Markup:
    value, low, high = (finite(each.get(key)) for key in ("rate", "low", "high"))
    known = value is not None and low is not None and high is not None
    exact, cases = finite((each.get("exact") or {}).get("rate")), finite(each.get("n"))
    spec = tag("code", breakable(visible(each.get("attack"))))
    title = [words(own_words(each["title"])), tag("small", spec)] if each.get("title") else spec
    return tag(
        "tr",
        tag("th", title, scope="row"),
        tag("td", interval(value or 0, low or 0, high or 0) if known else None, class_="bars"),
        tag("td", tag("b", UNKNOWN if value is None else f"{value:.1%}"), class_="number"),
        tag("td", f"{low:.1%}\N{EN DASH}{high:.1%}" if known else UNKNOWN, class_="number"),
        tag("td", UNKNOWN if exact is None else f"{exact:.1%}", class_="number"),
        tag("td", UNKNOWN if cases is None else f"{cases:,.0f}", class_="number"),
    )


def false_alarms(found: Row) -> Markup | None:
    """Return the sentence on false alarms."""
    trials = found.get("false_positives") or {}
    if trials.get("sentence"):
        return words(own_words(trials["sentence"]))
    high = finite(trials.get("high"))
    if not trials.get("n") or high is None:
        return None
    values = {"found": f"{trials.get('found', 0):,}", "n": f"{trials['n']:,}", "high": rate(high)}
    return say("report.selftest.false.sentence", fpr=rate(finite(found.get("fpr"))), **values)
