"""Mark a photograph, attack it, find the mark again: ``make demo``, or ``python examples/quickstart.py``.

Prints a table, and writes every picture and one sheet with all of them into ``demo/``. Exits with 1 if a mark
was lost, or found where there is none.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

import markai
from markai import attacks, metrics

PHOTOGRAPH = Path(__file__).parent / "data" / "lighthouse.png"
PAYLOAD = b"acme:42"
ATTACKS = {
    "none": "No attack",
    "jpeg:50": "JPEG, quality 50",
    "jpeg:30": "JPEG, quality 30",
    "jpeg:10": "JPEG, quality 10",
    "webp:50": "WebP, quality 50",
    "blur:2": "Blur, sigma 2",
    "noise:0.05": "Noise, 5 %",
    "resize-back:0.5": "Half the size and back",
    "brightness:0.5": "Brightness x 0.5",
    "brightness:1.5": "Brightness x 1.5",
    "grayscale": "Grayscale",
    "erase:0.25": "25 % erased",
    "crop:0.5": "Cropped to 50 %",
    "crop:0.25": "Cropped to 25 %",
    "rotate:15": "Turned by 15 degrees",
    "resize:0.5": "Half the size",
}


@dataclass(frozen=True)
class Row:
    """One picture, what detection said about it, and what it should have said."""

    title: str
    pixels: np.ndarray
    found: markai.Detection
    expected: bytes | None
    psnr: float | None

    @property
    def good(self) -> bool:
        return bool(self.found) == (self.expected is not None) and self.found.payload == self.expected

    @property
    def answer(self) -> str:
        return f"found {(self.found.payload or b'without payload').decode()}" if self.found else "not found"

    @property
    def p(self) -> str:
        return short(self.found.p_value)


def main(argv: list[str] | None = None) -> int:
    """Tell the whole story; return the exit status."""
    parser = argparse.ArgumentParser(description="Mark a photograph, attack it, find the mark again.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write into (default: demo)")
    out: Path = parser.parse_args(argv).out

    # Fixed keys, so that everybody sees the same numbers. Yours is secret: markai.Key.generate(), once.
    key, another_key = markai.Key(bytes(range(32))), markai.Key(bytes(32))
    original = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))
    marked = markai.embed(original, key, payload=PAYLOAD)

    def look(title: str, pixels: np.ndarray, key: markai.Key, expected: bytes | None) -> Row:
        psnr = metrics.psnr(pixels, marked) if pixels.shape == marked.shape else None
        return Row(title, pixels, markai.detect(pixels, key), expected, psnr)

    attacked = [look(title, attacks.apply(spec, marked, seed=1), key, PAYLOAD) for spec, title in ATTACKS.items()]
    controls = [
        look("Unmarked original", original, key, None),
        look("Marked, another key", marked, another_key, None),
    ]
    Console().print(table(attacked + controls))
    write_pictures(out, original, attacked, controls)
    wrong = [row.title for row in attacked + controls if not row.good]
    print(f"Not as expected: {', '.join(wrong)}." if wrong else "Every answer is as expected.")
    print(f"The pictures are in {out}/, all on one page in {out / 'sheet.png'}.")
    return 1 if wrong else 0


def table(rows: list[Row]) -> Table:
    """The result for the terminal. PSNR is against the marked picture; cropped pictures have none."""
    result = Table("attack", "detected", "payload")
    for column in ("p-value", "PSNR dB"):
        result.add_column(column, justify="right")
    for row in rows:
        detected = f"[{'green' if row.good else 'red'}]{'yes' if row.found else 'no'}[/]"
        payload = row.found.payload.decode() if row.found.payload else "-"
        psnr = "-" if row.psnr is None else f"{row.psnr:.1f}"
        result.add_row(row.title, detected, payload, row.p, psnr)
    return result


def write_pictures(out: Path, original: np.ndarray, attacked: list[Row], controls: list[Row]) -> None:
    """Write every picture, and the sheet that shows them all, into the folder ``out``."""
    marked = attacked[0].pixels
    difference = np.clip(128 + 20 * (marked.astype(int) - original), 0, 255).astype(np.uint8)
    out.mkdir(parents=True, exist_ok=True)
    save(Image.fromarray(original), out / "original.png")
    save(Image.fromarray(marked), out / "marked.png")
    save(Image.fromarray(difference), out / "difference_x20.png")
    for spec, row in zip(ATTACKS, attacked, strict=True):
        save(Image.fromarray(row.pixels), out / f"attacked_{spec.replace(':', '_')}.png")
    save(sheet(original, difference, attacked, controls), out / "sheet.png")


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG so that nobody ever sees half of it."""
    part = path.with_suffix(".part")
    picture.save(part, "PNG")
    part.replace(path)


WIDTH, MARGIN, GAP, CAPTION = 1600, 40, 20, 76  # of the sheet, in pixels
INK, SOFT, PANEL, GREEN, RED = "#1a1a1a", "#6b6b6b", "#f0f0f0", "#1a7f37", "#b42318"
EXPLANATION = (
    "Under each picture: whether its mark is found, the payload, and p, the chance that a picture "
    "nobody marked scores this well. Found: p up to {}."
)
Box = tuple[int, int, int, int]  # left, top, right, bottom
FONTS = {name: ImageFont.load_default(size) for name, size in [("title", 38), ("caption", 22), ("note", 19)]}


def sheet(original: np.ndarray, difference: np.ndarray, attacked: list[Row], controls: list[Row]) -> Image.Image:
    """Everything on one page: original, marked picture and difference, and below them what was attacked."""
    unmarked, other = controls
    marked, *rest = attacked
    page = Image.new("RGB", (WIDTH, 3 * WIDTH), "white")
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 34), "One photograph, marked once, then attacked", INK, FONTS["title"])
    draw.text((MARGIN, 90), EXPLANATION.format(short(marked.found.fpr)), SOFT, FONTS["note"])

    boxes = grid(136, 3, 3, original.shape)
    scale = (boxes[0][2] - boxes[0][0]) / original.shape[1]
    place(page, boxes[0], scale, original, "Original", unmarked)
    place(page, boxes[1], scale, marked.pixels, "Marked", marked, f"another key: {other.answer}")
    place(page, boxes[2], scale, difference, "Difference x 20", None, f"PSNR {unmarked.psnr:.1f} dB")
    boxes = grid(boxes[-1][3] + CAPTION + GAP, 5, len(rest), original.shape)
    scale = (boxes[0][2] - boxes[0][0]) / original.shape[1]
    for box, row in zip(boxes, rest, strict=True):
        place(page, box, scale, row.pixels, row.title, row)
    return page.crop((0, 0, WIDTH, boxes[-1][3] + CAPTION + GAP))


def grid(top: int, columns: int, count: int, shape: tuple[int, ...]) -> list[Box]:
    """Where the pictures go, row by row, with room for a caption under each."""
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    height = round(width * shape[0] / shape[1])
    places = [divmod(index, columns) for index in range(count)]
    corners = [(MARGIN + column * (width + GAP), top + row * (height + CAPTION)) for row, column in places]
    return [(left, top, left + width, top + height) for left, top in corners]


def place(
    page: Image.Image,
    box: Box,
    scale: float,
    pixels: np.ndarray,
    title: str,
    row: Row | None,
    aside: str = "",
) -> None:
    """Draw a picture in the middle of its box, and under it the title and the answer."""
    left, top, right, bottom = box
    draw = ImageDraw.Draw(page)
    draw.rectangle((left, top, right - 1, bottom - 1), fill=PANEL)
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    page.paste(picture, ((left + right - size[0]) // 2, (top + bottom - size[1]) // 2))
    draw.text((left, bottom + 8), title, INK, FONTS["caption"])
    line = bottom + 37
    if row:
        color = RED if not row.good else GREEN if row.found else SOFT
        dot = Image.new("L", (48, 48))  # drawn large and shrunk: Pillow's own circles have jagged edges
        ImageDraw.Draw(dot).ellipse((0, 0, 47, 47), 255 if row.found else 0, 255, 8)
        page.paste(color, (left, line + 5), dot.resize((12, 12), Image.Resampling.BOX))
        draw.text((left + 20, line), f"{row.answer}, p = {row.p}", color, FONTS["note"])
    draw.text((right if row else left, line), aside, SOFT, FONTS["note"], "ra" if row else "la")


def short(probability: float) -> str:
    return f"{probability:.1g}".replace("e-0", "e-")


if __name__ == "__main__":
    sys.exit(main())
