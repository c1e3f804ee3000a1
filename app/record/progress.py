"""How far jobs are, counted from their steps; of a page of jobs by no more statements than of one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import add
from typing import Any, cast

from sqlalchemy import ColumnElement, CompoundSelect, and_, func, literal, not_, null, select, tuple_
from sqlalchemy.orm import Session, aliased

from app.record import db
from app.record.leases import Arithmetic
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Job, Step, Worker
from negmerge.spec.job_resources import BegunStep, PointCounts, Progress, RunningStep, WaitingStep
from negmerge.spec.precision import Bfloat16By

ALIVE_SECONDS = 30
"""A worker that was seen within this time is taken to be alive."""


@dataclass(frozen=True)
class _Group:
    """So many steps of a job, of one kind and in one state; a running step is a group of its own."""

    kind: str
    state: str
    number: int
    index: int | None  # of a running step, as what follows
    reported: dict[str, Any] | None
    finished_before: int | None  # how many of the job's steps, in the order of kinds and indices

    @property
    def name(self) -> str:
        """The state as people see it: a claimed step is running, or trained and waits for a flush."""
        if self.state != StepState.CLAIMED:
            return self.state
        return "trained" if self.index is None else "running"


@dataclass(frozen=True)
class Workers:
    """So many living workers, of one queue and one arithmetic."""

    queue: str
    arithmetic: Arithmetic
    number: int

    def can_go_on(self, job: Job) -> bool:
        """The job is of its queue, and of its arithmetic once it has one."""
        fits = self.arithmetic.fits_training if job.state == JobState.TUNING else self.arithmetic.fits
        return job.queue == self.queue and (job.device is None or fits(job))


def progress(session: Session, jobs: Sequence[Job]) -> dict[str, Progress]:
    """How far each of the jobs is, by its id."""
    groups: dict[str, list[_Group]] = {job.id: [] for job in jobs}
    for job_id, *group in session.execute(_grouped(list(groups))):
        groups[job_id].append(_Group(*group))
    living, waiting = living_workers(session), _waiting(session, list(groups))
    return {job.id: _progress(job, groups[job.id], waiting.get(job.id, []), living) for job in jobs}


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """By id, 1 for the next of its tenant's jobs that its queue's workers will begin, without those that have begun.

    Among the tenant's own alone: how many others wait is nobody's business.
    """
    waiting = {job.id: job.queue for job in jobs if job.state == JobState.QUEUED}
    if not waiting:
        return {}
    place = (
        func.row_number().over(partition_by=(Job.tenant, Job.queue), order_by=(Job.created_at, Job.id)).label("place")
    )
    queued = select(Job.id, place).where(Job.state == JobState.QUEUED, Job.queue.in_(set(waiting.values()))).subquery()
    return dict(session.execute(select(queued).where(queued.c.id.in_(list(waiting)))).all())


def _grouped(job_ids: Sequence[str]) -> CompoundSelect[Any]:
    """The groups of all these jobs in one statement, so that what it says of a job is of one moment."""
    columns, ours, other = (Step.job_id, Step.kind, Step.state), Step.job_id.in_(job_ids), aliased(Step)
    earlier = tuple_(other.kind, other.index) < tuple_(Step.kind, Step.index)
    before = select(func.count()).where(other.job_id == Step.job_id, _is_finished(other), earlier).scalar_subquery()
    running = select(*columns, literal(1), Step.index, Step.progress, before).where(ours, _is_running(Step))
    others = select(*columns, func.count(), null(), null(), null()).where(ours, not_(_is_running(Step)))
    return running.union_all(others.group_by(*columns)).order_by("kind", "index")


def _is_running(step: type[Step]) -> ColumnElement[bool]:
    return and_(step.state == StepState.CLAIMED, step.outcome.is_(None))


def _is_finished(step: type[Step]) -> ColumnElement[bool]:
    return and_(step.state != StepState.OPEN, not_(_is_running(step)))


def _waiting(session: Session, job_ids: Sequence[str]) -> dict[str, list[WaitingStep]]:
    """By job, the steps that failed and whose time has not come, in the order of kinds and indices."""
    columns = Step.job_id, Step.kind, Step.index, Step.attempts, Step.not_before, Step.cause
    later = Step.state == StepState.OPEN, Step.not_before > db.clock(session)
    found: dict[str, list[WaitingStep]] = {}
    for job_id, kind, index, attempts, not_before, cause in session.execute(
        select(*columns).where(Step.job_id.in_(job_ids), *later).order_by(Step.kind, Step.index)
    ):
        step = WaitingStep(kind=kind, index=index, attempts=attempts, not_before=not_before, cause=cause or {})
        found.setdefault(job_id, []).append(step)
    return found


def _progress(job: Job, groups: Sequence[_Group], waiting: list[WaitingStep], living: Sequence[Workers]) -> Progress:
    points: Counter[str] = Counter()
    for group in groups:
        if group.kind == StepKind.POINT:
            points[group.name] += group.number
    return Progress(
        fraction=1.0 if job.state == JobState.SUCCEEDED else _fraction(groups),
        points=PointCounts(total=job.points, **points),
        running=[_step(group) for group in groups if group.name == "running"],
        waiting=waiting,
        workers=sum(workers.number for workers in living if workers.can_go_on(job)),
    )


def _fraction(groups: Sequence[_Group]) -> float:
    """The share of the steps that is done. Floats are added one by one in the order of the steps: in another order
    the sum may be another in its last digit, and where it is halfway between two fourth decimals, the answer too.
    """
    total = sum(group.number for group in groups)
    finished = sum(group.number for group in groups if group.name not in (StepState.OPEN, "running"))
    shares: list[float] = []
    passed = 0
    for group in groups:
        if group.finished_before is not None:
            shares += [1.0] * (group.finished_before - passed) + [_step(group).share()]
            passed = group.finished_before
    shares += [1.0] * (finished - passed)
    return round(reduce(add, shares, 0.0) / max(1, total), 4)


def _step(group: _Group) -> BegunStep:
    here = {"kind": group.kind, "index": group.index}
    return RunningStep.model_validate(here | group.reported) if group.reported else BegunStep.model_validate(here)


def living_workers(session: Session) -> list[Workers]:
    """Those that were seen just now."""
    alive = Worker.seen_at > db.now(session) - timedelta(seconds=ALIVE_SECONDS)
    alike = Worker.queue, Worker.device, Worker.threads, Worker.bfloat16_by
    found = session.execute(select(*alike, func.count()).where(alive).group_by(*alike))
    return [
        Workers(queue, Arithmetic(device, threads, cast(Bfloat16By, by)), number)
        for queue, device, threads, by, number in found
    ]
