"""A process's own partial against a real record: committed whole or not at all, and concluded once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from app.record import jobs, reopening, steps
from app.record.db import Database
from app.record.leases import Claim, WorkerIdentity
from app.record.states import StepKind, StepState
from app.settings import Settings
from app.store.objects import Store
from negmerge.merging.partial import Partial
from negmerge.pipeline.tune import TunedPoint
from negmerge.spec.job import Merge
from negmerge.spec.result import PointOutcome
from tests.support import records
from worker.context import WorkerContext
from worker.fold import Fold
from worker.held_claims import HeldClaims
from worker.scratch import Scratch

BASE = {"visual.proj": torch.zeros(3)}

MakeContext = Callable[[], WorkerContext]


def empty() -> Partial:
    return Partial(["negmerge"], BASE, Merge())


@pytest.fixture
def make_context(database: Database, tmp_path: Path) -> MakeContext:
    """Stations of new worker processes on one record and one store, which keep everything for a long time."""

    def make() -> WorkerContext:
        worker = records.make_worker()
        settings = Settings(data_dir=tmp_path, flush_seconds=1000.0)
        store = Store.open(f"file://{tmp_path}/store")
        return WorkerContext(settings, database, store, Scratch(tmp_path / worker.id), worker)

    return make


def trained(context: WorkerContext, job_id: str) -> tuple[Fold, Claim]:
    """A worker that has claimed, trained and folded one point, and has not flushed it."""
    fold = Fold(context, HeldClaims(context.settings.lease_seconds), job_id, empty)
    return fold, train_next(context, fold)


def train_next(context: WorkerContext, fold: Fold) -> Claim:
    """The claim of one more point, trained and folded and not flushed."""
    claim = records.claim(context.database, context.worker)
    records.train(context.database, claim)
    fold.add(claim, TunedPoint({"visual.proj": torch.full((3,), 0.5 + claim.index)}, None, PointOutcome()))
    return claim


def committed(database: Database, job_id: str) -> list[int]:
    """The points that are folded."""
    with database.read() as session:
        return [step.index for step in jobs.points(session, job_id) if step.state == StepState.FOLDED]


@pytest.mark.slow
def test_two_workers_that_fold_the_last_two_points_at_once_conclude_the_job_once(
    database: Database, make_context: MakeContext
) -> None:
    job_id = records.make_tuning_job(database, points=2)
    stations = [make_context(), make_context()]
    folds = [trained(context, job_id)[0] for context in stations]
    start = threading.Barrier(2)

    def flush_and_claim(fold: Fold, worker: WorkerIdentity) -> Claim | None:
        start.wait()
        fold.flush()
        return records.claim_or_none(database, worker)

    with ThreadPoolExecutor(2) as pool:
        claims = list(pool.map(flush_and_claim, folds, [context.worker for context in stations]))
    # Whoever looks before the other has committed finds nothing; then the conclude is due at the next look.
    claims += [records.claim_or_none(database, context.worker) for context in stations]
    kinds = [claim.kind for claim in claims if claim is not None]
    assert kinds == [StepKind.CONCLUDE]
    assert committed(database, job_id) == [0, 1]


def test_a_flush_commits_the_points_and_the_partial_that_holds_them(
    database: Database, make_context: MakeContext, tmp_path: Path
) -> None:
    job_id = records.make_tuning_job(database, points=1)
    context = make_context()
    fold, _ = trained(context, job_id)
    fold.flush()
    conclude = records.claim(database, context.worker)
    with database.write() as session:
        [partial] = steps.conclude_inputs(session, conclude).partials
    (tmp_path / "partial").write_bytes(context.store.read(partial.key))
    loaded = Partial.load(tmp_path / "partial", BASE, Merge())
    assert loaded.points == [0]
    assert loaded.result("negmerge")["visual.proj"].tolist() == [0.5, 0.5, 0.5]


def test_a_flush_without_new_points_does_nothing(database: Database, make_context: MakeContext) -> None:
    fold, _ = trained(make_context(), records.make_tuning_job(database, points=1))
    assert [fold.flush(), fold.flush()] == [True, False]


def test_a_flush_that_lost_one_point_commits_none_and_gives_back_the_others(
    database: Database, make_context: MakeContext
) -> None:
    job_id = records.make_tuning_job(database, points=2)
    context = make_context()
    fold, lost = trained(context, job_id)
    train_next(context, fold)
    with database.write() as session:
        reopening.give_back(session, [lost])
    fold.flush()
    with database.read() as session:
        states = [(step.state, step.attempts) for step in jobs.points(session, job_id)]
    assert states == [(StepState.OPEN, 0), (StepState.OPEN, 0)]


@pytest.mark.slow
def test_after_a_void_flush_the_points_committed_before_stay_and_the_rest_is_folded_anew(
    database: Database, make_context: MakeContext
) -> None:
    job_id = records.make_tuning_job(database, points=2)
    context = make_context()
    fold, _ = trained(context, job_id)
    fold.flush()
    for lose in (True, False):
        claim = train_next(context, fold)
        if lose:
            with database.write() as session:
                reopening.give_back(session, [claim])
        fold.flush()
    conclude = records.claim(database, context.worker)
    with database.write() as session:
        partials = steps.conclude_inputs(session, conclude).partials
    assert sorted(partial.points for partial in partials) == [[0], [1]]


def test_a_flush_whose_answer_was_lost_is_found_to_be_committed(database: Database, make_context: MakeContext) -> None:
    job_id = records.make_tuning_job(database, points=1)
    context = make_context()
    fold, _ = trained(context, job_id)
    fold._commit()  # the commit lands, and the process never hears of it
    fold.flush()
    assert committed(database, job_id) == [0]
    assert "step.reopened" not in records.event_kinds(database, job_id)


@pytest.mark.slow
def test_a_point_folded_after_a_flush_whose_answer_was_lost_is_committed_with_the_next(
    database: Database, make_context: MakeContext
) -> None:
    job_id = records.make_tuning_job(database, points=2)
    context = make_context()
    fold, _ = trained(context, job_id)
    fold._commit()  # the commit lands, and the process never hears of it, and goes on training
    train_next(context, fold)
    fold.flush()
    assert committed(database, job_id) == [0, 1]
    assert "step.reopened" not in records.event_kinds(database, job_id)


def test_a_point_that_cannot_be_added_takes_the_uncommitted_ones_with_it(
    database: Database, make_context: MakeContext
) -> None:
    job_id = records.make_tuning_job(database, points=2)
    context = make_context()
    fold, _ = trained(context, job_id)
    with pytest.raises(Exception, match=r"visual\.proj"):
        fold.add(
            records.claim(database, context.worker), TunedPoint({"visual.proj": torch.ones(4)}, None, PointOutcome())
        )
    assert fold.flush() is False
    assert committed(database, job_id) == []
