"""The one module that knows c2pa-python: bytes in, bytes and plain values out.

Every call makes its own native context and signer (0.4 ms): a context that was made before a fork is dead in the
child. No thumbnails (they add up to 2.6 MB and take 15 times as long), nothing fetched from the network but the time
stamp that a signer asks for. The two URIs of the trust lists come back in the report, so that ``verify`` can
tell which of them an answer rests on; c2pa-rs itself takes any list for any purpose.
"""

import importlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

from markai.errors import MissingExtraError, SigningError, TimestampError
from markai.provenance.certs import SIGNING_PURPOSES
from markai.provenance.guard import claims_too_much
from markai.provenance.signer import Signer
from markai.provenance.trust import Trust

MANIFEST_LIST, TSA_LIST, BOTH_LISTS = (f"urn:markai:trust:{name}" for name in ("manifest", "tsa", "both"))
# What c2pa-python raises, by the class that its errors name themselves after. Anything else is damage.
PEM_END = "-----END CERTIFICATE-----\n"
MAX_UNPACKED_MB = 64  # of a manifest that is packed
STORE = "application/c2pa"  # a manifest store by itself
ABSENT, UNSUPPORTED, REMOTE = "ManifestNotFound", "NotSupported", "RemoteManifest"

Json = dict[str, Any]
log = logging.getLogger("markai")


@dataclass(frozen=True, slots=True)
class Report:
    """What c2pa says of a file: ``store`` is its JSON, ``details`` its crJSON, both as plain values."""

    store: Json
    details: Json
    embedded: bool
    remote_url: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no report: ``kind`` is "none", "remote", "unsupported" or "damaged"."""

    kind: str
    problem: str


def sign(
    data: bytes,
    mime: str,
    definition: Json,
    signer: Signer,
    *,
    parent: tuple[bytes, str] | None = None,
    embed: bool = True,
    soft_binding_algorithms: Sequence[str] = (),
) -> tuple[bytes, bytes, bool]:
    """Return the signed data, its manifest store, and whether it has a time stamp; without ``embed`` data stays.

    ``parent`` is (data, type) of what was edited: it becomes the parent ingredient with its manifests.

    Raises:
        SigningError: if it cannot be signed.
        TimestampError: if a time stamp is required and there is none.
        MissingExtraError: without c2pa-python.
    """
    if claims_too_much(data, mime) or (parent and claims_too_much(*parent)):
        raise SigningError("the manifest in the file is damaged - sign an undamaged copy")
    call = _Signing(data, mime, definition, parent, embed, _settings(Trust.none(), soft_binding_algorithms))
    if signer.timestamp == "off":
        return *call.run(signer, None), False
    try:
        return *call.run(signer, signer.tsa_url), True
    except SigningError as error:
        failure = error
    try:
        unstamped = call.run(signer, None)
    except SigningError:
        raise failure from None  # not for want of a time stamp
    if signer.timestamp == "require":
        advice = "try again, or sign with timestamp='best-effort' or 'off'"
        raise TimestampError(f"the authority {signer.tsa_url} gave no time stamp ({failure}) - {advice}") from None
    log.warning("signed without a time stamp, which %s did not give: %s", signer.tsa_url, failure)
    return *unstamped, False


def read(data: bytes, mime: str, trust: Trust, sidecar: bytes | None = None) -> Report | Failure:
    """Return the report on the manifests in a file, or in the ``sidecar`` that belongs to it.

    Raises:
        MissingExtraError: without c2pa-python.
    """
    c2pa = _c2pa()
    if claims_too_much(data, mime) or (sidecar is not None and claims_too_much(sidecar, STORE)):
        return Failure("damaged", "a string in the manifest claims more bytes than the file has")
    try:
        with (
            c2pa.Context.from_dict(_settings(trust)) as context,
            c2pa.Reader(mime, BytesIO(data), sidecar, context=context) as reader,
        ):
            store, details = json.loads(reader.json()), json.loads(reader.crjson())
            return Report(store, details, reader.is_embedded(), reader.get_remote_url())
    except c2pa.C2paError as error:
        return Failure(_kind(error), _said(error))
    except (ValueError, RecursionError) as error:  # a report that is no JSON, or nested without end
        return Failure("damaged", str(error))


@cache
def embeddable() -> frozenset[str]:
    """Return the media types that can hold a manifest.

    Raises:
        MissingExtraError: without c2pa-python.
    """
    return frozenset(each for each in _c2pa().Builder.get_supported_mime_types() if "/" in each)


@dataclass(frozen=True, slots=True)
class _Signing:
    """One signature in the making, to be run with a time stamp or without."""

    data: bytes
    mime: str
    definition: Json
    parent: tuple[bytes, str] | None
    embed: bool
    settings: Json

    def run(self, signer: Signer, tsa_url: str | None) -> tuple[bytes, bytes]:
        c2pa = _c2pa()
        raised: list[Exception] = []
        result = BytesIO()
        try:
            with (
                c2pa.Context.from_dict(self.settings) as context,
                _native_signer(signer, tsa_url, raised) as native,
                c2pa.Builder(self.definition, context=context) as builder,
            ):
                if self.parent:
                    self._open(builder)
                if not self.embed:
                    builder.set_no_embed()
                store = builder.sign(native, self.mime, BytesIO(self.data), result)
        except c2pa.C2paError as error:
            if raised:
                raise SigningError(f"the callback that signs failed: {raised[0]!r} - see to the key store") from raised[
                    0
                ]
            raise SigningError(f"c2pa did not sign the {self.mime} data: {_said(error)} - {_advice(error)}") from None
        return result.getvalue() if self.embed else self.data, store

    def _open(self, builder: Any) -> None:
        assert self.parent is not None
        data, mime = self.parent
        builder.set_intent(_c2pa().C2paBuilderIntent.EDIT)
        builder.add_ingredient({"relationship": "parentOf"}, mime, BytesIO(data))


def _native_signer(signer: Signer, tsa_url: str | None, raised: list[Exception]) -> Any:
    """Return a c2pa signer; what a callback raises goes to ``raised``, for c2pa would only say that it failed."""
    c2pa = _c2pa()
    callback = signer.callback
    if callback is None:
        return c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(alg=signer.alg, sign_cert=signer.chain, private_key=signer.key, ta_url=tsa_url)
        )

    def guarded(message: bytes) -> bytes:
        try:
            return bytes(callback(message))
        except Exception as error:
            raised.append(error)
            return b""

    algorithm = c2pa.C2paSigningAlg[signer.alg.upper()]
    return c2pa.Signer.from_callback(guarded, algorithm, signer.chain.decode(), tsa_url)


def _settings(trust: Trust, soft_binding_algorithms: Sequence[str] = ()) -> Json:
    """Return c2pa's settings; it ignores keys that it does not know, so a test holds each of them to its effect."""
    return {
        "version": 1,
        # Without the purposes up here only e-mail protection passes, and inside an anchor they have no effect.
        "trust": {"trust_config": "".join(f"{oid}\n" for oid in SIGNING_PURPOSES), "anchors": _anchors(trust)},
        "core": {"max_decompressed_manifest_size_in_mb": MAX_UNPACKED_MB},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
        "builder": {"thumbnail": {"enabled": False}},
        "soft_binding": {"soft_binding_algorithms": list(soft_binding_algorithms)},
    }


def _anchors(trust: Trust) -> list[Json]:
    """Return the lists, and a third for what is in both: c2pa names only one of the lists that a chain leads to."""
    signers, clocks = (dict.fromkeys(each.decode().split(PEM_END)[:-1]) for each in (trust.manifest, trust.tsa))
    lists = (
        (MANIFEST_LIST, "manifest", [pem for pem in signers if pem not in clocks], trust.allowed.decode()),
        (TSA_LIST, "tsa", [pem for pem in clocks if pem not in signers], ""),
        (BOTH_LISTS, "manifest", [pem for pem in signers if pem in clocks], ""),
    )
    return [
        {
            "trust_anchors": "".join(pem + PEM_END for pem in pems),
            "allowed_list": allowed,
            "trust_uri": uri,
            "trust_kind": kind,
        }
        for uri, kind, pems, allowed in lists
        if pems or allowed
    ]


def _kind(error: Exception) -> str:
    name, said = type(error).__name__.removeprefix("_C2pa"), str(error)
    # A file that names a manifest elsewhere: c2pa would fetch it, or says that its XMP leads nowhere.
    if name == REMOTE or said.startswith("Remote"):
        return "remote"
    if name == ABSENT:
        return "none"
    return "unsupported" if name == UNSUPPORTED else "damaged"


def _said(error: Exception) -> str:
    """Return what c2pa says, in one line that may be shown."""
    said = " ".join(str(error).split())
    return said[:300] if said.isprintable() else ascii(said[:300])


def _advice(error: Exception) -> str:
    name = type(error).__name__
    if name == "_C2paSignature":
        return "check the certificate with: markai certs --check CHAIN.pem"
    if name == "_C2paNotSupported":
        return "sign it with a sidecar: embed=False"
    return "check that the file opens, and export it again"


def _c2pa() -> Any:
    try:
        return importlib.import_module("c2pa")
    except ImportError:
        raise MissingExtraError.naming("c2pa-python", "c2pa", "C2PA manifests") from None
