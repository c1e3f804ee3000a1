"""Flushes, and workers that race, sleep and wake, on both databases."""

from dataclasses import replace
from typing import Any

import pytest

from app.errors import InternalError
from app.record import jobs, steps
from app.record.db import Database
from app.record.leases import Claim, LostClaim
from app.record.retries import Retries
from app.record.states import JobState, StepKind, StepState
from app.record.steps import FlushOutcome
from app.record.tables import Job, Partial, StoredObject
from tests.support.records import (
    SHORT,
    at_the_same_moment,
    cancel,
    claim,
    claim_or_none,
    event_kinds,
    flush,
    let_the_lease_end,
    make_tuning_job,
    make_worker,
    point,
    renew,
    sweep,
    train,
)

# Flushes


def test_a_flush_folds_all_its_points_and_moves_the_partial(database: Database) -> None:
    make_tuning_job(database, points=3)
    worker = make_worker()
    first, second = claim(database, worker), claim(database, worker)
    train(database, first)
    flush(database, [first], "p")
    train(database, second)
    flush(database, [second], "p", points=[0, 1])
    assert point(database, second).state == StepState.FOLDED
    with database.read() as session:
        committed = steps.committed(session, "p")
        assert committed is not None
        assert committed.points == [0, 1]
        kept = [row.key for row in session.query(StoredObject).filter_by(kept=True) if "partial" in row.key]
    assert kept == [committed.key]


@pytest.mark.slow
def test_a_paused_worker_cannot_flush_when_it_wakes(database: Database) -> None:
    make_tuning_job(database, points=2)
    sleeper = make_worker()
    held = [claim(database, sleeper, lease=SHORT), claim(database, sleeper)]
    let_the_lease_end()
    sweep(database)
    taken = claim(database, make_worker())
    assert flush(database, held, "sleeper") is FlushOutcome.VOID
    assert point(database, taken).token == taken.token
    with database.read() as session:
        assert steps.committed(session, "sleeper") is None


@pytest.mark.slow
def test_a_void_flush_leaves_its_other_points_claimed(database: Database) -> None:
    make_tuning_job(database, points=2)
    worker = make_worker()
    lost, mine = claim(database, worker, lease=SHORT), claim(database, worker)
    train(database, mine)
    let_the_lease_end()
    flush(database, [lost, mine], "p")
    assert point(database, mine).state == StepState.CLAIMED


def test_a_flush_after_a_cancel_is_void(database: Database) -> None:
    job_id = make_tuning_job(database)
    held = claim(database, make_worker())
    train(database, held)
    cancel(database, job_id)
    assert flush(database, [held], "p") is FlushOutcome.VOID


def test_a_flush_into_a_job_that_is_not_there_is_void(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker())
    train(database, held)
    with database.write() as session:
        gone = replace(held, job_id="job_0")
        assert steps.flush(session, [gone], "p", "key", [gone.index]) is FlushOutcome.VOID


def test_a_partial_that_holds_what_was_not_claimed_is_a_mistake(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker())
    train(database, held)
    with pytest.raises(InternalError, match="not what was claimed"):
        flush(database, [held], "p", points=[0, 2])
    assert point(database, held).state == StepState.CLAIMED


def test_a_partial_is_committed_with_the_repeat_of_its_points(database: Database) -> None:
    make_tuning_job(database, points=1, repeats=2)
    worker = make_worker()
    held = [claim(database, worker), claim(database, worker)]
    for one in held:
        train(database, one)
        flush(database, [one], f"of point {one.index}")
    with database.read() as session:
        found = [steps.committed(session, f"of point {one.index}") for one in held]
    assert [partial.repeat for partial in found if partial is not None] == [0, 1]


@pytest.mark.parametrize("together", [True, False], ids=["in one flush", "in the next"])
def test_a_partial_of_two_repeats_is_a_mistake(database: Database, together: bool) -> None:
    make_tuning_job(database, points=1, repeats=2)
    worker = make_worker()
    first, second = claim(database, worker), claim(database, worker)
    for one in (first, second):
        train(database, one)
    if not together:
        flush(database, [first], "p")
    with pytest.raises(InternalError, match=r"repeats \[0, 1\]"):
        flush(database, [first, second] if together else [second], "p", points=[0, 1])
    assert point(database, second).state == StepState.CLAIMED


def test_two_flushes_of_the_last_two_points_conclude_once(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    workers = [make_worker(), make_worker()]
    held = [claim(database, worker) for worker in workers]
    for one in held:
        train(database, one)

    def flush_and_go_on(i: int) -> Claim | None:
        assert flush(database, [held[i]], f"p{i}") is FlushOutcome.COMMITTED
        return claim_or_none(database, workers[i])

    found = at_the_same_moment(lambda: flush_and_go_on(0), lambda: flush_and_go_on(1))
    concluding = [one for one in found if one is not None]
    assert [one.kind for one in concluding] == [StepKind.CONCLUDE]
    assert event_kinds(database, job_id).count("job.concluding") == 1


@pytest.mark.slow
def test_renewing_and_flushing_at_the_same_moment_does_not_deadlock(database: Database) -> None:
    make_tuning_job(database, points=8)
    worker = make_worker()
    held = [claim(database, worker) for _ in range(8)]
    for one in held:
        train(database, one)
    outcome, *_ = at_the_same_moment(
        lambda: flush(database, held, "p"),
        *[lambda: renew(database, held[::-1])] * 3,
    )
    assert outcome is FlushOutcome.COMMITTED


# All together


@pytest.mark.slow
def test_workers_that_die_sleep_and_race_fold_every_point_once(database: Database) -> None:
    """Four workers over twelve points; each may lose its lease before it flushes. Every point is folded once."""
    job_id = make_tuning_job(database, points=12)

    def work(clumsy: bool) -> None:
        worker = make_worker()
        rounds: int = 0
        while _state(database, job_id) == JobState.TUNING:
            held = claim_or_none(database, worker, SHORT if clumsy and rounds < 3 else 30.0)
            rounds += 1
            if held is None:
                sweep(database, Retries(50, 0.0))
            elif held.kind == StepKind.POINT:
                _train_and_flush(database, held, f"{worker.id}-{rounds}", sleep=clumsy and rounds <= 3)

    at_the_same_moment(*[lambda clumsy=i < 2: work(clumsy) for i in range(4)])
    with database.read() as session:
        folded = sorted(i for row in session.query(Partial).filter_by(job_id=job_id) for i in row.points)
        numbers = [event.number for event in jobs.events(session, job_id, limit=1000)]
    assert folded == list(range(12))
    assert numbers == list(range(1, len(numbers) + 1))
    assert event_kinds(database, job_id).count("job.concluding") == 1


def _state(database: Database, job_id: str) -> str:
    with database.read() as session:
        return str(session.get_one(Job, job_id).state)


def _train_and_flush(database: Database, held: Claim, partial_id: str, sleep: bool) -> Any:
    try:
        train(database, held)
        if sleep:
            let_the_lease_end()
        return flush(database, [held], partial_id)
    except LostClaim:
        return None
