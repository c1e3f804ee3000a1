"""What a layout that is not read seems to be, so that it is called by its name with what to do. No files, no torch."""

import re
from collections.abc import Collection, Mapping

from negmerge.data.image_kinds import OTHER_FORMATS, told_of_ending
from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.members import suffix
from negmerge.errors import ArchiveError
from negmerge.naming import shown

_WRITE = "write its images into a folder for each class"
_SETS = (
    (r"\.parquet", "Parquet", f"{_WRITE}, such as with datasets' `imagefolder`"),
    (r"\.(arrow|feather)", "Arrow", _WRITE),
    (r"\.tfrecords?(-\d+-of-\d+)?", "TFRecord", _WRITE),
    (r"\.lmdb|/data\.mdb", "LMDB", _WRITE),
    (r"\.np[yz]", "numpy", _WRITE),
    (r"\.(h5|hdf5)", "HDF5", _WRITE),
    (r"\.mat", "MATLAB", _WRITE),
    (r"/(data_batch_\d+|test_batch)(\.bin)?", "a batch of CIFAR", _WRITE),
    (r"[.-]idx\d-ubyte(\.gz)?", "MNIST's format", _WRITE),
    (r"\.rec", "MXNet's RecordIO", _WRITE),
    (r"\.beton", "FFCV's", _WRITE),
    (r"\.mds(\.zstd)?", "MosaicML's", _WRITE),
    (r"\.pth?", "a file of torch", _WRITE),
    (r"\.(pkl|pickle)", "a pickle", _WRITE),
    (r"\.(tar|tgz|tar\.gz)", "tars", "give one of them, or register the folder in which they alone lie"),
    (r"\.zip", "zips", "unpack them first"),
    (r"\.7z", "7z", "unpack it first"),
    (r"\.rar", "RAR", "unpack it first"),
)
"""Files that hold images in ways that are told by the ends of their names: what each is, and what to do."""

_CUT_OUT = "in which an image has boxes and no class: cut the boxes out into a folder for each class"
_TABLES = (".csv", ".jsonl", ".tsv", ".xlsx")


def why_no_images(names: Collection[str]) -> str:
    """What is said of a data set without a file that has an image's ending."""
    for name in sorted(names):
        for ending, kind, remedy in _SETS:
            if re.search(f"({ending})$", f"/{name.lower()}"):
                return f"the data set holds no images, but {shown(name)}, which is {kind}: {remedy}"
        if suffix(name) in OTHER_FORMATS:
            return f"the data set holds no images, but {told_of_ending(shown(name), suffix(name))}"
    first = f", only files such as {shown(min(names))}" if names else ""
    return f"the data set holds no images{first}: put images in a folder for each class"


def refused(told: str, names: Collection[str], remedy: str) -> ArchiveError:
    """A refusal with what files beside the images tell of their layout and its remedy, else with this one."""
    for name in sorted(names):
        if seems := _what_it_seems(name):
            return ArchiveError(seems if told.startswith(shown(name)) else f"{told}, and {seems}")
    return ArchiveError(f"{told}: {remedy}")


def check_no_boxes(labels: Mapping[str, str]) -> None:
    """Raise ArchiveError where most texts (by file) are a class's number and four figures, as YOLO's boxes are."""
    boxes = [name for name, label in labels.items() if re.fullmatch(r"\d+( \d*\.\d+| [01]){4}", label)]
    if boxes and 2 * len(boxes) > len(labels):
        raise ArchiveError(f"{shown(min(boxes))} looks like YOLO's, {_CUT_OUT}")


def check_no_lists(names: Collection[str]) -> None:
    """Raise ArchiveError where lists beside the folder around the images say the parts, as Food-101's do."""
    for name in sorted(names):
        if re.search(r"(^|/)meta/(train|test)\.(json|txt)$", name):
            raise ArchiveError(
                f"{shown(name)} looks like Food-101's, of which no parts are read: move its images into train and "
                "test, remove meta"
            )


def unread_label(image: str, names: Collection[str]) -> str:
    """The first file that shares a WebDataset's key with the image, and is no image; "" where there is none."""
    folder, slash, base = image.rpartition("/")
    key = f"{folder}{slash}{base.split('.', 1)[0]}."
    return next((name for name in sorted(names) if name.startswith(key) and suffix(name) not in IMAGE_SUFFIXES), "")


def _what_it_seems(name: str) -> str:
    """The kind of data set to which the file belongs by its name, and what to do; "" where it tells of none."""
    *folders, base = name.lower().split("/")
    if base.endswith(".json") and ("coco" in base or base.startswith(("instances_", "captions_", "annotations"))):
        return f"{shown(name)} looks like COCO's, {_CUT_OUT}"
    if base.endswith("createml.json"):
        return f"{shown(name)} looks like Create ML's, {_CUT_OUT}"
    if base.endswith(".xml"):
        return f"{shown(name)} looks like Pascal VOC's, {_CUT_OUT}"
    if base.endswith(".txt") and "labels" in folders:
        return f"{shown(name)} looks like YOLO's, {_CUT_OUT}"
    if base.endswith(".parquet"):
        return f"{shown(name)} is Parquet: save it as metadata.csv, with columns file_name and label"
    if base.endswith(_TABLES):
        wanted = "it needs columns file_name and label, and to be called metadata.csv or metadata.jsonl"
        return f"no class is read of {shown(name)}: {wanted}"
    return ""
