"""Laws, codes and standards as data: what each asks of a file, checked on the rows of an audit.

The rules stand in ``rules/*.yaml``. Each says what kind of source it comes from (a law, a voluntary code, a guideline,
a standard, good practice), how that source was read, and what of it could not be verified. A rule that passes says
that the file has what was looked for; it is no legal advice, and nobody but an authority finds compliance.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from markai.audit.conditions import Condition, Definitions, parse
from markai.audit.yamlfile import Node
from markai.audit.yamlfile import parse as parse_yaml
from markai.errors import PolicyError

Row = Mapping[str, Any]
Both = dict[str, str]
Status = Literal["pass", "fail", "not applicable"]

REGIMES = ("eu", "korea", "california", "china", "iptc", "common")
KINDS = {
    "law": ("law", "법령"),
    "code": ("voluntary code", "자율 규범"),
    "guideline": ("guideline", "지침"),
    "standard": ("standard", "표준"),
    "practice": ("good practice", "모범 관행"),
}
READINGS = ("text", "secondary")  # the source's own words, or what others write of them
SCOPES = ("file", "audit")
LANGUAGES = ("en", "ko")
RULE_KEYS = {
    *("id", "scope", "title", "source", "checks", "applies", "open", "passes"),
    *("pass", "fail", "unknown", "todo"),
}
NEEDED = {"id", "title", "source", "checks", "passes", "pass", "fail", "todo"}
SOURCE_KEYS = {"kind", "act", "article", "since", "read", "note"}  # "since" when it applies; good practice has no date
NOT_MEANT: Both = {"en": "This rule is not about such a file.", "ko": "이 규칙의 대상이 아닌 파일입니다."}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule comes from. ``read`` is "text" where its own words were read, "secondary" where others' were.

    ``note`` says what is not verified, and what is this package's own reading.
    """

    kind: str
    act: Both
    article: Both
    since: dt.date | None
    read: str
    note: Both

    @property
    def text(self) -> Both:
        """Act, article and kind in one line."""
        kinds = {"en": KINDS[self.kind][0], "ko": KINDS[self.kind][1]}
        return {each: f"{self.act[each]}, {self.article[each]} ({kinds[each]})" for each in LANGUAGES}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when it applies, when it cannot be decided from what is at hand (``open``), when it passes."""

    id: str
    regime: str
    title: Both
    source: Source
    checks: Both
    scope: str
    applies: Condition
    open: Condition
    passes: Condition
    sentences: dict[str, Both]

    @property
    def severity(self) -> str:
        """What a failure is: an "error" under a law, a "warning" under what is not one."""
        return "error" if self.source.kind == "law" else "warning"

    def check(self, subject: Row) -> dict[str, Any]:
        """Return what the rule says of a row, or of an audit.

        A rule that applies and cannot be decided has the status "not applicable" and ``open`` true: what is missing
        stands in no file, and its sentence and ``todo`` say what to declare.
        """
        if not self.applies(subject):
            return self._result("not applicable", NOT_MEANT, {})
        if self.open(subject):
            return self._result("not applicable", self.sentences["unknown"], self.sentences["todo"], undecided=True)
        passed = self.passes(subject)
        status: Status = "pass" if passed else "fail"
        return self._result(status, self.sentences[status], {} if passed else self.sentences["todo"])

    def _result(self, status: Status, sentence: Both, todo: Both, *, undecided: bool = False) -> dict[str, Any]:
        result = {"id": self.id, "status": status, "severity": self.severity, "sentence": sentence, "todo": todo}
        return result | ({"open": True} if undecided else {})

    def to_dict(self) -> dict[str, Any]:
        """Return what a report says of the rule itself, as plain values for JSON: an item of an audit's "rules"."""
        since = self.source.since
        return {
            "id": self.id,
            "regime": self.regime,
            "title": self.title,
            "checks": self.checks,
            "scope": self.scope,
            "severity": self.severity,
            "source": self.source.text,
            "kind": self.source.kind,
            "since": since and since.isoformat(),
            "read": self.source.read,
            "note": self.source.note,
            "todo": self.sentences["todo"],
        }


def load(regimes: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules of regimes, in the order of ``REGIMES``; those of good practice (``common``) with any of them.

    >>> [rule.id for rule in load(["iptc"])]
    ['IPTC-1', 'ALL-1', 'ALL-2', 'ALL-3']
    >>> load([])
    ()

    Raises:
        PolicyError: if there is no such regime.
        MissingExtraError: without PyYAML.
    """
    return tuple(rule for name in _chosen(regimes) for rule in _built_in(name))


def _chosen(regimes: Iterable[str]) -> list[str]:
    wanted = set(regimes)
    if unknown := sorted(wanted - set(REGIMES)):
        raise PolicyError(f"there is no regime {unknown[0]!r} - choose from {', '.join(REGIMES)}")
    return [name for name in REGIMES if name in wanted or (wanted and name == "common")]


def evaluate(rules: Sequence[Rule], row: Row, declared: Row | None = None) -> list[dict[str, Any]]:
    """Return what rules about files say of a row; nothing of a file that could not be examined.

    ``declared`` is what the operator states of the file and no file tells, such as a visible label (see
    ``Policy.declared``).

    >>> row = {"status": "ok", "type": "image/png", "watermark": {"detected": True}}
    >>> [(each["id"], each["status"]) for each in evaluate(load(["iptc"]), row)]
    [('IPTC-1', 'fail'), ('ALL-1', 'not applicable'), ('ALL-2', 'not applicable'), ('ALL-3', 'not applicable')]
    """
    if row.get("status", "ok") != "ok":
        return []
    subject = {**row, "declared": declared or {}}
    return [rule.check(subject) for rule in rules if rule.scope == "file"]


def evaluate_audit(rules: Sequence[Rule], audit: Row, declared: Row | None = None) -> list[dict[str, Any]]:
    """Return what rules about the audit as a whole, such as its self-test, say of it.

    >>> [(each["id"], each["status"]) for each in evaluate_audit(load(["eu"]), {"markai": "1", "settings": {}})]
    [('EU-5', 'fail'), ('EU-7', 'fail')]
    """
    subject = {**audit, "declared": declared or {}}
    return [rule.check(subject) for rule in rules if rule.scope == "audit"]


@cache
def definitions() -> Definitions:
    """Return the conditions that every file of rules and every policy may use by name."""
    return Definitions({}).with_those_of(_resource("definitions"))


def titles(regimes: Iterable[str]) -> dict[str, Both]:
    """Return what regimes are called, as an audit's "regimes" hold it.

    >>> titles(["china"])["china"]["en"]
    'China: Labelling Measures, GB 45438-2025'

    Raises:
        PolicyError: if there is no such regime.
        MissingExtraError: without PyYAML.
    """
    return {name: both(_resource(name).mapping()["title"]) for name in _chosen(regimes)}


@cache
def _built_in(regime: str) -> tuple[Rule, ...]:
    return read(_resource(regime))


def _resource(name: str) -> Node:
    raw = files("markai.audit").joinpath("rules", f"{name}.yaml").read_bytes()
    return parse_yaml(raw, f"{name}.yaml")


def read(document: Node) -> tuple[Rule, ...]:
    """Return the rules that a file states.

    Raises:
        PolicyError: if anything in it is missing, unknown or of another kind; the message names the line.
    """
    given = document.mapping({"regime", "title", "define", "rules"}, {"regime", "title", "rules"})
    regime = given["regime"].choice(REGIMES)
    both(given["title"])
    known = definitions().with_those_of(given.get("define"))
    rules: dict[str, Rule] = {}
    for node in given["rules"].items():
        rule = _rule(node, regime, known)
        if rule.id in rules:
            raise node.wrong(f"there are two rules {rule.id!r} - give each its own id")
        rules[rule.id] = rule
    return tuple(rules.values())


def _rule(node: Node, regime: str, known: Definitions) -> Rule:
    given = node.mapping(RULE_KEYS, NEEDED)
    if ("open" in given) != ("unknown" in given):
        raise node.wrong("a rule with 'open' says in 'unknown' what is not known, and the other way round - add it")
    return Rule(
        id=given["id"].text(20),
        regime=regime,
        title=both(given["title"]),
        source=_source(given["source"]),
        checks=both(given["checks"]),
        scope=given["scope"].choice(SCOPES) if "scope" in given else "file",
        applies=parse(given["applies"], known) if "applies" in given else _always,
        open=parse(given["open"], known) if "open" in given else _never,
        passes=parse(given["passes"], known),
        sentences={name: both(given[name]) for name in ("pass", "fail", "unknown", "todo") if name in given},
    )


def _source(node: Node) -> Source:
    given = node.mapping(SOURCE_KEYS, SOURCE_KEYS - {"since"})
    return Source(
        kind=given["kind"].choice(tuple(KINDS)),
        act=both(given["act"]),
        article=both(given["article"]),
        since=_date(given["since"]) if "since" in given else None,
        read=given["read"].choice(READINGS),
        note=both(given["note"]),
    )


def _date(node: Node) -> dt.date:
    try:
        return dt.date.fromisoformat(str(node.value))
    except ValueError:
        raise node.wrong("this must be a date - write it as 2026-08-02") from None


def both(node: Node) -> Both:
    """Return a text in English and Korean.

    Raises:
        PolicyError: if one of them is missing.
    """
    given = node.mapping(set(LANGUAGES), set(LANGUAGES))
    return {language: given[language].text() for language in LANGUAGES}


def _always(_: Row) -> bool:
    return True


def _never(_: Row) -> bool:
    return False
