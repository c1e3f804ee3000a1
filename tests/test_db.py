"""Transactions on both databases: they wait for each other, they roll back, and one clock measures them."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import db
from app.db import Database
from app.ids import new_id
from app.lifecycle import lock
from app.tables import Event, Job, Worker
from tests.records import make_job, read_job


def test_the_clock_is_utc_and_goes_on_inside_a_transaction(database: Database) -> None:
    with database.write() as session:
        first = db.now(session)
        time.sleep(0.01)
        second = db.now(session)
    assert first.utcoffset() == timedelta(0)
    assert first < second


def test_a_moment_comes_back_as_it_was_written(database: Database) -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, 123_000, tzinfo=UTC)
    worker = Worker(id="wrk_1", host="here", pid=1, queue="q", device="cpu", threads=1, stacking=1)
    with database.write() as session:
        worker.started_at = worker.seen_at = moment
        session.add(worker)
    with database.read() as session:
        assert session.get_one(Worker, "wrk_1").seen_at == moment


def test_an_exception_rolls_everything_back(database: Database) -> None:
    job_id = make_job(database)

    def change_and_fail() -> None:
        with database.write() as session:
            session.get_one(Job, job_id).queue = "elsewhere"
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert read_job(database, job_id).queue == "default"


def test_a_reader_sees_the_last_commit_while_somebody_writes(database: Database) -> None:
    job_id = make_job(database)
    with database.write() as session:
        session.get_one(Job, job_id).queue = "elsewhere"
        session.flush()
        assert read_job(database, job_id).queue == "default"


def test_writers_of_one_job_wait_for_each_other(database: Database) -> None:
    job_id = make_job(database)

    def count_up(_: int) -> None:
        for _ in range(10):
            with database.write() as session:
                job = lock(session, job_id)
                assert job is not None
                job.last_event += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(4)))
    assert read_job(database, job_id).last_event == 1 + 40


def test_an_event_of_no_job_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Event(job_id="job_none", number=1, at=db.now(session), kind="job.queued", data={}))


def test_absent_documents_are_null(database: Database) -> None:
    job_id = make_job(database)
    with database.read() as session:
        assert session.scalar(select(Job.id).where(Job.problem.is_(None))) == job_id


def test_another_database_system_is_refused_without_showing_the_password() -> None:
    with pytest.raises(ValueError, match="sqlite:/// or postgresql://") as refused:
        Database("mysql://me:hush@there/record")
    assert "hush" not in str(refused.value)


def test_ids_sort_by_the_time_of_their_making() -> None:
    made = []
    for _ in range(5):
        made.append(new_id("job"))
        time.sleep(0.0001)
    assert made == sorted(made)
