"""The files that a job leaves: listed, each by its path, and the unlearned weights."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Select, select
from starlette.responses import Response

from app import errors
from app.api import rows, weights
from app.api.deps import Caller, EntryId, OpenServices, Plain
from app.api.files import CONDITIONS, FILE_RESPONSES, file_response, stored, zip_response
from app.api.headers import header
from app.api.problems import documented
from app.errors import NotFound
from app.record import jobs, tables
from negmerge.spec import paths
from negmerge.spec.numbers import MAX_SCALE
from negmerge.spec.resources import Artifact, Page

router = APIRouter(prefix="/v1", tags=["artifacts"])

FilePath = Annotated[str, Path(description="The file's path, as the list of artifacts has it; slashes may be escaped.")]
_OF_FILES = (errors.NotFound, errors.JobDeleted, errors.PreconditionFailed, errors.RangeNotSatisfiable)
_FILE = FILE_RESPONSES | documented(*_OF_FILES)
_WEIGHTS = FILE_RESPONSES | documented(*_OF_FILES, errors.ResultNotReady, errors.NoResult)


@router.get(
    "/jobs/{id}/artifacts",
    response_model=Page[Artifact],
    responses=documented(errors.NotFound, errors.JobDeleted),
)
def list_job_artifacts(caller: Caller, services: OpenServices, job_id: EntryId) -> Page[Artifact]:
    """All files of the job with their digests. None before it has succeeded."""
    with services.database.read() as session:
        jobs.get(session, caller.tenant, job_id)
        files = session.scalars(_files_of(job_id)).all()
    return Page(data=[rows.artifact(file) for file in files], next_cursor=None)


@router.head("/jobs/{id}/artifacts/{path:path}", include_in_schema=False)
@router.get("/jobs/{id}/artifacts/{path:path}", response_class=Response, responses=_FILE, openapi_extra=CONDITIONS)
def get_job_artifact(
    request: Request, caller: Caller, services: OpenServices, job_id: EntryId, path: FilePath
) -> Response:
    """One file, whole or a range of it."""
    with services.database.read() as session:
        jobs.get(session, caller.tenant, job_id)
        file = None if "\0" in path else session.get(tables.Artifact, (job_id, path))
    if file is None:
        raise NotFound(f"job {job_id!r} has no artifact {path!r}: GET /v1/jobs/{job_id}/artifacts lists them")
    return file_response(request, stored(services.store, file))


@router.head("/jobs/{id}/weights", include_in_schema=False)
@router.get("/jobs/{id}/weights", response_class=Response, responses=_WEIGHTS, openapi_extra=CONDITIONS)
def get_job_weights(
    request: Request,
    caller: Caller,
    services: OpenServices,
    job_id: EntryId,
    form: Annotated[
        Literal["file", "zip", "transformers"],
        Query(
            alias="format",
            description="`zip`: the folder with its config, as open_clip or timm loads it. `transformers`: a zip "
            "of the folder as transformers loads it, where the model came in one.",
        ),
    ] = "file",
    scale: Annotated[
        float | None,
        Plain,
        Query(ge=0, le=MAX_SCALE, allow_inf_nan=False, description="Another λ than the job chose; 0: the base model."),
    ] = None,
) -> Response:
    """The unlearned weights: the safetensors file, or a zip of a folder.

    With `scale`, θ₀ − λ·τ* of the job's first repeat at that λ, made while it is sent: the bits of `negmerge apply`, in
    the layout of transformers too.
    """
    with services.database.read() as session:
        jobs.check_succeeded(jobs.get(session, caller.tenant, job_id))
        files = {file.path: file for file in session.scalars(_files_of(job_id))}
    theirs = form == "transformers"
    if theirs:
        folder = weights.theirs(services.store, files, job_id, scale)
    else:
        folder = weights.folder(services.store, files, scale)
    if form != "file":
        if header(request.headers, "if-match") not in (None, "*"):
            raise errors.PreconditionFailed("a zip has no ETag: ask for it without If-Match, or for the file")
        place = paths.UNLEARNED_THEIRS if theirs else paths.UNLEARNED
        return zip_response(folder, place, weights.zip_name(job_id, scale))
    return file_response(request, weights.single_file(job_id, folder, scale))


def _files_of(job_id: str) -> Select[tables.Artifact]:
    return select(tables.Artifact).where(tables.Artifact.job_id == job_id).order_by(tables.Artifact.path)
