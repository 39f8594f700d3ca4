"""The register of the attacks on texts, and the strength that most of them share."""

from markai.attacks.registry import Register, Strength
from markai.errors import MethodError


def _check(text: str) -> None:
    if not isinstance(text, str):
        raise MethodError(f"attacks on texts take a str, not {type(text).__name__} - decode bytes, join lists first")


TEXTS = Register[str](_check)
WORDS_HIT = Strength("share of the words", 0, 1, default=0.1)
WORDS_KEPT = Strength("share of the words kept", 0, 1, default=0.5)
