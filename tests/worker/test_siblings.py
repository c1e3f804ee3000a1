"""Two workers on one device, as ``NEGMERGE_WORKERS_PER_DEVICE`` starts them: real processes, and one result."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.record.tables import Worker
from app.settings import Settings
from tests.support.service import Service, environment, running

PATIENCE = 120.0


@pytest.fixture(scope="module")
def service(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), broker_url=broker_url, queue="siblings", threads=1, device="cpu"
    )
    with running(settings, tmp_path_factory.mktemp("files")) as service:
        yield service


@pytest.fixture(scope="module")
def alone(service: Service) -> dict[str, str]:
    """The digests of a job that one worker did."""
    [worker] = service.start()
    digests = service.digests(service.submit(epochs=24))
    worker.stop()
    return digests


@pytest.fixture(scope="module")
def together(service: Service, alone: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process that started two workers on one device."""
    variables = environment(service.settings) | {"NEGMERGE_WORKERS_PER_DEVICE": "2"}
    with (service.settings.data_dir / "together.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "worker"], env=os.environ | variables, stdout=log, stderr=log)
    try:
        service.wait(lambda: len(processes(service)) == 2, "two workers")
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def processes(service: Service) -> set[int]:
    """The process ids of the workers that the record knows."""
    with service.database.read() as session:
        return set(session.scalars(select(Worker.pid)))


def children(process: subprocess.Popen[bytes]) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


def test_two_on_one_device_get_what_one_gets(
    service: Service, alone: dict[str, str], together: subprocess.Popen[bytes]
) -> None:
    job_id = service.submit(epochs=24)
    assert service.digests(job_id) == alone
    assert len({step.worker for step in service.points(job_id)}) == 2


def test_one_that_is_killed_is_started_again(service: Service, together: subprocess.Popen[bytes]) -> None:
    before = children(together)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    service.wait(lambda: len(children(together) - {victim}) == 2, "another worker")
    assert len(children(together) & before) == 1


def test_on_term_both_end_and_it_ends_with_them(service: Service, together: subprocess.Popen[bytes]) -> None:
    both = children(together)
    together.terminate()
    assert together.wait(PATIENCE) == 0
    assert not [pid for pid in both if Path(f"/proc/{pid}").exists()]
