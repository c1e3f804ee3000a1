"""Archives that would climb out, link away, blow up or lie; and those that the way here has damaged."""

import errno
import gzip
import io
import os
import random
import re
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import pytest

from negmerge.data.archives import index_archive, read_samples
from negmerge.data.members import Limits
from negmerge.data.zips import zip_members
from negmerge.errors import ArchiveError, CheckpointError
from negmerge.formats.headers import read_header
from tests.support.archive_files import (
    PAIR,
    WRITERS,
    Files,
    folders,
    ids,
    patched,
    png,
    refusal,
    write_folder,
    write_tar,
    write_tar_gz,
    write_zip,
)

# Names and kinds of members


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../cat/1.png", "climbs out"),
        ("cat/../../1.png", "climbs out"),
        ("/cat/1.png", "absolute"),
        ("C:/cat/1.png", "absolute"),
        ("cat\\1.png", "backslash"),
        ("cat/\n1.png", "control characters"),
        ("cat/" + "x" * 1100 + ".png", "more than 1024 characters"),
    ],
)
@pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz])
def test_names_that_could_leave_the_folder_are_refused(
    write: Callable[[Path, Files], Path], name: str, message: str, tmp_path: Path
) -> None:
    assert message in refusal(write(tmp_path / "a", {**PAIR, name: png()}))


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", {**PAIR, "cat/1.png_evil": png()})
    path.write_bytes(path.read_bytes().replace(b"png_evil", b"png\0evil"))
    assert "control characters" in refusal(path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a", folders("cat/1.png", "dog/\udcff.png"))
    assert "pack it with names in UTF-8" in refusal(path)
    with tarfile.open(tmp_path / "gnu", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("dog/\udcff.png"))
    assert "broken UTF-8" in refusal(tmp_path / "gnu")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("cat/2.png")
    header.type, header.linkname = kind, "../../etc/passwd"
    assert "'cat/2.png' is a link, a device" in refusal(write_tar(tmp_path / "a", PAIR, extra=[header]))


def test_a_sparse_file_in_a_tar_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("cat/2.png")
    header.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"}
    assert "sparse" in refusal(write_tar(tmp_path / "a", PAIR, extra=[header]))


@pytest.mark.parametrize("kind", [0o120000, 0o020000, 0o010000])
def test_links_and_devices_in_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(write_zip(tmp_path / "a", PAIR), "a") as archive:
        entry = zipfile.ZipInfo("cat/2.png")
        entry.external_attr = (kind | 0o644) << 16
        archive.writestr(entry, "../../etc/passwd")
    assert "'cat/2.png' is a link or a device" in refusal(tmp_path / "a")


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", PAIR)
    (folder / "cat" / "2.png").symlink_to("/etc/hostname")
    assert "'cat/2.png' is a link" in refusal(folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_name_that_is_there_twice_is_refused(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a", {**PAIR, "./cat/1.png": png(9)})
    assert "'cat/1.png' is in the archive twice" in refusal(path)


def test_names_that_differ_in_case_are_two_samples(tmp_path: Path) -> None:
    assert ids(index_archive(write_zip(tmp_path / "a", folders("a/X.png", "a/x.png", "b/1.png")))) == [
        "a/X.png",
        "a/x.png",
        "b/1.png",
    ]


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted" in refusal(path)


def test_a_zip_packed_with_an_uncommon_method_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR, zipfile.ZIP_LZMA)
    assert "use deflate or store" in refusal(path)


# Damage


@pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz])
def test_an_archive_that_is_cut_off_anywhere_is_refused(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    content = write(tmp_path / "whole", PAIR).read_bytes()
    end = len(content) if write is not write_tar else 5 * 512  # four blocks and the end mark; then padding
    for size in range(4, end, max(1, end // 40)):
        (tmp_path / "cut").write_bytes(content[:size])
        assert refusal(tmp_path / "cut")


def test_a_tar_that_ends_between_two_members_is_cut_off(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a", PAIR)
    path.write_bytes(path.read_bytes()[: 4 * 512])
    assert "cut off" in refusal(path)


def test_a_damaged_header_in_the_middle_of_a_tar_is_no_end(tmp_path: Path) -> None:
    path = patched(write_tar(tmp_path / "a", {**PAIR, "dog/2.png": png()}), b"dog/2.png", b"dog/3.png")
    assert "cut off or damaged" in refusal(path)


def test_what_follows_the_end_of_a_tar_is_not_lost_silently(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a", PAIR)
    path.write_bytes(path.read_bytes() * 2)
    assert "goes on after its end mark" in refusal(path)


def test_a_gzip_with_a_wrong_checksum_is_damaged(tmp_path: Path) -> None:
    path = write_tar_gz(tmp_path / "a", PAIR)
    content = path.read_bytes()
    path.write_bytes(content[:-8] + struct.pack("<L", zlib.crc32(b"else")) + content[-4:])
    assert "damaged" in refusal(path)


def test_a_zip_entry_with_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR)
    patched(path, PAIR["dog/1.png"][-4:], b"oops", last=True)
    assert "'dog/1.png' is damaged" in refusal(path)


def test_a_zip_whose_directory_lies_about_a_name_is_refused(tmp_path: Path) -> None:
    path = patched(write_zip(tmp_path / "a", PAIR), b"dog/1.png", b"dog/2.png", last=True)
    assert "'dog/2.png' is damaged" in refusal(path)


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_zip_whose_directory_lies_about_a_size_is_refused(change: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    struct.pack_into("<L", content, place, struct.unpack_from("<L", content, place)[0] + change)
    path.write_bytes(content)
    assert "is damaged" in refusal(path)


def test_zip_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """The bomb of Fifield (2019): many entries in the directory, one stretch of packed bytes."""
    path = write_zip(tmp_path / "a", PAIR)
    content = path.read_bytes()
    records = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    copy = content[records:end].replace(b"1.png", b"2.png")
    tail = bytearray(content[end:])
    struct.pack_into("<HHL", tail, 8, 4, 4, 2 * (end - records))
    path.write_bytes(content[:end] + copy + tail)
    assert "overlaps" in refusal(path)


def by_hand(path: Path, *entries: tuple[bytes, bytes, int, int]) -> Path:
    """A zip of stored entries: name, content, bytes of extra field in the local header, and how far on the next one is.

    0 is right behind the content, as all writers put it.
    """
    files, directory = b"", b""
    for name, content, extra, on in entries:
        common = struct.pack(
            "<HHHHHLLLH", 20, 0x800, 0, 0, 0, zlib.crc32(content), len(content), len(content), len(name)
        )
        record = struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, len(files))
        directory += b"PK\x01\x02\x14\x03" + common + struct.pack("<H", 0) + record + name
        file = b"PK\x03\x04" + common + struct.pack("<H", extra) + name
        files += file[:on] if on else file + bytes(extra) + content
    end = struct.pack("<4H2LH", 0, 0, len(entries), len(entries), len(directory), len(files), 0)
    path.write_bytes(files + directory + b"PK\x05\x06" + end)
    return path


CAT, DOG = ((name.encode(), content, 0, 0) for name, content in PAIR.items())


def test_a_zip_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    assert "holds a file without a name: pack it again" in refusal(by_hand(tmp_path / "a", CAT, DOG, (b"", b"", 0, 0)))


def test_a_zip_entry_that_is_called_a_folder_and_has_content_is_refused(tmp_path: Path) -> None:
    told = refusal(by_hand(tmp_path / "a", CAT, DOG, (b"dog/2.png/", png(), 0, 0)))
    assert f"'dog/2.png' is a folder of {len(png())} bytes: pack it again" in told


def test_empty_folders_in_a_zip_are_none_of_its_files(tmp_path: Path) -> None:
    assert len(index_archive(by_hand(tmp_path / "a", CAT, (b"dog/", b"", 0, 0), DOG)).samples) == 2


def test_a_folder_by_its_type_that_is_a_file_by_its_name_is_refused(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "a", CAT, DOG)
    patched(path, struct.pack("<L", 0o100644 << 16), struct.pack("<L", 0o040755 << 16), last=True)
    assert "'dog/1.png' is a file to some readers and a folder to others" in refusal(path)


def test_zip_entries_that_share_their_bytes_behind_long_headers_are_refused(tmp_path: Path) -> None:
    """By the directory's sizes they lie apart; each has an extra field that reaches as far as the same content."""
    content = PAIR["cat/1.png"]
    second = 30 + len(content) + 50
    first = second + 30 + len(b"dog/1.png") + 20 - 30 - len(b"cat/1.png")
    path = by_hand(tmp_path / "a", (b"cat/1.png", content, first, second), (b"dog/1.png", content, 20, 0))
    assert "'cat/1.png' overlaps another file" in refusal(path)


def test_an_entry_that_vanished_since_indexing_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR)
    with pytest.raises(ArchiveError, match=r"'cat/9\.png' is not in the archive any more"):
        list(read_samples(path, ["cat/9.png"]))


# A disk that fails is no damage


class FailingDisk(io.FileIO):
    """A file whose disk gives nothing beyond its first bytes; a zip's directory, at the end, can still be read."""

    good, tail = 10, 0

    def readinto(self, buffer: Any) -> int:
        if self.good < self.tell() < self.tail:
            raise OSError(errno.EIO, "Input/output error", "/a/private/path")
        count: int = super().readinto(buffer)
        return count


@pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz])
def test_a_disk_that_fails_is_told_apart_from_damage_and_may_pass(
    write: Callable[[Path, Files], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "data", {**PAIR, "dog/2.png": random.Random(0).randbytes(200_000)})

    class OnAFailingDisk(PosixPath):
        def open(self, *_args: Any, **_options: Any) -> Any:
            disk = FailingDisk(path)
            disk.tail = path.stat().st_size - 1000
            return io.BufferedReader(disk, 512)

    with pytest.raises(ArchiveError) as raised:
        index_archive(OnAFailingDisk(path))
    assert str(raised.value) == "the archive could not be read (Input/output error): try again"
    assert isinstance(raised.value.__cause__, OSError)


# Limits, counted while inflating


@pytest.mark.parametrize("write", WRITERS)
def test_too_many_files_are_refused(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    path = write(tmp_path / "data", folders("a/1.png", "b/1.png", "b/2.png"))
    assert "more than 2 files" in refusal(path, Limits(files=2))


@pytest.mark.parametrize("write", WRITERS)
def test_too_many_bytes_are_refused(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    assert "more than 100 bytes" in refusal(write(tmp_path / "data", PAIR), Limits(bytes=100))


@pytest.mark.parametrize("write", WRITERS)
def test_a_single_file_that_is_too_large_is_named(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    path = write(tmp_path / "data", {**PAIR, "dog/2.png": bytes(5000)})
    assert "'dog/2.png' is larger than 4000 bytes" in refusal(path, Limits(file_bytes=4000))


@pytest.mark.parametrize("write", WRITERS)
def test_an_image_of_too_many_pixels_is_named(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    path = write(tmp_path / "data", {**PAIR, "dog/2.png": png(size=(50, 40))})
    assert "'dog/2.png' has 50 × 40 pixels, more than 1999: save it smaller, or remove it" in refusal(
        path, Limits(pixels=1999)
    )


@pytest.mark.parametrize("side", [12_000, 20_000, 2**31 - 1])
def test_a_picture_that_claims_to_be_vast_is_refused_in_words(side: int, tmp_path: Path) -> None:
    """Beyond Pillow's own warning (89 million pixels), beyond its error (twice as many), and as vast as PNG can be."""
    header = struct.pack(">LL5B", side, side, 8, 0, 0, 0, 0)
    chunk = struct.pack(">L", 13) + b"IHDR" + header + struct.pack(">L", zlib.crc32(b"IHDR" + header))
    vast = png()[:8] + chunk + png()[33:]
    told = refusal(write_zip(tmp_path / "a", {**PAIR, "dog/2.png": vast}))
    assert re.search(r"'dog/2\.png' has .*more than 89478485( pixels)?: save it smaller, or remove it", told)


@pytest.mark.slow
def test_a_zip_that_inflates_without_end_is_refused_early(tmp_path: Path) -> None:
    bomb = {f"cat/{number}.bin": bytes(8 * 2**20) for number in range(8)}
    path = write_zip(tmp_path / "a", {**PAIR, **bomb}, zipfile.ZIP_DEFLATED)
    assert "more than 200 times its size" in refusal(path)


def test_what_is_never_unpacked_earns_a_bomb_no_room(tmp_path: Path) -> None:
    """Ballast before the bomb, passed over unread: its packed bytes do not count for the bomb's ratio."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ballast", bytes(2**20))
        archive.writestr("bomb", bytes(24 * 2**20), zipfile.ZIP_DEFLATED)
    for member in zip_members(tmp_path / "a.zip", Limits()):
        if member.name == "bomb":
            with pytest.raises(ArchiveError, match="more than 200 times its size"):
                member.read()
            break
    else:
        pytest.fail("the bomb was not reached")


@pytest.mark.slow
def test_a_gzip_that_inflates_without_end_is_refused_early_and_in_little_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a", "wb") as packed:
        header = tarfile.TarInfo("cat/1.bin")
        header.size = 2**40
        packed.write(header.tobuf())
        for _ in range(64):
            packed.write(bytes(2**20))
    tracemalloc.start()
    message = refusal(tmp_path / "a", Limits(file_bytes=2**50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 200 times its size" in message
    assert peak < 24 * 2**20


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError, match="'pipe' is no file: give an archive or a folder"):
        index_archive(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is no file: name a safetensors file"):
        read_header(tmp_path / "pipe")
