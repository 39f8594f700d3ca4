"""The loss curve of a run as a small SVG, so that it can be looked at wherever it lands."""

import json
from pathlib import Path

from markai.files import write_atomically

WIDTH, HEIGHT = 720, 240
COLOURS = {"loss": "#b03030", "accuracy": "#3050b0", "strength": "#909090"}


def loss_curve(log: Path, target: Path) -> None:
    """Draw the logged loss, accuracy and strength of the attacks over the steps; nothing where nothing is logged."""
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if not rows:
        return
    last, top = rows[-1]["step"], max(1.0, *(row["loss"] for row in rows))
    lines = []
    for place, (name, colour) in enumerate(COLOURS.items()):
        points = " ".join(f"{row['step'] / last * WIDTH:.1f},{HEIGHT * (1 - row[name] / top):.1f}" for row in rows)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        lines.append(f'<text x="8" y="{16 + 14 * place}" font-size="12" fill="{colour}">{name}</text>')
    size = f'width="{WIDTH}" height="{HEIGHT + 20}" viewBox="0 0 {WIDTH} {HEIGHT + 20}"'
    scale = f'<text x="8" y="{HEIGHT + 15}" font-size="12">{last} steps, 0 to {top:.2f}</text>'
    picture = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join([*lines, scale]) + "\n</svg>\n"
    write_atomically(target, picture.encode())
