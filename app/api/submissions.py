"""A job from a document to its row, or only to what it would cost: for the API's route and for the page's form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.api.deps import Services
from app.api.derived import spec_from
from app.api.problems import of_library
from app.auth import Principal
from app.errors import InvalidSpec, JobDeleted
from app.intake import references
from app.intake.estimate import estimate
from app.intake.references import References
from app.intake.sweep import with_sweep
from app.record import jobs
from app.record.jobs import Created
from app.record.tables import Job
from negmerge.errors import SpecError
from negmerge.spec import auto, caveats
from negmerge.spec.figures import SplitCounts
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.job_resources import DryRun


@dataclass(frozen=True)
class Judged:
    """A spec of which everything is right that can be known without reading data, and what it refers to."""

    spec: JobSpec
    found: References
    counts: SplitCounts | None
    """Samples by side and part; None where nobody has counted them yet."""


def made_before(services: Services, tenant: str, idempotency: tuple[str, str] | None) -> Job | None:
    """The job that this very request has made, whatever became of its references.

    idempotency: as ``jobs.create`` takes it. Raises IdempotencyMismatch, JobDeleted.
    """
    if idempotency is None:
        return None
    with services.database.read() as session:
        job = jobs.replay(session, tenant, *idempotency)
    if job is not None and job.deleted_at is not None:
        raise JobDeleted(job.id)
    return job


def parsed(services: Services, tenant: str, document: Mapping[str, Any]) -> JobSpec:
    """The document as a spec. Raises InvalidSpec with a pointer for each wrong field, and as ``derived.spec_from``."""
    try:
        if document.get("from_job") is None:
            return parse(document)
        with services.database.read() as session:
            return spec_from(session, tenant, document)
    except SpecError as error:
        raise of_library(error, InvalidSpec) from None


def judged(services: Services, tenant: str, spec: JobSpec) -> Judged:
    """The spec with the points of its sweep chosen, and its references found. Raises InvalidSpec."""
    with services.database.read() as session:
        found = references.find(session, services.settings, tenant, spec)
    counts = services.cutter.counts(spec, found.forget, found.retain)
    if spec.from_job is not None:  # its sweep was chosen when the points were trained
        return Judged(spec, found, counts)
    try:
        return Judged(with_sweep(spec, found.model, counts, services.store), found, counts)
    except SpecError as error:
        raise of_library(error, InvalidSpec) from None


def dry_run(services: Services, tenant: str, about: Judged) -> DryRun:
    """What the job would take, and what is hardly meant in it."""
    spec = about.spec
    with services.database.read() as session:
        estimated = estimate(session, tenant, spec, about.counts)
    full = spec.model_dump(mode="json", exclude_none=True)
    choice = auto.chosen(spec.sweep, spec.base_model.is_classifier)
    return DryRun(spec=full, estimate=estimated, sweep_chosen=choice, warnings=caveats.of_spec(spec))


def submit(services: Services, caller: Principal, about: Judged, idempotency: tuple[str, str] | None) -> Created:
    """Make the job, and tell the workers. idempotency: as ``jobs.create`` takes it. Raises InvalidSpec."""
    with services.database.write() as session:
        references.hold(session, caller.tenant, about.found)
        created = jobs.create(session, caller.tenant, caller.key_id, about.spec, services.settings.queue, idempotency)
        queue = created.job.queue
    if not created.replayed:
        services.dispatcher.publish(queue)
    return created
