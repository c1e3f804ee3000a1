"""Is this an image that can be used? No torch."""

import io
import struct
import zlib

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from negmerge.data.costs import check_costs
from negmerge.data.image_kinds import told_of_content
from negmerge.data.image_parts import check_parts
from negmerge.errors import ArchiveError
from negmerge.naming import shown

IMAGE_SUFFIXES = frozenset(
    {
        *(".avif", ".avifs", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf"),
        *(".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    }
)
"""Lower-case endings of names that are images."""

_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "DIB", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "MPO")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Modes that Pillow turns into 8-bit RGB without loss of range; 16-bit grey, for one, would become white."""

_NO_RULE = "for which there is no one rule to make 8 bits of them: save it with 8 bits a channel"
_BITS_PER_SAMPLE = 258
"""TIFF's tag."""
_SMALLER = "save it smaller, or remove it"

DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for an image that it cannot read."""


class DamagedImage(ArchiveError):
    """A file that should be an image and cannot be decoded; a data set may do without it."""


def open_image(name: str, content: bytes, pixels: int) -> Image.Image:
    """The image, with its pixels not yet decoded.

    Raises ArchiveError: not an image, too large, of too many parts, too dear to decode, 16 bits deep.
    """
    check_parts(name, content)
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Beyond twice Pillow's own limit, which is the default of ours, it does not tell how many there are.
        raise ArchiveError(f"{shown(name)} has more than {pixels} pixels: {_SMALLER}") from None
    except DAMAGE:
        told = f"{shown(name)} {told_of_content(content)}: remove it or save it again"
        raise DamagedImage(told) from None
    # The size in the header is what decoding would allocate.
    if image.width * image.height > pixels:
        told = f"{shown(name)} has {image.width} × {image.height} pixels, more than {pixels}"
        raise ArchiveError(f"{told}: {_SMALLER}")
    check_costs(name, image, pixels)
    if image.mode not in _MODES:
        raise ArchiveError(f"{shown(name)} has pixels of type {image.mode}, {_NO_RULE}")
    _check_depth(name, image, content)
    return image


def _check_depth(name: str, image: Image.Image, content: bytes) -> None:
    """Raise ArchiveError for more than 8 bits a channel, which Pillow cuts in silence in colour."""
    bits = _bits(image, content)
    if bits > 8:
        raise ArchiveError(f"{shown(name)} has {bits} bits a channel, {_NO_RULE}")


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits a channel in the file, of the formats that may have more than 8 of them."""
    if isinstance(image, TiffImageFile):
        return max(map(int, image.tag_v2.get(_BITS_PER_SAMPLE, (1,))))
    if image.format == "JPEG2000":
        return _bits_of_jpeg_2000(content)
    arguments = [tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in getattr(image, "tile", [])]
    if image.format == "PNG":  # the raw mode, such as RGB;16B
        return max((16 if ";16" in str(raw[0]) else 8 for raw in arguments), default=8)
    if image.format == "PPM":  # the raw mode and the largest value
        return max((int(raw[1]).bit_length() for raw in arguments if len(raw) == 2), default=8)
    return 8


def _bits_of_jpeg_2000(content: bytes) -> int:
    """The most bits of any component, as the codestream's SIZ says (ISO/IEC 15444-1, A.5.1)."""
    start = content.find(b"\xff\x4f\xff\x51")
    if start < 0:
        return 8
    count = int.from_bytes(content[start + 40 : start + 42])
    return max(((size & 0x7F) + 1 for size in content[start + 42 : start + 42 + 3 * count : 3]), default=8)


def check_image(name: str, content: bytes, pixels: int) -> None:
    """Raise ArchiveError unless this is an image that is whole: DamagedImage where its bytes cannot be decoded.

    It is decoded, since no header and no checksum tells whether it can be; a JPEG as small as that goes. Checksums are
    looked at too, where there are any (PNG).
    """
    image = open_image(name, content, pixels)
    try:
        image.verify()
        image = open_image(name, content, pixels)  # as one that was verified cannot be decoded
        image.draft("RGB", (1, 1))
        image.load()
    except MemoryError:
        raise
    except DAMAGE:
        raise DamagedImage(f"{shown(name)} is a damaged image: remove it or save it again") from None
    finally:
        image.close()
