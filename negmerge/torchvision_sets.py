"""torchvision's own data sets from a local root. Nothing is ever downloaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvision import datasets

from negmerge.errors import DataError
from negmerge.fields import listed

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MNIST_FILES = tuple(
    f"raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True)
class TorchvisionPart:
    """One part: its name in ids, what it is (train, validation, test, or None), images by number, labels."""

    name: str
    role: str | None
    images: Any  # torchvision's: images[i] is (PIL image, label)
    labels: Sequence[int]


@dataclass(frozen=True)
class _Set:
    """Where a data set lies under the root, how its parts are asked for, and where its labels and classes are."""

    files: tuple[str, ...]
    parts: Mapping[str, Mapping[str, Any]]
    labels: str
    classes: tuple[str, ...] | None = None  # None: torchvision's own


_BY_TRAIN = {"train": {"train": True}, "test": {"train": False}}
_BY_SPLIT = {"train": {"split": "train"}, "test": {"split": "test"}}

_SETS = {
    "MNIST": _Set(tuple(f"MNIST/{file}" for file in _MNIST_FILES), _BY_TRAIN, "targets", _DIGITS),
    "FashionMNIST": _Set(tuple(f"FashionMNIST/{file}" for file in _MNIST_FILES), _BY_TRAIN, "targets"),
    "CIFAR10": _Set(tuple(f"cifar-10-batches-py/{file}" for file in _BATCHES), _BY_TRAIN, "targets"),
    "CIFAR100": _Set(
        ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"), _BY_TRAIN, "targets"
    ),
    "SVHN": _Set(("train_32x32.mat", "test_32x32.mat"), _BY_SPLIT, "labels", _DIGITS),
    "GTSRB": _Set(
        ("gtsrb/GTSRB/Training", "gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv"),
        _BY_SPLIT,
        "_samples",
        tuple(f"{number:05}" for number in range(43)),
    ),
    "DTD": _Set(
        ("dtd/dtd/images", *(f"dtd/dtd/labels/{part}1.txt" for part in ("train", "val", "test"))),
        {part: {"split": part} for part in ("train", "val", "test")},
        "_labels",
    ),
    "EuroSAT": _Set(("eurosat/2750",), {"all": {}}, "targets"),
}

_ROLES = {"train": "train", "val": "validation", "test": "test"}


def load_parts(name: str, root: Path) -> tuple[list[TorchvisionPart], tuple[str, ...]]:
    """The data set's parts, and its classes in the order of the labels.

    Raises DataError for a name that is not known here, and for a file that is missing or damaged.
    """
    known = _SETS.get(name)
    if known is None:
        raise DataError(f"unknown torchvision data set {name!r}: known are {listed(_SETS)}")
    for file in known.files:
        if not (root / file).exists():
            raise DataError(f"{name} needs {root / file}, which is not there: nothing is downloaded")
    kind = getattr(datasets, name)
    try:
        loaded = {part: kind(root, **arguments) for part, arguments in known.parts.items()}
    except (AssertionError, EOFError, KeyError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{name} under {root} is incomplete or damaged: {error}") from None
    parts = [
        TorchvisionPart(part, _ROLES.get(part), images, _labels(getattr(images, known.labels)))
        for part, images in loaded.items()
    ]
    return parts, known.classes or tuple(next(iter(loaded.values())).classes)


def _labels(labels: Any) -> list[int]:
    """torchvision keeps numbers, arrays of them, or (path, number)."""
    return [int(label[1] if isinstance(label, tuple) else label) for label in labels]
