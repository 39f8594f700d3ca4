"""The networks as they ship: every backend answers alike, what is tampered with is refused, what is missing says so."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from markai import _kernels
from markai.errors import ImageError, MethodError, MissingExtraError, WeightsError
from markai.neural import export, pairs, runtime, scales, shipped
from markai.neural.lattice import Lattice
from markai.neural.model import Pair
from markai.neural.starts import Starts, drawn_key

onnxruntime = pytest.importorskip("onnxruntime")
CLOSE = 1e-2


@pytest.fixture(scope="module")
def marked(photo, synthetics):
    """Three pictures of 64x128 cells as tensors, with their hand-made marks and the tiles that these stand for."""
    pictures = [photo[:256, :512], synthetics["text"][:128, :256], synthetics["checkerboard"][:128, :256]]
    steps = [4, 2, 2]
    planes = [_kernels.cell_means(np.ascontiguousarray(each), step) for each, step in zip(pictures, steps, strict=True)]
    starts = Starts.of(torch.from_numpy(np.stack(planes))[:, None], drawn_key(1, 1), 2, np.random.default_rng(1))
    lattice = Lattice()
    return starts, lattice.plane(starts.message.signs, lattice.tilt, (64, 128))


def arguments(marked, row=0, height=64, width=128):
    """What ``write`` takes, of one picture, cut to a size."""
    starts, pattern = marked
    parts = (starts.plane, starts.change, pattern, starts.allowed, starts.limit)
    return [part[row, 0, :height, :width].numpy() for part in parts]


# One answer


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("size", [(64, 128), (49, 127), (16, 17), (33, 32)])
def test_onnx_runtime_and_torch_answer_alike(marked, row, size):
    planes = arguments(marked, row, *size)
    changes = [runtime.write(*planes, on=on) for on in (runtime.ONNX, runtime.TORCH)]
    assert np.abs(changes[0] - changes[1]).max() < CLOSE
    assert changes[0].shape == size
    assert changes[0].dtype == np.float32
    assert (np.abs(changes[0]) <= planes[4]).all()
    level = _kernels.whiten(np.ascontiguousarray(planes[0]))
    seen = [runtime.read(planes[0], level, on=on) for on in (runtime.ONNX, runtime.TORCH)]
    assert np.abs(seen[0] - seen[1]).max() < CLOSE
    assert seen[0].shape == size


def test_numpy_computes_what_was_trained(marked):
    """The whole modules on a batch, their torch arithmetic included, against plane after plane."""
    starts, pattern = marked
    pair = pairs.TorchPair()
    changes = pair.write(starts.plane, starts.change, pattern, starts.allowed, starts.limit)
    seen = pair.read(starts.plane)
    for row in range(3):
        planes = arguments(marked, row)
        assert np.abs(runtime.write(*planes) - changes[row, 0].numpy()).max() < CLOSE
        level = _kernels.whiten(np.ascontiguousarray(planes[0]))
        assert np.abs(runtime.read(planes[0], level) - seen[row, 0].numpy()).max() < CLOSE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_a_gpu_answers_alike(marked):
    planes = arguments(marked)
    level = _kernels.whiten(planes[0])
    assert np.abs(runtime.write(*planes, on=runtime.CUDA) - runtime.write(*planes, on=runtime.ONNX)).max() < CLOSE
    for on in (runtime.CUDA, runtime.ONNX):
        assert (
            np.abs(runtime.read(planes[0], level, on=on) - runtime.read(planes[0], level, on=runtime.TORCH)).max()
            < CLOSE
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_a_gpu_answers_batches_nearly_alike(marked):
    starts, pattern = marked
    parts = (starts.plane, starts.change, pattern, starts.allowed, starts.limit)
    pair, exact = pairs.TorchPair("cuda"), pairs.TorchPair()
    for _ in range(2):  # recorded, then replayed
        change = pair.write(*(part.cuda() for part in parts)).cpu()
        assert (change - exact.write(*parts)).abs().max() < 0.2
    assert (pair.read(starts.plane.cuda()).cpu() - exact.read(starts.plane)).abs().mean() < 0.05


def test_an_untrained_pair_writes_the_start(marked, monkeypatch):
    """Gain and addition of zero: the arithmetic around the networks changes nothing."""
    monkeypatch.setattr(runtime, "_run", lambda _, inputs, *__: np.zeros((2, *inputs[0].shape), np.float32))
    planes = arguments(marked)
    assert np.array_equal(runtime.write(*planes), planes[1])
    level = _kernels.whiten(planes[0])
    assert np.allclose(runtime.read(planes[0], level), scales.LEVEL_GAIN * level)


def test_what_lies_strided_or_is_of_another_kind_is_read_alike(marked):
    planes = arguments(marked)
    turned = [np.asfortranarray(plane).astype(np.float64) for plane in planes]
    assert np.array_equal(runtime.write(*turned), runtime.write(*planes))


# Threads, forks


@pytest.mark.parametrize("on", [runtime.ONNX, runtime.TORCH])
def test_many_threads_get_the_same_answer(marked, on):
    planes = arguments(marked)
    expected = runtime.write(*planes, on=on)
    with ThreadPoolExecutor(4) as pool:
        for change in pool.map(lambda _: runtime.write(*planes, on=on), range(8)):
            assert np.array_equal(change, expected)


def test_threads_are_as_many_as_asked(marked):
    planes, before = arguments(marked), torch.get_num_threads()
    for on in (runtime.ONNX, runtime.TORCH):
        one, two = (runtime.write(*planes, threads=threads, on=on) for threads in (1, 2))
        assert np.allclose(one, two, atol=1e-4)
    assert torch.get_num_threads() == before
    made = [runtime._session(shipped.WRITER, threads, os.getpid()).get_session_options() for threads in (1, 2)]
    assert [options.intra_op_num_threads for options in made] == [1, 2]


FORKED = """
import os
import numpy as np
from markai.neural import runtime
planes = [np.random.default_rng(i).normal(128, 9, (48, 48)).astype(np.float32) for i in range(5)]
expected = runtime.write(*planes, threads=2)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(runtime.write(*planes, threads=2), expected) else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_answers_too():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n", done.stderr


# What is installed


def test_neither_runtime_is_imported_before_it_is_used():
    code = (
        "import sys, markai\nfrom markai.neural import runtime\nassert runtime.available() and runtime.backend()\n"
        "print({'torch', 'onnxruntime', 'safetensors'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_onnx_runtime_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "import numpy as np; from markai.neural import runtime\n"
        "print(runtime.backend(), runtime.read(*[np.ones((20, 20), np.float32)] * 2).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "onnxruntime (20, 20)\n"


def test_a_gpu_is_in_use_only_where_this_process_may_use_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime._gpu_in_use()
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    assert not runtime._gpu_in_use()
    monkeypatch.delitem(sys.modules, "torch")
    assert not runtime._gpu_in_use()


def hidden(monkeypatch, *names):
    found = runtime.find_spec
    monkeypatch.setattr(runtime, "find_spec", lambda name: None if name in names else found(name))


@pytest.mark.parametrize(
    ("missing", "chosen"),
    [
        ((), runtime.ONNX),
        (("torch",), runtime.ONNX),
        (("safetensors",), runtime.ONNX),
        (("onnxruntime",), runtime.TORCH),
    ],
)
def test_what_is_there_is_taken(monkeypatch, missing, chosen):
    hidden(monkeypatch, *missing)
    monkeypatch.setattr(runtime, "_gpu_in_use", lambda: False)
    assert runtime.available()
    assert runtime.backend() == chosen


def test_a_gpu_in_use_comes_first(monkeypatch):
    monkeypatch.setattr(runtime, "_gpu_in_use", lambda: True)
    assert runtime.backend() == runtime.CUDA
    hidden(monkeypatch, "torch")
    assert runtime.backend() == runtime.ONNX


@pytest.mark.parametrize("missing", [("onnxruntime", "torch"), ("onnxruntime", "safetensors")])
def test_without_any_of_them_it_says_what_to_install(monkeypatch, marked, missing):
    hidden(monkeypatch, *missing)
    assert not runtime.available()
    with pytest.raises(MissingExtraError, match=r"learned marks need onnxruntime .*pip install 'markai\[onnx\]'"):
        runtime.write(*arguments(marked))


@pytest.mark.parametrize(("on", "module"), [(runtime.ONNX, "onnxruntime"), (runtime.TORCH, "markai.neural.pairs")])
def test_a_backend_that_was_named_and_is_missing_says_so(monkeypatch, marked, on, module):
    runtime._session.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    if module.startswith("markai"):
        monkeypatch.delattr(sys.modules["markai.neural"], "pairs")
    with pytest.raises(MissingExtraError, match="pip install 'markai"):
        runtime.write(*arguments(marked), on=on)


def test_an_unknown_backend_names_those_there_are(marked):
    with pytest.raises(MethodError, match="choose from onnxruntime, torch, torch-cuda"):
        runtime.write(*arguments(marked), on="tensorrt")


def test_planes_that_do_not_fit_are_refused(marked):
    planes = arguments(marked)
    with pytest.raises(ImageError, match="planes of one shape"):
        runtime.write(planes[0][:32], *planes[1:])
    with pytest.raises(ImageError, match="at least 16x16 cells"):
        runtime.read(planes[0][:15], planes[0][:15])
    with pytest.raises(ImageError, match="at least 16x16 cells"):
        runtime.read(planes[0][None], planes[0][None])


# The files


@pytest.fixture
def tampered(tmp_path, monkeypatch):
    """A copy of the weights in which one byte of each file is another."""
    for name in (shipped.WEIGHTS, shipped.WRITER, shipped.READER):
        data = bytearray(shipped.read(name))
        data[len(data) // 2] ^= 1
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    for cached in (runtime._session, pairs.shipped_pair):
        cached.cache_clear()
    yield tmp_path
    for cached in (runtime._session, pairs.shipped_pair):
        cached.cache_clear()


@pytest.mark.usefixtures("tampered")
@pytest.mark.parametrize("on", [runtime.ONNX, runtime.TORCH])
def test_tampered_weights_are_refused(marked, on):
    with pytest.raises(WeightsError, match="its SHA-256 is not the one in the code - reinstall markai"):
        runtime.write(*arguments(marked), on=on)


def test_missing_weights_are_named(tampered):
    (tampered / shipped.READER).unlink()
    with pytest.raises(WeightsError, match=r"reader.onnx cannot be read \(No such file or directory\) - reinstall"):
        shipped.read(shipped.READER)


def test_what_ships_is_small_and_complete():
    assert sum(len(shipped.read(name)) for name in shipped.SHA256) < 16 << 20
    assert set(shipped.SHA256) == {path.name for path in shipped.FOLDER.iterdir()}


def test_what_ships_is_one_set_of_weights():
    """A graph made of the safetensors file is, byte by byte, the graph that ships."""
    pytest.importorskip("onnx")
    made = export.files_of(pairs.shipped_pair("cpu"))
    assert all(made[name] == shipped.read(name) for name in made)


def test_an_export_checks_out(tmp_path, monkeypatch, marked):
    """A run's weights to files, digests, and back through both backends."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    pair, run = Pair("tiny"), tmp_path / "run"
    for parameter in pair.parameters():
        torch.nn.init.normal_(parameter, 0, 0.05)
    run.mkdir()
    save_file(pair.state_dict(), run / "weights.safetensors")
    (run / "state.json").write_text('{"config": {"size": "tiny"}}')
    text = export.export(run, tmp_path / "weights", tmp_path / "digests.py")
    assert (tmp_path / "digests.py").read_text() == text
    written: dict[str, object] = {}
    exec(text, written)
    assert written["SIZE"] == "tiny"
    for module, name, value in (
        (shipped, "FOLDER", tmp_path / "weights"),
        (shipped, "SHA256", written["SHA256"]),
        (pairs, "SIZE", "tiny"),
    ):
        monkeypatch.setattr(module, name, value)
    for cached in (runtime._session, pairs.shipped_pair):
        cached.cache_clear()
    try:
        first, second = (runtime.write(*arguments(marked), on=on) for on in (runtime.ONNX, runtime.TORCH))
    finally:
        for cached in (runtime._session, pairs.shipped_pair):
            cached.cache_clear()
    assert np.abs(first - second).max() < CLOSE
    assert not np.array_equal(first, arguments(marked)[1])


def test_an_operation_that_has_no_counterpart_is_named():
    graphs = pytest.importorskip("markai.neural.graphs")
    with pytest.raises(ValueError, match="ReLU has no counterpart in the graphs"):
        graphs.graph_of(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU()), 1, 1)
    with pytest.raises(ValueError, match="interpolate has no counterpart in the graphs"):
        graphs.graph_of(torch.nn.Upsample(scale_factor=2), 1, 1)
