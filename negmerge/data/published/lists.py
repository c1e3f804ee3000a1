"""Data sets of image files whose parts are told by lists beside them, as their authors distribute them."""

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from negmerge.data.archives import Sample
from negmerge.data.published.contents import Contents, must_exist, of_files
from negmerge.data.published.folders import images_by_class
from negmerge.data.published.opening import opened, text
from negmerge.spec.published_sets import Layout


def dtd(root: Path, layout: Layout) -> Contents:
    """Lines ``{class}/{image}``, split 1 of the ten. As published, train and val together are the training part."""
    base = root / layout.base
    samples = [
        Sample(must_exist(base, f"images/{line}", name), line.split("/")[0], part)
        for name, part in layout.parts.items()
        for line in _lines(base / name)
    ]
    return of_files(root, layout.base, samples)


def sun397(root: Path, layout: Layout) -> Contents:
    """Lines ``/{letter}/{class}/{image}``, where a class may have two levels; the first of the ten partitions."""
    base = root / layout.base
    samples = []
    for name, part in layout.parts.items():
        for line in _lines(base / name):
            path = must_exist(base, line.removeprefix("/"), name)
            class_name = path.split("/", 1)[1].rpartition("/")[0]
            samples.append(Sample(path, class_name, part))
    return of_files(root, layout.base, samples)


def resisc45(root: Path, layout: Layout) -> Contents:
    """Lines ``{class}_{number}.jpg``, the images in a folder for each class."""
    base = root / layout.base
    samples = []
    for name, part in layout.parts.items():
        for line in _lines(base / name):
            class_name = line.rpartition("_")[0]
            path = must_exist(base, f"NWPU-RESISC45/{class_name}/{line}", name)
            samples.append(Sample(path, class_name, part))
    return of_files(root, layout.base, samples)


def gtsrb(root: Path, layout: Layout) -> Contents:
    """Training images in folders ``00000`` to ``00042``; test images in one folder, their classes in a table."""
    base, training, table = root / layout.base, "GTSRB/Training", "GT-final_test.csv"
    samples = [
        Sample(f"{training}/{class_name}/{name}", class_name, "train")
        for class_name, name in images_by_class(base / training)
    ]
    with opened(base / table) as binary, TextIOWrapper(binary, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=";", skipinitialspace=True):
            path = must_exist(base, f"GTSRB/Final_Test/Images/{row['Filename']}", table)
            samples.append(Sample(path, f"{int(row['ClassId']):05}", "test"))
    return of_files(root, layout.base, samples)


def cub200(root: Path, layout: Layout) -> Contents:
    """``images.txt``: number, ``{class}/{image}``; ``train_test_split.txt``: number, 1 for training."""
    base = root / layout.base
    trained = dict(line.split(" ", 1) for line in _lines(base / "train_test_split.txt"))
    samples = []
    for line in _lines(base / "images.txt"):
        number, path = line.split(" ", 1)
        part = "train" if trained[number] == "1" else "test"
        samples.append(Sample(must_exist(base, f"images/{path}", "images.txt"), path.split("/")[0], part))
    return of_files(root, layout.base, samples)


def _lines(path: Path) -> Iterator[str]:
    """The lines that hold anything."""
    return (line.strip() for line in text(path).splitlines() if line.strip())
