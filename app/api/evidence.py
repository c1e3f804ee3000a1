"""What is known of a job: its points, its events (pages or a stream), its result."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import Response

from app import auth, errors
from app.api import rows
from app.api.deps import MOST, Caller, Cursor, EntryId, Limit, OpenServices, Plain, Services
from app.api.files import CONDITIONS, RESULT_RESPONSES, file_response, stored
from app.api.headers import header, prefers
from app.api.problems import documented
from app.auth import Principal
from app.errors import Malformed
from app.record import jobs
from app.record.states import JobState
from app.record.tables import Artifact, Job
from negmerge.spec import paths
from negmerge.spec.job_resources import Event, Point, Result
from negmerge.spec.resources import Page
from negmerge.spec.sweep import MAX_POINTS

router = APIRouter(prefix="/v1", tags=["evidence"])

EVENT_STREAM = EventSourceResponse.media_type
_JSON = "application/json"
_POLL_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 15.0
_RETRY_MILLISECONDS = 2000
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {EVENT_STREAM: {"example": 'event: job.tuning\ndata: {"number": 3, …}\nid: 3\n\n'}}},
    204: {"description": "Event stream: the job has ended and Last-Event-ID is its last event."},
}
_EVENTS = _STREAM | documented(errors.NotFound, errors.JobDeleted, errors.TooMany)
_RESULT = RESULT_RESPONSES | documented(
    errors.NotFound,
    errors.JobDeleted,
    errors.ResultNotReady,
    errors.NoResult,
    errors.PreconditionFailed,
    errors.RangeNotSatisfiable,
)


@router.get(
    "/jobs/{id}/points",
    response_model=Page[Point],
    responses=documented(errors.NotFound, errors.JobDeleted),
)
def list_job_points(
    caller: Caller,
    services: OpenServices,
    job_id: EntryId,
    cursor: Cursor,
    limit: Annotated[int, Plain, Query(ge=1, le=MAX_POINTS, description=MOST)] = MAX_POINTS,
) -> Page[Point]:
    """The points of the sweep in order: hyper-parameters, state, loss, figures, seconds."""
    after = -1 if cursor is None else _number(cursor)
    with services.database.read() as session:
        jobs.get(session, caller.tenant, job_id)
        found = jobs.points(session, job_id, after, limit + 1)
    following = str(found[limit - 1].index) if len(found) > limit else None
    return Page(data=[rows.point(row) for row in found[:limit]], next_cursor=following)


@router.get(
    "/jobs/{id}/events",
    response_model=Page[Event],
    responses=_EVENTS,
)
async def list_job_events(
    request: Request,
    caller: Caller,
    services: OpenServices,
    job_id: EntryId,
    cursor: Cursor,
    limit: Limit = 100,
    after: Annotated[int, Plain, Query(ge=0, lt=2**31, description="Events with higher numbers only.")] = 0,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The number of the last event of a stream that broke.")
    ] = None,
) -> Page[Event] | Response:
    """What happened to the job, oldest first. With `Accept: text/event-stream`, as it happens."""
    start = max(after, 0 if cursor is None else _number(cursor))
    streamed = request.method == "GET" and prefers(header(request.headers, "accept") or "", EVENT_STREAM, _JSON)
    if streamed and last_event_id:
        start = max(start, _number(last_event_id))
    job, told = await run_in_threadpool(_events, services, caller.tenant, job_id, start, limit + 1)
    if streamed:
        if JobState(job.state).terminal and start >= job.last_event:
            return Response(status_code=204)  # tells EventSource not to come back
        stream = _counted(services, caller, _stream(services, caller, job_id, start))
        await anext(stream)  # too many are refused before the answer begins
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventSourceResponse(stream, headers=headers)
    following = str(told[limit - 1].number) if len(told) > limit else None
    return Page(data=told[:limit], next_cursor=following)


def _events(services: Services, tenant: str, job_id: str, after: int, limit: int) -> tuple[Job, list[Event]]:
    """The job, and its events after a number. Raises JobNotFound, JobDeleted."""
    with services.database.read() as session:
        job = jobs.get(session, tenant, job_id)
        return job, [rows.event(row) for row in jobs.events(session, job_id, after, limit)]


@router.head("/jobs/{id}/result", include_in_schema=False)
@router.get("/jobs/{id}/result", response_model=Result, responses=_RESULT, openapi_extra=CONDITIONS)
def get_job_result(request: Request, caller: Caller, services: OpenServices, job_id: EntryId) -> Response:
    """The result document: the bytes of the artifact `result.json`."""
    file = finished(services, caller.tenant, job_id, paths.RESULT)
    return file_response(request, stored(services.store, file))


def finished(services: Services, tenant: str, job_id: str, path: str) -> Artifact:
    """An artifact that every succeeded job has. Raises ResultNotReady, NoResult, NotFound, JobDeleted."""
    with services.database.read() as session:
        jobs.check_succeeded(jobs.get(session, tenant, job_id))
        found = session.get(Artifact, (job_id, path))
    if found is None:
        raise errors.NotFound(f"job {job_id!r} left no {path!r}")
    return found


async def _counted(services: Services, caller: Principal, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream, counted for its key while it is open; nothing comes first. Raises TooMany."""
    with services.streams.one_more(caller.key_id):
        yield b""
        async for event in stream:
            yield event


async def _stream(services: Services, caller: Principal, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Server-Sent Events from ``after`` on, until the job has ended and all was told, or the key lets in no more.

    Written here, since FastAPI writes the events that a route yields only where the route can answer nothing else.
    """
    quiet = 0.0
    yield format_sse_event(retry=_RETRY_MILLISECONDS)
    while True:
        ended, news = await run_in_threadpool(_news, services, caller, job_id, after)
        for one in news:
            after = one.number
            yield format_sse_event(data_str=one.model_dump_json(), event=one.kind, id=str(one.number))
        if ended and not news:
            return
        quiet = 0.0 if news else quiet + _POLL_SECONDS
        if quiet >= _KEEP_ALIVE_SECONDS:
            quiet = 0.0
            yield KEEPALIVE_COMMENT
        if not news:
            await anyio.sleep(_POLL_SECONDS)


def _news(services: Services, caller: Principal, job_id: str, after: int) -> tuple[bool, list[Event]]:
    """Whether no event can come any more, and the next events. The state is read first, so none is missed."""
    with services.database.read() as session:
        if not auth.lets_in(session, caller.key_id):
            return True, []
        job = session.get(Job, job_id)
        ended = job is None or job.deleted_at is not None or JobState(job.state).terminal
        return ended, [rows.event(row) for row in jobs.events(session, job_id, after)]


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Malformed(f"{text!r} is not a number of this list: take next_cursor, or an event's number")
    return int(text)
