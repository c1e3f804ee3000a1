"""The embedded service as a child process, and the HTTP calls of one job against it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 180.0
"""On a machine that others keep busy, loading torch three times has taken more than one minute."""
STOP_SECONDS = 30.0

ENDINGS = {"job.succeeded", "job.failed", "job.cancelled"}


@contextmanager
def running(data_dir: Path, *, fresh: bool = True) -> Iterator[httpx.Client]:
    """``python -m app up`` over ``data_dir``: yields a client that carries its key, stops all at the end.

    fresh: forget what an earlier run left there; else its jobs go on where they stood.

    Two workers of one thread each: they share the points, and threads that fight over busy cores are slow.
    """
    if fresh:
        shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log = data_dir.with_suffix(".log")
    command = [sys.executable, "-m", "app", "up", "--data-dir", str(data_dir), "--port", str(port), "--workers", "2"]
    log.touch(mode=0o600)  # it holds the key that the service prints at its first start
    with log.open("w") as output:
        environment = os.environ | {"NEGMERGE_THREADS": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait_ready(client, process, log)
            client.headers["Authorization"] = f"Bearer {(data_dir / 'api-key').read_text().strip()}"
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def upload(client: httpx.Client, path: str, file: Path, fields: dict[str, str]) -> str:
    """POST a file with its form fields; returns the id of what it became."""
    with file.open("rb") as stream:
        return str(_checked(client.post(path, files={"file": (file.name, stream)}, data=fields))["id"])


def submit(client: httpx.Client, spec: dict[str, Any], key: str | None = None) -> str:
    """POST a job; returns its id. With an Idempotency-Key it is the id of the job that was made the first time."""
    headers = {"Idempotency-Key": key} if key else {}
    return str(_checked(client.post("/v1/jobs", json=spec, headers=headers))["id"])


def events(client: httpx.Client, job: str, pause: float = 0.25) -> Iterator[dict[str, Any]]:
    """A job's events as they happen, until one of them says that it has ended."""
    last = 0
    while True:
        page = _checked(client.get(f"/v1/jobs/{job}/events", params={"after": last}))
        for event in page["data"]:
            last = event["number"]
            yield event
            if event["kind"] in ENDINGS:
                return
        time.sleep(pause)


def download(client: httpx.Client, path: str, to: Path) -> None:
    """GET a file, streamed to disk."""
    with client.stream("GET", path) as response:
        if response.is_error:
            response.read()
            _checked(response)
        with to.open("wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise SystemExit(f"{response.request.method} {response.request.url} answered {response.text}")
    document: dict[str, Any] = response.json()
    return document


def _wait_ready(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the service did not start:\n{log.read_text()}")
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise SystemExit(f"the service was not ready within {START_SECONDS:.0f} s; its log is {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
