"""Multipart uploads, streamed to a file: parts in any order, one named ``file``, the others short text.

The form is parsed here and not by the framework, which would take the whole body before anybody is asked for
a key. What was received is a file in a folder of its own that goes away with the block, whatever happens.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import Invalid, Malformed, TooLarge, UnsupportedMedia
from app.store.folders import OwnFolder
from negmerge.errors import FieldError

MAX_FIELD_BYTES = 4 * 2**20
"""Largest text part: an archive of a thousand classes has class names of some tens of kilobytes."""

MAX_HEADER_BYTES = 8 * 2**10
_WRITE_BYTES = 2**20


@dataclass(frozen=True)
class Upload:
    """A received form: the file with its client's name, size and SHA-256 (hex), and the text parts."""

    path: Path
    filename: str
    size: int
    sha256: str
    fields: dict[str, str]


def refuse_encoded(request: Request) -> None:
    """Raise UnsupportedMedia for a body that is packed for the way (RFC 9110, §8.4): limits are of what is sent."""
    encoding = ",".join(request.headers.getlist("content-encoding")).strip().lower()
    if encoding not in ("", "identity"):
        detail = f"the body has 'Content-Encoding: {encoding}': send it as it is, without one"
        raise UnsupportedMedia(detail, headers={"Accept-Encoding": "identity"})


@asynccontextmanager
async def receive(request: Request, folder: Path, max_bytes: int, names: frozenset[str]) -> AsyncIterator[Upload]:
    """Stream the form into a new folder below ``folder``, which is removed at the end of the block.

    names: the text parts that are known besides ``file``. Raises UnsupportedMedia, TooLarge before reading where
    Content-Length says so already, and Malformed or Invalid for a form that is broken, incomplete, or has unknown
    parts.
    """
    refuse_encoded(request)
    limit = f"an upload may have {max_bytes} bytes (NEGMERGE_MAX_UPLOAD_BYTES)"
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise TooLarge(limit)
    own = OwnFolder(folder)
    try:
        form = _Form(_boundary(request), own.path / "file", names)
        total = 0
        try:
            async for chunk in request.stream():
                total += len(chunk)
                if total > max_bytes:
                    raise TooLarge(limit)
                form.feed(chunk)
                if form.pending >= _WRITE_BYTES:
                    await to_thread.run_sync(form.drain)
            await to_thread.run_sync(form.drain)
            upload = form.finish()
        finally:
            form.close()
        yield upload
    finally:
        await to_thread.run_sync(own.close)


def _boundary(request: Request) -> bytes:
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 256:
        raise Malformed("multipart/form-data needs a boundary in its Content-Type")
    return boundary


@dataclass
class _Part:
    """The part that is being read. ``text`` is None for the file."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    text: bytearray | None = None


class _Form:
    """Feeds python-multipart's parser and keeps what it calls back with, the file's bytes on disk."""

    def __init__(self, boundary: bytes, path: Path, names: frozenset[str]) -> None:
        self._path = path
        self._names = names
        self._part = _Part()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._header_bytes = 0
        self._texts: dict[str, bytearray] = {}
        self._file: BinaryIO | None = None
        self._filename = ""
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._chunks: list[bytes] = []
        self._ended = False
        self.pending = 0
        """Bytes of the file that wait for ``drain``."""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Parse a piece of the body. Raises Malformed, Invalid, TooLarge."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Malformed(f"the multipart form is broken: {error}") from None

    def drain(self) -> None:
        """Write the file's pending bytes. The only part that waits for a disk."""
        data, self._chunks, self.pending = b"".join(self._chunks), [], 0
        if self._file is not None:
            self._file.write(data)
            self._sha256.update(data)
            self._size += len(data)

    def finish(self) -> Upload:
        """The whole form. Raises Malformed where it is cut off, Invalid where ``file`` is missing."""
        if not self._ended:
            raise Malformed("the multipart form is cut off: its closing boundary is missing")
        if self._file is None:
            raise Invalid("the part 'file' is missing", [FieldError("/file", "this part is missing")])
        self._file.close()
        try:
            fields = {name: text.decode() for name, text in self._texts.items()}
        except UnicodeDecodeError:
            raise Malformed("the text parts of the form must be UTF-8") from None
        if wrong := [name for name, text in fields.items() if "\0" in text]:
            raise Invalid("a text part holds a NUL", [FieldError(f"/{wrong[0]}", "must not hold a NUL")])
        return Upload(self._path, self._filename, self._size, self._sha256.hexdigest(), fields)

    def close(self) -> None:
        """Close the file, whatever became of the form."""
        if self._file is not None:
            self._file.close()

    def _begin(self) -> None:
        self._part = _Part()
        self._header_bytes = 0

    def _head(self, which: int, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Malformed(f"the headers of a part may have {MAX_HEADER_BYTES} bytes")
        self._header[which].extend(data)

    def _end_header(self) -> None:
        name, value = (bytes(half) for half in self._header)
        self._part.headers[name.lower()] = value
        self._header = (bytearray(), bytearray())

    def _open_part(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name in self._texts or (name == "file" and self._file is not None):
            raise Invalid(f"the part {name!r} is there twice", [FieldError(f"/{name}", "is there twice")])
        if name == "file":
            self._filename = options.get(b"filename", b"").decode("utf-8", "replace").replace("\0", "")
            self._file = self._path.open("xb")
        elif name in self._names:
            self._part.text = self._texts[name] = bytearray()
        else:
            known = ", ".join(["file", *sorted(self._names)])
            wrong = FieldError(f"/{name}", f"unknown part; known are {known}")
            raise Invalid(f"unknown part {name!r}; known are {known}", [wrong])

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.text is None:
            self._chunks.append(data[start:end])
            self.pending += end - start
        elif len(self._part.text) + end - start > MAX_FIELD_BYTES:
            raise TooLarge(f"a text part may have {MAX_FIELD_BYTES} bytes")
        else:
            self._part.text.extend(data[start:end])

    def _end(self) -> None:
        self._ended = True
