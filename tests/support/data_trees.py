"""Miniature trees of each named data set, laid out as its authors distribute it: real files, few and tiny.

Image number n of a tree is flat grey n. ``TREES`` is every layout by (name, number of the layout).
"""

import io
import pickle
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from negmerge.decoding.dataset import Dataset, open_torchvision
from tests.support.archive_files import write_folder

TINY_WNIDS = ("n01443537", "n01629819")


def flat(value: int, form: str = "PNG") -> bytes:
    """A flat grey 6 × 6 image in RGB."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 6), (value, value, value)).save(buffer, form)
    return buffer.getvalue()


def write_images(root: Path, paths: Iterable[str], form: str = "JPEG") -> None:
    write_folder(root, {path: flat(number, form) for number, path in enumerate(paths)})


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def idx(name: str) -> Callable[[Path], None]:
    """MNIST's own files: magic, sizes, bytes; image number n flat grey n, label n mod 10."""

    def write(root: Path) -> None:
        raw = root / name / "raw"
        raw.mkdir(parents=True)
        for part, count in (("train", 30), ("t10k", 10)):
            numbers = np.arange(count, dtype=np.uint8)
            images = np.broadcast_to(numbers[:, None, None], (count, 28, 28)).tobytes()
            (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4L", 2051, count, 28, 28) + images)
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2L", 2049, count) + (numbers % 10).tobytes())

    return write


def pickled(document: dict[str, Any]) -> bytes:
    """As Python 2 wrote it: protocol 2, numpy's old module, and 0 and 1 where a dtype has flags."""
    content = pickle.dumps(document, protocol=2)
    return content.replace(b"cnumpy._core.", b"cnumpy.core.").replace(b"\x89\x88\x87", b"K\x00K\x01\x87")


def rows(start: int, count: int) -> np.ndarray[Any, Any]:
    """``count`` images of CIFAR: red is start + n, green is 100, blue is 200."""
    channels = [np.arange(start, start + count), np.full(count, 100), np.full(count, 200)]
    return np.repeat(np.stack(channels, axis=1).astype(np.uint8), 1024, axis=1)


def cifar10(root: Path) -> None:
    """Two images a batch, of class n mod 10 over all batches."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for place, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        labels = [2 * place % 10, (2 * place + 1) % 10]
        (folder / name).write_bytes(pickled({"data": rows(2 * place, 2), "labels": labels}))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickled({"label_names": names}))


def cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    for place, name in enumerate(("train", "test")):
        labels = {"fine_labels": [0, 1, 2], "coarse_labels": [0, 0, 0]}
        (folder / name).write_bytes(pickled({"data": rows(3 * place, 3), **labels}))
    (folder / "meta").write_bytes(
        pickled({"fine_label_names": ["apple", "aquarium_fish", "baby"], "coarse_label_names": ["x"]})
    )


def svhn(root: Path) -> None:
    """Digits 1, 2 and 0, the last of which is written 10."""
    for place, part in enumerate(("train", "test")):
        images = np.broadcast_to(np.arange(3 * place, 3 * place + 3, dtype=np.uint8), (32, 32, 3, 3))
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": np.array([[1], [2], [10]], np.uint8)})


def cars(root: Path) -> None:
    base = root / "stanford_cars"
    write_images(base, [f"cars_{part}/0000{number}.jpg" for part in ("train", "test") for number in (1, 2, 3)])
    (base / "devkit").mkdir()
    names = np.array(["Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012"], dtype=object)
    savemat(base / "devkit/cars_meta.mat", {"class_names": names})
    for table in ("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"):
        annotations = [(f"0000{number}.jpg", label) for number, label in ((1, 2), (2, 1), (3, 2))]
        fields = np.array(annotations, dtype=[("fname", object), ("class", object)])
        savemat(base / table, {"annotations": fields})


def dtd(root: Path) -> None:
    base = root / "dtd/dtd"
    parts = {"train1": 1, "val1": 2, "test1": 3}
    paths = [f"{name}/{name}_{number}.jpg" for number in parts.values() for name in ("banded", "polka-dotted")]
    write_images(base / "images", paths)
    for part, number in parts.items():
        listed = [path for path in paths if path.endswith(f"_{number}.jpg")]
        write_folder(base / "labels", {f"{part}.txt": lines(*listed)})


def published_folders(base: str, parts: Iterable[str], *classes: str) -> Callable[[Path], None]:
    """Three images of each class in each part."""

    def write(root: Path) -> None:
        paths = [f"{part}/{name}/{number}.jpg" for part in parts for name in classes for number in (1, 2, 3)]
        write_images(root / base, paths)

    return write


def eurosat(root: Path) -> None:
    names = ("Forest", "SeaLake")
    write_images(root / "eurosat/2750", [f"{name}/{name}_{number}.jpg" for name in names for number in (1, 2, 10)])


def gtsrb(root: Path) -> None:
    base = root / "gtsrb"
    write_images(
        base / "GTSRB/Training",
        [f"{name}/{name[-2:]}_0000{n}.ppm" for name in ("00000", "00014") for n in (0, 1)],
        "PPM",
    )
    write_images(base / "GTSRB/Final_Test/Images", ["00000.ppm", "00001.ppm"], "PPM")
    write_folder(
        base,
        {
            "GTSRB/Training/00000/GT-00000.csv": b"Filename;Width\n",
            "GT-final_test.csv": lines(
                "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId",
                "00000.ppm;53;54;6;5;48;49;14",
                "00001.ppm;42;45;5;5;36;40;0",
            ),
        },
    )


def resisc45(root: Path) -> None:
    base = root / "resisc45"
    names = [f"{name}_00{number}.jpg" for name in ("airplane", "sea_ice") for number in (1, 2, 3)]
    write_images(base / "NWPU-RESISC45", [f"{name.rpartition('_')[0]}/{name}" for name in names])
    for part, number in (("train", 1), ("val", 2), ("test", 3)):
        write_folder(base, {f"resisc45-{part}.txt": lines(*(n for n in names if n.endswith(f"{number}.jpg")))})


def sun397(root: Path) -> None:
    base = root / "SUN397"
    classes = ("/a/abbey", "/a/apse/indoor")
    write_images(base, [f"{name[1:]}/sun_{number}.jpg" for name in classes for number in (1, 2)])
    listed = {"Training_01.txt": 1, "Testing_01.txt": 2}
    files = {file: lines(*(f"{name}/sun_{number}.jpg" for name in classes)) for file, number in listed.items()}
    write_folder(base, files | {"ClassName.txt": lines(*classes)})


def cub200(root: Path) -> None:
    base = root / "CUB_200_2011"
    paths = [
        f"{name}/{name[4:]}_000{number}_1.jpg"
        for name in ("001.Black_footed_Albatross", "002.Laysan_Albatross")
        for number in (1, 2)
    ]
    write_images(base / "images", paths)
    numbered = list(enumerate(paths, start=1))
    write_folder(
        base,
        {
            "images.txt": lines(*(f"{number} {path}" for number, path in numbered)),
            "train_test_split.txt": lines(*(f"{number} {number % 2}" for number, _ in numbered)),
        },
    )


def tiny_imagenet(root: Path) -> None:
    base = root / "tiny-imagenet-200"
    write_images(base, [f"train/{wnid}/images/{wnid}_{n}.JPEG" for wnid in TINY_WNIDS for n in (0, 1)])
    write_images(base, ["val/images/val_0.JPEG", "val/images/val_1.JPEG", "test/images/test_0.JPEG"])
    write_folder(
        base,
        {
            "wnids.txt": lines(*reversed(TINY_WNIDS)),
            "words.txt": lines(
                "n00001740\tentity",
                "n01443537\tgoldfish, Carassius auratus",
                "n01629819\tEuropean fire salamander, Salamandra salamandra",
            ),
            "val/val_annotations.txt": lines(
                "val_0.JPEG\tn01629819\t0\t32\t44\t62", "val_1.JPEG\tn01443537\t1\t2\t3\t4"
            ),
        },
    )


TREES: dict[tuple[str, int], Callable[[Path], None]] = {
    ("StanfordCars", 0): cars,
    ("DTD", 0): dtd,
    ("DTD", 1): published_folders("dtd", ("train", "val"), "banded", "polka-dotted"),
    ("EuroSAT", 0): eurosat,
    ("EuroSAT", 1): published_folders("EuroSAT_splits", ("train", "val", "test"), "Forest", "SeaLake"),
    ("GTSRB", 0): gtsrb,
    ("MNIST", 0): idx("MNIST"),
    ("FashionMNIST", 0): idx("FashionMNIST"),
    ("RESISC45", 0): resisc45,
    ("SUN397", 0): sun397,
    ("SUN397", 1): published_folders("sun397", ("train", "val"), "a_abbey", "a_apse_indoor"),
    ("SVHN", 0): svhn,
    ("ImageNet", 0): published_folders(".", ("train", "val"), "n01440764", "n03773504"),
    ("CIFAR10", 0): cifar10,
    ("CIFAR100", 0): cifar100,
    ("CUB200", 0): cub200,
    ("TinyImageNet", 0): tiny_imagenet,
}


def tree(root: Path, name: str, number: int = 0) -> Path:
    TREES[name, number](root)
    return root


def opened(root: Path, name: str, number: int = 0) -> Dataset:
    return open_torchvision(name, tree(root, name, number))
