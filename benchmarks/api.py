"""The front door: how long POST /v1/jobs takes, and what the API costs in time and memory before it answers.

A real uvicorn in a process of its own, SQLite on disk, a folder as the store, a real broker. The issue's targets:
median under 30 ms, import under 1.5 s, under 150 MB.
"""

import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from PIL import Image

from app import auth
from app.embedded import valkey
from app.record.db import Database
from app.settings import Settings
from benchmarks.timing import spread
from tooling.machine import machine

POSTS = 200
WARM_UP = 20
IMPORTS = 7
MEASURE_IMPORT = """
import time; started = time.perf_counter()
import app.main
print(time.perf_counter() - started, time.process_time())
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"): print(line.split()[1])
"""


def main() -> None:
    """Measure and print."""
    print(machine())
    print(", ".join(f"{name} {version(name)}" for name in ("uvicorn", "fastapi", "sqlalchemy", "pydantic")))
    seconds, cpu, kilobytes = zip(*(_import_once() for _ in range(IMPORTS)), strict=True)
    print(f"import app.main: {spread(seconds)}, of CPU {spread(cpu)}, {max(kilobytes) / 1000:.0f} MB at the peak")
    with tempfile.TemporaryDirectory(prefix="nm-") as folder:
        _measure_posts(Path(folder))


def _import_once() -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak kilobytes of a fresh interpreter that imports the application."""
    done = subprocess.run([sys.executable, "-c", MEASURE_IMPORT], capture_output=True, text=True, check=True)
    seconds, cpu, kilobytes = done.stdout.split()
    return float(seconds), float(cpu), float(kilobytes)


def _measure_posts(folder: Path) -> None:
    settings = Settings(data_dir=folder, port=_free_port())
    environment = os.environ | {"NEGMERGE_DATA_DIR": str(folder), "NEGMERGE_PORT": str(settings.port)}
    key = _prepare(settings)
    broker = valkey.command(valkey.carried(), folder / "broker.sock")
    with (
        _running(broker, environment, folder / "broker.log"),
        _running([sys.executable, "-m", "app", "serve"], environment, folder / "api.log") as api,
        httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", trust_env=False) as client,
    ):
        client.headers["Authorization"] = f"Bearer {key}"
        _wait(client)
        spec = _spec(client)
        for name, change in (("12 points", _grid(12)), ("1000 points", _grid(1000))):
            times = [_post(client, spec | change, number) for number in range(WARM_UP + POSTS)][WARM_UP:]
            print(f"POST /v1/jobs, {name}: {spread(times, 'ms')}, p95 {quantiles(times, n=20)[18]:.1f} ms")
        print(f"API process after {2 * (POSTS + WARM_UP)} jobs: {_peak_megabytes(api.pid):.0f} MB at the peak")


def _grid(points: int) -> dict[str, Any]:
    """A sweep of so many points."""
    return {"sweep": {"points": [{"epochs": number + 1} for number in range(points)]}}


def _post(client: httpx.Client, spec: dict[str, Any], number: int) -> float:
    """Milliseconds of one submission that is answered with 202."""
    started = time.perf_counter()
    answer = client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": f"{len(str(spec))}-{number}"})
    milliseconds = (time.perf_counter() - started) * 1000
    answer.raise_for_status()
    return milliseconds


def _spec(client: httpx.Client) -> dict[str, Any]:
    """A job on an uploaded data set of the digits' size and a registered model."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1797):
            image = io.BytesIO()
            Image.new("L", (8, 8), number % 256).save(image, "PNG")
            archive.writestr(f"{number % 10}/{number:04}.png", image.getvalue())
    dataset = client.post("/v1/datasets", files={"file": ("digits.zip", buffer.getvalue())}).raise_for_status().json()
    model = client.post("/v1/models", json={"architecture": "ViT-B-32", "weights": "openai"}).raise_for_status()
    return {
        "base_model": {"family": "open_clip", "weights": model.json()["id"]},
        "forget": {"dataset": dataset["id"], "select": {"classes": ["1"]}},
        "retain": {"dataset": dataset["id"]},
    }


def _prepare(settings: Settings) -> str:
    """All tables, and a key."""
    database = Database(settings.database_url)
    database.migrate()
    with database.write() as session:
        _, key = auth.create_key(session, "benchmark")
    database.dispose()
    return key


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait(client: httpx.Client) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if client.get("/healthz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit("the API did not start")


def _peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1000


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
