"""What several tests share: a key, a photograph, synthetic pictures that are hard to mark or to read, a PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from markai import Key

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "data" / "lighthouse.png"
SHARED_DATA = ROOT.parent / "shared" / "data"
SIDE = 384

Pixels = NDArray[np.uint8]


def _rgb(values: NDArray[np.floating] | NDArray[np.integer]) -> Pixels:
    gray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def _grid() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return rows, columns


def flat(level: int) -> Pixels:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def gradient() -> Pixels:
    return _rgb(_grid()[1] * (255 / (SIDE - 1)))


def checkerboard() -> Pixels:
    rows, columns = _grid()
    return _rgb(((rows // 16 + columns // 16) % 2) * 200 + 28)


def halftone() -> Pixels:
    """Black dots on white, on a square grid, growing from left to right."""
    rows, columns = _grid()
    distance = np.hypot(rows % 8 - 3.5, columns % 8 - 3.5)
    return _rgb(np.where(distance < 1 + 3 * columns / SIDE, 0, 255))


def text() -> Pixels:
    page = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(page)
    words = "the quick brown fox jumps over the lazy dog "
    for line in range(0, SIDE, 14):
        draw.text((8, line), (words * 3)[line % 40 :][:60], fill="black")
    return np.asarray(page)


def noise() -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def smooth_noise() -> Pixels:
    """Noise with the spectrum of a photograph: 1/f in amplitude."""
    spectrum = np.fft.fft2(np.random.default_rng(6).normal(size=(SIDE, SIDE)))
    frequency = np.fft.fftfreq(SIDE)
    plane = np.fft.ifft2(spectrum / np.maximum(np.hypot(frequency[:, None], frequency), 1 / SIDE)).real
    return _rgb(128 + 40 * plane / plane.std())


def saturated() -> Pixels:
    """A white page with a little gray in a corner."""
    page = flat(255)
    page[-40:, -60:] = 180
    return page


def stripes() -> Pixels:
    """One sine, eight periods per tile of the mark: all of its energy is at a single point of the lattice."""
    return _rgb(128 + 90 * np.sin(2 * np.pi * _grid()[1] / 16))


def tiles() -> Pixels:
    """The same 128 pixels over and over: the period that the mark itself has."""
    patch = np.random.default_rng(8).integers(60, 200, (32, 32))
    return _rgb(np.tile(np.kron(patch, np.ones((4, 4))), (SIDE // 128, SIDE // 128)))


def lines() -> Pixels:
    """Thin rules on white, as in a form or a spreadsheet."""
    page = flat(255)
    page[::24] = 90
    page[:, ::48] = 90
    return page


SYNTHETIC: dict[str, Callable[[], Pixels]] = {
    "black": lambda: flat(0),
    "gray": lambda: flat(128),
    "white": lambda: flat(255),
    "gradient": gradient,
    "checkerboard": checkerboard,
    "halftone": halftone,
    "text": text,
    "noise": noise,
    "smooth-noise": smooth_noise,
    "saturated": saturated,
    "stripes": stripes,
    "tiles": tiles,
    "lines": lines,
}


@pytest.fixture(scope="session")
def key() -> Key:
    return Key(bytes(range(32)))


@pytest.fixture(scope="session")
def photo_path() -> Path:
    """A Kodak photograph that ships with the repository."""
    return PHOTO


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """That photograph, (512, 768, 3) uint8, read-only."""
    with Image.open(PHOTO) as image:
        pixels = np.array(image.convert("RGB"))
    pixels.flags.writeable = False
    return pixels


@pytest.fixture(scope="session")
def crop(photo: Pixels) -> Pixels:
    """320 x 320 of the photograph, with sky and detail, read-only: enough for a mark, and quick."""
    pixels = photo[160:480, 400:720].copy()
    pixels.flags.writeable = False
    return pixels


@pytest.fixture(scope="session")
def synthetics() -> dict[str, Pixels]:
    """Every synthetic picture by name."""
    return {name: make() for name, make in SYNTHETIC.items()}


@pytest.fixture(params=SYNTHETIC)
def synthetic(request: pytest.FixtureRequest) -> Pixels:
    """One synthetic picture after another."""
    return SYNTHETIC[request.param]()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The larger collection beside the repository, where there is one."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL of our own: Debian's package, a throw-away cluster, a local socket.

    It refuses to run as root, so root runs it as the user whom the package makes.
    """
    found = [shutil.which("initdb") or "", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    tools = Path(next((each for each in reversed(found) if each), "")).parent
    if not (tools / "initdb").exists():
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="markai-postgres-"))
    secret = folder / "password"
    secret.write_text("se@cret")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")
        shutil.chown(secret, "postgres")

    def run(tool: str, *arguments: str) -> None:
        command = [*as_user, str(tools / tool), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=folder)

    try:
        run(
            "initdb",
            "-U",
            "markai",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        )
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-w", "-s", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://markai:se%40cret@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-m", "immediate", "-s", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """That URL, with nothing in the database."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return postgres
