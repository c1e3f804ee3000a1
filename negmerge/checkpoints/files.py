"""Safetensors in and out: one file or shards with an index; atomic writes; digests.

A path to a model is a safetensors file, a folder with ``*.safetensors.index.json`` (shards), or a folder with
exactly one safetensors file. Anything else, a pickle above all, is refused.
"""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from negmerge.checkpoints.tensors import raw_bytes
from negmerge.errors import CheckpointError, TensorError
from negmerge.formats.headers import TensorInfo, encode_header, read_header, unique

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Placement:
    """Where each tensor of a model lies, over all its files and in their order; the first file's metadata."""

    tensors: dict[str, tuple[Path, TensorInfo]]
    metadata: dict[str, str]


def placement(path: Path) -> Placement:
    """Read the headers of all files of a model.

    Raises CheckpointError where a file is missing, cut off or not safetensors, and TensorError where the
    index and the shards disagree about a tensor.
    """
    files, index = _files(path)
    tensors: dict[str, tuple[Path, TensorInfo]] = {}
    metadata: dict[str, str] = {}
    for file in files:
        header = read_header(file)
        metadata = metadata or header.metadata
        for name, info in header.tensors.items():
            if index is not None and index.get(name) != file.name:
                raise TensorError(name, f"lies in {file.name}, but the index says otherwise")
            tensors[name] = (file, info)
    for name in index or {}:
        if name not in tensors:
            raise TensorError(name, f"is named by the index of {path} but lies in none of its files")
    return Placement(tensors, metadata)


def load_tensors(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a model by name, memory-mapped: bytes are read when they are used.

    Raises what ``placement`` raises.
    """
    names = placement(Path(path)).tensors
    tensors: dict[str, Tensor] = {}
    for file in dict.fromkeys(file for file, _ in names.values()):
        with safe_open(file, framework="pt") as opened:
            tensors.update({name: opened.get_tensor(name) for name, (at, _) in names.items() if at == file})
    return tensors


def save_tensors(tensors: Mapping[str, Tensor], path: Path | str, metadata: Mapping[str, str] | None = None) -> str:
    """Write one safetensors file, atomically; the same tensors and metadata always give the same bytes.

    The folder is made where it is missing. Returns ``sha256:…`` of the file. Raises CheckpointError where it
    cannot be written.
    """
    path = Path(path)
    shapes = {name: (_NAMES[t.dtype], tuple(t.shape)) for name, t in sorted(tensors.items())}
    start, infos = encode_header(shapes, metadata or {})
    state = hashlib.sha256(start)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, writing(path), temporary.open("wb") as file:
        file.write(start)
        for name in infos:
            data = raw_bytes(tensors[name])
            state.update(data)
            file.write(data)
    return f"sha256:{state.hexdigest()}"


def file_digest(path: Path) -> str:
    """``sha256:…`` of a file's bytes, as ``sha256sum`` gives it."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``: on success synced and renamed onto it, on any error removed.

    Raises CheckpointError where the folder cannot be written to, and as ``check_output``.
    """
    check_output(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with writing(path):
        temporary.touch(exist_ok=False)
    try:
        yield temporary
        check_output(path)  # again: writing may take hours
        with writing(path):
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Raise CheckpointError where something else than a file lies at ``path``, which a file would take the place of.

    A link too: the new file would take its place and leave what it leads to as it was.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'no file')}: name the file to write")


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while ``path`` is written into a CheckpointError for a person."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(path: Path) -> tuple[list[Path], dict[str, str] | None]:
    """The files of a model and, for shards, the index: tensor → file name."""
    if not path.is_dir():
        return [path], None
    names = sorted(path.iterdir())
    indexes = [one for one in names if one.name.lower().endswith(".safetensors.index.json")]
    if len(indexes) == 1:
        index = _read_index(indexes[0])
        return [path / name for name in sorted(set(index.values()))], index
    files = [one for one in names if one.name.lower().endswith(".safetensors")]
    pickled = [one.name for one in names if one.suffix.lower() in (".bin", ".pt", ".pth", ".ckpt")]
    if not files and pickled:
        raise CheckpointError(
            f"{path} holds {pickled[0]!r}, a pickle: make it safetensors with `negmerge convert`, which runs none of it"
        )
    if indexes or len(files) != 1:
        raise CheckpointError(
            f"{path} holds {len(files)} safetensors files and {len(indexes)} indexes: "
            "give a folder with one file, or with shards and one index, or name the file itself"
        )
    return files, None


def _read_index(path: Path) -> dict[str, str]:
    if not path.is_file():  # a pipe would be waited for, for ever
        raise CheckpointError(f"{path} is no file: copy the index of the shards itself")
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=unique)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    index = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(index, dict) or not index:
        raise CheckpointError(f"{path} has no weight_map: it is not an index of shards")
    for name, file in index.items():
        named = isinstance(file, str) and file.isprintable() and Path(file).name == file
        if not named or not file.endswith(".safetensors"):
            raise CheckpointError(f"{path} places {name!a} in {file!a:.200}, which is no safetensors file beside it")
    return index
