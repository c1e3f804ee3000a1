"""What a job leaves, for whoever is signed in: its files, and the unlearned weights."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select

from app.api import weights
from app.api.deps import EntryId, OpenServices
from app.api.files import file_response, stored, zip_response
from app.errors import NotFound
from app.page.guard import SignedIn
from app.page.routing import PageRoute
from app.record import jobs
from app.record.tables import Artifact
from negmerge.spec import paths
from negmerge.spec.numbers import MAX_SCALE

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/jobs/{id}/files/{path:path}")
def get_file(request: Request, visitor: SignedIn, services: OpenServices, job_id: EntryId, path: str) -> Response:
    """One file of the job, to be kept: nothing of it is shown as a page of ours."""
    with services.database.read() as session:
        jobs.get(session, visitor.tenant, job_id)
        file = None if "\0" in path else session.get(Artifact, (job_id, path))
    if file is None:
        raise NotFound(f"job {job_id!r} left no file {path!r}")
    return file_response(request, stored(services.store, file))


@router.get("/jobs/{id}/weights")
def get_weights(
    request: Request,
    visitor: SignedIn,
    services: OpenServices,
    job_id: EntryId,
    scale: Annotated[float | None, Query(ge=0, le=MAX_SCALE, allow_inf_nan=False)] = None,
    form: Annotated[Literal["file", "zip", "transformers"], Query(alias="format")] = "file",
) -> Response:
    """The unlearned weights, as the job chose the scale or at another one; or the folder that they are loaded from."""
    with services.database.read() as session:
        jobs.get(session, visitor.tenant, job_id)
        files = {file.path: file for file in session.scalars(select(Artifact).where(Artifact.job_id == job_id))}
    if form == "transformers":
        folder = weights.theirs(services.store, files, job_id, scale)
        return zip_response(folder, paths.UNLEARNED_THEIRS, weights.zip_name(job_id, scale))
    folder = weights.folder(services.store, files, scale)
    if form == "zip":
        return zip_response(folder, paths.UNLEARNED, weights.zip_name(job_id, scale))
    return file_response(request, weights.single_file(job_id, folder, scale))
