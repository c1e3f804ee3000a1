"""What one tensor is, apart from any file: its bytes, its digest, its elements as numpy sees them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

_BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked"})


def is_buffer(name: str, dtype: torch.dtype) -> bool:
    """True for what never takes part: BatchNorm's statistics, and integer tensors such as position ids."""
    return name.rpartition(".")[2] in _BUFFERS or not dtype.is_floating_point


def float32(tensor: Tensor) -> Array:
    """A CPU tensor's elements as float32, of the same shape; its own memory where it is float32 already.

    In numpy, as ``reaches_limit`` and ``is_finite``: the file merge calls them from threads of its own, in each
    of which torch would start more.
    """
    array: Array = tensor.to(torch.float32).numpy()
    return array


def is_finite(tensor: Tensor) -> bool:
    """True where no element is NaN or infinite; for CPU tensors."""
    if tensor.dtype is torch.bfloat16:  # numpy has no such type
        tensor = tensor.to(torch.float32)
    return bool(np.isfinite(tensor.numpy()).all())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """``sha256:…`` over each tensor's name, dtype, shape and bytes, sorted by name."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        title = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        state.update(json.dumps(title, separators=(",", ":")).encode())
        state.update(raw_bytes(tensor))
    return f"sha256:{state.hexdigest()}"


def raw_bytes(tensor: Tensor) -> memoryview:
    """The tensor's bytes in row-major order (little-endian, as all our machines are); copied where needed."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.stride() != (1,):  # none or one element, whose stride may be anything, counts as contiguous
        flat = torch.empty(flat.shape, dtype=flat.dtype).copy_(flat)
    return flat.view(torch.uint8).numpy().data
