"""Regeneration by small networks of the project's own, whose weights ship: an autoencoder, diffusion in its latents.

Proxies: they do what the attacks of ``diffusion`` do, with 1.3 and 1.6 million parameters that saw 1,591 pictures.
``python -m markai.neural.proxies`` trains them (docs/bench.md says on what, and how good they are). They need torch,
run on the CPU, and work through pictures of any size in tiles that overlap by as much as the networks see.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

import numpy as np

from markai.attacks.pixels import Pixels
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack
from markai.errors import MethodError, MissingExtraError

attack = partial(any_attack, family="regeneration", proxy=True)

# SHA-256 of the files in the folder ``weights``.
WEIGHTS = {
    "proxy-autoencoder": "19fbc33e2d89b3e541e67d20c6062fd30eff785fefa76cb6d705a92ba1748d03",
    "proxy-diffusion": "f431a645c69e2be448ce64cc75004fd4f7d77e838110c20cc8327f7f1fffad11",
}
STEPS = 25  # from pure noise to a picture; a share of the way takes that share of the steps
TILE = 128  # latents along a side: 1,024 pixels
AUTOENCODER_REACH, DENOISER_REACH = 8, 24  # latents: more than how far a network looks, and even


@attack("proxy-autoencoder", Strength("how many times", 1, 5, default=1, step=1))
def proxy_autoencoder(pixels: Pixels, passes: float, _rng: np.random.Generator) -> Pixels:
    """Encode to 8 numbers per 8 x 8 pixels and decode, as often as asked; needs torch.

    "Rinsing" in An et al., "WAVES: benchmarking the robustness of image watermarks", ICML 2024.
    """
    (autoencoder,) = _networks("proxy-autoencoder")
    for _ in range(int(passes)):
        pixels = _decoded(autoencoder, _latents(autoencoder, pixels), pixels.shape)
    return pixels


@attack("proxy-diffusion", Strength("share of the way to pure noise", 0.05, 0.6, default=0.2))
def proxy_diffusion(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Encode, noise the latents part of the way, denoise them by DDIM steps and decode; needs torch.

    The diffusion row of Zhao et al., "Invisible image watermarks are provably removable using generative AI", NeurIPS
    2024, on the same noise schedule.
    """
    autoencoder, denoiser = _networks("proxy-autoencoder", "proxy-diffusion")
    import torch

    from markai.attacks import proxy_networks as networks

    shares = networks.signal_shares()
    levels = np.linspace(share * networks.TIMES - 1, 0, max(1, round(STEPS * share)) + 1).round().astype(int)[:-1]
    latents = _latents(autoencoder, pixels)
    noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), np.float32))
    latents = networks.add_noise(latents, noise, shares[levels[0]])
    for level, wanted in zip(levels, [*shares[levels[1:]], torch.ones(())], strict=True):
        velocity = _tiled(partial(denoiser, times=torch.tensor([level])), latents, 1, 1, DENOISER_REACH)
        latents = networks.ddim_step(latents, velocity, shares[level], wanted)
    return _decoded(autoencoder, latents, pixels.shape)


def _networks(*names: str) -> list[Any]:
    """Return the networks of these names.

    Raises:
        MissingExtraError: if torch or safetensors is not installed.
        MethodError: if the weights are not those that were released.
    """
    try:
        import safetensors.torch  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.naming(error.name or "torch", "torch", "regeneration proxies") from None
    return [_loaded(name) for name in names]


@lru_cache
def _loaded(name: str) -> Any:
    from safetensors.torch import load

    from markai.attacks.proxy_networks import Autoencoder, Denoiser

    data = (files("markai.attacks") / "weights" / f"{name}.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS[name]:
        raise MethodError(f"the weights of {name} are not those that were released - install markai anew")
    network = Autoencoder() if name == "proxy-autoencoder" else Denoiser()
    network.load_state_dict({key: tensor.float() for key, tensor in load(data).items()})
    return network.eval().requires_grad_(False)


def _latents(autoencoder: Any, pixels: Pixels) -> Any:
    """Return the latents (1, 8, h, w) of a picture, continued by mirroring to whole ones."""
    import torch

    from markai.attacks.proxy_networks import FACTOR

    height, width = pixels.shape[:2]
    whole = np.pad(pixels, ((0, -height % FACTOR), (0, -width % FACTOR), (0, 0)), "symmetric")

    def encode(values: Any) -> Any:
        return autoencoder.encode(values.float() / 127.5 - 1)

    return _tiled(encode, torch.from_numpy(whole).permute(2, 0, 1)[None], FACTOR, 1, AUTOENCODER_REACH)


def _decoded(autoencoder: Any, latents: Any, shape: tuple[int, ...]) -> Pixels:
    """Return the picture of latents (1, 8, h, w), cut to (H, W)."""
    import torch

    from markai.attacks.proxy_networks import FACTOR

    def decode(values: Any) -> Any:
        return (127.5 * (autoencoder.decode(values) + 1)).round().clamp(0, 255).to(torch.uint8)

    whole = _tiled(decode, latents, 1, FACTOR, AUTOENCODER_REACH)
    return np.ascontiguousarray(whole[0].permute(1, 2, 0).numpy()[: shape[0], : shape[1]])


def _tiled(function: Callable[[Any], Any], values: Any, before: int, after: int, reach: int) -> Any:
    """Return ``function(values)``, both (1, channels, height, width), in bounded memory.

    ``before`` and ``after`` are how many values along a side belong to a latent. What a tile becomes depends on no
    more than ``reach`` latents around it, so the tiles fit together.
    """
    import torch

    rows, columns = (length // before for length in values.shape[2:])

    def tile(top: int, left: int) -> Any:
        above, beside = min(top, reach), min(left, reach)
        bottom, right = top + TILE + reach, left + TILE + reach
        seen = values[:, :, before * (top - above) : before * bottom, before * (left - beside) : before * right]
        made = function(seen)
        return made[:, :, after * above : after * (above + TILE), after * beside : after * (beside + TILE)]

    with torch.inference_mode():
        lines = (torch.cat([tile(top, left) for left in range(0, columns, TILE)], 3) for top in range(0, rows, TILE))
        return torch.cat([*lines], 2)
