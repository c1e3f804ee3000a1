"""From a data set to pixels: each image is decoded and brought to the model's size once, and kept as uint8."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from negmerge.data.archives import Index, Sample, index_archive, read_samples
from negmerge.data.costs import decoding_bytes, packed_bytes
from negmerge.data.images import DAMAGE, open_image
from negmerge.data.members import Limits
from negmerge.data.prompts import DEFAULT_TEMPLATES, check_templates, class_words
from negmerge.decoding.files import mapped, written
from negmerge.decoding.preprocess import Preprocess
from negmerge.decoding.shelf import Kept, Shelf, name_of
from negmerge.errors import DataError
from negmerge.naming import shown
from negmerge.progress import OnStep, ignore

Named = tuple[str, Image.Image]
"""A sample's id, and its image with the pixels not yet decoded."""

Read = Callable[[Collection[str]], Iterator[Named]]

_WAITING = 4
"""Images for each thread that are being decoded or wait: with fewer, one large image would leave threads idle."""

_BYTES_AT_ONCE = 512 * 2**20
"""What the images that are decoded side by side may take together; one that takes more is decoded alone."""

_MAX_PIXELS = Limits().pixels
"""The most pixels that an image may have, as it comes and on the way to the model's size."""


@dataclass(frozen=True)
class Dataset:
    """A data set that can be read.

    class_words: the words of each class, in the order of ``index.classes``; templates: sentences with ``{}`` for
    them; read: gives the images with these ids, each once, in the data set's own order, and raises DataError.
    shelf: where pixels that were decoded are kept, if anywhere.
    """

    index: Index
    class_words: list[str]
    templates: list[str]
    read: Read
    shelf: Shelf | None = None


@dataclass(frozen=True)
class Decoded:
    """images: uint8 [N, 3, S, S], RGB; labels: int64 [N], places in ``index.classes``; ids: N ids.

    kept: the file that the images are pages of, where they lie on a shelf.
    """

    images: torch.Tensor
    labels: torch.Tensor
    ids: tuple[str, ...]
    kept: Kept | None = None


def open_archive(
    path: Path | Callable[[], Path],
    index: Index | None = None,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    leave_out: bool = False,
    shelf: Shelf | None = None,
) -> Dataset:
    """A zip, tar, tar.gz, WebDataset tar or folder; indexed and verified first where ``index`` is None.

    path: where it is, or what fetches it and says so, called when it is read. leave_out: as ``index_archive``'s.
    shelf: where its pixels are kept. Raises ArchiveError, and DataError for class names or templates that do not fit.
    """
    if index is None:
        index = index_archive(_there(path), limits, leave_out=leave_out)
    root = index.root

    def read(ids: Collection[str]) -> Iterator[Named]:
        for sample_id, content in read_samples(_there(path), ids, root, limits):
            yield sample_id, open_image(sample_id, content, limits.pixels)

    return Dataset(index, class_words(index.classes, class_names or {}), check_templates(templates), read, shelf)


def _there(path: Path | Callable[[], Path]) -> Path:
    return path if isinstance(path, Path) else path()


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

    Where the data set has a shelf, pixels that lie there are taken as they are, and others go there: into a file, of
    which they are pages. on_step counts images. Raises DataError, naming the sample that cannot be decoded, or where
    all are more than the machine has memory.
    """
    _check_memory(len(samples), preprocess.size)
    numbers = {name: number for number, name in enumerate(dataset.index.classes)}
    labels = torch.tensor([numbers[sample.class_name] for sample in samples], dtype=torch.int64)
    ids = tuple(sample.id for sample in samples)
    if dataset.shelf is None or not samples:
        images = np.empty((len(samples), 3, preprocess.size, preprocess.size), dtype=np.uint8)
        _decode_into(images, dataset, ids, preprocess, on_step)
        return Decoded(torch.from_numpy(images), labels, ids)

    def make(path: Path) -> None:
        with written(path, len(ids), preprocess.size) as images:
            _decode_into(images, dataset, ids, preprocess, on_step)

    kept = dataset.shelf.take(name_of("pixels", preprocess.recipe, ids), make)
    return Decoded(mapped(kept.path), labels, ids, kept)


def _decode_into(
    images: NDArray[Any], dataset: Dataset, ids: Sequence[str], preprocess: Preprocess, on_step: OnStep
) -> None:
    """Decode by all cores. Images are read one after the other, and no further ahead than memory allows."""
    places = {sample_id: place for place, sample_id in enumerate(ids)}
    to_pixels = _to_pixels(preprocess)

    def decode_one(item: Named) -> None:
        images[places[item[0]]] = to_pixels(item)

    threads = min(8, os.cpu_count() or 1)
    running: dict[Future[None], int] = {}
    done = 0

    def settle() -> None:
        """Wait for the first that is done. Raises what it raised."""
        nonlocal done
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            del running[future]
            future.result()
            done += 1
            on_step(done, len(ids), None)

    pool = ThreadPoolExecutor(threads)
    try:
        for item in dataset.read(places):
            size = _bytes_of(item[1], preprocess)
            while running and (len(running) >= _WAITING * threads or sum(running.values()) + size > _BYTES_AT_ONCE):
                settle()
            running[pool.submit(decode_one, item)] = size
        while running:
            settle()
    finally:
        pool.shutdown(cancel_futures=True)


def _check_memory(count: int, size: int) -> None:
    """Raise DataError where the pixels alone, all of which are kept, would be more than the machine's memory."""
    wanted, there = 3 * count * size * size, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > there:
        raise DataError(
            f"{count} images of {size} × {size} pixels take {wanted / 2**30:.1f} GiB, and this machine has "
            f"{there / 2**30:.1f} GiB of memory: take fewer samples, or a model of smaller images"
        )


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
            given.close()  # or its pixels would stay as long as something still knows the image
        return np.asarray(image).transpose(2, 0, 1)

    return to_pixels
