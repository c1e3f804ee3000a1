"""Which pictures are one, and which look like one: the hash, and what is found by it."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from sklearn.datasets import load_sample_image

from negmerge.data.hashes import MOST_ALIKE, MOST_COPIES, MOST_DISTANCE, RECORD, hash_picture, nearest
from negmerge.data.images import DamagedImage
from negmerge.errors import ArchiveError

PIXELS = 10_000_000


def photo(left: int = 0, top: int = 0, side: int = 200, name: str = "china.jpg") -> Image.Image:
    return Image.fromarray(load_sample_image(name)).crop((left, top, left + side, top + side))


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def hashed(content: bytes) -> np.ndarray:
    return hash_picture("x", content, PIXELS)


TILES = [photo(x, y, 200, name) for name in ("china.jpg", "flower.jpg") for x in (0, 210, 420) for y in (0, 210)]
SET = np.concatenate([hashed(saved(tile)) for tile in TILES])


def found(content: bytes) -> list[tuple[int, bool]]:
    return [(one.number, one.exact) for one in nearest(SET, hashed(content))]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_equal_pixels_are_found_whatever_the_format(kind: str) -> None:
    assert found(saved(TILES[3], kind)) == [(3, True)]


@pytest.mark.parametrize(
    "changed",
    [
        lambda tile: saved(tile, "JPEG", quality=60),
        lambda tile: saved(tile, "WEBP", quality=60),
        lambda tile: saved(tile.resize((100, 100))),
        lambda tile: saved(tile.resize((500, 450))),
        lambda tile: saved(tile.convert("L")),
        lambda tile: saved(tile.crop((2, 2, 198, 198))),
    ],
    ids=["jpeg", "webp", "half", "stretched", "grey", "cropped by 2 %"],
)
def test_a_picture_that_was_saved_again_looks_like_itself_and_like_no_other(changed: Any) -> None:
    assert [found(changed(tile)) for tile in TILES] == [[(number, False)] for number in range(len(TILES))]


def test_one_pixel_of_another_shade_is_not_exact() -> None:
    tile = TILES[0].copy()
    tile.putpixel((5, 5), (1, 2, 3))
    assert found(saved(tile)) == [(0, False)]


def test_the_same_bytes_in_another_shape_are_not_exact() -> None:
    row, column = Image.new("RGB", (6, 1), (9, 8, 7)), Image.new("RGB", (1, 6), (9, 8, 7))
    assert nearest(hashed(saved(row)), hashed(saved(column))) == []
    assert [one.exact for one in nearest(hashed(saved(row)), hashed(saved(row)))] == [True]


def test_a_photograph_that_exif_turns_is_found_where_it_was_saved_upright_and_the_other_way() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = saved(TILES[4].transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)
    assert len(hashed(lying)) == 2
    assert found(lying) == [(4, False)]
    as_sample = hashed(lying)[-1:]
    assert [one.number for one in nearest(as_sample, hashed(saved(TILES[4])))] == [0]


def test_exact_is_what_a_model_sees_though_exif_turns_it() -> None:
    """The models' libraries apply no orientation, so a copy without the tag is the same picture to them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, turned = saved(TILES[1]), saved(TILES[1], exif=exif)
    assert [one.exact for one in nearest(hashed(turned)[-1:], hashed(plain))] == [True]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (300, 200)])
def test_flat_pictures_of_other_shades_are_not_alike(size: tuple[int, int]) -> None:
    first, second = (hashed(saved(Image.new("L", size, shade))) for shade in (10, 200))
    assert nearest(first, second) == []


def test_what_cannot_be_decoded_matches_nothing_not_even_itself() -> None:
    nothing = np.zeros(3, RECORD)
    assert nearest(nothing, hashed(saved(Image.new("L", (4, 4))))) == []
    assert nearest(SET, nothing[:1]) == []


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_pixels_of_more_than_eight_bits_are_refused_by_name(mode: str) -> None:
    with pytest.raises(ArchiveError, match="8 bits"):
        hashed(saved(Image.new(mode, (4, 4)), "TIFF"))


def test_a_picture_that_is_cut_off_is_damaged() -> None:
    with pytest.raises(DamagedImage):
        hashed(saved(TILES[0], "JPEG")[:-3000])


def test_the_first_frame_of_an_animation_counts() -> None:
    moving = saved(TILES[0].convert("P"), "GIF", save_all=True, append_images=[TILES[1].convert("P")])
    assert [number for number, _ in found(moving)] == [0]


RECORDS = arrays(np.uint64, (12, 4), elements=st.integers(0, 2**64 - 1))


def bits_between(one: np.ndarray, other: np.ndarray) -> int:
    """Slowly: as Python's whole numbers."""
    return sum((int(a) ^ int(b)).bit_count() for a, b in zip(one, other, strict=True))


@given(
    looks=RECORDS, flips=st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 255), max_size=90)), max_size=12)
)
def test_the_nearest_are_those_of_a_slow_search(looks: np.ndarray, flips: list[tuple[int, set[int]]]) -> None:
    records = np.zeros(12, RECORD)
    records["quality"], records["look"] = 100, looks
    records["pixels"] = np.arange(1, 13)[:, None]
    wanted = records[:1].copy()
    wanted["pixels"] = 200
    for number, bits in flips:
        words = [sum(1 << (bit % 64) for bit in bits if bit // 64 == word) for word in range(4)]
        records[number]["look"] = records[0]["look"] ^ np.array(words, np.uint64)
    distances = [bits_between(record["look"], wanted[0]["look"]) for record in records]
    slow = sorted((far, number) for number, far in enumerate(distances) if far <= MOST_DISTANCE)[:MOST_ALIKE]

    assert [(one.distance, one.number) for one in nearest(records, wanted)] == slow


def test_all_copies_are_told_before_what_merely_looks_alike() -> None:
    """In every one of them the picture must be forgotten; of a flat one there may be any number."""
    like = hashed(saved(TILES[0], "JPEG", quality=80))
    records = np.concatenate([*[like] * 7, *[SET[:1]] * 9])
    near = nearest(records, SET[:1])
    assert [(one.number, one.exact) for one in near[:9]] == [(number, True) for number in range(7, 16)]
    assert [(one.number, one.exact) for one in near[9:]] == [(number, False) for number in range(MOST_ALIKE)]
    assert len(nearest(np.repeat(SET[:1], MOST_COPIES + 1), SET[:1])) == MOST_COPIES
