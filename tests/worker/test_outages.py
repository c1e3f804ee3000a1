"""What a job stands: a worker stopped with a lock in its hand, a database, a store or a broker that is away."""

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, make_url

from app.record.states import JobState, StepKind
from app.settings import Settings
from tests.support import servers
from tests.support.service import Service, WorkerProcess, in_the_middle, running


@pytest.fixture(scope="module")
def broker(server_folder: Path) -> Iterator[ExitStack]:
    """A broker of this module's own; closing the stack ends it."""
    with ExitStack() as stack:
        folder = server_folder / "own"
        folder.mkdir()
        stack.enter_context(servers.broker(folder))
        yield stack


@pytest.fixture(scope="module")
def service(
    broker: ExitStack, server_folder: Path, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """PostgreSQL, a folder, and two workers."""
    with servers.new_database(postgres_url) as database_url:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("data"),
            database_url=database_url,
            broker_url=f"redis+socket://{server_folder}/own/broker.sock?virtual_host=0",
            queue="outages",
            threads=1,
            lease_seconds=3.0,
            renew_seconds=0.4,
            poll_seconds=0.1,
            flush_seconds=0.5,
        )
        with running(settings, tmp_path_factory.mktemp("files")) as service:
            service.start(2)
            yield service


@contextmanager
def maintenance(service: Service, postgres_url: str) -> Iterator[tuple[Connection, str]]:
    """A connection to another database of the server, and the name of the service's own."""
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection, str(make_url(service.settings.database_url).database)
    engine.dispose()


def asleep(connection: Connection) -> bool:
    """Whether a session of this database has locked a job's row and has done nothing for a tenth of a second."""
    found = connection.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid)"
            " WHERE a.datname = current_database() AND a.state = 'idle in transaction'"
            " AND a.state_change < clock_timestamp() - interval '90 ms'"
            " AND l.relation = 'jobs'::regclass AND l.mode = 'RowShareLock'"
        )
    )
    return bool(found)


def stop_while_it_locks_a_job(service: Service, worker: WorkerProcess) -> None:
    """Stop a worker's clock at random moments, until one is in the middle of a transaction that locks a job's row."""
    engine = create_engine(
        make_url(service.settings.database_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        deadline = time.monotonic() + 60
        while not asleep(connection):
            assert time.monotonic() < deadline, "the worker was never met inside such a transaction"
            worker.signal(signal.SIGCONT)
            time.sleep(0.005)
            worker.signal(signal.SIGSTOP)
            time.sleep(0.1)  # the other worker's own short transactions end meanwhile
    engine.dispose()


def test_a_worker_stopped_with_a_jobs_lock_holds_up_nobody_and_goes_on_when_it_wakes(service: Service) -> None:
    sleeper, other = service.alive
    job_id = service.submit(points=8, epochs=24)
    service.wait(lambda: {step.worker for step in service.claimed(job_id)} >= {sleeper.id, other.id}, "both to work")
    stop_while_it_locks_a_job(service, sleeper)
    try:
        service.finish(job_id)
    finally:
        sleeper.signal(signal.SIGCONT)
    assert other.stop() == 0
    service.finish(service.submit())
    service.start()


def test_a_job_survives_a_database_that_goes_away(service: Service, postgres_url: str) -> None:
    job_id = service.submit(points=4, epochs=100)
    service.wait(lambda: in_the_middle(service, job_id, StepKind.POINT), "a running point")
    with maintenance(service, postgres_url) as (connection, name):
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        time.sleep(1)
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    service.finish(job_id)
    assert len(service.alive) == 2


def test_a_job_survives_a_store_that_goes_away_and_no_attempt_is_counted(service: Service) -> None:
    job_id = service.submit(points=2, epochs=100)
    service.wait(lambda: in_the_middle(service, job_id, StepKind.POINT), "a running point")
    store = service.settings.data_dir / "store"
    store.rename(away := store.with_name("store-away"))
    store.touch()  # a file where the folder should be: every put and get fails
    service.wait(lambda: all(step.outcome for step in service.points(job_id)), "all points to be trained")
    time.sleep(1)
    assert service.job(job_id).state == JobState.TUNING
    store.unlink()
    away.rename(store)
    service.finish(job_id)
    assert {step.attempts for step in service.steps(job_id)} == {1}


@contextmanager
def no_room_for_weights(service: Service) -> Iterator[None]:
    """The workers may write no file of a mebibyte, as on a disk that is nearly full: the model's has one and a half."""
    limits = {
        worker.process.pid: resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE) for worker in service.alive
    }
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        yield
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def test_a_job_survives_a_full_disk_and_no_attempt_is_counted(service: Service) -> None:
    with no_room_for_weights(service):
        job_id = service.submit(points=2)
        said = "the disk is full, so the step is given back"
        logs = [worker.log for worker in service.alive]
        service.wait(lambda: any(said in log.read_text() for log in logs), "a worker to have no room")
        assert service.job(job_id).state == JobState.CONCLUDING
    service.finish(job_id)
    assert {step.attempts for step in service.steps(job_id)} == {1}


def test_jobs_go_on_without_a_broker_and_workers_end_when_they_are_told_to(service: Service, broker: ExitStack) -> None:
    broker.close()
    service.finish(service.submit())
    assert [worker.stop() for worker in service.alive] == [0, 0]
