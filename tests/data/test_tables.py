"""Tables beside images: their columns, their parts, and rows whose image is elsewhere."""

import json
from pathlib import Path

import pytest

from negmerge.data.archives import Index, index_archive
from negmerge.errors import ArchiveError
from tests.support.archive_files import Files, folders, refusal, write_zip

TWO = folders("1.png", "2.png")


def indexed(tmp_path: Path, files: Files, table: str, name: str = "labels.csv") -> Index:
    return index_archive(write_zip(tmp_path / "a.zip", {**files, name: table.encode()}))


def told(tmp_path: Path, files: Files, table: str, name: str = "labels.csv") -> str:
    return refusal(write_zip(tmp_path / "a.zip", {**files, name: table.encode()}))


# Parts.

FOUR = folders("1.png", "2.png", "3.png", "4.png")


@pytest.mark.parametrize("column", ["split", "Subset", "partition", "set", "fold"])
@pytest.mark.parametrize(
    ("words", "part"),
    [(("train", "val"), "validation"), (("Training", "TEST"), "test"), (("train", "valid"), "validation")],
)
def test_a_column_says_the_parts(tmp_path: Path, column: str, words: tuple[str, str], part: str) -> None:
    train, other = words
    table = f"file,label,{column}\n1.png,a,{train}\n2.png,b,{train}\n3.png,a,{other}\n4.png,b,{other}\n"
    index = indexed(tmp_path, FOUR, table)
    assert [sample.part for sample in index.samples] == ["train", "train", part, part]


@pytest.mark.parametrize(
    ("other", "said"), [("dev", "'dev'"), ("0", "'0'"), ("", "a row with nothing")], ids=["dev", "0", "nothing"]
)
def test_a_part_that_is_called_otherwise_is_named_with_its_column(tmp_path: Path, other: str, said: str) -> None:
    table = f"file,label,split\n1.png,a,train\n2.png,b,{other}\n"
    assert f"has {said} in its column 'split': call each part train, val or test" in told(tmp_path, TWO, table)


@pytest.mark.parametrize("column", ["fold", "set"])
def test_a_fold_and_a_set_may_be_numbers(tmp_path: Path, column: str) -> None:
    index = indexed(tmp_path, TWO, f"file,label,{column}\n1.png,a,0\n2.png,b,1\n")
    assert {sample.part for sample in index.samples} == {None}


def test_two_columns_that_say_other_parts_are_named(tmp_path: Path) -> None:
    table = "file,label,split,set\n1.png,a,train,train\n2.png,b,train,test\n"
    assert "says other parts in its columns 'split' and 'set'" in told(tmp_path, TWO, table)


def test_an_image_in_the_folder_of_another_part_is_named(tmp_path: Path) -> None:
    files = folders("train/1.png", "train/2.png")
    table = "file,label,split\ntrain/1.png,a,train\ntrain/2.png,b,test\n"
    assert "'train/2.png' lies in the folder of train, and a table says test" in told(tmp_path, files, table)


def test_parts_without_classes_are_not_lost(tmp_path: Path) -> None:
    table = "file,split\na/1.png,train\nb/2.png,test\n"
    said = told(tmp_path, folders("a/1.png", "b/2.png"), table)
    assert "says parts and no classes: add a column label to it, or put the images into folders" in said


# Classes in two columns.


def test_of_two_columns_that_say_the_same_the_names_hold(tmp_path: Path) -> None:
    table = "file,label,class\n1.png,0,cat\n2.png,1,dog\n"
    assert indexed(tmp_path, TWO, table).classes == ("cat", "dog")


@pytest.mark.parametrize("classes", [("0,cat", "0,dog"), ("0,cat", "1,")])
def test_two_columns_that_do_not_say_the_same_are_both_named(tmp_path: Path, classes: tuple[str, str]) -> None:
    table = f"file,label,class\n1.png,{classes[0]}\n2.png,{classes[1]}\n"
    said = told(tmp_path, TWO, table)
    assert "has classes in two columns, 'label' and 'class', that do not say the same: take away" in said


# Where a row's image is.


def test_bare_names_are_looked_up_in_the_one_folder_of_images(tmp_path: Path) -> None:
    index = indexed(tmp_path, folders("images/1.png", "images/2.png"), "file,label\n1.png,cat\n2.png,dog\n")
    assert {sample.id: sample.class_name for sample in index.samples} == {"images/1.png": "cat", "images/2.png": "dog"}


def test_bare_names_are_not_looked_up_in_two(tmp_path: Path) -> None:
    files = folders("images/1.png", "more/2.png", "3.png")
    said = told(tmp_path, files, "file,label\n1.png,cat\n2.png,dog\n")
    assert "'labels.csv' names '1.png', which is not there, and 'images/1.png' is: write its path" in said


def test_a_row_may_have_backslashes(tmp_path: Path) -> None:
    index = indexed(tmp_path, folders("x/1.png", "x/2.png"), "file,label\nx\\1.png,cat\n.\\x\\2.png,dog\n")
    assert index.classes == ("cat", "dog")


@pytest.mark.parametrize("file", ["1", "/data/1.png", "1.PNG", "C:\\data\\1.png", "elsewhere/1.png"])
def test_a_row_whose_image_is_not_there_is_named_with_the_image_that_it_means(tmp_path: Path, file: str) -> None:
    said = told(tmp_path, TWO, f"file,label\n{file},cat\n2,dog\n")
    assert f"'labels.csv' names '{file}', which is not there, and '1.png' is: write its path from the table's" in said


def test_a_table_of_other_images_is_named_where_the_folders_are_no_classes(tmp_path: Path) -> None:
    said = told(tmp_path, folders("images/1.png"), "file,label\n7.png,cat\n8.png,dog\n")
    assert "'labels.csv' names '7.png', which is not there: add it, or remove the row" in said


def test_a_table_around_class_folders_is_read(tmp_path: Path) -> None:
    """The folder ``images`` is not taken for the one around everything: the table would be lost."""
    files = folders("images/a/1.png", "images/a/2.png")
    table = "file,label\nimages/a/1.png,cat\nimages/a/2.png,dog\n"
    assert indexed(tmp_path, files, table).classes == ("cat", "dog")


def test_rows_of_commas_alone_are_passed_over(tmp_path: Path) -> None:
    assert indexed(tmp_path, TWO, "file,label\n1.png,cat\n,\n2.png,dog\n,\n").classes == ("cat", "dog")


def test_json_rows_have_the_same_columns(tmp_path: Path) -> None:
    rows = [
        {"file_name": "1.png", "label": 0, "category": "cat", "split": "train"},
        {"file_name": "2.png", "label": 1, "category": "dog", "split": "train"},
    ]
    index = indexed(tmp_path, TWO, "\n".join(map(json.dumps, rows)), "metadata.jsonl")
    assert [(s.class_name, s.part) for s in index.samples] == [("cat", "train"), ("dog", "train")]


def test_an_image_with_other_parts_in_two_tables_is_named(tmp_path: Path) -> None:
    files = {**TWO, "metadata.csv": b"file,label,split\n1.png,a,test\n2.png,b,train\n"}
    with pytest.raises(ArchiveError, match=r"'1\.png' has two parts, in 'metadata\.csv' and in another table"):
        indexed(tmp_path, files, "file,label,split\n1.png,a,train\n2.png,b,train\n")


def test_a_column_with_one_value_for_all_says_no_class(tmp_path: Path) -> None:
    text = b"file_name,label,category\n1.png,cat,animal\n2.png,dog,animal\n"
    index = index_archive(write_zip(tmp_path / "a.zip", folders("1.png", "2.png") | {"labels.csv": text}))
    assert index.classes == ("cat", "dog")


def test_columns_that_say_nothing_may_be_called_alike(tmp_path: Path) -> None:
    """A spreadsheet writes commas behind the last column."""
    text = b"file_name,label,note,note,,\n1.png,cat,a,b,,\n2.png,dog,,,,\n"
    index = index_archive(write_zip(tmp_path / "a.zip", folders("1.png", "2.png") | {"labels.csv": text}))
    assert index.classes == ("cat", "dog")
