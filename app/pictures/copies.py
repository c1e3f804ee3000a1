"""Files of this machine that are made of stored objects: copies from an S3 store, tars without their packing.

They are kept while there is room for them, the latest used first, and while their data set is there.
"""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from app.errors import NotFound
from app.record.db import Database
from app.record.tables import Dataset
from app.store.folders import OwnFolder


class Copies:
    """Below ``folder/kept`` a folder for each data set; ``folder/new`` has what is being made."""

    def __init__(self, folder: Path, database: Database, most_bytes: int) -> None:
        self._kept, self._new = folder / "kept", folder / "new"
        self._database = database
        self._most_bytes = most_bytes
        self._making: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, dataset_id: str, name: str, make: Callable[[Path], None]) -> Path:
        """The file ``name`` of a data set; where it is not there, ``make`` writes it, once however many wait.

        Raises what ``make`` raises, and NotFound where the data set was deleted meanwhile.
        """
        path = self._kept / dataset_id / name
        with self._lock:
            turn = self._making.setdefault((dataset_id, name), threading.Lock())
        with turn:
            with suppress(FileNotFoundError):
                os.utime(path)
                return path
            with OwnFolder(self._new) as own:
                made = own.path / "made"
                make(made)
                path.parent.mkdir(parents=True, exist_ok=True)
                made.rename(path)
            self.tidy(latest=path)
        if not path.exists():
            raise NotFound(f"the data set {dataset_id!r} was deleted just now")
        return path

    def tidy(self, latest: Path | None = None) -> None:
        """Remove what belongs to no data set any more, and the longest unused files until the others fit.

        ``latest`` stays whatever its size. Several processes may do so at the same moment.
        """
        folders = {folder.name: folder for folder in self._kept.glob("*")}
        if not folders:
            return
        with self._database.read() as session:
            known = set(session.scalars(select(Dataset.id).where(Dataset.id.in_(folders))))
        for dataset_id in folders.keys() - known:
            shutil.rmtree(folders[dataset_id], ignore_errors=True)
        used = sorted(_files(self._kept), key=lambda found: found[1].st_mtime_ns, reverse=True)
        room = self._most_bytes
        for path, status in used:
            room -= status.st_size
            if room < 0 and path != latest:
                path.unlink(missing_ok=True)


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.glob("*/*"):
        with suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return found
