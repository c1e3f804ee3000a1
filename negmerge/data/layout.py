"""How a data set's files say which class and part they belong to. Names in, samples out; no files, no torch."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from negmerge.data.class_folders import Row, rows_of_folders
from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.listed import rows_of_tables
from negmerge.data.members import suffix
from negmerge.data.parts import part_called, split_part
from negmerge.data.seeming import check_no_boxes, check_no_lists, refused, why_no_images
from negmerge.data.tables import Rows, is_table
from negmerge.errors import ArchiveError
from negmerge.naming import NAME_RULE, is_name, one_form, shown

LABEL_SUFFIXES = frozenset({".cls", ".json", ".txt"})
"""Endings of the members that carry a WebDataset sample's class."""

MAX_LABEL_BYTES = 2**20
"""Most bytes of a WebDataset's label: its JSON may say much else of an image."""


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
    """The object, or none of its keys where it has two labels: readers differ in which of them counts."""
    keys = [key for key, _ in pairs]
    if keys.count("label") > 1 or keys.count("class") > 1:
        return {}  # inside another it matters to nobody
    return dict(pairs)


def _class_name(text: str) -> str | None:
    return text if is_name(text) else None


def lay_out(
    names: Collection[str],
    labels: Mapping[str, str | None],
    tables: Mapping[str, Rows | None] = MappingProxyType({}),
    unreadable: Collection[str] = (),
) -> tuple[str, list[Row]]:
    """The folders around everything, and the samples without them in their ids.

    names: all files, checked; labels: the class in each file that has a label's ending; tables: what each table says of
    files beside it (``tables.rows_of``); unreadable: files that are left out.
    Images in one folder or in none, with no other files, have no class (""): nobody can tell that folder from a class.
    Raises ArchiveError where others are not images in a folder per class, nor a WebDataset, and for a class without
    training samples beside others with them.
    """
    if not any(suffix(name) in IMAGE_SUFFIXES for name in names):
        raise ArchiveError(why_no_images(names))
    folder, *others = {name.rpartition("/")[0] for name in (*names, *unreadable)}
    if not others and all(suffix(name) in IMAGE_SUFFIXES for name in names):
        return folder, [(_within(folder, name), "", None) for name in names]
    said = {name: rows for name, rows in tables.items() if rows}
    with_classes = {name: rows for name, rows in said.items() if any(row.class_name for row in rows.values())}
    root = _root(names, with_classes)
    rows, missing = rows_of_tables(
        _inside(root, names),
        {_within(root, name): rows for name, rows in with_classes.items()},
        _inside(root, unreadable),
    )
    if not rows:
        root = _root(names, ())
        rows = _by_names(root, names, labels, unreadable, missing)
        _check_no_parts_are_lost(rows, said)
    rows = [(sample, one_form(class_name), part) for sample, class_name, part in rows]
    _check_all_are_trained(rows)
    return root, rows


def _by_names(
    root: str,
    names: Collection[str],
    labels: Mapping[str, str | None],
    unreadable: Collection[str],
    missing: str,
) -> list[Row]:
    """Samples whose classes stand in their folders, or in files beside them.

    missing: what is wrong with a table that names no image; told where there are no two classes without it.
    """
    check_no_lists(names)
    inner = _inside(root, names)
    keyed = {_within(root, name): label for name, label in labels.items() if _within(root, name) in inner}
    try:
        if _is_webdataset(inner, keyed):
            rows = list(_webdataset(inner, keyed, _inside(root, unreadable)))
        else:
            rows = rows_of_folders(inner, names)
    except ArchiveError:
        if missing:
            raise ArchiveError(missing) from None
        raise
    if missing and len({class_name for _, class_name, _ in rows}) < 2:
        raise ArchiveError(missing)
    return rows


def _within(root: str, name: str) -> str:
    return name.removeprefix(f"{root}/") if root else name


def _inside(root: str, names: Collection[str]) -> set[str]:
    """The files below the root, without it in their names."""
    return {_within(root, name) for name in names if not root or name.startswith(f"{root}/")}


def _root(names: Collection[str], tables: Collection[str]) -> str:
    """The folders around all images, one in the other, that are no part and no class, and hold all tables too."""
    root = ""
    while top := _top(_inside(root, names)):
        if not all(_within(root, table).startswith(f"{top}/") for table in tables):
            break
        root = f"{root}/{top}" if root else top
    return root


def _top(names: Collection[str]) -> str:
    """The single folder around all images, unless it is a part itself, or the folder of one class."""
    images = [name for name in names if suffix(name) in IMAGE_SUFFIXES]
    tops = {name.split("/", 1)[0] for name in images}
    if len(tops) > 1 or part_called(top := tops.pop()):
        return ""
    holds_folders = any(name.count("/") > 1 for name in images)
    inside = [name for name in names if name.startswith(f"{top}/")]
    holds_labels = any(suffix(name) in LABEL_SUFFIXES or is_table(name) for name in inside)
    return top if holds_folders or holds_labels else ""


def _check_no_parts_are_lost(rows: Collection[Row], tables: Mapping[str, Rows]) -> None:
    """Raise ArchiveError where a table says parts and no classes, and no folder says the parts."""
    if any(part for _, _, part in rows):
        return
    for table, told in sorted(tables.items()):
        if any(row.part and row.class_name is None for row in told.values()):
            raise ArchiveError(
                f"{shown(table)} says parts and no classes: add a column label to it, or put the images into folders "
                "train, val and test"
            )


def _check_all_are_trained(rows: Collection[Row]) -> None:
    """Raise ArchiveError for a class that is in validation or test alone, where other classes are in train."""
    trained = {class_name for _, class_name, part in rows if part in (None, "train")}
    for sample, class_name, part in sorted(rows, key=lambda row: row[0]):
        if trained and class_name not in trained:
            raise ArchiveError(
                f"the class {shown(class_name)} is in {part} ({shown(sample)}) and not in train: if it is a class, put "
                "images of it into train too, or take it out; if it is none, put its images where their classes are"
            )


def _is_webdataset(names: Collection[str], labels: Mapping[str, str | None]) -> bool:
    """Labelled by files beside the images: some end in .cls, or no image lies in a class folder."""
    if any(suffix(name) == ".cls" for name in labels):
        return True
    images = (name for name in names if suffix(name) in IMAGE_SUFFIXES)
    return bool(labels) and all(len(split_part(name)[1]) == 1 for name in images)


def _webdataset(names: Collection[str], labels: Mapping[str, str | None], unreadable: Collection[str]) -> Iterator[Row]:
    """Samples of a WebDataset: an image and its label share a key, the path up to the first dot of the file's name."""
    images = sorted(name for name in names if suffix(name) in IMAGE_SUFFIXES)
    key = _key_of(images, labels)
    of_ending = {
        ending: {key(name): label for name, label in labels.items() if suffix(name) == ending and label}
        for ending in (".txt", ".json", ".cls")
    }
    plainer = of_ending[".json"] | of_ending[".cls"]
    check_no_boxes({name: label for name, label in labels.items() if suffix(name) == ".txt" and label})
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
            if (said := key(name) + ".json") in labels:
                wanted += f", or into {shown(said)} as one text or whole number, label, that is there once"
            raise refused(f"{shown(name)} has no label", labels, wanted)
        yield name, classes[key(name)], split_part(name)[0]


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
