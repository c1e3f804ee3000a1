"""Objects of S3, Google's and Azure's stores that requests name by URI: which are allowed, and fetching them.

A URI is ``s3://bucket/key``, ``gs://bucket/key`` or ``az://container/key``, below one of ``allowed_buckets``. Whoever
may submit jobs may read all below these, with the credentials of the service's own environment.
"""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import AzureStore, GCSStore

from app.settings import Settings
from app.store.objects import TIMEOUTS, open_s3
from negmerge.errors import DataError
from negmerge.progress import OnStep, ignore

_OPEN: dict[str, Callable[[str, str], Any]] = {
    "s3": lambda bucket, query: open_s3(bucket, "", query),
    "gs": lambda bucket, query: GCSStore(bucket, client_options=TIMEOUTS),
    "az": lambda bucket, query: AzureStore(bucket, client_options=TIMEOUTS),
}
SCHEMES = tuple(_OPEN)


def check(uri: str, settings: Settings) -> None:
    """Raise DataError, saying which setting decides, unless the URI is below an allowed place."""
    _allowed(uri, settings)


def fetch(uri: str, target: Path, settings: Settings, max_bytes: int, on_step: OnStep = ignore) -> None:
    """Download an allowed object into ``target``, complete or not at all; ``on_step`` counts bytes.

    Raises DataError for one that is not allowed, not there, not to be read, or of more than ``max_bytes``.
    """
    scheme, bucket, key, query = _allowed(uri, settings)
    part = target.with_name(target.name + ".part")
    try:
        result = obstore.get(_OPEN[scheme](bucket, query), key)
        total, done = int(result.meta["size"]), 0
        if total > max_bytes:
            raise DataError(f"{uri!r} has {total} bytes; at most {max_bytes} are taken")
        with part.open("wb") as file:
            for chunk in result.stream(min_chunk_size=2**20):
                done += len(chunk)
                file.write(chunk)
                on_step(done, total, None)
            file.flush()
            os.fsync(file.fileno())
        if done != total:
            raise DataError(f"{uri!r} is cut off after {done} of {total} bytes")
        part.replace(target)
    except (NotFoundError, FileNotFoundError):
        raise DataError(f"there is no object {uri!r}") from None
    except (BaseError, OSError) as error:
        raise DataError(
            f"{uri!r} cannot be fetched: the store does not answer, or does not let this service read it"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _allowed(uri: str, settings: Settings) -> tuple[str, str, str, str]:
    """Scheme, bucket, key, and the query of the allowed place that it is below."""
    scheme, bucket, key = _split(uri)
    for place in settings.allowed_buckets:
        parts = urlsplit(place)
        prefix = PurePosixPath(unquote(parts.path.lstrip("/")))
        if (parts.scheme, parts.netloc) == (scheme, bucket) and PurePosixPath(key).is_relative_to(prefix):
            return scheme, bucket, key, parts.query
    raise DataError(f"{uri!r} is not below an allowed place (NEGMERGE_ALLOWED_BUCKETS)")


def _split(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key. Raises DataError for a key that is none, or that a store might read as another."""
    try:
        parts = urlsplit(uri)
        key = unquote(parts.path, errors="strict").removeprefix("/")
    except ValueError:
        raise DataError(f"{uri[:200]!r} is not a URI") from None
    plain = not (parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc)
    if not plain or not parts.netloc or not key:
        raise DataError(f"{uri!r} must be {parts.scheme}://BUCKET/KEY, without a user, a port or a query")
    if not key.isprintable() or any(part in ("", ".", "..") for part in key.split("/")):
        raise DataError(f"{uri!r} must name one object: a key without empty parts, '.' or '..'")
    return parts.scheme, parts.netloc, key
