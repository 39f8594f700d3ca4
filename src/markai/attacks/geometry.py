"""Geometry: what is kept of the picture moves. What has no source turns black."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from markai.attacks.pixels import LANCZOS, Pixels, rectangle, resized
from markai.attacks.registry import Strength
from markai.attacks.registry import attack as any_attack

attack = partial(any_attack, family="geometry", geometric=True)
AREA = Strength("share of the area kept", 0.01, 1, default=0.5)
FACTOR = Strength("factor", 0.05, 4, default=0.5)
ANGLE = Strength("degrees, counter-clockwise", -180, 180, default=5)
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
WHITE = 255

BEND_WAVES = 3  # half waves of the bending along each side
BEND_CELL = 32  # pixels over which the bending is taken as straight; its waves are far longer


@attack("crop", AREA)
def crop(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Cut out a rectangle of the same aspect at a random place; it is not resized back."""
    return pixels[rectangle(pixels, area, rng)]


@attack("crop-back", AREA)
def crop_back(pixels: Pixels, area: float, rng: np.random.Generator) -> Pixels:
    """Cut out a rectangle of the same aspect at a random place and resize it to the size before."""
    return resized(pixels[rectangle(pixels, area, rng)], *pixels.shape[:2])


@attack("resize", FACTOR)
def resize(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a Lanczos filter, smoothed against aliasing."""
    return _scaled(pixels, factor, factor)


@attack("resize-bicubic", FACTOR)
def resize_bicubic(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a bicubic filter, smoothed against aliasing."""
    return _scaled(pixels, factor, factor, BICUBIC)


@attack("resize-bilinear", FACTOR)
def resize_bilinear(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a bilinear filter, smoothed against aliasing."""
    return _scaled(pixels, factor, factor, BILINEAR)


@attack("resize-width", Strength("width in pixels", 16, 2160, default=1080, step=1))
def resize_width(pixels: Pixels, width: float, _rng: np.random.Generator) -> Pixels:
    """Resize to this width, up or down, at the same aspect."""
    return _scaled(pixels, width / pixels.shape[1], width / pixels.shape[1])


# Not geometric: every detail that is left lies where it lay.
@attack("resize-back", FACTOR, geometric=False)
def resize_back(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a Lanczos filter, smoothed against aliasing, and back to the size before."""
    return resized(_scaled(pixels, factor, factor), *pixels.shape[:2])


@attack("resize-back-bicubic", FACTOR, geometric=False)
def resize_back_bicubic(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a bicubic filter, smoothed against aliasing, and back to the size before."""
    return resized(_scaled(pixels, factor, factor, BICUBIC), pixels.shape[0], pixels.shape[1], BICUBIC)


@attack("resize-back-bilinear", FACTOR, geometric=False)
def resize_back_bilinear(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize with a bilinear filter, smoothed against aliasing, and back to the size before."""
    return resized(_scaled(pixels, factor, factor, BILINEAR), pixels.shape[0], pixels.shape[1], BILINEAR)


@attack("aspect", Strength("factor of the width", 0.25, 4, default=0.8))
def aspect(pixels: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    """Resize the width alone."""
    return _scaled(pixels, 1, factor)


@attack("mirror")
def mirror(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Exchange left and right."""
    return pixels[:, ::-1]


@attack("flip")
def flip(pixels: Pixels, _strength: float, _rng: np.random.Generator) -> Pixels:
    """Exchange top and bottom."""
    return pixels[::-1]


@attack("rotate", ANGLE)
def rotate(pixels: Pixels, degrees: float, _rng: np.random.Generator) -> Pixels:
    """Rotate about the centre; the canvas stays, and cuts off the corners."""
    return np.asarray(Image.fromarray(pixels).rotate(degrees, BICUBIC))


@attack("rotate-expand", ANGLE)
def rotate_expand(pixels: Pixels, degrees: float, _rng: np.random.Generator) -> Pixels:
    """Rotate about the centre; the canvas grows so that nothing is lost."""
    return np.asarray(Image.fromarray(pixels).rotate(degrees, BICUBIC, expand=True))


@attack("rotate-crop", ANGLE)
def rotate_crop(pixels: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Rotate and cut out the largest rectangle without black corners, as photo editors do."""
    rotated = rotate_expand(pixels, degrees, rng)
    height, width = _inside(pixels.shape[0], pixels.shape[1], degrees)
    top, left = (rotated.shape[0] - height) // 2, (rotated.shape[1] - width) // 2
    return rotated[top : top + height, left : left + width]


@attack("shear", Strength("degrees", -45, 45, default=3))
def shear(pixels: Pixels, degrees: float, _rng: np.random.Generator) -> Pixels:
    """Shift every row in proportion to its height above the middle; the canvas stays."""
    slope = math.tan(math.radians(degrees))
    return _transformed(pixels, Image.Transform.AFFINE, (1, slope, -slope * pixels.shape[0] / 2, 0, 1, 0))


@attack("perspective", Strength("greatest move of a corner, as a share of the half side", 0, 0.8, default=0.1))
def perspective(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Move the four corners inward at random, as torchvision does; the canvas stays."""
    half = np.array(pixels.shape[1::-1]) / 2
    outward = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    before = half * (1 + outward)
    after = before - outward * half * share * rng.random((4, 2))
    return _transformed(pixels, Image.Transform.PERSPECTIVE, _homography(after, before))


@attack("shift", Strength("pixels to the right and down", -4096, 4096, default=16, step=1))
def shift(pixels: Pixels, distance: float, _rng: np.random.Generator) -> Pixels:
    """Move right and down, or left and up where negative; the canvas stays."""
    moved, by = np.zeros_like(pixels), int(distance)
    if by >= 0:
        moved[by:, by:] = pixels[: max(0, pixels.shape[0] - by), : max(0, pixels.shape[1] - by)]
    else:
        moved[:by, :by] = pixels[-by:, -by:]
    return moved


@attack("border", Strength("width, as a share of the short side", 0, 1, default=0.1))
def border(pixels: Pixels, share: float, _rng: np.random.Generator) -> Pixels:
    """Put a white border around the picture; the canvas grows."""
    width = round(share * min(pixels.shape[:2]))
    return np.pad(pixels, ((width, width), (width, width), (0, 0)), constant_values=WHITE)


@attack("drop-lines", Strength("share of the rows and of the columns", 0, 0.5, default=0.01))
def drop_lines(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Leave out rows and columns at random; what remains moves together."""
    rows, columns = (np.sort(rng.permutation(side)[round(share * side) :]) for side in pixels.shape[:2])
    return pixels[np.ix_(rows, columns)]


@attack("bend", Strength("greatest move, as a share of the short side", 0, 0.05, default=0.01))
def bend(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Bend smoothly at random, with the edges held: the random bending of StirMark without its noise."""
    height, width = pixels.shape[:2]
    rows, columns = _nodes(height), _nodes(width)
    waves = np.pi * np.arange(1, BEND_WAVES + 1)
    down, right = np.sin(np.outer(rows / height, waves)), np.sin(np.outer(columns / width, waves))
    moves = down @ rng.standard_normal((2, BEND_WAVES, BEND_WAVES)) @ right.T
    moves *= share * min(height, width) / max(float(np.hypot(*moves).max()), 1e-9)
    source = np.stack([columns + moves[0], rows[:, None] + moves[1]], axis=2)
    return _transformed(pixels, Image.Transform.MESH, list(_mesh(rows, columns, source)))


def _scaled(pixels: Pixels, down: float, across: float, resampling: Image.Resampling = LANCZOS) -> Pixels:
    return resized(pixels, pixels.shape[0] * down, pixels.shape[1] * across, resampling)


def _transformed(pixels: Pixels, method: Image.Transform, data: Any) -> Pixels:
    """Fill a canvas of the same size from where ``data`` says that each of its pixels comes from."""
    return np.asarray(Image.fromarray(pixels).transform(pixels.shape[1::-1], method, data, BICUBIC))


def _inside(height: int, width: int, degrees: float) -> tuple[int, int]:
    """Return the largest upright rectangle inside a rotated one; (height, width).

    Either two of its corners touch the two long sides of the rotated rectangle, or all four touch a side each.
    """
    sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
    short, long = sorted((height, width))
    if short <= 2 * sine * cosine * long or math.isclose(sine, cosine):
        one, other = short / 2 / sine, short / 2 / cosine
        high, wide = (other, one) if width >= height else (one, other)
    else:
        scale = cosine * cosine - sine * sine
        high, wide = (height * cosine - width * sine) / scale, (width * cosine - height * sine) / scale
    # One pixel off on each side where the edge runs through pixels: those are mixed with black.
    mixed = 0 if degrees % 90 == 0 else 2
    return max(1, math.floor(high + 1e-6) - mixed), max(1, math.floor(wide + 1e-6) - mixed)


def _homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> list[float]:
    """Return the eight numbers of the projective map that takes four points to four others."""
    equations = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return [float(number) for number in np.linalg.solve(np.array(equations), target.ravel())]


def _nodes(side: int) -> NDArray[np.int64]:
    return np.append(np.arange(0, side, BEND_CELL), side)


def _mesh(
    rows: NDArray[np.int64], columns: NDArray[np.int64], source: NDArray[np.float64]
) -> Iterable[tuple[tuple[int, ...], tuple[float, ...]]]:
    """Yield each cell of the canvas with its four corners in the picture, in the order that Pillow wants."""
    for i in range(len(rows) - 1):
        for j in range(len(columns) - 1):
            cell = int(columns[j]), int(rows[i]), int(columns[j + 1]), int(rows[i + 1])
            corners = source[[i, i + 1, i + 1, i], [j, j, j + 1, j + 1]]
            yield cell, tuple(corners.ravel().tolist())
