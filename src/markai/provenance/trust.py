"""Whom to believe: lists of certificates, one for who signs manifests and one for who gives the time."""

import base64
import binascii
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from markai.errors import CertificateError
from markai.provenance.certs import load_chain, pem_of

MAX_LIST_BYTES = 16 << 20  # C2PA's own list of August 2026 has 65 kB
TRUSTED_STATUS = "http://c2pa.org/conformance/trust-list/trusted"
PEM_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
DIGEST_LINE = re.compile(rb"[A-Za-z0-9+/]{43}=")

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Trust:
    """Lists of trusted certificates, by what they are trusted for.

    A manifest is *trusted* where its signer's chain leads to one of ``manifest``, or the signer's own certificate
    is in ``allowed``. A time stamp counts where its authority's chain leads to one of ``tsa``. Neither list stands
    in for the other. Each is what a file for :meth:`from_files` holds; empty lists trust nobody: :meth:`none`.

    >>> import markai
    >>> markai.Signer.development("Acme").trust()
    <markai.Trust 1 for manifests, 0 for time stamps>
    >>> bool(Trust.none())
    False

    Raises:
        CertificateError: if a list holds no certificate or a damaged one.
    """

    manifest: bytes = b""
    tsa: bytes = b""
    allowed: bytes = b""

    def __post_init__(self) -> None:
        for name, read in (("manifest", certificates), ("tsa", certificates), ("allowed", allowed_signers)):
            if given := getattr(self, name):
                object.__setattr__(self, name, read(given, f"the list {name!r}"))

    @classmethod
    def none(cls) -> Self:
        """Trust nobody: what is intact is "valid", never "trusted"."""
        return cls()

    @classmethod
    def from_files(
        cls, *manifest: Source, tsa: Source | Iterable[Source] = (), allowed: Source | Iterable[Source] = ()
    ) -> Self:
        """Read lists: PEM files, text between the certificates passed over, or the official ones, PEM or JSON.

        The official ones are C2PA-TRUST-LIST and C2PA-TSA-TRUST-LIST of the C2PA conformance programme; markai
        ships none. ``allowed`` files may also hold a base64 SHA-256 digest of a certificate on each line.

        Raises:
            CertificateError: if a file cannot be read, holds no certificate or a damaged one.
        """
        return cls(
            b"".join(certificates(read_list(path), path) for path in manifest),
            b"".join(certificates(read_list(path), path) for path in _several(tsa)),
            b"".join(allowed_signers(read_list(path), path) for path in _several(allowed)),
        )

    def __bool__(self) -> bool:
        return bool(self.manifest or self.allowed)

    def __repr__(self) -> str:
        signers = self.manifest.count(b"-----BEGIN") + self.allowed.count(b"\n")
        return f"<markai.Trust {signers} for manifests, {self.tsa.count(b'-----BEGIN')} for time stamps>"


def read_list(path: Source) -> bytes:
    """Return the bytes of a small file of certificates.

    Raises:
        CertificateError: if it cannot be read or is too large.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"cannot read {os.fspath(path)}: {error.strerror} - check the path") from None
    if len(data) > MAX_LIST_BYTES:
        raise CertificateError(
            f"{os.fspath(path)} has more than {MAX_LIST_BYTES:,} bytes - it is no list of certificates"
        )
    return data


def certificates(data: bytes, name: Source) -> bytes:
    """Return the certificates of a PEM file or of a JSON trust list as plain PEM.

    Raises:
        CertificateError: if there is none, or one is damaged.
    """
    blocks = _from_json(data, name) if data.lstrip()[:1] == b"{" else PEM_BLOCK.findall(data)
    if not blocks:
        advice = "pass a PEM file, or the official C2PA trust list as PEM or JSON"
        raise CertificateError(f"{os.fspath(name)} holds no certificates - {advice}")
    try:
        return b"".join(map(pem_of, load_chain(b"\n".join(blocks))))
    except CertificateError as error:
        raise CertificateError(f"{os.fspath(name)}: {error}") from None


def digest(certificate_der: bytes) -> bytes:
    """Return the line that stands for a certificate in a list of allowed ones."""
    return base64.b64encode(sha256(certificate_der).digest()) + b"\n"


def allowed_signers(data: bytes, name: Source) -> bytes:
    """Return a list of allowed signers as lines of digests, whichever of the two forms its entries have.

    Raises:
        CertificateError: if there is none, or a certificate is damaged.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    lines = [
        line + b"\n" for line in map(bytes.strip, PEM_BLOCK.sub(b"", data).splitlines()) if DIGEST_LINE.fullmatch(line)
    ]
    if PEM_BLOCK.search(data) or not lines:
        chain = load_chain(certificates(data, name))
        lines += [digest(certificate.public_bytes(Encoding.DER)) for certificate in chain]
    return b"".join(lines)


def _several(paths: Source | Iterable[Source]) -> Iterable[Source]:
    return [paths] if isinstance(paths, str | os.PathLike) else paths


def _from_json(data: bytes, name: Source) -> list[bytes]:
    """Return the trusted certificates of a list of trusted entities (ETSI TS 119 602, as C2PA publishes it)."""
    try:
        found = list(_services(json.loads(data)))
        return [_pem_block(value) for value in found]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        advice = "fetch C2PA-TRUST-LIST.json again, or use the PEM form"
        raise CertificateError(f"{os.fspath(name)} is not a trust list in JSON - {advice}") from None


def _services(document: Any) -> Iterable[str]:
    for entity in document["LoTE"]["TrustedEntitiesList"]:
        for service in entity["TrustedEntityServices"]:
            information = service["ServiceInformation"]
            if information["ServiceStatus"] == TRUSTED_STATUS:
                yield from (each["val"] for each in information["ServiceDigitalIdentity"]["X509Certificates"])


def _pem_block(value: str) -> bytes:
    body = base64.encodebytes(base64.b64decode(value, validate=True)).strip()
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----"
