"""Frame errors of the payload code over AWGN: python benchmarks/codes.py [frames per point, 4000 by default].

A frame counts as right when the sent word is in the list, since the MAC then picks it. Signal is given as
Eb/N0 per frame bit, as D^2 per frame bit (deflection squared, 2 Eb/N0) and as the whole D^2 that a mark
needs. The bound is the normal approximation for the binary-input AWGN channel (Polyanskiy, Poor, Verdu
2010, with log2(n)/2n); a list of L answers may be right about log2(L) bits fewer.
"""

import math
import sys
import time

import numpy as np
from scipy.special import ndtri

from markai._kernels import polar_encode, polar_list_decode
from markai.payload import CLASSES, CODE_BITS, frozen_set

LISTS = (1, 8, 16, 32, 64)
STEP_DB = 0.25


def noise_of(ebn0_db: float, bits: int) -> float:
    """Return the noise deviation per coded bit of amplitude 1."""
    return math.sqrt(CODE_BITS / (2 * bits * 10 ** (ebn0_db / 10)))


def error_rates(bits: int, ebn0_db: float, frames: int) -> list[float]:
    """Return the frame error rate for each list size, over the same frames."""
    rng = np.random.default_rng([bits, round(1000 * ebn0_db) % 2**32])
    frozen, errors = frozen_set(bits), np.zeros(len(LISTS))
    for _ in range(frames):
        word = np.zeros(CODE_BITS, np.uint8)
        word[frozen == 0] = rng.integers(0, 2, bits)
        sent = 1.0 - 2.0 * polar_encode(word)
        llr = (sent + noise_of(ebn0_db, bits) * rng.standard_normal(CODE_BITS)).astype(np.float32)
        for i, size in enumerate(LISTS):
            errors[i] += not (polar_list_decode(llr, frozen, size)[0] == word).all(axis=1).any()
    return list(errors / frames)


def crossings(bits: int, targets: tuple[float, ...], frames: int) -> dict[tuple[int, float], float]:
    """Return the Eb/N0 in dB at which each list size has each error rate, interpolated in log error rate."""
    db, curves = [-0.75], [error_rates(bits, -0.75, frames)]
    while max(curves[-1]) > min(targets):
        db.append(db[-1] + STEP_DB)
        curves.append(error_rates(bits, db[-1], frames))
    logs = np.log10(np.maximum(curves, 0.1 / frames))
    return {
        (size, rate): float(np.interp(-math.log10(rate), -logs[:, i], db))
        for i, size in enumerate(LISTS)
        for rate in targets
    }


def bound(bits: int, size: int, rate: float) -> float:
    """Return the Eb/N0 in dB at which the normal approximation allows this frame error rate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    low, high = -2.0, 6.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        variance = noise_of(middle, bits) ** 2
        density = 1 - np.logaddexp(0, -(2 + 2 * math.sqrt(variance) * nodes) / variance) / math.log(2)
        mean = weights @ density / weights.sum()
        spread = weights @ (density - mean) ** 2 / weights.sum()
        achieved = CODE_BITS * mean + math.sqrt(CODE_BITS * spread) * ndtri(rate) + math.log2(CODE_BITS) / 2
        low, high = (low, middle) if achieved > bits - math.log2(size) else (middle, high)
    return low


def milliseconds(bits: int, size: int) -> float:
    """Return the median time of one decode of pure noise."""
    llr, times = np.random.default_rng(0).standard_normal(CODE_BITS).astype(np.float32), []
    for _ in range(101):
        start = time.perf_counter()
        polar_list_decode(llr, frozen_set(bits), size)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    print("| K | list | FER | Eb/N0 dB | D^2/bit | D^2 | gap to bound dB | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for code in CLASSES:
        found = crossings(code.bits, (1e-1, 1e-2), frames)
        for (size, rate), db in found.items():
            per_bit = 2 * 10 ** (db / 10)
            gap, ms = db - bound(code.bits, size, rate), milliseconds(code.bits, size)
            cells = f"{db:.2f} | {per_bit:.2f} | {per_bit * code.bits:.0f} | {gap:.2f} | {ms:.2f}"
            print(f"| {code.bits} | {size} | {rate:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
