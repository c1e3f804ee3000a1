"""Is this an image that can be used? No torch."""

import io
import struct
import zlib

from PIL import Image

from negmerge.errors import ArchiveError
from negmerge.naming import shown

IMAGE_SUFFIXES = frozenset(
    {
        *(".avif", ".avifs", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf"),
        *(".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    }
)
"""Lower-case endings of names that are images."""

OTHER_FORMATS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".jxl",), "JPEG XL"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop's"),
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "a camera's raw format"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    **dict.fromkeys((".exr", ".hdr"), "a format of high range"),
    **dict.fromkeys((".tga", ".pcx"), "a format of old"),
}
"""Endings of pictures that are told by their names: what each is."""

_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "DIB", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "MPO")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Modes that Pillow turns into 8-bit RGB without loss of range; 16-bit grey, for one, would become white."""

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
    """The image, with its pixels not yet decoded. Raises ArchiveError: not an image, too large, 16 bits deep."""
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Beyond twice Pillow's own limit, which is the default of ours, it does not tell how many there are.
        raise ArchiveError(f"{shown(name)} has more than {pixels} pixels: {_SMALLER}") from None
    except DAMAGE:
        told = f"{shown(name)} {_what_it_is(content)}: remove it or save it again"
        raise DamagedImage(told) from None
    # The size in the header is what decoding would allocate.
    if image.width * image.height > pixels:
        told = f"{shown(name)} has {image.width} × {image.height} pixels, more than {pixels}"
        raise ArchiveError(f"{told}: {_SMALLER}")
    if image.mode not in _MODES:
        raise ArchiveError(
            f"{shown(name)} has pixels of type {image.mode}, for which there is no one rule to make 8 bits of them: "
            "save it with 8 bits a channel"
        )
    return image


def _what_it_is(content: bytes) -> str:
    """What bytes that no reader takes for an image seem to be."""
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"heim"):
        return "is HEIC, which is not read here"
    if content[:2] == b"\xff\x0a" or content[4:8] == b"JXL ":
        return "is JPEG XL, which is not read here"
    if content.lstrip()[:5].lower() in (b"<!doc", b"<html", b"<?xml"):
        return "is a web page or SVG, no image"
    if content.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image: fetch it with `git lfs pull`, then pack again; or"
    if not content:
        return "is empty"
    return "is not an image that can be read"


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
