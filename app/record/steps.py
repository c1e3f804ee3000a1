"""A job's steps and how they end well: finished, folded, committed. Read it after ``merging``; then ``reopening``.

A job's steps are ``prepare``, its points, its rivals and ``conclude``. A worker claims one and gets a fresh token and
a lease (``leases``). Every change that it makes names its token, under the lock of the job's row, so a worker that
slept past its lease changes nothing when it wakes. Attempts are counted at the claim; giving back uncounts; at
``Retries.attempts`` failures of one step the job fails, with the cause.

Points fold in two stages. ``finish_point`` says that a point is trained and in the worker's own partial; it stays
claimed. ``flush`` commits the partial and all its points in one transaction, or nothing.

Times are the database's, and every function works inside the caller's ``Database.write`` transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.errors import InternalError
from app.record import db
from app.record.asked import asked
from app.record.ids import new_token
from app.record.leases import Arithmetic, Claim, lease_lives, require_claim, step_of, trained_of
from app.record.lifecycle import lock, record_event, transition
from app.record.objects import ArtifactFile, keep, release
from app.record.states import JobState, StepKind, StepState
from app.record.tables import Artifact, Job, Partial, Step
from negmerge.spec.precision import FLOAT32, Trained
from negmerge.spec.result import Asked, PointOutcome, PointRow, RivalRow, Verdict

_VECTOR = "task_vector"
"""The key beside a point's outcome that says where its kept task vector lies."""


class FlushOutcome(StrEnum):
    """VOID: nothing was changed; the worker begins an empty partial, and gives back what was not committed."""

    COMMITTED = "committed"
    VOID = "void"


@dataclass(frozen=True)
class CommittedPartial:
    """The last state of a partial that a flush committed."""

    repeat: int
    key: str
    points: list[int]


@dataclass(frozen=True)
class KeptVector:
    """A point's task vector in the store; sha256 in hex digits."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """The job whose points are merged again: its spec as it was stored, and the digest of its base model."""

    job_id: str
    spec: dict[str, Any]
    base: str


@dataclass(frozen=True)
class ConcludeInputs:
    """All partials of a job, which together hold each folded point once, and a row for each point in order.

    vectors: the task vectors that were kept, by the index of their point. asked: who asked for the job. origin: the job
    that all of this but ``rivals`` and ``asked`` is of, where the job is from another's accumulators.
    """

    partials: list[CommittedPartial]
    points: list[PointRow]
    rivals: list[RivalRow]
    vectors: dict[int, KeptVector]
    asked: Asked
    origin: Origin | None


def finish_prepare(
    session: Session,
    claim: Claim,
    prepared_key: str,
    arithmetic: Arithmetic,
    trained: Trained = FLOAT32,
    beside: Sequence[str] = (),
) -> Trained:
    """The prepared data lie under registered keys; tuning begins, with this arithmetic. Raises LostClaim.

    trained: how the points are to be. Returns how they are: those of a job from another's accumulators were trained as
    that one says. beside: keys that the object under ``prepared_key`` names, of this job alone.
    """
    job, step = require_claim(session, claim)
    _end(session, step, StepState.DONE)
    keep(session, [prepared_key, *beside])
    job.prepared_key = prepared_key
    job.device, job.threads = arithmetic.device, arithmetic.threads
    if (first_id := job.spec.get("from_job")) is not None:
        trained = trained_of(session.get_one(Job, first_id)) or trained
    job.precision, job.bfloat16_by = trained.precision, trained.by
    transition(session, job, JobState.TUNING)
    return trained


def finish_point(session: Session, claim: Claim, outcome: PointOutcome, vector: KeptVector | None = None) -> None:
    """A point is trained and in the worker's partial. It stays claimed, and renewed, until a flush.

    vector: where its task vector lies, under a registered key, if that is kept. Raises LostClaim.
    """
    job, step = require_claim(session, claim)
    beside = {} if vector is None else {_VECTOR: asdict(vector)}
    step.outcome, step.keys, step.progress = outcome.as_json() | beside, [kept["key"] for kept in beside.values()], None
    step.finished_at = db.now(session)
    data = {"index": claim.index, "loss": outcome.loss, "seconds": outcome.seconds}
    record_event(session, job, "point.trained", data)


def flush(session: Session, claims: Sequence[Claim], partial_id: str, key: str, points: Sequence[int]) -> FlushOutcome:
    """Commit a worker's partial of one repeat of a job: its points become folded and its row points at the new object.

    claims: the trained points that are not yet committed, at least one, all of one repeat of one job. key: the
    registered object of the partial, owned by the token of one of them. points: all points in it, those of earlier
    flushes included.
    VOID where any claim is lost or the job is not tuning or to be cancelled. Where the commit's outcome is
    unknown, ask ``committed``.
    """
    job = lock(session, claims[0].job_id)
    if job is None or job.state != JobState.TUNING or job.cancel_requested_at is not None:
        return FlushOutcome.VOID
    steps = [step for claim in claims if (step := step_of(session, claim)) and lease_lives(session, step)]
    if len(steps) < len(claims):
        return FlushOutcome.VOID
    row = session.get(Partial, partial_id)
    repeats = {step.repeat for step in steps} | ({row.repeat} if row else set())
    if len(repeats) > 1:
        raise InternalError(f"partial {partial_id} is said to hold points of the repeats {sorted(repeats)}: one is all")
    indices = sorted(step.index for step in steps)
    if sorted([*(row.points if row else []), *indices]) != sorted(points):
        raise InternalError(f"partial {partial_id} is said to hold {list(points)}: that is not what was claimed")
    moment = db.now(session)
    if row is None:
        row = Partial(id=partial_id, job_id=job.id, repeat=steps[0].repeat, worker=steps[0].worker)
    else:
        release(session, [row.key])
    row.key, row.points, row.updated_at = key, sorted(points), moment
    session.add(row)
    keep(session, [key, *(kept for step in steps for kept in step.keys)])
    for step in steps:
        step.state, step.token, step.lease_until = StepState.FOLDED, None, None
    record_event(session, job, "points.folded", {"indices": indices})
    return FlushOutcome.COMMITTED


def committed(session: Session, partial_id: str) -> CommittedPartial | None:
    """What the last flush of this partial committed; None where there was none."""
    row = session.get(Partial, partial_id)
    return CommittedPartial(row.repeat, row.key, list(row.points)) if row is not None else None


def diverge_point(session: Session, claim: Claim, cause: Mapping[str, Any]) -> None:
    """A point's weights or loss are not finite, or too large: it is left out, or the job fails, as its spec says.

    cause: ``type`` and ``detail``. Raises LostClaim.
    """
    job, step = require_claim(session, claim)
    step.cause = dict(cause)
    _end(session, step, StepState.DIVERGED)
    record_event(session, job, "point.diverged", {"index": claim.index, "cause": dict(cause)})
    if job.spec["sweep"]["on_diverged"] == "fail":
        transition(session, job, JobState.FAILED, {**cause, "step": claim.kind, "index": claim.index})


def finish_rival(session: Session, claim: Claim, row: RivalRow) -> None:
    """A rival is trained and measured: ``row`` says how it stands. Raises LostClaim."""
    job, step = require_claim(session, claim)
    step.outcome = row.as_json()
    _end(session, step, StepState.DONE)
    data = {"index": claim.index, "rival": row.rival, "repeat": row.repeat, "state": row.state}
    record_event(session, job, "rival.trained", data)


def conclude_inputs(session: Session, claim: Claim) -> ConcludeInputs:
    """What conclude works on. Raises LostClaim, and InternalError where the partials do not hold each folded
    point exactly once.
    """
    job, _ = require_claim(session, claim)
    origin = _origin(session, job)
    owner = job.id if origin is None else origin.job_id
    rows = session.scalars(select(Partial).where(Partial.job_id == owner).order_by(Partial.id))
    partials = [CommittedPartial(row.repeat, row.key, list(row.points)) for row in rows]
    steps = select(Step).where(Step.job_id == owner, Step.kind == StepKind.POINT).order_by(Step.index)
    points = list(session.scalars(steps))
    folded = [step.index for step in points if step.state == StepState.FOLDED]
    if sorted(index for partial in partials for index in partial.points) != folded:
        raise InternalError(f"the partials of {owner} do not hold each folded point exactly once")
    rivals = select(Step).where(Step.job_id == claim.job_id, Step.kind == StepKind.RIVAL).order_by(Step.index)
    return ConcludeInputs(
        partials,
        [_point_row(step) for step in points],
        [RivalRow.model_validate(step.outcome) for step in session.scalars(rivals)],
        {step.index: KeptVector(**kept) for step in points if (kept := (step.outcome or {}).get(_VECTOR))},
        asked(session, job),
        origin,
    )


def _origin(session: Session, job: Job) -> Origin | None:
    """The job whose points are merged again; it cannot be deleted before this one has ended."""
    if (job_id := job.spec.get("from_job")) is None:
        return None
    first = session.get_one(Job, job_id)
    return Origin(job_id, first.spec, (first.digests or {})["base"])


def outcome_of(step: Step) -> PointOutcome:
    """What became of a point; without a field where it is not trained yet."""
    return PointOutcome.model_validate({name: of for name, of in (step.outcome or {}).items() if name != _VECTOR})


def _point_row(step: Step) -> PointRow:
    row = {"index": step.index, "hyper_parameters": step.hyper_parameters, "seed": step.seed, "state": step.state}
    if step.state == StepState.DIVERGED:
        return PointRow.model_validate(row | {"cause": (step.cause or {}).get("detail")})
    return PointRow.model_validate(row | outcome_of(step).given())


def finish_conclude(
    session: Session,
    claim: Claim,
    result_key: str,
    files: Sequence[ArtifactFile],
    digests: Mapping[str, str],
    verdict: Verdict,
    partials: Sequence[CommittedPartial] = (),
) -> None:
    """The job has succeeded: its files get their public paths in this very transaction. Raises LostClaim.

    verdict: what became of what it asked for. partials: what stays of its accumulators for later jobs, under registered
    keys, in place of what its workers left.
    """
    job, step = require_claim(session, claim)
    _end(session, step, StepState.DONE)
    session.add_all(
        Artifact(
            job_id=job.id,
            path=file.path,
            key=file.key,
            bytes=file.bytes,
            sha256=file.sha256,
            media_type=file.media_type,
        )
        for file in files
    )
    session.flush()
    keep(session, sorted({result_key, *(file.key for file in files)}))
    _keep_partials(session, job, step.worker or "", partials)
    job.result_key, job.digests = result_key, dict(digests)
    job.outcome, job.outcome_reason = verdict.outcome, verdict.reason
    transition(session, job, JobState.SUCCEEDED)


def _keep_partials(session: Session, job: Job, worker: str, partials: Sequence[CommittedPartial]) -> None:
    keys = [partial.key for partial in partials]
    gone = Partial.job_id == job.id, Partial.key.not_in(keys)
    session.execute(delete(Partial).where(*gone))
    known = set(session.scalars(select(Partial.key).where(Partial.job_id == job.id)))
    moment = db.now(session)
    for partial in partials:
        if partial.key not in known:
            row = Partial(id=new_token(), job_id=job.id, repeat=partial.repeat, worker=worker, updated_at=moment)
            row.key, row.points = partial.key, sorted(partial.points)
            session.add(row)
    session.flush()
    keep(session, keys)


def _end(session: Session, step: Step, state: StepState) -> None:
    step.state, step.token, step.lease_until, step.progress = state, None, None, None
    step.finished_at = db.now(session)
