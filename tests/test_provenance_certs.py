"""Certificates: what the linter refuses is what C2PA refuses or never trusts, and nothing else."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat

from markai import Signer, Trust, sign, verify
from markai.errors import CertificateError, OutputError, SigningError
from markai.provenance import certs
from markai.provenance.certs import CLAIM_SIGNING, DOCUMENT_SIGNING, EMAIL_PROTECTION, lint, make_chain, write_chain
from provenance_samples import CLAIM, YEAR, Authority, key_pem, new_key, sample

ROOT = Authority()
SERVER, CODE, ANY, STAMPS = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3", "2.5.29.37.0", "1.3.6.1.5.5.7.3.8"
SOUND = {
    "email": {},
    "documents": {"purposes": (DOCUMENT_SIGNING,)},
    "claims": {"purposes": (CLAIM_SIGNING,)},
    "all three": {"purposes": (CLAIM_SIGNING, DOCUMENT_SIGNING, EMAIL_PROTECTION)},
    "email and server": {"purposes": (EMAIL_PROTECTION, SERVER)},
    "p384": {"key": new_key("p384")},
    "ed25519": {"key": new_key("ed25519")},
    "p521": {"key": new_key("p521")},
    "rsa": {"key": new_key("rsa2048")},
}
BROKEN = {
    "server": ({"purposes": (SERVER,)}, "extended key usage"),
    "code": ({"purposes": (CODE,)}, "extended key usage"),
    "any": ({"purposes": (ANY,)}, "extended key usage"),
    "email and any": ({"purposes": (EMAIL_PROTECTION, ANY)}, "extended key usage"),
    "email and stamps": ({"purposes": (EMAIL_PROTECTION, STAMPS)}, "extended key usage"),
    "no purpose": ({"purposes": None}, "extended key usage"),
    "no issuer key": ({"with_issuer_key": False}, "authority key identifier"),
    "no usage": ({"with_usage": False}, "key usage"),
    "certifies": ({"usage": Authority.usage(certify=True)}, "key usage"),
    "signs nothing": ({"usage": Authority.usage(sign=False, certify=False)}, "key usage"),
    "authority": ({"authority": True}, "basic constraints"),
    "expired": ({"valid": (-YEAR, dt.timedelta(hours=-1))}, "validity"),
    "not yet": ({"valid": (dt.timedelta(hours=1), YEAR)}, "validity"),
    "short rsa": ({"key": new_key("rsa1024")}, "key"),
}


def trusted(chain: bytes, key: bytes, monkeypatch: pytest.MonkeyPatch, trust: Trust) -> bool:
    """Whether C2PA itself signs with a certificate and trusts the result."""
    monkeypatch.setattr(certs, "require_sound", lambda *_: None)
    try:
        return verify(sign(sample("jpeg"), Signer(chain, key=key), CLAIM), trust).status == "trusted"
    except SigningError:
        return False


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_certificate_is_accepted_by_both(name, monkeypatch):
    chain, key = ROOT.issue(**SOUND[name])
    assert lint(chain, key) == []
    assert trusted(chain, key, monkeypatch, Trust(manifest=ROOT.pem))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_certificate_is_refused_by_both_and_the_rule_is_named(name, monkeypatch):
    options, rule = BROKEN[name]
    chain, key = ROOT.issue(**options)
    assert [finding.rule for finding in lint(chain, key)] == [rule]
    with pytest.raises(CertificateError, match=f"C2PA does not accept the certificate. {rule}: .* - "):
        Signer(chain, key=key)
    if name != "signs nothing":  # where c2pa-rs is laxer than the profile that it implements
        assert not trusted(chain, key, monkeypatch, Trust(manifest=ROOT.pem))


def test_a_certificate_without_an_organisation_is_refused_for_reports_would_name_nobody(monkeypatch):
    chain, key = ROOT.issue(org=None)
    assert [finding.rule for finding in lint(chain, key)] == ["subject"]
    assert trusted(chain, key, monkeypatch, Trust(manifest=ROOT.pem))


def test_a_self_signed_authority_is_refused_and_an_end_entity_is_trusted_by_name(monkeypatch):
    chain, key = ROOT.issue(self_signed=True)
    assert lint(chain, key) == []
    assert trusted(chain, key, monkeypatch, Trust(allowed=chain))
    chain, key = ROOT.issue(self_signed=True, authority=True)
    assert [finding.rule for finding in lint(chain, key)] == ["basic constraints"]
    assert not trusted(chain, key, monkeypatch, Trust(allowed=chain))


def test_a_chain_in_the_wrong_order_or_with_a_stranger_in_it_is_refused():
    chain, key = ROOT.issue()
    leaf = chain.removesuffix(ROOT.pem)
    assert lint(leaf, key) == []  # the root may be left out
    assert "order" in {finding.rule for finding in lint(ROOT.pem + leaf)}
    assert [finding.rule for finding in lint(leaf + Authority().pem, key)] == ["order"]


def test_what_a_p521_authority_signed_with_sha_256_is_refused(monkeypatch):
    root = Authority(kind="p521")
    chain, key = root.issue()
    assert [finding.rule for finding in lint(chain, key)] == ["signature"]
    assert not trusted(chain, key, monkeypatch, Trust(manifest=root.pem))


def test_a_key_that_does_not_fit_is_refused():
    chain, _ = ROOT.issue()
    assert [finding.rule for finding in lint(chain, key_pem(new_key()))] == ["key pair"]


@pytest.mark.parametrize("alg", certs.ALGORITHMS)
def test_a_development_chain_signs_and_only_its_root_trusts_it(alg):
    signer = Signer.development("Acme", alg=alg)
    signed = sign(sample("png"), signer, CLAIM)
    found = verify(signed, signer.trust())
    assert (found.status, found.signer.organization, found.signer.development) == ("trusted", "Acme", True)
    assert verify(signed, Signer.development("Acme").trust()).status == "valid"
    assert verify(signed).status == "valid"


def test_development_has_limits():
    for options, words in (({"alg": "es1024"}, "no algorithm"), ({"days": 0}, "1 to 36500"), ({"org": " "}, "1 to 64")):
        with pytest.raises(CertificateError, match=words):
            make_chain(**{"org": "Acme", "days": 1, "alg": "es256", **options})


def test_a_development_chain_from_files_is_refused_unless_it_is_meant(tmp_path):
    paths = write_chain(make_chain("Acme", days=3), tmp_path)
    signer = Signer.from_files(paths["chain"], paths["key"])
    assert signer.is_development
    with pytest.raises(CertificateError, match=r"nobody trusts a development certificate.*trust list.*claim signing"):
        signer.require_production()
    meant = Signer.from_files(paths["chain"], paths["key"], development=True)
    assert meant.require_production() is meant
    assert Signer.development().require_production().is_development
    chain, key = ROOT.issue()
    assert not Signer(chain, key=key).require_production().is_development


def test_a_chain_is_written_once_and_its_key_only_for_its_owner(tmp_path):
    made = make_chain()
    paths = write_chain(made, tmp_path / "new")
    assert {name: path.read_bytes() for name, path in paths.items()} == made._asdict()
    assert paths["key"].stat().st_mode & 0o777 == 0o600
    with pytest.raises(OutputError, match="exists already"):
        write_chain(make_chain(), tmp_path / "new")
    assert paths["key"].read_bytes() == made.key
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="check the path"):
        write_chain(made, tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("kind", "alg"),
    [("p256", "es256"), ("p384", "es384"), ("p521", "es512"), ("ed25519", "ed25519"), ("rsa2048", "ps256")],
)
def test_keys_load_in_every_pem_form(kind, alg, tmp_path):
    key = new_key(kind)
    chain, _ = ROOT.issue(key=key)
    (tmp_path / "chain").write_bytes(chain)
    forms = [PrivateFormat.PKCS8] + [PrivateFormat.TraditionalOpenSSL] * (kind != "ed25519")
    for form in forms:
        for password in (None, b"secret"):
            (tmp_path / "key").write_bytes(key_pem(key, form, password))
            signer = Signer.from_files(tmp_path / "chain", tmp_path / "key", password=password)
            assert signer.alg == alg
            assert verify(sign(sample("png"), signer, CLAIM), Trust(manifest=ROOT.pem))


def test_rsa_may_ask_for_a_longer_hash_and_no_key_for_another_kind():
    chain, key = ROOT.issue(key=new_key("rsa2048"))
    signer = Signer(chain, key=key, alg="ps512")
    assert verify(sign(sample("png"), signer, CLAIM), Trust(manifest=ROOT.pem)).signer.alg == "ps512"
    with pytest.raises(CertificateError, match="ps256 or ps384 or ps512, not es256"):
        Signer(chain, key=key, alg="es256")


def test_files_that_cannot_be_used_say_why(tmp_path):
    chain, key = ROOT.issue()
    for name, data in (
        ("chain", chain),
        ("key", key),
        ("none", b"hello"),
        ("locked", key_pem(new_key(), password=b"x")),
    ):
        (tmp_path / name).write_bytes(data)
    for names, options, words in (
        (("absent", "key"), {}, "cannot read .*absent"),
        (("none", "key"), {}, "no certificates can be read"),
        (("chain", "none"), {}, "the private key cannot be read"),
        (("chain", "locked"), {}, "is encrypted"),
        (("chain", "key"), {"password": b"x"}, "not encrypted"),
        (("chain", "locked"), {"password": b"wrong"}, "cannot be read"),
    ):
        with pytest.raises(CertificateError, match=words):
            Signer.from_files(*(tmp_path / name for name in names), **options)


def test_a_signer_shows_no_secret_and_is_not_pickled():
    import pickle

    signer = Signer.development("Acme")
    assert repr(signer) == "<markai.Signer Acme, es256, for development>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(signer)
