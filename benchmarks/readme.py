"""Write the measured figures from ``results/`` between the markers of the README; nothing there is typed by hand.

python benchmarks/readme.py [--check]
"""

import json
import re
import sys
from typing import Any

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
    summary = result("own")
    (found,) = summary["null"]
    fixed, n = found["fixed_key"], found["fixed_key"]["n"]
    rows = [
        f"| false detections in {found['trials']:,} trials (random keys, unmarked) at 1e-6 | "
        f"{round(found['rates']['1e-6']['value'] * found['trials'])} |",
        f"| smallest p-value among them | {10 ** found['smallest_log10_p']:.1e} |",
        f"| share of them at or below 1e-2, at or below 1e-3 | {found['rates']['1e-2']['value']:.4f}, "
        f"{found['rates']['1e-3']['value']:.5f} |",
        f"| unmarked pictures, as they are and attacked, found under one fixed key | "
        f"{round(fixed['value'] * n)} of {n} |",
        f"| payloads accepted where there was no mark | {found['accepted']} |",
    ]
    rows += [f"| {row['meaning']} ({row['attack']}) | {happened(row)} |" for row in summary["security"]]
    return "\n".join(["| question | answer |", "|---|---|", *rows]) + "\n"


def happened(row: dict[str, Any]) -> str:
    return f"{round(row['bad']['value'] * row['n'])} of {row['n']}" if row["n"] else "-"


def speed() -> str:
    r = result("speed")
    rows = ["| | markai | invisible-watermark dwtDctSvd | times faster |", "|---|---|---|---|"]
    peer = r["invisible_watermark_dwtDctSvd_ms"]
    for what, ms in r["markai_ms"].items():
        other = f"{peer[what]:.0f} ms | {peer[what] / ms:.0f}" if what in peer else "- | -"
        rows.append(f"| {what} | {ms:.1f} ms | {other} |")
    rows.append(f"| import | {r['import_markai_ms']:.0f} ms | - | - |")
    rows += ["", f"{r['machine']['processor']}, Python {r['machine']['python']}."]
    return "\n".join(rows) + "\n"


def filled(text: str) -> str:
    for name, block in (
        ("targets", targets()),
        ("own", own()),
        ("peers", peers()),
        ("null", null()),
        ("speed", speed()),
    ):
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(pattern, lambda found, block=block: found[1] + block + found[2], text, flags=re.DOTALL)
    return text


def main() -> None:
    current = README.read_text()
    if "--check" in sys.argv:
        sys.exit(
            0 if filled(current) == current else "README differs from benchmarks/results: run benchmarks/readme.py"
        )
    README.write_text(filled(current))


if __name__ == "__main__":
    main()
