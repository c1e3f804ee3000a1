"""ResNets of CIFAR's own kind against their paper, and checkpoints of the published kind."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from negmerge.formats.timm_config import CIFAR_RESNETS, check_config
from negmerge.models.cifar_resnets import Block, build
from negmerge.models.convert import convert
from negmerge.models.loading import load_model

PUBLISHED = Path("../shared/data/resnet-cifar10")


@pytest.mark.parametrize(("name", "millions"), list(zip(CIFAR_RESNETS, (0.27, 0.46, 0.66, 0.85, 1.7), strict=True)))
def test_each_has_the_papers_number_of_weights(name: str, millions: float) -> None:
    """He et al. 2016, table 6."""
    count = sum(parameter.numel() for parameter in build(name, 10).parameters())
    assert round(count / 1e6, 2 if millions < 1 else 1) == millions


def test_a_shortcut_takes_every_other_pixel_and_has_zeros_for_new_channels() -> None:
    block = Block(2, 4, 2).eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)  # so that nothing but the shortcut is left
    images = torch.arange(1.0, 33).reshape(1, 2, 4, 4)
    expected = torch.zeros(1, 4, 2, 2)
    expected[0, 1:3] = torch.tensor([[[1.0, 3], [9, 11]], [[17, 19], [25, 27]]])
    assert torch.equal(block(images), expected)


def config(name: str) -> dict[str, Any]:
    return {"architecture": name, "num_classes": 10}


def of_the_published_kind(state: dict[str, Tensor]) -> dict[str, Any]:
    """As akamaster/pytorch_resnet_cifar10 saved them."""
    old = {name.replace("fc.", "linear."): tensor for name, tensor in state.items() if "num_batches" not in name}
    return {"state_dict": {f"module.{name}": tensor for name, tensor in old.items()}, "best_prec1": 91.7}


def test_a_checkpoint_of_the_published_kind_is_brought_in(tmp_path: Path) -> None:
    module = build("cifar_resnet20", 10).eval()
    torch.save(of_the_published_kind(dict(module.state_dict())), tmp_path / "resnet20.th")
    (tmp_path / "config.json").write_text(json.dumps(config("cifar_resnet20")))

    converted = convert(tmp_path / "resnet20.th", tmp_path / "config.json", tmp_path / "model")

    assert converted.done == (
        "took 'module.' off all names",
        "renamed 'linear' to 'fc'",
        "began 19 counters of BatchNorm at 0",
    )
    model = load_model(tmp_path / "model")
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(model.features(images), module(model.pixels(images)), atol=1e-5)


@pytest.mark.parametrize("key", ["model_args", "stem"])
def test_an_architecture_of_ours_is_built_one_way(key: str) -> None:
    values = {"model_args": {"num_classes": 10}, "stem": "cifar"}
    with pytest.raises(Exception, match="is built one way"):
        check_config(config("cifar_resnet20") | {key: values[key]})


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published weights are not on this machine")
@pytest.mark.parametrize(("file", "name"), [("resnet20-12fca82f.th", 20), ("resnet56-4bfd9763.th", 56)])
def test_the_published_weights_are_brought_in(tmp_path: Path, file: str, name: int) -> None:
    """Against the same network written out by hand, layer by layer."""
    (tmp_path / "config.json").write_text(json.dumps(config(f"cifar_resnet{name}")))
    convert(PUBLISHED / file, tmp_path / "config.json", tmp_path / "model")
    model = load_model(tmp_path / "model")
    images = torch.randint(256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    state = torch.load(PUBLISHED / file, map_location="cpu", weights_only=True)["state_dict"]
    with torch.inference_mode():
        assert torch.allclose(model.features(images), by_hand(state, model.pixels(images)), rtol=1e-4, atol=1e-4)


def by_hand(state: dict[str, Tensor], found: Tensor) -> Tensor:
    """The published network's logits from its own tensors."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}

    def convolved(images: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        images = functional.conv2d(images, state[f"{conv}.weight"], stride=stride, padding=1)
        mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
        return functional.batch_norm(images, mean, var, state[f"{bn}.weight"], state[f"{bn}.bias"])

    found = convolved(found, "conv1", "bn1").relu()
    for at in dict.fromkeys(key.rsplit(".", 2)[0] for key in state if key.startswith("layer")):
        new = state[f"{at}.conv1.weight"].shape[0] - found.shape[1]
        shortcut = functional.pad(found[:, :, ::2, ::2], (0, 0, 0, 0, new // 2, new // 2)) if new else found
        inner = convolved(found, f"{at}.conv1", f"{at}.bn1", 2 if new else 1).relu()
        found = (convolved(inner, f"{at}.conv2", f"{at}.bn2") + shortcut).relu()
    return functional.linear(found.mean((2, 3)), state["linear.weight"], state["linear.bias"])
