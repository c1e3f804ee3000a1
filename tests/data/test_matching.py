"""A person's pictures in a data set on this machine."""

from pathlib import Path

import pytest

from negmerge.data.matching import TooManyFiles, UnusableFile, hash_wanted, match
from negmerge.data.members import Limits
from negmerge.errors import DataError
from tests.data.test_hashes import TILES, saved
from tests.support.archive_files import WRITERS, write_folder, write_tar_gz, write_zip

SET = {f"around/{'ab'[n % 2]}/{n:02}.png": saved(tile) for n, tile in enumerate(TILES)}


@pytest.mark.parametrize("write", WRITERS)
def test_pictures_are_found_in_any_archive_or_folder_by_their_ids(write: object, tmp_path: Path) -> None:
    dataset = write(tmp_path / "set", SET)  # type: ignore[operator]
    files = write_folder(tmp_path / "files", {"same.bmp": saved(TILES[2], "BMP"), "like.jpg": saved(TILES[5], "JPEG")})

    found = match(dataset, [files / "same.bmp", files / "like.jpg"])

    assert [one.file for one in found] == [str(files / "same.bmp"), str(files / "like.jpg")]
    assert [[(near.id, near.exact) for near in one.candidates] for one in found] == [
        [("a/02.png", True)],
        [("b/05.png", False)],
    ]
    assert found[0].candidates[0].distance == 0 < found[1].candidates[0].distance


@pytest.mark.parametrize("write", [write_zip, write_tar_gz])
def test_an_archive_of_pictures_is_so_many_pictures(write: object, tmp_path: Path) -> None:
    files = {
        "me.png": saved(TILES[1]),
        "__MACOSX/._me.png": b"x",
        "notes.txt": b"hello",
        "deep/er/you.png": saved(TILES[7]),
    }
    album = write(tmp_path / "album", files)  # type: ignore[operator]

    found = dict(hash_wanted([("my album", album)], Limits(), 10))

    assert set(found) == {"my album/me.png", "my album/notes.txt", "my album/deep/er/you.png"}
    assert isinstance(found["my album/notes.txt"], str)


def test_what_is_no_picture_is_told_beside_the_others(tmp_path: Path) -> None:
    dataset = write_zip(tmp_path / "set", SET)
    files = write_folder(tmp_path / "files", {"me.heic": b"\0\0\0\x18ftypheic" + bytes(20), "me.png": saved(TILES[0])})

    first, second = match(dataset, [files / "me.heic", files / "me.png"])

    assert first.candidates == []
    assert first.problem is not None
    assert "HEI" in first.problem
    assert (second.problem, second.candidates[0].id) == (None, "a/00.png")


def test_more_pictures_than_may_be_are_refused_before_they_are_all_read(tmp_path: Path) -> None:
    album = write_zip(tmp_path / "album", {f"{n}.png": b"" for n in range(12)})
    with pytest.raises(TooManyFiles, match="more than 11 pictures"):
        hash_wanted([("album", album)], Limits(), 11)


def test_a_folder_or_a_pipe_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no file"):
        hash_wanted([("folder", tmp_path)], Limits(), 5)


@pytest.mark.parametrize("write", [write_zip, write_tar_gz])
def test_an_archive_that_cannot_be_used_is_named_among_the_others(write: object, tmp_path: Path) -> None:
    good = write_zip(tmp_path / "good.zip", {"me.png": saved(TILES[1])})
    cut = write(tmp_path / "cut", {"me.png": saved(TILES[1])})  # type: ignore[operator]
    cut.write_bytes(cut.read_bytes()[:-40])
    climbing = write(tmp_path / "climbing", {"../me.png": b""})  # type: ignore[operator]
    for number, bad in ((1, cut), (2, climbing)):
        files = [("good.zip", good)] * number + [(bad.name, bad)]
        with pytest.raises(UnusableFile, match=f"^'{bad.name}': ") as caught:
            hash_wanted(files, Limits(), 10)
        assert caught.value.number == number


def test_an_archive_without_a_picture_is_told_beside_the_others(tmp_path: Path) -> None:
    files = {"empty.zip": {}, "litter.zip": {".DS_Store": b"", "README.txt": b"mine"}, "one.zip": {"1.png": b"x"}}
    paths = [(name, write_zip(tmp_path / name, held)) for name, held in files.items()]
    told = dict(hash_wanted(paths, Limits(), 10))
    assert told["empty.zip"] == "'empty.zip' is an archive without pictures: nothing was looked for"
    assert told["litter.zip"] == "'litter.zip' is an archive without pictures: nothing was looked for"
    assert "is not an image" in told["one.zip/1.png"]


def test_an_archive_that_inflates_is_refused(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path / "bomb", {"a.png": bytes(40_000_000)}, 8)
    with pytest.raises(UnusableFile, match="200 times"):
        hash_wanted([("bomb", bomb)], Limits(), 5)


def test_a_picture_of_too_many_pixels_is_told_by_its_header(tmp_path: Path) -> None:
    files = write_folder(tmp_path, {"a.png": saved(TILES[0])})
    [(_, told)] = hash_wanted([("a.png", files / "a.png")], Limits(pixels=100), 5)
    assert isinstance(told, str)
    assert "more than 100" in told
