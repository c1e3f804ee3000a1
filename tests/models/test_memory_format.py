"""How the towers of CLIPs lie in memory: channels last where they convolve, and the answers stay open_clip's."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from negmerge.models.loading import load_zero_shot
from negmerge.models.memory_format import has_convolutions, memory_format
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.spec.sweep import HyperParameters
from negmerge.training.fine_tune import fine_tune
from tests.support import pico

TOWERS: dict[str, dict[str, Any]] = {
    "ModifiedResNet": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "timm's ResNet": {
        "image_size": 32,
        "timm_model_name": "resnet18",
        "timm_pool": "avg",
        "timm_proj": "linear",
    },
    "ViT": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 2},
}
CONVOLVING = ["ModifiedResNet", "timm's ResNet"]
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
CLASSES = ["one", "two", "three"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of each tower a CLIP with random weights, as open_clip saves it."""
    made = {}
    for name, tower in TOWERS.items():
        folder = tmp_path_factory.mktemp("towers") / "model"
        folder.mkdir()
        config = {"embed_dim": 16, "vision_cfg": tower, "text_cfg": TEXT}
        preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
        (folder / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": config, "preprocess_cfg": preprocess | {"size": 32}})
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            module = open_clip.CLIP(**json.loads(json.dumps(config)))
        save_file(module.state_dict(), folder / "open_clip_model.safetensors")
        made[name] = folder
    return made


def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def weights_lie_last(model: ZeroShotModel) -> bool:
    """Whether every convolution of more than one pixel and channel lies with its channels last."""
    kernels = [part.weight for part in model.tuned.modules() if isinstance(part, torch.nn.Conv2d)]
    wide = [kernel for kernel in kernels if kernel.shape[1] > 1 and kernel.shape[2] > 1]
    assert wide
    return all(not kernel.is_contiguous() for kernel in wide)


@pytest.mark.slow
@pytest.mark.parametrize("tower", CONVOLVING)
def test_a_tower_that_convolves_lies_with_its_channels_last_and_so_do_its_pixels(
    folders: dict[str, Path], tower: str
) -> None:
    model = load_zero_shot(folders[tower])
    assert weights_lie_last(model)
    assert model.pixels(images()).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_a_transformer_stays_as_it_lies(folders: dict[str, Path]) -> None:
    model = load_zero_shot(folders["ViT"])
    assert not weights_lie_last(model)
    assert model.pixels(images()).is_contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("tower", list(TOWERS))
def test_features_are_those_of_open_clip(folders: dict[str, Path], tower: str) -> None:
    model = load_zero_shot(folders[tower])
    reference = open_clip.create_model(f"local-dir:{folders[tower]}").eval()
    with torch.no_grad():
        expected = reference.encode_image(((images() / 255) - 0.5) / 0.25)
        torch.testing.assert_close(model.features(images()), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("tower", CONVOLVING)
def test_a_trained_point_of_it_is_the_one_of_plain_layout_but_for_rounding(
    folders: dict[str, Path], tower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hyper = HyperParameters(learning_rate=1e-3, epochs=1, batch_size=3, optimizer="sgd")

    def trained() -> dict[str, Tensor]:
        model = load_zero_shot(folders[tower])
        head = model.head(CLASSES, pico.TEMPLATES)
        return fine_tune(model, images(), torch.arange(6) % 3, head, hyper, 0).state

    last = trained()
    monkeypatch.setattr("negmerge.models.zero_shot.has_convolutions", lambda module: False)
    plain = trained()
    for name, tensor in plain.items():
        torch.testing.assert_close(last[name], tensor, atol=1e-4, rtol=1e-3)


def test_one_convolution_is_that_of_patches() -> None:
    patches = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.Linear(8, 8))
    assert not has_convolutions(patches)
    assert has_convolutions(torch.nn.Sequential(patches, torch.nn.Conv2d(8, 8, 3)))
    assert memory_format(patches) == torch.channels_last
