"""The findings as SARIF 2.1.0, which code hosts and CI systems show: contradictions, failed rules, unreadable files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markai.audit.evidence import own_words
from markai.audit.lines import encoded
from markai.audit.tally import status_of
from markai.audit.words import Language, Text, name_of, say, sentence_of, show, visible
from markai.files import write_atomically

Json = dict[str, Any]
Row = Mapping[str, Any]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT_ID = "ROOT"  # what relative paths are relative to: the working directory of the audit
# What may stand in the path of a URI as it is (RFC 3986, pchar); a colon only where it is not taken for a scheme.
IN_PATHS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!()+,=@;/")
LANGUAGE_TAGS = {"en": "en-US", "ko": "ko-KR"}


def sarif(audit: Row, *, root: Path | None = None, language: Language = "en") -> Json:
    """Return the findings of an audit as a SARIF log.

    Results are contradictions and failed rules, of regimes and of the operator's policy; a file that could not be
    examined is a notification of the run, and the run is then not successful. Paths below ``root`` (the working
    directory unless it is given) are written relative to it.

    >>> row = {"path": "a b.png", "status": "ok", "contradictions": [{"code": "copied-mark"}]}
    >>> log = sarif({"markai": "1", "rows": [row]})
    >>> result = log["runs"][0]["results"][0]
    >>> result["ruleId"], result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    ('contradiction/copied-mark', 'a%20b.png')
    """
    writer = _Writer(audit, root or Path.cwd(), language)
    for row in audit.get("rows") or ():
        writer.add(row)
    for each in audit.get("audit_rules") or ():
        if each.get("status") == "fail":
            writer.add_of_audit(each)
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [writer.run()]}


def write_sarif(audit: Row, path: Path, *, root: Path | None = None, language: Language = "en") -> None:
    """Write the findings as SARIF, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    log = sarif(audit, root=root, language=language)
    write_atomically(path, encoded(log, indent=1) + b"\n")


class _Writer:
    """Collects results, and the rules that they name, each described once."""

    def __init__(self, audit: Row, root: Path, language: Language) -> None:
        self.audit, self.root, self.language = audit, root, language
        self.texts = {str(each.get("id")): each for each in audit.get("rules") or ()}
        self.rules: dict[str, Json] = {}
        self.results: list[Json] = []
        self.artifacts: list[Json] = []
        self.notifications: list[Json] = []

    def add(self, row: Row) -> None:
        """Take the findings of a row."""
        location = {"uri": uri_of(str(row.get("path")), self.root)}
        if not location["uri"].startswith("file:"):
            location["uriBaseId"] = ROOT_ID
        if status_of(row) != "ok":
            self.notifications.append(self._notification(row, location))
        found = list(self._findings(row))
        if not found:
            return
        place = len(self.artifacts)
        digest = {"hashes": {"sha-256": row["sha256"]}} if row.get("sha256") else {}
        self.artifacts.append({"location": location, "roles": ["analysisTarget"], **digest})
        where = [{"physicalLocation": {"artifactLocation": location | {"index": place}}}]
        fingerprint = {"partialFingerprints": {"file/v1": row.get("sha256") or visible(row.get("path"))}}
        self.results += [self._result(*each) | {"locations": where} | fingerprint for each in found]

    def add_of_audit(self, failed: Row) -> None:
        """Take a rule about the audit as a whole that it fails."""
        self.results.append(self._result(*self._failure("rules", failed)))

    def _result(self, rule: str, message: str, level: str) -> Json:
        described = {"ruleId": rule, "ruleIndex": list(self.rules).index(rule)}
        return described | {"level": level, "message": {"text": message}}

    def _findings(self, row: Row) -> Iterator[tuple[str, str, str]]:
        """Yield the rule, the message and the level of each finding, and describe the rules."""
        for each in row.get("contradictions") or ():
            code = visible(each.get("code"))
            rule = f"contradiction/{code}"
            message = self._words(sentence_of("contradiction", each))
            help_text = self._words(sentence_of("contradiction", {"code": code}))
            self._describe(rule, self._words(name_of("contradiction", code)), help_text)
            yield rule, message, "error"
        for kind in ("rules", "policy"):
            for each in row.get(kind) or ():
                if each.get("status") == "fail":
                    yield self._failure(kind, each)

    def _failure(self, kind: str, each: Row) -> tuple[str, str, str]:
        name = visible(each.get("id"))
        rule = name if kind == "rules" else f"policy/{name}"
        about = self.texts.get(str(each.get("id")), {})
        todo = self._words(own_words(about.get("todo") or each.get("todo")))
        source, checks = (self._words(own_words(about.get(name))) for name in ("source", "checks"))
        level = "warning" if each.get("severity") == "warning" else "error"
        labelled = ((checks, "rule.checks"), (source, "rule.source"), (todo, "rule.todo"))
        help_text = "\n".join(f"{say(label, self.language)}: {text}" for text, label in labelled if text)
        self._describe(rule, self._words(own_words(about.get("title"))) or name, help_text, level)
        sentence = self._words(own_words(each.get("sentence"))) or say("rule.fail.sentence", self.language)
        parts = [f"{say('rule.fail', self.language)}: {sentence}", todo]
        return rule, " ".join(part for part in parts if part), level

    def _describe(self, rule: str, title: str, help_text: str, level: str = "error") -> None:
        if rule not in self.rules:
            described = {
                "id": rule,
                "name": rule,
                "shortDescription": {"text": title},
                "help": {"text": help_text or title},
            }
            self.rules[rule] = described | {"defaultConfiguration": {"level": level}}

    def _notification(self, row: Row, location: Json) -> Json:
        sentence = self._words(sentence_of("status", {"code": status_of(row)}))
        error = f" ({visible(row['error'])})" if row.get("error") else ""
        return {
            "level": "warning" if status_of(row) == "skipped" else "error",
            "message": {"text": sentence + error},
            "locations": [{"physicalLocation": {"artifactLocation": location}}],
        }

    def _words(self, text: Text) -> str:
        return visible(show(text, self.language))

    def run(self) -> Json:
        """Return the one run of the log."""
        invocation: Json = {
            "executionSuccessful": all(each["level"] != "error" for each in self.notifications),
            "toolExecutionNotifications": self.notifications,
        }
        for name, key in (("started", "startTimeUtc"), ("finished", "endTimeUtc")):
            if self.audit.get(name):
                invocation[key] = str(self.audit[name]).replace("+00:00", "Z")
        if self.audit.get("command"):
            invocation["commandLine"] = visible(self.audit["command"])
        driver: Json = {"name": "markai", "rules": list(self.rules.values())}
        if self.audit.get("markai"):
            driver["version"] = str(self.audit["markai"])
        return {
            "tool": {"driver": driver},
            "language": LANGUAGE_TAGS[self.language],
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {ROOT_ID: {"description": {"text": say("sarif.root", self.language)}}},
            "invocations": [invocation],
            "artifacts": self.artifacts,
            "results": self.results,
        }


def uri_of(path: str, root: Path) -> str:
    """Return a path as a URI: relative to ``root`` below it, a file URI elsewhere.

    >>> [uri_of(path, Path("/data")) for path in ("/data/a/사 1.png", "/etc/x", "a.zip!/b#c.png")]
    ['a/%EC%82%AC%201.png', 'file:///etc/x', 'a.zip!/b%23c.png']
    """
    raw = Path(path)
    if raw.is_absolute():
        if not raw.is_relative_to(root):
            return "file://" + _quoted(raw.as_posix())
        raw = raw.relative_to(root)
    return _quoted(raw.as_posix())


def _quoted(path: str) -> str:
    try:
        data = path.encode("utf-8", "surrogateescape")  # the bytes that the name has on disk
    except UnicodeEncodeError:
        data = path.encode("utf-8", "backslashreplace")
    return "".join(chr(byte) if chr(byte) in IN_PATHS else f"%{byte:02X}" for byte in data)
