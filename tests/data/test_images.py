"""Which pictures are read, and what is said of those that are not; all made by Pillow itself."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from negmerge.data.archives import Index, index_archive
from negmerge.data.images import check_image
from negmerge.decoding.dataset import open_archive
from negmerge.errors import ArchiveError
from tests.support.archive_files import PAIR, png, write_zip

PIXELS = 10**8


def picture(format_: str, mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> bytes:
    """A picture with something in it."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 64).convert(mode).save(buffer, format_)
    return buffer.getvalue()


READ = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "JPG": "JPEG", "png": "PNG", "webp": "WEBP",
    "avif": "AVIF", "jp2": "JPEG2000", "tif": "TIFF", "tiff": "TIFF", "bmp": "BMP", "gif": "GIF", "ppm": "PPM",
}  # fmt: skip


@pytest.mark.parametrize(("ending", "format_"), READ.items())
def test_a_picture_is_read_by_any_of_its_endings(tmp_path: Path, ending: str, format_: str) -> None:
    archive = write_zip(tmp_path / "a", {**PAIR, f"cat/2.{ending}": picture(format_)})
    dataset = open_archive(archive)
    ((name, image),) = dataset.read([f"cat/2.{ending}"])
    assert (name, image.convert("RGB").size) == (f"cat/2.{ending}", (48, 32))


@pytest.mark.parametrize("format_", sorted(set(READ.values())))
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_picture_that_is_cut_off_is_damaged_whatever_its_format(format_: str, share: float) -> None:
    whole = picture(format_)
    check_image("x", whole, PIXELS)
    with pytest.raises(ArchiveError, match="'x' is"):
        check_image("x", whole[: int(share * len(whole))], PIXELS)


def test_a_jpeg_with_more_behind_its_end_is_whole() -> None:
    check_image("x", picture("JPEG") + b"a phone's own data", PIXELS)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("cat/2.heic", b"", "is HEIC, which is not read here: save it as JPEG or PNG"),
        ("cat/2.JXL", b"", "is JPEG XL"),
        ("cat/2.svg", b"<svg/>", "is SVG"),
        ("cat/2.cr2", b"", "is a camera's raw format"),
        ("cat/2.jpg", b"\0\0\0\x18ftypheic" + 99 * b"\0", "is HEIC, which is not read here"),
        ("cat/2.jpg", b"\xff\x0a" + 99 * b"\0", "is JPEG XL"),
        ("cat/2.jpg", b"<!DOCTYPE html>", "is a web page"),
        ("cat/2.jpg", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("cat/2.jpg", b"", "is empty"),
        ("cat/2.jpg", b"\0\0\0\x18ftypheis" + 99 * b"\0", "is HEIC"),
        ("cat/2.jpg", b"\0\0\0\x18ftypmp42" + 99 * b"\0", "is MP4 or QuickTime, a video, which is not read here"),
        ("cat/2.jpg", b"\0\0\0\x18ftypcrx " + 99 * b"\0", "is a camera's raw format"),
        ("cat/2.tif", b"II*\0\x10\0\0\0CR\2\0" + 99 * b"\0", "is a camera's raw format"),
        ("cat/2.jpg", b"8BPS" + 99 * b"\0", "is Photoshop's"),
        ("cat/2.jpg", b"%PDF-1.4", "is a PDF"),
        ("cat/2.jpg", picture("TGA"), "is TGA"),
        ("cat/2.png", picture("ICO"), "is a Windows icon"),
        ("cat/2.png", picture("DDS"), "is DDS"),
        ("cat/2.jpg", b'{"error": 404}', "is JSON, no image"),
        ("cat/2.jpg", b"PK\3\4" + 99 * b"\0", "is a zip"),
        ("cat/2.jpg", bytes(3000), "is nothing but zeros"),
        ("cat/2.ico", b"", "is a Windows icon, which is not read here: save it as JPEG or PNG"),
        ("cat/2.xcf", b"", "is GIMP's"),
        ("cat/2.mp4", b"", "is MP4, a video, which is not read here: remove it, or save pictures of it as JPEG or PNG"),
        ("cat/2.jpg", b"text", "is not an image that can be read"),
    ],
)
def test_what_is_no_image_is_called_by_its_name(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    with pytest.raises(ArchiveError, match=f"{name}' {what}"):
        index_archive(write_zip(tmp_path / "a", {**PAIR, name: content}))


@pytest.mark.parametrize(("mode", "format_"), [("I;16", "PNG"), ("I", "TIFF"), ("F", "TIFF"), ("LAB", "TIFF")])
def test_pixels_without_one_rule_to_make_8_bits_of_them_are_refused_with_it(mode: str, format_: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (4, 4)).save(buffer, format_)
    with pytest.raises(ArchiveError, match=f"pixels of type {mode}.*for which there is no one rule"):
        check_image("x", buffer.getvalue(), PIXELS)


def deep_png(colour_type: int) -> bytes:
    """One of 2 × 2 pixels of 16 bits in colour, which Pillow reads and does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + 2 * {2: 3, 4: 2, 6: 4}[colour_type] * b"\x12\x34"
    header = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(2 * row)), chunk(b"IEND", b"")]
    )


def deep_tiff() -> bytes:
    """One RGB pixel of 16 bits, little-endian: its header, its directory, three bit depths, the pixel."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 140),
               (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 6), (284, 3, 1, 1)]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + bytes(4) + struct.pack("<3H", 16, 16, 16) + b"\x12\x34" * 3


def deep_jpeg_2000() -> bytes:
    """A picture of 8 bits in three components, said to have 16."""
    content = bytearray(picture("JPEG2000"))
    sizes = content.index(b"\xff\x4f\xff\x51") + 42
    content[sizes : sizes + 9 : 3] = bytes([15, 15, 15])
    return bytes(content)


DEEP = {
    "PNG in RGB": deep_png(2), "PNG in grey with alpha": deep_png(4), "PNG in RGBA": deep_png(6),
    "PPM": b"P6 2 2 65535\n" + 24 * b"\x12", "PPM as text": b"P3 1 1 65535\n1 2 3\n", "TIFF": deep_tiff(),
    "JPEG 2000": deep_jpeg_2000(),
}  # fmt: skip


@pytest.mark.parametrize("content", DEEP.values(), ids=DEEP)
def test_16_bits_a_channel_are_refused_in_colour_too(content: bytes) -> None:
    with pytest.raises(
        ArchiveError, match=r"'x' has (16 bits a channel|pixels of type).*for which there is no one rule"
    ):
        check_image("x", content, PIXELS)


def test_a_ppm_of_less_than_8_bits_is_read() -> None:
    check_image("x", b"P6 1 1 15\n\1\2\3", PIXELS)


@pytest.mark.parametrize("format_", ["WEBP", "AVIF", "PNG", "JPEG", "GIF"])
def test_one_that_is_cut_off_in_its_header_is_damaged_too(format_: str) -> None:
    with pytest.raises(ArchiveError, match="'x' is a damaged image"):
        check_image("x", picture(format_)[:20], PIXELS)


def test_pictures_and_videos_of_other_formats_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    files = {**PAIR, "cat/2.mp4": b"", "cat/3.ico": picture("ICO"), "dog/4.jpg": b"\0\0\0\x18ftypisom"}
    index = index_archive(write_zip(tmp_path / "a", files), leave_out=True)
    assert index.left_out == ("cat/2.mp4", "cat/3.ico", "dog/4.jpg")


BROKEN = {"cat/2.jpg": picture("JPEG")[:-99], "dog/3.webp": picture("WEBP")[:99], "dog/4.heic": b"heic"}


def test_all_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        index_archive(write_zip(tmp_path / "a", {**PAIR, **BROKEN}))
    assert str(caught.value) == (
        "'cat/2.jpg' is a damaged image: remove it or save it again. "
        "2 more cannot be read: 'dog/3.webp', 'dog/4.heic'. "
        '"on_unreadable": "leave_out" goes without them'
    )


def test_they_are_left_out_by_name_where_that_is_asked_for(tmp_path: Path) -> None:
    around = {f"set/{name}": content for name, content in {**PAIR, **BROKEN}.items()}
    index = index_archive(write_zip(tmp_path / "a", around), leave_out=True)
    assert index.left_out == tuple(BROKEN)
    assert [sample.id for sample in index.samples] == ["cat/1.png", "dog/1.png"]
    assert Index.from_json(index.as_json()) == index


def test_an_image_over_a_limit_is_never_left_out(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="pixels"):
        index_archive(write_zip(tmp_path / "a", {**PAIR, "cat/2.png": png(size=(20_000, 20_000))}), leave_out=True)
