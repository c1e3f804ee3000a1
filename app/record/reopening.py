"""A job's steps that end without a result: given back, failed, of workers that died or fell silent. See ``steps``.

Each opens again, for whoever claims it next, or ends the job. Times are the database's, and every function works inside
the caller's ``Database.write`` transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.orm import Session

from app.record import db
from app.record.leases import Claim, WorkerIdentity, step_of
from app.record.lifecycle import lock, record_event, settle, transition
from app.record.retries import Retries
from app.record.states import JobState, StepState
from app.record.tables import Job, Step, Worker

FORGET_WORKER_SECONDS = 3600
"""A worker that was not seen for so long is taken from the list of workers."""


def give_back(session: Session, claims: Sequence[Claim]) -> None:
    """Return steps unfinished: at shutdown, at a cancel, after a void flush. The attempt does not count.

    Claims that are lost already are passed over.
    """
    for job_id in sorted({claim.job_id for claim in claims}):
        job = lock(session, job_id)
        if job is None:
            continue
        for claim in [claim for claim in claims if claim.job_id == job_id]:
            step = step_of(session, claim)
            if step is not None:
                step.attempts -= 1
                _reopen(session, job, step, {"type": "given_back", "detail": "the worker stopped"})
        settle(session, job)


def fail_step(session: Session, claim: Claim, cause: Mapping[str, Any], retries: Retries, final: bool) -> None:
    """A step failed, with ``type`` and ``detail`` of the cause. It opens again, or the job fails.

    final: trying again would fail again (a deterministic error), so the job fails now. A claim that is lost
    already changes nothing.
    """
    job = lock(session, claim.job_id)
    step = step_of(session, claim)
    if job is not None and step is not None:
        _fail(session, job, step, cause, retries, step.attempts, final)
        settle(session, job)


def release_worker(session: Session, worker_id: str, retries: Retries) -> None:
    """The process is known to be dead: its steps open at once, without waiting for their leases.

    At once the first time. Whoever dies of a step again and again is given time between.
    """
    cause = {"type": "worker_died", "detail": "the worker process ended in the middle of the step"}
    session.execute(delete(Worker).where(Worker.id == worker_id))
    mine = and_(Step.worker == worker_id, Step.state == StepState.CLAIMED)
    _fail_all(session, mine, cause, retries, skip_locked=False)


def sweep(session: Session, retries: Retries) -> None:
    """Open what leases ran out on, which ends a cancelled job that nobody works on any more.

    Jobs that somebody is changing at this moment are left to the next sweep, so no sweep ever waits.
    """
    moment = db.now(session)
    session.execute(delete(Worker).where(Worker.seen_at < moment - timedelta(seconds=FORGET_WORKER_SECONDS)))
    cause = {"type": "lease_expired", "detail": "the worker was not heard of until its lease ran out"}
    expired = and_(Step.state == StepState.CLAIMED, Step.lease_until <= moment)
    _fail_all(session, expired, cause, retries, skip_locked=True)


def seen(session: Session, worker: WorkerIdentity) -> None:
    """Write down that the worker lives."""
    moment = db.now(session)
    row = session.get(Worker, worker.id)
    if row is None:
        mine = worker.arithmetic
        row = Worker(id=worker.id, host=worker.host, pid=worker.pid, queue=worker.queue, started_at=moment)
        row.device, row.threads, row.bfloat16_by = mine.device, mine.threads, mine.bfloat16_by
        session.add(row)
    row.seen_at = moment


def _fail_all(
    session: Session,
    which: ColumnElement[bool],
    cause: Mapping[str, Any],
    retries: Retries,
    *,
    skip_locked: bool,
) -> None:
    for job_id in sorted(set(session.scalars(select(Step.job_id).where(which)))):
        job = lock(session, job_id, skip_locked=skip_locked)
        steps = select(Step).where(which, Step.job_id == job_id).order_by(Step.kind, Step.index)
        for step in session.scalars(steps.execution_options(populate_existing=True)).all():
            if job is not None and not JobState(job.state).terminal:
                _fail(session, job, step, cause, retries, step.attempts - 1)
        if job is not None:
            settle(session, job)


def _fail(
    session: Session,
    job: Job,
    step: Step,
    cause: Mapping[str, Any],
    retries: Retries,
    failures: int,
    final: bool = False,
) -> None:
    """End the job, or open the step again. failures: of the step, as far as the next attempt is to wait for them."""
    step.cause = dict(cause)
    if job.cancel_requested_at is None and (final or step.attempts >= retries.attempts):
        problem = {**cause, "step": step.kind, "index": step.index, "attempts": step.attempts}
        transition(session, job, JobState.FAILED, problem)
    else:
        wait = retries.wait(failures)
        step.not_before = db.now(session) + timedelta(seconds=wait) if wait else None
        _reopen(session, job, step, cause)


def _reopen(session: Session, job: Job, step: Step, cause: Mapping[str, Any]) -> None:
    step.state, step.token, step.lease_until = StepState.OPEN, None, None
    step.progress, step.outcome, step.keys = None, None, []
    step.started_at = step.finished_at = None
    data = {"kind": step.kind, "index": step.index, "attempts": step.attempts, "cause": dict(cause)}
    if step.not_before is not None:
        data["not_before"] = step.not_before.isoformat()
    record_event(session, job, "step.reopened", data)
    session.flush()
