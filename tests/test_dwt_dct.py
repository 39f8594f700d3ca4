"""The dwt-dct mark: what it survives, what it costs, where it refuses, and vectors that hold forever."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from markai import Key
from markai.attacks import apply
from markai.errors import CapacityError, PayloadError
from markai.image import open_picture
from markai.metrics import psnr, ssim
from markai.payload import CODE_BITS
from markai.watermarks import load, names
from markai.watermarks.carriers import (
    GROUPS,
    NONCES,
    PILOT_RADIUS,
    PILOTS,
    POINTS,
    RADIUS,
    TILE,
    carriers_for,
    nonce_bits,
    nonce_of,
    step_for,
)
from markai.watermarks.readback import content_nonce

HERE = Path(__file__).parent
PAYLOAD = b"acme:42"
OTHER = Key(bytes(32))
MARK = load("dwt-dct")


def find(pixels, key, fpr=1e-6):
    return MARK.find(MARK.look(np.ascontiguousarray(pixels)), key, fpr)


@pytest.fixture(scope="module")
def marked(photo, key):
    pixels = MARK.embed(photo, key, PAYLOAD)
    pixels.flags.writeable = False
    return pixels


def off(found, expected, period=128):
    """How far a detection's offset is from (x, y), in pixels, on the circle that it is known on."""
    assert found.geometry.period == period
    apart = np.subtract(found.geometry.offset, expected)
    return float(np.abs((apart + period / 2) % period - period / 2).max())


# What it carries


@pytest.mark.parametrize("payload", [b"", b"\0", b"acme", PAYLOAD, b"12345678", bytes(15), bytes(range(240, 256))])
def test_every_length_of_payload(photo, key, payload):
    before = photo.copy()
    result = MARK.embed(photo, key, payload)
    found = find(result, key).require()
    assert found.payload == payload
    assert found.method == MARK.name == "dwt-dct"
    assert found.key_id == key.id
    assert found.log10_p_value < -60
    assert off(found, (0, 0)) <= 0.5
    assert (result.shape, result.dtype) == (photo.shape, photo.dtype)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("payload", [bytes(17), bytes(1000), "text", None, 7, bytearray(3)])
def test_what_is_not_a_payload(photo, key, payload):
    with pytest.raises(PayloadError):
        MARK.embed(photo, key, payload)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_sample(crop, key, dtype, channels):
    top = 65535 if dtype == np.uint16 else 1
    pixels = (crop[..., :channels].astype(np.float64) / 255 * top).astype(dtype)
    result = MARK.embed(pixels, key, PAYLOAD)
    assert (result.shape, result.dtype) == (pixels.shape, pixels.dtype)
    assert find(result, key).payload == PAYLOAD
    as_bytes = np.rint(result / top * 255).astype(np.uint8)
    assert find(as_bytes, key).payload == PAYLOAD


def test_the_same_every_time(crop, key):
    np.testing.assert_array_equal(
        MARK.embed(crop, key, PAYLOAD), MARK.embed(crop.copy(), Key(bytes(range(32))), PAYLOAD)
    )


def test_the_rate_is_kept_in_the_answer(marked, key):
    for fpr in (0.5, 1e-3, 1e-12, 1e-60):
        found = find(marked, key, fpr)
        assert (found.fpr, found.payload) == (fpr, PAYLOAD)
    assert not find(marked, key, 1e-300)


def test_it_is_installed_under_its_name():
    assert "dwt-dct" in names()
    assert MARK is load("dwt-dct")


# What it survives


ATTACKS = [
    *("jpeg:90", "jpeg:50", "jpeg:30", "webp:50", "blur:1", "blur:2", "noise:0.02", "noise:0.05", "median:5"),
    *("brightness:0.5", "brightness:1.5", "contrast:0.5", "contrast:1.5", "gamma:0.7", "gamma:1.4", "grayscale"),
    *("erase:0.25", "resize-back:0.5", "resize-back:0.75"),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(marked, key, attack):
    assert find(apply(attack, marked, seed=1), key).payload == PAYLOAD


def test_one_channel_of_gray(marked, key):
    gray = np.asarray(Image.fromarray(marked).convert("L"))[..., None]
    assert find(gray, key).payload == PAYLOAD


def test_inverted_colours_do_not_raise_a_false_payload(marked, key):
    assert find(255 - marked, key).payload in (None, PAYLOAD)


@pytest.mark.parametrize(("share", "windows"), [(0.5, 25), (0.25, 25)])
def test_random_windows(marked, key, share, windows):
    rng = np.random.default_rng(int(100 * share))
    height, width = (round(side * share**0.5) for side in marked.shape[:2])
    read = 0
    for _ in range(windows):
        y, x = rng.integers(marked.shape[0] - height + 1), rng.integers(marked.shape[1] - width + 1)
        found = find(marked[y : y + height, x : x + width], key)
        read += found.payload == PAYLOAD
        assert not found or off(found, (x, y)) <= 1
    assert read >= 0.97 * windows


@pytest.mark.parametrize("phase", range(16))
def test_every_class_of_offsets(marked, key, phase):
    y, x = phase, (5 * phase + 3) % 16
    found = find(marked[y : y + 480, x : x + 720], key)
    assert found.payload == PAYLOAD
    assert off(found, (x, y)) <= 1


def test_offsets_beyond_one_period(marked, key):
    found = find(marked[130:450, 300:700], key)
    assert found.payload == PAYLOAD
    assert off(found, (300, 130)) <= 1
    assert all(0 <= value < found.geometry.period for value in found.geometry.offset)


def test_a_crop_after_jpeg(marked, key):
    found = find(apply("jpeg:60", marked)[51:461, 77:691], key)
    assert found.payload == PAYLOAD
    assert off(found, (77, 51)) <= 1


def test_pasted_on_a_larger_page(marked, key):
    page = np.full((600, 1000, 3), 255, np.uint8)
    page[37:549, 111:879] = marked
    found = find(page, key)
    assert found.payload == PAYLOAD
    assert off(found, (-111, -37)) <= 1


def test_a_quarter_of_a_larger_picture(photo, key):
    """Its crop has the size that finer cells are used for."""
    large = np.asarray(Image.fromarray(photo).resize((1536, 1024), Image.Resampling.LANCZOS))
    result = MARK.embed(large, key, PAYLOAD)
    window = result[301:813, 502:1270]
    assert step_for(*large.shape[:2]) > step_for(*window.shape[:2])
    found = find(window, key)
    assert found.payload == PAYLOAD
    assert off(found, (502, 301), period=256) <= 1


# What it does not give away


def test_another_key_finds_nothing(marked):
    found = find(marked, OTHER)
    assert not found
    assert found.payload is None
    assert found.p_value > 1e-3


def test_two_keys_mark_one_picture(marked, key):
    twice = MARK.embed(marked, OTHER, b"second")
    assert find(twice, key).payload == PAYLOAD
    assert find(twice, OTHER).payload == b"second"


def test_pictures_of_one_key_get_different_marks(photo, key):
    hosts = [photo[y : y + 320, x : x + 320] for y, x in [(0, 0), (0, 448), (192, 0), (192, 448)]]
    first, *others = [MARK.embed(np.ascontiguousarray(host), key, PAYLOAD) - host.astype(float) for host in hosts]
    for other in others:
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1


def test_averaging_many_pictures_neither_removes_nor_forges(photo, key):
    rng = np.random.default_rng(2)
    corners = [(int(rng.integers(193)), int(rng.integers(449))) for _ in range(25)]
    hosts = [photo[y : y + 320, x : x + 320].copy() for y, x in corners]
    results = [MARK.embed(host, key, b"id:%03d" % i) for i, host in enumerate(hosts)]
    mean = np.mean([result.astype(float) - host for result, host in zip(results[:-1], hosts, strict=False)], axis=0)
    washed = np.clip(np.rint(results[-1] - mean), 0, 255).astype(np.uint8)
    assert find(washed, key).payload == b"id:024"
    for gain in (1, 2, 4):
        forged = np.clip(np.rint(hosts[-1] + gain * mean), 0, 255).astype(np.uint8)
        assert find(forged, key).payload is None


# What it costs


def test_quality_on_the_photograph(photo, marked):
    assert psnr(photo, marked) >= 40
    assert ssim(photo, marked) >= 0.98


def test_quality_on_synthetic_pictures(synthetic, key):
    """And each carries its mark, or raises: nothing comes back unmarked."""
    try:
        result = MARK.embed(synthetic, key, PAYLOAD)
    except CapacityError:
        return
    assert psnr(synthetic, result) >= 40
    assert find(result, key).payload == PAYLOAD


def test_strength_scales_the_mark(photo, key):
    quality = [psnr(photo, MARK.embed(photo, key, PAYLOAD, strength)) for strength in (0.5, 1.0, 2.0, 4.0)]
    steps = -np.diff(quality)
    assert (steps > 3.5).all()
    assert (steps < 7).all()


@pytest.mark.parametrize(("picture", "strength"), [("photo", 0.1), ("noise", 0.5), ("smooth-noise", 0.5)])
def test_a_mark_too_faint_to_be_read_is_refused(photo, synthetics, key, picture, strength):
    host = photo if picture == "photo" else synthetics[picture]
    try:
        result = MARK.embed(host, key, PAYLOAD, strength)
    except CapacityError:
        return
    assert find(result, key).payload == PAYLOAD


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_strength_is_felt_under_attack(photo, key, strength):
    evidence = [
        find(apply("jpeg:20", MARK.embed(photo, key, PAYLOAD, each)), key).log10_p_value
        for each in (strength, 2 * strength)
    ]
    assert evidence[1] < evidence[0] - 1


# What it refuses, and where it must not


@pytest.mark.parametrize("shape", [(256, 255, 3), (255, 256, 1), (1, 1, 3), (64, 4000, 3)])
def test_too_small(key, shape):
    message = f"{shape[1]}x{shape[0]}, dwt-dct needs at least 256x256 - enlarge it first"
    with pytest.raises(CapacityError, match=message):
        MARK.embed(np.full(shape, 128, np.uint8), key, PAYLOAD)


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 8, 1), (17, 400, 3), (18, 18, 3), (100, 60, 1), (255, 255, 3)])
def test_looking_at_small_pictures_is_fine(key, shape):
    found = find(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8), key)
    assert not found


@pytest.mark.parametrize("shape", [(256, 256), (257, 256), (256, 259), (300, 2400), (2400, 300)])
def test_the_smallest_and_the_most_oblong(photo, key, shape):
    pixels = np.asarray(Image.fromarray(photo).resize(shape[::-1], Image.Resampling.LANCZOS))
    result = MARK.embed(pixels, key, b"acme")
    assert psnr(pixels, result) >= 40
    assert find(result, key).payload == b"acme"
    assert find(apply("jpeg:75", result), key).payload == b"acme"


def test_half_of_a_panorama(photo, key):
    pixels = np.asarray(Image.fromarray(photo).resize((2400, 300), Image.Resampling.LANCZOS))
    result = MARK.embed(pixels, key, PAYLOAD)
    for x in (0, 555, 1200):
        found = find(result[:, x : x + 1200], key)
        assert found.payload == PAYLOAD
        assert off(found, (x, 0)) <= 1


def test_transparent_pictures_have_no_room(photo, key):
    with pytest.raises(CapacityError, match="no room for a mark"):
        MARK.embed(photo, key, PAYLOAD, alpha=np.zeros(photo.shape[:2], np.uint8))


def test_what_is_transparent_stays_as_it_is(photo, key):
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[:, :400] = 255
    result = MARK.embed(photo, key, PAYLOAD, alpha=alpha)
    np.testing.assert_array_equal(result[:, 404:], photo[:, 404:])
    assert find(result, key).payload == PAYLOAD
    assert find(result[:, :400], key).payload == PAYLOAD


# The format


def test_nonces_are_eight_signs():
    for nonce in range(NONCES):
        signs = 1 - 2 * nonce_bits(nonce).astype(np.float32)
        assert signs.shape == (GROUPS,)
        assert nonce_of(signs) == nonce


@given(st.binary(min_size=32, max_size=32))
def test_what_every_key_deals(secret):
    dealt = carriers_for(Key(secret))
    assert len(np.unique(dealt.pilots)) == PILOTS
    assert RADIUS[dealt.pilots].max() <= PILOT_RADIUS
    assert np.bincount(dealt.groups).tolist() == [PILOTS // GROUPS] * GROUPS
    assert dealt.shifts.shape == (NONCES, 2)
    assert dealt.shifts.min() >= 0
    assert dealt.shifts.max() < TILE
    np.testing.assert_allclose(np.abs(dealt.direction), np.sqrt(0.5))
    np.testing.assert_array_equal(dealt.symbol[dealt.pilots], CODE_BITS + dealt.groups[:, None].repeat(2, axis=1))
    parts = np.bincount(np.delete(dealt.symbol, dealt.pilots, axis=0).ravel(), minlength=CODE_BITS)
    assert len(parts) == CODE_BITS
    assert set(parts) <= {3, 4}


def test_the_content_nonce(photo, key):
    cells = photo[::2, ::2, 1].astype(np.float32)
    nonce = content_nonce(cells, key)
    assert 0 <= nonce < NONCES
    assert nonce == content_nonce(cells.copy(), key)
    rng = np.random.default_rng(1)
    drawn = {content_nonce(rng.random((64, 64), np.float32) * 255, key) for _ in range(200)}
    assert len(drawn) > 100
    assert len({content_nonce(cells, Key(bytes([i] * 32))) for i in range(100)}) > 60


def test_cells_grow_with_the_picture():
    sizes = [step_for(side, 2 * side) for side in range(256, 16384, 64)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 2
    assert all(step_for(side, 3 * side) == step_for(3 * side, side) for side in (256, 639, 640, 5000))


# Vectors: what was marked once is read forever. Entries are added, never changed.
#
# A key's entry is the SHA-256 of each table that carriers_for(key) deals, as ``tables`` below packs it: write the key
# with empty digests, and the failing test prints them. A picture is made by
#   marked = markai.embed(photo[0:288, 448:736], Key(bytes(range(32))), b"acme:42")
#   Image.fromarray(marked).save("tests/data/dwt_dct_v1.webp", lossless=True, quality=100, method=6)
# from examples/data/lighthouse.png, for whose source see the README beside it.

VECTORS = json.loads((HERE / "vectors" / "dwt_dct.json").read_text())


def tables(key):
    dealt = carriers_for(key)
    return {
        "pilots": dealt.pilots.astype("<u2"),
        "groups": dealt.groups.astype("u1"),
        "symbol": dealt.symbol.astype("<u2"),
        "direction": np.packbits(dealt.direction < 0),
        "shifts": dealt.shifts.astype("u1"),
    }


@pytest.mark.parametrize("vector", VECTORS["carriers"], ids=lambda vector: vector["key"][:8])
def test_carriers_hold_forever(vector):
    dealt = tables(Key(bytes.fromhex(vector["key"])))
    assert dealt["direction"].size * 8 == 2 * POINTS
    assert {name: hashlib.sha256(table.tobytes()).hexdigest() for name, table in dealt.items()} == vector["sha256"]


@pytest.mark.parametrize("vector", VECTORS["pictures"], ids=lambda vector: vector["file"])
def test_pictures_are_read_forever(vector):
    data = (HERE / "data" / vector["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == vector["sha256"]
    pixels, key = open_picture(data).pixels, Key(bytes.fromhex(vector["key"]))
    for window, (x, y) in [(pixels, (0, 0)), (pixels[9:, 21:], (21, 9))]:
        found = find(window, key)
        assert found.payload == bytes.fromhex(vector["payload"])
        assert found.log10_p_value <= vector["log10_p_value_at_most"]
        assert off(found, (x, y)) <= 1
    assert not find(pixels, OTHER)


def test_a_glance_sees_what_is_where_it_was_put(key, crop):
    marked = MARK.embed(crop, key, b"acme:42")
    found = MARK.glance(MARK.look(marked), key)
    assert (found.detected, found.payload, found.method, found.key_id, found.geometry) == (
        True,
        b"acme:42",
        "dwt-dct",
        key.id,
        None,
    )
    for pixels, other in ((crop, key), (marked, OTHER), (np.zeros((300, 300, 3), np.uint8), key)):
        unseen = MARK.glance(MARK.look(pixels), other)
        assert (unseen.detected, unseen.payload, unseen.method) == (False, None, None)
