"""gzip as the standard library reads it, but for what makes that slow."""

import bz2
import gzip
import io
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.data.gunzip import Gunzipped


def unpacked(content: bytes, size: int = 1000) -> bytes:
    stream, pieces = Gunzipped(io.BytesIO(content)), []
    while piece := stream.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


@given(
    members=st.lists(st.binary(max_size=5000), min_size=1, max_size=5),
    padding=st.integers(0, 20_000),
    size=st.integers(1, 10_000),
)
def test_members_and_padding_are_read_as_the_standard_library_reads_them(
    members: list[bytes], padding: int, size: int
) -> None:
    content = b"".join(gzip.compress(member) + bytes(padding) for member in members)
    assert unpacked(content, size) == gzip.decompress(content) == b"".join(members)


@given(content=st.binary(max_size=200), keep=st.integers(0, 60))
def test_whatever_the_bytes_are_it_ends_and_takes_no_more_than_the_standard_library(content: bytes, keep: int) -> None:
    damaged = gzip.compress(b"a" * 100)[:keep] + content
    with suppress(EOFError, zlib.error):
        assert unpacked(damaged) == gzip.decompress(damaged)


@pytest.mark.parametrize("lost", [1, 4, 8, 12])
def test_what_is_cut_off_within_a_member_is_an_error(lost: int) -> None:
    with pytest.raises(EOFError, match="ends within a member"):
        unpacked(gzip.compress(b"a" * 100)[:-lost])


def test_a_wrong_checksum_is_an_error() -> None:
    content = bytearray(gzip.compress(b"a" * 100))
    content[-5] ^= 1
    with pytest.raises(zlib.error, match="incorrect data check"):
        unpacked(bytes(content))


def test_what_is_no_gzip_behind_a_member_is_an_error() -> None:
    with pytest.raises(zlib.error):
        unpacked(gzip.compress(b"a") + bz2.compress(b"b"))


def test_a_thousand_members_may_hold_nothing_and_one_more_may_not() -> None:
    nothing = gzip.compress(b"")
    assert unpacked(nothing * 1000) == b""
    with pytest.raises(EOFError, match="1001 members with next to nothing"):
        unpacked(nothing * 1001)


def test_any_number_of_members_may_hold_four_kibibytes() -> None:
    assert len(unpacked(gzip.compress(bytes(4096)) * 1500)) == 1500 * 4096


def test_padding_is_read_in_pieces() -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    file = Counted(gzip.compress(b"a") + bytes(10**6))
    stream = Gunzipped(file)
    assert [stream.read(10), stream.read(10)] == [b"a", b""]
    assert file.reads < 200
