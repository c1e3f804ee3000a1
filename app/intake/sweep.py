"""The sweep ``auto`` at submission: its points are chosen by what the record and the store know already."""

import io
from typing import Any

from app.intake import zoo
from app.record.tables import Model
from app.store.objects import Store
from negmerge.formats.headers import read_header
from negmerge.spec import auto
from negmerge.spec.figures import SplitCounts
from negmerge.spec.job import JobSpec
from negmerge.spec.sources import ModelSource, RegistryTag, stored_source

_FLOATS = ("F64", "F32", "F16", "BF16")


def with_sweep(spec: JobSpec, model: Model | None, counts: SplitCounts | None, store: Store) -> JobSpec:
    """The spec with the points of its sweep ``auto`` chosen; any other spec as it is.

    model: the row that the spec names, if it names one. counts: None where nobody has counted the samples yet. Raises
    SpecError where ``auto`` has no pool for what it is told, and StoreUnavailable.
    """
    if spec.sweep.auto is None:
        return spec
    samples = None if counts is None else counts.forget.train
    return auto.resolved(spec, samples, None if spec.base_model.is_classifier else _parameters(spec, model, store))


def _parameters(spec: JobSpec, model: Model | None, store: Store) -> int | None:
    """Of a CLIP's image tower: an uploaded one's by its header, a published one's from the list; else nobody knows."""
    if model is None:
        return _published(spec.base_model.source, spec.base_model.architecture)
    if model.key is None:
        return _published(stored_source(model.uri or ""), model.architecture)
    header = read_header(io.BufferedReader(_Object(store, model.key)))
    sizes = {name: info.elements for name, info in header.tensors.items() if info.dtype in _FLOATS}
    return auto.tower_parameters(sizes)


def _published(source: ModelSource, architecture: object) -> int | None:
    if isinstance(source, RegistryTag) and isinstance(architecture, str):
        return zoo.tower_parameters().get(architecture)
    return None


class _Object(io.RawIOBase):
    """A stored object as a seekable file, of which no more is fetched than is read."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._size, self._at = store.head(key), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self._size)
        read = b"".join(self._store.stream(self._key, self._at, end))
        view[: len(read)] = read
        self._at += len(read)
        return len(read)
