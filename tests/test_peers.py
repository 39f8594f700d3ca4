"""The adapters for methods made by others: they read what they wrote, cost what is known, and say what is missing."""

import hashlib
import importlib
import subprocess
import sys
import warnings

import numpy as np
import pytest

from markai.attacks import apply
from markai.bench import peers
from markai.bench.peers import invisible, learned
from markai.errors import CapacityError, ImageError, MethodError, MissingExtraError, PayloadError
from markai.metrics import psnr
from markai.stats import log10_binomial_tail
from markai.watermarks import BitMark, Watermark

ROBUST = ["invisible-watermark/dwtDctSvd", "invisible-watermark/rivaGan", "blind-watermark"]
REAL = ["invisible-watermark/dwtDct", *ROBUST]
# Of 24 or 12 Kodak pictures, measured through the packages' own calls; single pictures lie within 1.5 dB of it.
PSNR = {
    "invisible-watermark/dwtDct": 39.6,
    "invisible-watermark/dwtDctSvd": 39.4,
    "invisible-watermark/rivaGan": 40.4,
    "blind-watermark": 38.1,
}


def peer(name):
    """Return a peer, or skip where its package is not installed."""
    try:
        return peers.load(name)
    except MissingExtraError as error:
        pytest.skip(str(error))


def drawn(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


@pytest.fixture(scope="module")
def picture(photo):
    """384 x 384 from the middle of the photograph."""
    return np.ascontiguousarray(photo[64:448, 192:576])


@pytest.fixture(scope="module")
def small(picture):
    """256 x 256, the least that invisible-watermark takes."""
    return np.ascontiguousarray(picture[:256, :256])


# What is there


def test_every_peer_says_whether_it_can_be_used():
    reasons = peers.available()
    assert list(reasons) == peers.names()
    assert reasons["control/random-bits"] is None
    for name, reason in reasons.items():
        if reason is None:
            method = peers.load(name)
            assert isinstance(method, BitMark)
            assert not isinstance(method, Watermark)
            assert method.name == name


def test_what_is_missing_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "blind_watermark", None)
    peers.load.cache_clear()
    with pytest.raises(MissingExtraError, match=r"^blind-watermark needs blind_watermark: pip install --no-deps blind"):
        peers.load("blind-watermark")
    pytest.importorskip("torch")
    monkeypatch.delenv("MARKAI_VIDEOSEAL_JIT", raising=False)
    with pytest.raises(MethodError, match=r"videoseal needs weights .* set MARKAI_VIDEOSEAL_JIT"):
        peers.load("videoseal")
    monkeypatch.setenv("MARKAI_VIDEOSEAL_JIT", "/nowhere/at/all.jit")
    with pytest.raises(MethodError, match=r"'/nowhere/at/all\.jit', where nothing is"):
        peers.load("videoseal")


# The packages


@pytest.mark.parametrize("name", REAL)
def test_bits_come_back_at_the_known_price(name, picture):
    method, message = peer(name), drawn(32)
    before = picture.copy()
    marked = method.embed(picture, message)
    assert marked.shape == picture.shape
    assert marked.dtype == np.uint8
    assert np.array_equal(picture, before)
    assert psnr(picture, marked) == pytest.approx(PSNR[name], abs=1.5)
    if name not in ROBUST:  # dwtDct misreads every other picture that nobody touched
        return
    for attacked in (marked, apply("jpeg:90", marked)):
        found = method.extract(attacked)
        assert found.dtype == np.uint8
        # A picture may lose one bit of 32 at JPEG 90, where rivaGan has 99.7 % of them.
        assert (found == message).sum() >= (32 if attacked is marked else 31)


@pytest.mark.parametrize("name", REAL)
def test_strength_trades_quality(name, small):
    method = peer(name)
    assert method.adjustable
    quality = [psnr(small, method.embed(small, drawn(32), strength)) for strength in (0.5, 1.0, 1.5)]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] - quality[-1] > 3


@pytest.mark.parametrize("name", ["invisible-watermark/dwtDctSvd", "blind-watermark"])
def test_a_quantiser_is_read_with_its_own_step(name, picture):
    method, message = peer(name), drawn(32)
    marked = method.embed(picture, message, 0.7)
    assert np.array_equal(method.extract(marked, 0.7), message)
    assert not np.array_equal(method.extract(marked), message)


@pytest.mark.parametrize("name", [*REAL, "control/random-bits"])
@pytest.mark.parametrize("message", [drawn(31), drawn(65), np.full(32, 2), np.zeros((4, 8), np.uint8)])
def test_a_message_of_another_length_is_refused(name, message, small):
    method = peer(name)
    with pytest.raises(PayloadError, match=f"{name} hides {method.bits} bits, not "):
        method.embed(small, message)


@pytest.mark.parametrize("name", REAL)
def test_a_picture_that_is_too_small_is_refused(name, picture):
    method = peer(name)
    tiny = np.ascontiguousarray(picture[:255, :255] if "invisible" in name else picture[:40, :40])
    with pytest.raises(CapacityError, match=f"{name} cannot mark .* it takes "):
        method.embed(tiny, drawn(32))
    with pytest.raises(ImageError, match=f"{name} reads nothing from .* it takes "):
        method.extract(tiny)


@pytest.mark.parametrize("name", REAL)
def test_a_flat_picture_gives_an_answer(name):
    found = peer(name).extract(np.full((256, 256, 3), 128, np.uint8))
    assert found.shape == (32,)
    assert np.isin(found, (0, 1)).all()


@pytest.mark.parametrize("algorithm", ["dwtDct", "dwtDctSvd", "rivaGan"])
def test_the_adapter_does_what_invisible_watermark_does(algorithm, small):
    """Bit by bit, at strength 1, blue first; rivaGan is run without the package's own code."""
    method, message = peer(f"invisible-watermark/{algorithm}"), drawn(32)
    pytest.importorskip("torch")
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    encoder, decoder = WatermarkEncoder(), WatermarkDecoder("bits", 32)
    encoder.set_watermark("bits", message)
    if algorithm == "rivaGan":
        encoder.loadModel()
    bgr = np.ascontiguousarray(small[..., ::-1])
    marked = encoder.encode(bgr, algorithm)
    assert np.array_equal(method.embed(small, message), marked[..., ::-1])
    assert np.array_equal(method.extract(marked[..., ::-1]), decoder.decode(marked, algorithm))


def test_the_adapter_does_what_blind_watermark_does(small, tmp_path):
    """Through its files, as its documentation shows."""
    method, message = peer("blind-watermark"), drawn(32)
    from PIL import Image

    from markai.bench.peers import blind

    Image.fromarray(small).save(tmp_path / "picture.png")
    mark = blind.package().WaterMark(password_img=1, password_wm=1)
    mark.read_img(str(tmp_path / "picture.png"))
    mark.read_wm(message, mode="bit")
    mark.embed(str(tmp_path / "marked.png"))
    with Image.open(tmp_path / "marked.png") as marked:
        assert np.array_equal(method.embed(small, message), np.asarray(marked))


def test_rivagan_takes_as_many_threads_as_it_is_given(monkeypatch):
    peer("invisible-watermark/rivaGan")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    invisible.session.cache_clear()
    session = invisible.session("encoder")
    assert session.get_session_options().intra_op_num_threads == 1
    assert invisible.session("encoder") is session
    invisible.session.cache_clear()


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_torch_is_only_stood_in_for():
    """Where there is no torch, the three methods work, and nobody else comes to see the empty module."""
    peer("invisible-watermark/dwtDctSvd")
    done = run(
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from markai.bench import peers\n"
        "assert 'needs torch' in peers.available()['videoseal']\n"
        "picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)\n"
        "for algorithm in ('rivaGan', 'dwtDctSvd'):\n"
        "    peers.load(f'invisible-watermark/{algorithm}').extract(picture)\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert not done.returncode, done.stderr


@pytest.mark.parametrize("method", ["spawn", None])
def test_blind_watermark_leaves_its_process_alone(method):
    """Its import fails in a spawned worker, makes every process fork otherwise, and its first mark prints a notice."""
    peer("blind-watermark")
    done = run(
        f"import multiprocessing\nchosen = {method!r}\n"
        "if chosen: multiprocessing.set_start_method(chosen)\n"
        "import numpy as np\n"
        "from markai.bench import peers\n"
        "peers.load('blind-watermark').extract(np.zeros((64, 64, 3), np.uint8))\n"
        "assert multiprocessing.get_start_method(allow_none=True) == chosen\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The control


def test_the_control_is_as_good_as_chance(picture):
    """Over 400 pictures p <= 0.1 comes at its rate (binomial, 5 sigma), though the bits are fixed for each picture."""
    method = peers.load("control/random-bits")
    assert np.array_equal(method.embed(picture, drawn(64)), picture)
    assert np.array_equal(method.extract(picture), method.extract(picture.copy()))
    tiles = [picture[i : i + 8, j : j + 8] for i in range(0, 160, 8) for j in range(0, 160, 8)]
    matching = [int((method.extract(tile) == drawn(64, seed)).sum()) for seed, tile in enumerate(tiles)]
    assert np.mean(matching) == pytest.approx(32, abs=5 * 4 / 20)
    nominal = 10 ** log10_binomial_tail(38, 64)  # 0.084: the largest tail under 0.1
    found = np.mean([log10_binomial_tail(each, 64) <= -1 for each in matching])
    assert found == pytest.approx(nominal, abs=5 * (nominal * (1 - nominal) / 400) ** 0.5)


# Learned methods, with stand-ins for their weights


@pytest.fixture
def script(tmp_path):
    """A TorchScript file with the interface of VideoSeal's, that adds 64 fine carriers."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "tiny.jit"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(tiny_seal(torch)), path)
    return path


def tiny_seal(torch):
    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            pattern = torch.randn(64, 3, 64, 64, generator=torch.Generator().manual_seed(1)).sign()
            self.register_buffer("carriers", pattern)

        @torch.jit.export
        def embed(self, imgs: torch.Tensor, msgs: torch.Tensor) -> torch.Tensor:
            tile = torch.einsum("bk,kchw->bchw", 2 * msgs - 1, self.carriers)
            return (imgs + 0.001 * tile.repeat(1, 1, imgs.shape[2] // 64, imgs.shape[3] // 64)).clamp(0, 1)

        @torch.jit.export
        def detect(self, imgs: torch.Tensor) -> torch.Tensor:
            fine = imgs - torch.nn.functional.avg_pool2d(imgs, 3, 1, 1)
            folded = fine.reshape(1, 3, imgs.shape[2] // 64, 64, imgs.shape[3] // 64, 64).mean((2, 4))
            scores = torch.einsum("bchw,kchw->bk", folded, self.carriers)
            return torch.cat([torch.ones(1, 1), scores], 1)

    return Tiny()


def test_a_torchscript_file_embeds_and_detects(script, picture, monkeypatch):
    monkeypatch.setenv("MARKAI_TEST_JIT", str(script))
    method, message = learned.TorchScript("seal", "MARKAI_TEST_JIT", bits=64), drawn(64)
    qualities = []
    for strength in (0.5, 1.0, 2.0):
        marked = method.embed(picture, message, strength)
        assert np.array_equal(method.extract(marked), message)
        qualities.append(psnr(picture, marked))
    assert qualities[1] == pytest.approx(-20 * np.log10(0.001 * 64**0.5), abs=1)
    assert qualities[0] - qualities[1] == pytest.approx(6, abs=1)
    assert qualities[1] - qualities[2] == pytest.approx(6, abs=1)


def test_a_wrong_torchscript_file_is_refused(script, picture, monkeypatch):
    monkeypatch.setenv("MARKAI_VIDEOSEAL_JIT", str(script))
    with pytest.raises(MethodError, match="reads 64 bits, videoseal has 256"):
        learned.TorchScript("videoseal", "MARKAI_VIDEOSEAL_JIT").extract(picture)
    script.write_bytes(b"no model")
    with pytest.raises(MethodError, match="is no TorchScript model"):
        learned.TorchScript("videoseal", "MARKAI_VIDEOSEAL_JIT").extract(picture)


@pytest.fixture
def importable():
    """Return a function that writes modules, which are forgotten after the test."""
    written = set()

    def write(root, files):
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            written.add(path.split("/")[0])
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] in written]:
        del sys.modules[name]


WAM = {
    "checkpoints/params.json": '{"scaling": 0.02}',
    "notebooks/inference_utils.py": '''
import json
import torch

class Model(torch.nn.Module):
    """Adds carriers to a picture that was normalised, and reads them in its upper half only."""

    def __init__(self, carriers, scaling):
        super().__init__()
        self.carriers, self.scaling = carriers, scaling

    def embed(self, imgs, msgs):
        residual = torch.einsum("bk,kchw->bchw", 2 * msgs - 1, self.carriers)
        return {"msgs": msgs, "imgs_w": imgs + self.scaling * residual.repeat(1, 1, 6, 6)}

    def detect(self, imgs):
        assert abs(imgs).max() > 1.5, "not normalised"
        fine = imgs - torch.nn.functional.avg_pool2d(imgs, 3, 1, 1)
        scores = torch.einsum("bchw,kchw->bk", fine.reshape(1, 3, 6, 64, 6, 64).mean((2, 4)), self.carriers)
        bits = scores[:, :, None, None].repeat(1, 1, 8, 8)
        bits[:, :, 4:] *= -1
        mask = torch.ones(1, 1, 8, 8)
        mask[:, :, 4:] = -1
        return {"preds": torch.cat([mask, bits], 1)}

def load_model_from_checkpoint(json_path, ckpt_path):
    print("loading", ckpt_path)
    with open(json_path) as file:
        return Model(torch.load(ckpt_path, weights_only=True), **json.load(file))
''',
    "watermark_anything/data/metrics.py": """
def msg_predict_inference(preds, masks):
    return (preds[0][:, masks[0] > 0.5] > 0).double().mean(1, keepdim=False)[None] > 0.5
""",
}


def test_watermark_anything_from_a_clone_and_a_checkpoint(importable, tmp_path, picture, monkeypatch, capsys):
    """A stand-in for the repository with the functions that the adapter calls; the real one needs torchvision."""
    torch = pytest.importorskip("torch")
    importable(tmp_path / "clone", WAM)
    torch.save(torch.randn(32, 3, 64, 64, generator=torch.Generator().manual_seed(2)).sign(), tmp_path / "wam.pth")
    monkeypatch.setenv("MARKAI_WAM_REPO", str(tmp_path / "clone"))
    monkeypatch.setenv("MARKAI_WAM_CHECKPOINT", str(tmp_path / "wam.pth"))
    path = list(sys.path)
    method, message = learned.WatermarkAnything(), drawn(32)
    marked = method.embed(picture, message)
    assert np.array_equal(method.extract(marked), message)
    assert psnr(picture, method.embed(picture, message, 0.5)) - psnr(picture, marked) == pytest.approx(6, abs=0.5)
    assert sys.path == path
    assert capsys.readouterr().out == ""


def test_watermark_anything_says_what_its_code_misses(importable, tmp_path, picture, monkeypatch):
    pytest.importorskip("torch")
    importable(tmp_path / "clone", {"notebooks/inference_utils.py": "import not_installed_at_all\n"})
    for variable in ("MARKAI_WAM_REPO", "MARKAI_WAM_CHECKPOINT"):
        monkeypatch.setenv(variable, str(tmp_path / "clone"))
    with pytest.raises(MissingExtraError, match=r"wam needs what its own requirements list .*not_installed_at_all"):
        learned.WatermarkAnything().extract(picture)


TRUSTMARK = {
    "trustmark/__init__.py": "",
    "trustmark/trustmark.py": '''
import os
from pathlib import Path
import numpy as np
from PIL import Image

MODEL_CHECKSUMS = {checksums}
CALLS = []

class TrustMark:
    """Loads as the original does; hides the bits in the lowest ones of the first pixels, times the strength."""

    def __init__(self, use_ECC=True, verbose=True, secret_len=100, device="", model_type="Q", loadRemover=True):
        CALLS.append((use_ECC, verbose, secret_len, device, model_type, loadRemover))
        inside = Path(__file__).parent / "models"
        for part in ("decoder", "encoder"):
            config = str(inside / f"trustmark_{{model_type}}.yaml")
            weights = str(inside / f"{{part}}_{{model_type}}.ckpt")
            setattr(self, part, self.load_model(config, weights, device, secret_len, part=part))

    def check_and_download(self, filename):
        raise AssertionError(f"{{filename}} would be downloaded")

    def load_model(self, config_path, weight_path, device, secret_len, part="all"):
        try:
            self.check_and_download(config_path)
            self.check_and_download(weight_path)
        except Exception as error:
            print("Error downloading", error)
            return None
        print("Global step: 1")
        return Path(weight_path).read_text()

    def encode(self, image, text, MODE="text", WM_STRENGTH=1.0):
        assert self.encoder == "the encoder"
        assert MODE == "binary"
        pixels = np.array(image)
        pixels[0, :100, 0] = [int(bit) * WM_STRENGTH for bit in text]
        return Image.fromarray(pixels)

    def decode(self, image, MODE="text"):
        assert self.decoder == "the decoder"
        assert MODE == "binary"
        return "".join(str(int(value > 0)) for value in np.asarray(image)[0, :100, 0]), True, -1
''',
}


@pytest.fixture
def trustmark(importable, tmp_path, monkeypatch):
    """A package that records calls instead of the real one, which needs torchvision; and a folder with its files."""
    pytest.importorskip("torch")
    weights = {"trustmark_Q.yaml": "a: 1", "encoder_Q.ckpt": "the encoder", "decoder_Q.ckpt": "the decoder"}
    folder = tmp_path / "weights"
    folder.mkdir()
    for name, text in weights.items():
        (folder / name).write_text(text)
    checksums = {name: hashlib.md5(text.encode()).hexdigest() for name, text in weights.items()}
    importable(tmp_path, {path: text.format(checksums=checksums) for path, text in TRUSTMARK.items()})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MARKAI_TRUSTMARK_DIR", str(folder))
    return folder


@pytest.mark.usefixtures("trustmark")
def test_trustmark_takes_its_weights_from_the_folder(picture, capsys):
    """Against the stand-in package: what is called, and that nothing is fetched or printed."""
    method, message = learned.TrustMark("Q"), drawn(100)
    for strength in (1.0, 7.0):
        marked = method.embed(picture, message, strength)
        assert np.array_equal(method.extract(marked), message)
        assert np.array_equal(marked[0, :100, 0], message * strength)
    assert capsys.readouterr().out == ""
    calls = importlib.import_module("trustmark.trustmark").CALLS
    assert calls == [(False, False, 100, "cpu", "Q", False)]


def test_trustmark_never_runs_on_other_weights(trustmark, picture):
    """Against the stand-in package: the original would download, and go on without a model where it cannot."""
    (trustmark / "encoder_Q.ckpt").write_text("something else")
    with pytest.raises(MethodError, match=r"encoder_Q.ckpt is not the file that trustmark knows"):
        learned.TrustMark("Q").extract(picture)
    (trustmark / "encoder_Q.ckpt").unlink()
    with pytest.raises(MethodError, match=r"encoder_Q.ckpt is not there"):
        learned.TrustMark("Q").extract(picture)
