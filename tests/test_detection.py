"""The answer of detection: true or not, required or not, and as JSON."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markai import Detection, Geometry, NotDetected

FOUND = Detection(
    log10_p_value=-12.0,
    fpr=1e-6,
    payload=b"acme:42",
    method="dwt-dct",
    key_id="aad476906739de25",
    geometry=Geometry(offset=(3.0, 4.0), period=128.0),
    tests=4096,
)
NOTHING = Detection(log10_p_value=-1.5, fpr=1e-6, reasons=("inconclusive: flat",))


def test_true_where_the_p_value_is_at_most_the_rate():
    assert FOUND
    assert FOUND.detected
    assert not NOTHING
    assert Detection(log10_p_value=-6.0, fpr=1e-6)
    assert not Detection(log10_p_value=-5.999999, fpr=1e-6)


@given(st.floats(-1e6, 0), st.floats(1e-300, 1, exclude_max=True))
def test_detected_is_the_p_value_against_the_rate(log10_p, fpr):
    found = Detection(log10_p_value=log10_p, fpr=fpr)
    assert 0 <= found.p_value <= 1
    assert bool(found) == found.detected == (found.p_value <= fpr)


@pytest.mark.parametrize("log10_p", [-400.0, -1e5, -math.inf])
def test_far_below_what_a_float_holds(log10_p):
    found = replace(FOUND, log10_p_value=log10_p)
    assert found
    assert found.p_value == 0.0
    assert found.log10_p_value == log10_p


def test_require_returns_the_detection_or_raises():
    assert FOUND.require() is FOUND
    with pytest.raises(NotDetected, match=r"p = 0\.032 > 1e-06 \(inconclusive: flat\)"):
        NOTHING.require()
    with pytest.raises(LookupError, match=r"p = 1 > 1e-06$"):
        Detection(log10_p_value=0.0, fpr=1e-6).require()


@pytest.mark.parametrize("found", [FOUND, NOTHING, replace(FOUND, log10_p_value=-400.0)])
def test_to_dict_is_json(found):
    row = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert row["detected"] == found.detected
    assert row["p_value"] == found.p_value
    assert row["log10_p_value"] == found.log10_p_value
    assert row["payload"] == (found.payload.hex() if found.payload else None)
    assert row["reasons"] == list(found.reasons)
    assert set(row) == {
        *("detected", "p_value", "log10_p_value", "fpr", "payload", "payload_text"),
        *("method", "key_id", "geometry", "tests", "reasons", "coverage"),
    }


def test_to_dict_holds_the_geometry():
    assert FOUND.to_dict()["geometry"] == {
        "scale_x": 1.0,
        "scale_y": 1.0,
        "rotation": 0.0,
        "flipped": False,
        "offset": (3.0, 4.0),
        "period": 128.0,
    }
    assert NOTHING.to_dict()["geometry"] is None


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, None),
        (b"", None),
        (b"acme:42", "acme:42"),
        ("마크".encode(), "마크"),
        (b"\xff\x00", None),
        (b"a\n", None),
    ],
)
def test_text_only_where_the_payload_is_printable(payload, text):
    row = replace(FOUND, payload=payload).to_dict()
    assert row["payload_text"] == text
    assert row["payload"] == (None if payload is None else payload.hex())


@pytest.mark.parametrize("value", [FOUND, FOUND.geometry])
def test_frozen(value):
    for name in ("fpr", "payload", "offset"):
        if hasattr(value, name):
            with pytest.raises(FrozenInstanceError):
                setattr(value, name, None)
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        value.note = "no"
    assert hash(value) == hash(replace(value))
