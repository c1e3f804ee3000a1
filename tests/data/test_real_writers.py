"""Data sets that webdataset and datasets themselves wrote, and what these libraries read of the files that we read."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import webdataset
from PIL import Image

from negmerge.data.archives import Index, index_archive
from negmerge.errors import ArchiveError
from tests.support.archive_files import folders, write_folder

pytestmark = pytest.mark.slow

CLASSES = ("cat", "dog")
LEAVES_FILES_OPEN = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def swept() -> Iterator[None]:
    """What a library left open is closed while its own test runs, and not in whichever comes next."""
    yield
    gc.collect()


def picture(number: int) -> Image.Image:
    return Image.fromarray(np.full((4, 4, 3), number, np.uint8))


def labels(index: Index) -> dict[str, str]:
    return {sample.id: sample.class_name for sample in index.samples}


# webdataset


def shards(folder: Path, form: str, label: dict[str, Any] | None = None) -> Path:
    """Six samples in shards of two, as ``ShardWriter`` has them; the class as ``cls``, or as ``json``."""
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/set-%04d.tar", maxcount=2, verbose=0) as writer:
        for number in range(6):
            of_class = {"cls": number % 2} if label is None else {"json": label | {"label": CLASSES[number % 2]}}
            writer.write({"__key__": f"sample{number:03}", form: picture(number)} | of_class)
    return folder


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_what_shard_writer_writes_is_read(tmp_path: Path, form: str) -> None:
    index = index_archive(shards(tmp_path / "set", form))
    assert labels(index) == {f"sample{number:03}.{form}": str(number % 2) for number in range(6)}


def test_a_class_in_its_json_is_read(tmp_path: Path) -> None:
    index = index_archive(shards(tmp_path / "set", "png", {"width": 4, "caption": "a picture"}))
    assert set(labels(index).values()) == set(CLASSES)


@LEAVES_FILES_OPEN
@pytest.mark.usefixtures("swept")
def test_webdataset_reads_the_same_classes_of_the_same_keys(tmp_path: Path) -> None:
    folder = shards(tmp_path / "set", "png")
    read = webdataset.WebDataset([str(path) for path in sorted(folder.iterdir())], shardshuffle=False)
    theirs = {f"{sample['__key__']}.png": sample["cls"].decode() for sample in read}
    assert labels(index_archive(folder)) == theirs


def test_one_tar_of_tar_writer_is_read(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "set.tar")) as writer:
        for number in range(4):
            writer.write({"__key__": f"{number}", "jpg": picture(number), "cls": number % 2})
    assert labels(index_archive(tmp_path / "set.tar")) == {f"{number}.jpg": str(number % 2) for number in range(4)}


def test_pickles_and_arrays_beside_a_class_are_no_class(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "set.tar")) as writer:
        for number in range(4):
            more = {"pyd": {"a": 1}, "npy": np.zeros(3)}
            writer.write({"__key__": str(number), "png": picture(number), "cls": number % 2} | more)
    assert set(labels(index_archive(tmp_path / "set.tar")).values()) == {"0", "1"}


# datasets


def read_by_datasets(folder: Path) -> dict[str, str]:
    """File → class, as ``imagefolder`` has them, whatever the part."""
    found = {}
    for part in datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(folder.parent / "c")).values():
        names = part.features["label"].names if hasattr(part.features["label"], "names") else None
        for row in part.cast_column("image", datasets.Image(decode=False)):
            path = Path(row["image"]["path"]).relative_to(folder.resolve()).as_posix()
            found[path] = names[row["label"]] if names else row["label"]
    return found


def test_datasets_reads_the_same_classes_of_folders(tmp_path: Path) -> None:
    names = [f"{part}/{name}/{part}{number}.png" for part in ("train", "test") for name in CLASSES for number in (1, 2)]
    folder = write_folder(tmp_path / "set", folders(*names))
    assert labels(index_archive(folder)) == read_by_datasets(folder)


@LEAVES_FILES_OPEN
@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_datasets_reads_the_same_classes_of_a_table(tmp_path: Path, name: str) -> None:
    csv = b"file_name,label\n1.png,cat\n2.png,dog\n3.png,cat\n"
    jsonl = b"".join(b'{"file_name": "%d.png", "label": "%s"}\n' % (n, (b"dog", b"cat")[n % 2]) for n in (1, 2, 3))
    text = csv if name.endswith("csv") else jsonl
    folder = write_folder(tmp_path / "set", folders("1.png", "2.png", "3.png") | {name: text})
    assert labels(index_archive(folder)) == read_by_datasets(folder)


@pytest.fixture(scope="module")
def of_datasets() -> datasets.Dataset:
    """Four pictures with classes, as ``datasets`` has them in memory."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    return datasets.Dataset.from_dict(
        {"image": [picture(number) for number in range(4)], "label": [0, 1, 0, 1]}, features=features
    )


def test_what_save_to_disk_writes_is_called_by_its_name(tmp_path: Path, of_datasets: datasets.Dataset) -> None:
    of_datasets.save_to_disk(str(tmp_path / "set"))
    with pytest.raises(ArchiveError, match=r"which is Arrow: write its images into a folder for each class"):
        index_archive(tmp_path / "set")


def test_what_to_parquet_writes_is_called_by_its_name(tmp_path: Path, of_datasets: datasets.Dataset) -> None:
    (tmp_path / "set").mkdir()
    of_datasets.to_parquet(str(tmp_path / "set" / "train-00000-of-00001.parquet"))
    with pytest.raises(ArchiveError, match=r"which is Parquet: write its images into a folder for each class"):
        index_archive(tmp_path / "set")


def test_a_parquet_file_alone_is_called_by_its_name(tmp_path: Path, of_datasets: datasets.Dataset) -> None:
    of_datasets.to_parquet(str(tmp_path / "set"))
    with pytest.raises(ArchiveError, match=r"^the file is Parquet: write its images into a folder for each class"):
        index_archive(tmp_path / "set")
