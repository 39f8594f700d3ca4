"""``Marker``: watermark, metadata, signature and record of a picture in one call, all of them or none.

The order is what makes the four fit: the payload is drawn first, the pixels are marked and encoded, metadata (XMP) goes
in, the signature is made over all of it, and last of all the record is written, in one transaction. Nothing is handed
over, and no file has its name, before the record is on the disk. So whatever fails and whenever a process is killed,
there is no marked file that the registry does not know; there may be a record whose file never came to be, which leads
nobody anywhere.
"""

import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from markai import image as pictures
from markai import image_export, provenance, watermarks
from markai.api import DEFAULT_METHOD, STRENGTHS
from markai.detection import Detection
from markai.errors import CapacityError, KeyFileError, MethodError, PayloadError
from markai.files import read_picture, staged
from markai.image_arrays import Array
from markai.keys import Key
from markai.payload import MAX_PAYLOAD
from markai.provenance import Claim, Signed, Signer, SoftBinding, Tc260

if TYPE_CHECKING:
    from markai.provenance.registry import Record, Registry

RANDOM_BYTES = 8  # of a payload that nobody chose
NEW_FORMAT = "png"  # of what is no file yet
AGAIN = 1.5  # times as strong over an earlier mark of the same key: at 1 every second picture shows the earlier one
FPR = 1e-6  # for the mark that is there already, and for reading back what lossy formats kept

log = logging.getLogger("markai")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What :meth:`Marker.mark` made.

    ``data`` is the file, with its manifest inside; where its format holds none, ``sidecar`` is the manifest, to lie
    beside it as NAME.c2pa. ``payload`` is what the mark carries, ``record_id`` names the record in the registry (None
    without one), ``manifest`` and ``manifest_id`` the manifest. ``earlier`` is the mark that was in the picture before,
    where one of the same key was noticed.
    """

    data: bytes = field(repr=False)
    payload: bytes
    method: str
    key_id: str
    mime: str
    claim: Claim
    manifest: bytes = field(repr=False)
    manifest_id: str
    sidecar: bytes | None = field(default=None, repr=False)
    record_id: str | None = None
    time_stamped: bool = False
    earlier: Detection | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, and its sidecar where there is one, whole or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        with ExitStack() as stack:
            self.stage(Path(path), stack)

    def stage(self, path: Path, stack: ExitStack) -> None:
        """Write the file beside its name; it gets its name, after its sidecar, when the stack is left."""
        stack.enter_context(staged(path, self.data))
        if self.sidecar is not None:
            stack.enter_context(staged(path.with_name(path.name + ".c2pa"), self.sidecar))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the file and the manifest."""
        names = ("method", "key_id", "mime", "manifest_id", "record_id", "time_stamped")
        return {
            "payload": self.payload.hex(),
            **{name: getattr(self, name) for name in names},
            "sha256": sha256(self.data).hexdigest(),
            "claim": self.claim.to_dict(),
            "earlier": self.earlier and self.earlier.to_dict() | {"coverage": None},
        }


class Marker:
    """Marks what one system makes, under one key and one signer. Threads may share it; ``close`` it or use ``with``.

    ``provider``, ``system`` and ``version`` are what the manifests claim, :meth:`claim` adds to that. ``registry`` is
    the URL of a registry, or one that is open. ``source_type`` is a name of IPTC's list, ``tc260_producer`` adds
    China's label. ``method``, ``strength`` and ``threads`` are as in ``markai.embed``. A chain for development that
    was read from files is refused unless ``development`` says that it is meant.

    >>> import markai, numpy
    >>> marker = Marker(Key(bytes(32)), signer=Signer.development("Acme"), registry="sqlite:///markai.db",
    ...                 provider="Acme", system="AcmeGen", version="2.1")
    >>> out = marker.mark(numpy.full((300, 400, 3), 128, numpy.uint8))
    >>> markai.detect(out.data, Key(bytes(32))).payload == out.payload, markai.verify(out.data).claim.system
    (True, 'AcmeGen')
    >>> marker.close()

    Raises:
        KeyFileError: if ``key`` is not a markai.Key.
        CertificateError: if the signer is for development, and nobody said that this is meant.
        MethodError: if there is no such method, or the strength is out of range.
        SigningError: if the claim is not well-formed.
        RegistryError: if the registry cannot be opened.
        MissingExtraError: if what the registry or the signer needs is not installed.
    """

    def __init__(
        self,
        key: Key,
        *,
        signer: Signer,
        registry: "str | Registry | None" = None,
        provider: str,
        system: str,
        version: str,
        method: str = DEFAULT_METHOD,
        strength: float = 1.0,
        threads: int = 1,
        source_type: str = "trainedAlgorithmicMedia",
        tc260_producer: str | None = None,
        development: bool = False,
    ) -> None:
        if not isinstance(key, Key):
            raise KeyFileError(f"a mark is made with one markai.Key, not {type(key).__name__} - markai.Key.load(path)")
        if not STRENGTHS[0] <= strength <= STRENGTHS[1]:
            raise MethodError(f"strength {strength} is out of range - choose {STRENGTHS[0]} to {STRENGTHS[1]}")
        self.key, self.signer = key, signer if development else signer.require_production()
        self._method, self._strength, self._threads = method, strength, threads
        self._mark = watermarks.load(method)
        self._said = Claim(provider, system, version, source_type=source_type)
        self._producer = tc260_producer
        self.claim()  # a wrong producer is an error now, not at the first picture
        self._registry, self._owns_registry = _opened(registry), isinstance(registry, str)

    def claim(self, **changed: Any) -> Claim:
        """Return a new claim with its own id and time; ``changed`` are fields of ``markai.provenance.Claim``.

        Raises:
            SigningError: if a field is not well-formed.
        """
        said = self._said
        made = Claim(said.provider, said.system, said.version, **{"source_type": said.source_type} | changed)
        if self._producer and made.tc260 is None:
            made = replace(made, tc260=Tc260(self._producer, made.id))
        return made

    def mark(
        self,
        image: Any,
        format: str | None = None,
        payload: bytes | Sequence[bytes] | None = None,
        *,
        quality: int | None = None,
        claim: Claim | Sequence[Claim] | None = None,
    ) -> Any:
        """Return a file that is marked, described, signed and recorded, as :class:`Marked`; of a batch, a list.

        ``image`` is anything that ``markai.embed`` takes. Bytes of a file keep their format and metadata unless
        ``format`` ("png", "jpeg", "webp", "avif", "tiff") asks for another; everything else becomes a new file, PNG by
        default; ``quality`` is then that of JPEG, WebP and AVIF. A manifest that is in the bytes stays as an
        ingredient; a mark of the same key that is in the pixels is noticed, and the new one made strong enough to be
        the one that is found. ``payload`` is drawn by the registry, or at random without one, unless it is given;
        ``claim`` is a new one unless it is given, made by :meth:`claim`. A batch takes one of each for every picture.

        All or nothing: where this raises, the registry has no record of it, and of a batch none of any.

        Raises:
            ImageError: if a picture cannot be read or written.
            CapacityError: if one cannot carry the mark.
            PayloadError: if a payload is not one, or there is not one payload and claim for each picture.
            SigningError: if it cannot be signed, or holds a damaged manifest that would be lost.
            TimestampError: if the signer requires a time stamp and there is none.
            RegistryError: if the record cannot be written.
            PayloadTakenError: if a payload that was given is recorded already.
        """
        batch = None if isinstance(image, str | os.PathLike) else pictures.split_batch(image)
        items = [image] if batch is None else batch[0]
        payloads = self._payloads(_of_each(payload, bytes, "payload", batch is not None, len(items)), len(items))
        claims = _of_each(claim, Claim, "claim", batch is not None, len(items)) or [self.claim() for _ in items]
        drafts = [
            self._draft(item, format, carried, quality, said)
            for item, carried, said in zip(items, payloads, claims, strict=True)
        ]
        self._commit(drafts)
        made = [draft.marked for draft in drafts]
        return made[0] if batch is None else made

    def mark_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        format: str | None = None,
        payload: bytes | None = None,
        *,
        quality: int | None = None,
        claim: Claim | None = None,
    ) -> Marked:
        """Mark one file into another, with a sidecar beside it where its format holds no manifest.

        The file is written under another name first, then the record, then it gets its own: at that name there is
        never half a file, and never one without a record. What is there already is replaced.

        Raises:
            OutputError: if it cannot be written; nothing is recorded, unless it could not get its name at the very end.
            MarkaiError: as :meth:`mark` does.
        """
        data = read_picture(Path(source), pictures.MAX_BYTES)
        (carried,) = self._payloads(_of_each(payload, bytes, "payload", False, 1), 1)
        draft = self._draft(data, format, carried, quality, claim or self.claim())
        with ExitStack() as stack:
            draft.marked.stage(Path(target), stack)
            self._commit([draft])
        return draft.marked

    def close(self) -> None:
        """Close the registry that this opened."""
        if self._registry is not None and self._owns_registry:
            self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<markai.Marker {self.key.id}, {self.signer!r}, {self._registry!r}>"

    def reserve(self, size: int = RANDOM_BYTES) -> bytes:
        """Return a payload that no record has: what is to carry it can be made first and marked then.

        Nothing is written, so that one of few bytes may be taken by the time that it is recorded; that raises
        PayloadTakenError then.

        Raises:
            PayloadError: if the size is not 1 to 16 bytes.
            RegistryError: if the registry fails.
        """
        if not 1 <= size <= MAX_PAYLOAD:
            raise PayloadError(f"a payload has 1 to {MAX_PAYLOAD} bytes, not {size}")
        while True:
            payload = secrets.token_bytes(size)
            if self._registry is None or not self._registry.find(payload, self.key.id):
                return payload

    def recorded(self, file: bytes) -> "Record | None":
        """Return the record of a file that is byte for byte what was marked and holds its manifest; else None.

        Raises:
            RegistryError: if the registry fails.
        """
        manifest_id = provenance.verify(file).manifest_id if self._registry is not None else None
        record = self._registry.find_manifest(manifest_id) if self._registry is not None and manifest_id else None
        return record if record and record.sha256 == sha256(file).digest() else None

    def _payloads(self, given: list[bytes] | None, count: int) -> list[bytes]:
        """Return what each of so many pictures is to carry."""
        if given is None:
            return [self.reserve() for _ in range(count)]
        if self._registry is not None and (b"" in given or len(set(given)) < count):
            raise PayloadError("the registry finds a record by its payload - give each one of its own, 1 to 16 bytes")
        return given

    def _draft(self, image: Any, format: str | None, payload: bytes, quality: int | None, claim: Claim) -> "_Draft":
        """Do everything but the record."""
        pixels = _Pixels(self, payload)
        file = bytes(image) if isinstance(image, bytes | bytearray | memoryview) else None
        if file is not None and (format is None or image_export.format_name(format) == pictures.file_format(file)):
            if quality is not None:
                raise MethodError("a file keeps its own quality - leave quality out, or ask for another format")
            data, lossy = pictures.edit(file, pixels.change)
        else:
            data, lossy = image_export.edit_into(image, pixels.change, format or NEW_FORMAT, quality)
        if lossy or pixels.earlier:
            self._read_back(data, payload, pixels.earlier)
        bindings = [SoftBinding.of(self._method, payload, self.key.id)] if payload else []
        signed = provenance.sign(
            data, self.signer, claim, parent=_with_manifest(file), bindings=bindings, watermarked=True
        )
        record = self._record(signed, payload, claim, pixels) if self._registry is not None else None
        return _Draft(self._marked(signed, payload, claim, pixels.earlier, record), record)

    def _read_back(self, data: bytes, payload: bytes, earlier: Detection | None) -> None:
        look = self._mark.look(pictures.open_picture(data, read_only=True).pixels)
        if self._glance(look).payload != payload and self._mark.find(look, self.key, FPR).payload != payload:
            advice = "use a lossless format, a higher quality, or a greater strength"
            why = "; the one that was there before is in the way, so mark the original if you can" if earlier else ""
            raise CapacityError(f"the mark does not survive being written in this format and quality{why} - {advice}")

    def _glance(self, look: Any) -> Detection:
        if isinstance(self._mark, watermarks.GlancingMark):
            return self._mark.glance(look, self.key, FPR)
        return self._mark.find(look, self.key, FPR)

    def _record(self, signed: Signed, payload: bytes, claim: Claim, pixels: "_Pixels") -> "Record":
        from markai.provenance.registry import Record

        assert pixels.looks is not None
        earlier = pixels.earlier
        before = {"earlier": f"{earlier.key_id}:{(earlier.payload or b'').hex()}"} if earlier else {}
        return Record(
            payload=payload,
            key_id=self.key.id,
            method=self._method,
            media_type=signed.mime,
            sha256=sha256(signed).digest(),
            manifest=signed.manifest,
            manifest_id=signed.manifest_id,
            fingerprint=pixels.looks[0],
            sketch=pixels.looks[1],
            claim={**claim.to_dict(), **before},
        )

    def _marked(
        self, signed: Signed, payload: bytes, claim: Claim, earlier: Detection | None, record: "Record | None"
    ) -> Marked:
        return Marked(
            data=signed.data,
            payload=payload,
            method=self._method,
            key_id=self.key.id,
            mime=signed.mime,
            claim=claim,
            manifest=signed.manifest,
            manifest_id=signed.manifest_id,
            sidecar=signed.sidecar,
            record_id=record.id if record else None,
            time_stamped=signed.time_stamped,
            earlier=earlier,
        )

    def _commit(self, drafts: "list[_Draft]") -> None:
        records = [draft.record for draft in drafts if draft.record]
        if self._registry is not None and records:
            self._registry.extend(records)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is ready but for the record."""

    marked: Marked
    record: "Record | None"


class _Pixels:
    """What is done while the pixels are at hand: look for an earlier mark, mark, take what the record keeps."""

    def __init__(self, marker: Marker, payload: bytes) -> None:
        self.earlier: Detection | None = None
        self.looks: tuple[bytes, bytes] | None = None
        self._marker, self._payload = marker, payload

    def change(self, pixels: Array, alpha: Array | None) -> Array:
        """Return the marked pixels."""
        marker = self._marker
        earlier = marker._glance(marker._mark.look(pixels))
        if earlier:
            self.earlier = earlier
            said = f"payload {earlier.payload.hex()}" if earlier.payload else "a payload that is not readable any more"
            log.warning("the picture has a mark of this key already, with %s; it is marked again, stronger", said)
        strength = min(STRENGTHS[1], marker._strength * (AGAIN if earlier else 1.0))
        sharing = {"threads": marker._threads} if marker._threads != 1 else {}
        marked = marker._mark.embed(pixels, marker.key, self._payload, strength, alpha, **sharing)
        if marker._registry is not None:
            from markai.provenance.registry import fingerprint, sketch

            self.looks = fingerprint(marked, alpha), sketch(marked, alpha)
        return marked


def _of_each(given: Any, kind: type, name: str, several: bool, count: int) -> list[Any] | None:
    """Return one of what was given for each of ``count`` pictures, None where nothing was."""
    if given is None:
        return None
    values = list(given) if several and isinstance(given, list | tuple) else [given]
    if len(values) != count or not all(isinstance(value, kind) for value in values):
        raise PayloadError(
            f"{count} picture(s) need as many of {name}, each {kind.__name__} - give one for each, or none"
        )
    return values


def _opened(registry: "str | Registry | None") -> "Registry | None":
    if not isinstance(registry, str):
        return registry
    from markai.provenance.registry import Registry

    return Registry.open(registry)


def _with_manifest(file: bytes | None) -> bytes | None:
    """Return a file that has a manifest, be it a damaged one, which is then refused rather than lost."""
    if file is None or provenance.verify(file).status in ("none", "unsupported"):
        return None
    return file
