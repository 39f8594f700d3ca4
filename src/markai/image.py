"""Every accepted kind of picture, to one canonical form and back.

The only module (with its ``image_*`` ones) that knows PIL, BGR, CHW, alpha, EXIF rotation and files. Everything
else in markai sees ``Picture.pixels``: RGB or gray, channels last, upright.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from markai.errors import ImageError
from markai.image_arrays import Array, canonical, in_unit_range, strips, to_array, to_pil
from markai.image_files import (
    MAX_BYTES,
    MAX_PIXELS,
    check_size,
    codec,
    file_format,
    header,
    orientation_of,
    read_file,
)
from markai.image_tensors import check_shape, edit_tensor, is_tensor, open_tensor, stays_on_device

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "Picture",
    "edit",
    "edit_tensor",
    "file_format",
    "open_picture",
    "open_tensor",
    "size_of",
    "split_batch",
    "stays_on_device",
]

ARRAY_MODES = {"L", "LA", "RGB", "RGBA", "F", "I;16", "I;16L", "I;16B", "I;16N"}  # the same as an array, bit for bit
CONVERTED_MODES = {"YCbCr": "RGB", "HSV": "RGB", "La": "LA", "RGBa": "RGBA"}
MODES = "L, LA, RGB, RGBA, P, I;16, I, F, CMYK, YCbCr, HSV, LAB, RGBX, La and RGBa"

# (swap the axes, flip the rows, flip the columns) that turn a stored picture upright, by EXIF orientation.
UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
INVERSE = {6: 8, 8: 6}  # every other orientation undoes itself


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture in canonical form, and the way back to what it came from.

    ``pixels`` is (H, W, 3) RGB or (H, W, 1) gray; uint8, uint16 or float32 in [0, 1]; C-contiguous, upright. Where
    the input is that already, it is the input's own memory, and read-only. ``alpha`` is (H, W) of the same dtype, or
    None. ``lossy`` says that ``rebuild`` goes through a lossy codec, a palette or a colour conversion, so that the
    mark must be checked again.
    """

    pixels: Array
    alpha: Array | None
    lossy: bool
    _rebuild: Callable[[Array], Any] = field(repr=False)

    def rebuild(self, pixels: Array) -> Any:
        """Return ``pixels`` as what the input was: type, mode, shape, dtype, device, alpha, metadata.

        ``pixels`` has the shape and dtype of ``self.pixels``. A path comes back as the bytes of the file.

        Raises:
            ImageError: if the shape or the dtype is another one, or the picture cannot be written back.
        """
        self.check(pixels)
        return self._rebuild(pixels)

    def check(self, pixels: Array) -> None:
        """Raise ImageError where ``pixels`` are not of the shape and dtype of ``self.pixels``."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            expected, given = f"{self.pixels.dtype} {self.pixels.shape}", f"{pixels.dtype} {pixels.shape}"
            raise ImageError(f"the pixels are {given}, the picture is {expected} - pass the same shape and dtype")


def open_picture(image: Any, *, read_only: bool = False) -> Picture:
    """Bring one picture of any accepted kind into canonical form.

    Accepted are a PIL image, an ndarray (HxW, HxWx1, HxWx3 or HxWx4), a torch tensor (HxW or CHW), the bytes
    of an encoded file, or an ``os.PathLike``. Integers are uint8 or uint16, floats lie in [0, 1].

    With ``read_only`` a picture also opens that could not be written back, which is enough to look for a
    mark: the current frame of an animation, the 8-bit view of an HDR AVIF, a bilevel scan. Its ``rebuild``
    always raises.

    >>> picture = open_picture(np.full((2, 3, 4), 128, np.uint8))
    >>> picture.pixels.shape, picture.alpha.shape, picture.rebuild(picture.pixels).shape
    ((2, 3, 3), (2, 3), (2, 3, 4))

    Raises:
        ImageError: if the picture is damaged, too large, or not one of the accepted kinds.
        MissingExtraError: if a 16-bit colour file needs OpenCV and it is not installed.
    """
    picture = _open_any(image, read_only)
    return replace(picture, _rebuild=_refuse) if read_only else picture


def size_of(data: bytes) -> tuple[int, int]:
    """Return the width and height that the header of an encoded picture tells; no pixel is decoded.

    Raises:
        ImageError: if it is damaged, too large, or of an unknown format.
    """
    with codec(f"the {file_format(data)} file is damaged", "restore it or export it again"):
        width, height = header(data).size
    return width, height


def edit(image: Any, change: Callable[[Array, Array | None], Array]) -> tuple[Any, bool]:
    """Return the picture with the pixels that ``change(pixels, alpha)`` makes of its own, and whether that was lossy.

    What :func:`open_picture` and :meth:`Picture.rebuild` do, but the old pixels are let go before the new ones are
    encoded: of a file of 16k x 16k that is 800 MB.

    >>> edit(np.zeros((2, 3), np.uint8), lambda pixels, alpha: pixels + np.uint8(7))
    (array([[7, 7, 7],
           [7, 7, 7]], dtype=uint8), False)

    Raises:
        ImageError: as both of them.
    """
    picture = open_picture(image)
    changed = change(picture.pixels, picture.alpha)
    picture.check(changed)
    rebuild, lossy = picture._rebuild, picture.lossy
    del picture
    return rebuild(changed), lossy


def _open_any(image: Any, read_only: bool) -> Picture:
    if isinstance(image, Image.Image):
        return _open_pil(image, read_only)
    if isinstance(image, np.ndarray):
        return _open_array(image)
    if is_tensor(image):
        return _open_tensor(image)
    if isinstance(image, os.PathLike):
        return _open_file(_read_path(image), read_only)
    if isinstance(image, bytes | bytearray | memoryview):
        return _open_file(bytes(image), read_only)
    raise ImageError(
        f"a {type(image).__name__} is not a picture - pass a PIL image, an ndarray, a torch tensor, "
        "the bytes of an encoded file, or a pathlib.Path"
    )


def _refuse(_: Array) -> Any:
    raise ImageError("the picture was opened read-only - open it without read_only to write it back")


def split_batch(image: Any) -> tuple[list[Any], Callable[[list[Any]], Any]] | None:
    """Return the items of a batch and the function that joins results into the same container; None for one
    item.

    A list, a tuple, an ndarray NHWC and a torch tensor NCHW are batches.

    >>> items, join = split_batch(np.zeros((2, 8, 8, 3), np.uint8))
    >>> len(items), join(items).shape
    (2, (2, 8, 8, 3))
    """
    if isinstance(image, list):
        return image[:], list
    if isinstance(image, tuple):
        return list(image), tuple
    if isinstance(image, np.ndarray) and image.ndim == 4:
        return list(image), lambda items: np.stack(items) if items else image.copy()
    if is_tensor(image) and image.ndim == 4:
        stack = sys.modules["torch"].stack
        return list(image.unbind(0)), lambda items: stack(items) if items else image.detach().clone()
    return None


def _open_array(array: Array) -> Picture:
    """Open HxW, HxWx1, HxWx3 or HxWx4."""
    if array.ndim == 4:
        raise ImageError("a 4-D array is a batch of pictures - pass one picture at a time here")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"an array of shape {array.shape} is not a picture - "
            "pass HxW, HxWx1, HxWx3 (RGB) or HxWx4 (RGBA), channels last"
        )
    if array.size == 0:
        raise ImageError(f"an array of shape {array.shape} holds no pixels - pass at least one")
    source = np.ascontiguousarray(array).view(np.ndarray)
    source.flags.writeable = False  # it may be the caller's own memory
    inner = _from_channels(source)
    back = inner._rebuild

    def rebuild(pixels: Array) -> Array:
        marked: Array = back(pixels)
        return marked.copy() if np.may_share_memory(marked, source) else marked

    return replace(inner, _rebuild=rebuild)


def _from_channels(source: Array) -> Picture:
    """Open a C-contiguous array HxW or HxWxC; the last of 2 or 4 channels is alpha."""
    height, width = source.shape[:2]
    colors, alpha = canonical(source).reshape(height, width, -1), None
    if colors.shape[2] in (2, 4):
        colors, alpha = np.ascontiguousarray(colors[..., :-1]), colors[..., -1].copy()
    shape, dtype = source.shape, source.dtype
    # float32 cannot hold every float64: where nothing was changed, the input's own value comes back.
    finer = source if dtype.kind == "f" and dtype.itemsize > 4 else None

    def rebuild(pixels: Array) -> Array:
        marked = (pixels if alpha is None else np.dstack([pixels, alpha])).reshape(shape)
        if dtype.kind == "f":
            marked = in_unit_range(marked)
        if finer is not None:
            marked = np.where(marked == canonical(finer), in_unit_range(finer), marked)
        return marked.astype(dtype, copy=False)

    return Picture(colors, alpha, False, rebuild)


def _open_tensor(tensor: Any) -> Picture:
    """Open HxW or CHW."""
    torch: Any = sys.modules["torch"]
    shape, dtype, device = tuple(tensor.shape), tensor.dtype, tensor.device
    check_shape(shape)
    with codec(f"a {dtype} tensor on {device} is not readable", "pass a dense tensor that holds values"):
        values = tensor.detach().cpu()
        if values.is_floating_point() and dtype not in (torch.float16, torch.float32, torch.float64):
            values = values.float()  # NumPy has no bfloat16 and no float8; float32 holds both exactly
        planes = values.numpy()
    inner = _open_array(planes if planes.ndim == 2 else np.moveaxis(planes, 0, -1))
    back = inner._rebuild

    def rebuild(pixels: Array) -> Any:
        marked = back(pixels)
        planes = marked if marked.ndim == 2 else np.ascontiguousarray(np.moveaxis(marked, -1, 0))
        return torch.from_numpy(planes).to(device=device, dtype=dtype)

    return replace(inner, _rebuild=rebuild)


def _open_pil(image: Image.Image, read_only: bool) -> Picture:
    """Open a PIL image; the result keeps ``info`` and, where it had one, the EXIF orientation."""
    check_size(*image.size)
    with codec("the PIL image cannot be decoded", "its file is damaged or cut short: restore the original"):
        frames = _frames(image)
        if frames > 1 and not read_only:
            raise ImageError(f"the picture has {frames} frames - mark each frame by itself: frame.copy()")
        image.load()
    orientation = orientation_of(image)
    info = dict(image.info)
    inner = _with_color_key(_open_raster(image, read_only), info.get("transparency"))
    back = inner._rebuild
    if image.mode == "P":
        info.pop("transparency", None)  # the new palette brings its own

    def rebuild(pixels: Array) -> Image.Image:
        marked: Image.Image = back(pixels)
        marked.info = {**info, **marked.info}
        if orientation_of(marked) != orientation:  # set through getexif(), which leaves ``info`` as it was
            marked.getexif()[ExifTags.Base.Orientation] = orientation
        return marked

    return _upright(replace(inner, _rebuild=rebuild), orientation)


def _frames(image: Image.Image) -> int:
    if image.format == "MPO":  # its further pictures are views or gain maps of the one that is shown
        return 1
    with suppress(Exception):  # loaded, and its file closed: what it holds now is one frame
        return int(getattr(image, "n_frames", 1))
    return 1


def _open_file(data: bytes, read_only: bool) -> Picture:
    """Open an encoded file; ``rebuild`` gives the bytes of a file of the same format."""
    file = read_file(data)
    if file.refusal and not read_only:
        raise ImageError(file.refusal)
    if isinstance(file.raster, Image.Image):
        stored = _open_raster(file.raster, read_only)
    else:
        stored = _from_channels(file.raster)
    stored = _with_color_key(stored, file.color_key)
    back, write = stored._rebuild, file.write  # and neither of the two, whose pixels would stay while those are written

    def rebuild(pixels: Array) -> bytes:
        with codec("the picture cannot be written into a file like its own", "convert it to PNG first"):
            return write(back(pixels))

    lossy = stored.lossy or file.lossy
    return _upright(Picture(stored.pixels, stored.alpha, lossy, rebuild), file.orientation)


def _read_path(path: "os.PathLike[Any]") -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any os.PathLike, not only pathlib's
            data = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
    except OSError as error:
        raise ImageError(f"cannot read {os.fspath(path)}: {error.strerror} - check the path") from error
    return data


def _open_raster(image: Image.Image, read_only: bool) -> Picture:
    """Open a loaded PIL image as it is stored, without its ``info`` and orientation."""
    mode = image.mode
    if mode in ARRAY_MODES:
        inner = _from_channels(to_array(image))
        back = inner._rebuild
        return replace(inner, _rebuild=lambda pixels: to_pil(back(pixels), mode))
    if mode in CONVERTED_MODES:
        return _open_converted(image, CONVERTED_MODES[mode])
    if mode == "1":
        if read_only:
            return _open_raster(image.convert("L"), read_only)
        raise ImageError("a bilevel picture (mode 1) cannot carry an invisible mark - convert('L') it first")
    special = {"P": _open_palette, "CMYK": _open_cmyk, "I": _open_int32, "LAB": _open_lab, "RGBX": _open_rgbx}
    if mode not in special:
        raise ImageError(f"PIL mode {mode} is not accepted - convert it to one of {MODES}")
    return special[mode](image)


def _open_converted(image: Image.Image, via: str) -> Picture:
    """Open a mode that Pillow converts with rounding; pixels that do not change keep their stored values."""
    inner = _open_raster(image.convert(via), False)

    def rebuild(pixels: Array) -> Image.Image:
        marked: Image.Image = inner.rebuild(pixels).convert(image.mode)
        same = Image.fromarray((pixels == inner.pixels).all(axis=2))
        marked.paste(image, mask=same)
        return marked

    return Picture(inner.pixels, inner.alpha, True, rebuild)


def _open_palette(image: Image.Image) -> Picture:
    """Open palette colours as RGB(A); a new palette is fitted afterwards."""
    with codec("the palette cannot be read", "convert the picture to RGB first"):
        inner = _open_raster(image.convert("RGBA" if image.has_transparency_data else "RGB"), False)
    return Picture(inner.pixels, inner.alpha, True, partial(_quantise, alpha=inner.alpha))


def _quantise(rgb: Array, alpha: Array | None) -> Image.Image:
    """Return a palette image of ``rgb`` (H, W, 3) that has exactly ``alpha`` (H, W).

    Each level of alpha gets its share of the 256 entries. Floyd-Steinberg dithering keeps the low
    frequencies, and with them the mark, where the nearest colour alone would swallow it.
    """
    alpha = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha
    levels, counts = np.unique(alpha, return_counts=True)
    visible = max(1, counts[levels > 0].sum())
    picture, index = Image.fromarray(rgb), np.zeros(alpha.shape, np.uint8)
    palette: list[int] = []
    opacity = b""
    for level, count in zip(levels.tolist(), counts.tolist(), strict=True):
        share = 1 + (256 - len(levels)) * count // visible if level else 1
        inside = alpha == level
        fitted = Image.fromarray(rgb[inside][None]).quantize(share, Image.Quantize.MEDIANCUT)
        dithered = picture.quantize(palette=fitted, dither=Image.Dither.FLOYDSTEINBERG)
        colors = fitted.getpalette() or []
        index[inside] = np.asarray(dithered)[inside] + len(opacity)
        palette += colors
        opacity += bytes([level]) * (len(colors) // 3)
    marked = Image.fromarray(index)
    marked.putpalette(palette)
    if min(opacity) < 255:
        binary = opacity.count(0) == 1 and set(opacity) <= {0, 255}
        marked.info["transparency"] = opacity.index(0) if binary else opacity
    return marked


def _open_cmyk(image: Image.Image) -> Picture:
    """Open ink as light, R = (255 - C)(255 - K) / 255; K stays, and where it is full so does all."""
    planes = to_array(image)

    def paper(rows: slice) -> Array:
        return 255 - planes[rows, :, 3:].astype(np.uint16)

    def seen(rows: slice) -> Array:
        return (((255 - planes[rows, :, :3].astype(np.uint16)) * paper(rows) + 127) // 255).astype(np.uint8)

    def rebuild(pixels: Array) -> Image.Image:
        marked = planes.copy()
        for rows in strips(planes):
            change = (pixels[rows].astype(np.float32) - seen(rows)) * 255 / np.maximum(paper(rows), 1)
            ink = planes[rows, :, :3]
            marked[rows, :, :3] = np.where(paper(rows) > 0, np.clip(ink - np.rint(change), 0, 255), ink)
        return to_pil(marked, "CMYK")

    return Picture(np.concatenate([seen(rows) for rows in strips(planes)]), None, False, rebuild)


def _open_int32(image: Image.Image) -> Picture:
    """Open 32-bit integers that hold 16-bit gray, as Pillow gives them for some PGM and TIFF files."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            "a picture of mode I must hold 0 to 65535, "
            f"this one runs from {values.min()} to {values.max()} - scale it to 16 bits first"
        )
    inner = _from_channels(values.astype(np.uint16))
    return Picture(inner.pixels, None, False, lambda pixels: Image.fromarray(inner.rebuild(pixels).astype(np.int32)))


def _open_lab(image: Image.Image) -> Picture:
    """Open the lightness of Lab as gray; a and b stay."""
    lightness, a, b = image.split()
    inner = _open_raster(lightness, False)
    return Picture(inner.pixels, None, False, lambda pixels: Image.merge("LAB", (inner.rebuild(pixels), a, b)))


def _open_rgbx(image: Image.Image) -> Picture:
    """Open RGB with a padding byte, which is kept but is not alpha."""
    planes = np.array(image)

    def rebuild(pixels: Array) -> Image.Image:
        return to_pil(np.concatenate([pixels, planes[..., 3:]], axis=2), "RGBX")

    return Picture(np.ascontiguousarray(planes[..., :3]), None, False, rebuild)


def _with_color_key(stored: Picture, key: Any) -> Picture:
    """Turn the one transparent colour of gray or RGB pixels into alpha.

    After marking, transparent pixels get that colour back, and any other pixel that fell on it moves off by
    one.
    """
    if stored.alpha is not None or not isinstance(key, int | tuple) or stored.pixels.dtype.kind != "u":
        return stored
    color = np.atleast_1d(key)
    if len(color) != stored.pixels.shape[2]:
        return stored
    clear = (stored.pixels == color).all(axis=2)
    top = np.iinfo(stored.pixels.dtype).max
    back = stored._rebuild

    def rebuild(pixels: Array) -> Any:
        marked = np.where(clear[..., None], color.astype(pixels.dtype), pixels)
        marked[(marked == color).all(axis=2) & ~clear] ^= 1
        return back(marked)

    alpha = np.where(clear, 0, top).astype(stored.pixels.dtype)
    return replace(stored, alpha=alpha, _rebuild=rebuild)


def _upright(stored: Picture, orientation: int) -> Picture:
    """Turn a stored picture upright; ``rebuild`` turns it back."""
    if orientation not in UPRIGHT:
        return stored
    back = INVERSE.get(orientation, orientation)
    alpha = None if stored.alpha is None else _turn(stored.alpha, orientation)
    pixels = _turn(stored.pixels, orientation)
    rebuild = stored._rebuild
    return Picture(pixels, alpha, stored.lossy, lambda marked: rebuild(_turn(marked, back)))


def _turn(array: Array, orientation: int) -> Array:
    swap, rows, columns = UPRIGHT[orientation]
    turned = array.swapaxes(0, 1) if swap else array
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])
