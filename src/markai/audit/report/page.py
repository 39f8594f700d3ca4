"""The page: what stands in which order, the words around it, and a policy that forbids all network."""

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import markai.audit.report.compliance as compliance
import markai.audit.report.listing as listing
import markai.audit.report.summary as summary
import markai.audit.words as spoken
from markai.audit.evidence import rate
from markai.audit.report.bilingual import say
from markai.audit.report.guide import guide, reproduce
from markai.audit.report.view import View
from markai.audit.thumbnails import Thumbnails
from markai.audit.words import LANGUAGES, Language, Said, visible
from markai.bench.report.elements import Child, Markup, tag
from markai.bench.report.numbers import UNKNOWN, finite

FACTS = ("inputs", "keys", "trust", "registry", "regimes", "policy")  # of the settings, that stand at the top
NATIVE_NAMES = {"en": "English", "ko": "한국어"}
# Hides the rows while they are read: they are laid out only after the script has taken all but a page of them away.
FIRST_SCRIPT = 'document.documentElement.className="reading"'


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under the heading "report." + ``ident``; a body of None leaves it out."""

    ident: str
    body: Callable[[View], Child]


def page(audit: Mapping[str, Any], thumbnails: Thumbnails, language: Language) -> str:
    """Return the whole page."""
    view = View(audit)
    pictures = thumbnails.choose(view.rows)
    sections = (*BEFORE, Section("files", lambda view: _files(view, pictures)), *AFTER)
    present = [(section, body) for section in sections if (body := section.body(view))]
    main = [tag("section", tag("h2", say(f"report.{each.ident}")), body, id=each.ident) for each, body in present]
    contents = [tag("li", tag("a", say(f"report.{each.ident}"), href=f"#{each.ident}")) for each, _ in present]
    script = _resource("page.js")
    body = tag(
        "body",
        _switch(language),
        tag("header", _header(view), tag("nav", tag("ul", contents))),
        tag("main", main),
        tag("script", listing.embedded(listing.data(view.rows, language)), type="application/json", id="data"),
        tag("script", Markup(script)),
    )
    head = _head(spoken.show(_title(view), language), script)
    return "<!doctype html>\n" + tag("html", head, body, lang=language) + "\n"


def _resource(name: str) -> str:
    return files("markai.audit.report").joinpath(name).read_text("utf-8")


def _head(title: str, script: str) -> Markup:
    style = _resource("style.css")
    # Nothing but these very texts, and the pictures in the page itself.
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(FIRST_SCRIPT)} {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(style)),
        tag("script", Markup(FIRST_SCRIPT)),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _switch(language: Language) -> Markup:
    """Return the choice of the language: radio buttons that the style sheet reads, so that no script is needed."""
    choices = [
        [
            tag("input", type="radio", name="language", id=f"language-{each}", value=each, checked=each == language),
            tag("label", NATIVE_NAMES[each], for_=f"language-{each}"),
        ]
        for each in LANGUAGES
    ]
    return tag("fieldset", tag("legend", say("report.language"), class_="aside"), choices, class_="languages")


# The header


def _title(view: View) -> Said:
    if view.tally.files == 1:
        return Said("report.headline.one")
    return Said("report.headline.many", {"count": f"{view.tally.files:,}"})


def _header(view: View) -> list[Child]:
    facts = [(f"report.{name}", _fact(view.settings.get(name))) for name in FACTS if name in view.settings]
    facts.insert(1, ("report.when", _when(view)))
    facts.append(("report.version", f"markai {visible(view.audit.get('markai', UNKNOWN))}"))
    if (fpr := finite(view.settings.get("fpr"))) is not None:
        facts.append(("report.fpr", rate(fpr)))
    others = "\n".join(map(visible, json.dumps(view.settings, ensure_ascii=False, indent=1).split("\n")))
    title = _title(view)
    return [
        tag("p", say("report.title"), class_="kicker"),
        tag("h1", say(title.code, **title.values)),
        tag("dl", [tag("div", tag("dt", say(name)), tag("dd", value)) for name, value in facts], class_="facts"),
        tag("details", tag("summary", say("report.settings")), tag("pre", others)) if view.settings else None,
    ]


def _fact(value: Any) -> Child:
    """Return a setting as it is read: lists and tables in one line."""
    if value in (None, "", [], {}):
        return say("report.none")
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(key)}: {visible(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(visible, value))
    return visible(value)


def _when(view: View) -> Child:
    started, finished = (_time(view.audit.get(name)) for name in ("started", "finished"))
    if started is None or finished is None:
        return visible(view.audit.get("finished") or view.audit.get("started") or UNKNOWN)
    shown = [each.strftime("%Y-%m-%d %H:%M:%S %Z").strip() for each in (started, finished)]
    unit, values = _duration((finished - started).total_seconds())
    spans = []
    for each in LANGUAGES:
        duration = spoken.say(unit, each, **values)
        when = spoken.say("report.when.sentence", each, started=shown[0], finished=shown[1], duration=duration)
        spans.append(tag("span", when, lang=each))
    return spans


def _time(value: Any) -> dt.datetime | None:
    with suppress(ValueError, TypeError):
        return dt.datetime.fromisoformat(value).astimezone(dt.UTC)
    return None


def _duration(seconds: float) -> tuple[str, dict[str, int]]:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return "unit.hours", {"hours": hours, "minutes": minutes}
    return ("unit.minutes", {"minutes": minutes, "seconds": rest}) if minutes else ("unit.seconds", {"seconds": rest})


# Sections


def _summary(view: View) -> Child:
    unexamined = view.tally.files - view.tally.examined
    note = None
    if unexamined:
        note = say("report.unexamined.one") if unexamined == 1 else say("report.unexamined.many", count=unexamined)
    return [
        _part("verdicts", summary.verdicts(view.tally)),
        tag("p", tag("a", note, href="#files", data_show="verdict:none")) if note else None,
        _part("layers", summary.layers(view.tally)) if view.tally.examined else None,
        _part("findings", summary.contradictions(view.tally)),
    ]


def _part(name: str, body: Child) -> Child:
    return [tag("h3", say(f"report.{name}")), tag("p", say(f"report.{name}.sentence")), body]


def _selftest(view: View) -> Child:
    body = summary.selftest(view.audit.get("selftest"))
    return [tag("p", say("report.selftest.sentence")), body] if body else None


def _rules(view: View) -> Child:
    body = compliance.rules(view)
    return [tag("p", say("report.rules.sentence")), body] if body else None


def _files(view: View, pictures: Mapping[int, str]) -> Child:
    shown, total = len(view.rows), view.tally.files
    left_out = say("report.files.left-out", shown=f"{shown:,}", total=f"{total:,}") if shown < total else None
    table = listing.table(view.rows, pictures, compliance.rule_titles(view.audit))
    return [
        tag("p", left_out, class_="alarm") if left_out else None,
        tag("p", say("report.files.sentence"), class_="scripted"),
        tag("noscript", tag("p", say("report.files.no-script"))),
        tag("div", id="controls"),
        tag("div", table, class_="listing"),
        tag("div", id="pager"),
    ]


BEFORE = (Section("summary", _summary), Section("selftest", _selftest), Section("rules", _rules))
AFTER = (Section("guide", guide), Section("reproduce", reproduce))
