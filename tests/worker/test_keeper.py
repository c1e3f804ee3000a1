"""What the keeper does about leases that ran out."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.record.leases import Claim
from app.record.states import StepState
from app.settings import Settings
from tests.support import records
from tests.support.worker_contexts import worker_context
from worker.context import WorkerContext
from worker.held_claims import HeldClaims
from worker.keeper import Keeper


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WorkerContext]:
    settings = Settings(data_dir=tmp_path)
    with worker_context(settings, tmp_path / "scratch") as context:
        yield context


def kept_too_late(context: WorkerContext, was_away: bool) -> Claim:
    """A claim whose lease ran out before the keeper came to renew it."""
    records.make_tuning_job(context.database)
    claim = records.claim(context.database, context.worker, lease=records.SHORT)
    held = HeldClaims(records.SHORT)
    held.begin(claim, time.monotonic())
    records.let_the_lease_end()
    keeper = Keeper(context, held)
    keeper._was_away = was_away
    keeper._keep()
    return claim


def test_a_lease_that_ran_out_while_the_record_was_away_counts_no_attempt(context: WorkerContext) -> None:
    """With a full disk under SQLite nothing can be renewed, and the step is as good as ever."""
    step = records.point(context.database, kept_too_late(context, was_away=True))
    assert (step.state, step.attempts, step.not_before) == (StepState.OPEN, 0, None)


def test_a_lease_that_ran_out_by_the_workers_own_fault_is_left_to_the_sweep(context: WorkerContext) -> None:
    step = records.point(context.database, kept_too_late(context, was_away=False))
    assert (step.state, step.attempts) == (StepState.CLAIMED, 1)
