"""The self-test: one seed, one answer; exact bounds; and words that promise no more than was measured."""

import json
import re

import pytest
from PIL import Image

from markai import Key, KeyRing, detect, embed
from markai.audit.selftest import ATTACKS, Settings, self_test
from markai.bench.pictures import drawn
from markai.errors import ImageError, MethodError
from markai.stats import clopper_pearson

KEYS = [Key(bytes(range(32))), Key(bytes(range(1, 33)))]
FEW = Settings(attacks=("none", "jpeg:70", "resize:0.12"), null_keys=3, seconds=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures."""
    path = tmp_path_factory.mktemp("pictures")
    for name in ("clouds-01", "leaves-02"):
        Image.fromarray(drawn(name, 256)).save(path / f"{name}.png")
    return path


@pytest.fixture(scope="module")
def result(folder):
    return self_test(KeyRing(KEYS), [folder], FEW)


def test_it_is_json_and_complete(result):
    json.dumps(result, allow_nan=False)
    assert result["complete"]
    assert result["key_ids"] == [key.id for key in KEYS]
    assert (result["pictures"]["count"], result["pictures"]["drawn"], result["marked"]) == (2, False, 2)
    assert "given by the operator" in result["pictures"]["sentence"]["en"]
    assert 35 < result["psnr"] < 60


def test_rates_are_of_pictures_with_exact_bounds(result):
    none, jpeg, tiny = result["attacks"]
    for each in (none, jpeg):
        assert (each["n"], each["found"], each["rate"], each["wrong"]) == (2, 2, 1.0, 0)
        assert (each["low"], each["high"]) == clopper_pearson(2, 2)
        assert each["exact"]["rate"] == 1.0
    assert (tiny["rate"], tiny["exact"]["rate"], tiny["low"]) == (0.0, 0.0, 0.0)
    assert result["overall"]["detected"]["n"] == 6
    assert none["title"] == dict(zip(("en", "ko"), ATTACKS["none"], strict=True))
    assert "found in 2 of 2 cases (95 % bounds: 15.8 % to 100 %)" in none["sentence"]["en"]
    assert "2건 중 2건" in none["sentence"]["ko"]


def test_false_alarms_are_bounded_and_not_oversold(result):
    false = result["false_positives"]
    assert (false["n"], false["found"], false["own_keys"], false["stated"]) == (6, 0, 0, 1e-6)
    assert (false["rate"], false["low"], false["high"]) == (0.0, *clopper_pearson(0, 6))
    assert false["calibration"]["holds"]
    assert "cannot confirm" in false["sentence"]["en"]
    assert "45.9 %" in false["sentence"]["en"]
    assert re.search(r"확인할 수 없습니다\.$", false["sentence"]["ko"])


def test_the_same_seed_gives_the_same(folder, result):
    again = self_test(KeyRing(KEYS), [folder], FEW)
    assert {**again, "seconds": 0} == {**result, "seconds": 0}


def test_drawn_pictures_are_called_so_and_time_is_kept():
    steps = []
    result = self_test(
        KEYS[0], settings=Settings(attacks=("none",), null_keys=1, seconds=0.001), progress=lambda *at: steps.append(at)
    )
    assert (result["pictures"]["drawn"], result["pictures"]["count"], result["complete"]) == (True, 1, False)
    assert "not photographs or your own outputs" in result["pictures"]["sentence"]["en"]
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert len({total for _, total in steps}) == 1


def test_a_marked_picture_is_an_alarm_of_the_own_keys(tmp_path):
    """Pictures that are marked already are no unmarked ones, and the result shows it."""
    Image.fromarray(embed(drawn("clouds-01", 256), KEYS[0], b"before")).save(tmp_path / "a.png")
    assert detect(tmp_path / "a.png", KEYS[0])
    result = self_test(KEYS[0], [tmp_path], Settings(attacks=("none",), null_keys=1))
    assert result["false_positives"]["own_keys"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attacks": ("melt",)}, "no attack 'melt'"),
        ({"attacks": ()}, "needs an attack"),
        ({"seconds": 0.0}, "needs an attack and some time"),
        ({"trials": 0}, "trials is 0 - give 1 or more"),
        ({"null_keys": 0}, "null_keys is 0"),
        ({"payload_bytes": 0}, "payload_bytes is 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(MethodError, match=re.escape(message)):
        Settings(**settings)


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ImageError):
        self_test(KEYS[0], [tmp_path])
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError):
        self_test(KEYS[0], [tmp_path])


def test_what_is_refused_is_counted_apart(tmp_path):
    """A mark this weak is read back from no picture, so none is marked, and no rate is made of that."""
    Image.fromarray(drawn("clouds-01", 256)).save(tmp_path / "a.png")
    result = self_test(KEYS[0], [tmp_path], Settings(attacks=("none",), null_keys=1, strength=0.1))
    assert (result["marked"], result["psnr"], result["attacks"][0]["rate"]) == (0, None, None)
    assert result["refused"][0]["picture"] == "a.png"
    assert result["attacks"][0]["sentence"]["en"] == "No picture could be marked."
    json.dumps(result, allow_nan=False)
