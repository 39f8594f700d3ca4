"""The networks of the project's own regeneration: an f8 autoencoder over RGB and a denoiser of its latents.

Small relatives of Stable Diffusion's two (Rombach et al., "High-resolution image synthesis with latent diffusion
models", CVPR 2022): residual blocks, latents at an eighth of the size, the same noise schedule. There are 8 channels
instead of 4, because networks this small give up colours before they lose as much detail as Stable Diffusion does. They
share neither shape nor seed nor training with the autoencoder that a learned mark is trained against. Activations are
normalised per position, not per picture, so that what a position becomes depends on its surroundings alone and large
pictures can be worked through in tiles. Imports torch: only what uses the networks imports this.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENTS = 8
FACTOR = 8  # pixels per latent
TIMES = 1000  # noise levels, as in Stable Diffusion
ENCODER_WIDTHS = (32, 64, 96)  # at a half, a quarter and an eighth of the size
DECODER_WIDTHS = (128, 64, 32, 16)  # at an eighth, a quarter, a half and the whole size
DENOISER_WIDTHS = (64, 128)  # at an eighth of the size and a sixteenth


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    """Let a block begin as the identity."""
    nn.init.zeros_(conv.weight)
    return conv


class Norm(nn.Module):
    """Divide each position's channels by their root mean square: local, unlike the usual group norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return values * (values.square().mean(1, keepdim=True) + 1e-4).rsqrt() * self.gain


class Residual(nn.Module):
    """Two convolutions beside the identity; with ``embedding`` numbers of a noise level, scaled and shifted by it."""

    def __init__(self, inputs: int, outputs: int, embedding: int = 0) -> None:
        super().__init__()
        self.before, self.first = Norm(inputs), _conv(inputs, outputs)
        self.between, self.second = Norm(outputs), _zero(_conv(outputs, outputs))
        self.across = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.level = nn.Linear(embedding, 2 * outputs) if embedding else None

    def forward(self, values: Tensor, embedded: Tensor | None = None) -> Tensor:
        """(B, inputs, H, W), and (B, embedding) if there is one, to (B, outputs, H, W)."""
        inner = self.between(self.first(F.silu(self.before(values))))
        if self.level is not None and embedded is not None:
            scale, shift = self.level(embedded)[:, :, None, None].chunk(2, 1)
            inner = inner * (1 + scale) + shift
        result: Tensor = self.across(values) + self.second(F.silu(inner))
        return result


class Upsample(nn.Module):
    """Twice the size: the nearest neighbour, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, 2 H, 2 W)."""
        result: Tensor = self.conv(F.interpolate(values, scale_factor=2.0, mode="nearest"))
        return result


class Autoencoder(nn.Module):
    """RGB (B, 3, H, W) from -1 to 1, sides multiples of 8, to latents (B, 8, H / 8, W / 8) and back.

    Neither direction looks further than 64 pixels. ``mean`` and ``deviation`` (8, 1, 1) are those of the latents of
    the training pictures.

    >>> network = Autoencoder()
    >>> network.encode(torch.zeros(1, 3, 64, 96)).shape, network.decode(torch.zeros(1, 8, 8, 12)).shape
    (torch.Size([1, 8, 8, 12]), torch.Size([1, 3, 64, 96]))
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = ENCODER_WIDTHS
        self.encoder = nn.Sequential(
            _conv(3, half, stride=2),
            Residual(half, half),
            _conv(half, quarter, stride=2),
            Residual(quarter, quarter),
            _conv(quarter, eighth, stride=2),
            Residual(eighth, eighth),
            Residual(eighth, eighth),
            Norm(eighth),
            nn.SiLU(),
            _conv(eighth, LATENTS),
        )
        eighth, quarter, half, whole = DECODER_WIDTHS
        self.decoder = nn.Sequential(
            _conv(LATENTS, eighth),
            Residual(eighth, eighth),
            Residual(eighth, eighth),
            Upsample(eighth, quarter),
            Residual(quarter, quarter),
            Upsample(quarter, half),
            Residual(half, half),
            Upsample(half, whole),
            Norm(whole),
            nn.SiLU(),
            _conv(whole, 3),
        )
        self.register_buffer("mean", torch.zeros(LATENTS, 1, 1))
        self.register_buffer("deviation", torch.ones(LATENTS, 1, 1))

    def encode(self, pictures: Tensor) -> Tensor:
        """Return latents of about mean 0 and deviation 1."""
        latents: Tensor = (self.encoder(pictures) - self.mean) / self.deviation
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W), mostly from -1 to 1."""
        pictures: Tensor = self.decoder(latents * self.deviation + self.mean)
        return pictures


class Denoiser(nn.Module):
    """A U-Net of two levels over latents (B, 8, H, W) of any size, which predicts the velocity of its noise level.

    Velocity is Salimans and Ho's v, "Progressive distillation for fast sampling of diffusion models", ICLR 2022.

    >>> Denoiser()(torch.zeros(2, 8, 7, 9), torch.tensor([20, 600])).shape
    torch.Size([2, 8, 7, 9])
    """

    def __init__(self) -> None:
        super().__init__()
        fine, coarse = DENOISER_WIDTHS
        self.embedding = nn.Sequential(nn.Linear(fine, coarse), nn.SiLU(), nn.Linear(coarse, coarse), nn.SiLU())
        self.enter = _conv(LATENTS, fine)
        self.before = nn.ModuleList([Residual(fine, fine, coarse) for _ in range(2)])
        self.down = _conv(fine, coarse, stride=2)
        self.middle = nn.ModuleList([Residual(coarse, coarse, coarse) for _ in range(3)])
        self.up = Upsample(coarse, fine)
        self.after = nn.ModuleList([Residual(2 * fine, fine, coarse), Residual(fine, fine, coarse)])
        self.leave = nn.Sequential(Norm(fine), nn.SiLU(), _zero(_conv(fine, LATENTS)))

    def forward(self, latents: Tensor, times: Tensor) -> Tensor:
        """Return the velocities (B, 8, H, W) of noisy latents at ``times`` (B,), whole numbers below TIMES."""
        height, width = latents.shape[2:]
        even = F.pad(latents, (0, width % 2, 0, height % 2), mode="replicate")
        embedded = self.embedding(_waves(times, DENOISER_WIDTHS[0]))
        values = self.enter(even)
        for block in self.before:
            values = block(values, embedded)
        inner = self.down(values)
        for block in self.middle:
            inner = block(inner, embedded)
        values = torch.cat([values, self.up(inner)], 1)
        for block in self.after:
            values = block(values, embedded)
        velocity: Tensor = self.leave(values)[..., :height, :width]
        return velocity


def _waves(times: Tensor, count: int) -> Tensor:
    """Return sines and cosines (B, count) of times (B,), from a period of 2 pi to one of 2 pi TIMES."""
    rates = torch.exp(torch.linspace(0, -math.log(TIMES), count // 2, device=times.device))
    angles = times[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def signal_shares() -> Tensor:
    """Return how much of the variance (TIMES,) is still the picture's: Stable Diffusion's scaled linear schedule.

    >>> [round(float(signal_shares()[time]), 2) for time in (0, 200, 600, 999)]
    [1.0, 0.75, 0.16, 0.0]
    """
    return torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, TIMES) ** 2, 0)


def add_noise(latents: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Return latents of which this ``share`` of the variance is left, the rest being noise; all broadcast."""
    return share.sqrt() * latents + (1 - share).sqrt() * noise


def velocity_of(latents: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Return what the denoiser is to predict for :func:`add_noise`."""
    return share.sqrt() * noise - (1 - share).sqrt() * latents


def ddim_step(noisy: Tensor, velocity: Tensor, share: Tensor, wanted: Tensor) -> Tensor:
    """Return the latents at the level of which the share ``wanted`` is the picture's, without noise of its own.

    Song, Meng and Ermon, "Denoising diffusion implicit models", ICLR 2021, equation 12 with sigma 0.
    """
    clean = share.sqrt() * noisy - (1 - share).sqrt() * velocity
    noise = share.sqrt() * velocity + (1 - share).sqrt() * noisy
    return add_noise(clean, noise, wanted)
