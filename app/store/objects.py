"""The artifact store, a local folder or S3; ``put_for`` is the whole way of one file into it, by way of the record."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.exceptions import NotFoundError as NoSuchObject
from obstore.store import LocalStore, S3Store

from app.errors import InternalError, NoRoom, Unavailable
from app.record.db import Database
from app.record.objects import register_key
from app.record.tables import StoredObject
from negmerge.progress import OnStep, ignore

if TYPE_CHECKING:  # of obstore's type hints alone
    from obstore.store import ClientConfig

CHUNK = 8 * 2**20
"""Bytes read at a time. Four chunks at most are in memory during a put."""

TIMEOUTS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(hours=6),  # of one whole transfer; obstore's own 30 s would cut large ones off
}
"""How long a store's client waits."""

_FULL = r"os error (27|28|122)\b|No space left|quota exceeded|QuotaExceeded|XMinioStorageFull|InsufficientStorage"
"""How a disk (ENOSPC, EDQUOT) and S3 stores say that they are full; obstore has no error of its own for it."""

_MOST_PARTS = 9_000
"""S3 takes 10,000 parts of one object."""


class ObjectMissing(InternalError):
    """The store has no object under a key that it should have."""


class StoreUnavailable(Unavailable):
    """The store does not answer, or refuses."""


class StoreFull(NoRoom, StoreUnavailable):
    """The store's disk or quota is full."""


class Store:
    """Objects by key, behind one interface. Safe to use from several threads. All raise StoreUnavailable."""

    def __init__(self, objects: LocalStore | S3Store, folder: Path | None) -> None:
        self._objects = objects
        self._folder = folder

    @classmethod
    def open(cls, url: str) -> Self:
        """``file:///folder`` (made if absent) or ``s3://bucket/prefix?endpoint=…&region=…``.

        S3 credentials are the standard AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY variables. Raises ValueError
        for any other URL, without repeating it: it may hold a password.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" and not parts.netloc:
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder, automatic_cleanup=True), folder)
        if parts.scheme == "s3" and parts.hostname:
            return cls(open_s3(parts.netloc, parts.path.strip("/"), parts.query), None)
        raise ValueError("a store is file:///folder or s3://bucket/prefix?endpoint=http://host:port")

    @property
    def folder(self) -> Path | None:
        """Where a local store lies."""
        return self._folder

    def put_file(self, key: str, path: Path, on_step: OnStep = ignore) -> None:
        """Copy a file into the store: in parts, with bounded memory, and on disk when this returns.

        ``on_step`` counts bytes; what it raises ends the put, of which nothing stays. It must not use a store itself:
        it is called from inside one.
        """
        size = path.stat().st_size
        chunk = max(CHUNK, size // _MOST_PARTS)
        with _errors(key):
            obstore.put(self._objects, key, _read(path, size, chunk, on_step), chunk_size=chunk, max_concurrency=4)
        self._sync(key)

    def read(self, key: str) -> bytes:
        """A small object whole. Raises ObjectMissing."""
        with _errors(key):
            return bytes(obstore.get(self._objects, key).bytes())

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to, not including, ``end``, in chunks. Raises ObjectMissing at once.

        The range must lie inside the object (``head`` gives its size).
        """
        if end is not None and end <= start:
            return iter(())
        with _errors(key):
            if end is not None:
                result = obstore.get(self._objects, key, options={"range": (start, end)})
            elif start:
                result = obstore.get(self._objects, key, options={"range": {"offset": start}})
            else:  # an empty object has no range at all
                result = obstore.get(self._objects, key)
        return self._chunks(key, result)

    @staticmethod
    def _chunks(key: str, result: "obstore.GetResult") -> Iterator[bytes]:
        with _errors(key):
            for chunk in result.stream(min_chunk_size=2**20):
                yield bytes(chunk)

    def head(self, key: str) -> int:
        """The object's size in bytes. Raises ObjectMissing."""
        with _errors(key):
            return int(obstore.head(self._objects, key)["size"])

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, and what an unfinished put of them left in a folder. One that is not there is no error."""
        for key in keys:
            try:
                with _errors(key):
                    obstore.delete(self._objects, key)
            except ObjectMissing:
                pass
            if self._folder is not None:
                _remove_unfinished(self._folder, key)

    def check(self) -> None:
        """Raise StoreUnavailable unless the store answers."""
        with _errors("readiness"):
            next(iter(obstore.list(self._objects, prefix="readiness", chunk_size=1)), None)

    def _sync(self, key: str) -> None:
        """A folder's object reaches the disk with the names that lead to it; S3 sees to that itself."""
        if self._folder is None:
            return
        path = self._folder / key
        while True:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if path == self._folder:
                return
            path = path.parent


def _read(path: Path, size: int, chunk: int, on_step: OnStep) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as file:
        while data := file.read(chunk):
            on_step(done, size, None)
            yield data
            done += len(data)


def _remove_unfinished(folder: Path, key: str) -> None:
    """A put that was killed leaves ``key#number``, as obstore names what it will rename, and empty folders."""
    path = folder / key
    for left in path.parent.glob(f"{glob.escape(path.name)}#*"):
        left.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            return
        with suppress(OSError):  # somebody puts something there at this moment
            parent.rmdir()


def open_s3(bucket: str, prefix: str, query: str) -> S3Store:
    """A bucket below a prefix. query: ``endpoint=…&region=…``, either or none. Raises ValueError for any other."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if unknown := set(given) - {"endpoint", "region"}:
        raise ValueError(f"an s3 store's URL takes endpoint and region, not {', '.join(sorted(unknown))}")
    endpoint = given.get("endpoint")
    options: dict[str, Any] = {"region": given.get("region", "us-east-1")}
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            **TIMEOUTS,
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
        **options,
    )


@contextmanager
def _errors(key: str) -> Iterator[None]:
    """The store's errors as ours. Their own text stays in the cause: it may name hosts and request ids."""
    try:
        yield
    except (NoSuchObject, FileNotFoundError) as error:
        raise ObjectMissing(f"the store has no object {key!r}") from error
    except (BaseError, OSError) as error:
        if re.search(_FULL, str(error)):
            raise StoreFull("the artifact store is full: try again when there is room") from error
        raise StoreUnavailable("the artifact store does not answer: try again soon") from error


def put_for(
    database: Database,
    store: Store,
    key: str,
    path: Path,
    owner: str,
    job_id: str | None = None,
    on_step: OnStep = ignore,
) -> None:
    """Put a file under a new key on behalf of an owner: record the key, then put.

    Raises ObjectMissing where garbage collection took the key meanwhile (the owner was paused for so long that its
    lease is gone); the object is deleted again then.
    """
    with database.write() as session:
        register_key(session, key, owner, job_id)
    store.put_file(key, path, on_step)
    with database.read() as session:
        known = session.get(StoredObject, key) is not None
    if not known:
        store.delete([key])
        raise ObjectMissing(f"the key {key!r} was collected while its object was being put")
