"""Up to four bytes in a text: authenticated, polar-coded, a bit of the code word for each window of tokens.

Format 1, fixed forever by ``tests/vectors/text_message.json``: the payload and two bytes of MAC, most significant bit
first, in the polar code of length 256 (``payload.frozen_set``). The MAC is the beginning of HMAC-SHA256 under
``key.derive("text mac v1")`` of version (1), length and payload. It tells the lengths apart and picks the word from
the decoder's list.
"""

import hmac
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from markai._kernels import polar_encode, polar_list_decode
from markai.errors import PayloadError
from markai.keys import Key
from markai.payload import Decoded, frozen_set

FORMAT_VERSION = 1
CODE_BITS = 256
MAX_PAYLOAD = 4
MAC_BYTES = 2
LIST_SIZE = 16


@lru_cache(maxsize=256)
def encode(payload: bytes, key: Key) -> NDArray[np.uint8]:
    """Return the (256,) coded bits of a payload of 1 to 4 bytes.

    >>> encode(b"acme", Key(bytes(32))).shape
    (256,)

    Raises:
        PayloadError: if the payload is not bytes, empty or longer than 4.
    """
    if not isinstance(payload, bytes) or not 1 <= len(payload) <= MAX_PAYLOAD:
        raise PayloadError(
            f"a text carries 1 to {MAX_PAYLOAD} bytes, not {payload!r} - mark an id, store the data elsewhere"
        )
    word = np.zeros(CODE_BITS, np.uint8)
    frame = np.frombuffer(payload + _mac(payload, key), np.uint8)
    word[_frozen(len(payload)) == 0] = np.unpackbits(frame)
    coded = polar_encode(word)
    coded.flags.writeable = False
    return coded


def decode(llr: NDArray[np.float32], key: Key) -> Decoded:
    """Return the payload whose MAC verifies among the likeliest code words, the shortest payloads first.

    ``llr`` (256,) is positive for bit 0 and 0 where nothing is known; only the proportions matter.

    >>> soft = 1 - 2 * encode(b"acme", Key(bytes(32))).astype(np.float32)
    >>> decode(soft, Key(bytes(32))).payload, decode(-soft, Key(bytes(32))).payload
    (b'acme', None)
    """
    checked = 0
    for size in range(1, MAX_PAYLOAD + 1):
        frozen = _frozen(size)
        words, _ = polar_list_decode(llr, frozen, LIST_SIZE)
        for frame in np.packbits(words[:, frozen == 0], axis=1):
            payload, mac = frame[:size].tobytes(), frame[size:].tobytes()
            checked += 1
            if hmac.compare_digest(mac, _mac(payload, key)):
                return Decoded(payload, checked)
    return Decoded(None, checked)


def _frozen(size: int) -> NDArray[np.uint8]:
    return frozen_set(8 * (size + MAC_BYTES), CODE_BITS)


def _mac(payload: bytes, key: Key) -> bytes:
    message = bytes([FORMAT_VERSION, len(payload)]) + payload
    return hmac.digest(key.derive("text mac v1"), message, "sha256")[:MAC_BYTES]
