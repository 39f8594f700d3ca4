"""What ``schemes.py`` does to logits, as tensors on the device that holds them. Needs PyTorch.

The same tokens as on the CPU: the words are the same, and sums that decide are float64 on either side. Nothing waits
for the device, so that a step costs the launch of its kernels and no more.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from markai.text.message import LENGTH, Bytes
from markai.text.prf import LANE_BYTE, LANE_PLACE, LANE_PRESENCE, Dealer
from markai.text.schemes import LEAST_LOGIT, MOST_SURVIVORS, Bias, Scheme, Tournament
from markai.text.tensors import (
    LOW,
    context_states,
    green_mask,
    gumbel_noise,
    self_green_mask,
    token_words,
    vocabulary_words,
)

Setting = Tensor | float  # one for all rows, or (b, 1)


class Writer:
    """Writes one mark on one device; ``code`` (12,) are the bytes of the message, if there is one.

    >>> from markai import Key
    >>> from markai.text.schemes import Gumbel
    >>> scheme = Gumbel(width=2)
    >>> writer = Writer(scheme, Dealer(Key(bytes(32)), scheme), None, torch.device("cpu"))
    >>> writer.write(torch.zeros(1, 9), torch.tensor([[7, 8]]), torch.tensor([True])).isfinite().sum().item()
    1
    """

    def __init__(self, scheme: Scheme, dealer: Dealer, code: Bytes | None, device: torch.device) -> None:
        self.scheme = scheme
        self.by_neighbour = dealer.by_neighbour
        self.key = torch.tensor(dealer.key.view(np.int64).tolist(), device=device)
        self.code = None if code is None else torch.tensor(code.tolist(), device=device)
        # Of the GPUs' back ends only Metal has no float64: there a tie to 7 digits may be decided otherwise.
        self.precise = torch.float32 if device.type == "mps" else torch.float64

    def step(self, ids: Tensor, logits: Tensor) -> Tensor:
        """Return logits (b, v) from which to draw the token after ids (b, t), as ``TextMark.step`` does."""
        rows = ~met_before(ids, self.scheme.width) if self.scheme.once == "context" else None
        return self.write(logits, last_windows(ids, self.scheme.width), rows)

    def write(self, logits: Tensor, windows: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return logits (b, v) from which to draw after windows (b, width), as they are where rows (b,) are not set."""
        states = self._states(windows)
        lanes = self._lanes(states)
        scores = logits.float()
        if isinstance(self.scheme, Bias):
            changed = self._biased(self.scheme, scores, states, lanes)
        elif isinstance(self.scheme, Tournament):
            changed = self._tournament(self.scheme, scores, states, lanes)
        else:
            changed = self._drawn(scores, states, lanes)
        changed = changed if rows is None else torch.where(rows[:, None], changed, scores)
        return changed.to(logits.dtype)

    def _states(self, windows: Tensor) -> Tensor:
        if not self.by_neighbour:
            return context_states(self.key, windows)
        return context_states(self.key, windows.reshape(-1, 1)).view(*windows.shape, 4)

    def _lanes(self, states: Tensor) -> Tensor:
        if self.code is None:
            return torch.full_like(states.flatten(1)[:, 0], LANE_PRESENCE)
        last = states.reshape(len(states), -1, 4)[:, -1]
        nothing = torch.zeros_like(last[:, 0])
        return LANE_BYTE + self.code[token_words(last, nothing, nothing + LANE_PLACE) % LENGTH]

    def _biased(self, scheme: Bias, scores: Tensor, states: Tensor, lanes: Tensor) -> Tensor:
        mask = self_green_mask if self.by_neighbour else green_mask
        green = mask(states, lanes, scores.shape[1], scheme.below)
        return torch.where(green, scores + scheme.delta, scores)

    def _drawn(self, scores: Tensor, states: Tensor, lanes: Tensor) -> Tensor:
        noise = gumbel_noise(vocabulary_words(states, lanes, scores.shape[1]), self.precise)
        best, chosen = torch.where(scores.isnan(), -torch.inf, scores + noise).max(1, keepdim=True)
        alone = torch.full_like(scores, -torch.inf).scatter(1, chosen, scores.gather(1, chosen))
        return torch.where(best > -torch.inf, alone, scores)  # nothing to choose from: the sampler's affair

    def _tournament(self, scheme: Tournament, scores: Tensor, states: Tensor, lanes: Tensor) -> Tensor:
        # Sorted, not the top k: of equal logits at the end those with the least ids survive, on every device.
        logits, tokens = (each[:, :MOST_SURVIVORS] for each in scores.sort(dim=1, descending=True, stable=True))
        logits = torch.where(logits > logits[:, :1] - LEAST_LOGIT, logits, -torch.inf)
        chances = logits.to(self.precise).softmax(1)
        count = tokens.shape[1]
        words = token_words(states.repeat_interleave(count, 0), tokens.flatten(), lanes.repeat_interleave(count))
        words = words.view_as(tokens)
        for layer in range(scheme.layers):
            lost = (~words >> (31 - layer) & 1).to(self.precise)
            chances = chances * (1 + (chances * lost).sum(1, keepdim=True) - lost)
        won = torch.where(chances > 0, chances.log(), -torch.inf).float()  # a row without any chance is NaN
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, won)


def last_windows(ids: Tensor, width: int) -> Tensor:
    """Return the windows (b, width) of the tokens that come next after ids (b, t).

    >>> last_windows(torch.tensor([[7]]), 2).tolist()
    [[4294967295, 7]]
    """
    rows = ids[:, -width:].long() & LOW
    return functional.pad(rows, (width - rows.shape[1], 0), value=LOW)


def met_before(ids: Tensor, width: int) -> Tensor:
    """Return (b,) whether the window of the next token came before in the same row of ids (b, t).

    >>> met_before(torch.tensor([[1, 2, 3, 1, 2], [1, 2, 3, 2, 1]]), 2).tolist()
    [True, False]
    """
    length = ids.shape[1]
    same = torch.ones(len(ids), max(0, length - width), dtype=torch.bool, device=ids.device)
    if length > width:
        for back in range(1, width + 1):
            same &= ids[:, width - back : length - back] == ids[:, length - back, None]
    return same.any(1)


def warped(logits: Tensor, temperature: Setting, top_k: Setting, top_p: Setting, min_p: Setting) -> Tensor:
    """Return logits (b, v) over a temperature, and -inf for what top-k, then top-p and min-p of the rest, leave out.

    ``top_k`` is at least 1, and ``top_p`` above 1 leaves nothing out.

    >>> warped(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), temperature=0.5, top_k=3, top_p=0.9, min_p=0)
    tensor([[6., 4., -inf, -inf]])
    """
    values, order = (logits.float() / temperature).sort(dim=1, descending=True, stable=True)
    values = torch.where(torch.arange(values.shape[1], device=values.device) < top_k, values, -torch.inf)
    chances = values.softmax(1)
    kept = (chances.cumsum(1) - chances < top_p) & (chances >= min_p * chances[:, :1])
    return torch.full_like(values, -torch.inf).scatter(1, order, torch.where(kept, values, -torch.inf))
