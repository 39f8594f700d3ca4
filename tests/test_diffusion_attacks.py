"""Regeneration by local models: tiny ones with random weights, made here, which show the path and no robustness."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from markai import attacks
from markai.attacks import diffusion
from markai.errors import MethodError, MissingExtraError

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

SMALL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
KINDS = {"vae": "regen-vae", "tiny": "regen-vae", "pipeline": "regen-diffusion", "ddpm": "regen-sdedit"}


def tiny_vae():
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(**SMALL, **blocks, latent_channels=4, sample_size=32)


def tiny_pipeline(folder):
    """Stable Diffusion of 32 pixels, with the smallest tokenizer that knows the empty prompt."""
    names = ("<|startoftext|>", "<|endoftext|>", "a", "a</w>")
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = transformers.CLIPTextConfig(vocab_size=4, max_position_embeddings=8, **sizes, **ids)
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return diffusers.StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=8),
        unet=diffusers.UNet2DConditionModel(16, **SMALL, **blocks, cross_attention_dim=8, attention_head_dim=4),
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_ddpm(*, silent):
    """A U-Net over 16 x 16 pixels; a silent one predicts no noise anywhere."""
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = diffusers.UNet2DModel(16, **SMALL, **blocks)
    if silent:
        torch.nn.init.zeros_(unet.conv_out.weight)
        torch.nn.init.zeros_(unet.conv_out.bias)
    return diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(clip_sample=not silent))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Directories of saved models by name."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    channels = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    tiny_vae().save_pretrained(root / "vae")
    tiny_vae().save_pretrained(root / "pickled", safe_serialization=False)
    diffusers.AutoencoderTiny(**channels, **blocks).save_pretrained(root / "tiny")
    tiny_pipeline(root).save_pretrained(root / "pipeline")
    tiny_ddpm(silent=False).save_pretrained(root / "ddpm")
    tiny_ddpm(silent=True).save_pretrained(root / "silent")
    (root / "empty").mkdir()
    return root


@pytest.fixture
def use(models, monkeypatch):
    """Give an attack one of the models."""
    return lambda name, model: monkeypatch.setenv(attacks.NEEDS_MODEL[name], str(models / model))


@pytest.fixture(scope="module")
def patch(photo):
    return photo[200:223, 300:337]  # 23 x 37: multiples of nothing


@pytest.mark.parametrize("model", KINDS)
def test_same_seed_same_pixels_and_strength_matters(model, patch, use):
    name = KINDS[model]
    use(name, model)
    first = attacks.apply(f"{name}:0.1", patch, seed=5)
    assert first.dtype == np.uint8
    assert first.shape == patch.shape
    assert np.array_equal(first, attacks.apply(f"{name}:0.1", patch, seed=5))
    assert not np.array_equal(first, attacks.apply(f"{name}:0.1", patch, seed=6))
    assert not np.array_equal(first, attacks.apply(f"{name}:0.6", patch, seed=5))
    assert not np.array_equal(first, patch)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 31, 3)])
@pytest.mark.parametrize("model", KINDS)
def test_tiny_pictures(model, shape, use):
    use(KINDS[model], model)
    assert attacks.apply(KINDS[model], np.full(shape, 90, np.uint8)).shape == shape


def test_an_autoencoder_without_noise_encodes_and_decodes(models, patch, use):
    use("regen-vae", "vae")
    even = patch[:22, :36]
    vae = diffusers.AutoencoderKL.from_pretrained(models / "vae")
    values = torch.from_numpy(even / np.float32(127.5) - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        decoded = vae(values).sample[0].permute(1, 2, 0).numpy()
    wanted = np.clip(np.rint(127.5 * (decoded + 1)), 0, 255)
    assert np.abs(attacks.apply("regen-vae:0", even, seed=1) - wanted).max() <= 1
    assert np.array_equal(attacks.apply("regen-vae:0", even, seed=1), attacks.apply("regen-vae:0", even, seed=2))


def test_models_are_loaded_once(patch, use):
    use("regen-vae", "vae")
    attacks.apply("regen-vae", patch)
    before = diffusion._autoencoder.cache_info()
    attacks.apply("regen-vae", patch)
    after = diffusion._autoencoder.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)


def test_diffusion_has_the_size_and_the_strength_of_the_papers(photo, use, monkeypatch):
    use("regen-diffusion", "empty")
    asked = {}

    class Pipeline:
        """Remembers what it is asked for, and gives the picture back."""

        unet = SimpleNamespace(config=SimpleNamespace(sample_size=64))
        vae_scale_factor = 8

        def __call__(self, **options):
            asked.update(options)
            return SimpleNamespace(images=[np.asarray(options["image"], np.float32) / 255])

    monkeypatch.setattr(diffusion, "_image_to_image", lambda _path, _device: Pipeline())
    pixels = photo[:150, :241]
    made = attacks.apply("regen-diffusion:0.06", pixels)
    assert asked["image"].size == (824, 512)  # 512 * 241 / 150 = 822.6, to the next 8
    assert (asked["prompt"], asked["strength"], asked["num_inference_steps"]) == ("", 0.06, 50)
    assert made.shape == pixels.shape
    assert np.abs(made.astype(int) - pixels).mean() < 2


def test_noise_that_no_model_takes_away_has_the_deviation_of_its_step(use):
    """DDIM divides by the signal's share, so that noise of deviation sqrt(1 - a) becomes sqrt((1 - a) / a)."""
    use("regen-sdedit", "silent")
    gray = np.full((40, 44, 3), 128, np.uint8)
    kept = diffusers.DDPMScheduler().alphas_cumprod[80].item()  # the first of the last 5 of 50 steps: 80, 60 ... 0
    noise = attacks.apply("regen-sdedit:0.1", gray).astype(float) - 128
    assert noise.std() == pytest.approx(127.5 * ((1 - kept) / kept) ** 0.5, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=1)


class Tripling:
    """A U-Net of squares of 16 that predicts three times what it is given."""

    config = SimpleNamespace(sample_size=16)

    def __call__(self, values, _time):
        assert values.shape[1:] == (3, 16, 16)
        return SimpleNamespace(sample=3 * values)


def test_tiles_cover_and_blend():
    for length in (16, 17, 24, 25, 100, 333):
        starts = diffusion._starts(length, 16)
        assert (starts[0], starts[-1]) == (0, length - 16)
        assert max(np.diff(starts), default=0) <= 8
    values = torch.randn(1, 3, 45, 70, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(diffusion._tiled(Tripling(), values, 0), 3 * values, atol=1e-5)


@pytest.mark.parametrize("name", attacks.NEEDS_MODEL)
def test_without_a_model_the_message_says_what_to_set(name, patch, monkeypatch, tmp_path):
    variable = attacks.NEEDS_MODEL[name]
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(MethodError, match=f"{name} needs a model of yours - set {variable}"):
        attacks.apply(name, patch)
    (tmp_path / "file").touch()
    for path in ("some-user/some-model", str(tmp_path / "file")):
        monkeypatch.setenv(variable, path)
        with pytest.raises(MethodError, match=f"{variable} is '{path}', which is not a directory"):
            attacks.apply(name, patch)


@pytest.mark.parametrize(
    ("name", "model", "problem"),
    [
        ("regen-vae", "empty", "config.json"),
        ("regen-vae", "ddpm/unet", "holds UNet2DModel, not AutoencoderKL or AutoencoderTiny"),
        ("regen-vae", "pickled", "safetensors"),
        ("regen-diffusion", "vae", "model_index.json"),
        ("regen-diffusion", "ddpm", "DDPMPipeline"),
        ("regen-sdedit", "vae", "config.json"),
        ("regen-sdedit", "pipeline", "holds UNet2DConditionModel, not UNet2DModel"),
    ],
)
def test_other_models_are_refused(name, model, problem, patch, use):
    use(name, model)
    with pytest.raises(MethodError, match=rf"(?s)no model for {name} in .*{problem}.* - set MARKAI_REGEN_"):
        attacks.apply(name, patch)


@pytest.mark.parametrize("package", ["diffusers", "torch", "transformers"])
def test_without_a_package_the_message_has_the_pip_line(package, patch, use, monkeypatch):
    use("regen-vae", "vae")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}: pip install 'markai\[regen\]'"):
        attacks.apply("regen-vae", patch)
