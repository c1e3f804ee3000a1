"""Places in others' stores that a request names by URI: judged once, and found below those that an operator allows.

A URI is ``s3://bucket/key``, ``gs://bucket/key`` or ``az://container/key``. What a store might read as another place
than it looks like is refused.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from negmerge.errors import DataError

_SHOWN = 200
"""Characters of what is no URI at all that a message repeats."""


class Allowed(NamedTuple):
    """What an operator's setting allows: the setting's own text, and its parts."""

    text: str
    prefix: PurePosixPath
    query: str


class Place(NamedTuple):
    """An object or a prefix in a store: which kind of store, its bucket or container, the key."""

    scheme: str
    bucket: str
    key: PurePosixPath

    def below(self, allowed: Iterable[str]) -> Allowed | None:
        """The first of the allowed places that this one is, or lies below."""
        for text in allowed:
            parts = urlsplit(text)
            prefix = PurePosixPath(unquote(parts.path).strip("/"))
            if (parts.scheme, parts.netloc) == (self.scheme, self.bucket) and self.key.is_relative_to(prefix):
                return Allowed(text, prefix, parts.query)
        return None


def object_at(uri: str) -> Place:
    """The object that a URI names. Raises DataError for anything else."""
    place = _place(uri, "KEY")
    if place.key == PurePosixPath():
        raise DataError(f"{uri!r} must name one object: {place.scheme}://BUCKET/KEY")
    return place


def prefix_at(uri: str) -> Place:
    """The prefix that a URI names; it may end in a slash, and be a whole bucket. Raises DataError."""
    return _place(uri, "PREFIX", "/")


def _place(uri: str, what: str, ending: str = "") -> Place:
    """ending: of the path, which it may have and which says nothing."""
    try:
        parts = urlsplit(uri)
        key = unquote(parts.path, errors="strict").removeprefix("/").removesuffix(ending)
    except ValueError:
        raise DataError(f"{uri[:_SHOWN]!r} is not a URI") from None
    plain = not (parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc)
    if not plain or not parts.netloc:
        raise DataError(f"{uri!r} must be {parts.scheme}://BUCKET/{what}, without a user, a port or a query")
    if not key.isprintable() or (key and any(part in ("", ".", "..") for part in key.split("/"))):
        raise DataError(f"{uri!r} must have a {what} without empty parts, '.' or '..'")
    return Place(parts.scheme, parts.netloc, PurePosixPath(key))
