"""Payloads: round trips, noise, refusals, the false-accept rate, and vectors that hold forever."""

import hmac
import json
import math
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markai.errors import PayloadError
from markai.keys import Key
from markai.payload import CLASSES, CODE_BITS, Decoded, decode, encode, frozen_set, log10_p_value

VECTORS = json.loads((Path(__file__).parent / "vectors" / "payload.json").read_text())
KEY = Key(bytes(range(32)))

keys = st.binary(min_size=32, max_size=32).map(Key)
payloads = st.binary(max_size=16)
nonces = st.integers(0, 65535)


def received(payload, key=KEY, nonce=0, noise=0.0, rng=None):
    sent = 1 - 2 * encode(payload, key, nonce).astype(np.float32)
    return sent if rng is None else (sent + noise * rng.standard_normal(CODE_BITS)).astype(np.float32)


def noise_at(ebn0_db, bits):
    return math.sqrt(CODE_BITS / (2 * bits * 10 ** (ebn0_db / 10)))


@given(payloads, keys, nonces)
def test_round_trip(payload, key, nonce):
    found = decode(received(payload, key, nonce), key, nonce)
    assert found.payload == payload
    assert found
    assert found.candidates >= 1


@given(st.integers(0, 16), st.sampled_from([b"\0", b"\xff"]))
def test_round_trip_of_payloads_that_look_like_padding(length, byte):
    assert decode(received(byte * length), KEY, 0).payload == byte * length


@given(payloads, nonces)
def test_wrong_key_or_nonce_finds_nothing(payload, nonce):
    soft = received(payload, KEY, nonce)
    assert not decode(soft, Key(bytes(32)), nonce)
    assert not decode(soft, KEY, (nonce + 1) % 65536)


@pytest.mark.parametrize(("length", "ebn0_db"), [(0, 1.5), (4, 1.5), (8, 1.5), (16, 1.5)])
def test_decodes_through_noise(length, ebn0_db):
    rng = np.random.default_rng(length)
    bits = next(code.bits for code in CLASSES if length <= code.size)
    for nonce in range(50):
        payload = rng.bytes(length)
        soft = received(payload, KEY, nonce, noise_at(ebn0_db, bits), rng)
        assert decode(soft, KEY, nonce).payload == payload


def test_the_mac_picks_from_the_list():
    rng = np.random.default_rng(3)
    softs = [received(b"acme:42", noise=noise_at(0.75, 99), rng=rng) for _ in range(100)]
    assert sum(map(bool, [decode(soft, KEY, 0, list_size=1) for soft in softs])) <= 80
    assert sum(map(bool, [decode(soft, KEY, 0, list_size=32) for soft in softs])) >= 95


def test_only_the_proportions_of_the_soft_values_matter():
    soft = received(b"acme:42", noise=noise_at(0.75, 99), rng=np.random.default_rng(4))
    assert decode(soft, KEY, 0) == decode(soft * np.float32(2**20), KEY, 0)


def test_erasures():
    soft = received(b"acme:42")
    soft[::2] = 0
    soft[1::8] = np.nan
    assert decode(soft, KEY, 0).payload == b"acme:42"


@pytest.mark.parametrize("soft", [np.zeros(512), np.ones(512), np.full(512, -np.inf), np.full(512, np.nan)])
def test_signal_without_information_is_no_payload(soft):
    assert not decode(soft.astype(np.float32), KEY, 0)


def test_noise_is_never_accepted():
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((2000, CODE_BITS)).astype(np.float32)
    found = [decode(row, KEY, nonce, list_size=8) for nonce, row in enumerate(noise)]
    assert not any(found)
    # One candidate in eight has a possible length and padding; there are 8 in each of 3 classes.
    assert 2.5 < np.mean([row.candidates for row in found]) < 3.7


def test_candidates_times_the_mac_is_the_false_accept_rate(monkeypatch):
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: a[0] == b[0])  # a MAC of 8 bits
    rng = np.random.default_rng(6)
    found = [decode(row, KEY, 0) for row in rng.standard_normal((800, CODE_BITS)).astype(np.float32)]
    expected = sum(row.candidates for row in found) / 256
    assert expected > 20
    assert abs(sum(map(bool, found)) - expected) < 4 * math.sqrt(expected)


def test_p_value():
    assert log10_p_value(1) == pytest.approx(-32 * math.log10(2))
    assert log10_p_value(100) == pytest.approx(2 - 32 * math.log10(2))
    assert log10_p_value(2**40) == 0.0


def test_an_empty_payload_is_found_and_none_is_not():
    assert Decoded(b"", 1)
    assert not Decoded(None, 1)


@pytest.mark.parametrize("payload", ["acme", None, 7, bytearray(b"acme"), [1, 2]])
def test_payload_must_be_bytes(payload):
    with pytest.raises(PayloadError, match=f"bytes, not {type(payload).__name__} - "):
        encode(payload, KEY, 0)


def test_payload_must_fit():
    with pytest.raises(PayloadError, match="17 bytes, a mark carries 16 - "):
        encode(bytes(17), KEY, 0)


@pytest.mark.parametrize("nonce", [-1, 65536])
def test_nonce_must_fit(nonce):
    with pytest.raises(ValueError, match="0 to 65535"):
        encode(b"", KEY, nonce)
    with pytest.raises(ValueError, match="0 to 65535"):
        decode(np.zeros(512, np.float32), KEY, nonce)


def test_there_must_be_512_soft_values():
    with pytest.raises(ValueError, match="512 soft values"):
        decode(np.zeros(511, np.float32), KEY, 0)


@pytest.mark.parametrize("vector", VECTORS["marks"], ids=lambda vector: vector["bits"][:8])
def test_vectors_hold_forever(vector):
    payload, key, nonce = bytes.fromhex(vector["payload"]), Key(bytes.fromhex(vector["key"])), vector["nonce"]
    assert np.packbits(encode(payload, key, nonce)).tobytes().hex() == vector["bits"]
    coded = np.unpackbits(np.frombuffer(bytes.fromhex(vector["bits"]), np.uint8))
    assert decode(1 - 2 * coded.astype(np.float32), key, nonce).payload == payload


@pytest.mark.parametrize("vector", VECTORS["marks"][::4], ids=lambda vector: vector["bits"][:8])
def test_vectors_follow_from_the_written_format(vector):
    payload, key, nonce = bytes.fromhex(vector["payload"]), Key(bytes.fromhex(vector["key"])), vector["nonce"]
    index = (len(payload) > 4) + (len(payload) > 8)
    padded = payload + bytes((4, 8, 16)[index] - len(payload))
    message = bytes([1, index, len(payload), *padded, nonce // 256, nonce % 256])
    mac = hmac.new(key.derive("payload mac v1"), message, "sha256").digest()[:4]
    frame = f"{len(payload) - (0, 5, 9)[index]:03b}" + "".join(f"{byte:08b}" for byte in padded + mac)
    word = np.zeros(512, int)
    word[np.flatnonzero(frozen_set(len(frame)) == 0)] = list(map(int, frame))
    code = word @ reduce(np.kron, [np.array([[1, 0], [1, 1]])] * 9) % 2
    stream = key.stream("payload interleave v1", 4096)
    order = sorted(range(512), key=lambda i: (int.from_bytes(stream[8 * i : 8 * i + 8], "little"), i))
    white = "".join(f"{byte:08b}" for byte in key.stream(f"payload whiten v1 {nonce}", 64))
    carried = "".join(str(code[order[i]] ^ int(white[i])) for i in range(512))
    assert f"{int(carried, 2):0128x}" == vector["bits"]


@pytest.mark.parametrize("code", CLASSES)
def test_frozen_sets_follow_from_their_definition(code):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        beta = [mpmath.mpf(2) ** (mpmath.mpf(j) / 4) for j in range(9)]
        weight = [mpmath.fsum(beta[j] for j in range(9) if i >> j & 1) for i in range(512)]
        best = sorted(range(512), key=weight.__getitem__, reverse=True)[: code.bits]
    np.testing.assert_array_equal(np.flatnonzero(frozen_set(code.bits) == 0), sorted(best))
    assert np.packbits(frozen_set(code.bits)).tobytes().hex() == VECTORS["frozen"][str(code.bits)]
