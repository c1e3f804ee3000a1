"""Models' files read in pieces: side by side, from any thread, in memory that does not grow with them.

Files are read, never mapped: one that is cut short meanwhile is an error that names it, not a signal.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from math import prod
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from negmerge.checkpoints.files import DTYPES, placement
from negmerge.checkpoints.tensors import Array, float32, is_finite
from negmerge.errors import CheckpointError, TensorError
from negmerge.formats.headers import ITEM_BYTES

_AHEAD = 8
"""Results that may wait: enough to keep all threads busy."""
_COMPARED = 2**20
"""Elements that are compared at once."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class ModelReader:
    """One model's tensors, of one file or of shards; a context manager that holds the files open."""

    def __init__(self, path: Path) -> None:
        """Raises what ``files.placement`` raises."""
        self.path = path
        self._placement = placement(path)
        self._opened: dict[Path, int] = {}

    @property
    def metadata(self) -> dict[str, str]:
        return self._placement.metadata

    def tied_to(self, name: str) -> str | None:
        """The tensor that stands for one that is not stored, as safetensors' ``save_model`` notes in the metadata."""
        kept = self.metadata.get(name)
        return kept if kept in self._placement.tensors and name not in self._placement.tensors else None

    def untie(self, name: str) -> None:
        """Have a tensor that is not stored, as the one that stands for it."""
        kept = self.tied_to(name)
        assert kept is not None  # whoever asks has looked
        self._placement.tensors[name] = self._placement.tensors[kept]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, in the files' order."""
        return {name: info.shape for name, (_, info) in self._placement.tensors.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """How many elements every tensor has."""
        return {name: prod(shape) for name, shape in self.shapes.items()}

    def stored(self, name: str) -> str:
        """A tensor's type, in the format's words."""
        return self._placement.tensors[name][1].dtype

    def dtype(self, name: str) -> torch.dtype:
        return DTYPES[self.stored(name)]

    def __enter__(self) -> Self:
        for path, _ in self._placement.tensors.values():
            if path not in self._opened:
                self._opened[path] = os.open(path, os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        while self._opened:
            os.close(self._opened.popitem()[1])

    def read(self, name: str, span: slice) -> Tensor:
        """Elements of a tensor, flat, in its own type. Raises CheckpointError where the file is cut off."""
        return torch.from_numpy(self._bytes(name, span)).view(self.dtype(name))

    def read_float32(self, name: str, span: slice) -> Array:
        """As ``read``, but as float32, in an array that is the caller's to change."""
        if self.stored(name) == "F32":
            return self._bytes(name, span).view(np.float32)
        return float32(self.read(name, span))

    def read_finite(self, name: str, span: slice) -> Tensor:
        """As ``read``. Raises TensorError where an element is not finite."""
        piece = self.read(name, span)
        if not is_finite(piece):
            raise TensorError(name, f"holds a NaN or an infinity in {self.path}; give finite weights")
        return piece

    def read_into(self, name: str, span: slice, room: memoryview) -> None:
        """The bytes of elements of a tensor into the start of ``room``. Raises CheckpointError as ``read``."""
        path, info = self._placement.tensors[name]
        item = ITEM_BYTES[info.dtype]
        position, left = info.start + span.start * item, room[: (span.stop - span.start) * item]
        while left:
            count = os.preadv(self._opened[path], [left], position)
            if count == 0:
                raise CheckpointError(f"{path} was cut off while it was read")
            position, left = position + count, left[count:]

    def _bytes(self, name: str, span: slice) -> Array:
        data = np.empty((span.stop - span.start) * ITEM_BYTES[self.stored(name)], np.uint8)
        self.read_into(name, span, data.data)
        return data


def check_same(base: ModelReader, tuned: ModelReader) -> None:
    """Raise TensorError for the first tensor of ``tuned`` that is missing, extra or misshapen beside the base.

    Both are open. What one file has once, since two tensors are one, the other may have twice, while both are the same.
    """
    for name in base.shapes:
        if name not in tuned.shapes and tuned.tied_to(name) is not None:
            tuned.untie(name)
    shapes = tuned.shapes
    for name, shape in base.shapes.items():
        if name not in shapes:
            raise TensorError(name, f"is missing from {tuned.path}")
        if shapes[name] != shape:
            raise TensorError(
                name, f"has the shape {list(shapes[name])} in {tuned.path}, but {list(shape)} in the base model"
            )
        if base.dtype(name).is_floating_point != tuned.dtype(name).is_floating_point:
            raise TensorError(
                name, f"is {tuned.stored(name)} in {tuned.path}, but {base.stored(name)} in the base model"
            )
    for name in shapes:
        if name not in base.shapes:
            _check_tied(base, tuned, name)


def _check_tied(base: ModelReader, tuned: ModelReader, name: str) -> None:
    """Raise TensorError unless a tensor that the base model has not is one with another there, and still the same."""
    kept = base.tied_to(name)
    if kept is None:
        raise TensorError(name, f"is in {tuned.path} but not in the base model")
    same = tuned.shapes.get(kept) == tuned.shapes[name] and tuned.dtype(kept) == tuned.dtype(name)
    size = tuned.sizes[name]
    for start in range(0, size, _COMPARED):
        span = slice(start, min(start + _COMPARED, size))
        same = same and torch.equal(tuned.read(name, span), tuned.read(kept, span))
    if not same:
        raise TensorError(
            name, f"is one with {kept!r} in the base model, and has values of its own in {tuned.path}: untie the base"
        )


def in_order(pool: Executor, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``work`` on each item by the pool, results in the items' order; a few of them may wait to be taken."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
