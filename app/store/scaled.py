"""A job's weights at another scale, made of its stored files while they are sent: in bounded memory, and without torch.

θ₀ − λ·τ*, laid out as the job's own weights file, or as the one for transformers: what takes part from
``merged/base.safetensors`` and ``merged/task_vector.safetensors``, all else as the weights file has it.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, BinaryIO, cast

from app.errors import InternalError
from app.record.tables import Artifact
from app.store.objects import Store
from negmerge.formats.headers import ITEM_BYTES, Header, TensorInfo, read_header
from negmerge.formats.hugging_face.config import kind_of
from negmerge.formats.hugging_face.pairs import Span, spans

PIECE = 2**20
"""Elements that are worked on at once."""
_SKIPPED = 2**20
"""Bytes between two pieces of one object that are read and thrown away, sooner than the object is asked for again."""


class ScaledWeights:
    """The weights file at a scale; ``size`` is the stored file's. Its bytes may be asked for in any ranges."""

    def __init__(
        self,
        store: Store,
        weights: Artifact,
        base: Artifact,
        merged: Artifact,
        scale: float,
        theirs: Mapping[str, Any] | None = None,
    ) -> None:
        """Reads the three headers. theirs: the config of transformers whose names and arrangement ``weights`` has.

        Raises ObjectMissing and StoreUnavailable.
        """
        self.size = weights.bytes
        told = "\n".join([weights.sha256, base.sha256, merged.sha256, repr(scale + 0.0)])  # −0.0 is 0.0
        self.tag = hashlib.sha256(told.encode()).hexdigest()
        self._store, self._scale = store, scale
        self._weights, self._base, self._merged = (_Placed(store, file) for file in (weights, base, merged))
        for name, info in self._merged.header.tensors.items():
            place = self._base.header.tensors.get(name)
            _check(name, place is not None and place.shape == info.shape and info.dtype == "F32")
        sizes = {name: prod(info.shape) for name, info in self._merged.header.tensors.items()}
        self._spans = _own(sizes) if theirs is None else _arranged(sizes, theirs)
        for name, found in self._spans.items():
            self._check_spans(name, found)

    def _check_spans(self, name: str, found: list[Span]) -> None:
        """Raise InternalError unless a tensor of the weights file has the types and elements of its spans."""
        from negmerge.formats.scaling import FLOATS  # here, since it loads numpy, which no other request needs

        place = self._weights.header.tensors.get(name)
        types = {self._base.header.tensors[span.ours].dtype for span in found}
        alike = place is not None and types == {place.dtype} and place.dtype in FLOATS
        _check(name, alike and place is not None and prod(place.shape) == sum(span.count for span in found))

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end), in pieces.

        Raises TensorError where a tensor leaves its type's range (a float16 beyond 57,000 can), and as ``Store``.
        """
        weights, base, merged = (placed.forward(self._store) for placed in (self._weights, self._base, self._merged))
        first = self._weights.header.data_start
        if start < first:
            yield weights.read(start, min(first, end))
        for name, info in self._weights.header.tensors.items():
            until = min(end, info.end)
            if max(start, info.start) >= until:
                continue
            item = ITEM_BYTES[info.dtype]
            for span in self._spans.get(name) or [Span(0, "", 0, (info.end - info.start) // item)]:
                place = info.start + span.start * item
                position, last = max(start, place), min(until, place + span.count * item)
                while position < last:
                    number = 0 if span.transposed else (position - place) // item
                    piece = slice(number, span.count if span.transposed else min(number + PIECE, span.count))
                    data = self._piece(name, info, span, piece, (weights, base, merged))
                    begin = place + piece.start * item
                    yield data[position - begin : last - begin]
                    position = begin + len(data)

    def _piece(
        self, name: str, info: TensorInfo, span: Span, piece: slice, readers: tuple["_Forward", "_Forward", "_Forward"]
    ) -> bytes:
        """Elements of a span, scaled where they take part."""
        weights, base, merged = readers
        if not span.ours:
            return self._weights.read(weights, name, piece)
        from negmerge.formats.scaling import scaled, transposed

        ours = slice(span.ours_start + piece.start, span.ours_start + piece.stop)
        theta_0, tau = self._base.read(base, span.ours, ours), self._merged.read(merged, span.ours, ours)
        data = scaled(span.ours, info.dtype, theta_0, tau, self._scale)
        return transposed(info.dtype, data, rows=info.shape[1]) if span.transposed else data


def _own(sizes: Mapping[str, int]) -> dict[str, list[Span]]:
    """Each tensor as it is."""
    return {name: [Span(0, name, 0, size)] for name, size in sizes.items()}


def _arranged(sizes: Mapping[str, int], config: Mapping[str, Any]) -> dict[str, list[Span]]:
    """Where the tensors of transformers that take part have their elements. Raises InternalError."""
    found: dict[str, list[Span]] = {}
    for pair in kind_of(config).pairs(config):
        moving = [name in sizes for name in pair.ours]
        _check(pair.theirs[0], all(moving) or not any(moving))
        if all(moving):
            found |= spans(pair, sizes)
    return found


def _check(name: str, alike: bool) -> None:
    if not alike:
        raise InternalError(f"the tensor {name!r} is not the same in the files of one job")


class _Placed:
    """A stored safetensors file and its header."""

    def __init__(self, store: Store, file: Artifact) -> None:
        self._key, self._size = file.key, file.bytes
        self.header: Header = read_header(cast(BinaryIO, io.BufferedReader(_Stored(store, file.key, file.bytes))))

    def forward(self, store: Store) -> "_Forward":
        return _Forward(store, self._key, self._size)

    def read(self, reader: "_Forward", name: str, piece: slice) -> bytes:
        """Elements of a tensor."""
        info = self.header.tensors[name]
        item = ITEM_BYTES[info.dtype]
        return reader.read(info.start + piece.start * item, info.start + piece.stop * item)


class _Forward:
    """An object that is read mostly from its begin to its end: by one request, and another for each leap."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        self._store, self._key, self._size = store, key, size
        self._chunks: Iterator[bytes] = iter(())
        self._at = size  # where the held bytes lie in the object
        self._held = memoryview(b"")

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end). Raises ObjectMissing, StoreUnavailable, InternalError where the object is cut off."""
        if not 0 <= start - self._at <= _SKIPPED:
            self._chunks = self._store.stream(self._key, start, self._size)
            self._at, self._held = start, memoryview(b"")
        found = bytearray()
        while self._at < end:
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    raise InternalError(f"the object {self._key!r} is shorter than the record says")
            found += self._held[max(start - self._at, 0) : end - self._at]
            taken = min(len(self._held), end - self._at)
            self._at, self._held = self._at + taken, self._held[taken:]
        return bytes(found)


class _Stored(io.RawIOBase):
    """An object as a file, for the few bytes of its header."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        self._store, self._key, self._size = store, key, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        end = min(self._at + len(buffer), self._size)
        data = b"".join(self._store.stream(self._key, self._at, end))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
