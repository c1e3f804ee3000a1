"""``ViTForImageClassification``: timm's vision transformer."""

from collections.abc import Iterator
from typing import Any

from negmerge.formats.hugging_face.fields import (
    Config,
    approximation,
    check_channels,
    heads,
    number,
    ratio,
    side,
    switch,
    whole,
)
from negmerge.formats.hugging_face.images import for_timm
from negmerge.formats.hugging_face.labels import outputs
from negmerge.formats.hugging_face.pairs import SUFFIXES, Pair, layer, one, stacked

MODEL_TYPE, CLASS = "vit", "ViTForImageClassification"
PASSED_OVER: tuple[str, ...] = ()

_OF_TIMM = {"norm_eps": 1e-6, "gelu": "none"}
"""What timm's is trained with, where the config of transformers mostly says an eps of 1e-12."""


def library_config(config: Config, processor: Config | None, has_tokenizer: bool) -> dict[str, Any]:
    """What timm's ``config.json`` would hold. Raises ModelError."""
    check_channels(config)
    size, width = side(config, "image_size", 224), whole(config, "hidden_size", 768)
    arguments = {
        "img_size": size,
        "patch_size": side(config, "patch_size", 16),
        "embed_dim": width,
        "depth": whole(config, "num_hidden_layers", 12),
        "num_heads": heads(config, "num_attention_heads", width, 12),
        "mlp_ratio": ratio(config, "intermediate_size", "hidden_size", (3072, 768)),
        "qkv_bias": switch(config, "qkv_bias", True),
    }
    trained = {"norm_eps": number(config, "layer_norm_eps", 1e-12), "gelu": approximation(config)}
    found = {"architecture": "vit_base_patch16_224", **outputs(config), "model_args": arguments}
    if trained != _OF_TIMM:
        found["as_trained"] = trained
    return found if processor is None else found | {"pretrained_cfg": for_timm(processor, size)}


def pairs(config: Config) -> Iterator[Pair]:
    """Every tensor there and here."""
    embeddings, biased = "vit.embeddings", switch(config, "qkv_bias", True)
    yield one(f"{embeddings}.cls_token", "cls_token")
    yield one(f"{embeddings}.position_embeddings", "pos_embed")
    yield from layer(f"{embeddings}.patch_embeddings.projection", "patch_embed.proj")
    for number_of in range(whole(config, "num_hidden_layers", 12)):
        there, here = f"vit.encoder.layer.{number_of}", f"blocks.{number_of}"
        attention = tuple(f"{there}.attention.attention.{name}" for name in ("query", "key", "value"))
        yield from stacked(attention, f"{here}.attn.qkv", SUFFIXES if biased else SUFFIXES[:1])
        yield from layer(f"{there}.attention.output.dense", f"{here}.attn.proj")
        yield from layer(f"{there}.layernorm_before", f"{here}.norm1")
        yield from layer(f"{there}.layernorm_after", f"{here}.norm2")
        yield from layer(f"{there}.intermediate.dense", f"{here}.mlp.fc1")
        yield from layer(f"{there}.output.dense", f"{here}.mlp.fc2")
    yield from layer("vit.layernorm", "norm")
    yield from layer("classifier", "head")
