"""Files of this machine on their way to the service: one as it is, or a folder as a zip that is made meanwhile."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from negmerge.client.bars import Show
from negmerge.client.effects import Attachment
from negmerge.errors import DataError
from negmerge.formats import zip_stream
from negmerge.naming import visible

OnBytes = Callable[[int, int], None]
"""``on_bytes(done, total)``: called as bytes are sent or received."""

UPLOAD_SECONDS = 1800.0
"""How long the answer to an upload may take: the service checks every file of it first."""
_PIECE = 2**20


def telling(show: Show, what: str, *, before: int = 0, whole: int | None = None) -> OnBytes:
    """An OnBytes that shows a bar. before, whole: bytes done before this file, and of all files."""
    return lambda done, total: show(what, (before + done) / max(whole or total, 1))


def attachment(path: Path, on_bytes: OnBytes, part: str = "file") -> Attachment:
    """A file, or a folder as a zip, for a form. Raises DataError where it is neither, or has what no archive may."""
    if path.is_dir():
        files = _files_of(path)
        total = sum(size for _, size in files)

        def zipped() -> BinaryIO:
            members = (zip_stream.Member(name, size, _content(path / name)) for name, size in files)
            return io.BufferedReader(_Pieces(zip_stream.zipped(members), total, on_bytes), _PIECE)

        return Attachment(part, f"{path.resolve().name}.zip", zipped)
    if not path.is_file():
        raise DataError(f"{_seen(path)} is no file and no folder")

    def opened() -> BinaryIO:
        return _Counted(path, on_bytes)

    return Attachment(part, path.name, opened)


class _Counted(io.FileIO):
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, on_bytes: OnBytes) -> None:
        super().__init__(path)
        self._on_bytes = on_bytes
        self._total = os.fstat(self.fileno()).st_size
        self._done = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(-1 if size is None else size) or b""
        self._done += len(piece)
        self._on_bytes(self._done, self._total)
        return piece


class _Pieces(io.RawIOBase):
    """A file of pieces that are made as it is read."""

    def __init__(self, pieces: Iterator[bytes], total: int, on_bytes: OnBytes) -> None:
        self._pieces = pieces
        self._left = b""
        self._done = 0
        self._total = total
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        self._done += count
        self._on_bytes(min(self._done, self._total), self._total)
        return count


def _files_of(folder: Path) -> list[tuple[str, int]]:
    """The files of a folder by their paths in it, in order, with their sizes; hidden ones are left out.

    Raises DataError for a link, a pipe, a device, which the service would refuse, and where there is no file at all.
    """
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(folders + [name for name in names if not name.startswith(".")]):
            path = Path(here, name)
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode):
                continue
            if not stat.S_ISREG(about.st_mode):
                raise DataError(f"{_seen(path)} is a link or no plain file: an upload has files alone, put one there")
            found.append((path.relative_to(folder).as_posix(), about.st_size))
    if not found:
        raise DataError(f"there is no file in {_seen(folder)}")
    return sorted(found)


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _seen(path: Path) -> str:
    return visible(str(path))
