"""Files of weights by their kind: which one of a folder is read, and what is said of those that are not."""

import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from negmerge.checkpoints.unpickling import LEGACY_MARK
from negmerge.errors import CheckpointError
from negmerge.naming import shown

_OTHERS = {
    ".onnx": "ONNX", ".pb": "TensorFlow's", ".h5": "Keras'", ".hdf5": "Keras'", ".keras": "Keras'",
    ".msgpack": "Flax'", ".gguf": "GGUF", ".ggml": "GGML", ".tflite": "TensorFlow Lite's", ".npz": "numpy's",
    ".npy": "numpy's", ".engine": "TensorRT's", ".mlmodel": "Core ML's", ".gz": "packed with gzip",
}  # fmt: skip
"""Kinds by their endings; not ``.tar``, ``.pkl`` and ``.zip``, as many call what torch.save writes."""
_PICKLED = (".bin", ".pt", ".pth", ".th", ".ckpt", ".pth.tar", ".pt.tar")
"""Endings of what torch.save writes."""
_BESIDE = (
    *("optimizer", "scheduler", "training_args", "rng_state", "scaler", "trainer_state"),
    *("sampler", "dl_state_dict", "random_states", "custom_checkpoint"),
)
"""How files are called that a trainer leaves beside a model's."""
_OPTIMIZERS = "_optim_states.pt"
"""How DeepSpeed's end."""
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.(safetensors|bin)$", re.IGNORECASE)
_START = 512
"""Bytes that tell a tar, whose mark is the last to come."""


def recognised(path: Path) -> Path:
    """The file to read, or a folder of safetensors. Raises CheckpointError for a kind that is not read."""
    file = _in_folder(path) if path.is_dir() else path
    if file.is_dir():
        return file
    _check_name(file)
    start = _start_of(file)
    if start.lstrip()[:5].lower() in (b"<!doc", b"<html"):
        raise CheckpointError(f"{file} is a web page, not the weights: download them again")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{file} is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`")
    if _begins_as_safetensors(start):  # the length may look like another kind's mark
        return file
    if start[257:262] == b"ustar":
        _check_archive(file, "tar", _members_of_tar(file))
    if start.startswith(b"PK") and zipfile.is_zipfile(file):
        _check_archive(file, "zip", _members_of_zip(file))
    if re.match(rb"\x80[\x02-\x05]", start) and LEGACY_MARK not in start[:64]:
        told = "which is not loaded, as it may run code: write the weights with torch.save(model.state_dict(), …)"
        raise CheckpointError(f"{file} is a plain pickle, {told}")
    return file


def weights_in(folder: Path) -> list[Path]:
    """The files of a folder that may hold a model's weights, by their names, sorted."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return _weights_among(files, (*_PICKLED, ".pkl", ".safetensors"))


def is_safetensors(file: Path) -> bool:
    """Whether the file is read as safetensors: it begins so, or is called so and torch.save did not write it."""
    start = _start_of(file)
    return _begins_as_safetensors(start) or (file.suffix.lower() == ".safetensors" and not _is_of_torch(start))


def _begins_as_safetensors(start: bytes) -> bool:
    """Eight bytes of a header's length, of which no more than four are needed, and a brace."""
    return start[4:9] == b"\0\0\0\0{"


def _is_of_torch(start: bytes) -> bool:
    return start.startswith(b"PK") or LEGACY_MARK in start[:64]


def _check_name(file: Path) -> None:
    """Raise CheckpointError for a kind that its name tells."""
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
    if file.suffix.lower() == ".distcp":
        raise CheckpointError(f"{file} is a part of {_distributed(file.parent)}")
    if file.name.lower().endswith(_OPTIMIZERS):
        raise CheckpointError(f"{file} is the state of DeepSpeed's optimizer: give the file of *_model_states.pt")
    if file.name.lower().startswith("zero_pp_rank_"):
        raise CheckpointError(f"{file} is a part of DeepSpeed's weights: {_OF_DEEPSPEED}")


_OF_DEEPSPEED = "make one file of all with the zero_to_fp32.py that DeepSpeed leaves beside them"


def _distributed(folder: Path) -> str:
    made = f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pt"
    return f"a checkpoint of torch.distributed: make one file of it with `{made}`"


def _in_folder(folder: Path) -> Path:
    """The folder itself where it holds safetensors, else its one pickled file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if any(path.suffix.lower() == ".distcp" or path.name == ".metadata" for path in files):
        raise CheckpointError(f"{folder} is {_distributed(folder)}")
    tensors = [path for path in files if path.suffix.lower() == ".safetensors"]
    if tensors:  # one that torch.save wrote is read by itself
        return tensors[0] if len(tensors) == 1 and not is_safetensors(tensors[0]) else folder
    pickled = _weights_among(files, _PICKLED) or _weights_among(files, (".pkl",))
    if any(_SHARD.search(path.name) for path in pickled):
        raise CheckpointError(f"{folder} has pickled shards, which are not read: save the weights as safetensors")
    if any(path.name.lower().startswith("zero_pp_rank_") for path in pickled):
        raise CheckpointError(f"{folder} has DeepSpeed's weights in parts: {_OF_DEEPSPEED}")
    if len(pickled) != 1:
        names = ", ".join(["", *(shown(path.name) for path in pickled[:5])])
        raise CheckpointError(f"{folder} has {len(pickled)} files of weights{names}: name the one")
    return pickled[0]


def _weights_among(files: list[Path], endings: tuple[str, ...]) -> list[Path]:
    """Files that may hold weights, by their names."""
    named = [(path, path.name.lower()) for path in files]
    return [
        path
        for path, name in named
        if name.endswith(endings) and not name.startswith(_BESIDE) and not name.endswith(_OPTIMIZERS)
    ]


def _check_archive(file: Path, kind: str, members: list[str]) -> None:
    """Raise CheckpointError for an archive with weights in it, unless torch.save wrote it, whose pickle is in each."""
    if any(PurePosixPath(member).name in ("data.pkl", "pickle") for member in members):
        return
    inside = [member for member in members if member.lower().endswith((*_PICKLED, ".pkl", ".safetensors"))]
    if inside:
        raise CheckpointError(f"{file} is a {kind} archive with {shown(inside[0])} in it: unpack it and give that file")


def _members_of_zip(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return []


def _members_of_tar(file: Path) -> list[str]:
    """The members' names, up to where the file is cut off."""
    names = []
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                names.append(member.name)
    except (OSError, ValueError, tarfile.TarError):
        pass
    return names


def _start_of(file: Path) -> bytes:
    if file.exists() and not file.is_file():  # a pipe would be waited for, for ever
        raise CheckpointError(f"{file} is no file: name the file with the weights")
    try:
        with file.open("rb") as opened:
            return opened.read(_START)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {file}") from None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None
