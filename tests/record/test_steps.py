"""How steps end, on both databases."""

from typing import Any

import pytest

from app.errors import InternalError
from app.record import steps
from app.record.db import Database
from app.record.leases import LostClaim, not_wanted
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Partial
from negmerge.spec.result import PointOutcome
from tests.support.records import (
    CAUSE,
    SHORT,
    cancel,
    claim,
    conclude,
    fail,
    finish_rival,
    flush,
    fold,
    give_back,
    let_the_lease_end,
    make_finished_job,
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

# Conclude


@pytest.mark.slow
def test_conclude_gets_every_partial_and_every_point(database: Database) -> None:
    make_tuning_job(database, points=3)
    one, other = make_worker(), make_worker()
    first, second, third = claim(database, one), claim(database, other), claim(database, one)
    for held in (first, second):
        train(database, held)
    with database.write() as session:
        steps.diverge_point(session, third, {"type": "diverged", "detail": "loss is nan"})
    flush(database, [second], "b")
    flush(database, [first], "a")
    held = claim(database, one)
    with database.write() as session:
        committed = [steps.committed(session, partial) for partial in ("a", "b")]
        inputs = steps.conclude_inputs(session, held)
    assert inputs.partials == committed
    assert [partial.points for partial in inputs.partials] == [[0], [1]]
    assert [row.state for row in inputs.points] == ["folded", "folded", "diverged"]
    assert inputs.points[0].loss == 0.5
    assert inputs.points[2].cause == "loss is nan"


def test_conclude_gets_its_own_jobs_points_and_rivals_in_order(database: Database) -> None:
    """Rows that were changed in another order: on PostgreSQL they lie in the order of their last change."""
    options: dict[str, Any] = {"base_model": {"family": "timm", "weights": "mdl_1"}, "compare": ["retrain"]}
    for _ in range(2):
        make_tuning_job(database, points=2, repeats=2, **options)
        worker = make_worker()
        claims = [claim(database, worker) for _ in range(6)]
        for held in claims[3::-1]:
            train(database, held)
            flush(database, [held], f"{held.job_id}, point {held.index}")
        for held in claims[:3:-1]:
            finish_rival(database, held)
        due = claim(database, worker)
        with database.write() as session:
            inputs = steps.conclude_inputs(session, due)
        assert due.kind == StepKind.CONCLUDE
        assert [row.index for row in inputs.points] == [0, 1, 2, 3]
        assert [row.repeat for row in inputs.rivals] == [0, 1]
        assert [partial.repeat for partial in inputs.partials] == [0, 0, 1, 1]


def test_conclude_gets_the_kept_task_vectors_by_point(database: Database) -> None:
    make_tuning_job(database, points=2)
    worker = make_worker()
    claims, kept = [claim(database, worker) for _ in range(2)], {}
    for held in claims:
        with database.write() as session:
            kept[held.index] = steps.KeptVector(register(session, held, "tau"), 8 + held.index, "0" * 64)
            steps.finish_point(session, held, PointOutcome(), kept[held.index])
    flush(database, claims, "p")
    due = claim(database, worker)
    with database.write() as session:
        assert steps.conclude_inputs(session, due).vectors == kept


@pytest.mark.parametrize("points", [[0], [0, 1, 1], [0, 1, 2]], ids=["missing", "twice", "never folded"])
def test_partials_that_are_not_exactly_the_folded_points_are_a_mistake(database: Database, points: list[int]) -> None:
    make_tuning_job(database, points=2)
    worker = make_worker()
    fold(database, worker)
    held = claim(database, worker)
    with database.write() as session:
        session.query(Partial).one().points = points
    with database.write() as session, pytest.raises(InternalError, match="exactly once"):
        steps.conclude_inputs(session, held)


def test_a_concluded_job_has_its_artifacts_and_digests(database: Database) -> None:
    job = read_job(database, make_finished_job(database))
    assert (job.state, job.digests) == (JobState.SUCCEEDED, {"unlearned": "sha256:1"})


@pytest.mark.slow
def test_a_conclude_that_lost_its_claim_publishes_nothing(database: Database) -> None:
    job_id = make_tuning_job(database)
    fold(database, make_worker())
    lost = claim(database, make_worker(), lease=SHORT)
    let_the_lease_end()
    sweep(database)
    with pytest.raises(LostClaim):
        conclude(database, lost)
    assert read_job(database, job_id).result_key is None
    conclude(database, claim(database, make_worker()))
    assert read_job(database, job_id).state == JobState.SUCCEEDED


# Failures


def test_giving_back_does_not_count_as_an_attempt(database: Database) -> None:
    make_tuning_job(database, points=1)
    for _ in range(6):
        held = claim(database, make_worker())
        assert held.attempt == 1
        give_back(database, [held])


def test_the_fifth_failure_ends_the_job_with_the_cause(database: Database) -> None:
    job_id = make_tuning_job(database, points=1)
    for attempt in range(1, 6):
        assert read_job(database, job_id).state == JobState.TUNING
        held = claim(database, make_worker())
        assert held.attempt == attempt
        fail(database, held)
    job = read_job(database, job_id)
    assert job.state == JobState.FAILED
    assert job.problem == {**CAUSE, "step": "point", "index": 0, "attempts": 5}


def test_a_deterministic_error_ends_the_job_at_once(database: Database) -> None:
    job_id = make_job(database)
    fail(database, claim(database, make_worker()), final=True)
    assert read_job(database, job_id).state == JobState.FAILED


def test_a_deterministic_error_in_a_job_that_is_to_be_cancelled_cancels_it(database: Database) -> None:
    job_id = make_job(database)
    held = claim(database, make_worker())
    cancel(database, job_id)
    fail(database, held, final=True)
    assert read_job(database, job_id).state == JobState.CANCELLED


@pytest.mark.slow
def test_a_failure_of_a_lost_claim_changes_nothing(database: Database) -> None:
    job_id = make_tuning_job(database, points=1)
    lost = claim(database, make_worker(), lease=SHORT)
    let_the_lease_end()
    sweep(database)
    again = claim(database, make_worker())
    fail(database, lost, final=True)
    assert read_job(database, job_id).state == JobState.TUNING
    train(database, again)


def test_when_a_job_fails_its_other_workers_lose_their_claims(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    one, other = claim(database, make_worker()), claim(database, make_worker())
    fail(database, one, final=True)
    assert renew(database, [other]) == {other.token}
    with database.read() as session:
        assert not_wanted(session, [job_id]) == {job_id}


def test_a_diverged_point_is_left_out(database: Database) -> None:
    make_tuning_job(database, points=1)
    held = claim(database, make_worker())
    with database.write() as session:
        steps.diverge_point(session, held, CAUSE)
    assert point(database, held).state == StepState.DIVERGED
    assert claim(database, make_worker()).kind == StepKind.CONCLUDE


def test_a_diverged_point_ends_the_job_where_the_spec_says_so(database: Database) -> None:
    job_id = make_tuning_job(database, sweep={"grid": {"epochs": [1, 2]}, "on_diverged": "fail"})
    held = claim(database, make_worker())
    with database.write() as session:
        steps.diverge_point(session, held, CAUSE)
    job = read_job(database, job_id)
    assert (job.state, job.problem) == (JobState.FAILED, {**CAUSE, "step": "point", "index": 0})
