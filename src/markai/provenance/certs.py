"""Certificates for C2PA: a chain for development, and a linter that names the rule that a certificate breaks.

The rules are those of C2PA 2.x, "Certificate profile", as c2pa-rs enforces them. It says only "the certificate is
invalid", and some certificates it lets sign and refuses when they verify.
"""

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markai.errors import CertificateError, OutputError

if TYPE_CHECKING:
    from cryptography import x509

    Certificate = x509.Certificate

EMAIL_PROTECTION, DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36"
CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"  # of C2PA's own trust list
SIGNING_PURPOSES = (EMAIL_PROTECTION, DOCUMENT_SIGNING, CLAIM_SIGNING)
ANY_PURPOSE, TIME_STAMPING, OCSP_SIGNING = "2.5.29.37.0", "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.9"
MIN_RSA_BITS = 2048
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
ALGORITHMS = ("es256", "es384", "es512", "ed25519", "ps256", "ps384", "ps512")
STRONG_HASHES = {"sha256", "sha384", "sha512"}
DEVELOPMENT = "markai development, not for production"  # the OU of every chain that is made here
PRODUCTION = (
    "A production certificate comes from a certification authority on the C2PA trust list, to a signer whose product "
    "has passed the C2PA conformance programme. It is X.509 v3 with an ECDSA P-256, P-384 or P-521, Ed25519 or RSA key "
    "of at least 2048 bits; key usage digitalSignature and nothing that signs certificates; extended key usage C2PA "
    f"claim signing ({CLAIM_SIGNING}), document signing or e-mail protection; an authority key identifier; the name of "
    "the organisation (O) in its subject. Its key stays in an HSM or a KMS: Signer.from_callback. A time stamp "
    "(RFC 3161) keeps what it signed valid after it has expired."
)


class Chain(NamedTuple):
    """A chain in PEM: end-entity certificate and root, the private key (PKCS#8), and the root alone."""

    chain: bytes
    key: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a certificate breaks: its name, what is wrong, and what to do."""

    rule: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.problem} - {self.advice}"


def make_chain(org: str = "markai development", days: int = 365, alg: str = "es256") -> Chain:
    """Make a root and an end-entity certificate that C2PA accepts, valid from yesterday on for ``days`` days.

    Nobody but who adds the root to a trust list trusts it, and its subject says that it is for development.

    >>> made = make_chain("Acme", days=30)
    >>> lint(made.chain, made.key), is_development(load_chain(made.chain)[0])
    ([], True)

    Raises:
        CertificateError: if ``alg`` is none of ``ALGORITHMS``, or a value is out of range.
    """
    if alg not in ALGORITHMS:
        raise CertificateError(f"there is no algorithm {alg!r} here - use one of {', '.join(ALGORITHMS)}")
    if not 1 <= days <= 36_500:
        raise CertificateError(f"a certificate for {days} days - ask for 1 to 36500")
    if not org.strip() or len(org) > 64:
        raise CertificateError("the name of an organisation has 1 to 64 characters - pass another")
    root_key, key = _new_key("es256"), _new_key(alg)
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    end = start + dt.timedelta(days=days + 1)
    root_name, name = _name(org, "Development Root"), _name(org, "Development Signer")
    root = _sign(root_name, root_name, root_key, root_key, (start, end), authority=True)
    leaf = _sign(name, root_name, key, root_key, (start, end), authority=False)
    return Chain(pem_of(leaf) + pem_of(root), private_pem(key), pem_of(root))


def write_chain(made: Chain, directory: Path) -> dict[str, Path]:
    """Write chain.pem, key.pem (mode 0600) and root.pem into a directory, which is made where it is missing.

    Raises:
        OutputError: if one of them exists already, or cannot be written.
    """
    targets = {name: directory / f"{name}.pem" for name in Chain._fields}
    taken = [str(path) for path in targets.values() if path.exists()]
    if taken:
        raise OutputError(f"{', '.join(taken)} exists already - choose another directory, keys are never overwritten")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for (name, path), pem in zip(targets.items(), made, strict=True):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if name == "key" else 0o644)
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
    except OSError as error:
        raise OutputError(f"cannot write the chain to {directory}: {error.strerror} - check the path") from error
    return targets


def load_chain(pem: bytes) -> "list[Certificate]":
    """Return the certificates of a PEM file in order; text between them is passed over.

    Raises:
        CertificateError: if there is none, or one is damaged.
    """
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        advice = "it must hold -----BEGIN CERTIFICATE----- blocks, the signer's own first"
        raise CertificateError(f"no certificates can be read from the PEM data ({error}) - {advice}") from None


def load_key(pem: bytes, password: bytes | None = None) -> Any:
    """Return the private key of a PEM file, in PKCS#8 or one of the older forms.

    Raises:
        CertificateError: if it is damaged, or encrypted and the password is missing or wrong.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password)
    except TypeError:
        problem = "is encrypted" if password is None else "is not encrypted, but a password was given"
        raise CertificateError(f"the private key {problem} - pass the password that fits") from None
    except Exception as error:
        advice = "pass the PEM file of the key and, if it is encrypted, the right password"
        raise CertificateError(f"the private key cannot be read ({error}) - {advice}") from None


def private_pem(key: Any) -> bytes:
    """Return a private key as unencrypted PKCS#8, the one form that c2pa takes."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def algorithm_of(certificate: "Certificate") -> str | None:
    """Return the C2PA algorithm of a certificate's key (ps256 for RSA), or None for keys that C2PA does not know."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return CURVES.get(key.curve.name)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    return "ps256" if isinstance(key, rsa.RSAPublicKey) else None


def is_development(certificate: "Certificate") -> bool:
    """Say whether :func:`make_chain` made a certificate."""
    from cryptography.x509.oid import NameOID

    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return any(unit.value == DEVELOPMENT for unit in units)


def subject_field(certificate: "Certificate", field: str) -> str | None:
    """Return the first ``ORGANIZATION_NAME``, ``COMMON_NAME`` or other field of the subject, or None."""
    from cryptography.x509.oid import NameOID

    found = certificate.subject.get_attributes_for_oid(getattr(NameOID, field))
    return str(found[0].value) if found else None


def lint(chain_pem: bytes, key_pem: bytes | None = None, now: dt.datetime | None = None) -> list[Finding]:
    """Return every rule that a chain breaks, nothing for one that C2PA accepts.

    Raises:
        CertificateError: if it cannot be read at all.
    """
    chain = load_chain(chain_pem)
    findings = [
        *_key_rules(chain[0]),
        *_extension_rules(chain[0]),
        *_validity(chain[0], now or dt.datetime.now(dt.UTC)),
    ]
    findings += _chain_rules(chain)
    if key_pem is not None and load_key(key_pem).public_key() != chain[0].public_key():
        problem = "the private key is not the key of the first certificate"
        findings.append(Finding("key pair", problem, "pass the key that the certificate was made for"))
    return findings


def require_sound(chain_pem: bytes, key_pem: bytes | None = None) -> None:
    """Raise CertificateError that names every rule that a chain breaks."""
    findings = lint(chain_pem, key_pem)
    if findings:
        raise CertificateError(f"C2PA does not accept the certificate. {'; '.join(map(str, findings))}")


def _key_rules(leaf: "Certificate") -> Iterator[Finding]:
    from cryptography import x509

    alg, size = algorithm_of(leaf), getattr(leaf.public_key(), "key_size", 0)
    ask = "ask for an ECDSA P-256, P-384 or P-521, Ed25519 or RSA key"
    if leaf.version is not x509.Version.v3:
        yield Finding("version", "the certificate is not X.509 v3", "ask the authority for one of version 3")
    if alg is None:
        yield Finding("key", "C2PA does not know the kind of its key", ask)
    elif alg == "ps256" and size < MIN_RSA_BITS:
        yield Finding("key", f"its RSA key has {size} bits", f"use {MIN_RSA_BITS} bits or more")
    digest = leaf.signature_hash_algorithm
    if digest is not None and digest.name not in STRONG_HASHES:
        yield Finding("signature", f"it is signed with {digest.name}", "ask for SHA-256 or stronger")
    if not subject_field(leaf, "ORGANIZATION_NAME"):
        problem = "its subject names no organisation (O), which reports show as the signer"
        yield Finding("subject", problem, "ask for one that does")


def _extension_rules(leaf: "Certificate") -> Iterator[Finding]:
    from cryptography import x509

    basic, usage = _extension(leaf, x509.BasicConstraints), _extension(leaf, x509.KeyUsage)
    if basic is not None and basic.ca:
        yield Finding("basic constraints", "it is a certification authority's own (CA)", "sign with an end-entity one")
    if usage is None:
        yield Finding("key usage", "it has no key usage", "ask for key usage digitalSignature")
    else:
        if not usage.digital_signature:
            yield Finding("key usage", "its key may not sign data", "ask for key usage digitalSignature")
        if usage.key_cert_sign:
            yield Finding("key usage", "its key may sign certificates", "ask for one without keyCertSign")
    if _extension(leaf, x509.AuthorityKeyIdentifier) is None:
        yield Finding("authority key identifier", "it has none", "ask the authority to add it")
    yield from _purpose_rules(_extension(leaf, x509.ExtendedKeyUsage))


def _purpose_rules(extended: Any) -> Iterator[Finding]:
    rule, advice = "extended key usage", "ask for C2PA claim signing, document signing or e-mail protection"
    purposes = {each.dotted_string for each in extended or ()}
    if extended is None:
        yield Finding(rule, "it has none", advice)
    elif ANY_PURPOSE in purposes:
        yield Finding(rule, "it is for any purpose, which C2PA does not accept", advice)
    elif not purposes & set(SIGNING_PURPOSES):
        yield Finding(rule, f"it is for {', '.join(sorted(purposes))} only", advice)
    elif purposes & {TIME_STAMPING, OCSP_SIGNING}:
        yield Finding(rule, "it is for time stamps or OCSP as well, which must stand alone", advice)


def _validity(leaf: "Certificate", now: dt.datetime) -> Iterator[Finding]:
    if now < leaf.not_valid_before_utc:
        wait = "wait, or check the clock of this machine"
        yield Finding("validity", f"it is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", wait)
    elif now > leaf.not_valid_after_utc:
        yield Finding("validity", f"it expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", "renew it")


def _chain_rules(chain: "list[Certificate]") -> Iterator[Finding]:
    leaf = chain[0]
    if leaf.issuer == leaf.subject and len(chain) > 1:
        problem = "the first certificate of the file is self-signed"
        yield Finding("order", problem, "put the signer's own first, the root last")
    for number, (lower, upper) in enumerate(pairwise(chain), 2):
        try:
            lower.verify_directly_issued_by(upper)
        except Exception:
            problem = f"certificate {number} of the file did not sign the one before it"
            yield Finding("order", problem, "each certificate is followed by its issuer, up to the root")
            return
        digest = lower.signature_hash_algorithm
        if algorithm_of(upper) == "es512" and digest is not None and digest.name == "sha256":
            problem = f"certificate {number} of the file, a P-521 key, signed the one before it with SHA-256"
            yield Finding("signature", problem, "ask for SHA-512: readers do not follow that")


def _extension(certificate: "Certificate", kind: Any) -> Any:
    """Return the value of an extension, or None; one that cannot be read counts as none."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return None


def _new_key(alg: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if alg == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if alg.startswith("ps"):
        return rsa.generate_private_key(public_exponent=65537, key_size=MIN_RSA_BITS)
    curve = next(name for name, fitting in CURVES.items() if fitting == alg)
    return ec.generate_private_key({"secp256r1": ec.SECP256R1, "secp384r1": ec.SECP384R1}.get(curve, ec.SECP521R1)())


def _name(org: str, common_name: str) -> "x509.Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    fields = (
        (NameOID.ORGANIZATION_NAME, org),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, DEVELOPMENT),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(field, value) for field, value in fields])


def _sign(
    subject: "x509.Name",
    issuer: "x509.Name",
    key: Any,
    issuer_key: Any,
    validity: tuple[dt.datetime, dt.datetime],
    *,
    authority: bool,
) -> "Certificate":
    """Return a certificate for ``key`` by ``issuer_key``: a root, or one that signs claims."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), *validity)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        purposes = x509.ExtendedKeyUsage(
            [x509.ObjectIdentifier(EMAIL_PROTECTION), x509.ObjectIdentifier(CLAIM_SIGNING)]
        )
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(issuer_key, SHA256())


def pem_of(certificate: "Certificate") -> bytes:
    """Return a certificate in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
