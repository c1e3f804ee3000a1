"""The page's own files: style, scripts, pictures, served from memory below a fingerprint of all of them.

So a browser may keep each for ever, and a new version of any is another address. Modules import each other by
relative names, which stay below the same fingerprint.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Assets(NamedTuple):
    """Each file by its name, with its media type, and the SHA-256 of all of them, cut off."""

    files: dict[str, tuple[bytes, str]]
    fingerprint: str


@cache
def assets() -> Assets:
    """The files in ``static``, read once."""
    found = sorted((file for file in files("app.page").joinpath("static").iterdir()), key=lambda file: file.name)
    read = {file.name: (file.read_bytes(), _MEDIA_TYPES[file.name.rpartition(".")[2]]) for file in found}
    digest = hashlib.sha256()
    for name, (content, _) in read.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return Assets(read, digest.hexdigest()[:16])


def asset(name: str) -> str:
    """Where the page's file of this name is. Raises KeyError where there is none."""
    known = assets()
    _ = known.files[name]
    return f"/assets/{known.fingerprint}/{name}"
