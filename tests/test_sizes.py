"""Small, long and odd pictures: marked so that it can be read back, or refused with a reason."""

import io
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from markai import Key, detect, embed
from markai.errors import CapacityError
from markai.watermarks.tiles import Parts

Pixels = NDArray[np.uint8]
PAYLOAD = b"acme:42!"


def cut(photo: Pixels, width: int, height: int) -> Pixels:
    """The photograph, mirrored at its edges where it is too small."""
    padding = (0, max(0, height - photo.shape[0])), (0, max(0, width - photo.shape[1])), (0, 0)
    return np.ascontiguousarray(np.pad(photo, padding, mode="symmetric")[:height, :width])


@pytest.mark.parametrize("size", [(256, 256), (257, 511), (639, 641), (2048, 256), (256, 2051), (512, 4096)])
def test_the_least_and_the_longest_sizes_keep_eight_bytes_through_jpeg(photo: Pixels, key: Key, size: tuple[int, int]):
    marked = embed(cut(photo, *size), key, PAYLOAD)
    file = io.BytesIO()
    Image.fromarray(marked).save(file, "JPEG", quality=90)
    assert detect(marked, key).payload == PAYLOAD
    assert detect(file.getvalue(), key).payload == PAYLOAD


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (255, 4000), (8, 8)])
def test_a_side_under_256_is_refused_and_looked_at(key: Key, size: tuple[int, int]):
    pixels = np.full((*size, 3), 128, np.uint8)
    with pytest.raises(CapacityError, match=f"{size[1]}x{size[0]}, dwt-dct needs at least 256x256"):
        embed(pixels, key)
    assert not detect(pixels, key)


def test_a_refusal_names_the_longest_payload_that_fits(crop: Pixels):
    payload, named = bytes(range(16)), set()
    for strength in np.arange(0.2, 0.6, 0.02):
        for number in range(3):
            try:
                embed(crop, Key(bytes([number] * 32)), payload, strength=strength)
            except CapacityError as error:
                if said := re.search(r"shorten the payload: (\d+) bytes would fit", str(error)):
                    embed(crop, Key(bytes([number] * 32)), payload[: int(said[1])], strength=strength)
                    named.add(int(said[1]))
    assert named
    assert named <= {4, 8}


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("radius", [40, 60, 100])
def test_a_logo_without_a_ground_is_found_on_white_or_refused(radius: int, number: int):
    """The outline shows on white only: at 40 pixels it drowns 8 bytes, in a picture that by itself reads well."""
    key = Key(bytes([number] * 32))
    y, x = np.mgrid[:320, :320]
    inside = np.hypot(y - 160, x - 160) < radius
    logo = np.dstack([np.full((320, 320, 3), (200, 40, 40), np.uint8), np.where(inside, 255, 0).astype(np.uint8)])
    payload = PAYLOAD
    if radius == 40:
        with pytest.raises(CapacityError) as refused:
            embed(logo, key, payload)
        if "4 bytes would fit" not in str(refused.value):
            return
        payload = PAYLOAD[:4]
    marked = embed(logo, key, payload)
    outside = np.hypot(y - 160, x - 160) > radius + 4  # two cells
    np.testing.assert_array_equal(marked[outside], logo[outside])
    page, file = Image.new("RGB", (320, 320), "white"), io.BytesIO()
    page.paste(Image.fromarray(marked), mask=Image.fromarray(marked[..., 3]))
    page.save(file, "JPEG", quality=90)
    assert detect(file.getvalue(), key).payload == payload


def test_the_parts_of_a_long_picture_do_not_grow_with_its_square():
    parts = Parts.of(2, 8000)
    assert parts.member.nbytes < 4e6
    assert parts.weight.sum() == pytest.approx(2.3)
    assert (parts.member.sum(axis=0) >= 2).all()  # the whole and a window at least: no tile is left out


def test_the_parts_of_a_usual_picture_are_the_whole_and_all_its_windows():
    parts = Parts.of(4, 5)
    assert parts.large == 1 + 3 * 4
    assert parts.member.sum(axis=1).tolist() == [20] + [4] * 12
    assert len(parts.weight) == parts.large + 20
