"""``python -m app.pictures.read``: read strangers' pictures and archives in a process of its own, with limits.

``reader`` asks.
"""

import base64
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.errors import NO_ROOM
from negmerge import confined
from negmerge.data.archives import Index
from negmerge.data.gunzip import Gunzipped
from negmerge.data.hashes import hash_samples, nearest
from negmerge.data.images import DAMAGE, open_image
from negmerge.data.listing import places_of, write_listing
from negmerge.data.matching import TooManyFiles, UnusableFile, hash_wanted
from negmerge.data.members import Limits
from negmerge.errors import ArchiveError
from negmerge.naming import shown

SIDE = 160
"""Pixels of a thumbnail's longer side, at most."""
_QUALITY = 80
_CHUNK = 2**20


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """What the question's kind gives, or ``room`` or ``failed`` where the disk falls short."""
    try:
        return _KINDS[question["what"]](question)
    except OSError as error:
        return {"short_of": "room" if error.errno in NO_ROOM else "failed"}


def _listing(question: dict[str, Any]) -> dict[str, Any]:
    """Write the listing of an archive with its index."""
    index = Index.from_json(json.loads(Path(question["index"]).read_bytes()))
    places = places_of(Path(question["archive"]), Limits(**question["limits"]))
    write_listing(Path(question["out"]), index, places)
    return {}


def _tar(question: dict[str, Any]) -> dict[str, Any]:
    """Write a tar.gz, which was judged before, without its packing."""
    with Path(question["archive"]).open("rb") as file, Path(question["out"]).open("xb") as out:
        unpacked = Gunzipped(file)
        while chunk := unpacked.read(_CHUNK):
            out.write(chunk)
    return {}


def _thumbnails(question: dict[str, Any]) -> dict[str, Any]:
    """Of each picture its thumbnail (base64), or what is wrong with it."""
    made: list[dict[str, str]] = []
    for item in question["pictures"]:
        try:
            content = _content(item, question["file_bytes"])
            made.append({"webp": base64.b64encode(_thumbnail(item["name"], content, question["pixels"])).decode()})
        except ArchiveError as error:
            made.append({"wrong": str(error)})
    return {"made": made}


def _content(item: dict[str, Any], most: int) -> bytes:
    """A member's bytes, by its place in a file."""
    with Path(item["path"]).open("rb") as file:
        file.seek(item["start"])
        packed = file.read(item["size"])
    try:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most + 1) if item["deflated"] else packed
    except zlib.error:
        content = b""
    if len(content) > most:
        raise ArchiveError(f"{shown(item['name'])} is larger than {most} bytes: remove it")
    return content


def _thumbnail(name: str, content: bytes, pixels: int) -> bytes:
    """A picture as a model sees it (no orientation is applied), small, and with nothing that its file says besides."""
    with open_image(name, content, pixels) as image:
        image.info.pop("transparency", None)  # it changes no pixel, but Pillow would warn about it
        is_small = max(image.size) <= SIDE
        try:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        except MemoryError:
            raise
        except DAMAGE:
            raise ArchiveError(f"{shown(name)} is a damaged image: remove it or save it again") from None
    out = io.BytesIO()
    Image.frombytes("RGB", small.size, small.tobytes()).save(out, "WEBP", lossless=is_small, quality=_QUALITY)
    return out.getvalue()


def _hashes(question: dict[str, Any]) -> dict[str, Any]:
    """Write the hashes of all pictures of an archive with its index."""
    index = Index.from_json(json.loads(Path(question["index"]).read_bytes()))
    try:
        records = hash_samples(Path(question["archive"]), index, Limits(**question["limits"]))
    except ArchiveError as error:
        return {"wrong": str(error)}
    np.save(Path(question["out"]), records, allow_pickle=False)
    return {}


def _match(question: dict[str, Any]) -> dict[str, Any]:
    """For each picture that is looked for its candidates by number, or what is wrong with it."""
    files = [(name, Path(path)) for name, path in question["files"]]
    try:
        wanted = hash_wanted(files, Limits(**question["limits"]), question["most"])
    except TooManyFiles as error:
        return {"too_many": str(error)}
    except UnusableFile as error:
        return {"wrong": str(error), "number": error.number}
    records = np.load(Path(question["hashes"]), mmap_mode="r", allow_pickle=False)
    found: list[dict[str, Any]] = []
    for name, own in wanted:
        near = [] if isinstance(own, str) else [asdict(one) for one in nearest(records, own)]
        found.append({"file": name, "near": near, "problem": own if isinstance(own, str) else None})
    return {"found": found}


_KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "listing": _listing,
    "tar": _tar,
    "thumbnails": _thumbnails,
    "hashes": _hashes,
    "match": _match,
}

if __name__ == "__main__":
    confined.answer(_answer)
