"""The operator's own rules: a YAML file that says what every file must be, and what no file can tell about itself.

The conditions are those of the built-in rules (``markai.audit.conditions``); docs/audit.md describes the file.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import markai.audit.rules as rules
from markai.audit.conditions import Condition, parse
from markai.audit.globs import MAX_PATTERN, matches
from markai.audit.rules import LANGUAGES, REGIMES, Both, Row
from markai.audit.yamlfile import Node, load
from markai.errors import PolicyError

Severity = Literal["error", "warning"]

VERSION = 1
SEVERITIES: tuple[Severity, ...] = ("error", "warning")
FAIL_ON = ("never", "error", "warning")
KEYS = {"version", "regimes", "fail_on", "declares", "define", "rules"}
RULE_KEYS = {"id", "files", "except", "when", "require", "forbid", "severity", "message", "todo"}
MAX_RULES, MAX_PATTERNS = 1000, 200
# What an operator may declare of files, and what kind of value it is.
DECLARABLE: dict[str, type | dict[str, type]] = {
    "generated": bool,  # they were made by an AI system, whatever is found
    "visible_label": bool,  # people see or hear in the content that it was generated
    "realistic": bool,  # it is hard to tell from what is real
    "notice": {"given": bool, "text": str, "language": str},
    "detector": {"free": bool, "url": str},
    "covered_provider": bool,  # more than a million users a month (California)
    "personal_data_intended": bool,
}
NOT_MEANT: Both = {
    "en": "This line of the policy is not about such a file.",
    "ko": "정책의 이 항목은 이 파일에 해당하지 않습니다.",
}
BROKEN = ("damaged", "copied")  # verdicts that are a warning under any policy


@dataclass(frozen=True, slots=True)
class Files:
    """Which paths something is about: those that fit one of the patterns, and none of the exceptions."""

    patterns: tuple[str, ...] = ("**",)
    exceptions: tuple[str, ...] = ()

    def meant(self, path: str) -> bool:
        """Say whether a path is one of them."""
        return any(matches(path, each) for each in self.patterns) and not any(
            matches(path, each) for each in self.exceptions
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """A line of a policy: what must hold of which files, and what to say where it does not."""

    id: str
    files: Files
    when: Condition
    holds: Condition
    severity: str
    message: Both
    todo: Both

    def check(self, row: Row) -> dict[str, Any]:
        """Return what it says of a row."""
        if not self.files.meant(str(row.get("path", ""))) or not self.when(row):
            return self._result("not applicable", NOT_MEANT, {})
        if self.holds(row):
            return self._result("pass", {}, {})
        return self._result("fail", self.message, self.todo)

    def _result(self, status: str, sentence: Both, todo: Both) -> dict[str, Any]:
        return {"id": self.id, "status": status, "severity": self.severity, "sentence": sentence, "todo": todo}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file states. ``regimes`` and ``fail_on`` are its defaults for an audit, None where it has none."""

    requirements: tuple[Requirement, ...] = ()
    declarations: tuple[tuple[Files, Mapping[str, Any]], ...] = ()
    regimes: tuple[str, ...] | None = None
    fail_on: str | None = None

    def declared(self, path: str | None = None) -> dict[str, Any]:
        """Return what is declared of a path, later declarations over earlier ones; without a path, of all files.

        >>> policy = Policy(declarations=((Files(("out/**",)), {"generated": True}),))
        >>> policy.declared("out/a.png"), policy.declared("in/a.png"), policy.declared()
        ({'generated': True}, {}, {})
        """
        found: dict[str, Any] = {}
        for files, values in self.declarations:
            if files.meant(path) if path is not None else files == Files():
                found |= values
        return found

    def evaluate(self, row: Row) -> list[dict[str, Any]]:
        """Return what each line says of a row, as the row's "policy" holds it.

        Of a file that could not be examined nothing is known, so that what is required of it fails.
        """
        subject = {**row, "declared": self.declared(str(row.get("path", "")))}
        return [requirement.check(subject) for requirement in self.requirements]


def read_policy(path: str | os.PathLike[str]) -> Policy:
    """Return the policy in a file.

    Raises:
        PolicyError: if it cannot be read, or anything in it is missing, unknown or of another kind; the message names
            the line.
        MissingExtraError: without PyYAML.
    """
    return policy_of(load(Path(path)))


def policy_of(document: Node) -> Policy:
    """Return the policy that a document states.

    >>> from markai.audit.yamlfile import parse as yaml
    >>> policy = policy_of(yaml(b'''
    ... version: 1
    ... rules:
    ... - {id: ours, files: out/**, require: {path: manifest.status, equals: trusted}, message: Not signed by us.}
    ... ''', "policy.yaml"))
    >>> policy.evaluate({"path": "out/a.png", "status": "ok", "manifest": {"status": "none"}})[0]["status"]
    'fail'

    Raises:
        PolicyError: as ``read_policy``.
    """
    given = document.mapping(KEYS, {"version"})
    if given["version"].value != VERSION or isinstance(given["version"].value, bool):
        raise given["version"].wrong(f"this version reads policies of version {VERSION} - write version: {VERSION}")
    known = rules.definitions().with_those_of(given.get("define"))
    nodes = given["rules"].items() if "rules" in given else []
    if len(nodes) > MAX_RULES:
        raise given["rules"].wrong(f"there are more than {MAX_RULES} rules - split the policy")
    requirements: dict[str, Requirement] = {}
    for node in nodes:
        each = _requirement(node, known)
        if each.id in requirements:
            raise node.wrong(f"there are two rules {each.id!r} - give each its own id")
        requirements[each.id] = each
    return Policy(
        tuple(requirements.values()),
        tuple(_declaration(node) for node in given["declares"].items()) if "declares" in given else (),
        tuple(each.choice(REGIMES) for each in given["regimes"].items()) if "regimes" in given else None,
        given["fail_on"].choice(FAIL_ON) if "fail_on" in given else None,
    )


def worst(rows: Iterable[Row], fail_on: str) -> bool:
    """Say whether any row is bad enough for an audit to fail.

    With "error": a line of the policy or a rule of that severity fails, or a file could not be examined. With
    "warning": also those of severity warning, contradictions, and verdicts that something is damaged or copied. With
    "never": nothing is.

    >>> row = {"status": "ok", "policy": [{"status": "fail", "severity": "warning"}]}
    >>> worst([row], "error"), worst([row], "warning"), worst([{"status": "unreadable"}], "error")
    (False, True, True)

    Raises:
        PolicyError: if there is no such level.
    """
    if fail_on not in FAIL_ON:
        raise PolicyError(f"there is no level {fail_on!r} to fail on - choose from {', '.join(FAIL_ON)}")
    return fail_on != "never" and any(_is_bad(row, fail_on) for row in rows)


def _is_bad(row: Row, fail_on: str) -> bool:
    if row.get("status", "ok") not in ("ok", "skipped"):
        return True
    counted = SEVERITIES[: SEVERITIES.index("warning" if fail_on == "warning" else "error") + 1]
    failed = (each for kind in ("rules", "policy") for each in row.get(kind) or () if each.get("status") == "fail")
    if any(each.get("severity", "error") in counted for each in failed):
        return True
    verdict = (row.get("verdict") or {}).get("code")
    return fail_on == "warning" and (bool(row.get("contradictions")) or verdict in BROKEN)


def _requirement(node: Node, known: Any) -> Requirement:
    given = node.mapping(RULE_KEYS, {"id", "message"})
    if ("require" in given) == ("forbid" in given):
        raise node.wrong("a rule states either what it requires or what it forbids - write one of the two")
    condition = parse(given["require"] if "require" in given else given["forbid"], known)
    return Requirement(
        id=given["id"].text(60),
        files=_files(given),
        when=parse(given["when"], known) if "when" in given else lambda _: True,
        holds=condition if "require" in given else lambda row: not condition(row),
        severity=given["severity"].choice(SEVERITIES) if "severity" in given else "error",
        message=_said(given["message"]),
        todo=_said(given["todo"]) if "todo" in given else {},
    )


def _files(given: Mapping[str, Node]) -> Files:
    chosen, left_out = (_patterns(given[name]) if name in given else None for name in ("files", "except"))
    return Files(chosen or ("**",), left_out or ())


def _patterns(node: Node) -> tuple[str, ...]:
    if len(node.items()) > MAX_PATTERNS:
        raise node.wrong(f"there are more than {MAX_PATTERNS} patterns - use ** for whole folders")
    return tuple(each.text(MAX_PATTERN) for each in node.items())


def _said(node: Node) -> Both:
    """Return a message by language; a plain text stands for all of them."""
    if isinstance(node.value, dict):
        given = node.mapping(set(LANGUAGES))
        if not given:
            raise node.wrong("a message has at least one language - write en: or ko: before it")
        return {language: each.text() for language, each in given.items()}
    return dict.fromkeys(LANGUAGES, node.text())


def _declaration(node: Node) -> tuple[Files, Mapping[str, Any]]:
    given = node.mapping({"files", "except", *DECLARABLE})
    values = {name: _declared(given[name], DECLARABLE[name]) for name in DECLARABLE if name in given}
    if not values:
        raise node.wrong(f"nothing is declared here - write one of {', '.join(DECLARABLE)}")
    return _files(given), values


def _declared(node: Node, kind: type | dict[str, type]) -> Any:
    if isinstance(kind, dict):
        members = node.mapping(set(kind))
        return {name: _declared(each, kind[name]) for name, each in members.items()}
    return node.truth() if kind is bool else node.text()
