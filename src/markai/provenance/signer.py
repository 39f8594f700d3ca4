"""Who signs: a certificate chain with its private key in a file, or with a callback to where the key is kept."""

import datetime as dt
import os
from collections.abc import Callable
from typing import Any, Literal, Self, get_args

import markai.provenance.certs as certs
from markai.errors import CertificateError, SigningError
from markai.provenance.trust import Trust, digest, read_list

TimestampPolicy = Literal["require", "best-effort", "off"]

Source = str | os.PathLike[str]
Callback = Callable[[bytes], bytes]


class Signer:
    """Signs C2PA manifests. Made by :meth:`from_files`, :meth:`from_callback` or :meth:`development`.

    ``timestamp`` says what happens without an answer of the time stamping authority at ``tsa_url`` (RFC 3161):
    "require" fails, "best-effort" signs without a stamp and logs a warning, "off" never asks. Only with a
    ``tsa_url`` does signing touch the network.

    >>> signer = Signer.development("Acme")
    >>> signer
    <markai.Signer Acme, es256, for development>

    Attributes:
        alg: the signature algorithm, such as "es256".
        chain: the certificates in PEM, the signer's own first.
        certificate: the signer's own, a ``cryptography.x509.Certificate``.
    """

    def __init__(
        self,
        chain: bytes,
        *,
        key: bytes | None = None,
        callback: Callback | None = None,
        alg: str | None = None,
        tsa_url: str | None = None,
        timestamp: TimestampPolicy | None = None,
        development: bool = False,
    ) -> None:
        certs.require_sound(chain, key)
        self.chain = chain
        self.certificate = certs.load_chain(chain)[0]
        self.alg = _checked_algorithm(alg, certs.algorithm_of(self.certificate))
        self.key, self.callback = key, callback
        self.tsa_url = tsa_url or None
        self.timestamp: TimestampPolicy = timestamp or ("require" if tsa_url else "off")
        self._development_is_meant = development
        if self.timestamp not in get_args(TimestampPolicy):
            raise SigningError(
                f"there is no time stamp policy {timestamp!r} - use {' or '.join(get_args(TimestampPolicy))}"
            )
        if self.timestamp != "off" and not self.tsa_url:
            raise SigningError(f"the policy {self.timestamp!r} needs an authority - pass tsa_url, or timestamp='off'")

    @classmethod
    def from_files(
        cls,
        chain: Source,
        key: Source,
        *,
        password: bytes | None = None,
        alg: str | None = None,
        tsa_url: str | None = None,
        timestamp: TimestampPolicy | None = None,
        development: bool = False,
    ) -> Self:
        """Read a chain (the signer's own certificate first) and a private key from PEM files.

        ``alg`` follows from the key; for RSA it may be ps384 or ps512 instead of ps256. ``development`` says that
        a chain made by ``markai certs`` is meant to be used, which :meth:`require_production` refuses otherwise.

        Raises:
            CertificateError: if a file cannot be read, or C2PA would refuse the certificate: every rule it breaks.
            SigningError: if the time stamp policy does not fit.
        """
        pem = certs.private_pem(certs.load_key(read_list(key), password))
        return cls(read_list(chain), key=pem, alg=alg, tsa_url=tsa_url, timestamp=timestamp, development=development)

    @classmethod
    def from_callback(
        cls,
        chain: bytes | Source,
        callback: Callback,
        *,
        alg: str | None = None,
        tsa_url: str | None = None,
        timestamp: TimestampPolicy | None = None,
        development: bool = False,
    ) -> Self:
        """Sign through ``callback``, which gets the bytes to sign and returns the signature: a KMS, an HSM.

        It hashes and signs as ``alg`` says (es256: ECDSA with SHA-256; ps256: RSA-PSS with SHA-256 and MGF1). ECDSA
        signatures may be DER or r and s one after the other. ``chain`` is PEM, or the path of a PEM file.

        Raises:
            CertificateError: if C2PA would refuse the certificate: every rule that it breaks.
            SigningError: if the time stamp policy does not fit.
        """
        pem = chain if isinstance(chain, bytes) else read_list(chain)
        return cls(pem, callback=callback, alg=alg, tsa_url=tsa_url, timestamp=timestamp, development=development)

    @classmethod
    def development(
        cls,
        org: str = "markai development",
        *,
        days: int = 365,
        alg: str = "es256",
        tsa_url: str | None = None,
        timestamp: TimestampPolicy | None = None,
    ) -> Self:
        """Make a throw-away chain, for trials and tests; only its own :meth:`trust` trusts it.

        Raises:
            CertificateError: if there is no such algorithm, or a value is out of range.
        """
        made = certs.make_chain(org, days, alg)
        return cls(made.chain, key=made.key, alg=alg, tsa_url=tsa_url, timestamp=timestamp, development=True)

    @property
    def organization(self) -> str:
        """The organisation in the subject of the certificate."""
        return certs.subject_field(self.certificate, "ORGANIZATION_NAME") or ""

    @property
    def not_after(self) -> dt.datetime:
        """When the certificate expires; what carries no time stamp is invalid from then on."""
        return self.certificate.not_valid_after_utc

    @property
    def is_development(self) -> bool:
        """Whether the chain was made by ``markai certs`` or :meth:`development`."""
        return certs.is_development(self.certificate)

    def require_production(self) -> Self:
        """Return self, or raise.

        Raises:
            CertificateError: if this is a development chain that came from files, and nobody said that it is meant.
        """
        if self.is_development and not self._development_is_meant:
            advice = "pass development=True to Signer.from_files for trials, or get a production certificate"
            raise CertificateError(f"nobody trusts a development certificate - {advice}. {certs.PRODUCTION}")
        return self

    def trust(self) -> Trust:
        """Return a Trust in this signer alone: in the last issuer of its chain, or in its own certificate."""
        from cryptography.hazmat.primitives.serialization import Encoding

        *_, last = chain = certs.load_chain(self.chain)
        if len(chain) > 1:
            return Trust(manifest=last.public_bytes(Encoding.PEM))
        return Trust(allowed=digest(last.public_bytes(Encoding.DER)))

    def __repr__(self) -> str:
        purpose = ", for development" if self.is_development else ""
        return f"<markai.Signer {self.organization}, {self.alg}{purpose}>"

    def __reduce__(self) -> Any:
        raise TypeError("a signer is not pickled: load its files, or make its callback, where it is needed")


def _checked_algorithm(asked: str | None, fitting: str | None) -> str:
    """Return the algorithm to use with a key that ``fitting`` fits."""
    usable = ("ps256", "ps384", "ps512") if fitting == "ps256" else (fitting,)
    if asked is not None and asked not in usable:
        raise CertificateError(
            f"the key of the certificate is for {' or '.join(map(str, usable))}, not {asked} - leave alg out"
        )
    return asked or str(fitting)
