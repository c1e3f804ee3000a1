"""Files below a root that somebody named: a pipe or a device among them is refused, and never waited for."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from negmerge.errors import DataError
from negmerge.naming import shown


def opened(path: Path) -> BinaryIO:
    """The file, to be read. Raises DataError for what is no regular file, OSError as ``open`` does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{shown(path.name)} is no file: copy the file itself")
    return os.fdopen(descriptor, "rb")


def content(path: Path) -> bytes:
    """All its bytes. Raises as ``opened``."""
    with opened(path) as file:
        return file.read()


def text(path: Path) -> str:
    """All of it, which is UTF-8. Raises as ``opened``, and UnicodeDecodeError."""
    return content(path).decode()
