"""Who does what: which step is due, claiming it, holding it by a lease. How a step ends is in ``steps``.

What is due is derived from the rows each time, never handed over: ``conclude`` is due when the job is tuning and no
point and no rival is open or claimed, and a step that failed is due again at its ``not_before``. A claim gets a fresh
token and a lease, which the worker renews; a claim whose lease is over is lost, whether or not somebody took it, so
whatever is stored in its name may be collected.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from app.record import db, ids
from app.record.lifecycle import lock, record_event, transition
from app.record.states import TERMINAL, JobState, StepKind, StepState
from app.record.tables import Job, Partial, Step
from negmerge.spec.precision import Bfloat16By, Precision, Trained

_TRAINING = (StepKind.POINT, StepKind.RIVAL)
"""What a tuning job consists of, in the order in which it is claimed."""


class LostClaim(Exception):
    """The claim is this worker's no more: its lease is over, or its job was cancelled or has ended.

    Stop the step, and drop what it made.
    """


@dataclass(frozen=True)
class Arithmetic:
    """What a worker's bits depend on. Prepare writes it down; only workers whose own ``fits`` go on with the job.

    What is measured is float32, which needs the same device and threads. Training in bfloat16 needs the same way of
    computing that too: nothing mixes the bits of a matrix unit with those of an emulation.
    """

    device: str  # "cpu" or "cuda"
    threads: int  # of the CPU's arithmetic
    bfloat16_by: Bfloat16By = "emulated"

    def fits(self, job: Job) -> bool:
        """Whether a worker with this arithmetic may measure for a job that was prepared."""
        return (job.device, job.threads) == (self.device, self.threads)

    def fits_training(self, job: Job) -> bool:
        """Whether it may train for it too. A job has no way of computing bfloat16 where it asks for none."""
        return self.fits(job) and job.bfloat16_by in (None, self.bfloat16_by)


@dataclass(frozen=True)
class WorkerIdentity:
    """A worker process, by whatever ``id`` its supervisor gave it. What it folds lies in partials of its own."""

    id: str
    host: str
    pid: int
    queue: str
    arithmetic: Arithmetic


@dataclass(frozen=True)
class Claim:
    """A step that this worker may do until ``lease_until``, and what it needs for that."""

    job_id: str
    tenant: str
    kind: StepKind
    index: int  # of a point or a rival; 0 otherwise
    repeat: int  # of the sweep, that a point or a rival belongs to; 0 otherwise
    rival: str | None  # what to train in a step of the kind rival
    token: str
    attempt: int  # 1 for the first
    lease_until: datetime  # by the database's clock
    spec: dict[str, Any]
    hyper_parameters: dict[str, Any] | None  # of a point
    seed: int | None  # of a point or a rival
    prepared_key: str | None  # from tuning on, as what follows
    trained: Trained | None  # how its points are


# Claiming


def claim_next(session: Session, worker: WorkerIdentity, lease_seconds: float) -> Claim | None:
    """The next step for this worker, or None. A job that it already works on comes first, then the oldest.

    Only the first job's lock is waited for: a worker that holds one lock never waits for another out of order.
    """
    tried: list[str] = []
    open_now = _open_at(db.clock(session))
    while (job_id := session.scalar(_next_job(worker, tried, open_now))) is not None:
        job = lock(session, job_id, skip_locked=bool(tried))
        step = _due_step(session, job, worker, open_now) if job is not None else None
        if job is not None and step is not None:
            return _claim(session, job, step, worker, lease_seconds)
        tried.append(job_id)
    return None


def _due(mine: Arithmetic, open_now: ColumnElement[bool]) -> ColumnElement[bool]:
    """Jobs with a step to claim now, by a worker with this arithmetic (``Arithmetic.fits``, as SQL)."""
    fits = and_(Job.device == mine.device, Job.threads == mine.threads)
    fits_training = or_(Job.bfloat16_by.is_(None), Job.bfloat16_by == mine.bfloat16_by)
    return and_(
        Job.cancel_requested_at.is_(None),
        or_(
            and_(Job.state.in_([JobState.QUEUED, JobState.PREPARING]), _some([StepKind.PREPARE], open_now)),
            and_(
                Job.state == JobState.TUNING,
                fits,
                or_(
                    and_(fits_training, _some(_TRAINING, open_now)),
                    and_(~_some(_TRAINING, _UNFINISHED), _some([StepKind.CONCLUDE], open_now)),
                ),
            ),
            and_(Job.state == JobState.CONCLUDING, fits, _some([StepKind.CONCLUDE], open_now)),
        ),
    )


_UNFINISHED = Step.state.in_([StepState.OPEN, StepState.CLAIMED])


def _open_at(moment: ColumnElement[datetime]) -> ColumnElement[bool]:
    return and_(Step.state == StepState.OPEN, or_(Step.not_before.is_(None), Step.not_before <= moment))


def _some(kinds: Sequence[StepKind], which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Step.job_id == Job.id, Step.kind.in_(kinds), which)


def _next_job(worker: WorkerIdentity, tried: Sequence[str], open_now: ColumnElement[bool]) -> Select[str]:
    known = or_(
        exists().where(Partial.job_id == Job.id, Partial.worker == worker.id),
        exists().where(Step.job_id == Job.id, Step.worker == worker.id, Step.state == StepState.CLAIMED),
    )
    due = select(Job.id).where(Job.queue == worker.queue, Job.id.not_in(tried), _due(worker.arithmetic, open_now))
    return due.order_by(known.desc(), Job.created_at, Job.id).limit(1)


def _due_step(session: Session, job: Job, worker: WorkerIdentity, open_now: ColumnElement[bool]) -> Step | None:
    """The first open step of the locked job that is due now."""
    if job.cancel_requested_at is not None or JobState(job.state).terminal:
        return None
    steps = select(Step).where(Step.job_id == job.id, open_now).order_by(Step.index).limit(1)
    if job.state in (JobState.QUEUED, JobState.PREPARING):
        return session.scalar(steps.where(Step.kind == StepKind.PREPARE))
    if not worker.arithmetic.fits(job):
        return None
    if job.state == JobState.TUNING:
        for kind in _TRAINING if worker.arithmetic.fits_training(job) else ():
            if (step := session.scalar(steps.where(Step.kind == kind))) is not None:
                return step
        unfinished = select(_some(_TRAINING, _UNFINISHED)).where(Job.id == job.id)
        if session.scalar(unfinished):
            return None
    return session.scalar(steps.where(Step.kind == StepKind.CONCLUDE))


def _claim(session: Session, job: Job, step: Step, worker: WorkerIdentity, lease_seconds: float) -> Claim:
    moment = db.now(session)
    step.state = StepState.CLAIMED
    step.token = ids.new_token()
    step.worker = worker.id
    step.attempts += 1
    step.lease_until = moment + timedelta(seconds=lease_seconds)
    step.started_at, step.finished_at, step.progress, step.not_before = moment, None, None, None
    if job.state == JobState.QUEUED:
        transition(session, job, JobState.PREPARING)
    if step.kind == StepKind.CONCLUDE and job.state == JobState.TUNING:
        transition(session, job, JobState.CONCLUDING)
    record_event(session, job, f"{step.kind}.started", {"index": step.index, "attempt": step.attempts})
    session.flush()
    return Claim(
        job_id=job.id,
        tenant=job.tenant,
        kind=StepKind(step.kind),
        index=step.index,
        repeat=step.repeat,
        rival=step.rival,
        token=step.token,
        attempt=step.attempts,
        lease_until=step.lease_until,
        spec=job.spec,
        hyper_parameters=step.hyper_parameters,
        seed=step.seed,
        prepared_key=job.prepared_key,
        trained=trained_of(job),
    )


def trained_of(job: Job) -> Trained | None:
    """How the job's points are trained; None until it is prepared."""
    if job.precision is None:
        return None
    return Trained(cast(Precision, job.precision), cast(Bfloat16By | None, job.bfloat16_by))


# Holding


def renew(session: Session, claims: Sequence[Claim], lease_seconds: float) -> set[str]:
    """Prolong all claims of a worker: the running step, and the points that are trained and not yet folded.

    Returns the tokens of those that are lost. A claim of a job that is to be cancelled is not prolonged, so that
    the job ends even if its worker does not stop.
    """
    lost = set()
    for job_id in sorted({claim.job_id for claim in claims}):
        job = lock(session, job_id)
        until = db.now(session) + timedelta(seconds=lease_seconds)
        for claim in [claim for claim in claims if claim.job_id == job_id]:
            step = step_of(session, claim)
            if job is None or step is None or not lease_lives(session, step):
                lost.add(claim.token)
            elif job.cancel_requested_at is None:
                step.lease_until = until
    return lost


def not_wanted(session: Session, job_ids: Collection[str]) -> set[str]:
    """Those of the jobs that have ended or are to be cancelled: whatever is being done for them should stop."""
    over = or_(Job.cancel_requested_at.is_not(None), Job.state.in_(TERMINAL))
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), over)))


def report_progress(
    session: Session,
    claim: Claim,
    step: int,
    total: int,
    loss: float | None,
    trace: Sequence[tuple[int, float]] = (),
) -> None:
    """Show how far a step is. Of a claim that is lost, nothing is written.

    trace: some of its losses so far, as pairs of step and loss.
    """
    finite = loss if loss is not None and isfinite(loss) else None  # JSON has no NaN
    progress: dict[str, Any] = {"step": step, "total": total, "loss": finite}
    if trace:
        progress["trace"] = [list(pair) for pair in trace]
    session.execute(update(Step).where(_mine(claim)).values(progress=progress))


def step_of(session: Session, claim: Claim) -> Step | None:
    """The claim's step where its token still stands, whatever its lease. The job's row must be locked."""
    statement = select(Step).where(_mine(claim))
    return session.scalar(statement.execution_options(populate_existing=True))


def _mine(claim: Claim) -> ColumnElement[bool]:
    """The claim's step while the claim stands: fencing, in one place."""
    return and_(
        Step.job_id == claim.job_id,
        Step.kind == claim.kind,
        Step.index == claim.index,
        Step.token == claim.token,
        Step.state == StepState.CLAIMED,
    )


def lease_lives(session: Session, step: Step) -> bool:
    return step.lease_until is not None and step.lease_until > db.now(session)


def require_claim(session: Session, claim: Claim) -> tuple[Job, Step]:
    """The locked job and the step, where the claim may still end it. Raises LostClaim."""
    job = lock(session, claim.job_id)
    step = step_of(session, claim)
    if job is None or step is None or job.cancel_requested_at is not None or not lease_lives(session, step):
        raise LostClaim(f"{claim.kind} {claim.index} of {claim.job_id} is not this worker's any more")
    return job, step
