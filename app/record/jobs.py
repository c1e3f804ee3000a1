"""A job's life as people see it: making, finding, cancelling and deleting one, its events and its progress.

How its row changes is in ``lifecycle``, how its steps are claimed and finished in ``steps``.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, delete, func, or_, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import (
    IdempotencyMismatch,
    InUse,
    JobDeleted,
    JobFinished,
    JobNotFound,
    JobRunning,
    Malformed,
    NoResult,
    ResultNotReady,
)
from app.record import db, ids
from app.record.lifecycle import lock, record_event, settle
from app.record.objects import release_job
from app.record.pages import first_rows
from app.record.states import TERMINAL, JobState, StepKind, StepState
from app.record.tables import Artifact, Event, IdempotencyRecord, Job, JobMetadata, Partial, Step, StoredObject
from negmerge.spec.job import JobSpec
from negmerge.spec.result import OutcomeName


@dataclass(frozen=True)
class Created:
    """What ``create`` answers: the job, and whether an earlier request with the same key had made it."""

    job: Job
    replayed: bool


@dataclass(frozen=True)
class Page:
    """A page of jobs, newest first; ``next_cursor`` is None on the last one."""

    jobs: list[Job]
    next_cursor: str | None


def create(
    session: Session,
    tenant: str,
    key_id: str,
    spec: JobSpec,
    queue: str,
    idempotency: tuple[str, str] | None = None,
) -> Created:
    """A new queued job with all its steps.

    idempotency: the Idempotency-Key and the SHA-256 of the body. A key that was used before gives the job that it
    made then; raises IdempotencyMismatch where the body was another one. Raises JobDeleted where the job that it is
    from was deleted meanwhile.
    """
    if idempotency is not None and (earlier := replay(session, tenant, *idempotency)):
        return Created(earlier, replayed=True)
    try:
        with session.begin_nested():
            job = _insert(session, tenant, key_id, spec, queue)
            if idempotency is not None:
                key, body_sha256 = idempotency
                session.add(
                    IdempotencyRecord(
                        tenant=tenant,
                        key=key,
                        body_sha256=body_sha256,
                        job_id=job.id,
                        created_at=job.created_at,
                    )
                )
    except IntegrityError:  # the same request at the same moment, and the other one was first
        if idempotency is None or not (earlier := replay(session, tenant, *idempotency)):
            raise
        return Created(earlier, replayed=True)
    return Created(job, replayed=False)


def replay(session: Session, tenant: str, key: str, body_sha256: str) -> Job | None:
    """The job that an earlier request with this Idempotency-Key made. Raises IdempotencyMismatch."""
    record = session.get(IdempotencyRecord, (tenant, key))
    if record is None:
        return None
    if record.body_sha256 != body_sha256:
        raise IdempotencyMismatch(
            f"the Idempotency-Key {key!r} was used with another body: send a new key for a new job"
        )
    return session.get_one(Job, record.job_id)


def _insert(session: Session, tenant: str, key_id: str, spec: JobSpec, queue: str) -> Job:
    document = spec.model_dump(mode="json")
    if spec.from_job is not None:
        _locked(session, spec.from_job)  # nobody deletes it before this job is there
    points, rivals = spec.points() if spec.from_job is None else [], spec.rival_runs()
    job = Job(
        id=ids.new_id("job"),
        tenant=tenant,
        state=JobState.QUEUED,
        queue=queue,
        spec=document,
        spec_sha256=_canonical_sha256(document),
        meta=dict(spec.metadata),
        points=len(points),
        last_event=0,
        created_by=key_id,
        created_at=db.now(session),
    )
    session.add(job)
    session.flush()
    session.add_all(JobMetadata(job_id=job.id, key=key, value=value) for key, value in spec.metadata.items())
    session.add(_step(job, StepKind.PREPARE))
    session.add_all(
        _step(
            job,
            StepKind.POINT,
            point.index,
            repeat=point.repeat,
            hyper_parameters=point.hyper_parameters.model_dump(mode="json"),
            seed=point.seed,
        )
        for point in points
    )
    session.add_all(
        _step(job, StepKind.RIVAL, i, repeat=run.repeat, rival=run.name, seed=run.seed) for i, run in enumerate(rivals)
    )
    session.add(_step(job, StepKind.CONCLUDE))
    record_event(session, job, "job.queued", {"points": len(points), "rivals": len(rivals)})
    session.flush()
    return job


def _step(job: Job, kind: StepKind, index: int = 0, *, repeat: int = 0, **what: Any) -> Step:
    """An open step. what: the columns that only some kinds have."""
    return Step(job_id=job.id, kind=kind, index=index, repeat=repeat, state=StepState.OPEN, attempts=0, keys=[], **what)


def _canonical_sha256(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def get(session: Session, tenant: str, job_id: str) -> Job:
    """The tenant's job. Raises JobNotFound, also for another tenant's, and JobDeleted for a tombstone."""
    job = session.get(Job, job_id)
    if job is None or job.tenant != tenant:
        raise JobNotFound(job_id)
    if job.deleted_at is not None:
        raise JobDeleted(job_id)
    return job


def check_succeeded(job: Job) -> None:
    """Raise ResultNotReady or NoResult unless the job has a result."""
    if not JobState(job.state).terminal:
        raise ResultNotReady(f"job {job.id!r} is {job.state}: ask again when 'terminal' is true")
    if job.state != JobState.SUCCEEDED:
        cause = (job.problem or {}).get("detail")
        raise NoResult(f"job {job.id!r} has {job.state}" + (f": {cause}" if cause else ""))


def page(
    session: Session,
    tenant: str,
    *,
    cursor: str | None = None,
    limit: int = 20,
    states: Collection[JobState] = (),
    outcomes: Collection[OutcomeName] = (),
    metadata: Mapping[str, str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    search: str = "",
    dataset: str = "",
) -> Page:
    """The tenant's jobs, newest first, without the deleted ones; every filter must hold.

    cursor: ``next_cursor`` of the page before. search: a text in the job's id, in a value of its metadata, or in what
    it is to forget. dataset: an id that it forgets or keeps samples of. Raises Malformed for any other cursor.
    """
    order = tuple_(Job.created_at, Job.id)
    wanted: list[ColumnElement[bool]] = [Job.tenant == tenant, Job.deleted_at.is_(None)]
    if cursor is not None:
        last = session.get(Job, cursor)
        if last is None or last.tenant != tenant:
            raise Malformed(f"the cursor {cursor!r} is not one of ours: take next_cursor of the page before")
        wanted.append(order < tuple_(last.created_at, last.id))
    if states:
        wanted.append(Job.state.in_(states))
    if outcomes:
        wanted.append(Job.outcome.in_(outcomes))
    if metadata:  # one subquery, however many filters: PostgreSQL plans a join of many for minutes
        pair = tuple_(JobMetadata.key, JobMetadata.value).in_(list(metadata.items()))
        matching = select(func.count()).where(JobMetadata.job_id == Job.id, pair).scalar_subquery()
        wanted.append(matching == len(metadata))
    if search:
        wanted.append(_about(search))
    if dataset:
        wanted.append(or_(*(Job.spec[side]["dataset"].as_string() == dataset for side in ("forget", "retain"))))
    if created_after is not None:
        wanted.append(Job.created_at > created_after)
    if created_before is not None:
        wanted.append(Job.created_at < created_before)
    statement = select(Job).where(*wanted).order_by(Job.created_at.desc(), Job.id.desc())
    found, more = first_rows(session, Job, statement, limit)
    return Page(list(found), found[-1].id if more else None)


def _about(text: str) -> ColumnElement[bool]:
    """Jobs in which somebody finds the text, in capitals or not."""
    value = JobMetadata.value.icontains(text, autoescape=True)
    in_metadata = select(JobMetadata.job_id).where(JobMetadata.job_id == Job.id, value).exists()
    forgotten = cast(Job.spec["forget"]["select"], Text).icontains(json.dumps(text)[1:-1], autoescape=True)
    return or_(in_metadata, forgotten, Job.id.icontains(text, autoescape=True))


def request_cancel(session: Session, tenant: str, job_id: str) -> Job:
    """Ask for the end of a job. Without a live claim it ends at once, else as soon as its workers have stopped.

    Asking again changes nothing. Raises JobFinished where the job has ended, JobNotFound, JobDeleted.
    """
    get(session, tenant, job_id)
    job = _locked(session, job_id)
    if JobState(job.state).terminal:
        raise JobFinished(f"job {job_id!r} has {job.state} already: there is nothing to cancel")
    if job.cancel_requested_at is None:
        job.cancel_requested_at = db.now(session)
        record_event(session, job, "job.cancel_requested", {})
    settle(session, job)
    return job


def delete_job(session: Session, tenant: str, job_id: str) -> None:
    """Forget an ended job: its files go to garbage collection, its row stays as a tombstone (see tables.Job).

    Raises JobRunning where it has not ended, InUse where a job from its accumulators has not, JobNotFound, JobDeleted.
    """
    get(session, tenant, job_id)
    job = _locked(session, job_id)
    if not JobState(job.state).terminal:
        raise JobRunning(f"job {job_id!r} is {job.state}: cancel it first, or wait until it has ended")
    if later := using(session, tenant, job_id):
        raise InUse(f"{job_id} is needed by {', '.join(later[:3])}: wait until they end, or cancel them")
    for table in (Artifact, Event, JobMetadata, Partial, Step):
        session.execute(delete(table).where(table.job_id == job_id))
    release_job(session, job_id)
    job.spec, job.meta, job.outcome_reason = {}, {}, None
    job.problem = {"type": job.problem.get("type")} if job.problem else None
    job.prepared_key = job.result_key = None
    job.deleted_at = db.now(session)


def using(session: Session, tenant: str, resource_id: str) -> list[str]:
    """Ids of the tenant's jobs that have not ended and whose spec names the data set, the model or the job."""
    statement = select(Job).where(Job.tenant == tenant, Job.state.not_in(TERMINAL)).order_by(Job.created_at)
    return [job.id for job in session.scalars(statement) if resource_id in _registered(job.spec)]


def _registered(spec: Mapping[str, Any]) -> list[Any]:
    """What a stored spec may name by its id; not judged again, as what an older version took must still be found."""
    datasets = [spec[side].get("dataset") for side in ("forget", "retain")]
    return [spec["base_model"]["weights"], *datasets, spec.get("from_job")]


def has_accumulators(session: Session, job_id: str) -> bool:
    """Whether what a job added up is still there, as of each that succeeded since it is kept at all."""
    partials = select(Partial.key).where(Partial.job_id == job_id)
    kept = select(func.count()).where(StoredObject.key.in_(partials), StoredObject.kept)
    return bool(session.scalar(kept))


def events(session: Session, job_id: str, after: int = 0, limit: int = 100) -> list[Event]:
    """The job's events with numbers above ``after``, in order."""
    statement = select(Event).where(Event.job_id == job_id, Event.number > after)
    return list(session.scalars(statement.order_by(Event.number).limit(limit)))


def points(session: Session, job_id: str, after: int = -1, limit: int = 100) -> list[Step]:
    """The job's points with an index above ``after``, in order."""
    statement = select(Step).where(Step.job_id == job_id, Step.kind == StepKind.POINT, Step.index > after)
    return list(session.scalars(statement.order_by(Step.index).limit(limit)))


def _locked(session: Session, job_id: str) -> Job:
    job = lock(session, job_id)
    if job is None or job.deleted_at is not None:
        raise JobDeleted(job_id)
    return job
