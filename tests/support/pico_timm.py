"""The smallest real timm classifiers: one that has learnt five digits, and one of each architecture untrained.

``make_model`` writes a folder with the 3×3 stem of small images, which is trained once a process, in about a second.
``write_folder`` writes a folder of any config as ``timm`` itself would load it. Both are the same on every call.
"""

import functools
import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional

from tests.support import pico

CLASSES = list(pico.CLASS_WORDS)

PREPROCESS: dict[str, Any] = {
    "input_size": [3, pico.IMAGE_SIZE, pico.IMAGE_SIZE],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
    "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}

CONFIG: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": len(CLASSES),
    "stem": "cifar",
    "label_names": CLASSES,
    "model_args": {"layers": [1, 1, 1, 1], "channels": [8, 16, 16, 16]},
    "pretrained_cfg": PREPROCESS,
}


def config(architecture: str, size: int = pico.IMAGE_SIZE, **model_args: Any) -> dict[str, Any]:
    """A config of the five digits for images of ``size`` pixels a side."""
    return {
        "architecture": architecture,
        "num_classes": len(CLASSES),
        "model_args": model_args,
        "pretrained_cfg": PREPROCESS | {"input_size": [3, size, size]},
    }


CONFIGS = {
    "resnet18": config("resnet18", layers=[1, 1, 1, 1], channels=[8, 8, 8, 8]),
    "resnet18-cifar": config("resnet18", layers=[1, 1, 1, 1], channels=[8, 8, 8, 8]) | {"stem": "cifar"},
    "vgg16_bn": config("vgg16_bn", size=32, mlp_ratio=0.01),
    "swin": config(
        "swin_tiny_patch4_window7_224",
        img_size=16,
        patch_size=2,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[1, 2],
        window_size=4,
    ),
    "vit": config("vit_base_patch32_224", img_size=16, patch_size=4, embed_dim=16, depth=1, num_heads=2),
}
"""Each architecture that the service is tried with, at pico size."""


def make_model(folder: Path) -> Path:
    """Write the trained classifier (22,000 parameters): it knows the digits zero to four."""
    return write_folder(folder, CONFIG, _trained_state())


def write_folder(folder: Path, config: dict[str, Any], state: dict[str, torch.Tensor] | None = None) -> Path:
    """Write a folder in timm's format; weights are random where none are given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(module(config).state_dict() if state is None else state, folder / "model.safetensors")
    return folder


def module(config: dict[str, Any]) -> torch.nn.Module:
    """The module of a config with seeded random weights, made by timm itself."""
    arguments: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in config.get("model_args", {}).items()
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made: Any = timm.create_model(config["architecture"], num_classes=config["num_classes"], **arguments)
        if config.get("stem") == "cifar":
            made.conv1 = torch.nn.Conv2d(3, made.conv1.out_channels, 3, padding=1, bias=False)
            made.maxpool = torch.nn.Identity()
    network: torch.nn.Module = made
    return network


@functools.cache
def _trained_state() -> dict[str, torch.Tensor]:
    """Train on the first 100 digits of each class."""
    images, labels = pico.image_tensor(per_class=100)
    pixels = images.float().div(127.5).sub(1)
    model = module(CONFIG)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, fused=True)
        for step in range(100):
            chosen = torch.randint(len(labels), (32,))
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 100)
            optimizer.zero_grad()
            torch.autograd.backward([functional.cross_entropy(model(pixels[chosen]), labels[chosen])])
            optimizer.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def with_config(folder: Path, to: Path, config: dict[str, Any]) -> Path:
    """A copy of the folder with another config."""
    to.mkdir()
    (to / "config.json").write_text(json.dumps(config))
    (to / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return to
