"""Policies: the operator's own conditions, which files they are about, what is declared, and errors with their line."""

import json
import re
import sys
from pathlib import Path

import pytest

from markai.audit import policy, rules, yamlfile
from markai.audit.globs import matches
from markai.audit.policy import FAIL_ON, Policy, policy_of, read_policy, worst
from markai.errors import MissingExtraError, PolicyError

PAGE = (Path(__file__).parents[1] / "docs" / "audit.md").read_text("utf-8")
EXAMPLE = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
OURS = "aad476906739de25"


def read(text: str) -> Policy:
    return policy_of(yamlfile.parse(text.encode(), "policy.yaml"))


def row(path: str = "out/a.png", **more) -> dict:
    return {
        "path": path,
        "status": "ok",
        "type": "image/png",
        "watermark": {"detected": True, "key_id": OURS},
        "manifest": {"status": "trusted"},
        "metadata": {"personal": []},
        **more,
    }


def said(found: list[dict]) -> dict[str, str]:
    return {each["id"]: each["status"] for each in found}


# The example of the documentation


def test_the_example_of_the_documentation():
    example = read(EXAMPLE)
    assert (example.regimes, example.fail_on) == (("eu", "korea"), "error")
    assert said(example.evaluate(row())) == {"signed-and-marked": "pass", "no-places": "pass"}
    (failed, _) = example.evaluate(row(manifest={"status": "valid"}))
    assert (failed["status"], failed["severity"]) == ("fail", "error")
    assert failed["sentence"]["ko"].startswith("out/의 모든 파일")
    assert failed["todo"] == dict.fromkeys(("en", "ko"), "Mark it again with the current key.")
    strange = row(watermark={"detected": True, "key_id": "0" * 16})
    assert said(example.evaluate(strange))["signed-and-marked"] == "fail"
    several = strange | {"watermarks": [{"key_id": "0" * 16}, {"key_id": OURS}]}
    assert said(example.evaluate(several))["signed-and-marked"] == "pass"
    for path in ("in/a.png", "out/drafts/a.png", "out/note.txt", "about/out.png"):
        assert said(example.evaluate(strange | {"path": path}))["signed-and-marked"] == "not applicable", path
    located = row("in/a.png", metadata={"personal": ["EXIF GPS"]})
    assert said(example.evaluate(located))["no-places"] == "fail"
    assert said(example.evaluate(located | {"type": "application/pdf"}))["no-places"] == "not applicable"
    json.dumps(example.evaluate(located))


def test_every_key_of_the_documentation_is_known_and_every_other_is_in_it():
    section = PAGE[PAGE.index("## Policies") : PAGE.index("## Self-test")]
    for name in (*policy.KEYS, *policy.RULE_KEYS, *policy.DECLARABLE, *FAIL_ON):
        assert f"`{name}`" in section or f"`--fail-on {name}`" in section, name
    for name in rules.definitions().known:
        assert f"`{name}`" in section, name
    table = PAGE[PAGE.index("## Rules") : PAGE.index("## Policies")]
    for rule in rules.load(rules.REGIMES):
        assert f"| {rule.id} | {rules.KINDS[rule.source.kind][0]} |" in table, rule.id


def test_declarations_reach_the_rules():
    example = read(EXAMPLE)
    korea = rules.load(["korea"])

    def outcome(path: str) -> dict[str, str]:
        return said(rules.evaluate(korea, row(path), example.declared(path)))

    assert outcome("out/a.png")["KR-1"] == "pass"
    assert outcome("out/a.png")["KR-2"] == "not applicable"
    assert outcome("out/people/a.png")["KR-2"] == "pass"
    assert outcome("in/a.png")["KR-1"] == "not applicable"  # marked, so generated; whether a notice was given is open
    assert example.declared("out/people/a.png")["realistic"] is True
    assert example.declared() == {"detector": {"free": True, "url": "https://example.com/verify"}}


def test_a_policy_may_ask_for_what_is_declared():
    rule = "{id: a, forbid: {path: declared.generated, equals: true}, message: m}"
    text = f"version: 1\ndeclares: {{generated: true}}\nrules:\n- {rule}"
    assert said(read(text).evaluate(row())) == {"a": "fail"}


def test_an_empty_policy_says_nothing():
    empty = read("version: 1")
    assert (empty.evaluate(row()), empty.declared("a"), empty.regimes, empty.fail_on) == ([], {}, None, None)


# Paths


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("out/a.png", "out/**", True),
        ("./out/a.png", "out/**", True),
        ("./out/a.png", "./out/**", True),
        ("/home/me/out/a/b.png", "out/**", True),
        ("/home/me/out/a.png", "/home/me/out/*.png", True),
        ("/home/me/out/a.png", "/out/*.png", False),
        ("layout/a.png", "out/**", False),
        ("out/a/b.png", "out/*", False),
        ("out/a/b/c.png", "out/**/c.png", True),
        ("out/c.png", "out/**/c.png", True),
        ("out/a.png", "out/", True),
        ("out/a/b.png", "out/", True),
        ("out", "out/", False),
        ("a.png", "*.png", True),
        ("x/y/a.png", "*.png", True),
        ("a.PNG", "*.png", False),
        ("a1.png", "a?.png", True),
        ("a/.png", "a?.png", False),
        ("archive.zip!/in/a.png", "archive.zip!/**", True),
        ("a[1].png", "a[1].png", True),
        ("a1.png", "a[1].png", False),
        ("사진/가.png", "사진/*", True),
        ("out\\a.png", "out/*", True),
        ("a\nb.png", "*.png", True),
        ("anything/at/all", "**", True),
        ("a" * 5000 + "b", "a*a*a*a*b*", True),
    ],
)
def test_patterns(path, pattern, expected):
    assert matches(path, pattern) is expected


# How bad it is


@pytest.mark.parametrize(
    ("one", "failing"),
    [
        ({"status": "ok"}, set()),
        ({"status": "skipped"}, set()),
        ({"status": "unreadable"}, {"error", "warning"}),
        ({"status": "too large"}, {"error", "warning"}),
        ({"status": "changed"}, {"error", "warning"}),
        ({"rules": [{"status": "fail", "severity": "error"}]}, {"error", "warning"}),
        ({"rules": [{"status": "fail", "severity": "warning"}]}, {"warning"}),
        ({"policy": [{"status": "pass", "severity": "error"}, {"status": "not applicable"}]}, set()),
        ({"policy": [{"status": "fail"}]}, {"error", "warning"}),
        ({"contradictions": [{"code": "x"}]}, {"warning"}),
        ({"verdict": {"code": "damaged"}}, {"warning"}),
        ({"verdict": {"code": "copied"}}, {"warning"}),
        ({"verdict": {"code": "unknown"}}, set()),
        ({"verdict": None, "rules": None, "policy": None}, set()),
    ],
)
def test_what_makes_an_audit_fail(one, failing):
    assert {level for level in FAIL_ON if worst([{"status": "ok"}, one], level)} == failing


def test_there_is_no_other_level():
    with pytest.raises(PolicyError, match="no level 'info' to fail on - choose from never, error, warning"):
        worst([], "info")


def test_what_could_not_be_examined_fails_what_is_required_of_it():
    lines = ("{id: a, require: {use: trusted}, message: m}", "{id: b, forbid: {use: trusted}, message: m}")
    text = "version: 1\nrules:\n" + "".join(f"- {line}\n" for line in lines)
    assert said(read(text).evaluate({"path": "a", "status": "unreadable"})) == {"a": "fail", "b": "pass"}


# Errors

RULE = "version: 1\nrules:\n- id: a\n  message: m\n  require: {use: trusted}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "line 1: the key 'version' is missing"),
        ("version: 2", "line 1: this version reads policies of version 1"),
        ("version: true", "line 1: this version reads policies of version 1"),
        ("version: 1\nrulse: []", "line 2: there is no key 'rulse' here - use declares, define, fail_on, regimes"),
        ("version: 1\nregimes: [eu, mars]", "line 2: 'mars' is not known here"),
        ("version: 1\nfail_on: always", "line 2: 'always' is not known here - use one of never, error, warning"),
        (RULE.replace("  message: m\n", ""), "line 3: the key 'message' is missing"),
        (RULE.replace("m\n", "[1]\n"), "line 4: this must be a text"),
        (RULE.replace("m\n", "{de: x}\n"), "line 4: there is no key 'de' here - use en, ko"),
        (RULE.replace("m\n", "{}\n"), "line 4: a message has at least one language"),
        (RULE + "  forbid: {use: marked}\n", "line 3: a rule states either what it requires or what it forbids"),
        (RULE.replace("  require: {use: trusted}\n", ""), "line 3: a rule states either"),
        (
            RULE.replace("trusted", "trsuted"),
            "line 5: nothing is defined as 'trsuted' - use one of generated, labelled",
        ),
        (RULE + "  severity: fatal\n", "line 6: 'fatal' is not known here - use one of error, warning"),
        (RULE + "  files: [a, 7]\n", "line 6: this must be a text"),
        (RULE + "  files: {a: b}\n", "line 6: this must be a text"),
        (RULE + RULE[RULE.index("- id") :], "line 6: there are two rules 'a'"),
        ("version: 1\ndeclares: {generated: yes please}", "line 2: this must be true or false"),
        ("version: 1\ndeclares:\n- {files: a}", "line 3: nothing is declared here"),
        ("version: 1\ndeclares:\n- {magic: true}", "line 3: there is no key 'magic' here"),
        ("version: 1\ndeclares: {notice: {given: 1}}", "line 2: this must be true or false"),
        ("version: 1\ndeclares: {notice: true}", "line 2: this must be a mapping"),
        ("version: 1\ndefine: {signed: {use: trusted}}", "line 2: 'signed' is defined already"),
        ("version: 1\ndefine:\n  a: {use: b}\n  b: {use: trusted}", "line 3: nothing is defined as 'b'"),
        ("version: 1\nrules: " + "[{id: a}]", "line 2: the key 'message' is missing"),
    ],
)
def test_errors_name_the_line_and_what_to_do(text, message):
    with pytest.raises(PolicyError) as caught:
        read(text)
    assert str(caught.value).startswith("policy.yaml, line ")
    assert message in str(caught.value)
    assert " - " in str(caught.value)


def test_a_policy_in_a_file(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(EXAMPLE, "utf-8")
    assert read_policy(path).fail_on == "error"
    with pytest.raises(PolicyError, match="cannot be read: No such file or directory - check the path"):
        read_policy(tmp_path / "none.yaml")
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path)


def test_too_much_is_refused():
    with pytest.raises(PolicyError, match="more than 1000 rules"):
        read("version: 1\nrules: [" + "{id: a}," * 1001 + "]")
    with pytest.raises(PolicyError, match="more than 200 patterns"):
        read(RULE + "  files: [" + "a," * 201 + "]")


def test_without_pyyaml_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "p.yaml").write_text("version: 1")
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'markai[audit]'")):
        read_policy(tmp_path / "p.yaml")
