"""Attacks by somebody who knows more than one picture: averaging, copying, gradients.

They take several pictures or a model, so they have no name and no strength as the others do.

>>> pixels = np.full((16, 16, 3), 100, np.uint8)
>>> pattern = np.indices((16, 16, 3)).sum(axis=0) % 2 * np.uint8(2)
>>> residual = estimate_residual([pixels + pattern], [pixels])
>>> np.array_equal(remove(pixels + pattern, residual), pixels)
True
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from markai.attacks.pixels import LANCZOS, Pixels, rounded
from markai.attacks.regeneration import wiener
from markai.errors import ImageError, MethodError, MissingExtraError

Residual = NDArray[np.float32]
Denoiser = Callable[[Pixels], NDArray[Any]]

# The Wiener filter that tells a mark from its picture. On a photograph with a white mark of 3 levels, or with the
# default mark, what it takes away correlates with the mark by 0.56 and 0.15; with the mean variance of the picture in
# place of the 16, by 0.28 and 0.11.
WINDOW, MARK_VARIANCE = 7, 16  # pixels, levels squared
TEXTURE = 75  # of a noise visibility function: 50 to 100 in Voloshynovskiy et al.
FLAT = 0.25  # what flat places are given of the copied mark, where textures are given all

# Averaging


def wiener_denoised(pixels: Pixels) -> Residual:
    """Return (H, W, 3) float32 levels without what may be a mark of 4 levels: an adaptive Wiener filter."""
    return wiener(pixels, WINDOW, MARK_VARIANCE)


def estimate_residual(
    marked: Iterable[Pixels], originals: Iterable[Pixels] | None = None, denoiser: Denoiser = wiener_denoised
) -> Residual:
    """Return what marked pictures of one size have in common that the others lack: (H, W, 3) float32, in levels.

    The others are ``originals``, of the same pictures or of any, in any number; without them, what ``denoiser`` makes
    of each marked picture. Pictures are taken one at a time, so generators of any length will do. Yang, Ci, Song and
    Shou, "Can simple averaging defeat modern watermarks?", NeurIPS 2024: a mark that does not depend on the picture
    stays while everything else averages out.

    Raises:
        ImageError: if there are no pictures, or their shapes differ.
    """
    if originals is None:
        return _mean(pixels - np.asarray(denoiser(pixels), np.float32) for pixels in marked).astype(np.float32)
    marks, others = _mean(marked), _mean(originals)
    _same_shape(marks, others)
    return (marks - others).astype(np.float32)


def remove(pixels: Pixels, residual: Residual, gain: float = 1.0) -> Pixels:
    """Return the pixels less ``gain`` times an estimated residual of the same shape.

    Raises:
        ImageError: if the shapes differ.
    """
    _same_shape(pixels, residual)
    return rounded(pixels - np.float32(gain) * residual)


def forge(pixels: Pixels, residual: Residual, gain: float = 1.0, *, rms: float | None = None) -> Pixels:
    """Return the pixels plus ``gain`` times an estimated residual, or plus the residual at ``rms`` levels.

    Raises:
        ImageError: if the shapes differ.
        MethodError: if ``rms`` is given and the residual is zero everywhere.
    """
    return remove(pixels, residual, -(gain if rms is None else rms / _rms(residual)))


# Copying


def copy_mark(marked: Pixels, target: Pixels, psnr: float | None = None) -> Pixels:
    """Return ``target`` at the size of ``marked``, and with its mark, guessed from that one picture.

    Kutter, Voloshynovskiy and Herrigel, "The watermark copy attack", SPIE 3971 (2000): the mark is what a Wiener
    filter takes away, it is scaled by the noise visibility function of the target and added. A target of another
    shape is resized until it covers ``marked`` and cut about its centre. ``psnr``, in dB, scales what is added to
    that distance from the target, before rounding and clipping; without it nothing is scaled.

    Raises:
        MethodError: if ``psnr`` is given and nothing was found to copy.
    """
    height, width = marked.shape[:2]
    host = np.asarray(ImageOps.fit(Image.fromarray(target), (width, height), LANCZOS))
    guessed = (marked - wiener_denoised(marked)) * _visibility(host)
    return forge(host, guessed, rms=None if psnr is None else 255 / 10 ** (psnr / 20))


def _visibility(pixels: Pixels) -> Residual:
    """Return (H, W, 1) from FLAT, where noise shows, to 1, where texture hides it.

    Voloshynovskiy, Herrigel, Baumgaertner and Pun, "A stochastic approach to content adaptive digital image
    watermarking", Information Hiding 1999: the function is 1 / (1 + TEXTURE variance / greatest variance).
    """
    from scipy.ndimage import uniform_filter

    luma = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
    mean = uniform_filter(luma, WINDOW)
    variance = np.maximum(uniform_filter(luma * luma, WINDOW) - mean * mean, 0)
    noise_visibility = 1 / (1 + TEXTURE * variance / max(float(variance.max()), 1e-6))
    weight: Residual = 1 - (1 - FLAT) * noise_visibility
    return weight[..., None]


# Gradients


def gradient_attack(
    pixels: Pixels,
    score: Callable[[Any], Any],
    epsilon: int,
    steps: int = 50,
    *,
    step: float | None = None,
    raising: bool = False,
    device: str = "cpu",
) -> Pixels:
    """Return pixels within ``epsilon`` levels of the given ones at which a detector's score is low, or high.

    Projected gradient descent in the largest deviation: Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep
    learning models resistant to adversarial attacks", ICLR 2018, from the picture itself. ``score`` takes a torch
    tensor (1, 3, H, W) float32 in [0, 1] and returns a differentiable tensor, whose sum counts. ``step`` is in
    levels, by default 2.5 epsilon / steps. ``raising`` forges a mark, otherwise it is removed.

    Raises:
        MethodError: if ``epsilon`` or ``steps`` is less than 1.
        MissingExtraError: if torch is not installed.
    """
    if epsilon < 1 or steps < 1:
        raise MethodError(f"{steps} steps within {epsilon} levels change nothing - give at least 1 of both")
    try:
        import torch
    except ImportError:
        raise MissingExtraError.naming("torch", "torch", "gradient attacks") from None
    start = torch.from_numpy(pixels.astype(np.float32)).to(device).permute(2, 0, 1)[None]
    low, high = (start - epsilon).clamp(min=0), (start + epsilon).clamp(max=255)
    uphill = (1 if raising else -1) * (2.5 * epsilon / steps if step is None else step)
    at = start
    for _ in range(steps):
        at = at.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(at / 255).sum(), at)
        at = (at + uphill * gradient.sign()).clamp(low, high)
    return rounded(at.detach()[0].permute(1, 2, 0).cpu().numpy())


def _mean(pictures: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    count, total = 0, np.zeros(())
    for picture in pictures:
        if count:
            _same_shape(picture, total)
        total = total + picture
        count += 1
    if not count:
        raise ImageError("there are no pictures to average - give one or more")
    return total / count


def _rms(values: Residual) -> float:
    rms = math.sqrt(float(np.mean(np.square(values, dtype=np.float64))))
    if not rms:
        raise MethodError("the residual is zero, and cannot be scaled - estimate it from other pictures")
    return rms


def _same_shape(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ImageError(f"shapes {first.shape} and {second.shape} differ - bring all pictures to one size")
