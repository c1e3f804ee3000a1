"""A real HTTP server on loopback that does what it is told, one answer after the other: it fails, hangs, cuts off."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from negmerge.client import Client, Retries

KEY = "nm_0123456789_secret"
QUICK = Retries(attempts=3, first_seconds=0.001, most_seconds=0.002, most_wait_seconds=2.0)
"""Retries that a test need not wait for."""


@dataclass(frozen=True)
class Asked:
    """A request as it came. ``headers`` are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


class Faulty:
    """What the server was asked, and what it will answer. Where it was told nothing more, it answers 500."""

    def __init__(self, port: int, over: threading.Event) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[Asked] = []
        self._answers: deque[Answer] = deque()
        self._over = over

    def will(self, *answers: Answer) -> None:
        """Answer the next requests so."""
        self._answers.extend(answers)

    def client(self) -> Client:
        """A client of this server that does not wait long between its tries."""
        return Client(self.url, KEY, retries=QUICK)

    def hang(self, _handler: BaseHTTPRequestHandler) -> None:
        """An Answer that never comes."""
        self._over.wait(30)

    def next(self) -> Answer:
        return self._answers.popleft() if self._answers else give(500)


@contextmanager
def faulty() -> Iterator[Faulty]:
    """The server, on a free port; gone at the end of the block."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            with suppress(ConnectionError):
                told.asked.append(_asked(self))
                told.next()(self)

        do_GET = do_HEAD = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told = Faulty(server.server_address[1], over)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield told
        finally:
            over.set()
            server.shutdown()
            thread.join()


def give(status: int, body: bytes = b"", media: str = "application/json", **headers: str) -> Answer:
    """A whole answer. Names of headers have _ for -."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _begin(handler, status, len(body), {"content-type": media, **headers})
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return answer


def cut(status: int, size: int, body: bytes, media: str = "application/octet-stream", **headers: str) -> Answer:
    """An answer that says it has ``size`` bytes, of which ``body`` comes before the connection is cut."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _begin(handler, status, size, {"content-type": media, **headers})
        handler.wfile.write(body)
        _cut(handler)

    return answer


def nothing(handler: BaseHTTPRequestHandler) -> None:
    """An Answer that is none: the connection is cut."""
    _cut(handler)


def _begin(handler: BaseHTTPRequestHandler, status: int, size: int, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if status != 204:
        handler.send_header("content-length", str(size))
    handler.end_headers()


def _cut(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _asked(handler: BaseHTTPRequestHandler) -> Asked:
    headers = {name.lower(): value for name, value in handler.headers.items()}
    if headers.get("transfer-encoding") == "chunked":
        body = bytearray()
        while size := int(handler.rfile.readline(), 16):
            body += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
    else:
        body = bytearray(handler.rfile.read(int(headers.get("content-length", 0))))
    return Asked(handler.command, handler.path, headers, bytes(body))
