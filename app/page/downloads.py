"""What a job leaves, for whoever is signed in: its files, and the unlearned weights."""

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from app.api.deps import EntryId, OpenServices
from app.api.files import file_response
from app.errors import NotFound
from app.page.guard import SignedIn
from app.page.routing import PageRoute
from app.record import jobs
from app.record.tables import Artifact

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/jobs/{id}/files/{path:path}")
def get_file(request: Request, visitor: SignedIn, services: OpenServices, job_id: EntryId, path: str) -> Response:
    """One file of the job, to be kept: nothing of it is shown as a page of ours."""
    with services.database.read() as session:
        jobs.get(session, visitor.tenant, job_id)
        file = None if "\0" in path else session.get(Artifact, (job_id, path))
    if file is None:
        raise NotFound(f"job {job_id!r} left no file {path!r}")
    return file_response(request, services.store, file)


@router.get("/jobs/{id}/weights")
def get_weights(request: Request, visitor: SignedIn, services: OpenServices, job_id: EntryId) -> Response:
    """The unlearned weights, as the job chose the scale."""
    with services.database.read() as session:
        jobs.get(session, visitor.tenant, job_id)
        weights = Artifact.path.startswith("unlearned/"), Artifact.path.endswith(".safetensors")
        found = session.scalars(select(Artifact).where(Artifact.job_id == job_id, *weights)).all()
    if len(found) != 1:
        raise NotFound(f"job {job_id!r} left no weights that are one file: see its files")
    return file_response(request, services.store, found[0])
