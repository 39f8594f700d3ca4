"""Light, colour, sharpness and noise: every pixel stays where it is."""

from functools import partial

import numpy as np
from PIL import Image, ImageOps

from markai.attacks.pixels import Pixels, rounded
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack

attack = partial(any_attack, family="photometric")
FACTOR = Strength("factor", 0, 4, default=1.5)
PAPER, INK = 0.9, 0.1  # the lightest and the darkest that a print reflects, as shares of the range


@attack("blur", Strength("sigma in pixels", 0, 20, default=2.0))
def blur(pixels: Pixels, sigma: float, _rng: np.random.Generator) -> Pixels:
    """Blur with a Gaussian."""
    from scipy.ndimage import gaussian_filter

    return rounded(gaussian_filter(pixels.astype(np.float32), sigma, axes=(0, 1)))


@attack("median", Strength("window in pixels", 3, 15, default=5, step=2))
def median(pixels: Pixels, size: float, _rng: np.random.Generator) -> Pixels:
    """Take the median of each channel over a square window."""
    from scipy.ndimage import median_filter

    return median_filter(pixels, int(size), axes=(0, 1))


@attack("noise", Strength("standard deviation, as a share of the range", 0, 1, default=0.05))
def noise(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add independent Gaussian noise to every value."""
    return rounded(pixels + 255 * np.float32(deviation) * rng.standard_normal(pixels.shape, np.float32))


@attack("brightness", FACTOR)
def brightness(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Multiply every value."""
    return rounded(factor * np.arange(256.0))[pixels]


@attack("contrast", FACTOR)
def contrast(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Multiply every value's distance from the mean of the picture."""
    mean = pixels.mean()
    return rounded(mean + factor * (np.arange(256.0) - mean))[pixels]


@attack("gamma", Strength("exponent", 0.1, 10, default=1.4))
def gamma(pixels: Pixels, exponent: float, _rng: np.random.Generator) -> Pixels:
    """Raise every value, as a share of the range, to a power; above 1 darkens."""
    return rounded(255 * np.linspace(0, 1, 256) ** exponent)[pixels]


@attack("grayscale")
def grayscale(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Keep the luma (ITU-R BT.601) alone, in three equal channels."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


@attack("sharpen", Strength("share of the detail added again", 0, 8, default=1.0))
def sharpen(pixels: Pixels, amount: float, _rng: np.random.Generator) -> Pixels:
    """Add what a Gaussian of one pixel takes away (unsharp mask)."""
    from scipy.ndimage import gaussian_filter

    values = pixels.astype(np.float32)
    return rounded(values + np.float32(amount) * (values - gaussian_filter(values, 1.0, axes=(0, 1))))


@attack("motion-blur", Strength("length in pixels", 1, 51, default=9, step=2))
def motion_blur(pixels: Pixels, length: float, _rng: np.random.Generator) -> Pixels:
    """Blur along the rows, as a camera does that pans."""
    from scipy.ndimage import uniform_filter1d

    return rounded(uniform_filter1d(pixels.astype(np.float32), int(length), axis=1))


@attack("salt-and-pepper", Strength("share of the pixels", 0, 1, default=0.02))
def salt_and_pepper(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Turn pixels at random black or white."""
    hit, white = rng.random((2, *pixels.shape[:2], 1), np.float32)
    return np.where(hit < share, np.where(white < 0.5, np.uint8(0), np.uint8(255)), pixels)


@attack("speckle", Strength("standard deviation, as a share of the value", 0, 1, default=0.1))
def speckle(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add Gaussian noise in proportion to every value."""
    return rounded(pixels * (1 + np.float32(deviation) * rng.standard_normal(pixels.shape, np.float32)))


@attack("saturation", FACTOR)
def saturation(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Multiply every pixel's distance from its luma; 0 is grayscale."""
    luma = np.asarray(Image.fromarray(pixels).convert("L"))[..., None].astype(np.float32)
    return rounded(luma + np.float32(factor) * (pixels - luma))


@attack("hue", Strength("share of the colour circle", -0.5, 0.5, default=0.1))
def hue(pixels: Pixels, turn: float, _rng: np.random.Generator) -> Pixels:
    """Turn the hue through 8-bit HSV, as torchvision does; the rounding of HSV is part of the attack."""
    hues, saturations, values = Image.fromarray(pixels).convert("HSV").split()
    turned = hues.point([(value + round(255 * turn)) % 256 for value in range(256)])
    return np.asarray(Image.merge("HSV", (turned, saturations, values)).convert("RGB"))


@attack("posterize", Strength("bits kept", 1, 8, default=4, step=1))
def posterize(pixels: Pixels, bits: float, _rng: np.random.Generator) -> Pixels:
    """Keep the highest bits of every value."""
    return np.asarray(ImageOps.posterize(Image.fromarray(pixels), int(bits)))


@attack("equalize")
def equalize(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Flatten the histogram of the luma; the colour difference stays."""
    luma, blue, red = Image.fromarray(pixels).convert("YCbCr").split()
    return np.asarray(Image.merge("YCbCr", (ImageOps.equalize(luma), blue, red)).convert("RGB"))


@attack("print-tone", Strength("share of the way from the screen to paper", 0, 1, default=1.0))
def print_tone(pixels: Pixels, share: float, _rng: np.random.Generator) -> Pixels:
    """Bend the values as ink on paper does: gray blacks, dull whites, steeper in between."""
    level = np.linspace(0, 1, 256)
    paper = INK + (PAPER - INK) * level**2 * (3 - 2 * level)
    return rounded(255 * (level + share * (paper - level)))[pixels]


@attack("light", Strength("share of the light lost on the dark side", 0, 1, default=0.4))
def light(pixels: Pixels, loss: float, rng: np.random.Generator) -> Pixels:
    """Light the picture from one side, at random, so that the other is darker."""
    height, width = pixels.shape[:2]
    angle = 2 * np.pi * rng.random()
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    along = (y * np.sin(angle) + x * np.cos(angle)) / (abs(np.sin(angle)) + abs(np.cos(angle)))
    return rounded(pixels * (1 - loss * (1 + along[..., None]) / 2))
