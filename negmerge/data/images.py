"""Is this an image that can be used? Pillow's header check, without decoding the pixels. No torch."""

import io
import struct
import zlib

from PIL import Image

from negmerge.data.members import shown
from negmerge.errors import ArchiveError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Lower-case endings of names that are images."""

_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "WEBP", "TIFF")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Modes that Pillow turns into 8-bit RGB without loss of range; 16-bit grey, for one, would become white."""

_SMALLER = "save it smaller, or remove it"

DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for an image that it cannot read."""


def open_image(name: str, content: bytes, pixels: int) -> Image.Image:
    """The image, with its pixels not yet decoded. Raises ArchiveError: not an image, too large, 16 bits deep."""
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Beyond twice Pillow's own limit, which is the default of ours, it does not tell how many there are.
        raise ArchiveError(f"{shown(name)} has more than {pixels} pixels: {_SMALLER}") from None
    except DAMAGE:
        raise ArchiveError(f"{shown(name)} is not an image that can be read: remove it or save it again") from None
    # The size in the header is what decoding would allocate.
    if image.width * image.height > pixels:
        told = f"{shown(name)} has {image.width} × {image.height} pixels, more than {pixels}"
        raise ArchiveError(f"{told}: {_SMALLER}")
    if image.mode not in _MODES:
        raise ArchiveError(f"{shown(name)} has pixels of type {image.mode}: save it with 8 bits a channel")
    return image


def check_image(name: str, content: bytes, pixels: int) -> None:
    """Raise ArchiveError unless this is an image by its header and, where the format has them, its checksums."""
    image = open_image(name, content, pixels)
    try:
        image.verify()
    except DAMAGE:
        raise ArchiveError(f"{shown(name)} is a damaged image: remove it or save it again") from None
