"""Methods that are broken on purpose, to check the instrument: what it must say of them is known."""

import hashlib

import numpy as np

from markai.bench.peers.common import Bits, Pixels, checked


class RandomBits:
    """``control/random-bits``: leaves the picture as it is, and reads bits that have nothing to do with a message.

    The bits are the SHA-256 of size and pixels: the same for the same picture, as a real decoder's are. Under every
    attack and on every picture it must come out at its nominal false-positive rate, no better and no worse.

    >>> RandomBits().extract(np.zeros((8, 8, 3), np.uint8))[:8]
    array([0, 1, 1, 0, 0, 0, 1, 1], dtype=uint8)
    """

    name = "control/random-bits"
    bits = 64
    adjustable = False

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:  # noqa: ARG002
        """Return a copy of the pixels.

        Raises:
            PayloadError: if the message is not 64 zeros and ones.
        """
        checked(message, self.bits, self.name)
        return pixels.copy()

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:  # noqa: ARG002
        """Return 64 bits that depend on every pixel and on nothing else."""
        digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()
        return np.unpackbits(np.frombuffer(digest, np.uint8))[: self.bits]
