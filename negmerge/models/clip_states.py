"""open_clip's state dicts: by the names that a config asks for, and what a config should say for one to fit."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from negmerge.errors import TensorError

_OF_TEXT = ("text_projection", "positional_embedding", "token_embedding", "transformer", "ln_final")
"""First parts of the text tower's names in a CLIP; with ``custom_text`` they all lie under ``text.``."""
_OF_OPENAI = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's files have among the weights, and the config says."""
_SCALARS = ("logit_scale", "logit_bias")
_POSITIONS = {
    "visual.positional_embedding": "visual.conv1.weight",
    "visual.attnpool.positional_embedding": "",
}
"""An image tower's embeddings of places, and the convolution as wide as a patch. No key says a timm tower's size."""
_RESNET_PATCH = 32
"""Pixels a side for each place of a ResNet's last layer."""
_IMAGE_SIZE, _CONTEXT_LENGTH = 224, 77
"""What open_clip takes where a config does not say."""

Tensors = dict[str, Tensor]


def with_text_tower(state: Mapping[str, Tensor], custom_text: bool) -> Tensors:
    """The text tower's tensors under ``text.``, or not, as a model with ``custom_text`` has them, or one without.

    As open_clip's ``convert_to_custom_text_state_dict``, and the other way round. The towers compute the same.
    """
    if custom_text:
        return {f"text.{name}" if _is_of_text(name) else name: tensor for name, tensor in state.items()}
    plain = {name: name.removeprefix("text.") for name in state}
    return {plain[name] if _is_of_text(plain[name]) else name: tensor for name, tensor in state.items()}


def as_open_clip_loads(state: Mapping[str, Tensor], model_cfg: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """A CLIP's tensors by the names with ``custom_text``, where the config says so, as open_clip loads them."""
    old = "positional_embedding" in state and "text.positional_embedding" not in state
    return with_text_tower(state, custom_text=True) if old and model_cfg.get("custom_text") else state


def _is_of_text(name: str) -> bool:
    return name.partition(".")[0] in _OF_TEXT


def fitted_clip(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """The tensors by the names and shapes of ``expected`` as far as that is plain, and what was done, in words."""
    found, done = dict(state), []
    if numbers := [name for name in _OF_OPENAI if name in found and name not in expected and found[name].ndim == 0]:
        found = {name: tensor for name, tensor in found.items() if name not in numbers}
        done.append(f"left out {', '.join(numbers)}, which the config says")
    custom = "text.positional_embedding" in expected
    moved = with_text_tower(found, custom)
    new = moved.keys() - found.keys()
    if new and new <= expected.keys() and len(moved) == len(found):
        found = moved
        done.append("put the text tower " + ("under 'text.'" if custom else "where a CLIP without custom_text has it"))
    for name in _SCALARS:
        if name in found and name in expected and {found[name].ndim, expected[name].ndim} == {0, 1}:
            found[name] = found[name].reshape(expected[name].shape)
            done.append(f"made {name!r} {'one number' if found[name].ndim == 0 else 'a list of one number'}")
    return found, done


def with_remedy(
    error: TensorError, state: Mapping[str, Tensor], expected: Mapping[str, Tensor], model_cfg: Mapping[str, Any]
) -> TensorError:
    """The error with what the config should say instead, where the tensors tell it."""
    name = error.tensor
    if name in state and name in expected:
        remedy = _remedy_of_shape(name, state[name], expected, model_cfg)
    elif name == "logit_bias":
        remedy = 'set "init_logit_bias" in model_cfg, such as -10' if name in state else _LEAVE_BIAS
    elif name not in state and f"text.{name}" in state:
        remedy = 'set "custom_text" to true in model_cfg'
    else:
        remedy = ""
    return TensorError(name, f"{error.detail}. Where these are the weights meant, {remedy}") if remedy else error


_LEAVE_BIAS = 'leave "init_logit_bias" out of model_cfg'


def _remedy_of_shape(name: str, tensor: Tensor, expected: Mapping[str, Tensor], model_cfg: Mapping[str, Any]) -> str:
    """What the config should say for a tensor of this shape; nothing where that is not plain."""
    ours = expected[name].shape
    if name in _SCALARS:
        return f'set "nonscalar_logit_scale" to {"true" if tensor.ndim else "false"} in model_cfg'
    if tensor.ndim != len(ours) or tensor.shape[-1] != ours[-1]:
        return ""
    if name in ("positional_embedding", "text.positional_embedding"):
        length = model_cfg["text_cfg"].get("context_length", _CONTEXT_LENGTH) + tensor.shape[0] - ours[0]
        return f"set text_cfg.context_length to {length}"
    size = model_cfg["vision_cfg"].get("image_size", _IMAGE_SIZE)
    if name not in _POSITIONS or not isinstance(size, int):
        return ""
    patch = expected[_POSITIONS[name]].shape[-1] if _POSITIONS[name] else _RESNET_PATCH
    places = tensor.shape[-2] - (ours[-2] - (size // patch) ** 2)
    side = isqrt(max(places, 0))
    return f"set vision_cfg.image_size to {side * patch}" if side and side * side == places else ""
