"""``mlflow server`` itself, as people start it, on a free port and a folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120.0
"""It imports for half a minute on a slow core, twice."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of a server whose runs are in SQLite and whose artifacts lie in ``folder``, given by the server alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        # in a session of its own: it starts another process, which a signal to it alone leaves behind for ten seconds
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, folder / "mlflow.log")
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
