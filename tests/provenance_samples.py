"""What the tests of provenance share: one small file of each kind, chains of every sort, an authority for time."""

import datetime as dt
import io
import shutil
import subprocess
import tempfile
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from markai import Signer
from markai.provenance import Claim

EMBEDDING = ("jpeg", "png", "webp", "avif", "tiff", "gif", "svg", "pdf", "wav")
PICTURES = ("jpeg", "png", "webp", "avif", "tiff", "gif")
MIME = {
    **{name: f"image/{name}" for name in PICTURES},
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "wav": "audio/wav",
    "text": "text/plain",
}
CLAIM = Claim("Acme", "AcmeGen", "2.1")
YEAR = dt.timedelta(days=365)


def picture(size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Some noise, the same every time."""
    values = bytes((37 * i * i + 11 * i) % 251 for i in range(size[0] * size[1] * 3))
    return Image.frombytes("RGB", size, values)


def encoded(name: str, **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    picture().save(file, name.upper(), **options)
    return file.getvalue()


@cache
def sample(name: str) -> bytes:
    """A small unsigned file of a kind."""
    if name == "svg":
        return b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><g/></svg>'
    if name == "text":
        return "Ein kurzer Text, 짧은 글.\n".encode()
    if name == "wav":
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(range(250)) * 8)
        return file.getvalue()
    return encoded(name)


@cache
def signer(org: str = "Acme", alg: str = "es256") -> Signer:
    """A development signer, made once."""
    return Signer.development(org, alg=alg)


def _name(common_name: str, org: str | None) -> x509.Name:
    fields = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    return x509.Name([*([x509.NameAttribute(NameOID.ORGANIZATION_NAME, org)] if org else []), *fields])


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Any, form: Any = serialization.PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    secret = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, secret)


def new_key(kind: str = "p256") -> Any:
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


class Authority:
    """A root that issues whatever certificate it is asked for, sound or not."""

    def __init__(self, org: str = "Root Org", kind: str = "p256") -> None:
        self.key = new_key(kind)
        name, now = _name("Root", org), dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder(name, name, self.key.public_key(), 1, now - 10 * YEAR, now + 10 * YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(self.usage(sign=False, certify=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = pem(self.certificate)

    @staticmethod
    def usage(sign: bool = True, certify: bool = False) -> x509.KeyUsage:
        return x509.KeyUsage(sign, False, False, False, False, certify, certify, False, False)

    def issue(
        self,
        *,
        purposes: tuple[str, ...] | None = ("1.3.6.1.5.5.7.3.4",),
        org: str | None = "Signing Org",
        key: Any = None,
        usage: x509.KeyUsage | None = None,
        with_usage: bool = True,
        with_issuer_key: bool = True,
        authority: bool = False,
        self_signed: bool = False,
        valid: tuple[dt.timedelta, dt.timedelta] = (-YEAR, YEAR),
        critical_purposes: bool = False,
    ) -> tuple[bytes, bytes]:
        """Return (chain, key) in PEM."""
        key = key or new_key()
        now, name = dt.datetime.now(dt.UTC), _name("Leaf", org)
        issuer, issuer_key = (name, key) if self_signed else (self.certificate.subject, self.key)
        start, end = now + valid[0], now + valid[1]
        builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(), start, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if with_usage:
            builder = builder.add_extension(usage or self.usage(), critical=True)
        if purposes:
            extended = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in purposes])
            builder = builder.add_extension(extended, critical=critical_purposes)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if with_issuer_key:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        leaf = pem(builder.sign(issuer_key, digest))
        return (leaf if self_signed else leaf + self.pem), key_pem(key)


TSA_CONFIGURATION = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/leaf.pem
certs = {folder}/root.pem
signer_key = {folder}/key.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class TimeStamping:
    """A time stamping authority (RFC 3161) on the loopback interface; ``mode`` makes it fail in various ways."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mode, self.asked = folder, "answer", 0
        self.authority = Authority("Time Org")
        chain, key = self.authority.issue(
            purposes=(ExtendedKeyUsageOID.TIME_STAMPING.dotted_string,), org="Time Org", critical_purposes=True
        )
        leaf = chain[: chain.index(b"-----END") + len(b"-----END CERTIFICATE-----\n")]
        texts = {"leaf.pem": leaf, "root.pem": self.authority.pem, "key.pem": key, "serial": b"01"}
        for name, text in texts.items():
            (folder / name).write_bytes(text)
        (folder / "tsa.cnf").write_text(TSA_CONFIGURATION.format(folder=folder))

    @property
    def root(self) -> bytes:
        return self.authority.pem

    def answer(self, query: bytes) -> bytes:
        self.asked += 1
        (self.folder / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query"]
        reply = subprocess.run(command, cwd=self.folder, capture_output=True, check=True).stdout
        if self.mode == "forged":
            return reply[:-10] + bytes([reply[-10] ^ 1]) + reply[-9:]
        return b"no time stamp" if self.mode == "garbage" else reply


@contextmanager
def time_stamping() -> Iterator[TimeStamping]:
    """A running authority; its address is ``url``."""
    if shutil.which("openssl") is None:
        import pytest

        pytest.skip("openssl is not installed")
    with tempfile.TemporaryDirectory() as folder:
        tsa: Any = TimeStamping(Path(folder))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["content-length"]))
                if tsa.mode == "error":
                    self.send_error(500)
                    return
                reply = tsa.answer(query)
                self.send_response(200)
                self.send_header("content-type", "application/timestamp-reply")
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        tsa.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield tsa
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
