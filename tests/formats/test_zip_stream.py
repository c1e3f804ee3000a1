"""A zip that is made while it is sent is one that zipfile reads."""

import io
import zipfile
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from negmerge.formats.zip_stream import Member, zipped

NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=0x2FF, categories=["L"]), min_size=1, max_size=9)


@given(st.dictionaries(NAMES, st.lists(st.binary(max_size=50), max_size=4), max_size=4))
def test_zipfile_reads_each_member_back_in_order(members: dict[str, list[bytes]]) -> None:
    made = b"".join(zipped(Member(name, sum(map(len, pieces)), pieces) for name, pieces in members.items()))
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.testzip() is None
        assert [(one.filename, archive.read(one)) for one in archive.infolist()] == [
            (name, b"".join(pieces)) for name, pieces in members.items()
        ]


def test_a_piece_goes_out_before_the_next_one_is_asked_for() -> None:
    asked = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"one", b"two"):
            asked.append(piece)
            yield piece

    stream = zipped([Member("a", 6, pieces())])
    first = b""
    while b"one" not in first:
        first += next(stream)
    assert asked == [b"one"]


def test_a_member_that_may_have_four_gibibytes_has_room_for_it() -> None:
    made = b"".join(zipped([Member("large", 2**33, [b"x"])]))
    assert int.from_bytes(made[4:6], "little") == 45  # the version that knows ZIP64 (APPNOTE 4.4.3.2)
