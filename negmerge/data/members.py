"""What an archive's members have in common: limits that are counted while inflating, and names that are safe.

No torch. A member is a checked name and its bytes, as a stream; nothing is extracted here.
"""

import errno
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from negmerge.errors import ArchiveError
from negmerge.naming import shown

MAX_NAME = 1024
"""Longest name of a member, in characters."""

_GRACE_BYTES = 16 * 2**20
"""Up to here any ratio is fine: small archives of flat images pack very well."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. Sizes that an archive declares are never believed: all is counted as it comes.

    bytes: sum of all members, unpacked; files: members of any kind, folders too; ratio: unpacked bytes for each
    packed byte; pixels: width × height of an image; file_bytes: one member, unpacked.
    """

    bytes: int = 50 * 2**30
    files: int = 5_000_000
    ratio: float = 200.0
    pixels: int = 89_478_485
    file_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member's bytes lie in its archive: ``size`` of them from ``start`` on, as they are or deflated.

    In a tar.gz they are counted in the tar, without its packing.
    """

    start: int
    size: int
    deflated: bool = False


@dataclass(frozen=True)
class Member:
    """A regular file in an archive or a folder.

    name: checked and relative, with ``/`` between its parts.
    open: streams the content in pieces, once, and before the next member is asked for. Each piece is counted before it
    comes, and the whole is judged behind the last one, so whoever stops earlier has not heard of all damage. Raises
    ArchiveError.
    place: tells where the content lies, before the next member is asked for; None where it is a file of its own.
    """

    name: str
    open: Callable[[], Iterator[bytes]]
    place: Callable[[], Place] | None = None

    def read(self) -> bytes:
        """The whole content, as ``open`` gives it."""
        return b"".join(self.open())


def of_archive(archive: str, members: Iterable[Member]) -> Iterator[Member]:
    """The members of one archive among several: whatever is wrong with them is told with the archive's name."""

    def pieces(member: Member) -> Iterator[bytes]:
        with _named(archive):
            yield from member.open()

    with _named(archive):
        for member in members:
            yield Member(member.name, partial(pieces, member), member.place)


@contextmanager
def _named(archive: str) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{shown(archive)}: {error}") from error.__cause__


class Meter:
    """Counts members and unpacked bytes, and raises ArchiveError at the first one over a limit."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.packed: int | None = None
        """How many packed bytes those that were counted came from; None where they are not packed."""
        self.packed_before = 0
        """The same of earlier files of one data set."""
        self._bytes = 0
        self._files = 0

    def count_member(self) -> None:
        self._files += 1
        if self._files > self.limits.files:
            raise ArchiveError(f"the archive holds more than {self.limits.files} files: split it")

    def count_bytes(self, unpacked: int) -> None:
        """Count ``unpacked`` more bytes; ``packed`` has been set to what all of them came from."""
        self._bytes += unpacked
        if self._bytes > self.limits.bytes:
            raise ArchiveError(f"the archive unpacks to more than {self.limits.bytes} bytes: split it")
        if self.packed is not None and self._bytes > _GRACE_BYTES + self.limits.ratio * self.packed:
            raise ArchiveError(
                f"the archive unpacks to more than {self.limits.ratio:g} times its size: "
                "store the images as PNG or JPEG"
            )

    def check_file(self, name: str, size: int) -> None:
        """``size`` bytes of this member have come (or are announced) so far."""
        if size > self.limits.file_bytes:
            raise ArchiveError(f"{shown(name)} is larger than {self.limits.file_bytes} bytes: remove it")


def raise_if_system_failed(error: Exception) -> None:
    """Raise ArchiveError where the disk or the network failed, and not the archive; its cause says that it may pass.

    What ``zipfile`` and ``gzip`` find wrong with the bytes has no number of the system's, but for a seek to nowhere.
    """
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise ArchiveError(f"the archive could not be read ({os.strerror(error.errno)}): try again") from error


def safe_name(raw: str) -> str:
    """A member's name as a relative path without ``.`` and empty parts; "" for the root itself.

    Raises ArchiveError for a name that could mean anything but a file below the archive's root.
    """
    if raw.endswith("/Icon\r") or raw == "Icon\r":  # a Mac's, for a folder with a picture of its own
        raw = raw[:-1]
    if len(raw) > MAX_NAME:
        raise ArchiveError(f"{shown(raw[:60])}… has a name of more than {MAX_NAME} characters: shorten it")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in raw):
        raise ArchiveError(f"{shown(raw)} has control characters or broken UTF-8 in its name: rename it")
    if "\\" in raw:
        raise ArchiveError(f"{shown(raw)} has a backslash in its name: use / between folders")
    if raw.startswith("/") or re.match(r"[A-Za-z]:", raw):
        raise ArchiveError(f"{shown(raw)} is an absolute path: pack the folder with relative paths")
    parts = [part for part in raw.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"{shown(raw)} climbs out of the archive with ..: pack the folder itself")
    return "/".join(parts)


def ignored(name: str) -> bool:
    """True for what systems and tools leave among pictures, for hidden files and folders, and for a folder's notes."""
    *folders, last = name.split("/")
    if any(part.startswith(".") or part in _LEFT_FOLDERS for part in (*folders, last)):
        return True
    return last.casefold() in _LEFT_FILES or _NOTES.fullmatch(last.casefold()) is not None


_LEFT_FOLDERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "__pycache__", "lost+found")
_LEFT_FILES = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon", "picasa.ini", "zbthumbnail.info"),
    *("readme", "license", "licence", "copying", "notice", "citation", "changelog"),
)
_NOTES = re.compile(r"(readme|licen[cs]e|copying|notice|citation|changelog)([._-][a-z]+)*\.(txt|md|rst|html|pdf|cff)")


def suffix(name: str) -> str:
    """The last ending of a name in lower case, with its dot; "" where there is none."""
    base = name.rsplit("/", 1)[-1]
    return "." + base.rsplit(".", 1)[1].lower() if "." in base else ""
