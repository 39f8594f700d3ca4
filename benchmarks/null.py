"""False positives: unmarked pictures against many random keys, and one fixed key against every unmarked picture.

    python benchmarks/null.py [--keys 1000] [--pictures FOLDER] [--workers 2]
    python benchmarks/null.py --keys 0 --pictures FOLDER        # the fixed key alone, on pictures of any size

Every trial is the full detection (all cell sizes, positions, nonces, payload candidates) through ``DwtDct.find``, the
picture's key-independent half shared between keys. Written to ``results/null.json``.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictures import EVAL, eval_files, load, machine, save
from scipy.stats import kstest

from markai import Key
from markai.stats import clopper_pearson
from markai.watermarks.dwt_dct import DwtDct, Look

FPR = 1e-6
FIXED = Key(bytes(range(32)))


def synthetic(side: int = 640) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield pictures that are all structure and no nature, where sloppy statistics break."""
    y, x = np.mgrid[:side, :side]
    rng = np.random.default_rng(0)
    planes = {
        "black": np.zeros((side, side)),
        "white": np.full((side, side), 255),
        "gray": np.full((side, side), 128),
        "gradient": x * 255 / side,
        "diagonal": (x + y) * 127 / side,
        "radial": np.hypot(x - side / 2, y - side / 2) % 256,
        "checker-1": (x + y) % 2 * 255,
        "checker-8": (x // 8 + y // 8) % 2 * 255,
        "checker-128": (x // 128 + y // 128) % 2 * 255,
        "stripes-16": x // 8 % 2 * 255,
        "waves": 127 + 100 * np.sin(2 * np.pi * x / 32) * np.sin(2 * np.pi * y / 32),
        "halftone": np.where(np.hypot(x % 12 - 6, y % 12 - 6) < 2 + 4 * x / side, 0, 255),
        "noise": rng.integers(0, 256, (side, side)),
        "noise-tiled": np.tile(rng.integers(0, 256, (128, 128)), (side // 128, side // 128)),
        "saturated-noise": np.clip(rng.normal(300, 60, (side, side)), 0, 255),
        "text": np.where(rng.random((side // 8, side // 8)).repeat(8, 0).repeat(8, 1) < 0.3, 0, 255),
    }
    for name, plane in planes.items():
        yield name, np.repeat(plane.astype(np.uint8)[..., None], 3, axis=2)


def sources(folder: Path, least_side: int) -> list[str]:
    """Return names of all pictures: files of at least that size, and the synthetic ones."""
    return [str(path) for path in eval_files(folder, least_side)] + [f"synthetic:{name}" for name, _ in synthetic()]


def pixels_of(source: str) -> NDArray[np.uint8]:
    kind, _, name = source.partition(":")
    return dict(synthetic())[name] if kind == "synthetic" else load(Path(source))


def trials(source: str, keys: int) -> tuple[str, list[float], bool, int]:
    """Return the log10 p-values under ``keys`` random keys, whether the fixed key is found, and its payloads."""
    mark, look = DwtDct(), Look(pixels_of(source))
    rng = np.random.default_rng(abs(hash_of(source)))
    found = [mark.find(look, Key(rng.bytes(32)), FPR) for _ in range(keys)]
    fixed = mark.find(look, FIXED, FPR)
    payloads = sum(each.payload is not None for each in [*found, fixed])
    return source, [each.log10_p_value for each in found], bool(fixed), payloads


def hash_of(source: str) -> int:
    """Return a number that is the same in every process."""
    return int.from_bytes(Path(source).name.encode()[-8:], "little")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1000, help="random keys per picture")
    parser.add_argument("--pictures", type=Path, default=EVAL)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    names, log10_p, fixed_hits, payloads = sources(args.pictures, 256 if args.keys else 0), [], [], 0
    with ProcessPoolExecutor(args.workers) as pool:
        for done, (source, values, fixed, accepted) in enumerate(pool.map(partial(trials, keys=args.keys), names), 1):
            log10_p += values
            payloads += accepted
            fixed_hits += [source] if fixed else []
            if values:
                print(f"{done}/{len(names)} {Path(source).name}: smallest p {10 ** min(values):.2g}", flush=True)
    if not args.keys:
        print(f"found under the fixed key: {len(fixed_hits)} of {len(names)} {fixed_hits}")
        return
    p = 10.0 ** np.array(log10_p)
    false = int((p <= FPR).sum())
    result = {
        "machine": machine(),
        "pictures": len(names),
        "trials": len(p),
        "fpr": FPR,
        "false_detections": false,
        "false_rate_95": clopper_pearson(false, len(p)),
        "payloads_accepted": payloads,
        "fixed_key_detections": fixed_hits,
        "smallest_p": float(p.min()),
        "share_below": {str(at): float((p <= at).mean()) for at in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)},
        "ks_p_values_below_uniform": float(kstest(p, "uniform", alternative="greater").pvalue),
    }
    save("null", result)
    print({key: value for key, value in result.items() if key != "machine"})


if __name__ == "__main__":
    main()
