"""Large pictures: what is held beside the input and the result, by the peak of the process's resident memory."""

import subprocess
import sys
from pathlib import Path

import pytest

SIDE = 5000
RGB = 3 * SIDE * SIDE / 2**20  # MiB
SLACK = 50  # MiB: planes of cells, what the search looks at, strips
STATUS = Path("/proc/self/status")

# A child process per case: the peak of a process never falls again, but for Linux's clear_refs.
PRELUDE = f"""
import io
from pathlib import Path
import numpy as np
from PIL import Image
import markai
key = markai.Key(bytes(32))
patch = np.random.default_rng(0).integers(60, 200, (500, 500, 3), np.uint8)
markai.embed(patch, key), markai.detect(patch, key)  # imports everything
def peak_over_now(work):
    work()  # networks keep the buffers that they once took
    Path("/proc/self/clear_refs").write_text("5")
    memory = lambda name: int(Path("/proc/self/status").read_text().split(name)[1].split()[0]) / 1024
    before = memory("VmRSS:")
    kept = work()
    print((memory("VmHWM:") - before))
picture = np.tile(patch, ({SIDE // 500}, {SIDE // 500}, 1))
picture[::7] //= 2
"""

# Peak above what there was before, in sizes of the RGB picture: the result, and what decoding takes (Pillow has 4 bytes
# per pixel). A stray copy would add 1, a float plane of the whole picture 1.3.
CASES = {
    "embed an array": ("markai.embed(picture, key)", 1.0),
    "embed a float array": ("markai.embed(unit, key)", 4.0),
    "embed RGBA": ("markai.embed(rgba, key)", 2.7),
    "detect in an array": ("markai.detect(picture, key)", 0.0),
    "embed a PIL image": ("markai.embed(image, key)", 2.4),
    "detect in a file": ("markai.detect(data, key)", 2.4),
    "embed a file": ("markai.embed(data, key)", 3.4),
}
INPUTS = {
    "unit": "unit = picture.astype(np.float32); unit /= 255",
    "rgba": "rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]); del picture",
    "image": "image = Image.fromarray(picture)",
    "data": "file = io.BytesIO(); Image.fromarray(picture).save(file, 'BMP'); data = file.getvalue()",
}


@pytest.mark.skipif(not STATUS.exists(), reason="Linux tells the peak of resident memory")
@pytest.mark.parametrize(("call", "sizes"), CASES.values(), ids=CASES)
def test_nothing_is_held_twice(call: str, sizes: float) -> None:
    prepare = "\n".join(code for name, code in INPUTS.items() if f"({name}," in call)
    code = f"{PRELUDE}\n{prepare}\npeak_over_now(lambda: {call})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert abs(float(run.stdout) - sizes * RGB) < SLACK
