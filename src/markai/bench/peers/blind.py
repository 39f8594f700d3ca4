"""blind-watermark 0.4.4: a mark in the singular values of 4x4 DCT blocks, in all three planes.

MIT; by guofei9987; no weights. Passwords 1 and 1, as it comes.
"""

from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np

from markai.bench.peers.common import BENCH, Bits, Pixels, checked, quietly, require, too_small

INSTALL = "--no-deps blind-watermark==0.4.4"
STEPS = (36.0, 20.0)  # d1 and d2: of the first and the second singular value, at their defaults


class BlindWatermark:
    """``blind-watermark`` in its mode "bit" with 32 bits.

    ``strength`` scales the two steps of the quantiser (d1 = 36, d2 = 20 at 1), so reading needs it too.
    """

    name = "blind-watermark"
    bits = 32
    adjustable = True

    def __init__(self) -> None:
        """
        Raises:
            MissingExtraError: if the package, OpenCV or PyWavelets is not installed.
        """
        require(self.name, blind_watermark=INSTALL, cv2=BENCH, pywt=BENCH)

    def embed(self, pixels: Pixels, message: Bits, strength: float = 1.0) -> Pixels:
        """Return the marked pixels, rounded as OpenCV rounds when the package writes its file.

        Raises:
            CapacityError: if the picture has no more than 32 blocks (of 8x8 pixels).
            PayloadError: if the message is not 32 zeros and ones.
        """
        content = checked(message, self.bits, self.name)
        self._check(pixels, marked=False)
        mark = self._mark(strength)
        mark.read_img(img=pixels[..., ::-1])
        mark.read_wm(content, mode="bit")
        return np.ascontiguousarray(np.rint(mark.embed()[..., ::-1]).astype(np.uint8))

    def extract(self, pixels: Pixels, strength: float = 1.0) -> Bits:
        """Return the 32 bits read.

        Raises:
            ImageError: if the picture has no more than 32 blocks (of 8x8 pixels).
        """
        self._check(pixels, marked=True)
        with quietly(RuntimeWarning):  # where all blocks agree, its clustering takes the mean of none
            found = self._mark(strength).extract(embed_img=pixels[..., ::-1], wm_shape=self.bits, mode="bit")
        return np.asarray(found, np.uint8)

    def _check(self, pixels: Pixels, *, marked: bool) -> None:
        rows, columns = ((side + 1) // 2 // 4 for side in pixels.shape[:2])
        if rows * columns <= self.bits:
            raise too_small(self.name, pixels, f"more than {self.bits} blocks of 8x8 pixels", marked=marked)

    @staticmethod
    def _mark(strength: float) -> Any:
        mark = package().WaterMark()
        mark.bwm_core.d1, mark.bwm_core.d2 = (step * strength for step in STEPS)
        return mark


@cache
def package() -> Any:
    """Return the package, silent, and without what it does to its process.

    At import it makes "fork" the way to start processes, which fails where a way was chosen before, as in every worker
    that was started otherwise; and the first mark prints a notice.
    """
    with patch("multiprocessing.set_start_method"):
        import blind_watermark
    blind_watermark.bw_notes.close()
    return blind_watermark
