"""What ends a step before its time, and what becomes of the job: cancel, shutdown, errors, an empty broker."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from app.record import jobs
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Partial
from app.settings import Settings
from tests.support.service import CALLER, Service, in_the_middle, running

LONG = 4000  # epochs of a point that is not to be finished


@pytest.fixture(scope="module")
def service(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """SQLite, a folder, and one worker."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        broker_url=broker_url,
        queue="stop",
        threads=1,
        lease_seconds=2.0,
        renew_seconds=0.4,
        poll_seconds=0.1,
        flush_seconds=1.0,
    )
    with running(settings, tmp_path_factory.mktemp("files")) as service:
        service.start()
        yield service


def cancel(service: Service, job_id: str) -> None:
    """Ask for the job's end, and wait for it."""
    with service.database.write() as session:
        jobs.request_cancel(session, CALLER.tenant, job_id)
    service.wait(lambda: service.job(job_id).state == JobState.CANCELLED, "the cancel")


def assert_nothing_is_left(service: Service, job_id: str) -> None:
    assert service.claimed(job_id) == []
    service.wait(lambda: service.objects(job_id) == [], "the collection of the job's objects")


def test_a_queued_job_is_cancelled_at_once(service: Service) -> None:
    job_id = service.submit(queue="nobody-listens")
    cancel(service, job_id)
    assert_nothing_is_left(service, job_id)


@pytest.mark.parametrize("state", [JobState.PREPARING, JobState.CONCLUDING])
def test_a_job_is_cancelled_while_it_is(service: Service, state: JobState) -> None:
    job_id = service.submit(points=2)
    service.wait(lambda: service.job(job_id).state == state, state)
    cancel(service, job_id)
    assert_nothing_is_left(service, job_id)


def test_a_job_is_cancelled_while_it_is_tuning(service: Service) -> None:
    job_id = service.submit(points=2, epochs=LONG)
    service.wait(lambda: in_the_middle(service, job_id, StepKind.POINT), "a running point")
    cancel(service, job_id)
    assert_nothing_is_left(service, job_id)


def test_a_cancelled_job_keeps_nothing_of_the_points_that_were_folded(service: Service) -> None:
    job_id = service.submit(sweep={"points": [{"epochs": 1}, {"epochs": 2}, {"epochs": LONG}]})
    service.wait(lambda: "points.folded" in service.events(job_id), "a flush in the middle of the last point")
    cancel(service, job_id)
    assert_nothing_is_left(service, job_id)


def test_a_job_survives_an_emptied_broker(service: Service) -> None:
    job_id = service.submit()
    with Redis(unix_socket_path=service.settings.broker_url.split("://")[1].partition("?")[0]) as broker:
        broker.flushall()
        service.wait(lambda: service.job(job_id).state == JobState.TUNING, "tuning")
        broker.flushall()
    service.finish(job_id)


def test_a_worker_that_is_told_to_end_commits_what_it_has_and_gives_back_the_rest(service: Service) -> None:
    job_id = service.submit(sweep={"points": [{"epochs": 1}, {"epochs": LONG}]})
    service.wait(lambda: in_the_middle(service, job_id, StepKind.POINT), "the long point")
    assert service.alive[0].stop() == 0
    states = [(step.state, step.attempts) for step in service.points(job_id)]
    cancel(service, job_id)
    service.start()
    assert states == [(StepState.FOLDED, 1), (StepState.OPEN, 0)]


def test_an_error_that_would_come_again_fails_the_job_at_the_first_attempt(service: Service) -> None:
    job_id = service.submit(forget={"dataset": service.dataset_id, "select": {"classes": ["nine"]}})
    service.wait(lambda: service.job(job_id).state == JobState.FAILED, "the failure")
    problem = service.job(job_id).problem
    assert problem is not None
    assert (problem["type"], problem["attempts"]) == ("selection_error", 1)
    assert "nine" in problem["detail"]
    assert_nothing_is_left(service, job_id)


def test_a_point_that_diverges_is_left_out(service: Service) -> None:
    job_id = service.submit(sweep={"points": [{"learning_rate": 1e-3}, {"learning_rate": 1e30}]})
    service.finish(job_id)
    assert [step.state for step in service.points(job_id)] == [StepState.FOLDED, StepState.DIVERGED]


def test_a_point_that_diverges_fails_a_job_that_wants_it_so(service: Service) -> None:
    points = [{"learning_rate": 1e30}, {"learning_rate": 1e-3, "epochs": LONG}]
    job_id = service.submit(sweep={"points": points, "on_diverged": "fail"})
    service.wait(lambda: service.job(job_id).state == JobState.FAILED, "the failure")
    assert (service.job(job_id).problem or {})["type"] == "diverged_error"


def test_kept_task_vectors_are_artifacts_with_the_digests_that_the_record_tells(service: Service) -> None:
    job_id = service.submit(points=2, keep_task_vectors=True)
    service.finish(job_id)
    paths = {path: key for key, path in service.artifact_keys(job_id).items()}
    stored = {path: service.store.read(key) for path, key in paths.items()}
    digests = service.artifact_digests(job_id)
    assert {f"points/{i}/task_vector.safetensors" for i in range(2)} <= set(stored)
    assert {path: hashlib.sha256(content).hexdigest() for path, content in stored.items()} == digests


def test_a_job_that_succeeded_keeps_its_artifacts_its_accumulators_and_nothing_else(service: Service) -> None:
    job_id = service.submit()
    service.finish(job_id)
    with service.database.read() as session:
        [accumulators] = session.scalars(select(Partial.key).where(Partial.job_id == job_id))
    wanted = sorted([*service.artifact_keys(job_id), accumulators])
    service.wait(lambda: sorted(service.objects(job_id)) == wanted, "the collection of what is not an artifact")


def test_an_idle_worker_keeps_no_file_of_a_job_that_has_ended(service: Service) -> None:
    service.finish(service.submit())
    folders = [service.settings.data_dir / "cache" / "jobs", service.settings.data_dir / "tmp" / "workers"]

    def files() -> list[Any]:
        return [path for folder in folders for path in folder.rglob("*.safetensors")]

    service.wait(lambda: files() == [], "an empty cache")
