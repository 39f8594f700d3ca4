"""How to read the report: what the words mean, and what an audit cannot tell."""

from markai.audit.evidence import rate
from markai.audit.report.bilingual import say
from markai.audit.report.view import View
from markai.audit.words import CLAIMED, FURTHER_VERDICTS, LAYERS, VERDICTS, visible
from markai.bench.report.elements import Child, Markup, tag
from markai.bench.report.numbers import finite

LIMITS = ("absence", "copied", "privacy", "offline")


def guide(view: View) -> Child:
    """Return the terms with their meanings, and the limits."""
    return [
        tag("h3", say("report.guide.certainty")),
        tag("ul", [tag("li", say(f"sure.{code}.sentence")) for code in ("proven", "claimed")], class_="words"),
        _terms("verdicts", [(_chip(code), say(f"verdict.{code}.sentence")) for code in _verdicts(view)]),
        _terms("layers", [(say(f"layer.{code}"), say(f"layer.{code}.sentence")) for code in LAYERS]),
        tag("h3", say("report.guide.limits")),
        tag("ul", [tag("li", each) for each in _limits(view)], class_="words"),
    ]


def _terms(title: str, terms: list[tuple[Markup, Markup]]) -> Markup:
    listed = [tag("div", tag("dt", term), tag("dd", meaning)) for term, meaning in terms]
    return Markup(tag("h3", say(f"report.guide.{title}")) + tag("dl", listed, class_="key"))


def _verdicts(view: View) -> list[str]:
    """Return the verdicts that there are, and of the rarer ones those that occur."""
    return [*VERDICTS, *(code for code in FURTHER_VERDICTS if view.tally.verdicts[code])]


def _chip(code: str) -> Markup:
    claimed = " claimed" if code in CLAIMED else ""
    return tag("span", say(f"verdict.{code}"), class_=f"chip v-{code}{claimed}")


def _limits(view: View) -> list[Markup]:
    found = [say(f"report.limit.{code}") for code in LIMITS]
    fpr = finite(view.settings.get("fpr"))
    if fpr:
        expected = fpr * view.tally.examined
        values = {"expected": f"{expected:.2g}" if expected >= 0.01 else rate(expected)}
        found.insert(1, say("report.limit.chance", fpr=rate(fpr), count=f"{view.tally.examined:,}", **values))
    return found


def reproduce(view: View) -> Child:
    """Return how to get the same rows again, and what shows that they are the same."""
    command = view.audit.get("command")
    return [
        tag("pre", tag("code", visible(command))) if command else None,
        tag("p", say("report.reproduce.sentence")),
    ]
