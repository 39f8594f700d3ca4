"""What happens to pictures on their way: pure, seeded functions, each with one strength, found by name.

>>> import numpy
>>> pixels = numpy.full((64, 96, 3), 128, numpy.uint8)
>>> apply("crop:0.25", pixels, seed=7).shape
(32, 48, 3)
>>> attack, strength = parse("jpeg")
>>> attack.name, attack.strength.meaning, strength
('jpeg', 'quality, 4:2:0', 50)

To add one, write a function from (pixels, strength, random generator) to pixels and register it with
``@attack``. Pixels are (H, W, 3) uint8 RGB throughout; the input is never changed, and may be returned as it is.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markai.errors import ImageError, MethodError
from markai.image_files import codec

Pixels = NDArray[np.uint8]
Function = Callable[[Pixels, float, np.random.Generator], Pixels]

GRAY = 128  # what an erased rectangle is filled with


@dataclass(frozen=True, slots=True)
class Strength:
    """What the number after the colon means: from ``low`` to ``high``, by ``step`` where that is not 0.

    >>> window = Strength("window in pixels", 3, 15, default=5, step=2)
    >>> window.allows(7), window.allows(8), str(window)
    (True, False, 'window in pixels, 3 to 15 by 2')
    """

    meaning: str
    low: float
    high: float
    default: float
    step: float = 0

    def allows(self, value: float) -> bool:
        """Whether ``value`` lies in the range and on a step of it; NaN never does."""
        return self.low <= value <= self.high and not (self.step and (value - self.low) % self.step)

    def __str__(self) -> str:
        return f"{self.meaning}, {self.low:g} to {self.high:g}" + (f" by {self.step:g}" if self.step else "")


@dataclass(frozen=True, slots=True)
class Attack:
    """A named attack; ``strength`` is None where there is only one."""

    name: str
    strength: Strength | None
    function: Function


_ATTACKS: dict[str, Attack] = {}


def attack(name: str, strength: Strength | None = None) -> Callable[[Function], Function]:
    """Register the decorated function under ``name``."""

    def register(function: Function) -> Function:
        _ATTACKS[name] = Attack(name, strength, function)
        return function

    return register


def names() -> list[str]:
    """Return the names of all attacks, like with like.

    >>> names()[:4]
    ['none', 'jpeg', 'webp', 'avif']
    """
    return list(_ATTACKS)


def parse(spec: str) -> tuple[Attack, float]:
    """Return the attack and the strength that ``"name"`` or ``"name:strength"`` asks for.

    >>> parse("blur:1.5")[1], parse("blur")[1], parse("grayscale")[1]
    (1.5, 2.0, 0)

    Raises:
        MethodError: if there is no such attack, or its strength is out of range.
    """
    name, colon, given = spec.partition(":")
    if name not in _ATTACKS:
        raise MethodError(f"no attack {name!r} - choose from {', '.join(names())}")
    found = _ATTACKS[name]
    if found.strength is None:
        if colon:
            raise MethodError(f"{name} takes no strength - write {name!r}")
        return found, 0
    if not colon:
        return found, found.strength.default
    value = _number(given)
    if not found.strength.allows(value):
        raise MethodError(f"{spec!r} is out of range - {name} takes {found.strength}")
    return found, value


def apply(spec: str, pixels: Pixels, seed: int = 0) -> Pixels:
    """Return the attacked pixels, in memory of their own; the same ``seed`` (0 or more) gives the same.

    An attack draws the same numbers at every strength, so that a sweep compares like with like.

    Raises:
        MethodError: if there is no such attack, or its strength is out of range.
        ImageError: if the pixels are not (H, W, 3) uint8, or a codec cannot hold them.
    """
    found, strength = parse(spec)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"attacks take (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}")
    rng = np.random.default_rng([seed, *found.name.encode()])
    return np.array(found.function(pixels, strength, rng), order="C")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@attack("none")
def none(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Change nothing."""
    return pixels


@attack("jpeg", Strength("quality, 4:2:0", 1, 100, default=50, step=1))
def jpeg(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as JPEG with halved colour, as nearly every service does, and read again."""
    return _recode(pixels, "JPEG", quality=int(quality), subsampling="4:2:0")


@attack("webp", Strength("quality", 1, 100, default=50, step=1))
def webp(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as lossy WebP and read again."""
    return _recode(pixels, "WEBP", quality=int(quality))


@attack("avif", Strength("quality", 1, 100, default=50, step=1))
def avif(pixels: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    """Write as AVIF, 4:2:0, and read again."""
    # One thread: with more, the encoder may split the picture otherwise on a machine with other cores.
    return _recode(pixels, "AVIF", quality=int(quality), subsampling="4:2:0", max_threads=1)


@attack("blur", Strength("sigma in pixels", 0.1, 20, default=2.0))
def blur(pixels: Pixels, sigma: float, _rng: np.random.Generator) -> Pixels:
    """Blur with a Gaussian."""
    from scipy.ndimage import gaussian_filter

    return _rounded(gaussian_filter(pixels.astype(np.float32), sigma, axes=(0, 1)))


@attack("median", Strength("window in pixels", 3, 15, default=5, step=2))
def median(pixels: Pixels, size: float, _rng: np.random.Generator) -> Pixels:
    """Take the median of each channel over a square window."""
    from scipy.ndimage import median_filter

    return median_filter(pixels, int(size), axes=(0, 1))


@attack("noise", Strength("standard deviation, as a share of the range", 0, 1, default=0.05))
def noise(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add independent Gaussian noise to every value."""
    return _rounded(pixels + 255 * np.float32(deviation) * rng.standard_normal(pixels.shape, np.float32))


@attack("brightness", Strength("factor", 0, 4, default=1.5))
def brightness(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Multiply every value."""
    return _rounded(factor * np.arange(256.0))[pixels]


@attack("contrast", Strength("factor", 0, 4, default=1.5))
def contrast(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Multiply every value's distance from the mean of the picture."""
    mean = pixels.mean()
    return _rounded(mean + factor * (np.arange(256.0) - mean))[pixels]


@attack("gamma", Strength("exponent", 0.1, 10, default=1.4))
def gamma(pixels: Pixels, exponent: float, _rng: np.random.Generator) -> Pixels:
    """Raise every value, as a share of the range, to a power; above 1 darkens."""
    return _rounded(255 * np.linspace(0, 1, 256) ** exponent)[pixels]


@attack("grayscale")
def grayscale(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Keep the luma (ITU-R BT.601) alone, in three equal channels."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


@attack("crop", Strength("share of the area kept", 0.01, 1, default=0.5))
def crop(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Cut out a rectangle of the same aspect at a random place; it is not resized back."""
    return pixels[_rectangle(pixels, area, rng)]


@attack("erase", Strength("share of the area lost", 0.01, 1, default=0.25))
def erase(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Fill a rectangle of the same aspect at a random place with gray."""
    erased = pixels.copy()
    erased[_rectangle(pixels, area, rng)] = GRAY
    return erased


@attack("resize-back", Strength("factor", 0.05, 4, default=0.5))
def resize_back(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a Lanczos filter, smoothed against aliasing, and back to the size before."""
    from PIL import Image

    height, width = pixels.shape[:2]
    smaller = (max(1, round(width * factor)), max(1, round(height * factor)))
    lanczos = Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize(smaller, lanczos).resize((width, height), lanczos))


def _recode(pixels: Pixels, file_format: str, **options: Any) -> Pixels:
    """Encode and decode in memory."""
    from PIL import Image

    file, (height, width) = io.BytesIO(), pixels.shape[:2]
    with codec(f"a {width}x{height} picture cannot go through {file_format}", "resize it first"):
        Image.fromarray(pixels).save(file, file_format, **options)
        return np.asarray(Image.open(file).convert("RGB"))


def _rectangle(pixels: Pixels, area: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw where a rectangle with this share of the area, and the same aspect, lies; (rows, columns)."""
    height, width = (max(1, round(math.sqrt(area) * side)) for side in pixels.shape[:2])
    top = int(rng.random() * (pixels.shape[0] - height + 1))
    left = int(rng.random() * (pixels.shape[1] - width + 1))
    return slice(top, top + height), slice(left, left + width)


def _rounded(values: NDArray[Any]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
