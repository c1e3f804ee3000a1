"""URIs: what is not allowed, not public, or leads elsewhere is refused, at the check and at the connection."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from app.intake import uris
from app.settings import Settings
from negmerge.errors import DataError

HOST = "data.example.org"
CERTIFICATE = Path(__file__).parent / "data_example_org.pem"
"""A certificate of that host, signed by itself, with its key, for a hundred years: openssl req -x509 …"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file.zip").write_bytes(b"content")
    (root / "link").symlink_to("/etc")
    return Settings(data_dir=tmp_path, allowed_roots=[root], allowed_hosts=[HOST])


def test_a_file_below_an_allowed_root_is_found(settings: Settings) -> None:
    path = settings.allowed_roots[0] / "file.zip"

    assert uris.local_path(f"file://{path}", settings) == path
    assert uris.local_path(str(path), settings) == path


@pytest.mark.parametrize("rest", ["/../../etc/passwd", "/link/passwd", "/missing", "/%2e%2e/x"])
def test_a_path_that_leaves_its_root_or_is_not_there_is_refused(settings: Settings, rest: str) -> None:
    with pytest.raises(DataError):
        uris.check(f"file://{settings.allowed_roots[0]}{rest}", settings)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://{HOST}/x",
        f"https://user:secret@{HOST}/x",
        f"https://{HOST}:port/x",
        f"https://{HOST}.evil.org/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::1/x",
        "ftp://data.example.org/x",
        f"https://{HOST}/a b",
        f"https://{HOST}/a\r\nHost: evil",
        "file://elsewhere/etc/passwd",
        "",
    ],
)
def test_a_uri_outside_the_list_is_refused(settings: Settings, uri: str) -> None:
    with pytest.raises(DataError):
        uris.check(uri, settings)


def test_an_allowed_host_passes_the_check(settings: Settings) -> None:
    uris.check(f"https://{HOST}:8443/faces.zip?version=1", settings)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """The name server's answer for every host."""

    def answer(_host: str, port: int, *_args: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_a_name_that_leads_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolving(monkeypatch, "93.184.215.14", address)

    with pytest.raises(DataError, match="not public"):
        uris.public_address(HOST, 443)


def test_a_public_address_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.215.14")

    assert uris.public_address(HOST, 443) == "93.184.215.14"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, quietly; ``/moved`` redirects, ``/cut`` ends before its length."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "https://127.0.0.1/secret")
            self.end_headers()
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
        else:
            super().do_GET()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A TLS server that counts as public; its base URI."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    http = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(settings.allowed_roots[0])))
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setattr(uris, "_is_public", lambda _address: True)
    resolving(monkeypatch, "127.0.0.1")
    yield f"https://{HOST}:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_file_is_fetched_over_tls_with_the_hosts_own_name(server: str, settings: Settings) -> None:
    target = settings.data_dir / "fetched"

    uris.fetch(f"{server}/file.zip", target, settings, max_bytes=100)

    assert target.read_bytes() == b"content"


@pytest.mark.parametrize(
    ("path", "limit", "word"),
    [("moved", 100, "redirects"), ("missing", 100, "404"), ("file.zip", 3, "at most 3"), ("cut", 2000, "cut off")],
)
def test_what_cannot_be_fetched_whole_leaves_nothing_behind(
    server: str, settings: Settings, path: str, limit: int, word: str
) -> None:
    target = settings.data_dir / "fetched"

    with pytest.raises(DataError, match=word):
        uris.fetch(f"{server}/{path}", target, settings, max_bytes=limit)

    assert list(settings.data_dir.glob("fetched*")) == []


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_neither_file_nor_folder_is_refused(settings: Settings, kind: str) -> None:
    path = settings.allowed_roots[0] / kind
    if kind == "pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(DataError, match="is a pipe, a socket or a device: name a file or a folder"):
        uris.check(path.as_uri(), settings)
