"""Fingerprints of 64 bits: what looks, or reads, nearly the same differs in a few of them."""

import hashlib
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import MissingExtraError
from markai.image_arrays import to_pil
from markai.provenance.registry.likeness import on_white

SHINGLE = 5  # characters, so that languages without spaces work as well
BITS = 64


def fingerprint(pixels: NDArray[Any], alpha: NDArray[Any] | None = None) -> bytes:
    """Return ImageHash's ``phash`` of canonical pixels (``image.open_picture``), what is transparent on white.

    The signs, against their median, of the 8 x 8 lowest frequencies of the picture shrunk to 32 x 32. JPEG, resizing
    and brightness change up to 10 bits, different pictures differ in 16 and more (docs/registry.md); a crop changes it
    beyond recognition, for which records keep a sketch.

    >>> fingerprint(np.arange(256, dtype=np.uint8).reshape(16, 16, 1)).hex()
    '802a552a552a552a'

    Raises:
        MissingExtraError: if ImageHash is not installed.
    """
    try:
        from imagehash import phash
    except ModuleNotFoundError:
        raise MissingExtraError.naming("imagehash", "registry", "fingerprints of pictures") from None
    shown = _eight_bits(on_white(pixels, alpha))
    image = to_pil(shown[..., 0], "L") if shown.shape[2] == 1 else to_pil(shown, "RGB")
    return np.packbits(phash(image).hash).tobytes()


def text_fingerprint(text: str) -> bytes:
    """Return the SimHash (Charikar, STOC 2002) of a text's shingles of five characters.

    Case, width and white space do not matter. Each bit is the sign of a sum over the distinct shingles, of +1 or -1 by
    that bit of the shingle's BLAKE2b: texts that share most shingles agree in most bits.

    >>> one, other = (text_fingerprint(f"the quick brown fox jumps over the lazy {x} " * 9) for x in ("dog", "cat"))
    >>> hamming(one, other) < 20, text_fingerprint("The  Quick") == text_fingerprint("the quick")
    (True, True)
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    shingles = sorted({plain[at : at + SHINGLE] for at in range(max(1, len(plain) - SHINGLE + 1))})
    digests = b"".join(
        hashlib.blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).digest() for each in shingles
    )
    bits = np.unpackbits(np.frombuffer(digests, np.uint8).reshape(-1, 8), axis=1)
    return np.packbits(2 * bits.sum(axis=0, dtype=np.int64) > len(shingles)).tobytes()


def hamming(one: bytes, other: bytes) -> int:
    """Return in how many bits two fingerprints differ.

    >>> hamming(b"\\x0f", b"\\x00")
    4
    """
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return np.asarray((pixels.astype(np.uint32) * 255 + 32767) // 65535, np.uint8)
    return np.asarray(np.rint(pixels * np.float32(255)), np.uint8)
