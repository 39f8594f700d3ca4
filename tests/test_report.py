"""The report of a benchmark: well-formed, self-contained, escaped, complete, legible; whatever the summary lacks."""

import base64
import hashlib
import json
import math
import re
import xml.etree.ElementTree as ET
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from markai.bench import report
from markai.bench.report.charts import WIDTH, Axis, Line, Point, chart
from markai.bench.report.marks import COLOURS, colour, dash, marker
from markai.bench.report.numbers import fraction, interval
from pages import Page, contrast

LISTS = ("attacks", "cells", "curves", "methods", "null", "quality_at_performance", "roc", "security", "worst")
STYLE = files("markai.bench.report").joinpath("style.css").read_text("utf-8")


def load_sample():
    spec = spec_from_file_location("report_sample", Path(__file__).with_name("report_sample.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.sample


sample = load_sample()


@pytest.fixture(scope="module")
def summary():
    return sample()


@pytest.fixture(scope="module")
def small():
    return sample(methods=2, attacks=12)


@pytest.fixture(scope="module")
def text(summary):
    return report.html(summary)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


# Well-formed


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = page.ids()
    assert len(ids) == len(set(ids))
    targets = {link["href"] for link in page.all("a")}
    assert targets
    assert targets <= {f"#{each}" for each in ids}
    assert {label["for"] for label in page.all("label")} <= set(ids)


def test_every_drawing_is_xml_and_says_what_it_shows(text):
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    charts = [root for root in map(ET.fromstring, drawings) if root.get("role") == "img"]
    assert len(charts) == 7 + 5 + 3 + 5  # sweeps, those with a quality, ROC, null
    assert all(len(root.get("aria-label")) > 20 for root in charts)


def test_no_drawing_leaves_its_paper(text):
    for numbers in re.findall(r'<path d="M([\d. LHV]+)', "".join(re.findall(r'<svg viewBox="0 0 340.*?</svg>', text))):
        assert all(0 <= float(number) <= WIDTH for number in re.findall(r"[\d.]+", numbers))


def test_tables_can_be_read_aloud(page):
    heads = page.all("th")
    assert all(head["scope"] in ("col", "row", "rowgroup") for head in heads)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all({"alt", "width", "height"} <= set(image) for image in page.all("img"))


def test_every_row_of_a_table_is_as_wide_as_its_head(page):
    for table in page.tables:
        widths = {len(row) for row in table if len(row) > 1}  # one cell: the head of a group
        assert len(widths) == 1


# Self-contained


def test_nothing_is_loaded_from_anywhere(text, page):
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe|\bon\w+=", text)
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert len(sources) == 12
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not any("style" in attributes for _, attributes in page.elements)  # the policy would ignore it


def test_the_policy_allows_only_this_style_sheet(text):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#x27;", "'")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_names_are_text(summary):
    evil = "<script>alert(\"1\")</script><b a='&amp;'>"
    hostile = json.loads(json.dumps(summary).replace("blind-watermark", json.dumps(evil)[1:-1]))
    hostile["run"]["notes"] = [evil]
    hostile["run"]["picture_source"] = evil
    hostile["run"]["command"] = evil
    hostile["worst"][0] |= {"picture": evil, "why": evil, "attack": evil}
    hostile["worst"][0]["images"][0]["label"] = evil
    hostile["curves"][0]["meaning"] = hostile["security"][0]["meaning"] = hostile["attacks"][1]["meaning"] = evil
    text = report.html(hostile)
    read = Page(text)
    assert "<script" not in text
    assert "a" not in {key for _, attributes in read.elements for key in attributes}
    assert evil in "".join(read.text)
    assert any(evil in image.get("alt", "") for image in read.all("img"))


# Complete


def row_of(page, measure, spec):
    """The row of an attack in the heat table of a measure: cells as text."""
    tables = [table for table in page.tables if table[0][:2] == ["Attack", "PSNR, dB"]]
    return next(row for row in tables[measure] if row[0].removesuffix("†") == spec)


def test_every_share_and_interval_is_on_the_page(summary, page):
    names = [method["name"] for method in summary["methods"]]
    for cell in summary["cells"]:
        shares = [cell["exact"], *(cell["detected"].get(rate) for rate in ("1e-6", "1e-3", "1e-2"))]
        for measure, share in enumerate(shares):
            written = row_of(page, measure, cell["attack"])[2 + names.index(cell["method"])]
            if share and share["n"]:
                assert written.startswith(fraction(share["value"]) + interval(share))
            else:
                assert written.startswith("–")
            assert ("error" in written) == bool(cell["errors"])
            assert ("wrong" in written) == bool(cell["wrong"])


def test_the_full_table_has_every_cell(summary, page):
    table = page.tables[-1]
    assert [row[:3] for row in table[1:]] == [[c["method"], c["attack"], f"{c['n']}"] for c in summary["cells"]]
    first, row = summary["cells"][0], table[1]
    assert (
        row[table[0].index("Bit accuracy")]
        == f"{first['bit_accuracy']['mean']:.3f} ({interval(first['bit_accuracy'])})"
    )
    assert row[table[0].index("AUROC")].startswith(f"{first['auroc']['value']:.3f}")


def test_costs_are_on_the_page(summary, page):
    table = next(table for table in page.tables if any(row[0] == "SSIM" for row in table))
    costs = {row[0]: row[1:] for row in table}
    assert costs["PSNR, dB"][0] == "42.6042.30–42.90least 39.50"
    assert costs["Colour difference ΔE00"][0].endswith("most 1.92")
    assert costs["Embed, 1024 x 1024"][:2] == ["19.212.0", "509318"]
    assert costs["SSIMULACRA 2"][1] == "–"
    assert costs["Wrong payloads accepted"] == [
        f"{sum(c['wrong'] for c in summary['cells'] if c['method'] == method['name'])}" for method in summary["methods"]
    ]


def test_stand_ins_are_flagged_and_only_they(summary, page):
    for attack in summary["attacks"]:
        assert row_of(page, 0, attack["spec"])[0].endswith("†") == attack["proxy"]


def test_the_overview_counts_what_is_read_back():
    summary = sample(methods=1)
    summary["attacks"] = [a | {"families": ["codec"]} for a in summary["attacks"][:4]]  # none and three more
    for attack, value in zip(summary["attacks"], (1.0, 0.96, 0.95, 0.2), strict=True):
        cell = next(cell for cell in summary["cells"] if cell["attack"] == attack["spec"])
        cell["exact"] = {"value": value, "low": value, "high": value, "n": 100}
    row = Page(report.html(summary)).tables[0][1]
    worst = summary["attacks"][3]["spec"]
    assert row[1:4] == ["2of 3 attacks", "1.00", f"0.700.20 {worst}"]


def test_a_rate_that_is_surely_too_high_is_flagged(page):
    table = next(table for table in page.tables if "KS test, p" in table[0])
    column = table[0].index("Rate at 1e-2")
    assert {row[0] for row in table[1:] if "too high" in row[column]} == {"invisible-watermark/rivaGan"}


def test_security_is_coloured_by_what_is_wanted():
    share = {"value": 0.95, "low": 0.9, "high": 1.0, "n": 40}
    row = {"method": "markai/dwt-dct", "attack": "copy", "n": 40, "bad": share, "meaning": "accepted"}
    for want, colour_class in (("low", "h0"), ("high", "h9")):
        text = report.html(sample(1, 3) | {"security": [row | {"want": want}]})
        cell = text[text.index('<section id="security"') :].split("0.950")[0].rsplit("<td", 1)[1]
        assert f'class="{colour_class}"' in cell


# Charts


def test_strengths_run_from_mild_to_strong(text):
    sections = text[text.index('<section id="strength"') : text.index('<section id="quality"')]
    marks = [re.findall(r'text-anchor="middle">([\d.]+)<', each) for each in re.findall(r"<svg.*?</svg>", sections)]
    assert ["90", "70", "50", "30", "20", "10"] in marks  # the quality of a JPEG, downward
    assert ["0.5", "1", "2", "4", "8"] in marks  # the sigma of a blur, upward


def test_the_roc_begins_at_the_axis_with_what_needs_no_false_alarm():
    curve = {"method": "markai/dwt-dct", "attack": "all", "points": [[0.0, 0.4], [2e-3, 0.6], [1.0, 1.0]]}
    text = report.html(sample(1, 3) | {"roc": [curve]})
    drawn = text[text.index('<section id="roc"') :]
    assert "starts at 0.400" in drawn
    assert 'd="M36 122.8H' in drawn  # 0.6 of 168 units below the top at 22


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.37), (-45, 45), (1e-3, 2e-3), (10, 90), (0, 12345)])
def test_ticks_are_few_round_and_inside(low, high):
    ticks = Axis("", low, high).ticks()
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 and float(text) == pytest.approx(value) for value, text in ticks)


def test_a_point_outside_is_drawn_on_the_edge():
    x = y = Axis("", 0, 1)
    drawn = chart(x, y, [Line("m", 0, [Point(-5, 9), Point(7, -3)])], "a line")
    assert re.search(r'd="M36 22L328 190"', drawn)


def test_no_two_methods_look_the_same():
    assert len({(colour(k), dash(k)) for k in range(2 * COLOURS)}) == 2 * COLOURS
    assert len({(colour(k), marker(k)) for k in range(2 * COLOURS)}) == 2 * COLOURS


# Legible


def test_numbers_can_be_read_on_every_colour_of_the_scale():
    steps = re.findall(r"\.h(\d+) \{ background: (#\w+); color: (#\w+);", STYLE)
    assert [int(step) for step, _, _ in steps] == [*range(11)] * 2  # light, dark
    assert all(contrast(ground, ink) >= 4.5 for _, ground, ink in steps)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out(theme):
    named = dict(re.findall(r"--(\w+): (#\w{6});", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[theme]))
    for text in ("ink", "quiet", "link", "alarm"):
        assert contrast(named[text], named["ground"]) >= 4.5
        assert contrast(named[text], named["raised"]) >= 4.5
    assert contrast(named["alarm"], named["bad"]) >= 4.5
    assert all(contrast(named[f"m{k}"], named["ground"]) >= 3 for k in range(COLOURS))


# What may be missing


@pytest.mark.parametrize("missing", LISTS)
def test_an_empty_part_is_left_out(small, missing):
    section = {"quality_at_performance": "performance", "curves": "strength"}.get(missing, missing)
    section = {"cells": "data", "attacks": "robustness"}.get(section, section)
    page = Page(report.html(small | {missing: []}))
    assert section in Page(report.html(small)).ids()
    assert section not in page.ids()
    assert {link["href"] for link in page.all("a")} <= {f"#{each}" for each in page.ids()}
    report.markdown(small | {missing: []})


def test_nothing_at_all_is_a_page():
    assert Page(report.html({})).all("section") == []
    assert report.markdown({}).strip()


def without_figures(value, figure):
    """The same with every float replaced."""
    if isinstance(value, dict):
        return {key: without_figures(each, figure) for key, each in value.items()}
    if isinstance(value, list):
        return [without_figures(each, figure) for each in value]
    return figure if isinstance(value, float) else value


@pytest.mark.parametrize("figure", [None, math.nan])
def test_figures_may_be_unknown(small, figure, tmp_path):
    unknown = without_figures(small, figure)
    read = Page(report.html(unknown))
    assert not re.search(r"\b(nan|None|null)\b", " ".join(read.text[read.text.index("At a glance") :]))
    assert "nan" not in report.markdown(unknown)
    report.write(unknown, tmp_path)
    assert "NaN" not in (tmp_path / "summary.json").read_text()


@pytest.mark.parametrize(("methods", "attacks"), [(1, 3), (12, 150)])
def test_few_and_many(methods, attacks):
    summary = sample(methods, attacks)
    page = Page(report.html(summary))
    assert len(page.tables[0]) == methods + 1
    assert len([row for row in page.tables[1] if len(row) == methods + 2]) == len(summary["attacks"]) + 1


# Markdown and files


def cells_of(line):
    return [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_is_tables_of_one_width(summary):
    blocks = report.markdown(summary).split("\n\n")
    for block in blocks[:2]:
        rows = [cells_of(line) for line in block.splitlines()]
        assert {len(row) for row in rows} == {len(rows[0])}
        assert set(rows[1]) == {"---"}
    robustness = [cells_of(line) for line in blocks[0].splitlines()][2:]
    assert [row[0].removesuffix(" †") for row in robustness] == [attack["spec"] for attack in summary["attacks"]]
    for row, attack in zip(robustness, summary["attacks"], strict=True):
        cell = next(cell for cell in summary["cells"] if cell["attack"] == attack["spec"])
        low, high = cell["exact"]["low"], cell["exact"]["high"]
        assert row[1:3] == [fraction(cell["exact"]["value"]), f"{low:.3f}-{high:.3f} (n={cell['n']})"]


def test_markdown_cells_hold_any_name(summary):
    named = json.loads(json.dumps(summary).replace("trustmark/Q", "a|b *c*"))
    rows = [cells_of(line) for line in report.markdown(named).split("\n\n")[0].splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[0][-1] == "a\\|b \\*c\\*"


def test_the_same_summary_gives_the_same_files(tmp_path):
    for name in ("one", "two"):
        report.write(sample(methods=2, attacks=12), tmp_path / name)
    for name in ("summary.json", "report.html", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["report.html", "report.md", "summary.json"]


def test_the_json_is_the_summary(summary, tmp_path):
    report.write(summary, tmp_path)
    read = json.loads((tmp_path / "summary.json").read_text())
    endless = {attack["spec"] for attack in summary["attacks"] if attack["psnr"] == math.inf}
    assert endless == {
        attack["spec"] for attack in read["attacks"] if attack["psnr"] is None and not attack["geometric"]
    }
    assert read["cells"] == summary["cells"]
