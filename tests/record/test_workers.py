"""Workers in the record: who is listed, and what becomes of the steps of a dead one. On both databases."""

from datetime import timedelta

import pytest

from app.record import db, jobs, reopening
from app.record.db import Database
from app.record.leases import Arithmetic
from app.record.retries import Retries
from app.record.states import JobState, StepState
from app.record.tables import Worker
from tests.support.records import (
    cancel,
    claim,
    event_kinds,
    finish_prepare,
    flush,
    last_event,
    make_job,
    make_tuning_job,
    make_worker,
    point,
    read_job,
    release_worker,
    renew,
    sweep,
    train,
)


def test_a_worker_is_listed_while_it_is_seen(database: Database) -> None:
    worker = make_worker()
    for _ in range(2):
        with database.write() as session:
            reopening.seen(session, worker)
    with database.read() as session:
        assert session.query(Worker).one().id == worker.id
    release_worker(database, worker)
    with database.read() as session:
        assert session.query(Worker).count() == 0


def test_a_worker_is_written_down_as_it_is(database: Database) -> None:
    worker = make_worker(Arithmetic("cuda", 3), queue="large")
    with database.write() as session:
        reopening.seen(session, worker)
    with database.read() as session:
        row = session.get_one(Worker, worker.id)
        assert (row.host, row.pid, row.queue) == (worker.host, worker.pid, "large")
        assert (row.device, row.threads) == ("cuda", 3)
        assert row.started_at == row.seen_at


def test_the_sweep_forgets_workers_that_were_not_seen_for_more_than_an_hour(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [make_worker() for _ in range(2)]
    with database.write() as session:
        moment = db.now(session)
        for worker, seconds in zip(workers, (3600, 3601), strict=True):
            reopening.seen(session, worker)
            session.get_one(Worker, worker.id).seen_at = moment - timedelta(seconds=seconds)
    monkeypatch.setattr(db, "now", lambda _: moment)
    sweep(database)
    with database.read() as session:
        assert [row.id for row in session.query(Worker)] == [workers[0].id]


def test_the_steps_of_a_dead_worker_open_at_once_and_count(database: Database) -> None:
    make_tuning_job(database, points=1)
    dead = make_worker()
    claim(database, dead)
    release_worker(database, dead)
    assert claim(database, make_worker()).attempt == 2


def test_a_dead_workers_steps_are_told_why_and_the_others_stay(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    dead, living = make_worker(), make_worker()
    lost, held = claim(database, dead), claim(database, living)
    with database.write() as session:
        reopening.seen(session, dead)
        reopening.seen(session, living)
    release_worker(database, dead)
    assert [point(database, one).state for one in (lost, held)] == [StepState.OPEN, StepState.CLAIMED]
    cause = {"type": "worker_died", "detail": "the worker process ended in the middle of the step"}
    assert last_event(database, job_id, "step.reopened")["cause"] == cause
    with database.read() as session:
        assert [row.id for row in session.query(Worker)] == [living.id]


def test_what_a_dead_worker_had_done_stays_done(database: Database) -> None:
    job_id, dead = make_job(database), make_worker()
    prepare = claim(database, dead)
    finish_prepare(database, prepare)
    folded, held = claim(database, dead), claim(database, dead)
    train(database, folded)
    flush(database, [folded], "p")
    release_worker(database, dead)
    states = [point(database, one).state for one in (prepare, folded, held)]
    assert states == [StepState.DONE, StepState.FOLDED, StepState.OPEN]
    assert read_job(database, job_id).state == JobState.TUNING


def test_a_dead_workers_steps_are_told_each_to_its_own_job_and_in_order(database: Database) -> None:
    dead, options = make_worker(), {"base_model": {"family": "timm", "weights": "mdl_1"}, "compare": ["retrain"]}
    expected = {}
    for _ in range(2):
        job_id = make_tuning_job(database, points=2, **options)
        held = [claim(database, dead) for _ in range(3)]
        renew(database, held[:1])  # its row was changed last: on PostgreSQL it now lies behind the others
        expected[job_id] = [(one.kind, one.index) for one in held]
    release_worker(database, dead)
    for job_id, steps_of_it in expected.items():
        with database.read() as session:
            told = [event for event in jobs.events(session, job_id, limit=1000) if event.kind == "step.reopened"]
        assert [(event.data["kind"], event.data["index"]) for event in told] == steps_of_it


def test_two_steps_of_a_dead_worker_at_their_last_attempt_fail_the_job_once(database: Database) -> None:
    job_id, dead = make_tuning_job(database, points=2), make_worker()
    for _ in range(2):
        claim(database, dead)
    release_worker(database, dead, Retries(1, 0.0))
    assert event_kinds(database, job_id).count("job.failed") == 1
    problem = read_job(database, job_id).problem
    assert problem is not None
    assert (problem["type"], problem["index"]) == ("worker_died", 0)


def test_a_job_that_was_to_be_cancelled_ends_with_its_worker(database: Database) -> None:
    job_id, dead = make_tuning_job(database), make_worker()
    claim(database, dead)
    cancel(database, job_id)
    release_worker(database, dead)
    assert read_job(database, job_id).state == JobState.CANCELLED
