"""RandAugment of a whole batch against each image by itself through torchvision's operations, bit for bit."""

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from negmerge.spec.sweep import RandAugment
from negmerge.training.augment import OPERATIONS, Drawn, draw, rand_augment

FILL = (12, 128, 250)
LEVELS = st.floats(0, 1, width=32)  # as a level is drawn: from a float32
SIGNS = st.sampled_from([-1, 1])


def moved(image: Tensor, **how: object) -> Tensor:
    usual = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "center": None}
    picture: Tensor = functional.affine(
        image, interpolation=InterpolationMode.BILINEAR, fill=list(FILL), **(usual | how)
    )
    return picture


def degrees(factor: float) -> list[float]:
    found: list[float] = torch.rad2deg(torch.atan(torch.tensor((factor, 0.0), dtype=torch.float64))).tolist()
    return found


CORNER = [0.0, 0.0]
ONE_BY_ONE: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "AutoContrast": lambda image, level, sign: functional.autocontrast(image),
    "Equalize": lambda image, level, sign: functional.equalize(image),
    "Invert": lambda image, level, sign: functional.invert(image),
    "Rotate": lambda image, level, sign: moved(image, angle=-30 * level * sign),
    "Posterize": lambda image, level, sign: functional.posterize(image, int(level * 4)),
    "Solarize": lambda image, level, sign: functional.solarize(image, int(level * 256)) if level < 1 else image,
    "SolarizeAdd": lambda image, level, sign: torch.where(image < 128, image + int(level * 110), image),
    "Color": lambda image, level, sign: functional.adjust_saturation(image, 0.1 + 1.8 * level),
    "Contrast": lambda image, level, sign: functional.adjust_contrast(image, 0.1 + 1.8 * level),
    "Brightness": lambda image, level, sign: functional.adjust_brightness(image, 0.1 + 1.8 * level),
    "Sharpness": lambda image, level, sign: functional.adjust_sharpness(image, 0.1 + 1.8 * level),
    "ShearX": lambda image, level, sign: moved(image, shear=degrees(0.3 * level * sign), center=CORNER),
    "ShearY": lambda image, level, sign: moved(image, shear=degrees(0.3 * level * sign)[::-1], center=CORNER),
    "TranslateXRel": lambda image, level, sign: moved(image, translate=[-0.45 * level * sign * image.shape[2], 0]),
    "TranslateYRel": lambda image, level, sign: moved(image, translate=[0, -0.45 * level * sign * image.shape[1]]),
}


def pictures(count: int, height: int, width: int, seed: int) -> Tensor:
    """Noise, smooth slopes and, the last ones, grey: uint8 [count, 3, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
    corners = torch.rand(count, 3, 3, 3, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(corners, size=(height, width), mode="bilinear").to(torch.uint8)
    drawn = torch.where(torch.arange(count).view(-1, 1, 1, 1) % 2 == 0, noise, smooth)
    drawn[count // 2 :, 1:] = drawn[count // 2 :, :1]
    return drawn


def one_by_one(name: str, images: Tensor, levels: Sequence[float], signs: Sequence[int]) -> Tensor:
    return torch.stack(
        [ONE_BY_ONE[name](image, level, sign) for image, level, sign in zip(images, levels, signs, strict=True)]
    )


def together(name: str, images: Tensor, levels: Sequence[float], signs: Sequence[int]) -> Tensor:
    drawn = [Drawn(name, level, sign) for level, sign in zip(levels, signs, strict=True)]
    return OPERATIONS[name](images, drawn, FILL)


@pytest.mark.parametrize("name", list(OPERATIONS))
@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (32, 32), (33, 20), (2, 5), (260, 260)], ids=lambda side: f"{side}"
)
def test_every_level_of_a_grid_gives_the_same_bits(name: str, height: int, width: int) -> None:
    """A hundredth apart, with both signs, from nothing to the most. 260²: sums of pixels round in float32."""
    steps = 101 if height < 100 else 7
    levels = torch.linspace(0, 1, steps).repeat(2).tolist()
    signs = [1] * steps + [-1] * steps
    images = pictures(2 * steps, height, width, seed=steps)
    assert torch.equal(together(name, images, levels, signs), one_by_one(name, images, levels, signs))


@given(
    name=st.sampled_from(list(OPERATIONS)),
    drawn=st.lists(st.tuples(LEVELS, SIGNS), min_size=1, max_size=9),
    side=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_any_levels_of_any_operation_give_the_same_bits(
    name: str, drawn: list[tuple[float, int]], side: int, seed: int
) -> None:
    levels, signs = [level for level, _ in drawn], [sign for _, sign in drawn]
    images = pictures(len(drawn), side, side, seed)
    assert torch.equal(together(name, images, levels, signs), one_by_one(name, images, levels, signs))


def augmented_one_by_one(images: Tensor, strength: RandAugment, seed: int) -> Tensor:
    rounds = draw(len(images), strength, torch.Generator().manual_seed(seed))
    changed = list(images)
    for drawn in rounds:
        for place, one in enumerate(drawn):
            if one is not None:
                changed[place] = ONE_BY_ONE[one.name](changed[place], one.level, int(one.sign))
    return torch.stack(changed)


@given(count=st.integers(1, 30), magnitude=st.integers(0, 10), operations=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_a_batch_is_what_its_images_are_one_by_one(count: int, magnitude: int, operations: int, seed: int) -> None:
    strength = RandAugment(magnitude=magnitude, operations=operations)
    images = pictures(count, 16, 16, seed)
    batch = rand_augment(images, strength, torch.Generator().manual_seed(seed), FILL)
    assert torch.equal(batch, augmented_one_by_one(images, strength, seed))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_on_a_gpu_a_batch_is_what_its_images_are_one_by_one_there(name: str) -> None:
    levels = torch.linspace(0, 1, 101).tolist()
    images = pictures(101, 32, 32, seed=5).cuda()
    assert torch.equal(together(name, images, levels, [1] * 101), one_by_one(name, images, levels, [1] * 101))
