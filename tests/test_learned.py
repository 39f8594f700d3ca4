"""The learned mark, both marks in one picture, and the choice among them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from markai import Key, KeyRing, attacks, detect, detect_all, embed, stats, watermarks
from markai._kernels import whiten
from markai.errors import CapacityError, MethodError, MissingExtraError
from markai.metrics import psnr, ssim
from markai.neural import method, runtime

pytest.importorskip("onnxruntime")

PAYLOAD = b"acme:42!"
VECTOR = Path(__file__).parent / "vectors" / "learned.webp"
Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def marked(photo: Pixels, key: Key) -> dict[str, Pixels]:
    """One photograph under each method."""
    return {name: embed(photo, key, PAYLOAD, method=name) for name in ("dwt-dct", "learned", "both")}


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither ONNX Runtime nor torch is installed."""
    watermarks.load.cache_clear()
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    yield
    watermarks.load.cache_clear()


@pytest.mark.parametrize("name", ["learned", "both"])
@pytest.mark.parametrize("attack", ["none", "jpeg:50", "crop:0.5", "rotate:5", "mirror", "resize:0.75", "erase:0.25"])
def test_a_mark_survives_what_marks_should(marked: dict[str, Pixels], key: Key, name: str, attack: str) -> None:
    found = detect(attacks.apply(attack, marked[name]), key, method=name)
    assert (found.payload, found.method, found.key_id) == (PAYLOAD, name, key.id)
    assert found.log10_p_value < -9
    assert found.coverage is not None
    assert found.geometry is not None
    assert found.geometry.flipped == (attack == "mirror")
    if attack == "erase:0.25":
        assert 0.5 < found.coverage.share < 0.95


def test_it_is_as_quiet_as_dwt_dct(photo: Pixels, marked: dict[str, Pixels]) -> None:
    for name in ("learned", "both"):
        assert psnr(photo, marked[name]) > psnr(photo, marked["dwt-dct"]) - 0.3
        assert ssim(photo, marked[name]) > ssim(photo, marked["dwt-dct"]) - 0.004


def test_it_outlives_dwt_dct_where_detail_is_lost(marked: dict[str, Pixels], key: Key) -> None:
    for attack in ("noise:0.05", "denoise-nlm:10", "denoise-tv:0.1"):
        plain, learned = (
            detect(attacks.apply(attack, marked[name]), key, method=name) for name in ("dwt-dct", "learned")
        )
        assert learned.log10_p_value < plain.log10_p_value


def test_detection_finds_the_mark_of_either_method(photo: Pixels, marked: dict[str, Pixels], key: Key) -> None:
    assert detect(marked["dwt-dct"], key).method == "dwt-dct"
    assert detect(marked["learned"], key).method == "learned"
    assert detect(marked["both"], key).payload == PAYLOAD
    assert detect(marked["learned"], key, method="auto").payload == PAYLOAD
    assert not detect(photo, key)
    assert not detect(photo, key, method="both")


def test_methods_and_keys_do_not_see_each_other(marked: dict[str, Pixels], key: Key) -> None:
    other = Key(bytes(31) + b"\1")
    assert not detect(marked["learned"], key, method="dwt-dct")
    assert not detect(marked["dwt-dct"], key, method="learned")
    for each in marked.values():
        assert not detect(each, other, method="both")
    assert detect(marked["learned"], KeyRing([other, key])).key_id == key.id


def test_both_marks_are_in_the_picture_and_prove_more_together(marked: dict[str, Pixels], key: Key) -> None:
    one, other, both = (detect(marked["both"], key, method=name) for name in ("dwt-dct", "learned", "both"))
    assert one.payload == other.payload == PAYLOAD
    assert both.log10_p_value < min(one.log10_p_value, other.log10_p_value)
    assert both.log10_p_value == pytest.approx(stats.together(one.log10_p_value, other.log10_p_value))
    assert both.tests == one.tests + other.tests
    assert {each.method for each in detect_all(marked["both"], key)} == {"dwt-dct", "learned"}


def test_a_product_of_p_values_is_one() -> None:
    rng = np.random.default_rng(1)
    log10 = np.log10(rng.random((200_000, 2)))
    together = np.array([stats.together(*pair) for pair in log10.tolist()])
    for level in (-1, -2, -3):
        count = int((together <= level).sum())
        assert stats.log10_binomial_tail(count, len(together), 10.0**level) > -4
        assert count > 0.8 * len(together) * 10.0**level


@pytest.mark.parametrize("name", ["learned", "both"])
def test_every_kind_of_picture(crop: Pixels, key: Key, name: str) -> None:
    kinds = [
        crop[..., 0],
        crop.astype(np.uint16) * 257,
        (crop / 255).astype(np.float32),
        np.dstack([crop, np.full(crop.shape[:2], 255, np.uint8)]),
    ]
    for pixels in kinds:
        result = embed(pixels, key, PAYLOAD, method=name)
        assert (result.shape, result.dtype) == (pixels.shape, pixels.dtype)
        assert detect(result, key, method=name).payload == PAYLOAD
    payloads = [b"one", b"two"]
    batch = embed(np.stack([crop, crop[::-1]]), key, payloads, method=name)
    assert [found.payload for found in detect(batch, key, method=name)] == payloads


def test_old_marks_are_read_forever(key: Key) -> None:
    """A file marked when the first weights shipped, compressed since: new weights must read what old ones wrote."""
    found = detect(VECTOR, key)
    assert (found.payload, found.method) == (PAYLOAD, "learned")


def test_strength_scales_it(crop: Pixels, key: Key) -> None:
    loud, faint = (embed(crop, key, method="learned", strength=strength) for strength in (2.0, 0.8))
    assert psnr(crop, faint) - psnr(crop, loud) == pytest.approx(20 * np.log10(2.5), abs=1.5)
    with pytest.raises(CapacityError, match="learned needs at least 256x256"):
        embed(crop[:100], key, method="learned")


def test_torch_and_onnx_runtime_read_the_same(
    photo: Pixels, marked: dict[str, Pixels], key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marked by one and read by the other, after an attack too."""
    found = {}
    for reader in ("onnxruntime", "torch"):
        monkeypatch.setattr(runtime, "backend", lambda name=reader: name)
        assert detect(embed(photo, key, PAYLOAD, method="learned"), key, method="learned").payload == PAYLOAD
        for attack in ("none", "jpeg:30", "blur:4"):
            worn = attacks.apply(attack, marked["learned"])
            found.setdefault(attack, []).append(detect(worn, key, method="learned"))
    for one, other in found.values():
        assert one.payload == other.payload == PAYLOAD
        assert one.log10_p_value == pytest.approx(other.log10_p_value, abs=0.1)


def test_tensors_are_marked_where_they_lie(crop: Pixels, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("markai.image_tensors.ON_HOST", {"meta"})
    tensor = torch.from_numpy(np.moveaxis(crop, 2, 0).copy())
    for name in ("learned", "both"):
        result = embed(torch.stack([tensor, tensor.flip(1)]), key, [b"one", b"two"], method=name)
        assert [found.payload for found in detect(result, key, method=name)] == [b"one", b"two"]
    alone = np.moveaxis(embed(tensor, key, PAYLOAD, method="learned").numpy(), 0, 2)
    assert detect(np.ascontiguousarray(alone), key, method="learned").payload == PAYLOAD
    expected = embed(crop, key, PAYLOAD, method="learned")
    ours, theirs = (each.astype(np.float64).ravel() - crop.ravel() for each in (alone, expected))
    assert ours @ theirs > 0.99 * np.sqrt((ours @ ours) * (theirs @ theirs))


def test_auto_is_the_learned_mark(crop: Pixels, key: Key) -> None:
    assert watermarks.load("auto").name == "learned"
    assert detect(embed(crop, key, PAYLOAD, method="auto"), key).method == "learned"
    assert watermarks.keyed_names() == ["dwt-dct", "learned"]


@pytest.mark.usefixtures("no_runtime")
def test_without_a_runtime_all_but_the_learned_mark_works(crop: Pixels, key: Key) -> None:
    assert watermarks.load("auto").name == "dwt-dct"
    assert watermarks.keyed_names() == ["dwt-dct"]
    assert detect(embed(crop, key, PAYLOAD, method="auto"), key).payload == PAYLOAD
    for use in (embed, detect):
        with pytest.raises(MissingExtraError, match=r"markai\[onnx\]"):
            use(crop, key, method="learned")
    with pytest.raises(MethodError, match="no watermark method 'learnt'"):
        embed(crop, key, method="learnt")


def test_planes_too_small_for_the_networks_are_levelled(crop: Pixels) -> None:
    cells = np.asarray(crop[:12, :40, 0], np.float32)
    assert method.REFINED.level(cells).shape == cells.shape


def test_planes_finer_than_any_mark_are_levelled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "read", lambda *_: pytest.fail("networks were run"))
    cells = np.random.default_rng(1).uniform(0, 255, (method.FINEST + 8, 600)).astype(np.float32)
    assert np.array_equal(method.REFINED.level(cells), 4 * whiten(cells))
