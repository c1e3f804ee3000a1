"""Which step a worker gets, on both databases."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest
from sqlalchemy import update

from app.record import ids
from app.record.db import Database
from app.record.leases import Arithmetic, WorkerIdentity
from app.record.states import JobState, StepKind
from app.record.tables import Job
from negmerge.spec.precision import FLOAT32, Trained
from tests.support.records import (
    CPU,
    at_the_same_moment,
    cancel,
    claim,
    claim_or_none,
    fail,
    finish_prepare,
    flush,
    fold,
    give_back,
    make_job,
    make_job_in,
    make_tuning_job,
    make_worker,
    read_job,
    train,
)
from tests.support.statements import counted_statements

OTHERS = [Arithmetic("cuda", 2), Arithmetic("cpu", 4)]
"""Arithmetic that gives other bits than ``CPU``: another device, another number of threads."""


# What comes after what


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


@pytest.mark.slow
def test_a_worker_takes_only_jobs_of_its_queue(database: Database) -> None:
    make_job(database, queue="big")
    assert claim_or_none(database, make_worker(queue="default")) is None
    assert claim(database, make_worker(queue="big")).kind == StepKind.PREPARE


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_points_go_only_to_workers_with_the_same_arithmetic(database: Database, other: Arithmetic) -> None:
    make_tuning_job(database)
    assert claim_or_none(database, make_worker(other)) is None
    assert claim(database, make_worker(CPU)).kind == StepKind.POINT


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_conclude_goes_only_to_a_worker_with_the_same_arithmetic(database: Database, other: Arithmetic) -> None:
    make_tuning_job(database)
    fold(database, make_worker())
    assert claim_or_none(database, make_worker(other)) is None


def test_points_in_bfloat16_go_only_to_workers_that_compute_it_alike(database: Database) -> None:
    make_job_in(database, Trained("bfloat16", "amx"))
    for by in ("emulated", "avx512"):
        assert claim_or_none(database, make_worker(replace(CPU, bfloat16_by=by))) is None
    held = claim(database, make_worker(replace(CPU, bfloat16_by="amx")))
    assert (held.kind, held.trained) == (StepKind.POINT, Trained("bfloat16", "amx"))


def test_points_in_float32_go_to_workers_whatever_they_compute_bfloat16_by(database: Database) -> None:
    make_tuning_job(database)
    held = claim(database, make_worker(replace(CPU, bfloat16_by="amx")))
    assert (held.kind, held.trained) == (StepKind.POINT, FLOAT32)


def test_what_was_trained_in_bfloat16_is_concluded_by_any_worker_of_the_arithmetic(database: Database) -> None:
    """Measuring is float32, so no job waits at its end for hardware that is gone."""
    make_job_in(database, Trained("bfloat16", "amx"))
    fold(database, make_worker(replace(CPU, bfloat16_by="amx")))
    assert claim(database, make_worker(CPU)).kind == StepKind.CONCLUDE


def test_a_step_that_was_given_back_comes_first_again(database: Database) -> None:
    make_tuning_job(database, points=3)
    worker = make_worker()
    first, _ = claim(database, worker), claim(database, worker)
    give_back(database, [first])
    assert claim(database, worker).index == 0


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


# Which job comes first


def test_the_oldest_job_comes_first(database: Database) -> None:
    first, second = make_job(database), make_job(database)
    with database.write() as session:
        earlier = session.get_one(Job, first).created_at.replace(year=2020)
        session.execute(update(Job).where(Job.id == second).values(created_at=earlier))
    assert claim(database, make_worker()).job_id == second


def test_of_two_jobs_of_one_moment_the_smaller_id_comes_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        names = iter(["job_2", "job_1"])
        patch.setattr(ids, "new_id", lambda _: next(names))
        made = [make_job(database) for _ in range(2)]
    with database.write() as session:
        session.execute(update(Job).values(created_at=session.get_one(Job, "job_1").created_at))
    assert made == ["job_2", "job_1"]
    assert claim(database, make_worker()).job_id == "job_1"


def test_a_worker_stays_with_the_job_whose_partial_it_holds(database: Database) -> None:
    worker, other = make_worker(), make_worker()
    old = make_tuning_job(database, points=3)
    busy = [claim(database, other) for _ in range(3)]  # all of the old job's, so the worker takes the new
    train(database, busy[0])
    flush(database, busy[:1], "the other's")
    new = make_tuning_job(database, points=2)
    mine = claim(database, worker)
    assert (busy[0].job_id, mine.job_id) == (old, new)
    train(database, mine)
    flush(database, [mine], "p")
    give_back(database, busy[1:])
    assert claim(database, worker).job_id == new


def test_a_worker_stays_with_the_job_of_which_it_holds_a_step(database: Database) -> None:
    """Not with one of which it did a step, nor with one of which another worker holds one."""
    worker, other = make_worker(), make_worker()
    old = make_job(database, points=2)
    finish_prepare(database, claim(database, worker))
    busy = [claim(database, other) for _ in range(2)]
    new = make_tuning_job(database, points=2)
    mine = claim(database, worker)
    assert (busy[0].job_id, mine.job_id) == (old, new)
    give_back(database, busy[1:])
    assert claim(database, worker).job_id == new


def test_a_worker_that_holds_nothing_takes_the_oldest_though_others_hold_steps_of_the_newer(
    database: Database,
) -> None:
    old = make_tuning_job(database, points=2)
    busy = [claim(database, make_worker()) for _ in range(2)]
    make_tuning_job(database, points=2)
    claim(database, make_worker())
    give_back(database, busy)
    assert claim(database, make_worker()).job_id == old


# What is not due


def _none_yet(database: Database) -> None:
    assert claim_or_none(database, make_worker()) is None


def _of_another_queue(database: Database) -> None:
    make_job(database, queue="big")


def _being_prepared(database: Database) -> None:
    _of_another_queue(database)
    make_job(database)
    claim(database, make_worker())


def _being_tuned(database: Database) -> None:
    make_tuning_job(database, points=1)
    claim(database, make_worker())


def _being_concluded(database: Database) -> None:
    make_tuning_job(database, points=1)
    fold(database, make_worker())
    claim(database, make_worker())


def _being_cancelled(database: Database) -> None:
    job_id = make_tuning_job(database, points=2)
    claim(database, make_worker())
    cancel(database, job_id)


def _failed_when_prepared(database: Database) -> None:
    make_job(database)
    fail(database, claim(database, make_worker()), final=True)


def _failed_when_tuned(database: Database) -> None:
    make_tuning_job(database, points=2)
    fail(database, claim(database, make_worker()), final=True)


def _failed_when_concluded(database: Database) -> None:
    make_tuning_job(database, points=1)
    fold(database, make_worker())
    fail(database, claim(database, make_worker()), final=True)


@pytest.mark.parametrize(
    "jobs_that",
    [
        _none_yet,
        _of_another_queue,
        _being_prepared,
        _being_tuned,
        _being_concluded,
        _being_cancelled,
        _failed_when_prepared,
        _failed_when_tuned,
        _failed_when_concluded,
    ],
    ids=lambda case: case.__name__.strip("_").replace("_", " "),
)
def test_a_job_without_a_step_to_claim_is_passed_over_without_locking_it(
    database: Database, jobs_that: Callable[[Database], None]
) -> None:
    jobs_that(database)
    assert_locks_nothing(database, make_worker())


@pytest.mark.parametrize("other", OTHERS, ids=str)
@pytest.mark.parametrize("concluding", [False, True], ids=["tuning", "concluding"])
def test_a_job_of_another_arithmetic_is_passed_over_without_locking_it(
    database: Database, other: Arithmetic, concluding: bool
) -> None:
    make_tuning_job(database, points=1)
    if concluding:
        fold(database, make_worker())
        give_back(database, [claim(database, make_worker())])
    assert_locks_nothing(database, make_worker(other))


def assert_locks_nothing(database: Database, worker: WorkerIdentity) -> None:
    """A look for a step finds none, in one query: a lock would be another."""
    with counted_statements() as asked:
        assert claim_or_none(database, worker) is None
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1
