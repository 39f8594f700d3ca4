"""Figures of marks in text as Markdown: all of them for ``results/text.md``, the chief ones for the README."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

# What the numeric goals ask for: of which run, method, attack and column of its cells; the least share.
LEAST = (
    ("gumbel, 100 tokens", "100 tokens", "text-gumbel", "none", "detected", 0.95),
    ("gumbel, 100 tokens, weighted", "100 tokens", "text-gumbel", "none", "weighted", 0.99),
    ("bias, 200 tokens", "200 tokens", "text-bias", "none", "detected", 0.84),
    ("bias, 200 tokens, weighted", "200 tokens", "text-bias", "none", "weighted", 0.94),
    ("gumbel, 200 of 2,000 tokens by people", "200 tokens", "text-gumbel", "among-people-ids:0.1", "detected", 0.9),
    (
        "gumbel, 200 of 2,000 tokens by the model",
        "200 tokens",
        "text-gumbel",
        "among-unmarked-ids:0.1",
        "detected",
        0.9,
    ),
    (
        "gumbel, width 2, 400 tokens, 30 % substituted, weighted",
        *("400 tokens", "text-gumbel@width=2", "substitute-ids:0.3", "weighted", 0.9),
    ),
    ("gumbel, 32 bits in 400 tokens, exact", "400 tokens", "text-gumbel@payload=4", "none", "exact", 0.99),
    (
        "gumbel, 32 bits in 400 tokens, 10 % substituted, exact",
        *("400 tokens", "text-gumbel@payload=4", "substitute-ids:0.1", "exact", 0.9),
    ),
    (
        "the same, weighted",
        *("400 tokens", "text-gumbel@payload=4", "substitute-ids:0.1", "exact_weighted", 0.9),
    ),
)
# Times in milliseconds, and ratios of generate: what is measured where, and the most.
STEPS = (
    ("bias, 128,256 tokens, batch 1", "markai bias, left", 128_256, 1, 0.3),
    ("gumbel, 128,256 tokens, batch 1", "markai gumbel", 128_256, 1, 0.3),
    ("bias, 128,256 tokens, batch 32", "markai bias, left", 128_256, 32, 12.0),
    ("gumbel, 128,256 tokens, batch 32", "markai gumbel", 128_256, 32, 12.0),
    ("tournament, 128,256 tokens, batch 1", "markai tournament", 128_256, 1, 1.0),
)
MOST_GENERATE, MOST_DETECTION = 1.03, 1.0
FLAG = " ‡"
RATES = ("1e-2", "1e-3", "1e-4", "1e-5")
MOST_RATIO, SURELY = 1.1, 0.025  # above the first is too much, unless chance makes as much with more than the second
NAMES = {
    "detected": "found at 1e-6",
    "weighted": "weighted",
    "exact": "exact payload",
    "exact_weighted": "exact, weighted",
}


@dataclass(frozen=True)
class Goal:
    """A figure beside what was wanted of it."""

    title: str
    wanted: str
    measured: str
    met: bool


def document(result: Row) -> str:
    """Return everything that was measured."""
    parts = [
        "# Marks in text, measured",
        "",
        "By `benchmarks/text.py`; what the figures mean says `docs/bench.md`.",
        "",
    ]
    for title, key, section in SECTIONS:
        if key in result:
            parts += [f"## {title}", "", section(result), ""]
    return "\n".join(parts).rstrip() + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def machine(section: Row) -> str:
    about = section["machine"]
    return f"{about['processor']}, {about['cores']} cores, Python {about['python']}, commit {about['commit']}."


# Power


def cells(result: Row, run: str) -> dict[tuple[str, str], Row]:
    return {(cell["method"], cell["attack"]): cell for cell in result["power"][run]["cells"]}


def share_of(cell: Row, column: str) -> Row | None:
    found: Row | None = cell["detected"]["1e-6"] if column == "detected" else cell[column]
    return found


def share(found: Row | None) -> str:
    return f"{found['value']:.3f}" if found and found["value"] is not None else "-"


def around(found: Row | None) -> str:
    return f"{found['low']:.3f}-{found['high']:.3f} (n={found['n']})" if found and found["value"] is not None else "-"


def goals(result: Row) -> list[Goal]:
    """Return every goal that was measured."""
    found = []
    for title, run, method, attack, column, least in LEAST:
        if run in result.get("power", {}):
            of = share_of(cells(result, run)[method, attack], column)
            assert of
            found.append(Goal(title, f">= {least:g}", f"{share(of)}, {around(of)}", of["value"] >= least))
    if "speed" in result:
        found += speed_goals(result["speed"])
    return found


def speed_goals(speed: Row) -> list[Goal]:
    times = {(row["vocab"], row["batch"]): row["ms"] for row in speed["steps"]}
    found = []
    for title, name, size, batch, most in STEPS:
        ms = times[size, batch][name]
        found.append(Goal(f"step: {title}", f"<= {most:g} ms", f"{ms:.2f} ms", ms <= most))
    for name, ratio in speed["generate"]["times"].items():
        if name.startswith("markai"):
            said = f"generate, 32,000 tokens, batch 8: {name.removeprefix('markai ')}"
            found.append(Goal(said, f"<= {MOST_GENERATE} x", f"{ratio:.2f} x", ratio <= MOST_GENERATE))
    for name, ms in speed["detection"]["markai"]["unmarked"].items():
        said = f"detection, 1,000 tokens: {name}"
        found.append(Goal(said, f"<= {MOST_DETECTION:g} ms", f"{ms:.2f} ms", ms <= MOST_DETECTION))
    return found


def goal_table(result: Row) -> str:
    rows = [(each.title, each.wanted, each.measured + ("" if each.met else FLAG)) for each in goals(result)]
    return table(["goal", "wanted", "measured"], rows) + "\n\n‡ missed."


def power(result: Row) -> str:
    """Return one table for each run: methods and attacks down, columns across."""
    parts = []
    for run in sorted(set(result["power"]) - {"attacks"}, key=lambda run: int(run.split()[0])):
        parts += [f"### {run}", "", run_table(result, run), "", facts(result["power"][run]), ""]
    return "\n".join(parts).rstrip()


def run_table(result: Row, run: str) -> str:
    found = cells(result, run)
    columns = [name for name in NAMES if any(share_of(cell, name) for cell in found.values())]
    own = any(cell["own"] for cell in found.values())
    heads = [
        "method",
        "attack",
        *(NAMES[name] for name in columns),
        "interval of the first",
        "median log10 p",
        "weighted",
    ]
    rows = []
    for (method, attack), cell in found.items():
        shares = [share(share_of(cell, name)) for name in columns]
        medians = [number(cell["median_log10_p"]), number(cell["median_weighted"])]
        extra = [share(cell["own"])] if own else []
        rows.append([method, attack, *shares, around(share_of(cell, "detected")), *medians, *extra])
    return table([*heads, "found by its own detector"] if own else heads, rows)


def facts(run: Row) -> str:
    """Say what the texts are like, and how many payloads were wrong."""
    entropies = [method["quality"]["entropy"]["mean"] for method in run["methods"]]
    surprise = ", ".join(f"{each['name']} {each['quality']['surprisal']['mean']:.2f}" for each in run["methods"])
    wrong = sum(cell["wrong"] for cell in run["cells"])
    return (
        f"{run['run']['texts']} texts by each method, temperature {run['run']['settings']['temperature']:g}, "
        f"{min(entropies):.2f} to {max(entropies):.2f} nats of choice a token. Surprise, nats a token: {surprise}. "
        f"Wrong payloads: {wrong}. {machine(run)}"
    )


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def attacks(result: Row) -> str:
    """Return attacks down and methods across: found at 1e-6, and with weights."""
    if "attacks" not in result["power"]:
        return "Not measured."
    run = result["power"]["attacks"]
    names = [method["name"] for method in run["methods"]]
    found = cells(result, "attacks")
    rows = []
    for attack in run["attacks"]:
        flag = " †" if attack["proxy"] else ""
        rows.append([attack["spec"] + flag, *(pair(found[name, attack["spec"]]) for name in names)])
    tokens, texts = run["run"]["settings"]["tokens"], run["run"]["texts"]
    said = (
        f"Share of {texts} texts of {tokens} tokens that is found at 1e-6; after the comma with a language model's "
        "weights. † stands in for an attack that needs a model."
    )
    return f"{table(['attack', *names], rows)}\n\n{said}"


def pair(cell: Row) -> str:
    plain, weighted = share_of(cell, "detected"), cell["weighted"]
    assert plain
    return f"{plain['value']:.2f}" + (f", {weighted['value']:.2f}" if weighted else "")


# Nulls


def too_high(level: Row) -> bool:
    """Whether alarms came more often than they may: by a tenth, and chance alone would hardly make that many."""
    return bool(level["ratio"] > MOST_RATIO and level["chance"] < SURELY)


def observed(found: Row, rate: str) -> str:
    level = found["levels"].get(rate)
    if not level:
        return "-"
    return f"{level['count']:,} of {level['nominal']:,.1f} ({level['ratio']:.2f})" + (FLAG if too_high(level) else "")


LEVELS = {
    "whole": "the whole detection",
    "text": "the sum over the text",
    "split": "the sum, ties split",
    "window": "one window",
    "weighted whole": "the whole, weighted",
    "weighted text": "the sum, weighted",
}


def null(result: Row) -> str:
    """Return how often p-values were below each rate where there is no mark."""
    about = result["null"]
    kinds = ", ".join(f"{name} {count}" for name, count in about["kinds"].items())
    parts = [machine(about), "", f"{about['texts']} texts: {kinds}.", "", null_table(about), "", by_kind(about), ""]
    parts += [their_table(about), "", fixed_table(about)]
    return "\n".join(parts)


def null_table(about: Row) -> str:
    rows = []
    for name, levels in about["schemes"].items():
        for level, title in LEVELS.items():
            if level in levels:
                found = levels[level]
                counts = [observed(found, rate) for rate in RATES]
                rows.append([name, title, f"{found['trials']:,}", *counts, f"{10 ** found['smallest_log10_p']:.1e}"])
    claimed = sum(levels["payloads"] for levels in about["schemes"].values())
    read = sum(levels["whole"]["trials"] for name, levels in about["schemes"].items() if "payload" in name)
    heads = ["scheme", "p-value of", "trials", *(f"p <= {rate}" for rate in RATES), "smallest"]
    said = (
        "Seen of nominal, and their ratio. ‡ more than 1.1 times, and chance alone makes as much in less than 1 of 40. "
        f"Payloads whose check was right by chance: {claimed} of {read:,} readings, none of them found at 1e-6."
    )
    return f"{table(heads, rows)}\n\n{said}"


def by_kind(about: Row) -> str:
    """Return the worst scheme of each kind of text at 1e-3."""
    rows = []
    for kind in about["kinds"]:
        of = {name: levels["kinds"][kind]["levels"]["1e-3"] for name, levels in about["schemes"].items()}
        name = max(of, key=lambda each: of[each]["ratio"] if of[each]["nominal"] >= 10 else -1)
        level = of[name]
        flag = FLAG if too_high(level) else ""
        rows.append([kind, name, f"{level['count']:,} of {level['nominal']:,.1f} ({level['ratio']:.2f}){flag}"])
    return table(["texts", "scheme with the highest rate", "whole detection, p <= 1e-3"], rows)


def their_table(about: Row) -> str:
    rows = []
    for name, found in about["theirs"].items():
        for key, title in (("own", "its own detector, at its defaults"), ("profile", "read by markai")):
            counts = [observed(found[key], rate) for rate in RATES]
            rows.append([name, title, f"{found[key]['trials']:,}", *counts])
    return table(["on the same texts", "read by", "trials", *(f"p <= {rate}" for rate in RATES)], rows)


def fixed_table(about: Row) -> str:
    rows = []
    for name, found in about["fixed_key"].items():
        counts = [observed(found, rate) for rate in (*RATES, "1e-6")]
        rows.append([name, f"{found['trials']:,}", *counts])
    return table(["one fixed key", "texts", *(f"p <= {rate}" for rate in (*RATES, "1e-6"))], rows)


# Speed


def speed(result: Row) -> str:
    about = result["speed"]
    parts = [machine(about), "", step_table(about["steps"]), "", generate_table(about["generate"]), ""]
    return "\n".join([*parts, detection_tables(about["detection"])])


def step_table(rows: Sequence[Row]) -> str:
    names = list(rows[0]["ms"])
    lines = [[f"{row['vocab']:,} x {row['batch']}", *(milliseconds(row["ms"][name]) for name in names)] for row in rows]
    return table(["a step, ms: vocabulary x batch", *names], lines)


def milliseconds(ms: float) -> str:
    return f"{ms:.2f}" if ms < 10 else f"{ms:,.0f}"


def generate_table(about: Row) -> str:
    rows = [[name, f"{seconds:.2f}", f"{about['times'][name]:.2f}"] for name, seconds in about["seconds"].items()]
    head = f"generate, {about['vocab']:,} tokens, batch {about['batch']}, {about['tokens']} new"
    return table([head, "seconds", "times as long"], rows)


def detection_tables(about: Row) -> str:
    ours = about["markai"]
    rows = [[name, milliseconds(ms), milliseconds(ours["marked"][name])] for name, ms in ours["unmarked"].items()]
    first = table(["detection, ms for 1,000 tokens and a key", "unmarked text", "marked text"], rows)
    theirs = about["transformers"]
    names = list(next(iter(theirs.values())))
    others = [[name, *(milliseconds(theirs[size][name]) for size in theirs)] for name in names]
    return first + "\n\n" + table(["the same, vocabulary of", *(f"{int(size):,}" for size in theirs)], others)


# Tokens


def tokens(result: Row) -> str:
    """Return what decoding and encoding changes."""
    about = result["tokens"]
    rows = []
    for title, found in about.items():
        if title == "machine":
            continue
        for row in found["rows"]:
            changed = row["changed"]
            rows.append(
                [
                    title,
                    row["method"],
                    f"{100 * changed['value']:.2f} % ({100 * changed['low']:.2f}-{100 * changed['high']:.2f})",
                    f"{100 * row['most_changed']:.1f} %",
                    share(row["texts_changed"]),
                    f"{share(row['found_before'])}, {share(row['found_after'])}",
                    ", ".join(number(each) for each in row["median_log10_p"]),
                ]
            )
    heads = [
        "vocabulary",
        "method",
        "ids changed",
        "most",
        "texts with a change",
        "found before, after",
        "median log10 p",
    ]
    sizes = "; ".join(
        f"{title}: temperature {found['temperature']:g}, {found['entropy']:.2f} nats"
        for title, found in about.items()
        if title != "machine"
    )
    return f"{machine(about)}\n\n{table(heads, rows)}\n\n200 texts of 200 tokens each. {sizes}."


# For the README


LENGTHS = ("50 tokens", "100 tokens", "200 tokens")


def readme_power(result: Row) -> str:
    """Return how often a mark is found in texts of each length, and what else was asked for."""
    lengths = [run for run in LENGTHS if run in result["power"]]
    found = {run: cells(result, run) for run in lengths}
    names = [method["name"] for method in result["power"][lengths[0]]["methods"]]
    rows = [[name, *(pair(found[run][name, "none"]) for run in lengths)] for name in names]
    run = result["power"][lengths[0]]["run"]
    said = (
        f"{run['texts']} texts of each, by a small language model with 1.3 nats of choice a token. First number: found "
        "at 1e-6 from the text alone; second: with a model's weights."
    )
    asked = [
        (each.title, each.measured + ("" if each.met else FLAG)) for each in goals(result) if each.wanted[0] == ">"
    ]
    return "\n\n".join([table(["found at 1e-6", *lengths], rows), said, table(["asked for", "measured"], asked)]) + "\n"


def readme_attacks(result: Row) -> str:
    return attacks(result) + "\n"


def readme_null(result: Row) -> str:
    """Return the counts of every scheme, and those of the detectors of transformers."""
    about, rows = result["null"], []
    for name, levels in about["schemes"].items():
        for level in ("whole", "split"):
            if level in levels:
                counts = [observed(levels[level], rate) for rate in RATES[1:]]
                rows.append([name, LEVELS[level], f"{levels[level]['trials']:,}", *counts])
    for name, found in about["theirs"].items():
        counts = [observed(found["own"], rate) for rate in RATES[1:]]
        rows.append([f"{name}, its own detector", "z-score", f"{found['own']['trials']:,}", *counts])
    heads = ["unmarked texts under random keys", "p-value of", "trials", *(f"p <= {rate}" for rate in RATES[1:])]
    said = (
        f"Seen of nominal, and their ratio, on {about['texts']} texts, most of them chosen to be difficult. ‡ too many."
    )
    return f"{table(heads, rows)}\n\n{said}\n"


def readme_speed(result: Row) -> str:
    """Return the steps that the goals name, ``generate`` and detection."""
    about = result["speed"]
    rows = [row for row in about["steps"] if row["vocab"] == STEPS[0][2]]
    generate = about["generate"]
    detection = about["detection"]["markai"]["unmarked"]
    line = ", ".join(f"{name} {milliseconds(ms)}" for name, ms in detection.items())
    theirs = about["detection"]["transformers"][str(STEPS[0][2])]
    others = ", ".join(f"{name} {milliseconds(ms)}" for name, ms in theirs.items())
    times = ", ".join(f"{name} {ratio:.2f}" for name, ratio in generate["times"].items() if name != "no mark")
    return (
        f"{step_table(rows)}\n\n`generate` with a small GPT-2 ({generate['vocab']:,} tokens, batch "
        f"{generate['batch']}) takes so many times as long: {times}.\n\nDetection, ms for 1,000 tokens and a key: "
        f"{line}; {others}.\n\n{about['machine']['processor']}, one thread, Python {about['machine']['python']}.\n"
    )


SECTIONS = (
    ("Goals", "power", goal_table),
    ("How much text a mark needs", "power", power),
    ("What it outlives", "power", attacks),
    ("False positives", "null", null),
    ("Speed", "speed", speed),
    ("Decoding and encoding", "tokens", tokens),
)
