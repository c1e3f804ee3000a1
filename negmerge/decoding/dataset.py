"""From a data set to pixels: each image is decoded and brought to the model's size once, and kept as uint8."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from negmerge.data.archives import Index, Sample, index_archive, read_samples
from negmerge.data.costs import decoding_bytes, packed_bytes
from negmerge.data.images import DAMAGE, open_image
from negmerge.data.members import Limits
from negmerge.data.prompts import DEFAULT_TEMPLATES, check_templates, class_words
from negmerge.decoding.preprocess import Preprocess
from negmerge.errors import DataError
from negmerge.naming import shown
from negmerge.progress import OnStep, ignore

Named = tuple[str, Image.Image]
"""A sample's id, and its image with the pixels not yet decoded."""

Read = Callable[[Collection[str]], Iterator[Named]]

_AT_ONCE = 64
"""Images that are decoded side by side: what a few threads need."""

_BYTES_AT_ONCE = 512 * 2**20
"""What the images that are decoded side by side may take together; one that takes more is decoded alone."""

_MAX_PIXELS = Limits().pixels
"""The most pixels that an image may have, as it comes and on the way to the model's size."""


@dataclass(frozen=True)
class Dataset:
    """A data set that can be read.

    class_words: the words of each class, in the order of ``index.classes``; templates: sentences with ``{}`` for
    them; read: gives the images with these ids, each once, in the data set's own order, and raises DataError.
    """

    index: Index
    class_words: list[str]
    templates: list[str]
    read: Read


@dataclass(frozen=True)
class Decoded:
    """images: uint8 [N, 3, S, S], RGB; labels: int64 [N], places in ``index.classes``; ids: N ids."""

    images: torch.Tensor
    labels: torch.Tensor
    ids: tuple[str, ...]


def open_archive(
    path: Path,
    index: Index | None = None,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    leave_out: bool = False,
) -> Dataset:
    """A zip, tar, tar.gz, WebDataset tar or folder; indexed and verified first where ``index`` is None.

    leave_out: as ``index_archive``'s. Raises ArchiveError, and DataError for class names or templates that do not fit.
    """
    if index is None:
        index = index_archive(path, limits, leave_out=leave_out)
    root = index.root

    def read(ids: Collection[str]) -> Iterator[Named]:
        for sample_id, content in read_samples(path, ids, root, limits):
            yield sample_id, open_image(sample_id, content, limits.pixels)

    return Dataset(index, class_words(index.classes, class_names or {}), check_templates(templates), read)


def open_torchvision(
    name: str,
    root: Path,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
) -> Dataset:
    """A published data set by its name (docs/data-sets.md) under ``root``; nothing is downloaded.

    A sample's id is its path, or its part and its number there from 0 (``train/000001``) where images lie in one file.
    Classes and templates are the published ones where nothing else is given. Raises DataError: an unknown name, the
    file that is missing, or class names or templates that do not fit.
    """
    from negmerge.data.published.reading import open_named  # and with it scipy, which archives do not need

    opened = open_named(name, root)
    called = {**opened.words, **(class_names or {})}

    def read(ids: Collection[str]) -> Iterator[Named]:
        for sample_id in sorted(ids):
            try:
                image = opened.image(sample_id)
            except DAMAGE as error:
                raise DataError(f"{shown(sample_id)} of {name} cannot be read: {error}") from None
            yield sample_id, image

    return Dataset(
        opened.index,
        class_words(opened.index.classes, called),
        check_templates(opened.templates if templates is None else templates),
        read,
    )


def decode(dataset: Dataset, samples: Sequence[Sample], preprocess: Preprocess, on_step: OnStep = ignore) -> Decoded:
    """The samples' pixels, in the order of ``samples``, as the model's own library prepares them for evaluation.

    on_step counts images. Raises DataError, naming the sample that cannot be decoded, or where all are more than the
    machine has memory.
    """
    _check_memory(len(samples), preprocess.size)
    to_pixels = _to_pixels(preprocess)
    images = np.empty((len(samples), 3, preprocess.size, preprocess.size), dtype=np.uint8)
    places = {sample.id: place for place, sample in enumerate(samples)}
    numbers = {name: number for number, name in enumerate(dataset.index.classes)}
    read = dataset.read(places)
    done = 0
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for batch in _batches(read, preprocess):
            for (sample_id, _), pixels in zip(batch, pool.map(to_pixels, batch), strict=True):
                images[places[sample_id]] = pixels
            done += len(batch)
            on_step(done, len(samples), None)
    labels = torch.tensor([numbers[sample.class_name] for sample in samples], dtype=torch.int64)
    return Decoded(torch.from_numpy(images), labels, tuple(sample.id for sample in samples))


def _check_memory(count: int, size: int) -> None:
    """Raise DataError where the pixels alone, all of which are kept, would be more than the machine's memory."""
    wanted, there = 3 * count * size * size, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > there:
        raise DataError(
            f"{count} images of {size} × {size} pixels take {wanted / 2**30:.1f} GiB, and this machine has "
            f"{there / 2**30:.1f} GiB of memory: take fewer samples, or a model of smaller images"
        )


def _batches(images: Iterator[Named], preprocess: Preprocess) -> Iterator[list[Named]]:
    """The images in lists that fit into memory, by what their headers say."""
    batch: list[Named] = []
    taken = 0
    for item in images:
        size = _bytes_of(item[1], preprocess)
        if batch and (len(batch) == _AT_ONCE or taken + size > _BYTES_AT_ONCE):
            yield batch
            batch, taken = [], 0
        batch.append(item)
        taken += size
    if batch:
        yield batch


def _bytes_of(image: Image.Image, preprocess: Preprocess) -> int:
    """What decoding takes: the file, and a copy where its library makes one; the pixels, also on the way to their size.

    Four bytes for each of those on the way.
    """
    return 2 * packed_bytes(image).nbytes + decoding_bytes(image) + 4 * preprocess.pixels_on_the_way(*image.size)


def _to_pixels(preprocess: Preprocess) -> Callable[[Named], np.ndarray]:
    """A function from (id, image) to uint8 [3, S, S]."""

    def to_pixels(item: Named) -> np.ndarray:
        sample_id, given = item
        if preprocess.pixels_on_the_way(*given.size) > _MAX_PIXELS:
            raise DataError(f"{shown(sample_id)} is too narrow: {given.width} × {given.height} pixels")
        # A transparent colour changes no pixel on the way to RGB, but Pillow would warn about it.
        given.info.pop("transparency", None)
        image = given
        try:
            for step in preprocess.steps:
                image = step(image)
        except DAMAGE as error:
            raise DataError(f"{shown(sample_id)} cannot be decoded: {error}") from None
        finally:
            given.close()  # or its pixels would stay until the others of the batch are done
        return np.asarray(image).transpose(2, 0, 1)

    return to_pixels
