"""Small, long and odd pictures: what of a mark is read back, what is refused before it is written, and at what cost.

    python benchmarks/sizes.py [--pictures 12] [--groups NAME ...]

Every group is cut or joined from the evaluation set. Written to ``results/sizes.json`` (with every mark that was
accepted and lost again) and ``results/sizes.md``.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
from collections.abc import Callable, Iterable, Iterator  # noqa: E402
from functools import partial  # noqa: E402
from itertools import islice  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, RESULTS, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402

import markai  # noqa: E402
from markai import attacks  # noqa: E402
from markai.bench.pictures import from_files, spread  # noqa: E402
from markai.bench.statistics import share  # noqa: E402
from markai.errors import CapacityError  # noqa: E402
from markai.metrics import measure  # noqa: E402

PAYLOADS = (b"", b"acme", b"acme:42!", b"acme:42!acme:43!")
PALETTE = "palette"  # a PNG of 256 dithered colours, as chats and GIFs make of pictures
ATTACKS = ("none", "jpeg:90", "jpeg:70", "jpeg:50", "resize:0.75", "blur:1", "brightness:1.2", "crop:0.75", "grayscale")
ODD = ("flat", "diagram", "drawing", "comic", "textscan", "screenshot")
NATURAL = ("ai", "art", "classic", "kodak", "photo-2k", "photo-camera", "photo-cid22", "photo-4k", "satellite")

Pixels = NDArray[np.uint8]
Named = tuple[str, Pixels]


def loaded(kinds: Iterable[str], short_side: int | None = None) -> Iterator[Named]:
    """Yield pictures of these kinds, from all of them in turn."""
    sources = [source for source in from_files([EVAL]) if source.group in kinds]
    first = spread(sources, len(kinds))
    for source in (*first, *(each for each in sources if each not in first)):
        yield source.name, source.load(short_side)


def cut(pixels: Pixels, width: int, height: int) -> Pixels:
    """Shrink or enlarge until the picture just covers that size, and keep the middle."""
    image = Image.fromarray(pixels)
    scale = max(width / image.width, height / image.height)
    size = max(width, round(scale * image.width)), max(height, round(scale * image.height))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS).crop((left, top, left + width, top + height)))


def natural(width: int, height: int) -> Iterator[Named]:
    """Yield photographs and generated pictures of that size."""
    return ((name, cut(pixels, width, height)) for name, pixels in loaded(NATURAL, 2 * max(width, height)))


def joined(width: int, height: int, kinds: tuple[str, ...]) -> Iterator[Named]:
    """Yield strips of several pictures side by side, or one above the other, each 3:2 or so."""
    across = width > height
    short, long = sorted((width, height))
    each = 3 * short // 2
    found = loaded(kinds, 2 * short)
    while parts := list(islice(found, -(-long // each))):
        if len(parts) * each < long:
            return
        pieces = [cut(pixels, *((each, short) if across else (short, each))) for _, pixels in parts]
        whole = np.concatenate(pieces, axis=1 if across else 0)[:height, :width]
        yield parts[0][0], np.ascontiguousarray(whole)


def logos() -> Iterator[Named]:
    """Yield pictures of few colours whose ground, the colour of a corner, is transparent."""
    for name, pixels in loaded(("flat", "diagram", "drawing", "screenshot"), 512):
        ground = np.abs(pixels.astype(int) - pixels[0, 0]).max(axis=2) <= 2
        if 0.2 < ground.mean() < 0.98:
            yield name, np.dstack([pixels, np.where(ground, 0, 255).astype(np.uint8)])


GROUPS: dict[str, Callable[[], Iterator[Named]]] = {
    **{
        f"{width}x{height}": partial(natural, width, height)
        for width, height in ((256, 256), (257, 511), (256, 400), (320, 320), (384, 384), (512, 512))
    },
    "panorama 2048x256": partial(joined, 2048, 256, NATURAL),
    "panorama 4096x512": partial(joined, 4096, 512, NATURAL),
    "screenshots 512x4096": partial(joined, 512, 4096, ("screenshot", "comic", "textscan")),
    "screenshots 1080x6000": partial(joined, 1080, 6000, ("screenshot", "comic", "diagram")),
    **{f"{kind}, 512": partial(loaded, (kind,), 512) for kind in ODD},
    "logos on nothing, 512": logos,
}


def attacked(name: str, pixels: Pixels) -> Pixels:
    """Apply an attack to RGB or RGBA, which JPEG and most viewers show on white."""
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / 255
        pixels = np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    if name == PALETTE:
        return np.asarray(Image.fromarray(pixels).quantize(256).convert("RGB"))
    return attacks.apply(name, pixels)


def rows(group: str, pictures: Iterable[Named]) -> Iterator[dict[str, Any]]:
    """Yield one row for every picture and payload."""
    for index, (name, pixels) in enumerate(pictures):
        key = markai.Key(index.to_bytes(32, "big"))
        for payload in PAYLOADS:
            row = {"group": group, "picture": name, "bytes": len(payload)}
            try:
                marked = markai.embed(pixels, key, payload)
            except CapacityError as error:
                yield row | {"refused": str(error)}
                continue
            quality = measure(["psnr", "ssim"], pixels[..., :3], marked[..., :3])
            found = {attack: markai.detect(attacked(attack, marked), key) for attack in (*ATTACKS, PALETTE)}
            yield row | quality | {name: bool(each) and each.payload == payload for name, each in found.items()}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each group and payload the shares with their intervals, and the quality."""
    result = []
    for group, size in dict.fromkeys((row["group"], row["bytes"]) for row in rows):
        all_rows = [row for row in rows if (row["group"], row["bytes"]) == (group, size)]
        kept = [row for row in all_rows if "refused" not in row]
        means = {name: float(np.mean([row[name] for row in kept])) if kept else None for name in ("psnr", "ssim")}
        least = min((row["psnr"] for row in kept), default=None)
        shares = {name: share([row[name] for row in kept]).to_dict() for name in (*ATTACKS, PALETTE)}
        counts = {"pictures": len(all_rows), "refused": len(all_rows) - len(kept)}
        result.append({"group": group, "bytes": size, **counts, **means, "least_psnr": least, "shares": shares})
    return result


def as_table(groups: list[dict[str, Any]]) -> str:
    """Return the Markdown table of a summary."""
    head = ["pictures", "bytes", "refused", "PSNR (least)", "SSIM", *ATTACKS, PALETTE]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for each in groups:
        quality = (
            ("-", "-")
            if each["psnr"] is None
            else (f"{each['psnr']:.1f} ({each['least_psnr']:.1f})", f"{each['ssim']:.4f}")
        )
        cells = [each["group"], each["bytes"], f"{each['refused']} of {each['pictures']}", *quality]
        cells += [_cell(value) for value in each["shares"].values()]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    note = (
        "Share of exact payloads (0 bytes: of marks found) among the pictures that were not refused, and 95 % interval."
    )
    return "\n".join([*lines, "", note, ""])


def _cell(value: dict[str, Any]) -> str:
    return "-" if not value["n"] else f"{value['value']:.2f} ({value['low']:.2f}-{value['high']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=12, help="of each group")
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=list(GROUPS))
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    for group in args.groups:
        found += rows(group, islice(GROUPS[group](), args.pictures))
        print(as_table(summary([row for row in found if row["group"] == group])), flush=True)
    groups = summary(found)
    lost = [row for row in found if "refused" not in row and not (row["none"] and row["jpeg:90"])]
    refused = [row for row in found if "refused" in row]
    save("sizes", {"machine": machine(), "groups": groups, "accepted_and_lost": lost, "refused": refused})
    (RESULTS / "sizes.md").write_text(as_table(groups))
    print(json.dumps(lost, indent=1))


if __name__ == "__main__":
    main()
