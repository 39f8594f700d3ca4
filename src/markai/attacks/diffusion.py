"""Regeneration by models that the user has: an autoencoder, image-to-image diffusion, a denoiser of pixels.

Nothing is ever downloaded, and weights are read from safetensors files only. Each attack finds the directory of its
model, as ``save_pretrained`` of diffusers writes it, in an environment variable:

MARKAI_REGEN_VAE        an AutoencoderKL or AutoencoderTiny, such as the folder ``vae`` of Stable Diffusion
MARKAI_REGEN_DIFFUSION  a pipeline that has an image-to-image form, such as Stable Diffusion
MARKAI_REGEN_SDEDIT     a DDPMPipeline: an unconditional UNet2DModel over RGB pixels, and the scheduler of its training

A model is loaded once and kept, on the GPU where there is one.

>>> NEEDS_MODEL["regen-vae"]
'MARKAI_REGEN_VAE'
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from markai.attacks.pixels import LANCZOS, Pixels, resized, rounded
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack
from markai.errors import MethodError, MissingExtraError

attack = partial(any_attack, family="regeneration")

# The environment variable that each attack reads; an attack that is not here needs no model.
NEEDS_MODEL = {
    "regen-vae": "MARKAI_REGEN_VAE",
    "regen-diffusion": "MARKAI_REGEN_DIFFUSION",
    "regen-sdedit": "MARKAI_REGEN_SDEDIT",
}
AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")

# Noise level n of 1000 in Zhao et al. and in W-Bench, which runs n from 60 to 240, is strength n / 1000 here.
NOISING = Strength("share of the way to pure noise", 0.02, 1, default=0.2)
STEPS = 50  # from pure noise to a picture; as in Zhao et al., a share of the way takes that share of the steps
MULTIPLE = 8  # pixels: sides that every latent diffusion model can take
TILE_BATCH = 16


@attack("regen-vae", Strength("standard deviation of noise on the latents, whose own is about 1", 0, 1, default=0))
def regen_vae(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Encode and decode with a local autoencoder, at the size of the picture; needs diffusers.

    The autoencoder row of Zhao et al., "Invisible image watermarks are provably removable using generative AI",
    NeurIPS 2024.
    """
    vae, device = _loaded("regen-vae", _autoencoder)
    import torch

    height, width = pixels.shape[:2]
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    padding = ((0, -height % factor), (0, -width % factor), (0, 0))
    with torch.inference_mode():
        encoded = vae.encode(_tensor(np.pad(pixels, padding, "symmetric"), device))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), np.float32)).to(device)
        decoded = vae.decode(latents + deviation / vae.config.scaling_factor * noise).sample
    return _pixels(decoded)[:height, :width]


@attack("regen-diffusion", NOISING)
def regen_diffusion(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Noise the latents part of the way and denoise them with a local diffusion pipeline; needs diffusers.

    Zhao et al., NeurIPS 2024, with an empty prompt: their guidance of 7.5 then pulls nowhere, and is left out. The
    short side is brought to the size that the model was trained at (512 for Stable Diffusion 1 and 2 base) and back.
    """
    pipeline, device = _loaded("regen-diffusion", _image_to_image)
    import torch

    height, width = pixels.shape[:2]
    scale = _trained_side(pipeline) / min(height, width)
    size = [MULTIPLE * max(1, round(scale * side / MULTIPLE)) for side in (width, height)]
    with torch.inference_mode():
        made = pipeline(
            prompt="",
            image=Image.fromarray(pixels).resize(size, LANCZOS),
            strength=share,
            num_inference_steps=STEPS,
            guidance_scale=1.0,
            generator=torch.Generator(device).manual_seed(int(rng.integers(1 << 63))),
            output_type="np",
        ).images[0]
    return resized(rounded(255 * made), height, width)


@attack("regen-sdedit", NOISING, proxy=True)
def regen_sdedit(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Noise the pixels part of the way and denoise them with a local unconditional model; needs diffusers.

    Meng et al., "SDEdit: guided image synthesis and editing with stochastic differential equations", ICLR 2022, by
    DDIM steps without noise of their own. Pictures of other sizes than the model's are denoised in overlapping tiles
    whose predictions are averaged at every step, so that no seams form.
    """
    (unet, scheduler), device = _loaded("regen-sdedit", _denoiser)
    import torch

    side = unet.config.sample_size
    height, width = pixels.shape[:2]
    padding = ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0))
    values = _tensor(np.pad(pixels, padding, "symmetric"), device)
    noise = torch.from_numpy(rng.standard_normal(tuple(values.shape), np.float32)).to(device)
    scheduler.set_timesteps(STEPS, device)
    times = scheduler.timesteps[-max(1, int(STEPS * share)) :]
    with torch.inference_mode():
        values = scheduler.add_noise(values, noise, times[:1])
        for time in times:
            values = scheduler.step(_tiled(unet, values, time), time, values).prev_sample
    return _pixels(values)[:height, :width]


# Models


def _loaded(name: str, load: Callable[[Path, str], Any]) -> tuple[Any, str]:
    """Return the model that an attack needs, and its device.

    Raises:
        MethodError: if the environment names no directory, or what is there is no such model.
        MissingExtraError: if diffusers, torch or transformers is not installed.
    """
    variable = NEEDS_MODEL[name]
    path = os.environ.get(variable)
    if not path:
        raise MethodError(f"{name} needs a model of yours - set {variable} to its directory")
    if not Path(path).is_dir():
        raise MethodError(f"{variable} is {path!r}, which is not a directory - set it to that of a saved model")
    try:
        import diffusers  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.naming(error.name or "diffusers", "regen", "models that regenerate") from None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with _silent_loading():
            return load(Path(path).resolve(), device), device
    except (OSError, ValueError, KeyError) as error:
        raise MethodError(f"no model for {name} in {path!r} ({error}) - set {variable} to another") from None


@lru_cache(maxsize=1)
def _autoencoder(path: Path, device: str) -> Any:
    return _saved(_kind(path, *AUTOENCODERS), path).to(device).eval()


@lru_cache(maxsize=1)
def _image_to_image(path: Path, device: str) -> Any:
    # A safety checker may return a black picture, which would pass for one whose mark was removed.
    pipeline = _saved("AutoPipelineForImage2Image", path, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


@lru_cache(maxsize=1)
def _denoiser(path: Path, device: str) -> Any:
    unet = _saved(_kind(path / "unet", "UNet2DModel"), path / "unet")
    if unet.config.in_channels != 3 or not isinstance(unet.config.sample_size, int):
        raise ValueError("its U-Net does not take squares of RGB pixels")
    return unet.to(device).eval(), _saved("DDIMScheduler", path / "scheduler")


def _saved(kind: str, path: Path, **options: Any) -> Any:
    import diffusers

    # Weights other than safetensors are pickles, which can run code.
    return getattr(diffusers, kind).from_pretrained(path, local_files_only=True, use_safetensors=True, **options)


def _kind(path: Path, *kinds: str) -> str:
    """Return the class that a saved model is of: diffusers fills any other with random weights, and only warns."""
    kind = json.loads((path / "config.json").read_text()).get("_class_name")
    if kind not in kinds:
        raise ValueError(f"it holds {kind}, not {' or '.join(kinds)}")
    return str(kind)


@contextmanager
def _silent_loading() -> Iterator[None]:
    """Keep diffusers and transformers from drawing progress bars."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [each for each in (diffusers_logging, transformers_logging) if each.is_progress_bar_enabled()]
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each in shown:
            each.enable_progress_bar()


def _trained_side(pipeline: Any) -> int:
    """Return the side, in pixels, of the pictures that the model of a latent pipeline was trained on."""
    model = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    return int(model.config.sample_size * pipeline.vae_scale_factor)


def _tiled(unet: Any, values: Any, time: Any) -> Any:
    """Return what the U-Net predicts for (1, 3, H, W): the mean over tiles, most of it from their middle."""
    import torch

    side = unet.config.sample_size
    bell = torch.hann_window(side + 2, periodic=False, device=values.device)[1:-1]
    window = bell[:, None] * bell
    tops, lefts = (_starts(length, side) for length in values.shape[2:])
    boxes = [np.s_[:, top : top + side, left : left + side] for top in tops for left in lefts]
    total, weight = torch.zeros_like(values[0]), torch.zeros_like(values[0])
    for first in range(0, len(boxes), TILE_BATCH):
        batch = boxes[first : first + TILE_BATCH]
        predictions = unet(torch.stack([values[0][box] for box in batch]), time).sample
        for box, predicted in zip(batch, predictions, strict=True):
            total[box] += window * predicted
            weight[box] += window
    return (total / weight)[None]


def _starts(length: int, side: int) -> list[int]:
    """Return where tiles begin that cover a length and overlap by half or more."""
    count = 1 + math.ceil((length - side) / (side / 2))
    return [int(start) for start in np.linspace(0, length - side, count)]


def _tensor(pixels: Pixels, device: str) -> Any:
    """(H, W, 3) uint8 to (1, 3, H, W) float32 from -1 to 1."""
    import torch

    values: NDArray[np.float32] = pixels.astype(np.float32) / 127.5 - 1
    return torch.from_numpy(values).to(device).permute(2, 0, 1)[None]


def _pixels(values: Any) -> Pixels:
    """The inverse of ``_tensor``, rounded."""
    return rounded(127.5 * (values[0].permute(1, 2, 0).float().cpu().numpy() + 1))
