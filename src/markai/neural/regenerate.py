"""A small autoencoder that is trained beside the mark: what regeneration by a generative model does, differentiably.

It learns pictures from clean ones only, and the mark meets a frozen copy that is renewed from time to time: gradients
pass through it, but nothing teaches it to keep the mark.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENTS = 8


class Autoencoder(nn.Module):
    """Luma (B, 1, H, W) to LATENTS channels at an eighth of the size and back, in grey levels.

    >>> Autoencoder()(torch.rand(2, 1, 64, 64) * 255, noise=0.1, generator=torch.Generator()).shape
    torch.Size([2, 1, 64, 64])
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(16, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, LATENTS, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENTS, 2 * width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.GELU(),
            nn.PixelShuffle(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, 16, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def forward(self, luma: Tensor, noise: float | Tensor, generator: torch.Generator) -> Tensor:
        """Return what a decoder makes of the latents plus ``noise`` of their standard deviation."""
        latents = torch.tanh(self.encoder(luma / 64 - 2))
        disturbed = latents + noise * torch.randn(latents.shape, generator=generator, device=latents.device)
        return torch.mul(self.decoder(disturbed).float() + 2, 64)


def loss(autoencoder: Autoencoder, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean absolute error in grey levels over a batch of clean pictures, with a little latent noise."""
    return F.l1_loss(autoencoder(clean, 0.05, generator), clean)
