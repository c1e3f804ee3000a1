"""The names that ``torchvision`` in a data set's reference may take, and the files that each needs. No torch, no numpy.

Names are torchvision's class names where it has one, and so are the layouts. A second layout is the one of
github mlfoundations/task_vectors (``src/datasets``), whose folders were made for the published CLIP experiments.
Parts are the published ones: what is said here to be ``test`` is what the published figures are over. Validation is
cut from train (``negmerge.data.selection``), except where the published code has a folder for it (EuroSAT).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from negmerge.errors import DataError
from negmerge.spec.fields import listed

Reader = Literal[
    "idx", "cifar", "svhn", "cars", "class_folders", "dtd", "sun397", "resisc45", "gtsrb", "cub200", "tiny_imagenet"
]
"""Which function of ``negmerge.data.published.reading`` reads a layout."""


@dataclass(frozen=True)
class Layout:
    """One way in which a data set's files may lie under the root.

    base: the folder that the samples' paths, which are their ids, begin at; needs: files and folders below the root
    that must be there; parts: a file or a folder below ``base`` → the part of what it holds or lists.
    """

    reader: Reader
    base: str
    needs: tuple[str, ...]
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NamedSet:
    """A published data set: where its authors give it away, and its layouts, the first being the usual one.

    most_validation: most samples that are cut from train for validation, over all classes.
    """

    page: str
    layouts: tuple[Layout, ...]
    most_validation: int | None = None


def _below(base: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{base}/{name}" for name in names)


def _folders(base: str, parts: Mapping[str, str]) -> Layout:
    """Folders of class folders, one for each part."""
    return Layout("class_folders", base, _below(base, *parts) if base else tuple(parts), parts)


def _idx(name: str) -> Layout:
    parts = {"train": "train", "t10k": "test"}
    files = [f"{part}-{kind}-ubyte" for part in parts for kind in ("images-idx3", "labels-idx1")]
    return Layout("idx", f"{name}/raw", _below(f"{name}/raw", *files), parts)


def _cifar(base: str, meta: str, parts: Mapping[str, str]) -> Layout:
    return Layout("cifar", base, _below(base, *parts, meta), parts)


_TRAIN_AND_VAL = {"train": "train", "val": "test"}
"""The published code tests on what lies in ``val``."""

_MOST = 5000
"""Of the published CLIP experiments; 10 % of ImageNet would be 128,000."""

_ALL_THREE = {"train": "train", "val": "validation", "test": "test"}
_DTD_LISTS = {"labels/train1.txt": "train", "labels/val1.txt": "train", "labels/test1.txt": "test"}
_SUN397_LISTS = {"Training_01.txt": "train", "Testing_01.txt": "test"}
_RESISC45_LISTS = {"resisc45-train.txt": "train", "resisc45-test.txt": "test"}
_CIFAR10_BATCHES = {f"data_batch_{number}": "train" for number in range(1, 6)} | {"test_batch": "test"}
_CARS_FILES = ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat")
_TINY_FILES = ("wnids.txt", "words.txt", "train", "val/val_annotations.txt", "val/images")

KNOWN: Mapping[str, NamedSet] = {
    "StanfordCars": NamedSet(
        "ai.stanford.edu/~jkrause/cars/car_dataset.html (no longer online: from a copy that you trust)",
        (Layout("cars", "stanford_cars", _below("stanford_cars", *_CARS_FILES, "cars_train", "cars_test")),),
        _MOST,
    ),
    "DTD": NamedSet(
        "www.robots.ox.ac.uk/~vgg/data/dtd",
        (
            Layout("dtd", "dtd/dtd", _below("dtd/dtd", "images", *_DTD_LISTS), _DTD_LISTS),
            _folders("dtd", _TRAIN_AND_VAL),
        ),
        _MOST,
    ),
    "EuroSAT": NamedSet(
        "github.com/phelber/EuroSAT (the RGB version)",
        (Layout("class_folders", "eurosat/2750", ("eurosat/2750",)), _folders("EuroSAT_splits", _ALL_THREE)),
        _MOST,
    ),
    "GTSRB": NamedSet(
        "benchmark.ini.rub.de",
        (
            Layout(
                "gtsrb",
                "gtsrb",
                _below("gtsrb", "GTSRB/Training", "GTSRB/Final_Test/Images", "GT-final_test.csv"),
            ),
        ),
        _MOST,
    ),
    "MNIST": NamedSet("yann.lecun.com/exdb/mnist (unpack the .gz files)", (_idx("MNIST"),), _MOST),
    "FashionMNIST": NamedSet(
        "github.com/zalandoresearch/fashion-mnist (unpack the .gz files)", (_idx("FashionMNIST"),)
    ),
    "RESISC45": NamedSet(
        "the authors of NWPU-RESISC45 (doi.org/10.1109/JPROC.2017.2675998), "
        "the lists from arxiv.org/abs/1911.06721 (In-domain representation learning for remote sensing)",
        (Layout("resisc45", "resisc45", _below("resisc45", "NWPU-RESISC45", *_RESISC45_LISTS), _RESISC45_LISTS),),
        _MOST,
    ),
    "SUN397": NamedSet(
        "vision.princeton.edu/projects/2010/SUN (SUN397.tar.gz, and Partitions.zip unpacked into its folder)",
        (
            Layout("sun397", "SUN397", _below("SUN397", "ClassName.txt", *_SUN397_LISTS), _SUN397_LISTS),
            _folders("sun397", _TRAIN_AND_VAL),
        ),
        _MOST,
    ),
    "SVHN": NamedSet(
        "ufldl.stanford.edu/housenumbers (format 2, cropped digits)",
        (Layout("svhn", "", ("train_32x32.mat", "test_32x32.mat")),),
        _MOST,
    ),
    "ImageNet": NamedSet(
        "image-net.org (ILSVRC 2012, the images of train and val in a folder per class)",
        (_folders("", _TRAIN_AND_VAL),),
        _MOST,
    ),
    "CIFAR10": NamedSet(
        "www.cs.toronto.edu/~kriz/cifar.html (the Python version)",
        (_cifar("cifar-10-batches-py", "batches.meta", _CIFAR10_BATCHES),),
    ),
    "CIFAR100": NamedSet(
        "www.cs.toronto.edu/~kriz/cifar.html (the Python version)",
        (_cifar("cifar-100-python", "meta", {"train": "train", "test": "test"}),),
    ),
    "CUB200": NamedSet(
        "www.vision.caltech.edu/datasets/cub_200_2011",
        (Layout("cub200", "CUB_200_2011", _below("CUB_200_2011", "images.txt", "train_test_split.txt", "images")),),
    ),
    "TinyImageNet": NamedSet(
        "cs231n.stanford.edu (tiny-imagenet-200.zip)",
        (Layout("tiny_imagenet", "tiny-imagenet-200", _below("tiny-imagenet-200", *_TINY_FILES)),),
    ),
}
"""Every data set that is known by name."""


def unknown(name: str) -> str | None:
    """What to say of a name that is not known here; None where it is."""
    return None if name in KNOWN else f"unknown data set {name!r}: known are {listed(KNOWN)}"


def layout_of(name: str, root: Path) -> Layout:
    """The layout in which the data set lies under ``root``: the first that is whole.

    Raises DataError for a name that is not known, and where a file is missing: it names the first missing one of the
    layout that is nearest to whole, and where to get it.
    """
    if message := unknown(name):
        raise DataError(message)
    known = KNOWN[name]
    missing = [[need for need in layout.needs if not (root / need).exists()] for layout in known.layouts]
    shares = [len(needs) / len(layout.needs) for needs, layout in zip(missing, known.layouts, strict=True)]
    nearest = shares.index(min(shares))
    if missing[nearest]:
        needed = root / missing[nearest][0]
        raise DataError(f"{name} needs {needed}, which is not there: get it from {known.page}; nothing is downloaded")
    return known.layouts[nearest]
