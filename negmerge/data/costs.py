"""What decoding an image takes, by its format and by what its file says, before a pixel is decoded. No torch."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, TiffImagePlugin

from negmerge.data.image_parts import codestream_segments, codestreams, jpeg_scans
from negmerge.errors import ArchiveError
from negmerge.naming import shown

MOST_BYTES = 1_500_000_000
"""What one image may take while it is decoded, besides its file."""
MOST_SLOW_PIXELS = 1_000_000
"""Of an image that Pillow decodes in Python: about a second."""

_PLAIN = 8
"""Bytes a pixel of Pillow's image (4), and of the same as RGB."""
_BYTES = {"WEBP": 16, "AVIF": 22}
"""Of a pixel, where the library keeps more than Pillow's image beside it.

WebP: canvases of the animation that any may be. AVIF: 12 were measured with 8 bits; with 10 or 12 its planes are twice
as large, and film grain makes a copy of them.
"""
_SEVERAL_SCANS = 12
"""Of a JPEG whose scans are kept as coefficients until all have come (progressive ones: 10, with four colours 12)."""
_SLOW = {"bmp_rle": "run lengths", "ppm_plain": "text"}
"""Pillow's decoders that are written in Python: what they read."""
_J2K_COMPONENT, _J2K_BLOCK, _J2K_PRECINCT = 5, 400, 6000
"""What OpenJPEG keeps for each component of a pixel, for each code block and for each precinct, as measured."""


def packed_bytes(image: Image.Image) -> memoryview:
    """The file that the image was opened from, where that is in memory; nothing where it is not."""
    file = getattr(image, "fp", None)  # an image that was made of an array has none
    return file.getbuffer() if isinstance(file, BytesIO) else memoryview(b"")


def decoding_bytes(image: Image.Image) -> int:
    """The most that decoding takes besides the file, with the image as RGB; from measurements (docs/benchmarks.md)."""
    pixels = image.width * image.height
    if image.format == "JPEG2000":
        streams = [_stream(packed, start) for packed in [packed_bytes(image)] for start in codestreams(packed)]
        return max([_PLAIN * pixels, *(stream.decoding_bytes() for stream in streams)])
    if image.format in ("JPEG", "MPO"):
        return (_SEVERAL_SCANS if jpeg_scans(packed_bytes(image)) > 1 else _PLAIN) * pixels
    return _BYTES.get(image.format or "", _PLAIN) * pixels + _PLAIN * tile_pixels(image)


def tile_pixels(image: Image.Image) -> int:
    """The pixels of a TIFF's tile or strip, which are decoded as a whole however small the image is; 0 of any other."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    width, height = (image.tag_v2.get(tag) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
    if isinstance(width, int) and isinstance(height, int):
        return width * height
    rows = image.tag_v2.get(TiffImagePlugin.ROWSPERSTRIP)
    return image.width * (min(rows, image.height) if isinstance(rows, int) else image.height)


def check_costs(name: str, image: Image.Image, pixels: int) -> None:
    """Raise ArchiveError where decoding would take too much: tiles over the limit on pixels, memory, or seconds."""
    if tile_pixels(image) > pixels:
        raise ArchiveError(f"{shown(name)} has tiles of more than {pixels} pixels: save it without tiles")
    size = f"{image.width} × {image.height} pixels"
    slow = [_SLOW[tile[0]] for tile in getattr(image, "tile", ()) if tile[0] in _SLOW]
    if slow and image.width * image.height > MOST_SLOW_PIXELS:
        raise ArchiveError(
            f"{shown(name)} has {size} as {slow[0]}, more than {MOST_SLOW_PIXELS}, which take long: save it as PNG"
        )
    if (taken := decoding_bytes(image)) > MOST_BYTES:
        raise ArchiveError(
            f"{shown(name)} has {size} as {image.format}, which take {taken // 10**6 + 1} MB while they are decoded, "
            f"more than {MOST_BYTES // 10**6}: save it smaller, or as PNG"
        )


@dataclass
class _Stream:
    """What the headers of a JPEG 2000 codestream say of its size and its smallest pieces."""

    pixels: int = 0
    tile: tuple[int, int] = (0, 0)
    components: int = 1
    levels: int = 0
    layers: int = 1
    block: int = 2**12
    precincts: int = 1
    most_precincts: int = 1

    def decoding_bytes(self) -> int:
        """OpenJPEG decodes tile by tile; ``precincts`` and ``most_precincts`` are one component's."""
        tile = self.tile[0] * self.tile[1]
        each = _J2K_COMPONENT * tile + _J2K_BLOCK * tile // self.block + _J2K_PRECINCT * self.precincts
        visits = 2 * (self.layers + 1) * (self.levels + 1) * self.most_precincts
        return max(_PLAIN * self.pixels, 4 * self.pixels + self.components * (each + visits))

    def add_coding(self, style: bytes, has_precincts: bool) -> None:
        """``style``: levels, the code block's sides, two bytes, and each level's precinct (A.6.1, table A.20)."""
        if len(style) < 5:
            return
        levels = min(style[0], 32)
        self.levels = max(self.levels, levels)
        self.block = min(self.block, 4 << (style[1] & 15) + (style[2] & 15) + 2)
        sides = style[5 : 6 + levels] if has_precincts else b""
        counts = list(_precincts(self.tile, levels, sides))
        self.precincts = max(self.precincts, sum(counts))
        self.most_precincts = max(self.most_precincts, *counts)


def _precincts(tile: tuple[int, int], levels: int, sides: bytes) -> Iterator[int]:
    """How many precincts a tile has at each level; their sides are 2**15 where nothing is said."""
    for level in range(levels + 1):
        side = sides[level] if level < len(sides) else 0xFF
        exponents = (levels - level + (side & 15), levels - level + (side >> 4))
        yield math.prod(-(-length // 2**exponent) + 1 for length, exponent in zip(tile, exponents, strict=True))


def _stream(packed: memoryview, start: int) -> _Stream:
    stream = _Stream()
    for kind, at in codestream_segments(packed, start):
        body = bytes(packed[at + 2 : at + int.from_bytes(packed[at : at + 2], "big")])
        if kind == 0x51 and len(body) >= 36:  # SIZ
            right, bottom, left, top, *tile = struct.unpack_from(">6L", body, 2)
            width, height = max(0, right - left), max(0, bottom - top)
            stream.pixels = width * height
            stream.tile = (min(width, tile[0]), min(height, tile[1]))
            stream.components = int.from_bytes(body[34:36], "big")
        elif kind == 0x52 and len(body) >= 5:  # COD
            stream.layers = max(stream.layers, int.from_bytes(body[2:4], "big"))
            stream.add_coding(body[5:], bool(body[0] & 1))
        elif kind == 0x53 and len(body) >= 2:  # COC: with a component's number of one byte or two
            place = 1 if stream.components < 257 else 2
            stream.add_coding(body[place + 1 :], bool(body[place] & 1))
    return stream
