"""Processors of marks in text: arrays and tensors, every device, and what sampling leaves out."""

import subprocess
import sys
from functools import partial
from itertools import product

import numpy as np
import pytest

from markai.errors import MethodError
from markai.text import TextMark
from markai.text.processor import Sampling
from markai.text.schemes import MOST_SURVIVORS, survivors

torch = pytest.importorskip("torch")

DRAWING = ["gumbel", "tournament"]
KINDS = [
    ("bias", {}),
    ("bias", {"hashing": "self", "width": 4}),
    ("gumbel", {}),
    ("tournament", {}),
]
NAMES = [f"{scheme} {parameters}" for scheme, parameters in KINDS]
EVERY_KIND = pytest.mark.parametrize(("scheme", "parameters"), KINDS, ids=NAMES)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="tokens on a GPU need a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]
FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def rows(count=6, length=12, size=3000, seed=0):
    """Ids in which windows come again, some of them -1, and logits; of two rows little or nothing is there."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, size)).astype(np.float32)
    logits[1, 3:-3], logits[2] = -np.inf, -np.inf
    return torch.from_numpy(rng.integers(-1, 6, (count, length))), torch.from_numpy(logits)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("payload", [None, b"acme"])
@EVERY_KIND
def test_every_device_chooses_the_same(key, scheme, parameters, payload, device):
    """The CPU goes through the kernels. No call may wait for a GPU, but for the first, which brings the key there."""
    mark = TextMark(key, scheme, payload=payload, **parameters)
    kernels, tensors = mark.processor(), mark.processor()
    tensors.on_device(torch.zeros(1, 4, dtype=torch.int64, device=device), torch.zeros(1, 9, device=device))
    for length, size, dtype in [*product((0, 2, 3, 60), (300,), FLOATS), (60, 20_000, torch.float32)]:
        ids, logits = rows(length=length, size=size)
        expected = kernels(ids, logits.to(dtype))
        on_device = ids.to(device), logits.to(device, dtype)
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("error")
        try:
            result = tensors.on_device(*on_device)
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        assert result.dtype == expected.dtype == dtype
        assert result.device.type == device
        compare(scheme, result.cpu(), expected)


def compare(scheme, result, expected):
    assert torch.equal(result.isneginf(), expected.isneginf())
    if scheme != "tournament":
        assert torch.equal(result, expected)
        return
    there = ~expected.isneginf()  # logarithms of chances, of which what is left is small
    close = 1e-6 if expected.dtype in (torch.float32, torch.float64) else 0.02
    torch.testing.assert_close(result[there], expected[there], rtol=close, atol=close)


@pytest.mark.parametrize("dtype", FLOATS)
@EVERY_KIND
def test_a_processor_returns_what_it_is_given_and_leaves_that_alone(key, scheme, parameters, dtype):
    mark = TextMark(key, scheme, **parameters)
    processor = mark.processor()
    ids, logits = rows()
    given = logits.to(dtype)
    for call in (processor, processor.on_device):
        result = call(ids, given)
        assert (result.dtype, result.shape, result.device) == (dtype, logits.shape, logits.device)
        assert torch.equal(given, logits.to(dtype))
        assert result.data_ptr() != given.data_ptr()
        assert torch.equal(call(ids[0], given[0]), result[0])
    if dtype != torch.bfloat16:
        array = processor(ids.numpy(), given.numpy())
        assert isinstance(array, np.ndarray)
        assert np.array_equal(array, processor(ids, given).numpy())
        assert array.dtype == given.numpy().dtype
        assert np.array_equal(processor(ids[0].tolist(), given[0].numpy()), array[0])


@EVERY_KIND
def test_a_processor_keeps_nothing(key, scheme, parameters):
    """Rows may be reordered, come late or twice, and be in another batch: a row depends on its own ids and logits."""
    mark = TextMark(key, scheme, payload=b"x", **parameters)
    ids, logits = rows(count=9, length=9)
    order = [5, 2, 8, 0, 2, 7]

    def same(result, expected):
        assert torch.equal(result, expected)

    # PyTorch sums a row in an order that depends on how many there are.
    for processor, check in ((mark.processor(), same), (mark.processor().on_device, partial(compare, scheme))):
        once = processor(ids, logits)
        processor(ids[:, :4], logits)
        same(processor(ids, logits), once)
        check(mark.processor()(ids, logits), once)
        check(processor(ids[order], logits[order]), once[order])
        check(processor(ids[3:4], logits[3:4]), once[3:4])


@pytest.mark.parametrize("library", ["array", "tensor"])
def test_shapes_have_to_fit(key, library):
    """Continuous batching of transformers passes the last token of each text, (b,) with (b, v): that is no context."""
    processor = TextMark(key, "gumbel", vocab_size=9).processor()
    make = np.zeros if library == "array" else torch.zeros
    for call in (processor,) if library == "array" else (processor, processor.on_device):
        for ids, logits in (((2,), (2, 9)), ((1,), (1, 9)), ((2, 3), (9,)), ((2, 3), (3, 9)), ((1, 2, 3), (1, 2, 9))):
            with pytest.raises(MethodError, match="do not go together"):
                call(make(ids), make(logits))
        with pytest.raises(MethodError, match="the logits have 8 tokens, this mark was made for vocab_size=9"):
            call(make((1, 3)), make((1, 8)))


def test_arrays_need_no_torch():
    code = "import sys, numpy; from markai import Key; from markai.text import TextMark\n"
    code += (
        "print(TextMark(Key(bytes(32)), 'gumbel').processor()([1, 2], numpy.zeros(9)).shape, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "(9,) False\n"


def test_a_mark_that_only_reads_has_no_processor(key):
    mark = TextMark(key, "gumbel", payload=True)
    for make in (mark.processor, lambda: mark.writer(torch.device("cpu"))):
        with pytest.raises(MethodError, match="no payload to write"):
            make()


def test_equal_logits_survive_by_their_ids():
    logits = np.zeros((2, 3 * MOST_SURVIVORS), np.float32)
    logits[1, -5:] = 1
    row, tokens, places = survivors(logits, np.array([False, True]))
    assert set(row) == {1}
    assert np.array_equal(tokens, [*range(MOST_SURVIVORS - 5), *range(3 * MOST_SURVIVORS - 5, 3 * MOST_SURVIVORS)])
    assert np.array_equal(places, range(MOST_SURVIVORS))


# What sampling leaves out


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.7},
        {"top_k": 1},
        {"top_k": 20},
        {"top_p": 0.9},
        {"min_p": 0.05},
        {"temperature": 1.3, "top_k": 40, "top_p": 0.8, "min_p": 0.02},
    ],
    ids=str,
)
def test_sampling_is_that_of_transformers(settings):
    warpers = pytest.importorskip("transformers.generation.logits_process")
    ids, logits = rows(size=400)
    logits = logits[[0, 1, 3, 4]]
    expected = logits
    for name, kind in (("temperature", "Temperature"), ("top_k", "TopK"), ("top_p", "TopP"), ("min_p", "MinP")):
        if name in settings:
            expected = getattr(warpers, f"{kind}LogitsWarper")(settings[name])(ids, expected)
    sampling = Sampling(**settings)
    # At most 17 nats below the likeliest is what cannot be drawn, and what may be left out of arrays.
    expected = torch.where(expected > expected.max(1, keepdim=True)[0] - 17, expected, -torch.inf)
    for result in (torch.from_numpy(sampling(logits.numpy())), sampling.tensor(logits)):
        result = torch.where(result > result.max(1, keepdim=True)[0] - 17, result, -torch.inf)
        torch.testing.assert_close(result, expected)
    assert np.array_equal(sampling(logits[0].numpy()), sampling(logits.numpy())[0])


@pytest.mark.parametrize("scheme", DRAWING)
def test_a_processor_may_do_the_sampling(key, scheme):
    ids, logits = rows(count=40, length=20)
    mark = TextMark(key, scheme, width=1)
    settings = {"temperature": 0.8, "top_k": 12, "top_p": 0.95}
    expected = mark.step(ids.numpy(), Sampling(**settings)(logits.numpy()))
    processor = mark.processor(**settings)
    compare(scheme, processor(ids, logits), torch.from_numpy(expected))
    compare(scheme, processor.on_device(ids, logits), torch.from_numpy(expected))
    assert np.isfinite(expected).sum(1).max() <= 12


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 0.0}, {"temperature": np.inf}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"min_p": -0.1}],
    ids=str,
)
def test_settings_out_of_range(key, settings):
    with pytest.raises(MethodError, match="out of range"):
        TextMark(key).processor(**settings)


def test_log_probabilities_for_logits_are_no_beam_search(key):
    """Nor are equal rows, which several answers to one prompt begin with, nor a caller that has the name."""
    logits = torch.log_softmax(rows()[1][[0, 0, 0]], 1)
    ids = torch.tensor([[5, 6, 7, 8]] * 3)
    result = TextMark(key, "gumbel").processor()(ids, logits)
    assert torch.equal(result[0], result[1])
