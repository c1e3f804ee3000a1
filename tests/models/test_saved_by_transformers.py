"""Folders that transformers itself saves: each is called by its name, with what to do."""

from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPConfig, CLIPModel, PreTrainedModel, SiglipConfig, SiglipModel, ViTConfig
from transformers import ViTForImageClassification as ViT

from negmerge.errors import ModelError
from negmerge.models.convert import convert
from negmerge.models.loading import load_model

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
VISION = SMALL | {"image_size": 16, "patch_size": 8}


def clip() -> PreTrainedModel:
    return CLIPModel(CLIPConfig(text_config=SMALL | {"vocab_size": 64}, vision_config=VISION, projection_dim=8))


def siglip() -> PreTrainedModel:
    return SiglipModel(SiglipConfig(text_config=SMALL | {"vocab_size": 64}, vision_config=VISION))


def vit() -> PreTrainedModel:
    return ViT(ViTConfig(**VISION))


@pytest.fixture(scope="module", params=[clip, siglip, vit])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The kind, and the folder."""
    kind: str = request.param.__name__
    folder = tmp_path_factory.mktemp("transformers") / kind
    request.param().save_pretrained(folder)
    return kind, folder


def test_it_is_called_by_its_name(saved: tuple[str, Path]) -> None:
    kind, folder = saved
    with pytest.raises(
        ModelError, match=rf"one of Hugging Face transformers \('{kind}'\): give the model in open_clip"
    ):
        load_model(folder)


def test_convert_does_not_take_its_config_either(saved: tuple[str, Path], tmp_path: Path) -> None:
    kind, folder = saved
    with pytest.raises(ModelError, match=rf"one of Hugging Face transformers \('{kind}'\)"):
        convert(folder, folder / "config.json", tmp_path / "out")
