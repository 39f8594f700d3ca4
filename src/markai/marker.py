"""``Marker``: watermark, metadata, signature and record of a picture or a text in one call, all of them or none.

The order is what makes the four fit: the payload is drawn first, the pixels are marked and encoded, metadata (XMP) goes
in, the signature is made over all of it, and last of all the record is written, in one transaction. Nothing is handed
over, and no file has its name, before the record is on the disk. So whatever fails and whenever a process is killed,
there is no marked file that the registry does not know; there may be a record whose file has no name yet, which
``Marker.take_up`` gives it, or never got one because nobody takes it up, which leads nobody anywhere.
"""

import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from markai import image as pictures
from markai import image_export, provenance, watermarks
from markai.api import DEFAULT_METHOD, STRENGTHS
from markai.detection import Detection
from markai.errors import CapacityError, KeyFileError, MarkaiError, MethodError, OutputError, PayloadError
from markai.files import read_picture
from markai.image_arrays import Array
from markai.keys import Key
from markai.leftovers import take_up
from markai.marked import Marked
from markai.marker_text import NO_METHOD, TEXT, decoded, encoded, read_back
from markai.payload import MAX_PAYLOAD
from markai.provenance import Claim, Signed, Signer, SoftBinding, Tc260
from markai.provenance.media import media_type

if TYPE_CHECKING:
    from markai.provenance.registry import Record, Registry

RANDOM_BYTES = 8  # of a payload that nobody chose
MANIFEST_BOX = b"jumb"  # what every manifest in a picture begins with: to ask c2pa costs a millisecond
NEW_FORMAT = "png"  # of what is no file yet
AGAIN = 1.5  # times as strong over an earlier mark of the same key: at 1 every second picture shows the earlier one
FPR = 1e-6  # for the mark that is there already, and for reading back what lossy formats kept

log = logging.getLogger("markai")


class Marker:
    """Marks what one system makes, under one key and one signer. Threads may share it; ``close`` it or use ``with``.

    ``provider``, ``system`` and ``version`` are what the manifests claim, :meth:`claim` adds to that. ``registry`` is
    the URL of a registry, or one that is open. ``source_type`` is a name of IPTC's list, ``tc260_producer`` adds
    China's label. ``method`` and ``strength`` are as in ``markai.embed``: records name the method, manifests each mark
    that it writes, of ``"auto"`` the one that was taken. A chain for development that was read from files is refused
    unless ``development`` says that it is meant.

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
        source_type: str = "trainedAlgorithmicMedia",
        tc260_producer: str | None = None,
        development: bool = False,
    ) -> None:
        if not isinstance(key, Key):
            raise KeyFileError(f"a mark is made with one markai.Key, not {type(key).__name__} - markai.Key.load(path)")
        if not STRENGTHS[0] <= strength <= STRENGTHS[1]:
            raise MethodError(f"strength {strength} is out of range - choose {STRENGTHS[0]} to {STRENGTHS[1]}")
        self.key, self.signer = key, signer if development else signer.require_production()
        self._mark, self._strength = watermarks.load(method), float(strength)  # a NumPy scalar would make doubles
        self._method = self._mark.name if method == watermarks.AUTO else method  # what records and manifests name
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

        ``image`` is anything that ``markai.embed`` takes, or a str: a text, as in :meth:`mark_text`. Bytes of a file
        keep their format and metadata unless ``format`` ("png", "jpeg", "webp", "avif", "tiff") asks for another;
        everything else becomes a new file, PNG by default; ``quality`` is then that of JPEG, WebP and AVIF. A manifest
        that is in the bytes stays as an ingredient; a mark of the same key that is in the pixels is noticed, and the
        new one made strong enough to be the one that is found. ``payload`` is drawn by the registry, or at random
        without one, unless it is given; ``claim`` is a new one unless it is given, made by :meth:`claim`. A batch takes
        one of each for every picture.

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
        batch = None if isinstance(image, str) else pictures.split_batch(image)
        items = [image] if batch is None else batch[0]
        payloads = self._payloads(_of_each(payload, bytes, "payload", batch is not None, len(items)), len(items))
        claims = _of_each(claim, Claim, "claim", batch is not None, len(items)) or [self.claim() for _ in items]
        drafts = [
            self._draft_text(item, None, carried, said)
            if isinstance(item, str)
            else self._draft(item, format, carried, quality, said)
            for item, carried, said in zip(items, payloads, claims, strict=True)
        ]
        self._commit(drafts)
        made = [draft.marked for draft in drafts]
        return made[0] if batch is None else made

    def mark_text(
        self,
        text: str,
        mark: Any = None,
        tokenizer: Any = None,
        payload: bytes | None = None,
        *,
        claim: Claim | None = None,
    ) -> Marked:
        """Describe, sign and record a text, whose mark was written when it was generated; the manifest is a sidecar.

        ``mark`` is the ``TextMark`` or ``WordMark`` that wrote it, or the name of one with the usual parameters, such
        as "text-gumbel". It is looked for in the text, with the ``tokenizer`` of its model, and what is not readable
        there is not signed. Its payload (:meth:`reserve` four bytes before generating) goes into the soft binding and
        finds the record; ``payload`` says what it must be where ``mark`` is only a name. Without a mark the text is
        signed and recorded all the same.

        >>> signer = Signer.development("Acme")
        >>> out = Marker(Key(bytes(32)), signer=signer, provider="Acme", system="LM", version="1").mark_text("Hello.")
        >>> out.data, out.mime, provenance.verify(out.data, sidecar=out.sidecar, mime=out.mime).status
        (b'Hello.', 'text/plain', 'valid')

        Raises:
            CapacityError: if the mark cannot be read in the text, or says something else.
            KeyFileError: if the mark is of another key.
            MethodError: if there is no such mark, or it needs a tokenizer.
            MarkaiError: as :meth:`mark` does.
        """
        draft = self._read_draft(text, mark, tokenizer, payload, claim or self.claim())
        self._commit([draft])
        return draft.marked

    def mark_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        format: str | None = None,
        payload: bytes | None = None,
        *,
        quality: int | None = None,
        claim: Claim | None = None,
        mark: Any = None,
        tokenizer: Any = None,
    ) -> Marked:
        """Mark one file into another, with a sidecar beside it where its format holds no manifest.

        The file is written under another name first, then the record, then it gets its own: at that name there is
        never half a file, and never one without a record. What is there already is replaced. A file that its name or
        content says is text goes as in :meth:`mark_text`, to which ``mark`` and ``tokenizer`` belong.

        Raises:
            OutputError: if it cannot be written; nothing is recorded, unless it could not get its name at the very end.
            MarkaiError: as :meth:`mark` and :meth:`mark_text` do.
        """
        data = read_picture(Path(source), pictures.MAX_BYTES)
        said, given = claim or self.claim(), _of_each(payload, bytes, "payload", False, 1)
        if media_type(data, path=Path(source)).startswith("text/"):
            if format is not None or quality is not None:
                raise MethodError("a text is written as it is - leave format and quality out")
            draft = self._read_draft(decoded(data), mark, tokenizer, payload, said)
        else:
            (carried,) = self._payloads(given, 1)
            draft = self._draft(data, format, carried, quality, said)
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

    def take_up(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Finish what a killed :meth:`mark_file` left in a directory, and return the files that got their names.

        Those are whole and recorded, and only lacked their names, which nothing else must have meanwhile. What was not
        recorded is removed once it is a minute old.

        Raises:
            RegistryError: if the registry fails.
            OutputError: if a file cannot get its name.
        """
        try:
            return take_up(Path(directory), self._registry)
        except OSError as error:
            if isinstance(error, MarkaiError):
                raise
            raise OutputError(
                f"cannot take up {os.fspath(directory)}: {error.strerror} - check its permissions"
            ) from error

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
        bindings = SoftBinding.all_of(self._method, payload, self.key.id) if payload else []
        signed = provenance.sign(
            data, self.signer, claim, parent=_with_manifest(file), bindings=bindings, watermarked=True
        )
        record = None
        if self._registry is not None:
            assert pixels.looks is not None
            record = self._record(signed, payload, self._method, claim, pixels.looks, pixels.earlier)
        return _Draft(self._marked(signed, payload, self._method, claim, pixels.earlier, record), record)

    def _read_draft(self, text: str, mark: Any, tokenizer: Any, payload: bytes | None, claim: Claim) -> "_Draft":
        """Look for the mark that is to be in a text, and do everything but the record."""
        found = None if mark is None else read_back(text, mark, tokenizer, payload, self.key)
        carried = found.payload if found else payload
        (carried,) = self._payloads(None if carried is None else [carried], 1)
        return self._draft_text(text, found, carried, claim)

    def _draft_text(self, text: str, found: Detection | None, payload: bytes, claim: Claim) -> "_Draft":
        """Do everything but the record, for a text and the mark that was found in it."""
        method = (found.method or NO_METHOD) if found else NO_METHOD
        bindings = [SoftBinding.of(method, found.payload, self.key.id)] if found and found.payload else []
        signed = provenance.sign(
            encoded(text), self.signer, claim, mime=TEXT, bindings=bindings, watermarked=found is not None
        )
        record = None
        if self._registry is not None:
            from markai.provenance.registry import text_fingerprint, text_sketch

            record = self._record(signed, payload, method, claim, (text_fingerprint(text), text_sketch(text)), None)
        return _Draft(self._marked(signed, payload, method, claim, None, record), record)

    def _read_back(self, data: bytes, payload: bytes, earlier: Detection | None) -> None:
        look = self._mark.look(pictures.open_picture(data, read_only=True).pixels)
        if not watermarks.reads_back(self._mark, look, self.key, payload, FPR):
            advice = "use a lossless format, a higher quality, or a greater strength"
            why = "; the one that was there before is in the way, so mark the original if you can" if earlier else ""
            raise CapacityError(f"the mark does not survive being written in this format and quality{why} - {advice}")

    def _record(
        self,
        signed: Signed,
        payload: bytes,
        method: str,
        claim: Claim,
        looks: tuple[bytes, bytes],
        earlier: Detection | None,
    ) -> "Record":
        from markai.provenance.registry import Record

        before = {"earlier": f"{earlier.key_id}:{(earlier.payload or b'').hex()}"} if earlier else {}
        return Record(
            payload=payload,
            key_id=self.key.id,
            method=method,
            media_type=signed.mime,
            sha256=sha256(signed).digest(),
            manifest=signed.manifest,
            manifest_id=signed.manifest_id,
            fingerprint=looks[0],
            sketch=looks[1],
            claim={**claim.to_dict(), **before},
        )

    def _marked(
        self,
        signed: Signed,
        payload: bytes,
        method: str,
        claim: Claim,
        earlier: Detection | None,
        record: "Record | None",
    ) -> Marked:
        return Marked(
            data=signed.data,
            payload=payload,
            method=method,
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
        earlier = watermarks.glance(marker._mark, marker._mark.look(pixels), marker.key, FPR)
        if earlier:
            self.earlier = earlier
            said = f"payload {earlier.payload.hex()}" if earlier.payload else "a payload that is not readable any more"
            log.warning("the picture has a mark of this key already, with %s; it is marked again, stronger", said)
        strength = min(STRENGTHS[1], marker._strength * (AGAIN if earlier else 1.0))
        marked = marker._mark.embed(pixels, marker.key, self._payload, strength, alpha)
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
    if file is None or MANIFEST_BOX not in file or provenance.verify(file).status in ("none", "unsupported"):
        return None
    return file
