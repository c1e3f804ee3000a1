"""Folders for a while: gone when their work is done, or when whoever comes next sees that it was killed."""

import fcntl
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

_STALE_SECONDS = 24 * 60 * 60
_LOCK = "lock"


class OwnFolder:
    """A new folder below ``parent``, with a lock in it that lives as long as this process does, or until ``close``."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(dir=parent))
        try:
            self._lock = _locked(self.path)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def close(self) -> None:
        """Remove the folder with all that lies in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_stale(parent: Path) -> None:
    """Remove what processes that were killed left below ``parent``: nobody holds its lock any more.

    What has no lock is from an older version, or of this moment: it goes when it is a day old.
    """
    if not parent.is_dir():
        return
    for entry in parent.iterdir():
        with suppress(FileNotFoundError):
            if _is_left(entry):
                shutil.rmtree(entry, ignore_errors=True)


def _locked(own: Path) -> BinaryIO:
    """The lock. It has its name only once it is locked, so that whoever sees it never finds it free while we live."""
    unlocked = own / f"{_LOCK}.new"
    lock = unlocked.open("xb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    unlocked.rename(own / _LOCK)
    return lock


def _is_left(entry: Path) -> bool:
    if not (entry / _LOCK).exists():
        return entry.stat().st_mtime < time.time() - _STALE_SECONDS
    with (entry / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
