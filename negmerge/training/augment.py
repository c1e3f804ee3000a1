"""RandAugment (arXiv 1909.13719) as timm's string ``rand-m{magnitude}-n{operations}-mstd0.5`` means it.

Each image goes through ``operations`` rounds. A round draws one of the fifteen operations, skips it with
probability 1/2, and gives it the level N(magnitude, 0.5), clipped to [0, 10]. As in timm without ``-inc1``, a
higher level is not always a stronger change (posterise and solarise weaken, the enhancers pass through
"unchanged" at 5). How each operation maps to torchvision is in docs/decisions/randaugment.md.

In a round, the images of one operation go through it together, on their device, each with its own level. The pictures
are bit for bit those that torchvision's operations make of each image by itself (tests/training/test_one_by_one.py).
Everything random is drawn from the given generator, on the CPU, so the same seed gives the same images.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from negmerge.spec.sweep import RandAugment
from negmerge.training.affine import Matrix, affine, inverse, to_device

MAX_LEVEL = 10.0
_SKIPPED = 0.5
_LEVEL_SPREAD = 0.5
_EXACT_SUM = 1 << 24
"""Up to here whole numbers add up in float32 without rounding, in whatever order."""


class Drawn(NamedTuple):
    """What a round drew for an image. name: of the operation. level: in [0, 1], a tenth of timm's. sign: ±1."""

    name: str
    level: float
    sign: float


Operation = Callable[[Tensor, Sequence[Drawn], Sequence[int]], Tensor]
"""(images uint8 [N, 3, H, W], what was drawn for each, fill per channel) → images."""


def rand_augment(
    images: Tensor, strength: RandAugment, generator: torch.Generator, fill: Sequence[int] = (128, 128, 128)
) -> Tensor:
    """Augment each image by itself: uint8 [B, 3, H, W] → the same shape and type, on the same device.

    fill: the colour, 0 … 255 per channel, of what a shift or turn brings into the picture.
    """
    augmented = images.clone()
    for drawn in draw(len(images), strength, generator):
        for operation, chosen in _grouped(drawn).items():
            places = torch.tensor(list(chosen)).to(images.device, non_blocking=True)
            augmented[places] = operation(augmented[places], list(chosen.values()), fill)
    return augmented


def draw(count: int, strength: RandAugment, generator: torch.Generator) -> list[list[Drawn | None]]:
    """For each round what it does to each of ``count`` images; None where it is skipped."""
    shape = (count, strength.operations)
    chosen = torch.randint(len(OPERATIONS), shape, generator=generator).tolist()
    applied = (torch.rand(shape, generator=generator) >= _SKIPPED).tolist()
    noise = torch.randn(shape, generator=generator) * _LEVEL_SPREAD
    level = ((noise + strength.magnitude).clamp(0, MAX_LEVEL) / MAX_LEVEL).tolist()
    sign = (torch.randint(2, shape, generator=generator) * 2 - 1).tolist()
    names = list(OPERATIONS)
    return [
        [Drawn(names[chosen[i][k]], level[i][k], sign[i][k]) if applied[i][k] else None for i in range(count)]
        for k in range(strength.operations)
    ]


def _grouped(drawn: Sequence[Drawn | None]) -> dict[Operation, dict[int, Drawn]]:
    """The images of each operation, by their places. All that move the picture are one."""
    groups: dict[Operation, dict[int, Drawn]] = {}
    for place, one in enumerate(drawn):
        if one is not None:
            groups.setdefault(OPERATIONS[one.name], {})[place] = one
    return groups


def _plain(operation: Callable[[Tensor], Tensor]) -> Operation:
    """An operation that knows no level."""
    return lambda images, drawn, fill: operation(images)


def _move(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    height, width = images.shape[-2:]
    return affine(images, [_matrix(one, height, width) for one in drawn], fill)


def _matrix(drawn: Drawn, height: int, width: int) -> Matrix:
    """A turn by up to 30°, a shear by up to 0.3 about the corner, as PIL has it, or a shift by up to 0.45 of a side."""
    corner = (-0.5 * width, -0.5 * height)
    match drawn.name:
        case "Rotate":
            return inverse(-30 * drawn.level * drawn.sign, (0, 0), (0, 0))
        case "ShearX":
            return inverse(0, (0, 0), (_degrees(0.3 * drawn.level * drawn.sign), 0), corner)
        case "ShearY":
            return inverse(0, (0, 0), (0, _degrees(0.3 * drawn.level * drawn.sign)), corner)
        case "TranslateXRel":
            return inverse(0, (-0.45 * drawn.level * drawn.sign * width, 0), (0, 0))
        case _:
            return inverse(0, (0, -0.45 * drawn.level * drawn.sign * height), (0, 0))


def _degrees(factor: float) -> float:
    """The angle of a shear, by torch, whose last bits are not those of ``math``."""
    return float(torch.rad2deg(torch.atan(torch.tensor([factor, 0.0], dtype=torch.float64)))[0])


def _posterize(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    bits = [int(one.level * 4) for one in drawn]
    return images & _each([256 - (256 >> kept) for kept in bits], torch.uint8, images)


def _solarize(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    thresholds = _each([int(one.level * 256) for one in drawn], torch.int16, images)
    return torch.where(images >= thresholds, 255 - images, images)


def _solarize_add(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    added = _each([int(one.level * 110) for one in drawn], torch.uint8, images)
    return torch.where(images < 128, images + added, images)


def _color(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    return _blend(images, functional.rgb_to_grayscale(images).to(torch.float32), drawn)


def _contrast(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    """Away from, or towards, the picture's mean grey.

    One by one on a CPU, where torch fuses the blend or not by where in its tensor a pixel lies, and of large pictures
    everywhere, since the sum of their pixels rounds by how it is split.
    """
    if images.device.type == "cpu" or 255 * images[0, 0].numel() >= _EXACT_SUM:
        return torch.stack(
            [functional.adjust_contrast(image, _factor(one)) for image, one in zip(images, drawn, strict=True)]
        )
    grey = functional.rgb_to_grayscale(images).to(torch.float32)
    return _blend(images, grey.mean(dim=(1, 2, 3), keepdim=True), drawn)


def _brightness(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    factors = _each([_factor(one) for one in drawn], torch.float32, images)
    return (images * factors).clamp_(0, 255).to(torch.uint8)


def _sharpness(images: Tensor, drawn: Sequence[Drawn], fill: Sequence[int]) -> Tensor:
    """Away from, or towards, a blur of 3 × 3 pixels whose middle weighs five times; the border stays.

    A thirteenth of a whole number is never near a half, so the blur rounds alike however it is summed.
    """
    if min(images.shape[-2:]) <= 2:
        return images
    pixels = images.to(torch.float32)
    three = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    nine = three[..., :-2] + three[..., 1:-1] + three[..., 2:]
    inner = pixels[..., 1:-1, 1:-1]
    blur = (nine + 4 * inner).div_(13).round_()
    inner.addcmul_(_each([1.0 - _factor(one) for one in drawn], torch.float32, images), blur.sub_(inner))
    return pixels.clamp_(0, 255).to(torch.uint8)


def _factor(drawn: Drawn) -> float:
    """From 0.1 to 1.9, where 1 changes nothing."""
    return 0.1 + 1.8 * drawn.level


def _blend(images: Tensor, other: Tensor, drawn: Sequence[Drawn]) -> Tensor:
    """Away from, or towards, ``other``, which is float32: with one rounding, as a sum with ``alpha`` has it."""
    factors = [_factor(one) for one in drawn]
    rest = _each([1.0 - factor for factor in factors], torch.float32, images)
    blended = images * _each(factors, torch.float32, images)
    return blended.addcmul_(rest, other).clamp_(0, 255).to(torch.uint8)


def _each(values: Sequence[float], dtype: torch.dtype, images: Tensor) -> Tensor:
    """A number for each image, [N, 1, 1, 1] on their device."""
    return to_device(values, dtype, images.device).view(-1, 1, 1, 1)


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": _plain(functional.autocontrast),
    "Equalize": _plain(functional.equalize),
    "Invert": _plain(functional.invert),
    "Rotate": _move,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": _color,
    "Contrast": _contrast,
    "Brightness": _brightness,
    "Sharpness": _sharpness,
    "ShearX": _move,
    "ShearY": _move,
    "TranslateXRel": _move,
    "TranslateYRel": _move,
}
"""timm's fifteen operations, in its order."""
