"""A model's folder that is refused for its config."""

from pathlib import Path
from typing import Any

import pytest
import torch

from negmerge.errors import ModelError
from negmerge.models.classifiers import build
from negmerge.models.loading import load_model
from tests.support import pico_timm


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"architecture": "resnet18", "architecture": "resnet34"}', "the key 'architecture' is there twice"),
        ("{", "this is not JSON"),
        ('{"num_classes": NaN}', "NaN is not a JSON number"),
        ('{"architecture": "\\ud800"}', "a string holds a NUL or a lone surrogate"),
    ],
    ids=["a key twice", "cut off", "not a number", "a lone surrogate"],
)
def test_a_config_is_read_as_strictly_as_over_http(text: str, told: str, tmp_path: Path) -> None:
    folder = pico_timm.write_folder(tmp_path / "model", pico_timm.CONFIGS["resnet18"])
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=rf"config\.json: .*{told}"):
        load_model(folder)


def test_a_config_that_asks_for_more_than_its_weights_account_for_is_refused(tmp_path: Path) -> None:
    """A window of 64 × 64 has an index from each of its 4,096 places to each: 128 MiB in each of three blocks."""
    swin: dict[str, Any] = {"embed_dim": 4, "depths": [1, 1, 1], "num_heads": [1, 1, 1], "patch_size": 2}
    config = pico_timm.config("swin_tiny_patch4_window7_224", 256, img_size=512, window_size=64, **swin)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in build(config).state_dict().items()}
    folder = pico_timm.write_folder(
        tmp_path / "model", config, {name: torch.zeros(shape) for name, shape in shapes.items()}
    )
    with pytest.raises(ModelError, match=r"MiB of tensors that no weights file holds, .*: at most 256 MiB are built"):
        load_model(folder)
