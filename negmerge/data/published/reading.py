"""From a name and a root to the data set: its index, its images, its words and templates."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from scipy.io.matlab import MatReadError

from negmerge.data.archives import Index
from negmerge.data.images import DAMAGE
from negmerge.data.published import arrays, folders, lists, words
from negmerge.data.published.contents import Contents
from negmerge.errors import DataError
from negmerge.spec.published_sets import KNOWN, Layout, Reader, layout_of

READERS: dict[Reader, Callable[[Path, Layout], Contents]] = {
    "idx": arrays.idx,
    "cifar": arrays.cifar,
    "svhn": arrays.svhn,
    "cars": arrays.cars,
    "class_folders": folders.class_folders,
    "tiny_imagenet": folders.tiny_imagenet,
    "dtd": lists.dtd,
    "sun397": lists.sun397,
    "resisc45": lists.resisc45,
    "gtsrb": lists.gtsrb,
    "cub200": lists.cub200,
}

_UNREADABLE = (
    *DAMAGE,
    AttributeError,  # a pickle that appends to what is no list, and the like
    MatReadError,
    NotImplementedError,  # scipy: a .mat file of MATLAB 7.3
    pickle.UnpicklingError,
)
"""What the libraries raise for files that are cut short, damaged or of another kind."""


@dataclass(frozen=True)
class Opened:
    """index: its samples and classes; words: class → words of its prompts; image: the image with an id."""

    index: Index
    words: dict[str, str]
    templates: tuple[str, ...]
    image: Callable[[str], Image.Image]


def open_named(name: str, root: Path) -> Opened:
    """The data set of that name under ``root``, in the first of its layouts that is whole.

    Raises DataError: a name that is not known, the file that is missing and where to get it, what is damaged.
    """
    layout = layout_of(name, root)
    try:
        contents = READERS[layout.reader](root, layout)
        called = {
            class_name: contents.own_words.get(class_name) or words.words(name, class_name)
            for class_name in contents.index.classes
        }
    except DataError as error:
        raise DataError(f"{name} under {root}: {error}") from None
    except _UNREADABLE as error:
        raise DataError(f"{name} under {root} is incomplete or damaged: {type(error).__name__}: {error}") from None
    index = replace(contents.index, most_cut=KNOWN[name].most_validation)
    return Opened(index, called, words.templates(name), contents.image)
