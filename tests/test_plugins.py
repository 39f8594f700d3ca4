"""Methods of other packages: found through the entry points, used where they apply, refused where they do not."""

import sys

import pytest

import markai
from markai import stats, watermarks
from markai.bench import peers
from markai.errors import MarkaiError, MethodError
from markai.watermarks import BitMark, Watermark

BUILT_IN = ["dwt-dct", "learned"]
CODE = '''
import numpy as np
from markai.watermarks.dwt_dct import DwtDct


class Keyed(DwtDct):
    name = "theirs-keyed"


class Parity:
    """One bit, in the lowest bit of every value."""

    name = "theirs-bits"
    bits = 1
    adjustable = False

    def embed(self, pixels, message, strength=1.0):
        return pixels & 0xFE | message[0]

    def extract(self, pixels, strength=1.0):
        return pixels[:1, 0, 0] & 1


class Neither:
    name = "neither"


def broken():
    raise RuntimeError("no weights")
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution with entry points, as pip would leave it."""
    (tmp_path / "theirs.py").write_text(CODE)
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    def with_points(**points):
        lines = [f"{name} = {value}" for name, value in points.items()]
        (about / "entry_points.txt").write_text("\n".join(["[markai.watermarks]", *lines]))
        forget()

    def forget():
        for loader in (watermarks.load, watermarks.load_any, peers.load):
            loader.cache_clear()

    yield with_points
    sys.modules.pop("theirs", None)
    forget()


def test_a_keyed_method_embeds_and_is_tried(install, crop, key):
    install(theirs="theirs:Keyed")
    assert watermarks.keyed_names() == [*BUILT_IN, "theirs"]
    marked = markai.embed(crop, key, b"theirs", method="theirs")
    assert markai.detect(marked, key, method="theirs").payload == b"theirs"
    found, alone = markai.detect(marked, key), markai.detect(marked, key, method="dwt-dct")
    assert found.payload == b"theirs"
    assert found.tests == alone.tests  # the first method that reads a payload ends the search
    shares = len(watermarks.keyed_names())
    assert found.log10_p_value == pytest.approx(stats.corrected(alone.log10_p_value, shares))  # but all are paid for


def test_a_method_without_keys_is_not_tried(install, crop, key):
    before = markai.detect(crop, key)
    install(theirs="theirs:Parity")
    assert watermarks.names() == sorted([*BUILT_IN, "both", "theirs"])
    assert watermarks.keyed_names() == BUILT_IN
    assert markai.detect(crop, key) == before


@pytest.mark.parametrize(
    "use",
    [
        lambda picture, key: markai.embed(picture, key, method="theirs"),
        lambda picture, key: markai.detect(picture, key, method="theirs"),
    ],
)
def test_a_method_without_keys_is_refused_by_name(install, crop, key, use):
    install(theirs="theirs:Parity")
    with pytest.raises(MethodError, match=r"'theirs' knows no keys.*`markai bench` only"):
        use(crop, key)


@pytest.mark.parametrize("name", ["theirs", "theirs:Parity"])
def test_the_benchmark_takes_a_method_without_keys(install, crop, name):
    install(theirs="theirs:Parity")
    method = peers.load(name)
    assert isinstance(method, BitMark)
    assert not isinstance(method, Watermark)
    assert method is peers.load(name)
    for bit in (0, 1):
        assert method.extract(method.embed(crop, [bit])) == [bit]


def test_the_benchmark_takes_a_keyed_method_by_its_module():
    method = peers.load("markai.watermarks.dwt_dct:DwtDct")
    assert isinstance(method, Watermark)
    assert method.name == "dwt-dct"


def test_names_that_run_code_are_for_the_benchmark_only(crop, key):
    for use in (markai.embed, markai.detect):
        with pytest.raises(MethodError, match=r"no watermark method 'markai\.watermarks\.dwt_dct:DwtDct'"):
            use(crop, key, method="markai.watermarks.dwt_dct:DwtDct")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("theirs:broken", r"cannot be loaded \(RuntimeError: no weights\) - repair or remove"),
        ("theirs:absent", r"cannot be loaded \(AttributeError"),
        ("not_installed_at_all:Mark", r"cannot be loaded \(ModuleNotFoundError"),
        ("theirs:Neither", "is no method"),
    ],
)
def test_a_method_that_does_not_load_is_never_passed_over_in_silence(install, crop, key, value, said):
    """It may be a keyed one, whose marks would be missed; other methods by name go on working."""
    install(theirs=value)
    with pytest.raises(MethodError, match=said):
        markai.detect(crop, key)
    with pytest.raises(MethodError, match=said):
        peers.load(value)
    assert not markai.detect(crop, key, method="dwt-dct")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(MethodError, match=r"no watermark method 'nothing' - installed: .*dwt-dct"):
        watermarks.load("nothing")
    with pytest.raises(MethodError, match="no method 'nothing' - choose from both, dwt-dct, learned, invisible-wat"):
        peers.load("nothing")
    with pytest.raises(MarkaiError):
        peers.load(":")
