"""How a data set's files say which class and part they belong to. Names in, samples out; no files, no torch."""

import json
from collections.abc import Collection, Iterator, Mapping

from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.members import shown
from negmerge.errors import ArchiveError

LABEL_SUFFIXES = frozenset({".cls", ".json", ".txt"})
"""Endings of the members that carry a WebDataset sample's class."""

PART_FOLDERS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
"""Names of folders (in any case) that say the part."""

MAX_NAME = 200
"""Most characters of a class's name in a label."""

Row = tuple[str, str, str | None]
"""A sample's id, class and part."""


def suffix(name: str) -> str:
    """The last ending of a name in lower case, with its dot; "" where there is none."""
    base = name.rsplit("/", 1)[-1]
    return "." + base.rsplit(".", 1)[1].lower() if "." in base else ""


def label_of(name: str, content: bytes) -> str | None:
    """The class in a WebDataset label: text, or ``label`` or ``class`` in a JSON object. None where there is none."""
    try:
        text = content.decode().strip()
        if suffix(name) != ".json":
            return _class_name(text)
        document = json.loads(text)  # leniently: of all that stands there only the label is ours to judge
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    label = document.get("label", document.get("class"))
    return _class_name(str(label).strip()) if isinstance(label, str | int) else None


def _class_name(text: str) -> str | None:
    return text if text and len(text) <= MAX_NAME and text.isprintable() else None


def lay_out(names: Collection[str], labels: Mapping[str, str | None]) -> tuple[str, list[Row]]:
    """The folder around everything, and the samples without it in their ids.

    names: all files, checked; labels: the class in each file that has a label's ending.
    Raises ArchiveError where the files are not images in a folder per class, nor a WebDataset.
    """
    if not any(suffix(name) in IMAGE_SUFFIXES for name in names):
        first = f", only files such as {shown(min(names))}" if names else ""
        raise ArchiveError(f"the data set holds no images{first}: put images in a folder for each class")
    root = _root(names)
    prefix = f"{root}/" if root else ""
    inner = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    keyed = {name: labels[full] for name, full in inner.items() if full in labels}
    if _is_webdataset(inner, keyed):
        return root, list(_webdataset(inner, keyed))
    return root, list(_folders(inner))


def _root(names: Collection[str]) -> str:
    """The single folder around all images, unless it is a part itself, or the folder of one class."""
    images = [name for name in names if suffix(name) in IMAGE_SUFFIXES]
    tops = {name.split("/", 1)[0] for name in images}
    if len(tops) > 1 or (top := tops.pop()).lower() in PART_FOLDERS:
        return ""
    holds_folders = any(name.count("/") > 1 for name in images)
    holds_labels = any(name.startswith(f"{top}/") and suffix(name) in LABEL_SUFFIXES for name in names)
    return top if holds_folders or holds_labels else ""


def _is_webdataset(names: Collection[str], labels: Mapping[str, str | None]) -> bool:
    """Labelled by files beside the images: some end in .cls, or no image lies in a class folder."""
    if any(suffix(name) == ".cls" for name in labels):
        return True
    images = (name for name in names if suffix(name) in IMAGE_SUFFIXES)
    return bool(labels) and all(len(_split_part(name)[1]) == 1 for name in images)


def _split_part(name: str) -> tuple[str | None, list[str]]:
    """The part that the first folder says, and the rest of the path."""
    first, *rest = name.split("/")
    return (PART_FOLDERS[first.lower()], rest) if rest and first.lower() in PART_FOLDERS else (None, [first, *rest])


def _folders(names: Collection[str]) -> Iterator[Row]:
    """Samples of a folder per class. Files outside any class folder (a README) are not samples."""
    images = [name for name in names if suffix(name) in IMAGE_SUFFIXES]
    split = [_split_part(name) for name in images]
    strays = [name for name, (part, _) in zip(images, split, strict=True) if part is None and "/" in name]
    # Among other classes, a folder named "train" that holds images and no folders is a class like them.
    parted = any(part and (len(path) > 1 or not strays) for part, path in split)
    if parted and strays:
        raise ArchiveError(f"{shown(min(strays))} lies beside train, val and test: move it into one of them")
    for name in names:
        part, path = _split_part(name) if parted else (None, name.split("/"))
        is_image = suffix(name) in IMAGE_SUFFIXES
        if len(path) > 1 and is_image:
            yield name, path[0], part
        elif is_image:
            raise ArchiveError(f"{shown(name)} is in no class folder: put each image in its class's folder")
        elif len(path) > 1:
            raise ArchiveError(f"{shown(name)} is not an image: remove it")


def _webdataset(names: Collection[str], labels: Mapping[str, str | None]) -> Iterator[Row]:
    """Samples of a WebDataset: an image and its label share the path up to the first dot of the file's name."""
    classes: dict[str, str] = {}
    for ending in (".txt", ".json", ".cls"):  # of several labels the last counts: .cls is the plainest
        classes |= {_key(name): label for name, label in labels.items() if suffix(name) == ending and label}
    images: dict[str, str] = {}
    for name in sorted(names):
        if suffix(name) not in IMAGE_SUFFIXES:
            continue
        key = _key(name)
        if key in images:
            raise ArchiveError(f"{shown(name)} and {shown(images[key])} are one sample: keep one image of it")
        if key not in classes:
            wanted = f"put {shown(key + '.cls')} with its class beside it, at most {MAX_NAME} printable characters"
            raise ArchiveError(f"{shown(name)} has no label: {wanted}")
        images[key] = name
        yield name, classes[key], _split_part(name)[0]


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.split(".", 1)[0]
