"""Published data sets by name, read from miniature trees of each layout (tests/support/data_trees.py)."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image
from torchvision import datasets as theirs

from negmerge.data.archives import Index
from negmerge.data.published.reading import READERS
from negmerge.data.selection import cut
from negmerge.decoding.dataset import open_torchvision
from negmerge.errors import DataError
from negmerge.spec.published_sets import KNOWN, Reader
from tests.support.archive_files import write_folder
from tests.support.data_trees import TREES, flat, lines, opened, pickled, published_folders, tree, write_images

LAYOUTS = [(name, number, need) for (name, number) in TREES for need in KNOWN[name].layouts[number].needs]


def refusal(name: str, root: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_torchvision(name, root)
    return str(caught.value)


def by_part(index: Index) -> dict[str | None, int]:
    return dict(Counter(sample.part for sample in index.samples))


# What is known


def test_every_layout_has_a_tree_in_these_tests() -> None:
    assert set(TREES) == {(name, number) for name, known in KNOWN.items() for number in range(len(known.layouts))}


def test_every_reader_that_a_layout_may_name_is_there() -> None:
    assert set(READERS) == set(get_args(Reader))


@pytest.mark.slow
def test_the_names_and_what_they_need_are_known_without_torch_or_numpy() -> None:
    code = "import sys, negmerge.spec.job; print(sorted({'torch', 'numpy', 'PIL', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# What is read


@pytest.mark.parametrize(
    ("name", "number", "parts"),
    [
        ("StanfordCars", 0, {"train": 3, "test": 3}),
        ("DTD", 0, {"train": 4, "test": 2}),
        ("DTD", 1, {"train": 6, "test": 6}),
        ("EuroSAT", 0, {None: 6}),
        ("EuroSAT", 1, {"train": 6, "validation": 6, "test": 6}),
        ("GTSRB", 0, {"train": 4, "test": 2}),
        ("MNIST", 0, {"train": 30, "test": 10}),
        ("FashionMNIST", 0, {"train": 30, "test": 10}),
        ("RESISC45", 0, {"train": 2, "test": 2}),
        ("SUN397", 0, {"train": 2, "test": 2}),
        ("SUN397", 1, {"train": 6, "test": 6}),
        ("SVHN", 0, {"train": 3, "test": 3}),
        ("ImageNet", 0, {"train": 6, "test": 6}),
        ("CIFAR10", 0, {"train": 10, "test": 2}),
        ("CIFAR100", 0, {"train": 3, "test": 3}),
        ("CUB200", 0, {"train": 2, "test": 2}),
        ("TinyImageNet", 0, {"train": 4, "test": 2}),
    ],
)
def test_the_parts_are_the_published_ones(name: str, number: int, parts: dict[str | None, int], tmp_path: Path) -> None:
    assert by_part(opened(tmp_path, name, number).index) == parts


@pytest.mark.parametrize(
    ("name", "number", "sample_id", "class_name", "value"),
    [
        ("StanfordCars", 0, "cars_train/00002.jpg", "Acura RL Sedan 2012", 1),
        ("DTD", 0, "images/polka-dotted/polka-dotted_2.jpg", "polka-dotted", 3),
        ("DTD", 1, "val/banded/3.jpg", "banded", 8),
        ("EuroSAT", 0, "SeaLake/SeaLake_10.jpg", "SeaLake", 5),
        ("EuroSAT", 1, "val/Forest/1.jpg", "Forest", 6),
        ("GTSRB", 0, "GTSRB/Training/00014/14_00001.ppm", "00014", 3),
        ("GTSRB", 0, "GTSRB/Final_Test/Images/00001.ppm", "00000", 1),
        ("MNIST", 0, "train/000013", "three", 13),
        ("FashionMNIST", 0, "test/000009", "Ankle boot", 9),
        ("RESISC45", 0, "NWPU-RESISC45/sea_ice/sea_ice_003.jpg", "sea_ice", 5),
        ("SUN397", 0, "a/apse/indoor/sun_2.jpg", "apse/indoor", 3),
        ("SUN397", 1, "train/a_apse_indoor/1.jpg", "a_apse_indoor", 3),
        ("SVHN", 0, "test/000002", "zero", 5),
        ("ImageNet", 0, "val/n01440764/2.jpg", "n01440764", 7),
        ("CIFAR10", 0, "train/000009", "truck", 9),
        ("CIFAR10", 0, "test/000001", "automobile", 11),
        ("CIFAR100", 0, "train/000001", "aquarium_fish", 1),
        ("CUB200", 0, "images/002.Laysan_Albatross/Laysan_Albatross_0002_1.jpg", "002.Laysan_Albatross", 3),
        ("TinyImageNet", 0, "train/n01629819/images/n01629819_1.JPEG", "n01629819", 3),
        ("TinyImageNet", 0, "val/images/val_1.JPEG", "n01443537", 1),
    ],
)
def test_an_image_is_found_by_its_id(
    name: str, number: int, sample_id: str, class_name: str, value: int, tmp_path: Path
) -> None:
    dataset = opened(tmp_path, name, number)
    [sample] = [sample for sample in dataset.index.samples if sample.id == sample_id]
    [(read_id, image)] = dataset.read([sample_id])
    assert (sample.class_name, read_id) == (class_name, sample_id)
    assert image.convert("RGB").getpixel((0, 0))[0] == value  # type: ignore[index]  # an RGB pixel is a tuple


# torchvision reads the same trees


def _without_checksums(kind: Any, **changes: Any) -> Any:
    """torchvision's class, which would refuse miniature files for their MD5."""
    return type(kind.__name__, (kind,), {"_check_integrity": lambda self: True, **changes})


_BY_TRAIN = {"train/": {"train": True}, "test/": {"train": False}}

THEIRS: dict[str, tuple[Callable[..., Any], dict[str, dict[str, Any]]]] = {
    # name: class, and the arguments that give each of its parts, by the beginning of our ids there
    "MNIST": (theirs.MNIST, _BY_TRAIN),
    "FashionMNIST": (theirs.FashionMNIST, _BY_TRAIN),
    "CIFAR10": (_without_checksums(theirs.CIFAR10, meta={**theirs.CIFAR10.meta, "md5": None}), _BY_TRAIN),
    "CIFAR100": (_without_checksums(theirs.CIFAR100, meta={**theirs.CIFAR100.meta, "md5": None}), _BY_TRAIN),
    "SVHN": (_without_checksums(theirs.SVHN), {"train/": {"split": "train"}, "test/": {"split": "test"}}),
    "StanfordCars": (theirs.StanfordCars, {"cars_train/": {"split": "train"}, "cars_test/": {"split": "test"}}),
    "GTSRB": (theirs.GTSRB, {"GTSRB/Training/": {"split": "train"}, "GTSRB/Final_Test/": {"split": "test"}}),
    "EuroSAT": (theirs.EuroSAT, {"": {}}),
    "SUN397": (theirs.SUN397, {"": {}}),
}


def classes_of(pairs: Iterable[tuple[Image.Image, Any]]) -> list[list[Any]]:
    """The images of each class, told by their first pixel; classes without their names, which differ."""
    found: dict[Any, list[Any]] = {}
    for image, label in pairs:
        found.setdefault(label, []).append(image.convert("RGB").getpixel((0, 0)))
    return sorted(sorted(pixels) for pixels in found.values())


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.filterwarnings("ignore:dtype")  # numpy, of torchvision's own unpickling of what Python 2 wrote
def test_torchvision_sees_the_same_images_in_the_same_classes(name: str, tmp_path: Path) -> None:
    dataset = opened(tmp_path, name)
    kind, parts = THEIRS[name]
    for beginning, arguments in parts.items():
        called = {s.id: s.class_name for s in dataset.index.samples if s.id.startswith(beginning)}
        other = kind(tmp_path, **arguments)
        assert classes_of((image, called[sample_id]) for sample_id, image in dataset.read(called)) == classes_of(
            other[place] for place in range(len(other))
        )


def test_as_torchvision_the_textures_of_split_1_are_read(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "DTD")
    for part, splits in (("train", ("train", "val")), ("test", ("test",))):
        ours = {sample.id for sample in dataset.index.samples if sample.part == part}
        files = [file for split in splits for file in theirs.DTD(tmp_path, split=split)._image_files]
        assert ours == {file.relative_to(tmp_path / "dtd/dtd").as_posix() for file in files}


# What is missing or damaged


@pytest.mark.parametrize(("name", "number", "need"), LAYOUTS)
def test_a_missing_file_is_named_with_where_to_get_it(name: str, number: int, need: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tree(root, name, number) / need).rename(tmp_path / "away")
    message = refusal(name, root)
    assert f"{name} needs {root / need}, which is not there: get it from {KNOWN[name].page}" in message
    assert message.endswith("nothing is downloaded")


def read_all(name: str, root: Path) -> None:
    """Open the set, and look at every image."""
    dataset = open_torchvision(name, root)
    for _ in dataset.read([sample.id for sample in dataset.index.samples]):
        pass


@pytest.mark.parametrize("device", ["pipe", "/dev/zero"])
@pytest.mark.parametrize(("name", "number"), TREES)
def test_a_pipe_or_a_device_in_place_of_any_file_is_not_waited_for(
    name: str, number: int, device: str, tmp_path: Path
) -> None:
    """It is refused where the file is needed; a table that counts for nothing here is not looked at."""
    (root := tmp_path / "root").mkdir()
    tree(root, name, number)
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    refused = 0
    for path in files[:: max(1, len(files) // 10)]:
        path.rename(tmp_path / "away")
        os.mkfifo(path) if device == "pipe" else path.symlink_to(device)
        try:
            read_all(name, root)
        except DataError:
            refused += 1
        path.unlink()
        (tmp_path / "away").rename(path)
    assert refused > 0
    read_all(name, root)


@pytest.mark.parametrize("name", KNOWN)
def test_an_empty_root_is_told_the_first_file_of_the_usual_layout(name: str, tmp_path: Path) -> None:
    assert f"needs {tmp_path / KNOWN[name].layouts[0].needs[0]}, which" in refusal(name, tmp_path)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    assert "unknown data set 'FakeData': known are StanfordCars, DTD," in refusal("FakeData", tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("SVHN", "train_32x32.mat", b"?", "is incomplete or damaged"),
        ("MNIST", "MNIST/raw/train-images-idx3-ubyte", b"\0\0\x08\x03", "is incomplete or damaged"),
        ("MNIST", "MNIST/raw/train-images-idx3-ubyte", b"\x1f\x8b" + bytes(30), "no idx file"),
        ("MNIST", "MNIST/raw/t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x07", "10 images and 1 labels"),
        ("CIFAR10", "cifar-10-batches-py/data_batch_3", b"\x80\x02}", "is incomplete or damaged"),
        ("CIFAR10", "cifar-10-batches-py/batches.meta", pickled({"label_names": ["one"]}), "none of the 1 classes"),
        ("StanfordCars", "stanford_cars/devkit/cars_meta.mat", bytes(200), "is incomplete or damaged"),
        ("GTSRB", "gtsrb/GT-final_test.csv", b"Name;Class\n1;2\n", "is incomplete or damaged"),
        ("GTSRB", "gtsrb/GT-final_test.csv", b"Filename;ClassId\n00000.ppm;43\n", "'00043' is no class of GTSRB"),
        ("CUB200", "CUB_200_2011/train_test_split.txt", b"1 1\n", "is incomplete or damaged"),
        ("DTD", "dtd/dtd/labels/test1.txt", b"banded/gone.jpg\n", "labels/test1.txt lists 'images/banded/gone.jpg'"),
        ("DTD", "dtd/dtd/labels/test1.txt", b"../../../secret\n", "climbs out"),
        ("TinyImageNet", "tiny-imagenet-200/wnids.txt", b"n00000001\n", "is incomplete or damaged"),
    ],
)
def test_a_damaged_file_is_refused(name: str, file: str, content: bytes, message: str, tmp_path: Path) -> None:
    write_folder(tree(tmp_path, name), {file: content})
    found = refusal(name, tmp_path)
    assert message in found
    assert found.startswith(f"{name} under {tmp_path}")


class _Evil:
    def __reduce__(self) -> Any:
        return print, ("code ran",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tree(tmp_path, "CIFAR10"), {"cifar-10-batches-py/test_batch": pickle.dumps({"data": _Evil()})})
    assert "builtins.print, which no data set of images needs" in refusal("CIFAR10", tmp_path)
    assert capsys.readouterr().out == ""


def test_a_class_folder_that_is_none_of_imagenets_is_refused(tmp_path: Path) -> None:
    published_folders(".", ("train", "val"), "n01440764", "tench")(tmp_path)
    assert "'tench' is no class of ImageNet: its classes are called as 'n01440764' is" in refusal("ImageNet", tmp_path)


def test_validation_images_that_were_not_sorted_into_class_folders_are_told(tmp_path: Path) -> None:
    published_folders(".", ("train",), "n01440764", "n03773504")(tmp_path)
    write_images(tmp_path, ["val/ILSVRC2012_val_00000001.JPEG"])
    assert "val should hold a folder for each class" in refusal("ImageNet", tmp_path)


def test_folders_without_images_are_told(tmp_path: Path) -> None:
    (tmp_path / "eurosat/2750/Forest").mkdir(parents=True)
    assert "there are no images" in refusal("EuroSAT", tmp_path)


def test_an_image_that_is_none_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_folder(tree(tmp_path, "EuroSAT"), {"eurosat/2750/Forest/Forest_1.jpg": b"no image"})
    dataset = open_torchvision("EuroSAT", tmp_path)
    with pytest.raises(DataError, match=r"'Forest/Forest_1.jpg' is not an image"):
        list(dataset.read(["Forest/Forest_1.jpg"]))


def test_an_image_that_was_removed_since_is_named_when_it_is_read(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "EuroSAT")
    (tmp_path / "eurosat/2750/Forest/Forest_1.jpg").unlink()
    with pytest.raises(DataError, match=r"'Forest/Forest_1.jpg' of EuroSAT cannot be read"):
        list(dataset.read(["Forest/Forest_1.jpg"]))


# Layouts


def test_the_layout_that_is_whole_is_taken_where_another_is_begun(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dtd/dtd/labels/train1.txt": lines("banded/banded_1.jpg")})
    assert opened(tmp_path, "DTD", 1).index.root == "dtd"


def test_of_two_whole_layouts_the_usual_one_is_taken(tmp_path: Path) -> None:
    tree(tmp_path, "EuroSAT", 1)
    assert opened(tmp_path, "EuroSAT", 0).index.root == "eurosat/2750"


def test_what_lies_beside_the_images_is_passed_over(tmp_path: Path) -> None:
    files = {"Forest/._1.jpg": b"?", "Forest/Thumbs.db": b"?", "Forest/readme.txt": b"?", ".cache/1.jpg": flat(1)}
    write_folder(tree(tmp_path, "EuroSAT") / "eurosat/2750", files)
    assert len(open_torchvision("EuroSAT", tmp_path).index.samples) == 6


def test_the_folder_around_the_ids_is_the_indexs_root(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "DTD")
    first = dataset.index.samples[0].id
    assert (tmp_path / dataset.index.root / first).is_file()


def test_validation_is_cut_from_train_where_the_set_has_none(tmp_path: Path) -> None:
    parts = cut(opened(tmp_path, "DTD", 1).index)
    assert parts.counts().as_json() == {"train": 4, "validation": 2, "test": 6}


@pytest.mark.parametrize(("name", "most"), [("ImageNet", 5000), ("MNIST", 5000), ("SVHN", 5000), ("CIFAR10", None)])
def test_validation_is_at_most_as_large_as_published(name: str, most: int | None, tmp_path: Path) -> None:
    assert opened(tmp_path, name).index.most_cut == most


# What is written of them


@pytest.mark.parametrize("name", KNOWN)
def test_the_documentation_names_the_set_and_each_file_that_it_needs(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs/data-sets.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))  # the first table's
    files = [need for layout in KNOWN[name].layouts for need in layout.needs]
    if name != "FashionMNIST":  # whose files are called as MNIST's, which the table says
        assert [need for need in files if not any(f"`{need[place:]}`" in row for place in range(len(need)))] == []
