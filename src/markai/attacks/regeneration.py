"""Denoisers and stand-ins for regeneration: all proxies for attacks that need trained weights.

A diffusion model or an autoencoder keeps the coarse structure and invents the detail. These keep the coarse structure
and lose the detail; they tell which marks cannot survive regeneration, never which do.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

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
PCA_PATCH, PCA_STRIDE = 8, 2  # pixels: the patch that an f8 autoencoder turns into 4 numbers; 16 patches on each pixel


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


@attack("denoise-wavelet", DEVIATION)
def denoise_wavelet(pixels: Pixels, deviation: float, _rng: np.random.Generator) -> Pixels:
    """Shrink wavelet coefficients by as much as noise of this deviation asks for; needs scikit-image, PyWavelets.

    BayesShrink of luma and colour differences: Chang, Yu and Vetterli, "Adaptive wavelet thresholding for image
    denoising and compression", IEEE Transactions on Image Processing 9 (2000).
    """
    try:
        import pywt  # noqa: F401  scikit-image looks for it only while it works
        from skimage import restoration
    except ImportError:
        raise MissingExtraError.naming("scikit-image and pywavelets", "bench", "wavelet denoisers") from None
    values = pixels.astype(np.float32) / 255
    shrunk = restoration.denoise_wavelet(
        values, deviation / 255, method="BayesShrink", convert2ycbcr=True, rescale_sigma=True, channel_axis=-1
    )
    return rounded(255 * shrunk)


@attack("denoise-wiener", Strength("window in pixels", 3, 15, default=5, step=2))
def denoise_wiener(pixels: Pixels, size: float, _rng: np.random.Generator) -> Pixels:
    """Smooth each pixel the more, the less its window varies beyond the noise (adaptive Wiener filter)."""
    return rounded(wiener(pixels, int(size)))


def wiener(pixels: Pixels, window: int, noise_variance: float | None = None) -> NDArray[np.float32]:
    """Return (H, W, 3) float32 without noise of this variance, by default the mean variance of all windows."""
    from scipy.ndimage import uniform_filter

    values = pixels.astype(np.float32)
    mean = uniform_filter(values, window, axes=(0, 1))
    variance = np.maximum(uniform_filter(values * values, window, axes=(0, 1)) - mean * mean, 0)
    grain = variance.mean(axis=(0, 1)) if noise_variance is None else np.float32(noise_variance)
    smooth: NDArray[np.float32] = mean + (values - mean) * np.maximum(1 - grain / np.maximum(variance, 1e-6), 0)
    return smooth


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


@attack("regen-pca", Strength("numbers kept of each patch of 8 x 8 pixels", 1, 192, default=4, step=1))
def regen_pca(pixels: Pixels, kept: float, _rng: np.random.Generator) -> Pixels:
    """Keep the first principal components of the picture's own patches: its best linear autoencoder.

    An f8 autoencoder with 4 channels keeps 4 numbers of a patch, but knows from other pictures how to go on. Patches
    lie at every second pixel and are averaged, so that no grid shows.
    """
    around = ((PCA_PATCH, PCA_PATCH), (PCA_PATCH, PCA_PATCH), (0, 0))
    padded = np.pad(pixels, around, "symmetric").astype(np.float32)
    mean, components = _principal(padded, int(kept))
    total, times = np.zeros_like(padded), np.zeros((*padded.shape[:2], 1), np.float32)
    for box in _grids(*padded.shape[:2]):
        codes = (_patches(padded[box]) - mean) @ components
        total[box] += _picture(codes @ components.T + mean, *total[box].shape[:2])
        times[box] += 1
    inside = np.s_[PCA_PATCH:-PCA_PATCH, PCA_PATCH:-PCA_PATCH]
    return rounded(total[inside] / times[inside])


def _principal(values: NDArray[np.float32], kept: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean (192,) of all patches and their leading components (192, kept), which are orthonormal."""
    size = PCA_PATCH * PCA_PATCH * 3
    count, total, products = 0, np.zeros(size), np.zeros((size, size))
    for box in _grids(*values.shape[:2]):
        patches = _patches(values[box])
        count += len(patches)
        total += patches.sum(axis=0, dtype=np.float64)
        products += patches.T @ patches
    mean = total / count
    _, components = np.linalg.eigh(products / count - np.outer(mean, mean))  # the largest last
    return mean.astype(np.float32), components[:, -kept:].astype(np.float32)


def _grids(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield where whole patches fit side by side, for every offset of their grid."""
    for top in range(0, PCA_PATCH, PCA_STRIDE):
        for left in range(0, PCA_PATCH, PCA_STRIDE):
            bottom, right = (side - (side - start) % PCA_PATCH for side, start in ((height, top), (width, left)))
            yield slice(top, bottom), slice(left, right)


def _patches(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows * 8, columns * 8, 3) to (rows * columns, 192)."""
    rows, columns = (side // PCA_PATCH for side in values.shape[:2])
    return values.reshape(rows, PCA_PATCH, columns, PCA_PATCH, 3).swapaxes(1, 2).reshape(rows * columns, -1)


def _picture(patches: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The inverse of ``_patches``."""
    grid = patches.reshape(height // PCA_PATCH, width // PCA_PATCH, PCA_PATCH, PCA_PATCH, 3)
    return grid.swapaxes(1, 2).reshape(height, width, 3)


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
