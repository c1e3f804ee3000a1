"""Data sets as people lay them out: what is served, and what is refused by its name with what to do."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from negmerge.data.archives import Index, Sample, index_archive, read_samples
from negmerge.data.tables import rows_of
from negmerge.errors import ArchiveError
from tests.support.archive_files import WRITERS, Files, folders, png, refusal, write_folder, write_zip


def indexed(tmp_path: Path, files: Files) -> Index:
    return index_archive(write_zip(tmp_path / "a.zip", files))


def parts(index: Index) -> dict[str, str | None]:
    return {sample.id: sample.part for sample in index.samples}


PARTS = {
    "train/valid/test, as Roboflow": ("train", "valid", "test"),
    "training/testing": ("training", "validation", "testing"),
    "in capitals": ("Train", "Val", "Test"),
}


@pytest.mark.parametrize("names", PARTS.values(), ids=PARTS)
def test_parts_are_known_by_the_names_that_people_give_them(tmp_path: Path, names: tuple[str, str, str]) -> None:
    files = folders(*(f"{part}/{name}/{part}.png" for part in names for name in ("cat", "dog")))
    index = indexed(tmp_path, files)
    assert index.classes == ("cat", "dog")
    assert [parts(index)[f"{part}/cat/{part}.png"] for part in names] == ["train", "validation", "test"]


def test_folders_that_may_be_parts_or_classes_are_asked_about(tmp_path: Path) -> None:
    files = folders("set1/cat/1.png", "set1/dog/1.png", "set2/cat/2.png", "set2/dog/2.png")
    with pytest.raises(ArchiveError, match="'set1' and 'set2' hold folders of the same names: if they are parts, call"):
        indexed(tmp_path, files)


def test_a_folder_in_each_class_is_no_part(tmp_path: Path) -> None:
    assert indexed(tmp_path, folders("cat/images/1.png", "dog/images/2.png")).classes == ("cat", "dog")


JUNK = [
    "README.txt", "cat/README.md", "cat/README.roboflow.txt", "cat/LICENSE", "dog/@eaDir/1.jpg/SYNO.jpg", "cat/Icon\r",
    "cat/.ipynb_checkpoints/1-checkpoint.png", "dog/Thumbs.db", "dog/desktop.ini", "__MACOSX/cat/._1.png", ".DS_Store",
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=ascii)
def test_what_systems_and_people_leave_among_pictures_is_passed_over(tmp_path: Path, junk: str) -> None:
    index = indexed(tmp_path, {**folders("cat/1.png", "dog/1.png"), junk: b"left"})
    assert [sample.id for sample in index.samples] == ["cat/1.png", "dog/1.png"]


def test_a_picture_is_never_taken_for_a_note(tmp_path: Path) -> None:
    names = ["licence/licence_1.png", "notice/notice.png", "readme/readme.png"]
    assert [sample.id for sample in indexed(tmp_path, folders(*names)).samples] == names


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"train.parquet": b""}, "'train.parquet', which is Parquet"),
        ({"data-0.arrow": b""}, "which is Arrow"),
        ({"a.tfrecord": b""}, "which is TFRecord"),
        ({"images.npy": b""}, "which is numpy"),
        ({"shard-0.tar": b"", "shard-1.tar": b""}, "which is tars: give one of them, or register the folder"),
        ({"a.heic": b""}, "'a.heic' is HEIC"),
        ({"notes.doc": b""}, "only files such as 'notes.doc': put images in a folder for each class"),
        (
            {**folders("1.png", "2.png"), "metadata.csv": b"file_name,text"},
            "no class is read of 'metadata.csv'",
        ),
        ({**folders("1.png", "2.png"), "list.tsv": b""}, "no class is read of 'list.tsv': it needs columns file_name"),
        ({**folders("train/1.png"), "train/_annotations.coco.json": b"{}"}, "looks like COCO's"),
        ({**folders("images/1.png"), "annotations/instances_train.json": b"{}"}, "looks like COCO's"),
    ],
)
def test_a_layout_that_is_not_read_is_called_by_its_name(tmp_path: Path, files: Files, told: str) -> None:
    with pytest.raises(ArchiveError, match=told):
        indexed(tmp_path, files)


# Tables.

TABLES = {
    "csv": ("metadata.csv", "file_name,label\n1.png,cat\n2.png,dog\n"),
    "csv of a spreadsheet": ("metadata.csv", '\ufeffFile_Name,Label,more\r\n"1.png","cat",x\r\n2.png,dog,\r\n'),
    "jsonl": ("metadata.jsonl", '{"file_name": "1.png", "label": "cat"}\n{"label": "dog", "file_name": "2.png"}\n'),
    "other names": ("labels.csv", "filename,class\n1.png,cat\n2.png,dog\n"),
}


@pytest.mark.parametrize(("name", "text"), TABLES.values(), ids=TABLES)
def test_a_table_beside_the_images_says_their_classes(tmp_path: Path, name: str, text: str) -> None:
    files = {**folders("1.png", "2.png"), name: text.encode()}
    index = indexed(tmp_path, files)
    assert [(sample.id, sample.class_name) for sample in index.samples] == [("1.png", "cat"), ("2.png", "dog")]


def test_each_part_has_a_table_of_its_own_as_hugging_face_saves_them(tmp_path: Path) -> None:
    files = folders("train/1.png", "train/2.png", "test/1.png")
    files["train/metadata.csv"] = b"file_name,label\n1.png,0\n2.png,1\n"
    files["test/metadata.jsonl"] = b'{"file_name": "1.png", "label": 1}'
    rows = [(sample.id, sample.class_name, sample.part) for sample in indexed(tmp_path, files).samples]
    assert rows == [("test/1.png", "1", "test"), ("train/1.png", "0", "train"), ("train/2.png", "1", "train")]


def test_a_table_and_folders_that_say_the_same_are_read_and_others_are_both_named(tmp_path: Path) -> None:
    files = folders("cat/1.png", "dog/2.png")
    same = files | {"metadata.csv": b"file_name,label\ncat/1.png,cat\ndog/2.png,dog\n"}
    assert indexed(tmp_path, same).classes == ("cat", "dog")
    other = files | {"metadata.csv": b"file_name,label\ncat/1.png,x\ndog/2.png,y\n"}
    with pytest.raises(ArchiveError, match=r"'cat/1\.png' lies in the folder 'cat', and a table says 'x'"):
        indexed(tmp_path, other)


def test_a_table_of_other_things_leaves_the_classes_to_the_folders(tmp_path: Path) -> None:
    files = {**folders("cat/1.png", "dog/2.png"), "labels.csv": b"file_name,label\nelsewhere.png,x\n"}
    assert indexed(tmp_path, files).classes == ("cat", "dog")


@pytest.mark.parametrize("around", ["", "set/"])
@pytest.mark.parametrize("part", ["", "train/"])
def test_a_table_may_name_images_in_a_folder_beside_it_in_either_form(tmp_path: Path, around: str, part: str) -> None:
    table = "file_name,label\nimages/1.png,cat\n./images/caf\u00e9.png,dog\n".encode()
    files = {f"{around}{part}{name}": png() for name in ("images/1.png", "images/cafe\u0301.png")}
    index = indexed(tmp_path, files | {f"{around}{part}metadata.csv": table})
    assert [sample.class_name for sample in index.samples] == ["cat", "dog"]
    assert {sample.part for sample in index.samples} == {"train" if part else None}


def test_an_image_with_other_classes_in_two_tables_is_named(tmp_path: Path) -> None:
    first, second = b"file_name,label\n1.png,cat\n2.png,dog\n", b"file_name,label\n1.png,dog\n2.png,dog\n"
    files = folders("1.png", "2.png")
    with pytest.raises(ArchiveError, match=r"'1\.png' has two classes, in 'metadata\.csv' and in another table"):
        indexed(tmp_path, files | {"metadata.csv": first, "labels.csv": second})
    assert indexed(tmp_path, files | {"metadata.csv": first, "labels.csv": first}).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,label,label\n1.png,cat,dog\n2.png,dog,cat\n"),
        ("metadata.csv", "file_name,label,Label\n1.png,cat,dog\n2.png,dog,cat\n"),
        ("metadata.jsonl", '{"file_name": "1.png", "label": "cat", "label": "dog"}\n'),
    ],
)
def test_a_table_that_says_a_class_twice_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ArchiveError, match=r"cannot be read as a table .* there twice"):
        indexed(tmp_path, {**folders("1.png", "2.png"), name: text.encode()})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,label\n1.png,cat\n", "'2.png' is in none of the tables, such as 'metadata.csv': add its row"),
        ("file_name,label\n1.png,a\n2.png,b\n3.png,b\n", "names '3.png', which is not there"),
        ("file_name,label\n1.png,a\n1.png,b\n", "has '1.png' twice"),
        ("file_name,label\n1.png,a\n2.png,\n", "row 2 of 'metadata.csv' has no file or no class"),
        ("file_name,label\n1.png,a\n2.png\n", "row 2 of 'metadata.csv' has no file or no class"),
        ("file_name,label\n1.png,a\u202e\n2.png,b\n", "row 1 of 'metadata.csv' has no file or no class"),
        ('file_name,label\n"1.png,a\n', "cannot be read as a table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        indexed(tmp_path, {**folders("1.png", "2.png"), "metadata.csv": text.encode()})


@pytest.mark.parametrize(
    ("first", "second"), [("1.png", "./1.png"), ("./1.png", "1.png"), ("caf\u00e9.png", "cafe\u0301.png")], ids=ascii
)
def test_an_image_that_one_table_names_in_two_ways_is_told_of_that_table(
    tmp_path: Path, first: str, second: str
) -> None:
    table = f"file_name,label\n{first},a\n{second},b\n2.png,b\n"
    with pytest.raises(ArchiveError, match=f"'metadata.csv' has '{second}' twice: an image has one class"):
        indexed(tmp_path, {**folders(first.removeprefix("./"), "2.png"), "metadata.csv": table.encode()})


HEAD = b"file_name,label\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", (2**20 + 1) * b","),
        ("metadata.csv", HEAD + b"1.png,cat" + 2**20 * b","),
        ("metadata.csv", HEAD + b'1.png,"' + 2**15 * (31 * b"," + b"\n")),
        ("metadata.csv", HEAD + b"1.png," + 2**18 * b'"\n",'),
        ("metadata.jsonl", b'{"file_name": "1.png", "label": "cat", "a": [' + 2**19 * b"{}" + b"]}"),
    ],
    ids=["columns", "cells", "a cell of lines", "cells of lines", "values"],
)
def test_a_row_of_more_than_can_be_of_use_is_refused_before_it_is_read(
    tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(ArchiveError, match=r"a row of more than 1048576 characters|field larger than field limit"):
        indexed(tmp_path, {**folders("1.png", "2.png"), name: content})


def test_rows_are_counted_over_all_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = HEAD + b"1.png,a\n2.png,b\n"
    files = folders("train/1.png", "train/2.png", "test/1.png", "test/2.png")
    files |= {"train/metadata.csv": table, "test/metadata.csv": table}
    monkeypatch.setattr("negmerge.data.archives.MAX_ROWS", 5)
    assert len(indexed(tmp_path, files).samples) == 4
    monkeypatch.setattr("negmerge.data.archives.MAX_ROWS", 4)
    with pytest.raises(
        ArchiveError, match=r"'test/metadata\.csv' brings the tables to more than \d+ rows: split the data"
    ):
        indexed(tmp_path, files)


@pytest.mark.parametrize("ends", [b"\n", b"\r"])
def test_rows_are_counted_before_any_is_read(ends: bytes) -> None:
    with pytest.raises(ArchiveError, match="brings the tables to more than 2000000 rows: split the data set"):
        rows_of("metadata.csv", 2_000_001 * ends)


def test_an_image_that_was_left_out_may_have_a_row(tmp_path: Path) -> None:
    table = b"file_name,label\n1.png,a\n2.png,b\n3.png,b\n"
    files = {**folders("1.png", "2.png"), "3.png": b"", "metadata.csv": table}
    assert index_archive(write_zip(tmp_path / "a.zip", files), leave_out=True).left_out == ("3.png",)


def test_a_folder_on_disk_is_read_as_the_zip_of_it(tmp_path: Path) -> None:
    files = {**folders("train/cat/1.png", "train/dog/2.png", "valid/cat/3.png"), "README.txt": b"notes"}
    assert index_archive(write_folder(tmp_path / "folder", files)) == indexed(tmp_path, files)


def test_a_tar_with_a_macs_icon_file_is_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("cat/1.png", "dog/2.png", "cat/Icon\r"):
            info = tarfile.TarInfo(name)
            info.size = len(png())
            archive.addfile(info, io.BytesIO(png()))
    assert len(index_archive(tmp_path / "a.tar").samples) == 2


@pytest.mark.parametrize("write", WRITERS)
def test_pictures_in_no_folder_are_a_set_without_classes(write: Any, tmp_path: Path) -> None:
    files = {**folders("2.png", "1.jpg.png"), "README.md": b"mine", ".DS_Store": b"", "cut.png": b""}
    index = index_archive(write(tmp_path / "a", files), leave_out=True)
    assert index.samples == (Sample("1.jpg.png", "", None), Sample("2.png", "", None))
    assert (index.classes, index.root, index.left_out) == ((), "", ("cut.png",))
    assert Index.from_json(json.loads(json.dumps(index.as_json()))) == index


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("folder", ["person", "a/b/photos", "train", "set/train/three"])
def test_a_folder_of_pictures_that_was_packed_itself_is_what_lies_in_it(
    write: Any, folder: str, tmp_path: Path
) -> None:
    files = folders(f"{folder}/1.png", f"{folder}/2.png") | {f"{folder}/cut.png": b""}
    litter = {f"__MACOSX/{folder}/._1.png": b"", f"{folder}/.DS_Store": b"", f"{folder}/Thumbs.db": b""}
    archive = write(tmp_path / "a", files | litter)
    index = index_archive(archive, leave_out=True)
    assert index == Index((Sample("1.png", "", None), Sample("2.png", "", None)), (), folder, left_out=("cut.png",))
    assert dict(read_samples(archive, ["2.png"], index.root)) == {"2.png": files[f"{folder}/2.png"]}


ONE_CLASS = {
    "its parts are in several folders": folders("train/cat/1.png", "test/cat/2.png"),
    "a table says it": folders("cat/1.png") | {"metadata.csv": b"file_name,label\ncat/1.png,cat\n"},
    "a label says it": folders("1.png") | {"1.cls": b"cat"},
    "a file beside it may say more": folders("cat/1.png") | {"notes.doc": b""},
    "all of the other is damaged": folders("cat/1.png") | {"dog/1.png": b""},
}


@pytest.mark.parametrize("files", ONE_CLASS.values(), ids=ONE_CLASS)
def test_one_class_that_more_than_a_folder_tells_of_is_refused(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"one class only \('cat'\).*lie in one folder with no other files"):
        index_archive(write_zip(tmp_path / "a", files), leave_out=True)


@pytest.mark.parametrize("folder", ["", "person/"])
def test_a_file_that_keeps_pictures_from_having_no_classes_is_named(folder: str, tmp_path: Path) -> None:
    files = {f"{folder}1.png": png(), f"{folder}form.pdf": b"%PDF"}
    assert "form.pdf'" in refusal(write_zip(tmp_path / "a", files))
