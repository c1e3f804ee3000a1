"""Who waits for whom, where writers lock rows: on PostgreSQL. On SQLite a writer has the whole record to itself."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.record import jobs, leases, reopening
from app.record.db import Database
from app.record.lifecycle import lock
from app.record.retries import Retries
from app.record.states import JobState, StepState
from app.record.tables import Step
from tests.support.records import (
    CAUSE,
    LEASE,
    SHORT,
    claim,
    claim_or_none,
    fail,
    let_the_lease_end,
    make_job,
    make_tuning_job,
    make_worker,
    point,
    read_job,
    renew,
    sweep,
)

Change = Callable[[Session], object]
"""What befalls a job, in a transaction that holds its lock."""


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """A thread for whoever waits."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@contextmanager
def locked(database: Database, job_id: str) -> Iterator[Session]:
    """A transaction that holds the job's lock to its end."""
    with database.write() as session:
        assert lock(session, job_id) is not None
        yield session


def until_it_waits(database: Database, waiting: "Future[Any]") -> None:
    """Return when the other thread waits for a lock."""
    waiters = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(1000):
        with database.read() as session:
            if session.scalar(waiters):
                return
        assert not waiting.done(), f"it did not wait: {waiting.exception() or waiting.result()}"
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


# Claiming


def _preparing_is_taken(database: Database) -> tuple[str, Change]:
    job_id, other = make_job(database), make_worker()
    return job_id, lambda session: leases.claim_next(session, other, LEASE)


def _the_last_point_is_taken(database: Database) -> tuple[str, Change]:
    job_id, other = make_tuning_job(database, points=1), make_worker()
    return job_id, lambda session: leases.claim_next(session, other, LEASE)


def _it_is_cancelled(database: Database) -> tuple[str, Change]:
    job_id = make_tuning_job(database, points=2)
    claim(database, make_worker())
    return job_id, lambda session: jobs.request_cancel(session, "acme", job_id)


def _it_fails(database: Database) -> tuple[str, Change]:
    job_id = make_tuning_job(database, points=2)
    held = claim(database, make_worker())
    return job_id, lambda session: reopening.fail_step(session, held, CAUSE, Retries(5, 0.0), final=True)


@pytest.mark.parametrize(
    "meanwhile",
    [_preparing_is_taken, _the_last_point_is_taken, _it_is_cancelled, _it_fails],
    ids=lambda case: case.__name__.strip("_").replace("_", " "),
)
def test_a_worker_that_waited_for_a_job_in_vain_takes_the_next_that_nobody_is_changing(
    postgres_database: Database,
    beside: ThreadPoolExecutor,
    meanwhile: Callable[[Database], tuple[str, Change]],
) -> None:
    first, change = meanwhile(postgres_database)
    second, third = (make_job(postgres_database) for _ in range(2))
    with locked(postgres_database, second):
        with locked(postgres_database, first) as session:
            waiting = beside.submit(claim_or_none, postgres_database, make_worker())
            until_it_waits(postgres_database, waiting)
            change(session)
        found = waiting.result(timeout=10)
    assert found is not None
    assert found.job_id == third


# What a session knew before it had the lock


def test_a_held_step_is_read_again(postgres_database: Database) -> None:
    make_tuning_job(postgres_database)
    held = claim(postgres_database, make_worker(), lease=30)
    with postgres_database.write() as session:
        known = session.get_one(Step, (held.job_id, held.kind, held.index))
        renew(postgres_database, [held], lease=60)
        step = leases.step_of(session, held)
        assert step is known
        assert step.lease_until is not None
        assert step.lease_until > held.lease_until


def test_a_dead_workers_step_is_read_again(postgres_database: Database) -> None:
    job_id, dead = make_tuning_job(postgres_database, points=1), make_worker()
    held = claim(postgres_database, dead)
    with postgres_database.write() as session:
        known = session.get_one(Step, (held.job_id, held.kind, held.index))
        fail(postgres_database, held)
        claim(postgres_database, dead)
        reopening.release_worker(session, dead.id, Retries(2, 0.0))
        assert known.attempts == 2
    assert read_job(postgres_database, job_id).state == JobState.FAILED


# Sweeping


def test_a_sweep_waits_for_nobody_and_leaves_a_job_that_is_being_changed_to_the_next_one(
    postgres_database: Database, beside: ThreadPoolExecutor
) -> None:
    held = []
    for _ in range(2):
        make_tuning_job(postgres_database, points=1)
        held.append(claim(postgres_database, make_worker(), lease=SHORT))
    busy, free = held
    let_the_lease_end()
    with locked(postgres_database, busy.job_id):
        beside.submit(sweep, postgres_database).result(timeout=10)
        assert point(postgres_database, busy).state == StepState.CLAIMED
        assert point(postgres_database, free).state == StepState.OPEN
    sweep(postgres_database)
    assert point(postgres_database, busy).state == StepState.OPEN


def test_a_dead_workers_step_is_waited_for(postgres_database: Database, beside: ThreadPoolExecutor) -> None:
    job_id, dead = make_tuning_job(postgres_database, points=1), make_worker()
    held = claim(postgres_database, dead)

    def release() -> None:
        with postgres_database.write() as session:
            reopening.release_worker(session, dead.id, Retries(5, 0.0))

    with locked(postgres_database, job_id):
        waiting = beside.submit(release)
        until_it_waits(postgres_database, waiting)
    waiting.result(timeout=10)
    assert point(postgres_database, held).state == StepState.OPEN
