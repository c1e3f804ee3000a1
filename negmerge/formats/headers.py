"""Safetensors headers: read and judged before a byte of data is trusted, and written. No torch.

The format (huggingface/safetensors, README "Format"): 8 bytes of length N, little-endian; N bytes of JSON,
name → dtype, shape, offsets; then the data, without holes. The API judges uploads here, without torch.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from negmerge.errors import CheckpointError, TensorError

MAX_HEADER_BYTES = 16 * 2**20
"""Of one file, read whole before any tensor is."""
MAX_TENSORS = 100_000
"""Of one file. The most that is known of any model, in all its shards, are DeepSeek-V3's 91,991, with 12 MB of headers;
of timm's it is 3,108 (resnetrs420), of open_clip's 1,230 (EVA02-E-14-plus)."""
MAX_DIMENSIONS = 64
"""The format's own limit."""
_TOO_MANY = f"{{}} has more than {MAX_TENSORS} tensors: split it into shards"

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of one element, by the dtypes that are let in."""

_EXPONENTS = {
    "F64": ("<u8", 0x7FF << 52),
    "F32": ("<u4", 0xFF << 23),
    "F16": ("<u2", 0x1F << 10),
    "BF16": ("<u2", 0xFF << 7),
}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class TensorInfo:
    """One tensor in a file: its dtype in the format's words (``F32``), its shape, its bytes [start, end)."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """How many elements the tensor has."""
        return prod(self.shape)


@dataclass(frozen=True)
class Header:
    """A safetensors file's header. Tensors stand in the order of their data; all offsets are the file's."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int
    size: int


def read_header(source: Path | BinaryIO) -> Header:
    """Read and judge the header of a safetensors file, given as a path or as a seekable binary stream.

    Raises CheckpointError where the file is cut off, a pickle, or not safetensors, and TensorError where one
    tensor's entry is wrong.
    """
    with _opened(source) as (file, name):
        size = file.seek(0, 2)
        file.seek(0)
        start = file.read(9)
        length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
        if start[8:] == b"{" and MAX_HEADER_BYTES < length < size:
            raise CheckpointError(
                f"{name} has a header of {length} bytes: at most {MAX_HEADER_BYTES} are read. Split it into shards"
            )
        if length > MAX_HEADER_BYTES or start[8:] != b"{":
            raise CheckpointError(_not_safetensors(name, start, size))
        file.seek(8)
        text = file.read(length)
    if len(text) < length:
        raise CheckpointError(f"{name} is cut off: its header alone takes {length} bytes. Copy the file again")
    document = _parsed(text, name)
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(map(_is_text, [*metadata, *metadata.values()])):
        raise CheckpointError(f"{name} has metadata that are no text: write the file again with safetensors")
    data_start = 8 + length
    if len(document) > MAX_TENSORS:
        raise CheckpointError(_TOO_MANY.format(name))
    tensors = [(tensor, _info(tensor, entry, data_start)) for tensor, entry in document.items()]
    tensors.sort(key=lambda item: (item[1].start, item[1].end))
    _check_contiguous(tensors, data_start, size, name)
    return Header(dict(tensors), metadata, data_start, size)


def encode_header(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, TensorInfo]]:
    """The bytes before the data of a file with these tensors (name → dtype, shape), and where each will lie.

    Data are laid out by falling element size, else in the order given, so that each tensor is aligned. The
    same tensors and metadata always give the same bytes.
    """
    ordered = sorted(tensors.items(), key=lambda item: -ITEM_BYTES[item[1][0]])
    document: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    position, spans = 0, {}
    for name, (dtype, shape) in ordered:
        end = position + ITEM_BYTES[dtype] * prod(shape)
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        spans[name] = (dtype, shape, position, end)
        position = end
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    infos = {name: TensorInfo(d, s, start + b, start + e) for name, (d, s, b, e) in spans.items()}
    return struct.pack("<Q", len(text)) + text, infos


def check_finite(path: Path) -> None:
    """Read all floating-point data of a safetensors file once, in constant memory.

    Raises TensorError that names the first tensor with a NaN or an infinity, and what ``read_header`` raises.
    """
    import numpy as np  # here, so that whoever only reads headers does not pay for it

    header = read_header(path)
    with path.open("rb") as file:
        for name, info in header.tensors.items():
            if info.dtype not in _EXPONENTS:
                continue
            dtype, mask = _EXPONENTS[info.dtype]
            file.seek(info.start)
            for start in range(info.start, info.end, _CHUNK):
                bits = np.frombuffer(file.read(min(_CHUNK, info.end - start)), dtype)
                if ((bits & mask) == mask).any():  # all exponent bits set: an infinity or a NaN (IEEE 754)
                    raise TensorError(name, f"holds a NaN or an infinity in {path.name}; give finite weights")


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    if not isinstance(source, Path):
        yield source, "the file"
        return
    if source.exists() and not source.is_file():  # a pipe would be waited for, for ever
        raise CheckpointError(f"{source} is no file: name a safetensors file")
    try:
        file = source.open("rb")
    except OSError as error:
        raise CheckpointError(f"{source} cannot be read: {error.strerror}") from error
    with file:
        yield file, str(source)


def _not_safetensors(name: str, start: bytes, size: int) -> str:
    if start.startswith((b"PK\x03\x04", b"\x80")) or b"torch" in start:
        told = "weights are safetensors here, never a pickle; `negmerge convert` makes them of one"
        return f"{name} is a pickle or a zip archive (torch.save): {told}"
    if start.startswith(b"version "):
        return f"{name} is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`"
    if start.startswith(b"{"):
        return f"{name} is JSON, such as the index of shards: give the folder in which it lies"
    if start.startswith(b"<"):
        return f"{name} is a web page, not the weights: download them again"
    if start.startswith(b"GGUF"):
        return f"{name} is GGUF: give the weights as safetensors"
    if size < 9:
        return f"{name} is cut off after {size} bytes: it is not a safetensors file"
    return f"{name} is not a safetensors file: convert the weights with safetensors.torch.save_file"


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError for a name that stands there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    if text.count(b"{") > MAX_TENSORS + 2:  # one for each, its own, one for metadata: counted before anything is made
        raise CheckpointError(_TOO_MANY.format(name))
    try:
        document = json.loads(text.decode(), object_pairs_hook=unique)
        if not all(map(_is_text, document)):
            raise ValueError("a name holds half a character")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} has a damaged header ({error}): copy the file again") from error
    assert isinstance(document, dict)  # it begins with a brace
    return document


def _info(name: str, entry: Any, data_start: int) -> TensorInfo:
    """One tensor's entry, judged by itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise TensorError(name, "its header entry must have dtype, shape and data_offsets, nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise TensorError(name, f"has the type {dtype!r:.100}; known are {', '.join(ITEM_BYTES)}")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise TensorError(name, "its shape and data_offsets must be lists of whole numbers from 0, 64 at most")
    start, end = offsets
    if end - start != ITEM_BYTES[dtype] * prod(shape):
        raise TensorError(name, f"its offsets span {end - start} bytes, which is not {dtype} of shape {shape}")
    return TensorInfo(dtype, tuple(shape), data_start + start, data_start + end)


_HALVES = re.compile("[\ud800-\udfff]")


def _is_text(value: Any) -> bool:
    """A string without half characters, which no file could be written with again."""
    return isinstance(value, str) and _HALVES.search(value) is None


def _sizes(value: Any) -> bool:
    """A list of whole numbers that a tensor may have: the product of longer ones keeps a machine busy for minutes."""
    if not isinstance(value, list) or len(value) > MAX_DIMENSIONS:
        return False
    return all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_contiguous(tensors: list[tuple[str, TensorInfo]], data_start: int, size: int, name: str) -> None:
    position = data_start
    for tensor, info in tensors:
        if info.start != position:
            raise TensorError(tensor, "its data overlap another tensor's or leave a hole before them")
        position = info.end
    if position > size:
        raise CheckpointError(f"{name} is cut off: {size} bytes of {position}. Copy the file again")
    if position < size:
        raise CheckpointError(f"{name} has {size - position} bytes too many after its last tensor")
