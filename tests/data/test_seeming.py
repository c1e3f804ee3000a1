"""Layouts that are not read are called by their names, with one thing to do."""

from pathlib import Path

import pytest

from negmerge.data.archives import index_archive
from tests.support.archive_files import Files, folders, png, refusal, write_tar, write_zip

CUT_OUT = "in which an image has boxes and no class: cut the boxes out into a folder for each class"
SEEMS: dict[str, tuple[Files, str]] = {
    "YOLO": (
        {**folders("train/images/1.jpg"), "train/labels/1.txt": b"0 .5 .5 .1 .1"},
        f"'train/labels/1.txt' looks like YOLO's, {CUT_OUT}",
    ),
    "YOLO, the other way round": (
        {**folders("images/train/1.jpg"), "labels/train/1.txt": b"0 .5 .5 .1 .1"},
        f"'train/1.jpg' is in no class folder, and 'labels/train/1.txt' looks like YOLO's, {CUT_OUT}",
    ),
    "YOLO, beside": (
        {**folders("1.jpg", "2.jpg"), "1.txt": b"0 0.5 .5 0.1 1", "2.txt": b"0 0.5 .5 0.1 1"},
        f"'1.txt' looks like YOLO's, {CUT_OUT}",
    ),
    "Pascal VOC": (
        {**folders("VOC/JPEGImages/1.jpg"), "VOC/Annotations/1.xml": b"<x/>"},
        f"'Annotations/1.xml' looks like Pascal VOC's, {CUT_OUT}",
    ),
    "Pascal VOC, beside": (
        {**folders("train/1.jpg"), "train/1.xml": b"<x/>"},
        f"'train/1.jpg' is in no class folder, and 'train/1.xml' looks like Pascal VOC's, {CUT_OUT}",
    ),
    "COCO": (
        {**folders("train2017/1.jpg", "val2017/2.jpg"), "annotations/instances_train2017.json": b"{}"},
        f"'annotations/instances_train2017.json' looks like COCO's, {CUT_OUT}",
    ),
    "Create ML": (
        {**folders("train/1.jpg"), "train/_annotations.createml.json": b"[]"},
        f"'train/1.jpg' has no label, and 'train/_annotations.createml.json' looks like Create ML's, {CUT_OUT}",
    ),
    "Food-101": (
        {**folders("f/images/pie/1.jpg", "f/images/pizza/2.jpg"), "f/meta/train.json": b"{}"},
        "'f/meta/train.json' looks like Food-101's, of which no parts are read: move its images into train and test, "
        "remove meta",
    ),
    "Parquet": (
        {**folders("1.png", "2.png"), "metadata.parquet": b"PAR1"},
        "'1.png' is in no class folder, and 'metadata.parquet' is Parquet: save it as metadata.csv, with columns "
        "file_name and label",
    ),
    "boxes among classes": (
        {**folders("a/1.png", "b/1.png"), "a/1.xml": b"<x/>"},
        "'a/1.xml' is not an image: remove it",
    ),
}


@pytest.mark.parametrize(("files", "told"), SEEMS.values(), ids=SEEMS)
def test_a_layout_of_another_kind_is_called_by_its_name_with_one_thing_to_do(
    tmp_path: Path, files: Files, told: str
) -> None:
    assert refusal(write_zip(tmp_path / "a", files)) == told


@pytest.mark.parametrize("ending", ["pyd", "index", "cls2"])
def test_a_webdatasets_label_of_another_kind_is_named(tmp_path: Path, ending: str) -> None:
    files = {"1.png": png(), f"1.{ending}": b"0", "2.png": png(), f"2.{ending}": b"1"}
    told = refusal(write_tar(tmp_path / "a", files))
    assert told.endswith(f"put its class into a file that ends in .cls, as none is read of '1.{ending}'")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cifar-10-batches-py/data_batch_1", "a batch of CIFAR"),
        ("test_batch.bin", "a batch of CIFAR"),
        ("train-images-idx3-ubyte", "MNIST's format"),
        ("t10k-labels-idx1-ubyte.gz", "MNIST's format"),
        ("set/data.mdb", "LMDB"),
        ("cifar-train.tfrecord-00000-of-00001", "TFRecord"),
        ("train.rec", "MXNet's RecordIO"),
        ("train.beton", "FFCV's"),
        ("shard.00000.mds", "MosaicML's"),
        ("images.7z", "7z"),
        ("images.rar", "RAR"),
        ("train.pt", "a file of torch"),
        ("train.pkl", "a pickle"),
        ("train.tar.gz", "tars"),
    ],
)
def test_files_that_hold_images_otherwise_are_called_by_their_names(tmp_path: Path, name: str, kind: str) -> None:
    told = refusal(write_zip(tmp_path / "a", {name: b"?", "about.doc": b"?"}))
    assert told.startswith(f"the data set holds no images, but '{name}', which is {kind}: ")


@pytest.mark.parametrize("around", ["a/b/", "a/b/c/d/"])
def test_any_number_of_folders_around_everything_is_seen_through(tmp_path: Path, around: str) -> None:
    files = folders(f"{around}cat/1.png", f"{around}dog/2.png")
    index = index_archive(write_zip(tmp_path / "a", files | {"a/notes.doc": b"?"}))
    assert (index.root, [sample.id for sample in index.samples]) == (around[:-1], ["cat/1.png", "dog/2.png"])
