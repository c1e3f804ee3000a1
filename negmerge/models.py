"""Models in: from a folder of either family, or by the tag of a registry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from negmerge import checkpoints, classifiers, open_clip_config, timm_config, zero_shot
from negmerge.classifiers import Classifier
from negmerge.errors import ModelError
from negmerge.network import Network, check_fit
from negmerge.zero_shot import ZeroShotModel


def load_model(folder: Path, device: str = "cpu") -> Network:
    """Load a folder in open_clip's local-dir format, or in timm's.

    Raises ModelError where the config is missing or describes no model that we can run, CheckpointError where
    the weights cannot be read, TensorError where a tensor is missing, extra, misshapen or not finite.
    """
    if (folder / open_clip_config.CONFIG_FILE).exists() or not (folder / timm_config.CONFIG_FILE).exists():
        return load_zero_shot(folder, device)
    config = read_config(folder / timm_config.CONFIG_FILE, timm_config.check_config)
    module, tensors = _filled(folder / timm_config.WEIGHTS_FILE, lambda: classifiers.build(config))
    return Classifier(module, config, tensors, device)


def load_zero_shot(folder: Path, device: str = "cpu") -> ZeroShotModel:
    """Load a folder in open_clip's local-dir format. Raises as ``load_model``."""
    config = read_config(folder / open_clip_config.CONFIG_FILE, open_clip_config.check_config)
    module, tensors = _filled(folder / open_clip_config.WEIGHTS_FILE, lambda: zero_shot.build(config["model_cfg"]))
    return ZeroShotModel(module, config, tensors, device)


def load_tag(family: str, architecture: str, tag: str, device: str = "cpu") -> Network:
    """Load a library's own architecture with the weights of a tag, downloaded if need be. Raises ModelError."""
    if family == "timm":
        return classifiers.load_tag(architecture, tag, device)
    return zero_shot.load_tag(architecture, tag, device)


def read_config(path: Path, check: Callable[[Any], None]) -> dict[str, Any]:
    """Read and judge a model's config. Raises ModelError."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} has no {path.name}: give a folder as open_clip saves it, or timm with its config.json"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    check(config)
    assert isinstance(config, dict)
    return config


def _filled(weights: Path, build: Callable[[], torch.nn.Module]) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The module with the file's weights, and these as they are stored."""
    if not weights.is_file():
        raise ModelError(f"{weights.parent} has no {weights.name}: weights are safetensors under that name")
    tensors = checkpoints.load(weights)
    with torch.device("meta"):  # shapes without memory: a config alone must not be able to fill the machine
        skeleton = build()
    check_fit(tensors, skeleton.state_dict())
    module = build()
    module.load_state_dict(tensors)
    return module, tensors
