"""The learned mark: a network writes the tile of ``dwt-dct``'s lattice, another reads it. Needs the extra ``torch``.

What is learned is where the energy goes (``model.Embedder``) and what is host and what is mark (``model.Extractor``).
What the key decides, the code, the search and the p-value stay what they are: see ``docs/learned.md``.
"""

from importlib.util import find_spec

from markai.errors import MissingExtraError

if find_spec("torch") is None:
    raise MissingExtraError.naming("torch", "torch", "learned marks")
