"""A state dict that torch.save wrote, as a model's folder: tensors and plain values are unpickled, never code."""

import pickle
import re
import secrets
import shutil
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from negmerge.checkpoints.files import DTYPES, load_tensors, writing
from negmerge.errors import CheckpointError, TensorError
from negmerge.formats.families import family_of
from negmerge.models import loading as models
from negmerge.models.network import UNBUILDABLE

NESTS = ("state_dict", "model", "model_state_dict")
"""Where training scripts keep the weights beside the epoch and the optimizer."""
PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""

_UNREADABLE = (*UNBUILDABLE, EOFError, OSError, struct.error)
"""What torch.load raises for what torch.save never wrote, besides UnpicklingError."""


def convert(file: Path, config_file: Path, folder: Path) -> str:
    """Write the weights of ``file`` and the config as the folder that the config's library loads.

    file: a pickled state dict, or safetensors. config_file: the JSON of an ``open_clip_config.json``, or of timm's
    ``config.json``. folder: made here, whole or not at all; must not exist. Tensors keep their types.
    Returns ``sha256:…`` of the weights file. Raises ModelError for a config that describes no model we can run,
    CheckpointError for what is no state dict, TensorError for a tensor that does not fit the architecture.
    """
    config = models.read_config(config_file, family_of)
    model = models.of_tensors(config, without_prefix(read_state(file)))
    unfinished = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        digest = model.save(model.original, unfinished)
        with writing(folder):
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return digest


def read_state(file: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a file of torch.save or of safetensors.

    A checkpoint's weights may lie under one of ``NESTS``. Raises CheckpointError, naming the key that is no tensor.
    """
    if file.suffix == ".safetensors":
        return load_tensors(file)
    document = _unpickled(file)
    while isinstance(document, Mapping) and (nest := next((n for n in NESTS if _is_state(document.get(n))), None)):
        document = document[nest]
    if not _is_state(document):
        raise CheckpointError(f"{file} holds a {type(document).__name__}, no tensors by name: save model.state_dict()")
    for name, tensor in document.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{file} holds something of type {type(tensor).__name__} as {str(name)[:100]!r}: "
                f"give the state dict alone, or under one of {', '.join(NESTS)}"
            )
        if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in DTYPES.values():
            raise TensorError(name, f"is {tensor.dtype}, {tensor.layout} on {tensor.device}: give plain dense numbers")
    return {name: tensor.detach() for name, tensor in document.items()}


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without the wrappers' prefixes, as often as all names begin with one."""
    while prefix := next((p for p in PREFIXES if state and all(name.startswith(p) for name in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _unpickled(file: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # what they warn of is refused here
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = found[1].rstrip(".") if found else "what no state dict holds"
        raise CheckpointError(
            f"{file} holds {what}, which is not loaded, as a pickle may run code: save model.state_dict() alone"
        ) from None
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {file}") from None
    except _UNREADABLE:
        raise CheckpointError(
            f"{file} is cut off, or nothing that torch.save writes of a state dict: save model.state_dict() again"
        ) from None
