"""Files of this machine on their way to the service: one as it is, or a folder as a zip that is made meanwhile."""

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from negmerge.client.bars import Show
from negmerge.client.effects import Attachment
from negmerge.errors import DataError
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
            return io.BufferedReader(_Pieces(_zipped(path, files), total, on_bytes), _PIECE)

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


def _zipped(folder: Path, files: list[tuple[str, int]]) -> Iterator[bytes]:
    """The files as one zip, stored and not packed, since images and weights do not shrink."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, size in files:
            info = zipfile.ZipInfo(name)
            with (folder / name).open("rb") as file, archive.open(info, "w", force_zip64=size >= 2**31) as member:
                while piece := file.read(_PIECE):
                    member.write(piece)
                    yield sink.drain()
    yield sink.drain()


class _Sink:
    """What zipfile writes to. It has no ``tell`` and no ``seek``, so nothing written is ever changed again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def drain(self) -> bytes:
        """What was written since the last call."""
        written, self._written = b"".join(self._written), []
        return written


def _seen(path: Path) -> str:
    return visible(str(path))
