"""The same job, whatever happens to its workers: one digest. Real processes, killed and stopped for real."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.settings import Settings
from app.states import StepKind, StepState
from app.tables import Step
from tests.conftest import new_prefix
from tests.service import Service, WorkerProcess, new_postgres_database, running

POINTS = 8
EPOCHS = 24


@pytest.fixture(scope="module", params=["embedded", "production"])
def service(
    request: pytest.FixtureRequest, broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """SQLite and a folder, or PostgreSQL and S3; no worker yet."""
    with ExitStack() as stack:
        places: dict[str, Any] = {}
        if request.param == "production":
            server = request.getfixturevalue("postgres_url")
            places["database_url"] = stack.enter_context(new_postgres_database(server))
            places["store_url"] = new_prefix(request.getfixturevalue("s3"))
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("data"),
            broker_url=broker_url,
            queue=f"digest-{request.param}",
            threads=1,
            lease_seconds=2.0,
            renew_seconds=0.4,
            poll_seconds=0.1,
            flush_seconds=1.0,
            **places,
        )
        yield stack.enter_context(running(settings, tmp_path_factory.mktemp("files")))


@pytest.fixture(scope="module")
def undisturbed(service: Service) -> dict[str, Any]:
    """The digests that one worker gets in peace."""
    service.start()
    return service.digests(service.submit(POINTS, EPOCHS))


@pytest.fixture
def trio(service: Service, undisturbed: dict[str, Any]) -> list[WorkerProcess]:
    """Three workers."""
    service.start(3 - len(service.alive))
    return service.alive


def test_three_workers_get_what_one_gets(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = service.submit(POINTS, EPOCHS)
    assert service.digests(job_id) == undisturbed


def test_three_workers_share_the_points(service: Service, trio: list[WorkerProcess]) -> None:
    job_id = service.submit(POINTS, EPOCHS)
    service.finish(job_id)
    assert len({step.worker for step in service.points(job_id)}) > 1


def test_a_worker_killed_in_the_middle_of_a_point_changes_nothing(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = service.submit(POINTS, EPOCHS)
    victim = _one_with_a_trained_point(service, job_id)
    victim.kill()
    assert service.digests(job_id) == undisturbed
    assert "step.reopened" in service.events(job_id)


def test_a_worker_that_slept_past_its_lease_neither_folds_twice_nor_overwrites(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = service.submit(POINTS, EPOCHS)
    sleeper = _one_with_a_trained_point(service, job_id)
    service.pause(sleeper, job_id)
    service.wait(lambda: not _held_by(service, job_id, sleeper), "the end of the sleeper's leases")
    sleeper.signal(signal.SIGCONT)
    assert service.digests(job_id) == undisturbed
    assert all(step.state == StepState.FOLDED for step in service.points(job_id))


def test_a_worker_that_slept_until_the_job_was_over_changes_nothing_and_goes_on_working(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = service.submit(POINTS, EPOCHS)
    sleeper = _one_with_a_trained_point(service, job_id)
    service.pause(sleeper, job_id)
    service.finish(job_id)
    before = {key: service.store.read(key) for key in service.artifact_keys(job_id)}
    sleeper.signal(signal.SIGCONT)
    for other in [worker for worker in service.alive if worker is not sleeper]:
        assert other.stop() == 0
    assert service.digests(service.submit(POINTS, EPOCHS)) == undisturbed
    assert {key: service.store.read(key) for key in service.artifact_keys(job_id)} == before


def _one_with_a_trained_point(service: Service, job_id: str) -> WorkerProcess:
    """A worker that is in the middle of a point and has another one trained and not yet committed."""
    found: list[WorkerProcess] = []

    def look() -> bool:
        for worker in service.alive:
            held = _held_by(service, job_id, worker)
            if any(step.outcome for step in held) and any(not step.outcome for step in held):
                found.append(worker)
        return bool(found)

    service.wait(look, "a worker with a trained point")
    return found[0]


def _held_by(service: Service, job_id: str, worker: WorkerProcess) -> list[Step]:
    return [step for step in service.claimed(job_id) if step.kind == StepKind.POINT and step.worker == worker.id]
