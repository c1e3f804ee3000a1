"""Small archives for tests: real images, and members that no honest tool would write."""

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from negmerge.data.archives import Index, index_archive
from negmerge.data.members import Limits
from negmerge.errors import ArchiveError

Files = dict[str, bytes]


def png(value: int = 0, size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
    """A flat image as PNG."""
    buffer = io.BytesIO()
    Image.new(mode, size, value).save(buffer, "PNG")
    return buffer.getvalue()


def folders(*paths: str) -> Files:
    """A PNG at each path."""
    return {path: png(number) for number, path in enumerate(paths)}


PAIR = folders("cat/1.png", "dog/1.png")
"""The smallest data set."""


def write_zip(path: Path, files: Files, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def write_tar(path: Path, files: Files, mode: str = "w", extra: Iterable[tarfile.TarInfo] = ()) -> Path:
    """A tar (``w``) or tar.gz (``w:gz``) with the files, then the bare headers in ``extra``."""
    with tarfile.open(str(path), mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
        for header in extra:
            archive.addfile(header)
    return path


def write_folder(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def patched(path: Path, old: bytes, new: bytes, last: bool = False) -> Path:
    """Replace bytes of equal length in a file: at the first place (or the last) where they stand."""
    assert len(old) == len(new)
    content = path.read_bytes()
    place = content.rindex(old) if last else content.index(old)
    path.write_bytes(content[:place] + new + content[place + len(old) :])
    return path


def write_tar_gz(path: Path, files: Files) -> Path:
    return write_tar(path, files, "w:gz")


def ids(index: Index) -> list[str]:
    return [sample.id for sample in index.samples]


def refusal(path: Path, limits: Limits = Limits()) -> str:  # noqa: B008 - frozen
    """The message with which the archive is refused."""
    with pytest.raises(ArchiveError) as caught:
        index_archive(path, limits)
    return str(caught.value)


WRITERS = [write_zip, write_tar, write_tar_gz, write_folder]
