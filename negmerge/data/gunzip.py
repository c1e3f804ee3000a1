"""What a gzip file holds, in time that its size bounds. No torch.

``gzip.GzipFile`` passes over padding byte by byte, 8 million a second, and starts anew for each of any number of
members that hold next to nothing.
"""

import zlib
from typing import BinaryIO

_CHUNK = 8 * 2**10
"""Packed bytes that are read at once: few, so that a bomb is noticed after few of its bytes."""

_GZIP = 31  # zlib's word for: a gzip header, and its checksum at the end

_FREE_MEMBERS = 1000
_BYTES_A_MEMBER = 4096
"""What each member beyond those must hold on average, unpacked; bgzip's hold 64 KiB each."""


class Gunzipped:
    """What the members of a gzip file hold, one after the other (RFC 1952); zeros behind each are padding."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._member = zlib.decompressobj(_GZIP)
        self._packed = b""
        self._members = 1
        self._bytes = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, and none at the end. Raises EOFError where cut off, zlib.error where damaged."""
        while not self._member.eof or self._next_member():
            packed = self._packed or self._file.read(_CHUNK)
            piece = self._member.decompress(packed, size)
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                self._bytes += len(piece)
                return piece
            if not packed:
                raise EOFError("the file ends within a member")
        return b""

    def _next_member(self) -> bool:
        """Pass over padding; whether another member begins behind it."""
        packed = self._packed or self._file.read(_CHUNK)
        while packed and not (begun := packed.lstrip(b"\0")):
            packed = self._file.read(_CHUNK)
        if not packed:
            return False
        self._members += 1
        if self._members > _FREE_MEMBERS + self._bytes // _BYTES_A_MEMBER:
            raise EOFError(f"the file holds {self._members} members with next to nothing in them")
        self._member, self._packed = zlib.decompressobj(_GZIP), begun
        return True
