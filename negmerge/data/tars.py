"""The members of a tar or tar.gz, strictly front to back. No torch.

``tarfile`` reads a header of any size into memory, keeps every member, and takes a damaged header for the end
of the archive, so that a loss would go unnoticed. Here only its header parser is used.
"""

import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from negmerge.data.gunzip import Gunzipped
from negmerge.data.members import Limits, Member, Meter, Place, raise_if_system_failed, safe_name
from negmerge.errors import ArchiveError
from negmerge.naming import shown

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 256 * 2**10
_MAX_EXTENSION = 64 * 2**10
"""Largest extended header (a long name, pax records)."""

_CUT_OFF = "the archive is cut off or damaged: pack or send it again"
_NO_ARCHIVE = "the file is not an archive that can be read: pack the folder as zip, tar or tar.gz"
_OF_ONE_MEMBER = frozenset({b"path", b"size", b"hdrcharset"})
_OTHER_KINDS = (b"GNU.sparse", b"SUN.holesdata", b"SCHILY.realsize", b"SCHILY.offset")
"""How pax records of one member begin that make it a sparse file, or a part of one, to the tars that know them."""
_OTHER_TYPES = (b"SCHILY.filetype", b"SCHILY.tarfiletype", b"linkpath")
"""Those that make a link, or whatever, of a plain file."""
_DIRECTORIES = (tarfile.DIRTYPE, b"D")
_NUMBER = re.compile(rb" *[0-7]*[ \0]*|[\x80\xff].*", re.DOTALL)
"""A field of a header (POSIX.1-1988), or GNU's for large ones; ``tarfile`` takes what ``int(…, 8)`` does, as 0o7."""


def begins_a_tar(start: bytes) -> bool:
    """Whether the first 512 bytes are a tar's header, an old one's too: its checksum is right."""
    try:
        tarfile.TarInfo.frombuf(start[:_BLOCK], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def tar_members(path: Path, limits: Limits, meter: Meter | None = None) -> Iterator[Member]:
    """Each regular file in turn. Raises ArchiveError for anything else but folders, and for damage.

    meter: that of several tars, which are one data set.
    """
    meter = meter or Meter(limits)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = _Stream(file, packed, meter)
        said: dict[bytes, bytes] = {}  # by extended headers, of the next member
        while header := stream.header():
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                _add(said, _of_next(stream.extension(header.size)))
            elif header.type == tarfile.XGLTYPE:
                _check_global(stream.extension(header.size))
            elif header.type == tarfile.GNUTYPE_LONGNAME:
                _add(said, [(b"path", stream.extension(header.size).split(b"\0", 1)[0])])
            else:
                if b"path" in said:
                    _check_is_one_kind(header, stream, said[b"path"])
                    header.name = said[b"path"].decode(errors="surrogateescape")
                if b"size" in said:
                    header.size = int(said[b"size"])
                said = {}
                yield from _member(header, stream)
        if said:
            raise ArchiveError(_CUT_OFF)
        stream.finish()
    meter.packed_before = meter.packed or 0


def _member(header: tarfile.TarInfo, stream: "_Stream") -> Iterator[Member]:
    """The member that the header announces, if it is a file; leaves the stream behind its data."""
    stream.meter.count_member()
    name = safe_name(header.name)
    if header.type in _DIRECTORIES:
        if header.size:  # some readers would pass over so many bytes, and some would read members there
            raise ArchiveError(f"{shown(name)} is a folder of {header.size} bytes: pack it again")
    elif header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
        raise ArchiveError(f"{shown(name)} is a link, a device or a sparse file: pack plain files only")
    elif header.name.endswith("/"):
        raise ArchiveError(_two_kinds(name))
    elif not name:
        raise ArchiveError("the archive holds a file without a name: pack it again")
    else:
        stream.open_data(header.size)
        yield Member(name, partial(stream.data, name), partial(Place, stream.position, header.size))
        stream.close_data()


def _check_is_one_kind(header: tarfile.TarInfo, stream: "_Stream", path: bytes) -> None:
    """Raise ArchiveError where the header's own name makes a folder of it, and the one in the header before a file."""
    if stream.type == tarfile.AREGTYPE and header.isdir() and not path.endswith(b"/"):
        raise ArchiveError(_two_kinds(safe_name(path.decode(errors="surrogateescape"))))


def _two_kinds(name: str) -> str:
    return f"{shown(name)} is a file to some readers and a folder to others: pack it again"


class _Stream:
    """Reads a tar's blocks in order, and counts every byte that comes out of the packing."""

    def __init__(self, file: BinaryIO, packed: bool, meter: Meter) -> None:
        self.meter = meter
        self._file = file
        self._source: Gunzipped | BinaryIO = Gunzipped(file) if packed else file
        self.type = b""
        """The last header's, as it stands there; ``tarfile`` makes a folder of an old one whose name ends so."""
        self.position = 0
        """How many bytes have come out of the packing."""
        self._begun = False
        self._left = 0  # data of the current member that was not read yet
        self._padding = 0

    def header(self) -> tarfile.TarInfo | None:
        """The next header, or None at the end mark."""
        block = self._exactly(_BLOCK)
        if block.count(0) == _BLOCK:
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError):
            raise ArchiveError(_CUT_OFF if self._begun else _NO_ARCHIVE) from None
        self._begun = True
        self.type = block[156:157]
        if not (_NUMBER.fullmatch(block, 124, 136) and _NUMBER.fullmatch(block, 148, 156)):  # size and checksum
            raise ArchiveError("the archive has a number that readers of tars read differently: pack it again")
        return header

    def extension(self, size: int) -> bytes:
        """The content of an extended header."""
        self.meter.count_member()
        if not 0 <= size <= _MAX_EXTENSION:
            raise ArchiveError(f"the archive has an extended header of {size} bytes: pack it again")
        data = self._exactly(size)
        self._exactly(-size % _BLOCK)
        return data

    def open_data(self, size: int) -> None:
        if size < 0:
            raise ArchiveError(_CUT_OFF)
        self._left, self._padding = size, -size % _BLOCK

    def data(self, name: str) -> Iterator[bytes]:
        """The current member's content."""
        self.meter.check_file(name, self._left)
        yield from self._rest()

    def close_data(self) -> None:
        """Pass over what is left of the current member."""
        for _ in self._rest():
            pass
        self._exactly(self._padding)

    def _rest(self) -> Iterator[bytes]:
        while self._left:
            chunk = self._exactly(min(_CHUNK, self._left))
            self._left -= len(chunk)
            yield chunk

    def finish(self) -> None:
        """Read what follows the end mark: zeros only, and the packing's own checksum."""
        while rest := self._some(_CHUNK):
            if rest.count(0) != len(rest):
                raise ArchiveError("the archive goes on after its end mark: pack everything as one tar")

    def _exactly(self, size: int) -> bytes:
        """``size`` bytes, in chunks that are counted before the next is read."""
        chunks = []
        while size:
            chunk = self._some(min(_CHUNK, size))
            if not chunk:
                raise ArchiveError(_CUT_OFF)
            size -= len(chunk)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _some(self, size: int) -> bytes:
        try:
            chunk = self._source.read(size)
        except (EOFError, OSError, zlib.error) as error:
            raise_if_system_failed(error)
            raise ArchiveError(_CUT_OFF) from None
        # What is not packed counts as well: of several tars that are one data set some may be.
        self.meter.packed = self.meter.packed_before + self._file.tell()
        self.meter.count_bytes(len(chunk))
        self.position += len(chunk)
        return chunk


def _of_next(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The path and size among the pax records of the next member. Others, such as times, are passed over."""
    for key, value in _records(data):
        if key.startswith(_OTHER_KINDS):
            raise ArchiveError("the archive holds a sparse file: pack it without --sparse")
        if key in _OTHER_TYPES:
            told = shown(key.decode())
            raise ArchiveError(f"the archive has a header that makes a link of a file ({told}): pack it again")
        if key == b"hdrcharset":
            raise ArchiveError(
                "the archive says its names' encoding in a header of its own: pack it with names in UTF-8"
            )
        if key == b"size" and not re.fullmatch(rb"\d{1,19}", value):
            raise ArchiveError(_CUT_OFF)
        if key in (b"path", b"size"):
            yield key, value


def _add(said: dict[bytes, bytes], more: Iterable[tuple[bytes, bytes]]) -> None:
    """Take in what a header says of the next member. Raises ArchiveError for what is said twice, or not at all.

    Readers differ in which of two counts, and in what an empty one means.
    """
    for key, value in more:
        if key in said or not value:
            told = shown(key.decode())
            raise ArchiveError(
                f"the archive has headers that give one file two {told}s, or an empty one: pack it again"
            )
        said[key] = value


def _check_global(data: bytes) -> None:
    """Raise ArchiveError where a header for all members says what one of them is; git's commit id and the like pass.

    Some readers obey such a header and some do not, so no two need to find the same files.
    """
    for key, _ in _records(data):
        if key in _OF_ONE_MEMBER or key in _OTHER_TYPES or key.startswith(_OTHER_KINDS):
            told = shown(key.decode(errors="replace"))
            raise ArchiveError(f"the archive has a header that gives all its files one {told}: pack it again")


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each pax record (``length key=value\\n``, POSIX.1-2001)."""
    position = 0
    while position < len(data):
        match = re.match(rb"(\d{1,6}) ([^=\n]+)=", data[position : position + 256])
        length = int(match[1]) if match else 0
        record = data[position : position + length]
        if match is None or length <= match.end() or len(record) < length or record[-1:] != b"\n":
            raise ArchiveError(_CUT_OFF)
        yield match[2], record[match.end() : -1]
        position += length
