"""What a job would take, told before anything is made: counts from the spec, seconds from earlier jobs."""

from collections.abc import Mapping
from math import ceil
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.record.states import JobState, StepKind
from app.record.tables import Job, Step
from negmerge.spec.figures import SplitCounts
from negmerge.spec.job import JobSpec
from negmerge.spec.job_resources import Estimate
from negmerge.spec.sweep import HyperParameters

EARLIER_JOBS = 20
"""So many of the tenant's latest succeeded jobs are looked at."""


def estimate(session: Session, tenant: str, spec: JobSpec, splits: SplitCounts | None) -> Estimate:
    """Steps and images of the sweep on the forget set's training part, and seconds where there is a basis.

    splits: None where a data set is only registered, so that nobody has counted its samples yet.
    """
    if spec.from_job is not None:
        basis = f"nothing is trained: the points are those of {spec.from_job}"
        return Estimate(points=0, steps=0, images=0, seconds=0.0, basis=basis, splits=splits)
    points = [point.hyper_parameters for point in spec.points()]
    if splits is None:
        basis = "the samples of a registered data set are not counted before the job reads them"
        return Estimate(points=len(points), steps=None, images=None, seconds=None, basis=basis, splits=None)
    samples = splits.forget.train
    images = sum(point.epochs for point in points) * samples
    paces = _paces(session, tenant, spec)
    basis = f"median of {len(paces)} points of earlier jobs with this model"
    return Estimate(
        points=len(points),
        steps=sum(point.epochs * ceil(samples / point.batch_size) for point in points),
        images=images,
        seconds=round(median(paces) * images, 1) if paces else None,
        basis=basis if paces else "no job with this model has succeeded yet",
        splits=splits,
    )


def _paces(session: Session, tenant: str, spec: JobSpec) -> list[float]:
    """Seconds an image of every point of the tenant's latest jobs with the same base model."""
    model = spec.base_model.model_dump(mode="json")
    latest = (
        select(Job)
        .where(Job.tenant == tenant, Job.state == JobState.SUCCEEDED, Job.deleted_at.is_(None))
        .order_by(Job.id.desc())
        .limit(EARLIER_JOBS)
    )
    same = [job.id for job in session.scalars(latest) if job.spec["base_model"] == model]
    steps = session.scalars(select(Step).where(Step.job_id.in_(same), Step.kind == StepKind.POINT))
    return [pace for step in steps if (pace := _pace(step.hyper_parameters or {}, step.outcome or {}))]


def _pace(hyper_parameters: Mapping[str, Any], outcome: Mapping[str, Any]) -> float | None:
    seconds, steps = outcome.get("seconds"), outcome.get("steps")
    if not seconds or not steps:
        return None
    return float(seconds) / (int(steps) * HyperParameters.model_validate(hyper_parameters).batch_size)
