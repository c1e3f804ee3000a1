"""What steps are due, and how they end, on both databases."""

from itertools import chain

import pytest

from app.errors import InternalError
from app.record import steps
from app.record.db import Database
from app.record.leases import Arithmetic, LostClaim, not_wanted
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Partial, Worker
from tests.support.records import (
    CAUSE,
    CPU,
    SHORT,
    at_the_same_moment,
    cancel,
    claim,
    claim_or_none,
    conclude,
    fail,
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
    renew,
    sweep,
    train,
)

# What is due


def test_a_job_is_prepared_first(database: Database) -> None:
    job_id = make_job(database)
    held = claim(database, make_worker())
    assert (held.job_id, held.kind, held.attempt) == (job_id, StepKind.PREPARE, 1)
    assert read_job(database, job_id).state == JobState.PREPARING


def test_nothing_else_is_due_while_a_job_is_being_prepared(database: Database) -> None:
    make_job(database)
    claim(database, make_worker())
    assert claim_or_none(database, make_worker()) is None


def test_points_come_in_order_with_their_hyper_parameters_and_seed(database: Database) -> None:
    make_tuning_job(database, points=2)
    worker = make_worker()
    first, second = claim(database, worker), claim(database, worker)
    assert [first.index, second.index] == [0, 1]
    assert second.hyper_parameters is not None
    assert second.hyper_parameters["epochs"] == 2
    assert first.seed != second.seed
    assert first.prepared_key is not None


def test_a_claim_says_its_repeat_and_of_a_rival_its_name(database: Database) -> None:
    classifier = {"family": "timm", "weights": "mdl_1"}
    make_tuning_job(database, points=1, repeats=2, base_model=classifier, compare=["retrain"])
    worker = make_worker()
    claims = [claim(database, worker) for _ in range(4)]
    assert [(held.rival, held.repeat) for held in claims] == [(None, 0), (None, 1), ("retrain", 0), ("retrain", 1)]


def test_conclude_is_due_only_when_every_point_is_folded(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    worker = make_worker()
    held = [claim(database, worker), claim(database, worker)]
    for one in held:
        train(database, one)
        assert claim_or_none(database, make_worker()) is None
    flush(database, held, "p")
    assert claim(database, make_worker()).kind == StepKind.CONCLUDE
    assert read_job(database, job_id).state == JobState.CONCLUDING


def test_the_oldest_job_comes_first(database: Database) -> None:
    first = make_job(database)
    make_job(database)
    assert claim(database, make_worker()).job_id == first


def test_a_worker_stays_with_the_job_whose_partial_it_holds(database: Database) -> None:
    worker, other = make_worker(), make_worker()
    old = make_tuning_job(database, points=2)
    busy = [claim(database, other), claim(database, other)]  # all of the old job's, so the worker takes the new
    new = make_tuning_job(database, points=2)
    mine = claim(database, worker)
    assert (busy[0].job_id, mine.job_id) == (old, new)
    train(database, mine)
    flush(database, [mine], "p")
    give_back(database, busy)
    assert claim(database, worker).job_id == new


@pytest.mark.slow
def test_a_worker_takes_only_jobs_of_its_queue(database: Database) -> None:
    make_job(database, queue="big")
    assert claim_or_none(database, make_worker(queue="default")) is None
    assert claim(database, make_worker(queue="big")).kind == StepKind.PREPARE


@pytest.mark.parametrize("other", [Arithmetic("cuda", 2), Arithmetic("cpu", 4)], ids=str)
def test_points_go_only_to_workers_with_the_same_arithmetic(database: Database, other: Arithmetic) -> None:
    make_tuning_job(database)
    assert claim_or_none(database, make_worker(other)) is None
    assert claim(database, make_worker(CPU)).kind == StepKind.POINT


def test_conclude_goes_only_to_a_worker_with_the_same_arithmetic(database: Database) -> None:
    make_tuning_job(database)
    fold(database, make_worker())
    assert claim_or_none(database, make_worker(Arithmetic("cuda", 2))) is None


@pytest.mark.slow
def test_many_claimers_never_get_the_same_point(database: Database) -> None:
    make_tuning_job(database, points=12)

    def take_all() -> list[int]:
        worker, taken = make_worker(), []
        while (held := claim_or_none(database, worker)) is not None:
            taken.append(held.index)
        return taken

    taken = at_the_same_moment(*[take_all] * 4)
    assert sorted(chain(*taken)) == list(range(12))


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
        inputs = steps.conclude_inputs(session, held)
    assert [partial.points for partial in inputs.partials] == [[0], [1]]
    assert [row.state for row in inputs.points] == ["folded", "folded", "diverged"]
    assert inputs.points[0].loss == 0.5
    assert inputs.points[2].cause == "loss is nan"


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


def test_the_steps_of_a_dead_worker_open_at_once_and_count(database: Database) -> None:
    make_tuning_job(database, points=1)
    dead = make_worker()
    claim(database, dead)
    with database.write() as session:
        steps.release_worker(session, dead.id, max_attempts=5)
    assert claim(database, make_worker()).attempt == 2


def test_a_worker_is_listed_while_it_is_seen(database: Database) -> None:
    worker = make_worker()
    for _ in range(2):
        with database.write() as session:
            steps.seen(session, worker)
    with database.read() as session:
        assert session.query(Worker).one().id == worker.id
    with database.write() as session:
        steps.release_worker(session, worker.id, max_attempts=5)
    with database.read() as session:
        assert session.query(Worker).count() == 0
