"""Secret keys: generation, files, and the only source of keyed randomness.

A key is 32 secret bytes. Nothing uses them directly: every purpose draws its own bytes through
HKDF-SHA256 (RFC 5869) with a label, so that what one part of a mark reveals says nothing about another.
"""

import base64
import binascii
import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

from markai.errors import KeyFileError, OutputError

SECRET_BYTES = 32
MAX_FILE_BYTES = 4096  # a key file has about 100
HEADER = "markai-key-v1"

log = logging.getLogger("markai")


class Key:
    """A secret that marks and that finds what it marked.

    >>> key = Key(bytes(range(32)))
    >>> key.id
    'aad476906739de25'
    >>> key
    <markai.Key aad476906739de25>

    Raises:
        KeyFileError: if ``secret`` is not 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if not isinstance(secret, bytes) or len(secret) != SECRET_BYTES:
            raise KeyFileError(f"a key is {SECRET_BYTES} secret bytes - make one with markai.Key.generate()")
        self._secret = secret

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the operating system's random source."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    @cached_property
    def id(self) -> str:
        """16 hex digits that name the key without revealing it."""
        return self.derive("key id", 8).hex()

    def derive(self, label: str, length: int = 32) -> bytes:
        """Return ``length`` bytes for one purpose (HKDF-SHA256, RFC 5869); a label never serves two purposes."""
        return _hkdf(self._secret, label, length)

    def stream(self, label: str, length: int) -> bytes:
        """Return ``length`` bytes of a keyed stream that may be long: SHAKE-256 (FIPS 202) over a derived key."""
        return hashlib.shake_256(self.derive(label)).digest(length)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key to a new file that only its owner can read (mode 0600).

        Raises:
            OutputError: if the file exists already (a lost key is a lost mark) or cannot be written.
        """
        target = Path(path)
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise OutputError(f"{target} exists already - choose another name, keys are never overwritten") from None
        except OSError as error:
            raise OutputError(f"cannot write the key to {target}: {error.strerror}") from error
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(_serialise(self._secret))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            target.unlink(missing_ok=True)
            raise OutputError(f"cannot write the key to {target}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a key file that :meth:`save` wrote.

        Raises:
            KeyFileError: if the file is missing, damaged or of an unknown version.
        """
        source = Path(path)
        try:
            with source.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise KeyFileError(f"cannot read the key file {source}: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            log.warning("%s can be read by others - run: chmod 600 %s", source, source)
        return cls(_parse(data, source))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and secrets.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<markai.Key {self.id}>"

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled: save() it to a file and load() it where it is needed")


class KeyRing:
    """Several keys, tried in order wherever detection takes one; the p-value is corrected for their number.

    >>> ring = KeyRing([Key(bytes(32)), Key(bytes(range(32)))])
    >>> len(ring), ring[1].id
    (2, 'aad476906739de25')

    Raises:
        KeyFileError: if there is no key, or something that is not a Key.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        given = list(keys) if isinstance(keys, Iterable) else [keys]
        if not given or not all(isinstance(key, Key) for key in given):
            raise KeyFileError("a key ring holds one or more markai.Key - load them with markai.Key.load(path)")
        self._keys = tuple(dict.fromkeys(given))

    @classmethod
    def of(cls, key: "Key | KeyRing") -> "KeyRing":
        """Return a ring as it is, and wrap a single key."""
        return key if isinstance(key, KeyRing) else cls([key])

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Key:
        return self._keys[index]

    def __repr__(self) -> str:
        return f"<markai.KeyRing {' '.join(key.id for key in self)}>"


@lru_cache(maxsize=512)
def _hkdf(secret: bytes, label: str, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=length, salt=b"markai", info=label.encode()).derive(secret)


def _checksum(secret: bytes) -> str:
    return hashlib.sha256(HEADER.encode() + secret).hexdigest()[:8]


def _serialise(secret: bytes) -> str:
    return f"{HEADER}\n{base64.b64encode(secret).decode()}\n{_checksum(secret)}\n"


def _parse(data: bytes, source: Path) -> bytes:
    damaged = KeyFileError(f"{source} is not a whole markai key file - restore it from a backup")
    try:
        header, body, checksum = data.decode("ascii").split()
    except (UnicodeDecodeError, ValueError):
        raise damaged from None
    if header != HEADER:
        if header.startswith("markai-key-"):
            raise KeyFileError(f"{source} has key format {header}, this markai reads {HEADER} - update markai")
        raise damaged
    try:
        secret = base64.b64decode(body, validate=True)
    except binascii.Error:
        raise damaged from None
    if len(secret) != SECRET_BYTES or checksum != _checksum(secret):
        raise damaged
    return secret
