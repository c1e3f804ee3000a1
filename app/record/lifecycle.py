"""How a job's row changes: its lock, its states, the events that number every change.

    queued → preparing → tuning → concluding → succeeded | failed | cancelled

Every change of state goes through ``transition``, which checks that it is legal, records an event, and at the
end of a job voids all claims and hands over the stored objects that no artifact needs. Whoever changes a job or
its steps locks the job's row first (``lock``), and several jobs in the order of their ids: so nothing deadlocks,
and a reader of events never skips one that commits late.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from app.errors import InternalError
from app.record import db
from app.record.objects import release_job
from app.record.states import JobState, StepState
from app.record.tables import Event, Job, Partial, Step

_ENDINGS = {JobState.FAILED, JobState.CANCELLED}
_LEGAL: dict[JobState, set[JobState]] = {
    JobState.QUEUED: {JobState.PREPARING, JobState.CANCELLED},
    JobState.PREPARING: {JobState.TUNING} | _ENDINGS,
    JobState.TUNING: {JobState.CONCLUDING} | _ENDINGS,
    JobState.CONCLUDING: {JobState.SUCCEEDED} | _ENDINGS,
}


def lock(session: Session, job_id: str, *, skip_locked: bool = False) -> Job | None:
    """The job as it is now, its row locked until the transaction ends.

    None where there is no such job, or where ``skip_locked`` and somebody else holds it. On SQLite the whole
    database is locked already.
    """
    statement = select(Job).where(Job.id == job_id).with_for_update(skip_locked=skip_locked)
    return session.scalar(statement.execution_options(populate_existing=True))


def transition(session: Session, job: Job, state: JobState, problem: Mapping[str, Any] | None = None) -> None:
    """Bring a locked job into its next state and record the event ``job.{state}``.

    problem: for FAILED, ``type`` and ``detail`` of the cause. At the end of a job all claims are void and every
    stored object that is not an artifact, nor a partial of a job that succeeded, is handed to garbage collection.
    Raises InternalError for a step that the picture above does not have.
    """
    if state not in _LEGAL.get(JobState(job.state), set()):
        raise InternalError(f"job {job.id!r} cannot go from {job.state} to {state}")
    job.state = state
    if state is JobState.PREPARING:
        job.started_at = db.now(session)
    if problem is not None:
        job.problem = dict(problem)
    told = {"problem": dict(problem)} if problem else {"outcome": job.outcome} if job.outcome else {}
    record_event(session, job, f"job.{state}", told)
    if state.terminal:
        job.finished_at = db.now(session)
        void = {"state": StepState.OPEN, "token": None, "lease_until": None}
        session.execute(update(Step).where(Step.job_id == job.id, Step.state == StepState.CLAIMED).values(void))
        if state in _ENDINGS:
            session.execute(delete(Partial).where(Partial.job_id == job.id))
        release_job(session, job.id)


def record_event(session: Session, job: Job, kind: str, data: Mapping[str, Any]) -> None:
    """Number and keep an event of a job whose row is locked. Numbers begin at 1 and have no gaps."""
    job.last_event += 1
    session.add(Event(job_id=job.id, number=job.last_event, at=db.now(session), kind=kind, data=dict(data)))


def settle(session: Session, job: Job) -> None:
    """End a job whose cancelling was asked for, once no live lease is left in it. The row must be locked."""
    if job.cancel_requested_at is None or JobState(job.state).terminal:
        return
    if not session.scalar(select(func.count()).select_from(Step).where(_live(session, job.id))):
        transition(session, job, JobState.CANCELLED)


def _live(session: Session, job_id: str) -> ColumnElement[bool]:
    return (Step.job_id == job_id) & (Step.state == StepState.CLAIMED) & (Step.lease_until > db.now(session))
