"""``ResNetForImageClassification``: timm's ResNet, which has its strides in the same places."""

from collections.abc import Iterator
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.hugging_face.fields import Config, check_channels, choice, switch, whole, wholes
from negmerge.formats.hugging_face.images import for_timm
from negmerge.formats.hugging_face.labels import outputs
from negmerge.formats.hugging_face.pairs import Pair, layer, one

MODEL_TYPE, CLASS = "resnet", "ResNetForImageClassification"
PASSED_OVER: tuple[str, ...] = ()

_STEM = 64
"""Channels that timm's stem gives."""
_STAGES = 4
"""As many as timm's ResNets have."""
_EXPANSIONS = {"bottleneck": 4, "basic": 1}
_ARCHITECTURES = {"bottleneck": "resnet50", "basic": "resnet18"}
_CONVOLUTIONS = {"bottleneck": 3, "basic": 2}
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def library_config(config: Config, processor: Config | None, has_tokenizer: bool) -> dict[str, Any]:
    """What timm's ``config.json`` would hold. Raises ModelError."""
    check_channels(config)
    kind, sizes, depths = _kind(config), _sizes(config), _depths(config)
    if whole(config, "embedding_size", _STEM) != _STEM:
        raise ModelError(
            f'"embedding_size" is {config["embedding_size"]}: timm\'s ResNets have a stem of {_STEM} channels'
        )
    choice(config, "hidden_act", "relu", ("relu",))
    for place in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if switch(config, place, False):
            raise ModelError(
                f'"{place}" is true: timm\'s ResNets have their strides elsewhere, so the answers would differ'
            )
    if not len(sizes) == len(depths) == _STAGES:
        raise ModelError(f'"hidden_sizes" and "depths" must have {_STAGES} stages each, as timm\'s ResNets have')
    channels = [size // _EXPANSIONS[kind] for size in sizes]
    if any(size % _EXPANSIONS[kind] for size in sizes):
        raise ModelError('"hidden_sizes" of bottleneck layers must be multiples of 4')
    arguments = {"layers": depths, "channels": channels}
    found = {"architecture": _ARCHITECTURES[kind], **outputs(config), "model_args": arguments}
    return found if processor is None else found | {"pretrained_cfg": for_timm(processor, None)}


def pairs(config: Config) -> Iterator[Pair]:
    """Every tensor there and here, BatchNorm's statistics too."""
    kind, sizes = _kind(config), _sizes(config)
    yield from _convolution("resnet.embedder.embedder", "conv1", "bn1")
    before = _STEM
    for stage, (size, depth) in enumerate(zip(sizes, _depths(config), strict=True)):
        for number in range(depth):
            there, here = f"resnet.encoder.stages.{stage}.layers.{number}", f"layer{stage + 1}.{number}"
            for place in range(_CONVOLUTIONS[kind]):
                yield from _convolution(f"{there}.layer.{place}", f"{here}.conv{place + 1}", f"{here}.bn{place + 1}")
            if number == 0 and (stage > 0 or before != size):
                yield from _convolution(f"{there}.shortcut", f"{here}.downsample.0", f"{here}.downsample.1")
        before = size
    yield from layer("classifier.1", "fc")


def _convolution(there: str, convolution: str, norm: str) -> Iterator[Pair]:
    yield one(f"{there}.convolution.weight", f"{convolution}.weight")
    yield from layer(f"{there}.normalization", norm, _NORM)


def _kind(config: Config) -> str:
    return choice(config, "layer_type", "bottleneck", tuple(_EXPANSIONS))


def _sizes(config: Config) -> list[int]:
    return wholes(config, "hidden_sizes", [256, 512, 1024, 2048], _STAGES)


def _depths(config: Config) -> list[int]:
    return wholes(config, "depths", [3, 4, 6, 3], _STAGES)
