"""ResNets of CIFAR's own kind, which timm has not: three stages of 16, 32 and 64 channels, 6n + 2 layers.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), §4.2. Where a stage begins,
the shortcut takes every other pixel and has zeros for the channels that are new (their option A), so it has no
weights. Names are torchvision's and timm's, so that checkpoints of either manner fit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (16, 32, 64)


class Block(nn.Module):
    """Two 3×3 convolutions, and the shortcut around them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self._stride = stride
        self._new = (outside - inside) // 2

    def forward(self, images: Tensor) -> Tensor:
        shortcut = images
        if self._stride > 1:
            shortcut = functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, self._new, self._new))
        found = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(found)) + shortcut)


class CifarResNet(nn.Module):
    """6·blocks + 2 layers. ``pretrained_cfg`` is what timm's models have under that name."""

    def __init__(self, blocks: int, num_classes: int) -> None:
        super().__init__()
        self.pretrained_cfg = {
            "input_size": (3, 32, 32),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
        }
        self.num_classes = num_classes
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        self.layer1 = _stage(CHANNELS[0], CHANNELS[0], blocks)
        self.layer2 = _stage(CHANNELS[0], CHANNELS[1], blocks)
        self.layer3 = _stage(CHANNELS[1], CHANNELS[2], blocks)
        self.fc = nn.Linear(CHANNELS[2], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [B, 3, S, S] → [B, num_classes]."""
        found: Tensor = functional.relu(self.bn1(self.conv1(images)))
        for stage in (self.layer1, self.layer2, self.layer3):
            found = stage(found)
        logits: Tensor = self.fc(found.mean((2, 3)))
        return logits


def build(architecture: str, num_classes: int) -> torch.nn.Module:
    """The module with random weights. architecture: one of ``timm_config.CIFAR_RESNETS``."""
    layers = int(architecture.rpartition("resnet")[2])
    return CifarResNet((layers - 2) // 6, num_classes)


def _stage(inside: int, outside: int, blocks: int) -> nn.Sequential:
    sizes: Sequence[tuple[int, int]] = [(inside, 1 if inside == outside else 2), *[(outside, 1)] * (blocks - 1)]
    return nn.Sequential(*(Block(channels, outside, stride) for channels, stride in sizes))
