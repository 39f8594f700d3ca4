"""Signing: metadata first, then the manifest over all of it, the old one kept as an ingredient."""

import os
from collections.abc import Sequence
from typing import Any, Self

import markai.provenance.c2pa_adapter as c2pa_adapter
import markai.provenance.jumbf as jumbf
import markai.provenance.media as media
import markai.provenance.xmp as xmp
import markai.provenance.xmp_bmff as xmp_bmff
import markai.provenance.xmp_files as xmp_files
from markai.errors import SigningError
from markai.provenance.c2pa_adapter import Failure
from markai.provenance.claim import Claim
from markai.provenance.manifest import definition
from markai.provenance.signer import Signer
from markai.provenance.softbinding import SoftBinding
from markai.provenance.trust import Trust

Data = bytes | str | os.PathLike[str]
# c2pa rewrites these to sign them, so that a manifest beside them does not fit.
MOVED_BY_C2PA = {"image/avif", "image/heic", "image/heif"}  # by a box before the pictures, to which tables point
BESIDE = "sign it with a sidecar (embed=False), or export it again in another form"
NEVER_BESIDE = {"application/pdf", "application/zip", "application/epub+zip"}


class Signed(bytes):
    """The signed file as bytes, and what belongs to it.

    Attributes:
        sidecar: the manifest store, where the file cannot hold it; it goes beside the file as NAME.c2pa.
        manifest: the manifest store in any case, for a registry.
        manifest_id: the label of the manifest in it.
        mime: the media type of the file.
        time_stamped: whether an authority gave a time stamp.
    """

    sidecar: bytes | None
    manifest: bytes
    manifest_id: str
    mime: str
    time_stamped: bool

    def __new__(cls, data: bytes, *, store: bytes, embedded: bool, mime: str, time_stamped: bool) -> Self:
        signed = super().__new__(cls, data)
        signed.manifest, signed.sidecar = store, None if embedded else store
        signed.manifest_id, signed.mime, signed.time_stamped = jumbf.active_label(store), mime, time_stamped
        return signed

    @property
    def data(self) -> bytes:
        """The file as plain bytes."""
        return bytes(self)

    def __getnewargs_ex__(self) -> Any:
        named = {"embedded": self.sidecar is None, "mime": self.mime, "time_stamped": self.time_stamped}
        return (bytes(self),), {"store": self.manifest, **named}


def sign(
    data: Data,
    signer: Signer,
    claim: Claim,
    *,
    parent: Data | None = None,
    bindings: Sequence[SoftBinding] = (),
    watermarked: bool = False,
    mime: str | None = None,
    embed: bool | None = None,
    metadata: bool = True,
) -> Signed:
    """Sign a file with a C2PA manifest that makes a claim about it.

    Args:
        data: the bytes of a file, or its path; neither is changed.
        signer: whose certificate signs, and whether there is a time stamp.
        claim: what is said. Where the kind of file allows, it is also written as IPTC and TC260 metadata (XMP), before
            the signature, without touching the pixels; not with ``metadata=False``.
        parent: what the content was made from, such as the picture before it was marked; its manifests are kept. A
            file that has a manifest is its own parent, so that signing again never drops the history.
        bindings: the watermarks in the content that lead back to this manifest.
        watermarked: whether there is a watermark, where no binding says so (one without a payload).
        mime: the media type of what has no signature of its own, such as text/plain.
        embed: whether the manifest goes into the file. By default where it can; otherwise ``sidecar`` of the result
            holds it, for any kind of file.

    >>> import markai
    >>> from markai.provenance import Claim
    >>> signed = markai.sign(b"a text", markai.Signer.development(), Claim("Acme", "LM", "2"), mime="text/plain")
    >>> signed.data, signed.mime, signed.sidecar == signed.manifest
    (b'a text', 'text/plain', True)

    Raises:
        SigningError: if it cannot be signed; if it holds a damaged manifest, which could not be kept.
        TimestampError: if the signer requires a time stamp, and there is none.
        ImageError: if a path cannot be read.
        MissingExtraError: without c2pa-python.
    """
    source = media.load(data, mime)
    inside = _embeds(source.mime, embed)
    if inside and source.mime == "image/tiff" and xmp_files.has_pages(source.data):
        raise SigningError(f"c2pa would destroy all pages of this TIFF file but the first - {BESIDE}")
    origin = _origin(source, media.load(parent) if parent is not None else None, replaces=inside)
    content = xmp_files.write(source.data, source.mime, xmp.claim_fields(claim)) if metadata and inside else source.data
    made = definition(claim, bindings, edits=origin is not None, watermarked=watermarked)
    result, store, stamped = c2pa_adapter.sign(
        content,
        source.mime,
        made,
        signer,
        parent=origin and (origin.data, origin.mime),
        embed=inside,
        soft_binding_algorithms=[binding.alg for binding in bindings],
    )
    if inside and source.mime in MOVED_BY_C2PA and xmp_bmff.contents(content) != xmp_bmff.contents(result):
        raise SigningError(f"c2pa would destroy this picture, whose parts it moves - {BESIDE}")
    return Signed(result, store=store, embedded=inside, mime=source.mime, time_stamped=stamped)


def _embeds(mime: str, wanted: bool | None) -> bool:
    can = mime in c2pa_adapter.embeddable()
    if wanted and not can:
        raise SigningError(f"a file of type {mime} holds no manifest - leave embed out for a sidecar beside it")
    if wanted is False and mime in NEVER_BESIDE:
        raise SigningError(f"a manifest beside a file of type {mime} never fits - leave embed out to put it inside")
    return can if wanted is None else wanted


def _origin(source: media.Source, parent: media.Source | None, *, replaces: bool) -> media.Source | None:
    """Return what becomes the parent ingredient: what was given, else the file itself where it has a manifest."""
    candidate = parent or source
    if candidate.mime not in c2pa_adapter.embeddable():
        return parent
    found = c2pa_adapter.read(candidate.data, candidate.mime, Trust.none())
    if isinstance(found, Failure) and (found.kind != "damaged" or not replaces):
        return parent
    if isinstance(found, Failure):
        advice = "sign an undamaged copy, or export it again without its metadata"
        raise SigningError(f"the file or its manifest is damaged and would be lost ({found.problem}) - {advice}")
    return candidate
