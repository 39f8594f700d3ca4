"""The evidence for a row's verdict as sections of labelled lines, in words; who shows them decides how."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markai.audit.tally import status_of, verdict_of
from markai.audit.words import Said, Text, known, name_of, note_of, sentence_of, visible
from markai.bench.report.numbers import UNKNOWN, finite, number

Row = Mapping[str, Any]

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_CHAIN = 50  # ingredients that are shown of a manifest; a hostile one may hold thousands
GROUPS = ("iptc", "tc260", "camera", "disclosure")  # of fields in a row's metadata
TONES = {"pass": "good", "fail": "bad", "trusted": "good", "invalid": "bad", "damaged": "bad"}


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled value. ``depth`` indents it, ``tone`` is good, bad or nothing."""

    label: Text
    value: Text
    depth: int = 0
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a title, which is the code of a sentence."""

    title: str
    lines: Sequence[Line]


def evidence(row: Row) -> list[Section]:
    """Return everything that a row says, for people: the verdict first, then layer after layer.

    >>> sections = evidence({"path": "a.png", "status": "ok", "verdict": {"code": "unknown", "sure": "none"}})
    >>> [section.title.removeprefix("evidence.") for section in sections]
    ['verdict', 'file', 'watermark', 'manifest', 'metadata', 'record']
    """
    parts = {"verdict": verdict(row), "contradictions": _contradictions(row), "file": _file(row)}
    if status_of(row) == "ok":
        parts |= {"watermark": _watermarks(row), "manifest": _manifest(row.get("manifest"))}
        parts |= {"metadata": _metadata(row.get("metadata") or {}), "record": _record(row)}
    parts |= {kind: _rules(row.get(kind) or ()) for kind in ("rules", "policy")}
    sections = ((name, list(lines)) for name, lines in parts.items())
    return [Section(f"evidence.{name}", lines) for name, lines in sections if lines]


def verdict(row: Row) -> Iterator[Line]:
    """Return the lines of the verdict; notes on it say what could not be looked at, or what is not certain."""
    said = row.get("verdict") or {"code": "none"}
    yield Line(Said("evidence.result"), name_of("verdict", verdict_of(row)))
    yield Line(Said("evidence.meaning"), sentence_of("verdict", said))
    if known(f"sure.{said.get('sure')}"):
        yield Line(Said("evidence.certainty"), Said(f"sure.{said['sure']}.sentence"))
    if made_by := maker(said.get("by")):
        yield Line(Said("evidence.by"), made_by)
    for index, layer in enumerate(said.get("layers") or ()):
        yield Line("" if index else Said("evidence.layers"), name_of("layer", visible(layer)))
    yield from (Line(Said("evidence.note"), note_of(str(note))) for note in row.get("notes") or ())


def maker(by: Row | None) -> Text | None:
    """Return who made something, as far as it is known.

    >>> maker({"provider": "Acme", "system": None, "version": None})
    'Acme'
    """
    parts = {name: visible(by[name]) for name in ("provider", "system", "version") if by and by.get(name)}
    if len(parts) == 3:
        return Said("evidence.by.sentence", parts)
    return " ".join(parts.values()) or None


def _file(row: Row) -> Iterator[Line]:
    yield Line(Said("evidence.path"), visible(row.get("path", "")))
    status = status_of(row)
    if status != "ok":
        sentence = sentence_of("status", {"code": status})
        yield Line(Said("evidence.status"), sentence, tone="bad")
        if row.get("error"):
            yield Line(Said("evidence.error"), visible(row["error"]))
    if row.get("type"):
        yield Line(Said("evidence.type"), visible(row["type"]))
    if size := file_size(row):
        yield Line(Said("evidence.size"), size)
    if row.get("sha256"):
        yield Line(Said("evidence.digest"), visible(row["sha256"]))


def file_size(row: Row) -> str:
    """Return bytes and pixels in short.

    >>> file_size({"bytes": 1_234_567, "width": 1024, "height": 768}), file_size({"bytes": 12})
    ('1.2 MB, 1024 × 768', '12 B')
    """
    known_sides = row.get("width") and row.get("height")
    sides = [f"{row['width']} × {row['height']}"] if known_sides else []
    return ", ".join([*([human_bytes(row["bytes"])] if row.get("bytes") is not None else []), *sides])


def human_bytes(count: float) -> str:
    """Return a number of bytes with its unit.

    >>> human_bytes(999), human_bytes(12_345), human_bytes(5_000_000_000)
    ('999 B', '12 kB', '5.0 GB')
    """
    power = min(3, max(0, len(f"{count:.0f}") - 1) // 3)
    scaled, unit = count / 1000**power, ("B", "kB", "MB", "GB")[power]
    return f"{scaled:.1f} {unit}" if power and scaled < 10 else f"{scaled:,.0f} {unit}"


# The watermark


def _watermarks(row: Row) -> Iterator[Line]:
    several = row.get("watermarks") or []
    if len(several) > 1:
        for index, each in enumerate(several, 1):
            yield Line(Said("evidence.mark-number", {"number": str(index)}), visible(each.get("method") or ""))
            yield from _watermark(each, 1)
    else:
        yield from _watermark(row.get("watermark"), 0)


def _watermark(found: Row | None, depth: int) -> Iterator[Line]:
    if found is None:
        yield Line(Said("evidence.result"), Said("evidence.not-looked"), depth)
        return
    detected = bool(found.get("detected"))
    result = Said("evidence.mark-found" if detected else "evidence.mark-none")
    yield Line(Said("evidence.result"), result, depth, "good" if detected else "")
    if (chance := by_chance(found)) is not None:
        yield Line(Said("evidence.chance"), chance, depth)
    if detected:
        yield from _mark_details(found, depth)
    for reason in found.get("reasons") or ():
        yield Line(Said("evidence.inconclusive"), visible(reason), depth)


def _mark_details(found: Row, depth: int) -> Iterator[Line]:
    if found.get("payload") is None:
        yield Line(Said("evidence.payload"), Said("evidence.payload-none"), depth)
    elif found["payload"]:
        text = found.get("payload_text")
        shown = f"{visible(text)} ({found['payload']})" if text else visible(found["payload"])
        yield Line(Said("evidence.payload"), shown, depth)
    for key, label in (("method", "method"), ("key_id", "key")):
        if found.get(key):
            yield Line(Said(f"evidence.{label}"), visible(found[key]), depth)
    yield from (Line(Said("evidence.geometry"), each, depth) for each in _geometry(found.get("geometry")))
    share = finite((found.get("coverage") or {}).get("share"))
    if share is not None:
        yield Line(Said("evidence.coverage"), Said("evidence.coverage-share", {"percent": f"{share:.0%}"}), depth)


def by_chance(found: Row) -> Said | None:
    """Return what a detection's p-value means.

    >>> by_chance({"log10_p_value": -12.0, "fpr": 1e-6}).values
    {'p': '10⁻¹²', 'cases': '10¹²'}
    >>> by_chance({"log10_p_value": -0.4, "fpr": 1e-6}).values
    {'p': '0.40', 'percent': '40%', 'fpr': '10⁻⁶'}
    """
    exponent = finite(found.get("log10_p_value"))
    if exponent is None and finite(found.get("p_value")):
        exponent = math.log10(found["p_value"])
    if exponent is None:
        return None
    if exponent > -2:
        percent, fpr = f"{min(1.0, 10**exponent):.0%}", finite(found.get("fpr"))
        values = {"p": power_of_ten(exponent), "percent": percent, "fpr": rate(fpr)}
        return Said("evidence.chance-large", values)
    return Said("evidence.chance-small", {"p": power_of_ten(exponent), "cases": power_of_ten(-exponent)})


def power_of_ten(log10: float) -> str:
    """Return a number as people write it, from its logarithm; it may be too small or too large for a float.

    >>> power_of_ten(-412.3), power_of_ten(6), power_of_ten(3.3), power_of_ten(-0.4)
    ('5.0 × 10⁻⁴¹³', '1,000,000', '2,000', '0.40')
    """
    if -2 < log10 < 0:
        return f"{10**log10:.2f}"
    if 0 <= log10 <= 6:
        return number(float(f"{10**log10:.2g}"), 0)
    exponent = math.floor(log10 + 1e-9)
    digits = f"{10 ** (log10 - exponent):.1f}"
    if digits == "10.0":
        digits, exponent = "1.0", exponent + 1
    ten = f"10{str(exponent).translate(SUPERSCRIPTS)}"
    return ten if digits == "1.0" else f"{digits} × {ten}"


def rate(value: float | None) -> str:
    """Return a rate, such as that of false alarms.

    >>> rate(1e-6), rate(0.0), rate(None)
    ('10⁻⁶', '0', '–')
    """
    if value is None:
        return UNKNOWN
    return power_of_ten(math.log10(value)) if value > 0 else "0"


def _geometry(found: Row | None) -> list[Said]:
    if not found:
        return []
    said = []
    x, y, angle = (finite(found.get(name)) for name in ("scale_x", "scale_y", "rotation"))
    if x is not None and y is not None and max(abs(x - 1), abs(y - 1)) > 0.005:
        said.append(Said("evidence.geometry-scaled", {"x": f"{x:.0%}", "y": f"{y:.0%}"}))
    if angle is not None and abs(angle) > 0.05:
        said.append(Said("evidence.geometry-turned", {"angle": f"{angle:.1f}"}))
    if found.get("flipped"):
        said.append(Said("evidence.geometry-mirrored"))
    return said or [Said("evidence.geometry-none")]


# The manifest


def _manifest(found: Row | None) -> Iterator[Line]:
    if not found:
        yield Line(Said("evidence.result"), Said("evidence.not-looked"))
        return
    status = str(found.get("status"))
    yield Line(Said("evidence.result"), name_of("manifest", status), tone=TONES.get(status, ""))
    yield from _statement(found, status, 0)
    yield from _reasons(found.get("reasons") or (), 0)
    yield from list(_chain(found.get("ingredients") or (), 0))[:MOST_CHAIN]


def _statement(found: Row, status: str, depth: int) -> Iterator[Line]:
    """Yield who signed a manifest and what it says."""
    if found.get("signer"):
        yield Line(Said("evidence.signer"), _signer(found["signer"], status), depth)
    if found.get("time"):
        time = visible(found["time"])
        stated: Text = time if found.get("time_trusted") else Said("evidence.signed-at-untrusted", {"time": time})
        yield Line(Said("evidence.signed-at"), stated, depth)
    claim = found.get("claim") or {}
    if made_by := maker(claim):
        yield Line(Said("evidence.says"), made_by, depth)
    elif found.get("generator"):
        yield Line(Said("evidence.says"), visible(found["generator"]), depth)
    for label, value in (
        ("source-type", found.get("source_type")),
        ("created", claim.get("created")),
        ("identifier", claim.get("id")),
        ("manifest-id", found.get("manifest_id")),
        ("actions", ", ".join(map(str, found.get("actions") or ()))),
    ):
        if value:
            yield Line(Said(f"evidence.{label}"), visible(value), depth)
    for binding in found.get("soft_bindings") or ():
        yield Line(Said("evidence.bindings"), visible(f"{binding.get('alg')}: {binding.get('value')}"), depth)


def _signer(signer: Row, status: str) -> Text:
    name = visible(signer.get("organization") or signer.get("common_name") or "")
    if not name:
        return Said("evidence.signer-nameless")
    if signer.get("development"):
        return Said("evidence.signer-development", {"name": name})
    return name if status == "trusted" else Said("evidence.signer-unknown", {"name": name})


def _reasons(reasons: Sequence[Row], depth: int) -> Iterator[Line]:
    codes: dict[str, Row] = {}
    for each in reasons:
        codes.setdefault(str(each.get("code")), each)
    for code, each in codes.items():
        own = visible(each.get("sentence") or code)
        yield Line(Said("evidence.why"), Said(f"reason.{code}") if known(f"reason.{code}") else own, depth)


def _chain(ingredients: Sequence[Row], depth: int) -> Iterator[Line]:
    """Yield what the content was made from, each under what was made from it."""
    if depth > MOST_CHAIN:
        return
    for each in ingredients:
        relationship = str(each.get("relationship") or "other")
        label = name_of("relationship", relationship)
        status = str(each.get("status"))
        title = visible(each.get("title") or each.get("manifest_id") or UNKNOWN)
        yield Line(label, title, depth + 1, TONES.get(status, ""))
        yield Line(Said("evidence.result"), name_of("manifest", status), depth + 2, TONES.get(status, ""))
        yield from _statement(each, status, depth + 2)
        yield from _reasons(each.get("reasons") or (), depth + 2)
        yield from _chain(each.get("ingredients") or (), depth + 1)


# Metadata and registry


def _metadata(found: Row) -> Iterator[Line]:
    for trace in found.get("traces") or ():
        said = f"{visible(trace.get('field') or '')}: {visible(trace.get('value') or '')}"
        generator = trace.get("generator") or trace.get("kind")
        yield Line(name_of("claims", str(trace.get("claims"))), visible(generator or UNKNOWN))
        yield Line(Said("evidence.trace"), said, 1)
    for name in GROUPS:
        for field, value in (found.get(name) or {}).items():
            if value not in (None, "", [], {}):
                yield Line(Said(f"evidence.{name}"), f"{visible(field)}: {visible(_short(value))}")
    if found.get("personal"):
        fields = ", ".join(map(visible, found["personal"]))
        yield Line(Said("evidence.personal"), Said("evidence.personal-fields", {"fields": fields}))
    if not any(found.get(name) for name in ("traces", *GROUPS, "personal")):
        yield Line(Said("evidence.result"), Said("evidence.metadata-none"))
    for problem in found.get("problems") or ():
        yield Line(Said("evidence.problems"), visible(problem))


def _short(value: Any) -> str:
    """Return a value of a row in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items() if each not in (None, ""))
    if isinstance(value, list | tuple):
        return ", ".join(map(_short, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _record(row: Row) -> Iterator[Line]:
    record, recovered = row.get("record") or {}, row.get("recovered")
    if not record and not recovered:
        yield Line(Said("evidence.result"), Said("evidence.record-none"))
        return
    if record.get("id"):
        yield Line(Said("evidence.record-id"), visible(record["id"]))
    if made_by := maker(record):
        yield Line(Said("evidence.by"), made_by)
    for key, label in (("created", "recorded"), ("manifest_id", "manifest-id")):
        if record.get(key):
            yield Line(Said(f"evidence.{label}"), visible(record[key]))
    if recovered:
        manifest, status = _recovered(recovered)
        yield Line(Said("evidence.recovered"), name_of("manifest", status), tone=TONES.get(status, ""))
        yield from _statement(manifest, status, 1)
        likeness = (recovered.get("agreement") or {}).get("verdict")
        if known(f"likeness.{likeness}"):
            yield Line(Said("evidence.likeness"), Said(f"likeness.{likeness}"), 1)


def _recovered(found: Row) -> tuple[Row, str]:
    """Return a recovered manifest and its status. Without the file that it was signed with, its own is never good."""
    if "manifest" not in found:
        return found, str(found.get("status"))
    status = "trusted" if found.get("trusted") else "valid" if found.get("intact") else "invalid"
    return found["manifest"] or {}, status


# Findings


def _contradictions(row: Row) -> Iterator[Line]:
    for each in row.get("contradictions") or ():
        yield Line(name_of("contradiction", str(each.get("code"))), sentence_of("contradiction", each), 0, "bad")
        details = each.get("evidence")
        pairs = details.items() if isinstance(details, Mapping) else [("", details)] if details else []
        for name, value in pairs:
            yield Line(visible(name), visible(_short(value)), 1)


def _rules(found: Sequence[Row]) -> Iterator[Line]:
    for each in found:
        status, undecided = str(each.get("status")), bool(each.get("open"))
        result = Said("rule.open") if undecided else name_of("rule", status)
        yield Line(visible(each.get("id")), result, 0, TONES.get(status, ""))
        sentence = own_words(each.get("sentence"))
        if sentence and (undecided or status != "not applicable"):
            yield Line("", sentence, 1)
        if each.get("todo") and (undecided or status == "fail"):
            yield Line(Said("rule.todo"), own_words(each["todo"]), 1)


def own_words(sentence: str | Mapping[str, str] | None) -> Text:
    """Return a sentence that a row brings, in one language or several, safe to be shown."""
    if isinstance(sentence, Mapping) and sentence:
        return {language: visible(each) for language, each in sentence.items()}
    return visible(sentence or "")
