"""Speed on one thread: embed and aligned detect at 1024x1024, beside invisible-watermark's dwtDctSvd in the same run.

    python benchmarks/speed.py [--picture FILE] [--repeat 15]

The peer is a benchmark dependency only (``make bench`` installs it); its torch method is not touched. Written to
``results/speed.json``.
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
from markai.bench.pictures import Source  # noqa: E402
from markai.watermarks.dwt_dct import DwtDct  # noqa: E402

SIDE = 1024


def picture(path: Path | None) -> NDArray[np.uint8]:
    """Return a 1024x1024 RGB photograph: the given one, one of the evaluation set, or the demo's enlarged."""
    choices = [path] if path else [EVAL / "photo-2k_05.jpg", *(ROOT / "examples" / "data").glob("*.png")]
    found = next(choice for choice in choices if choice.exists())
    source = Image.fromarray(Source(found.name, "", found).load())
    if min(source.size) < SIDE:
        source = source.resize((SIDE * 3 // 2, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(source.crop((0, 0, SIDE, SIDE)))


def milliseconds(works: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Median time of each, taken in turns: what else the machine does then falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeat + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:  # the first warms up
                times[name].append(time.perf_counter() - start)
    return {name: median(taken) * 1e3 for name, taken in times.items()}


def markai_works(pixels: NDArray[np.uint8]) -> dict[str, Callable[[], Any]]:
    mark, key = DwtDct(), Key(bytes(32))
    marked = mark.embed(pixels, key, b"acme:42!")
    assert mark.find(mark.look(marked), key).payload == b"acme:42!"
    return {
        "embed": lambda: mark.embed(pixels, key, b"acme:42!"),
        "detect": lambda: mark.find(mark.look(marked), key),
        "detect, unmarked": lambda: mark.find(mark.look(pixels), key),
    }


def kernel_times(pixels: NDArray[np.uint8], repeat: int) -> dict[str, dict[str, float]]:
    """Compiled against NumPy reference, milliseconds each."""
    cells = _kernels.cell_means(pixels, 4)
    calls = {
        "cell_means": lambda k: k.cell_means(pixels, 4),
        "cell_means_and_spread": lambda k: k.cell_means_and_spread(pixels, 4),
        "add_cells": lambda k: k.add_cells(pixels, cells * 0 + 1, 4),
        "whiten": lambda k: k.whiten(cells),
        "pull": lambda k: k.pull(cells, cells, 25.0),
        "smooth": lambda k: k.smooth(cells, 8),
    }
    compiled = milliseconds({name: lambda call=call: call(_kernels) for name, call in calls.items()}, repeat)
    plain = milliseconds({name: lambda call=call: call(reference) for name, call in calls.items()}, 3)
    return {name: {"compiled": compiled[name], "reference": plain[name]} for name in calls}


def peer_works(pixels: NDArray[np.uint8]) -> dict[str, Callable[[], Any]]:
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


def import_time(repeat: int) -> float:
    """Milliseconds that ``import markai`` adds to a bare interpreter (median difference)."""

    def run(code: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    taken = milliseconds({"bare": run("pass"), "markai": run("import markai")}, repeat)
    return taken["markai"] - taken["bare"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--repeat", type=int, default=25)
    args = parser.parse_args()
    pixels = picture(args.picture)
    theirs = {f"peer {what}": work for what, work in peer_works(pixels).items()}
    taken = milliseconds({**markai_works(pixels), **theirs}, args.repeat)
    peer = {what: taken.pop(f"peer {what}") for what in ("embed", "detect")}
    ours = taken
    result = {
        "machine": machine(),
        "markai_ms": ours,
        "invisible_watermark_dwtDctSvd_ms": peer,
        "times_faster": {what: peer[what] / ours[what] for what in peer},
        "kernels_ms": kernel_times(pixels, args.repeat),
        "import_markai_ms": import_time(7),
    }
    save("speed", result)
    for what, value in ours.items():
        ratio = (
            f"{result['times_faster'][what]:.0f}x faster than dwtDctSvd ({peer[what]:.0f} ms)" if what in peer else ""
        )
        print(f"{what:18s} {value:7.1f} ms  {ratio}")
    for name, pair in result["kernels_ms"].items():
        print(f"{name:22s} {pair['compiled']:7.2f} ms compiled, {pair['reference']:7.1f} ms NumPy")
    print(f"import markai      {result['import_markai_ms']:7.1f} ms")


if __name__ == "__main__":
    main()
