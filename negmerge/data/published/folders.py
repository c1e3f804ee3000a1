"""Data sets of images in a folder for each class."""

import os
from collections.abc import Iterator
from pathlib import Path

from negmerge.data.archives import Sample
from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.members import ignored, suffix
from negmerge.data.published.contents import Contents, checked, must_exist, of_files
from negmerge.data.published.opening import text
from negmerge.errors import DataError
from negmerge.spec.published_sets import Layout


def class_folders(root: Path, layout: Layout) -> Contents:
    """``{part}/{class}/{image}`` below the base, or ``{class}/{image}`` where the layout says no parts."""
    base = root / layout.base
    parts: dict[str, str | None] = {f"{folder}/": part for folder, part in layout.parts.items()} or {"": None}
    return of_files(
        root,
        layout.base,
        (
            Sample(f"{folder}{class_name}/{name}", class_name, part)
            for folder, part in parts.items()
            for class_name, name in images_by_class(base / folder)
        ),
    )


def tiny_imagenet(root: Path, layout: Layout) -> Contents:
    """``train/{wnid}/images``, and ``val/images`` with the classes in a list: the test part, as test/ has no labels."""
    base = root / layout.base
    wnids = set(text(base / "wnids.txt").split())
    samples = [
        Sample(f"train/{wnid}/images/{name}", wnid, "train")
        for wnid in sorted(wnids)
        for name in _images(base / "train" / wnid / "images")
    ]
    annotations = "val/val_annotations.txt"
    for line in text(base / annotations).splitlines():
        name, wnid, *_box = line.split("\t")
        samples.append(Sample(must_exist(base, f"val/images/{name}", annotations), wnid, "test"))
    named = (line.split("\t", 1) for line in text(base / "words.txt").splitlines() if line)
    words = {wnid: names.split(",")[0].strip() for wnid, names in named if wnid in wnids}
    return of_files(root, layout.base, samples, words)


def images_by_class(folder: Path) -> Iterator[tuple[str, str]]:
    """The class folder and the name of each image in one. Raises DataError where there is no class folder."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not ignored(entry.name))
    if not names:
        raise DataError(f"{folder} should hold a folder for each class with its images, and holds no folder")
    for class_name in names:
        for name in _images(folder / checked(class_name)):
            yield class_name, name


def _images(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in os.scandir(folder))
    return [checked(name) for name in names if suffix(name) in IMAGE_SUFFIXES and not ignored(name)]
