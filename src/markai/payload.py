"""Payload bytes to 512 coded bits and back: authenticated, polar-coded, interleaved and whitened under a key.

Format 1, fixed forever by ``tests/vectors/payload.json``:

- Frame: 3 bits payload length less the shortest of its class, the payload padded with zero bytes to the class
  size (4, 8 or 16 bytes), 4 bytes MAC; most significant bit first. That is K = 67, 99 or 163 bits.
- MAC: the first 4 bytes of HMAC-SHA256 under ``key.derive("payload mac v1")`` of the bytes: version (1),
  class (0, 1, 2), length, padded payload, nonce (2 bytes, big endian).
- Code: the polar code of length 512 (Arikan 2009), the frame in the K positions of largest polarization
  weight (He et al. 2017), in rising order. The MAC is also the CRC that picks the word from the decoder's
  list (Tal and Vardy 2015).
- Carrier i holds bit ``order[i]`` of the code word, XOR bit i of ``key.stream("payload whiten v1 <nonce>",
  64)``, most significant bit first. ``order`` sorts the 512 little-endian 64-bit words of
  ``key.stream("payload interleave v1", 4096)``, the smaller position first should two be equal.
"""

import hmac
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from markai._kernels import polar_encode, polar_list_decode
from markai.errors import PayloadError
from markai.keys import Key
from markai.stats import corrected

FORMAT_VERSION = 1
CODE_BITS = 512
MAX_PAYLOAD = 16
MAX_NONCE = 65535
LENGTH_BITS = 3
MAC_BYTES = 4

# For one frame error in 100 a list of 16 needs 0.07 to 0.2 dB more signal and one of 64 needs 0.15 dB less
# (benchmarks/codes.py); 32 takes 0.16, 0.24 and 0.42 ms in the three classes.
LIST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Decoded:
    """What :func:`decode` found; true where a payload was accepted, be it an empty one.

    ``candidates`` is how many MACs this call compared, whatever came of it. A caller who decodes several
    times adds them up and takes :func:`log10_p_value` of the sum.

    >>> bool(Decoded(b"", 1)), bool(Decoded(None, 31))
    (True, False)
    """

    payload: bytes | None
    candidates: int

    def __bool__(self) -> bool:
        return self.payload is not None


def log10_p_value(candidates: int) -> float:
    """Return log10 of the chance, over the key, that unmarked content has one of ``candidates`` MACs right.

    >>> round(log10_p_value(1), 3), round(log10_p_value(1000), 3)
    (-9.633, -6.633)
    """
    return corrected(-8 * MAC_BYTES * math.log10(2), candidates)


def encode(payload: bytes, key: Key, nonce: int) -> NDArray[np.uint8]:
    """Return the (512,) coded bits, uint8 0 or 1, of a payload of 0 to 16 bytes under a nonce of 0 to 65535.

    >>> bits = encode(b"acme:42", Key(bytes(32)), nonce=7)
    >>> bits.shape, bits.dtype, np.packbits(bits)[:8].tobytes().hex()
    ((512,), dtype('uint8'), 'c156a9ed35d1b615')

    Raises:
        PayloadError: if the payload is not bytes or longer than 16.
        ValueError: if the nonce is out of range.
    """
    _check_nonce(nonce)
    code = _class_of(payload)
    word = np.zeros(CODE_BITS, np.uint8)
    word[frozen_set(code.bits) == 0] = _frame(code, payload, key, nonce)
    return polar_encode(word)[_interleaver(key)] ^ _whitening(key, nonce)


def decode(llr: NDArray[np.float32], key: Key, nonce: int, list_size: int = LIST_SIZE) -> Decoded:
    """Return the payload whose MAC verifies among the likeliest code words, or ``payload=None``.

    ``llr`` (512,) holds log-likelihood ratios in the order of :func:`encode`, positive for bit 0, 0 where
    nothing is known; only their proportions matter. The classes are tried from the shortest, which is the
    cheapest and the hardest to destroy. A candidate whose length or padding is impossible is passed over
    before its MAC is looked at, so it does not count: of random candidates seven in eight.

    >>> key = Key(bytes(32))
    >>> soft = 1 - 2 * encode(b"acme:42", key, nonce=7).astype(np.float32)
    >>> decode(soft, key, nonce=7).payload
    b'acme:42'
    >>> decode(soft, key, nonce=8).payload is None
    True

    Raises:
        ValueError: if there are not 512 values, or the nonce or the list size (1 to 64) is out of range.
    """
    _check_nonce(nonce)
    if llr.shape != (CODE_BITS,):
        raise ValueError(f"a payload is decoded from {CODE_BITS} soft values, not from shape {llr.shape}")
    soft = np.empty(CODE_BITS, np.float32)
    soft[_interleaver(key)] = np.where(_whitening(key, nonce), -llr, llr)
    checked = 0
    for code in CLASSES:
        frozen = frozen_set(code.bits)
        words, _ = polar_list_decode(soft, frozen, list_size)
        for payload, mac in _candidates(code, words[:, frozen == 0]):
            checked += 1
            if hmac.compare_digest(mac, _mac(code, payload, key, nonce)):
                return Decoded(payload, checked)
    return Decoded(None, checked)


@lru_cache
def frozen_set(info_bits: int) -> NDArray[np.uint8]:
    """Return (512,) uint8: 0 at the ``info_bits`` positions of largest polarization weight, 1 where frozen.

    The weight of position i is the sum of 2^(j/4) over the bits j set in i (He et al., "Beta-expansion",
    Globecom 2017). Its frame errors are within 0.03 dB of Gaussian approximation at the best design SNR for
    all three classes, and it is exact: in integers, 2^(j/4) rounded down to 30 binary places, where any two
    positions differ by at least 3e6 units.

    >>> np.flatnonzero(frozen_set(5) == 0).tolist()
    [503, 507, 509, 510, 511]
    """
    beta = [math.isqrt(math.isqrt(1 << (j + 120))) for j in range(9)]
    weight = [sum(beta[j] for j in range(9) if i >> j & 1) for i in range(CODE_BITS)]
    frozen = np.ones(CODE_BITS, np.uint8)
    frozen[sorted(range(CODE_BITS), key=weight.__getitem__)[CODE_BITS - info_bits :]] = 0
    frozen.flags.writeable = False
    return frozen


@dataclass(frozen=True, slots=True)
class _Class:
    index: int
    shortest: int
    size: int  # bytes, and the longest payload

    @property
    def bits(self) -> int:
        return LENGTH_BITS + 8 * (self.size + MAC_BYTES)


CLASSES = (_Class(0, 0, 4), _Class(1, 5, 8), _Class(2, 9, MAX_PAYLOAD))


def _class_of(payload: bytes) -> _Class:
    if not isinstance(payload, bytes):
        raise PayloadError(f"a payload is bytes, not {type(payload).__name__} - encode text: text.encode()")
    if len(payload) > MAX_PAYLOAD:
        excess = f"the payload has {len(payload)} bytes, a mark carries {MAX_PAYLOAD}"
        raise PayloadError(f"{excess} - store the data elsewhere and mark its id")
    return next(code for code in CLASSES if len(payload) <= code.size)


def _frame(code: _Class, payload: bytes, key: Key, nonce: int) -> NDArray[np.uint8]:
    body = payload.ljust(code.size, b"\0") + _mac(code, payload, key, nonce)
    length = np.unpackbits(np.array([len(payload) - code.shortest], np.uint8))[-LENGTH_BITS:]
    return np.concatenate([length, np.unpackbits(np.frombuffer(body, np.uint8))])


def _candidates(code: _Class, frames: NDArray[np.uint8]) -> Iterator[tuple[bytes, bytes]]:
    # The (payload, MAC) of every frame that an encoder could have made, in the order of the list.
    lengths = code.shortest + frames[:, :LENGTH_BITS] @ np.array([4, 2, 1], np.uint8)
    for length, body in zip(lengths.tolist(), np.packbits(frames[:, LENGTH_BITS:], axis=1), strict=True):
        padded, mac = body[: code.size].tobytes(), body[code.size :].tobytes()
        if length <= code.size and not any(padded[length:]):
            yield padded[:length], mac


def _mac(code: _Class, payload: bytes, key: Key, nonce: int) -> bytes:
    head = bytes([FORMAT_VERSION, code.index, len(payload)])
    message = head + payload.ljust(code.size, b"\0") + nonce.to_bytes(2, "big")
    return hmac.digest(key.derive("payload mac v1"), message, "sha256")[:MAC_BYTES]


@lru_cache(maxsize=64)
def _interleaver(key: Key) -> NDArray[np.intp]:
    words = np.frombuffer(key.stream("payload interleave v1", 8 * CODE_BITS), "<u8")
    return np.argsort(words, kind="stable")


@lru_cache(maxsize=4096)
def _whitening(key: Key, nonce: int) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(key.stream(f"payload whiten v1 {nonce}", CODE_BITS // 8), np.uint8))


def _check_nonce(nonce: int) -> None:
    if not 0 <= nonce <= MAX_NONCE:
        raise ValueError(f"a nonce is 0 to {MAX_NONCE}, not {nonce}")
