"""The ``dwt-dct`` mark: the tile written by ``informed`` and read where local 8x8 transforms have levelled the host."""

from markai.watermarks.form import DWT_DCT
from markai.watermarks.tiled import Tiled


class DwtDct(Tiled):
    """See the module; built by ``markai.watermarks.load("dwt-dct")``."""

    name = DWT_DCT.name

    def __init__(self) -> None:
        super().__init__(DWT_DCT)
