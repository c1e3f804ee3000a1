"""Models' tensors by name: compared, and changed in a copy of a model's folder."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether both have the same names with equal tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def changed(folder: Path, to: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """A copy of a model's folder with its tensors changed in place."""
    shutil.copytree(folder, to)
    [weights] = to.glob("*.safetensors")
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights)
    return to
