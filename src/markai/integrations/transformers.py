"""Text marks in ``generate()`` of transformers, after temperature, top-k and top-p, and refused where they cannot work.

    from markai.integrations.transformers import MarkaiWatermarkingConfig

    model.generate(**inputs, do_sample=True, watermarking_config=MarkaiWatermarkingConfig(mark))

``generate()`` applies a list of ``logits_processor`` first, then temperature, top-k and top-p, and the mark of a
``watermarking_config`` last. That is where marks belong that draw the token: in the list they would draw from all
tokens, at temperature 1.

Beam search and greedy decoding are refused to them, with a MethodError at the first token, or before it by ``generate``
and ``check`` here. Assisted decoding is fine: a mark depends on nothing but the ids before a token, and what counts is
the model's own choice.
"""

from copy import copy
from dataclasses import dataclass
from typing import Any, Self

from markai.text.mark import TextMark
from markai.text.processor import Processor, refuse

# The settings that decide how a token is chosen, and what they are where nobody sets them.
DEFAULTS = {"num_beams": 1, "do_sample": False, "constraints": None, "force_words_ids": None}


def generate(model: Any, mark: TextMark, **arguments: Any) -> Any:
    """Return what ``model.generate(**arguments)`` returns, with the mark in what it writes.

    Raises:
        MethodError: if the mark cannot work in the decoding mode that the arguments ask for.
    """
    config = arguments.get("generation_config")
    given = [arguments, *(vars(each) for each in (config, model.generation_config) if each is not None)]
    check(mark, {name: _first(name, given) for name in DEFAULTS})
    marking = MarkaiWatermarkingConfig(mark)
    if config is None:
        return model.generate(**arguments, watermarking_config=marking)
    config = copy(config)  # transformers would rather not have a configuration and other arguments of the kind
    config.watermarking_config = marking
    return model.generate(**{**arguments, "generation_config": config})


def check(mark: TextMark, generation_config: Any) -> None:
    """Do nothing where the mark works with a ``GenerationConfig``, or a dict of its settings.

    The scheme bias works with all. The others draw the token by the key, and need a mode that draws.

    >>> from markai import Key
    >>> check(TextMark(Key(bytes(32)), "gumbel"), {"do_sample": True})

    Raises:
        MethodError: if it does not: beam search and greedy decoding.
    """
    if not mark.scheme.samples:
        return
    given = generation_config if isinstance(generation_config, dict) else vars(generation_config)
    beams, sampled, constraints, words = (_first(name, [given]) for name in DEFAULTS)
    refuse(mark.name, beams > 1 or constraints is not None or words is not None, not sampled)


def _first(name: str, given: list[dict[str, Any]]) -> Any:
    return next((each[name] for each in given if each.get(name) is not None), DEFAULTS[name])


@dataclass(frozen=True)
class MarkaiWatermarkingConfig:
    """What ``generate(watermarking_config=...)`` takes, as it takes transformers' own ``WatermarkingConfig``.

    It works as a ``BaseWatermarkingConfig`` without importing transformers. It does not hold what would have to stay
    secret when a generation configuration is printed or saved: the key is named by its id. So a saved configuration
    does not bring the mark back.

    >>> from markai import Key
    >>> MarkaiWatermarkingConfig(TextMark(Key(bytes(32)))).to_dict()
    {'mark': 'markai', 'scheme': 'bias', 'key_id': 'bb9c5b1d25200e81'}
    """

    mark: TextMark

    def validate(self) -> None:
        """Raise if the mark has nothing to write.

        Raises:
            MethodError: if it has no payload to write, only reads one.
        """
        self.mark.processor()

    def construct_processor(self, vocab_size: int, device: Any) -> Processor:  # noqa: ARG002
        """Return the processor; ``generate()`` calls this, and with the first token the processor sees its mode.

        Raises:
            MethodError: if the mark has no payload to write, only reads one.
        """
        return self.mark.processor()

    def to_dict(self) -> dict[str, Any]:
        """Return what may be known of the mark."""
        return {"mark": "markai", "scheme": self.mark.name, "key_id": self.mark.key_id}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # generate() copies its configuration; keys are not copied
