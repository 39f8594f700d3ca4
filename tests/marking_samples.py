"""What the tests of marking and inspecting share: markers and inspectors of one company, files made and unmade."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from markai import Inspector, Key, KeyRing, Marker, Trust
from markai.image_containers import png_chunks
from markai.provenance.media import media_type
from provenance_samples import signer

KEY = Key(bytes(range(32)))
OTHER_KEY = Key(bytes(32))
PICTURE = Path(__file__).parents[1] / "examples" / "data" / "lighthouse.png"
TRUST = signer("Acme").trust()
Pixels = NDArray[np.uint8]


def marker(registry: Any = None, key: Key = KEY, org: str = "Acme", **options: Any) -> Marker:
    """A marker of AcmeGen 2.1."""
    return Marker(
        key, signer=signer(org), registry=registry, provider="Acme", system="AcmeGen", version="2.1", **options
    )


def inspector(
    registry: Any = None, key: Key | KeyRing | None = KEY, trust: Trust | None = None, **options: Any
) -> Inspector:
    """An inspector that trusts Acme and, unless it is asked, does not look for several marks."""
    options = {"thorough": False} | options
    return Inspector(key, trust=TRUST if trust is None else trust, registry=registry, **options)


def encoded(pixels: Pixels, name: str = "PNG", **options: Any) -> bytes:
    """A file of pixels, without anything else in it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


def decoded(data: bytes) -> Pixels:
    """The pixels of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def with_manifest_of(signed: bytes, pixels: Pixels) -> bytes:
    """A PNG of other pixels that has the manifest, and the metadata, of a signed PNG."""
    assert media_type(signed) == "image/png"
    taken = b"".join(bytes(chunk) for kind, chunk in png_chunks(signed) if kind in (b"caBX", b"iTXt"))
    plain = encoded(pixels)
    return plain[:33] + taken + plain[33:]
