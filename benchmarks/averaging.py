"""Secrecy: what the mean residual of many pictures marked under one key removes or forges, and what one residual does.

    python benchmarks/averaging.py [--pictures FOLDER] [--count 1000]

The adversary knows the unmarked pictures, which is more than he usually does. Written to ``results/averaging.json``.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pictures import ROOT, eval_files, machine, save
from PIL import Image

from markai import Detection, Key
from markai.watermarks.dwt_dct import DwtDct

TRAIN = ROOT.parent / "shared" / "data" / "train" / "img"
SIDE = 512
JUDGED = 60  # pictures on which removal and forgery are tried
FORGED_RMS = 2.0  # grey levels: the strength of a real mark
MARK, KEY, PAYLOAD = DwtDct(), Key(bytes(range(32))), b"acme:42!"


def load(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def detect(pixels: NDArray[Any]) -> Detection:
    return MARK.find(MARK.look(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)), KEY)


def share(found: Iterable[Detection]) -> dict[str, float]:
    answers = list(found)
    return {
        "detected": float(np.mean([bool(each) for each in answers])),
        "payload_accepted": float(np.mean([each.payload == PAYLOAD for each in answers])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=TRAIN)
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    files = eval_files(args.pictures)[: args.count]
    total, mean_rms = np.zeros((SIDE, SIDE, 3)), {}
    for number, path in enumerate(files, 1):
        original = load(path)
        residual = MARK.embed(original, KEY, PAYLOAD).astype(float) - original
        total += residual
        if number in (1, 10, 100, 1000, len(files)):
            mean_rms[number] = float((total / number).std())
    mean, judged = total / len(files), [load(path) for path in files[-JUDGED:]]
    forged = mean * FORGED_RMS / mean.std()
    result = {
        "machine": machine(),
        "rms_of_mean_residual": mean_rms,
        "mean_subtracted": share(detect(MARK.embed(each, KEY, PAYLOAD) - mean) for each in judged),
        "mean_pasted": share(detect(each + forged) for each in judged),
        "one_residual_pasted": share(detect(each + residual) for each in judged[:-1]),
    }
    save("averaging", result)
    print({key: value for key, value in result.items() if key != "machine"})


if __name__ == "__main__":
    main()
