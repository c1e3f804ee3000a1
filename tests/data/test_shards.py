"""The shards of a WebDataset in a folder, and the parts that their names say."""

from pathlib import Path

import pytest

from negmerge.data.archives import index_archive, read_samples
from tests.support.archive_files import png, refusal, write_tar


def write_shard(path: Path, first: int = 0, around: str = "") -> None:
    """Two samples, 1 and 2, of the classes a and b."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = {f"{around}{number}.png": png(first + number) for number in (1, 2)}
    write_tar(path, images | {f"{around}1.cls": b"a", f"{around}2.cls": b"b"})


NAMES = {
    "train and val": ("train-000000.tar", "val-000000.tar", "validation"),
    "in a longer name": ("imagenet-train-00.tar", "imagenet-test-00.tar", "test"),
    "packed": ("trainset.tar", "TestSet.tar", "test"),
}


@pytest.mark.parametrize(("train", "other", "part"), NAMES.values(), ids=NAMES)
def test_names_of_shards_say_their_parts(tmp_path: Path, train: str, other: str, part: str) -> None:
    write_shard(tmp_path / train)
    write_shard(tmp_path / other)
    found = {(sample.id, sample.class_name, sample.part) for sample in index_archive(tmp_path).samples}
    assert found == {
        ("train/1.png", "a", "train"), ("train/2.png", "b", "train"),
        (f"{part}/1.png", "a", part), (f"{part}/2.png", "b", part),
    }  # fmt: skip


def test_folders_of_shards_say_their_parts(tmp_path: Path) -> None:
    write_shard(tmp_path / "train/0.tar")
    write_shard(tmp_path / "val/0.tar")
    (tmp_path / "info.json").write_text("{}")
    parts = {sample.id: sample.part for sample in index_archive(tmp_path).samples}
    assert parts == {f"{part}/{number}.png": part for part in ("train", "validation") for number in (1, 2)}


def test_a_sample_is_read_from_the_shard_of_its_part(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.tar", first=0)
    write_shard(tmp_path / "test-0.tar", first=100)
    assert dict(read_samples(tmp_path, ["test/1.png"])) == {"test/1.png": png(101)}


def test_shards_that_all_say_one_part_are_cut_as_one_tar_is(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.tar")
    assert [(sample.id, sample.part) for sample in index_archive(tmp_path).samples] == [
        ("1.png", None),
        ("2.png", None),
    ]


@pytest.mark.parametrize(("name", "what"), [("more-0.tar", "no part"), ("train-and-test.tar", "two parts")])
def test_a_shard_that_says_no_one_part_beside_others_is_named(tmp_path: Path, name: str, what: str) -> None:
    for one in ("train-0.tar", "val-0.tar", name):
        write_shard(tmp_path / one)
    assert f"'{name}' says {what} by its name, and others say one: call each shard train" in refusal(tmp_path)


def test_a_shard_whose_samples_say_its_part_too_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.tar", around="train/")
    write_shard(tmp_path / "val-0.tar", around="val/")
    ids = [sample.id for sample in index_archive(tmp_path).samples]
    assert ids == ["train/1.png", "train/2.png", "val/1.png", "val/2.png"]


def test_a_shard_whose_samples_say_another_part_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.tar", around="test/")
    write_shard(tmp_path / "val-0.tar")
    assert "'test/1.png' lies in 'train-0.tar', which is of train: move it" in refusal(tmp_path)


def test_a_sample_that_is_in_a_part_twice_is_named(tmp_path: Path) -> None:
    for name in ("train-0.tar", "train-1.tar", "val-0.tar"):
        write_shard(tmp_path / name)
    assert "'train/1.png' is in the archive twice" in refusal(tmp_path)


def test_shards_in_folders_that_say_no_part_are_called_tars(tmp_path: Path) -> None:
    write_shard(tmp_path / "a/0.tar")
    write_shard(tmp_path / "b/0.tar")
    assert "which is tars: give one of them, or register the folder in which they alone lie" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0.4, 0.9])
def test_a_shard_that_is_cut_off_is_named_among_the_others(tmp_path: Path, keep: float) -> None:
    for number in range(3):
        write_shard(tmp_path / f"{number}.tar", around=f"{number}-")
    shard = tmp_path / "1.tar"
    shard.write_bytes(shard.read_bytes()[: int(keep * 4096)])
    assert refusal(tmp_path).startswith("'1.tar': ")


def test_a_link_to_a_folder_of_shards_is_not_followed(tmp_path: Path) -> None:
    write_shard(tmp_path / "elsewhere/0.tar")
    write_shard(tmp_path / "set/train/0.tar")
    (tmp_path / "set/val").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "'val' is a link or a device" in refusal(tmp_path / "set")
