"""Data sets whose images lie side by side in a few files: MNIST's idx, CIFAR's pickles, MATLAB's .mat."""

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from negmerge.data.archives import Sample
from negmerge.data.published.contents import Array, Contents, must_exist, of_arrays, of_files
from negmerge.data.published.opening import content, opened
from negmerge.spec.published_sets import Layout

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The labels of github zalandoresearch/fashion-mnist, README.
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_PLAIN = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""All that a pickle of arrays, strings and numbers needs."""


def idx(root: Path, layout: Layout) -> Contents:
    """MNIST's format: big-endian magic number and sizes, then bytes."""
    base = root / layout.base
    classes = _CLOTHES if layout.base.startswith("Fashion") else _DIGITS
    parts = {
        part: (
            _idx_array(base / f"{name}-images-idx3-ubyte", 3),
            _idx_array(base / f"{name}-labels-idx1-ubyte", 1).tolist(),
        )
        for name, part in layout.parts.items()
    }
    return of_arrays(parts, classes)


def cifar(root: Path, layout: Layout) -> Contents:
    """The Python version of CIFAR-10 and CIFAR-100 (fine labels): pickles of uint8 [N, 3072], channel by channel."""
    base = root / layout.base
    fine = "train" in layout.parts
    meta = _unpickled(base / ("meta" if fine else "batches.meta"))
    images: dict[str, list[Array]] = {}
    labels: dict[str, list[int]] = {}
    for name, part in layout.parts.items():
        batch = _unpickled(base / name)
        rows = np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32)
        images.setdefault(part, []).append(rows.transpose(0, 2, 3, 1))
        labels.setdefault(part, []).extend(int(label) for label in batch["fine_labels" if fine else "labels"])
    parts = {part: (np.concatenate(batches), labels[part]) for part, batches in images.items()}
    return of_arrays(parts, meta["fine_label_names" if fine else "label_names"])


def svhn(root: Path, layout: Layout) -> Contents:
    """Cropped digits: ``X`` uint8 [32, 32, 3, N], ``y`` [N, 1] in 1…10, where 10 is the digit 0."""
    parts = {}
    for part in ("train", "test"):
        found = _matlab(root / layout.base / f"{part}_32x32.mat")
        labels = np.asarray(found["y"], np.int64).ravel() % 10
        parts[part] = (np.ascontiguousarray(found["X"].transpose(3, 0, 1, 2)), labels.tolist())
    return of_arrays(parts, _DIGITS)


def cars(root: Path, layout: Layout) -> Contents:
    """Image files, with their classes (counted from 1) and the classes' names in MATLAB's structs."""
    base = root / layout.base
    names = np.atleast_1d(_matlab(base / "devkit" / "cars_meta.mat", squeeze_me=True)["class_names"])
    samples = []
    for part, table in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        for row in np.atleast_1d(_matlab(base / table, squeeze_me=True)["annotations"]):
            path = must_exist(base, f"cars_{part}/{row['fname']}", table)
            samples.append(Sample(path, str(names[int(row["class"]) - 1]), part))
    return of_files(root, layout.base, samples)


def _matlab(path: Path, **options: Any) -> dict[str, Any]:
    with opened(path) as file:
        document: dict[str, Any] = loadmat(file, **options)
    return document


def _idx_array(path: Path, dimensions: int) -> Array:
    file = content(path)
    header = struct.Struct(f">{1 + dimensions}I")
    magic, *sizes = header.unpack_from(file)
    if magic != 0x800 + dimensions:  # 8: unsigned bytes
        raise ValueError(f"{path.name} is no idx file of bytes in {dimensions} dimensions")
    return np.frombuffer(file, np.uint8, offset=header.size).reshape(sizes)


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles arrays, lists, dicts, strings and numbers; anything that could run code is an error."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # as numpy was laid out when CIFAR was written
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which no data set of images needs")
        return _dtype if (module, name) == ("numpy", "dtype") else super().find_class(module, name)


def _dtype(kind: str, align: int, copy: int) -> np.dtype[Any]:
    """Python 2 wrote 0 and 1 for the flags, of which numpy warns."""
    return np.dtype(kind, bool(align), bool(copy))


def _unpickled(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        document: dict[str, Any] = _PlainUnpickler(file, encoding="latin1").load()
    return document
