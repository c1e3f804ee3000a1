"""Images of more parts than any real one has: chunks, segments, scans, boxes, values. No torch.

Pillow walks over such parts one by one in Python, keeps what they hold, or has a decoder go over all pixels for each
of them, so that a small file takes minutes. They are counted here before Pillow sees them, by their lengths alone; what
else is wrong with a file, Pillow finds.
"""

import re
import struct
from collections.abc import Callable, Iterator

from negmerge.errors import ArchiveError
from negmerge.naming import shown

MOST_PARTS = 100_000
"""Chunks, segments, blocks or boxes of one image. A PNG of 256 MiB has 32,768 chunks as libpng writes them."""
MOST_SCANS = 100
"""Of a JPEG. libjpeg writes 10, and all that are allowed to differ in what they bring are a few dozen."""
MOST_VALUES = 200_000
"""Numbers in a TIFF's tags: two for each of its strips, or a palette of 16 bits (196,608)."""
_PPM_HEADER = 64 * 2**10
_PPM_COMMENTS = 100
"""Where the pixels are text: each comment has what follows it copied."""

_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""But stuffed bytes, padding and restarts, which stand among a scan's data."""
_TIFF_BYTES = (1, 2, 6, 7)
"""Types of which Pillow keeps the bytes, and makes no number of each."""
_TIFF_INNER = (34665, 34853, 40965)
"""Tags that lead to another directory, which Pillow reads too: Exif, GPS, interoperability."""


def check_parts(name: str, content: bytes) -> None:
    """Raise ArchiveError, with the kind of part, for an image of more parts than any real one has."""
    for start, check in _CHECKS.items():
        if content.startswith(start):
            check(name, content)


def jpeg_scans(content: bytes | memoryview) -> int:
    """How many scans a JPEG has, up to its end."""
    return sum(kind == 0xDA for kind, _ in _jpeg_segments(content))


def _check_png(name: str, content: bytes) -> None:
    at, count = 8, 0
    while at + 8 <= len(content):
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        count += 1
        _check_count(name, count, "chunks")


def _check_jpeg(name: str, content: bytes) -> None:
    scans = count = 0
    for kind, between in _jpeg_segments(content):
        scans += kind == 0xDA
        count += 1 + between
        _check_count(name, count, "segments")
        _check_count(name, scans, "scans", MOST_SCANS)


def _jpeg_segments(content: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """Each segment's marker, and the bytes before it that are none of a scan's data (ITU-T T.81, B.1.1)."""
    at, in_scan = 2, False
    while match := _JPEG_MARKER.search(content, at):
        kind = content[match.start() + 1]
        yield kind, 0 if in_scan else match.start() - at
        if kind == 0xD9:
            return
        at, in_scan = match.end(), kind == 0xDA
        if kind not in (0x01, 0xD8):
            at += max(2, int.from_bytes(content[at : at + 2], "big"))


def _check_gif(name: str, content: bytes) -> None:
    """Up to the first image: Pillow goes over whatever stands before it byte by byte, or block by block."""
    flags = content[10] if len(content) > 10 else 0
    at, count = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0), 0
    while at < len(content) and content[at : at + 1] not in (b",", b";"):
        at, is_extension = at + 1, content[at : at + 1] == b"!"
        count += 1
        if is_extension:
            at += 1
            while at < len(content) and (size := content[at]):
                at += 1 + size
                count += 1
                _check_count(name, count, "blocks before its image")
            at += 1
        _check_count(name, count, "blocks before its image")


def _check_ppm(name: str, content: bytes) -> None:
    is_bits, is_text = content[1:2] in b"14", content[1:2] in b"123"
    words = re.sub(rb"#[^\r\n]*", b"", content[:_PPM_HEADER]).split()
    if len(content) > _PPM_HEADER and len(words) < 4 - is_bits:
        raise ArchiveError(f"{shown(name)} has a header of more than {_PPM_HEADER} bytes: save it again")
    if is_text:
        _check_count(name, content.count(b"#"), "comments", _PPM_COMMENTS)


def _check_tiff(name: str, content: bytes) -> None:
    order = "<" if content.startswith(b"II") else ">"
    big = content[2:3] == b"\x2b"  # as Pillow tells it
    number, entry, start = ("Q", "HHQQ", 8) if big else ("L", "HHLL", 4)
    count_of = struct.Struct(order + ("Q" if big else "H"))
    record = struct.Struct(order + entry)
    left = list(struct.unpack_from(order + number, content, start)) if len(content) >= 16 else []
    values = directories = 0
    while left:
        at = left.pop()
        directories += 1
        if directories > len(_TIFF_INNER) + 1 or at + count_of.size > len(content):
            continue
        (tags,) = count_of.unpack_from(content, at)
        _check_count(name, tags, "tags")
        at += count_of.size
        for place in range(at, min(at + tags * record.size, len(content) - record.size + 1), record.size):
            tag, kind, count, value = record.unpack_from(content, place)
            values += 0 if kind in _TIFF_BYTES else count
            left += [value] if tag in _TIFF_INNER else []
        _check_count(name, values, "values in its tags", MOST_VALUES)


def _check_boxes(name: str, content: bytes) -> None:
    """Of a JP2 file, and the segments of the JPEG 2000 that it holds."""
    count = 0
    for _ in boxes(content):
        count += 1
        _check_count(name, count, "boxes")
    for start in codestreams(content):
        for _ in codestream_segments(content, start):
            count += 1
            _check_count(name, count, "segments")


def boxes(content: bytes | memoryview) -> Iterator[tuple[bytes, int]]:
    """Each box's type, and where its content begins; those in ``jp2h`` too (ISO/IEC 15444-1, annex I)."""
    at = 0
    while at + 8 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), bytes(content[at + 4 : at + 8])
        header = 16 if size == 1 else 8
        size = int.from_bytes(content[at + 8 : at + 16], "big") if size == 1 else size
        yield kind, at + header
        if size == 0:
            return
        at += header if kind == b"jp2h" else max(header, size)


def codestreams(content: bytes | memoryview) -> Iterator[int]:
    """Where a JPEG 2000 codestream begins: at once, or in a box."""
    if content[:4] == b"\xff\x4f\xff\x51":
        yield 0
    else:
        yield from (start for kind, start in boxes(content) if kind == b"jp2c")


def codestream_segments(content: bytes | memoryview, start: int) -> Iterator[tuple[int, int]]:
    """Each segment's marker, and where its length stands; tiles' data are passed over (ISO/IEC 15444-1, annex A)."""
    at, tile_end = start + 2, 0
    while at + 4 <= len(content) and content[at] == 0xFF and (kind := content[at + 1]) != 0xD9:
        yield kind, at + 2
        if kind == 0x90:  # SOT: its length and number, then how long the tile's part is, from here on
            size = int.from_bytes(content[at + 6 : at + 10], "big")
            tile_end = at + size if size else len(content)
        if kind == 0x93:  # SOD: data up to the end of the part
            at = max(at + 2, tile_end)
        else:
            at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))


def _check_count(name: str, count: int, what: str, most: int = MOST_PARTS) -> None:
    if count > most:
        raise ArchiveError(f"{shown(name)} has more than {most} {what}, as no real image has: save it again")


_CHECKS: dict[bytes | tuple[bytes, ...], Callable[[str, bytes], None]] = {
    b"\x89PNG\r\n\x1a\n": _check_png,
    b"\xff\xd8\xff": _check_jpeg,
    (b"GIF87a", b"GIF89a"): _check_gif,
    b"P": _check_ppm,
    (b"II", b"MM"): _check_tiff,
    (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP"): _check_boxes,
}
