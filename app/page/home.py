"""The jobs: what was asked for, how it ended or how far it is."""

from fastapi import APIRouter, Request, Response

from app.api.deps import OpenServices
from app.page.guard import SignedIn
from app.page.rendering import render
from app.page.routing import PageRoute
from app.record import jobs

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE = 25
"""Jobs on one page."""


@router.get("/")
def show_jobs(request: Request, visitor: SignedIn, services: OpenServices) -> Response:
    """The tenant's jobs, newest first."""
    with services.database.read() as session:
        page = jobs.page(session, visitor.tenant, limit=PAGE)
    return render(request, "home.html.jinja", visitor, jobs=page.jobs)
