"""Finding the mark wherever the picture was brought, and saying where: the estimator's parts, then the whole."""

import hashlib
import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.ndimage import map_coordinates

from markai import Key
from markai._kernels import cell_means, whiten
from markai.attacks import apply
from markai.watermarks import load
from markai.watermarks.align import disagreement, misfit
from markai.watermarks.carriers import FX, FY, TILE, carriers_for
from markai.watermarks.geometry import TURNS, VIEWS, Views
from markai.watermarks.lattice import of_the_parts, of_the_whole, reduced, upright
from markai.watermarks.sync import find_peaks, spectrum
from markai.watermarks.warps import SPACING, Pyramid, Warp

PAYLOAD = b"acme:42"
OTHER = Key(bytes(32))
MARK = load("dwt-dct")


def find(pixels, key):
    return MARK.find(MARK.look(np.ascontiguousarray(pixels)), key)


@pytest.fixture(scope="module")
def marked(photo, key):
    pixels = MARK.embed(photo, key, PAYLOAD)
    pixels.flags.writeable = False
    return pixels


def apart(value, expected, period):
    """The distance on a circle."""
    return abs((value - expected + period / 2) % period - period / 2)


# What was done is undone, and told

KNOWN = {  # attack: rotation, horizontal scale, vertical scale, flipped
    "rotate:0.5": (0.5, 1, 1, False),
    "resize:0.99": (0, 0.99, 0.99, False),
    "resize:0.35+jpeg:80": (0, 0.35, 0.35, False),
    "rotate:2": (2, 1, 1, False),
    "rotate:-15": (-15, 1, 1, False),
    "rotate:45": (45, 1, 1, False),
    "rotate:90": (90, 1, 1, False),
    "rotate-expand:30": (30, 1, 1, False),
    "rotate-expand:180": (180, 1, 1, False),
    "mirror": (0, 1, 1, True),
    "flip": (180, 1, 1, True),
    "mirror+rotate-expand:20": (20, 1, 1, True),
    "resize:0.45": (0, 0.45, 0.45, False),
    "resize:0.8": (0, 0.8, 0.8, False),
    "resize:1.15": (0, 1.15, 1.15, False),
    "aspect:0.8": (0, 0.8, 1, False),
    "aspect:0.8+rotate-expand:90": (90, 0.8, 1, False),
    "rotate:5+crop:0.7+jpeg:70": (5, 1, 1, False),
    "rotate-expand:10+resize:0.7": (10, 0.7, 0.7, False),
    "crop:0.9+resize:0.7+jpeg:60": (0, 0.7, 0.7, False),
}


@pytest.mark.parametrize("attack", KNOWN)
def test_the_geometry_is_undone_and_told(marked, key, attack):
    rotation, across, down, flipped = KNOWN[attack]
    found = find(apply(attack, marked), key)
    assert found.payload == PAYLOAD
    assert apart(found.geometry.rotation, rotation, 360) < 0.2
    assert found.geometry.scale_x == pytest.approx(across, rel=0.005)
    assert found.geometry.scale_y == pytest.approx(down, rel=0.005)
    assert found.geometry.flipped == flipped


@pytest.mark.parametrize(
    "attack", ["shear:3", "shear:-8", "perspective:0.1", "perspective:0.2", "bend:0.01", "bend:0.02", "print-photo:0.5"]
)
def test_what_is_not_a_turn_or_a_scale_is_undone_too(marked, key, attack):
    assert find(apply(attack, marked, seed=2), key).payload == PAYLOAD


CORNERS = {  # of the window [40:500, 30:700], which of its corners is at the upper left: (x, y)
    "mirror": (lambda pixels: pixels[:, ::-1], (700, 40)),
    "flip": (lambda pixels: pixels[::-1], (30, 500)),
    "left": (lambda pixels: np.rot90(pixels), (700, 40)),
    "half": (lambda pixels: pixels[::-1, ::-1], (700, 500)),
    "right": (lambda pixels: np.rot90(pixels, -1), (30, 500)),
    "transposed": (lambda pixels: pixels.swapaxes(0, 1), (30, 40)),
}


@pytest.mark.parametrize("turn", CORNERS)
def test_the_offset_of_a_turned_window(marked, key, turn):
    function, corner = CORNERS[turn]
    found = find(function(marked[40:500, 30:700]), key)
    assert found.payload == PAYLOAD
    assert found.geometry.period == 128
    assert max(apart(*pair, 128) for pair in zip(found.geometry.offset, corner, strict=True)) <= 1


def test_the_offset_after_any_rotation(marked, key):
    angle = math.radians(17)
    found = find(apply("rotate:17", marked), key)
    centre = np.array(marked.shape[1::-1]) / 2
    back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corner = centre - back @ centre
    assert max(apart(*pair, 128) for pair in zip(found.geometry.offset, corner, strict=True)) <= 2


def test_a_mark_that_lies_where_it_lay_costs_no_search(marked, key):
    look = MARK.look(marked)
    found = MARK.find(look, key)
    assert found.payload == PAYLOAD
    assert not look._views._made
    turned = MARK.find(MARK.look(apply("rotate:7", marked)), key)
    assert turned.tests > found.tests


@pytest.mark.parametrize("size", [(641, 449), (333, 1279), (769, 513)])
def test_upright_pictures_of_odd_sizes_are_told_exactly(photo, key, size):
    """Cells and nodes do not fill such pictures; what is half a degree off is told there too."""
    pixels = np.asarray(Image.fromarray(photo).resize(size[::-1]))
    marked = MARK.embed(pixels, key, PAYLOAD)
    upright = find(marked, key).geometry
    assert (upright.scale_x, upright.scale_y) == pytest.approx((1, 1), abs=1e-9)
    assert upright.rotation == pytest.approx(0, abs=1e-9)
    assert find(apply("rotate:0.4", marked), key).geometry.rotation == pytest.approx(0.4, abs=0.1)


def test_one_search_serves_all_keys(marked, key):
    look = MARK.look(apply("rotate:7", marked))
    assert not MARK.find(look, OTHER)
    made = list(look._views._made)
    assert MARK.find(look, key).payload == PAYLOAD
    assert look._views._made == made


# The parts, where the answer is known


def repeated(shape, number, noise, seed):
    """A plane that shows one random tile at the cells ``number`` (h, w, 2), and noise."""
    rng = np.random.default_rng(seed)
    waves = np.zeros((TILE, TILE // 2 + 1), np.complex128)
    waves[FY, FX] = rng.standard_normal(len(FY)) + 1j * rng.standard_normal(len(FY))
    tile = np.fft.irfft2(waves)
    plane = map_coordinates(tile / tile.std(), number.reshape(-1, 2).T - 0.5, order=3, mode="grid-wrap").reshape(shape)
    return (128 + 4 * plane + noise * rng.standard_normal(shape)).astype(np.float32)


def numbers(shape, tile, bend):
    """The cell under every pixel of a homography about the centre; ``tile`` holds sides in pixels as columns."""
    z = np.stack(np.mgrid[: shape[0], : shape[1]], axis=2) + 0.5 - np.array(shape) / 2
    return z @ np.linalg.inv(tile / TILE).T / (1 + z @ bend)[..., None]


def turned(degrees, down, across, shear=0.0):
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return rotation @ np.array([[down, 0], [shear, across]])


@pytest.mark.parametrize(
    "tile",
    [turned(0, 70, 70), turned(11, 90, 90), turned(-37, 60, 60), turned(5, 110, 80), turned(3, 75, 75, 9)],
    ids=["upright", "turned", "far", "aspect", "shear"],
)
def test_the_lattice_of_a_repeated_tile(tile):
    shape = (400, 460)
    plane = repeated(shape, numbers(shape, tile, np.zeros(2)), 8, 1)
    best = of_the_whole(whiten(plane))[0]
    assert best.score > 20
    # The same lattice, and one basis in the other's terms is a symmetry of the square.
    between = np.linalg.solve(tile, reduced(best.tile))
    np.testing.assert_allclose(between, np.round(between), atol=0.01)
    assert abs(np.linalg.det(np.round(between))) == 1


@pytest.mark.parametrize("sides", [(), (76.0,)], ids=["from its parts", "nearly upright"])
def test_the_homography_of_a_repeated_tile(sides):
    shape, tile, bend = (440, 440), turned(8, 70, 70), np.array([0.04, -0.06]) / 220
    plane = repeated(shape, numbers(shape, tile, bend), 6, 2)
    best = of_the_parts(whiten(plane), sides)[0]
    expected = Warp.of(shape, tile / TILE, bend, np.array(shape) / 2)
    ours = best.warp(shape, 1.0)
    for point in np.array([[220.0, 220.0], [60.0, 60.0], [60.0, 380.0], [380.0, 60.0], [380.0, 380.0]]):
        np.testing.assert_allclose(upright(ours.at(point)[1]), upright(expected.at(point)[1]), atol=0.025)


def test_nothing_repeats_in_noise():
    plane = np.random.default_rng(3).normal(128, 20, (448, 448)).astype(np.float32)
    candidates = of_the_whole(whiten(plane)) + of_the_parts(whiten(plane), [91.0, 137.0])
    assert max(candidate.score for candidate in candidates) < 7


def test_tiles_that_disagree_are_told_how_far():
    shape = (12 * SPACING, 14 * SPACING)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    off = np.stack([2 * np.sin(np.pi * y / shape[0]), -1.5 * np.sin(np.pi * x / shape[1])], axis=2)
    plane = repeated(shape, np.stack([y, x], axis=2) - off, 4, 4)
    told = disagreement(whiten(plane), np.ones(shape, np.uint8))
    expected = np.pad(off, ((0, 1), (0, 1), (0, 0)), mode="edge")[::SPACING, ::SPACING]
    error = (told - expected)[1:-1, 1:-1]
    error -= error.mean((0, 1))  # where the tile begins is free
    assert np.abs(error).max() < 0.5
    assert np.sqrt((error**2).mean()) < 0.2


def test_a_known_tile_tells_an_affine_misfit():
    number = np.stack(np.mgrid[:256, :320], axis=2) + 0.5
    offset, slope = np.array([-0.6, -0.9]), np.array([[-0.006, 0.005], [0.004, 0.003]])
    tile = spectrum(whiten(repeated(number.shape[:2], number, 0, 4)))
    plane = whiten(repeated(number.shape[:2], number - offset - number @ slope, 4, 4))
    plane[:, :64] = 0  # as where a turned picture is black
    told, sloping = misfit(plane, tile)
    np.testing.assert_allclose(sloping, slope, atol=5e-4)
    np.testing.assert_allclose(told, offset, atol=0.12)
    for nothing in (np.zeros_like(plane), whiten(repeated(number.shape[:2], number, 4, 4))):
        np.testing.assert_array_equal(misfit(nothing, tile)[1], 0)


def test_every_turn_of_the_tile(photo):
    plane = whiten(cell_means(photo, 2))[:TILE, :TILE]
    index = np.stack(np.mgrid[:TILE, :TILE])
    assert len({turn.matrix.tobytes() for turn in TURNS}) == len(TURNS) == 8
    for turn in TURNS:
        y, x = np.einsum("ab,byx->ayx", turn.matrix.astype(int), index) % TILE
        expected = spectrum(np.ascontiguousarray(plane[y, x]))
        np.testing.assert_allclose(turn(spectrum(plane)), expected, atol=1e-3)


def test_an_upright_net_reads_the_cells(photo):
    picture = Pyramid(photo)
    cells, inside = Warp.of(picture.shape, np.eye(2) * 2, np.zeros(2), np.zeros(2)).read(picture)
    np.testing.assert_allclose(cells[:256, :384], cell_means(photo, 2), atol=1e-3)
    assert inside[:256, :384].all()
    assert not inside[256:].any()


def test_a_net_is_its_homography():
    cell, bend, centre = turned(20, 3, 2.5), np.array([3e-4, -2e-4]), np.array([250.0, 300.0])
    warp = Warp.of((500, 600), cell, bend, centre)
    origin, _ = warp.at(centre)
    for z in np.array([[0.0, 0.0], [90.0, -120.0], [-200.0, 150.0]]):
        number, _ = warp.at(centre + z)
        np.testing.assert_allclose(number - origin, np.linalg.solve(cell, z) / (1 + bend @ z), atol=0.6)
    by = np.zeros(warp.nodes.shape)
    by[..., 0] = 1.5
    np.testing.assert_allclose(warp.moved(by).at(centre)[0], origin - [1.5, 0], atol=0.05)


# The p-value, with the search on


def unmarked(photo, synthetics):
    rng = np.random.default_rng(5)
    tiles = np.tile(rng.integers(0, 256, (96, 96, 1), np.uint8), (5, 5, 3))
    return {
        "photo turned": apply("rotate:20", photo[:320, :320].copy()),
        "tiles turned": apply("rotate:9", tiles),
        "halftone": synthetics["halftone"],
        "another's mark, turned": apply("rotate-crop:12", MARK.embed(photo, OTHER, b"theirs")),
    }


def test_the_statistic_is_standard_normal_over_the_key_at_every_view(photo, synthetics):
    drawn = [carriers_for(Key(hashlib.sha256(b"view %d" % i).digest())) for i in range(300)]
    for name, pixels in unmarked(photo, synthetics).items():
        views = list(Views(Pyramid(pixels)))
        assert 0 < len(views) <= VIEWS
        for k, view in enumerate(views):
            seen = TURNS[k % 8](view.seen)
            aligned = np.array([seen[each.pilots] * each.pilot_phase.conj() for each in drawn])
            t = aligned.real.sum(axis=1) * np.sqrt(2 / (np.abs(aligned) ** 2).sum(axis=1))
            assert stats.kstest(t, "norm").pvalue > 0.001, (name, k)


def test_no_random_key_finds_a_mark_by_searching(photo, synthetics):
    p = []
    for name, pixels in unmarked(photo, synthetics).items():
        look = MARK.look(pixels)
        for i in range(5):
            found = MARK.find(look, Key(hashlib.sha256(f"{name} {i}".encode()).digest()))
            assert found.payload is None
            assert found.geometry is None
            p.append(found.p_value)
    assert min(p) > 1 / (100 * len(p))


def test_the_search_is_the_same_every_time(marked):
    first, again = (list(Views(Pyramid(apply("rotate:3", marked)))) for _ in range(2))
    assert len(first) == len(again)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.seen, other.seen)


@pytest.mark.parametrize("shape", [(96, 96, 3), (97, 2000, 1), (120, 160, 3), (300, 130, 3)])
def test_searching_small_and_oblong_pictures(shape):
    pixels = np.random.default_rng(6).integers(0, 256, shape, dtype=np.uint8)
    assert not find(pixels, OTHER)


def test_the_best_view_is_found_first(marked, key):
    """The whole picture's likeliest lattice is enough for what is affine: the others are for what is not."""
    view = next(iter(Views(Pyramid(apply("rotate:33", marked)))))
    scores = [find_peaks(turn(view.seen), carriers_for(key), 1)[0].score for turn in TURNS]
    assert max(scores) > 12
    assert sorted(scores)[-2] < 7
