"""A config for weights that were trained elsewhere, from no more than the name of a built-in architecture."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import open_clip
import timm
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor

from negmerge.errors import ModelError
from negmerge.formats.timm_config import CIFAR_RESNETS, CIFAR_STEM, PREPROCESS
from negmerge.models import classifiers
from negmerge.models.building import skeleton
from negmerge.models.fitting import HEADS, check_named

_STEM = "conv1.weight"
_SMALL = 32
"""Pixels a side of the images that a 3×3 stem is for."""
_USUAL = 1000
"""Outputs that an architecture is first looked at with."""


@dataclass(frozen=True)
class Guessed:
    """A config, and what nobody told it, in words: whoever trained the model knows better."""

    config: dict[str, Any]
    told: tuple[str, ...]


def config_for(architecture: str, state: Mapping[str, Tensor], classes: int | None = None) -> Guessed:
    """The config of a built-in architecture with these weights. Raises ModelError.

    classes: how many outputs a classifier has; by default as many as the weights' one head.
    """
    if architecture in open_clip.list_models() and any(".visual." in f".{name}" for name in state):
        return _of_open_clip(architecture)
    if architecture in CIFAR_RESNETS or timm.is_model(architecture):
        return _of_timm(architecture, state, classes)
    known = [*open_clip.list_models(), *timm.list_models(), *CIFAR_RESNETS]
    if architecture in known:
        raise ModelError(f"{architecture} is a CLIP of open_clip's, and the weights have no image tower (visual.…)")
    near = ", ".join(difflib.get_close_matches(architecture[:100], known, 3))
    raise ModelError(
        f"neither open_clip nor timm has an architecture {architecture[:100]!r}"
        + (f": did you mean {near}?" if near else "")
    )


def _of_open_clip(architecture: str) -> Guessed:
    """Images as all published weights of the architecture have them, else as OpenAI's have."""
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    ways = [_way(open_clip.get_pretrained_cfg(architecture, tag)) for tag in tags]
    way = ways[0] if ways and all(one == ways[0] for one in ways) else _way({})
    model_cfg = open_clip.get_model_config(architecture)
    quick = "QuickGELU, as OpenAI's weights" if model_cfg.get("quick_gelu") else "the plain GELU"
    other = "" if model_cfg.get("quick_gelu") else "; for weights that began as OpenAI's, name the -quickgelu one"
    told = (f"{architecture} is built with {quick}{other}", _pixels(way))
    return Guessed({"model_cfg": model_cfg, "preprocess_cfg": way}, told)


def _way(published: Mapping[str, Any]) -> dict[str, Any]:
    """How images become pixels, as open_clip's registry has it of published weights."""
    merged = merge_preprocess_dict(PreprocessCfg(), dict(published))
    return {key: _listed(merged[key]) for key in ("mean", "std", "interpolation", "resize_mode")}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _of_timm(architecture: str, state: Mapping[str, Tensor], classes: int | None) -> Guessed:
    config: dict[str, Any] = {"architecture": architecture, "num_classes": _USUAL}
    shape = skeleton(lambda: classifiers.build(config))
    expected = shape.state_dict()
    check_named(state, expected)
    told = []
    if classes is None:
        config["num_classes"] = _outputs(state, expected)
        told.append(f"the head has {config['num_classes']} outputs")
    else:
        config["num_classes"] = classes
    small = architecture in CIFAR_RESNETS or _has_small_stem(state, expected)
    if small and architecture not in CIFAR_RESNETS:
        config["stem"] = CIFAR_STEM
        told.append("the stem is the 3×3 one of small images")
    way = classifiers.data_config(shape, config) | ({"input_size": (3, _SMALL, _SMALL)} if small else {})
    config["pretrained_cfg"] = {key: _listed(way[key]) for key in PREPROCESS}
    return Guessed(config, (*told, _pixels(way)))


def _outputs(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> int:
    """How many outputs the weights' head has: the one layer that is called as heads are and takes as many numbers."""
    ours = [name for name, tensor in expected.items() if name.endswith(".weight") and tensor.shape[0] == _USUAL]
    inputs = {expected[name].shape[1:] for name in ours if expected[name].ndim > 1}
    own = {tensor.shape[0] for name, tensor in state.items() if _ends_as(name, ours) and tensor.shape[1:] in inputs}
    named = [f"{head}.weight" for head in HEADS]
    other = {tensor.shape[0] for name, tensor in state.items() if _is_head(name, named) and tensor.shape[1:] in inputs}
    for found in (own, other):
        if len(found) == 1:
            return int(found.pop())
    raise ModelError("the weights do not show how many outputs their head has: give --classes")


def _ends_as(name: str, wanted: Iterable[str]) -> bool:
    return any(f".{name}".endswith(f".{one}") for one in wanted)


def _is_head(name: str, named: Iterable[str]) -> bool:
    """Whether a layer is called as heads are, itself or as a place in a sequence (``fc.1.weight``)."""
    return _ends_as(re.sub(r"\.\d+(?=\.\w+$)", "", name), named)


def _has_small_stem(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether the first convolution is 3×3 where the architecture's is 7×7."""
    theirs = [tensor.shape[2:] for name, tensor in state.items() if _ends_as(name, [_STEM]) and tensor.ndim == 4]
    three, seven = torch.Size([3, 3]), torch.Size([7, 7])
    return _STEM in expected and expected[_STEM].shape[2:] == seven and three in theirs and seven not in theirs


def _pixels(way: Mapping[str, Any]) -> str:
    numbers = {key: [round(float(number), 4) for number in way[key]] for key in ("mean", "std")}
    return (
        f"images become pixels with mean {numbers['mean']} and std {numbers['std']}: if the training had others, "
        "change them in the folder's config"
    )
