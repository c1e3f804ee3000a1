"""What a step leaves behind: its row and its job's events, field by field, whichever way it ends."""

from dataclasses import replace

import pytest

from app.record import steps
from app.record.db import Database
from app.record.leases import Arithmetic, Claim
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Step, StoredObject
from negmerge.spec.result import PointOutcome
from tests.support.records import (
    CAUSE,
    SHORT,
    cancel,
    claim,
    fail,
    finish_prepare,
    finish_rival,
    flush,
    give_back,
    last_event,
    let_the_lease_end,
    make_job,
    make_tuning_job,
    make_worker,
    point,
    read_job,
    register,
    sweep,
    train,
)


def assert_is_free(step: Step) -> None:
    """Nobody holds the step, and nothing says how far somebody was."""
    assert (step.token, step.lease_until, step.progress) == (None, None, None)


def rival_claim(database: Database) -> Claim:
    """The first rival of a job whose one point is folded."""
    options = {"compare": ["retrain"], "base_model": {"family": "timm", "weights": "mdl_1"}}
    make_tuning_job(database, points=1, **options)
    held = claim(database, make_worker())
    train(database, held)
    flush(database, [held], "p")
    return claim(database, make_worker())


# Claiming


def test_a_claimed_step_is_its_workers_and_has_begun(database: Database) -> None:
    make_tuning_job(database)
    worker = make_worker()
    held = claim(database, worker)
    step = point(database, held)
    assert (step.state, step.token, step.worker, step.attempts) == (StepState.CLAIMED, held.token, worker.id, 1)
    assert step.started_at is not None
    assert (step.finished_at, step.progress) == (None, None)


def test_a_lease_is_as_long_as_was_asked_for(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker(), lease=30)
    started = point(database, held).started_at
    assert started is not None
    assert (held.lease_until - started).total_seconds() == 30


def test_a_claim_brings_what_the_step_needs(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker())
    job, step = read_job(database, job_id), point(database, held)
    assert (held.job_id, held.tenant, held.kind, held.index, held.attempt) == (job_id, "acme", StepKind.POINT, 0, 1)
    assert (held.spec, held.prepared_key) == (job.spec, job.prepared_key)
    assert (held.hyper_parameters, held.seed) == (step.hyper_parameters, step.seed)


def test_a_claim_is_told_with_its_attempt(database: Database) -> None:
    job_id = make_tuning_job(database, points=1)
    fail(database, claim(database, make_worker()))
    claim(database, make_worker())
    assert last_event(database, job_id, "point.started") == {"index": 0, "attempt": 2}


# Ending well


def test_a_prepared_job_is_tuned_with_the_arithmetic_that_prepared_it(database: Database) -> None:
    job_id = make_job(database)
    held = claim(database, make_worker())
    key = finish_prepare(database, held, Arithmetic("cuda", 3))
    job, step = read_job(database, job_id), point(database, held)
    assert (job.state, job.prepared_key) == (JobState.TUNING, key)
    assert (job.device, job.threads) == ("cuda", 3)
    assert step.state == StepState.DONE
    assert step.finished_at is not None
    assert_is_free(step)
    with database.read() as session:
        assert session.get_one(StoredObject, key).kept


def test_a_trained_point_stays_claimed_with_its_outcome_and_its_objects(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker())
    with database.write() as session:
        key = register(session, held, "tau")
        vector = steps.KeptVector(key, 8, "0" * 64)
        steps.finish_point(session, held, PointOutcome(loss=0.5, steps=7, seconds=2.0), vector)
    step = point(database, held)
    assert (step.state, step.token) == (StepState.CLAIMED, held.token)
    kept = {"key": key, "bytes": 8, "sha256": "0" * 64}
    assert (step.outcome, step.keys) == ({"loss": 0.5, "steps": 7, "seconds": 2.0, "task_vector": kept}, [key])
    assert steps.outcome_of(step) == PointOutcome(loss=0.5, steps=7, seconds=2.0)
    assert step.progress is None
    assert step.finished_at is not None
    assert last_event(database, job_id, "point.trained") == {"index": 0, "loss": 0.5, "seconds": 2.0}


def test_folded_points_are_free_and_told_in_order_with_all_that_belongs_to_them_kept(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    worker = make_worker()
    held = [claim(database, worker), claim(database, worker)]
    with database.write() as session:
        keys = [register(session, one, "tau") for one in held]
        for one, key in zip(held, keys, strict=True):
            steps.finish_point(session, one, PointOutcome(), steps.KeptVector(key, 8, "0" * 64))
    flush(database, held[::-1], "p")
    for one in held:
        assert point(database, one).state == StepState.FOLDED
        assert_is_free(point(database, one))
    assert last_event(database, job_id, "points.folded") == {"indices": [0, 1]}
    with database.read() as session:
        committed = steps.committed(session, "p")
        assert committed is not None
        assert committed.points == [0, 1]
        assert all(session.get_one(StoredObject, key).kept for key in [*keys, committed.key])


def test_of_a_partial_that_was_never_flushed_nothing_is_committed(database: Database) -> None:
    with database.read() as session:
        assert steps.committed(session, "p") is None


def test_a_later_flush_takes_the_earlier_objects_place(database: Database) -> None:
    make_tuning_job(database, points=2)
    worker = make_worker()
    one, other = claim(database, worker), claim(database, worker)
    for held in (one, other):
        train(database, held)
    flush(database, [one], "p")
    with database.read() as session:
        first = steps.committed(session, "p")
    flush(database, [other], "p", points=[1, 0])
    with database.read() as session:
        second = steps.committed(session, "p")
        assert first is not None
        assert second is not None
        assert (first.points, second.points) == ([0], [0, 1])
        assert [session.get_one(StoredObject, key).kept for key in (first.key, second.key)] == [False, True]


def test_a_diverged_point_is_free_and_its_cause_is_kept_and_told(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker())
    with database.write() as session:
        steps.diverge_point(session, held, CAUSE)
    step = point(database, held)
    assert (step.state, step.cause) == (StepState.DIVERGED, CAUSE)
    assert step.finished_at is not None
    assert_is_free(step)
    assert last_event(database, job_id, "point.diverged") == {"index": 0, "cause": CAUSE}


def test_a_rival_is_done_with_its_row_which_conclude_gets(database: Database) -> None:
    held = rival_claim(database)
    row = finish_rival(database, held)
    step = point(database, held)
    assert (step.state, step.outcome) == (StepState.DONE, row.as_json())
    assert step.finished_at is not None
    assert_is_free(step)
    told = last_event(database, held.job_id, "rival.trained")
    assert told == {"index": 0, "rival": "retrain", "repeat": 0, "state": "done"}
    conclude = claim(database, make_worker())
    with database.write() as session:
        assert steps.conclude_inputs(session, conclude).rivals == [row]


def test_conclude_gets_each_points_row_whole(database: Database) -> None:
    make_tuning_job(database, points=1)
    worker = make_worker()
    held = claim(database, worker)
    step = point(database, held)
    train(database, held)
    flush(database, [held], "p")
    due = claim(database, worker)
    with database.write() as session:
        [row] = steps.conclude_inputs(session, due).points
    expected = {"index": 0, "hyper_parameters": step.hyper_parameters, "seed": step.seed, "state": "folded"}
    assert row.as_json() == expected | {"loss": 0.5, "seconds": 1.0, "digest": "sha256:0"}


# Ending otherwise


@pytest.mark.parametrize("way", ["given back", "failed", "lost"])
def test_a_step_that_opens_again_has_nothing_of_its_first_life(database: Database, way: str) -> None:
    job_id = make_tuning_job(database, points=1)
    held = claim(database, make_worker(), lease=SHORT if way == "lost" else 30)
    if way == "given back":
        train(database, held)
        give_back(database, [held])
        expected = {"type": "given_back", "detail": "the worker stopped"}
    elif way == "failed":
        train(database, held)
        fail(database, held)
        expected = CAUSE
    else:
        let_the_lease_end()
        sweep(database)
        detail = "the worker was not heard of until its lease ran out"
        expected = {"type": "lease_expired", "detail": detail}
    step = point(database, held)
    attempts = 0 if way == "given back" else 1
    assert (step.state, step.attempts, step.outcome, step.keys) == (StepState.OPEN, attempts, None, [])
    assert (step.started_at, step.finished_at) == (None, None)
    assert step.cause == (None if way == "given back" else expected)
    assert_is_free(step)
    told = last_event(database, job_id, "step.reopened")
    assert told == {"kind": "point", "index": 0, "attempts": attempts, "cause": expected}


def test_what_is_given_back_of_several_jobs_opens_in_all_of_them_that_are_there(database: Database) -> None:
    make_job(database)
    make_job(database)
    held = [claim(database, make_worker()) for _ in range(2)]
    assert held[0].job_id != held[1].job_id
    give_back(database, [replace(held[0], job_id="job_0"), *held])
    assert [point(database, one).state for one in held] == [StepState.OPEN] * 2


@pytest.mark.slow
def test_the_sweep_ends_a_cancelled_job_whose_worker_is_gone_and_no_other(database: Database) -> None:
    cancelled = make_tuning_job(database, points=1)
    lost = claim(database, make_worker(), lease=SHORT)
    other = make_tuning_job(database, points=1)
    cancel(database, cancelled)
    let_the_lease_end()
    sweep(database)
    assert lost.job_id == cancelled
    assert [read_job(database, one).state for one in (cancelled, other)] == [JobState.CANCELLED, JobState.TUNING]
