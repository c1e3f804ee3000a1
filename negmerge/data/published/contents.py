"""What a reader finds of a data set: its samples, and how to get at their images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from negmerge.data.archives import Index, Sample
from negmerge.data.images import open_image
from negmerge.data.members import Limits, safe_name
from negmerge.data.published.opening import content
from negmerge.errors import DataError
from negmerge.naming import shown

Array = np.ndarray[Any, np.dtype[Any]]

_MAX_PIXELS = Limits().pixels


@dataclass(frozen=True)
class Contents:
    """A data set's index, the image of each id (decoded when its pixels are asked for), and words of its own files."""

    index: Index
    image: Callable[[str], Image.Image]
    own_words: Mapping[str, str] = field(default_factory=dict)


def of_files(root: Path, base: str, samples: Iterable[Sample], own_words: Mapping[str, str] | None = None) -> Contents:
    """Images that are files: a sample's id is its path below ``base``. Raises DataError where there are none."""
    found = tuple(sorted(samples, key=lambda sample: sample.id))
    if not found:
        raise DataError("there are no images")
    index = Index(found, tuple(sorted({sample.class_name for sample in found})), base)

    def image(sample_id: str) -> Image.Image:
        return open_image(sample_id, content(root / base / sample_id), _MAX_PIXELS)

    return Contents(index, image, own_words or {})


def of_arrays(parts: Mapping[str, tuple[Array, Sequence[int]]], classes: Sequence[str]) -> Contents:
    """Images that lie in arrays: a sample's id is its part and its number there from 0, ``train/000001``.

    parts: train or test → uint8 [N, H, W] or [N, H, W, 3], and N labels, places in ``classes``.
    Raises DataError where labels and images do not fit.
    """
    samples = []
    for part, (images, labels) in parts.items():
        if len(images) != len(labels):
            raise DataError(f"{part} has {len(images)} images and {len(labels)} labels")
        if any(not 0 <= label < len(classes) for label in labels):
            raise DataError(f"{part} has a label that is none of the {len(classes)} classes")
        samples += [Sample(f"{part}/{number:06}", classes[label], part) for number, label in enumerate(labels)]

    def image(sample_id: str) -> Image.Image:
        part, number = sample_id.split("/")
        return Image.fromarray(parts[part][0][int(number)])

    return Contents(Index(tuple(sorted(samples, key=lambda sample: sample.id)), tuple(sorted(classes))), image)


def checked(name: str) -> str:
    """The path that a list or a folder names, below the data set's folder. Raises ArchiveError where it leaves it."""
    return name if name.isprintable() and ".." not in name and not name.startswith("/") else safe_name(name)


def must_exist(base: Path, name: str, where: str) -> str:
    """The checked path of a file that ``where`` names. Raises DataError where it is not there."""
    path = checked(name)
    if not (base / path).is_file():
        raise DataError(f"{where} lists {shown(name)}, which is not there")
    return path
