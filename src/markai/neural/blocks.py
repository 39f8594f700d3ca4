"""The blocks of ``watermarks.tensors``, under the name by which the networks know them."""

from markai.watermarks.tensors.blocks import HOST_STIFFNESS, Blocks

__all__ = ["HOST_STIFFNESS", "Blocks"]
