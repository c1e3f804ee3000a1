"""A step that failed waits before it is tried again, whoever would try it; on both databases."""

import time
from datetime import datetime

import pytest

from app.record import db
from app.record.db import Database
from app.record.leases import Claim
from app.record.progress import progress
from app.record.retries import MOST_SECONDS, Retries
from app.record.states import StepKind
from app.record.tables import Job
from app.settings import Settings
from tests.support.records import (
    CAUSE,
    SHORT,
    claim,
    claim_or_none,
    fail,
    give_back,
    last_event,
    let_the_lease_end,
    make_job,
    make_tuning_job,
    make_worker,
    point,
    release_worker,
    sweep,
    train,
)

LONG = Retries(attempts=5, seconds=1000.0)
BRIEF = Retries(attempts=5, seconds=0.2)


def test_each_failure_doubles_the_wait_up_to_a_minute() -> None:
    assert [Retries(9, 2.0).wait(failures) for failures in range(8)] == [0, 2, 4, 8, 16, 32, 60, 60]
    assert Retries(5000, 0.1).wait(4999) == MOST_SECONDS


def test_five_attempts_leave_a_fault_half_a_minute_to_pass() -> None:
    retries = Retries.of(Settings())
    assert sum(retries.wait(failures) for failures in range(1, retries.attempts)) == 30


def moment(database: Database) -> datetime:
    with database.read() as session:
        return db.now(session)


def seconds_left(database: Database, held: Claim) -> float:
    """Until the step may be claimed again."""
    until = point(database, held).not_before
    assert until is not None
    return (until - moment(database)).total_seconds()


def test_a_step_that_failed_is_nobodys_until_its_wait_is_over(database: Database) -> None:
    make_job(database)
    fail(database, claim(database, make_worker()), retries=LONG)
    assert claim_or_none(database, make_worker()) is None


@pytest.mark.slow
def test_a_step_whose_wait_is_over_is_anybodys(database: Database) -> None:
    make_job(database)
    fail(database, claim(database, make_worker()), retries=BRIEF)
    time.sleep(0.25)
    assert claim(database, make_worker()).attempt == 2


def test_others_go_on_meanwhile_and_nothing_is_concluded(database: Database) -> None:
    make_tuning_job(database, points=2)
    fail(database, claim(database, make_worker()), retries=LONG)
    worker = make_worker()
    held = claim(database, worker)
    assert (held.kind, held.index) == (StepKind.POINT, 1)
    train(database, held)
    assert claim_or_none(database, make_worker()) is None


def test_a_second_failure_waits_twice_as_long(database: Database) -> None:
    make_tuning_job(database, points=1)
    held = claim(database, make_worker())
    fail(database, held, retries=Retries(5, 0.0))
    again = claim(database, make_worker())
    fail(database, again, retries=Retries(5, 20.0))
    assert 30 < seconds_left(database, again) <= 40


def test_what_is_given_back_is_free_at_once(database: Database) -> None:
    make_tuning_job(database, points=1)
    give_back(database, [claim(database, make_worker())])
    assert claim(database, make_worker()).attempt == 1


def test_a_dead_workers_step_is_free_at_once_and_waits_the_second_time(database: Database) -> None:
    make_tuning_job(database, points=1)
    for _ in range(2):
        worker = make_worker()
        claim(database, worker)
        release_worker(database, worker, LONG)
    assert claim_or_none(database, make_worker()) is None


@pytest.mark.slow
def test_a_step_whose_lease_ran_out_is_free_at_once_and_waits_the_second_time(database: Database) -> None:
    make_tuning_job(database, points=1)
    for _ in range(2):
        claim(database, make_worker(), lease=SHORT)
        let_the_lease_end()
        sweep(database, LONG)
    assert claim_or_none(database, make_worker()) is None


def test_an_event_says_when_it_is_tried_again(database: Database) -> None:
    job_id = make_tuning_job(database, points=1)
    held = claim(database, make_worker())
    fail(database, held, retries=LONG)
    until = point(database, held).not_before
    assert until is not None
    assert datetime.fromisoformat(last_event(database, job_id, "step.reopened")["not_before"]) == until


def test_progress_says_what_waits_until_when_and_why(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    held = claim(database, make_worker())
    fail(database, held, retries=LONG)
    with database.read() as session:
        [waiting] = progress(session, [session.get_one(Job, job_id)])[job_id].waiting
    assert (waiting.kind, waiting.index, waiting.attempts) == (StepKind.POINT, 0, 1)
    assert waiting.not_before == point(database, held).not_before
    assert waiting.cause == CAUSE


def test_of_a_step_that_is_tried_again_progress_says_nothing(database: Database) -> None:
    job_id = make_tuning_job(database, points=1)
    fail(database, claim(database, make_worker()), retries=Retries(5, 0.0))
    with database.read() as session:
        assert progress(session, [session.get_one(Job, job_id)])[job_id].waiting == []
