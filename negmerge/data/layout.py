"""How a data set's files say which class and part they belong to. Names in, samples out; no files, no torch."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from negmerge.data.images import IMAGE_SUFFIXES, OTHER_FORMATS
from negmerge.data.tables import is_table
from negmerge.errors import ArchiveError
from negmerge.naming import NAME_RULE, is_name, one_form, shown

LABEL_SUFFIXES = frozenset({".cls", ".json", ".txt"})
"""Endings of the members that carry a WebDataset sample's class."""

PART_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders (in any case) that say the part, as people, Roboflow and others call them."""

MAX_LABEL_BYTES = 2**20
"""Most bytes of a WebDataset's label: its JSON may say much else of an image."""

_SETS = {
    ".parquet": "Parquet: write its images into a folder for each class, such as with datasets' `imagefolder`",
    ".arrow": "Arrow: write its images into a folder for each class",
    ".tfrecord": "TFRecord: write its images into a folder for each class",
    ".lmdb": "LMDB: write its images into a folder for each class",
    ".npy": "numpy: write its images into a folder for each class",
    ".npz": "numpy: write its images into a folder for each class",
    ".h5": "HDF5: write its images into a folder for each class",
    ".hdf5": "HDF5: write its images into a folder for each class",
    ".mat": "MATLAB: write its images into a folder for each class",
    ".tar": "tars: give one of them, or register the folder in which they alone lie",
    ".zip": "zips: unpack them first",
}
"""Files that hold images in ways that are told by their names: what each is, and what to do."""

Row = tuple[str, str, str | None]
"""A sample's id, class and part."""


def suffix(name: str) -> str:
    """The last ending of a name in lower case, with its dot; "" where there is none."""
    base = name.rsplit("/", 1)[-1]
    return "." + base.rsplit(".", 1)[1].lower() if "." in base else ""


def label_of(name: str, content: bytes) -> str | None:
    """The class in a WebDataset label: text, or of a JSON object ``label``, else ``class``. None if there is none."""
    if len(content) > MAX_LABEL_BYTES:
        return None
    try:
        text = content.decode("utf-8-sig").strip()
        if suffix(name) != ".json":
            return _class_name(text)
        # Leniently: of all that stands there only the label is ours to judge.
        document = json.loads(text, object_pairs_hook=_labelled_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    label = document.get("label")
    label = document.get("class") if label is None else label
    is_label = isinstance(label, str) or type(label) is int  # true is an int too, and no class
    return _class_name(str(label).strip()) if is_label else None


def _labelled_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object, unless it has two labels: readers differ in which of them counts."""
    keys = [key for key, _ in pairs]
    if keys.count("label") > 1 or keys.count("class") > 1:
        raise ValueError("a label is there twice")
    return dict(pairs)


def _class_name(text: str) -> str | None:
    return text if is_name(text) else None


def lay_out(
    names: Collection[str],
    labels: Mapping[str, str | None],
    tables: Mapping[str, Mapping[str, str] | None] = MappingProxyType({}),
    unreadable: Collection[str] = (),
) -> tuple[str, list[Row]]:
    """The folder around everything, and the samples without it in their ids.

    names: all files, checked; labels: the class in each file that has a label's ending; tables: what each table says of
    files beside it (``tables.classes_of``); unreadable: files that are left out.
    Raises ArchiveError where the files are not images in a folder per class, nor a WebDataset.
    """
    if not any(suffix(name) in IMAGE_SUFFIXES for name in names):
        raise ArchiveError(_why_no_images(names))
    root = _root(names)
    prefix = f"{root}/" if root else ""
    inner = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    keyed = {name: labels[full] for name, full in inner.items() if full in labels}
    told = {name: tables[full] for name, full in inner.items() if full in tables}
    left_out = {name.removeprefix(prefix) for name in unreadable}
    if listed := _listed(inner, told, left_out):
        rows = iter(listed)
    else:
        rows = _webdataset(inner, keyed, left_out) if _is_webdataset(inner, keyed) else _folders(inner)
    return root, [(sample, one_form(class_name), part) for sample, class_name, part in rows]


def _why_no_images(names: Collection[str]) -> str:
    for name in sorted(names):
        if suffix(name) in _SETS:
            return f"the data set holds no images, but {shown(name)}, which is {_SETS[suffix(name)]}"
        if suffix(name) in OTHER_FORMATS:
            return f"the data set holds no images, but {told_of_format(name)}"
    first = f", only files such as {shown(min(names))}" if names else ""
    return f"the data set holds no images{first}: put images in a folder for each class"


def told_of_format(name: str) -> str:
    """What is said of a picture in a format of ``OTHER_FORMATS``."""
    return f"{shown(name)} is {OTHER_FORMATS[suffix(name)]}, which is not read here: save it as JPEG or PNG"


def _listed(
    names: Collection[str], tables: Mapping[str, Mapping[str, str] | None], unreadable: Collection[str]
) -> list[Row]:
    """Samples whose classes stand in tables; none where no table names an image.

    Raises ArchiveError for an image that no table names, a row without its image, and where two tables, or a table and
    the folders, differ in a class.
    """
    images = {name for name in names if suffix(name) in IMAGE_SUFFIXES}
    known = {one_form(name): name for name in (*unreadable, *images)}
    classes: dict[str, str] = {}
    missing = ""
    for table, rows in sorted(tables.items()):
        folder = table.rpartition("/")[0]
        for file, class_name in (rows or {}).items():
            path = f"{folder}/{file.removeprefix('./')}" if folder else file.removeprefix("./")
            name = known.get(one_form(path), "")
            if not name:
                missing = (
                    missing or f"{shown(table)} names {shown(file)}, which is not there: add it, or remove the row"
                )
            elif classes.setdefault(name, class_name) != class_name:
                raise ArchiveError(f"{shown(name)} has two classes, in {shown(table)} and in another table: keep one")
    if not classes:
        return []
    if missing:
        raise ArchiveError(missing)
    for name in sorted(images - classes.keys()):
        raise ArchiveError(f"{shown(name)} is in none of the tables, such as {shown(min(tables))}: add its row")
    _check_folders(images, classes)
    return [(name, classes[name], _split_part(name)[0]) for name in images]


def _check_folders(images: Collection[str], classes: Mapping[str, str]) -> None:
    """Raise ArchiveError where images lie in folders for classes, as it seems, and a table says others."""
    folders = {name: path[0] for name in images if len(path := _split_part(name)[1]) > 1}
    if len(set(folders.values())) < 2:
        return
    for name, folder in sorted(folders.items()):
        if one_form(folder) != one_form(classes[name]):
            raise ArchiveError(
                f"{shown(name)} lies in the folder {shown(folder)}, and a table says {shown(classes[name])}: take away "
                "the table, or put all images into one folder"
            )


def _root(names: Collection[str]) -> str:
    """The single folder around all images, unless it is a part itself, or the folder of one class."""
    images = [name for name in names if suffix(name) in IMAGE_SUFFIXES]
    tops = {name.split("/", 1)[0] for name in images}
    if len(tops) > 1 or (top := tops.pop()).lower() in PART_FOLDERS:
        return ""
    holds_folders = any(name.count("/") > 1 for name in images)
    inside = [name for name in names if name.startswith(f"{top}/")]
    holds_labels = any(suffix(name) in LABEL_SUFFIXES or is_table(name) for name in inside)
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
    if not parted:
        _check_no_sets(images)
    for name in names:
        part, path = _split_part(name) if parted else (None, name.split("/"))
        is_image = suffix(name) in IMAGE_SUFFIXES
        if len(path) > 1 and is_image:
            yield name, path[0], part
        elif is_image:
            told = f"{shown(name)} is in no class folder{_what_they_seem(names)}"
            raise ArchiveError(f"{told}: put each image in its class's folder")
        elif len(path) > 1:
            raise ArchiveError(f"{shown(name)} is not an image{_what_they_seem([name])}: remove it")


def _check_no_sets(images: Collection[str]) -> None:
    """Raise ArchiveError where two top folders seem to be parts by other names: both hold the same classes' folders."""
    below: dict[str, set[str]] = {}
    for name in images:
        top, *folders = name.split("/")[:-1] or [""]
        below.setdefault(top, set()).update(folders[:1])
    holders: dict[str, list[str]] = {}
    for top in sorted(below):
        for inner in below[top]:
            holders.setdefault(inner, []).append(top)
    shared = Counter(tuple(tops[:2]) for tops in holders.values() if len(tops) > 1)
    for tops, count in sorted(shared.items()):
        if count > 1:
            raise ArchiveError(
                f"the folders {shown(tops[0])} and {shown(tops[1])} hold folders of the same names: if they are parts, "
                "call them train, val and test; if they are classes, put their images right into them"
            )


def _what_they_seem(names: Collection[str]) -> str:
    """What files beside the images tell of their layout, and what to do about it; nothing where there are none."""
    for name in sorted(names):
        base = name.rsplit("/", 1)[-1].lower()
        if base.endswith(".json") and ("coco" in base or base.startswith(("instances_", "captions_", "annotations"))):
            return f", and {shown(name)} looks like COCO's, in which an image has boxes and no class: cut them out"
        if base.endswith((".csv", ".jsonl", ".tsv", ".xlsx")):
            wanted = "it needs columns file_name and label, and to be called metadata.csv or metadata.jsonl"
            return f", and no class is read of {shown(name)}: {wanted}"
    return ""


def _webdataset(names: Collection[str], labels: Mapping[str, str | None], unreadable: Collection[str]) -> Iterator[Row]:
    """Samples of a WebDataset: an image and its label share a key, the path up to the first dot of the file's name."""
    images = sorted(name for name in names if suffix(name) in IMAGE_SUFFIXES)
    key = _key_of(images, labels)
    of_ending = {
        ending: {key(name): label for name, label in labels.items() if suffix(name) == ending and label}
        for ending in (".txt", ".json", ".cls")
    }
    plainer = of_ending[".json"] | of_ending[".cls"]
    # A .json without a label beside it, as img2dataset writes it, leaves the .txt to be judged.
    _check_no_captions([label for sample, label in of_ending[".txt"].items() if sample not in plainer])
    classes = of_ending[".txt"] | plainer  # of several labels .cls counts, then .json: it is the plainest
    shown_by = {key(name) for name in (*images, *unreadable)}
    for name in sorted(labels):
        if suffix(name) == ".cls" and key(name) not in shown_by:
            raise ArchiveError(f"{shown(name)} has no image beside it: add it, or remove the label")
    seen: dict[str, str] = {}
    for name in images:
        if (other := seen.setdefault(key(name), name)) != name:
            raise ArchiveError(f"{shown(name)} and {shown(other)} are one sample: keep one image of it")
        if key(name) not in classes:
            wanted = f"put {shown(key(name) + '.cls')} with its class beside it, {NAME_RULE}"
            raise ArchiveError(f"{shown(name)} has no label{_what_they_seem(labels)}: {wanted}")
        yield name, classes[key(name)], _split_part(name)[0]


def _key_of(images: Collection[str], labels: Collection[str]) -> Callable[[str], str]:
    """What an image and its label share: up to the first dot, or where that is not one image each, to the last."""
    if len({_to_first_dot(name) for name in images}) < len(images):
        labelled = {_to_last_dot(name) for name in labels}
        if all(_to_last_dot(name) in labelled for name in images):
            return _to_last_dot
    return _to_first_dot


def _to_first_dot(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.split(".", 1)[0]


def _to_last_dot(name: str) -> str:
    return name.rpartition(".")[0]


def _check_no_captions(labels: Collection[str]) -> None:
    """Raise ArchiveError where most labels are of a single image, as sentences about it are, and classes are not."""
    counts = Counter(labels)
    alone = [label for label, count in counts.items() if count == 1]
    if len(labels) >= _CAPTIONS and 2 * len(alone) > len(labels):
        raise ArchiveError(
            f"{len(alone)} of {len(labels)} .txt files have what no other has, such as {shown(min(alone)[:80])}: "
            "if these are captions, put the classes in .cls files"
        )


_CAPTIONS = 4
"""Of so few labels nothing can be said."""
