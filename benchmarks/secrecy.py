"""Secrecy and forgery: what many marked pictures of one key, or one, tell somebody without the key.

    python benchmarks/secrecy.py [--most 1000] [--judged 30] [--pictures FOLDER]

Averaging, subtracted and pasted; the copy attack; keyless detection by what repeats; whether two pictures can be told
to share a key; and how many pictures an attacker must align to forge the pilots. The attacker's pictures and those
that are judged are others. Single process, a quarter of an hour; writes ``results/secrecy.json``.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import hashlib  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from itertools import islice  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import EVAL, machine, save  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.progress import track  # noqa: E402
from scipy.fft import irfft2, rfft2  # noqa: E402
from scipy.ndimage import uniform_filter  # noqa: E402

from markai import Key, payload  # noqa: E402
from markai._kernels import add_cells, cell_means, whiten  # noqa: E402
from markai.attacks import security as attack  # noqa: E402
from markai.bench import statistics  # noqa: E402
from markai.bench.pictures import from_files  # noqa: E402
from markai.bench.security import FORGED_RMS, squares  # noqa: E402
from markai.detection import Detection  # noqa: E402
from markai.errors import CapacityError  # noqa: E402
from markai.watermarks.carriers import FX, FY, TILE, Complex, as_signs, carriers_for, nonce_bits, phase, step_for  # noqa: E402
from markai.watermarks.dwt_dct import DwtDct  # noqa: E402
from markai.watermarks.lattice import Windows, of_the_whole, working_plane  # noqa: E402
from markai.watermarks.readback import content_nonce  # noqa: E402
from markai.watermarks.sync import GRID, seen_in  # noqa: E402
from markai.watermarks.warps import Pyramid  # noqa: E402

Pixels = NDArray[np.uint8]

SIDE = 512
SETS = {10: 6, 100: 3, 1000: 1}  # pictures averaged: how many separate sets of so many
SIDES = (256, 512, 1024)  # for keyless detection
ALIGNED = (1, 3, 10, 30, 100)
PAIRS = 2000
LOUDEST = 6.0  # of a frequency's power against its neighbours' mean: one line of the host is not a mark
MARK = DwtDct()


def key_of(*purpose: Any) -> Key:
    return Key(hashlib.sha256(" ".join(map(str, ("secrecy", *purpose))).encode()).digest())


OWNER, ONE = key_of("owner"), b"acme:42!"


def message(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()[:8]


def marked(pixels: Pixels, key: Key, carried: bytes) -> Pixels | None:
    """Return the marked picture, or None where it has no room for a mark."""
    try:
        return MARK.embed(pixels, key, carried)
    except CapacityError:
        return None


# What averaging leaves


@dataclass
class Set:
    """The running sums of one attacker's pictures under one way of choosing payloads."""

    size: int
    same_payload: bool
    count: int = 0
    known: Any = 0.0
    blind: Any = 0.0

    def add(self, original: Pixels, with_mark: Pixels, denoised: NDArray[np.float32]) -> None:
        self.count += 1
        self.known = self.known + (with_mark.astype(np.float32) - original)
        self.blind = self.blind + (with_mark - denoised)

    def residuals(self) -> dict[str, NDArray[np.float32]]:
        return {"known": self.known / self.count, "blind": self.blind / self.count}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen in one marked picture, where there is a mark: levelled coefficients and the nonce."""

    tile: Complex
    nonce: int


def collect(pictures: Iterable[Pixels], most: int) -> tuple[list[Set], dict[bool, list[Seen]]]:
    """Mark an attacker's pictures twice, with payloads of their own and with one; return sets of them, and tiles."""
    sizes = {size: count for size, count in SETS.items() if size <= most}
    sets = [Set(size, same) for same in (False, True) for size, count in sizes.items() for _ in range(count)]
    seen: dict[bool, list[Seen]] = {False: [], True: []}
    for number, pixels in enumerate(track(pictures, "marking", most)):
        nonce = content_nonce(cell_means(pixels, step_for(SIDE, SIDE)), OWNER)
        for same in (False, True):
            with_mark = marked(pixels, OWNER, ONE if same else message(number))
            if with_mark is None:
                continue
            tile = seen_in(whiten(cell_means(with_mark, step_for(SIDE, SIDE))))
            if tile is not None:
                seen[same].append(Seen(tile, nonce))
            denoised = attack.wiener_denoised(with_mark)
            for size in sizes:  # each picture goes to one set of every size, as long as there is one
                free = (each for each in sets if (each.size, each.same_payload) == (size, same) and each.count < size)
                if (one := next(free, None)) is not None:
                    one.add(pixels, with_mark, denoised)
    return [each for each in sets if each.count], seen


def averaging(sets: list[Set], judged: list[Pixels]) -> list[dict[str, Any]]:
    """Return for every kind of set how many marks survive subtraction, and how many strangers are accepted.

    The mirrored residual is as loud and has as little of the mark as there can be: what it removes, any noise removes.
    """
    carrying = [MARK.embed(pixels, OWNER, ONE) for pixels in judged]
    rows = []
    kinds = list(dict.fromkeys((each.size, each.same_payload, known) for each in sets for known in ("known", "blind")))
    for size, same, how in track(kinds, "averaging"):
        of_kind = [each.residuals()[how] for each in sets if (each.size, each.same_payload) == (size, same)]
        results: dict[str, list[bool]] = {}
        for number, (host, with_mark) in enumerate(zip(judged, carrying, strict=True)):
            residual = of_kind[number % len(of_kind)]
            for name, pixels in (
                ("subtracted", attack.remove(with_mark, residual)),
                ("subtracted at a mark's strength", attack.forge(with_mark, -residual, rms=FORGED_RMS)),
                ("mirrored and subtracted", attack.forge(with_mark, -residual[:, ::-1], rms=FORGED_RMS)),
                ("pasted at a mark's strength", attack.forge(host, residual, rms=FORGED_RMS)),
            ):
                found = MARK.find(MARK.look(pixels), OWNER)
                results.setdefault(f"{name}: detected", []).append(found.detected)
                results.setdefault(f"{name}: payload", []).append(found.payload is not None)
        clusters = [number % len(of_kind) for number in range(len(judged))] if len(of_kind) > 1 else None
        rows.append(
            {
                "pictures": size,
                "payload": "one" if same else "of its own each",
                "originals": how == "known",
                "sets": len(of_kind),
                "residual_rms": float(np.mean([np.sqrt((residual**2).mean()) for residual in of_kind])),
                **{name: statistics.share(values, clusters)._asdict() for name, values in results.items()},
            }
        )
    return rows


def copying(judged: list[Pixels]) -> dict[str, Any]:
    """Return how often the mark of one picture, guessed from it alone, is accepted on the next.

    The classic copy attack, and one that knows the format: the levelled plane, folded to one tile, and pasted.
    """
    found: dict[str, list[Detection]] = {"wiener": [], "folded": []}
    for source, target in track(list(zip(judged, judged[1:] + judged[:1], strict=True)), "copying"):
        with_mark = MARK.embed(source, OWNER, ONE)
        tile = seen_in(whiten(cell_means(with_mark, step_for(SIDE, SIDE))))
        if tile is None:
            continue
        for name, pixels in (
            ("wiener", attack.copy_mark(with_mark, target)),
            ("folded", with_tile(target, np.arange(len(tile)), tile)),
        ):
            found[name].append(MARK.find(MARK.look(pixels), OWNER))
    return {
        name: {
            "detected": statistics.share([one.detected for one in each])._asdict(),
            "payload": statistics.share([one.payload == ONE for one in each])._asdict(),
        }
        for name, each in found.items()
    }


def with_tile(pixels: Pixels, at: NDArray[np.int64], waves: Complex) -> Pixels:
    """Return the picture with a tile of these waves, at some of the lattice's points, all over it."""
    step = step_for(*pixels.shape[:2])
    grid = np.zeros((TILE, TILE // 2 + 1), np.complex64)
    grid[FY[at], FX[at]] = waves
    tile = irfft2(grid)
    rows, columns = (side // step for side in pixels.shape[:2])
    cells = np.tile(tile / tile.std() * FORGED_RMS, (-(-rows // TILE), -(-columns // TILE)))[:rows, :columns]
    return add_cells(pixels, np.ascontiguousarray(cells, np.float32), step)


# What repeats


def presence(pixels: Pixels) -> dict[str, float]:
    """Return scores of a picture that are higher where it has a mark of any key, from what attackers may know."""
    step = step_for(*pixels.shape[:2])
    plane = whiten(cell_means(pixels, step))
    plane = np.ascontiguousarray(plane[: plane.shape[0] // TILE * TILE, : plane.shape[1] // TILE * TILE])
    power = np.abs(rfft2(plane)) ** 2
    ratio = power / (uniform_filter(power, 9, mode="wrap") + 1e-9)
    down, across = (side // TILE for side in plane.shape)
    windows = Windows.of(plane, [(0, 0)], 1, 3)
    period = windows.score(np.eye(2)[None] * TILE, np.zeros((1, 2)), windows.centres[0])
    lattices = of_the_whole(working_plane(Pyramid(pixels))[0])
    return {
        "spectral peak, nothing known": float(ratio.max()),
        "lattice, its period unknown": max((each.score for each in lattices), default=0.0),
        "autocorrelation at 64 cells": float(period[0]),
        "folded at 64 cells": float(np.minimum(ratio[FY * down, FX * across], LOUDEST).mean()),
    }


def keyless(pictures: Callable[[int], Iterable[Pixels]]) -> list[dict[str, Any]]:
    """Return AUROC of marked against unmarked pictures, by size and score."""
    rows = []
    for side in SIDES:
        with_mark: list[dict[str, float]] = []
        without: list[dict[str, float]] = []
        for number, pixels in enumerate(track(list(pictures(side)), f"keyless, {side}")):
            copy = marked(pixels, key_of("keyless", number), message(number))
            if copy is not None:
                with_mark.append(presence(copy))
                without.append(presence(pixels))
        names = list(range(len(with_mark)))
        for score in with_mark[0]:
            ours, theirs = ([row[score] for row in side_of] for side_of in (with_mark, without))
            area = statistics.auroc(ours, theirs, names, names)
            rows.append({"side": side, "score": score, "auroc": area._asdict()})
    return rows


# What one picture says about another


def agreement(one: Complex, other: Complex) -> float:
    """Return how well two tiles agree at their best shift and sign, as a correlation."""
    grid = np.zeros((GRID, GRID // 2 + 1), np.complex64)
    grid[FY % GRID, FX] = one * other.conj()
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.abs(irfft2(grid)).max() * GRID**2 / 2 / norm)


def linking(seen: dict[bool, list[Seen]], strangers: list[Complex]) -> dict[str, Any]:
    """Return AUROC of pairs that share a key, or more, against pairs of different keys; clusters: first pictures."""
    rng = np.random.default_rng(0)

    def pairs(tiles: list[Complex], allowed: NDArray[np.bool_]) -> tuple[list[float], list[str]]:
        first, second = np.nonzero(np.triu(allowed, 1))
        chosen = rng.permutation(len(first))[:PAIRS]
        scores = [agreement(tiles[one], tiles[other]) for one, other in zip(first[chosen], second[chosen], strict=True)]
        return scores, [f"{id(tiles)} {one}" for one in first[chosen]]

    other, other_clusters = pairs(strangers, np.ones((len(strangers), len(strangers)), bool))
    rows = {}
    for name, same_payload, same_nonce in (
        ("one key, other nonces", False, False),
        ("one key, one nonce", False, True),
        ("one key, one nonce, one payload", True, True),
    ):
        nonces = np.array([each.nonce for each in seen[same_payload]])
        allowed = (nonces[:, None] == nonces) == same_nonce
        scores, clusters = pairs([each.tile for each in seen[same_payload]], allowed)
        rows[name] = statistics.auroc(scores, other, clusters, other_clusters)._asdict()
    return rows


def coded_bits() -> dict[str, float]:
    """Return how many coded bits of one payload agree between two nonces, and between two keys: half tells nothing."""
    bits = np.stack([payload.encode(ONE, OWNER, nonce) for nonce in range(256)])
    others = np.stack([payload.encode(ONE, key_of("bits", number), 0) for number in range(256)])
    between = [float((each[1:] == each[0]).mean()) for each in (bits, others)]
    return {"other nonces": between[0], "other keys": between[1]}


def pilots(seen: list[Seen], judged: list[Pixels]) -> list[dict[str, Any]]:
    """Return how well the pilots are known from so many pictures, and how many strangers they forge.

    The attacker is given what he would have to find: which frequencies are pilots and in which group, every picture's
    shift and its groups' signs. Whoever finds them by aligning pictures pairwise needs more.
    """
    carriers = carriers_for(OWNER)
    truth, at = carriers.pilot_phase, carriers.pilots
    upright = np.stack(
        [
            (each.tile * phase(slice(None), tuple(carriers.shifts[each.nonce])))[at]
            * as_signs(nonce_bits(each.nonce))[carriers.groups]
            for each in seen
        ]
    )
    rows = []
    for count in (count for count in ALIGNED if count <= len(seen)):
        found, fits = [], []
        for number, pixels in enumerate(track(judged, f"pilots from {count}")):
            chosen = np.random.default_rng([count, number]).permutation(len(seen))[:count]
            mean = upright[chosen].mean(axis=0)
            fits.append(float((mean * truth.conj()).real.sum() / (np.linalg.norm(mean) * np.linalg.norm(truth))))
            found.append(MARK.find(MARK.look(with_tile(pixels, at, mean)), OWNER))
        rows.append(
            {
                "pictures": count,
                "correlation": statistics.bootstrap_mean(fits)._asdict(),
                "detected": statistics.share([one.detected for one in found])._asdict(),
                "payload": statistics.share([one.payload is not None for one in found])._asdict(),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--most", type=int, default=1000, help="pictures that the attacker averages")
    parser.add_argument("--judged", type=int, default=30)
    args = parser.parse_args()
    files = from_files([args.pictures])
    train = args.pictures.parent / "train"
    theirs = from_files([train]) if train.is_dir() else files
    rng = np.random.default_rng(0)
    ours, theirs = ([group[k] for k in rng.permutation(len(group))] for group in (files, theirs))
    judged = [one for one in islice(squares(ours, SIDE), 2 * args.judged) if marked(one, OWNER, ONE) is not None]
    judged = judged[: args.judged]
    sets, seen = collect(islice(squares(theirs, SIDE), args.most), args.most)
    strangers = [
        seen_in(whiten(cell_means(copy, step_for(SIDE, SIDE))))
        for number, pixels in enumerate(track(list(islice(squares(theirs, SIDE), 100)), "strangers"))
        if (copy := marked(pixels, key_of("stranger", number), message(number))) is not None
    ]
    result = {
        "settings": {"side": SIDE, "judged": len(judged), "marked": {str(k): len(v) for k, v in seen.items()}},
        "averaging": averaging(sets, judged),
        "copying": copying(judged),
        "keyless": keyless(lambda side: islice(squares(ours, side), 2 * args.judged)),
        "linking": linking(seen, [one for one in strangers if one is not None]),
        "coded_bits": coded_bits(),
        "pilots": pilots(seen[False], judged),
        "machine": machine(),
    }
    save("secrecy", result)


if __name__ == "__main__":
    main()
