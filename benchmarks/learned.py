"""Time the learned mark's networks: on one core by ONNX Runtime and by torch, and on a GPU where there is one.

    python benchmarks/learned.py speed [--picture FILE] [--repeat 15] [--dry]

The picture is 1024x1024, its plane 256x256 cells. On the CPU a call is what the method makes: ``runtime.write`` and
``runtime.read`` with the arithmetic around the networks, without the hand-made mark and the levelling, which are told
beside; then come ``markai.embed`` and ``detect`` as a whole. On the GPU everything is there already, hand-made marks
included. Written to ``results/learned_speed.json`` unless ``--dry``.
"""

import speed  # isort: skip - first, because it sets how many threads libraries take

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import machine, save
from numpy.typing import NDArray

import markai
from markai import Key, _kernels
from markai.neural import digests, runtime
from markai.watermarks.carriers import RINGS, SYMBOLS, carriers_for
from markai.watermarks.foreseen import foreseen
from markai.watermarks.informed import Host, residual
from markai.watermarks.tiles import Tiles

STEP = 4  # pixels per cell at 1024x1024
BATCHES = (1, 16, 64)
METHODS, PAYLOAD = ("dwt-dct", "learned", "both"), b"acme:42!"
COPIED = 256 << 20  # bytes: far more than a cache holds
Plane = NDArray[np.float32]

COLD = """
import time, numpy as np
from markai.neural import runtime
planes = [np.ones((256, 256), np.float32)] * 5
start = time.perf_counter()
runtime.write(*planes, on={on!r}); runtime.read(*planes[:2], on={on!r})
print(1e3 * (time.perf_counter() - start))
"""


def planes_of(pixels: NDArray[np.uint8]) -> tuple[list[Plane], Callable[[], Any]]:
    """Return what ``runtime.write`` takes for a picture, and the work of making the hand-made mark again."""
    cells, spread = _kernels.cell_means_and_spread(pixels, STEP)
    host, carriers = Host.of(cells, spread), carriers_for(Key(bytes(32)))
    values = np.where(np.random.default_rng(1).random(SYMBOLS) < 0.5, -1, 1).astype(np.float32)
    tiles = Tiles(cells.shape, carriers, values, (0, 0))
    pattern = tiles.plane(np.ones((tiles.down * tiles.across, SYMBOLS), np.float32), np.ones(RINGS, np.float32))
    make = partial(residual, host, carriers, values, (0, 0), 1.0, foreseen(cells, STEP))
    return [cells, make(), pattern / pattern.std(), host.allowed, host.limit], make


def on_one_core(pixels: NDArray[np.uint8], repeat: int) -> dict[str, Any]:
    """Medians in milliseconds, all works in turns; ``first`` is both networks in a new process, imports included."""
    planes, make = planes_of(pixels)
    level = _kernels.whiten(planes[0])
    works: speed.Works = {"hand-made mark": make, "levelling": lambda: _kernels.whiten(planes[0])}
    backends = [on for on in (runtime.ONNX, runtime.TORCH) if find_spec(on)]
    for on in backends:
        works[f"{on}: writer"] = partial(runtime.write, *planes, on=on)
        works[f"{on}: reader"] = partial(runtime.read, planes[0], level, on=on)
    key = Key(bytes(32))
    for method in METHODS:
        marked = markai.embed(pixels, key, PAYLOAD, method=method)
        works[f"{method}: embed"] = partial(markai.embed, pixels, key, PAYLOAD, method=method)
        works[f"{method}: detect"] = partial(markai.detect, marked, key, method=method)
        works[f"{method}: detect, unmarked"] = partial(markai.detect, pixels, key, method=method)
    taken = speed.milliseconds(works, repeat)
    return taken | {f"{on}: first": cold(on) for on in backends}


def cold(on: str) -> float:
    """Return the median milliseconds of five processes until both networks have answered once."""
    command = [sys.executable, "-c", COLD.format(on=on)]
    return median(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(5))


def on_a_gpu(pixels: NDArray[np.uint8], repeat: int) -> dict[str, Any] | str:
    """Return images per second, latency and bandwidth, or why there is nothing to return."""
    if not find_spec("torch"):
        return "not measured: torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return "not measured: torch finds no CUDA device here"
    from markai.neural import pairs
    from markai.watermarks.tensors import fused

    pair, planes = pairs.TorchPair("cuda"), planes_of(pixels)[0]
    result: dict[str, Any] = {"device": torch.cuda.get_device_name(), "fused": fused.triton is not None}
    for batch in BATCHES:
        parts = [torch.from_numpy(plane).cuda().expand(batch, 1, -1, -1).contiguous() for plane in planes]
        images = torch.from_numpy(pixels).cuda().expand(batch, -1, -1, -1).contiguous()

        def embed(parts: Any = parts, images: Any = images) -> Any:
            return fused.blend(images, pair.write(*parts)[:, 0], STEP)

        write, read, whole = (
            seconds(work, repeat) for work in (lambda p=parts: pair.write(*p), lambda p=parts: pair.read(p[0]), embed)
        )
        rates = {"embed images/s": batch / whole, "embed ms": 1e3 * whole, "writer ms": 1e3 * write}
        result[f"batch of {batch}"] = rates | {"reader ms": 1e3 * read}
    return result | bandwidth(images, parts[1][:, 0], repeat)


def bandwidth(images: Any, cells: Any, repeat: int) -> dict[str, float]:
    """Return GB/s, bytes read and written: the blend of a batch, fused and in torch, and a copy of device memory."""
    import torch

    from markai.watermarks.tensors import fused

    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    moved = 2 * images.numel() + 4 * cells.numel()
    return {
        "copy GB/s": 2 * COPIED / seconds(lambda: target.copy_(source), repeat) / 1e9,
        "blend GB/s": moved / seconds(lambda: fused.blend(images, cells, STEP), repeat) / 1e9,
        "blend in torch GB/s": moved / seconds(lambda: fused.by_torch(images, cells, STEP), repeat) / 1e9,
    }


def seconds(work: Callable[[], Any], repeat: int) -> float:
    """Return the median time of work on the GPU, its end waited for; three runs before that warm up."""
    import torch

    taken = []
    for turn in range(repeat + 3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if turn >= 3:
            taken.append(time.perf_counter() - start)
    return median(taken)


def show(result: dict[str, Any]) -> None:
    print(f"networks of size {result['size']}, a plane of 256x256 cells, one core, ms")
    for name, taken in result["one_core_ms"].items():
        print(f"  {name:26s}{taken:8.1f}")
    if isinstance(result["gpu"], str):
        print(f"GPU: {result['gpu']}")
        return
    for name, values in result["gpu"].items():
        cells = values.items() if isinstance(values, dict) else [("", values)]
        print(f"  {name:22s}", *(f"{what} {value:.2f}" if isinstance(value, float) else value for what, value in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed"])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--dry", action="store_true", help="write no results")
    args = parser.parse_args()
    pixels = speed.picture(args.picture)
    result = {
        "machine": machine(),
        "size": digests.SIZE,
        "one_core_ms": on_one_core(pixels, args.repeat),
        "gpu": on_a_gpu(pixels, args.repeat),
    }
    if not args.dry:
        save("learned_speed", result)
    show(result)


if __name__ == "__main__":
    main()
