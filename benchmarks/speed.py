"""Speed on one thread: embed and detect at 1024x1024, embed at 3840x2160, beside the floor and two peers in one run.

    python benchmarks/speed.py [--picture FILE] [--repeat 15] [--dry]

The floor is OpenCV's RGB to YCrCb and back, the least that a mark in the luma does with OpenCV. The peers,
invisible-watermark's dwtDctSvd and blind-watermark, are benchmark dependencies only (``make bench`` installs them);
torch methods are not touched. Written to ``results/speed.json`` unless ``--dry``.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import types  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import median  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, ROOT, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402

from markai import Key, _kernels  # noqa: E402
from markai._kernels import reference  # noqa: E402
from markai.bench import peers  # noqa: E402
from markai.bench.pictures import Source  # noqa: E402
from markai.watermarks.dwt_dct import DwtDct  # noqa: E402

SIDE = 1024
SHORT = 0.2  # seconds
LARGE = (3840, 2160)
LARGE_REPEAT = 3  # peers take ten seconds each
Works = dict[str, Callable[[], Any]]
Pixels = NDArray[np.uint8]


def picture(path: Path | None) -> Pixels:
    """Return a 1024x1024 RGB photograph: the given one, one of the evaluation set, or the demo's enlarged."""
    choices = [path] if path else [EVAL / "photo-2k_05.jpg", *(ROOT / "examples" / "data").glob("*.png")]
    found = next(choice for choice in choices if choice.exists())
    source = Image.fromarray(Source(found.name, "", found).load())
    if min(source.size) < SIDE:
        source = source.resize((SIDE * 3 // 2, SIDE), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(source.crop((0, 0, SIDE, SIDE)))


def milliseconds(works: dict[Any, Callable[[], Any]], repeat: int) -> dict[Any, float]:
    """Median time of each, taken in turns: what else the machine does then falls on all alike.

    What is short runs once more before each time is taken: caches that a peer's seconds have swept would tell of those.
    """
    times: dict[Any, list[float]] = {name: [] for name in works}
    for turn in range(repeat + 1):
        for name, work in works.items():
            if turn and min(times[name]) < SHORT:
                work()
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
            if turn == 1:  # the first only warmed up
                del times[name][0]
    return {name: median(taken) * 1e3 for name, taken in times.items()}


def markai_works(pixels: Pixels) -> Works:
    mark, key = DwtDct(), Key(bytes(32))
    marked = mark.embed(pixels, key, b"acme:42!")
    assert mark.find(mark.look(marked), key).payload == b"acme:42!"
    return {
        "embed": lambda: mark.embed(pixels, key, b"acme:42!"),
        "detect": lambda: mark.find(mark.look(marked), key),
        "detect, unmarked": lambda: mark.find(mark.look(pixels), key),
    }


def round_trip(pixels: Pixels) -> Works:
    """OpenCV's RGB to YCrCb and back, on one thread."""
    import cv2

    cv2.setNumThreads(1)
    return {"embed": lambda: cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb), cv2.COLOR_YCrCb2RGB)}


def kernel_times(pixels: Pixels, repeat: int) -> dict[str, dict[str, float]]:
    """Compiled against NumPy reference, milliseconds each."""
    cells = _kernels.cell_means(pixels, 4)
    calls = {
        "cell_means": lambda k: k.cell_means(pixels, 4),
        "cell_means_and_spread": lambda k: k.cell_means_and_spread(pixels, 4),
        "add_cells": lambda k: k.add_cells(pixels, cells * 0 + 1, 4),
        "whiten": lambda k: k.whiten(cells),
        "pull": lambda k: k.pull(cells, cells, 25.0),
        "smooth": lambda k: k.smooth(cells, 8),
        "least_neighbour": lambda k: k.least_neighbour(cells),
        "neighbour_products": lambda k: k.neighbour_products(cells),
        "fit_change": lambda k: k.fit_change(cells, 0.1, cells, cells),
    }
    compiled = milliseconds({name: lambda call=call: call(_kernels) for name, call in calls.items()}, repeat)
    plain = milliseconds({name: lambda call=call: call(reference) for name, call in calls.items()}, 3)
    return {name: {"compiled": compiled[name], "reference": plain[name]} for name in calls}


def invisible_works(pixels: Pixels) -> Works:
    """invisible-watermark 0.2.0, dwtDctSvd, 32 bits, at its defaults, on the same pixels (BGR, as it wants them)."""
    sys.modules.setdefault("torch", types.ModuleType("torch"))  # imported by its package, used by its RivaGAN only
    try:
        from imwatermark import WatermarkDecoder, WatermarkEncoder
    except ImportError as error:
        raise SystemExit(f"{error} - run: pip install --no-deps invisible-watermark==0.2.0 (see make bench)") from error
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    encoder, decoder = WatermarkEncoder(), WatermarkDecoder("bytes", 32)
    encoder.set_watermark("bytes", b"test")
    marked = encoder.encode(bgr, "dwtDctSvd")
    return {"embed": lambda: encoder.encode(bgr, "dwtDctSvd"), "detect": lambda: decoder.decode(marked, "dwtDctSvd")}


def blind_works(pixels: Pixels) -> Works:
    """blind-watermark 0.4.4, 32 bits, at its defaults."""
    peer, message = peers.load("blind-watermark"), np.arange(32, dtype=np.uint8) % 2
    marked = peer.embed(pixels, message)
    return {"embed": lambda: peer.embed(pixels, message), "detect": lambda: peer.extract(marked)}


METHODS = {
    "markai": markai_works,
    "opencv_round_trip": round_trip,
    "invisible_watermark_dwtDctSvd": invisible_works,
    "blind_watermark": blind_works,
}


def compared(pixels: Pixels, repeat: int, only: str = "") -> dict[str, dict[str, float]]:
    """Milliseconds by method and task, all in turns; of one task where ``only`` names it."""
    works = {
        (method, what): work
        for method, make in METHODS.items()
        for what, work in make(pixels).items()
        if only in ("", what)
    }
    taken = milliseconds(works, repeat)
    return {method: {what: ms for (name, what), ms in taken.items() if name == method} for method in METHODS}


def import_time(repeat: int) -> float:
    """Milliseconds that ``import markai`` adds to a bare interpreter (median difference)."""

    def run(code: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    taken = milliseconds({"bare": run("pass"), "markai": run("import markai")}, repeat)
    return taken["markai"] - taken["bare"]


def measured(pixels: Pixels, repeat: int) -> dict[str, Any]:
    small = compared(pixels, repeat)
    large = compared(np.asarray(Image.fromarray(pixels).resize(LARGE, Image.Resampling.BICUBIC)), LARGE_REPEAT, "embed")
    size = f"embed {LARGE[0]}x{LARGE[1]}"
    times = {f"{method}_ms": {**small[method], size: large[method]["embed"]} for method in METHODS}
    ours, peer = times["markai_ms"], times["invisible_watermark_dwtDctSvd_ms"]
    return {
        "machine": machine(),
        **times,
        "times_faster": {what: peer[what] / ours[what] for what in peer},
        "kernels_ms": kernel_times(pixels, repeat),
        "import_markai_ms": import_time(7),
    }


def show(result: dict[str, Any]) -> None:
    print(f"{'ms':18s}" + "".join(f"{method:>31s}" for method in METHODS))
    for what in result["markai_ms"]:
        cells = [result[f"{method}_ms"].get(what) for method in METHODS]
        print(f"{what:18s}" + "".join(f"{'-':>31s}" if cell is None else f"{cell:31.1f}" for cell in cells))
    for name, pair in result["kernels_ms"].items():
        print(f"{name:22s} {pair['compiled']:7.2f} ms compiled, {pair['reference']:7.1f} ms NumPy")
    print(f"import markai      {result['import_markai_ms']:7.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--dry", action="store_true", help="write no results")
    args = parser.parse_args()
    result = measured(picture(args.picture), args.repeat)
    if not args.dry:
        save("speed", result)
    show(result)


if __name__ == "__main__":
    main()
