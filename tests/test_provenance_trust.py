"""Trust lists: their formats, and that a list is good for one purpose only."""

import base64
import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from markai import Signer, Trust, sign, verify
from markai.errors import CertificateError
from markai.provenance import trust as trust_module
from provenance_samples import CLAIM, Authority, sample, signer, time_stamping

ROOT = Authority()
CHAIN, KEY = ROOT.issue()
LEAF = CHAIN.removesuffix(ROOT.pem)
DER = x509.load_pem_x509_certificate(LEAF).public_bytes(Encoding.DER)
DIGEST = base64.b64encode(hashlib.sha256(DER).digest()) + b"\n"
SIGNED = sign(sample("jpeg"), Signer(CHAIN, key=KEY), CLAIM)


def official(*entries):
    """The JSON form of C2PA's list: (status, certificates) of each service."""
    services = [
        {
            "ServiceInformation": {
                "ServiceDigitalIdentity": {
                    "X509Certificates": [
                        {
                            "val": base64.b64encode(
                                x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
                            ).decode()
                        }
                        for pem in pems
                    ]
                },
                "ServiceStatus": f"http://c2pa.org/conformance/trust-list/{status}",
            }
        }
        for status, pems in entries
    ]
    return json.dumps({"LoTE": {"TrustedEntitiesList": [{"TrustedEntityServices": services}]}}).encode()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (ROOT.pem, "trusted"),
        (b"Subject\tCN=Somebody, O=Some\n" + Authority().pem + b"\nSubject CN=Root\n" + ROOT.pem + b"\n", "trusted"),
        (official(("trusted", [Authority().pem]), ("trusted", [ROOT.pem])), "trusted"),
        (official(("trusted", [Authority().pem]), ("revoked", [ROOT.pem])), "valid"),
        (Authority().pem, "valid"),
    ],
    ids=["pem", "official pem", "official json", "revoked in json", "another"],
)
def test_lists_of_authorities(text, status, tmp_path):
    (tmp_path / "list").write_bytes(text)
    assert verify(SIGNED, Trust.from_files(tmp_path / "list")).status == status


@pytest.mark.parametrize("text", [LEAF, DIGEST, b"# signers\n\n" + DIGEST, DIGEST + LEAF], ids=range(4))
def test_lists_of_signers(text, tmp_path):
    (tmp_path / "list").write_bytes(text)
    trust = Trust.from_files(allowed=tmp_path / "list")
    assert verify(SIGNED, trust).status == "trusted"
    assert verify(sign(sample("jpeg"), signer(), CLAIM), trust).status == "valid"


def test_several_files_are_one_list(tmp_path):
    (tmp_path / "a").write_bytes(ROOT.pem)
    (tmp_path / "b").write_bytes(signer().trust().manifest)
    trust = Trust.from_files(tmp_path / "a", str(tmp_path / "b"), tsa=[tmp_path / "a", tmp_path / "b"])
    assert repr(trust) == "<markai.Trust 2 for manifests, 2 for time stamps>"
    assert verify(SIGNED, trust)
    assert verify(sign(sample("jpeg"), signer(), CLAIM), trust)


def test_nobody_is_trusted_without_a_list():
    found = verify(SIGNED, Trust.none())
    assert (found.status, bool(found), found.trust_given) == ("valid", True, False)
    assert [reason.code for reason in found.reasons] == ["signingCredential.untrusted"]
    assert not verify(SIGNED, Trust(manifest=Authority().pem))  # whoever gives a list means it


def test_a_list_for_time_stamps_trusts_no_signer():
    """c2pa-rs itself does: its state is "Trusted"."""
    assert verify(SIGNED, Trust(tsa=ROOT.pem)).status == "valid"
    assert verify(SIGNED, Trust(manifest=Authority().pem, tsa=ROOT.pem)).status == "valid"
    assert verify(SIGNED, Trust(manifest=ROOT.pem, tsa=ROOT.pem)).status == "trusted"


def test_a_list_for_manifests_trusts_no_time():
    with time_stamping() as tsa:
        signed = sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=tsa.url), CLAIM)
        found = verify(signed, Trust(manifest=ROOT.pem + tsa.root))
        assert (found.status, found.time_trusted) == ("trusted", False)
        assert "timeStamp.untrusted" in {reason.code for reason in found.reasons}
        found = verify(signed, Trust(manifest=ROOT.pem, tsa=tsa.root))
        assert (found.status, found.time_trusted) == ("trusted", True)
        assert "timeStamp.trusted" in {reason.code for reason in found.reasons}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "holds no certificates"),
        (b"hello", "holds no certificates"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificates can be read"),
        (b"{}", "not a trust list in JSON"),
        (b'{"LoTE": {"TrustedEntitiesList": 7}}', "not a trust list in JSON"),
        (b"[" * 100_000, "holds no certificates"),
        (b'{"a":' * 100_000, "not a trust list in JSON"),
        (official(("revoked", [ROOT.pem])), "holds no certificates"),
        (official(("trusted", [ROOT.pem])).replace(b'"val": "MI', b'"val": "!!'), "not a trust list in JSON"),
    ],
)
def test_lists_that_cannot_be_used_say_why(text, words, tmp_path):
    (tmp_path / "list").write_bytes(text)
    for use in ("manifest", "tsa", "allowed"):
        with pytest.raises(CertificateError, match=f"list.*{words}.* - "):
            Trust.from_files(
                *[tmp_path / "list"] * (use == "manifest"), **{} if use == "manifest" else {use: tmp_path / "list"}
            )
    if text:
        with pytest.raises(CertificateError, match=words):
            Trust(manifest=text)


def test_a_missing_or_endless_file_says_so(tmp_path, monkeypatch):
    with pytest.raises(CertificateError, match=r"cannot read .*absent"):
        Trust.from_files(tmp_path / "absent")
    monkeypatch.setattr(trust_module, "MAX_LIST_BYTES", 10)
    (tmp_path / "long").write_bytes(ROOT.pem)
    with pytest.raises(CertificateError, match="more than 10 bytes"):
        Trust.from_files(tmp_path / "long")


def test_the_words_that_tell_the_lists_apart_are_those_of_the_pinned_version():
    """c2pa tells in words which list a chain led to; in other words nobody would be trusted, and this says why."""
    c2pa = pytest.importorskip("c2pa")
    assert c2pa.sdk_version().startswith("0.91.")
    with time_stamping() as tsa:
        signed = sign(sample("jpeg"), Signer(CHAIN, key=KEY, tsa_url=tsa.url), CLAIM)
    told = {each.code: each.detail for each in verify(signed, Trust(manifest=ROOT.pem, tsa=tsa.root)).reasons}
    trusted = "signing certificate trusted, found in [urn:markai:trust:manifest] trust anchors"
    assert told["signingCredential.trusted"] == trusted
    assert told["timeStamp.trusted"] == "timestamp cert trusted: Leaf, trust list: urn:markai:trust:tsa"
