"""A folder for each class: which folders are classes, which are parts, and which may be either. No files, no torch."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.members import suffix
from negmerge.data.parts import part_called, parts_within, split_part
from negmerge.data.seeming import refused, unread_label
from negmerge.errors import ArchiveError
from negmerge.naming import shown

Row = tuple[str, str, str | None]
"""A sample's id, class and part."""

_INNER = frozenset({"image", "images", "img", "imgs", "photos", "pictures", "jpg", "jpeg", "jpegs", "png", "data"})
"""Folders in a class's folder that say nothing but that images are in them, in lower case."""

_PARTS_ARE = "if they are parts, call them train, val and test"
_CLASSES_ARE = "if they are classes, put their images right into them"


def rows_of_folders(names: Collection[str], around: Collection[str]) -> list[Row]:
    """Samples of a folder for each class. Files outside any class folder (a README) are not samples.

    around: all names, with those outside the folder around the images, which may tell what the layout is.
    Raises ArchiveError for an image that is in none, for other files in one, and where folders may be parts or classes.
    """
    images = [name for name in names if suffix(name) in IMAGE_SUFFIXES]
    split = [split_part(name) for name in images]
    strays = [name for name, (part, _) in zip(images, split, strict=True) if part is None and "/" in name]
    # Among other classes, a folder named "train" that holds images and no folders is a class like them.
    parted = any(part and (len(path) > 1 or not strays) for part, path in split)
    if parted and strays:
        raise ArchiveError(f"{shown(min(strays))} lies beside train, val and test: move it into one of them")
    doubled = _doubled(images) if parted else {}
    paths = {name: _placed(name, parted, doubled) for name in names}
    _check_files(paths, images, around)
    below = _below(paths[name][1] for name in images)
    if not parted:
        _check_no_parts_by_other_names(below)
    _check_no_sets(below)
    if not _share_classes(paths[name] for name in images):
        _check_no_wrappers(below)
    return [(name, paths[name][1][0], paths[name][0]) for name in images]


def _check_files(
    paths: Mapping[str, tuple[str | None, list[str]]], images: Collection[str], around: Collection[str]
) -> None:
    """Raise ArchiveError for an image in no class folder, and for what is no image in one."""
    of_classes = {image.rpartition("/")[0] for image in images if len(paths[image][1]) > 1}
    for name, (_, path) in sorted(paths.items()):
        is_image = suffix(name) in IMAGE_SUFFIXES
        if is_image and len(path) == 1:
            remedy = "put each image in its class's folder" + _or_none(paths, of_classes)
            if label := unread_label(name, paths):
                remedy = f"put its class into a file that ends in .cls, as none is read of {shown(label)}"
            raise refused(f"{shown(name)} is in no class folder", () if of_classes else around, remedy)
        if not is_image and len(path) > 1:
            beside = () if name.rpartition("/")[0] in of_classes else (name,)
            raise refused(f"{shown(name)} is not an image", beside, "remove it")


def _or_none(names: Collection[str], of_classes: Collection[str]) -> str:
    """What to do instead where the images are to have no classes, and are kept from it by a file that is no image."""
    others = [name for name in names if suffix(name) not in IMAGE_SUFFIXES]
    return f"; to have pictures without classes, remove {shown(min(others))}" if others and not of_classes else ""


def _doubled(images: Collection[str]) -> dict[str, str]:
    """Parts' folders that hold nothing but themselves once more: ``train/train/cat/1.png``, with the inner name.

    Only where a class's folder lies in each, as otherwise the inner one may be a class.
    """
    inside: dict[str, set[str]] = {}
    for name in images:
        first, *rest = name.split("/")
        again = len(rest) > 2 and part_called(rest[0]) == part_called(first)
        inside.setdefault(first, set()).add(rest[0] if again else "")
    return {first: found.pop() for first, found in inside.items() if len(found) == 1 and "" not in found}


def _placed(name: str, parted: bool, doubled: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """A file's part, and its path from where the class folders are."""
    if not parted:
        return None, name.split("/")
    part, path = split_part(name)
    within = len(path) > 1 and doubled.get(name.split("/", 1)[0]) == path[0]
    return part, path[1:] if within else path


def _below(paths: Iterable[list[str]]) -> dict[str, set[str]]:
    """Which folders lie in each top folder; "" where images lie right in it."""
    below: dict[str, set[str]] = {}
    for top, *rest in paths:
        if rest:
            below.setdefault(top, set()).add(rest[0] if len(rest) > 1 else "")
    return below


def _share_classes(placed: Iterable[tuple[str | None, list[str]]]) -> bool:
    """Whether two parts hold the same folders, so that these are the classes whatever lies in them."""
    tops: dict[str, set[str]] = {}
    for part, path in placed:
        if part:
            tops.setdefault(part, set()).add(path[0])
    return len(tops) > 1 and len(set.intersection(*tops.values())) > 1


def _check_no_parts_by_other_names(below: Mapping[str, Collection[str]]) -> None:
    """Raise ArchiveError where folders' names have words of two parts, such as ``Train_data`` beside ``Test_data``.

    A bullet train and a test tube among other classes are classes.
    """
    named = {top: parts for top in sorted(below) if (parts := parts_within(top))}
    if len(frozenset().union(*named.values())) < 2:
        return
    hold_folders = not any("" in below[top] for top in named)
    inner = [tuple(folders) for folders in below.values()]
    of_images_alone = len(set(inner)) == 1 and len(inner[0]) == 1
    if len(named) == len(below) or (hold_folders and not of_images_alone):
        first, second = next((a, b) for a in named for b in named if named[a] != named[b])
        raise ArchiveError(
            f"the folders {shown(first)} and {shown(second)} seem to be parts: call them train, val and test, with "
            "the classes' folders right in them; if they are classes, give them other names"
        )


def _check_no_sets(below: Mapping[str, Collection[str]]) -> None:
    """Raise ArchiveError where two top folders seem to be parts by other names: both hold the same classes' folders."""
    holders: dict[str, list[str]] = {}
    for top in sorted(below):
        for inner in below[top]:
            if inner:
                holders.setdefault(inner, []).append(top)
    shared = Counter(tuple(tops[:2]) for tops in holders.values() if len(tops) > 1)
    for tops, count in sorted(shared.items()):
        if count > 1:
            raise ArchiveError(
                f"the folders {shown(tops[0])} and {shown(tops[1])} hold folders of the same names: {_PARTS_ARE}; "
                f"{_CLASSES_ARE}"
            )


def _check_no_wrappers(below: Mapping[str, Collection[str]]) -> None:
    """Raise ArchiveError where no top folder holds an image itself, so that the classes may be the folders in them.

    A folder such as ``images`` in each is none.
    """
    inner = {folder for folders in below.values() for folder in folders}
    if len(below) < 2 or "" in inner:
        return
    one_each = all(len(folders) == 1 for folders in below.values())
    says_nothing = len(inner) == 1 or all(folder.lower() in _INNER for folder in inner)
    if one_each and says_nothing and not any(map(part_called, inner)):
        return
    first, second = sorted(below)[:2]
    raise ArchiveError(
        f"the folders {shown(first)} and {shown(second)} hold folders, such as {shown(min(below[first]))}, and no "
        f"images: {_PARTS_ARE}; {_CLASSES_ARE}; if the classes are the folders in them, put these side by side"
    )
