"""Write the measured figures from ``results/`` between the markers of the README; nothing there is typed by hand.

python benchmarks/readme.py [--check]
"""

import json
import re
import sys
from typing import Any

import text_tables
from common import RESULTS, ROOT, SHOWN, TARGETS

README = ROOT / "README.md"
QUALITIES = (
    ("psnr", "PSNR", 2, " dB"),
    ("ssim", "SSIM", 4, ""),
    ("ms_ssim", "MS-SSIM", 4, ""),
    ("ciede2000", "CIEDE2000", 2, ""),
    ("ssimulacra2", "SSIMULACRA 2", 1, ""),
)


def result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def cells(summary: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(cell["attack"], cell["method"]): cell for cell in summary["cells"]}


def targets() -> str:
    """Every target beside what was measured, of all pictures and of photographs and generated ones."""
    summary = result("targets")
    (method,), everything, natural = summary["methods"], cells(summary), cells(summary["natural"])
    lines = [
        "| attack | target | photographs and generated | 95 % interval | all pictures |",
        "|---|---|---|---|---|",
    ]
    for spec, target in TARGETS.items():
        exact, of_all = natural[spec, method["name"]]["exact"], everything[spec, method["name"]]["exact"]
        flag = "" if exact["value"] >= target else " ‡"
        lines.append(
            f"| {spec} | {target:.2f} | {exact['value']:.3f}{flag} | {exact['low']:.3f}-{exact['high']:.3f} "
            f"(n={exact['n']}) | {of_all['value']:.3f} |"
        )
    counts = (
        f"{summary['run']['pictures']} pictures, {summary['natural']['pictures']} of them photographs and generated"
    )
    return "\n".join([*lines, "", f"{counts}. {qualities(method)}. ‡ below the target."]) + "\n"


def qualities(method: dict[str, Any]) -> str:
    measured = [(method["quality"][name], *how) for name, *how in QUALITIES if name in method["quality"]]
    return ", ".join(
        f"{title} {of['mean']:.{digits}f}{unit} (worst {of['least']:.{digits}f})"
        for of, title, digits, unit in measured
    )


def own() -> str:
    summary = result("own")
    (method,), found = summary["methods"], cells(summary)
    proxies = {attack["spec"] for attack in summary["attacks"] if attack["proxy"]}
    lines = ["| attack | exact payload | 95 % interval | found at 1e-6 | median log10 p |", "|---|---|---|---|---|"]
    for spec in SHOWN:
        cell = found[spec, method["name"]]
        exact, detected, flag = cell["exact"], cell["detected"]["1e-6"], " †" if spec in proxies else ""
        lines.append(
            f"| {spec}{flag} | {exact['value']:.3f} | {exact['low']:.3f}-{exact['high']:.3f} "
            f"(n={cell['n']}) | {detected['value']:.3f} | {cell['median_log10_p']:.0f} |"
        )
    lines += [
        "",
        f"{summary['run']['pictures']} pictures. {qualities(method)}. † stands in for an attack with trained weights.",
    ]
    return "\n".join(lines) + "\n"


def learned() -> str:
    """Exact payloads of the methods on the tile, side by side, and the median p-values of the two single marks."""
    summary = result("learned")
    methods, found = [method["name"] for method in summary["methods"]], cells(summary)
    proxies = {attack["spec"] for attack in summary["attacks"] if attack["proxy"]}
    lines = [
        "| exact payloads, % | " + " | ".join(methods) + " | median log10 p | learned |",
        "|---" * (len(methods) + 3) + "|",
    ]
    for attack in summary["attacks"]:
        spec = attack["spec"]
        each = {name: found[spec, name] for name in methods}
        shares = " | ".join(f"{100 * cell['exact']['value']:.0f}" for cell in each.values())
        medians = " | ".join(f"{each[name]['median_log10_p']:.0f}" for name in ("dwt-dct", "learned"))
        lines.append(f"| {spec}{' †' if spec in proxies else ''} | {shares} | {medians} |")
    cost = "; ".join(f"{method['name']}: {qualities(method)}" for method in summary["methods"])
    return "\n".join([*lines, "", f"{summary['run']['pictures']} pictures at 512 pixels. {cost}."]) + "\n"


def peers() -> str:
    tables = [table(result("peers"))]
    if (RESULTS / "matched.json").exists():
        tables.append(table(result("matched"), "At the same mean PSNR: "))
    return "\n".join(tables)


def table(summary: dict[str, Any], prefix: str = "") -> str:
    """Exact messages in percent, methods across; what they cost and state below."""
    names, found = [method["name"] for method in summary["methods"]], cells(summary)
    heads = [name.replace("invisible-watermark/", "") for name in names]
    shown = [attack["spec"] for attack in summary["attacks"] if attack["spec"] in SHOWN]
    rows = [[spec, *(f"{100 * found[spec, name]['exact']['value']:.0f}" for name in names)] for spec in shown]
    rows.append(["PSNR, dB", *(f"{method['quality']['psnr']['mean']:.1f}" for method in summary["methods"])])
    rows.append(["bits", *(str(method["bits"]) for method in summary["methods"])])
    lines = [["exact messages, %", *heads], ["---"] * (1 + len(heads)), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{prefix}{summary['run']['pictures']} Kodak pictures.\n\n{text}\n"


def null() -> str:
    """What was found where nobody had marked, at every level of correction."""
    summary = result("null")
    rows = [
        "| trials, by what is corrected for | number | p <= 1e-3: nominal, seen | 1e-4 | 1e-5 | smallest |",
        "|---" * 6 + "|",
    ]
    for level, title in (("whole", "the whole detection"), ("search", "one search in it"), ("hypothesis", "nothing")):
        found = summary[level]
        counts = (found["levels"][f"1e-{k}"] for k in (3, 4, 5))
        shown = " | ".join(f"{round(each['nominal'], 1):g}, {each['count']}" for each in counts)
        rows.append(f"| {title} | {found['trials']:,} | {shown} | {10 ** found['smallest_log10_p']:.1e} |")
    fixed, rings = summary["fixed_key"], summary["detect"]
    rows += [
        "",
        f"One fixed key over {fixed['pictures']:,} unmarked pictures, as they are and changed: {fixed['detected']} "
        f"found. `markai.detect` with {rings['keys']:,} random keys in rings of {rings['keys_each']}: "
        f"{rings['detected']} found. Payloads accepted: {summary['payloads']}.",
    ]
    return "\n".join(rows) + "\n"


def secrecy() -> str:
    """What somebody without the key can do, at 512 pixels."""
    summary = result("secrecy")
    rows = ["| attempt | succeeds |", "|---|---|"]
    for count in (10, 100, 1000):
        of = [row for row in summary["averaging"] if row["pictures"] == count]
        removed = sum(row["subtracted: payload"]["n"] * (1 - row["subtracted: payload"]["value"]) for row in of)
        forged = sum(
            row["pasted at a mark's strength: payload"]["value"] * row["subtracted: payload"]["n"] for row in of
        )
        tries = sum(row["subtracted: payload"]["n"] for row in of)
        rows.append(f"| remove marks by the mean residual of {count:,} pictures | {round(removed)} of {tries} |")
        rows.append(
            f"| forge one, payload and all, by that mean, made as loud as a mark | {round(forged)} of {tries} |"
        )
    for how, title in (("wiener", "its residual"), ("folded", "its folded tile")):
        copied = summary["copying"][how]["payload"]
        rows.append(f"| copy a mark, payload and all, from one picture by {title} | {happened(copied)} |")
    written, most = [row["payload"] for row in summary["pilots"]], summary["pilots"][-1]["pictures"]
    rows.append(
        f"| write a payload of one's own with pilots estimated from up to {most} pictures | "
        f"{round(sum(each['value'] * each['n'] for each in written))} of {sum(each['n'] for each in written)} |"
    )
    best = max((row for row in summary["keyless"] if row["side"] == 512), key=lambda row: row["auroc"]["value"])
    rows.append(f"| tell marked from unmarked pictures without the key | AUROC {best['auroc']['value']:.2f} |")
    return "\n".join(rows) + "\n"


def happened(share: dict[str, Any]) -> str:
    return f"{round(share['value'] * share['n'])} of {share['n']}"


def speed() -> str:
    r = result("speed")
    peers = {
        "invisible-watermark dwtDctSvd": "invisible_watermark_dwtDctSvd_ms",
        "blind-watermark": "blind_watermark_ms",
    }
    floor = r["opencv_round_trip_ms"]
    lines = [["one thread, ms", "markai", *peers, "OpenCV there and back"]]
    lines.append(["---"] * len(lines[0]))
    for what, ms in r["markai_ms"].items():
        others = (f"{r[key][what]:.0f} ({r[key][what] / ms:.0f}x)" if what in r[key] else "-" for key in peers.values())
        lines.append([what, f"{ms:.1f}", *others, f"{floor[what]:.1f}" if what in floor else "-"])
    lines.append(["import", f"{r['import_markai_ms']:.0f}", *["-"] * (len(peers) + 1)])
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([*rows, "", f"{r['machine']['processor']}, Python {r['machine']['python']}."]) + "\n"


def filled(page: str) -> str:
    text = result("text")
    for name, block in (
        ("targets", targets()),
        ("own", own()),
        ("learned", learned()),
        ("peers", peers()),
        ("null", null()),
        ("secrecy", secrecy()),
        ("speed", speed()),
        ("text-power", text_tables.readme_power(text)),
        ("text-null", text_tables.readme_null(text)),
        ("text-speed", text_tables.readme_speed(text)),
    ):
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        page = re.sub(pattern, lambda found, block=block: found[1] + block + found[2], page, flags=re.DOTALL)
    return page


def main() -> None:
    current = README.read_text()
    if "--check" in sys.argv:
        sys.exit(
            0 if filled(current) == current else "README differs from benchmarks/results: run benchmarks/readme.py"
        )
    README.write_text(filled(current))


if __name__ == "__main__":
    main()
