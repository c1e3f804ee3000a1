"""A file that is no archive is called by what it is; what makes these files here is the library itself where it can."""

import bz2
import io
import json
import lzma
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from app.intake.weights import open_upload
from negmerge.data.archives import index_archive
from negmerge.errors import ArchiveError
from tests.support.archive_files import PAIR, png, write_tar


def image(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, form)
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def matlab() -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"a": np.zeros(3)})
    return buffer.getvalue()


OTHERS = {
    "png": (png(), "is one image: put images in a folder for each class"),
    "jpeg": (image("JPEG"), "is one image"),
    "webp": (image("WEBP"), "is one image"),
    "avif": (image("AVIF"), "is one image or a video"),
    "gif": (image("GIF"), "is one image"),
    "numpy": (array(), "is an array of numpy: write its images into a folder for each class"),
    "matlab": (matlab(), "is a file of MATLAB"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "is HDF5"),
    "pdf": (b"%PDF-1.7\n", "is a PDF"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the archive: fetch it"),
    "page": (b"<!DOCTYPE html><html>", "is a web page, not the archive: download it again"),
    "json": (b'{"images": []}', "is JSON: put images in a folder for each class"),
}


@pytest.mark.parametrize(("content", "told"), OTHERS.values(), ids=OTHERS)
def test_a_data_set_that_is_no_archive_is_called_by_its_name(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArchiveError) as caught:
        index_archive(tmp_path / "file")
    assert told in str(caught.value)


def test_a_database_is_called_by_its_name(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "file") as connection:
        connection.execute("CREATE TABLE images (content BLOB)")
    connection.close()
    with pytest.raises(ArchiveError, match="is a database of SQLite: write its images"):
        index_archive(tmp_path / "file")


def tar(tmp_path: Path) -> bytes:
    return write_tar(tmp_path / "plain", PAIR).read_bytes()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "packed by xz": lzma.compress,
    "packed by bzip2": bz2.compress,
    "a RAR archive": lambda content: b"Rar!\x1a\x07\x01\0" + content,
    "a 7z archive": lambda content: b"7z\xbc\xaf\x27\x1c\0\x04" + content,
    "packed by Zstandard": lambda content: b"\x28\xb5\x2f\xfd" + content,
}


def index(path: Path) -> Any:
    return index_archive(path)


def model(path: Path) -> Any:
    return open_upload(path, None, 2**30)


@pytest.mark.parametrize("read", [index, model])
@pytest.mark.parametrize("kind", PACKED)
def test_an_archive_of_another_kind_is_called_by_its_name(
    tmp_path: Path, kind: str, read: Callable[[Path], Any]
) -> None:
    (tmp_path / "file").write_bytes(PACKED[kind](tar(tmp_path)))
    with pytest.raises(ArchiveError, match=f"^the file is {kind}, which is not read here: pack the folder as zip, tar"):
        read(tmp_path / "file")


def test_a_tar_may_begin_with_a_member_of_any_name(tmp_path: Path) -> None:
    names = ["<a>/1.png", "GIF8/1.png"]
    path = write_tar(tmp_path / "file", {name: png(number) for number, name in enumerate(names)})
    assert [sample.id for sample in index_archive(path).samples] == names


def test_an_old_tar_may_too(tmp_path: Path) -> None:
    """One of Version 7 has no mark of its own but its checksum."""
    content = bytearray(write_tar(tmp_path / "new", {"{a}/1.png": png(1), "<b>/2.png": png(2)}, "w").read_bytes())
    for start in range(0, len(content), 512):
        if content[start + 257 : start + 262] == b"ustar":
            content[start + 257 : start + 512] = bytes(255)
            content[start + 148 : start + 156] = b" " * 8
            content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])
    (tmp_path / "file").write_bytes(content)
    assert [sample.id for sample in index_archive(tmp_path / "file").samples] == ["<b>/2.png", "{a}/1.png"]


@pytest.mark.parametrize("size", [0x9D1F, 0x685A42])
def test_weights_whose_length_looks_like_a_mark_are_weights(tmp_path: Path, size: int) -> None:
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [3, 1], "data_offsets": [0, 12]}}).encode()
    (tmp_path / "file").write_bytes(struct.pack("<Q", size) + header.ljust(size) + bytes(12))
    found = open_upload(tmp_path / "file", json.dumps({"architecture": "resnet18", "num_classes": 3}), 2**30)
    assert found.size == 8 + size + 12
