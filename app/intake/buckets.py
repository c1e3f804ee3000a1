"""Objects of S3, Google's and Azure's stores that requests name by URI: which are allowed, and fetching them.

A URI is ``s3://bucket/key``, ``gs://bucket/key`` or ``az://container/key``, below one of ``allowed_buckets``. Whoever
may submit jobs may read all below these, with the credentials of the service's own environment.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import AzureStore, GCSStore

from app.settings import Settings
from app.store import places
from app.store.objects import TIMEOUTS, open_s3
from app.store.places import Allowed, Place
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
    place, allowed = _allowed(uri, settings)
    part = target.with_name(target.name + ".part")
    try:
        result = obstore.get(_OPEN[place.scheme](place.bucket, allowed.query), str(place.key))
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


def _allowed(uri: str, settings: Settings) -> tuple[Place, Allowed]:
    """What the URI names, and the allowed place that it is below."""
    place = places.object_at(uri)
    allowed = place.below(settings.allowed_buckets)
    if allowed is None:
        raise DataError(f"{uri!r} is not below an allowed place (NEGMERGE_ALLOWED_BUCKETS)")
    return place, allowed
