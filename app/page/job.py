"""One job: while it runs, when it has ended without a result, and with its result."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.api.deps import EntryId, OpenServices
from app.page import result
from app.page.events import told
from app.page.guard import Form, SignedIn, Visitor, Writer
from app.page.parts import parts
from app.page.questions import of_cancel
from app.page.rendering import render
from app.page.routing import PageRoute
from app.page.running import last_problem, running, seconds, told_state
from app.page.status import points, retry, seconds_left, status
from app.record import db, jobs
from app.record.progress import progress, queue_positions
from app.record.states import TERMINAL, JobState
from app.record.tables import Job
from negmerge.spec.sweep import MAX_POINTS
from negmerge.spec.sweep_words import described, shared, varied

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/jobs/{id}")
def show_job(request: Request, visitor: SignedIn, services: OpenServices, job_id: EntryId) -> Response:
    """The view that fits the job's state; one that is over while its view renews itself is loaded anew."""
    with services.database.read() as session:
        job = jobs.get(session, visitor.tenant, job_id)
        if JobState(job.state) not in TERMINAL:
            return _running(request, visitor, session, job)
        if request.headers.get("hx-request") == "true":
            return Response(headers={"HX-Refresh": "true"})
        if job.state != JobState.SUCCEEDED:
            return _ended(request, visitor, session, job)
        about = parts(session, job)
        happened = told(session, job)
    return result.show(request, visitor, services, job, about, happened)


@router.get("/jobs/{id}/points")
def show_points(request: Request, visitor: SignedIn, services: OpenServices, job_id: EntryId) -> Response:
    """Every point of the sweep as a line."""
    with services.database.read() as session:
        job = jobs.get(session, visitor.tenant, job_id)
        found = jobs.points(session, job_id, limit=MAX_POINTS)
    given = [point.hyper_parameters or {} for point in found]
    apart = varied(given)
    lines = [
        (point, told_state(point), described(point.hyper_parameters or {}, apart), seconds(point)) for point in found
    ]
    constant = described(given[0], shared(given)) if given else ""
    return render(request, "points.html.jinja", visitor, job=job, lines=lines, constant=constant)


@router.get("/jobs/{id}/cancel")
def ask_to_cancel(request: Request, visitor: Writer, services: OpenServices, job_id: EntryId) -> Response:
    """The question before it, as a page."""
    with services.database.read() as session:
        job = jobs.get(session, visitor.tenant, job_id)
    return render(request, "confirm.html.jinja", visitor, question=of_cancel(job))


@router.post("/jobs/{id}/cancel")
def cancel_job(visitor: SignedIn, services: OpenServices, job_id: EntryId, _form: Form) -> Response:
    """Ask for the job's end, and go back to it."""
    with services.database.write() as session:
        jobs.request_cancel(session, visitor.tenant, job_id)
    return RedirectResponse(f"/jobs/{job_id}", 303)


def _running(request: Request, visitor: Visitor, session: Session, job: Job) -> Response:
    now, known = db.now(session), progress(session, [job])[job.id]
    place = queue_positions(session, [job]).get(job.id)
    return render(
        request,
        "running.html.jinja",
        visitor,
        job=job,
        parts=parts(session, job),
        standing=status(job, known, place, now),
        progress=known,
        counted=points(known),
        left=seconds_left(job, known, now),
        retries=[retry(step, now) for step in known.waiting],
        view=running(session, job),
        happened=told(session, job),
        question=of_cancel(job),
    )


def _ended(request: Request, visitor: Visitor, session: Session, job: Job) -> Response:
    known = progress(session, [job])[job.id]
    return render(
        request,
        "ended.html.jinja",
        visitor,
        job=job,
        parts=parts(session, job),
        standing=status(job, known, None, db.now(session)),
        counted=points(known),
        problem=last_problem(session, job),
        happened=told(session, job),
    )
