"""Weights as trainers leave them: found in what lies around them, or called by their kind where they are not read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from negmerge.checkpoints.files import DTYPES, load_tensors
from negmerge.checkpoints.unpickling import Inert, unpickled
from negmerge.errors import CheckpointError, TensorError
from negmerge.naming import shown

NESTS = (
    *("state", "state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params"),
    *("module", "model_weights", "net_state_dict"),
    *("generator", "classifier", "backbone", "encoder", "student", "teacher"),
    *("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "params_ema", "ema_params", "ema_weights"),
)
"""Where training scripts keep the weights beside the epoch and the optimizer."""

_OTHERS = {
    ".onnx": "ONNX", ".pb": "TensorFlow's", ".h5": "Keras'", ".hdf5": "Keras'", ".keras": "Keras'",
    ".msgpack": "Flax'", ".gguf": "GGUF", ".ggml": "GGML", ".tflite": "TensorFlow Lite's", ".npz": "numpy's",
    ".npy": "numpy's", ".engine": "TensorRT's", ".mlmodel": "Core ML's", ".gz": "packed with gzip",
}  # fmt: skip
"""Kinds by their endings; not ``.tar``, ``.pkl`` and ``.zip``, as many call what torch.save writes."""
_OF_TRAINING = ("optim", "sched", "scaler", "amp", "rng", "random", "loss", "criterion", "metric", "callback", "hook")
"""Words in the keys of what is no model's weights."""
_BESIDE = ("optimizer", "scheduler", "training_args", "rng_state", "scaler", "trainer_state")
"""How files are called that a trainer leaves beside a model's."""
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.(safetensors|bin)$", re.IGNORECASE)


def read_state(file: Path, key: str | None = None) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a file of torch.save or of safetensors, or from a folder of either.

    key: where in a checkpoint the weights lie, with dots between keys; by default the only one of ``NESTS`` that has
    any. Raises CheckpointError, naming the kind of file or the key at fault, and TensorError.
    """
    file = _recognised(file)
    if file.is_dir() or file.suffix.lower() == ".safetensors":
        if key is not None:
            raise CheckpointError(f"{file} is safetensors, which has no keys: leave --key out")
        return load_tensors(file)
    document = unpickled(file)
    document = _found(document, file) if key is None else _at(document, key, file)
    return _tensors(document, file)


def _recognised(file: Path) -> Path:
    """The file to read. Raises CheckpointError for a kind that is not read, with what to do."""
    if file.is_dir():
        return _in_folder(file)
    if file.name.lower().endswith(".index.json"):
        raise CheckpointError(f"{file} is the index of shards: give the folder {file.parent}, in which they lie")
    if (match := _SHARD.search(file.name)) and match[3].lower() == "bin":
        raise CheckpointError(f"{file} is a pickled shard, which is not read: save the weights as safetensors")
    if match:
        raise CheckpointError(
            f"{file} is one of {int(match[2])} shards: give the folder with all of them and their index"
        )
    if (what := _OTHERS.get(file.suffix.lower())) is not None:
        raise CheckpointError(f"{file} is {what}: save the weights with torch.save(model.state_dict(), …) instead")
    if _start_of(file).lstrip()[:5].lower() in (b"<!doc", b"<html"):
        raise CheckpointError(f"{file} is a web page, not the weights: download them again")
    if _start_of(file).startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{file} is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`")
    return file


def _in_folder(folder: Path) -> Path:
    """The folder itself where it holds safetensors, else its one pickled file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if any(path.suffix.lower() == ".safetensors" for path in files):
        return folder
    pickled = [path for path in files if path.suffix.lower() in (".bin", ".pt", ".pth", ".th", ".ckpt")]
    pickled = [path for path in pickled if not path.name.lower().startswith(_BESIDE)]
    if any(_SHARD.search(path.name) for path in pickled):
        raise CheckpointError(f"{folder} has pickled shards, which are not read: save the weights as safetensors")
    if len(pickled) != 1:
        names = ", ".join(["", *(shown(path.name) for path in pickled[:5])])
        raise CheckpointError(f"{folder} has {len(pickled)} files of weights{names}: name the one")
    return pickled[0]


def _start_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(64)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {file}") from None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None


def _found(document: Any, file: Path) -> Any:
    """The weights in a checkpoint, wherever its trainer put them. Raises CheckpointError where it has several."""
    path: list[str] = []
    while isinstance(document, Mapping):
        nests = [name for name in NESTS if _holds_tensors(document.get(name))]
        if not nests:
            break
        beside = [name for name, value in document.items() if name not in nests and _may_be_weights(name, value)]
        if len(nests) + len(beside) > 1:
            keys = ", ".join(".".join([*path, str(name)]) for name in (*nests, *beside))
            raise CheckpointError(f"{file} has weights under {keys}: say which with --key")
        path.append(nests[0])
        document = document[nests[0]]
    return document


def _at(document: Any, key: str, file: Path) -> Any:
    """What lies at a dotted key. Raises CheckpointError with the keys that are there."""
    place, left = document, key
    while left:
        keys = [str(name) for name in place] if isinstance(place, Mapping) else []
        fitting = [one for one in keys if left == one or left.startswith(f"{one}.")]
        name = max(fitting, key=len, default=None)
        if name is None:
            known = ", ".join(keys[:20]) or "none"
            raise CheckpointError(f"{file} has no key {shown(key)}: there are {known}")
        place, left = place[name], left[len(name) + 1 :]
    return place


def _may_be_weights(name: Any, value: Any) -> bool:
    """Whether tensors by name lie here that are no optimizer's nor what else goes on with a training."""
    if not isinstance(name, str) or any(word in name.lower() for word in _OF_TRAINING):
        return False
    tensors = [item for key, item in value.items() if isinstance(key, str)] if isinstance(value, Mapping) else []
    return any(isinstance(item, Tensor) and item.ndim for item in tensors)


def _holds_tensors(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(item, Tensor) or _holds_tensors(item) for item in value.values())


def _tensors(document: Any, file: Path) -> dict[str, Tensor]:
    if not isinstance(document, Mapping) or not document:
        raise CheckpointError(f"{file} holds a {type(document).__name__}, no tensors by name: save model.state_dict()")
    for name, tensor in document.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{file} holds something of type {_kind(tensor)} as {shown(str(name)[:100])}: "
                "give the state dict alone, or say with --key where it lies"
            )
        if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in DTYPES.values():
            raise TensorError(name, f"is {tensor.dtype}, {tensor.layout} on {tensor.device}: give plain dense numbers")
    return {name: tensor.detach() for name, tensor in document.items()}


def _kind(value: Any) -> str:
    return "numpy's or another that is not read" if isinstance(value, Inert) else type(value).__name__
