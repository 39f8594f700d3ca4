"""One file into its row: every layer of it, the verdict, and what rules and the policy say of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import markai.audit.rules as rules
from markai.audit import verdicts
from markai.audit.archives import Limits
from markai.audit.inputs import Item
from markai.audit.policy import Policy, policy_of
from markai.audit.reading import Content, Reader, Unusable
from markai.audit.since import Earlier
from markai.audit.traces import read_metadata
from markai.audit.yamlfile import parse
from markai.errors import ImageError, MarkaiError, MissingExtraError, RegistryError
from markai.image import MAX_PIXELS, open_picture, size_of
from markai.image_files import TooManyPixels
from markai.inspector import Finding, Inspector
from markai.keys import Key, KeyRing
from markai.provenance import Trust

Row = dict[str, Any]

# Pictures that are damaged where their pixels cannot be read; of others (HEIF, JPEG XL) nobody here could tell.
DECODED = {f"image/{name}" for name in ("png", "jpeg", "webp", "avif", "tiff", "bmp", "gif", "jp2", "x-tga")}
DECODED |= {"image/x-portable-anymap"}
FATAL = (RegistryError, MissingExtraError)  # not of one file: every other would fail as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How files are examined: what every row depends on. It can be sent to other processes; keys are named by file.

    ``keys`` are key files; without any no marks are looked for. ``trust`` says whose signatures count; ``registry`` is
    the URL of one that exists. ``fpr`` and ``thorough`` are as for ``markai.Inspector``. ``regimes`` are sets of
    built-in rules, ``policy`` the content of a policy file, ``tokenizer`` that of the tokenizer.json by which marks on
    tokens are looked for in texts. ``every`` asks for a row of each file, of whatever kind.
    """

    keys: tuple[Path, ...] = ()
    trust: Trust = field(default_factory=Trust.none)
    registry: str | None = field(default=None, repr=False)  # it may hold a password
    fpr: float = 1e-6
    thorough: bool = True
    tokenizer: bytes | None = None
    regimes: tuple[str, ...] = ()
    policy: bytes | None = None
    policy_name: str = "policy"
    every: bool = False
    limits: Limits = field(default_factory=Limits)
    max_pixels: int = MAX_PIXELS

    def load_policy(self) -> Policy:
        """Return the policy; an empty one where there is none.

        Raises:
            PolicyError: if it is not one.
            MissingExtraError: without PyYAML.
        """
        return Policy() if self.policy is None else policy_of(parse(self.policy, self.policy_name))

    def load_tokenizer(self) -> Any:
        """Return the tokenizer; None where there is none.

        Raises:
            MethodError: if it is not one.
            MissingExtraError: without the tokenizers package.
        """
        from markai.text.tokens import loaded

        return None if self.tokenizer is None else loaded(self.tokenizer)

    def load_ring(self) -> KeyRing | None:
        """Return the keys.

        Raises:
            KeyFileError: if a file cannot be read or is no key.
        """
        return KeyRing([Key.load(each) for each in self.keys]) if self.keys else None


class Examiner:
    """Examines one file after the other; ``close`` it.

    >>> from markai.audit.inputs import find
    >>> _ = Path("note.txt").write_text("AIGC")
    >>> examiner = Examiner(Settings())
    >>> row = [examiner.examine(item) for item in find(["note.txt", "nothing.png"])]
    >>> [(each["path"], each["status"], each["verdict"]["code"]) for each in row]
    [('note.txt', 'ok', 'unknown'), ('nothing.png', 'unreadable', 'none')]

    Raises:
        KeyFileError, PolicyError, RegistryError, MissingExtraError: if a setting cannot be used.
    """

    def __init__(self, settings: Settings, earlier: Earlier | None = None) -> None:
        self.settings, self.earlier = settings, earlier
        self.reused = 0
        self._rules, self._policy = rules.load(settings.regimes), settings.load_policy()
        self._reader = Reader(settings.limits)
        self._inspector = Inspector(
            settings.load_ring(),
            trust=settings.trust,
            registry=settings.registry,
            fpr=settings.fpr,
            thorough=settings.thorough,
            max_pixels=settings.max_pixels,
            tokenizer=settings.load_tokenizer(),
        )

    def examine(self, item: Item) -> Row | None:
        """Return the row of a file; None where it is of a kind that was not asked for.

        Raises:
            RegistryError: if the registry fails.
            MissingExtraError: if c2pa-python is not installed.
        """
        try:
            if item.problem is not None:
                raise Unusable(*item.problem)
            content = self._reader.read(item, every=self.settings.every)
            return None if content is None else self._judged(self._row(item, content))
        except Unusable as error:
            return self._judged(unexamined(item.path, error.status, str(error)))
        except FATAL:
            raise
        except MemoryError:
            return self._judged(unexamined(item.path, "too large", "it needs more memory than one file may take"))
        except MarkaiError as error:
            return self._judged(unexamined(item.path, "unreadable", str(error)))
        except Exception as error:  # a bug: of a million files the others are audited all the same
            problem = f"unexpected {type(error).__name__}: {error} - run markai --debug detect on it, and report it"
            return self._judged(unexamined(item.path, "unreadable", problem))

    def _row(self, item: Item, content: Content) -> Row:
        digest = sha256(content.data).hexdigest()
        if self.earlier is not None and (known := self.earlier.row(digest, content.mime, content.origin)):
            self.reused += 1
            return {"path": item.path} | known
        size = _size(content)
        if size and size[0] * size[1] > self.settings.max_pixels:
            raise Unusable("too large", f"{size[0]}x{size[1]} is more than {self.settings.max_pixels:,} pixels")
        finding = self._inspector.inspect(content.data, mime=content.mime, origin=content.origin)
        return {
            "path": item.path,
            "status": "ok",
            "sha256": digest,
            "bytes": len(content.data),
            "type": finding.mime,
            **({"width": size[0], "height": size[1]} if size else {}),
            **_layers(finding, content, looked=bool(self.settings.keys)),
        }

    def _judged(self, row: Row) -> Row:
        """Add what depends on the path as well: rules, with what is declared of it, and the policy."""
        return judged(row, self._rules, self._policy)

    def close(self) -> None:
        """Close the registry, the earlier audit and the archive that is open."""
        if self.earlier is not None:
            self.earlier.close()
        self._reader.close()
        self._inspector.close()


def unexamined(path: str, status: str, error: str) -> Row:
    """Return the row of a file that could not be examined."""
    return {"path": path, "status": status, "error": error, "verdict": verdicts.NOT_EXAMINED}


def judged(row: Row, built_in: Sequence[rules.Rule], policy: Policy) -> Row:
    """Return a row with what rules and the policy say of it."""
    row = row | {"rules": rules.evaluate(built_in, row, policy.declared(row["path"]))}
    return row | {"policy": policy.evaluate(row)}


def _layers(finding: Finding, content: Content, *, looked: bool) -> Row:
    metadata = read_metadata(content.data, finding.mime)
    several = [each.to_dict() for each in finding.marks] if len(finding.marks) > 1 else []
    against: list[Mapping[str, Any]] = [each.to_dict() for each in finding.contradictions]
    return {
        "watermark": finding.watermark.to_dict() if finding.watermark is not None else None,
        **({"watermarks": several} if several else {}),
        "manifest": finding.manifest.to_dict(),
        "metadata": metadata.to_dict(),
        "record": verdicts.record_of(finding),
        "recovered": verdicts.recovered_manifest(finding),
        "contradictions": [*against, *metadata.contradictions, *verdicts.against_a_camera(finding, metadata)],
        "verdict": verdicts.verdict(finding, metadata, damaged=_damaged(finding, content, looked=looked)),
        "notes": [*finding.notes, *_lookalikes(finding)],
    }


def _lookalikes(finding: Finding) -> list[str]:
    return [
        f"It looks like record {each.record.id} ({each.distance} of 64 bits differ)." for each in finding.lookalikes
    ]


def _size(content: Content) -> tuple[int, int] | None:
    if content.mime.startswith("image/") and content.mime != "image/svg+xml":
        try:
            return size_of(content.data)
        except TooManyPixels as error:
            raise Unusable("too large", str(error)) from None
        except (ImageError, MissingExtraError):  # the inspector says so
            return None
    return None


def _damaged(finding: Finding, content: Content, *, looked: bool) -> bool:
    """Say whether the pixels of a picture cannot be read though this kind of picture can."""
    if content.mime not in DECODED:
        return False
    if looked and finding.watermark is not None:
        return False
    if not any(note.startswith("The pixels cannot be read") for note in finding.notes):
        return False
    try:
        open_picture(content.data, read_only=True)
    except MissingExtraError:
        return False
    except ImageError:
        return True
    return False
