"""``Inspector``: reads every layer of a file, asks the registry, and says what it comes to and what does not fit."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import markai.provenance.media as media
from markai import image as pictures
from markai import watermarks
from markai.api import detect, detect_all
from markai.detection import Detection
from markai.errors import ImageError, MethodError, MissingExtraError
from markai.files import read_picture
from markai.image import Picture
from markai.inspection.contradictions import Contradiction, contradictions, key_of
from markai.inspection.evidence import Evidence, Likeness, Lookalike, looked_for
from markai.inspection.recovery import Recovery
from markai.inspection.verdicts import Verdict, decide, established, layers
from markai.keys import Key, KeyRing
from markai.provenance import Trust, Verification, verify, xmp_files
from markai.text.search import BY_TOKENS, BY_WORDS, search

if TYPE_CHECKING:
    from markai.provenance.registry import Record, Registry

MAX_TEXT = 16 << 20  # bytes: twenty books; the sketch of one takes a second

Data = bytes | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Evidence):
    """The answer of :meth:`Inspector.inspect`; true where provenance was proved and nothing contradicts it.

    ``watermark`` is the surest mark (a ``Detection``, None where the content is none that marks are read from) and
    ``marks`` all of them; ``manifest`` what ``markai.verify`` says of the file; ``recovered`` what the registry has on
    it; ``metadata`` the claims in its XMP; ``lookalikes`` records that look the same where nothing leads to one.
    ``contradictions`` are data (``code``, ``sentence``, ``evidence``), the worst first; ``verdict`` is a
    :class:`Verdict`, whose ``sentence`` says what it means; ``layers`` is what each layer says, in words; ``notes``
    are what could not be looked at.
    """

    contradictions: tuple[Contradiction, ...]
    verdict: Verdict

    def __bool__(self) -> bool:
        return established(self, self.verdict, self.contradictions)

    @property
    def layers(self) -> dict[str, str]:
        """What each layer says, a sentence for each."""
        return layers(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "verdict": self.verdict.value,
            "sentence": self.verdict.sentence,
            "ok": bool(self),
            "contradictions": [each.to_dict() for each in self.contradictions],
            "layers": self.layers,
            "notes": list(self.notes),
            "mime": self.mime,
            "sha256": self.sha256,
            "watermark": None if self.watermark is None else _plain(self.watermark),
            "marks": [_plain(each) for each in self.marks],
            "manifest": self.manifest.to_dict(),
            "recovered": self.recovered and self.recovered.to_dict(),
            "records": [each.record.id for each in self.records],
            "lookalikes": [each.to_dict() for each in self.lookalikes],
            "metadata": {name: list(values) for name, values in self.metadata.items()},
        }


class Inspector:
    """Says of files where they come from, by every layer. Threads may share it; ``close`` it or use ``with``.

    ``key`` is a Key or a KeyRing; with None no marks are looked for. ``trust`` says whose signatures count,
    ``registry`` is the URL of a registry that exists, or one that is open. ``fpr`` is kept by all marks of a file
    together. ``thorough`` also looks for several marks in one picture, which takes seconds for large ones. Nothing is
    fetched from the network. Files of more than ``max_bytes`` and pictures of more than ``max_pixels`` are refused
    before they are decoded. Marks on the tokens of a model are looked for in texts with its ``tokenizer``;
    ``text_marks`` are marks that were written with other parameters than the usual ones (``TextMark``).

    >>> import markai, numpy
    >>> key, signer = Key(bytes(32)), markai.Signer.development("Acme")
    >>> marker = markai.Marker(key, signer=signer, provider="Acme", system="AcmeGen", version="2.1")
    >>> inspector = Inspector(key, trust=signer.trust())
    >>> picture = numpy.full((300, 400, 3), 128, numpy.uint8)
    >>> inspector.inspect(marker.mark(picture).data).verdict.value
    'generated'

    Raises:
        KeyFileError: if ``key`` is neither.
        MethodError: if the rate is not one.
        RegistryError: if the registry cannot be opened, or is not there.
        MissingExtraError: if what the registry needs is not installed.
    """

    def __init__(
        self,
        key: Key | KeyRing | None,
        *,
        trust: Trust | None = None,
        registry: "str | Registry | None" = None,
        fpr: float = 1e-6,
        thorough: bool = True,
        threads: int = 1,
        max_bytes: int = pictures.MAX_BYTES,
        max_pixels: int = pictures.MAX_PIXELS,
        tokenizer: Any = None,
        text_marks: Sequence[Any] = (),
    ) -> None:
        self._ring = None if key is None else KeyRing.of(key)
        self._trust = trust if trust is not None else Trust.none()
        if not 0 < fpr < 1:
            raise MethodError(f"fpr {fpr} is not a rate - choose a number between 0 and 1, such as 1e-6")
        self._fpr, self._thorough, self._threads = fpr, thorough, threads
        self._max_bytes, self._max_pixels = max_bytes, max_pixels
        self._tokenizer, self._text_marks = tokenizer, tuple(text_marks)
        self._registry, self._owns_registry = _opened(registry), isinstance(registry, str)

    def inspect(
        self, data: Data, *, sidecar: Data | None = None, mime: str | None = None, origin: Path | None = None
    ) -> Finding:
        """Return what a file is, as a :class:`Finding`.

        ``data`` is a path or the bytes of a file; ``sidecar`` and ``mime`` are as in ``markai.verify``. ``origin`` is
        the path that bytes were read from: a manifest beside it is taken as if the path had been given.

        Raises:
            ImageError: if the path cannot be read, or there are too many bytes or pixels.
            RegistryError: if the registry fails.
            MissingExtraError: if c2pa-python is not installed.
        """
        named = isinstance(data, str | os.PathLike)
        path = Path(data) if named else origin  # type: ignore[arg-type]
        content = read_picture(Path(data), self._max_bytes) if named else bytes(data)  # type: ignore[arg-type]
        if len(content) > self._max_bytes:
            raise ImageError(f"the file has more than {self._max_bytes:,} bytes - raise max_bytes for what is trusted")
        kind = media.media_type(content, mime, path)
        return _Inspection(self, content, kind, self._verified(content, kind, path, sidecar)).finding()

    def _verified(self, content: bytes, kind: str, path: Path | None, sidecar: Data | None) -> Verification:
        """Return what the manifest says: the one in the file, the given one, or one beside the path."""
        found = verify(content, self._trust, sidecar=sidecar, mime=kind)
        if path is None or sidecar is not None or found.status not in ("none", "unsupported"):
            return found
        for candidate in media.sidecar_paths(path):
            if candidate != path and candidate.is_file():
                with suppress(ImageError):  # too large to be one
                    return verify(content, self._trust, sidecar=media.read_sidecar(candidate), mime=kind)
        return found

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
        return f"<markai.Inspector {self._ring!r}, {self._trust!r}, {self._registry!r}>"


class _Inspection:
    """One file under inspection."""

    def __init__(self, inspector: Inspector, content: bytes, mime: str, manifest: Verification) -> None:
        self.by, self.content, self.mime, self.manifest = inspector, content, mime, manifest
        self.notes: list[str] = []

    def finding(self) -> Finding:
        picture, text = self._picture(), self._text()
        watermark, marks = self._marks(picture) if text is None else self._text_marks(text)
        evidence = Evidence(
            mime=self.mime,
            sha256=sha256(self.content).hexdigest(),
            manifest=self.manifest,
            key_ids=tuple(key.id for key in self.by._ring or ()),
            registry=self.by._registry is not None,
            methods=self._methods(picture, text),
            watermark=watermark,
            marks=marks,
            metadata=self._metadata(),
        )
        evidence = self._with_records(evidence, picture, text)
        self._note_unknown_marks(evidence)
        if any(each.by == "watermark" and each.verdict == "unclear" for each in evidence.records):
            self.notes.append("Whether the record is of this content cannot be told: a copied mark is not ruled out.")
        found = contradictions(evidence)
        said = {each.name: getattr(evidence, each.name) for each in fields(Evidence)} | {"notes": tuple(self.notes)}
        return Finding(**said, contradictions=found, verdict=decide(evidence, found))

    def _methods(self, picture: Picture | None, text: str | None) -> tuple[str, ...]:
        """Return the marks that are looked for."""
        if text is None:
            return () if picture is None else tuple(watermarks.keyed_names())
        return (*(BY_TOKENS if self.by._tokenizer else ()), *BY_WORDS)

    def _text(self) -> str | None:
        if not self.mime.startswith("text/"):
            return None
        try:
            if len(self.content) > MAX_TEXT:
                self.notes.append(f"The text has more than {MAX_TEXT:,} bytes, too many to read.")
                return None
            return self.content.decode()
        except UnicodeDecodeError as error:
            self.notes.append(f"The text cannot be read: {error}")
            return None

    def _text_marks(self, text: str) -> tuple[Detection | None, tuple[Detection, ...]]:
        by = self.by
        others = by._text_marks if by._tokenizer else ()
        if by._ring is None and not others:
            return None, ()
        found = search(text, by._ring, by._tokenizer, by._fpr, others=others)
        if not by._tokenizer:
            self.notes.append("Only marks on words were looked for: those on tokens need the tokenizer of the model.")
        return found, (found,) if found else ()

    def _picture(self) -> Picture | None:
        if not self.mime.startswith("image/") or self.mime == "image/svg+xml":
            return None
        try:
            width, height = pictures.size_of(self.content)
        except (ImageError, MissingExtraError) as error:
            self.notes.append(f"The pixels cannot be read: {error}")
            return None
        if width * height > self.by._max_pixels:
            advice = "raise max_pixels for what is trusted"
            raise ImageError(f"{width}x{height} is more than {self.by._max_pixels:,} pixels - {advice}")
        try:
            return pictures.open_picture(self.content, read_only=True)
        except (ImageError, MissingExtraError) as error:
            self.notes.append(f"The pixels cannot be read: {error}")
            return None

    def _marks(self, picture: Picture | None) -> tuple[Detection | None, tuple[Detection, ...]]:
        """Return the surest mark, and all of them; both searches share the rate of false positives."""
        by = self.by
        if picture is None or by._ring is None:
            return None, ()
        rate = by._fpr / 2 if by._thorough else by._fpr
        first = detect(picture.pixels, by._ring, rate, threads=by._threads)
        found = [first] if first else []
        if by._thorough:
            others = detect_all(picture.pixels, by._ring, rate, threads=by._threads)
            known = {(mark.key_id, mark.payload, mark.method) for mark in found}
            found += [mark for mark in others if (mark.key_id, mark.payload, mark.method) not in known]
            found = _told_apart(found)
        return found[0] if found else first, tuple(found)

    def _metadata(self) -> dict[str, tuple[str, ...]]:
        try:
            return xmp_files.read(self.content, self.mime)
        except ImageError as error:
            self.notes.append(f"The metadata cannot be read: {error}")
            return {}

    def _with_records(self, evidence: Evidence, picture: Picture | None, text: str | None) -> Evidence:
        registry = self.by._registry
        if registry is None:
            return evidence
        digest = bytes.fromhex(evidence.sha256)
        recovery = Recovery(
            registry, self.by._trust, digest, lambda record, mark: _agreement(record, mark, picture, text)
        )
        records = recovery.by_marks(evidence.marks)
        known = {each.record.id for each in records}
        if evidence.manifest_holds:
            records += [each for each in recovery.by_manifest(self.manifest) if each.record.id not in known]
        alike: list[Lookalike] = []
        if not records and picture is not None:
            from markai.provenance.registry import fingerprint

            alike = recovery.by_looks(fingerprint(picture.pixels, picture.alpha), "image")
        elif not records and text is not None:
            from markai.provenance.registry import text_fingerprint

            alike = recovery.by_looks(text_fingerprint(text), "text")
        said = {each.name: getattr(evidence, each.name) for each in fields(Evidence)}
        return Evidence(**said | {"records": tuple(records), "lookalikes": tuple(alike)})

    def _note_unknown_marks(self, evidence: Evidence) -> None:
        if evidence.watermark is None or evidence.watermark:
            return
        for binding in self.manifest.soft_bindings:
            key_id = key_of(evidence, binding)
            if not looked_for(evidence, binding, key_id):
                name = f"key {key_id}" if key_id else "a key that it does not name"
                self.notes.append(f"The manifest names a mark ({binding.alg}) under {name}, which was not looked for.")


def _agreement(record: "Record", mark: Detection | None, picture: Picture | None, text: str | None) -> Likeness | None:
    """Return how the content agrees with a record's sketch; None where they do not compare."""
    from markai.provenance.registry import agreement, text_agreement

    kind = record.media_type.partition("/")[0]
    try:
        if text is not None:
            return text_agreement(record.sketch, text) if record.sketch and kind == "text" else None
        if picture is None or not record.sketch or kind == "text":
            return None
        geometry, coverage = (mark.geometry, mark.coverage) if mark else (None, None)
        found = agreement(record.sketch, picture.pixels, geometry, coverage, picture.alpha)
        if found.verdict == "unclear" and coverage is not None:  # little is known to be marked, more may show the same
            whole = agreement(record.sketch, picture.pixels, geometry, None, picture.alpha)
            found = whole if whole.verdict == "same" else found
        return found
    except ValueError:  # a sketch of a newer format
        return None


def _told_apart(marks: list[Detection]) -> list[Detection]:
    """Leave out marks whose payload is lost where that of another method was read under the same key.

    Two methods write one payload into a picture, and either may be the one that an attack leaves readable.
    """
    readable = {(mark.key_id, mark.method) for mark in marks if mark.payload is not None}
    return [
        mark
        for mark in marks
        if mark.payload is not None or all(key != mark.key_id or method == mark.method for key, method in readable)
    ]


def _plain(mark: Detection) -> dict[str, Any]:
    """Return plain values for JSON, of the map of where the mark is only the share."""
    row = replace(mark, coverage=None).to_dict()
    del row["coverage"]
    return {**row, "share": round(mark.coverage.share, 4) if mark.coverage else None}


def _opened(registry: "str | Registry | None") -> "Registry | None":
    if not isinstance(registry, str):
        return registry
    from markai.provenance.registry import Registry

    return Registry.open(registry, create=False)
