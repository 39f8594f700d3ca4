"""How much of the mark is left after an attack, against what the channel would allow.

    python benchmarks/capacity.py [--pictures FOLDER] [--count 16]

Squares of photographs and generated pictures are marked, attacked, and read at the known place: D^2 is the squared mean
of the soft bits over their variance, times their number. The code needs 229 of it for 8 bytes (``codes.py``). Beside
it stands what was measured of a spread spectrum at 42 dB in the 40 lowest frequencies of 32 x 32 blocks, perfectly
synchronised: blind behind a limiter, and with the host known and rejected in full, which nothing can beat in that
band. Those were taken at 1024 x 1024 and go with the area. Written to ``results/capacity.json`` and ``.md``.
"""

import argparse
import math
from pathlib import Path
from statistics import median

import numpy as np
from common import EVAL, RESULTS, machine, save
from numpy.typing import NDArray
from PIL import Image

from markai import Key, attacks, payload
from markai._kernels import cell_means, whiten
from markai.bench.pictures import from_files
from markai.watermarks.carriers import CODE_BITS, Complex, as_signs, carriers_for, step_for
from markai.watermarks.dwt_dct import DwtDct
from markai.watermarks.readback import content_nonce
from markai.watermarks.sync import peak_at, seen_in, soft_bits
from markai.watermarks.warps import Pyramid, Warp

NEEDED = 229.0
SIDES = (512, 1024)
NATURAL = ("ai", "classic", "kodak", "photo")
# Attack: (what is left of the side, blind with a limiter, host rejected), D^2 at 1024 x 1024.
CHANNEL = {
    "none": (1.0, 4800, None),
    "jpeg:50": (1.0, 3843, 143_000),
    "jpeg:30": (1.0, 2812, 56_000),
    "jpeg:10": (1.0, 497, 8_800),
    "resize:0.5": (0.5, 4633, 1_600_000),
    "blur:2": (1.0, 4077, 335_000),
    "noise:0.05": (1.0, 2904, 27_000),
    "resize:0.5+jpeg:50": (0.5, 1647, 32_000),
    "resize:0.35+jpeg:60": (0.35, 695, 15_000),
}
KEY, PAYLOAD = Key(bytes(range(32))), b"acme:42!"


def squares(folder: Path, side: int, count: int) -> list[NDArray[np.uint8]]:
    """Return the middles of pictures, shrunk to the side where they are larger."""
    found = [source for source in from_files([folder], side) if source.group.startswith(NATURAL)]
    pictures = []
    for source in found[:: max(1, len(found) // count)][:count]:
        image = Image.fromarray(source.load())
        scale = side / min(image.size)
        image = image.resize([max(side, round(edge * scale)) for edge in image.size], Image.Resampling.LANCZOS)
        left, top = ((edge - side) // 2 for edge in image.size)
        pictures.append(np.array(image.crop((left, top, left + side, top + side))))
    return pictures


def seen_after(pixels: NDArray[np.uint8], step: int, left: float) -> Complex | None:
    """Return the coefficients at the known geometry: ``step`` pixels per cell, of which ``left`` are left."""
    shape = (pixels.shape[0], pixels.shape[1])
    warp = Warp.of(shape, np.eye(2) * step * left, np.zeros(2), np.zeros(2))
    cells, inside = warp.read(Pyramid(pixels))
    return seen_in(whiten(cells) * inside)


def energies(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Return D^2 after each attack."""
    marked, step, carriers = DwtDct().embed(pixels, KEY, PAYLOAD), step_for(*pixels.shape[:2]), carriers_for(KEY)
    nonce = content_nonce(cell_means(pixels, step), KEY)
    shift = (float(carriers.shifts[nonce, 0]), float(carriers.shifts[nonce, 1]))
    signs = as_signs(payload.encode(PAYLOAD, KEY, nonce))
    result = {}
    for spec, (left, *_) in CHANNEL.items():
        attacked = attacks.apply(spec, marked, 0)
        seen = seen_after(attacked, step, attacked.shape[0] / pixels.shape[0] if left < 1 else 1.0)
        agreement = np.zeros(1)
        if seen is not None:
            agreement = soft_bits(seen, carriers, peak_at(seen, carriers, shift, nonce)) * signs
        result[spec] = CODE_BITS * max(float(agreement.mean()), 0) ** 2 / max(float(agreement.var()), 1e-12)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--count", type=int, default=16)
    args = parser.parse_args()
    rows = []
    for side in SIDES:
        measured = [energies(pixels) for pixels in squares(args.pictures, side, args.count)]
        area = (side / 1024) ** 2
        for spec, (_, blind, bound) in CHANNEL.items():
            values = sorted(each[spec] for each in measured)
            row = {
                "side": side,
                "attack": spec,
                "n": len(values),
                "d2": median(values),
                "d2_10": values[len(values) // 10],
            }
            rows.append(row | {"blind": blind * area, "bound": bound and bound * area})
    save("capacity", {"machine": machine(), "needed": NEEDED, "rows": rows})
    head = ("side", "attack", "D^2, median", "lowest tenth", "over 229, dB", "blind", "host rejected", "to that, dB")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        margin = 10 * math.log10(max(row["d2"], 1) / NEEDED)
        short = f"{10 * math.log10(row['bound'] / max(row['d2'], 1)):.1f}" if row["bound"] else "-"
        bound = f"{row['bound']:.0f}" if row["bound"] else "-"
        lines.append(
            f"| {row['side']} | {row['attack']} | {row['d2']:.0f} | {row['d2_10']:.0f} | {margin:+.1f} | "
            f"{row['blind']:.0f} | {bound} | {short} |"
        )
    text = "\n".join(lines) + "\n"
    (RESULTS / "capacity.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
