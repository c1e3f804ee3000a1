"""A zip that is made while it is sent: nothing is packed, as images and weights do not shrink, and nothing is held."""

import zipfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Member(NamedTuple):
    """A file of the zip: its name in it, its size in bytes, its content in pieces."""

    name: str
    size: int
    pieces: Iterable[bytes]


def zipped(members: Iterable[Member]) -> Iterator[bytes]:
    """The bytes of a zip of these members, as they come. Raises what a member's pieces raise.

    A size decides whether a member's header has room for 4 GiB and more; what the pieces give is what is written.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            large = member.size >= zipfile.ZIP64_LIMIT
            with archive.open(zipfile.ZipInfo(member.name), "w", force_zip64=large) as entry:
                for piece in member.pieces:
                    entry.write(piece)
                    yield sink.drain()
    yield sink.drain()


class _Sink:
    """What zipfile writes to. It has no ``tell`` and no ``seek``, so nothing written is ever changed again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def drain(self) -> bytes:
        """What was written since the last call."""
        written, self._written = b"".join(self._written), []
        return written
