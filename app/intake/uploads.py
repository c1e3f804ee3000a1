"""Multipart uploads, streamed to a file: parts in any order, one named ``file``, the others short text.

The form is parsed here and not by the framework, which would take the whole body before anybody is asked for
a key. What was received is a file in a folder of its own that goes away with the block, whatever happens.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

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
class Received:
    """A file of a form, with its client's name for it, its size and its SHA-256 (hex)."""

    path: Path
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Upload(Received):
    """A received form: its one file, and the text parts."""

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
    limit = f"an upload may have {max_bytes} bytes (NEGMERGE_MAX_UPLOAD_BYTES)"
    async with _receive(request, folder, max_bytes, limit, lambda path: _Form(_boundary(request), path, names)) as form:
        files, fields = form
        yield Upload(files[0].path, files[0].filename, files[0].size, files[0].sha256, fields)


@asynccontextmanager
async def receive_files(request: Request, folder: Path, max_bytes: int, most: int) -> AsyncIterator[list[Received]]:
    """Stream a form of nothing but parts ``file``, ``most`` of them, in the same way.

    One that its client gives no name is called by its place: ``file 1``.
    """
    limit = f"pictures to look for may have {max_bytes} bytes together (NEGMERGE_MAX_MATCH_BYTES)"

    def form_at(path: Path) -> _Form:
        return _Form(_boundary(request), path, frozenset(), most, f"{most} files (NEGMERGE_MAX_MATCH_FILES)")

    async with _receive(request, folder, max_bytes, limit, form_at) as form:
        named = enumerate(form[0], start=1)
        yield [file if file.filename else replace(file, filename=f"file {place}") for place, file in named]


@asynccontextmanager
async def _receive(
    request: Request, folder: Path, max_bytes: int, limit: str, form_at: Callable[[Path], "_Form"]
) -> AsyncIterator[tuple[list[Received], dict[str, str]]]:
    refuse_encoded(request)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise TooLarge(limit)
    own = OwnFolder(folder)
    try:
        form = form_at(own.path)
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
            received = form.finish()
        finally:
            form.close()
        yield received
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
    """The part that is being read. ``text`` is None for a file."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    text: bytearray | None = None


class _File:
    """A file that is being received. ``pending`` are bytes that wait to be written."""

    def __init__(self, path: Path, filename: str) -> None:
        self._path = path
        self._filename = filename
        self._file = path.open("xb")
        self._sha256 = hashlib.sha256()
        self._size = 0
        self.pending: list[bytes] = []

    def drain(self) -> None:
        """Write what waits. The only part that waits for a disk."""
        data, self.pending = b"".join(self.pending), []
        self._file.write(data)
        self._sha256.update(data)
        self._size += len(data)

    def finish(self) -> Received:
        """The whole file."""
        self._file.close()
        return Received(self._path, self._filename, self._size, self._sha256.hexdigest())

    def close(self) -> None:
        """Close it, whatever became of the form."""
        self._file.close()


class _Form:
    """Feeds python-multipart's parser and keeps what it calls back with, the files' bytes below ``folder``."""

    def __init__(
        self, boundary: bytes, folder: Path, names: frozenset[str], most_files: int = 1, told: str = ""
    ) -> None:
        self._folder = folder
        self._names = names
        self._most_files = most_files
        self._told = told
        self._part = _Part()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._header_bytes = 0
        self._texts: dict[str, bytearray] = {}
        self._files: list[_File] = []
        self._drained = 0
        self._ended = False
        self.pending = 0
        """Bytes of files that wait for ``drain``."""
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
        """Write the files' pending bytes."""
        self.pending = 0
        for file in self._files[self._drained :]:
            file.drain()
        self._drained = max(0, len(self._files) - 1)  # more may come of the last one

    def finish(self) -> tuple[list[Received], dict[str, str]]:
        """The files and the text parts of the whole form.

        Raises Malformed where it is cut off, Invalid where ``file`` is missing.
        """
        if not self._ended:
            raise Malformed("the multipart form is cut off: its closing boundary is missing")
        if not self._files:
            raise Invalid("the part 'file' is missing", [FieldError("/file", "this part is missing")])
        try:
            fields = {name: text.decode() for name, text in self._texts.items()}
        except UnicodeDecodeError:
            raise Malformed("the text parts of the form must be UTF-8") from None
        if wrong := [name for name, text in fields.items() if "\0" in text]:
            raise Invalid("a text part holds a NUL", [FieldError(f"/{wrong[0]}", "must not hold a NUL")])
        return [file.finish() for file in self._files], fields

    def close(self) -> None:
        """Close the files, whatever became of the form."""
        for file in self._files:
            file.close()

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
        if name == "file" and len(self._files) == self._most_files > 1:
            raise TooLarge(f"a request may have {self._told}: send the others in another one")
        if name in self._texts or (name == "file" and len(self._files) == self._most_files):
            raise Invalid(f"the part {name!r} is there twice", [FieldError(f"/{name}", "is there twice")])
        if name == "file":
            filename = options.get(b"filename", b"").decode("utf-8", "replace").replace("\0", "")
            self._files.append(_File(self._folder / f"file{len(self._files) or ''}", filename))
        elif name in self._names:
            self._part.text = self._texts[name] = bytearray()
        else:
            known = ", ".join(["file", *sorted(self._names)])
            wrong = FieldError(f"/{name}", f"unknown part; known are {known}")
            raise Invalid(f"unknown part {name!r}; known are {known}", [wrong])

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.text is None:
            self._files[-1].pending.append(data[start:end])
            self.pending += end - start
        elif len(self._part.text) + end - start > MAX_FIELD_BYTES:
            raise TooLarge(f"a text part may have {MAX_FIELD_BYTES} bytes")
        else:
            self._part.text.extend(data[start:end])

    def _end(self) -> None:
        self._ended = True
