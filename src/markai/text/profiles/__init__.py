"""The marks of others in text, read with exact p-values: each is a ``Scorer`` for ``markai.text.detector.detect``.

>>> from markai.text.detector import detect
>>> detect(range(40), [PROFILES["vllm-gumbel"](key=42)]).detected
False
"""

from inspect import signature

from markai.text.profiles.huggingface import HuggingFaceGreenList
from markai.text.profiles.sglang import SglangGumbel
from markai.text.profiles.synthid import HuggingFaceSynthID
from markai.text.profiles.vllm import VllmDualGumbel, VllmGumbel

Profile = HuggingFaceGreenList | HuggingFaceSynthID | SglangGumbel | VllmDualGumbel | VllmGumbel
PROFILES: dict[str, type[Profile]] = {
    each.name: each for each in (HuggingFaceGreenList, HuggingFaceSynthID, SglangGumbel, VllmDualGumbel, VllmGumbel)
}

__all__ = [
    "PROFILES",
    "HuggingFaceGreenList",
    "HuggingFaceSynthID",
    "Profile",
    "SglangGumbel",
    "VllmDualGumbel",
    "VllmGumbel",
    "describe",
]


def describe() -> dict[str, str]:
    """Return what each profile reads, and the settings it is made with.

    >>> describe()["vllm-gumbel"]
    'vLLM, algorithm gumbel (key, context_width=4)'
    """
    return {name: f"{profile.about} ({_settings(profile)})" for name, profile in PROFILES.items()}


def _settings(profile: type[Profile]) -> str:
    settings = [each for each in signature(profile).parameters.values() if each.name != "key_id"]
    return ", ".join(each.name if each.default is each.empty else f"{each.name}={each.default!r}" for each in settings)
