"""The models of the table with random weights, and images of noise: speed does not depend on what a model knows."""

from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from negmerge.models import classifiers, zero_shot
from negmerge.models.classifiers import Classifier
from negmerge.models.network import Network
from negmerge.models.zero_shot import ZeroShotModel

CLASSES = 10
RESNET_18: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": CLASSES,
    "stem": "cifar",
    "pretrained_cfg": {
        "input_size": [3, 32, 32],
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2470, 0.2435, 0.2616],
    },
}
TINY_RESNET = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def resnet_18(device: torch.device, tiny: bool) -> Network:
    """timm's resnet18 with the 3 × 3 stem, at its own widths unless ``tiny``."""
    config = RESNET_18 | ({"model_args": TINY_RESNET} if tiny else {})
    torch.manual_seed(0)
    module = classifiers.build(config)
    return Classifier(module, config, _state(module), str(device))


def clip(architecture: str, device: torch.device, tiny: bool) -> Network:
    """A CLIP by open_clip's name for it, or one of no size."""
    model_cfg = TINY_CLIP if tiny else open_clip.get_model_config(architecture)
    assert model_cfg is not None
    torch.manual_seed(0)
    module = zero_shot.build(model_cfg)
    return ZeroShotModel(module, {"model_cfg": model_cfg, "preprocess_cfg": {}}, _state(module), str(device))


def _state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def head_of(model: Network) -> Tensor:
    """What ``logits`` needs besides the images: of a CLIP a head as prompts would make one, without its text tower."""
    if model.is_classifier:
        return torch.zeros(0)
    with torch.no_grad():
        width = model.features(images_of(model, 1)).shape[1]
    return 100 * functional.normalize(torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(0)), dim=1)


def images_of(model: Network, count: int) -> Tensor:
    """uint8 [count, 3, S, S] of noise, on the CPU."""
    size = model.preprocess.size
    return torch.randint(256, (count, 3, size, size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def labels_of(count: int) -> Tensor:
    """int64 [count]."""
    return torch.randint(CLASSES, (count,), generator=torch.Generator().manual_seed(1))


def training_flops(model: Network) -> int:
    """Floating point operations of training on one image: the forward pass, and twice as many for the backward one."""
    model.module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.features(images_of(model, 1))
    return 3 * int(counter.get_total_flops())
