"""The report of an audit: self-contained, escaped, complete in both languages, legible; whatever the rows lack."""

import ast
import base64
import hashlib
import inspect
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest

from audit_sample import ODD_NAMES, RULES, UNKNOWN_NOTICE, picture_of, sample, sample_row, sample_rows
from markai import inspector
from markai.audit import disagreements, examine, report, thumbnails
from markai.audit.evidence import evidence
from markai.audit.lines import Rows, write_rows
from markai.audit.report import bars, listing, summary
from markai.audit.report.view import View, slim
from markai.audit.tally import LAYER_STATES, has_findings, tally, totals
from markai.audit.thumbnails import Thumbnails
from markai.audit.words import (
    FURTHER_VERDICTS,
    LANGUAGES,
    LAYERS,
    RULE_STATUSES,
    VERDICTS,
    Said,
    note_of,
    sentences,
    show,
    visible,
)
from markai.inspection import contradictions
from markai.provenance.codes import SENTENCES
from pages import Page, contrast

STYLE = files("markai.audit.report").joinpath("style.css").read_text("utf-8")
SCRIPT = files("markai.audit.report").joinpath("page.js").read_text("utf-8")
HANGUL = re.compile("[가-힣]")


@pytest.fixture(scope="module")
def audit():
    return sample(60)


@pytest.fixture(scope="module")
def text(audit):
    return report.html(audit, thumbnails=Thumbnails(picture_of))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def data_of(text):
    """What the script of a page reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# Words


def test_every_sentence_is_there_in_both_languages():
    for code, said in sentences().items():
        assert set(said) == set(LANGUAGES), code
        assert all(each.strip() for each in said.values()), code
        fields = [set(re.findall(r"\{(\w+)\}", said[language])) for language in LANGUAGES]
        assert fields[0] == fields[1], code


def test_korean_is_korean():
    same = {code for code, said in sentences().items() if not HANGUL.search(said["ko"])}
    assert same == {"evidence.digest", "evidence.iptc", "evidence.tc260", "report.when.sentence"}


def test_every_code_has_words():
    wanted = [f"verdict.{code}{part}" for code in VERDICTS for part in ("", ".sentence")]
    wanted += [f"layer.{layer}" for layer in LAYERS] + [f"rule.{status}" for status in RULE_STATUSES]
    wanted += [f"tally.{layer}-{state}" for layer, states in LAYER_STATES.items() for state in states]
    wanted += [f"manifest.{status}" for status in LAYER_STATES["manifest"]]
    wanted += [f"status.{status}" for status in ("ok", "unreadable", "too large", "changed", "skipped")]
    wanted += [f"claims.{claim}" for claim in ("generated", "edited with AI", "camera", "software")]
    wanted += [f"verdict.{code}{part}" for code in FURTHER_VERDICTS for part in ("", ".sentence")]
    conflicts = contradictions.SENTENCES | disagreements.SENTENCES
    wanted += [f"contradiction.{code}" for code in conflicts]
    assert not set(wanted) - set(sentences())
    for code in (*(f"reason.{code}" for code in SENTENCES), *(f"contradiction.{code}.sentence" for code in conflicts)):
        assert HANGUL.search(sentences()[code]["ko"]), code


def test_absence_is_never_called_human():
    for language, proof in (("en", "not proof of human origin"), ("ko", "증거가 아닙니다")):
        assert proof in sentences()["verdict.unknown.sentence"][language]
        assert proof in sentences()["report.limit.absence"][language]
    assert "claim, not proof" in sentences()["verdict.generated-claimed.sentence"]["en"]


# Self-contained


def test_nothing_is_loaded_from_anywhere(page):
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not page.all("link")
    assert not page.all("iframe")
    assert not any("style" in attributes for _, attributes in page.elements)  # the policy would ignore it
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert not re.search(
        r"url\(|@import|fetch\(|XMLHttp|innerHTML|insertAdjacent|document\.write|eval\(", STYLE + SCRIPT
    )


def test_the_policy_allows_only_these_texts(text):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#x27;", "'")
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(styles) == 1
    assert len(scripts) == 2
    for kind, inside in (("style-src", styles), ("script-src", scripts)):
        allowed = re.search(rf"{kind} ([^;]*);", policy)[1].split()
        digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inside]
        assert allowed == [f"'sha256-{digest}'" for digest in digests]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_script_is_sound():
    if not (node := shutil.which("node")):
        pytest.skip("no JavaScript engine on this machine")
    subprocess.run([node, "--check", "-"], input=SCRIPT, text=True, check=True, capture_output=True, timeout=60)


# Escaped


def test_names_are_text(page, text, audit):
    read = "".join(page.text)
    for number, name in enumerate(ODD_NAMES):
        assert audit["rows"][number]["path"].endswith(name)
        assert visible(name) in read
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x07\udcff]", text)
    assert not {"b", "script"} & {
        name for name, _ in page.elements[page.elements.index(("tbody", {"id": "rows"})) :]
    } - {"script"}
    assert text.count("<script") == 3  # two of ours and the data


def test_data_cannot_end_its_element(text):
    inside = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert "<" not in inside
    assert any("</script><!--.png" in each for each in data_of(text)["texts"] if isinstance(each, str))


def test_every_value_of_a_row_may_be_hostile():
    evil = "<img src=x onerror=alert(1)>\u202e\"'&"

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(each) for key, each in value.items()}
        if isinstance(value, list):
            return [replaced(each) for each in value]
        return evil if isinstance(value, str) else value

    rows = [replaced(row) for row in sample_rows(30)]
    hostile = {**replaced({key: value for key, value in sample(1).items() if key != "rows"}), "rows": rows}
    page = Page(report.html(hostile))
    assert not page.all("img")
    assert "<img src=x onerror=alert(1)>" in "".join(page.text)
    assert not [each for each in page.text if evil in each]


# Complete


def test_counts_are_on_the_page(page, audit):
    counted = tally(audit["rows"])
    table = next(each for each in page.tables if each[0][0].startswith("Verdict"))
    for code, row in zip(VERDICTS, table[1:], strict=True):
        assert row[0] == "".join(sentences()[f"verdict.{code}"].values())
        assert row[2] == f"{counted.verdicts[code]:,}"
    assert sum(counted.verdicts.values()) == len(audit["rows"])
    for rule in RULES:
        row = next(row for each in page.tables for row in each if row[0].startswith(rule["id"]))
        undecided = counted.rules[rule["id"]]["undecided"]
        if undecided:
            assert row[4].endswith(f"{undecided} undecided판단 보류 {undecided}")
            row[4] = row[4].removesuffix(f"{undecided} undecided판단 보류 {undecided}")
        assert row[2:] == [f"{counted.rules[rule['id']][status]:,}" for status in RULE_STATUSES]
        assert rule["todo"]["ko"] in row[0]


def test_totals_are_plain_and_complete(audit):
    found = totals(audit["rows"])
    assert json.loads(json.dumps(found)) == found
    assert set(found["by_verdict"]) == set(VERDICTS)
    assert found["files"] == 60 == sum(found["by_status"].values())
    assert all(sum(states.values()) == found["examined"] for states in found["by_layer"].values())


def test_every_row_is_in_the_table_and_in_the_data(page, text, audit):
    names = [attributes["id"] for name, attributes in page.elements if name == "tr" and "id" in attributes]
    assert names == [f"f{index}" for index in range(60)]
    data = data_of(text)
    assert [row["v"] for row in data["rows"]] == [row["verdict"]["code"] for row in audit["rows"]]
    found = {code for row in audit["rows"] for code in [each["code"] for each in row.get("contradictions") or ()]}
    assert set(data["contradictions"]) == found


def read_evidence(data, row, language):
    """The evidence of a row as the script shows it."""

    def text(reference):
        number, values = reference if isinstance(reference, list) else (reference, {})
        said = data["texts"][number]
        said = said if isinstance(said, str) else said[LANGUAGES.index(language)]
        return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), said)

    return [[text(title), [[text(line[0]), text(line[1]), *line[2:]] for line in lines]] for title, lines in row["e"]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_evidence_is_the_same_in_data_and_in_words(text, audit, language):
    data = data_of(text)
    for row, encoded in zip(audit["rows"], data["rows"], strict=True):
        shown = read_evidence(data, encoded, language)
        for section, (title, lines) in zip(evidence(row), shown, strict=True):
            assert title == show(Said(section.title), language)
            assert [line[:2] for line in lines] == [
                [show(line.label, language), show(line.value, language)] for line in section.lines
            ]
            assert "{" not in "".join(line[0] + line[1] for line in lines)


def test_evidence_tells_what_a_regulator_asks():
    kinds = {row["verdict"]["code"]: row for row in sample_rows(30)}

    def lines(code):
        return {
            (section.title.removeprefix("evidence."), show(line.label)): show(line.value)
            for section in evidence(kinds[code])
            for line in section.lines
        }

    assert "by chance about once in " in lines("generated")["watermark", "By chance?"]
    assert "acme:42" in lines("generated")["watermark", "Message in it"]
    assert lines("generated")["manifest", "Signed by"] == "Acme GmbH"
    assert "so the certificate says" in lines("edited")["manifest", "Signed by"]
    assert lines("edited")["watermark", "Marked area"].startswith("about ")
    assert "values not copied" in lines("generated-claimed")["metadata", "Personal data"]
    assert lines("recovered")["record", "Recovered manifest"].startswith("Intact")
    assert "copied from there" in lines("copied")["contradictions", "copied mark"]
    assert "Permission denied" in lines("none")["file", "Why"] or "changed" in lines("none")["file", "Why"]


def test_a_chain_is_shown_as_deep_as_it_is_and_no_deeper_than_fits():
    row = sample_row(0)
    values = [line.depth for section in evidence(row) if section.title == "evidence.manifest" for line in section.lines]
    assert max(values) >= 3
    endless = row["manifest"]["ingredients"] * 1000
    row["manifest"]["ingredients"] = endless
    assert sum(len(section.lines) for section in evidence(row)) < 150


def test_undecided_rules_say_what_to_declare():
    result = {
        "id": "KR-2",
        "status": "not applicable",
        "open": True,
        "sentence": "Unknown.",
        "todo": {"en": "Declare."},
    }
    row = {"path": "a", "status": "ok", "verdict": {"code": "unknown"}, "rules": [result]}
    text = report.html({"rows": [row], "rules": [{"id": "KR-2", "todo": {"en": "Declare.", "ko": "신고하십시오."}}]})
    assert "1 undecided" in text
    assert "신고하십시오." in text
    assert [show(line.value) for line in evidence(row)[-1].lines] == ["undecided", "Unknown.", "Declare."]


def test_the_table_of_rules_says_why_they_are_undecided(page):
    row = next(row for table in page.tables for row in table if row[0].startswith("KR-2"))
    for said in (*UNKNOWN_NOTICE.values(), *next(rule for rule in RULES if rule["id"] == "KR-2")["todo"].values()):
        assert said in row[0]
    decided = next(row for table in page.tables for row in table if row[0].startswith("EU-1"))
    assert "Undecided" not in decided[0]


# Notes


def noted_in(module):
    """The notes that a module makes, with a word in the place of everything that is filled in."""
    for call in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "self.notes.append":
            (note,) = call.args
            parts = note.values if isinstance(note, ast.JoinedStr) else [note]
            yield "".join(each.value if isinstance(each, ast.Constant) else "something" for each in parts)


def test_every_note_is_shown_in_both_languages():
    alike = examine._lookalikes(
        SimpleNamespace(lookalikes=[SimpleNamespace(record=SimpleNamespace(id="3f:61"), distance=2)])
    )
    notes = [*(note.replace("under something", "under key something") for note in noted_in(inspector)), *alike]
    assert len(notes) >= 9
    for note in notes:
        said = note_of(note)
        assert isinstance(said, Said), note
        assert show(said) == note
        assert HANGUL.search(show(said, "ko"))
    without_key = note_of(
        "The manifest names a mark (com.example.1) under a key that it does not name, which was not looked for."
    )
    assert without_key.code == "note.mark-without-key"


def test_notes_stand_in_the_evidence(text):
    row = next(row for row in sample_rows(60) if row["verdict"]["code"] == "damaged")
    notes = [line.value for line in evidence(row)[0].lines if line.label == Said("evidence.note")]
    assert [show(note) for note in notes] == [visible(note) for note in row["notes"]]
    assert show(notes[0], "ko").startswith("픽셀을 읽을 수 없습니다: <b>broken</b>")
    texts = data_of(text)["texts"]
    assert list(sentences()["note.lookalike"].values()) in texts  # once for all files, filled in by the script
    assert "What no version ever noted." in texts


def test_a_map_of_the_mark_is_kept_short():
    presence = np.zeros((24, 32))
    presence[4:20] = 1
    row = {"watermark": {"detected": True, "coverage": {"share": 0.66, "presence": presence.tolist()}}}
    slimmed = slim(row)
    assert slimmed["map"] == "32:128a512p128a"
    assert slimmed["watermark"]["coverage"] == {"share": 0.66}


# Sizes


def test_a_page_holds_those_with_findings_first_when_there_are_too_many():
    rows = sample_rows(60)
    view = View({"rows": rows}, most=20)
    assert view.tally.files == 60
    assert len(view.rows) == 20
    findings = [row["path"] for row in rows if has_findings(row)]
    assert [row["path"] for row in view.rows][: len(findings)] == findings[:20]


def test_rows_may_stand_in_a_file(tmp_path, audit):
    write_rows(tmp_path / "rows.ndjson", audit["rows"])
    from_file = report.html({**audit, "rows": Rows(tmp_path / "rows.ndjson")})
    assert data_of(from_file) == data_of(report.html(audit))


def test_a_thousand_rows_stay_small():
    rows = [slim(sample_row(number)) for number in range(300)] * 4
    text = report.html({"rows": rows})
    assert len(text.encode()) < 2200 * len(rows)
    assert len(data_of(text)["texts"]) < 12 * 300


# Thumbnails


def test_pictures_are_bounded_in_number_and_size():
    rows = sample_rows(60)
    asked = []

    def picture(row):
        asked.append(row["path"])
        return b"RIFF" + bytes(30) + b"WEBP"

    chosen = Thumbnails(picture, first=5).choose(rows)
    assert len(chosen) == 5 + sum(map(has_findings, rows))
    few = Thumbnails(picture, first=5, most_bytes=400).choose(rows)
    assert sum(map(len, few.values())) <= 400
    assert set(few) < {index for index, row in enumerate(rows) if has_findings(row)}


def test_a_thumbnail_is_of_the_bytes_that_were_audited(tmp_path, photo_path):
    data = photo_path.read_bytes()
    path = tmp_path / "a.png"
    path.write_bytes(data)
    row = {"path": str(path), "sha256": hashlib.sha256(data).hexdigest()}
    picture = thumbnails.from_files().picture_of(row)
    assert picture[:4] == b"RIFF"
    assert len(picture) < 10_000
    assert thumbnails.from_files().picture_of(row | {"sha256": "0" * 64}) is None
    assert thumbnails.from_files().picture_of(row | {"path": str(tmp_path / "none.png")}) is None


def test_a_thumbnail_of_a_member_of_an_archive(tmp_path, photo_path):
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", photo_path.parent, photo_path.name)
    row = {"path": f"{archive}!/{photo_path.name}", "sha256": hashlib.sha256(photo_path.read_bytes()).hexdigest()}
    assert thumbnails.from_files().picture_of(row)
    assert thumbnails.from_files().picture_of(row | {"path": f"{archive}!/no.png"}) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0garbage", b"GIF89a", b"no picture"])
def test_what_is_no_picture_has_no_thumbnail(data):
    assert thumbnails.thumbnail(data) is None


# Well-formed and legible


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = page.ids()
    assert len(ids) == len(set(ids))
    assert {link["href"] for link in page.all("a")} <= {f"#{each}" for each in ids}
    assert {label["for"] for label in page.all("label")} <= set(ids)


def test_tables_can_be_read_aloud(page):
    assert all(head["scope"] in ("col", "row") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("alt" in image for image in page.all("img"))
    for table in page.tables:
        assert len({len(row) for row in table}) == 1


def test_both_languages_are_everywhere(page):
    spans = [attributes["lang"] for name, attributes in page.elements if name == "span" and "lang" in attributes]
    assert spans.count("en") == spans.count("ko") > 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_opens_in_a_language(audit, language):
    page = Page(report.html(audit, language=language))
    assert page.all("html") == [{"lang": language}]
    chosen = [radio["value"] for radio in page.all("input") if "checked" in radio]
    assert chosen == [language]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_colours_stand_out(theme):
    named = dict(re.findall(r"--([\w-]+): (#\w{6});", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[theme]))
    for text in ("ink", "quiet", "link", "alarm", "fine", *VERDICTS):
        assert contrast(named[text], named["ground"]) >= 4.5, text
    for text in ("ink", "quiet", "alarm", "fine"):
        assert contrast(named[text], named["raised"]) >= 4.5, text
    for filled in ("generated", "recovered", "edited", "copied"):
        assert contrast(named["on"], named[filled]) >= 4.5, filled


def test_no_drawing_leaves_its_paper():
    drawn = bars.bar([(1, "good"), (0, "bad"), (999_998, "weak"), (1, "nothing")], 1_000_000)
    rects = ET.fromstring(drawn)
    edges = [float(rect.get("x", 0)) + float(rect.get("width")) for rect in rects]
    assert [rect.get("class") for rect in rects] == ["good", "weak", "nothing"]
    assert max(edges) <= bars.WIDTH + 0.02


def test_shares_never_round_to_none_or_all():
    assert summary.percent(1, 100_000) == "<0.1%"
    assert summary.percent(100_000 - 1, 100_000) == ">99.9%"


# What may be missing


@pytest.mark.parametrize(
    "missing", ["selftest", "rules", "regimes", "settings", "started", "command", "rows", "totals"]
)
def test_parts_may_be_missing(audit, missing):
    small = {**audit, "rows": audit["rows"][:12]}
    Page(report.html({key: value for key, value in small.items() if key != missing}))
    Page(report.html({**small, missing: None}))


def test_nothing_at_all_is_a_page():
    page = Page(report.html({}))
    assert "0 files audited" in page.text
    assert "selftest" not in page.ids()


@pytest.mark.parametrize(
    "row", [{}, {"path": "a"}, {"path": "a", "watermark": None, "manifest": None, "metadata": None}]
)
def test_rows_may_be_bare(row):
    text = report.html({"rows": [row]})
    assert not re.search(r"\bNone\b|\bnan\b", "".join(Page(text).text).split("function")[0].split('"use strict"')[0])


def test_unknown_codes_are_shown_as_they_are():
    row = {
        "path": "a",
        "status": "melted",
        "verdict": {"code": "new", "sentence": "It is <new>.", "sure": "newly"},
        "contradictions": [{"code": "odd", "sentence": {"en": "Odd.", "ko": "이상함."}}],
    }
    text = report.html({"rows": [row]})
    assert "melted" in text
    assert any("It is <new>." in each for each in data_of(text)["texts"])
    assert ["Odd.", "이상함."] in data_of(text)["texts"]


def test_listing_marks_states_that_say_nothing():
    assert listing.quietest("none")
    assert not listing.quietest("invalid")
