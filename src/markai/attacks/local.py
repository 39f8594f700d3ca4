"""Local edits: part of the picture is lost to something else."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from markai.attacks.pixels import Pixels, another_picture, rectangle, resized, rounded
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack

attack = partial(any_attack, family="local")
LOST = Strength("share of the area lost", 0, 1, default=0.25)
KEPT = Strength("share of the area kept", 0.01, 1, default=0.5)

GRAY = 128  # what an erased rectangle is filled with
CAPTION = "Seen here first - share it"
CAPTION_LINES = 3
SMOOTHING = 40  # the share of a filled rectangle's short side that hides the streaks of the filling


@attack("erase", LOST)
def erase(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Fill a rectangle of the same aspect at a random place with gray."""
    return _replaced(pixels, area, rng, lambda box: np.full_like(pixels[box], GRAY))


@attack("paste", LOST)
def paste(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Fill a rectangle of the same aspect at a random place with another picture."""
    return _replaced(pixels, area, rng, lambda box: another_picture(pixels[box].shape, rng))


@attack("inpaint", LOST)
def inpaint(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Fill a rectangle of the same aspect at a random place smoothly from its edges."""
    return _replaced(pixels, area, rng, lambda box: _from_edges(pixels, box))


@attack("logo", Strength("share of the area of the square around it", 0.001, 0.5, default=0.05))
def logo(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Lay an opaque white disc with a coloured ring over a random place."""
    height, width = pixels.shape[:2]
    radius = (area * height * width) ** 0.5 / 2
    y, x = rng.random(2) * (height, width)
    distance = np.hypot(np.arange(height)[:, None] - y, np.arange(width) - x) / radius
    color = rng.integers(0, 256, 3, np.uint8)
    ring = (distance > 0.6) & (distance < 0.85)
    return np.where((distance < 1)[..., None], np.where(ring[..., None], color, np.uint8(255)), pixels)


@attack("text", Strength("height of the letters, as a share of the short side", 0.01, 0.3, default=0.08))
def text(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Write lines of white text with a black outline across the picture, one in each third."""
    height, width = pixels.shape[:2]
    picture, size = Image.fromarray(pixels), max(4, share * min(height, width))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    words = " ".join([CAPTION] * math.ceil(2 * width / (size * len(CAPTION))))
    for line, place in enumerate(rng.random(CAPTION_LINES)):
        draw.text(
            (0, (line + place) / CAPTION_LINES * (height - size)),
            words,
            "white",
            font,
            stroke_width=size / 16,
            stroke_fill="black",
        )
    return np.asarray(picture)


@attack("splice", KEPT)
def splice(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Keep a rectangle of the same aspect at a random place, where it was; another picture is around it."""
    box = rectangle(pixels, area, rng)
    spliced = another_picture(pixels.shape, rng)
    spliced[box] = pixels[box]
    return spliced


@attack("collage", KEPT, geometric=True)
def collage(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Shrink the picture to this share of the area and lay it at a random place over four others."""
    box = rectangle(pixels, area, rng)
    middle, center = (side // 2 for side in pixels.shape[:2])
    sheet = np.empty_like(pixels)
    for rows in (slice(0, middle), slice(middle, None)):
        for columns in (slice(0, center), slice(center, None)):
            if sheet[rows, columns].size:
                sheet[rows, columns] = another_picture(sheet[rows, columns].shape, rng)
    sheet[box] = resized(pixels, *sheet[box].shape[:2])
    return sheet


Box = tuple[slice, slice]
Filling = Callable[[Box], NDArray[np.uint8]]


def _replaced(pixels: Pixels, area: float, rng: np.random.Generator, filling: Filling) -> Pixels:
    """Replace a rectangle of the same aspect at a random place; nothing where the area is 0."""
    replaced = pixels.copy()
    if area:
        box = rectangle(pixels, area, rng)
        replaced[box] = filling(box)
    return replaced


def _from_edges(pixels: Pixels, box: Box) -> Pixels:
    """Mean of what lies beyond the four edges of a rectangle, each weighted by how near it is, and blurred."""
    from scipy.ndimage import gaussian_filter

    (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
    height, width = bottom - top, right - left
    down = np.arange(1.0, height + 1)[:, None, None]
    across = np.arange(1.0, width + 1)[None, :, None]
    edges = [
        (pixels[top - 1 : top, left:right] if top else None, down),
        (pixels[bottom : bottom + 1, left:right], height + 1 - down),
        (pixels[top:bottom, left - 1 : left] if left else None, across),
        (pixels[top:bottom, right : right + 1], width + 1 - across),
    ]
    # An edge on the edge of the picture has nothing beyond. Without any, the weight of the gray is all there is.
    total, weight = np.full((height, width, 3), GRAY * 1e-9), np.full((height, width, 1), 1e-9)
    for beyond, distance in edges:
        if beyond is not None and beyond.size:
            total += beyond / distance
            weight += 1 / distance
    return rounded(gaussian_filter(total / weight, min(height, width) / SMOOTHING, axes=(0, 1)))
