"""The keyed words of ``_kernels`` as tensors, on the device that holds the arguments. Needs PyTorch.

The same names, the same shapes and the same words as in ``markai._kernels.text_reference``, which says what they mean;
words, tokens, states and lanes are int64 that hold uint32, because tensors lack arithmetic in uint32. Shapes follow
from shapes and nothing waits for the device, so that all of it can be compiled and captured in CUDA graphs.
"""

from functools import reduce

import torch
from torch import Tensor

LOW = 0xFFFFFFFF
# Philox multiplies by these plus 2**32. Without it no product leaves int64: 2**32 * 0x326172A9 is under 2**62.
MULTIPLIERS = 0xD2511F53 - 2**32, 0xCD9E8D57 - 2**32
WEYL = 0x9E3779B9, 0xBB67AE85

Four = tuple[Tensor, Tensor, Tensor, Tensor]


def context_states(key: Tensor, windows: Tensor) -> Tensor:
    """Return the states (n, 4) of windows (n, w).

    ``key`` (2,) is SipHash's, the bits of its two uint64 as int64: ``torch.from_numpy(key.view(np.int64))``. A tensor,
    not numbers, for what is compiled is kept on disk.

    >>> context_states(torch.zeros(2, dtype=torch.int64), torch.tensor([[1, 2, 3]])).tolist()
    [[3056914023, 3627345231, 3949671431, 2957226214]]
    """
    constants = (0x736F6D6570736575, 0x646F72616E646F6D ^ 0xEE, 0x6C7967656E657261, 0x7465646279746573)
    v0, v1, v2, v3 = (key[i % 2].expand(len(windows)) ^ constant for i, constant in enumerate(constants))
    for block in _blocks(windows):
        v0, v1, v2, v3 = _sip_rounds((v0, v1, v2, v3 ^ block), 2)
        v0 = v0 ^ block
    v0, v1, v2, v3 = _sip_rounds((v0, v1, v2 ^ 0xEE, v3), 4)
    first = v0 ^ v1 ^ v2 ^ v3
    v0, v1, v2, v3 = _sip_rounds((v0, v1 ^ 0xDD, v2, v3), 4)
    second = v0 ^ v1 ^ v2 ^ v3
    return torch.stack([first & LOW, first >> 32 & LOW, second & LOW, second >> 32 & LOW], dim=1)


def _blocks(windows: Tensor) -> list[Tensor]:
    words = windows.unbind(1)
    blocks = [low | high << 32 for low, high in zip(words[::2], words[1::2], strict=False)]
    length = 4 * len(words) % 256
    top = (length - 256 if length >= 128 else length) << 56  # as int64, in two's complement
    left_over = words[-1] if len(words) % 2 else torch.zeros_like(windows[:, :0].sum(1))
    return [*blocks, left_over | top]


def _sip_rounds(v: Four, count: int) -> Four:
    # Sums wrap, as they do in int64 on every device.
    v0, v1, v2, v3 = v
    for _ in range(count):
        v0, v2 = v0 + v1, v2 + v3
        v1, v3 = _rotated(v1, 13) ^ v0, _rotated(v3, 16) ^ v2
        v0, v2 = _rotated(v0, 32) + v3, v2 + v1
        v3, v1 = _rotated(v3, 21) ^ v0, _rotated(v1, 17) ^ v2
        v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


def _rotated(values: Tensor, bits: int) -> Tensor:
    # A shift to the right copies the sign, which the mask takes off.
    return (values << bits) | ((values >> (64 - bits)) & ((1 << bits) - 1))


def philox(counter: Four, key: tuple[Tensor, Tensor]) -> Four:
    """Return the four output words of Philox4x32-10 for tensors of counters and keys, whose shapes broadcast.

    >>> zero = torch.zeros((), dtype=torch.int64)
    >>> [hex(word) for word in philox((zero,) * 4, (zero,) * 2)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    for step in range(10):
        k0, k1 = (key[i] + step * WEYL[i] & LOW for i in (0, 1))
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) + c2 ^ c1 ^ k0, p1 & LOW, (p0 >> 32) + c0 ^ c3 ^ k1, p0 & LOW
    return c0, c1, c2, c3


def token_words(states: Tensor, tokens: Tensor, lanes: Tensor) -> Tensor:
    """Return the words (n,) of tokens (n,) in states (n, 4) and lanes (n,).

    >>> token_words(torch.zeros(2, 4, dtype=torch.int64), torch.tensor([1, 2]), torch.tensor([0, 0])).tolist()
    [3781805453, 3159862348]
    """
    s0, s1, s2, s3 = states.unbind(1)
    block = torch.stack(philox((tokens >> 2, lanes, s2, s3), (s0, s1)), dim=1)
    return block.gather(1, (tokens & 3)[:, None])[:, 0]


def vocabulary_words(states: Tensor, lanes: Tensor, size: int) -> Tensor:
    """Return the words (b, size) of the tokens 0 to size - 1 in each of b states (b, 4) and lanes (b,).

    >>> vocabulary_words(torch.zeros(1, 4, dtype=torch.int64), torch.tensor([0]), 3).tolist()
    [[1713891541, 3781805453, 3159862348]]
    """
    s0, s1, s2, s3 = states[:, :, None].unbind(1)
    # The mask takes off nothing, but makes data of an index: TorchInductor 2.13 multiplies those in 32 bits.
    index = torch.arange(-(-size // 4), device=states.device)[None] & LOW
    block = torch.stack(philox((index, lanes[:, None], s2, s3), (s0, s1)), dim=2)
    return block.flatten(1)[:, :size]


def self_words(neighbours: Tensor, tokens: Tensor, lanes: Tensor) -> Tensor:
    """Return the anchor words (n,) of tokens (n,) among neighbours (n, h, 4) in lanes (n,).

    >>> self_words(torch.zeros(1, 3, 4, dtype=torch.int64), torch.tensor([1]), torch.tensor([0])).tolist()
    [3781805453]
    """
    return reduce(_anchors, (token_words(states, tokens, lanes) for states in neighbours.unbind(1)))


def green_mask(states: Tensor, lanes: Tensor, size: int, below: int) -> Tensor:
    """Return (b, size) bool, true where ``add_bias`` raises: the word of states (b, 4), lanes (b,) is under ``below``.

    >>> green_mask(torch.zeros(1, 4, dtype=torch.int64), torch.tensor([0]), 4, 2**31).tolist()
    [[True, False, False, False]]
    """
    return vocabulary_words(states, lanes, size) < below


def self_green_mask(neighbours: Tensor, lanes: Tensor, size: int, below: int) -> Tensor:
    """Return (b, size) bool, true where ``add_bias_self`` raises: the anchor word's low half is under ``below``.

    >>> self_green_mask(torch.zeros(1, 2, 4, dtype=torch.int64), torch.tensor([0]), 4, 2**16).all().item()
    True
    """
    words = (vocabulary_words(states, lanes, size) for states in neighbours.unbind(1))
    return (reduce(_anchors, words) & 0xFFFF) < below


def _anchors(best: Tensor, words: Tensor) -> Tensor:
    return torch.where(words >> 16 < best >> 16, words, best)


def gumbel_noise(words: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return -log(-log(u)) for u = (w + 1/2) / 2**32, float32 or float64, finite for every word.

    Words above the middle go by 1 - u, or float32 would see u = 1 where the noise is highest.

    >>> gumbel_noise(torch.tensor([0, 2**31, 2**32 - 1])).round(decimals=3)
    tensor([-3.1300,  0.3670, 22.8740])
    """
    u = (words.to(dtype) + 0.5) / 2**32
    left = ((LOW - words).to(dtype) + 0.5) / 2**32
    exponential = torch.where(words < 2**31, -torch.log(u), -torch.log1p(-left))
    return -torch.log(exponential)
