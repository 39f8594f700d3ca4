"""A mark as what engines call between the model and the sampler: arrays in and out, or tensors on any device."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from markai.errors import MethodError
from markai.text.schemes import LEAST_LOGIT, Logits, Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from markai.text.device import Writer

DRAWING = "_sample", "_assisted_decoding"  # transformers' functions that draw, or take the likeliest
CALLERS = 4  # frames up in which transformers' search is found: its list of processors is in between


@dataclass(frozen=True)
class Sampling:
    """What a sampler does to logits before it draws, in the order of transformers; by default nothing.

    >>> Sampling(temperature=0.5, top_k=3, top_p=0.9)(np.array([3, 2, 1, 0], np.float32))
    array([  6.,   4., -inf, -inf], dtype=float32)

    Raises:
        MethodError: if a setting is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise MethodError(
                f"temperature {self.temperature} is out of range - above 0, for at 0 nothing is drawn, and "
                "there the scheme bias alone leaves a mark"
            )
        if self.top_k < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            raise MethodError(
                f"top_k {self.top_k}, top_p {self.top_p} and min_p {self.min_p} are out of range - 0, 1 and 0 are "
                "for all tokens"
            )

    @property
    def cuts(self) -> bool:
        """Whether tokens are left out."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    def __call__(self, logits: NDArray[Any]) -> Logits:
        """Return changed logits (b, v) or (v,)."""
        rows = np.array(logits, np.float32, order="C", ndmin=2)  # a copy
        rows /= np.float32(self.temperature)
        if self.cuts:
            for row in rows:
                self._cut(row)
        return rows.reshape(np.shape(logits))

    def _cut(self, row: Logits) -> None:
        tokens = np.flatnonzero(row > row.max(initial=-np.inf) - LEAST_LOGIT)
        if 0 < self.top_k < len(tokens):
            least = np.partition(row[tokens], -self.top_k)[-self.top_k]
            tokens = tokens[row[tokens] >= least]
        order = tokens[np.argsort(-row[tokens], kind="stable")][: self.top_k or None]
        values = row[order]
        chances = np.exp(values - values.max(initial=-np.inf), dtype=np.float64)
        chances /= chances.sum()
        kept = (np.cumsum(chances) - chances < _all_at_1(self.top_p)) & (chances >= self.min_p * chances[:1])
        row[:] = -np.inf
        row[order[kept]] = values[kept]

    def tensor(self, logits: "Tensor") -> "Tensor":
        """Return changed logits (b, v) that are a tensor, where they are."""
        from markai.text.device import warped

        if not self.cuts:
            return logits if self.temperature == 1 else logits.float() / self.temperature
        everything = logits.shape[1]
        return warped(logits, self.temperature, self.top_k or everything, _all_at_1(self.top_p), self.min_p)


class Mark(Protocol):
    """What a :class:`markai.text.TextMark` does for its processor."""

    scheme: Scheme

    @property
    def name(self) -> str:
        """The scheme's name."""

    def step(self, ids: Any, logits: NDArray[Any]) -> Logits:
        """Return arrays (b, v) or (v,) from which to draw."""

    def writer(self, device: Any) -> "Writer":
        """Return what does it with tensors."""

    def check(self, ids: tuple[int, ...], logits: tuple[int, ...]) -> None:
        """Raise for shapes that do not fit."""


class Processor:
    """What :meth:`markai.text.TextMark.processor` returns. It keeps nothing from one call to the next.

    Raises:
        MethodError: if the mark has nothing to write.
    """

    def __init__(self, mark: Mark, sampling: Sampling) -> None:
        self.mark = mark
        self.sampling = sampling
        self._samples = sampling != Sampling()
        self._writers: dict[Any, Writer] = {}  # the key and the message, once on each device

    def __call__(self, ids: Any, logits: Any) -> Any:
        """Return logits (b, v) or (v,) from which to draw the token after ids (b, t) or (t,), in their own dtype.

        Raises:
            MethodError: if the shapes do not go together, or the scheme cannot work in transformers' mode: ``refuse``.
        """
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(logits, torch.Tensor):
            return self._arrays(ids, logits)
        if self.mark.scheme.samples:
            refuse(self.mark.name, *_calling_mode())
        if logits.device.type != "cpu":
            return self.on_device(ids, logits)
        # The memory of the tensors, not a copy; what comes back is new. On the CPU each call of PyTorch counts.
        before = ids.numpy() if ids.device.type == "cpu" else ids.cpu().numpy()
        scores = logits.detach() if logits.requires_grad else logits
        if logits.dtype == torch.float32:
            return torch.from_numpy(self._arrays(before, scores.numpy()))
        return torch.from_numpy(self._arrays(before, scores.float().numpy())).to(logits.dtype)

    def _arrays(self, ids: Any, logits: Any) -> NDArray[Any]:
        given = np.asarray(logits)
        changed = self.mark.step(ids, self.sampling(given) if self._samples else given)
        return changed.astype(given.dtype, copy=False)

    def on_device(self, ids: "Tensor", logits: "Tensor") -> "Tensor":
        """Return the logits for tensors without leaving their device, as calling it does where that is no CPU."""
        self.mark.check(tuple(ids.shape), tuple(logits.shape))
        if logits.dim() == 1:
            return self.on_device(ids[None], logits[None])[0]
        writer = self._writers.get(logits.device)
        if writer is None:
            writer = self._writers[logits.device] = self.mark.writer(logits.device)
        scores = self.sampling.tensor(logits.detach())
        return writer.step(ids.to(logits.device), scores).to(logits.dtype)

    @property
    def supports_continuous_batching(self) -> bool:
        """Continuous batching of transformers asks for this, and would leave out in silence what says no.

        Raises:
            MethodError: always; there a processor sees the last token of each text only.
        """
        raise MethodError(
            "continuous batching shows a processor the last token of a text only, and the mark needs more of them - "
            "call generate() without it"
        )


def refuse(scheme: str, beams: bool, greedy: bool) -> None:
    """Raise where a scheme that draws each token itself cannot work.

    Raises:
        MethodError: in beam search and in greedy decoding.
    """
    instead = "use the scheme bias, or do_sample=True and num_beams=1"
    if beams:
        raise MethodError(f"the scheme {scheme} draws each token itself, beam search leaves it no choice - {instead}")
    if greedy:
        raise MethodError(f"the scheme {scheme} draws each token, greedy decoding takes the likeliest - {instead}")


def _calling_mode() -> tuple[bool, bool]:
    """Return whether it is beam search that calls, and whether it is greedy decoding.

    transformers tells a processor nothing of the mode, and the scores are no sure sign: beam search passes the
    logarithms of chances, but so do some models, and after top-k they no longer add up to 1. Only the stack knows.
    """
    frame = sys._getframe(2)
    for _ in range(CALLERS):
        name = frame.f_code.co_name
        beams = "beam_s" in name  # _beam_search; once beam_sample, group_beam_search and others
        if (beams or name in DRAWING) and frame.f_globals.get("__name__", "").startswith("transformers"):
            return beams, not beams and not frame.f_locals.get("do_sample", True)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False, False


def _all_at_1(top_p: float) -> float:
    """Return more than 1 for 1: sums that are rounded can be above 1 before the last token."""
    return top_p if top_p < 1 else 2.0
