"""Denoisers and stand-ins for regeneration: all proxies for attacks that need trained weights.

A diffusion model or an autoencoder keeps the coarse structure and invents the detail. These keep the coarse structure
and lose the detail; they tell which marks cannot survive regeneration, never which do.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from markai.attacks.codecs import avif
from markai.attacks.geometry import resize_back
from markai.attacks.photometric import noise
from markai.attacks.pixels import Pixels, rounded
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack
from markai.errors import MissingExtraError

attack = partial(any_attack, family="regeneration", proxy=True)
DEVIATION = Strength("standard deviation in levels", 1, 50, default=13)

TV_STEPS = 40
TV_STEP = 0.25  # the largest for which the iteration in two dimensions is known to converge
NLM_PATCH, NLM_SEARCH = 7, 21  # pixels; Buades, Coll and Morel 2005


@attack("denoise-nlm", Strength("filter strength in levels", 1, 50, default=10))
def denoise_nlm(pixels: Pixels, strength: float, _rng: np.random.Generator) -> Pixels:
    """Average patches that look alike (non-local means); needs OpenCV."""
    try:
        import cv2
    except ImportError:
        raise MissingExtraError.naming("opencv-python-headless", "bench", "non-local means") from None
    # Patches reach past the edges by mirroring, which OpenCV cannot do in pictures smaller than a patch.
    around = NLM_SEARCH // 2 + NLM_PATCH // 2
    padded = np.pad(pixels, ((around, around), (around, around), (0, 0)), "symmetric")
    denoised = cv2.fastNlMeansDenoisingColored(padded[..., ::-1], None, strength, strength, NLM_PATCH, NLM_SEARCH)
    return np.asarray(denoised, np.uint8)[around:-around, around:-around, ::-1]


@attack("denoise-tv", Strength("weight of the variation", 0.005, 1, default=0.1))
def denoise_tv(pixels: Pixels, weight: float, _rng: np.random.Generator) -> Pixels:
    """Smooth all but the edges (total variation)."""
    return rounded(_least_variation(pixels.astype(np.float32), 255 * weight))


@attack("denoise-wiener", Strength("window in pixels", 3, 15, default=5, step=2))
def denoise_wiener(pixels: Pixels, size: float, _rng: np.random.Generator) -> Pixels:
    """Smooth each pixel the more, the less its window varies beyond the noise (adaptive Wiener filter)."""
    from scipy.ndimage import uniform_filter

    values, window = pixels.astype(np.float32), int(size)
    mean = uniform_filter(values, window, axes=(0, 1))
    variance = np.maximum(uniform_filter(values * values, window, axes=(0, 1)) - mean * mean, 0)
    grain = variance.mean(axis=(0, 1))
    return rounded(mean + (values - mean) * np.maximum(1 - grain / np.maximum(variance, 1e-6), 0))


@attack("regen-nlm", DEVIATION)
def regen_nlm(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add noise and take it away again with non-local means; needs OpenCV."""
    return denoise_nlm(noise(pixels, deviation / 255, rng), deviation, rng)


@attack("regen-tv", DEVIATION)
def regen_tv(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add noise and take it away again with total variation."""
    return denoise_tv(noise(pixels, deviation / 255, rng), 1.5 * deviation / 255, rng)


@attack("regen-lowpass", Strength("factor", 2, 16, default=8))
def regen_lowpass(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Shrink, enlarge and sharpen: what an autoencoder that shrinks by 8 keeps of where things are."""
    blurred = resize_back(pixels, 1 / factor, rng)
    return np.asarray(Image.fromarray(blurred).filter(ImageFilter.UnsharpMask(radius=2, percent=100, threshold=0)))


@attack("regen-avif", Strength("quality", 1, 50, default=10, step=1))
def regen_avif(pixels: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """Write as AVIF at a rate where the codec makes up most of the texture."""
    return avif(pixels, quality, rng)


def _least_variation(values: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Minimise distance and weighted total variation over all channels together.

    Chambolle, "An algorithm for total variation minimization and applications", Journal of Mathematical Imaging and
    Vision 20 (2004), equation 9.
    """
    dual = np.zeros((2, *values.shape), np.float32)
    slope = np.zeros_like(dual)
    for _ in range(TV_STEPS):
        smooth = values + _divergence(dual)
        slope[0, :-1] = np.diff(smooth, axis=0)
        slope[1, :, :-1] = np.diff(smooth, axis=1)
        length = np.sqrt(np.square(slope).sum(axis=(0, 3), keepdims=True))
        dual = (dual + TV_STEP * slope) / (1 + np.float32(TV_STEP / weight) * length)
    return values + _divergence(dual)


def _divergence(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return minus the adjoint of the forward differences."""
    total: NDArray[np.float32] = field[0] + field[1]
    total[1:] -= field[0, :-1]
    total[:, 1:] -= field[1, :, :-1]
    return total
