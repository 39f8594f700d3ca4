"""What a text said, in two kilobytes, and whether another text says the same, or is a part of it, or holds it.

A sketch holds the COUNT smallest hashes of the text's shingles of LENGTH characters: a random sample of them (bottom-k
sketch, Cohen and Kaplan, PODC 2007). Of the text at hand all shingles are known, so that those whose hash is no larger
than the sketch's largest tell how much of it is in the recorded text, and the sketch how much of that is in the one at
hand. The score is the larger of the two shares: 1 for an excerpt, and for what was put into a longer text.

Of 1,500 pairs of passages from 20 sources (prose, code, five languages; 600 to 40,000 characters) those of different
sources scored up to 0.18, of one source up to 0.26 (0.44 where one was a tenth of the other); with every tenth word
substituted 0.51 and more, with every third 0.1 and more.
"""

import hashlib
import struct
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LENGTH = 8  # characters; with 5 any two long texts of one author score up to 0.7, with 12 edits break too many
COUNT = 512
HEADER = struct.Struct(">BI")  # version, characters
VERSION = 1
SAME, DIFFERENT = 0.5, 0.1
LEAST = 30  # shingles that a share rests on

Hashes = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class TextAgreement:
    """How well a text agrees with a sketch: the ``score``, and the number of shingles that it rests on.

    >>> TextAgreement(0.9, 100).verdict, TextAgreement(0.9, 10).verdict, TextAgreement(0.0, 100).verdict
    ('same', 'unclear', 'different')
    """

    score: float
    support: int

    @property
    def verdict(self) -> Literal["same", "different", "unclear"]:
        """``same`` or ``different`` where the score says so and rests on enough, else ``unclear``."""
        if self.support < LEAST or DIFFERENT < self.score < SAME:
            return "unclear"
        return "same" if self.score >= SAME else "different"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"verdict": self.verdict, "score": round(self.score, 4), "support": self.support}


def text_sketch(text: str) -> bytes:
    """Return the sketch of a text; case, width and white space do not matter.

    >>> len(text_sketch("a short text")), text_sketch("A  short TEXT") == text_sketch("a short text")
    (25, True)
    """
    plain = _plain(text)
    return HEADER.pack(VERSION, len(plain)) + _hashes(plain)[:COUNT].astype(">u4").tobytes()


def text_agreement(sketched: bytes, text: str) -> TextAgreement:
    """Return how well a text agrees with the sketch of a record.

    >>> text = "the quick brown fox jumps over the lazy dog and runs into the forest before anybody sees it"
    >>> text_agreement(text_sketch(text), text[20:]).score
    1.0

    Raises:
        ValueError: if the sketch is damaged.
    """
    kept = _kept(sketched)
    here = _hashes(_plain(text))
    largest = kept[-1] if len(kept) == COUNT else np.uint32(np.iinfo(np.uint32).max)
    sampled = here[here <= largest]
    shared = len(np.intersect1d(kept, sampled, assume_unique=True))
    supports = [len(sample) for sample in (kept, sampled)]
    shares = [TextAgreement(shared / max(1, support), support) for support in supports]
    if same := [each for each in shares if each.verdict == "same"]:
        return max(same, key=lambda each: each.score)
    # A difference rests on both: of a long text little is in an excerpt.
    return TextAgreement(max(each.score for each in shares), min(supports))


def _kept(sketched: bytes) -> Hashes:
    if len(sketched) < HEADER.size + 4 or sketched[0] != VERSION or (len(sketched) - HEADER.size) % 4:
        raise ValueError("this is not the sketch of a text that this markai knows")
    return np.frombuffer(sketched, ">u4", offset=HEADER.size).astype(np.uint32)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _hashes(plain: str) -> Hashes:
    """Return the hashes of the distinct shingles, the smallest first: 32 bits of their BLAKE2b."""
    shingles = {plain[at : at + LENGTH] for at in range(max(1, len(plain) - LENGTH + 1))}
    digests = b"".join(
        hashlib.blake2b(each.encode("utf-8", "surrogatepass"), digest_size=4).digest() for each in shingles
    )
    return np.unique(np.frombuffer(digests, ">u4").astype(np.uint32))
