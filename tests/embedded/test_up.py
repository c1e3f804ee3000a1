"""``python -m app up`` as people run it: real children, killed and stopped for real."""

import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import httpx
import pytest
import torch

from app.page.throttle import TRIES
from app.record import steps
from app.record.db import Database
from app.record.leases import Arithmetic
from app.settings import Settings
from tests.support import pico, records
from tests.support.generated_client import Generated, generate, modules
from tests.support.servers import free_port

PATIENCE = 180.0

pytestmark = pytest.mark.server


class Up:
    """A running ``up`` and what it printed."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.output = data_dir.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command(data_dir, self.port), stdout=output, stderr=output, process_group=0)

    @property
    def printed(self) -> str:
        return self.output.read_text()

    @property
    def key(self) -> str:
        return (self.data_dir / "api-key").read_text().strip()

    def ready(self) -> bool:
        assert self.process.poll() is None, self.printed
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def children(self) -> dict[str, int]:
        """Process id of each child: ``serve``, ``worker`` and ``broker``, told apart by the program that it runs.

        The broker rewrites its command line, and so does Celery's worker where setproctitle is installed.
        """
        found = {}
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                program = Path(f"/proc/{pid}/exe").readlink().name
            except FileNotFoundError:
                continue
            if "up" in arguments:
                continue  # it is a child that has not begun yet
            python = program.startswith("python")
            found["broker" if not python else "serve" if "serve" in arguments else "worker"] = int(pid)
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=30,
        )

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


def command(data_dir: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "app", "up", "--data-dir", str(data_dir), "--port", str(port)]


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def tuning_job(database: Database, threads: int) -> str:
    """A job that was prepared with so many threads, on a queue that nobody listens to; its id."""
    job_id = records.make_job(database, queue="nobody-listens")
    arithmetic = Arithmetic("cpu", threads)
    held = records.claim(database, records.make_worker(arithmetic, queue="nobody-listens"))
    with database.write() as session:
        steps.finish_prepare(session, held, records.register(session, held, "prepared"), arithmetic)
    return job_id


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A data directory, and the jobs in it that were begun with this machine's threads and with others."""
    data_dir = tmp_path_factory.mktemp("up") / "data"
    settings = Settings(data_dir=data_dir)
    database = Database(settings.database_url)
    database.migrate()
    mine, other = tuning_job(database, settings.cpu_threads), tuning_job(database, 99)
    database.dispose()
    return data_dir, mine, other


@pytest.fixture(scope="module")
def up(waiting: tuple[Path, str, str]) -> Iterator[Up]:
    up = Up(waiting[0])
    try:
        wait(up.ready)
        wait(lambda: "Ready" in up.printed)
        yield up
    finally:
        if up.process.poll() is None:
            up.stop()


def test_the_first_key_is_printed_once_and_kept_for_its_owner_only(up: Up) -> None:
    assert up.printed.count(up.key) == 1
    assert stat.S_IMODE((up.data_dir / "api-key").stat().st_mode) == 0o600


def test_it_warns_of_jobs_that_only_workers_with_other_threads_can_take(up: Up, waiting: tuple[Path, str, str]) -> None:
    _, mine, other = waiting
    assert f"{other} waits for workers with 99 threads" in up.printed
    assert mine not in up.printed


def test_nobody_signs_in_by_guessing_under_other_addresses(up: Up) -> None:
    statuses = []
    for number in range(TRIES + 1):
        here = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": f"198.51.100.{number}"}
        data = {"key": "nm_0_" + "0" * 64}
        statuses.append(httpx.post(f"{up.url}/sign-in", data=data, headers=here).status_code)
    assert statuses == [401] * TRIES + [429]


def test_a_job_goes_from_upload_to_weights(up: Up, tmp_path: Path) -> None:
    torch.set_num_threads(1)  # two threads that fight over a busy core take ten times as long
    model = Path(shutil.make_archive(str(tmp_path / "model"), "zip", pico.make_model(tmp_path / "folder")))
    digits = pico.make_archive(tmp_path / "digits.zip")
    with up.client() as client:
        model_id = client.post("/v1/models", files={"file": model.read_bytes()}).raise_for_status().json()["id"]
        dataset_id = client.post("/v1/datasets", files={"file": digits.read_bytes()}).json()["id"]
        spec = {
            "base_model": {"family": "open_clip", "weights": model_id},
            "forget": {"dataset": dataset_id, "select": {"classes": ["three"]}},
            "retain": {"dataset": dataset_id},
            "sweep": {"grid": {"learning_rate": [1e-3, 2e-3], "batch_size": [8]}},
        }
        job = client.post("/v1/jobs", json=spec).raise_for_status().headers["Location"]
        wait(lambda: client.get(job).json()["terminal"])
        result = client.get(f"{job}/result").raise_for_status().json()
        weights = client.get(f"{job}/weights").raise_for_status().content
    assert result["digests"]["unlearned"] == f"sha256:{hashlib.sha256(weights).hexdigest()}"


@pytest.fixture
def generated(up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Generated]:
    """A client made of this service's description."""
    generate(httpx.get(f"{up.url}/openapi.json").json(), tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in modules(tmp_path):
        import_module(name)  # not every mistake of a generator is a warning
    with Generated(up.url, up.key) as client:
        yield client


def test_a_generated_client_takes_a_job_from_upload_to_weights(up: Up, generated: Generated, tmp_path: Path) -> None:
    models, call = generated.models, generated.call
    folder = pico.make_model(tmp_path / "folder")
    model = call(
        "models",
        "create_model",
        body=models.ModelUpload(
            file=generated.file(folder / "open_clip_model.safetensors"),
            config=(folder / "open_clip_config.json").read_text(),
        ),
    )
    archive = generated.file(pico.make_archive(tmp_path / "digits.zip"))
    dataset = call("datasets", "create_dataset", body=models.DatasetUpload(file=archive, name="digits"))
    spec = models.JobSpec(
        base_model=models.OpenClipModel(family="open_clip", weights=model.id),
        forget=models.DatasetRef(dataset=dataset.id, select=models.Select(classes=["three"])),
        retain=models.DatasetRef(dataset=dataset.id),
        sweep=models.Sweep(grid=models.Grid(learning_rate=[1e-3], batch_size=[8])),
    )
    spec.metadata = models.JobSpecMetadata.from_dict({"ticket": "GEN-1"})
    assert call("jobs", "create_job", body=spec, dry_run=True).estimate.points == 1
    job = call("jobs", "create_job", body=spec, idempotency_key="generated")
    wait(lambda: bool(call("jobs", "get_job", job.id).terminal))

    ours = models.ListJobsMetadataFilter.from_dict({"metadata.ticket": "GEN-1"})
    assert [one.id for one in call("jobs", "list_jobs", metadata=ours).data] == [job.id]
    assert call("jobs", "get_job", job.id).spec.to_dict()["forget"] == spec.to_dict()["forget"]
    assert [point.state for point in call("evidence", "list_job_points", job.id).data] == ["folded"]
    assert call("evidence", "list_job_events", job.id).data[-1].kind == "job.succeeded"
    stricter = models.DerivedJobSpec(from_job=job.id, require=models.Require(forget_max=0.5))
    assert call("jobs", "create_job", body=stricter, dry_run=True).spec.from_job == job.id
    result = call("evidence", "get_job_result", job.id)
    weights = call("artifacts", "get_job_weights", job.id).payload.read()
    assert result.digests.unlearned == f"sha256:{hashlib.sha256(weights).hexdigest()}"
    by_path = call("artifacts", "get_job_artifact", job.id, "unlearned/open_clip_model.safetensors", range_="bytes=0-7")
    assert by_path.payload.read() == weights[:8]
    assert call("jobs", "get_job", "job_1").type_ == "urn:negmerge:problem:not-found"


def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    second = subprocess.run(command(up.data_dir, free_port()), capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"another `up` (process {up.process.pid})" in second.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(command(tmp_path / "data", port), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"port {port}" in ended.stderr


@pytest.mark.parametrize("name", ["broker", "serve", "worker"])
def test_a_child_that_dies_is_started_again(up: Up, name: str) -> None:
    before = up.children()[name]
    os.kill(before, signal.SIGKILL)
    wait(lambda: up.children().get(name) not in (None, before))
    wait(up.ready)


def test_term_stops_everything(up: Up) -> None:
    children = up.children()
    assert up.stop() == 0
    assert len(children) == 3
    assert all(is_gone(pid) for pid in children.values())


def test_no_child_survives_when_it_is_killed(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    try:
        wait(lambda: len(up.children()) == 3)
        children = up.children()
    finally:
        up.process.kill()
        up.process.wait()
    wait(lambda: all(is_gone(pid) for pid in children.values()))
