"""A small hub that takes models as Hugging Face's does, keeps them, and gives them back; on a free port.

Its routes are those that huggingface_hub calls: a repository and a branch made, a card judged, files asked about, large
ones put by git-lfs's batch API, a commit as lines of JSON; then what a download asks for.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from huggingface_hub import constants

TOKEN = "hf_of_a_test"
OWNER = "me"

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Repository:
    """Each branch is its list of commits, and a commit is all files by their paths."""

    private: bool
    branches: dict[str, list[dict[str, bytes]]] = field(default_factory=lambda: {"main": [{}]})

    def commit_id(self, branch: str) -> str:
        """40 hex digits that differ by branch and number of commits."""
        return hashlib.sha1(f"{branch} {len(self.branches[branch])}".encode()).hexdigest()

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files at a branch or a commit; None where there is none such."""
        for branch, commits in self.branches.items():
            if revision in (branch, self.commit_id(branch)):
                return commits[-1]
        return None


@dataclass
class Hub:
    """url: its address. asked: method and path of each request."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> Answer:
        """What the hub says to a request; the token is asked for wherever something is written, not to judge a card."""
        self.asked.append((method, path))
        if method == "PUT" and (oid := re.fullmatch(r"/lfs/(\w+)", path)):
            return self._put(oid[1], body)
        if path == "/api/validate-yaml":
            return _judged(json.loads(body)["content"])
        if method == "POST" and token != f"Bearer {TOKEN}":
            return _json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/lfs/verify":
            put = json.loads(body)
            return _json({}, 200 if len(self.large[put["oid"]]) == put["size"] else 422)
        return self._of_repository(path, body)

    def _create(self, document: Any) -> Answer:
        owner, name = document["organization"] or OWNER, document["name"]
        if owner != OWNER:
            return _json({"error": "You don't have the rights"}, 403)
        there = f"{owner}/{name}" in self.repositories
        if not there:
            self.repositories[f"{owner}/{name}"] = Repository(document.get("visibility") == "private")
        return _json({"url": f"{self.url}/{owner}/{name}"}, 409 if there else 200)

    def _of_repository(self, path: str, body: bytes) -> Answer:
        found = re.fullmatch(r"(?:/api/models)?/([\w.-]+/[\w.-]+?)(?:\.git)?(/.*)?", path)
        repository = self.repositories.get(found[1]) if found else None
        if found is None or repository is None:
            return _json({}, 404, {"X-Error-Code": "RepoNotFound"})
        rest = found[2] or "/revision/main"
        action, _, revision = rest[1:].partition("/")
        if rest == "/info/lfs/objects/batch":
            return self._batch(json.loads(body))
        if action == "branch":
            there = revision in repository.branches
            repository.branches.setdefault(revision, [dict(repository.branches["main"][-1])])
            return _json({}, 409 if there else 200)
        if action == "preupload":
            return _modes(repository, revision, json.loads(body))
        if action == "commit":
            return self._commit(found[1], repository, revision, body)
        if action == "resolve":
            return _file(repository, *revision.split("/", 1))
        files = repository.files(revision)
        if files is None:
            return _json({}, 404, {"X-Error-Code": "RevisionNotFound"})
        if action == "tree":
            return _json([_entry(name, content) for name, content in files.items()])
        sha = next(repository.commit_id(name) for name in repository.branches if repository.files(name) is files)
        siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
        return _json({"id": found[1], "sha": sha, "private": repository.private, "siblings": siblings})

    def _batch(self, document: Any) -> Answer:
        """Where to put each object that is not there yet (git-lfs's batch API, transfer ``basic``)."""
        objects = []
        for one in document["objects"]:
            place = {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}, "verify": {"href": f"{self.url}/lfs/verify"}}
            objects.append(one | ({} if one["oid"] in self.large else {"actions": place}))
        return _json({"transfer": "basic", "objects": objects})

    def _put(self, oid: str, body: bytes) -> Answer:
        if hashlib.sha256(body).hexdigest() != oid:
            return _json({"error": "the bytes are others"}, 422)
        self.large[oid] = body
        return _json({})

    def _commit(self, name: str, repository: Repository, branch: str, body: bytes) -> Answer:
        files = dict(repository.branches[branch][-1])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
        repository.branches[branch].append(files)
        commit = repository.commit_id(branch)
        return _json({"commitUrl": f"{self.url}/{name}/commit/{commit}", "commitOid": commit})


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode()


def _judged(card: str) -> Answer:
    """Whether a card's head is YAML that says a task, each figure of which is a number."""
    try:
        head = yaml.safe_load(card.split("---\n", 2)[1])
        figures = [metric for one in head["model-index"] for result in one["results"] for metric in result["metrics"]]
        assert all(isinstance(metric["value"], float) for metric in figures)
    except (yaml.YAMLError, LookupError, TypeError, AssertionError) as error:
        return _json({"errors": [{"message": str(error)}], "warnings": []}, 400)
    return _json({"errors": [], "warnings": []})


def _modes(repository: Repository, revision: str, document: Any) -> Answer:
    """Which files go by git-lfs, and what is there under their names."""
    there = repository.files(unquote(revision)) or {}
    files = []
    for one in document["files"]:
        path, large = one["path"], one["path"].endswith(".safetensors")
        oid = _oid(there[path], large) if path in there else None
        files.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
    return _json({"files": files})


def _oid(content: bytes, large: bool) -> str:
    """As git names a file, or as git-lfs does."""
    return (hashlib.sha256(content) if large else hashlib.sha1(b"blob %d\0" % len(content) + content)).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": _oid(content, large=False)}


def _file(repository: Repository, revision: str, name: str) -> Answer:
    files = repository.files(revision) or {}
    if name not in files:
        return _json({}, 404, {"X-Error-Code": "EntryNotFound"})
    [commit] = {repository.commit_id(one) for one in repository.branches if repository.files(one) is files}
    headers = {"ETag": f'"{hashlib.sha256(files[name]).hexdigest()}"', "X-Repo-Commit": commit}
    return 200, headers, files[name]


@contextmanager
def serving() -> Iterator[Hub]:
    """An empty hub that listens."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            method = "GET" if self.command == "HEAD" else self.command
            status, headers, content = hub.answer(method, path, self.headers.get("Authorization"), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = _do

        def log_message(self, format: str, *args: object) -> None:
            pass

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


def speak_to(hub: Hub, patch: pytest.MonkeyPatch, cache: str) -> None:
    """Set what huggingface_hub reads of the environment when it is imported: the hub, no Xet, a cache of one's own."""
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_CACHE", cache)
    patch.setenv("HF_TOKEN", TOKEN)
