"""Pictures per second of ``dwt-dct`` in tensors on a device, beside the kernels on one thread of the host.

    python benchmarks/tensors.py [--device cuda] [--side 1024] [--batches 1 4 16] [--repeat 10] [--threads N]

The pictures lie on the device before and after. The kernels' column is what a generator does without this: a copy to
the host, one picture after another on one thread, and a copy back. Times are medians of whole batches, the device
waited for. It also says how alike the two marks are. Prints, and writes nothing: what stands in the documentation says
on which device it was measured.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from common import EVAL, ROOT, machine
from PIL import Image
from torch import Tensor

from markai import Key
from markai.bench.pictures import Source
from markai.metrics import psnr
from markai.watermarks.dwt_dct import DwtDct
from markai.watermarks.tensors import embedding

KEY, PAYLOAD = Key(bytes(range(32))), b"acme:42!"
MARK = DwtDct()


def pictures(count: int, side: int) -> Tensor:
    """Return (count, 3, side, side) uint8 on the CPU: photographs of the evaluation set, or parts of the demo's."""
    files = [*sorted(EVAL.glob("photo-2k_*")), *(ROOT / "examples" / "data").glob("*.png")]
    found = []
    for i in range(count):
        file = files[i % len(files)]
        source = Image.fromarray(Source(file.name, "", file).load())
        scale = max(1.0, side / min(source.size))
        source = source.resize((round(source.width * scale), round(source.height * scale)), Image.Resampling.LANCZOS)
        found.append(np.asarray(source.crop((0, 0, side, side))).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(found))


def by_tensors(batch: Tensor) -> Tensor:
    return embedding.embed(batch, KEY, [PAYLOAD] * len(batch))


def by_kernels(batch: Tensor) -> Tensor:
    """Copy, mark, copy back."""
    marked = [MARK.embed(np.ascontiguousarray(each), KEY, PAYLOAD) for each in batch.cpu().permute(0, 2, 3, 1).numpy()]
    return torch.from_numpy(np.stack(marked)).to(batch.device).permute(0, 3, 1, 2)


def detected(batch: Tensor) -> Tensor:
    found = [MARK.find(MARK.look_tensor(each), KEY) for each in batch]
    assert all(each.payload == PAYLOAD for each in found)
    return batch


def seconds(work: Callable[[Tensor], Tensor], batch: Tensor, repeat: int) -> float:
    """Median time of a batch, after one to warm up."""
    taken = []
    for _ in range(repeat + 1):
        wait(batch.device)
        start = time.perf_counter()
        work(batch)
        wait(batch.device)
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)


def likeness(before: Tensor) -> str:
    """How alike the two marks are."""
    marked = [each.cpu().permute(0, 2, 3, 1).numpy() for each in (by_tensors(before), by_kernels(before))]
    host = before.cpu().permute(0, 2, 3, 1).numpy()
    ours, theirs = ((each.astype(np.float64) - host).ravel() for each in marked)
    alike = np.vdot(ours, theirs) / np.sqrt(np.vdot(ours, ours) * np.vdot(theirs, theirs))
    decibels = [np.mean([psnr(*pair) for pair in zip(host, each, strict=True)]) for each in marked]
    same = (marked[0] == marked[1]).mean()
    return (
        f"residuals correlate {alike:.5f}, {same:.5f} of the samples are equal, "
        f"PSNR {decibels[0]:.2f} and {decibels[1]:.2f} dB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="of torch, where the device is the CPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {args.threads} threads of torch"
    about = machine()
    print(f"{name}; torch {about['torch']}, commit {about['commit']}")
    print(f"{args.side}x{args.side} RGB uint8, pictures per second\n")
    print("| batch | embed, tensors | embed, copied to the kernels | detect, tensors |\n|---|---|---|---|")
    for size in args.batches:
        batch = pictures(size, args.side).to(device)
        marked = by_tensors(batch)
        rows = ((by_tensors, batch), (by_kernels, batch), (detected, marked))
        rates = [f"{size / seconds(work, given, args.repeat):.1f}" for work, given in rows]
        print(f"| {size} | {' | '.join(rates)} |", flush=True)
    print(f"\n{likeness(pictures(4, args.side).to(device))}")


if __name__ == "__main__":
    main()
