"""Temporary folders of this process, and those that a killed process left behind.

Each process locks a folder of its own below ``tmp``. The kernel lets go of the lock however the process ends, so
a folder that can be locked is nobody's any more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"
_NOT_YET = "."


class Scratch:
    """The folder ``home`` of one process: temporary folders, and the way of files into the cache."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.parent.mkdir(parents=True, exist_ok=True)
        unlocked = Path(tempfile.mkdtemp(prefix=_NOT_YET, dir=home.parent))
        self._lock = os.open(unlocked / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(home)  # under its own name it is locked from the beginning

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._home, ignore_errors=True)
        os.close(self._lock)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A temporary folder, gone at the end of the block."""
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            yield Path(folder)

    def cached(self, path: Path, make: Callable[[Path], None]) -> Path:
        """``path``, a file or a folder; where it is not there, ``make`` makes it and it appears whole.

        Two processes may make it at the same time; the first one counts.
        """
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.folder() as folder:
            made = folder / path.name
            make(made)
            _sync(made)  # else a power cut may leave the name with nothing behind it, and every later job fails on it
            try:
                made.rename(path)
            except OSError:
                if not path.exists():
                    raise
        return path


def _sync(path: Path) -> None:
    """Bring a file, or the files of a folder, to the disk."""
    for file in [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def remove_abandoned(parent: Path) -> None:
    """Remove what processes that were killed have left below ``parent``."""
    for home in parent.iterdir() if parent.is_dir() else ():
        if home.name.startswith(_NOT_YET):
            continue
        try:
            lock = os.open(home / _LOCK, os.O_RDWR)
        except FileNotFoundError:  # just being removed
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
