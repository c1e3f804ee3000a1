"""Jobs: submit (or only estimate), list, look, cancel, delete."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from sqlalchemy.orm import Session

from app import errors
from app.api import rows, submissions
from app.api.deps import Body, Caller, Cursor, EntryId, IdempotencyKey, Limit, OpenServices, request_body
from app.api.problems import documented
from app.auth import Scope
from app.errors import Invalid
from app.record import jobs, tables
from app.record.progress import progress, queue_positions
from app.record.states import JobState
from negmerge.errors import FieldError
from negmerge.spec.job import MAX_METADATA
from negmerge.spec.job_resources import DryRun, Job
from negmerge.spec.resources import JOB_SPEC, Page
from negmerge.spec.result import OutcomeName

router = APIRouter(prefix="/v1", tags=["jobs"])

_SCHEMA = {
    "title": "NewJob",
    "description": "A whole job, or one that merges another's points in another way.",
    "anyOf": [{"$ref": "#/components/schemas/JobSpec"}, {"$ref": "#/components/schemas/DerivedJobSpec"}],
}
_BODY = request_body({"application/json": {"schema": _SCHEMA, "example": JOB_SPEC}})
_REFUSED = (
    errors.NotFound,
    errors.JobDeleted,
    errors.ResultNotReady,
    errors.NoResult,
    errors.Conflict,
    errors.TooLarge,
    errors.NoRoom,
    errors.UnsupportedMedia,
    errors.InvalidSpec,
    errors.IdempotencyMismatch,
)
_DRY_RUN: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRun, "description": "Dry run: the spec is right; nothing was made."}
}


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time in UTC is outside the years 1 to 9999") from None


def _written_out(text: str) -> str:
    """pydantic would also take a number, as seconds since 1970, and a date with a space."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError("write it as RFC 3339 does, such as 2026-11-25T09:30:00Z; a + in a query is %2B")
    return text


_BY_METADATA: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "description": "`metadata.KEY=VALUE` keeps the jobs with this metadata; of several, those with all.",
            "schema": {
                "title": "MetadataFilter",
                "type": "object",
                "propertyNames": {"pattern": "^metadata\\..+$"},
                "additionalProperties": {"type": "string"},
                "maxProperties": MAX_METADATA,
            },
        }
    ]
}
"""In a query, an exploded object is a parameter for each of its keys, which here begin with ``metadata.``."""

Moment = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)] | None,
    Query(description="RFC 3339, such as 2026-11-25T09:30:00Z."),
]


@router.post(
    "/jobs",
    status_code=202,
    response_model=Job,
    responses=_DRY_RUN | documented(*_REFUSED),
    openapi_extra=_BODY,
)
def create_job(
    response: Response,
    caller: Caller,
    services: OpenServices,
    body: Body,
    idempotency_key: IdempotencyKey,
    dry_run: Annotated[bool, Query(description="Validate and estimate only.")] = False,
) -> Job | JSONResponse:
    """Submit a job. Everything that can be known without reading the data is judged before the 202.

    With `from_job` it merges another job's points in another way, and only what is to be otherwise is named. As the
    answer has that job's spec, the key needs the scope `read` for it.
    """
    if body.value.get("from_job") is not None:
        caller.require(Scope.READ)
    idempotency = None if idempotency_key is None else (idempotency_key, body.sha256)
    row = None if dry_run else submissions.made_before(services, caller.tenant, idempotency)
    if row is None:
        spec = submissions.parsed(services, caller.tenant, body.value)
        about = submissions.judged(services, caller.tenant, spec)
        if dry_run:
            told = submissions.dry_run(services, caller.tenant, about)
            return JSONResponse(told.model_dump(mode="json"))
        row = submissions.submit(services, caller, about, idempotency).job
    with services.database.read() as session:
        job = _resource(session, jobs.get(session, caller.tenant, row.id))
    response.headers["Location"] = job.links.self
    return job


@router.get("/jobs", response_model=Page[Job], responses=documented(), openapi_extra=_BY_METADATA)
def list_jobs(
    request: Request,
    caller: Caller,
    services: OpenServices,
    cursor: Cursor,
    limit: Limit = 20,
    state: Annotated[list[JobState] | None, Query(description="Repeat it for several states.")] = None,
    outcome: Annotated[list[OutcomeName] | None, Query(description="Repeat it for several outcomes.")] = None,
    created_after: Moment = None,
    created_before: Moment = None,
) -> Page[Job]:
    """The tenant's jobs, newest first. `metadata.KEY=VALUE` keeps the jobs with this metadata."""
    with services.database.read() as session:
        page = jobs.page(
            session,
            caller.tenant,
            cursor=cursor,
            limit=limit,
            states=state or (),
            outcomes=outcome or (),
            metadata=_metadata(request),
            created_after=created_after,
            created_before=created_before,
        )
        data = _resources(session, page.jobs)
    return Page(data=data, next_cursor=page.next_cursor)


@router.get("/jobs/{id}", response_model=Job, responses=documented(errors.NotFound, errors.JobDeleted))
def get_job(caller: Caller, services: OpenServices, job_id: EntryId) -> Job:
    """One job: its state, how far it is, its place in the queue, and where to go from here."""
    with services.database.read() as session:
        return _resource(session, jobs.get(session, caller.tenant, job_id))


@router.post(
    "/jobs/{id}/cancel",
    status_code=202,
    response_model=Job,
    responses=documented(errors.NotFound, errors.JobDeleted, errors.JobFinished),
)
def cancel_job(caller: Caller, services: OpenServices, job_id: EntryId) -> Job:
    """Ask for a job's end. One that runs ends within a second or a training step; asking twice is once."""
    with services.database.write() as session:
        return _resource(session, jobs.request_cancel(session, caller.tenant, job_id))


@router.delete(
    "/jobs/{id}",
    status_code=204,
    response_model=None,
    response_description="The job and its artifacts are gone.",
    responses=documented(errors.NotFound, errors.JobDeleted, errors.JobRunning, errors.InUse),
)
def delete_job(caller: Caller, services: OpenServices, job_id: EntryId) -> None:
    """Delete an ended job with its artifacts. A tombstone stays: asking for it again is 410."""
    with services.database.write() as session:
        jobs.delete_job(session, caller.tenant, job_id)


def _resources(session: Session, found: Sequence[tables.Job]) -> list[Job]:
    """The jobs as resources, with what only a query can tell: as many queries for a page as for one."""
    told, places = progress(session, found), queue_positions(session, found)
    return [rows.job(row, told[row.id], places.get(row.id)) for row in found]


def _resource(session: Session, row: tables.Job) -> Job:
    return _resources(session, [row])[0]


def _metadata(request: Request) -> dict[str, str]:
    """The query's ``metadata.KEY=VALUE`` filters. Every other unknown parameter is none of ours."""
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        key = name.removeprefix("metadata.")
        if key == name:
            continue
        if not key or key in wanted or "\0" in key + value or len(wanted) == MAX_METADATA:
            detail = f"metadata filters are metadata.KEY=VALUE, each key once, {MAX_METADATA} at most"
            raise Invalid(detail, [FieldError(f"#query/{name}", detail)])
        wanted[key] = value
    return wanted
