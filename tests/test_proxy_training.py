"""The networks of the regeneration proxies, and a training of seconds."""

import doctest
import hashlib
import importlib
import json
import math
from dataclasses import replace

import pytest
from PIL import Image

from markai.errors import MethodError

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
networks = importlib.import_module("markai.attacks.proxy_networks")
training = importlib.import_module("markai.neural.proxies")

NAMES = ("proxy-autoencoder", "proxy-diffusion")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Networks


def test_networks_keep_shapes_and_begin_tame():
    torch.manual_seed(0)
    pictures = torch.rand(2, 3, 40, 56) * 2 - 1
    latents = networks.Autoencoder().encode(pictures)
    assert latents.shape == (2, networks.LATENTS, 5, 7)
    velocity = networks.Denoiser()(latents, torch.tensor([3, 600]))
    assert velocity.shape == latents.shape
    assert velocity.abs().max() < 1


def test_a_velocity_that_is_right_gives_the_latents_back():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(1, 8, 6, 6, generator=generator) for _ in range(2))
    shares = networks.signal_shares()
    assert torch.all(shares.diff() < 0)
    noisy = networks.add_noise(clean, noise, shares[400])
    velocity = networks.velocity_of(clean, noise, shares[400])
    assert torch.allclose(networks.ddim_step(noisy, velocity, shares[400], torch.ones(())), clean, atol=1e-5)
    halfway = networks.ddim_step(noisy, velocity, shares[400], shares[200])
    assert torch.allclose(halfway, networks.add_noise(clean, noise, shares[200]), atol=1e-5)


@pytest.mark.parametrize("module", [networks, training], ids=["networks", "training"])
def test_documented_examples(module):
    assert doctest.testmod(module, extraglobs={"torch": torch}).failed == 0


# Training


SHORT = training.Plan(
    autoencoder_steps=4,
    denoiser_steps=3,
    autoencoder_batch=2,
    denoiser_batch=2,
    side=32,
    latent_side=8,
    save_every=2,
    log_every=1,
    mixed=False,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photo):
    """A folder of eleven pictures, one of them gray and one smaller than a crop."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(9):
        Image.fromarray(photo[20 * number : 20 * number + 70, 40:130]).save(folder / f"{number}.png")
    Image.fromarray(photo[:80, :72, 1]).save(folder / "gray.png")
    Image.fromarray(photo[:20, :24]).save(folder / "tiny.png")
    return folder


def weights_of(folder):
    return {name: (folder / f"{name}.safetensors").read_bytes() for name in NAMES}


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    lines = []
    training.train(pictures, out, SHORT, report=lines.append)
    return out, lines


def test_a_run_leaves_weights_log_and_figures(trained):
    out, lines = trained
    figures = json.loads((out / "figures.json").read_text())
    assert (figures["pictures"], figures["held"]) == (9, 2)
    assert math.isfinite(figures["psnr"])
    assert math.isfinite(figures["denoised"])
    assert lines[1].startswith("autoencoder: step 1 of 4, loss ")
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2, 3, 4, 1, 2, 3]
    for name, kind in zip(NAMES, (networks.Autoencoder, networks.Denoiser), strict=True):
        assert hashlib.sha256(weights_of(out)[name]).hexdigest() == figures[name]
        kind().load_state_dict(safetensors.load_file(out / f"{name}.safetensors"))


@pytest.mark.parametrize("stop", ["autoencoder: step 3", "denoiser: step 3"])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(stop, pictures, trained, tmp_path):
    def interrupt(line):
        if line.startswith(stop):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(pictures, tmp_path, SHORT, report=interrupt)
    training.train(pictures, tmp_path, SHORT, resume=True, report=str)
    assert weights_of(tmp_path) == weights_of(trained[0])


def test_another_seed_gives_other_weights_and_no_run_goes_on_with_it(pictures, trained, tmp_path):
    training.train(pictures, tmp_path, replace(SHORT, seed=1), report=str)
    assert all(weights_of(tmp_path)[name] != weights_of(trained[0])[name] for name in NAMES)
    with pytest.raises(MethodError, match="begun with another plan"):
        training.train(pictures, tmp_path, SHORT, resume=True, report=str)


def test_latents_come_out_with_mean_0_and_deviation_1(pictures):
    torch.manual_seed(0)
    autoencoder = networks.Autoencoder().requires_grad_(False)
    loaded = training.Pictures.load(pictures)
    latents = training.normalise(autoencoder, loaded.trained, side=8)
    assert all(min(each.shape[1:]) >= 8 for each in latents)
    again = training.encoded(autoencoder, loaded.trained, side=8)
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(latents, again, strict=True))
    flat = torch.cat([each.flatten(1) for each in again], 1)
    assert torch.allclose(flat.mean(1), torch.zeros(8), atol=1e-3)
    assert torch.allclose(flat.std(1), torch.ones(8), atol=1e-3)


def test_the_command_line(pictures, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(training, "train", lambda *given, **options: asked.update(given=given, **options))
    training.main(["--data", str(pictures), "--out", str(tmp_path), "--seed", "4", "--resume"])
    assert asked == {"given": (pictures, tmp_path, training.Plan(seed=4)), "resume": True}
