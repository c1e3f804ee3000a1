"""Files out of the store: ETag, conditional requests and ranges (RFC 9110), Repr-Digest (RFC 9530), and a zip."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from app.api import openapi
from app.api.headers import header, names
from app.errors import PreconditionFailed, RangeNotSatisfiable
from app.record.tables import Artifact
from app.store.objects import Store
from negmerge.formats.zip_stream import Member, zipped

_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS = ("ETag", "Repr-Digest", "Accept-Ranges")
_UNCHANGED = {"description": "The client has this file already.", "headers": openapi.headers(*_HEADERS)}

FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole file.",
        "content": _BYTES,
        "headers": openapi.headers(*_HEADERS, "Content-Disposition"),
    },
    206: {
        "description": "The range that was asked for.",
        "content": _BYTES,
        "headers": openapi.headers(*_HEADERS, "Content-Disposition", "Content-Range"),
    },
    304: _UNCHANGED,
}
"""What OpenAPI says of an endpoint that gives a file."""

RESULT_RESPONSES: dict[int | str, dict[str, Any]] = {
    **FILE_RESPONSES,
    200: {"headers": openapi.headers(*_HEADERS, "Content-Disposition")},
}
"""The same where the whole file is JSON of a known shape."""

CONDITIONS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "description": told, "schema": {"type": "string"}}
        for name, told in {
            "Range": "`bytes=FIRST-LAST`: one range of the file.",
            "If-Range": "An `ETag`: where the file is another by now, the whole of it instead of the range.",
            "If-Match": "An `ETag`: where the file is another by now, 412.",
            "If-None-Match": "An `ETag`: where the file is still this one, 304.",
            "Want-Repr-Digest": "`sha-256=10`: of weights at another scale, whose digest has to be computed first.",
        }.items()
    ]
}
"""The headers that such an endpoint reads, for ``openapi_extra``."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Content:
    """What an endpoint gives: a file's bytes, as far as can be said before they are there.

    etag: strong, in quotes. sha256: hex digits, where it is known beforehand. stream: the bytes [start, end).
    """

    path: str
    media_type: str
    size: int
    etag: str
    sha256: str | None
    stream: Callable[[int, int], Iterator[bytes]]


def stored(store: Store, file: Artifact) -> Content:
    """A stored file as it lies there."""
    return Content(
        path=file.path,
        media_type=file.media_type,
        size=file.bytes,
        etag=f'"{file.sha256}"',
        sha256=file.sha256,
        stream=lambda start, end: store.stream(file.key, start, end),
    )


def file_response(request: Request, content: Content) -> Response:
    """The file, or the one range of it that was asked for. Several ranges are answered with the whole file.

    Raises PreconditionFailed and RangeNotSatisfiable.
    """
    headers = {
        "ETag": content.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    expected = header(request.headers, "if-match")
    if expected is not None and not names(expected, content.etag, weak=False):
        raise PreconditionFailed(f"the file's ETag is {content.etag}: ask for it again")
    if content.sha256 is not None:
        headers["Repr-Digest"] = _repr_digest(bytes.fromhex(content.sha256))
    if names(header(request.headers, "if-none-match"), content.etag, weak=True):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.method == "GET" else None
    if request.headers.get("if-range", content.etag) != content.etag:
        wanted = None
    part = None if wanted is None else byte_range(wanted, content.size)
    start, end = part or (0, content.size)
    if content.sha256 is None and wants_digest(header(request.headers, "want-repr-digest")):
        headers["Repr-Digest"] = _repr_digest(_sha256(content.stream(0, content.size)))
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=content.media_type)
    name = content.path.rpartition("/")[2]
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return StreamingResponse(content.stream(start, end), 206 if part else 200, headers, content.media_type)


def wants_digest(header: str | None) -> bool:
    """Whether ``Want-Repr-Digest`` asks for SHA-256 (RFC 9530 §4): a preference from 1 to 10."""
    asked = [one.strip().partition("=") for one in (header or "").split(",")]
    return any(name == "sha-256" and re.fullmatch(r"[1-9]|10", weight) for name, _, weight in asked)


def _sha256(stream: Iterator[bytes]) -> bytes:
    state = hashlib.sha256()
    for chunk in stream:
        state.update(chunk)
    return state.digest()


def _repr_digest(sha256: bytes) -> str:
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """``Range``'s one range as [start, end); None where it is to be ignored: not bytes, wrong, or several.

    Raises RangeNotSatisfiable where it has no byte of the file (RFC 9110 §14.1.2).
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(size)
    return start, end


def zip_response(contents: Sequence[Content], prefix: str, name: str) -> Response:
    """The files as one zip, stored and not packed (weights do not shrink), made while it is sent."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-cache",
    }
    members = (Member(one.path.removeprefix(prefix), one.size, one.stream(0, one.size)) for one in contents)
    return StreamingResponse(zipped(members), 200, headers, "application/zip")
