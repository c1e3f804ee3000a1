"""How far a job is, counted from its steps."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from app.record import db
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Job, Step, Worker

ALIVE_SECONDS = 30
"""A worker that was seen within this time is taken to be alive."""


def progress(session: Session, job: Job) -> dict[str, Any]:
    """How far a job is: ``fraction`` of its steps in [0, 1], ``points`` by state, the ``running`` steps.

    A point that is trained and not yet folded counts as ``trained``, one that is being trained as ``running``.
    ``workers`` counts the living ones that could take the job's next step: 0 says why nothing happens.
    """
    steps = list(session.scalars(select(Step).where(Step.job_id == job.id).order_by(Step.kind, Step.index)))
    counted = dict.fromkeys(("open", "running", "trained", "folded", "diverged"), 0)
    running, done = [], 0.0
    for step in steps:
        name = "trained" if step.outcome and step.state == StepState.CLAIMED else str(step.state)
        if name == StepState.CLAIMED:
            name = "running"
            running.append({"kind": step.kind, "index": step.index, **(step.progress or {})})
            done += _share(step.progress)
        done += name in ("trained", "folded", "diverged", "done")
        if step.kind == StepKind.POINT:
            counted[name] += 1
    fraction = 1.0 if job.state == JobState.SUCCEEDED else round(done / max(1, len(steps)), 4)
    return {
        "fraction": fraction,
        "points": {"total": job.points, **counted},
        "running": running,
        "workers": _able_workers(session, job),
    }


def _able_workers(session: Session, job: Job) -> int:
    """Workers of the job's queue that were seen just now, with the job's arithmetic once it has one."""
    alive = Worker.seen_at > db.now(session) - timedelta(seconds=ALIVE_SECONDS)
    able = select(func.count()).select_from(Worker).where(Worker.queue == job.queue, alive)
    if job.device is not None:
        able = able.where(Worker.device == job.device, Worker.threads == job.threads, Worker.stacking == job.stacking)
    return session.scalar(able) or 0


def _share(progress: Mapping[str, Any] | None) -> float:
    if not progress or not progress.get("total"):
        return 0.0
    return min(1.0, float(progress["step"]) / float(progress["total"]))


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the next job that its queue's workers will begin; None once it has begun."""
    if job.state != JobState.QUEUED:
        return None
    earlier = tuple_(Job.created_at, Job.id) <= tuple_(job.created_at, job.id)
    waiting = select(func.count()).where(Job.queue == job.queue, Job.state == JobState.QUEUED, earlier)
    return session.scalar(waiting)
