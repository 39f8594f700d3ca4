"""The regeneration proxies: the attacks, and the weights that ship. Their training: test_proxy_training.py."""

import sys

import numpy as np
import pytest

from markai import attacks
from markai.attacks import proxies
from markai.bench import presets
from markai.errors import MethodError, MissingExtraError
from markai.metrics import psnr

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

NAMES = tuple(proxies.WEIGHTS)
LARGEST = 3_500_000  # bytes of a weights file


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def patch(photo):
    pixels = photo[100:197, 150:271].copy()  # 97 x 121: multiples of nothing
    pixels.flags.writeable = False  # whatever changes its input fails
    return pixels


# The attacks


@pytest.mark.parametrize("name", NAMES)
def test_they_are_registered_as_proxies_of_regeneration(name):
    attack = attacks.parse(name)[0]
    assert (attack.family, attack.proxy, attack.geometric) == ("regeneration", True, False)
    assert attacks.traits(f"{name}+jpeg:50").proxy
    assert name not in attacks.NEEDS_MODEL


def test_their_suite_holds_them_only_and_is_mild_before_strong():
    for name in NAMES:
        strengths = [attacks.parse(spec)[1] for spec in attacks.PROXIES if spec.startswith(f"{name}:")]
        assert strengths == sorted(set(strengths))
        assert len(strengths) >= 5
    assert {attacks.parse(spec)[0].name for spec in attacks.PROXIES} == set(NAMES)


def test_the_full_benchmark_runs_them_where_torch_is(monkeypatch):
    assert set(attacks.PROXIES) < set(presets.full(["dwt-dct"]).attacks)
    assert presets.SUITES["proxies"] == attacks.PROXIES
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not set(attacks.PROXIES) & set(presets.full(["dwt-dct"]).attacks)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_pixels(name, patch):
    first = attacks.apply(name, patch, seed=5)
    assert (first.dtype, first.shape) == (np.uint8, patch.shape)
    assert not np.shares_memory(first, patch)
    assert np.array_equal(first, attacks.apply(name, patch, seed=5))
    assert np.array_equal(first, attacks.apply(name, patch, seed=6)) == (name == "proxy-autoencoder")


@pytest.mark.parametrize(("name", "rising"), [("proxy-autoencoder", (1, 2, 5)), ("proxy-diffusion", (0.05, 0.2, 0.6))])
def test_they_keep_the_picture_and_stronger_ones_keep_less(name, rising, photo):
    pixels = photo[:256, :256]
    quality = [psnr(attacks.apply(f"{name}:{strength}", pixels), pixels) for strength in rising]
    assert quality == sorted(set(quality), reverse=True)
    assert quality[0] > 20
    assert quality[-1] > 14
    mild = attacks.apply(f"{name}:{rising[0]}", pixels)
    assert np.abs(mild.mean((0, 1)) - pixels.mean((0, 1))).max() < 6  # no colour is cast


def test_diffusion_does_more_than_the_autoencoder_alone(patch):
    harmed = [psnr(attacks.apply(spec, patch), patch) for spec in ("proxy-autoencoder", "proxy-diffusion:0.3")]
    assert harmed[0] > harmed[1] + 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 2, 3), (3, 31, 3), (8, 40, 3)])
def test_tiny_pictures(name, shape):
    tiny = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    strength = attacks.parse(name)[0].strength
    for value in (strength.low, strength.high):
        assert attacks.apply(f"{name}:{value}", tiny).shape == shape


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_gray_stays_flat_and_nearly_gray(level):
    flat = np.full((96, 104, 3), level, np.uint8)
    made = attacks.apply("proxy-autoencoder", flat).astype(int)
    assert np.abs(made - level).mean() < 8
    assert made.std((0, 1)).max() < 8


def test_gray_pictures_stay_nearly_gray(photo):
    gray = np.repeat(photo[:192, :192].mean(2, keepdims=True).astype(np.uint8), 3, 2)
    made = attacks.apply("proxy-autoencoder", gray).astype(float)
    assert (made.max(2) - made.min(2)).mean() < 12


def test_tiles_give_what_the_whole_gives(photo, monkeypatch):
    """No network looks further than its reach; convolutions of other sizes round differently."""
    pixels = photo[:330, :278]
    for spec in ("proxy-autoencoder", "proxy-diffusion:0.1"):
        whole = attacks.apply(spec, pixels).astype(int)
        with monkeypatch.context() as patched:
            patched.setattr(proxies, "TILE", 16)
            tiled = attacks.apply(spec, pixels).astype(int)
        assert np.abs(whole - tiled).max() <= 1
        assert (whole != tiled).mean() < 0.01


def test_tiles_are_no_larger_than_they_may_be(monkeypatch):
    monkeypatch.setattr(proxies, "TILE", 4)
    seen = []

    def shrunk(values):
        seen.append(values.shape)
        return values[:, :, ::8, ::8] + 1

    values = torch.arange(8 * 11 * 8 * 9).reshape(1, 1, 88, 72)
    assert torch.equal(proxies._tiled(shrunk, values, 8, 1, 2), values[:, :, ::8, ::8] + 1)
    assert max(max(shape[2:]) for shape in seen) == 8 * (4 + 2 * 2)


# Weights


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_loaded_once(name):
    path = proxies.files("markai.attacks") / "weights" / f"{name}.safetensors"
    assert len(path.read_bytes()) <= LARGEST
    assert proxies._loaded(name) is proxies._loaded(name)
    assert not any(parameter.requires_grad for parameter in proxies._loaded(name).parameters())


@pytest.mark.parametrize("name", NAMES)
def test_other_weights_are_refused(name, tmp_path, patch, monkeypatch):
    for each in NAMES:
        data = bytearray((proxies.files("markai.attacks") / "weights" / f"{each}.safetensors").read_bytes())
        data[-1] ^= each == name
        (tmp_path / "weights").mkdir(exist_ok=True)
        (tmp_path / "weights" / f"{each}.safetensors").write_bytes(data)
    monkeypatch.setattr(proxies, "files", lambda _package: tmp_path)
    proxies._loaded.cache_clear()
    with pytest.raises(MethodError, match=f"the weights of {name} are not those that were released"):
        attacks.apply("proxy-diffusion", patch)
    proxies._loaded.cache_clear()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_without_a_package_the_message_has_the_pip_line(name, package, patch, monkeypatch):
    attacks.apply(name, patch[:16, :16])  # that they are loaded already makes no difference
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "safetensors.torch", raising=False)
    with pytest.raises(MissingExtraError, match=rf"proxies need {package}.*: pip install 'markai\[torch\]'"):
        attacks.apply(name, patch)
