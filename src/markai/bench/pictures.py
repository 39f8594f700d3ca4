"""The pictures that a benchmark runs on: files of a folder, or drawn ones where there are none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from markai.attacks.pixels import LANCZOS, another_picture, resized, rounded
from markai.errors import ImageError
from markai.files import find_pictures
from markai.image import open_picture

Pixels = NDArray[np.uint8]

LEAST_SIDE = 256  # invisible-watermark refuses less
DRAWN = 12  # pictures, where no folder is given
DRAWN_SIDE = 512


@dataclass(frozen=True, slots=True)
class Source:
    """A picture by name: a file, or the name of a drawing; ``group`` sorts like with like in the tables."""

    name: str
    group: str
    path: Path | None = None

    def load(self, short_side: int | None = None) -> Pixels:
        """Return (H, W, 3) uint8 RGB, transparency on white, shrunk until the shorter side is ``short_side``.

        Raises:
            ImageError: if the file cannot be read.
        """
        pixels = drawn(self.name) if self.path is None else _read(self.path)
        shorter = min(pixels.shape[:2])
        if short_side is None or shorter <= short_side:
            return pixels
        height, width = (side * short_side / shorter for side in pixels.shape[:2])
        return resized(pixels, height, width, LANCZOS)


def from_files(paths: Sequence[Path], least_side: int = LEAST_SIDE) -> list[Source]:
    """Return the pictures among files and folders, by name; those too small for a method are left out.

    Raises:
        ImageError: if none is left, or two have the same name.
    """
    from PIL import Image

    found: dict[str, Source] = {}
    for file in find_pictures(paths, recursive=True):
        try:
            with Image.open(file.path) as image:
                small = min(image.size) < least_side
        except OSError:  # let the run say why, as a row with an error
            small = False
        name = file.relative.as_posix()
        if name in found:
            raise ImageError(f"two pictures are called {name} - name one folder that holds both")
        if not small:
            found[name] = Source(name, group_of(name), file.path)
    if not found:
        raise ImageError(f"every picture is smaller than {least_side} pixels - name a folder with larger ones")
    return list(found.values())


def group_of(name: str) -> str:
    """Return what a file is called without its number, or the folder that it is in.

    >>> group_of("kodak_07.png"), group_of("scans/0001.jpg"), group_of("0001.jpg")
    ('kodak', 'scans', 'pictures')
    """
    path = Path(name)
    word = re.match(r"[^\W\d_]+(?:-[^\W\d_]+)*", path.stem)
    return word[0].lower() if word else path.parent.name or "pictures"


def spread(sources: Sequence[Source], count: int) -> list[Source]:
    """Return ``count`` of the pictures, taken from all groups in turn.

    >>> [each.name for each in spread([Source(name, name[0]) for name in ("a1", "a2", "b1")], 2)]
    ['a1', 'b1']
    """
    by_group: dict[str, list[Source]] = {}
    for source in sources:
        by_group.setdefault(source.group, []).append(source)
    rounds = max(map(len, by_group.values()), default=0)
    turns = [group[turn] for turn in range(rounds) for group in by_group.values() if turn < len(group)]
    chosen = set(turns[:count])
    return [source for source in sources if source in chosen]


def generated(count: int = DRAWN) -> list[Source]:
    """Return drawings that need no files: like nature in their spectrum, and unlike it in all else.

    >>> generated(2)[0].load().shape
    (512, 512, 3)
    """
    return [Source(f"leaves-{n:02d}" if n % 3 else f"clouds-{n:02d}", "drawn") for n in range(count)]


def structured() -> list[Source]:
    """Return pictures that are all structure and no nature: where sloppy statistics break."""
    return [Source(f"pattern:{name}", "patterns") for name in _patterns(8)]


def drawn(name: str, side: int = DRAWN_SIDE) -> Pixels:
    """Draw the picture of that name.

    Raises:
        ImageError: if there is no drawing of that name.
    """
    kind, _, which = name.partition(":" if ":" in name else "-")
    if kind == "pattern" and which in (patterns := _patterns(side)):
        return np.repeat(patterns[which].astype(np.uint8)[..., None], 3, axis=2)
    if kind in {"clouds", "leaves"} and which.isdecimal():
        rng = np.random.default_rng(int(which))
        return another_picture((side, side, 3), rng) if kind == "clouds" else _leaves(side, rng)
    raise ImageError(f"there is no drawing {name!r} - use the names that generated() and structured() return")


def _leaves(side: int, rng: np.random.Generator) -> Pixels:
    """Draw discs that cover each other, their sizes by an inverse-cube law: the statistics of natural scenes.

    Lee, Mumford and Huang, "Occlusion models for natural images", International Journal of Computer Vision 41 (2001).
    """
    canvas = another_picture((side, side, 3), rng).astype(np.float32)
    y, x = np.ogrid[:side, :side]
    smallest, largest = 4.0, side / 4
    for share in rng.random(side):
        radius = (smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5
        row, column = rng.random(2) * side
        box = tuple(slice(max(0, int(at - radius)), int(at + radius) + 1) for at in (row, column))
        down, across = (y[box[0]] - row) / radius, (x[:, box[1]] - column) / radius
        inside = down**2 + across**2 < 1
        light = np.broadcast_to(down, inside.shape)[inside, None] * rng.normal(0, 12)
        shade = rng.normal(128, 55) + rng.normal(0, 12, 3)
        canvas[box][inside] = shade + light + rng.normal(0, 4, light.shape)
    return rounded(canvas)


def _patterns(side: int) -> dict[str, NDArray[np.floating | np.integer]]:
    y, x = np.mgrid[:side, :side]
    rng = np.random.default_rng(0)
    few, some = side // 8, max(1, side // 4)
    return {
        "black": np.zeros((side, side)),
        "white": np.full((side, side), 255),
        "gray": np.full((side, side), 128),
        "gradient": x * 255 / side,
        "diagonal": (x + y) * 127 / side,
        "radial": np.hypot(x - side / 2, y - side / 2) % 256,
        "checker-1": (x + y) % 2 * 255,
        "checker-8": (x // 8 + y // 8) % 2 * 255,
        "checker-128": (x // 128 + y // 128) % 2 * 255,
        "stripes-16": x // 8 % 2 * 255,
        "waves": 127 + 100 * np.sin(2 * np.pi * x / 32) * np.sin(2 * np.pi * y / 32),
        "halftone": np.where(np.hypot(x % 12 - 6, y % 12 - 6) < 2 + 4 * x / side, 0, 255),
        "noise": rng.integers(0, 256, (side, side)),
        "noise-tiled": np.tile(rng.integers(0, 256, (some, some)), (4, 4))[:side, :side],
        "saturated-noise": np.clip(rng.normal(300, 60, (side, side)), 0, 255),
        "text": np.where(rng.random((few, few)).repeat(8, 0).repeat(8, 1) < 0.3, 0, 255),
    }


def _read(path: Path) -> Pixels:
    picture = open_picture(path, read_only=True)
    pixels = picture.pixels if picture.pixels.shape[2] == 3 else np.repeat(picture.pixels, 3, axis=2)
    colors = _unit(pixels)
    if picture.alpha is not None:
        alpha = _unit(picture.alpha)[..., None]
        colors = colors * alpha + (1 - alpha)
    elif pixels.dtype == np.uint8:
        return pixels
    return rounded(255 * colors)


def _unit(values: NDArray[np.generic]) -> NDArray[np.float32]:
    scale = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
    return values.astype(np.float32) / np.float32(scale)
