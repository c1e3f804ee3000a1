"""The members of a zip, in the order in which they lie in the file. No torch.

``zipfile`` reads them; but it builds its whole list before anybody can count it, and (before 3.11.8) lets entries
share their bytes. So the directory is walked first, and the entries are checked to lie one behind the other.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from negmerge.data.members import Limits, Member, Meter, Place, raise_if_system_failed, safe_name
from negmerge.errors import ArchiveError
from negmerge.naming import shown

_FILE_HEADER = 30  # bytes before the name (APPNOTE 4.3.7)
_CHUNK = 256 * 2**10
_WINDOWS = 0
"""Of ``create_system`` (APPNOTE 4.4.2.2): MS-DOS, and whatever packs as it did."""
_PACKED_NOTHING = 5
"""Most bytes that deflate makes of none."""
_MAX_RECORD = 4 * 2**10
"""Largest name, extra field and comment of one entry, together."""

_CUT_OFF = "the archive is cut off or damaged: pack or send it again"
_ERRORS = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,  # a method or a version that zipfile does not know
    OSError,
    RuntimeError,
    ValueError,  # offsets before the file's beginning; names that are not UTF-8
    struct.error,
    zlib.error,
)


def zip_members(path: Path, limits: Limits) -> Iterator[Member]:
    """Each regular file in turn. Raises ArchiveError for anything else but folders, and for damage."""
    with path.open("rb") as file:
        _check_directory(file, limits)
        try:
            archive = zipfile.ZipFile(file)
        except _ERRORS as error:
            raise_if_system_failed(error)
            raise ArchiveError(_CUT_OFF) from None
        with archive:
            meter = Meter(limits)
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
            ends = [entry.header_offset for entry in entries[1:]] + [archive.start_dir]
            _check_apart(entries, ends)
            for entry, end in zip(entries, ends, strict=False):
                meter.count_member()
                name = _checked(entry)
                if not _is_folder(entry):
                    yield Member(
                        name, partial(_pieces, archive, entry, name, meter, end), partial(_place, archive, entry)
                    )


def _checked(entry: zipfile.ZipInfo) -> str:
    """The entry's name, if it is a plain file or a folder that can be read."""
    raw = _decoded_name(entry)
    name = safe_name(raw)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"{shown(name)} is a link or a device: pack plain files only")
    if entry.flag_bits & 0x2041:  # encrypted, strongly encrypted, encrypted directory (APPNOTE 4.4.4)
        raise ArchiveError(f"{shown(name)} is encrypted: pack it without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError(f"{shown(name)} is packed in a way that is not read here: use deflate or store")
    is_folder = _is_folder(entry)
    if raw.endswith("/") != is_folder or (kind == stat.S_IFDIR and not is_folder):
        raise ArchiveError(f"{shown(name)} is a file to some readers and a folder to others: pack it again")
    if is_folder and (entry.file_size or entry.compress_size > _PACKED_NOTHING):
        raise ArchiveError(f"{shown(name)} is a folder of {entry.file_size} bytes: pack it again")
    if not name and not is_folder:
        raise ArchiveError("the archive holds a file without a name: pack it again")
    return name


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    """By its name, as all readers tell it; ``is_dir`` of zipfile falls over an empty one."""
    return entry.orig_filename.endswith("/")


def _decoded_name(entry: zipfile.ZipInfo) -> str:
    """The name as packed: zipfile's own stops at a NUL, and takes whatever is unmarked for code page 437.

    What is unmarked is what the Unicode extra field says (APPNOTE 4.6.9), else UTF-8, as a Mac packs it, where it can
    be that. Not from Windows, whose tools use the encoding of the place: much of GBK could be UTF-8 too.
    """
    name = entry.orig_filename
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    packed = name.encode("cp437")
    if (told := _unicode_extra(entry.extra, packed)) is not None:
        return told
    try:
        return packed.decode("ascii" if entry.create_system == _WINDOWS else "utf-8")
    except UnicodeDecodeError:
        called = shown(packed.decode("ascii", "backslashreplace"))
        raise ArchiveError(
            f"{called} has a name in an encoding that the archive does not say: pack it again with names in UTF-8, or "
            "as tar"
        ) from None


def _unicode_extra(extra: bytes, packed: bytes) -> str | None:
    """The name in the Info-ZIP Unicode Path field, if there is one and it is of this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == 0x7075 and field[:5] == struct.pack("<BL", 1, zlib.crc32(packed)):
            try:
                return field[5:].decode()
            except UnicodeDecodeError:
                return None
    return None


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, meter: Meter, end: int) -> Iterator[bytes]:
    """The entry's content, which ends before ``end``. Its size and CRC must be what the directory says."""
    meter.packed = (meter.packed or 0) + entry.compress_size
    size = 0
    try:
        _check_header(archive, entry, end)
        with archive.open(entry) as content:
            while chunk := content.read(_CHUNK):
                size += len(chunk)
                meter.check_file(name, size)
                meter.count_bytes(len(chunk))
                yield chunk
    except _ERRORS as error:
        raise_if_system_failed(error)
        size = -1
    if size != entry.file_size:
        raise ArchiveError(f"{shown(name)} is damaged in the archive: pack or send it again")


def _check_apart(entries: list[zipfile.ZipInfo], ends: list[int]) -> None:
    """Each entry's bytes end before the next entry (or the directory) begins: no two unpack the same bytes.

    By what the directory says; how long an entry's own header is, ``_check_header`` sees when the entry is read.
    """
    for entry, end in zip(entries, ends, strict=False):
        if entry.header_offset + _FILE_HEADER + entry.compress_size > end:
            raise ArchiveError(_overlaps(entry))


def _check_header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, end: int) -> None:
    """Raise ArchiveError where the entry, behind its own header's name and extra field, reaches beyond ``end``.

    Read just before the content is, since a pass over all headers beforehand would be one seek for each file.
    """
    if _start(archive, entry) + entry.compress_size > end:
        raise ArchiveError(_overlaps(entry))


def _start(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Where the entry's content begins: behind its own header, whose length the directory does not tell."""
    assert archive.fp is not None  # it is open
    archive.fp.seek(entry.header_offset)
    header = archive.fp.read(_FILE_HEADER)
    name_size, extra_size = struct.unpack("<HH", header[26:])
    return entry.header_offset + _FILE_HEADER + int(name_size) + int(extra_size)


def _place(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Place:
    return Place(_start(archive, entry), entry.compress_size, entry.compress_type == zipfile.ZIP_DEFLATED)


def _overlaps(entry: zipfile.ZipInfo) -> str:
    return f"{shown(entry.filename)} overlaps another file in the archive: pack it again"


def _check_directory(file: BinaryIO, limits: Limits) -> None:
    """Walk the directory record by record, so that one over the limits is never loaded."""
    start, end = _directory(file)
    file.seek(start)
    count = 0
    while file.tell() < end:
        record = file.read(46)
        if len(record) < 46 or record[:4] != b"PK\x01\x02":
            raise ArchiveError(_CUT_OFF)
        extra = sum(struct.unpack("<3H", record[28:34]))
        count += 1
        if count > limits.files:
            raise ArchiveError(f"the archive holds more than {limits.files} files: split it")
        if extra > _MAX_RECORD:
            raise ArchiveError("the archive has a file whose name and notes are too long: pack it again")
        file.seek(extra, 1)


def _directory(file: BinaryIO) -> tuple[int, int]:
    """Where the directory begins and ends, found as zipfile finds it (APPNOTE 4.3.14 to 4.3.16)."""
    size = file.seek(0, 2)
    tail_start = max(0, size - 22 - 65535 - 76)
    file.seek(tail_start)
    tail = file.read()
    plain = len(tail) - 22
    if plain >= 0 and tail[plain : plain + 4] == b"PK\x05\x06" and tail[-2:] == b"\0\0":
        position = plain
    else:
        position = tail.rfind(b"PK\x05\x06")
    if position < 0 or len(tail) < position + 22:
        raise ArchiveError(_CUT_OFF)
    (length,) = struct.unpack_from("<L", tail, position + 12)
    end = position
    if position >= 76 and tail[position - 20 : position - 16] == b"PK\x06\x07":
        record = position - 76
        if tail[record : record + 4] == b"PK\x06\x06":
            (length,) = struct.unpack_from("<Q", tail, record + 40)
            end = record
    start = tail_start + end - length
    if start < 0:
        raise ArchiveError(_CUT_OFF)
    return start, tail_start + end
