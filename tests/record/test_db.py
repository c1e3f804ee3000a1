"""Transactions on both databases: they wait for each other, they roll back, and one clock measures them."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.record import db
from app.record.db import Database
from app.record.ids import new_id
from app.record.lifecycle import lock
from app.record.tables import Event, Job, Worker
from tests.support.records import make_job, read_job


def test_the_clock_is_utc_and_goes_on_inside_a_transaction(database: Database) -> None:
    with database.write() as session:
        first = db.now(session)
        time.sleep(0.01)
        second = db.now(session)
    assert first.utcoffset() == timedelta(0)
    assert first < second


def test_a_moment_comes_back_as_it_was_written(database: Database) -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, 123_000, tzinfo=UTC)
    worker = Worker(id="wrk_1", host="here", pid=1, queue="q", device="cpu", threads=1)
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


@pytest.mark.slow
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


@pytest.fixture
def hasty(postgres_database_url: str) -> Iterator[Database]:
    """A PostgreSQL database that ends a transaction which does nothing for a fifth of a second."""
    database = Database(postgres_database_url, idle_seconds=0.2)
    database.migrate()
    yield database
    database.dispose()


def sleep_with_the_lock(database: Database, job_id: str, locked: threading.Event, wake: threading.Event) -> None:
    """Change a job, and sleep in the middle of the transaction, as a process does that was stopped there."""
    with database.write() as session:
        job = lock(session, job_id)
        assert job is not None
        job.queue = "the sleeper's"
        session.flush()
        locked.set()
        wake.wait(60)
        job.queue = "again the sleeper's"


def test_a_session_that_sleeps_with_a_jobs_lock_loses_it_and_the_others_go_on(hasty: Database) -> None:
    job_id = make_job(hasty)
    locked, wake = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(sleep_with_the_lock, hasty, job_id, locked, wake)
        locked.wait(60)
        with hasty.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '30s'"))  # so that a failure does not hang
            job = lock(session, job_id)
            assert job is not None
            job.queue = "another's"
        wake.set()
        with pytest.raises(db.AWAY):
            sleeper.result()
    assert read_job(hasty, job_id).queue == "another's"


def test_after_a_lost_session_the_same_database_object_goes_on(hasty: Database) -> None:

    def sleep() -> None:
        with hasty.write() as session:
            db.now(session)
            time.sleep(0.5)
            db.now(session)

    with pytest.raises(db.AWAY):
        sleep()
    assert make_job(hasty).startswith("job_")


def test_what_the_url_asks_of_postgresql_is_kept_beside_ours(postgres_database_url: str) -> None:
    database = Database(f"{postgres_database_url}&options=-c%20work_mem%3D12345kB", idle_seconds=7)
    with database.read() as session:
        shown = [session.scalar(text(f"SHOW {name}")) for name in ("work_mem", "idle_in_transaction_session_timeout")]
    database.dispose()
    assert shown == ["12345kB", "7s"]


def test_a_mistake_is_not_taken_for_an_outage(database: Database) -> None:
    with pytest.raises(IntegrityError) as failed, database.write() as session:
        session.add(Event(job_id="job_none", number=1, at=db.now(session), kind="job.queued", data={}))
    assert not isinstance(failed.value, db.AWAY)


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


@pytest.mark.slow
def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    """Its write-ahead log is not on yet, and turning that on is what SQLite would refuse at once."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE anything (x)")
    other.execute("BEGIN IMMEDIATE")
    database = Database(f"sqlite:///{path}")

    def mode() -> str:
        with database.connect() as connection:
            return str(connection.execute(text("PRAGMA journal_mode")).scalar_one())

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(mode)
        time.sleep(0.2)
        other.execute("ROLLBACK")
        assert asking.result() == "wal"
    database.dispose()
    other.close()
