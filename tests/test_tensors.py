"""dwt-dct in tensors: what it marks decodes like what the kernels mark, and only a few numbers go to the host."""

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import SYNTHETIC
from markai import Key, detect, detect_all, embed, image, image_tensors, watermarks
from markai import _kernels as kernels
from markai._kernels import reference
from markai.bench.pictures import Source
from markai.errors import CapacityError, ImageError, PayloadError
from markai.metrics import psnr
from markai.payload import CODE_BITS
from markai.watermarks import foreseen, informed
from markai.watermarks.carriers import RINGS, SYMBOLS, carriers_for, step_for
from markai.watermarks.readback import content_nonce
from markai.watermarks.sync import spectrum
from markai.watermarks.tensors import embedding, planes, tiles
from markai.watermarks.tensors import foreseen as views
from markai.watermarks.tensors import informed as rounds
from markai.watermarks.tiles import Tiles

MARK = watermarks.load("dwt-dct")
PAYLOAD = b"acme:42!"
CPU = torch.device("cpu")
EVERY_SIXTEENTH = slice(None, None, 16)  # of the pictures of the larger collection


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def on_device(monkeypatch):
    """What markai takes for a GPU is this CPU."""
    monkeypatch.setattr(image_tensors, "ON_HOST", {"meta"})


def tensor(pixels: np.ndarray, device: str = "cpu") -> Tensor:
    """(H, W, C) as (C, H, W)."""
    return torch.from_numpy(np.moveaxis(pixels, 2, 0).copy()).to(device)


def array(marked: Tensor) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(marked.cpu().numpy(), 0, 2))


def by_kernels(pixels: np.ndarray, key: Key, **options) -> np.ndarray | str:
    try:
        return MARK.embed(pixels, key, PAYLOAD, **options)
    except CapacityError as error:
        return str(error)


def by_tensors(pixels: np.ndarray, key: Key, alpha: np.ndarray | None = None, device: str = "cpu", **options):
    given = None if alpha is None else torch.from_numpy(alpha)[None, None].to(device)
    try:
        return array(embedding.embed(tensor(pixels, device)[None], key, [PAYLOAD], alpha=given, **options)[0])
    except CapacityError as error:
        return str(error)


def check_alike(pixels: np.ndarray, key: Key, device: str = "cpu", least: float = 0.999, **options) -> None:
    """Both mark it, and alike, or both refuse it."""
    expected, marked = by_kernels(pixels, key, **options), by_tensors(pixels, key, device=device, **options)
    if isinstance(expected, str):
        assert marked == expected
        return
    assert (marked.shape, marked.dtype) == (expected.shape, expected.dtype)
    ours, theirs = (each.astype(np.float64) - pixels for each in (marked, expected))
    assert np.vdot(ours, theirs) > least * np.sqrt(np.vdot(ours, ours) * np.vdot(theirs, theirs))
    if pixels.dtype == np.uint8:
        assert abs(psnr(pixels, marked) - psnr(pixels, expected)) < 0.05
    found, known = detect(marked, key), detect(expected, key)
    assert found.payload == known.payload == PAYLOAD
    assert found.log10_p_value == pytest.approx(known.log10_p_value, rel=0.02)


# The same mark


def test_a_photograph(photo, key):
    check_alike(photo, key)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_what_is_hard_to_mark(name, key):
    check_alike(SYNTHETIC[name](), key, least=0.99)


def test_the_larger_collection(shared_data, key):
    files = sorted(each for each in (shared_data / "eval").iterdir() if each.suffix != ".csv")[EVERY_SIXTEENTH]
    for file in files:
        pixels = Source(file.name, "", file).load()[:1300, :1300]
        if min(pixels.shape[:2]) >= 256:
            check_alike(np.ascontiguousarray(pixels), key)


@pytest.mark.parametrize("size", [(256, 256), (257, 391), (300, 511), (333, 320)])
def test_sizes_that_are_no_multiples(photo, key, size):
    check_alike(np.ascontiguousarray(photo[: size[0], 100 : 100 + size[1]]), key)


@pytest.mark.parametrize("side", [700, 1000, 1290])
def test_coarser_cells(photo, key, side):
    repeated = np.tile(photo, (3, 2, 1))[:side, : side + 37]
    assert step_for(*repeated.shape[:2]) > 2
    check_alike(np.ascontiguousarray(repeated), key)


@pytest.mark.parametrize("strength", [0.6, 1.7])
def test_strength(crop, key, strength):
    check_alike(crop, key, strength=strength)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_samples_than_bytes(crop, key, dtype, channels):
    top = 65535 if dtype == np.uint16 else 1
    check_alike((crop[..., :channels].astype(np.float64) / 255 * top).astype(dtype), key)


def test_one_channel_of_bytes(crop, key):
    check_alike(crop[..., :1].copy(), key)


@pytest.mark.parametrize("least", [0, 60, 255])
def test_alpha(photo, key, least):
    alpha = np.full(photo.shape[:2], least, np.uint8)
    alpha[:, :500] = 255
    check_alike(photo, key, alpha=alpha)


def test_what_cannot_be_seen_at_all(photo, key):
    check_alike(photo, key, alpha=np.zeros(photo.shape[:2], np.uint8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_keep_their_precision(crop, key, dtype):
    pictures = (tensor(crop)[None] / 255).to(dtype)
    before = pictures.clone()
    marked = embedding.embed(pictures, key, [PAYLOAD])
    assert (marked.dtype, marked.shape) == (dtype, pictures.shape)
    assert torch.equal(pictures, before)
    assert 0 <= marked.min() <= marked.max() <= 1
    assert detect(marked[0], key).payload == PAYLOAD
    by_the_cpu = embed(pictures, key, PAYLOAD)
    ours, theirs = (each.double().flatten() - pictures.double().flatten() for each in (marked, by_the_cpu))
    assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] > 0.999


@pytest.mark.parametrize("side", [256, 300, 511, 768])
def test_the_nonce_is_the_kernels(photo, key, side):
    """Bit by bit the sums that the key is asked with, and not only the nonce."""
    pixels = np.ascontiguousarray(photo[:side, :side])
    step = step_for(*pixels.shape[:2])
    cells = kernels.cell_means(pixels, step)
    ours = planes.cell_means(tensor(pixels)[None], step)
    np.testing.assert_array_equal(ours[0, 0].numpy(), cells)
    rows = np.linspace(0, len(cells), 9).astype(int)[:8]
    np.testing.assert_array_equal(embedding._strips(ours)[0].numpy(), np.add.reduceat(cells, rows, axis=0))
    assert embedding.Pictures.of(tensor(pixels)[None], None, key).nonces == [content_nonce(cells, key)]


# Batches


def test_a_batch_is_its_pictures_one_by_one(crop, key):
    """Of both kinds at once: photographs, and pages that are mostly white."""
    hosts = [crop, SYNTHETIC["lines"]()[:320, :320], crop[:, ::-1], SYNTHETIC["saturated"]()[:320, :320]]
    batch, payloads = torch.stack([tensor(each) for each in hosts]), [b"", b"two", b"third payload 16", b"fourth"]
    together = embedding.embed(batch, key, payloads)
    kinds = embedding.Pictures.of(batch, None, key).kinds
    assert set(kinds) == {(False, False), (True, False)}
    for host, payload, marked in zip(batch, payloads, together, strict=True):
        alone = embedding.embed(host[None], key, [payload])[0]
        assert (alone.int() - marked.int()).abs().max() <= 1
        assert (alone != marked).float().mean() < 1e-3
        assert detect(marked, key).payload == payload


def test_one_picture_that_cannot_be_marked_refuses_the_batch(crop, key):
    batch = torch.stack([tensor(crop), tensor(SYNTHETIC["tiles"]()[:320, :320])])
    with pytest.raises(CapacityError, match="no room for a mark"):
        embedding.embed(batch, key, [PAYLOAD, PAYLOAD])


def test_louder_pilots_are_tried(crop, key, monkeypatch):
    """What reads with the first gain only in the second picture."""
    answers, gains = iter([False, True, True]), []
    monkeypatch.setattr(embedding, "reads", lambda *_: next(answers))
    written = embedding._written

    def spied(pictures, *rest):
        gains.append((len(pictures.nonces), rest[-1]))
        return written(pictures, *rest)

    monkeypatch.setattr(embedding, "_written", spied)
    batch = torch.stack([tensor(crop), tensor(crop[::-1])])
    marked = embedding.embed(batch, key, [b"one", b"two"])
    assert gains == [(2, informed.PILOT_GAINS[0]), (1, informed.PILOT_GAINS[1])]
    assert [found.payload for found in detect(marked, key)] == [b"one", b"two"]


def test_a_refusal_says_what_would_fit(crop, key, monkeypatch):
    reads = embedding.reads
    monkeypatch.setattr(embedding, "reads", lambda *place: len(place[2]) <= 4 and reads(*place))
    with pytest.raises(CapacityError, match="shorten the payload: 4 bytes would fit"):
        embedding.embed(tensor(crop)[None], key, [PAYLOAD])


def test_small_pictures_and_long_payloads(crop, key):
    with pytest.raises(CapacityError, match="320x200, dwt-dct needs at least 256x256"):
        embedding.embed(tensor(crop)[None, :, :200], key, [PAYLOAD])
    with pytest.raises(PayloadError, match="17 bytes"):
        embedding.embed(tensor(crop)[None], key, [bytes(17)])


# What runs around it, and what leaves the device


@pytest.mark.parametrize(
    "around", [torch.inference_mode, torch.enable_grad, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_the_generators_modes_change_nothing(crop, key, around):
    expected = embedding.embed(tensor(crop)[None].float() / 255, key, [PAYLOAD])
    with around():
        pictures = (tensor(crop)[None].float() / 255).requires_grad_(torch.is_grad_enabled())
        marked = embedding.embed(pictures, key, [PAYLOAD])
        assert not marked.requires_grad
        assert torch.equal(marked, expected)
        assert embed(pictures, key, PAYLOAD).shape == pictures.shape


@pytest.mark.usefixtures("on_device")
def test_pixels_stay(photo, key, monkeypatch):
    copied, cpu, to_list = [], Tensor.cpu, Tensor.tolist
    monkeypatch.setattr(Tensor, "cpu", lambda self: copied.append(self.numel()) or cpu(self))
    monkeypatch.setattr(Tensor, "tolist", lambda self: copied.append(self.numel()) or to_list(self))
    batch = torch.stack([tensor(photo), tensor(photo[::-1])]).float() / 255
    marked = embed(batch, key, [b"one", b"two"])
    monkeypatch.undo()
    width = photo.shape[1] // step_for(*photo.shape[:2])
    assert len(copied) == 3  # the range, the facts, the coefficients
    assert copied[0] == 2
    assert copied[1] == 2 * (8 * width + 2)
    assert sum(copied) < 0.01 * batch.numel()
    assert [found.payload for found in detect(marked, key)] == [b"one", b"two"]


# Through markai.embed and markai.detect


@pytest.fixture
def no_arrays(monkeypatch):
    """The same, and what is opened on the host fails."""
    monkeypatch.setattr(image_tensors, "ON_HOST", {"meta"})
    monkeypatch.setattr(image, "open_picture", lambda *_, **__: pytest.fail("copied to the host"))


@pytest.mark.usefixtures("no_arrays")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "uint8", "uint16"])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_tensors_stay_on_their_device(crop, key, dtype, channels):
    planes = (
        tensor(np.dstack([crop, np.full(crop.shape[:2], 255, np.uint8)]))[:channels] if channels else tensor(crop)[0]
    )
    scale = {"uint8": 1, "uint16": 257}.get(dtype, 1 / 255)
    given = (planes.double() * scale).round_(decimals=9).to(getattr(torch, dtype))
    before = given.clone()
    marked = embed(given, key, PAYLOAD)
    assert (marked.shape, marked.dtype, marked.device) == (given.shape, given.dtype, given.device)
    assert torch.equal(given, before)
    assert marked.data_ptr() != given.data_ptr()
    assert channels < 4 or torch.equal(marked[3], given[3])
    found = detect(marked, key)
    assert (found.payload, found.key_id) == (PAYLOAD, key.id)


@pytest.mark.usefixtures("no_arrays")
def test_batches_and_lists_stay_there_too(crop, key):
    batch = torch.stack([tensor(crop), tensor(crop[::-1])]).permute(0, 1, 3, 2)  # of any stride
    for given, kind in ((batch, Tensor), (list(batch), list), (tuple(batch), tuple)):
        marked = embed(given, key, [b"one", b"two"], strength=1.2)
        assert isinstance(marked, kind)
        assert [found.payload for found in detect(marked, key)] == [b"one", b"two"]
    assert torch.equal(embed(batch[:0], key), batch[:0])


def test_detection_says_the_same(crop, photo, key, monkeypatch):
    """Upright, turned, of another key, and all marks of a page."""
    page = torch.full((3, 512, 1100), 128, dtype=torch.uint8)
    page[:, :, :768] = tensor(MARK.embed(photo, key, b"left"))
    page[:, 100:420, 780:] = tensor(MARK.embed(crop, key, b"right"))
    turned = page[:, :, :768].transpose(1, 2)
    before = [detect(page, key), detect(turned, key), detect(page, Key(bytes(32))), *detect_all(page, key)]
    monkeypatch.setattr(image_tensors, "ON_HOST", {"meta"})
    monkeypatch.setattr(image, "open_picture", lambda *_, **__: pytest.fail("copied to the host"))
    after = [detect(page, key), detect(turned, key), detect(page, Key(bytes(32))), *detect_all(page, key)]
    assert [found.payload for found in after] == [found.payload for found in before]
    assert [found.payload for found in before[:3]] == [b"left", b"left", None]
    for found, known in zip(after, before, strict=True):
        assert found.log10_p_value == pytest.approx(known.log10_p_value, rel=1e-3)
        assert found.geometry == known.geometry


@pytest.mark.usefixtures("on_device")
def test_methods_that_know_no_tensors_get_a_copy(crop, key, monkeypatch):
    class Plain:
        name = "plain"
        embed = staticmethod(lambda pixels, *_: pixels ^ np.uint8(1))

        def look(self, pixels):
            return pixels

        def find(self, look, key, fpr=1e-6):
            return MARK.find(MARK.look(look), key, fpr)

    monkeypatch.setattr(watermarks, "load", lambda _: Plain())
    given = tensor(crop)
    assert torch.equal(embed(given, key, PAYLOAD), given ^ 1)
    assert not detect(given, key, method="plain")


@pytest.mark.usefixtures("on_device")
def test_what_is_no_picture_is_said_as_ever():
    key = Key(bytes(32))
    wrong = {
        "not a picture": torch.rand(300, 300, 3),
        "scale": torch.rand(3, 300, 300) * 255,
        "NaN": torch.full((3, 300, 300), torch.nan),
        "int64": torch.zeros(3, 300, 300, dtype=torch.int64),
        "no pixels": torch.zeros(3, 0, 300),
        "not readable": torch.zeros(3, 300, 300, device="meta"),
    }
    for words, given in wrong.items():
        for work in (lambda given=given: embed(given, key), lambda given=given: detect(given, key)):
            with pytest.raises(ImageError, match=words):
                work()


def test_tensors_on_the_cpu_go_to_the_kernels(crop, key, monkeypatch):
    monkeypatch.setattr(type(MARK), "embed_tensors", lambda *_: pytest.fail("not by the kernels"))
    assert embed(tensor(crop), key, PAYLOAD).shape == (3, 320, 320)


# The parts, each against what it repeats


@pytest.fixture(scope="module")
def cells(photo):
    return kernels.cell_means(photo[:401, :601].copy(), 2)


def lifted(plane: np.ndarray) -> Tensor:
    return torch.from_numpy(plane.copy())[None, None]


def lowered(plane: Tensor) -> np.ndarray:
    return plane[0, 0].numpy()


@pytest.mark.parametrize("step", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_to_cells_and_back(step, dtype, channels):
    rng = np.random.default_rng(step)
    pixels = rng.random((61, 83, channels))
    pixels = pixels.astype(dtype) if dtype == np.float32 else (pixels * np.iinfo(dtype).max).astype(dtype)
    means, spread = (lowered(each) for each in planes.cell_means_and_spread(tensor(pixels)[None], step))
    for ours, theirs in zip((means, spread), kernels.cell_means_and_spread(pixels, step), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-3)
    added = rng.normal(0, 20, means.shape).astype(np.float32)
    marked, written = planes.add_cells(tensor(pixels)[None], lifted(added), step)
    expected, their_cells = reference.add_cells(pixels, added, step)
    apart = np.abs(array(marked[0]).astype(np.float64) - expected)
    assert apart.max() <= (1e-6 if dtype == np.float32 else 1)
    assert dtype == np.float32 or (apart > 0).mean() < 3e-3
    np.testing.assert_allclose(lowered(written), their_cells, atol=0.1)


def test_planes(cells):
    rng = np.random.default_rng(3)
    change = rng.normal(0, 3, cells.shape).astype(np.float32)
    for passes in (1, 2, 8):
        np.testing.assert_allclose(
            lowered(planes.smooth(lifted(cells), passes)), kernels.smooth(cells, passes), atol=1e-3
        )
    np.testing.assert_array_equal(lowered(planes.least_neighbour(lifted(cells))), kernels.least_neighbour(cells))
    assert planes.rms_when_widened(lifted(change)).item() == pytest.approx(informed.rms_when_widened(change), rel=1e-5)
    limit = np.full_like(cells, 2)
    ours = planes.fit_change(lifted(change), torch.tensor(1.5), lifted(cells), lifted(limit))
    np.testing.assert_allclose(lowered(ours), kernels.fit_change(change, 1.5, cells, limit), atol=1e-6)


@pytest.mark.parametrize("transparent", [False, True])
def test_the_host(cells, transparent):
    rng = np.random.default_rng(4)
    spread, change = rng.random(cells.shape, np.float32) * 90, rng.normal(0, 2, cells.shape).astype(np.float32)
    opacity = rng.random(cells.shape, np.float32) if transparent else None
    ours = rounds.Host.of(lifted(cells), lifted(spread), None if opacity is None else lifted(opacity))
    theirs = informed.Host.of(cells, spread, opacity)
    for name in ("cells", "variance", "allowed", "limit"):
        np.testing.assert_allclose(lowered(getattr(ours, name)), getattr(theirs, name), rtol=2e-3, atol=0.02)
    assert ours.loss(lifted(change)).item() == pytest.approx(theirs.loss(change), rel=1e-3)


def test_tiles(cells, key):
    rng = np.random.default_rng(5)
    carriers, shift = carriers_for(key), (11, 50)
    values = carriers.values(rng.integers(0, 2, CODE_BITS, dtype=np.uint8), 77)
    theirs = Tiles(cells.shape, carriers, values, shift)
    ours = tiles.Tiles(cells.shape, tiles.Lattice.of(key, CPU), values[None], [shift])
    spectra, scale = theirs.spectra(cells), rng.random(RINGS, np.float32) + 0.5
    np.testing.assert_allclose(ours.spectra(lifted(cells))[0], spectra, rtol=1e-3, atol=1)
    seen = theirs.symbols(spectra, scale)
    given = torch.from_numpy(spectra)[None], torch.from_numpy(scale)[None]
    np.testing.assert_allclose(ours.symbols(*given)[0], seen, rtol=1e-3, atol=seen.std() / 1e3)
    np.testing.assert_allclose(ours.lattice.ring_rms(given[0].sum(1))[0], informed._ring_rms(spectra.sum(0)), rtol=1e-4)
    np.testing.assert_allclose(tiles.spectrum(lifted(cells))[0], spectrum(cells), rtol=1e-3, atol=5)
    for amplitude in (rng.random((len(spectra), SYMBOLS), np.float32), np.ones((1, SYMBOLS), np.float32)):
        plane = theirs.plane(amplitude.repeat(len(spectra) // len(amplitude), 0), scale)
        np.testing.assert_allclose(lowered(ours.plane(torch.from_numpy(amplitude)[None], given[1])), plane, atol=1e-5)


@pytest.mark.parametrize("step", [2, 3])
def test_foreseen_attacks_and_their_ways_back(cells, step):
    bright = np.clip(cells + 60, 0, 255)
    gradient = np.random.default_rng(6).normal(size=cells.shape).astype(np.float32)
    ours = views.foreseen(cells.shape, step, white=True, device=CPU)
    theirs = foreseen.foreseen(np.full_like(cells, 250), step)[:1] + foreseen.foreseen(cells * 0, step)
    assert [view.enough for view in ours] == [view.enough for view in theirs]
    for mine, known in zip(ours, theirs, strict=True):
        (received, back), (expected, their_back) = mine.seen(lifted(bright)), known.seen(bright)
        for got, wanted in ((received, expected), (back(lifted(gradient)), their_back(gradient))):
            assert np.corrcoef(lowered(got).ravel(), wanted.ravel())[0, 1] > 0.9999
            assert np.mean(np.abs(lowered(got) - wanted) > 0.01) < 0.01  # a coefficient at a half may go either way
    np.testing.assert_allclose(
        lowered(views.after_jpeg(lifted(bright), step, 75)), foreseen.after_jpeg(bright, step, 75), atol=4
    )


# On a GPU

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="parity on a GPU needs a GPU")


@CUDA
def test_a_gpu_marks_like_the_cpu(photo, key):
    check_alike(photo, key, device="cuda", least=0.99)
    batch = torch.stack([tensor(photo), tensor(photo[::-1])]).cuda()
    for given in (batch, batch / 255, (batch / 255).half(), (batch / 255).bfloat16()):
        marked = embed(given, key, [b"one", b"two"])
        assert (marked.device, marked.dtype, marked.shape) == (given.device, given.dtype, given.shape)
        for found in (
            detect(marked, key),
            detect(marked.float().cpu() if given.is_floating_point() else marked.cpu(), key),
        ):
            assert [each.payload for each in found] == [b"one", b"two"]
    nonces = embedding.Pictures.of(batch, None, key).nonces
    assert nonces == embedding.Pictures.of(batch.cpu(), None, key).nonces


@CUDA
@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_gpu_marks_what_is_hard_like_the_cpu(name, key):
    check_alike(SYNTHETIC[name](), key, device="cuda", least=0.97)
