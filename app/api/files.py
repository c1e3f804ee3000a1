"""Files out of the store: ETag, conditional requests and ranges (RFC 9110), Repr-Digest (RFC 9530), and a zip."""

import base64
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from app.api import openapi
from app.api.headers import header, names
from app.errors import PreconditionFailed, RangeNotSatisfiable
from app.record.tables import Artifact
from app.store.objects import Store

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
        }.items()
    ]
}
"""The headers that such an endpoint reads, for ``openapi_extra``."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def file_response(request: Request, store: Store, file: Artifact) -> Response:
    """The file, or the one range of it that was asked for. Several ranges are answered with the whole file.

    Raises PreconditionFailed and RangeNotSatisfiable.
    """
    etag = f'"{file.sha256}"'
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    headers = {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    expected = header(request.headers, "if-match")
    if expected is not None and not names(expected, etag, weak=False):
        raise PreconditionFailed(f"the file's ETag is {etag}: ask for it again")
    if names(header(request.headers, "if-none-match"), etag, weak=True):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.method == "GET" else None
    if request.headers.get("if-range", etag) != etag:
        wanted = None
    part = None if wanted is None else byte_range(wanted, file.bytes)
    start, end = part or (0, file.bytes)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.bytes}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=file.media_type)
    headers["Content-Disposition"] = f'attachment; filename="{file.path.rpartition("/")[2]}"'
    content = store.stream(file.key, start, end)
    return StreamingResponse(content, 206 if part else 200, headers, file.media_type)


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


def zip_response(store: Store, files: Sequence[Artifact], prefix: str, name: str) -> Response:
    """The files as one zip, stored and not packed (weights do not shrink), made while it is sent."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Accept-Ranges": "none",
        "Cache-Control": "private, no-cache",
    }
    return StreamingResponse(_zipped(store, files, prefix), 200, headers, "application/zip")


def _zipped(store: Store, files: Sequence[Artifact], prefix: str) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.path.removeprefix(prefix))
            with archive.open(info, "w", force_zip64=file.bytes >= zipfile.ZIP64_LIMIT) as entry:
                for chunk in store.stream(file.key):
                    entry.write(chunk)
                    yield sink.drain()
    yield sink.drain()


class _Sink:
    """What zipfile writes to. It has no ``tell`` and no ``seek``, so nothing written is ever changed again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def drain(self) -> bytes:
        """What was written since the last call."""
        written, self._written = b"".join(self._written), []
        return written
