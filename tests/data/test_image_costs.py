"""Images that are small and cost much: what decoding takes is bounded by what the file says, before a pixel is made."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from negmerge.data.costs import decoding_bytes
from negmerge.data.images import check_image, open_image
from negmerge.data.members import Limits
from negmerge.errors import ArchiveError

PIXELS = Limits().pixels


def saved(form: str, size: tuple[int, int] = (64, 64), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form, **options)
    return buffer.getvalue()


def cost(content: bytes) -> float:
    """Bytes a pixel."""
    image = open_image("x", content, PIXELS)
    return decoding_bytes(image) / (image.width * image.height)


def refused(content: bytes, said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        open_image("x", content, PIXELS)


# Memory.


def tiff(side: int, tile: int) -> bytes:
    """A deflated RGB TIFF whose only tile is empty; its tags alone are looked at."""
    tags = [(256, 3, 1, side), (257, 3, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
            (322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, 9)]  # fmt: skip
    records = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + records + bytes(4)


def test_the_tile_of_a_tiff_counts_however_small_the_image(tmp_path: Path) -> None:
    open_image("x", tiff(10, 256), PIXELS)
    refused(tiff(10, 24_576), "'x' has tiles of more than 89478485 pixels: save it without tiles")


def test_a_tile_is_counted_among_what_is_decoded_side_by_side() -> None:
    assert decoding_bytes(open_image("x", tiff(10, 1024), PIXELS)) >= 4 * 1024**2


@pytest.mark.parametrize(
    ("content", "least"),
    [
        (saved("PNG"), 8),
        (saved("JPEG"), 8),
        (saved("JPEG", progressive=True), 12),
        (saved("JPEG", mode="CMYK", progressive=True), 12),
        (saved("WEBP", lossless=True), 16),
        (saved("AVIF"), 12),
        (saved("JPEG2000", (512, 512)), 19),
        (saved("JPEG2000", (512, 512), "RGBA"), 24),
        (saved("JPEG2000", (512, 512), codeblock_size=(8, 8)), 38),
        (saved("JPEG2000", (512, 512), codeblock_size=(4, 4)), 95),
        (saved("JPEG2000", (512, 512), precinct_size=(64, 64), codeblock_size=(32, 32)), 25),
    ],
    ids=["png", "jpeg", "progressive", "cmyk", "webp", "avif", "jp2", "rgba", "8×8", "4×4", "precincts"],
)
def test_a_format_costs_no_less_than_was_measured(content: bytes, least: int) -> None:
    """Each figure is the peak of a process that decodes 3000 × 3000 such pixels to RGB, for each pixel."""
    assert least <= cost(content) < 2.2 * least


def with_size(jp2: bytes, side: int) -> bytes:
    """The JPEG 2000 with another size in its headers, all of it one tile."""
    at = jp2.index(b"\xff\x51") + 6
    box = jp2.index(b"ihdr") + 4
    jp2 = jp2[:box] + struct.pack(">LL", side, side) + jp2[box + 8 :]
    return jp2[:at] + struct.pack(">6L", side, side, 0, 0, side, side) + jp2[at + 24 :]


def test_a_format_that_costs_more_may_have_fewer_pixels() -> None:
    blocks = saved("JPEG2000", codeblock_size=(4, 4))
    open_image("x", with_size(blocks, 3000), PIXELS)
    taken = r"which take 15\d\d MB while they are decoded, more than 1500: save it smaller, or as PNG"
    refused(with_size(blocks, 4000), f"'x' has 4000 × 4000 pixels as JPEG2000, {taken}")
    open_image("x", with_size(saved("JPEG2000"), 8000), PIXELS)


def test_layers_and_precincts_of_a_jpeg_2000_count() -> None:
    plain = saved("JPEG2000", precinct_size=(64, 64), codeblock_size=(32, 32))
    at = plain.index(b"\xff\x52") + 6
    refused(with_size(plain[:at] + struct.pack(">H", 65_535) + plain[at + 2 :], 3000), "MB while they are decoded")


def test_a_small_jpeg_2000_box_around_a_large_stream_saves_nothing() -> None:
    large = with_size(saved("JPEG2000", codeblock_size=(4, 4)), 6000)
    box = large.index(b"ihdr") + 4
    refused(large[:box] + struct.pack(">LL", 10, 10) + large[box + 8 :], "MB while they are decoded")


# Seconds.


def run_lengths(side: int, bits: int) -> bytes:
    """A BMP packed as RLE8 or RLE4, of which each pixel is left out."""
    palette, data = bytes(4 << bits), b"\0\1"
    start = 54 + len(palette)
    header = struct.pack("<LllHHLLllLL", 40, side, side, 1, bits, 1 if bits == 8 else 2, len(data), 0, 0, 1 << bits, 0)
    return struct.pack("<2sLHHL", b"BM", start + len(data), 0, 0, start) + header + palette + data


@pytest.mark.parametrize("bits", [4, 8])
def test_a_bmp_of_run_lengths_has_few_pixels(bits: int) -> None:
    open_image("x", run_lengths(1000, bits), PIXELS)
    refused(run_lengths(1001, bits), "'x' has 1001 × 1001 pixels as run lengths, more than 1000000.*save it as PNG")


@pytest.mark.parametrize("kind", [b"P1", b"P2\n", b"P3\n"], ids=["P1", "P2", "P3"])
def test_pixels_that_are_written_as_text_are_few(kind: bytes) -> None:
    largest = b"" if kind == b"P1" else b" 255"
    open_image("x", kind.strip() + b"\n1000 1000" + largest + b"\n", PIXELS)
    refused(kind.strip() + b"\n1001 1001" + largest + b"\n", "pixels as text, more than 1000000")


def test_a_jpeg_has_so_many_scans_and_no_more() -> None:
    """libjpeg goes over all pixels for each."""
    content = saved("JPEG", progressive=True)
    begin = content.index(b"\xff\xda")
    scan = content[begin : content.index(b"\xff", begin + 2)]
    scans = content.count(b"\xff\xda")
    open_image("x", content[:begin] + (100 - scans) * scan + content[begin:], PIXELS)
    refused(content[:begin] + (101 - scans) * scan + content[begin:], "'x' has more than 100 scans")


def test_scans_of_what_lies_behind_a_jpegs_end_are_not_counted() -> None:
    check_image("x", saved("JPEG") + 200 * b"\xff\xda\0\2", PIXELS)


def chunk(kind: bytes) -> bytes:
    return struct.pack(">L4sL", 0, kind, zlib.crc32(kind))


PNG, JPEG, GIF, JP2, TIFF = (saved(form) for form in ("PNG", "JPEG", "GIF", "JPEG2000", "TIFF"))
GIF_START = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
MANY = 100_001


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (PNG[:33] + MANY * chunk(b"aaAa") + PNG[33:], "chunks"),
        (JPEG[:2] + MANY * b"\xff\xfe\0\2" + JPEG[2:], "segments"),
        (JPEG[:3] + MANY * b"\xff" + JPEG[3:], "segments"),
        (GIF[:GIF_START] + MANY * b"!\xf9\0" + GIF[GIF_START:], "blocks before its image"),
        (GIF[:GIF_START] + b"!\xfe" + MANY * b"\1a" + b"\0" + GIF[GIF_START:], "blocks before its image"),
        (GIF[:GIF_START] + MANY * b"x" + GIF[GIF_START:], "blocks before its image"),
        (JP2[:12] + MANY * b"\0\0\0\x08free" + JP2[12:], "boxes"),
        (JP2[JP2.index(b"\xff\x4f") :][:2] + b"\xff\x51" + bytes(2) + MANY * b"\xff\x64\0\2", "segments"),
        (b"II*\0" + struct.pack("<LHHHLLL", 8, 1, 273, 4, 200_001, 26, 0) + bytes(800_004), "values in its tags"),
        (b"P2\n" + 101 * b"#\n" + b"1 1 9\n1", "comments"),
    ],
    ids=["png", "jpeg", "padding", "gif", "comment", "garbage", "boxes", "jpeg 2000", "tiff", "text"],
)
def test_parts_that_are_more_than_any_real_image_has_are_refused(content: bytes, what: str) -> None:
    refused(content, rf"'x' has more than \d+ {what}, as no real image has: save it again")


def test_a_header_of_nothing_but_blanks_is_refused() -> None:
    refused(b"P6\n" + 2**16 * b" " + b"1 1 255\n123", "'x' has a header of more than 65536 bytes: save it again")


def test_as_many_parts_as_a_real_image_has_are_read() -> None:
    check_image("x", PNG[:33] + 50_000 * chunk(b"aaAa") + PNG[33:], PIXELS)
    check_image("x", JPEG[:2] + 50_000 * b"\xff\xfe\0\2" + JPEG[2:], PIXELS)
