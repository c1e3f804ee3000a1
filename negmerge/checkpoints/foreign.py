"""Weights as trainers leave them: found in what lies around them, or called by their kind where they are not read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from negmerge.checkpoints.files import DTYPES, load_tensors, placement
from negmerge.checkpoints.kinds import is_safetensors, recognised
from negmerge.checkpoints.nests import at, found, places
from negmerge.checkpoints.unpickling import Inert, unpickled
from negmerge.errors import CheckpointError, TensorError
from negmerge.naming import shown

_MOST_REPEATED = 2**26
"""Bytes that a tensor may have more than its file: an expanded mask is small, and a file of a kilobyte must be."""


def read_state(file: Path, key: str | None = None) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a file of torch.save or of safetensors, or from a folder of either.

    A file is known by its bytes, whatever it is called. key: where in a checkpoint the weights lie, with dots between
    keys, which are whole numbers in a list; by default the only one of ``NESTS`` that has any. Raises CheckpointError,
    naming the kind of file or the key at fault, and TensorError.
    """
    file = recognised(file)
    if file.is_dir() or is_safetensors(file):
        if key is not None:
            raise CheckpointError(f"{file} is safetensors, which has no keys: leave --key out")
        return _untied(load_tensors(file), placement(file).metadata)
    document = unpickled(file)
    document = found(document, file) if key is None else at(document, key, file)
    return _tensors(document, file)


def _untied(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """With those that safetensors' ``save_model`` leaves out, since they are one with another that it names."""
    return tensors | {name: tensors[kept] for name, kept in metadata.items() if kept in tensors and name not in tensors}


def _tensors(document: Any, file: Path) -> dict[str, Tensor]:
    where = f": {', '.join(keys)}" if (keys := places(document)) else ""
    if not isinstance(document, Mapping) or not document:
        told = f", or say with --key where it lies{where}" if where else ""
        raise CheckpointError(
            f"{file} holds a {type(document).__name__}, no tensors by name: save model.state_dict(){told}"
        )
    for name, tensor in document.items():
        if "_packed_params" in str(name) or (isinstance(tensor, Tensor) and tensor.is_quantized):
            raise CheckpointError(f"{file} is quantised, at {shown(str(name)[:100])}: save the float model")
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{file} holds something of type {_kind(tensor)} as {shown(str(name)[:100])}: "
                f"give the state dict alone, or say with --key where it lies{where}"
            )
        if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in DTYPES.values():
            raise TensorError(name, f"is {tensor.dtype}, {tensor.layout} on {tensor.device}: give plain dense numbers")
        if tensor.nbytes > tensor.untyped_storage().nbytes() + _MOST_REPEATED:
            raise TensorError(name, f"has {tensor.nbytes} bytes by repeating a few: save it with .contiguous()")
    return {name: tensor.detach() for name, tensor in document.items()}


def _kind(value: Any) -> str:
    return "numpy's or another that is not read" if isinstance(value, Inert) else type(value).__name__
