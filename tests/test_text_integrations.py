"""Marks in the engines that serve models: transformers, llama.cpp, vLLM."""

import json
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from markai import Key
from markai.errors import KeyFileError, MethodError, MissingExtraError, PayloadError
from markai.integrations import llama_cpp, vllm
from markai.text import TextMark, detect
from markai.text.processor import Sampling

torch = pytest.importorskip("torch")

VOCABULARY = 500
DRAWING = ["gumbel", "tournament"]
KINDS = [
    ("bias", {}),
    ("bias", {"hashing": "self", "width": 4}),
    ("gumbel", {}),
    ("tournament", {}),
]
NAMES = [f"{scheme} {parameters}" for scheme, parameters in KINDS]
EVERY_KIND = pytest.mark.parametrize(("scheme", "parameters"), KINDS, ids=NAMES)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other take longer over small models than one alone, by far on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def other():
    return Key(bytes(31) + b"\1")


def chances(logits):
    exponentials = np.exp(logits - logits.max(), dtype=np.float64)
    return exponentials / exponentials.sum()


# transformers

PROMPT = 8


@pytest.fixture(scope="module")
def hf():
    """markai's module for transformers, where transformers is there."""
    pytest.importorskip("transformers")
    from markai.integrations import transformers

    return transformers


def llama(layers=2, seed=0):
    """A model with random weights, 4.5 nats a token."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.35,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def model():
    return llama()


def inputs(count=2, length=PROMPT, seed=0):
    ids = torch.randint(1, VOCABULARY, (count, length), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def sampled(model, mark, hf, given=None, tokens=90, **settings):
    """Rows of ids that generate() writes, prompts included."""
    torch.manual_seed(1)
    settings = {"do_sample": True, "max_new_tokens": tokens, **(given or inputs()), **settings}
    return model.generate(**settings, watermarking_config=hf.MarkaiWatermarkingConfig(mark)).tolist()


@pytest.mark.parametrize("payload", [None, b"ok"])
@EVERY_KIND
def test_what_generate_writes_is_read(model, hf, key, other, scheme, parameters, payload):
    mark = TextMark(key, scheme, vocab_size=VOCABULARY, payload=payload, **parameters)
    for ids in sampled(model, mark, hf, inputs(1) if payload else None, tokens=260 if payload else 90):
        found = mark.detect(ids, prompt=PROMPT)
        assert found.detected
        assert (found.key_id, found.payload) == (key.id, payload)
        wrong = TextMark(other, scheme, payload=payload and True, **parameters)
        assert not wrong.detect(ids, prompt=PROMPT).detected
        # The prompt is no evidence, and where nobody knows which part it is the mark is found all the same.
        assert not mark.detect(ids[: PROMPT + 3], prompt=PROMPT).detected
        assert mark.detect(ids[PROMPT:]).detected


@EVERY_KIND
def test_the_list_of_processors_works_too(model, hf, key, scheme, parameters):
    """As the README has it; whoever gives temperature and top-k to the processor gives transformers none."""
    mark = TextMark(key, scheme, vocab_size=VOCABULARY, **parameters)
    torch.manual_seed(1)
    settings = {"do_sample": True, "max_new_tokens": 90, **inputs(1)}
    ids = model.generate(**settings, logits_processor=[mark.processor()])[0].tolist()
    assert mark.detect(ids, prompt=PROMPT).detected
    processor = mark.processor(temperature=0.9, top_k=60)
    torch.manual_seed(1)
    ids = model.generate(**settings, logits_processor=[processor], temperature=1.0, top_k=0)[0].tolist()
    assert mark.detect(ids, prompt=PROMPT).detected
    torch.manual_seed(1)
    if scheme == "gumbel":  # the key's choice, from the same logits
        assert ids == sampled(model, mark, hf, inputs(1), temperature=0.9, top_k=60)[0]


@pytest.mark.parametrize("scheme", ["bias", *DRAWING])
def test_the_mark_comes_after_what_sampling_leaves_out(model, hf, key, scheme):
    """With top-k 1 there is one token left, whatever the key."""
    likeliest = model.generate(**inputs(), do_sample=False, max_new_tokens=20).tolist()
    assert sampled(model, TextMark(key, scheme, width=4), hf, tokens=20, top_k=1) == likeliest
    assert sampled(model, TextMark(key, scheme, width=4), hf, tokens=20, top_k=2) != likeliest


def padded(lengths=(3, 8, 5)):
    """Prompts of several lengths in one batch, padded on the left, and each alone."""
    alone = [inputs(1, length, seed=length) for length in lengths]
    longest = max(lengths)

    def pad(name):
        fill = torch.zeros(1, longest, dtype=torch.int64)
        return torch.cat([torch.cat([fill[:, : longest - each[name].shape[1]], each[name]], 1) for each in alone])

    return {name: pad(name) for name in alone[0]}, alone


@EVERY_KIND
def test_padding_on_the_left_is_no_evidence(model, hf, key, scheme, parameters):
    mark = TextMark(key, scheme, vocab_size=VOCABULARY, **parameters)
    batch, _ = padded()
    for ids in sampled(model, mark, hf, batch):
        found = mark.detect(ids, prompt=PROMPT, special={0})
        assert found.detected
        assert found.scored <= 90


def test_a_row_is_the_same_in_any_batch_and_order(model, hf, key):
    """With prompts that are longer than the window. Gumbel draws by the key alone where no window comes again."""
    mark = TextMark(key, "gumbel", vocab_size=VOCABULARY, width=3)
    batch, alone = padded((4, 8, 5))
    together = sampled(model, mark, hf, batch, tokens=30)
    order = [2, 0, 1]
    assert sampled(model, mark, hf, {name: each[order] for name, each in batch.items()}, tokens=30) == [
        together[row] for row in order
    ]
    for row, given in enumerate(alone):
        assert sampled(model, mark, hf, given, tokens=30)[0][-30:] == together[row][-30:]


def test_beams_carry_a_bias(model, hf, key, other):
    mark = TextMark(key, "bias", vocab_size=VOCABULARY, delta=3.0)
    given = {**inputs(), "num_beams": 3, "max_new_tokens": 90}
    for texts in (
        model.generate(**given, logits_processor=[mark.processor()]),
        hf.generate(model, mark, **given),
        hf.generate(model, mark, **given, do_sample=True),
    ):
        for ids in texts.tolist():
            assert mark.detect(ids, prompt=PROMPT).detected
            assert not TextMark(other).detect(ids, prompt=PROMPT).detected


@pytest.mark.parametrize("mode", [{"num_beams": 3}, {"num_beams": 3, "do_sample": True}, {"do_sample": False}], ids=str)
@pytest.mark.parametrize("scheme", DRAWING)
def test_modes_in_which_a_scheme_cannot_work_raise(model, hf, key, scheme, mode):
    from transformers import GenerationConfig

    mark = TextMark(key, scheme)
    said = "beam search" if "num_beams" in mode else "greedy decoding"
    marking = hf.MarkaiWatermarkingConfig(mark)
    for use in (
        lambda: model.generate(**inputs(), **mode, max_new_tokens=3, watermarking_config=marking),
        lambda: model.generate(**inputs(), **mode, max_new_tokens=3, logits_processor=[mark.processor()]),
        lambda: hf.generate(model, mark, **inputs(), **mode, max_new_tokens=3),
        lambda: hf.generate(model, mark, **inputs(), generation_config=GenerationConfig(**mode)),
        lambda: hf.check(mark, GenerationConfig(**mode)),
        lambda: hf.check(mark, mode),
    ):
        with pytest.raises(MethodError, match=f"{scheme} draws each token.*{said}.*use the scheme bias"):
            use()
    hf.check(TextMark(key), mode)


def test_constrained_search_is_beam_search(hf, key):
    for mode in ({"force_words_ids": [[5]]}, {"constraints": [object()]}):
        with pytest.raises(MethodError, match="beam search"):
            hf.check(TextMark(key, "gumbel"), {"do_sample": True, **mode})


def test_generate_takes_what_transformers_takes(model, hf, key, caplog):
    from transformers import GenerationConfig

    mark = TextMark(key, "gumbel", vocab_size=VOCABULARY)
    config = GenerationConfig(do_sample=True, max_new_tokens=60)
    model.generation_config.do_sample, before = True, model.generation_config.do_sample
    try:
        texts = [
            hf.generate(model, mark, **inputs(1), generation_config=config),
            hf.generate(model, mark, **inputs(1), max_new_tokens=60),  # the model's own configuration draws
        ]
    finally:
        model.generation_config.do_sample = before
    assert all(mark.detect(ids[0], prompt=PROMPT).detected for ids in texts)
    assert config.watermarking_config is None
    assert "deprecated" not in caplog.text


@pytest.mark.parametrize("scheme", ["bias", *DRAWING])
@pytest.mark.parametrize("how", ["prompt lookup", "assistant"])
def test_assisted_decoding_leaves_the_mark(model, hf, key, scheme, how):
    """What is guessed ahead is accepted only where it is what the model draws under the key."""
    mark = TextMark(key, scheme, vocab_size=VOCABULARY)
    assistant = llama(1, seed=1)
    assistant.generation_config.num_assistant_tokens = 4
    settings = {"prompt_lookup_num_tokens": 3} if how == "prompt lookup" else {"assistant_model": assistant}
    ids = sampled(model, mark, hf, inputs(1), **settings)[0]
    assert mark.detect(ids, prompt=PROMPT).detected
    if scheme == "gumbel":
        assert ids == sampled(model, mark, hf, inputs(1))[0]


def test_continuous_batching_is_refused(model, hf, key):
    """It would show the processor one token of each text."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GenerationConfig(
        do_sample=True,
        max_new_tokens=3,
        eos_token_id=-1,
        watermarking_config=hf.MarkaiWatermarkingConfig(TextMark(key)),
    )
    with pytest.raises(MethodError, match="continuous batching"):
        model.generate_batch(inputs=[[1, 2, 3]], generation_config=config)


def test_a_configuration_names_the_key_and_does_not_hold_it(hf, key, tmp_path):
    from transformers import GenerationConfig

    config = GenerationConfig(watermarking_config=hf.MarkaiWatermarkingConfig(TextMark(key, "gumbel")))
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert saved["watermarking_config"] == {"mark": "markai", "scheme": "gumbel", "key_id": key.id}
    assert key.id in str(config)
    with pytest.raises(MethodError, match="no payload to write"):
        GenerationConfig(watermarking_config=hf.MarkaiWatermarkingConfig(TextMark(key, payload=True)))


# llama-cpp-python


def llama_cpp_loop(prompt, tokens, temperature, top_k, top_p, min_p, logits_processor, seed=0, **settings):
    """What Llama.generate does, with a model of random logits; processors first, through a view into structures."""
    assert settings in ({}, {"typical_p": 1.0, "repeat_penalty": 1.0, "mirostat_mode": 0})
    rng = np.random.default_rng(seed)
    input_ids = np.zeros(len(prompt) + tokens, np.intc)
    input_ids[: len(prompt)] = prompt
    for n in range(len(prompt), len(input_ids)):
        kinds = np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True)
        data = np.zeros(VOCABULARY, kinds).view(np.recarray)
        data.id, data.logit = np.arange(VOCABULARY), rng.normal(0, 2, VOCABULARY)
        for processor in logits_processor:
            data.logit[:] = processor(input_ids[:n], data.logit)
        if temperature == 0:
            input_ids[n] = data.id[np.argmax(data.logit)]
            continue
        left = np.sort(data, order="logit")[::-1]
        left = left[: top_k if top_k > 0 else None]
        left = left[np.cumsum(chances(left.logit)) - chances(left.logit) < top_p]
        left = left[left.logit >= left.logit[0] + (np.log(min_p) if min_p else -np.inf)]
        input_ids[n] = rng.choice(left.id, p=chances(left.logit / temperature))
    return input_ids.tolist()


@pytest.mark.parametrize("payload", [None, b"ok"])
@EVERY_KIND
def test_what_llama_cpp_writes_is_read(key, other, scheme, parameters, payload):
    mark = TextMark(key, scheme, vocab_size=VOCABULARY, payload=payload, **parameters)
    given = llama_cpp.arguments(mark, temperature=0.9, top_k=60)
    ids = llama_cpp_loop([5, 6, 7, 8], 260 if payload else 120, **given)
    found = mark.detect(ids, prompt=4)
    assert found.detected
    assert (found.key_id, found.payload) == (key.id, payload)
    assert not TextMark(other, scheme, payload=payload and True, **parameters).detect(ids, prompt=4).detected


def test_llama_cpp_draws_from_what_it_was_told(key):
    """With top-k 1 the likeliest, whatever the scheme; greedy for those that draw is refused before it begins."""
    likeliest = llama_cpp_loop([1, 2, 3, 4], 30, logits_processor=[], temperature=0, top_k=0, top_p=1, min_p=0)
    for scheme in DRAWING:
        given = llama_cpp.arguments(TextMark(key, scheme), temperature=1.0, top_k=1)
        ids = llama_cpp_loop([1, 2, 3, 4], 30, **given)
        assert ids[:5] == likeliest[:5]  # the logits of the first step are those of both, those after it need not be
        with pytest.raises(MethodError, match="temperature 0"):
            llama_cpp.arguments(TextMark(key, scheme), temperature=0.0)
    given = llama_cpp.arguments(TextMark(key), temperature=0.0)
    assert TextMark(key).detect(llama_cpp_loop([1, 2, 3, 4], 150, **given), prompt=4).detected


# vLLM


@pytest.mark.parametrize("dual", [False, True])
def test_the_mark_that_vllm_writes_itself_is_read_under_the_key(key, other, dual):
    """The engine, as far as it matters: Gumbel noise of vLLM's words, on random logits, from the answer alone."""
    config = vllm.native_config(key, dual=dual)
    assert json.loads(json.dumps(config))["algorithm"] == ("dual_key_gumbel" if dual else "gumbel")
    assert 0 <= config["key"] < 2**64
    engine = vllm.native_mark(key, dual=False) if not dual else None
    number = config["key"] if engine else vllm_key_a(config["key"])
    words = (engine or vllm.VllmGumbel(number)).words
    rng = np.random.default_rng(0)
    ids = [2**32 - 1] * 4
    every = np.arange(VOCABULARY, dtype=np.uint32)
    for _ in range(100):
        windows = np.tile(np.array(ids[-4:], np.uint32), (VOCABULARY, 1))
        noise = -np.log(-np.log((words(windows, every) + 0.5) / 2**32))
        ids.append(int(np.argmax(rng.normal(0, 2, VOCABULARY) + noise)))
    found = detect(ids[4:], [vllm.native_mark(key, dual=dual)])
    assert found.detected
    assert found.key_id == key.id
    assert not detect(ids[4:], [vllm.native_mark(other, dual=dual)]).detected


def vllm_key_a(number):
    from markai.text.profiles.vllm import derived_key

    return derived_key(number, b"key_a")


class Direction(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass(frozen=True)
class BatchUpdate:
    batch_size: int
    removed: list[int]
    added: list[tuple[int, Any, list[int] | None, list[int]]]
    moved: list[tuple[int, int, Direction]]


class OldLogitsProcessor(ABC):
    """The interface of vLLM's old model runner."""

    @abstractmethod
    def __init__(self, vllm_config, device, is_pin_memory): ...

    @abstractmethod
    def apply(self, logits): ...

    @abstractmethod
    def is_argmax_invariant(self): ...

    @abstractmethod
    def update_state(self, batch_update): ...


@pytest.fixture
def engine(monkeypatch, tmp_path, key):
    """A vLLM with the old model runner, and the environment of a markai mark."""
    for name in ("vllm", "vllm.v1", "vllm.v1.sample"):
        module = ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    interface = ModuleType(vllm.OLD)
    interface.LogitsProcessor = OldLogitsProcessor
    monkeypatch.setitem(sys.modules, vllm.OLD, interface)
    key.save(tmp_path / "key")
    monkeypatch.setenv(vllm.KEY_VARIABLE, str(tmp_path / "key"))
    monkeypatch.delenv(vllm.MARK_VARIABLE, raising=False)
    monkeypatch.delenv(vllm.RUNNER_VARIABLE, raising=False)
    vllm._plugin.cache_clear()
    yield monkeypatch
    vllm._plugin.cache_clear()


def plugin():
    return vllm.MarkaiLogitsProcessor(SimpleNamespace(), torch.device("cpu"), False)


def asked(**settings):
    """Sampling parameters of a request."""
    return SimpleNamespace(**{"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, **settings})


def test_the_plug_in_is_what_vllm_loads(engine):
    del engine
    loaded = vllm.MarkaiLogitsProcessor
    assert issubclass(loaded, OldLogitsProcessor)
    assert loaded is vllm.MarkaiLogitsProcessor
    assert (loaded.__module__, loaded.__qualname__) == ("markai.integrations.vllm", "MarkaiLogitsProcessor")
    assert plugin().is_argmax_invariant() is False
    assert plugin().needs_output_token_ids() is True
    nothing = torch.zeros(0, 9)
    assert plugin().apply(nothing) is nothing
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = vllm.Nothing


SETTINGS = [{}, {"temperature": 0.7, "top_k": 50}, {"top_p": 0.9, "min_p": 0.01}, {"temperature": 1.5, "top_k": -1}]
SCHEMES = [{"scheme": "bias"}, {"scheme": "gumbel"}, {"scheme": "gumbel", "payload": "6f6b", "width": 1}]


@pytest.mark.parametrize("wanted", SCHEMES, ids=str)
def test_requests_come_go_and_move(engine, key, wanted):
    """Each row is what the mark alone makes of its request, wherever in the batch that is."""
    engine.setenv(vllm.MARK_VARIABLE, json.dumps(wanted))
    wanted = {**wanted, "payload": bytes.fromhex(wanted.get("payload", "")) or None}
    mark = TextMark(key, **wanted)
    processor = plugin()
    rng = np.random.default_rng(0)
    texts = [(asked(**each), [5, 6, 7, 8], []) for each in SETTINGS]
    texts[1] = (texts[1][0], None, [])  # a prompt of embeddings

    def step(order):
        logits = rng.normal(0, 2, (len(order), VOCABULARY)).astype(np.float32)
        changed = processor.apply(torch.from_numpy(logits.copy())).numpy()
        for row, (params, prompt, output) in enumerate(order):
            sampling = Sampling(params.temperature, max(0, params.top_k), params.top_p, params.min_p)
            before = [*(prompt or []), *output]
            expected = mark.step(before, sampling(logits[row]) if mark.scheme.samples else logits[row])
            if mark.scheme.samples and np.isfinite(expected).sum() > 1:  # met before: vLLM's sampler goes on by itself
                expected = logits[row]
            assert np.array_equal(np.isfinite(changed[row]), np.isfinite(expected))
            output.append(int(rng.choice(VOCABULARY, p=chances(changed[row]))))

    one, two, three, four = texts
    processor.update_state(BatchUpdate(2, [], [(0, *one), (1, *two)], []))
    for _ in range(30):
        step([one, two])
        processor.update_state(None)
    processor.update_state(BatchUpdate(3, [], [(2, *three)], [(0, 2, Direction.SWAP)]))
    step([three, two, one])
    processor.update_state(BatchUpdate(2, [0], [(1, *four)], [(2, 0, Direction.UNIDIRECTIONAL)]))
    for _ in range(30):
        step([one, four])
        processor.update_state(None)
    processor.update_state(BatchUpdate(1, [1], [], []))
    for _ in range(60):
        step([one])
        processor.update_state(None)
    found = mark.detect(one[2])
    assert found.detected


def test_tokens_that_vllm_has_not_told_are_an_error(engine):
    engine.setenv(vllm.MARK_VARIABLE, '{"scheme": "gumbel"}')
    processor = plugin()
    processor.update_state(BatchUpdate(1, [], [(0, asked(), [1, 2, 3, 4], [5, -1])], []))
    with pytest.raises(MethodError, match="without asynchronous scheduling"):
        processor.apply(torch.zeros(1, VOCABULARY))


def test_greedy_requests_are_refused_to_marks_that_draw(engine):
    vllm.MarkaiLogitsProcessor.validate_params(asked(temperature=0))
    engine.setenv(vllm.MARK_VARIABLE, '{"scheme": "gumbel"}')
    vllm.MarkaiLogitsProcessor.validate_params(asked(temperature=0.1))
    with pytest.raises(ValueError, match="gumbel draws each token, which temperature 0 and beam search do not"):
        vllm.MarkaiLogitsProcessor.validate_params(asked(temperature=0))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ('{"scheme": "tournament"}', MethodError, "use gumbel"),
        ('{"scheme": "none"}', MethodError, "choose from bias"),
        ('["gumbel"]', MethodError, "no JSON object"),
        ("gumbel", MethodError, "no JSON object"),
        ('{"payload": "xy"}', MethodError, "no JSON object"),
        ('{"payload": "0102030405"}', PayloadError, "1 to 4 bytes"),
    ],
)
def test_what_the_environment_says_has_to_make_sense(engine, settings, error, words):
    engine.setenv(vllm.MARK_VARIABLE, settings)
    with pytest.raises(error, match=words):
        plugin()


def test_the_plug_in_needs_a_key(engine):
    engine.delenv(vllm.KEY_VARIABLE)
    with pytest.raises(KeyFileError, match="set MARKAI_KEY_FILE"):
        plugin()


def test_versions_that_would_not_call_it(engine):
    """The new model runner takes none of the old processors; the old one can still be asked for."""
    engine.setenv(vllm.RUNNER_VARIABLE, "1")
    with pytest.raises(MethodError, match=r"VLLM_USE_V2_MODEL_RUNNER=0.*native_config"):
        _ = vllm.MarkaiLogitsProcessor
    engine.delenv(vllm.RUNNER_VARIABLE)
    engine.setattr(vllm, "find_spec", lambda name: name == vllm.NEW)
    with pytest.raises(MethodError, match="of the old kind"):
        _ = vllm.MarkaiLogitsProcessor
    engine.setenv(vllm.RUNNER_VARIABLE, "0")
    assert vllm.MarkaiLogitsProcessor.validate_params(asked()) is None


def test_without_vllm_the_plug_in_says_so():
    vllm._plugin.cache_clear()
    with pytest.raises(MissingExtraError, match="pip install vllm"):
        _ = vllm.MarkaiLogitsProcessor


def test_no_entry_point_loads_it_unasked():
    """vLLM loads the whole group, and its new model runner stops at a processor of the old kind."""
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert "vllm.logits_processors" not in project
