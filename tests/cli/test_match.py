"""``negmerge match``: ids to paste into a spec, or all candidates as JSON."""

import json
from pathlib import Path

import pytest

from tests.data.test_hashes import TILES, saved
from tests.support.archive_files import write_folder, write_zip
from tests.support.command_line import Command, assert_refused


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A data set ``set.zip``, and pictures to look for."""
    write_zip(tmp_path / "set.zip", {f"{'ab'[n % 2]}/{n}.png": saved(tile) for n, tile in enumerate(TILES)})
    files = {"me.bmp": saved(TILES[2], "BMP"), "me.jpg": saved(TILES[5], "JPEG"), "\u202eno.png": b"x"}
    return write_folder(tmp_path, files)


def test_it_prints_the_ids_as_select_takes_them(negmerge: Command, place: Path) -> None:
    done = negmerge("match", place / "set.zip", place / "me.jpg", place / "me.bmp", place / "\u202eno.png")
    assert done.returncode == 0, done
    assert json.loads(done.stdout) == {"ids": ["a/2.png", "b/5.png"]}
    assert "a/2.png (exact)" in done.stderr
    assert "b/5.png (distance " in done.stderr
    assert "\\u202eno.png" in done.stderr


def test_json_is_all_that_is_printed_where_it_is_asked_for(negmerge: Command, place: Path) -> None:
    done = negmerge("match", place / "set.zip", place / "me.bmp", "--json")
    assert json.loads(done.stdout) == {
        "matches": [
            {
                "file": str(place / "me.bmp"),
                "candidates": [{"id": "a/2.png", "distance": 0, "exact": True}],
                "problem": None,
            }
        ]
    }


def test_a_folder_around_one_folder_of_pictures_is_looked_in(negmerge: Command, place: Path) -> None:
    write_folder(place / "wrap", {f"me/{n}.png": saved(tile) for n, tile in enumerate(TILES)})
    done = negmerge("match", place / "wrap", place / "me.bmp")
    assert json.loads(done.stdout) == {"ids": ["2.png"]}


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_where_no_picture_can_be_read_it_ends_as_wrong_input_and_gives_no_ids(
    negmerge: Command, place: Path, flag: tuple[str, ...]
) -> None:
    write_zip(place / "none.zip", {"README.txt": b"mine"})
    done = negmerge("match", place / "set.zip", place / "\u202eno.png", place / "none.zip", *flag)
    assert done.returncode == 2
    assert "none of these pictures can be read" in done.stderr
    assert '"ids"' not in done.stdout
    assert "none.zip' is an archive without pictures" in done.stdout + done.stderr


def test_how_many_could_not_be_read_is_told(negmerge: Command, place: Path) -> None:
    done = negmerge("match", place / "set.zip", place / "me.bmp", place / "\u202eno.png")
    assert "1 of 2 pictures cannot be read, and were not looked for" in done.stderr


def test_what_is_no_data_set_or_no_file_is_refused(negmerge: Command, place: Path) -> None:
    assert_refused(negmerge("match", place / "me.bmp", place / "me.jpg"), "archive")
    assert_refused(negmerge("match", place / "set.zip", place / "absent.jpg"), "absent.jpg", "is no file")


def test_of_a_picture_that_is_there_exactly_nothing_that_merely_looks_like_it_is_taken(
    negmerge: Command, tmp_path: Path
) -> None:
    """The same picture as PNG and as JPEG: whose pixels are asked for is one of them."""
    members = {"a/same.png": saved(TILES[2]), "a/alike.jpg": saved(TILES[2], "JPEG")}
    write_zip(tmp_path / "set.zip", members | {"b/0.png": saved(TILES[0]), "b/1.png": saved(TILES[1])})
    (tmp_path / "me.bmp").write_bytes(saved(TILES[2], "BMP"))
    done = negmerge("match", tmp_path / "set.zip", tmp_path / "me.bmp")
    assert "a/alike.jpg (distance " in done.stderr
    assert json.loads(done.stdout) == {"ids": ["a/same.png"]}
