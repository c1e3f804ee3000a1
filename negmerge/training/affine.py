"""Turns, shears and shifts of many pictures at once, each by its own matrix; bit for bit torchvision's ``affine``.

torchvision takes one matrix for a whole stack. Here each picture has its own grid of places to look at, and one
``grid_sample`` serves them all. The grid is made by the very sum that a matrix product of this shape computes, x·θ₀ +
y·θ₁ + θ₂ with the second product fused, element by element: so it depends on no library's choice of a kernel, on
neither batch size nor TF32.
"""

from collections.abc import Sequence
from math import cos, radians, sin, tan

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

Matrix = list[float]
"""The upper two rows of the inverse map, in pixels from the picture's middle: six numbers."""


def affine(images: Tensor, matrices: Sequence[Matrix], fill: Sequence[int]) -> Tensor:
    """Move each picture by its own matrix, bilinearly: uint8 [N, 3, H, W] → the same shape and type.

    matrices: N of them. fill: the colour, 0 … 255 per channel, of what is brought into the picture.
    """
    places = _places(matrices, images.shape[-2], images.shape[-1], images.device)
    pixels = images.to(torch.float32)
    inside = torch.ones_like(pixels[:, :1])  # how much of a pixel comes from the picture
    found = grid_sample(torch.cat([pixels, inside], dim=1), places, mode="bilinear", align_corners=False)
    moved, inside = found[:, :-1], found[:, -1:]
    colour = to_device(fill, torch.float32, images.device).view(1, -1, 1, 1)
    return moved.sub_(colour).mul_(inside).add_(colour).round_().to(torch.uint8)


def inverse(
    angle: float, shift: tuple[float, float], shear: tuple[float, float], center: tuple[float, float] = (0.0, 0.0)
) -> Matrix:
    """Where each pixel of the result comes from: turned by angle, sheared (degrees), shifted (pixels).

    center: the fixed point, in pixels from the picture's middle. In double precision, in torchvision's order.
    """
    turn, shear_x, shear_y = radians(angle), radians(shear[0]), radians(shear[1])
    (x, y), (to_x, to_y) = center, (center[0] + shift[0], center[1] + shift[1])
    a = cos(turn - shear_y) / cos(shear_y)
    b = -(a * tan(shear_x) + sin(turn))
    c = sin(turn - shear_y) / cos(shear_y)
    d = cos(turn) - c * tan(shear_x)
    return [d, -b, x - d * to_x + b * to_y, -c, a, y + c * to_x - a * to_y]


def to_device(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A few numbers as a tensor on a device, which nobody waits for."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def _places(matrices: Sequence[Matrix], height: int, width: int, device: torch.device) -> Tensor:
    """Where to look, float32 [N, H, W, 2], x before y, from −1 to 1 across the picture."""
    theta = torch.tensor(matrices, dtype=torch.float32).view(-1, 2, 3).transpose(1, 2)
    theta = (theta / torch.tensor([0.5 * width, 0.5 * height])).to(device, non_blocking=True)
    along_x, along_y, constant = theta.view(-1, 1, 1, 3, 2).unbind(3)
    x = torch.linspace((1 - width) * 0.5, (width - 1) * 0.5, width, device=device).view(1, 1, -1, 1)
    y = torch.linspace((1 - height) * 0.5, (height - 1) * 0.5, height, device=device).view(1, -1, 1, 1)
    return torch.addcmul(x * along_x, y, along_y) + constant
