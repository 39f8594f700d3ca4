"""The learned mark: a network writes the tile of ``dwt-dct``'s lattice, another reads it.

What is learned is where the energy goes (``model.Embedder``) and what is host and what is mark (``model.Extractor``).
What the key decides, the code, the search and the p-value stay what they are: see ``docs/learned.md``.

:mod:`markai.neural.runtime` runs the networks with ONNX Runtime or torch, whichever is there, and imports neither
before it is used. Training, batches on a GPU and export need the extra ``torch``.
"""
