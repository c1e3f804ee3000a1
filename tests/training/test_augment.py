"""RandAugment against timm's own operations on PIL images, and its draws against what its string says."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import NAME_TO_OP
from torch import Tensor

from negmerge.spec.sweep import RandAugment
from negmerge.training.augment import OPERATIONS, Drawn, rand_augment
from tests.support import pico

GREY = (128, 128, 128)

# Per operation: timm's arguments at a level of 0 … 10 and a sign, written from its level functions.
TIMM_ARGUMENTS: dict[str, Any] = {
    "AutoContrast": lambda level, sign: (),
    "Equalize": lambda level, sign: (),
    "Invert": lambda level, sign: (),
    "Rotate": lambda level, sign: (sign * level * 3.0,),
    "Posterize": lambda level, sign: (int(level / 10 * 4),),
    "Solarize": lambda level, sign: (min(256, int(level / 10 * 256)),),
    "SolarizeAdd": lambda level, sign: (min(128, int(level / 10 * 110)),),
    "Color": lambda level, sign: (level / 10 * 1.8 + 0.1,),
    "Contrast": lambda level, sign: (level / 10 * 1.8 + 0.1,),
    "Brightness": lambda level, sign: (level / 10 * 1.8 + 0.1,),
    "Sharpness": lambda level, sign: (level / 10 * 1.8 + 0.1,),
    "ShearX": lambda level, sign: (sign * level * 0.03,),
    "ShearY": lambda level, sign: (sign * level * 0.03,),
    "TranslateXRel": lambda level, sign: (sign * level * 0.045,),
    "TranslateYRel": lambda level, sign: (sign * level * 0.045,),
}


def colourful() -> Tensor:
    """A smooth uint8 [3, 40, 40] picture with another slope in each channel."""
    y, x = np.mgrid[0:40, 0:40]
    channels = [20 + 4 * x + y, 60 + 2 * x + 2 * y, 230 - 3 * x - 2 * y]
    return torch.from_numpy(np.stack(channels).clip(0, 255).astype(np.uint8))


def ours(name: str, level: float, sign: float, fill: tuple[int, int, int] = GREY) -> Tensor:
    """What the operation makes of the colourful picture; level in [0, 1]."""
    return OPERATIONS[name](colourful().unsqueeze(0), [Drawn(name, level, sign)], fill)[0]


def by_timm(name: str, image: Tensor, level: float, sign: int) -> Tensor:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    arguments = TIMM_ARGUMENTS[name](level, sign)
    operation: Any = NAME_TO_OP[name]
    changed = operation(picture, *arguments, fillcolor=GREY, resample=Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(changed).copy()).permute(2, 0, 1)


@pytest.mark.parametrize("level", [0.0, 2.5, 7.0, 10.0])
@pytest.mark.parametrize("name", list(TIMM_ARGUMENTS))
def test_each_operation_is_timms_own(name: str, level: float) -> None:
    if name == "Posterize":
        level = max(level, 2.5)  # below it keeps 0 bits, which newer Pillows refuse
    for sign in (1, -1):
        gap = (ours(name, level / 10, sign).int() - by_timm(name, colourful(), level, sign).int()).abs()
        # Rounding, and the blend at the border of what was brought in, are the two libraries' own.
        assert gap.float().quantile(0.9) <= 2


def test_no_bits_kept_is_a_black_picture() -> None:
    assert not ours("Posterize", 0.2, 1).any()


def test_the_operations_are_timms_fifteen() -> None:
    assert list(OPERATIONS) == list(TIMM_ARGUMENTS)


def test_the_same_seed_gives_the_same_images() -> None:
    images, _ = pico.image_tensor(per_class=10)
    strength = RandAugment(magnitude=7, operations=2)
    first, second = (rand_augment(images, strength, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_another_seed_gives_other_images() -> None:
    images, _ = pico.image_tensor(per_class=10)
    strength = RandAugment(magnitude=7, operations=2)
    first, second = (rand_augment(images, strength, torch.Generator().manual_seed(s)) for s in (3, 4))
    assert not torch.equal(first, second)


def test_shape_and_type_stay_and_the_input_is_not_touched() -> None:
    images, _ = pico.image_tensor(per_class=10)
    before = images.clone()
    augmented = rand_augment(images, RandAugment(magnitude=10, operations=3), torch.Generator().manual_seed(0))
    assert (augmented.shape, augmented.dtype) == (images.shape, torch.uint8)
    assert torch.equal(images, before)


def test_all_other_random_states_are_left_alone() -> None:
    images, _ = pico.image_tensor(per_class=2)
    random.seed(1)
    np.random.seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]
    rand_augment(images, RandAugment(magnitude=5, operations=3), torch.Generator().manual_seed(0))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_round_is_skipped_half_of_the_time() -> None:
    """Of the fifteen operations at level 10 all change this picture but solarise (from 256 on)."""
    images = colourful().expand(500, -1, -1, -1)
    augmented = rand_augment(images, RandAugment(magnitude=10, operations=1), torch.Generator().manual_seed(0))
    changed = (augmented != images).flatten(1).any(dim=1).float().mean().item()
    assert changed == pytest.approx(0.5 * 14 / 15, abs=0.08)


def test_one_picture_is_filled_with_the_given_colour() -> None:
    moved = ours("TranslateXRel", 1.0, -1, (7, 8, 9))
    assert moved[:, :, 0].tolist() == [[7] * 40, [8] * 40, [9] * 40]
