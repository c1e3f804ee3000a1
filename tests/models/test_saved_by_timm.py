"""Folders that the installed timm saves are served as they are, whatever the architecture."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.models import save_for_hf

from negmerge.models.loading import load_model

SMALL = timm.list_models("test_*")
"""timm's own architectures for tests, one for each of its large families."""


def saved(folder: Path, architecture: str, **arguments: Any) -> torch.nn.Module:
    """A model with seeded random weights, and its folder as timm saves it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module: torch.nn.Module = timm.create_model(architecture, num_classes=7, **arguments)
    save_for_hf(module, str(folder), model_args=arguments, safe_serialization=True)
    return module.eval()


@pytest.mark.parametrize("architecture", SMALL)
def test_what_timm_saves_gives_timms_own_logits(architecture: str, tmp_path: Path) -> None:
    module = saved(tmp_path / "model", architecture)
    model = load_model(tmp_path / "model")
    images = torch.randint(256, (2, 3, model.preprocess.size, model.preprocess.size), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(model.features(images), module(model.pixels(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("test_resnet", {"block_args": {"attn_layer": "se"}}),
        ("test_efficientnet", {"channel_multiplier": 0.5, "depth_multiplier": 2.0}),
    ],
)
def test_what_timm_saves_with_arguments_of_its_blocks_and_widths_gives_timms_own_logits(
    architecture: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    module = saved(tmp_path / "model", architecture, **arguments)
    model = load_model(tmp_path / "model")
    images = torch.randint(256, (2, 3, model.preprocess.size, model.preprocess.size), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(model.features(images), module(model.pixels(images)), rtol=1e-4, atol=1e-5)


def test_an_architecture_with_a_tag_is_loaded_as_timm_loads_it(tmp_path: Path) -> None:
    module = saved(tmp_path / "model", "test_resnet")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"architecture": "test_resnet.r160_in1k"}))
    theirs = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).state_dict()
    ours = load_model(tmp_path / "model").original
    assert ours.keys() == theirs.keys() == module.state_dict().keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


@pytest.mark.parametrize("size", [96, (96, 96)])
def test_an_image_size_is_that_with_which_the_model_was_made(size: object, tmp_path: Path) -> None:
    saved(tmp_path / "model", "vit_base_patch32_224", img_size=size, embed_dim=16, depth=1, num_heads=2)
    assert load_model(tmp_path / "model").preprocess.size == 96


def test_what_is_saved_again_is_what_timm_saved(tmp_path: Path) -> None:
    saved(tmp_path / "model", "test_resnet")
    model = load_model(tmp_path / "model")
    model.save(model.original, tmp_path / "again")
    again = timm.create_model(f"local-dir:{tmp_path / 'again'}", pretrained=True).state_dict()
    for name, tensor in load_file(tmp_path / "model" / "model.safetensors").items():
        assert torch.equal(again[name], tensor)
