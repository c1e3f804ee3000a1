"""WebDatasets: a tar or a folder of shards, the classes beside the images, captions that are none."""

import random
from pathlib import Path

import pytest

from negmerge.data.archives import index_archive
from negmerge.data.members import Limits
from negmerge.errors import ArchiveError
from tests.support.archive_files import Files, png, write_tar


def shards(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir(parents=True)
    for shard in range(count):
        names = [f"{shard}{number}" for number in range(2)]
        images = {f"{name}.png": png() for name in names}
        labels = {f"{name}.cls": f"class {number}".encode() for number, name in enumerate(names)}
        write_tar(folder / f"shard-{shard:03}.tar", images | labels)
    return folder


def test_the_shards_of_a_folder_are_one_data_set(tmp_path: Path) -> None:
    index = index_archive(shards(tmp_path, 3))
    assert [sample.id for sample in index.samples] == ["00.png", "01.png", "10.png", "11.png", "20.png", "21.png"]
    assert index.classes == ("class 0", "class 1")


def test_a_sample_that_is_in_two_shards_is_named(tmp_path: Path) -> None:
    folder = shards(tmp_path, 1)
    (folder / "again.tar").write_bytes((folder / "shard-000.tar").read_bytes())
    with pytest.raises(ArchiveError, match="is in the archive twice"):
        index_archive(folder)


def labelled(ending: str, **labels: str) -> Files:
    return {f"{key}.png": png() for key in labels} | {f"{key}.{ending}": text.encode() for key, text in labels.items()}


def test_captions_are_not_taken_for_classes(tmp_path: Path) -> None:
    captions = {f"k{number}": f"a photo of {number} dogs in a park" for number in range(5)}
    with pytest.raises(ArchiveError, match=r"5 of 5 \.txt files have what no other has.*put the classes in \.cls"):
        index_archive(write_tar(tmp_path / "a", labelled("txt", **captions)))


def test_captions_are_none_beside_a_json_without_a_label_either(tmp_path: Path) -> None:
    """As img2dataset writes them."""
    files = labelled("txt", **{f"k{number}": f"a photo of {number} dogs" for number in range(5)})
    files |= {f"k{number}.json": b'{"caption": "a photo", "url": "https://x.org/1.png"}' for number in range(5)}
    with pytest.raises(ArchiveError, match=r"5 of 5 \.txt files have what no other has.*put the classes in \.cls"):
        index_archive(write_tar(tmp_path / "a", files))


def test_captions_beside_a_json_with_the_class_are_none_of_our_business(tmp_path: Path) -> None:
    files = labelled("txt", **{f"k{number}": f"a photo of {number} dogs" for number in range(5)})
    files |= {f"k{number}.json": b'{"label": %d}' % (number % 2) for number in range(5)}
    assert index_archive(write_tar(tmp_path / "a", files)).classes == ("0", "1")


def test_classes_in_txt_files_are_classes(tmp_path: Path) -> None:
    classes = {f"k{number}": ("traffic light", "stop sign")[number % 2] for number in range(6)}
    assert len(index_archive(write_tar(tmp_path / "a", labelled("txt", **classes))).classes) == 2


def test_keys_with_dots_are_told_apart(tmp_path: Path) -> None:
    files = {"a.v1.png": png(), "a.v2.png": png(), "a.v1.cls": b"cat", "a.v2.cls": b"dog"}
    index = index_archive(write_tar(tmp_path / "a", files))
    assert {sample.id: sample.class_name for sample in index.samples} == {"a.v1.png": "cat", "a.v2.png": "dog"}


@pytest.mark.parametrize(
    "text",
    ['{"label": true, "class": "cat"}', '{"label": "cat", "label": "dog"}', '{"x": 1}', '{"label": ["cat"]}',
     '{"label": 1.5}', '{"label": "cat", "more": "' + 2**20 * "x" + '"}'],
    ids=["true", "twice", "none", "a list", "a fraction", "a megabyte"],
)  # fmt: skip
def test_a_json_label_that_says_no_one_class_is_none(tmp_path: Path, text: str) -> None:
    files = {"1.png": png(), "1.json": text.encode(), "2.png": png(), "2.json": b'{"label": "b"}'}
    with pytest.raises(ArchiveError, match=r"'1\.png' has no label"):
        index_archive(write_tar(tmp_path / "a", files))


def test_only_the_label_of_the_whole_object_is_judged(tmp_path: Path) -> None:
    boxes = b'{"label": "a", "boxes": [{"label": 1, "label": 2}], "class": {"class": 1, "class": 2}}'
    files = {"1.png": png(), "1.json": boxes, "2.png": png(), "2.json": b'{"label": "b"}'}
    assert index_archive(write_tar(tmp_path / "a", files)).classes == ("a", "b")


def test_what_a_json_label_should_be_is_said(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.json": b'{"label": "a", "label": "c"}', "2.png": png(), "2.json": b'{"label": "b"}'}
    with pytest.raises(ArchiveError, match=r"or into '1\.json' as one text or whole number, label, that is there once"):
        index_archive(write_tar(tmp_path / "a", files))


def test_a_json_label_may_be_a_number_and_null_leaves_it_to_the_class(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.json": b'{"label": null, "class": "cat"}', "2.png": png(), "2.json": b'{"label": 7}'}
    assert index_archive(write_tar(tmp_path / "a", files)).classes == ("7", "cat")


def test_a_label_without_an_image_is_named(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.cls": b"cat", "2.png": png(), "2.cls": b"dog", "3.jpg_": png(), "3.cls": b"fox"}
    with pytest.raises(ArchiveError, match=r"'3\.cls' has no image beside it: add it, or remove the label"):
        index_archive(write_tar(tmp_path / "a", files))


def test_a_label_of_an_image_that_was_left_out_is_none(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.cls": b"cat", "2.png": png(), "2.cls": b"dog", "3.png": b"", "3.cls": b"fox"}
    assert index_archive(write_tar(tmp_path / "a", files), leave_out=True).left_out == ("3.png",)


def test_a_label_may_begin_with_the_mark_that_windows_writes(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.cls": b"\xef\xbb\xbfcat", "2.png": png(), "2.json": b'\xef\xbb\xbf{"label": "dog"}'}
    assert index_archive(write_tar(tmp_path / "a", files)).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["notice-2", "license_plate_1"])
def test_a_label_that_is_called_nearly_like_a_note_is_one(tmp_path: Path, name: str) -> None:
    files = {"1.png": png(), "1.txt": b"cat", f"{name}.png": png(), f"{name}.txt": b"dog"}
    assert index_archive(write_tar(tmp_path / "a", files)).classes == ("cat", "dog")


def test_shards_may_have_figures_beside_them(tmp_path: Path) -> None:
    folder = shards(tmp_path, 2)
    (folder / "shard-000_stats.json").write_text("{}")
    assert len(index_archive(folder).samples) == 4


@pytest.mark.parametrize("limits", [Limits(files=7), Limits(bytes=30_000)])
def test_the_limits_are_of_all_shards_together(tmp_path: Path, limits: Limits) -> None:
    index_archive(shards(tmp_path, 1), limits)
    with pytest.raises(ArchiveError, match="split it"):
        index_archive(shards(tmp_path / "more", 4), limits)


def test_a_packed_shard_beside_plain_ones_is_no_bomb(tmp_path: Path) -> None:
    """The plain one's bytes came from as many: they count for the ratio too."""
    folder = tmp_path / "shards"
    folder.mkdir()
    ballast = random.Random(0).randbytes(17 * 2**20)  # more than any ratio is allowed for
    write_tar(folder / "b.tar", {"1.png": png(), "1.cls": b"cat", "1.bin": ballast})
    write_tar(folder / "a.tar.gz", {"2.png": png(1), "2.cls": b"dog"}, "w:gz")
    assert len(index_archive(folder).samples) == 2
