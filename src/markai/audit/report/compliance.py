"""The rules on the page: per regime, how many files pass and fail, where the law says so, and what to do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markai.audit.evidence import own_words
from markai.audit.report.bars import bar
from markai.audit.report.bilingual import say, words
from markai.audit.report.view import View
from markai.audit.words import RULE_STATUSES, Text, known, name_of, visible
from markai.bench.report.elements import Child, Markup, tag

Row = Mapping[str, Any]

TONES = {"pass": "good", "fail": "bad", "not applicable": "nothing"}


def rule_texts(audit: Row) -> dict[str, Row]:
    """Return what is known of the rules, by id: regime, title, source, todo."""
    return {str(each["id"]): each for each in audit.get("rules") or () if each.get("id")}


def rule_titles(audit: Row) -> dict[str, Text]:
    """Return the titles of the rules, by id."""
    return {name: own_words(each["title"]) for name, each in rule_texts(audit).items() if each.get("title")}


def rules(view: View) -> list[Markup] | None:
    """Return a table per regime; None where no rules were asked for."""
    audit, tally = view.audit, view.tally
    of_audit = audit.get("audit_rules") or ()
    if not tally.rules and not tally.policy and not of_audit:
        return None
    texts, regimes = rule_texts(audit), dict[str, list[str]]()
    for name in [*(name for name in texts if name in tally.rules), *sorted(set(tally.rules) - set(texts))]:
        regime = texts.get(name, {}).get("regime")
        regimes.setdefault(str(regime or "other"), []).append(name)
    parts = [_regime(_name(regime, audit), names, tally.rules, texts, view) for regime, names in regimes.items()]
    if of_audit:
        parts.append(_of_audit(of_audit, texts))
    if tally.policy:
        parts.append(_regime(say("regime.policy"), sorted(tally.policy), tally.policy, texts, view))
    return parts


def _of_audit(found: Sequence[Row], texts: Mapping[str, Row]) -> Markup:
    """Return what rules about the audit as a whole say of it, such as that there was a self-test."""
    rows = []
    for each in found:
        about = texts.get(str(each["id"]), {})
        status = str(each.get("status"))
        said: list[Child] = [words(own_words(each.get("sentence")))]
        if each.get("todo") and status != "pass":
            said.append(tag("small", tag("b", say("rule.todo"), ": "), words(own_words(each["todo"])), class_="todo"))
        result = say("rule.open") if each.get("open") else words(name_of("rule", status))
        tone = "bad" if status == "fail" else None
        rows.append(
            tag(
                "tr",
                tag("th", _about(str(each["id"]), about), scope="row"),
                tag("td", said),
                tag("td", result, class_=tone),
            )
        )
    title = say("regime.audit")
    table = tag("table", tag("caption", title, class_="aside"), tag("tbody", rows), class_="counts whole")
    return tag("div", tag("h3", title), table, class_="regime")


def _about(name: str, texts: Row, link: Markup | None = None) -> list[Child]:
    """Return what a rule is: its id, title and source; what is checked and what is not verified on demand."""
    about: list[Child] = [link or tag("code", visible(name))]
    if texts.get("title"):
        about.append(tag("span", words(own_words(texts["title"])), class_="title"))
    if texts.get("source"):
        about.append(tag("small", say("rule.source"), ": ", words(own_words(texts["source"]))))
    more = [
        tag("small", tag("b", say(f"rule.{key}"), ": "), words(own_words(texts[key])))
        for key in ("since", "note")
        if texts.get(key)
    ]
    if texts.get("checks"):
        about.append(
            tag("details", tag("summary", say("rule.checks")), tag("small", words(own_words(texts["checks"]))), more)
        )
    return about


def _name(regime: str, audit: Row) -> Markup:
    titles = audit.get("regimes") or {}
    if isinstance(titles, Mapping) and titles.get(regime):
        return words(own_words(titles[regime]))
    return say(f"regime.{regime}") if known(f"regime.{regime}") else words(visible(regime))


def _regime(
    title: Markup,
    names: Sequence[str],
    counts: Mapping[str, Counter[str]],
    texts: Mapping[str, Row],
    view: View,
) -> Markup:
    heads = [
        tag("th", say("report.rule"), scope="col"),
        tag("td", class_="bars"),
        *(tag("th", say(f"rule.{status}"), scope="col", class_="number") for status in RULE_STATUSES),
    ]
    rows = [_rule(name, counts[name], texts.get(name, {}), view) for name in names]
    head = tag("thead", tag("tr", heads))
    table = tag("table", tag("caption", title, class_="aside"), head, tag("tbody", rows), class_="counts rules")
    return tag("div", tag("h3", title), table, class_="regime")


def _rule(name: str, counts: Counter[str], texts: Row, view: View) -> Markup:
    link = tag("a", tag("code", visible(name)), href="#files", data_show=f"rule:{name}")
    failed = counts["fail"]
    about = _about(name, texts, link if failed else None)
    undecided = counts["undecided"]
    if undecided and (missing := view.undecided.get(name)):
        about.append(tag("small", tag("b", say("rule.open.why"), ": "), words(missing), class_="todo"))
    advice = own_words(texts["todo"]) if texts.get("todo") else view.todos.get(name)
    if (failed or undecided) and advice:
        about.append(tag("small", tag("b", say("rule.todo"), ": "), words(advice), class_="todo"))
    total = sum(counts[status] for status in RULE_STATUSES)
    return tag(
        "tr",
        tag("th", about, scope="row"),
        tag("td", bar([(counts[status], TONES[status]) for status in RULE_STATUSES], total), class_="bars"),
        tag("td", f"{counts['pass']:,}", class_="number"),
        tag("td", f"{failed:,}", class_="number bad" if failed else "number"),
        tag(
            "td",
            f"{counts['not applicable']:,}",
            tag("small", say("rule.open.count", count=f"{undecided:,}")) if undecided else None,
            class_="number",
        ),
    )
