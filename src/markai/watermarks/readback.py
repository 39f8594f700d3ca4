"""What a picture must be to be marked, and a fresh mark to be handed out: the same wherever the mark was computed."""

import hashlib
import hmac
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from markai import payload as payload_code
from markai.errors import CapacityError
from markai.keys import Key
from markai.stats import corrected, log10_rademacher_tail
from markai.watermarks.carriers import Complex, as_signs, carriers_for, payload_key
from markai.watermarks.form import DWT_DCT
from markai.watermarks.places import CROP_STEPS
from markai.watermarks.sync import POSITIONS, peak_at, soft_bits

LEAST_SIDE = 256  # pixels
# What must be read: the log10 p of the pilots, and the payload with a list of that size. A fresh mark keeps a margin of
# 1,000 below the usual 1e-6, and one of 0.3 dB, for detection's list is longer (and slower).
FRESH = -9.0, 8
# A transparent one, on white after JPEG of that quality: the pilots kept their margin on the stored colours.
ON_WHITE, JPEG_ON_WHITE = (-2.0, 1), 75
NO_ROOM = (
    "the picture has no room for a mark that can be read back (transparent, saturated, or repeating with the tile), "
    "or the strength is too low"
)


def check_size(height: int, width: int, method: str = DWT_DCT.name) -> None:
    """Raise CapacityError where a side is under LEAST_SIDE."""
    if min(height, width) < LEAST_SIDE:
        raise CapacityError(
            f"the picture is {width}x{height}, {method} needs at least {LEAST_SIDE}x{LEAST_SIDE} - enlarge it first"
        )


def content_nonce(cells: NDArray[np.float32], key: Key, method: str = DWT_DCT.name) -> int:
    """Return 0..255 from the key and what the picture looks like at 8x8: pictures of one key get different tiles.

    ``cells`` (h, w) may be summed down to (8, w) already, by the rows that are summed here.
    """
    rows, columns = (np.linspace(0, n, 9).astype(int)[:8] for n in cells.shape)
    sums = np.add.reduceat(np.add.reduceat(cells, rows, axis=0), columns, axis=1)
    coarse = np.round(sums / sums.size).astype("<i8").tobytes()
    return hmac.digest(key.derive(f"{method} v1 nonce"), coarse, hashlib.sha256)[0]


def reads(
    seen: Complex | None,
    key: Key,
    payload: bytes,
    nonce: int,
    shift: tuple[int, int],
    enough: tuple[float, int] = FRESH,
    method: str = DWT_DCT.name,
) -> bool:
    """Whether detection will find the payload in levelled coefficients (POINTS,): its own steps, at the known place."""
    if seen is None:
        return False
    sure, list_size = enough
    carriers = carriers_for(key, method)
    peak = peak_at(seen, carriers, shift, nonce)
    present = corrected(log10_rademacher_tail(peak.score), POSITIONS * CROP_STEPS) <= sure
    decoded = payload_code.decode(soft_bits(seen, carriers, peak), payload_key(key, method), nonce, list_size)
    return present and decoded.payload == payload


def energy(seen: Complex | None, key: Key, payload: bytes, nonce: int, shift: tuple[int, int], method: str) -> float:
    """Return the detection energy D^2 of a known payload in levelled coefficients (POINTS,), at the known place."""
    if seen is None:
        return 0.0
    carriers = carriers_for(key, method)
    soft = soft_bits(seen, carriers, peak_at(seen, carriers, shift, nonce))
    right = soft * as_signs(payload_code.encode(payload, payload_key(key, method), nonce))
    return len(right) * max(0.0, float(right.mean())) ** 2 / max(float(right.var()), 1e-9)


def refusal(payload: bytes, fits: Callable[[bytes], bool]) -> CapacityError:
    """Return the error for a payload that could not be read back, naming the longest beginning of it that ``fits``."""
    shorter = (code.size for code in reversed(payload_code.CLASSES) if code.size < len(payload))
    length = next((n for n in shorter if fits(payload[:n])), None)
    advice = "mark a larger picture" if length is None else f"shorten the payload: {length} bytes would fit"
    return CapacityError(f"{NO_ROOM} - raise the strength, or {advice}")
