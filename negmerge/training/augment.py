"""RandAugment (arXiv 1909.13719) as timm's string ``rand-m{magnitude}-n{operations}-mstd0.5`` means it.

Each image goes through ``operations`` rounds. A round draws one of the fifteen operations, skips it with
probability 1/2, and gives it the level N(magnitude, 0.5), clipped to [0, 10]. As in timm without ``-inc1``, a
higher level is not always a stronger change (posterise and solarise weaken, the enhancers pass through
"unchanged" at 5). How each operation maps to torchvision is in docs/decisions/randaugment.md.

Everything random is drawn from the given generator, on the CPU, so the same seed gives the same images.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from negmerge.spec.sweep import RandAugment

MAX_LEVEL = 10.0
_SKIPPED = 0.5
_LEVEL_SPREAD = 0.5

Operation = Callable[[Tensor, float, float, Sequence[int]], Tensor]
"""(image uint8 [3, H, W], level / 10 in [0, 1], sign ±1, fill per channel) → image."""


def rand_augment(
    images: Tensor, strength: RandAugment, generator: torch.Generator, fill: Sequence[int] = (128, 128, 128)
) -> Tensor:
    """Augment each image by itself: uint8 [B, 3, H, W] → the same shape and type, on the same device.

    fill: the colour, 0 … 255 per channel, of what a shift or turn brings into the picture.
    """
    shape = (len(images), strength.operations)
    chosen = torch.randint(len(OPERATIONS), shape, generator=generator).tolist()
    applied = (torch.rand(shape, generator=generator) >= _SKIPPED).tolist()
    noise = torch.randn(shape, generator=generator) * _LEVEL_SPREAD
    level = ((noise + strength.magnitude).clamp(0, MAX_LEVEL) / MAX_LEVEL).tolist()
    sign = (torch.randint(2, shape, generator=generator) * 2 - 1).tolist()
    operations = list(OPERATIONS.values())
    augmented = []
    for i, image in enumerate(images):
        for k in range(strength.operations):
            if applied[i][k]:
                image = operations[chosen[i][k]](image, level[i][k], sign[i][k], fill)
        augmented.append(image)
    return torch.stack(augmented)


def _rotate(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    return _affine(image, fill, angle=-30 * level * sign)


def _shear_x(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    return _affine(image, fill, shear=(0.3 * level * sign, 0), center=[0.0, 0.0])


def _shear_y(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    return _affine(image, fill, shear=(0, 0.3 * level * sign), center=[0.0, 0.0])


def _translate_x(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    return _affine(image, fill, translate=(-0.45 * level * sign * image.shape[2], 0))


def _translate_y(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    return _affine(image, fill, translate=(0, -0.45 * level * sign * image.shape[1]))


def _affine(
    image: Tensor,
    fill: Sequence[int],
    angle: float = 0.0,
    translate: tuple[float, float] = (0, 0),
    shear: tuple[float, float] = (0, 0),
    center: list[float] | None = None,
) -> Tensor:
    """shear: factors; translate: pixels; center: the fixed point, by default the middle (shears: PIL's corner)."""
    degrees = torch.rad2deg(torch.atan(torch.tensor(shear, dtype=torch.float64))).tolist()
    moved: Tensor = functional.affine(
        image,
        angle=angle,
        translate=list(translate),
        scale=1.0,
        shear=degrees,
        interpolation=InterpolationMode.BILINEAR,
        fill=list(fill),
        center=center,
    )
    return moved


def _posterize(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    posterized: Tensor = functional.posterize(image, int(level * 4))
    return posterized


def _solarize(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    threshold = int(level * 256)
    return torch.where(image >= threshold, 255 - image, image) if threshold < 256 else image


def _solarize_add(image: Tensor, level: float, sign: float, fill: Sequence[int]) -> Tensor:
    return torch.where(image < 128, image + int(level * 110), image)


def _plain(operation: Callable[[Tensor], Tensor]) -> Operation:
    """An operation that knows no level."""
    return lambda image, level, sign, fill: operation(image)


def _enhance(operation: Callable[[Tensor, float], Tensor]) -> Operation:
    """An operation that takes a factor from 0.1 to 1.9, where 1 changes nothing."""
    return lambda image, level, sign, fill: operation(image, 0.1 + 1.8 * level)


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": _plain(functional.autocontrast),
    "Equalize": _plain(functional.equalize),
    "Invert": _plain(functional.invert),
    "Rotate": _rotate,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": _enhance(functional.adjust_saturation),
    "Contrast": _enhance(functional.adjust_contrast),
    "Brightness": _enhance(functional.adjust_brightness),
    "Sharpness": _enhance(functional.adjust_sharpness),
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateXRel": _translate_x,
    "TranslateYRel": _translate_y,
}
"""timm's fifteen operations, in its order."""
