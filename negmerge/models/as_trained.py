"""A module's layers set to what the model was trained with, where its library builds them a little otherwise."""

from collections.abc import Mapping
from typing import Any

import torch

from negmerge.formats.as_trained import KEY

_GELUS = ("GELU", "GELUTanh")
"""What torch and timm call them."""


def as_trained(module: torch.nn.Module, config: Mapping[str, Any]) -> torch.nn.Module:
    """The module itself, its LayerNorms and GELUs as ``formats.as_trained`` has them, if the config says so."""
    said = config.get(KEY)
    if said is None:
        return module
    for part in module.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = said["norm_eps"]
        for name, child in part.named_children():
            if type(child).__name__ in _GELUS:
                setattr(part, name, torch.nn.GELU(approximate=said["gelu"]))
    return module
