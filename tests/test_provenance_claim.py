"""Claims, China's label, soft bindings and the manifest that they become."""

import base64
import datetime as dt
import json

import pytest

from markai import sign, verify
from markai.errors import SigningError
from markai.provenance import Claim, SoftBinding, Tc260, jumbf
from markai.provenance.claim import AI_SOURCE_TYPES, KNOWN_SOURCE_TYPES
from markai.provenance.manifest import definition
from markai.provenance.softbinding import algorithm_of, algorithms_among, from_assertion
from provenance_samples import CLAIM, sample, signer

SEOUL = dt.timezone(dt.timedelta(hours=9))


def assertions(made: dict) -> dict:
    return {each["label"]: each["data"] for each in made["assertions"]}


def test_a_claim_has_what_california_asks_for_and_an_id_of_its_own():
    one, other = (Claim("Acme", "AcmeGen", "2.1") for _ in range(2))
    assert one.id != other.id
    assert abs(one.created - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)
    assert all(one.to_dict()[name] for name in ("provider", "system", "version", "created", "id"))
    assert Claim.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_times_are_told_in_utc():
    claim = Claim("Acme", "AcmeGen", "2.1", created=dt.datetime(2026, 11, 25, 9, 30, tzinfo=SEOUL))
    assert claim.when == "2026-11-25T00:30:00Z"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"provider": ""}, "the provider is text of 1 to 500"),
        ({"system": " "}, "the system is text"),
        ({"version": 2}, "the version is text"),
        ({"id": "x" * 501}, "the id is text"),
        ({"title": "x" * 501}, "the title is text of 0 to 500"),
        ({"prompt": "x" * 10_001}, "the prompt is text of 0 to 10000"),
        ({"provider": "a\0b"}, "control characters"),
        ({"provider": "a\ud800"}, "control characters"),
        ({"source_type": "photo"}, "no digital source type 'photo' - use one of trainedAlgorithmicMedia"),
        ({"created": dt.datetime(2026, 1, 1)}, "no time zone"),
    ],
)
def test_a_claim_that_says_nothing_is_refused(fields, words):
    with pytest.raises(SigningError, match=words):
        Claim(**{"provider": "Acme", "system": "AcmeGen", "version": "2.1", **fields})


@pytest.mark.parametrize("damaged", [None, 7, {}, [], {"provider": "x"}, {**CLAIM.to_dict(), "created": "soon"}])
def test_a_claim_that_cannot_be_read_is_none(damaged):
    assert Claim.from_dict(damaged) is None


def test_source_types():
    assert set(KNOWN_SOURCE_TYPES) > AI_SOURCE_TYPES
    assert not Claim("A", "B", "1", source_type="digitalCapture").is_ai
    assert Claim("A", "B", "1", source_type="trainedAlgorithmicData").source_type_uri.startswith("http://c2pa.org/")
    photo = verify(sign(sample("png"), signer(), Claim("A", "B", "1", source_type="digitalCapture")))
    assert (photo.source_type, photo.is_ai) == ("digitalCapture", False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"label": "4"}, "no TC260 label '4'"), ({"producer": ""}, "TC260 producer"), ({"produce_id": ""}, "TC260 id")],
)
def test_chinas_label_is_whole(fields, words):
    with pytest.raises(SigningError, match=words):
        Tc260(**{"producer": "Acme", "produce_id": "7", **fields})


def test_chinas_label_has_its_seven_keys():
    keys = [
        "Label",
        "ContentProducer",
        "ProduceID",
        "ReservedCode1",
        "ContentPropagator",
        "PropagateID",
        "ReservedCode2",
    ]
    made = json.loads(Tc260("주식회사", "7", label="2", propagator="P", propagate_id="8").to_json())
    assert list(made) == keys
    assert (made["Label"], made["ContentProducer"], made["PropagateID"]) == ("2", "주식회사", "8")


# The manifest


def test_the_first_action_is_created_and_says_how():
    made = assertions(definition(CLAIM))
    (action,) = made["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", CLAIM.source_type_uri)
    assert (action["when"], action["softwareAgent"]) == (CLAIM.when, {"name": "AcmeGen", "version": "2.1"})
    assert made["com.markai.disclosure"] == CLAIM.to_dict()
    assert made["c2pa.ai-disclosure"]["modelName"] == "AcmeGen"
    assert "c2pa.ai-disclosure" not in assertions(definition(Claim("A", "B", "1", source_type="digitalCapture")))


def test_everything_is_said_by_the_signer():
    """What is only "gathered" is nobody's word."""
    assert all(each["created"] for each in definition(CLAIM, [SoftBinding.of("x", b"1")])["assertions"])
    found = verify(sign(sample("png"), signer(), CLAIM))
    assert found.generator.startswith("markai ")


def test_a_watermark_with_a_payload_is_bound_and_one_without_is_not():
    binding = SoftBinding.of("dwt-dct", b"acme:42")
    for options, action in (
        ({"bindings": [binding]}, ["c2pa.watermarked.bound"]),
        ({"watermarked": True}, ["c2pa.watermarked.unbound"]),
        ({"bindings": [binding], "watermarked": True}, ["c2pa.watermarked.bound"]),
        ({}, []),
    ):
        found = verify(sign(sample("jpeg"), signer(), CLAIM, **options), signer().trust())
        assert (found.status, list(found.actions[1:])) == ("trusted", action)
        assert found.soft_bindings == tuple(options.get("bindings", ()))


def test_the_prompt_stays_out_of_the_manifest_and_is_off_by_default():
    secret = Claim("Acme", "AcmeGen", "2.1", prompt="my own words")
    assert b"my own words" not in sign(sample("png"), signer(), secret).manifest
    assert b"my own words" in sign(sample("png"), signer(), secret)
    assert b"AIPromptInformation" not in sign(sample("png"), signer(), CLAIM)


def test_the_label_of_the_manifest_is_the_last_in_the_store():
    first = sign(sample("png"), signer(), CLAIM)
    second = sign(first, signer(), CLAIM)
    assert jumbf.labels(second.manifest) == [first.manifest_id, second.manifest_id]
    assert verify(second).manifest_id == second.manifest_id
    for damaged in (b"", second.manifest[:20], b"\0\0\0\x08jumb", b"\0\0\0\0jumb" * 9):
        with pytest.raises(SigningError, match="holds no manifest"):
            jumbf.active_label(damaged)


# Soft bindings


def test_names_are_of_the_form_that_the_list_asks_for():
    assert algorithm_of("dwt-dct") == "com.markai.dwt-dct.1"
    assert algorithm_of("learned") == "com.markai.learned.1"
    assert [each.alg for each in SoftBinding.all_of("learned", b"x")] == ["com.markai.learned.1"]
    assert "com.markai.both.1" not in algorithms_among(["dwt-dct"])  # half of it is no search for it
    for name in ("com.adobe.trustmark.P", "io.iscc.v0", "com.microsoft.invismark.1", "ab.c."):
        assert SoftBinding(name, "").alg == name
    for name in ("", "c.x", "com", "com.a_b", "com.-a", "com.a-", "com..a", "com.a b", "x" * 300 + ".a", "com.a\n"):
        with pytest.raises(SigningError, match="is no name of an algorithm"):
            SoftBinding(name, "")
    with pytest.raises(SigningError, match="is no name"):
        algorithm_of("dwt_dct")


def test_values_are_read_as_text_and_as_base64():
    text, coded = SoftBinding("ab.c", "2*0110"), SoftBinding.of("x", b"\x01\x02\xff")
    assert text.matches(b"2*0110")
    assert coded.value == base64.b64encode(b"\x01\x02\xff").decode()
    assert coded.matches(b"\x01\x02\xff")
    assert coded.matches(coded.value.encode())
    assert not coded.matches(b"\x01\x02")
    assert not SoftBinding("ab.c", "").matches(b"")


def test_what_others_state_is_read_and_what_is_damaged_passed_over():
    stated = {"alg": "com.adobe.trustmark.P", "blocks": [{"scope": {}, "value": "2*01"}, {"value": 7}, 7, {}]}
    assert [each.value for each in from_assertion(stated)] == ["2*01"]
    for damaged in (None, 7, {}, {"alg": 7, "blocks": [{"value": "x"}]}, {"alg": "x", "blocks": [{"value": "x"}]}):
        assert from_assertion(damaged) == []


def test_several_bindings_stand_side_by_side():
    bindings = [SoftBinding.of("dwt-dct", b"1"), SoftBinding("io.iscc.v0", "ISCC:KACT4EBWK27737D2")]
    found = verify(sign(sample("jpeg"), signer(), CLAIM, bindings=bindings), signer().trust())
    assert (found.status, found.soft_bindings) == ("trusted", tuple(bindings))


def test_the_names_of_the_package_are_there():
    from markai import provenance

    assert provenance.__all__ == sorted(provenance.__all__)
    assert set(provenance.__all__) == set(provenance._HOME) <= set(dir(provenance))
    assert all(getattr(provenance, name).__doc__ for name in provenance.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = provenance.nothing
