"""Write the measured figures from ``results/`` between the markers of the README; nothing there is typed by hand.

python benchmarks/readme.py [--check]
"""

import json
import re
import sys
from typing import Any

from pictures import RESULTS, ROOT

README = ROOT / "README.md"


def result(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def robustness() -> str:
    return (RESULTS / "robustness.md").read_text()


def null() -> str:
    r = result("null")
    low = "none" if not r["fixed_key_detections"] else ", ".join(r["fixed_key_detections"])
    return (
        f"| question | answer |\n|---|---|\n"
        f"| false detections in {r['trials']:,} trials (random keys, unmarked) at 1e-6 | {r['false_detections']} |\n"
        f"| smallest p-value among them | {r['smallest_p']:.1e} |\n"
        f"| unmarked pictures, synthetic ones included, found under one fixed key | {low} of {r['pictures']} |\n"
        f"| payloads accepted where there was no mark | {r['payloads_accepted']} |\n"
    )


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
    for name, block in (("robustness", robustness()), ("null", null()), ("speed", speed())):
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
