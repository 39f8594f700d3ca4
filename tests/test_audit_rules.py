"""Rules as data: what each says of files as they are really marked and signed, and how strictly they are read."""

import datetime as dt
import io
import json
import re
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from audit_files import BARE, GRAPH, carrying, encoded, exif, png, source_type, with_chunk, xmp
from markai import Key, detect, embed, sign, verify
from markai.audit import conditions, rules, yamlfile
from markai.audit.conditions import Definitions
from markai.audit.rules import REGIMES, evaluate, evaluate_audit, load
from markai.audit.traces import read_metadata
from markai.bench.pictures import drawn
from markai.errors import PolicyError
from markai.image import open_picture
from markai.provenance import Claim, SoftBinding, Tc260, media
from provenance_samples import sample, signer

KEY = Key(bytes(range(32)))
ALL = load(REGIMES)
IDS = [
    *(f"EU-{n}" for n in range(1, 9)),
    *("KR-1", "KR-2", "KR-3", "CA-1", "CA-2", "CA-3", "CN-1", "CN-2", "CN-3", "IPTC-1", "ALL-1", "ALL-2", "ALL-3"),
]


def row_of(data: bytes, code: str = "unknown", sure: str = "none", **more) -> dict:
    """A row as an audit makes it, of the layers' own answers."""
    mime = media.media_type(data)
    looked = mime in ("image/png", "image/jpeg", "image/webp")
    row = {
        "path": "out/a",
        "status": "ok",
        "type": mime,
        "watermark": detect(data, KEY).to_dict() if looked else None,
        "manifest": verify(data, signer().trust()).to_dict(),
        "metadata": read_metadata(data, mime).to_dict(),
        "record": None,
        "recovered": None,
        "contradictions": [],
        "verdict": {"code": code, "sure": sure, "layers": []},
        **more,
    }
    return json.loads(json.dumps(row))


@cache
def marked() -> bytes:
    pixels = embed(drawn("clouds-01", 320), KEY, b"acme:42")
    return png_of(pixels)


def png_of(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@cache
def complete() -> bytes:
    """A file with every layer that markai writes."""
    claim = Claim("Acme", "AcmeGen", "2.1", tc260=Tc260("acme", "42"))
    return sign(marked(), signer(), claim, bindings=[SoftBinding.of("dwt-dct", b"acme:42")]).data


@cache
def rows() -> dict[str, dict]:
    complete_row = row_of(complete(), "generated", "proven")
    edited = sign(sample("png"), signer(), Claim("Acme", "AcmeGen", "2.1"), parent=complete())
    broken = with_chunk(complete(), b"tEXt", b"Comment\0later")
    pixels = open_picture(complete()).pixels
    return {
        "complete": complete_row,
        "stripped": row_of(png_of(pixels), "recovered", "proven", recovered={"manifest_id": "urn:c2pa:1"})
        | {"record": {"id": "7", "provider": "Acme", "system": "AcmeGen", "version": "2.1", "created": "2026-11-20"}},
        "edited": row_of(edited.data, "generated", "proven"),
        "broken": row_of(broken, "edited", "proven"),
        "claimed": row_of(png({"prompt": GRAPH}), "generated-claimed", "claimed"),
        "labelled": row_of(
            carrying("png", xmp(f"{source_type('trainedAlgorithmicMedia')}<TC260:AIGC>{BARE}</TC260:AIGC>")),
            "generated-claimed",
            "claimed",
        ),
        "two-labels": row_of(
            with_chunk(png({"AIGC": BARE}), b"tEXt", b"AIGC\0" + BARE.encode()), "generated-claimed", "claimed"
        ),
        "photo": row_of(
            encoded("jpeg", exif=exif(Make="Acme", Model="Shot", FNumber=2.0, GPS=True)), "camera", "claimed"
        ),
        "plain": row_of(sample("png")),
        "text": row_of(sample("svg")),
        "overclaimed": row_of(sample("png"), "camera", "proven"),
    }


def statuses(name: str, declared: dict | None = None) -> dict[str, str]:
    """What the rules say of a row: P, F, - (not applicable) or ? (open)."""
    said = {"pass": "P", "fail": "F", "not applicable": "-"}
    return {
        each["id"]: "?" if each.get("open") else said[each["status"]] for each in evaluate(ALL, rows()[name], declared)
    }


FILE_IDS = [rule.id for rule in ALL if rule.scope == "file"]
EXPECTED = {
    #             EU-1 2 3 4 6 8  KR-1 2 3  CA-1 2  CN-1 2 3  IPTC ALL-1 2 3
    "complete": "P P P - P P  ? ? -  P -  P ? P  P  P P P",
    "stripped": "F P P - - P  ? ? -  P -  F ? -  F  - P P",
    "edited": "P F F P - P  ? ? -  P -  F ? -  P  P P P",
    "broken": "F P F - - P  ? ? -  P -  P ? P  P  F P P",
    "claimed": "F F F - - F  F ? -  F P  F ? -  F  - F P",
    "labelled": "F F F - - P  ? ? -  F -  P ? P  F  - P P",
    "two-labels": "F F F - - P  ? ? -  F -  P ? F  F  - P P",
    "photo": "- - - - - -  - - -  - P  - - -  -  - - P",
    "plain": "- - - - - -  - - -  - -  - - -  -  - - P",
    "text": "- - - - - -  - - -  - -  - - -  -  - - P",
    "overclaimed": "- - - - - -  - - -  - -  - - -  -  - - F",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_rules_say_of_real_files(name):
    assert statuses(name) == dict(zip(FILE_IDS, EXPECTED[name].split(), strict=True))


@pytest.mark.parametrize(
    ("name", "declared", "changed"),
    [
        (
            "plain",
            {"generated": True},
            {"EU-1": "F", "EU-2": "F", "EU-8": "F", "KR-1": "F", "CA-1": "F", "CN-1": "F", "IPTC-1": "F", "ALL-2": "P"},
        ),
        ("text", {"generated": True}, {"EU-2": "?", "EU-3": "?", "IPTC-1": "F"}),
        ("complete", {"notice": {"given": True, "text": "This was made by AI."}}, {"KR-1": "P", "KR-3": "P"}),
        (
            "complete",
            {"notice": {"given": True, "text": "이 이미지는 생성형 인공지능이 생성했습니다."}},
            {"KR-1": "P", "KR-3": "P"},
        ),
        ("complete", {"notice": {"given": True, "text": "Enjoy!"}}, {"KR-1": "P", "KR-3": "F"}),
        ("complete", {"notice": {"given": True}}, {"KR-1": "P", "KR-3": "F"}),
        ("complete", {"notice": {"given": False}}, {"KR-1": "F"}),
        ("complete", {"visible_label": True}, {"KR-1": "P", "CN-2": "P"}),
        ("claimed", {"visible_label": True}, {"KR-1": "P", "CN-2": "P"}),
        ("complete", {"visible_label": False}, {"CN-2": "F"}),
        ("complete", {"realistic": True}, {"KR-2": "F"}),
        ("complete", {"realistic": True, "visible_label": True}, {"KR-1": "P", "KR-2": "P", "CN-2": "P"}),
        ("complete", {"realistic": False}, {"KR-2": "-"}),
        ("complete", {"covered_provider": False}, {"CA-1": "-"}),
        ("claimed", {"personal_data_intended": True}, {"ALL-2": "-"}),
    ],
)
def test_what_only_the_operator_knows(name, declared, changed):
    said = statuses(name, declared)
    assert {rule: said[rule] for rule in changed} == changed
    if not declared.get("generated"):
        before = statuses(name)
        assert {rule for rule in said if said[rule] != before[rule]} <= set(changed)


def test_rules_about_the_audit():
    def said(audit: dict, declared: dict | None = None) -> list[str]:
        return ["?" if each.get("open") else each["status"][0] for each in evaluate_audit(ALL, audit, declared)]

    good = {
        "attacks": [{"attack": "none"}],
        "overall": {"detected": {"rate": 1.0, "low": 0.74}},
        "false_positives": {"n": 9},
    }
    weak = good | {"overall": {"detected": {"rate": 0.9, "low": 0.8}}}
    audit = {"markai": "0.1.0", "settings": {"fpr": 1e-6}}
    assert said({}) == ["f", "f", "n"]  # EU-5, EU-7, CA-3
    assert said(audit) == ["?", "f", "n"]
    assert said(audit | {"selftest": good}, {"detector": {"free": True}}) == ["p", "p", "p"]
    assert said(audit | {"selftest": weak}, {"detector": {"free": False}}) == ["f", "p", "f"]
    assert said(audit | {"selftest": None}) == ["?", "f", "n"]


def test_what_could_not_be_examined_has_no_rules():
    assert evaluate(ALL, {"status": "unreadable"}) == []


def test_results_are_rows_that_are_complete():
    for each in evaluate(ALL, rows()["claimed"]):
        assert set(each) - {"open"} == {"id", "status", "severity", "sentence", "todo"}
        assert set(each["sentence"]) == {"en", "ko"}
        assert bool(each["todo"]) == (each["status"] == "fail" or each.get("open", False))
    json.dumps([rule.to_dict() for rule in ALL])


# The files of rules


def test_the_rules_are_those_of_the_checklist():
    assert [rule.id for rule in ALL] == IDS
    assert len({rule.id for rule in ALL}) == len(ALL)
    assert [rule.regime for rule in load(["china", "eu"])] == ["eu"] * 8 + ["china"] * 3 + ["common"] * 3


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.id)
def test_a_rule_says_where_it_comes_from_and_what_is_not_verified(rule):
    texts = [rule.title, rule.checks, rule.source.act, rule.source.article, rule.source.note, *rule.sentences.values()]
    for text in texts:
        assert set(text) == {"en", "ko"}
    korean = "".join(text["ko"] for text in texts)
    assert len(re.findall(r"[가-힣]", korean)) > 40
    for text in (rule.checks, rule.source.note, *rule.sentences.values()):
        assert re.fullmatch(r"[A-Z\"].*[.\")]\s*", text["en"], re.DOTALL), text["en"]
        assert len(text["en"]) < 420
    assert rule.severity == ("error" if rule.source.kind == "law" else "warning")
    if rule.source.kind in ("law", "code", "guideline"):
        assert rule.source.since >= dt.date(2025, 9, 1)
    described = rule.to_dict()
    assert described["source"]["en"].endswith(f"({rules.KINDS[rule.source.kind][0]})")
    assert "comply" not in json.dumps(described).lower()  # the word is an authority's


def paths(node: yamlfile.Node):
    if isinstance(node.value, dict):
        for name, each in node.value.items():
            yield from [each.value] if name == "path" else paths(each)
    elif isinstance(node.value, list):
        for each in node.value:
            yield from paths(each)


def test_every_path_leads_somewhere():
    """In a real row, in what can be declared, or in a self-test: a path with a slip in it would never pass."""
    declared = {name: {"given": True, "text": "a", "free": True} for name in ("notice", "detector")}
    flags = ("generated", "visible_label", "realistic", "covered_provider", "personal_data_intended")
    selftest = {"attacks": [1], "overall": {"detected": {"rate": 1, "low": 1}}, "false_positives": {"n": 1}}
    audit = {"markai": "1", "settings": {"fpr": 1}, "selftest": selftest}
    several = {
        "watermarks": [rows()["complete"]["watermark"]],
        "record": rows()["stripped"]["record"],
        "recovered": {"a": 1},
    }
    stamped = {"manifest": rows()["complete"]["manifest"] | {"time": "2026-11-20"}}
    subjects = [*rows().values(), {"declared": declared | dict.fromkeys(flags, True)}, audit, several, stamped]
    for name in (*REGIMES, "definitions"):
        document = yamlfile.parse(files("markai.audit").joinpath("rules", f"{name}.yaml").read_bytes(), name)
        for path in paths(document):
            assert any(any(True for _ in conditions.values(subject, path)) for subject in subjects), path


# Conditions

ROW = {
    "manifest": {"status": "trusted", "is_ai": True, "time": None, "actions": ["c2pa.created"], "ingredients": []},
    "metadata": {
        "traces": [{"kind": "exif", "value": "a"}, {"kind": "comfyui"}],
        "n": 3,
        "text": "Hello World",
        "zero": 0,
    },
    "watermarks": [{"detected": False}, {"detected": True}],
}
CONDITIONS = {
    "{path: manifest.status, equals: trusted}": True,
    "{path: manifest.status, equals: valid}": False,
    "{path: manifest.is_ai, equals: true}": True,
    "{path: manifest.is_ai, equals: 1}": False,
    "{path: metadata.zero, equals: false}": False,
    "{path: metadata.n, equals: 3}": True,
    "{path: manifest.nothing, equals: null}": False,
    "{path: manifest.time, equals: null}": True,
    "{path: manifest.status, in: [valid, trusted]}": True,
    "{path: manifest.status, in: []}": False,
    "{path: manifest.time, present: false}": True,
    "{path: manifest.ingredients, present: false}": True,
    "{path: manifest.nothing.at.all, present: false}": True,
    "{path: metadata.zero, present: true}": True,
    "{path: manifest.actions, contains: c2pa.created}": True,
    "{path: manifest.status, contains: trusted}": False,
    "{path: metadata.text, matches: ^Hello}": True,
    "{path: metadata.text, matches: 'world'}": False,
    "{path: metadata.n, matches: '3'}": False,
    "{path: metadata.n, min: 3}": True,
    "{path: metadata.n, max: 2.5}": False,
    "{path: metadata.text, min: 0}": False,
    "{path: manifest.is_ai, min: 0}": False,
    "{path: metadata.traces.*.kind, equals: comfyui}": True,
    "{path: metadata.traces.*.generator, present: false}": True,
    "{path: watermarks.*.detected, equals: true}": True,
    "{path: metadata.*.*.kind, equals: exif}": True,
    "{not: {path: manifest.status, equals: trusted}}": False,
    "{all: [{path: metadata.n, min: 1}, {path: metadata.n, max: 5}]}": True,
    "{any: [{path: metadata.n, min: 9}, {not: {path: metadata.n, min: 9}}]}": True,
    "{use: known}": True,
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_conditions(text):
    known = Definitions({}).with_those_of(yamlfile.parse(b"known: {path: metadata.n, equals: 3}", "d"))
    assert conditions.parse(yamlfile.parse(text.encode(), "t"), known)(ROW) is CONDITIONS[text]


WRONG = {
    "{}": "line 1: a condition is a path with a test",
    "[]": "line 1: this must be a mapping",
    "{path: manifest.status}": "exactly one test",
    "{path: manifest.status, equals: a, in: [b]}": "exactly one test",
    "{path: manifest.status, like: a}": "exactly one test",
    "{path: manifest..status, present: true}": "no path into a row",
    "{path: manifset.status, present: true}": "no path into a row",
    "{path: __class__, present: true}": "no path into a row",
    "{path: 7, present: true}": "must be a text",
    "{path: type, present: 1}": "true or false",
    "{path: type, in: a}": "takes a list",
    "{path: type, equals: [a]}": "one plain value",
    "{path: type, matches: '('}": "no regular expression",
    "{path: type, min: '1'}": "must be a number",
    "{path: type, min: true}": "must be a number",
    "{all: {path: type, present: true}}": "takes a list of conditions",
    "{any: []}": "takes a list of conditions",
    "{all: [a], any: [b]}": "one of all, any, not, use",
    "{use: unheard-of}": "nothing is defined as 'unheard-of'",
    "all:\n- path: type\n  present: true\n- path: type\n  equals: {a: b}": "t.yaml, line 5: 'equals' takes one",
    "{not: " * 40 + "{path: type, present: true}" + "}" * 40: "nested more than 30",
}


@pytest.mark.parametrize("text", WRONG)
def test_conditions_that_are_none(text):
    with pytest.raises(PolicyError, match=re.escape(WRONG[text])):
        conditions.parse(yamlfile.parse(text.encode(), "t.yaml"))


# YAML


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: [1, 2", "x.yaml, line 1: this is no YAML"),
        (b"a: 1\nb: 2\na: 3", "x.yaml, line 3: a key is a text that comes once"),
        (b"a: &x 1\nb: *x", "x.yaml, line 1: anchors, aliases and tags"),
        (b"- !!python/object/apply:os.system [ls]", "line 1: anchors, aliases and tags"),
        (b"? [1]\n: 2", "line 1: a key is a text"),
        (b"a:\n  <<: {b: 1}", "line 2: a key is a text"),
        (b"a: 1\n\tb: 2", "line 2"),
        (b"\xff\xfe\xff", "not UTF-8"),
        (b"a: " + b"[" * 100_000, "line 1: this is nested more than 100 deep"),
        (b"#" * (1 << 21), "more than 1,048,576 bytes"),
        (b"a: 1\n---\nb: 2", "line 2: this is no YAML"),
    ],
)
def test_yaml_that_is_refused(raw, message):
    with pytest.raises(PolicyError, match=message):
        yamlfile.parse(raw, "x.yaml")


def test_yaml_is_plain():
    said = yamlfile.parse(b"a: 2026-08-02\nb: on\nc: 1e3\nd: 0x10\ne: ~\nf: 'x: y'\ng: 12:30:00\nh: 1.5", "x").plain()
    assert said == {"a": "2026-08-02", "b": True, "c": "1e3", "d": 16, "e": None, "f": "x: y", "g": 45000, "h": 1.5}
    assert yamlfile.parse(b"", "x").plain() == {}
    assert yamlfile.parse(b"\xef\xbb\xbfa: \xea\xb0\x80", "x").plain() == {"a": "가"}


GOOD = """regime: eu
title: {en: A, ko: 가}
rules:
- id: X-1
  title: {en: A, ko: 가}
  source:
    {kind: law, act: {en: A, ko: 가}, article: {en: A, ko: 가}, since: 2026-08-02, read: text, note: {en: A, ko: 가}}
  checks: {en: A, ko: 가}
  passes: {use: signed}
  pass: {en: A, ko: 가}
  fail: {en: A, ko: 가}
  todo: {en: A, ko: 가}
"""


def test_a_file_of_rules_is_read_strictly():
    assert rules.read(yamlfile.parse(GOOD.encode(), "r.yaml"))[0].id == "X-1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("regime: eu", "regime: mars", "line 1: 'mars' is not known here"),
        ("regime: eu\n", "", "the key 'regime' is missing"),
        ("title: {en: A, ko: 가}\nrules", "title: {en: A}\nrules", "line 2: the key 'ko' is missing"),
        ("  checks:", "  cheques:", "there is no key 'cheques' here"),
        ("  checks: {en: A, ko: 가}\n", "", "line 4: the key 'checks' is missing"),
        ("kind: law", "kind: rumour", "line 7: 'rumour' is not known here - use one of law, code"),
        ("since: 2026-08-02", "since: soon", "line 7: this must be a date"),
        ("read: text", "read: no", "line 7: False is not known here"),
        ("  passes: {use: signed}", "  passes: {use: sigend}", "line 9: nothing is defined as 'sigend'"),
        ("  passes:", "  open: {use: signed}\n  passes:", "says in 'unknown' what is not known"),
        ("  passes:", "  scope: planet\n  passes:", "line 9: 'planet' is not known here"),
        ("regime: eu", "regime: eu\ndefine: {signed: {use: marked}}", "'signed' is defined already"),
        ("pass: {en: A, ko: 가}", "pass: {en: '', ko: 가}", "line 10: this must be a text"),
    ],
)
def test_errors_in_a_file_of_rules_name_the_line(old, new, message):
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(PolicyError, match=re.escape(message)):
        rules.read(yamlfile.parse(text.encode(), "r.yaml"))


def test_two_rules_of_one_id_are_refused():
    twice = GOOD + GOOD[GOOD.index("- id") :]
    with pytest.raises(PolicyError, match=r"r\.yaml, line 13: there are two rules 'X-1'"):
        rules.read(yamlfile.parse(twice.encode(), "r.yaml"))


def test_an_unknown_regime_is_refused():
    for ask in (load, rules.titles):
        with pytest.raises(PolicyError, match="no regime 'mars' - choose from eu, korea"):
            ask(["eu", "mars"])
    assert set(rules.titles(["korea"])) == {"korea", "common"}
