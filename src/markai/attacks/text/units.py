"""What texts are made of: words, the gaps around them, and characters that are not to be torn apart.

Where a script puts spaces between words (Latin, Cyrillic, Hangul, Devanagari, ...) a word is a run of letters and
digits with what hangs on them. Where it does not (Han, kana, Thai, Lao, Khmer, Burmese) every character is a word of
its own: to find longer ones takes a dictionary. Signs that combine with the character before stay with it.
"""

import re
import unicodedata
from itertools import chain, zip_longest

LETTER, DIGIT, CHARACTER, MARK, JOINER, APOSTROPHE, OTHER = "wdcmj'."
WORD = re.compile(r"[wd][wdmj]*(?:'[wd][wdmj]*)*|c[mj]*")
CLUSTER = re.compile(r".m*(?:jm*.m*)*")  # near enough to the extended grapheme clusters of Unicode, UAX 29

UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai and Lao; Burmese; Khmer
    *((0x2E80, 0x3130), (0x3190, 0xA4CF), (0xF900, 0xFAFF)),  # Han, kana, Yi, but not the Hangul in between
    *((0xFF66, 0xFF9F), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF)),  # halfwidth and old kana, rare Han
)
HANGUL_VOWELS_AND_FINALS = (0x1160, 0x11FF)  # letters by category, yet parts of the syllable before
SKIN_TONES = (0x1F3FB, 0x1F3FF)


class _Kinds(dict[int, str]):
    """The kind of every character met so far; a table for str.translate."""

    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(code)
        return kind


_KINDS = _Kinds()


def kinds(text: str) -> str:
    """Return one sign per character of the text: what it is.

    >>> kinds("It's 5 pm. 漢字"), LETTER, CHARACTER
    ("ww'w.d.ww..cc", 'w', 'c')
    """
    return text.translate(_KINDS)


def words(text: str) -> tuple[list[str], list[str]]:
    """Return the words, and the gaps: before, between and after them, one more than there are words.

    >>> words("Don't stop: 1,5 km.")
    (["Don't", 'stop', '1', '5', 'km'], ['', ' ', ': ', ',', ' ', '.'])
    >>> words("漢字 텍스트")
    (['漢', '字', '텍스트'], ['', '', ' ', ''])
    """
    spans = [found.span() for found in WORD.finditer(kinds(text))]
    edges = [0, *chain.from_iterable(spans), len(text)]
    return [text[start:end] for start, end in spans], [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def joined(words: list[str], gaps: list[str]) -> str:
    """Return the text of words and gaps in turn, a gap first where there are more gaps than words.

    >>> joined(["b", "c"], [" "])
    'b c'
    """
    first, second = (gaps, words) if len(gaps) > len(words) else (words, gaps)
    return "".join(chain.from_iterable(zip_longest(first, second, fillvalue="")))


def clusters(text: str) -> list[str]:
    """Return the characters, each with what combines with it.

    >>> [len(cluster) for cluster in clusters("e\\u0301a\\U0001f468\\u200d\\U0001f469")]
    [2, 1, 3]
    """
    return [text[slice(*found.span())] for found in CLUSTER.finditer(kinds(text))]


def unspaced(word: str) -> bool:
    """Whether no space belongs before or after the word, for its script has none."""
    return kinds(word[:1]) == CHARACTER


def _kind(code: int) -> str:
    character = chr(code)
    if character in "'’":
        return APOSTROPHE
    if character == "\u200d":
        return JOINER
    if _within(code, HANGUL_VOWELS_AND_FINALS) or _within(code, SKIN_TONES):
        return MARK
    # Cf: soft hyphens, joiners, tags and zero-width spaces are nothing for themselves.
    if unicodedata.category(character) in {"Mn", "Mc", "Me", "Cf"}:
        return MARK
    if not character.isalnum():
        return OTHER
    if any(_within(code, script) for script in UNSPACED):
        return CHARACTER
    return DIGIT if character.isdigit() else LETTER


def _within(code: int, ends: tuple[int, int]) -> bool:
    return ends[0] <= code <= ends[1]
