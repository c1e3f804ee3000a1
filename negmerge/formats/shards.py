"""Safetensors in several files with an index, put together as one file. Bytes are copied as they are; no torch."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from negmerge.errors import CheckpointError, TensorError
from negmerge.formats import strict_json
from negmerge.formats.headers import encode_header, read_header
from negmerge.naming import shown

ENDING = ".index.json"
"""What the index's name has after that of the one file."""
MAX_SHARDS = 1000
MAX_INDEX_BYTES = 64 * 2**20

_CHUNK = 2**20


def shards_of(index: str | bytes) -> dict[str, str]:
    """Tensor → the shard beside the index that holds it. Raises CheckpointError."""
    try:
        document = strict_json.loads(index)
    except strict_json.NotStrict as error:
        raise CheckpointError(f"the index of the shards: {error}") from None
    placed: Any = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError('the index of the shards has no "weight_map": save the model again')
    for file in placed.values():
        plain = isinstance(file, str) and file.isprintable() and PurePosixPath(file).name == file
        if not plain or not file.endswith(".safetensors"):
            raise CheckpointError(f"the index names {shown(str(file)[:100])}, which is no safetensors file beside it")
    if len(set(placed.values())) > MAX_SHARDS:
        raise CheckpointError(f"the index names more than {MAX_SHARDS} shards")
    return placed


def join(shards: Mapping[str, Path], placed: Mapping[str, str], target: Path) -> None:
    """Write the tensors of all shards as one file.

    shards: by the names that the index has. Raises CheckpointError for what is no safetensors, TensorError where index
    and shards disagree.
    """
    tensors = {}
    for name, path in shards.items():
        with path.open("rb") as file:
            header = read_header(file)
        for tensor, info in header.tensors.items():
            if placed.get(tensor) != name:
                raise TensorError(tensor, f"lies in {name}, but the index says otherwise")
            tensors[tensor] = (path, info)
    for tensor, name in placed.items():
        if tensor not in tensors:
            raise TensorError(tensor, f"is not in {name}, as the index says")
    start, places = encode_header({name: (info.dtype, info.shape) for name, (_, info) in tensors.items()}, {})
    with target.open("xb") as out:
        out.write(start)
        for tensor, place in places.items():
            path, info = tensors[tensor]
            _copy(path, info.start, place.end - place.start, out)


def _copy(path: Path, start: int, size: int, out: Any) -> None:
    """So many bytes of a file, a piece at a time."""
    with path.open("rb") as file:
        file.seek(start)
        while size:
            piece = file.read(min(size, _CHUNK))
            if not piece:
                raise CheckpointError(f"{path.name} is cut off: copy the file again")
            out.write(piece)
            size -= len(piece)
