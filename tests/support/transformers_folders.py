"""Small models of transformers with random weights, in folders as its own ``save_pretrained`` writes them."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ConvNextImageProcessor,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)
from transformers.utils import logging

from tests.support import towers

DIGITS = ["zero", "one", "two", "three", "four"]
LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(DIGITS)),
    "label2id": {name: place for place, name in enumerate(DIGITS)},
}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
IMAGES: dict[str, Any] = {"image_size": 16, "patch_size": 4}


def clip(act: str = "quick_gelu", **text: Any) -> PreTrainedModel:
    """A CLIP whose tokenizer is CLIP's own."""
    words = {"bos_token_id": 49406, "eos_token_id": 49407, "vocab_size": 49408}
    tower = TOWER | {"hidden_act": act}
    config = CLIPConfig(text_config=tower | words | text, vision_config=tower | IMAGES, projection_dim=24)
    return _random(CLIPModel(config))


def siglip(image_act: str = "gelu_pytorch_tanh") -> PreTrainedModel:
    """A SigLIP with the smallest image tower that open_clip takes, and a small text tower."""
    words = {"vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 1}
    text = TOWER | words | {"projection_size": 768}
    return _random(SiglipModel(SiglipConfig(text_config=text, vision_config={"hidden_act": image_act})))


def vit(**fields: Any) -> PreTrainedModel:
    """With transformers' own eps, which is not timm's."""
    return _random(ViTForImageClassification(ViTConfig(**TOWER | IMAGES | LABELS | fields)))


def resnet(**fields: Any) -> PreTrainedModel:
    """Of bottlenecks."""
    config: dict[str, Any] = {"hidden_sizes": [32, 64, 32, 64], "depths": [1, 2, 1, 1]} | LABELS | fields
    return _random(ResNetForImageClassification(ResNetConfig(**config)))


def basic_resnet() -> PreTrainedModel:
    """Of plain blocks, the first stage without a shortcut's convolution."""
    return resnet(layer_type="basic", hidden_sizes=[64, 32, 16, 32])


def swin(**fields: Any) -> PreTrainedModel:
    """Of two stages, with a shifted window in the first."""
    sizes: dict[str, Any] = {
        "image_size": 32,
        "patch_size": 2,
        "embed_dim": 16,
        "depths": [2, 1],
        "num_heads": [1, 2],
        "window_size": 4,
    }
    return _random(SwinForImageClassification(SwinConfig(**sizes | LABELS | fields)))


COLOURS: dict[str, Any] = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}
PROCESSORS: dict[str, Any] = {
    "clip": CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, resample=2, **COLOURS
    ),
    "siglip": SiglipImageProcessor(resample=2, **COLOURS),
    "vit": ViTImageProcessor(size={"height": 16, "width": 16}, resample=3, **COLOURS),
    "resnet": ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.8, resample=2, **COLOURS),
    "swin": ViTImageProcessor(size={"height": 32, "width": 32}, do_normalize=False),
}
"""By ``model_type``, none of them as its class has it by itself."""


def save(model: PreTrainedModel, folder: Path, **how: Any) -> Path:
    """Write the model with its processor, and with a tokenizer where it has none of CLIP's own."""
    bars: Any = logging
    bars.disable_progress_bar()  # they would stand among what the commands say
    model.save_pretrained(folder, **how)
    kind = str(model.config.model_type)
    PROCESSORS[kind].save_pretrained(folder)
    if kind == "siglip" or (kind == "clip" and model.config.text_config.vocab_size == 64):
        towers.t5().save_pretrained(folder)
    return folder


def processor_of(place: Path | str, **how: Any) -> Any:
    """transformers' own processor of a folder, or of a repository on a hub."""
    kind: Any = AutoImageProcessor
    return kind.from_pretrained(place, **how)


def _random(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough for each part of the arithmetic to be seen in the answers; buffers too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.startswith("logit_") or not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            else:
                spread = 1 / tensor.shape[-1] ** 0.5 if tensor.ndim > 1 else 0.3
                tensor.normal_(float("norm" in name and name.endswith("weight")), spread, generator=generator)
    model.train(False)
    return model
