"""The soft binding: how a manifest names the watermark by which it can be found again."""

import base64
import binascii
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from markai.errors import SigningError

ASSERTION = "c2pa.soft-binding"
# The form of a name in C2PA's list of soft binding algorithms.
ALGORITHM = re.compile(r"[A-Za-z]{2,63}(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+\.?")
FORMAT_VERSION = 1
COMBINED = {"both": ("dwt-dct", "learned")}  # methods that write several marks, each of which is found by itself
NAMED_KEY = re.compile(r"markai key ([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class SoftBinding:
    """A watermark as a manifest states it: the algorithm's name and the ``value`` that it carries.

    The assertion's value is base64 text of the payload; the byte string that the specification asks for cannot be
    written through c2pa-python, and its reader shows one as the same text. ``key_id`` says which markai key reads the
    watermark, where that is known; the assertion has it as its name.

    >>> binding = SoftBinding.of("dwt-dct", b"acme:42")
    >>> binding.alg, binding.value, binding.matches(b"acme:42")
    ('com.markai.dwt-dct.1', 'YWNtZTo0Mg==', True)

    Raises:
        SigningError: if the name is not of the form that C2PA's list of algorithms asks for.
    """

    alg: str
    value: str
    key_id: str | None = None

    def __post_init__(self) -> None:
        if len(self.alg) > 255 or not ALGORITHM.fullmatch(self.alg):
            raise SigningError(f"{self.alg!r} is no name of an algorithm - use one such as com.example.mark.1")

    @classmethod
    def of(cls, method: str, payload: bytes, key_id: str | None = None) -> "SoftBinding":
        """Return the binding for a payload that a watermark method of markai carries, under a key."""
        return cls(algorithm_of(method), base64.b64encode(payload).decode(), key_id)

    @classmethod
    def all_of(cls, method: str, payload: bytes, key_id: str | None = None) -> "list[SoftBinding]":
        """Return a binding for each mark that a method writes.

        >>> [binding.alg for binding in SoftBinding.all_of("both", b"acme:42")]
        ['com.markai.dwt-dct.1', 'com.markai.learned.1']
        """
        return [cls.of(each, payload, key_id) for each in COMBINED.get(method, (method,))]

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """The bytes that the value may stand for: itself, and what it decodes to where it is base64."""
        texts = [self.value.encode("utf-8", "surrogatepass")]
        with suppress(binascii.Error, ValueError):
            texts.append(base64.b64decode(self.value, validate=True))
        return tuple(texts)

    def matches(self, payload: bytes) -> bool:
        """Say whether the value is this payload, as text or as base64 of it; an empty one matches nothing."""
        return bool(payload) and payload in self.payloads

    def to_assertion(self) -> dict[str, Any]:
        """Return the assertion; "scope" must be there, even empty."""
        named = {"name": f"markai key {self.key_id}"} if self.key_id else {}
        return {"alg": self.alg, "blocks": [{"scope": {}, "value": self.value}], **named}

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"alg": self.alg, "value": self.value} | ({"key_id": self.key_id} if self.key_id else {})


def algorithm_of(method: str) -> str:
    """Return the name of a watermark method among soft binding algorithms.

    >>> algorithm_of("text-bias")
    'com.markai.text-bias.1'

    Raises:
        SigningError: if the method's name does not fit into one.
    """
    return SoftBinding(f"com.markai.{method}.{FORMAT_VERSION}", "").alg


def algorithms_of(method: str) -> set[str]:
    """Return the names under which a manifest may state what was found by a method, or recorded with it.

    >>> sorted(algorithms_of("dwt-dct"))
    ['com.markai.both.1', 'com.markai.dwt-dct.1']

    Raises:
        SigningError: if the method's name does not fit into one.
    """
    related = [whole for whole, parts in COMBINED.items() if method in parts]
    return {algorithm_of(each) for each in (method, *COMBINED.get(method, ()), *related)}


def algorithms_among(methods: Collection[str]) -> set[str]:
    """Return the names of what is found by looking for these methods.

    >>> sorted(algorithms_among(["dwt-dct", "learned"]))
    ['com.markai.both.1', 'com.markai.dwt-dct.1', 'com.markai.learned.1']
    """
    wholes = [whole for whole, parts in COMBINED.items() if set(parts) <= set(methods)]
    return {algorithm_of(each) for each in (*methods, *wholes)}


def from_assertion(data: Any) -> list[SoftBinding]:
    """Return the bindings that an assertion states; what is not well-formed is passed over."""
    found = []
    blocks = data.get("blocks") if isinstance(data, dict) else None
    for block in blocks if isinstance(blocks, list) else []:
        value = block.get("value") if isinstance(block, dict) else None
        try:
            if isinstance(value, str):
                found.append(SoftBinding(data.get("alg"), value, _key_named(data.get("name"))))
        except (SigningError, TypeError):
            continue
    return found


def _key_named(name: Any) -> str | None:
    found = NAMED_KEY.fullmatch(name) if isinstance(name, str) else None
    return found[1] if found else None
