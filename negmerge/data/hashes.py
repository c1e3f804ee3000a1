"""Which pictures are the same, and which look the same: by their pixels, and by a perceptual hash. No torch.

The perceptual hash is PDQ (Meta, https://github.com/facebook/ThreatExchange, hashing/hashing.pdf): 256 bits of a cosine
transform, compared by how many differ. docs/decisions/matching.md has what it finds and what it does not.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pdqhash
from PIL import ExifTags, Image, ImageOps

from negmerge.data.archives import Index, read_samples
from negmerge.data.images import DAMAGE, DamagedImage, open_image
from negmerge.data.members import Limits
from negmerge.naming import shown
from negmerge.progress import OnStep, ignore

RECORD = np.dtype([("pixels", np.uint8, 16), ("look", np.uint64, 4), ("quality", np.uint8)])
"""A picture: a digest of its pixels, the bits of how it looks, and how much there is to be seen (PDQ's, 0 to 100)."""

MOST_DISTANCE = 64
"""Of 256 bits. On photographs no two different ones were nearer; small pictures of one kind may be (matching.md)."""
MOST_ALIKE = 5
"""Candidates that merely look alike; copies are all told, since a person's picture must be forgotten in each."""
MOST_COPIES = 1000
_LEAST_QUALITY = 20
"""With less there is nothing to be seen: all flat pictures look the same."""
_SIDE = 128
"""Pixels that a picture is brought to before its hash: PDQ of a small one differs much from that of itself enlarged."""


@dataclass(frozen=True)
class Candidate:
    """number: the place among the records; distance: bits that differ, 0 to 256; exact: all pixels are equal."""

    number: int
    distance: int
    exact: bool


def hash_picture(name: str, content: bytes, pixels: int) -> np.ndarray:
    """The records of one picture, RECORD [1] or [2]: as a model sees it, and turned upright where EXIF says so.

    Raises ArchiveError: not a picture, over ``pixels``, damaged.
    """
    with open_image(name, content, pixels) as image:
        image.info.pop("transparency", None)  # it changes no pixel, but Pillow would warn about it
        try:
            seen = image.convert("RGB")
            views = [seen, ImageOps.exif_transpose(image).convert("RGB")] if _is_turned(image) else [seen]
        except MemoryError:
            raise
        except DAMAGE:
            raise DamagedImage(f"{shown(name)} is a damaged image: remove it or save it again") from None
    records = np.zeros(len(views), RECORD)
    for record, view in zip(records, views, strict=True):
        record["pixels"] = np.frombuffer(_digest(seen), np.uint8)
        record["look"], record["quality"] = _look(view)
    return records


def hash_samples(path: Path, index: Index, limits: Limits, on_step: OnStep = ignore) -> np.ndarray:
    """The record of each sample of an archive or a folder, RECORD [N] in the index's order.

    Of pictures that EXIF turns how they look upright; zeros, which match nothing, of those that cannot be decoded.
    Raises ArchiveError for one over a limit, and where the archive has changed since it was indexed.
    """
    numbers = {sample.id: number for number, sample in enumerate(index.samples)}
    records = np.zeros(len(numbers), RECORD)
    for done, (sample_id, content) in enumerate(read_samples(path, numbers, index.root, limits)):
        on_step(done, len(numbers), None)
        with suppress(DamagedImage):
            records[numbers[sample_id]] = hash_picture(sample_id, content, limits.pixels)[-1]
    return records


def nearest(records: np.ndarray, wanted: np.ndarray) -> list[Candidate]:
    """Of RECORD [N] those that are, or look like, the picture with the records RECORD [1] or [2]; the nearest first.

    Up to a thousand with equal pixels, then up to five others, and of those as near as each other the first numbers.
    """
    exact = np.flatnonzero((records["pixels"] == wanted[0]["pixels"]).all(axis=1))
    distance = np.full(len(records), 256, np.int64)
    for view in wanted:
        if view["quality"] >= _LEAST_QUALITY:
            distance = np.minimum(
                distance, np.bitwise_count(records["look"] ^ view["look"]).sum(axis=1, dtype=np.int64)
            )
    distance[records["quality"] < _LEAST_QUALITY] = 256
    distance[exact] = 256
    near = np.flatnonzero(distance <= MOST_DISTANCE)
    alike = near[np.argsort(distance[near], kind="stable")][:MOST_ALIKE]
    copies = [Candidate(int(number), 0, True) for number in exact[:MOST_COPIES]]
    return copies + [Candidate(int(number), int(distance[number]), False) for number in alike]


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except DAMAGE:  # of what stands beside the pixels
        return False


def _digest(image: Image.Image) -> bytes:
    """128 bits of the size and all pixels."""
    digest = hashlib.blake2b(f"{image.width}×{image.height}:".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


def _look(image: Image.Image) -> tuple[np.ndarray, int]:
    """PDQ's bits as uint64 [4], and its quality."""
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    bits, quality = pdqhash.compute(np.asarray(small))
    return np.packbits(np.asarray(bits, np.uint8)).view(np.uint64), int(quality)
