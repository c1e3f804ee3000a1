"""A member as a stream: its bytes in pieces, counted as they come and judged behind the last one."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from negmerge.data.archives import archive_members
from negmerge.data.members import Limits
from negmerge.errors import ArchiveError
from tests.support.archive_files import Files, patched, write_tar, write_tar_gz, write_zip

BYTES = 2**20
LARGE = bytes(range(256)) * (BYTES // 256)
ARCHIVES = pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz])


def stream(path: Path, into: bytearray, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
    for member in archive_members(path, limits):
        for piece in member.open():
            into += piece


@ARCHIVES
def test_the_pieces_together_are_the_content(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    files = {"large": LARGE, ".hidden": b"a", "empty": b""}
    path = write(tmp_path / "a", files)
    assert {member.name: b"".join(member.open()) for member in archive_members(path, Limits())} == files


@ARCHIVES
def test_a_member_that_is_left_in_the_middle_does_not_disturb_the_next(
    write: Callable[[Path, Files], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "a", {"large": LARGE, "small": b"whole"})
    first, second = [next(member.open()) for member in archive_members(path, Limits())]
    assert len(first) < BYTES
    assert (LARGE[: len(first)], second) == (first, b"whole")


@ARCHIVES
def test_a_member_is_streamed_in_memory_that_does_not_grow_with_it(
    write: Callable[[Path, Files], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "a", {"vast": LARGE * 16})
    tracemalloc.start()
    for member in archive_members(path, Limits()):
        assert sum(map(len, member.open())) == 16 * BYTES
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * BYTES


@ARCHIVES
def test_a_piece_over_a_limit_never_comes(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    path, came = write(tmp_path / "a", {"large": LARGE}), bytearray()
    with pytest.raises(ArchiveError, match="unpacks to more than 600000 bytes"):
        stream(path, came, Limits(bytes=600_000))
    assert 0 < len(came) <= 600_000


def test_damage_of_a_zips_member_is_told_behind_what_came_before_it(tmp_path: Path) -> None:
    path = patched(write_zip(tmp_path / "a", {"large": LARGE}), LARGE[-8:], b"otherend", last=True)
    came = bytearray()
    with pytest.raises(ArchiveError, match="'large' is damaged"):
        stream(path, came)
    assert 0 < len(came) < BYTES
