"""Leases and cancelling, on both databases. Leases that must end are a few moments long."""

from datetime import datetime

import pytest

from app.record import db, steps
from app.record.db import Database
from app.record.leases import Claim, LostClaim, not_wanted, report_progress
from app.record.retries import Retries
from app.record.states import JobState, StepKind, StepState
from tests.support.records import (
    CPU,
    SHORT,
    cancel,
    claim,
    claim_or_none,
    fail,
    fold,
    give_back,
    let_the_lease_end,
    make_job,
    make_tuning_job,
    make_worker,
    point,
    read_job,
    register,
    renew,
    sweep,
    train,
)


def lease_until(database: Database, held: Claim) -> datetime:
    """When the claim's lease ends now."""
    until = point(database, held).lease_until
    assert until is not None
    return until


# Leases


def test_a_renewed_lease_ends_later(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker(), lease=30)
    assert renew(database, [held], lease=60) == set()
    assert lease_until(database, held) > held.lease_until


@pytest.mark.slow
def test_a_claim_past_its_lease_is_lost_even_if_nobody_took_it(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker(), lease=SHORT)
    let_the_lease_end()
    assert renew(database, [held]) == {held.token}
    with pytest.raises(LostClaim, match=f"^point 0 of {held.job_id} is not this worker's any more$"):
        train(database, held)


def test_at_its_end_a_lease_is_over_for_its_worker_and_for_the_sweep(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker())
    monkeypatch.setattr(db, "now", lambda _: held.lease_until)
    assert renew(database, [held]) == {held.token}
    sweep(database)
    assert point(database, held).state == StepState.OPEN


def test_the_sweep_leaves_a_step_whose_lease_lives(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker())
    sweep(database)
    assert point(database, held).token == held.token


@pytest.mark.slow
def test_the_sweep_opens_a_step_whose_lease_is_over(database: Database) -> None:
    make_tuning_job(database, points=1)
    lost = claim(database, make_worker(), lease=SHORT)
    assert claim_or_none(database, make_worker()) is None
    let_the_lease_end()
    sweep(database)
    again = claim(database, make_worker())
    assert (again.index, again.attempt) == (lost.index, 2)
    assert again.token != lost.token


def test_trained_points_are_renewed_with_the_running_one(database: Database) -> None:
    make_tuning_job(database, points=3)
    worker = make_worker()
    held = [claim(database, worker, lease=30) for _ in range(3)]
    for one in held[:2]:
        train(database, one)
    assert renew(database, held, lease=60) == set()
    assert all(lease_until(database, one) > one.lease_until for one in held)


@pytest.mark.slow
def test_a_job_fails_with_the_cause_when_the_last_lease_runs_out(database: Database) -> None:
    job_id = make_tuning_job(database, points=1)
    for _ in range(2):
        claim(database, make_worker(), lease=SHORT)
        let_the_lease_end()
        sweep(database, Retries(2, 0.0))
    job = read_job(database, job_id)
    assert job.state == JobState.FAILED
    assert job.problem is not None
    assert (job.problem["type"], job.problem["index"], job.problem["attempts"]) == ("lease_expired", 0, 2)


@pytest.mark.slow
def test_progress_of_a_lost_claim_is_not_written(database: Database) -> None:
    make_tuning_job(database, points=1)
    lost = claim(database, make_worker(), lease=SHORT)
    let_the_lease_end()
    sweep(database)
    again = claim(database, make_worker())
    for held, step in ((again, 3), (lost, 99)):
        with database.write() as session:
            report_progress(session, held, step, 100, 0.5)
    assert point(database, again).progress == {"step": 3, "total": 100, "loss": 0.5}


def test_a_loss_that_is_not_a_number_is_shown_as_none(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker())
    with database.write() as session:
        report_progress(session, held, 1, 2, float("nan"))
    assert point(database, held).progress == {"step": 1, "total": 2, "loss": None}


# Cancel


def test_a_cancelled_job_ends_when_its_worker_gives_back(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker())
    cancel(database, job_id)
    assert read_job(database, job_id).state == JobState.TUNING
    give_back(database, [held])
    assert read_job(database, job_id).state == JobState.CANCELLED


@pytest.mark.slow
def test_a_cancelled_job_ends_by_the_sweep_when_its_worker_is_dead(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker(), lease=SHORT)
    cancel(database, job_id)
    renew(database, [held])  # a worker that does not stop cannot keep the job alive
    let_the_lease_end()
    sweep(database)
    assert read_job(database, job_id).state == JobState.CANCELLED


def test_no_step_of_a_cancelled_job_is_claimed(database: Database) -> None:
    job_id = make_tuning_job(database)
    claim(database, make_worker())
    cancel(database, job_id)
    assert claim_or_none(database, make_worker()) is None
    sweep(database)
    assert claim_or_none(database, make_worker()) is None


def test_a_step_of_a_cancelled_job_cannot_end_well(database: Database) -> None:
    job_id = make_job(database)
    held = claim(database, make_worker())
    cancel(database, job_id)

    def finish() -> None:
        with database.write() as session:
            steps.finish_prepare(session, held, register(session, held, "prepared"), CPU)

    with pytest.raises(LostClaim):
        finish()


@pytest.mark.parametrize("progress_to", [StepKind.PREPARE, StepKind.POINT, StepKind.CONCLUDE])
def test_a_job_can_be_cancelled_in_every_state(database: Database, progress_to: StepKind) -> None:
    job_id = make_job(database) if progress_to is StepKind.PREPARE else make_tuning_job(database)
    if progress_to is StepKind.CONCLUDE:
        fold(database, make_worker())
    held = claim(database, make_worker())
    assert held.kind == progress_to
    cancel(database, job_id)
    give_back(database, [held])
    assert read_job(database, job_id).state == JobState.CANCELLED


def test_a_failure_of_a_cancelled_job_cancels_it(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker())
    cancel(database, job_id)
    fail(database, held, retries=Retries(1, 0.0))
    assert read_job(database, job_id).state == JobState.CANCELLED


def test_not_wanted_are_those_of_the_jobs_asked_about_that_have_ended_or_are_to_be_cancelled(
    database: Database,
) -> None:
    ended, unasked = (make_job(database) for _ in range(2))
    cancel(database, ended)
    cancel(database, unasked)
    stopping = make_tuning_job(database)
    claim(database, make_worker())
    cancel(database, stopping)
    running = make_tuning_job(database)
    with database.read() as session:
        assert not_wanted(session, [ended, stopping, running]) == {ended, stopping}
