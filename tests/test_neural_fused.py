"""The last step on a GPU against ``add_cells``: in torch everywhere, in Triton interpreted or on a GPU."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from markai import _kernels
from markai.errors import ImageError
from markai.watermarks.tensors import fused

# Height, width, channels and pixels per cell: with and without a rest, one cell only, grey.
CASES = [(64, 96, 3, 2), (65, 97, 3, 4), (50, 61, 1, 3), (33, 2100, 3, 8), (16, 16, 3, 16), (40, 40, 3, 1)]


def sample(height, width, channels, step, batch=2):
    rng = np.random.default_rng(height)
    pixels = rng.integers(0, 256, (batch, height, width, channels), np.uint8)
    return pixels, rng.normal(0, 9, (batch, height // step, width // step)).astype(np.float32)


def agrees(result, pixels, cells, step):
    """The same bytes but where a sum is next to a half."""
    expected = np.stack([_kernels.add_cells(p, c, step)[0] for p, c in zip(pixels, cells, strict=True)])
    difference = np.abs(expected.astype(int) - result.astype(int))
    return difference.max() <= 1 and (difference > 0).mean() < 1e-4


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_adds_what_the_kernel_adds(case):
    pixels, cells = sample(*case)
    before = pixels.copy()
    result = fused.by_torch(torch.from_numpy(pixels), torch.from_numpy(cells), case[3])
    assert result.dtype == torch.uint8
    assert agrees(result.numpy(), pixels, cells, case[3])
    assert np.array_equal(pixels, before)


INTERPRETED = """
import sys; sys.path.insert(0, "tests")
import torch, test_neural_fused as tests
for case in tests.CASES:
    pixels, cells = tests.sample(*case)
    result = tests.fused.blend(torch.from_numpy(pixels), torch.from_numpy(cells), case[3])
    assert tests.agrees(result.numpy(), pixels, cells, case[3]), case
print("the same")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_triton_adds_what_the_kernel_adds(request):
    """In the interpreter, which is chosen when the kernel is defined: in a process of its own."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", INTERPRETED]
    done = subprocess.run(command, env=environment, cwd=request.config.rootpath, capture_output=True, text=True)
    assert done.stdout == "the same\n", done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gpu_adds_what_the_kernel_adds(case):
    pixels, cells = sample(*case)
    result = fused.blend(torch.from_numpy(pixels).cuda(), torch.from_numpy(cells).cuda(), case[3])
    assert agrees(result.cpu().numpy(), pixels, cells, case[3])


def test_what_lies_strided_is_added_alike():
    pixels, cells = (torch.from_numpy(each) for each in sample(64, 64, 3, 2))
    planes = pixels.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not planes.is_contiguous()
    assert torch.equal(fused.blend(planes, cells, 2), fused.blend(pixels, cells, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pixels, cells: (pixels.float(), cells, 2), "pixels are uint8 and cells float32"),
        (lambda pixels, cells: (pixels, cells.double(), 2), "pixels are uint8 and cells float32"),
        (lambda pixels, cells: (pixels, cells, 4), "cells of 4 pixels do not belong to"),
        (lambda pixels, cells: (pixels, cells[:1], 2), "do not belong to"),
        (lambda pixels, cells: (pixels, cells, 0), "cells of 0 pixels"),
    ],
)
def test_what_does_not_fit_says_so(change, message):
    pixels, cells = (torch.from_numpy(each) for each in sample(64, 64, 3, 2))
    with pytest.raises(ImageError, match=message):
        fused.blend(*change(pixels, cells))
