"""Small pictures of samples, made by ``read`` and kept in memory for a while: nothing of them is left on a disk."""

import base64
import hashlib
import threading
from collections import OrderedDict

from app.errors import NotFound, UnreadablePicture
from app.pictures.archives import Archives
from app.pictures.reader import Reader, TooDear
from app.record.tables import Dataset
from app.settings import Settings
from negmerge.data.listing import Listed, Listing
from negmerge.naming import shown

MEDIA_TYPE = "image/webp"
_RECIPE = "1"
"""Another one where the same picture gives another thumbnail: part of each ETag."""
_BESIDE = 32
"""Samples whose thumbnails are made together: who looks at one looks at those beside it, and a process costs 0.2 s."""
_BESIDE_BYTES = 8 * 2**20
"""Of the pictures of those others, all together, as they are packed."""
_KEPT_BYTES = 32 * 2**20

Made = bytes | str
"""A thumbnail, or what is wrong with its picture."""


class Thumbnails:
    """Makes thumbnails. Safe to use from several threads; blocking."""

    def __init__(self, settings: Settings, archives: Archives, reader: Reader) -> None:
        self._settings = settings
        self._archives = archives
        self._reader = reader
        self._kept: OrderedDict[tuple[str, int], Made] = OrderedDict()
        self._bytes = 0
        self._making: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, row: Dataset, sample_id: str) -> Listed:
        """The data set's sample with this id. Raises NotFound, NotUploaded."""
        found = self._archives.listing(row).find(sample_id)
        if found is None:
            raise NotFound(f"the data set {row.id} has no sample {shown(sample_id)}: an id is a path in the archive")
        return found

    @staticmethod
    def etag(row: Dataset, sample: Listed) -> str:
        """Weak (RFC 9110, §8.8.1): another version of Pillow may write other bytes of the same pixels."""
        said = f"{_RECIPE}:{row.id}:{row.sha256}:{sample.number}"
        return f'"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'

    def of(self, row: Dataset, sample: Listed) -> bytes:
        """A sample's thumbnail as WebP. Raises UnreadablePicture."""
        made = self._get(row, sample)
        if isinstance(made, str):
            raise UnreadablePicture(made)
        return made

    def _get(self, row: Dataset, sample: Listed) -> Made:
        place = (row.id, sample.number)
        block = (row.id, sample.number // _BESIDE)
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
            turn = self._making.setdefault(block, threading.Lock())
        try:
            with turn:
                with self._lock:
                    if place in self._kept:
                        return self._kept[place]
                return self._make(row, self._archives.listing(row), sample)
        finally:
            with self._lock:
                self._making.pop(block, None)

    def _make(self, row: Dataset, listing: Listing, sample: Listed) -> Made:
        first = sample.number // _BESIDE * _BESIDE
        others, _ = listing.page(first - 1, _BESIDE)
        room = _BESIDE_BYTES
        wanted = [sample]
        for other in others:
            room -= other.place.size
            if room >= 0 and other.number != sample.number:
                wanted.append(other)
        try:
            made = self._ask(row, wanted)
        except TooDear:
            made = self._ask_alone(row, sample)
        for one, picture in made.items():
            self._keep((row.id, one), picture)
        return made[sample.number]

    def _ask_alone(self, row: Dataset, sample: Listed) -> dict[int, Made]:
        """Where several were too much, the one that was asked for."""
        try:
            return self._ask(row, [sample])
        except TooDear as dear:
            return {sample.number: f"{shown(sample.id)} takes more than {dear} to be decoded"}

    def _ask(self, row: Dataset, samples: list[Listed]) -> dict[int, Made]:
        limits = self._settings.archive_limits
        with self._archives.pictures(row, samples) as pictures:
            answer = self._reader.ask(
                "thumbnails", pictures=pictures, file_bytes=limits.file_bytes, pixels=limits.pixels
            )
        found = zip(samples, answer["made"], strict=True)
        return {one.number: base64.b64decode(made["webp"]) if "webp" in made else made["wrong"] for one, made in found}

    def _keep(self, place: tuple[str, int], made: Made) -> None:
        with self._lock:
            if place in self._kept:
                return
            self._kept[place] = made
            self._bytes += len(made)
            while self._bytes > _KEPT_BYTES:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)
