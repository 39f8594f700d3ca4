"""Profiles in JSON files: which mark, and its settings, the key among them."""

import json
from pathlib import Path
from typing import Any

from markai.errors import MethodError
from markai.text.profiles import PROFILES, Profile, describe

MAX_BYTES = 1 << 16


def load(path: Path) -> Profile:
    """Return the profile that a file holds: ``{"profile": "vllm-gumbel", "key": 42}``.

    Raises:
        MethodError: if the file cannot be read, or there is no such profile or setting.
    """
    try:
        with path.open("rb") as file:
            row = json.loads(file.read(MAX_BYTES + 1))
        settings: dict[str, Any] = dict(row)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise MethodError(f"{path} is no profile: {error} - write one JSON object with a profile and its key") from None
    name = settings.pop("profile", None)
    if not isinstance(name, str) or name not in PROFILES:
        known = "; ".join(f"{name}: {about}" for name, about in describe().items())
        raise MethodError(f"{path} names no profile that is known - choose from {known}")
    try:
        return PROFILES[name](**settings)
    except (TypeError, ValueError) as error:
        raise MethodError(f"{path}: {error} - {name} is {describe()[name]}") from None
