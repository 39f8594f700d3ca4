"""The files of an audit on the page: a plain table for every reader, and the same rows as data for the script.

The data holds every text once, in both languages where it has them; rows refer to texts by number. Ten thousand rows
take about 15 MB so, without pictures.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markai.audit.evidence import Line, Section, evidence, file_size, maker
from markai.audit.report.bilingual import say, words
from markai.audit.tally import LAYER_STATES, failures, has_findings, layer_state, status_of, verdict_of
from markai.audit.words import (
    FURTHER_VERDICTS,
    LANGUAGES,
    LAYERS,
    VERDICTS,
    Said,
    Text,
    known,
    name_of,
    sentences,
    visible,
)
from markai.bench.report.elements import Markup, tag
from markai.bench.report.marks import breakable
from markai.bench.report.numbers import finite

Row = Mapping[str, Any]

MOST_NAMED = 4  # findings that are named in a row of the table; the evidence has all
LEVELS = "abcdefghijklmnop"  # of presence in a map of the mark, from none to certain
# Texts that only the script shows.
SCRIPT_TEXTS = (
    *("search", "all-verdicts", "all-layers", "all-findings", "with-any", "with-contradictions", "with-failures"),
    *("without-any", "reset", "position", "position.none", "previous", "next", "evidence", "map", "map.label"),
    *("preview", "printed", "title", "language"),
)


def quietest(state: str) -> bool:
    """Whether this state of a layer says that there is nothing."""
    return state in ("none", "unsupported")


class Texts:
    """The texts of the page's data, each once.

    >>> texts = Texts()
    >>> texts.number("a"), texts.number(Said("rule.pass")), texts.number("a"), texts.all[1]
    (0, 1, 0, ['pass', '충족'])
    """

    def __init__(self) -> None:
        self.all: list[str | list[str]] = []
        self._number: dict[tuple[str, ...], int] = {}

    def number(self, text: Text) -> int:
        """Return the number of a text; what is filled into a sentence is not part of it."""
        if isinstance(text, str):
            shown = visible(text)
            return self._of((shown,), shown)
        if isinstance(text, Said):
            text = {str(language): said for language, said in sentences()[text.code].items()}
        several = [str(text.get(language) or text.get("en") or "") for language in LANGUAGES]
        return self._of(tuple(several), several)

    def _of(self, key: tuple[str, ...], text: str | list[str]) -> int:
        if key not in self._number:
            self._number[key] = len(self.all)
            self.all.append(text)
        return self._number[key]

    def reference(self, text: Text) -> Any:
        """Return how data refers to a text: its number, with what is filled in where there is something."""
        if isinstance(text, Said) and text.values:
            return [self.number(text), dict(text.values)]
        return self.number(text)


def table(rows: Sequence[Row], pictures: Mapping[int, str], labels: Mapping[str, Text]) -> Markup:
    """Return the table of files; ``pictures`` are data URIs by the number of the row, ``labels`` the rules' titles."""
    heads = [
        tag("th", tag("span", say("report.preview"), class_="aside"), scope="col", class_="picture"),
        *(
            tag("th", say(f"report.{code}"), scope="col", data_sort=sort)
            for code, sort in (
                ("file", "path"),
                ("verdict", "verdict"),
                ("layers", None),
                ("findings-column", "findings"),
            )
        ),
    ]
    body = [_row(index, row, pictures.get(index), labels) for index, row in enumerate(rows)]
    return tag(
        "table",
        tag("caption", say("report.files"), class_="aside"),
        tag("thead", tag("tr", heads)),
        tag("tbody", body, id="rows"),
        class_="files" if pictures else "files bare",
    )


def _row(index: int, row: Row, picture: str | None, labels: Mapping[str, Text]) -> Markup:
    size = ", ".join(each for each in (visible(row.get("type") or ""), file_size(row)) if each)
    drawn = tag("img", src=picture, alt="", loading="lazy", decoding="async") if picture else None
    name = tag("span", tag("bdi", breakable(visible(row.get("path", "")))), class_="path")
    return tag(
        "tr",
        tag("td", drawn, class_="picture"),
        tag("th", name, tag("small", size), scope="row"),
        tag("td", verdict_chip(row), _made_by(row), class_="verdict"),
        tag("td", _layers(row), class_="layers"),
        tag("td", _findings(row, labels), class_="findings"),
        id=f"f{index}",
    )


def verdict_chip(row: Row) -> Markup:
    """Return the verdict of a row as a chip; proven ones are filled, claims have a dashed rim."""
    code = verdict_of(row)
    sure = (row.get("verdict") or {}).get("sure")
    kind = code if code in (*VERDICTS, *FURTHER_VERDICTS) else "unknown"
    return tag(
        "span", words(name_of("verdict", code)), class_=f"chip v-{kind}{' claimed' if sure == 'claimed' else ''}"
    )


def _made_by(row: Row) -> Markup | None:
    """Return who made a file; where nothing was found, that this proves nothing."""
    if verdict_of(row) == "unknown":
        return tag("small", say("report.not-proof"))
    made_by = maker((row.get("verdict") or {}).get("by"))
    return tag("small", words(made_by)) if made_by else None


def _layers(row: Row) -> list[Markup]:
    """Return the layers that say something, each with what it says where that is not plain."""
    shown = []
    for layer in LAYERS if status_of(row) == "ok" else ():
        state = layer_state(row, layer)
        if not quietest(state):
            tone = "bad" if state in ("invalid", "damaged") else None
            shown.append(tag("span", say(f"layer.{layer}"), class_=tone))
    return shown


def _findings(row: Row, labels: Mapping[str, Text]) -> Markup | None:
    """Return the reasons to look at a file: why it was not examined, contradictions, failed rules."""
    named: list[Markup] = []
    if status_of(row) != "ok":
        error = tag("small", visible(row["error"])) if row.get("error") else ""
        named.append(Markup(words(name_of("status", status_of(row))) + error))
    codes = dict.fromkeys(str(each.get("code")) for each in row.get("contradictions") or ())
    named += [words(name_of("contradiction", code)) for code in codes]
    failed = [str(each["id"]) for each in failures(row)]
    more = len(named) + len(failed) - MOST_NAMED
    for rule in failed[: max(1, MOST_NAMED - len(named))]:
        label = labels.get(rule)
        named.append(Markup(tag("code", visible(rule)) + (tag("small", words(label)) if label else "")))
    if failed and more > 0:
        named.append(Markup(f"+{more}"))
    return tag("ul", [tag("li", each) for each in named]) if named else None


# For the script


def data(rows: Iterable[Row], language: str) -> dict[str, Any]:
    """Return what the script needs to filter, sort and open the rows of the table, in their order."""
    texts = Texts()
    script = {code: texts.number(Said(f"report.{code}")) for code in SCRIPT_TEXTS}
    verdicts = {code: texts.number(name_of("verdict", code)) for code in (*VERDICTS, *FURTHER_VERDICTS)}
    layers = {layer: texts.number(Said(f"layer.{layer}")) for layer in LAYERS}
    encoded = [_encoded(row, texts, verdicts) for row in rows]
    contradictions = {
        code: texts.number(name_of("contradiction", code)) for code in sorted({c for row in encoded for c in row["c"]})
    }
    return {
        "language": language,
        "languages": list(LANGUAGES),
        "texts": texts.all,
        "script": script,
        "verdicts": verdicts,
        "layers": layers,
        "contradictions": contradictions,
        "rows": encoded,
    }


def _encoded(row: Row, texts: Texts, verdicts: dict[str, int]) -> dict[str, Any]:
    code = verdict_of(row)
    verdicts.setdefault(code, texts.number(code))
    found = {
        "v": code,
        "c": sorted({str(each.get("code")) for each in row.get("contradictions") or ()}),
        "f": [visible(each["id"]) for each in failures(row)],
        "l": [layer for layer in LAYERS if status_of(row) == "ok" and not quietest(layer_state(row, layer))],
        "e": [_section(section, texts) for section in evidence(row)],
        "m": row.get("map"),
        "x": 1 if has_findings(row) else 0,
    }
    return {key: value for key, value in found.items() if value or key in ("c", "f")}


def _section(section: Section, texts: Texts) -> list[Any]:
    return [texts.number(Said(section.title)), [_line(line, texts) for line in section.lines]]


def _line(line: Line, texts: Texts) -> list[Any]:
    written = [texts.reference(line.label), texts.reference(line.value), line.depth, line.tone]
    return written if line.tone else written[:3] if line.depth else written[:2]


def coverage(row: Row) -> str | None:
    """Return where the mark is, as columns, a colon, and runs of squares from the upper left, each a count and a level.

    >>> coverage({"watermark": {"coverage": {"presence": [[1, 1, 1], [1, 0.5, 0]]}}})
    '3:4pia'
    """
    presence = ((row.get("watermark") or {}).get("coverage") or {}).get("presence")
    if not presence or not (row.get("watermark") or {}).get("detected", True):
        return None
    levels = [_level(value) for line in presence for value in line]
    runs: list[tuple[str, int]] = []
    for level in levels:
        if runs and runs[-1][0] == level:
            runs[-1] = (level, runs[-1][1] + 1)
        else:
            runs.append((level, 1))
    return f"{len(presence[0])}:" + "".join(f"{count if count > 1 else ''}{level}" for level, count in runs)


def _level(value: Any) -> str:
    known_value = finite(value) or 0.0
    return LEVELS[round(15 * min(1.0, max(0.0, known_value)))]


def embedded(value: Any) -> Markup:
    """Return data as JSON that may stand in a page: whatever could end or change its element is spelled out."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text.encode("utf-8", "backslashreplace").decode())


def state_label(layer: str, state: str) -> Text:
    """Return what a state of a layer is called in the summary."""
    code = f"tally.{layer}-{state}"
    return Said(code) if known(code) else state


def states(layer: str, found: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the states of a layer that occur, in order, with their counts."""
    order = [*LAYER_STATES[layer], *sorted(set(found) - set(LAYER_STATES[layer]))]
    return [(state, found[state]) for state in order if found.get(state)]
