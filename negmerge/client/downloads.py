"""Files of the service on their way to this machine: resumed where they were cut, checked, there whole or not at all.

What has come so far lies beside the target as ``.NAME.MARK.part``; the mark is of the service's entity tag, so that the
next call goes on with it, in another process too.
"""

import base64
import fcntl
import hashlib
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import IO

from negmerge.client.asking import begun, pause
from negmerge.client.effects import Call, Close, Head, Lost, Params, Policy, Request, Retries, Sleep, read
from negmerge.client.errors import DownloadError, Problem, Unreachable, WrongDigest
from negmerge.client.uploads import OnBytes
from negmerge.naming import is_seen, shown, visible

_PIECE = 2**20
_STRONG = re.compile(r'"[!#-~]{1,200}"')
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_REPR_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


Check = Callable[[Path], None]
"""Looks at what was downloaded before it gets its name. Raises WrongDigest."""


def fetched(
    path: str,
    to: Path,
    on_bytes: OnBytes,
    *,
    params: Params | None = None,
    expected: str | None = None,
    check: Check | None = None,
    overwrite: bool = False,
) -> Call[Path]:
    """A stored file of the service, as ``to``; returns ``to``. expected: the digest that it must have, "sha256:…".

    Where ``to`` is there already with these bytes, nothing is fetched. Raises DownloadError where it is another file
    and ``overwrite`` is off, WrongDigest, and Unreachable after all tries without progress; what came by then is kept.
    """
    request = Request("GET", path, params or {})
    try:
        head = yield from begun(replace(request, method="HEAD"))
    except Problem:  # told without a body: ask for it in words
        head = yield from begun(request)
    yield Close(head.answer)
    digest = _told_digest(head) or expected
    if expected not in (None, digest):
        raise WrongDigest(f"the service has {path} with the digest {digest}, and should have {expected}")
    if to.is_file() and digest is not None and _digest_of(to) == digest:
        return to
    _check_free(to, overwrite)
    etag = _STRONG.fullmatch(head.headers.get("etag", ""))
    size = head.headers.get("content-length", "")
    source = _Source(request, etag and etag[0], int(size) if size.isdigit() and len(size) < 19 else None)
    with _part(to, source.etag) as part:
        yield from _received(source, part.file, on_bytes)
        _settle(part, to, digest, check)
    return to


def fetched_once(
    path: str, to: Path, on_bytes: OnBytes, *, params: Params, check: Check, overwrite: bool = False
) -> Call[Path]:
    """The same for what the service makes while it sends it: without a size, begun anew where it was cut."""
    _check_free(to, overwrite)
    with _part(to, None) as part:
        yield from _received(_Source(Request("GET", path, params), None, None), part.file, on_bytes)
        _settle(part, to, None, check)
    return to


@dataclass(frozen=True)
class _Source:
    """What is fetched: its strong entity tag, where it has one, and its size, where that is known."""

    request: Request
    etag: str | None
    size: int | None


@dataclass(frozen=True)
class _Part:
    """What has come so far."""

    path: Path
    file: FileIO


def _received(source: _Source, part: FileIO, on_bytes: OnBytes) -> Call[None]:
    """Fill the file from where it stands to its end. Tries count only where they bring nothing."""
    retries: Retries = yield Policy()
    failures = furthest = 0
    while True:
        done = part.seek(0, os.SEEK_END)
        if source.etag is None or (source.size is not None and done > source.size):
            done = part.truncate(part.seek(0))
        if done and done == source.size:
            return
        headers = {"Range": f"bytes={done}-", "If-Range": source.etag} if done and source.etag else {}
        head = yield from begun(replace(source.request, headers=headers))
        if done and not _goes_on(head, done):
            part.truncate(part.seek(0))
        try:
            yield from _written(head, part, source.size, on_bytes)
            if source.size in (None, part.tell()):
                return
            why = "the answer ended before the file did"
        except Lost as lost:
            why = str(lost)
        failures = 0 if source.etag and part.tell() > furthest else failures + 1
        furthest = max(furthest, part.tell())
        if failures > retries.attempts:
            raise Unreachable(f"the download was cut off: {why}; ask for it again later")
        yield Sleep(pause(retries, failures + 1))


def _written(head: Head, part: FileIO, size: int | None, on_bytes: OnBytes) -> Call[None]:
    while (piece := (yield from read(head))) is not None:
        left = memoryview(piece)
        while left:
            left = left[part.write(left) :]  # a disk that fills up takes a part of it
        on_bytes(part.tell(), size or part.tell())
        if size is not None and part.tell() > size:
            raise WrongDigest(f"more comes than the {size} bytes that the file has: it was not kept")


def _goes_on(head: Head, done: int) -> bool:
    """Whether the answer is the rest of the file from ``done`` on; else it is the whole file."""
    found = _RANGE.fullmatch(head.headers.get("content-range", ""))
    return head.status == 206 and found is not None and int(found[1]) == done


@contextmanager
def _part(to: Path, etag: str | None) -> Iterator[_Part]:
    """The file that a download is written to, held by this process alone; on a wrong digest it goes away.

    Without an entity tag nobody could tell later what it is a part of: it goes away in any case.
    """
    mark = secrets.token_hex(8) if etag is None else hashlib.sha256(etag.encode()).hexdigest()[:16]
    path = to.with_name(f".{to.name[:150]}.{mark}.part")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise DownloadError(f"{_seen(path)} cannot be written: {error.strerror}") from None
    with FileIO(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(f"another process downloads {_seen(to)} now: wait for it") from None
        try:
            yield _Part(path, file)
        except WrongDigest:
            path.unlink(missing_ok=True)
            raise
        finally:
            if etag is None:
                path.unlink(missing_ok=True)


def _settle(part: _Part, to: Path, digest: str | None, check: Check | None) -> None:
    """Check the finished file and give it its name. Raises WrongDigest."""
    if digest is not None and (found := _digest_of(part.path)) != digest:
        raise WrongDigest(f"what came as {_seen(to)} has the digest {found}, and should have {digest}: it was not kept")
    if check is not None:
        check(part.path)
    os.fsync(part.file.fileno())
    part.path.replace(to)
    folder = os.open(to.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_members(digests: Mapping[str, str | None]) -> Check:
    """A check of a zip: it has exactly these members, undamaged, each with its digest where that is known."""

    def check(path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                found = {name: _digest(archive.open(name)) for name in archive.namelist()}
        except zipfile.BadZipFile as error:
            raise WrongDigest(f"the zip that came is damaged: {error}; it was not kept") from None
        wrong = set(found) ^ set(digests)
        wrong |= {name for name, digest in digests.items() if digest is not None and found.get(name) != digest}
        if wrong:
            raise WrongDigest(f"{visible(min(wrong))} in the zip is not what the service has: it was not kept")

    return check


def inside(folder: Path, path: str) -> Path:
    """Where an artifact's path lies below a folder. Raises DownloadError where it would lie elsewhere."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or not is_seen(path) or "\\" in path:
        raise DownloadError(f"the service names an artifact {shown(path)}, which is no path below a folder")
    return folder.joinpath(*parts)


def _check_free(to: Path, overwrite: bool) -> None:
    if not to.parent.is_dir():
        raise DownloadError(f"there is no folder {_seen(to.parent)}: make it first")
    if os.path.lexists(to) and not (overwrite and to.is_file() and not to.is_symlink()):
        raise DownloadError(f"{_seen(to)} exists: name another file, or remove it first")


def _told_digest(head: Head) -> str | None:
    """``Repr-Digest`` (RFC 9530), as the API writes digests."""
    found = _REPR_DIGEST.search(head.headers.get("repr-digest", ""))
    return None if found is None else f"sha256:{base64.b64decode(found[1]).hex()}"


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    with file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return f"sha256:{found.hexdigest()}"


def _seen(path: Path) -> str:
    return visible(str(path))
