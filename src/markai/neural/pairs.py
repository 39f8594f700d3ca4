"""The shipped networks in torch: bare on single planes for :mod:`markai.neural.runtime`, whole on batches for GPUs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from markai.neural import shipped
from markai.neural.checkpoint import pair_of
from markai.neural.digests import SIZE
from markai.neural.model import Pair

WARM_UPS = 3  # runs before a CUDA graph is recorded: libraries allocate and choose their algorithms then
Bucket = tuple[str, tuple[torch.Size, ...]]


@cache
def shipped_pair(device: str) -> Pair:
    """Return both networks with the weights that ship, float32, for inference, on a device such as ``"cuda"``.

    Raises:
        WeightsError: if the weights are not those that ship.
    """
    pair = pair_of(shipped.read(shipped.WEIGHTS), SIZE).requires_grad_(False)
    return pair.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def run(network: str, planes: NDArray[np.float32], device: str, threads: int) -> NDArray[np.float32]:
    """Run the bare ``"embedder"`` or ``"extractor"`` on (B, inputs, H, W), sides multiples of 16; (B, 2, H, W)."""
    bare = getattr(shipped_pair(device), network).network
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with torch.inference_mode(), exact, _threads(threads):
        output: Tensor = bare(torch.from_numpy(planes).to(device, memory_format=torch.channels_last))
        return output.cpu().numpy()


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch use that many threads for work that this thread gives it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TorchPair:
    """Both networks on batches of planes: channels last, on CUDA in bfloat16 and as one CUDA graph per shape.

    Planes are (B, 1, H, W) float32 on ``device``, H and W multiples of 16; so are results. On a CPU all is float32
    and runs as it is written. bfloat16 keeps 8 bits, so that results differ by about a hundredth of themselves. An
    instance belongs to one thread; its graphs stay in memory until it is gone, so bring planes to few sizes.

    Raises:
        WeightsError: if the weights are not those that ship.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.pair = shipped_pair(device)
        self._graphs: dict[Bucket, _Graph] = {}

    def write(self, plane: Tensor, start: Tensor, pattern: Tensor, allowed: Tensor, limit: Tensor) -> Tensor:
        """Return the change in grey levels; the arguments are those of :func:`markai.neural.runtime.write`."""
        return self._run("write", self.pair.embedder, plane, start, pattern, allowed, limit)

    def read(self, plane: Tensor) -> Tensor:
        """Return the pattern that each plane seems to carry; levels it by itself."""
        return self._run("read", self.pair.extractor, plane)

    @torch.inference_mode()
    def _run(self, name: str, network: Callable[..., Tensor], *planes: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return network(*planes)
        key = name, tuple(plane.shape for plane in planes)
        if key not in self._graphs:
            self._graphs[key] = _Graph(network, planes)
        return self._graphs[key](planes)


class _Graph:
    """A network's run on planes of fixed shapes, recorded once and replayed: one launch instead of a hundred."""

    def __init__(self, network: Callable[..., Tensor], planes: tuple[Tensor, ...]) -> None:
        self.inputs = [plane.clone() for plane in planes]
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    network(*self.inputs)
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.output = network(*self.inputs)

    def __call__(self, planes: tuple[Tensor, ...]) -> Tensor:
        for place, plane in zip(self.inputs, planes, strict=True):
            place.copy_(plane)
        self.graph.replay()
        return self.output.clone()
