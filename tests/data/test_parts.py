"""Which folders are parts, which are classes, and what is asked where they may be either."""

from pathlib import Path

import pytest

from negmerge.data.archives import Index, index_archive
from negmerge.data.parts import parts_within
from negmerge.errors import ArchiveError
from tests.support.archive_files import Files, folders, refusal, write_zip


def indexed(tmp_path: Path, files: Files) -> Index:
    return index_archive(write_zip(tmp_path / "a.zip", files))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Train_data", {"train"}),
        ("seg_train", {"train"}),
        ("TESTdata", {"test"}),
        ("imagenet-valset-000.tar", {"validation"}),
        ("trainVal", {"train", "validation"}),
        ("train2017", {"train"}),
        ("strain", set()),
        ("contest", set()),
        ("valley", set()),
    ],
)
def test_a_part_is_a_word_of_a_name_and_no_piece_of_one(name: str, parts: set[str]) -> None:
    assert parts_within(name) == parts


# Parts by other names.

SEEM = {
    "decorated": ["Train_data/cat/1.png", "Test_data/dog/2.png"],
    "of one class": ["set_train/a/1.png", "set_test/a/2.png"],
    "with images beside": ["seg_train/seg_train/a/1.png", "seg_test/seg_test/a/2.png", "seg_pred/3.png"],
    "of images alone": ["train_images/1.png", "test_images/2.png"],
    "of the same classes": [f"{part}_set/{name}/{part}.png" for part in ("training", "test") for name in "ab"],
}


@pytest.mark.parametrize("names", SEEM.values(), ids=SEEM)
def test_folders_whose_names_have_words_of_two_parts_are_asked_about(tmp_path: Path, names: list[str]) -> None:
    told = refusal(write_zip(tmp_path / "a", folders(*names)))
    assert "seem to be parts: call them train, val and test, with the classes' folders right in them" in told
    assert f"'{min(name.split('/')[0] for name in names if 'pred' not in name)}'" in told


@pytest.mark.parametrize("inner", ["", "images/"])
def test_a_bullet_train_and_a_test_tube_among_others_are_classes(tmp_path: Path, inner: str) -> None:
    names = ["bullet_train", "cat", "test_tube"]
    assert indexed(tmp_path, folders(*(f"{name}/{inner}1.png" for name in names))).classes == tuple(names)


WRAPPERS = {
    "sources": ["original/a/1.png", "augmented/a_aug/2.png"],
    "shares of train": ["train-0/a/1.png", "train-1/b/2.png"],
    "classes of classes": ["animals/cat/1.png", "animals/dog/2.png", "vehicles/car/3.png"],
    "parts in classes": ["cat/train/1.png", "dog/train/2.png"],
    "in a part": ["train/original/a/1.png", "train/augmented/a_aug/2.png"],
}


@pytest.mark.parametrize("names", WRAPPERS.values(), ids=WRAPPERS)
def test_folders_that_hold_folders_and_no_images_are_asked_about(tmp_path: Path, names: list[str]) -> None:
    told = refusal(write_zip(tmp_path / "a", folders(*names)))
    assert "and no images: if they are parts, call them train, val and test; if they are classes, put" in told


@pytest.mark.parametrize(
    "names",
    [
        ["cat/images/1.png", "dog/images/2.png"],
        ["cat/JPEG/1.png", "dog/img/2.png"],
        ["cat/young/1.png", "cat/old/2.png", "dog/3.png"],
    ],
)
def test_a_class_may_have_folders(tmp_path: Path, names: list[str]) -> None:
    assert indexed(tmp_path, folders(*names)).classes == ("cat", "dog")


# Parts in parts.


def test_a_doubled_folder_is_seen_through(tmp_path: Path) -> None:
    names = [f"{part}/{part}/{name}/{part}.png" for part in ("train", "test") for name in ("cat", "dog")]
    found = {(s.id, s.class_name, s.part) for s in indexed(tmp_path, folders(*names)).samples}
    assert found == {(name, name.split("/")[2], name.split("/")[0]) for name in names}


def test_a_class_that_is_called_as_its_part_is_one(tmp_path: Path) -> None:
    files = folders("train/train/1.png", "train/plane/2.png", "test/train/3.png", "test/plane/4.png")
    assert indexed(tmp_path, files).classes == ("plane", "train")


# Classes without training samples.


def test_a_class_that_is_in_validation_alone_is_named(tmp_path: Path) -> None:
    """As Tiny ImageNet is published: the classes of its validation images stand in a text."""
    files = folders("train/n01/images/1.png", "train/n02/images/2.png", "val/images/3.png")
    files["val/val_annotations.txt"] = b"3.png\tn01"
    with pytest.raises(ArchiveError, match=r"the class 'images' is in validation \('val/images/3\.png'\) and not in t"):
        indexed(tmp_path, files)


def test_a_data_set_of_test_images_alone_trains_no_class(tmp_path: Path) -> None:
    assert indexed(tmp_path, folders("test/cat/1.png", "test/dog/2.png")).classes == ("cat", "dog")


def test_folders_in_the_same_classes_of_two_parts_are_none_themselves(tmp_path: Path) -> None:
    names = [
        "train/cat/2020/1.png",
        "train/cat/2021/2.png",
        "train/dog/2019/3.png",
        "val/cat/x/4.png",
        "val/dog/y/5.png",
    ]
    index = index_archive(write_zip(tmp_path / "a.zip", folders(*names)))
    assert index.classes == ("cat", "dog")
