"""``markai.embed`` and ``markai.detect``: every kind of picture in, the same kind out."""

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from markai import image as pictures
from markai import watermarks
from markai.detection import Detection, surest
from markai.errors import CapacityError, KeyFileError, MethodError, PayloadError
from markai.keys import Key, KeyRing
from markai.stats import corrected

DEFAULT_METHOD = "dwt-dct"
STRENGTHS = (0.1, 4.0)


def embed(
    image: Any,
    key: Key,
    payload: bytes | Sequence[bytes] = b"",
    method: str = DEFAULT_METHOD,
    strength: float = 1.0,
    threads: int = 1,
) -> Any:
    """Return the picture with an invisible mark that carries ``payload``; the input is never changed.

    ``image`` is a PIL image, an array (HxW, HxWx3, HxWx4; uint8, uint16 or float in [0, 1]; RGB), a torch tensor (CHW
    or NCHW), or the bytes of an encoded file; the same type, shape, dtype and mode come back, with alpha, ICC profile,
    EXIF and bit depth kept. A list, or a leading batch axis, gives as many results; ``payload`` is then one for all,
    or one per item. ``payload`` is 0 to 16 bytes, empty for presence only. ``method`` is ``"dwt-dct"``, ``"learned"``
    (extra ``onnx`` or ``torch``), ``"both"`` of them within one loudness, ``"auto"`` (the learned one where it can run,
    else dwt-dct), or another package's; detection finds the mark of any. ``strength`` scales the mark (0.1 to 4;
    what could not be read back with a margin, below about 0.4 on most pictures, is refused). ``threads`` share the
    work on each picture where the method can, 0 for one per core; the result is the same bit by bit. It pays for large
    pictures; many pictures are faster in as many threads of the caller. A tensor on a GPU is marked there, all of a
    batch together, where the method can, as ``dwt-dct`` does; of the pixels only a few sums are copied to the host.

    >>> import numpy
    >>> key, picture = Key(bytes(32)), numpy.full((300, 400, 3), 128, numpy.uint8)
    >>> marked = embed(picture, key, payload=b"acme:42")
    >>> marked.shape, marked.dtype, detect(marked, key).payload
    ((300, 400, 3), dtype('uint8'), b'acme:42')

    Raises:
        ImageError: if the picture cannot be read.
        CapacityError: if it cannot carry the mark; it is never returned unmarked.
        KeyFileError: if ``key`` is not a markai.Key.
        PayloadError: if a payload is not bytes, longer than 16, or there is not one per item.
        MethodError: if there is no such method, or the strength or the number of threads is out of range.
    """
    threads = _number_of(threads)
    if not STRENGTHS[0] <= strength <= STRENGTHS[1]:
        raise MethodError(
            f"strength {strength} is out of range - choose {STRENGTHS[0]} to {STRENGTHS[1]}, 1 is the default"
        )
    if not isinstance(key, Key):
        raise KeyFileError(f"a mark is made with one markai.Key, not {type(key).__name__} - markai.Key.load(path)")
    strength = float(strength)  # a NumPy scalar would make doubles of the planes that it scales
    batch = pictures.split_batch(image)
    if not isinstance(payload, bytes if batch is None else bytes | list | tuple):
        raise PayloadError(f"a payload is bytes, not {type(payload).__name__} - encode text with .encode()")
    if batch is None:
        return _embed_one(image, key, payload, method, strength, threads)
    items, join = batch
    payloads = [payload] * len(items) if isinstance(payload, bytes) else list(payload)
    if len(payloads) != len(items):
        raise PayloadError(f"{len(items)} pictures but {len(payloads)} payloads - give one, or one per picture")
    if items and (mark := _tensor_mark(image, method)):
        return _embed_tensor(image, key, payloads, mark, strength)
    pairs = zip(items, payloads, strict=True)
    return join([_embed_one(item, key, each, method, strength, threads) for item, each in pairs])


def detect(
    image: Any,
    key: Key | KeyRing,
    fpr: float = 1e-6,
    method: str | None = None,
    threads: int = 1,
    tokenizer: Any = None,
) -> Any:
    """Return a :class:`Detection` that says whether a mark of ``key`` is there, and what it carries.

    ``image`` is anything that :func:`embed` takes, or a path (``pathlib.Path``); a batch gives a list. A ``str`` is a
    text, read as the tokens of its model's ``tokenizer`` (a ``tokenizers.Tokenizer`` or its file, one of transformers,
    or a function to ids) by :mod:`markai.text`. ``fpr`` is the
    false-positive rate that the answer keeps: ``found.detected`` is ``found.p_value <= fpr``, over the secret key and
    after correction for everything tried. ``method=None`` tries every installed method
    that knows keys and can run, ``"both"`` weighs the two marks of a picture together. ``threads`` is as in
    :func:`embed`.

    >>> import numpy
    >>> found = detect(numpy.zeros((300, 300), numpy.uint8), Key(bytes(32)))
    >>> bool(found), found.payload
    (False, None)

    Raises:
        ImageError: if the picture cannot be read.
        MethodError: if there is no such method, the rate is not between 0 and 1, or the number of threads is negative.
    """
    threads = _number_of(threads)
    if isinstance(image, str):
        from markai.text.search import search

        return search(image, key, tokenizer, fpr, method)
    return _over_batch(image, fpr, lambda item: _detect_one(item, KeyRing.of(key), fpr, method, threads))


def detect_all(image: Any, key: Key | KeyRing, fpr: float = 1e-6, method: str | None = None, threads: int = 1) -> Any:
    """Return a list of one :class:`Detection` per mark in the picture, the surest first; empty if there is none.

    For collages and pages: beside the whole picture, windows of all sizes are searched, so that each of several marked
    pictures is found with its own payload, geometry and coverage, also where it is small or its cells are finer. A
    picture marked under two keys of a ring gives two. One mark is reported once; the same payload twice where two
    pictures carry it, or two cuttings of one picture whose tiles do not line up.

    Takes what :func:`detect` takes; a batch gives a list of lists. ``fpr`` is kept by the list as a whole: over the
    secret keys, it is the chance that anything is reported from a picture that none of them marked. Each p-value is
    corrected for everything that was tried, in every window and under every key. A picture of one megapixel takes
    about a second, one of twelve three.

    >>> import numpy
    >>> key, page = Key(bytes(32)), numpy.full((320, 700, 3), 128, numpy.uint8)
    >>> for x, payload in [(0, b"left"), (380, b"right")]:
    ...     page[:, x : x + 320] = embed(page[:, x : x + 320], key, payload)
    >>> sorted((found.payload, round(found.coverage.share, 1)) for found in detect_all(page, key))
    [(b'left', 0.5), (b'right', 0.5)]

    Raises:
        ImageError: if the picture cannot be read.
        MethodError: if there is no such method, the rate is not between 0 and 1, or the number of threads is negative.
    """
    threads = _number_of(threads)
    return _over_batch(image, fpr, lambda item: _detect_every(item, KeyRing.of(key), fpr, method, threads))


def _over_batch(image: Any, fpr: float, detect_one: Callable[[Any], Any]) -> Any:
    if not 0 < fpr < 1:
        raise MethodError(f"fpr {fpr} is not a rate - choose a number between 0 and 1, such as 1e-6")
    if isinstance(image, str):
        raise MethodError("a str is a text, and this is for pictures - for a file pass pathlib.Path(...) or its bytes")
    batch = None if isinstance(image, os.PathLike) else pictures.split_batch(image)
    return detect_one(image) if batch is None else [detect_one(item) for item in batch[0]]


def _number_of(threads: int) -> int:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 0:
        raise MethodError(f"threads={threads!r} is not a number of threads - give 1 or more, or 0 for one per core")
    return threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _sharing(work: Callable[..., Any], threads: int) -> dict[str, int]:
    """Return what tells a method's function how many threads to use; those of other packages may know none."""
    return {"threads": threads} if threads > 1 and "threads" in inspect.signature(work).parameters else {}


def _tensor_mark(image: Any, method: str) -> watermarks.TensorMark | None:
    """Return the method if it is to mark this where it lies, without a copy on the host."""
    mark = watermarks.load(method)
    return mark if pictures.stays_on_device(image) and isinstance(mark, watermarks.TensorMark) else None


def _embed_tensor(
    tensor: Any, key: Key, payloads: Sequence[bytes], mark: watermarks.TensorMark, strength: float
) -> Any:
    return pictures.edit_tensor(
        tensor, lambda pixels, alpha: mark.embed_tensors(pixels, key, payloads, strength, alpha)
    )


def _embed_one(image: Any, key: Key, payload: bytes, method: str, strength: float, threads: int) -> Any:
    if tensors := _tensor_mark(image, method):
        return _embed_tensor(image, key, [payload], tensors, strength)
    mark = watermarks.load(method)
    sharing = _sharing(mark.embed, threads)
    result, lossy = pictures.edit(
        image, lambda pixels, alpha: mark.embed(pixels, key, payload, strength, alpha, **sharing)
    )
    if lossy and _detect_one(result, KeyRing([key]), 1e-6, method, threads).payload != payload:
        raise CapacityError(
            "the mark does not survive being written back in this format and quality - use a lossless format, a higher "
            "quality, or a greater strength"
        )
    return result


def _tried(method: str | None) -> list[str]:
    return watermarks.keyed_names() if method in (None, watermarks.AUTO) else [str(method)]


def _looks(image: Any, names: list[str], threads: int) -> Iterator[tuple[watermarks.Watermark, Any]]:
    """Yield every method and what it sees. The host gets a copy for those alone that need one."""
    pixels = None
    for name in names:
        if tensors := _tensor_mark(image, name):
            yield tensors, tensors.look_tensor(pictures.open_tensor(image)[0][0])
            continue
        mark = watermarks.load(name)
        pixels = pictures.open_picture(image, read_only=True).pixels if pixels is None else pixels
        yield mark, mark.look(pixels, **_sharing(mark.look, threads))


def _detect_one(image: Any, ring: KeyRing, fpr: float, method: str | None, threads: int) -> Detection:
    """Look once per method, then try every key; the best answer is corrected for all that was tried."""
    names = _tried(method)
    shares = len(names) * len(ring)
    tried: list[Detection] = []
    for mark, look in _looks(image, names, threads):
        tried += [mark.find(look, key, fpr / shares) for key in ring]
        if any(found and found.payload is not None for found in tried):
            break  # no other method can add to it; all of them had their share of the rate nevertheless
    best = surest(tried)
    log10_p = corrected(best.log10_p_value, shares)
    found = replace(best, log10_p_value=log10_p, fpr=fpr, tests=sum(each.tests for each in tried))
    return found if found else replace(found, payload=None, method=None, key_id=None, geometry=None, coverage=None)


def _detect_every(image: Any, ring: KeyRing, fpr: float, method: str | None, threads: int) -> list[Detection]:
    """Return every mark of every key and method; each had its share of the rate."""
    names = _tried(method)
    shares = len(names) * len(ring)
    every: list[Detection] = []
    for mark, look in _looks(image, names, threads):
        for key in ring:
            if isinstance(mark, watermarks.CollageMark):
                every += mark.find_all(look, key, fpr / shares)
            elif found := mark.find(look, key, fpr / shares):
                every.append(found)
    every = [
        replace(found, log10_p_value=corrected(found.log10_p_value, shares), fpr=fpr, tests=found.tests * shares)
        for found in every
    ]
    return sorted((found for found in every if found), key=lambda found: found.log10_p_value)
