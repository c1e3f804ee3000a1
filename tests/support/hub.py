"""A hub of Hugging Face's as far as models are fetched from it: one commit of some repositories, on a free port."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """url: its address. asked: each request's method, path and Authorization."""

    url: str
    folders: dict[str, Path]
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextmanager
def serving(folders: dict[str, Path]) -> Iterator[Hub]:
    """A hub of these repositories, each with one commit, ``COMMIT``."""
    hub = Hub("", folders)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path, self.headers.get("Authorization")))
            status, headers, body = _found(hub, path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body)), "X-Repo-Commit": COMMIT}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _found(hub: Hub, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, as the hub answers."""
    for repository, folder in hub.folders.items():
        if path == f"/api/models/{repository}/revision/{COMMIT}":
            files = [{"rfilename": file.name, "size": file.stat().st_size} for file in folder.iterdir()]
            document = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": files}
            return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()
        if path.startswith(f"/api/models/{repository}/"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        file = folder / path.rpartition("/")[2]
        if path.startswith(f"/{repository}/resolve/{COMMIT}/") and file.is_file():
            content = file.read_bytes()
            return 200, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, content
    return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
