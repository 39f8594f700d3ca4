"""Text marks in vLLM, by two routes.

vLLM 0.32 and later mark by themselves. They are configured with a number that a markai key gives, so that whoever has
the key reads the mark, with exact p-values (:class:`markai.text.profiles.VllmGumbel`)::

    llm = vllm.LLM(MODEL, watermark_config=native_config(key))  # or vllm serve --watermark-config, as JSON
    markai.text.detect(ids_of_the_answer, [native_mark(key)])

Before that, and where the old model runner is asked for (``VLLM_USE_V2_MODEL_RUNNER=0``), markai's own marks are
written by a logits processor. The engine has processes of its own, so that the environment says where the key is::

    MARKAI_KEY_FILE=my.key MARKAI_TEXT_MARK='{"scheme": "gumbel"}' \\
        vllm serve MODEL --logits-processors markai.integrations.vllm:MarkaiLogitsProcessor

There is no entry point on purpose. vLLM loads every class of the group ``vllm.logits_processors``, wanted or not: a
markai that is merely installed would stop an engine with the new model runner, which takes none of the old kind.
"""

import importlib
import json
import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from markai.errors import KeyFileError, MethodError, MissingExtraError
from markai.keys import Key
from markai.text.base import Ids
from markai.text.contexts import last_windows
from markai.text.mark import TextMark
from markai.text.profiles import VllmDualGumbel, VllmGumbel

if TYPE_CHECKING:
    from torch import Tensor

KEY_VARIABLE, MARK_VARIABLE, RUNNER_VARIABLE = "MARKAI_KEY_FILE", "MARKAI_TEXT_MARK", "VLLM_USE_V2_MODEL_RUNNER"
OLD, NEW = "vllm.v1.sample.logits_processor", "vllm.v1.worker.gpu.sample.logits_processor"

# What vLLM does itself


def native_config(key: Key, context_width: int = 4, dual: bool = False) -> dict[str, Any]:
    """Return what ``vllm serve --watermark-config`` takes, as JSON, and ``LLM(watermark_config=...)``.

    The number in it is derived from the key, which cannot be told from it; whoever has the number can read and forge
    this mark, and no other. ``dual`` is for speculative decoding: the algorithm "dual_key_gumbel".

    >>> native_config(Key(bytes(32)))
    {'algorithm': 'gumbel', 'key': 3125316366993487667, 'context_width': 4}
    """
    algorithm = "dual_key_gumbel" if dual else "gumbel"
    return {"algorithm": algorithm, "key": _number(key), "context_width": context_width}


def native_mark(key: Key, context_width: int = 4, dual: bool = False) -> VllmGumbel | VllmDualGumbel:
    """Return what reads the mark that vLLM writes with ``native_config`` and the same arguments.

    >>> from markai.text import detect
    >>> mark = native_mark(Key(bytes(32)))
    >>> detect(list(range(300)), [mark]).verdict
    'absent'
    """
    reader = VllmDualGumbel if dual else VllmGumbel
    return reader(_number(key), context_width=context_width, key_id=key.id)


def _number(key: Key) -> int:
    return int.from_bytes(key.derive("text vllm gumbel v1", 8), "little")


# The logits processor of the old model runner


def configured() -> TextMark:
    """Return the mark that the environment asks for.

    ``MARKAI_KEY_FILE`` is the file of the key. ``MARKAI_TEXT_MARK`` holds what else :class:`TextMark` takes, in JSON:
    {"scheme": "gumbel", "width": 4}. A payload is given in hexadecimal.

    Raises:
        KeyFileError: if there is no key.
        MethodError: if the mark's settings are wrong, or of a scheme that cannot work here.
        PayloadError: if the payload is not of 1 to 4 bytes.
    """
    return _configured(os.environ.get(KEY_VARIABLE, ""), os.environ.get(MARK_VARIABLE, "{}"))


@cache
def _configured(path: str, settings: str) -> TextMark:
    if not path:
        raise KeyFileError(f"no key to mark with - set {KEY_VARIABLE} to the key's file")
    try:
        wanted = dict(json.loads(settings))
        payload = bytes.fromhex(wanted.pop("payload", "")) or None
    except (TypeError, ValueError) as error:
        raise MethodError(f'{MARK_VARIABLE} is no JSON object such as {{"scheme": "bias"}}: {error}') from None
    mark = TextMark(Key.load(path), payload=payload, **wanted)
    if mark.name == "tournament":
        raise MethodError(
            "vLLM draws from less than a tournament leaves over, top-k and top-p come after it - use gumbel"
        )
    return mark


class _Request:
    """One text: what is before its next token, and whether that came before."""

    def __init__(self, params: Any, prompt: Sequence[int] | None, output: Sequence[int]) -> None:
        self.params = params
        self._prompt = list(prompt or ())
        self._output = output  # vLLM appends to it
        self._read = 0
        self._seen: set[tuple[int, ...]] = set()

    def window(self, width: int) -> Ids:
        """Return the window (width,) of the next token."""
        ids = np.array([self._before(self._length, width)], np.int64)
        return np.ravel(last_windows(ids, width))

    def new(self, width: int) -> bool:
        """Return whether the window of the next token is the first of its kind in the text.

        Those before it are remembered, or a step would take longer the longer the text is. What is remembered follows
        from the ids alone.
        """
        for end in range(max(self._read, width), self._length):
            self._seen.add(self._before(end, width))
        self._read = self._length
        return self._before(self._length, width) not in self._seen

    @property
    def _length(self) -> int:
        return len(self._prompt) + len(self._output)

    def _before(self, end: int, width: int) -> tuple[int, ...]:
        start = max(0, end - width)
        split = len(self._prompt)
        ids = (*self._prompt[start:end], *self._output[max(0, start - split) : max(0, end - split)])
        if min(ids, default=0) < 0:
            raise MethodError("vLLM has not said yet which tokens it drew - start it without asynchronous scheduling")
        return ids


class BatchMark:
    """The logits processor without its base class, which is vLLM's; ``MarkaiLogitsProcessor`` is the whole of it.

    A mark that draws the token does what temperature, top-k, top-p and min-p of the request ask for, since vLLM would
    do that only after it. Penalties for repetition come after it, too, and change nothing in what it drew. Requests
    with temperature 0 draw nothing, and are refused for such a mark.

    Raises:
        KeyFileError, MethodError: see :func:`configured`.
    """

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:  # noqa: ARG002
        self.mark = configured()
        self._writer = self.mark.writer(device)
        self._requests: dict[int, _Request] = {}

    @classmethod
    def validate_params(cls, params: Any) -> None:
        """Raise for requests that cannot be marked; vLLM answers them with the error.

        Raises:
            MethodError: if the scheme draws the token, and the request is greedy or a beam search.
        """
        mark = configured()
        if mark.scheme.samples and params.temperature == 0:
            raise MethodError(
                f"the scheme {mark.name} draws each token, which temperature 0 and beam search do not - ask for a "
                "temperature above 0, or mark with the scheme bias"
            )

    def is_argmax_invariant(self) -> bool:
        """Return False: the likeliest token may be another."""
        return False

    def needs_output_token_ids(self) -> bool:
        """Return True: with asynchronous scheduling vLLM says only to whoever asks which tokens it drew."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Follow the requests in the batch: some removed, some added, some moved, in this order."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self._requests.pop(index, None)
        for index, *request in batch_update.added:
            self._requests[index] = _Request(*request)
        for here, there, direction in batch_update.moved:
            one, other = self._requests.pop(here, None), self._requests.pop(there, None)
            if one is not None:
                self._requests[there] = one
            if other is not None and direction.name == "SWAP":
                self._requests[here] = other

    def apply(self, logits: "Tensor") -> "Tensor":
        """Return the logits (b, v) of the batch with the mark in them.

        Raises:
            MethodError: if vLLM has not said which tokens it drew last.
        """
        import torch

        if not self._requests:
            return logits
        at = sorted(self._requests)
        requests = [self._requests[index] for index in at]
        rows = torch.tensor(at, device=logits.device)
        scores = logits[rows]
        windows = np.stack([each.window(self.mark.width) for each in requests])
        on_device = torch.from_numpy(windows.astype(np.int64)).to(logits.device)
        changed = self._writer.write(self._sampled(scores, requests), on_device)
        if self.mark.once == "context":
            new = torch.tensor([each.new(self.mark.width) for each in requests], device=logits.device)
            changed = torch.where(new[:, None], changed, scores)
        logits[rows] = changed
        return logits

    def _sampled(self, scores: "Tensor", requests: Sequence[_Request]) -> "Tensor":
        """Return the scores (b, v) that vLLM would draw from; a bias needs no other than the model's."""
        if not self.mark.scheme.samples:
            return scores
        import torch

        from markai.text.device import warped

        everything = scores.shape[1]
        columns = [
            [each.params.temperature for each in requests],
            [each.params.top_k if each.params.top_k > 0 else everything for each in requests],
            [each.params.top_p if each.params.top_p < 1 else 2.0 for each in requests],
            [each.params.min_p for each in requests],
        ]
        settings = torch.tensor(columns, dtype=torch.float32, device=scores.device)[:, :, None]
        return warped(scores, *settings)


def __getattr__(name: str) -> Any:
    """Make ``MarkaiLogitsProcessor`` when vLLM asks for it, which has to be there for that.

    Raises:
        MissingExtraError: if vLLM is missing.
        MethodError: if this vLLM has a model runner that would not call it.
    """
    if name != "MarkaiLogitsProcessor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _plugin()


@cache
def _plugin() -> type[BatchMark]:
    try:
        interface = importlib.import_module(OLD)
    except ImportError:
        raise MissingExtraError(
            "markai.integrations.vllm:MarkaiLogitsProcessor needs vLLM 0.10.1 or later: pip install vllm"
        ) from None
    runner = os.environ.get(RUNNER_VARIABLE)
    if runner == "1" or (runner != "0" and _there(NEW)):
        raise MethodError(
            f"the model runner of this vLLM calls no logits processor of the old kind - set {RUNNER_VARIABLE}=0, or "
            "let vLLM mark by itself: --watermark-config with what markai.integrations.vllm.native_config(key) returns"
        )
    about = {"__module__": __name__, "__doc__": BatchMark.__doc__}
    return type("MarkaiLogitsProcessor", (BatchMark, interface.LogitsProcessor), about)


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is a package that it would be in
        return False
