"""``SwinForImageClassification``: timm's Swin transformer, which merges patches before a stage, not after it."""

from collections.abc import Iterator
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.hugging_face.fields import (
    Config,
    approximation,
    check_channels,
    number,
    side,
    switch,
    whole,
    wholes,
)
from negmerge.formats.hugging_face.images import for_timm
from negmerge.formats.hugging_face.labels import outputs
from negmerge.formats.hugging_face.pairs import SUFFIXES, Pair, layer, one, stacked

MODEL_TYPE, CLASS = "swin", "SwinForImageClassification"
PASSED_OVER = (".attention.self.relative_position_index",)
"""Numbers of places that older files have among the weights."""

_EPS = 1e-5
"""Of the layers that no config can change, and of timm's all."""
_MOST_STAGES = 8


def library_config(config: Config, processor: Config | None, has_tokenizer: bool) -> dict[str, Any]:
    """What timm's ``config.json`` would hold. Raises ModelError."""
    check_channels(config)
    if switch(config, "use_absolute_embeddings", False):
        raise ModelError('"use_absolute_embeddings" is true: timm\'s Swin transformers have no places added to patches')
    if number(config, "layer_norm_eps", _EPS) != _EPS:
        raise ModelError(
            f'"layer_norm_eps" is {config["layer_norm_eps"]!r:.20}: timm\'s Swin transformers have {_EPS:g}'
        )
    depths = wholes(config, "depths", [2, 2, 6, 2], _MOST_STAGES)
    heads = wholes(config, "num_heads", [3, 6, 12, 24], _MOST_STAGES)
    if len(depths) != len(heads):
        raise ModelError(f'"depths" has {len(depths)} stages, "num_heads" {len(heads)}')
    size, patch, window = (
        side(config, "image_size", 224),
        side(config, "patch_size", 4),
        whole(config, "window_size", 7),
    )
    _check_windows(size, patch, window, len(depths))
    arguments = {
        "img_size": size,
        "patch_size": patch,
        "embed_dim": whole(config, "embed_dim", 96),
        "depths": depths,
        "num_heads": heads,
        "window_size": window,
        "mlp_ratio": number(config, "mlp_ratio", 4.0),
        "qkv_bias": switch(config, "qkv_bias", True),
    }
    found = {"architecture": "swin_tiny_patch4_window7_224", **outputs(config), "model_args": arguments}
    if (gelu := approximation(config)) != "none":
        found["as_trained"] = {"norm_eps": _EPS, "gelu": gelu}
    return found if processor is None else found | {"pretrained_cfg": for_timm(processor, size)}


def pairs(config: Config) -> Iterator[Pair]:
    """Every tensor there and here."""
    yield from layer("swin.embeddings.patch_embeddings.projection", "patch_embed.proj")
    yield from layer("swin.embeddings.norm", "patch_embed.norm")
    depths, biased = wholes(config, "depths", [2, 2, 6, 2], _MOST_STAGES), switch(config, "qkv_bias", True)
    for stage, depth in enumerate(depths):
        there, here = f"swin.encoder.layers.{stage}", f"layers.{stage}"
        for block in range(depth):
            yield from _block(f"{there}.blocks.{block}", f"{here}.blocks.{block}", biased)
        if stage + 1 < len(depths):
            yield from layer(f"{there}.downsample.norm", f"layers.{stage + 1}.downsample.norm")
            yield one(f"{there}.downsample.reduction.weight", f"layers.{stage + 1}.downsample.reduction.weight")
    yield from layer("swin.layernorm", "norm")
    yield from layer("classifier", "head.fc")


def _block(there: str, here: str, biased: bool) -> Iterator[Pair]:
    attention = tuple(f"{there}.attention.self.{name}" for name in ("query", "key", "value"))
    yield from stacked(attention, f"{here}.attn.qkv", SUFFIXES if biased else SUFFIXES[:1])
    table = "relative_position_bias_table"
    yield one(f"{there}.attention.self.{table}", f"{here}.attn.{table}")
    yield from layer(f"{there}.attention.output.dense", f"{here}.attn.proj")
    yield from layer(f"{there}.layernorm_before", f"{here}.norm1")
    yield from layer(f"{there}.layernorm_after", f"{here}.norm2")
    yield from layer(f"{there}.intermediate.dense", f"{here}.mlp.fc1")
    yield from layer(f"{there}.output.dense", f"{here}.mlp.fc2")


def _check_windows(size: int, patch: int, window: int, stages: int) -> None:
    """Raise ModelError where windows do not fill a stage: the two libraries fill up, and cut, in different ways."""
    side_of_stage, rest = divmod(size, patch)
    for stage in range(stages):
        if rest or side_of_stage % window:
            raise ModelError(
                f'"window_size" {window} does not divide the {side_of_stage} places a side of stage {stage + 1} '
                f'("image_size" {size}, "patch_size" {patch}): timm would fill it up in another way'
            )
        side_of_stage, rest = divmod(side_of_stage, 2)
