"""Keys: files that come back whole or not at all, and secrets that never show."""

import copy
import hashlib
import hmac
import logging
import os
import pickle
import stat
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markai import Key, KeyRing
from markai.errors import KeyFileError, OutputError

SECRET = bytes(range(32))
# Fixed forever: the id is in registries, the file on people's disks.
GOLDEN_ID = "aad476906739de25"
GOLDEN_FILE = "markai-key-v1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nba8421bf\n"


def hkdf(secret, label, length):
    """RFC 5869, written out."""
    pseudo_random, block, out = hmac.digest(b"markai", secret, "sha256"), b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudo_random, block + label.encode() + bytes([counter]), "sha256")
        out += block
    return out[:length]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "key"
    Key(SECRET).save(path)
    return path


def test_generated_keys_differ():
    keys = {Key.generate() for _ in range(200)}
    assert len({key.id for key in keys}) == len(keys) == 200
    assert len({key.derive("x") for key in keys}) == 200


def test_the_id_is_fixed_forever():
    assert Key(SECRET).id == GOLDEN_ID
    assert Key(bytes(32)).id == "bb9c5b1d25200e81"


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.text(max_size=30), st.integers(1, 200))
def test_derived_bytes_are_hkdf(secret, label, length):
    assert Key(secret).derive(label, length) == hkdf(secret, label, length)


def test_labels_and_keys_are_independent():
    key = Key(SECRET)
    assert key.derive("a") != key.derive("b") != Key(bytes(32)).derive("b")
    assert key.derive("a", 64)[:32] == key.derive("a", 32)
    assert key.stream("a", 1000) == hashlib.shake_256(key.derive("a")).digest(1000)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), "a" * 32, bytearray(32), None, 32])
def test_what_is_not_a_secret(secret):
    with pytest.raises(KeyFileError, match="32 secret bytes"):
        Key(secret)


def test_equality():
    assert Key(SECRET) == Key(bytes(range(32)))
    assert hash(Key(SECRET)) == hash(Key(SECRET))
    assert Key(SECRET) != Key(bytes(32))
    assert Key(SECRET) != SECRET


# Files


def test_save_and_load(tmp_path):
    key = Key.generate()
    for path in (tmp_path / "one", str(tmp_path / "two")):
        key.save(path)
        assert Key.load(path) == key


def test_the_file_format_is_fixed_forever(saved):
    assert saved.read_text() == GOLDEN_FILE
    assert hashlib.sha256(b"markai-key-v1" + SECRET).hexdigest().startswith(GOLDEN_FILE.split()[2])


def test_only_the_owner_can_read_it(saved):
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_only_the_owner_can_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        Key(SECRET).save(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_never_overwrites(saved):
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="exists already - choose another name"):
        Key.generate().save(saved)
    assert saved.read_bytes() == before


def test_does_not_write_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        Key(SECRET).save(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot write the key to"):
        Key(SECRET).save(tmp_path / "no" / "such" / "folder")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        Key(SECRET).save(tmp_path / "key")
    assert not list(tmp_path.iterdir())


def test_a_missing_file(tmp_path):
    with pytest.raises(KeyFileError, match=r"cannot read the key file .*: No such file"):
        Key.load(tmp_path / "none")
    with pytest.raises(KeyFileError, match="cannot read the key file"):
        Key.load(tmp_path)


def test_no_flipped_bit_gives_another_key(saved):
    """Every bit of every byte. What stays readable means the same: other white space, or unused base64 bits."""
    whole = saved.read_bytes()
    accepted = set()
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            saved.write_bytes(damaged)
            try:
                assert Key.load(saved) == Key(SECRET)
            except KeyFileError:
                continue
            accepted.add(position)
    line_ends = {position for position, byte in enumerate(whole) if byte == ord("\n")}
    assert accepted <= line_ends | {whole.index(b"=") - 1}


def test_any_byte_lost_or_doubled_is_seen(saved):
    whole = saved.read_bytes()
    for position in range(len(whole)):
        for damaged in (whole[:position] + whole[position + 1 :], whole[:position] + whole[position:][:1] * 2):
            if damaged.split() != whole.split():
                saved.write_bytes(damaged)
                with pytest.raises(KeyFileError):
                    Key.load(saved)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n\n", b"\xff\xfe", b"-----BEGIN KEY-----", b"a b", b"a b c", bytes(4097)]
)
def test_files_that_are_not_keys(saved, content):
    saved.write_bytes(content)
    with pytest.raises(KeyFileError, match="is not a whole markai key file - restore it from a backup"):
        Key.load(saved)


def test_a_later_version_says_so(saved):
    saved.write_bytes(saved.read_bytes().replace(b"v1", b"v2"))
    with pytest.raises(KeyFileError, match="key format markai-key-v2, this markai reads markai-key-v1 - update markai"):
        Key.load(saved)


def test_a_huge_file_is_not_read_into_memory(saved):
    with saved.open("ab") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(KeyFileError):
        Key.load(saved)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_warns_of_a_file_that_others_can_read(saved, mode, caplog):
    saved.chmod(mode)
    with caplog.at_level(logging.WARNING, "markai"):
        assert Key.load(saved) == Key(SECRET)
    assert [record.name for record in caplog.records] == ["markai"]
    assert f"chmod 600 {saved}" in caplog.text


def test_says_nothing_of_a_private_file(saved, caplog):
    with caplog.at_level(logging.DEBUG):
        Key.load(saved)
    assert not caplog.records


# Secrecy


def shown(text):
    encodings = [SECRET.hex(), "AAECAwQFBgcICQoLDA0ODx", repr(SECRET)[2:-1], "0, 1, 2, 3, 4, 5"]
    return any(secret in text for secret in encodings)


def test_the_secret_is_never_shown(saved, caplog):
    key = Key.load(saved)
    saved.chmod(0o644)
    with caplog.at_level(logging.DEBUG):
        Key.load(saved)
    for text in (repr(key), str(key), f"{key}", repr(KeyRing([key])), repr({"key": [key]}), caplog.text):
        assert not shown(text)
    assert repr(key) == f"<markai.Key {GOLDEN_ID}>"
    assert shown(saved.read_text())


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-5], lambda text: text.replace("H", "I"), lambda text: text[14:]]
)
def test_no_error_shows_the_secret(saved, damage):
    saved.write_text(damage(saved.read_text()))
    with pytest.raises(KeyFileError) as caught:
        Key.load(saved)
    assert not shown("".join(traceback.format_exception(caught.value)))
    with pytest.raises(KeyFileError) as caught:
        Key(SECRET + b"!")
    assert not shown(str(caught.value))


def test_keys_are_not_pickled():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"not pickled: save\(\) it"):
            pickle.dumps(Key(SECRET), protocol)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KeyRing([Key(SECRET)]))
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(Key(SECRET))


# Rings


def test_a_ring_keeps_order_and_drops_doubles():
    a, b = Key(SECRET), Key(bytes(32))
    ring = KeyRing([b, a, Key(SECRET), b])
    assert list(ring) == [b, a]
    assert len(ring) == 2
    assert ring[0] == b
    assert ring[-1] == a
    assert a in ring
    assert Key.generate() not in ring
    assert repr(ring) == f"<markai.KeyRing {b.id} {a.id}>"
    assert list(KeyRing(iter([a, b]))) == [a, b]


def test_a_ring_of_one_key_or_of_a_ring():
    key = Key(SECRET)
    assert list(KeyRing.of(key)) == [key]
    ring = KeyRing([key])
    assert KeyRing.of(ring) is ring


@pytest.mark.parametrize("keys", [[], ["key"], [None], [SECRET], [Key(SECRET), "key"], "key"])
def test_what_is_not_a_ring(keys):
    with pytest.raises(KeyFileError, match=r"one or more markai\.Key"):
        KeyRing(keys)
