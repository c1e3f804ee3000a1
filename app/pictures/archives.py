"""Uploaded archives as this machine has them: the whole file, its listing, and the bytes of single pictures.

A folder store's files are read where they lie. Of what lies in S3 only the listing is copied, and the pictures' own
bytes are fetched; a tar.gz is unpacked into a copy at first, since its pictures lie nowhere else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.errors import NotUploaded, TooLarge, UnreadablePicture
from app.pictures.copies import Copies
from app.pictures.reader import Reader, TooDear
from app.record import catalog, ids
from app.record.db import Database
from app.record.tables import Dataset
from app.settings import Settings
from app.store.folders import OwnFolder
from app.store.objects import Store, put_for
from negmerge.data.listing import Listed, Listing

_MIB = 2**20
_GZIP = b"\x1f\x8b"


class Archives:
    """What the other rooms of pictures ask for archives. Blocking: call it from a thread."""

    def __init__(self, settings: Settings, database: Database, store: Store, reader: Reader) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._reader = reader
        self._folder = settings.data_dir / "pictures"
        self.copies = Copies(self._folder, database, settings.max_copies_bytes)

    def listing(self, row: Dataset) -> Listing:
        """The samples of a data set. Raises NotUploaded."""
        if row.key is None:
            raise NotUploaded(row.id)
        return Listing(self.object(row, row.listing_key or self._list_now(row), "listing"))

    def object(self, row: Dataset, key: str, name: str) -> Path:
        """A small stored object of the data set as a file; ``name`` is what a copy is called."""
        if self._store.folder is not None:
            return self._store.folder / key
        return self.copies.get(row.id, name, lambda path: self._fetch(key, path))

    @contextmanager
    def whole(self, row: Dataset) -> Iterator[Path]:
        """The archive as a file, for the block. Raises NotUploaded."""
        if row.key is None:
            raise NotUploaded(row.id)
        if self._store.folder is not None:
            yield self._store.folder / row.key
            return
        with OwnFolder(self._folder / "new") as own:
            path = own.path / "archive"
            self._fetch(row.key, path)
            yield path

    @contextmanager
    def pictures(self, row: Dataset, samples: Sequence[Listed]) -> Iterator[list[dict[str, Any]]]:
        """For each sample the file and the place in it where its bytes lie, for the block. Raises TooLarge."""
        key = row.key or ""
        packed = b"".join(self._store.stream(key, 0, 2)) == _GZIP
        if packed or self._store.folder is not None:
            path = self._unpacked(row) if packed else self._store.folder / key  # type: ignore[operator]
            yield [{"name": one.id, "path": str(path), **asdict(one.place)} for one in samples]
            return
        with OwnFolder(self._folder / "new") as own:
            found = []
            for one in samples:
                path, place = own.path / str(one.number), one.place
                with path.open("xb") as file:
                    for chunk in self._store.stream(key, place.start, place.start + place.size):
                        file.write(chunk)
                found.append({"name": one.id, "path": str(path), **asdict(place), "start": 0})
            yield found

    def _keep(self, row: Dataset, column: str, path: Path) -> str:
        """Store what was made of a data set, and let its row name it under ``column``. Returns its key."""
        key = f"datasets/{row.id}/{path.stem}-{ids.new_token()}{path.suffix}"
        put_for(self._database, self._store, key, path, row.id)
        with self._database.write() as session:
            catalog.add_key(session, row.id, column, key)
        return key

    def make(self, row: Dataset, what: str, seconds: int, file: str, column: str) -> str:
        """Have ``what`` made of the archive and its index, kept under the name ``file``. Returns its key.

        Raises TooDear, and UnreadablePicture with what is wrong with the archive.
        """
        with self.whole(row) as archive, OwnFolder(self._folder / "new") as own:
            index, out = own.path / "index.json", own.path / file
            self._fetch(row.index_key or "", index)
            limits = asdict(self._settings.archive_limits)
            question = {"archive": str(archive), "index": str(index), "out": str(out), "limits": limits}
            if "wrong" in (answer := self._reader.ask(what, seconds, **question)):
                raise UnreadablePicture(answer["wrong"])
            return self._keep(row, column, out)

    def _list_now(self, row: Dataset) -> str:
        """The listing of a data set that an earlier version stored without one."""
        try:
            return self.make(row, "listing", self._seconds(row), "listing.sqlite", "listing_key")
        except TooDear as dear:
            raise TooLarge(f"listing the samples of {row.id} takes more than {dear}: upload it in parts") from None

    def _unpacked(self, row: Dataset) -> Path:
        def make(path: Path) -> None:
            with self.whole(row) as archive:
                try:
                    self._reader.ask("tar", self._seconds(row), archive=str(archive), out=str(path))
                except TooDear as dear:
                    raise TooLarge(
                        f"unpacking {row.id} takes more than {dear}: upload it as zip or tar, whose pictures are found "
                        "without unpacking"
                    ) from None

        return self.copies.get(row.id, "unpacked.tar", make)

    def _seconds(self, row: Dataset) -> int:
        """As an upload may take: a second more for each MiB."""
        return self._settings.check_seconds + (row.bytes or 0) // _MIB

    def _fetch(self, key: str, path: Path) -> None:
        with path.open("xb") as file:
            for chunk in self._store.stream(key):
                file.write(chunk)
