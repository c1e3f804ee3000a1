"""Names of classes and files: in either of Unicode's forms, alike to the eye, unseen, in whatever encoding of a zip."""

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from negmerge.data.archives import Index, index_archive
from negmerge.errors import ArchiveError
from tests.support.archive_files import Files, folders, png, write_zip


def indexed(tmp_path: Path, files: Files) -> Index:
    return index_archive(write_zip(tmp_path / "a.zip", files))


# Classes' names.

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_two_files_whose_names_differ_in_unicodes_form_only_are_both_named(tmp_path: Path) -> None:
    files = folders(f"cat/{COMPOSED}.png", f"cat/{DECOMPOSED}.png", "dog/1.png")
    with pytest.raises(ArchiveError, match="differ in Unicode's form only: remove or rename one") as caught:
        indexed(tmp_path, files)
    assert all(ascii(f"cat/{name}.png") in str(caught.value) for name in (COMPOSED, DECOMPOSED))


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path: Path) -> None:
    index = indexed(tmp_path, folders(f"train/{COMPOSED}/1.png", f"test/{DECOMPOSED}/2.png", "train/dog/3.png"))
    assert index.classes == (COMPOSED, "dog")


@pytest.mark.parametrize(
    "pair", [("Cat", "cat"), ("traffic light", "traffic  light"), ("cat", "cat "), ("ﬁsh", "fish")]
)
def test_names_that_nobody_can_tell_apart_are_both_named(tmp_path: Path, pair: tuple[str, str]) -> None:
    with pytest.raises(ArchiveError, match="differ only in case, spaces or the form of a letter") as caught:
        indexed(tmp_path, folders(*(f"{name}/{number}.png" for number, name in enumerate(pair))))
    assert all(f"'{name}'" in str(caught.value) for name in pair)


@pytest.mark.parametrize("name", [" ice cream", "ice cream "])
def test_a_class_whose_name_begins_or_ends_with_a_space_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ArchiveError, match=f"the class '{name}' begins or ends with a space: take it out of the folder"
    ):
        indexed(tmp_path, folders("hot dog/1.png", f"{name}/2.png"))


@pytest.mark.parametrize("name", ["a\u202eb", "a\u200bb", "x" * 201], ids=ascii)
def test_a_class_whose_name_cannot_be_seen_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="needs another name: at most 200 characters that can all be seen"):
        indexed(tmp_path, folders("dog/1.png", f"{name}/2.png"))


# Names in zips.


UNIX, WINDOWS = 3, 0


def packed(tmp_path: Path, name: bytes, system: int, extra: bytes = b"") -> Path:
    """A zip with a file of this name and no mark that it is UTF-8, beside one of another class."""
    path = tmp_path / "a.zip"
    plain = "dog/x.png"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", png())
        entry = zipfile.ZipInfo(plain + (len(name) - len(plain)) * "x")
        entry.extra = extra
        entry.create_system = system
        archive.writestr(entry, png())
    path.write_bytes(path.read_bytes().replace(entry.filename.encode(), name))
    return path


def test_an_unmarked_name_that_is_utf_8_is_read_as_that(tmp_path: Path) -> None:
    assert index_archive(packed(tmp_path, "犬/1.png".encode(), UNIX)).classes == ("cat", "犬")


@pytest.mark.parametrize(
    ("name", "encoding", "system"),
    [
        ("学校/1", "gbk", WINDOWS),
        ("学校/1", "cp932", WINDOWS),
        ("学校/1", "cp932", UNIX),
        ("été/1.jpg", "cp437", WINDOWS),
    ],
)
def test_a_name_in_an_encoding_that_nobody_says_is_refused(
    tmp_path: Path, name: str, encoding: str, system: int
) -> None:
    with pytest.raises(ArchiveError, match="has a name in an encoding that the archive does not say: pack it again"):
        index_archive(packed(tmp_path, f"{name}.png".encode(encoding), system))


def test_the_unicode_extra_field_says_the_name(tmp_path: Path) -> None:
    name = "学校/12.png".encode("cp932")
    field = struct.pack("<BL", 1, zlib.crc32(name)) + "学校/12.png".encode()
    index = index_archive(packed(tmp_path, name, WINDOWS, struct.pack("<HH", 0x7075, len(field)) + field))
    assert index.classes == ("cat", "学校")
