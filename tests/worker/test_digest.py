"""The same job, whatever happens to its workers: one result. Real processes, killed and stopped for real."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.record.states import StepKind, StepState
from app.record.tables import Step
from app.settings import Settings
from tests.support import servers
from tests.support.service import Service, WorkerProcess, running

POINTS = 6
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
            places["database_url"] = stack.enter_context(servers.new_database(server))
            places["store_url"] = servers.new_prefix(request.getfixturevalue("s3"))
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


def submit(service: Service) -> str:
    """A job in which every method takes part and unlearns something, and the task vectors are kept."""
    point = {"epochs": EPOCHS, "batch_size": 8, "label_smoothing": 0.1}
    return service.submit(
        sweep={"points": [point | {"learning_rate": 1e-3 * (1 + i)} for i in range(POINTS)]},
        scale_search={"keep": 0.5, "extend": False},
        compare=["task_arithmetic", "uniform", "ties", "magmax"],
        keep_task_vectors=True,
    )


def result(service: Service, job_id: str) -> dict[str, Any]:
    """All that a job which succeeds has to say, but for who it is and how long it took.

    Its result document with every method's scale, curve and figures and every point's digest, and the digests of all
    files but those that are written from the document.
    """
    digests = service.digests(job_id)
    keys = {path: key for key, path in service.artifact_keys(job_id).items()}
    document: dict[str, Any] = json.loads(service.store.read(keys["result.json"]))
    assert document.pop("job") == job_id
    del document["asked"]  # who and when
    assert document["digests"] == digests
    for point in document["points"]:
        del point["seconds"], point["seconds_to_scale"], point["training_seconds"]
    for row in [*document["methods"].values(), *document["table"]]:
        row.pop("seconds", None)
    files = {path: sha256 for path, sha256 in service.artifact_digests(job_id).items() if path.endswith("safetensors")}
    return document | {"files": files}


@pytest.fixture(scope="module")
def undisturbed(service: Service) -> dict[str, Any]:
    """The result that one worker gets in peace."""
    service.start()
    return result(service, submit(service))


def test_every_method_unlearns_and_every_file_is_compared(undisturbed: dict[str, Any]) -> None:
    """Else equal results would say little: a scale of 0 gives the base model back, whatever was merged."""
    scales = {name: figures["scale"] for name, figures in undisturbed["methods"].items() if name != "base"}
    assert set(scales) == {"negmerge", "task_arithmetic", "uniform", "ties", "magmax"}
    assert all(scale > 0 for scale in scales.values())
    assert len(undisturbed["files"]) == 3 + POINTS  # the weights, τ*, what θ₀ was of it, and each point's τ


@pytest.fixture
def trio(service: Service, undisturbed: dict[str, Any]) -> list[WorkerProcess]:
    """Three workers."""
    service.start(3 - len(service.alive))
    return service.alive


def test_three_workers_get_what_one_gets(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = submit(service)
    assert result(service, job_id) == undisturbed


def test_three_workers_share_the_points(service: Service, trio: list[WorkerProcess]) -> None:
    job_id = submit(service)
    service.finish(job_id)
    assert len({step.worker for step in service.points(job_id)}) > 1


def test_a_worker_killed_in_the_middle_of_a_point_changes_nothing(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = submit(service)
    victim = _one_with_a_trained_point(service, job_id)
    victim.kill()
    assert result(service, job_id) == undisturbed
    assert "step.reopened" in service.events(job_id)


def test_a_worker_that_slept_past_its_lease_neither_folds_twice_nor_overwrites(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = submit(service)
    sleeper = _one_with_a_trained_point(service, job_id)
    service.pause(sleeper, job_id)
    service.wait(lambda: not _held_by(service, job_id, sleeper), "the end of the sleeper's leases")
    sleeper.signal(signal.SIGCONT)
    assert result(service, job_id) == undisturbed
    assert [step.state for step in service.points(job_id)] == [StepState.FOLDED] * POINTS


def test_a_worker_that_slept_until_the_job_was_over_changes_nothing_and_goes_on_working(
    service: Service, undisturbed: dict[str, Any], trio: list[WorkerProcess]
) -> None:
    job_id = submit(service)
    sleeper = _one_with_a_trained_point(service, job_id)
    service.pause(sleeper, job_id)
    service.finish(job_id)
    before = {key: service.store.read(key) for key in service.artifact_keys(job_id)}
    sleeper.signal(signal.SIGCONT)
    others = [worker for worker in service.alive if worker is not sleeper]
    assert len(others) == 2
    for other in others:
        assert other.stop() == 0
    assert result(service, submit(service)) == undisturbed
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
