"""``markai doctor``: whether this installation does what it should."""

import io
import json
import os
import platform
import stat
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from markai.cli.common import KEY_VARIABLE, json_option, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGES = ("numpy", "scipy", "pillow", "cryptography")
OPTIONAL = {
    "c2pa": ("c2pa", "C2PA manifests"),
    "cv2": ("deep", "16-bit colour files"),
    "onnxruntime": ("onnx", "the learned method"),
    "torch": ("torch", "the learned method and tensors"),
}
CODECS = {
    "webp": "WebP",
    "avif": "AVIF",
    "jpg": "JPEG",
    "jpg_2000": "JPEG 2000",
    "libtiff": "compressed TIFF",
}
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
PAYLOAD = b"doctor"
PIPE_WIDTH = 160  # rather than Rich's 80, so that commands to copy stay in one line


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; ``advice`` says what to do where ``status`` is not "ok"."""

    name: str
    status: str
    value: str
    advice: str = ""


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this installation.

    Looks at versions, compiled kernels, codecs, optional packages and the key file, tests whether a mark
    survives JPEG, and takes the time of one picture.

    Exit code 0: all is well; 2: there is a problem, and what to do about it.
    """
    checks = [check for name, look in CHECKS.items() for check in examine(name, look)]
    healthy = all(check.status != "problem" for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        show_table(checks)
    ctx.exit(0 if healthy else 2)


def examine(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    """Return what a check says; one that fails, however it fails, is a finding."""
    try:
        return look()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        return [Check(name, "problem", problem, "pip install --force-reinstall markai")]


def show_table(checks: list[Check]) -> None:
    """Print the checks for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "", "found", "what to do", box=box.SIMPLE_HEAD)
    for check in checks:
        status = Text(check.status, STYLES[check.status])
        table.add_row(check.name, status, Text(check.value), Text(check.advice))
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(width=width).print(table)


def versions() -> list[Check]:
    """Look at the versions of what markai needs."""
    from markai import __version__

    held = {"markai": __version__, "python": f"{platform.python_version()} on {platform.machine()}"}
    return [Check(name, "ok", found) for name, found in (held | {name: version(name) for name in PACKAGES}).items()]


def kernels() -> list[Check]:
    """Look at whether the compiled kernels compute what their reference computes."""
    import numpy as np

    from markai._kernels import _native, mersenne_reference, polar_reference, reference, text_reference

    oracles = reference, polar_reference, text_reference, mersenne_reference
    wrong = []
    for name, arguments in kernel_samples().items():
        oracle = next(module for module in oracles if hasattr(module, name))
        pairs = zip(*(_outcome(getattr(half, name), arguments) for half in (_native, oracle)), strict=True)
        # Float32 sums in another order; on this sample they differ by 2e-5 at most.
        if not all(np.allclose(ours, theirs, rtol=1e-4, atol=1e-3) for ours, theirs in pairs):
            wrong.append(name)
    if wrong:
        advice = "rebuild: pip install --force-reinstall --no-cache-dir markai"
        return [Check("kernels", "problem", f"not as the reference: {', '.join(wrong)}", advice)]
    if os.environ.get("MARKAI_KERNELS") == "reference":
        return [Check("kernels", "note", "compiled ones switched off", "unset MARKAI_KERNELS to be fast")]
    return [Check("kernels", "ok", "compiled, as the reference")]


def kernel_samples() -> dict[str, tuple[Any, ...]]:
    """Return small arguments for every kernel."""
    import numpy as np

    rng = np.random.default_rng(1)
    pixels = sample_picture(64)
    plane = rng.normal(128, 20, (32, 40)).astype(np.float32)
    target = rng.normal(0, 1, plane.shape).astype(np.float32)
    frozen = (np.arange(64) < 32).astype(np.uint8)
    turn = np.exp(1j * rng.random(9)).astype(np.complex64)
    symbol = rng.integers(0, 5, (9, 2))
    words = rng.integers(0, 2**32, (4, 8), dtype=np.uint32)
    logits, delta = target[:4].copy(), np.array([2, 0, -1, 3], np.float32)
    return {
        "cell_means": (pixels, 4),
        "cell_means_and_spread": (pixels, 4),
        "add_cells": (pixels, target[:16, :16].copy(), 4),
        "whiten": (plane,),
        "pull": (plane, target, 8.0),
        "smooth": (plane, 3),
        "least_neighbour": (plane,),
        "neighbour_products": (target,),
        "fit_change": (target, 2.0, plane, np.abs(target)),
        "gather_symbols": (turn[None], turn, symbol, target[:9, :2].copy(), 5),
        "scatter_symbols": (target, turn, symbol, target[:9, :2].copy()),
        "warp": (plane, (30 * rng.random((3, 3, 2))).astype(np.float32), 8, 128.0),
        "lattice_scores": (
            plane[None],
            9 * np.eye(2, dtype=np.float32)[None, None],
            np.eye(2, dtype=np.float32),
            40.0,
            40.0,
        ),
        "strongest_shifts": (
            rng.standard_normal((2, 40, 2)).astype(np.float32),
            np.stack([rng.integers(-20, 20, 40), rng.integers(0, 20, 40)], axis=1).astype(np.int32),
            rng.integers(0, 2, 40).astype(np.int32),
            2,
            1,
        ),
        "polar_encode": (rng.integers(0, 2, 64, dtype=np.uint8),),
        "polar_list_decode": (rng.normal(0, 4, 64).astype(np.float32), frozen, 8),
        "context_states": (np.array([1, 2], np.uint64), words[:, :3].copy()),
        "token_words": (words[:, :4].copy(), words[:, 4].copy(), words[:, 5].copy()),
        "lane_words": (words[:, :4].copy(), words[:, 4].copy(), 5, 21),
        "self_words": (words.reshape(4, 2, 4), words[:, 4].copy(), words[:, 5].copy()),
        "vocabulary_words": (words[:, :4].copy(), words[:, 4].copy(), 37),
        "add_bias": (logits, words[:, :4].copy(), words[:, 4].copy(), 2**31, delta),
        "add_bias_self": (logits, words.reshape(4, 2, 4), words[:, 4].copy(), 2**15, delta),
        "gumbel_choice": (logits, words[:, :4].copy(), words[:, 4].copy()),
        "randperm": (1, 700),
        "randperm_ranks": (words[:, 0].copy(), words[:, 1] % np.uint32(700), 700, 500),
    }


def _outcome(kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    # What a kernel returns, or, of one that returns nothing, what it makes of its first argument.
    given = deepcopy(arguments)
    result = kernel(*given)
    if result is None:
        return given[:1]
    return result if isinstance(result, tuple) else (result,)


def codecs() -> list[Check]:
    """Look at which formats Pillow was built with."""
    from PIL import features

    missing = [name for codec, name in CODECS.items() if not features.check(codec)]
    if missing:
        advice = "pip install --force-reinstall --only-binary=:all: pillow"
        return [Check("formats", "problem", f"Pillow lacks {', '.join(missing)}", advice)]
    return [Check("formats", "ok", ", ".join(CODECS.values()))]


def extras() -> list[Check]:
    """Look for optional packages without importing them."""
    return [
        Check(module, "ok", "installed")
        if find_spec(module)
        else Check(module, "note", "not installed", f"for {purpose}: pip install 'markai[{extra}]'")
        for module, (extra, purpose) in OPTIONAL.items()
    ]


def key_files() -> list[Check]:
    """Look at the key files that the environment names."""
    paths = [Path(path) for path in os.environ.get(KEY_VARIABLE, "").split(os.pathsep) if path]
    if not paths:
        advice = f"optional: export {KEY_VARIABLE}=FILE instead of passing --key FILE"
        return [Check("key file", "note", f"{KEY_VARIABLE} is not set", advice)]
    return [_key_file(path) for path in paths]


def _key_file(path: Path) -> Check:
    from markai.errors import KeyFileError
    from markai.keys import Key

    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        key = Key.load(path)
    except (KeyFileError, OSError) as error:
        return Check("key file", "problem", str(error), f"set {KEY_VARIABLE} to a file that markai keygen made")
    if mode & 0o077:
        return Check("key file", "problem", f"{shown(path)} has mode {mode:04o}", f"chmod 600 {shown(path)}")
    return Check("key file", "ok", f"{shown(path)}, key {key.id}")


def self_test() -> list[Check]:
    """Look at whether a mark survives JPEG, and an unmarked picture stays unmarked."""
    from PIL import Image

    import markai

    key, picture = markai.Key.generate(), sample_picture(512)
    file = io.BytesIO()
    Image.fromarray(markai.embed(picture, key, payload=PAYLOAD)).save(file, "JPEG", quality=70)
    found, chance = markai.detect(file.getvalue(), key), markai.detect(picture, key)
    if found.payload != PAYLOAD or chance:
        seen = f"p={found.p_value:.2g} with the mark, {chance.p_value:.2g} without"
        return [Check("self-test", "problem", seen, "report this, with the output of markai doctor --json")]
    return [Check("self-test", "ok", f"mark, JPEG 70, detect: p={found.p_value:.2g}")]


def timing() -> list[Check]:
    """Take the time of one picture; the self-test before it has loaded what there is to load."""
    import markai

    key, picture = markai.Key.generate(), sample_picture(1024)
    start = time.perf_counter()
    marked = markai.embed(picture, key, payload=PAYLOAD)
    middle = time.perf_counter()
    markai.detect(marked, key)
    embedding, detection = 1000 * (middle - start), 1000 * (time.perf_counter() - middle)
    return [Check("1024x1024", "ok", f"embed {embedding:.0f} ms, detect {detection:.0f} ms")]


def sample_picture(size: int) -> "NDArray[np.uint8]":
    """Return a picture with slopes, edges and noise."""
    import numpy as np

    rng = np.random.default_rng(size)
    rows, columns = np.mgrid[:size, :size] / size
    waves = 40 * np.sin(9 * rows + 4 * columns) + 30 * (np.hypot(rows - 0.5, columns - 0.4) < 0.3)
    grain = rng.normal(0, 5, (size, size, 3))
    values: NDArray[np.float64] = np.clip(waves[..., None] + [120, 110, 100] + grain, 0, 255)
    return values.astype(np.uint8)


CHECKS: dict[str, Callable[[], list[Check]]] = {
    "versions": versions,
    "kernels": kernels,
    "formats": codecs,
    "extras": extras,
    "key file": key_files,
    "self-test": self_test,
    "timing": timing,
}
