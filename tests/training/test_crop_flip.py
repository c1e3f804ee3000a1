"""Crops and flips: each image against every cut that there is, one by one."""

import pytest
import torch
from torch import Tensor

from negmerge.training.crop_flip import crop_and_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, size: int, channels: int = 3) -> Tensor:
    """Random pixels, none of them black, so that the frame is told from them."""
    return torch.randint(1, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator(1))


def every_cut(image: Tensor, frame: int) -> list[Tensor]:
    """uint8 [3, S, S]: for each corner of the cut, the cut as it is and then mirrored, by copying pixel by pixel."""
    channels, size, _ = image.shape
    found = []
    for top in range(-frame, frame + 1):
        for left in range(-frame, frame + 1):
            cut = torch.zeros_like(image)
            for row in range(size):
                for column in range(size):
                    if 0 <= row + top < size and 0 <= column + left < size:
                        cut[:, row, column] = image[:, row + top, column + left]
            found += [cut, torch.stack([cut[c, :, range(size - 1, -1, -1)] for c in range(channels)])]
    return found


def place(cut: Tensor, cuts: list[Tensor]) -> int:
    """Which of the cuts it is; exactly one."""
    [found] = [number for number, one in enumerate(cuts) if torch.equal(cut, one)]
    return found


def test_each_image_is_one_of_its_own_cuts() -> None:
    batch = images(20, 4)
    for before, after in zip(batch, crop_and_flip(batch, generator(), padding=1), strict=True):
        place(after, every_cut(before, frame=1))


def test_every_cut_is_equally_likely() -> None:
    """18 cuts of one image, 3,600 times: 200 ± 14 of each, and four deviations are allowed."""
    [image] = images(1, 3)
    cuts = every_cut(image, frame=1)
    counts = torch.zeros(18)
    for after in crop_and_flip(image.expand(3600, -1, -1, -1), generator(), padding=1):
        counts[place(after, cuts)] += 1
    assert (counts - 200).abs().max() < 4 * 14


@pytest.mark.parametrize(("size", "frame"), [(8, 1), (16, 2), (32, 4)])
def test_the_frame_is_an_eighth_of_the_side(size: int, frame: int) -> None:
    """White images: what is black came from the frame, at most so many rows of it."""
    after = crop_and_flip(torch.full((500, 1, size, size), 255, dtype=torch.uint8), generator())
    assert int((after == 0).all(dim=3).sum(dim=2).max()) == frame


def test_no_image_is_mirrored_where_that_is_turned_off() -> None:
    batch = images(30, 4)
    for before, after in zip(batch, crop_and_flip(batch, generator(), padding=1, flip=False), strict=True):
        assert place(after, every_cut(before, frame=1)) % 2 == 0


def test_the_same_generator_gives_the_same_cuts() -> None:
    batch = images(6, 8)
    assert torch.equal(crop_and_flip(batch, generator(3)), crop_and_flip(batch, generator(3)))
    assert not torch.equal(crop_and_flip(batch, generator(3)), crop_and_flip(batch, generator(4)))


def test_the_images_themselves_and_the_global_random_state_are_left_alone() -> None:
    batch, state = images(6, 8), torch.get_rng_state()
    before = batch.clone()
    assert crop_and_flip(batch, generator()).dtype == torch.uint8
    assert torch.equal(batch, before)
    assert torch.equal(torch.get_rng_state(), state)
